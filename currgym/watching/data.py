"""What a folder says of the run or study in it: read as it grows, never written to."""

from __future__ import annotations

import csv
import json
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from currgym.runs.owner import gone

__all__ = ["ArmView", "RunView", "RunWatcher", "StudyView", "StudyWatcher", "Watcher", "watcher"]

RECENT = 1000
TAIL_BYTES = 1 << 18
PACE_OVER = 60.0
Point = tuple[int, float, float]


@dataclass(frozen=True)
class RunView:
    """One look at a run.

    Attributes:
        title: What it is.
        state: ``"not begun"``, ``"running"``, ``"stopped"`` or ``"finished"``.
        steps: Steps taken, as far as the logs tell.
        budget: Steps asked for; 0 before it is known.
        pace: Steps a second of late; None where nobody knows.
        seconds: Of training so far.
        curve: (step, share of the test set solved, mean return) of each evaluation.
        names: Of the dimensions of a task.
        bounds: (low, high) of each.
        tasks: The latest attempts' tasks, one list each.
        spent: What was spent, by name.
    """

    title: str
    state: str
    steps: int = 0
    budget: int = 0
    pace: float | None = None
    seconds: float | None = None
    curve: Sequence[Point] = ()
    names: Sequence[str] = ()
    bounds: Sequence[tuple[float, float]] = ()
    tasks: Sequence[Sequence[float]] = ()
    spent: dict[str, int] = field(default_factory=dict)

    @property
    def left(self) -> float | None:
        """Seconds left at this pace."""
        if not self.pace or self.state != "running":
            return None
        return max(0, self.budget - self.steps) / self.pace

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to come."""
        return self.state == "finished"


@dataclass(frozen=True)
class ArmView:
    """One arm of a study on one panel.

    Attributes:
        label: Panel and arm.
        counts: Runs by state.
        steps: Steps taken in all its runs.
        budget: Steps asked for in all its runs.
        curve: Mean over finished runs: (step, share solved, mean return).
        solved: Mean share solved, of runs that have been evaluated; None before.
    """

    label: str
    counts: dict[str, int]
    steps: int
    budget: int
    curve: Sequence[Point]
    solved: float | None


@dataclass(frozen=True)
class StudyView:
    """One look at a study.

    Attributes:
        title: Its name.
        state: As of a run.
        arms: Of each panel.
        running: (what, steps, budget, share solved) of the runs at work.
        failed: What failed, a line each.
        pace: Share of all steps a second, of late.
    """

    title: str
    state: str
    arms: Sequence[ArmView]
    running: Sequence[tuple[str, int, int, float | None]]
    failed: Sequence[str]
    pace: float | None

    @property
    def done(self) -> float:
        """Share of all steps taken."""
        budget = sum(arm.budget for arm in self.arms)
        return sum(arm.steps for arm in self.arms) / max(budget, 1)

    @property
    def left(self) -> float | None:
        """Seconds left at this pace."""
        if not self.pace or self.state != "running":
            return None
        return (1.0 - self.done) / self.pace

    def count(self, state: str) -> int:
        """Return how many runs are in a state."""
        return sum(arm.counts[state] for arm in self.arms)

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to come."""
        return self.state == "finished"


class Watcher(Protocol):
    """Looks at a folder again and again."""

    def look(self) -> RunView | StudyView:
        """Return what there is now."""


def watcher(folder: Path, trust: bool = False) -> Watcher:
    """Return the watcher of a run folder, a study file, or the folder of a comparison.

    A folder that is not there yet is taken for a run that has not begun.

    Args:
        folder: What to watch.
        trust: Allow importing the modules that a study file names.

    Raises:
        ValueError: If it holds something else.
    """
    if folder.suffix == ".toml" or (folder / "study.toml").exists():
        return StudyWatcher(folder, trust)
    if folder.is_file():
        raise ValueError(f"{folder} is neither a run folder nor a study file")
    if folder.is_dir() and not (folder / "config.json").exists() and any(folder.iterdir()):
        for path in sorted(folder.parent.glob("*.toml")):  # a study file's store
            if path.stem == folder.name:
                return StudyWatcher(path, trust)
        raise ValueError(f"{folder} holds neither a run nor a study")
    return RunWatcher(folder)


