"""One run folder as dataclasses, each file read when it is asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.report.files import as_rows, as_value, columns_of, header_of, last_of, table_of
from currgym.runs.cells import Cells, count_episodes, read_cells
from currgym.studies.endpoints import ENDPOINTS, RunCurve, tail_of
from currgym.tasks import TaskSpace, space_from_config

__all__ = ["Episodes", "Evaluations", "OptimizerLog", "Run", "Snapshot"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Episodes:
    """Finished training attempts of one run, one entry each, in order of delivery.

    Attributes:
        steps: The run's environment steps when the outcome was delivered.
        lengths: Environment steps of the attempt.
        tasks: ``(n, d)`` natural units.
        returns: Raw returns.
        successes: Share solved; NaN where the attempt did not say.
    """

    steps: FloatArray
    lengths: FloatArray
    tasks: FloatArray
    returns: FloatArray
    successes: FloatArray


@dataclass(frozen=True)
class Evaluations:
    """Evaluation episodes of one run on its test set, one entry each.

    Attributes:
        steps: Environment steps of training before.
        task_index: Row of the test set.
        returns: Raw returns.
        successes: Share solved, in [0, 1]; NaN where nothing says what success is.
    """

    steps: FloatArray
    task_index: IntArray
    returns: FloatArray
    successes: FloatArray


@dataclass(frozen=True)
class OptimizerLog:
    """What a student's optimiser did over training, one entry a stretch of it.

    Attributes:
        steps: Environment steps (examples) at the end of each stretch.
        gradient_norm: Of the gradient as the optimiser got it.
        update_norm: Of the change of the weights.
        effective_step: Root mean square of that change, as a multiple of the learning rate.
    """

    steps: FloatArray
    gradient_norm: FloatArray
    update_norm: FloatArray
    effective_step: FloatArray


@dataclass(frozen=True)
class Snapshot:
    """What a teacher said of itself at one time.

    Attributes:
        step: Environment steps.
        episode: Attempts.
        values: Its snapshot, name -> array or scalar.
        preview: ``(n, d)`` tasks it would have proposed then.
    """

    step: int
    episode: int
    values: Mapping[str, Any]
    preview: FloatArray


@dataclass(frozen=True)
class Run:
    """One run folder."""

    folder: Path
    config: Mapping[str, Any]
    summary: Mapping[str, Any]

    @property
    def seed(self) -> int:
        """Of everything in the run."""
        return int(self.config.get("seed", 0))

    @property
    def budget(self) -> int:
        """Environment steps (examples) it was given."""
        return int(self.config["steps"])

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return bool(self.summary.get("finished"))

    @property
    def ledger(self) -> Mapping[str, int]:
        """What was spent; empty until the run ends."""
        ledger: Mapping[str, int] = self.summary.get("ledger") or {}
        return ledger

    @property
    def seconds(self) -> float | None:
        """Wall-clock, if known."""
        if self.summary.get("seconds") is not None:
            return float(self.summary["seconds"])
        columns = columns_of(self.folder / "timing.csv", ("step", "seconds"))
        return float(columns[-1, 1]) if len(columns) else None

    @cached_property
    def reached(self) -> int:
        """Environment steps it is known to have got to."""
        if self.finished:
            return self.budget
        evaluated = self.evaluations.steps
        last = last_of(self.folder / "episodes.csv", "step")
        return int(max(last, evaluated.max() if len(evaluated) else 0.0))

    @cached_property
    def space(self) -> TaskSpace | None:
        """The task space; without its difficulty where that is somebody's function."""
        described = self.config.get("task_space")
        if not described:
            return None
        try:
            return space_from_config(described)
        except ValueError:
            # A function to import from a folder that may come from anywhere is not worth the trust.
            try:
                return space_from_config({**described, "difficulty": None})
            except (ValueError, KeyError, TypeError):
                return None

    @cached_property
    def test_tasks(self) -> FloatArray | None:
        """Tasks of the test set, ``(m, d)`` natural units."""
        tasks = (self.config.get("test_set") or {}).get("tasks")
        return None if not tasks else as_rows(tasks)

    @cached_property
    def episodes(self) -> Episodes:
        """All training attempts."""
        path = self.folder / "episodes.csv"
        header = header_of(path)
        names = [name for name in header if name.startswith("task.")]
        fixed = [(name, "f8") for name in ("step", "length", "return", *names)]
        rows = table_of(path, [*fixed, ("success", "U32")])
        tasks = np.stack([rows[name] for name in names], axis=1) if names else np.empty((0, 1))
        successes = np.full(len(rows), np.nan)
        told = rows["success"] != ""
        successes[told] = rows["success"][told].astype(np.float64)
        steps, lengths, returns = (rows[name].copy() for name in ("step", "length", "return"))
        return Episodes(steps, lengths, tasks, returns, successes)

    @cached_property
    def cells(self) -> Cells | None:
        """Where its steps went, as the run counted them; None where there is nothing to count by.

        A folder without counts has its episodes counted now.
        """
        path = self.folder / "periods.jsonl"
        if path.is_file():
            lines = path.read_text(encoding="utf-8").split("\n")[:-1]
            if not lines:
                return None
            try:
                return read_cells(lines[0], lines[1:])
            except (ValueError, KeyError, TypeError, IndexError) as error:
                raise ValueError(f"{path} is damaged: {type(error).__name__}: {error}") from None
        if self.space is None or not (self.folder / "episodes.csv").is_file():
            return None
        episodes = self.episodes
        tests = None if self.config.get("kind") == "supervised" else self.test_tasks
        return count_episodes(
            self.space, self.budget, tests, episodes.steps, episodes.tasks, episodes.lengths,
            episodes.returns, episodes.successes,
        )  # fmt: skip

    @cached_property
    def optimizer(self) -> OptimizerLog:
        """What its optimiser did; empty where nothing was measured."""
        names = ("step", "gradient_norm", "update_norm", "effective_step")
        columns = columns_of(self.folder / "optimizer.csv", names)
        return OptimizerLog(*columns.T) if len(columns) else OptimizerLog(*np.empty((4, 0)))

    @cached_property
    def by_task(self) -> tuple[FloatArray, FloatArray]:
        """Steps ``(k,)`` of the evaluations, and the share solved of each test task then.

        ``(k, tasks)``, in [0, 1]; NaN where nothing says what success is.
        """
        return self._over_time(self.evaluations.successes)

    @cached_property
    def returns_by_task(self) -> tuple[FloatArray, FloatArray]:
        """Steps ``(k,)`` of the evaluations, and the mean return on each test task then."""
        return self._over_time(self.evaluations.returns)

    def _over_time(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        e = self.evaluations
        steps, _ = self.curve("mastered")
        m = len(self.test_tasks) if self.test_tasks is not None else 0
        sums, counts = np.zeros((len(steps), m)), np.zeros((len(steps), m))
        known = np.isin(e.steps, steps) & (e.task_index >= 0) & (e.task_index < m)
        row, column = np.searchsorted(steps, e.steps[known]), e.task_index[known]
        np.add.at(sums, (row, column), values[known])
        np.add.at(counts, (row, column), 1.0)
        means = np.full(sums.shape, np.nan)
        np.divide(sums, counts, out=means, where=counts > 0)
        return steps, means

    @cached_property
    def evaluations(self) -> Evaluations:
        """All evaluation episodes on the run's test set."""
        path = self.folder / "evaluations.csv"
        dtype = [
            ("step", "f8"), ("test_set", "U200"), ("task_index", "i8"), ("return", "f8"),
            ("success", "U32"),
        ]  # fmt: skip
        rows = table_of(path, dtype)
        wanted = (self.config.get("test_set") or {}).get("name")
        if wanted is not None:
            rows = rows[rows["test_set"] == wanted]
        successes = np.full(len(rows), np.nan)
        told = rows["success"] != ""
        successes[told] = rows["success"][told].astype(np.float64)
        mastery = self.config.get("mastery")
        if mastery is not None:
            successes[~told] = rows["return"][~told] > float(mastery)
        # Copies: a column of the table would keep all of it, texts included.
        return Evaluations(
            rows["step"].copy(), rows["task_index"].copy(), rows["return"].copy(), successes
        )

    @cached_property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """What the teacher said of itself over time; empty where nothing was kept."""
        path = self.folder / "snapshots.jsonl"
        if not path.exists():
            return ()
        found = []
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n")[:-1], 1):
            try:
                row = json.loads(line)
                values = {k: as_value(v) for k, v in row.get("snapshot", {}).items()}
                preview = as_rows(row.get("preview") or np.empty((0, 1)))
                found.append(
                    Snapshot(int(row["step"]), int(row.get("episode", 0)), values, preview)
                )
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"line {number} of {path} is not a snapshot: {error}") from None
        return tuple(found)

    def curve(self, metric: str) -> tuple[FloatArray, FloatArray]:
        """Return steps and the test set's mean of ``"mastered"`` (per cent) or ``"return"``."""
        e = self.evaluations
        values = 100.0 * e.successes if metric == "mastered" else e.returns
        steps, group, counts = np.unique(e.steps, return_inverse=True, return_counts=True)
        if len(steps) == 0:
            return steps, steps
        means = np.bincount(group, weights=values) / counts
        whole = counts == counts.max()
        return steps[whole], means[whole]

    def final_successes(self) -> tuple[IntArray, FloatArray]:
        """Return rows of the test set and each one's share solved at the last evaluation."""
        return self._by_task(self.evaluations.successes)

    def _by_task(self, values: FloatArray) -> tuple[IntArray, FloatArray]:
        """Return rows of the test set and each one's mean at the last evaluation."""
        e = self.evaluations
        if len(e.steps) == 0:
            return np.empty(0, dtype=np.int64), np.empty(0)
        steps, _ = self.curve("mastered")
        last = e.steps == steps[-1]
        index, group, counts = np.unique(
            e.task_index[last], return_inverse=True, return_counts=True
        )
        return index, np.bincount(group, weights=values[last]) / counts

    def endpoint(self, name: str, threshold: float | None = None) -> float | None:
        """Return the run's value of an endpoint; None where it has none.

        Args:
            name: A key of :data:`~currgym.studies.endpoints.ENDPOINTS`.
            threshold: Of the plan.
        """
        steps, solved = self.curve("mastered")
        curve = RunCurve(steps, solved / 100.0, self.curve("return")[1], self.budget)
        return ENDPOINTS[name].value(curve, threshold)

    def tail(self, endpoint: str) -> float | None:
        """Return the mean over the worst tenth of the test tasks at the end (CVaR).

        Of shares solved, or of returns where they are the endpoint; None where it is not known.
        """
        e = self.evaluations
        return tail_of(self._by_task(e.returns if endpoint == "return" else e.successes)[1])
