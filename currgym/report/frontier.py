"""The frontier: whether steps went to tasks that the student could do, could learn, or could not.

The truth is taken from the fixed test set. A test task counts as *mastered* by a run at an
evaluation when at least half of its episodes there succeeded. Every training attempt belongs to the
test task nearest to it (in the unit cube), and a run's steps of a period have, by its last
evaluation before the period's middle, one of four states:

- already mastered: this run masters the task;
- learnable: it does not, but some student of the study that had mastered no more of the test set
  than this one came to master the task within the next tenth of the budget;
- not yet: neither, though some run of the study masters the task at some time;
- never: no run of the study ever masters it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from currgym.report.data import Arm, FloatArray, Run, Study
from currgym.report.maps import View
from currgym.runs.cells import PERIODS
from currgym.statistics import Interval, t_interval

__all__ = [
    "HORIZON",
    "MASTERED_FROM",
    "STATES",
    "Frontier",
    "MasteryStrip",
    "frontiers",
    "mastery_strip",
    "thresholds",
]  # fmt: skip

STATES = ("already mastered", "learnable", "not yet", "never in any run")
MASTERED_FROM = 0.5
HORIZON = 0.1
"""How soon a learnable task is learned, as a share of the budget."""
_STRIP_ROWS = 24


@dataclass(frozen=True)
class Frontier:
    """Where one arm's steps went, by what its students could do.

    Attributes:
        times: ``(periods + 1,)`` edges, environment steps.
        shares: ``(periods, 4)`` shares of the period's steps by state, all runs together; NaN in a
            period without steps.
        frontier: Share of a run's steps on learnable tasks: mean over runs with its interval.
        by_run: Seed -> that share.
        total: ``(4,)`` shares of a run's steps by state, the mean over runs.
    """

    times: FloatArray
    shares: FloatArray
    frontier: Interval
    by_run: dict[int, float]
    total: FloatArray


def thresholds(runs: Sequence[Run], budget: int) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return what the study's runs tell of each test task.

    Returns:
        ``(tasks,)`` the smallest share of the test set that a student had mastered who came to
        master the task within a tenth of the budget (inf where none did), and ``(tasks,)`` whether
        any run ever mastered it.
    """
    least, ever = None, None
    for run in runs:
        steps, share = run.by_task
        if len(steps) == 0 or not share.shape[1]:
            continue
        mastered = share >= MASTERED_FROM
        level = mastered.mean(axis=1)
        if least is None or ever is None:
            least = np.full(share.shape[1], np.inf)
            ever = np.zeros(share.shape[1], dtype=np.bool_)
        if share.shape[1] != len(ever):
            continue
        ever |= mastered.any(axis=0)
        soon = (steps > steps[:, None]) & (steps <= steps[:, None] + HORIZON * budget * (1 + 1e-9))
        # Evaluations may lie further apart than the horizon: then the next one counts.
        alone = ~soon.any(axis=1)
        soon[alone] = np.eye(len(steps), k=1, dtype=np.bool_)[alone]
        learned = ~mastered & (soon.astype(np.float32) @ mastered.astype(np.float32) > 0)
        earliest = np.where(learned, level[:, None], np.inf).min(axis=0)
        least = np.minimum(least, earliest)
    if least is None or ever is None:
        return np.empty(0), np.empty(0, dtype=np.bool_)
    return least, ever


def frontiers(study: Study, periods: int = 24) -> dict[str, Frontier]:
    """Return the frontier of each arm; empty where nothing says what is mastered.

    Args:
        study: What to look at.
        periods: A divisor of 96.
    """
    if study.kind == "supervised" or study.metric.name != "mastered":
        return {}
    least, ever = thresholds(study.runs, study.span)
    if not len(ever):
        return {}
    found = {}
    for arm in study.arms:
        counted = {run.seed: _by_state(run, least, ever) for run in arm.shown}
        known = {seed: c for seed, c in counted.items() if c is not None and c.sum() > 0}
        if not known:
            continue
        grouped = sum(known.values(), np.zeros((PERIODS, 4)))
        shares = _share(grouped.reshape(periods, -1, 4).sum(axis=1))
        by_run = {seed: float(c[:, 1].sum() / c.sum()) for seed, c in known.items()}
        level = t_interval(list(by_run.values())).clipped(0.0, 1.0)
        total = np.mean([c.sum(axis=0) / c.sum() for c in known.values()], axis=0)
        times = np.linspace(0.0, study.span, periods + 1)
        found[arm.label] = Frontier(times, shares, level, by_run, total)
    return found