class _Pace:
    """Progress a second over the last minute of looks."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()

    def __call__(self, amount: float) -> float | None:
        now = time.monotonic()
        if self._seen and amount < self._seen[-1][1]:
            self._seen.clear()  # resumed from an earlier checkpoint
        self._seen.append((now, amount))
        while len(self._seen) > 2 and now - self._seen[0][0] > PACE_OVER:
            self._seen.popleft()
        (then, before), (_, last) = self._seen[0], self._seen[-1]
        return (last - before) / (now - then) if now > then and last > before else None


class _Growing:
    """A text file read as it grows: each call returns the complete lines that are new."""

    def __init__(self, path: Path, tail: int | None = None) -> None:
        self.path, self.tail = path, tail
        self.restarted = False
        self._at = -1
        self.header: list[str] = []

    def rows(self) -> list[dict[str, str]]:
        """Return new rows by column; ``restarted`` says that earlier ones are void."""
        self.restarted = False
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, 2)
                if size < self._at or self._at < 0:
                    self.restarted = True
                    file.seek(0)
                    first = file.readline()
                    if not first.endswith(b"\n"):
                        return []
                    self.header = first.decode().strip().split(",")
                    self._at = file.tell()
                    if self.tail is not None and size - self._at > self.tail:
                        file.seek(size - self.tail)
                        file.readline()  # the rest of a row
                        self._at = file.tell()
                file.seek(self._at)
                new = file.read()
        except OSError:
            return []
        new = new[: new.rfind(b"\n") + 1]
        self._at += len(new)
        lines = new.decode("utf-8", errors="replace").splitlines()
        return list(csv.DictReader(lines, fieldnames=self.header))


class RunWatcher:
    """Watches a run folder.

    Args:
        folder: It need not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._config: dict[str, Any] = {}
        self._evaluations = _Growing(folder / "evaluations.csv")
        self._episodes = _Growing(folder / "episodes.csv", TAIL_BYTES)
        self._probes = _Growing(folder / "probes.csv", 1 << 12)
        self._timing = _Growing(folder / "timing.csv")
        self._sums: dict[int, list[float]] = {}
        self._recent: deque[dict[str, str]] = deque(maxlen=RECENT)
        self._last: dict[str, dict[str, str]] = {}
        self._pace = _Pace()

    def look(self) -> RunView:
        """Return what there is now."""
        config = self._read_config()
        if not config:
            return RunView(str(self.folder), "not begun")
        self._read_logs()
        summary = _json(self.folder / "summary.json")
        teacher = (config.get("teacher") or {}).get("name", "")
        env = (config.get("env") or {}).get("id", "")
        title = f"{config.get('label') or teacher} on {env}, seed {config.get('seed')}"
        columns = [name for name in self._episodes.header if name.startswith("task.")]
        if (config.get("task_space") or {}).get("type") == "levels":
            columns = []  # the numbers of a level are no dimensions to look along
        names, bounds = _bounds(config, columns)
        if bounds:  # dimensions that are held fixed are no news
            live = [i for i, (low, high) in enumerate(bounds) if low < high]
            columns, names = [columns[i] for i in live], [names[i] for i in live]
            bounds = [bounds[i] for i in live]
        budget = int(config.get("steps") or 0)
        last = self._last.get("episodes", {})
        steps = max(
            (_int(last.get("step")), _int(self._last.get("timing", {}).get("step")), *self._sums)
        )
        if summary:
            state, steps = "finished", max(steps, budget)
        elif not last and not self._sums:
            state = "not begun" if not (self.folder / ".owner").exists() else self._state()
        else:
            state = self._state()
        return RunView(
            title, state, steps, budget,
            self._pace(steps) or self._logged_pace(),
            summary.get("seconds") or _float(self._last.get("timing", {}).get("seconds")),
            [(step, s / n, r / n) for step, (n, s, r) in sorted(self._sums.items())],
            names, bounds,
            [[_number(row.get(name)) for name in columns] for row in self._recent],
            summary.get("ledger") or self._spent(),
        )  # fmt: skip

    def _read_config(self) -> dict[str, Any]:
        if not self._config.get("task_space"):
            self._config = _json(self.folder / "config.json")
        return self._config

    def _read_logs(self) -> None:
        for row in self._evaluations_rows():
            entry = self._sums.setdefault(_int(row.get("step")), [0.0, 0.0, 0.0])
            entry[0] += 1
            entry[1] += _float(row.get("success")) or 0.0
            entry[2] += _float(row.get("return")) or 0.0
        for name, log in (("episodes", self._episodes), ("probes", self._probes),
                          ("timing", self._timing)):  # fmt: skip
            rows = log.rows()
            if log.restarted:
                self._last.pop(name, None)
                if name == "episodes":
                    self._recent.clear()
            if rows:
                self._last[name] = rows[-1]
            if name == "episodes":
                self._recent.extend(rows[-RECENT:])

    def _evaluations_rows(self) -> list[dict[str, str]]:
        rows = self._evaluations.rows()
        if self._evaluations.restarted:
            self._sums.clear()
        return rows

    def _state(self) -> str:
        try:
            owner = (self.folder / ".owner").read_text(encoding="utf-8")
        except OSError:
            owner = ""
        return "stopped" if gone(owner) else "running"

    def _logged_pace(self) -> float | None:
        timing = self._last.get("timing", {})
        steps, seconds = _int(timing.get("step")), _float(timing.get("seconds"))
        return steps / seconds if steps and seconds else None

    def _spent(self) -> dict[str, int]:
        found = {"attempts": _int(self._last.get("episodes", {}).get("episode"), -1) + 1}
        if "probes" in self._last:
            found["probes"] = _int(self._last["probes"].get("episode"), -1) + 1
        found["evaluations"] = int(sum(entry[0] for entry in self._sums.values()))
        return found


