"""What a study is: environments x students x teachers x seeds, and its plan, as a TOML file."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from currgym.documents import checked, described, fits, reading, write_whole
from currgym.registry import nearest
from currgym.runs.config import (
    RunConfig,
    check_trusted,
    default_student,
    environment_id,
    family_name,
    foreign_modules,
    is_named_elsewhere,
)
from currgym.statistics import Plan
from currgym.students import students
from currgym.studies.arms import Arm, with_controls, with_reference
from currgym.studies.endpoints import ENDPOINTS
from currgym.teaching import teachers

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Panel", "StudySpec"]

_RESERVED = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(10))}
)
LONGEST = 100

_RUN_FIELDS = frozenset(
    f.name for f in fields(RunConfig)
) - {"env", "teacher", "student", "seed", "preset", "teacher_parameters", "label", "cell",
     "env_parameters", "student_parameters", "steps", "modules"}  # fmt: skip
_TOP = frozenset(
    {"name", "store", "environments", "students", "teachers", "controls", "seeds", "first_seed",
     "steps", "import", "run", "plan", "reference"}
)  # fmt: skip


_KINDS: dict[str, Any] = {
    "name": str, "store": str, "environments": list, "students": list, "teachers": list,
    "controls": bool, "first_seed": int, "import": list[str], "run": dict[str, Any],
    "plan": dict[str, Any], "reference": bool,
}  # fmt: skip
_ARM_KINDS: dict[str, Any] = {
    "label": str, "teacher": str, "preset": str, "set": dict[str, Any], "of": str,
}  # fmt: skip
_PLAN_KINDS: dict[str, Any] = {
    "endpoint": str, "baseline": str, "contrasts": list[str], "smallest_effect": float, "n": int,
    "alpha": float, "direction": str, "shape": str, "correlation": float, "threshold": float,
    "protocol": str, "scale": float, "differs": str, "by_construction": dict[str, str],
    "not_testable": dict[str, str],
}  # fmt: skip
_MOST_SEEDS = 100_000


@dataclass(frozen=True)
class Panel:
    """One environment with one student: what fits on one page of results.

    Attributes:
        env: Label of the environment.
        student: Label of the student.
        base: The configuration that its runs share; teacher and seed are filled in.
    """

    env: str
    student: str
    base: RunConfig

    @classmethod
    def of(cls, base: RunConfig, env: str | None = None, student: str | None = None) -> Panel:
        """Return the panel of a configuration, labelled by its names where nothing else is said."""
        short = base.env.removeprefix("currgym/").replace("/", "-").replace(":", "-")
        return cls(env or short, student or base.student, base)

    @property
    def label(self) -> str:
        """For folders and tables."""
        return f"{self.env}-{self.student}"


@dataclass
class StudySpec:
    """A study as written down.

    Attributes:
        name: For tables.
        panels: Environments x students.
        arms: Teachers, controls included.
        seeds: One run an arm, panel and seed.
        plan: What will be concluded; None makes an exploration, which has no verdict.
        store: Folder of the runs.
        path: The file it was read from, or will be written to.
        reference: Runs that the package ships results of are taken from there.
    """

    name: str
    panels: list[Panel]
    arms: list[Arm]
    seeds: list[int]
    plan: Plan | None = None
    store: Path = field(default_factory=Path)
    path: Path | None = None
    reference: bool = False

    def __post_init__(self) -> None:
        labels = [arm.label for arm in self.arms]
        for what, some in (("environments", self.panels), ("teachers", labels)):
            if not some:
                raise ValueError(f"a study needs {what}: write {what} = [...]")
        if not self.seeds:
            raise ValueError("a study needs seeds: write seeds = 8, or a list of them")
        _check_labels("arm", labels, "write LABEL=NAME:...")
        _check_labels("panel", [p.label for p in self.panels], 'write label = "..." beside its id')
        if len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"seeds must differ and not be negative, got {self.seeds}")
        for arm in self.arms:
            replays = "log" in teachers[arm.teacher].required
            if arm.of is not None and not replays:
                raise ValueError(
                    f"arm {arm.label!r}: teacher {arm.teacher!r} replays no log, so it takes no of="
                )
            if replays and arm.of is None and arm.parameters.get("log") is None:
                raise ValueError(
                    f"arm {arm.label!r} has nothing to replay: write {arm.teacher}:of=LABEL for "
                    f"another arm's log, or {arm.teacher}:log=FILE"
                )
            if arm.of is not None and arm.of not in labels:
                raise ValueError(f"arm {arm.label!r} replays {arm.of!r}, which is not an arm here")
            if arm.of is not None and next(a for a in self.arms if a.label == arm.of).of:
                raise ValueError(f"arm {arm.label!r} replays {arm.of!r}, which is itself a replay")
            if arm.of is not None and len(self.seeds) < 2:
                raise ValueError(
                    f"arm {arm.label!r} replays another seed's log: use 2 seeds or more"
                )
        if self.plan is not None:
            if self.plan.endpoint not in ENDPOINTS:
                raise ValueError(nearest(self.plan.endpoint, ENDPOINTS, "endpoint of a plan"))
            for label in self.plan.arms:
                if label not in labels:
                    raise ValueError(nearest(label, labels, "arm in the plan"))
            if self.plan.n > len(self.seeds):
                raise ValueError(
                    f"the plan wants {self.plan.n} seeds and the study has {len(self.seeds)}"
                )

    def arm(self, label: str) -> Arm:
        """Return the arm of this label."""
        return next(arm for arm in self.arms if arm.label == label)

    @property
    def baseline(self) -> str:
        """The arm the others are compared with: the plan's, else ``random``, else the first."""
        if self.plan is not None:
            return self.plan.baseline
        return next((a.label for a in self.arms if a.teacher == "random"), self.arms[0].label)

    def other_seed(self, seed: int) -> int:
        """Return the seed whose log a yoked run of this seed replays.

        The one before, and the second for the first: a seed added later changes nobody's.
        """
        index = self.seeds.index(seed)
        return self.seeds[index - 1 if index > 0 else 1]

    def extends(self, other: StudySpec) -> bool:
        """Tell whether this is another study with arms and seeds added, or the same."""
        mine, theirs = self.to_document(), other.to_document()
        more = all(entry in mine[name] for name in ("teachers", "seeds") for entry in theirs[name])
        return more and {**mine, "teachers": 0, "seeds": 0} == {
            **theirs, "teachers": 0, "seeds": 0
        }  # fmt: skip

    # Reading and writing -------------------------------------------------------------------------

    @classmethod
    def read(cls, path: str | Path, trust: bool | Collection[str] = False) -> StudySpec:
        """Read a study file, or the ``study.toml`` of a folder.

        Args:
            path: The file, or the folder.
            trust: Allow importing the modules that it names: all, or these.

        Raises:
            ValueError: If it is no study file, something in it is unknown or does not fit, or it
                needs ``trust``.
        """
        path = Path(path)
        if path.is_dir():
            path = path / "study.toml"
        if not path.exists():
            raise ValueError(f"{path} does not exist: a study is a TOML file")
        if path.is_dir():
            raise ValueError(f"{path} is a folder, not a study file")
        with reading(path, "is not a TOML file"):
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        with reading(path, "is no study"):
            return cls.from_document(document, path, trust)

    @classmethod
    def from_document(
        cls, document: Mapping[str, Any], path: Path, trust: bool | Collection[str] = False
    ) -> StudySpec:
        """Build a study from the content of its file."""
        _known(document, _TOP, "entry of a study")
        for name, kind in _KINDS.items():
            if name in document and not fits(document[name], kind):
                raise ValueError(f"{name} must be {described(kind)}, got {document[name]!r:.80}")
        modules = document.get("import", [])
        named = [str(_entry(e, "id")["id"]) for e in document.get("environments", [])]
        check_trusted(path, foreign_modules(modules, named), trust)
        for module in modules:
            importlib.import_module(module)
        shared = dict(document.get("run", {}))
        _known(shared, _RUN_FIELDS, "entry of [run]")
        panels = []
        environments = [_entry(e, "id") for e in document.get("environments", [])]
        learners = [_entry(s, "name") for s in document.get("students", [])]
        for env in environments:
            mine = [s for s in learners if _fits(env, s)] if learners else [
                {"name": default_student(str(env["id"]))}
            ]  # fmt: skip
            if not mine:
                raise ValueError(f"no student fits {env['id']}: {_wanted(env)}")
            panels += [_panel(env, learner, document, shared, modules) for learner in mine]
        for learner in learners:
            if all(panel.base.student != learner["name"] for panel in panels):
                raise ValueError(f"student {learner['name']!r} fits none of the environments")
        arms = [_arm(entry) for entry in document.get("teachers", [])]
        seeds = document.get("seeds", 8)
        if isinstance(seeds, int) and not isinstance(seeds, bool):
            first = document.get("first_seed", 0)
            if type(first) is not int:
                raise ValueError(f"first_seed must be a whole number, got {first!r}")
            if seeds > _MOST_SEEDS:
                raise ValueError(f"seeds must be at most {_MOST_SEEDS:,}, got {seeds}")
            seeds = list(range(first, first + seeds))
        elif not isinstance(seeds, list) or not all(type(s) is int for s in seeds):
            raise ValueError(f"seeds must be a number or a list of whole numbers, got {seeds!r}")
        elif "first_seed" in document:
            raise ValueError("first_seed goes with a number of seeds, not with a list of them")
        for name in ("controls", "reference"):
            if not isinstance(document.get(name, False), bool):
                raise ValueError(f"{name} must be true or false, got {document[name]!r}")
        if document.get("controls", False):
            kind = panels[0].base.kind if panels else "rl"
            arms = with_controls(arms, kind, len(seeds))
        if document.get("reference", False):
            from currgym.studies.reference import arms_of

            arms = with_reference(arms, arms_of([panel.base for panel in panels]))
        plan = None
        if "plan" in document:
            plan = _plan(document["plan"], arms, _frozen_contrasts(path))
        where = document.get("store")
        store = path.parent / (path.stem if where is None else str(where))
        return cls(
            str(document.get("name", path.stem)), panels, arms, seeds, plan, store, path,
            document.get("reference", False),
        )  # fmt: skip

    def to_document(self) -> dict[str, Any]:
        """Return what :meth:`from_document` reads, with nothing left to defaults."""
        bases = [panel.base for panel in self.panels]
        shared = {name: getattr(bases[0], name) for name in sorted(_RUN_FIELDS)}
        shared = {
            name: value
            for name, value in shared.items()
            if all(getattr(base, name) == value for base in bases)
        }
        environments: dict[str, dict[str, Any]] = {}
        learners: dict[str, dict[str, Any]] = {}
        for panel in self.panels:
            base = panel.base
            own = {name: getattr(base, name) for name in _RUN_FIELDS - set(shared)}
            environments[panel.env] = {
                "id": base.env, "label": panel.env, "steps": base.steps,
                "set": base.env_parameters, **own,
            }  # fmt: skip
            learners[panel.student] = {
                "name": base.student, "label": panel.student, "set": base.student_parameters,
            }  # fmt: skip
        document: dict[str, Any] = {
            "name": self.name,
            "environments": list(environments.values()),
            "students": list(learners.values()),
            "teachers": [
                {
                    "label": arm.label, "teacher": arm.teacher, "preset": arm.preset,
                    "set": arm.parameters, "of": arm.of,
                }
                for arm in self.arms
            ],
            "seeds": self.seeds,
            "import": bases[0].modules,
            "run": shared,
            "reference": self.reference,
        }  # fmt: skip
        if self.path is not None:
            document["store"] = str(_relative(self.store, self.path.parent))
        if self.plan is not None:
            document["plan"] = self.plan.to_json()
        stripped: dict[str, Any] = _without_none(document)
        return stripped

    def write(self) -> None:
        """Write the file at :attr:`path`."""
        import tomli_w

        assert self.path is not None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, tomli_w.dumps(self.to_document()))


