"""Counts kept while a run goes: where its steps went, so that nobody must read every episode.

The budget is cut into :data:`PERIODS` equal periods. ``periods.jsonl`` has a header (the layout)
and one line for each period in which attempts ended, written when the period is over::

    {"period": 3, "attempts": 41, "steps": 2210,
     "lines": [[...], ...],                 steps by cell, one list an axis
     "planes": [[...], ...],                steps by cell of two axes, the first running slowest
     "tasks": {"attempts": [...], "steps": [...], "told": [...], "successes": [...],
               "returns": [...]}}           attempts nearest to each task of the test set

An attempt counts with its length, in the period in which its outcome was delivered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.runs.axes import Axis, axes_of, place_on
from currgym.tasks import TaskSpace

__all__ = [
    "LINE_CELLS", "PERIODS", "PLANE_CELLS", "CellCounter", "Cells", "count_episodes", "read_cells",
]  # fmt: skip

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FORMAT = 1
PERIODS = 96
LINE_CELLS = 24
PLANE_CELLS = 12
# Planes are kept for pairs of the first few dimensions: their number grows with the square.
PLANE_AXES = 4
_TASK_COLUMNS = ("attempts", "steps", "told", "successes", "returns")
_FOLD_AT = 4096


class CellCounter:
    """Counts finished attempts by period and cell, and emits a line whenever a period is over.

    The result does not depend on how the attempts are cut into calls.

    Args:
        space: Of the tasks.
        budget: Environment steps (examples) that the run takes in all.
        tests: Test tasks to which attempts are assigned, or None where they are none of the
            space's (examples held out).
        emit: Takes each line of text.
    """

    def __init__(
        self,
        space: TaskSpace,
        budget: int,
        tests: NDArray[Any] | None,
        emit: Callable[[str], None],
    ) -> None:
        self.space, self.budget, self.emit = space, budget, emit
        self.axes = axes_of(space)
        self.pairs = _pairs(self.axes)
        self._line_edges = [axis.edges(LINE_CELLS) for axis in self.axes]
        self._plane_edges = [axis.edges(PLANE_CELLS) for axis in self.axes]
        self._nearest = _Nearest(space, tests) if tests is not None and self.axes else None
        self._waiting: list[tuple[int, FloatArray, IntArray, FloatArray, FloatArray]] = []
        self._rows = 0
        self._period = 0
        self._clear()

    def _clear(self) -> None:
        self._attempts = self._steps = 0
        self._lines = [np.zeros(len(e) - 1, dtype=np.int64) for e in self._line_edges]
        self._planes = [
            np.zeros((len(self._plane_edges[a]) - 1) * (len(self._plane_edges[b]) - 1), np.int64)
            for a, b in self.pairs
        ]
        tests = self._nearest.count if self._nearest is not None else 0
        self._tasks = np.zeros((len(_TASK_COLUMNS), tests))

    def header(self) -> str:
        """Return the layout, the first line of the log."""
        return json.dumps(
            {
                "format": FORMAT,
                "budget": self.budget,
                "periods": PERIODS,
                "axes": [axis.label for axis in self.axes],
                "line_edges": [e.tolist() for e in self._line_edges],
                "plane_edges": [e.tolist() for e in self._plane_edges],
                "planes": self.pairs,
                "tasks": self._nearest.count if self._nearest is not None else 0,
            }
        )

    def add(
        self,
        step: int,
        tasks: NDArray[Any],
        lengths: NDArray[Any],
        returns: NDArray[Any],
        successes: NDArray[Any] | None,
    ) -> None:
        """Take attempts that were delivered together, at a step of the run's clock."""
        n = len(tasks)
        told = np.full(n, np.nan) if successes is None else np.asarray(successes, dtype=np.float64)
        rows = np.asarray(tasks, dtype=np.float64).reshape(n, -1)
        self._waiting.append((step, rows, np.asarray(lengths, np.int64), np.asarray(returns), told))
        self._rows += n
        if self._rows >= _FOLD_AT:
            self.fold()

    def fold(self) -> None:
        """Count what has gathered; periods that are over are emitted."""
        if not self._waiting:
            return
        steps = np.repeat([row[0] for row in self._waiting], [len(r[1]) for r in self._waiting])
        _, *columns = zip(*self._waiting, strict=True)
        tasks, lengths, returns, told = (np.concatenate(column) for column in columns)
        self._waiting, self._rows = [], 0
        # The last attempts of a vector environment may end a little after the budget.
        periods = np.minimum(steps * PERIODS // self.budget, PERIODS - 1)
        # Attempts that end exactly at an edge belong to the period before it.
        periods = np.where((steps * PERIODS) % self.budget == 0, periods - 1, periods)
        periods = np.maximum.accumulate(np.maximum(periods, self._period))
        where = [place_on(axis, self.space, tasks) for axis in self.axes]
        lines = [_cell(e, w) for e, w in zip(self._line_edges, where, strict=True)]
        fine = [_cell(e, w) for e, w in zip(self._plane_edges, where, strict=True)]
        nearest = self._nearest(tasks) if self._nearest is not None else None
        cuts = np.flatnonzero(np.diff(periods)) + 1
        for part in np.split(np.arange(len(periods)), cuts):
            if periods[part[0]] != self._period:
                self.end()
                self._period = int(periods[part[0]])
            self._count(part, lines, fine, nearest, lengths, returns, told)

    def _count(
        self,
        part: IntArray,
        lines: list[IntArray],
        fine: list[IntArray],
        nearest: IntArray | None,
        lengths: IntArray,
        returns: FloatArray,
        told: FloatArray,
    ) -> None:
        spent = lengths[part]
        self._attempts += len(part)
        self._steps += int(spent.sum())
        for total, cells in zip(self._lines, lines, strict=True):
            np.add.at(total, cells[part], spent)
        for total, (a, b) in zip(self._planes, self.pairs, strict=True):
            wide = len(self._plane_edges[b]) - 1
            np.add.at(total, fine[a][part] * wide + fine[b][part], spent)
        if nearest is None:
            return
        known = np.isfinite(told[part])
        values: tuple[NDArray[Any], ...] = (
            np.ones(len(part)), spent, known, np.where(known, told[part], 0.0), returns[part],
        )  # fmt: skip
        near = nearest[part]
        inside = near >= 0
        # In order, so that sums come out the same however attempts were cut into calls.
        for sums, value in zip(self._tasks, values, strict=True):
            np.add.at(sums, near[inside], value[inside])

    def end(self) -> None:
        """Emit the open period, if anything happened in it, and begin with empty counts."""
        if self._attempts:
            columns: dict[str, list[Any]] = {
                name: _short(column)
                for name, column in zip(_TASK_COLUMNS, self._tasks, strict=True)
            }
            line = {
                "period": self._period,
                "attempts": self._attempts,
                "steps": self._steps,
                "lines": [line.tolist() for line in self._lines],
                "planes": [plane.tolist() for plane in self._planes],
                "tasks": columns,
            }
            self.emit(json.dumps(line, separators=(",", ":")))
        self._clear()

    def state_dict(self) -> dict[str, Any]:
        """Return the open period's counts."""
        self.fold()
        return {
            "period": self._period,
            "attempts": self._attempts,
            "steps": self._steps,
            "lines": {str(i): line.copy() for i, line in enumerate(self._lines)},
            "planes": {str(i): plane.copy() for i, plane in enumerate(self._planes)},
            "tasks": self._tasks.copy(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._waiting, self._rows = [], 0
        self._period, self._attempts = int(state["period"]), int(state["attempts"])
        self._steps = int(state["steps"])
        self._lines = [np.array(state["lines"][str(i)]) for i in range(len(self.axes))]
        self._planes = [np.array(state["planes"][str(i)]) for i in range(len(self.pairs))]
        self._tasks = np.array(state["tasks"])


class _Nearest:
    """Finds the test task nearest to a task in the unit cube; without one it must be the same."""

    def __init__(self, space: TaskSpace, tests: NDArray[Any]) -> None:
        self.space, self.count = space, len(tests)
        self._tree: Any = None
        if space.unit_dim:
            from scipy.spatial import KDTree

            self._tree = KDTree(self._unit(np.asarray(tests, dtype=np.float64)))
        else:
            rows = np.asarray(tests, dtype=np.float64).reshape(len(tests), -1)
            self._row = {task.tobytes(): row for row, task in reversed(list(enumerate(rows)))}

    def _unit(self, tasks: FloatArray) -> FloatArray:
        return self.space.to_unit(self.space.from_rows(tasks))

    def __call__(self, tasks: FloatArray) -> IntArray:
        if self._tree is not None:
            return np.asarray(self._tree.query(self._unit(tasks))[1], dtype=np.int64)
        found = [self._row.get(task.tobytes(), -1) for task in tasks]
        return np.array(found, dtype=np.int64)


def _pairs(axes: tuple[Axis, ...]) -> list[list[int]]:
    dimensions = [i for i, axis in enumerate(axes) if axis.column is not None][:PLANE_AXES]
    return [list(pair) for pair in combinations(dimensions, 2)]


def _cell(edges: FloatArray, values: FloatArray) -> IntArray:
    """Return the cell of each value; as in NumPy's histograms the last one is closed."""
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)


def _short(column: FloatArray) -> list[Any]:
    return [int(v) if v == int(v) else v for v in column.tolist()]


@dataclass(frozen=True)
class Cells:
    """The counts of one run.

    Attributes:
        budget: Steps; the periods cut it evenly.
        axes: Labels of the axes.
        line_edges: ``(cells + 1,)`` for each axis.
        plane_edges: The same, coarser, for planes.
        attempts: ``(periods,)`` attempts that ended in each.
        steps: ``(periods,)`` their steps.
        lines: ``(periods, cells)`` steps for each axis.
        planes: ``(periods, cells, cells)`` steps for each pair of axes that is kept.
        tasks: Column -> ``(periods, test tasks)``: ``attempts``, ``steps``, ``told`` (how many said
            whether they succeeded), ``successes``, ``returns`` (sums), of attempts nearest to each.
    """

    budget: int
    axes: tuple[str, ...]
    line_edges: tuple[FloatArray, ...]
    plane_edges: tuple[FloatArray, ...]
    attempts: FloatArray
    steps: FloatArray
    lines: tuple[FloatArray, ...]
    planes: Mapping[tuple[int, int], FloatArray]
    tasks: Mapping[str, FloatArray]


def read_cells(header: str, lines: Iterable[str]) -> Cells:
    """Read the log's header and its lines.

    Raises:
        ValueError: If they do not fit together.
    """
    layout = json.loads(header)
    if layout["format"] > FORMAT:
        raise ValueError(f"format {layout['format']}: update currgym")
    periods = int(layout["periods"])
    line_edges = tuple(np.array(e, dtype=np.float64) for e in layout["line_edges"])
    plane_edges = tuple(np.array(e, dtype=np.float64) for e in layout["plane_edges"])
    pairs = [(int(a), int(b)) for a, b in layout["planes"]]
    attempts, steps = np.zeros(periods), np.zeros(periods)
    by_line = [np.zeros((periods, len(e) - 1)) for e in line_edges]
    by_plane = {
        (a, b): np.zeros((periods, len(plane_edges[a]) - 1, len(plane_edges[b]) - 1))
        for a, b in pairs
    }
    tasks = {name: np.zeros((periods, int(layout["tasks"]))) for name in _TASK_COLUMNS}
    for text in lines:
        row = json.loads(text)
        i = int(row["period"])
        attempts[i], steps[i] = row["attempts"], row["steps"]
        for total, values in zip(by_line, row["lines"], strict=True):
            total[i] = values
        for pair, values in zip(pairs, row["planes"], strict=True):
            by_plane[pair][i] = np.reshape(values, by_plane[pair].shape[1:])
        for name, values in row["tasks"].items():
            tasks[name][i] = values
    return Cells(
        int(layout["budget"]), tuple(layout["axes"]), line_edges, plane_edges, attempts, steps,
        tuple(by_line), by_plane, tasks,
    )  # fmt: skip


def count_episodes(
    space: TaskSpace,
    budget: int,
    tests: NDArray[Any] | None,
    steps: FloatArray,
    tasks: FloatArray,
    lengths: FloatArray,
    returns: FloatArray,
    successes: FloatArray,
) -> Cells:
    """Return the counts of a run that kept none, from all its episodes (one entry each)."""
    found: list[str] = []
    counter = CellCounter(space, budget, tests, found.append)
    cuts = np.flatnonzero(np.diff(steps)) + 1
    for part in np.split(np.arange(len(steps)), cuts):
        if len(part):
            counter.add(
                int(steps[part[0]]), tasks[part], lengths[part], returns[part], successes[part]
            )
    counter.fold()
    counter.end()
    return read_cells(counter.header(), found)
