"""Where in the task space: axes to draw it on, steps spent, tasks mastered, the teacher's model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from currgym.report.data import Arm, FloatArray, Run, Snapshot, Study
from currgym.tasks import BoxTasks, DiscreteTasks, TaskSpace

__all__ = [
    "Axis", "MasteryMap", "StepsMap", "TeacherModel", "View", "mastery_map", "steps_map",
    "teacher_model", "view_of",
]  # fmt: skip

PLANE_BINS = 12
LINE_BINS = 20
PROFILE_BINS = 10
ELLIPSE_SDS = 2.0
MOST_REGIONS = 400
_REFERENCE_SAMPLE = 20_000


@dataclass(frozen=True)
class View:
    """A task space as it is drawn: on a plane, or along a line."""

    space: TaskSpace
    axes: tuple[Axis, ...]

    @property
    def plane(self) -> bool:
        """Whether it has two axes."""
        return len(self.axes) == 2

    @property
    def bins(self) -> int:
        """Cells an axis."""
        return PLANE_BINS if self.plane else LINE_BINS

    def edges(self) -> tuple[FloatArray, ...]:
        """Return the cells' edges on each axis."""
        return tuple(axis.edges(self.bins) for axis in self.axes)

    def place(self, tasks: FloatArray) -> FloatArray:
        """Return plot coordinates of tasks ``(n, d)``, shape ``(n, axes)``."""
        return np.stack([self._place_on(axis, tasks) for axis in self.axes], axis=1)

    def _place_on(self, axis: Axis, tasks: FloatArray) -> FloatArray:
        if axis.column is not None:
            return tasks[:, axis.column]
        if axis.scale is not None:
            rank = np.searchsorted(axis.scale, self.space.difficulty_of(tasks), side="right")
            return 100.0 * rank / len(axis.scale)
        return 100.0 * self.space.to_unit(tasks[:, 0].astype(np.int64))[:, 0]


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


@dataclass(frozen=True)
class TeacherModel:
    """A teacher's snapshot in plot coordinates.

    Attributes:
        step: When.
        outlines: Closed curves ``(k, 2)``: Gaussians at two standard deviations, or boxes.
        strengths: How likely each is to be drawn, the largest being 1.
        preview: ``(n, axes)`` tasks it would have proposed.
    """

    step: int
    outlines: tuple[FloatArray, ...]
    strengths: tuple[float, ...]
    preview: FloatArray


def view_of(study: Study) -> View | None:
    """Return how to draw a study's task space, or None where it has no dimensions to draw."""
    space = next((run.space for run in study.runs if run.space is not None), None)
    if isinstance(space, DiscreteTasks):
        return View(space, (_discrete_axis(space),))
    if not isinstance(space, BoxTasks) or space.unit_dim == 0:
        return None
    live = np.flatnonzero(space.low < space.high).tolist()
    if len(live) <= 2:
        return View(space, tuple(_box_axis(space, c, u) for u, c in enumerate(live)))
    if space.difficulty is not None:
        sample = space.difficulty_of(space.sample(_REFERENCE_SAMPLE, np.random.default_rng(0)))
        label = "difficulty (percentile of all tasks)"
        return View(space, (Axis(label, 0.0, 100.0, None, None, scale=np.sort(sample)),))
    unit = {column: u for u, column in enumerate(live)}
    chosen = sorted(live, key=lambda column: -_spread(study, space, column, unit[column]))[:2]
    return View(space, tuple(_box_axis(space, c, unit[c]) for c in sorted(chosen)))


def _discrete_axis(space: DiscreteTasks) -> Axis:
    if space.unit_dim:
        return Axis("difficulty rank (%, easiest first)", 0.0, 100.0, None, 0)
    return Axis("task number", -0.5, space.n - 0.5, 0, None, values=space.n)


def _box_axis(space: BoxTasks, column: int, unit_column: int) -> Axis:
    kind, label = space.kinds[column], space.names[column].replace("_", " ")
    low, high = float(space.low[column]), float(space.high[column])
    if kind == "integer" or isinstance(kind, tuple):
        ticks: tuple[tuple[float, str], ...] = ()
        if isinstance(kind, tuple):
            ticks = tuple((float(i), kind[i]) for i in range(int(low), int(high) + 1))
        count = int(high - low) + 1
        return Axis(label, low - 0.5, high + 0.5, column, unit_column, values=count, ticks=ticks)
    return Axis(label, low, high, column, unit_column, log=kind == "log")


def _spread(study: Study, space: BoxTasks, column: int, unit_column: int) -> float:
    """Return how far the arms' steps are from even along a dimension (total variation)."""
    axis = _box_axis(space, column, unit_column)
    edges = axis.edges(PLANE_BINS)
    even = axis.measure(edges)
    distances = []
    for arm in study.arms:
        counts = np.zeros(len(edges) - 1)
        for run in arm.runs:
            e = run.episodes
            counts += np.histogram(e.tasks[:, column], edges, weights=e.lengths)[0]
        if counts.sum() > 0:
            distances.append(0.5 * float(np.abs(counts / counts.sum() - even).sum()))
    return max(distances, default=0.0)