def _share(counts: FloatArray) -> FloatArray:
    total = counts.sum(axis=1, keepdims=True)
    shares = np.full(counts.shape, np.nan)
    np.divide(counts, total, out=shares, where=total > 0)
    return shares


def _by_state(run: Run, least: FloatArray, ever: NDArray[np.bool_]) -> FloatArray | None:
    """Return a run's steps by period and state, ``(96, 4)``."""
    cells = run.cells
    steps, share = run.by_task
    if cells is None or len(steps) == 0 or cells.tasks["steps"].shape[1] != len(ever):
        return None
    if share.shape[1] != len(ever):
        return None
    mastered = share >= MASTERED_FROM
    level = mastered.mean(axis=1)
    middle = (np.arange(PERIODS) + 0.5) * cells.budget / PERIODS
    at = np.maximum(np.searchsorted(steps, middle, side="right") - 1, 0)
    now = mastered[at]
    learnable = ~now & (least[None] <= level[at][:, None])
    never = ~now & ~learnable & ~ever[None]
    later = ~now & ~learnable & ~never
    spent = cells.tasks["steps"]
    return np.stack([(spent * s).sum(axis=1) for s in (now, learnable, later, never)], axis=1)


@dataclass(frozen=True)
class MasteryStrip:
    """What an arm's students mastered over time along one axis.

    Attributes:
        times: ``(k + 1,)`` edges around the evaluations.
        edges: ``(cells + 1,)`` of the axis.
        share: ``(k, cells)`` share of test episodes that succeeded, all runs together; NaN in a
            cell without a test task.
    """

    times: FloatArray
    edges: FloatArray
    share: FloatArray


def mastery_strip(arm: Arm, view: View, budget: float) -> MasteryStrip | None:
    """Return what an arm's students mastered over time along the view's only axis."""
    tables = [(run.by_task, run.test_tasks) for run in arm.shown if run.test_tasks is not None]
    tables = [(t, tasks) for t, tasks in tables if len(t[0]) and np.isfinite(t[1]).all()]
    if not tables:
        return None
    tasks = tables[0][1]
    assert tasks is not None
    steps = max((t[0] for t, _ in tables), key=len)
    alike = [t[1] for t, _ in tables if t[1].shape == (len(steps), len(tasks))]
    if not alike:
        return None
    share = np.mean(alike, axis=0)
    axis = view.axes[0]
    places = view.place(tasks)[:, 0]
    values = np.unique(places)
    if 2 <= len(values) <= _STRIP_ROWS:
        edges = axis.around(values)
        edges = np.clip(edges, axis.low, axis.high)
    else:
        edges = axis.edges(_STRIP_ROWS // 2)
    cell = np.clip(np.searchsorted(edges, places, side="right") - 1, 0, len(edges) - 2)
    counts = np.bincount(cell, minlength=len(edges) - 1)
    sums = np.stack([np.bincount(cell, weights=row, minlength=len(counts)) for row in share])
    means = np.full(sums.shape, np.nan)
    np.divide(sums, counts, out=means, where=np.broadcast_to(counts > 0, sums.shape))
    middle = 0.5 * (steps[1:] + steps[:-1]) if len(steps) > 1 else np.empty(0)
    # An evaluation speaks for the time around it, the first and the last up to their ends.
    times = np.concatenate([[0.0], middle, [max(budget, float(steps[-1]))]])
    return MasteryStrip(times, edges, means)