def _relative(path: Path, base: Path) -> Path:
    try:
        return path.relative_to(base)
    except ValueError:
        return path.absolute()


def _without_none(value: Any) -> Any:
    """TOML has no null: what is None is left out."""
    if isinstance(value, Mapping):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, (list, tuple)):
        return [_without_none(v) for v in value]
    return value


def _known(given: Mapping[str, Any], valid: Sequence[str] | frozenset[str], what: str) -> None:
    for name in given:
        if name not in valid:
            raise ValueError(nearest(name, valid, what))


def _entry(entry: Any, key: str) -> dict[str, Any]:
    """Return an environment or student, written as a name or as a table."""
    if isinstance(entry, str):
        return {key: entry}
    if not isinstance(entry, Mapping) or key not in entry:
        raise ValueError(f"write a name or a table with {key!r}, got {entry!r}")
    allowed = {key, "set", "label", *(("steps", *_RUN_FIELDS) if key == "id" else ())}
    _known(entry, sorted(allowed), f"entry beside {key!r}")
    return dict(entry)


def _fits(env: Mapping[str, Any], learner: Mapping[str, Any]) -> bool:
    """Tell whether a student learns in an environment: of its kind, and a toy only its own."""
    kind = RunConfig(str(env["id"]), "random", "", 1).kind
    name = str(learner["name"])
    if kind == "simulated":
        return name == default_student(str(env["id"]))
    return students[name].kind == kind


