"""Endpoints: the one number that a run contributes to a comparison."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from currgym.statistics import Shape, area_under_curve, cvar, time_to_threshold

__all__ = ["ENDPOINTS", "TAIL", "Endpoint", "RunCurve", "tail_of"]

FloatArray = NDArray[np.float64]

TAIL = 0.1
"""Share of the tasks that the mean over the worst of them is taken of."""


@dataclass(frozen=True)
class RunCurve:
    """A finished run's evaluations on the test set.

    Attributes:
        steps: ``(k,)``, ascending; environment steps, examples or attempts.
        solved: ``(k,)``, share of the test set solved; NaN where nothing says what success is.
        returns: ``(k,)``, mean return.
        budget: Steps that the run was given.
    """

    steps: FloatArray
    solved: FloatArray
    returns: FloatArray
    budget: int


@dataclass(frozen=True)
class Endpoint:
    """What a plan may name.

    Attributes:
        name: Its key.
        says: What it is, in words.
        shape: What it is like over seeds, unless the plan says otherwise.
        direction: What is better.
        bounds: Smallest and largest possible value.
        percent: Whether it is a share, which readers see in per cent.
        of: From a run's curve and the plan's threshold to the value.
    """

    name: str
    says: str
    shape: Shape
    direction: Literal["higher", "lower"]
    bounds: tuple[float, float]
    percent: bool
    of: Callable[[RunCurve, float], float]

    def value(self, curve: RunCurve, threshold: float | None = None) -> float | None:
        """Return a run's value, or None where it has none (nothing says what success is).

        Args:
            curve: Of the run.
            threshold: Of the plan; one half where None.
        """
        if len(curve.steps) == 0:
            return None
        value = self.of(curve, 0.5 if threshold is None else threshold)
        return value if math.isfinite(value) else None


def _area(curve: RunCurve, threshold: float) -> float:
    if len(curve.steps) < 2 or not np.isfinite(curve.solved).all():
        return float(curve.solved[-1])
    return float(area_under_curve(curve.steps, curve.solved)[0])


def _time(curve: RunCurve, threshold: float) -> float:
    if not np.isfinite(curve.solved).all():
        return math.nan
    times = time_to_threshold(curve.steps, curve.solved, threshold)
    # A run that never got there was watched to the end of its budget: the mean over runs is then
    # the mean time restricted to the budget, which no censoring biases.
    share = float(times.times[0]) / curve.budget if times.reached[0] else 1.0
    return min(1.0, share)


_INFINITE = (-math.inf, math.inf)
ENDPOINTS: dict[str, Endpoint] = {
    e.name: e
    for e in (
        Endpoint(
            "solved", "share of the test set solved at the end of the budget",
            "share", "higher", (0.0, 1.0), True, lambda curve, _: float(curve.solved[-1]),
        ),
        Endpoint(
            "area", "share of the test set solved, averaged over the budget",
            "share", "higher", (0.0, 1.0), True, _area,
        ),
        Endpoint(
            "return", "mean return on the test set at the end of the budget",
            "normal", "higher", _INFINITE, False, lambda curve, _: float(curve.returns[-1]),
        ),
        Endpoint(
            "time", "share of the budget used when the share of the test set solved first reaches "
            "the plan's threshold (all of it where it never does)",
            "share", "lower", (0.0, 1.0), True, _time,
        ),
    )
}  # fmt: skip
"""What a plan may name as its primary endpoint, by name."""


def tail_of(by_task: FloatArray) -> float | None:
    """Return the mean over the worst tenth of the tasks (CVaR), or None where there is no task.

    Each task's mean is over few episodes, so that the worst are partly the unlucky: the number is
    too low, and compares only between arms that were evaluated alike.

    Args:
        by_task: ``(tasks,)``, share solved or mean return of each at the end.
    """
    if len(by_task) == 0 or not np.isfinite(by_task).all():
        return None
    return cvar(by_task, TAIL)
