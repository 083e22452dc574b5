"""Where in the task space: axes to draw it on, steps spent, tasks mastered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from currgym.report.data import Arm, FloatArray, Run, Study
from currgym.runs.axes import Axis, axes_of, place_on
from currgym.runs.cells import LINE_CELLS, PERIODS, PLANE_CELLS
from currgym.tasks import DiscreteTasks, TaskSpace

__all__ = [
    "Axis", "MasteryMap", "StepsMap", "View", "mastery_map", "plane_of", "steps_map", "strips_of",
    "view_of",
]  # fmt: skip

PROFILE_BINS = 10


@dataclass(frozen=True)
class View:
    """A task space as it is drawn: on a plane, or along a line."""

    space: TaskSpace
    axes: tuple[Axis, ...]

    @property
    def plane(self) -> bool:
        """Whether it has two axes."""
        return len(self.axes) == 2

    def edges(self) -> tuple[FloatArray, ...]:
        """Return the cells' edges on each axis."""
        return _edges(self.axes)

    def place(self, tasks: FloatArray) -> FloatArray:
        """Return plot coordinates of tasks ``(n, d)``, shape ``(n, axes)``."""
        return np.stack([place_on(axis, self.space, tasks) for axis in self.axes], axis=1)


@dataclass(frozen=True)
class StepsMap:
    """Where one arm spent its environment steps, over time.

    Attributes:
        times: ``(periods + 1,)`` edges of the periods, environment steps.
        edges: Edges of the cells on each axis.
        density: ``(periods, *cells)``: the cell's share of the period's steps, as a multiple of its
            share of the space (1 everywhere is an even spread); NaN in a period without steps.
        steps: ``(periods,)`` steps in each, all seeds together.
    """

    times: FloatArray
    edges: tuple[FloatArray, ...]
    density: FloatArray
    steps: FloatArray


@dataclass(frozen=True)
class MasteryMap:
    """What the students of one arm had mastered at the end.

    Attributes:
        places: ``(m, axes)`` plot coordinates of the test tasks.
        share: ``(m,)`` share of (seed, episode) pairs that succeeded, in [0, 1].
        runs: Number of seeds behind it.
        episodes: Episodes a task and seed.
        grid: On a plane whose test tasks form a grid: their coordinates on both axes and the shares
            ``(x, y)``; else None.
    """

    places: FloatArray
    share: FloatArray
    runs: int
    episodes: int
    grid: tuple[FloatArray, FloatArray, FloatArray] | None

    def profile(self, bins: int = PROFILE_BINS) -> tuple[FloatArray, FloatArray]:
        """Return positions and mean shares along the first axis, binned where there are many."""
        x, group = np.unique(self.places[:, 0], return_inverse=True)
        if len(x) > 2 * bins:
            order = np.argsort(self.places[:, 0], kind="stable")
            pieces = np.array_split(order, bins)
            return (
                np.array([self.places[p, 0].mean() for p in pieces]),
                np.array([self.share[p].mean() for p in pieces]),
            )
        return x, np.bincount(group, weights=self.share) / np.bincount(group)


def _edges(axes: Sequence[Axis]) -> tuple[FloatArray, ...]:
    return tuple(axis.edges(PLANE_CELLS if len(axes) == 2 else LINE_CELLS) for axis in axes)


def _space_of(study: Study) -> TaskSpace | None:
    return next((run.space for run in study.runs if run.space is not None), None)


def view_of(study: Study) -> View | None:
    """Return how to draw a study's task space, or None where it has no dimensions to draw.

    One or two dimensions as they are; of more, the declared difficulty, or else the two dimensions
    along which teachers steered most.
    """
    space = _space_of(study)
    axes = axes_of(space) if space is not None else ()
    if space is None or not axes:
        return None
    dimensions = _dimensions(axes)
    if len(dimensions) > 2 and len(axes) > len(dimensions):
        return View(space, axes[-1:])
    return plane_of(study) or View(space, axes[:1])


def plane_of(study: Study) -> View | None:
    """Return the plane on which a study's steps are drawn, or None where there is but one axis."""
    space = _space_of(study)
    axes = axes_of(space) if space is not None else ()
    dimensions = _dimensions(axes)
    if space is None or len(dimensions) < 2:
        return None
    if len(dimensions) > 2:
        kept = {
            axis
            for run in study.runs
            if run.cells is not None
            for pair in run.cells.planes
            for axis in pair
        }
        steered = [i for i in dimensions if i in kept] or dimensions
        dimensions = sorted(sorted(steered, key=lambda i: -_steering(study, axes[i]))[:2])
    return View(space, tuple(axes[i] for i in dimensions))


