"""Intervals for shares of tasks solved: Student's where the bounds are far, Gaffke's where near.

A share averaged over many tasks is close to normal in the middle of its range, where methods for
solved-or-not outcomes are far too wide, and is not near 0 and 1, where Student's are too narrow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.statistics.bounded import (
    bounded_difference,
    bounded_interval,
    bounded_paired_difference,
    within_bounds,
)
from currgym.statistics.domains import FEWEST_VALUES, NotOffered
from currgym.statistics.intervals import (
    Interval,
    paired_difference,
    t_interval,
    welch_difference,
)

__all__ = ["REACH", "near_a_bound", "share_difference", "share_interval", "share_paired_difference"]

FloatArray = NDArray[np.float64]

REACH = 1.0
"""A bound is near where it is within this many standard deviations of the mean."""


def near_a_bound(shares: FloatArray) -> NDArray[np.bool_]:
    """Tell for each row of ``(k, n)`` values in [0, 1] whether 0 or 1 is near.

    Values that are all the same count as near: they do not tell how far they could be.
    """
    mean = shares.mean(axis=1)
    spread = shares.std(axis=1, ddof=1) if shares.shape[1] > 1 else np.zeros(len(shares))
    room = np.minimum(mean, 1.0 - mean)
    result: NDArray[np.bool_] = (room <= REACH * spread) | (spread < 1e-9)
    return result


def share_interval(
    values: ArrayLike,
    rng: np.random.Generator,
    low: float = 0.0,
    high: float = 1.0,
    level: float = 0.95,
) -> Interval:
    """Return the mean of values in [low, high], by their own spread where that can be trusted.

    :func:`~currgym.statistics.t_interval`, or, where a bound is within :data:`REACH` standard
    deviations of the mean or all values are the same,
    :func:`~currgym.statistics.bounded_interval`.

    Args:
        values: ``(n,)``, one a seed.
        rng: Draws the weights.
        low: Smallest possible value.
        high: Largest possible value.
        level: Nominal coverage, in (0, 1).

    Raises:
        ValueError: If there is no value, or one is not in the range.
    """
    x = within_bounds("values", values, low, high)
    if len(x) > 1 and _near(x, low, high):
        return bounded_interval(x, rng, low, high, level)
    return t_interval(x, level).clipped(low, high)


def share_difference(
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    low: float = 0.0,
    high: float = 1.0,
    level: float = 0.95,
) -> Interval:
    """Return mean(a) - mean(b) of independent arms with values in [low, high].

    :func:`~currgym.statistics.welch_difference`, or, where one of the arms is near a bound,
    :func:`~currgym.statistics.bounded_difference`, which needs 8 values an arm.

    Args:
        a: ``(n,)`` values of one arm.
        b: ``(m,)`` values of the other.
        rng: Draws the weights.
        low: Smallest possible value.
        high: Largest possible value.
        level: Nominal coverage, in (0, 1).

    Raises:
        ValueError: If a sample is empty, or a value not in the range.
        NotOffered: If an arm is near a bound and there are fewer than 8 values.
    """
    x, y = within_bounds("a", a, low, high), within_bounds("b", b, low, high)
    if min(len(x), len(y)) > 1 and (_near(x, low, high) or _near(y, low, high)):
        _enough("share_difference", "bounded_difference", min(len(x), len(y)))
        return bounded_difference(x, y, rng, low, high, level)
    return welch_difference(x, y, level).clipped(low - high, high - low)


def share_paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    low: float = 0.0,
    high: float = 1.0,
    level: float = 0.95,
) -> Interval:
    """Return the mean of a - b over pairs of values in [low, high].

    :func:`~currgym.statistics.paired_difference`, or, where one of the arms is near a bound,
    :func:`~currgym.statistics.bounded_paired_difference`, which needs 5 pairs.

    Args:
        a: ``(n,)`` values of one arm.
        b: ``(n,)`` values of the other, in the same order of seeds.
        rng: Draws the weights.
        low: Smallest possible value.
        high: Largest possible value.
        level: Nominal coverage, in (0, 1).

    Raises:
        ValueError: If the samples differ in length, are empty, or a value is not in the range.
        NotOffered: If an arm is near a bound and there are fewer than 5 pairs.
    """
    x, y = within_bounds("a", a, low, high), within_bounds("b", b, low, high)
    if len(x) == len(y) and len(x) > 1 and (_near(x, low, high) or _near(y, low, high)):
        _enough("share_paired_difference", "bounded_paired_difference", len(x))
        return bounded_paired_difference(x, y, rng, low, high, level)
    return paired_difference(x, y, level).clipped(low - high, high - low)


def _near(x: FloatArray, low: float, high: float) -> bool:
    return bool(near_a_bound(((x - low) / (high - low))[None])[0])


def _enough(method: str, within: str, n: int) -> None:
    least = FEWEST_VALUES[within]["bounded"]
    if n < least:
        raise NotOffered(
            f"{method} needs at least {least} values near a bound, got {n}: report the values one "
            "by one, or run more seeds"
        )
