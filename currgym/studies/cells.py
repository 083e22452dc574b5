"""Cells: one run each, addressed by what decides its result.

The address is a hash of the configuration and of the source of teacher, environment and student
with whatever of currgym they import. What is stored under it is the answer to exactly this
question, so a study runs only what is missing, and changed code never passes for the old.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from currgym.runs.config import RunConfig, environment_spec, package_versions
from currgym.studies.arms import Arm
from currgym.studies.spec import Panel, StudySpec
from currgym.teaching import teachers

__all__ = ["Cell", "cells_of", "code_of", "source_fingerprint"]


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
    """

    key: str
    panel: str
    arm: str
    config: RunConfig
    source: str | None = None
    code: str | None = None

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
    found = []
    for seed in spec.seeds:
        for panel in spec.panels:
            found += [_cell(spec, panel, arm, seed, strict) for arm in spec.arms]
    return found


def _cell(spec: StudySpec, panel: Panel, arm: Arm, seed: int, strict: bool) -> Cell:
    config = replace(
        panel.base,
        teacher=arm.teacher,
        preset=arm.preset,
        teacher_parameters=dict(arm.parameters),
        seed=seed,
        label=arm.label,
    )
    source = None
    if arm.of is not None:
        source = _cell(spec, panel, spec.arm(arm.of), spec.other_seed(seed), strict).key
    key = _address(config, source, strict)
    code = code_of(config)
    return Cell(key, panel.label, arm.label, replace(config, cell=key), source, code)


def _address(config: RunConfig, source: str | None, strict: bool) -> str:
    question = config.question()
    document = {
        "question": question,
        "replays": source,
        "code": code_of(config),
        "versions": package_versions() if strict else None,
    }
    text = json.dumps(document, sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()


def code_of(config: RunConfig) -> str:
    """Return a hash of the source by which a run is made."""
    return source_fingerprint(*_roots(config))


def _roots(config: RunConfig) -> tuple[str, ...]:
    """Return the modules that define teacher, environment, student, and what joins them."""
    from currgym.runs.session import session_module
    from currgym.students import students

    roots = [teachers[config.teacher].__module__, session_module(config)]
    roots.append(students[config.student].origin.partition(":")[0])
    if config.kind == "rl":
        roots += _environment_modules(config.env)
    elif config.kind == "supervised":
        from currgym.supervised import families

        roots.append(families[config.env].__module__)
    return tuple(sorted({root for root in roots if root}))


def _environment_modules(env: str) -> list[str]:
    spec = environment_spec(env)
    found = [env.rpartition(":")[0]]
    for entry in (spec.entry_point, spec.vector_entry_point):
        if isinstance(entry, str):
            found.append(entry.partition(":")[0])
        elif entry is not None:
            found.append(entry.__module__)
    return found


@functools.cache
def source_fingerprint(*roots: str) -> str:
    """Return a hash of these modules' source and of all of currgym that they import.

    Modules of other packages count where they are named themselves, with what they import from
    their own package; what they import from elsewhere is a matter of versions.
    """
    homes = {root.partition(".")[0] for root in roots if not _third_party(root)} | {"currgym"}
    digest = hashlib.sha256()
    waiting = [root for root in roots if root.partition(".")[0] in homes]
    seen: dict[str, bytes] = {}
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        path = _source(name)
        seen[name] = b"" if path is None else path.read_bytes().replace(b"\r\n", b"\n")
        if path is not None:
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            waiting += [m for m in _imports(seen[name], package) if m.partition(".")[0] in homes]
    for name in sorted(seen):
        digest.update(name.encode() + b"\0" + seen[name] + b"\0")
    return digest.hexdigest()


def _third_party(root: str) -> bool:
    """Tell whether a module is installed from elsewhere, where its version speaks for it."""
    if root.partition(".")[0] == "currgym":
        return False
    path = _source(root)
    return path is None or "site-packages" in path.parts


@functools.cache
def _source(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    origin = getattr(spec, "origin", None)
    return Path(origin) if origin and origin.endswith(".py") else None


def _imports(source: bytes, package: str) -> Iterator[str]:
    """Yield the modules that a source imports anywhere; names that are no modules do no harm."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            yield base
            for alias in node.names:
                # `from currgym.students import students` names a value, which has no source.
                if _source(f"{base}.{alias.name}") is not None:
                    yield f"{base}.{alias.name}"