def steps_map(runs: Sequence[Run], view: View, budget: int, periods: int) -> StepsMap:
    """Return where runs spent their environment steps, in equal periods of the budget.

    An attempt counts with its length, at the time when it ended.
    """
    times = np.linspace(0.0, budget, periods + 1)
    edges = view.edges()
    cells = tuple(len(e) - 1 for e in edges)
    counts = np.zeros((periods, *cells))
    for run in runs:
        e = run.episodes
        if len(e.steps) == 0:
            continue
        # The last attempts of a vector environment may end a little after the budget.
        when = np.minimum(e.steps, budget)
        where = view.place(e.tasks)
        inside = [np.clip(where[:, i], axis.low, axis.high) for i, axis in enumerate(view.axes)]
        counts += np.histogramdd(
            np.column_stack([when, *inside]), (times, *edges), weights=e.lengths
        )[0]
    measure: NDArray[np.float64] = np.ones(())
    for axis, e_ in zip(view.axes, edges, strict=True):
        measure = np.multiply.outer(measure, axis.measure(e_))
    steps = counts.reshape(periods, -1).sum(axis=1)
    shape = (periods, *(1,) * len(cells))
    density = np.full(counts.shape, np.nan)
    total = np.broadcast_to(steps.reshape(shape), counts.shape)
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
        last = run.evaluations.steps == run.evaluations.steps.max()
        episodes = max(episodes, round(last.sum() / len(index)))
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


def teacher_model(snapshot: Snapshot, view: View) -> TeacherModel:
    """Return a teacher's snapshot in plot coordinates.

    Drawn are ``means`` and ``covariances`` (Gaussians in the unit cube; further columns, such as
    ALP-GMM's learning progress, are left out of the outline), or ``low`` and ``high`` (a window, or
    regions), as likely as ``chances``, ``probability`` or ``weights`` say; and in any case the
    tasks it would have proposed.
    """
    dims = view.space.unit_dim
    preview = snapshot.preview
    known = len(preview) and preview.shape[1] >= 1
    places = view.place(preview) if known else np.empty((0, len(view.axes)))
    columns = [axis.unit_column for axis in view.axes]
    outlines: list[FloatArray] = []
    strengths: list[float] = []
    if view.plane and None not in columns:
        units = [c for c in columns if c is not None]
        gaussians = _gaussians(snapshot, dims)
        if gaussians is not None:
            means, covariances, weights = gaussians
            for mean, covariance in zip(means, covariances, strict=True):
                ring = _ellipse(mean[units], covariance[np.ix_(units, units)])
                outlines.append(_to_plot(ring, view))
            strengths = (weights / max(float(weights.max()), 1e-12)).tolist()
        boxes = _boxes(snapshot, dims)
        if not outlines and boxes is not None:
            lows, highs, weights = boxes
            for low, high in zip(lows[:, units], highs[:, units], strict=True):
                corners = [low, [high[0], low[1]], high, [low[0], high[1]], low]
                outlines.append(_to_plot(np.array(corners, dtype=np.float64), view))
            strengths = (weights / max(float(weights.max()), 1e-12)).tolist()
    return TeacherModel(snapshot.step, tuple(outlines), tuple(strengths), places)


def _gaussians(snapshot: Snapshot, dims: int) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    means, covariances = snapshot.values.get("means"), snapshot.values.get("covariances")
    if not isinstance(means, np.ndarray) or not isinstance(covariances, np.ndarray):
        return None
    if means.ndim == 1:
        means, covariances = means[None], covariances[None]
    if covariances.shape == means.shape:
        covariances = np.array([np.diag(v) for v in covariances])
    wanted = (*means.shape, means.shape[-1])
    if means.ndim != 2 or means.shape[1] < dims or covariances.shape != wanted or not len(means):
        return None
    weights = _chances(snapshot, len(means))
    if weights is None:
        # A column beyond the task's is the teacher's utility, in proportion to which it draws.
        extra = means.shape[1] > dims
        weights = np.maximum(means[:, -1], 0.0) if extra else np.ones(len(means))
    return means, covariances, weights


def _boxes(snapshot: Snapshot, dims: int) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    """Return lower and upper corners and the relative density of a window or of regions."""
    low, high = snapshot.values.get("low"), snapshot.values.get("high")
    if not isinstance(low, np.ndarray) or not isinstance(high, np.ndarray):
        return None
    low, high = np.atleast_2d(low), np.atleast_2d(high)
    if low.shape != high.shape or low.shape[1:] != (dims,) or not 0 < len(low) <= MOST_REGIONS:
        return None
    weights = _chances(snapshot, len(low))
    if weights is None:
        return low, high, np.ones(len(low))
    return low, high, weights / np.maximum(np.prod(high - low, axis=1), 1e-12)


def _chances(snapshot: Snapshot, n: int) -> FloatArray | None:
    """Return how likely each of ``n`` pieces is to be drawn from, where the snapshot says so."""
    for name in ("chances", "probability", "weights"):
        found = snapshot.values.get(name)
        if isinstance(found, np.ndarray) and found.shape == (n,):
            return np.maximum(found, 0.0)
    return None


def _ellipse(mean: FloatArray, covariance: FloatArray, points: int = 48) -> FloatArray:
    """Return points on the ellipse at two standard deviations, ``(points + 1, 2)``."""
    values, vectors = np.linalg.eigh(0.5 * (covariance + covariance.T))
    angle = np.linspace(0.0, 2.0 * np.pi, points + 1)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    radii = ELLIPSE_SDS * np.sqrt(np.maximum(values, 0.0))
    ring: FloatArray = (mean[:, None] + vectors @ (radii[:, None] * circle)).T
    return ring


def _to_plot(unit: FloatArray, view: View) -> FloatArray:
    return np.stack([axis.from_unit(unit[:, i]) for i, axis in enumerate(view.axes)], axis=1)
