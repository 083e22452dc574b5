"""Cells: one run each, addressed by what decides its result.

The address is a hash of the configuration and of the source of teacher, environment and student
with whatever of currgym they import. What is stored under it is the answer to exactly this
question, so a study runs only what is missing, and changed code never passes for the old.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import currgym
from currgym.runs.config import RunConfig, environment_spec, package_versions
from currgym.studies.arms import Arm
from currgym.studies.spec import Panel, StudySpec
from currgym.teaching import teacher_names, teacher_parameters, teachers

__all__ = ["Cell", "cells_of", "code_of", "panel_question", "source_fingerprint"]


@dataclass(frozen=True)
class Cell:
    """One run of a study.

    Attributes:
        key: Its address, 64 hexadecimal digits.
        panel: Label of the panel.
        arm: Label of the arm.
        config: What is run. A yoked arm's ``log`` is filled in when its source is there.
        source: Key of the cell whose task log it replays, or None.
        code: Hash of the source by which it is made.
        question: Its address without the code: what is asked, whoever answers.
    """

    key: str
    panel: str
    arm: str
    config: RunConfig
    source: str | None = None
    code: str | None = None
    question: str = ""

    @property
    def seed(self) -> int:
        """Of the run."""
        return self.config.seed


def cells_of(spec: StudySpec, strict: bool = False) -> list[Cell]:
    """Return the cells of a study: seed by seed, so that an interrupted study is balanced.

    Args:
        spec: The study.
        strict: Versions of other packages count too.
    """
    makers = {
        (panel.label, arm.label): _Maker.of(_config(panel, arm), strict)
        for panel in spec.panels
        for arm in spec.arms
    }
    return [
        _cell(spec, panel, arm, seed, makers)
        for seed in spec.seeds
        for panel in spec.panels
        for arm in spec.arms
    ]


def _config(panel: Panel, arm: Arm) -> RunConfig:
    """Return what an arm's runs on a panel have in common: all but the seed."""
    return replace(
        panel.base,
        teacher=arm.teacher,
        preset=arm.preset,
        teacher_parameters=dict(arm.parameters),
        label=arm.label,
    )


@dataclass(frozen=True)
class _Maker:
    """What an arm's runs on a panel have in common.

    Attributes:
        config: With any seed.
        asked: All that is asked, with any seed.
        code: Hash of the source by which they are made.
        versions: Of other packages, where they count.
    """

    config: RunConfig
    asked: Mapping[str, Any]
    code: str
    versions: Mapping[str, str] | None

    @classmethod
    def of(cls, config: RunConfig, strict: bool) -> _Maker:
        versions = _versions(_roots(config)) if strict else None
        return cls(config, _question(config), code_of(config), versions)


def _cell(
    spec: StudySpec, panel: Panel, arm: Arm, seed: int, makers: Mapping[tuple[str, str], _Maker]
) -> Cell:
    maker = makers[panel.label, arm.label]
    source = None
    if arm.of is not None:
        source = _cell(spec, panel, spec.arm(arm.of), spec.other_seed(seed), makers)
    asked = {**maker.asked, "seed": seed}
    question = _hash({"question": asked, "replays": source.question if source else None})
    key = _hash(
        {
            "question": asked,
            "replays": source.key if source else None,
            "code": maker.code,
            "versions": maker.versions,
        }
    )
    return Cell(
        key,
        panel.label,
        arm.label,
        replace(
            maker.config,
            teacher_parameters=dict(arm.parameters),  # each run its own: a log may be filled in
            seed=seed,
            cell=key,
        ),
        source=source.key if source else None,
        code=maker.code,
        question=question,
    )


def code_of(config: RunConfig) -> str:
    """Return a hash of the source by which a run is made."""
    return source_fingerprint(*_roots(config))