class StudyWatcher:
    """Watches a study by its store's index.

    Args:
        path: The study file, or the folder of a comparison.
        trust: Allow importing the modules that it names.
    """

    def __init__(self, path: Path, trust: bool = False) -> None:
        from currgym.studies import Study

        self.study = Study.open(path, trust=trust)
        self._curves: dict[str, list[Point]] = {}
        self._pace = _Pace()

    def look(self) -> StudyView:
        """Return what there is now."""
        study = self.study
        runs: dict[str, Any] = {}
        curves = self._curves
        if study.store.path.exists():
            runs = study.store.runs(cell.key for cell in study.cells)
            done = [k for k, run in runs.items() if run.state == "done" and k not in curves]
            curves.update(study.store.curves(done))
        arms = []
        for panel in study.spec.panels:
            for arm in study.spec.arms:
                mine = [c for c in study.cells if (c.panel, c.arm) == (panel.label, arm.label)]
                arms.append(self._arm(f"{panel.label}  {arm.label}", mine, runs, curves))
        view = StudyView(study.spec.name, "", arms, (), (), None)
        places = {cell.key: f"{cell.arm}, {cell.panel}, seed {cell.seed}" for cell in study.cells}
        at_work = [run for run in runs.values() if run.state == "running"]
        state = "running" if at_work else "stopped"
        if view.count("done") + view.count("failed") == len(study.cells):
            state = "finished"
        elif not any(run.begun or run.state != "waiting" for run in runs.values()):
            state = "not begun"
        return StudyView(
            study.spec.name, state, arms,
            [(places[r.key], r.steps, r.budget, r.solved) for r in at_work],
            [f"{places[r.key]}: {r.error}" for r in runs.values() if r.state == "failed"],
            self._pace(view.done),
        )  # fmt: skip

    @staticmethod
    def _arm(
        label: str, cells: Sequence[Any], runs: dict[str, Any], curves: dict[str, list[Point]]
    ) -> ArmView:
        from currgym.studies.store import STATES

        counts = dict.fromkeys(STATES, 0)
        steps, solved = 0, []
        sums: dict[int, list[float]] = {}
        for cell in cells:
            run = runs.get(cell.key)
            counts["waiting" if run is None else run.state] += 1
            if run is None:
                continue
            budget = cell.config.steps
            steps += budget if run.state == "done" else min(run.steps, budget)
            if run.solved is not None:
                solved.append(run.solved)
            for step, share, mean in curves.get(cell.key, ()):
                entry = sums.setdefault(step, [0.0, 0.0, 0.0])
                for i, value in enumerate((1.0, share, mean)):
                    entry[i] += value
        most = max((entry[0] for entry in sums.values()), default=0)
        curve = [
            (step, s / n, r / n) for step, (n, s, r) in sorted(sums.items()) if n == most
        ]  # fmt: skip
        return ArmView(
            label, counts, steps, sum(cell.config.steps for cell in cells), curve,
            sum(solved) / len(solved) if solved else None,
        )  # fmt: skip


def _json(path: Path) -> dict[str, Any]:
    """Return a document, or an empty one while it is not there or half written."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _bounds(
    config: dict[str, Any], names: Sequence[str]
) -> tuple[list[str], list[tuple[float, float]]]:
    """Return names and bounds of the logged dimensions; unknown bounds come from the tasks."""
    space = config.get("task_space") or {}
    low, high = space.get("low"), space.get("high")
    plain = [name.removeprefix("task.") for name in names]
    if isinstance(low, list) and isinstance(high, list) and len(low) == len(high) == len(names):
        return plain, list(zip(map(float, low), map(float, high), strict=True))
    if isinstance(space.get("n"), int) and len(plain) == 1:
        return plain, [(0.0, float(space["n"]))]
    return plain, []


def _int(text: str | None, missing: int = 0) -> int:
    try:
        return int(text or "")
    except ValueError:
        return missing


def _float(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _number(text: str | None) -> float:
    value = _float(text)
    return float("nan") if value is None else value
