"""What a study is: environments x students x teachers x seeds, and its plan, as a TOML file."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from currgym.documents import write_whole
from currgym.registry import nearest
from currgym.runs.config import RunConfig, environment_id, family_name, is_named_elsewhere
from currgym.statistics import Plan
from currgym.students import students
from currgym.studies.arms import Arm, with_controls
from currgym.studies.endpoints import ENDPOINTS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Panel", "StudySpec"]

_RUN_FIELDS = frozenset(
    f.name for f in fields(RunConfig)
) - {"env", "teacher", "student", "seed", "preset", "teacher_parameters", "label", "cell",
     "env_parameters", "student_parameters", "steps", "modules"}  # fmt: skip
_TOP = frozenset(
    {"name", "store", "environments", "students", "teachers", "controls", "seeds", "first_seed",
     "steps", "import", "run", "plan"}
)  # fmt: skip


@dataclass(frozen=True)
class Panel:
    """One environment with one student: what fits on one page of results.

    Attributes:
        label: For folders and tables.
        base: The configuration that its runs share; teacher and seed are filled in.
    """

    label: str
    base: RunConfig


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
    """

    name: str
    panels: list[Panel]
    arms: list[Arm]
    seeds: list[int]
    plan: Plan | None = None
    store: Path = field(default_factory=Path)
    path: Path | None = None

    def __post_init__(self) -> None:
        labels = [arm.label for arm in self.arms]
        if not labels or not self.panels or not self.seeds:
            raise ValueError("a study needs an environment, a student, a teacher and a seed")
        for what, found in (("arms", labels), ("panels", [p.label for p in self.panels])):
            if len(set(found)) != len(found):
                raise ValueError(f"{what} need different labels, got {found}: write LABEL=NAME:...")
        if len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"seeds must differ and not be negative, got {self.seeds}")
        for arm in self.arms:
            if re.fullmatch(r"[\w.+-]+", arm.label) is None or set(arm.label) == {"."}:
                raise ValueError(
                    f"label {arm.label!r}: use letters, digits, and _ . + - (it names a folder)"
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
            for label in (self.plan.baseline, *self.plan.contrasts):
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
        """Return the seed whose log a yoked run of this seed replays: the next one, in a ring."""
        return self.seeds[(self.seeds.index(seed) + 1) % len(self.seeds)]

    # Reading and writing -------------------------------------------------------------------------

    @classmethod
    def read(cls, path: str | Path) -> StudySpec:
        """Read a study file, or the ``study.toml`` of a folder.

        Raises:
            ValueError: If it is no study file, or something in it is unknown or does not fit.
        """
        path = Path(path)
        if path.is_dir():
            path = path / "study.toml"
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ValueError(f"{path} does not exist: a study is a TOML file") from None
        except IsADirectoryError:
            raise ValueError(f"{path} is a folder, not a study file") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not a TOML file: {error}") from None
        try:
            return cls.from_document(document, path)
        except (TypeError, AttributeError, KeyError) as error:
            raise ValueError(f"{path}: {error}") from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def from_document(cls, document: Mapping[str, Any], path: Path) -> StudySpec:
        """Build a study from the content of its file."""
        for name in document:
            if name not in _TOP:
                raise ValueError(nearest(name, _TOP, "entry of a study"))
        modules = [str(module) for module in document.get("import", [])]
        for module in modules:
            __import__(module)
        shared = dict(document.get("run", {}))
        _known(shared, _RUN_FIELDS, "entry of [run]")
        panels = []
        environments = [_entry(e, "id") for e in document.get("environments", [])]
        learners = [_entry(s, "name") for s in document.get("students", [])]
        for env in environments:
            for learner in learners or [_default_student(env)]:
                panels.append(_panel(env, learner, document, shared, modules))
        arms = [_arm(entry) for entry in document.get("teachers", [])]
        seeds = document.get("seeds", 8)
        if isinstance(seeds, int) and not isinstance(seeds, bool):
            first = int(document.get("first_seed", 0))
            seeds = list(range(first, first + seeds))
        elif not isinstance(seeds, list) or not all(type(s) is int for s in seeds):
            raise ValueError(f"seeds must be a number or a list of whole numbers, got {seeds!r}")
        if document.get("controls", False):
            kind = panels[0].base.kind if panels else "rl"
            arms = with_controls(arms, kind, len(seeds))
        plan = None
        if "plan" in document:
            plan = _plan(document["plan"], arms)
        where = document.get("store")
        store = path.parent / (path.stem if where is None else str(where))
        return cls(str(document.get("name", path.stem)), panels, arms, seeds, plan, store, path)

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
        for base in bases:
            own = {name: getattr(base, name) for name in _RUN_FIELDS - set(shared)}
            environments[base.env] = {
                "id": base.env, "steps": base.steps, "set": base.env_parameters, **own,
            }  # fmt: skip
            learners[base.student] = {"name": base.student, "set": base.student_parameters}
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
        }  # fmt: skip
        if self.path is not None:
            document["store"] = str(_relative(self.store, self.path.parent))
        if self.plan is not None:
            document["plan"] = {**asdict(self.plan), "contrasts": list(self.plan.contrasts)}
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