def _hash(document: Any) -> str:
    text = json.dumps(document, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _question(config: RunConfig) -> dict[str, Any]:
    """Return all that is asked; of files that the teacher reads their content, not their place."""
    asked = config.question()
    parameters = asked["teacher_parameters"]
    for name in teachers[config.teacher].files & set(parameters):
        path = parameters[name]
        if isinstance(path, str) and Path(path).is_file():
            parameters[name] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    if config.kind == "rl":
        spec = environment_spec(config.env)
        asked["registered"] = {
            "kwargs": spec.kwargs,
            "max_episode_steps": spec.max_episode_steps,
            "wrappers": [str(wrapper) for wrapper in spec.additional_wrappers],
        }
    return asked


def panel_question(base: RunConfig) -> str:
    """Return the hash of what all arms of a panel have in common, the code apart."""
    asked = _question(base)
    for name in ("teacher", "preset", "teacher_parameters", "seed"):
        del asked[name]
    return _hash(asked)


def _roots(config: RunConfig) -> tuple[str, ...]:
    """Return the modules that define teacher, environment, student, and what joins them."""
    from currgym.runs.session import session_module
    from currgym.students import students

    settings = {**_preset(config.teacher, config.preset), **config.teacher_parameters}
    roots = [*_teacher_modules(config.teacher, settings), session_module(config)]
    roots += students[config.student].modules
    if config.kind == "rl":
        roots += _environment_modules(config.env)
    elif config.kind == "supervised":
        from currgym.supervised import families

        roots.append(families[config.env].__module__)
    return tuple(sorted({root for root in roots if root}))


def _preset(teacher: str, preset: str | None) -> Mapping[str, Any]:
    return teachers[teacher].presets[preset] if preset else {}


def _teacher_modules(name: str, settings: Mapping[str, Any]) -> list[str]:
    """Return the modules of a teacher and of those that it consists of."""
    cls = teachers[name]
    found = [cls.__module__]
    known = teacher_parameters(cls)
    for parameter in sorted(cls.names_teachers):
        value = settings.get(parameter, known[parameter].default)
        named = cls.default_parts if value is None else value
        for part in teacher_names(named) if isinstance(named, (str, list, tuple)) else ():
            plain, _, preset = part.partition(":")
            if plain in teachers:  # building it says what is wrong with another name
                found += _teacher_modules(plain, _preset(plain, preset))
    return found


def _environment_modules(env: str) -> list[str]:
    spec = environment_spec(env)
    found = [env.rpartition(":")[0]]
    for entry in (spec.entry_point, spec.vector_entry_point):
        if isinstance(entry, str):
            found.append(entry.partition(":")[0])
        elif entry is not None:
            found.append(entry.__module__)
    return found


def _versions(roots: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of what a run rests on, of other packages' roots too."""
    found = package_versions()
    where = _distributions()
    for root in roots:
        for name in where.get(root.partition(".")[0], ()):
            found[name] = importlib.metadata.version(name)
    return found


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def source_fingerprint(*roots: str) -> str:
    """Return a hash of these modules' source and of all of currgym that they import.

    Modules that are not currgym's count with what they import from their own package, unless they
    are an installed package that knows nothing of currgym: its version speaks for that.
    """
    own = [root for root in roots if _written_for_currgym(root)]
    homes = {root.partition(".")[0] for root in own} | {"currgym"}
    waiting, seen = list(own), set[str]()
    while waiting:
        name = _defining(waiting.pop())
        if name not in seen and name != "currgym" and name.partition(".")[0] in homes:
            seen.add(name)
            waiting += _read(name)[1]
    digest = hashlib.sha256()
    for name in sorted(seen):
        digest.update(name.encode() + b"\0" + _read(name)[0] + b"\0")
    return digest.hexdigest()


def _defining(name: str) -> str:
    """Return the module behind a name that currgym's front offers, whose own source is no part.

    That front registers every environment, so it would make all of them count.
    """
    home, _, rest = name.partition(".")
    return currgym.origin(rest) if home == "currgym" and rest and "." not in rest else name


def _written_for_currgym(root: str) -> bool:
    if root.partition(".")[0] == "currgym":
        return True
    path = _source(root)
    if path is None:
        return False
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return not installed or any(m.partition(".")[0] == "currgym" for m in _read(root)[1])


def _read(name: str) -> tuple[bytes, tuple[str, ...]]:
    """Return (hash of a module's source, modules it may import); of none where it has no source."""
    path = _source(name)
    if path is None:
        return b"", ()
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    if path.is_file():
        stat = path.stat()
        return _read_file(path, package, stat.st_mtime_ns, stat.st_size)
    return _read_source(_packed(name, path), package)


@functools.cache
def _read_file(path: Path, package: str, time: int, size: int) -> tuple[bytes, tuple[str, ...]]:
    # Time and size are there for the cache: a file that has changed is read again.
    return _read_source(path.read_bytes(), package)


def _read_source(source: bytes, package: str) -> tuple[bytes, tuple[str, ...]]:
    source = source.replace(b"\r\n", b"\n")
    return hashlib.sha256(source).digest(), tuple(_imports(source, package))


def _packed(name: str, path: Path) -> bytes:
    """Return the source of a module that is no file of its own, as one in a zip archive is not."""
    loaded = sys.modules.get(name)
    loader = getattr(_spec(name) if loaded is None else loaded.__spec__, "loader", None)
    try:
        return bytes(loader.get_data(str(path))) if loader is not None else b""
    except (AttributeError, OSError):  # gone since it was imported
        return b""


@functools.cache
def _source(name: str) -> Path | None:
    loaded = sys.modules.get(name)
    if loaded is None:
        origin = getattr(_spec(name), "origin", None)
    else:
        origin = getattr(loaded, "__file__", None)
    return Path(origin) if origin and origin.endswith(".py") else None


def _spec(name: str) -> ModuleSpec | None:
    """Return where a module lies, without importing its parents, which may bring all of torch."""
    home, _, last = name.rpartition(".")
    try:
        if not home:
            return importlib.util.find_spec(name)
        if home in sys.modules:
            inside = getattr(sys.modules[home], "__path__", None)
        else:
            inside = getattr(_spec(home), "submodule_search_locations", None)
        return None if inside is None else _spec_inside(name, inside)
    except KeyError:
        # A folder without __init__.py in one that is not imported, which importlib insists on.
        folders = [folder for place in inside or () if (folder := Path(place, last)).is_dir()]
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder) for folder in folders]
        return spec
    except (ImportError, ValueError):
        return None


def _spec_inside(name: str, places: Sequence[str]) -> ModuleSpec | None:
    """Ask every finder: an editable install may have one of its own."""
    for finder in sys.meta_path:
        spec = finder.find_spec(name, places)
        if spec is not None:
            return spec
    return None


def _imports(source: bytes, package: str) -> Iterator[str]:
    """Yield the modules that a source imports anywhere; of values it may name no module at all."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # who imports it fails too, or copes
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            yield base
            # `from currgym.students import students` names a value, which has no source.
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == "currgym":
            yield f"currgym.{node.attr}"
