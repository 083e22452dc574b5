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

from currgym.report.digests import Digest, Evaluated, OptimizerLog, pack, unpack
from currgym.report.files import (
    as_rows,
    as_value,
    columns_of,
    header_of,
    last_of,
    read_json,
    table_of,
)
from currgym.runs.cells import Cells, count_episodes, read_cells
from currgym.studies.endpoints import ENDPOINTS, RunCurve, tail_of
from currgym.tasks import TaskSpace, space_from_config

__all__ = [
    "Episodes", "Evaluated", "Evaluations", "OptimizerLog", "Run", "Snapshot", "digest_of",
]  # fmt: skip

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
    """One run folder.

    Attributes:
        folder: Where it lies.
        config: What was asked.
        summary: How it ended; empty before.
        packed: Its digest, where an index has kept one: then its logs are not read.
    """

    folder: Path
    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    packed: bytes | None = None

    @cached_property
    def digest(self) -> Digest | None:
        """What was kept of it; None where nothing was, or it is damaged."""
        if self.packed is None:
            return None
        try:
            return unpack(self.packed)
        except ValueError:
            return None  # the logs say the same

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
        last = last_of(self.folder / "episodes.csv", "step")
        return int(max(last, self.evaluated.last))

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
        if self.digest is not None:
            return self.digest.cells
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
        if self.digest is not None:
            return self.digest.optimizer
        names = ("step", "gradient_norm", "update_norm", "effective_step")
        columns = columns_of(self.folder / "optimizer.csv", names)
        return OptimizerLog(*columns.T) if len(columns) else OptimizerLog(*np.empty((4, 0)))

    @cached_property
    def evaluated(self) -> Evaluated:
        """Its evaluations, summed up."""
        if self.digest is not None:
            return self.digest.evaluated
        e = self.evaluations
        tasks = 0 if self.test_tasks is None else len(self.test_tasks)
        return Evaluated.of(e.steps, e.task_index, e.returns, e.successes, tasks)

    @property
    def by_task(self) -> tuple[FloatArray, FloatArray]:
        """Steps ``(k,)`` of the evaluations, and the share solved of each test task then.

        ``(k, tasks)``, in [0, 1]; NaN where nothing says what success is.
        """
        return self.evaluated.steps, self.evaluated.task_solved

    @property
    def returns_by_task(self) -> tuple[FloatArray, FloatArray]:
        """Steps ``(k,)`` of the evaluations, and the mean return on each test task then."""
        return self.evaluated.steps, self.evaluated.task_returns

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
        e = self.evaluated
        return e.steps, 100.0 * e.solved if metric == "mastered" else e.returns

    def final_successes(self) -> tuple[IntArray, FloatArray]:
        """Return rows of the test set and each one's share solved at the last evaluation."""
        return self.evaluated.index, self.evaluated.final_solved

    def endpoint(self, name: str, threshold: float | None = None) -> float | None:
        """Return the run's value of an endpoint; None where it has none.

        Args:
            name: A key of :data:`~currgym.studies.endpoints.ENDPOINTS`.
            threshold: Of the plan.
        """
        e = self.evaluated
        curve = RunCurve(e.steps, e.solved, e.returns, self.budget)
        return ENDPOINTS[name].value(curve, threshold)

    def tail(self, endpoint: str) -> float | None:
        """Return the mean over the worst tenth of the test tasks at the end (CVaR).

        Of shares solved, or of returns where they are the endpoint; None where it is not known.
        """
        e = self.evaluated
        return tail_of(e.final_returns if endpoint == "return" else e.final_solved)


def digest_of(folder: Path) -> bytes:
    """Return the digest of a finished run, from its logs.

    Raises:
        ValueError: If they are damaged; the file is named.
    """
    run = Run(folder, read_json(folder / "config.json"), {})
    return pack(Digest(run.evaluated, run.cells, run.optimizer))
