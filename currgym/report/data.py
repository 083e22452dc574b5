"""Reads run and comparison folders into small dataclasses; NumPy only.

Everything drawn, on the page and in the figures for papers, comes from here and from
:mod:`currgym.report.maps`, so that both show the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.report.files import read_json
from currgym.report.records import Episodes, Evaluations, OptimizerLog, Run, Snapshot
from currgym.statistics import FEWEST_SEEDS, Interval, Plan, Verdict, judge, t_band
from currgym.statistics.choice import Kind
from currgym.studies.conclusions import ArmValues, Conclusions, conclude_panel
from currgym.studies.endpoints import ENDPOINTS

__all__ = [
    "MOST_FAINT", "Arm", "Curve", "Episodes", "Evaluations", "Film", "Metric", "OptimizerLog",
    "Run", "Snapshot", "Study", "faint", "load",
]  # fmt: skip

FloatArray = NDArray[np.float64]

MOST_FAINT = 64
"""Most seeds of an arm that are drawn one by one; means and intervals are of all."""
FILM_TYPES = {".gif": "image/gif", ".webp": "image/webp", ".png": "image/png"}


def faint(seeds: int) -> NDArray[np.int64]:
    """Return which of so many seeds are drawn one by one: all, or :data:`MOST_FAINT`, evenly."""
    return np.linspace(0, seeds - 1, min(seeds, MOST_FAINT)).round().astype(np.int64)


@dataclass(frozen=True)
class Film:
    """A film to show: its title and file."""

    title: str
    path: Path


@dataclass(frozen=True)
class Metric:
    """A measure on the test set.

    Attributes:
        name: ``"mastered"`` or ``"return"``.
        label: For an axis.
        unit: After a number: ``" %"`` or nothing.
        endpoint: The endpoint that it is at the end of training.
        low: Smallest possible value, shown units.
        high: Largest possible value.
    """

    name: str
    label: str
    unit: str
    endpoint: str
    low: float = -np.inf
    high: float = np.inf

    @property
    def factor(self) -> float:
        """Shown units in one of the endpoint's: shares are shown in per cent."""
        return 100.0 if ENDPOINTS[self.endpoint].percent else 1.0