def _wanted(env: Mapping[str, Any]) -> str:
    kind = RunConfig(str(env["id"]), "random", "", 1).kind
    return f"it takes {', '.join(s for s in students if students[s].kind == kind)}"


def _check_labels(what: str, labels: Sequence[str], advice: str) -> None:
    """Refuse labels that cannot name folders side by side, on any system.

    Raises:
        ValueError: Saying what to write.
    """
    if len({label.casefold() for label in labels}) != len(labels):
        raise ValueError(f"{what}s need different labels, got {list(labels)}: {advice}")
    for label in labels:
        if re.fullmatch(r"[\w.+-]+", label) is None or label.endswith("."):
            raise ValueError(
                f"{what} {label!r}: use letters, digits, and _ . + - (it names a folder): {advice}"
            )
        if label.partition(".")[0].casefold() in _RESERVED or len(label) > LONGEST:
            raise ValueError(
                f"{what} {label!r} cannot name a folder everywhere (a name that Windows reserves, "
                f"or more than {LONGEST} characters): {advice}"
            )


def _frozen_contrasts(path: Path) -> Sequence[str] | None:
    """Return the contrasts of the plan frozen beside a study file, if there is one.

    Where the file leaves them to the default they stay as they were: an arm added later is no
    contrast.
    """
    try:
        frozen = json.loads(path.with_suffix(".frozen.json").read_text(encoding="utf-8"))
        return [str(label) for label in frozen["plan"]["contrasts"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _panel(
    env: Mapping[str, Any],
    learner: Mapping[str, Any],
    document: Mapping[str, Any],
    shared: Mapping[str, Any],
    modules: list[str],
) -> Panel:
    own = {name: value for name, value in env.items() if name in _RUN_FIELDS}
    written = str(env["id"])
    name = str(learner["name"])
    given = {
        "env": family_name(written) if is_named_elsewhere(written) else environment_id(written),
        "teacher": "random",
        "student": name,
        "steps": env.get("steps", document.get("steps", 100_000)),
        "env_parameters": env.get("set", {}),
        "student_parameters": learner.get("set", {}),
        "modules": modules,
        **shared,
        **own,
    }
    base = checked(RunConfig, given)
    _ = students[name]  # who is unknown is told now
    if base.kind == "supervised":
        from currgym.supervised import families

        _ = families[base.env]
    return Panel.of(base, env.get("label"), learner.get("label"))


def _arm(entry: Any) -> Arm:
    if isinstance(entry, str):
        return Arm.parse(entry)
    if not isinstance(entry, Mapping) or "teacher" not in entry:
        raise ValueError(f"write an arm as NAME:... or as a table with 'teacher', got {entry!r}")
    _known(entry, list(_ARM_KINDS), "entry of an arm")
    for key, value in entry.items():
        if not fits(value, _ARM_KINDS[key]):
            kind = described(_ARM_KINDS[key])
            raise ValueError(f"{key} of an arm must be {kind}, got {value!r:.80}")
    name = entry["teacher"]
    arm = Arm(
        entry.get("label", name), name, entry.get("preset"), dict(entry.get("set", {})),
        entry.get("of"),
    )  # fmt: skip
    arm.check()
    from currgym.registry import check_arguments
    from currgym.teaching import teacher_parameters, teachers

    parameters = teacher_parameters(teachers[name])
    check_arguments(arm.parameters, parameters, f"teacher {name!r}")
    for key, value in arm.parameters.items():
        wanted = parameters[key].annotation
        if _is_plain(wanted) and not fits(value, wanted):
            raise ValueError(
                f"{key} of teacher {name!r} must be {described(wanted)}, got {value!r:.80}"
            )
    return arm


def _is_plain(kind: Any) -> bool:
    """Tell whether a type is one that a TOML file can say, or a choice of such."""
    if isinstance(kind, UnionType) or get_origin(kind) is Union:
        return all(_is_plain(option) for option in get_args(kind))
    return kind in (int, float, bool, str, type(None))


def _plan(entry: Any, arms: Sequence[Arm], frozen: Sequence[str] | None) -> Plan:
    if not isinstance(entry, Mapping):
        raise ValueError("[plan] must be a table")
    _known(entry, list(_PLAN_KINDS), "entry of [plan]")
    for name, value in entry.items():
        if not fits(value, _PLAN_KINDS[name]):
            kind = described(_PLAN_KINDS[name])
            raise ValueError(f"{name} of [plan] must be {kind}, got {value!r:.80}")
    lacking = {"endpoint", "baseline", "smallest_effect", "n"} - set(entry)
    if lacking:
        raise ValueError(f"[plan] lacks {', '.join(sorted(lacking))}")
    baseline = entry["baseline"]
    if frozen is not None and not set(frozen) <= {arm.label for arm in arms} - {baseline}:
        frozen = None  # another plan: its hash will say so
    untested = {name: dict(entry.get(name, {})) for name in ("by_construction", "not_testable")}
    apart = {baseline, *(label for said in untested.values() for label in said)}
    if frozen is None:
        frozen = [arm.label for arm in arms if not arm.reference and arm.label not in apart]
    contrasts = entry.get("contrasts") or frozen
    if entry["endpoint"] not in ENDPOINTS:
        raise ValueError(nearest(str(entry["endpoint"]), ENDPOINTS, "endpoint of a plan"))
    endpoint = ENDPOINTS[entry["endpoint"]]
    threshold, scale = entry.get("threshold"), entry.get("scale")
    if endpoint.name == "time" and threshold is None:
        raise ValueError("[plan] lacks threshold: the share of the test set that counts as mastery")
    return Plan(
        endpoint.name, baseline, tuple(str(c) for c in contrasts), float(entry["smallest_effect"]),
        int(entry["n"]), float(entry.get("alpha", 0.05)),
        entry.get("direction", endpoint.direction), entry.get("shape", endpoint.shape),
        float(entry.get("correlation", 0.0)), None if threshold is None else float(threshold),
        entry.get("protocol"), None if scale is None else float(scale),
        str(entry.get("differs", "")), **untested,
    )  # fmt: skip