def strips_of(study: Study) -> tuple[View, ...]:
    """Return the single axes along which a study's steps are drawn over time, the main one first.

    That is the declared difficulty, where there is one.
    """
    space = _space_of(study)
    axes = axes_of(space) if space is not None else ()
    if space is None or not axes:
        return ()
    ordered = sorted(axes, key=lambda axis: axis.scale is None)
    return tuple(View(space, (axis,)) for axis in ordered)


def _dimensions(axes: Sequence[Axis]) -> list[int]:
    return [i for i, axis in enumerate(axes) if axis.column is not None]


def _steering(study: Study, axis: Axis) -> float:
    """Return how far the arms' steps are from even along a dimension (total variation)."""
    even = axis.measure(axis.edges(LINE_CELLS))
    distances = []
    for arm in study.arms:
        counts = _counts(arm.runs, (axis,)).sum(axis=0)
        if counts.sum() > 0:
            distances.append(0.5 * float(np.abs(counts / counts.sum() - even).sum()))
    return max(distances, default=0.0)


def _counts(runs: Sequence[Run], axes: Sequence[Axis]) -> FloatArray:
    """Return steps by the runs' periods and the cells of one or two axes, all runs together."""
    total = np.zeros((PERIODS, *(len(e) - 1 for e in _edges(axes))))
    labels = [axis.label for axis in axes]
    for run in runs:
        cells = run.cells
        if cells is None or any(label not in cells.axes for label in labels):
            continue
        where = [cells.axes.index(label) for label in labels]
        found = cells.lines[where[0]] if len(axes) == 1 else cells.planes.get((where[0], where[1]))
        if found is not None and found.shape == total.shape:
            total += found
    return total


def steps_map(runs: Sequence[Run], view: View, periods: int) -> StepsMap:
    """Return where runs spent their environment steps, in equal periods of the budget.

    An attempt counts with its length, in the period in which it ended.

    Args:
        runs: Of one arm.
        view: What to draw on.
        periods: A divisor of 96, into which runs cut their counts.
    """
    if PERIODS % periods:
        raise ValueError(f"periods must divide {PERIODS}, got {periods}")
    edges = view.edges()
    cells = tuple(len(e) - 1 for e in edges)
    counts = _counts(runs, view.axes).reshape(periods, PERIODS // periods, *cells).sum(axis=1)
    budget = max((run.cells.budget for run in runs if run.cells is not None), default=1)
    times = np.linspace(0.0, budget, periods + 1)
    measure: NDArray[np.float64] = np.ones(())
    for axis, e_ in zip(view.axes, edges, strict=True):
        measure = np.multiply.outer(measure, axis.measure(e_))
    steps = counts.reshape(periods, -1).sum(axis=1)
    density = np.full(counts.shape, np.nan)
    total = np.broadcast_to(steps.reshape(periods, *(1,) * len(cells)), counts.shape)
    np.divide(counts, total * measure, out=density, where=total > 0)
    return StepsMap(times, edges, density, steps)


def mastery_map(arm: Arm, view: View) -> MasteryMap | None:
    """Return what an arm's students had mastered at the end, or None where that is unknown."""
    tasks, sums, counts, runs, episodes = None, None, None, 0, 0
    for run in arm.shown:
        index, share = run.final_successes()
        if run.test_tasks is None or len(index) == 0 or not np.isfinite(share).all():
            continue
        if run.config.get("kind") == "supervised" and isinstance(view.space, DiscreteTasks):
            return None  # test examples are none of the training examples that make up the space
        if tasks is None:
            tasks = run.test_tasks
            sums, counts = np.zeros(len(tasks)), np.zeros(len(tasks))
        assert sums is not None
        assert counts is not None
        if len(run.test_tasks) != len(tasks) or index.max() >= len(tasks):
            continue
        sums[index] += share
        counts[index] += 1
        runs += 1
        episodes = max(episodes, run.evaluated.episodes)
    if tasks is None or sums is None or counts is None:
        return None
    seen = counts > 0
    places, share = view.place(tasks[seen]), sums[seen] / counts[seen]
    return MasteryMap(places, share, runs, episodes, _grid(places, share) if view.plane else None)


def _grid(
    places: FloatArray, share: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    """Return coordinates and shares ``(x, y)`` if the places cover a grid, else None."""
    xs, column = np.unique(places[:, 0], return_inverse=True)
    ys, row = np.unique(places[:, 1], return_inverse=True)
    if len(xs) < 2 or len(ys) < 2:
        return None
    sums, counts = np.zeros((len(xs), len(ys))), np.zeros((len(xs), len(ys)))
    np.add.at(sums, (column, row), share)
    np.add.at(counts, (column, row), 1)
    return (xs, ys, sums / counts) if (counts > 0).all() else None