@dataclass(frozen=True)
class Curve:
    """A measure over training, one row a seed.

    Attributes:
        steps: ``(k,)``.
        values: ``(seeds, k)``, NaN where a run has not got that far.
        seeds: The seed of each row.
    """

    steps: FloatArray
    values: FloatArray
    seeds: tuple[int, ...]

    def band(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return mean and ends of the 95 % t interval, ``(k,)`` each."""
        return t_band(self.values)


@dataclass(frozen=True)
class Arm:
    """One teacher's runs, one a seed.

    Attributes:
        label: Of the arm.
        teacher: Registered name.
        preset: Of the teacher.
        parameters: Its own.
        privileges: Information beyond outcomes that it uses.
        reference: Whether it is there as a control and not as a candidate.
        runs: Those that exist.
        missing: Planned runs that have not begun.
    """

    label: str
    teacher: str
    preset: str | None
    parameters: Mapping[str, Any]
    privileges: tuple[str, ...]
    reference: bool
    runs: tuple[Run, ...]
    missing: int = 0

    @property
    def finished(self) -> tuple[Run, ...]:
        """Runs that came to their end; only these count in tables."""
        return tuple(run for run in self.runs if run.finished)

    @property
    def origins(self) -> tuple[str, ...]:
        """Where its runs come from, where they are not this study's own."""
        return tuple(sorted({str(o) for run in self.runs if (o := run.config.get("origin"))}))

    def measured(self, endpoint: str, threshold: float | None = None) -> ArmValues:
        """Return what its finished runs measured, for conclusions."""
        values = {run.seed: run.endpoint(endpoint, threshold) for run in self.finished}
        tails = {run.seed: run.tail(endpoint) for run in self.finished}
        of = self.parameters.get("of")
        return ArmValues(
            self.label,
            {seed: value for seed, value in values.items() if value is not None},
            {seed: value for seed, value in tails.items() if value is not None},
            self.privileges,
            self.reference,
            self.teacher,
            None if of is None else str(of),
        )

    @property
    def shown(self) -> tuple[Run, ...]:
        """Finished runs, or what there is as long as none is finished."""
        return self.finished or self.runs

    def curve(self, metric: str) -> Curve:
        """Return the learning curves of all runs on common steps."""
        curves = {run.seed: run.curve(metric) for run in self.runs}
        curves = {seed: curve for seed, curve in curves.items() if len(curve[0])}
        if not curves:
            return Curve(np.empty(0), np.empty((0, 0)), ())
        common = max((steps for steps, _ in curves.values()), key=len)
        rows = []
        for steps, values in curves.values():
            # Vector environments may overshoot an evaluation by some steps: half a gap is the same.
            slack = 0.5 * float(np.diff(common).min()) if len(common) > 1 else 0.0
            row = np.interp(common, steps, values)
            row[(common < steps[0] - slack) | (common > steps[-1] + slack)] = np.nan
            rows.append(values if np.array_equal(steps, common) else row)
        return Curve(common, np.array(rows), tuple(curves))

    def final(self, metric: str) -> dict[int, float]:
        """Return seed -> value at the last evaluation, of finished runs."""
        ends = {run.seed: run.curve(metric)[1] for run in self.finished}
        return {seed: float(values[-1]) for seed, values in ends.items() if len(values)}

    def mean_ledger(self) -> dict[str, float]:
        """Return what an average finished run spent."""
        names = {name: None for run in self.finished for name in run.ledger}
        return {
            name: float(np.mean([run.ledger.get(name, 0) for run in self.finished]))
            for name in names
        }


@dataclass(frozen=True)
class Study:
    """A comparison of teachers, or one run by itself.

    Attributes:
        folder: Where it was read.
        kind: ``"rl"``, ``"supervised"`` or ``"simulated"``.
        env: Environment id or data family.
        student: Registered name.
        steps: Budget of each run.
        seeds: Planned seeds.
        arms: Teachers.
        baseline: Label of the arm that others are compared with, or None.
        supervised: A second comparison shown beside it.
        films: To embed.
        command: How it was started, where that was kept.
        single: Whether it is one run and not a comparison.
        plan: What was to be concluded, or None.
        frozen: Whether that was frozen before the runs.
    """

    folder: Path
    kind: Kind
    env: str
    student: str
    steps: int
    seeds: tuple[int, ...]
    arms: tuple[Arm, ...]
    baseline: str | None
    supervised: Study | None = None
    films: tuple[Film, ...] = ()
    command: str | None = None
    single: bool = False
    plan: Plan | None = None
    frozen: bool = False

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs of all arms."""
        return tuple(run for arm in self.arms for run in arm.runs)

    @property
    def example(self) -> Run:
        """Some run, for what all share: the configuration."""
        for run in self.runs:
            if run.config.get("task_space"):
                return run
        return self.runs[0]

    @cached_property
    def last_step(self) -> float:
        """The end of the time axis: the budget, or the last evaluation, which may lie past it."""
        reached = [run.evaluated.last for run in self.runs]
        return float(max([self.steps, *reached]))

    @cached_property
    def span(self) -> int:
        """Steps that a run takes in all: the budget, or what whole rollouts make of it."""
        counted = [run.cells.budget for run in self.runs if run.cells is not None]
        return max([self.steps, *counted])

    @property
    def baseline_arm(self) -> Arm | None:
        """The arm that others are compared with."""
        return next((arm for arm in self.arms if arm.label == self.baseline), None)

    @property
    def unfinished(self) -> tuple[Run, ...]:
        """Runs that have begun and not come to their end."""
        return tuple(run for run in self.runs if not run.finished)

    @property
    def missing(self) -> int:
        """Runs that have not begun."""
        return sum(arm.missing for arm in self.arms)

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """What the test set measures, the primary one first."""
        supervised = self.kind == "supervised"
        mastered = Metric(
            "mastered",
            "test examples mastered (%)" if supervised else "test tasks mastered (%)",
            " %",
            "solved",
            0.0,
            100.0,
        )
        returned = Metric(
            "return", "minus test loss" if supervised else "mean test return", "", "return"
        )
        shares = [run.evaluated.solved for run in self.runs]
        known = any(len(s) for s in shares) and all(np.isfinite(s).all() for s in shares)
        return (mastered, returned) if known else (returned,)

    @property
    def metric(self) -> Metric:
        """The primary measure."""
        return self.metrics[0]

    def conclusions(self, endpoint: str | None = None) -> Conclusions:
        """Return what the comparison shows, on the plan's endpoint or another.

        Args:
            endpoint: A key of :data:`~currgym.studies.endpoints.ENDPOINTS`; the plan's where None,
                or the primary measure at the end where there is no plan.
        """
        if endpoint is None:
            endpoint = self.metric.endpoint if self.plan is None else self.plan.endpoint
        if endpoint not in self._concluded:
            threshold = None if self.plan is None else self.plan.threshold
            self._concluded[endpoint] = conclude_panel(
                [arm.measured(endpoint, threshold) for arm in self.arms],
                endpoint,
                self.kind,
                self.seeds,
                self.baseline,
                self.plan,
                self.frozen,
            )
        return self._concluded[endpoint]

    @cached_property
    def _concluded(self) -> dict[str, Conclusions]:
        return {}

    def end(self, arm: Arm, metric: Metric) -> Interval | None:
        """Return an arm's mean at the end with its interval, or None if no run is finished."""
        mean = self.conclusions(metric.endpoint)[arm.label].mean
        return None if mean is None else mean.scaled(metric.factor)

    def difference(self, arm: Arm, metric: Metric) -> Interval | None:
        """Return an arm's difference from the baseline at the end, or None where there is none."""
        gap = self.conclusions(metric.endpoint)[arm.label].difference
        return None if gap is None else gap.scaled(metric.factor)

    def verdict(self, arm: Arm | None = None) -> Verdict:
        """Return what may be said of an arm against the baseline, or of the whole comparison."""
        if not self.arms:
            return judge(self.kind, 0)
        concluded = self.conclusions()
        return concluded.verdict if arm is None else concluded[arm.label].verdict


def load(folder: str | Path) -> Study:
    """Read a comparison folder (``study.json``) or a single run folder (``config.json``).

    Raises:
        ValueError: If it is neither, or a file is damaged; the file is named.
    """
    return _load(Path(folder), beside=True)


def _load(folder: Path, beside: bool) -> Study:
    if (folder / "study.json").is_file():
        return _load_study(folder, beside)
    if (folder / "config.json").is_file():
        return _load_single(folder)
    raise ValueError(f"{folder} is neither a run nor a comparison: no config.json, no study.json")


def _load_study(folder: Path, beside: bool) -> Study:
    path = folder / "study.json"
    plan = read_json(path)
    try:
        kept = _digests(folder, [place for places in plan["runs"].values() for place in places])
        arms = tuple(_arm(folder, a, plan["runs"].get(a["label"], []), kept) for a in plan["arms"])
        second = plan.get("supervised")
        study = Study(
            folder=folder,
            kind="rl",
            env=str(plan["env"]),
            student=str(plan["student"]),
            steps=int(plan["steps"]),
            seeds=tuple(int(s) for s in plan["seeds"]),
            arms=arms,
            baseline=plan.get("baseline"),
            supervised=_load(folder / second, beside=False) if second and beside else None,
            films=(*_named_films(folder, plan.get("film") or []), *_found_films(folder)),
            command=plan.get("command"),
            plan=_plan(plan.get("plan")),
            frozen=bool((plan.get("plan") or {}).get("frozen")),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: {type(error).__name__}: {error}") from None
    if not study.runs:
        raise ValueError(f"{folder} has no run yet: nothing to report")
    return replace(study, kind=_kind(path, plan.get("kind") or study.example.config.get("kind")))


def _digests(folder: Path, places: Sequence[str]) -> dict[str, bytes]:
    """Return what the study's index keeps of its runs; nothing where it cannot be read."""
    from currgym.studies.store import Store

    # A page lies in the store, or in panels/LABEL below it.
    up = "" if (folder / "index.sqlite").is_file() else "../../"
    if not (folder / up / "index.sqlite").is_file():
        return {}
    store = Store(folder / up)
    try:
        inside = [place.removeprefix(up) for place in places if place.startswith(up)]
        return {up + place: kept for place, kept in store.digests(inside).items()}
    except (OSError, ValueError):
        return {}  # the folders say the same
    finally:
        store.close()


def _kind(path: Path, written: Any) -> Kind:
    if written not in (None, *FEWEST_SEEDS):
        raise ValueError(f"{path} is damaged: kind must be one of {sorted(FEWEST_SEEDS)}")
    return written or "rl"


def _plan(written: Mapping[str, Any] | None) -> Plan | None:
    if written is None:
        return None
    fields = {name: value for name, value in written.items() if name != "frozen"}
    return Plan(**{**fields, "contrasts": tuple(fields["contrasts"])})


def _load_single(folder: Path) -> Study:
    run = _run(folder)
    teacher = run.config.get("teacher") or {}
    name = str(teacher.get("name", "teacher"))
    arm = Arm(
        label=str(run.config.get("label") or name),
        teacher=name,
        preset=teacher.get("preset"),
        parameters=teacher.get("parameters") or {},
        privileges=_privileges(run),
        reference=False,
        runs=(run,),
    )
    return Study(
        folder=folder,
        kind=_kind(folder / "config.json", run.config.get("kind")),
        env=str((run.config.get("env") or {}).get("id", "")),
        student=str((run.config.get("student") or {}).get("name", "")),
        steps=run.budget,
        seeds=(run.seed,),
        arms=(arm,),
        baseline=None,
        films=_found_films(folder),
        command=run.config.get("command"),
        single=True,
    )


def _arm(
    folder: Path, plan: Mapping[str, Any], places: Sequence[str], kept: Mapping[str, bytes]
) -> Arm:
    there = [place for place in places if (folder / place / "config.json").is_file()]
    found = (_run(folder / place, kept.get(place)) for place in there)
    runs = tuple(sorted(found, key=lambda run: run.seed))
    told = (runs[0].config.get("teacher") or {}) if runs else {}
    return Arm(
        label=str(plan["label"]),
        teacher=str(plan.get("teacher") or told.get("name") or plan["label"]),
        preset=plan.get("preset") or told.get("preset"),
        parameters={
            **(plan.get("parameters") or {}),
            **({"of": plan["of"]} if plan.get("of") else {}),
        },
        # What a run found out comes first: some privileges depend on parameters.
        privileges=(_privileges(runs[0]) if runs else ())
        or tuple(sorted(plan.get("privileges") or ())),
        reference=bool(plan.get("reference")),
        runs=runs,
        missing=len(places) - len(there),
    )


def _privileges(run: Run) -> tuple[str, ...]:
    told = run.config.get("teacher") or {}
    return tuple(sorted(run.config.get("privileges") or told.get("privileges") or ()))


def _run(folder: Path, packed: bytes | None = None) -> Run:
    config = read_json(folder / "config.json")
    summary = folder / "summary.json"
    run = Run(folder, config, read_json(summary) if summary.is_file() else {}, packed)
    try:
        _ = run.budget, run.seed
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{folder / 'config.json'} is damaged: {type(error).__name__}: {error}"
        ) from None
    return run


def _named_films(folder: Path, listed: Sequence[Mapping[str, str]]) -> tuple[Film, ...]:
    films = [Film(str(film["title"]), folder / film["gif"]) for film in listed]
    return tuple(f for f in films if f.path.suffix in FILM_TYPES and f.path.is_file())


def _found_films(folder: Path) -> tuple[Film, ...]:
    """Return the films that lie in the folder's own ``films/``."""
    found = sorted((folder / "films").glob("*"))
    return tuple(
        Film(path.stem.replace("_", " "), path) for path in found if path.suffix in FILM_TYPES
    )