def _default_student(env: Mapping[str, Any]) -> dict[str, Any]:
    kind = RunConfig(str(env["id"]), "random", "", 1).kind
    return {"name": {"rl": "ppo", "supervised": "mlp", "simulated": "cube"}[kind]}


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
    base = RunConfig(
        env=family_name(written) if is_named_elsewhere(written) else environment_id(written),
        teacher="random",
        student=name,
        steps=int(env.get("steps", document.get("steps", 100_000))),
        env_parameters=dict(env.get("set", {})),
        student_parameters=dict(learner.get("set", {})),
        modules=modules,
        **{**shared, **own},
    )
    if students[name].kind != base.kind:
        raise ValueError(f"student {name!r} is {students[name].kind}; {base.env} is {base.kind}")
    short = base.env.removeprefix("currgym/").replace("/", "-").replace(":", "-")
    return Panel(str(env.get("label", f"{short}-{learner.get('label', name)}")), base)


def _arm(entry: Any) -> Arm:
    if isinstance(entry, str):
        return Arm.parse(entry)
    if not isinstance(entry, Mapping) or "teacher" not in entry:
        raise ValueError(f"write an arm as NAME:... or as a table with 'teacher', got {entry!r}")
    _known(entry, ["label", "teacher", "preset", "set", "of"], "entry of an arm")
    name = str(entry["teacher"])
    arm = Arm(
        str(entry.get("label", name)), name, entry.get("preset"), dict(entry.get("set", {})),
        entry.get("of"),
    )  # fmt: skip
    arm.check()
    from currgym.registry import check_arguments
    from currgym.teaching import teacher_parameters, teachers

    check_arguments(arm.parameters, teacher_parameters(teachers[name]), f"teacher {name!r}")
    return arm


def _plan(entry: Any, arms: Sequence[Arm]) -> Plan:
    if not isinstance(entry, Mapping):
        raise ValueError("[plan] must be a table")
    _known(entry, [f.name for f in fields(Plan)], "entry of [plan]")
    lacking = {"endpoint", "baseline", "smallest_effect", "n"} - set(entry)
    if lacking:
        raise ValueError(f"[plan] lacks {', '.join(sorted(lacking))}")
    baseline = str(entry["baseline"])
    contrasts = entry.get("contrasts") or [
        arm.label for arm in arms if not arm.reference and arm.label != baseline
    ]
    if entry["endpoint"] not in ENDPOINTS:
        raise ValueError(nearest(str(entry["endpoint"]), ENDPOINTS, "endpoint of a plan"))
    endpoint = ENDPOINTS[entry["endpoint"]]
    threshold = entry.get("threshold")
    if endpoint.name == "time" and threshold is None:
        raise ValueError("[plan] lacks threshold: the share of the test set that counts as mastery")
    return Plan(
        endpoint.name, baseline, tuple(str(c) for c in contrasts), float(entry["smallest_effect"]),
        int(entry["n"]), float(entry.get("alpha", 0.05)),
        entry.get("direction", endpoint.direction), entry.get("shape", endpoint.shape),
        float(entry.get("correlation", 0.0)), None if threshold is None else float(threshold),
    )  # fmt: skip
