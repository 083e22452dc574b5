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
from currgym.statistics.domains import check_offered
from currgym.statistics.intervals import (
    Interval,
    paired_difference,
    t_interval,
    welch_difference,
)

__all__ = [
    "BEYOND", "REACH", "differs_near_a_bound", "near_a_bound", "share_difference",
    "share_interval", "share_paired_difference", "spans",
]  # fmt: skip

FloatArray = NDArray[np.float64]

REACH = 1.8
"""A bound is near a mean that is within this many standard deviations of it."""

BEYOND = 2.0
"""A run may fall this many times as far out as those that were seen, but no further."""

_HARDLY = 0.7
_FLAT = 1e-9


def near_a_bound(shares: FloatArray) -> NDArray[np.bool_]:
    """Tell for each row of ``(k, n)`` values in [0, 1] whether 0 or 1 is near its mean.

    Values that are all the same count as near: they do not tell how far they could be.
    """
    room, _, variance = _rooms(shares)
    result: NDArray[np.bool_] = (room <= REACH) | (variance < _FLAT**2)
    return result


def differs_near_a_bound(a: FloatArray, b: FloatArray) -> NDArray[np.bool_]:
    """Tell for each pair of rows whether the bounds skew the difference of their means.

    A mean that is d standard deviations from a bound is skewed away from it, by about 1 / d. In a
    difference the skewness of the terms counts by their part in the variance, to the power 1.5, and
    cancels where both arms lie alike. Where an arm is within 0.7 standard deviations, as
    solved-or-not outcomes are, or all its values are the same, the bounds count anyway.

    Args:
        a: ``(k, n)`` values in [0, 1].
        b: ``(k, m)`` values in [0, 1].
    """
    room_a, side_a, variance_a = _rooms(a)
    room_b, side_b, variance_b = _rooms(b)
    part = variance_a / np.maximum(variance_a + variance_b, _FLAT**2)
    skewness = side_a * part**1.5 / np.maximum(room_a, _FLAT) - side_b * (
        1.0 - part
    ) ** 1.5 / np.maximum(room_b, _FLAT)
    flat = np.minimum(variance_a, variance_b) < _FLAT**2
    result: NDArray[np.bool_] = (
        (np.abs(skewness) > 1.0 / REACH) | (np.minimum(room_a, room_b) < _HARDLY) | flat
    )
    return result


def spans(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return for each pair of rows the ends of the range that another run may fall in, ``(k,)``.

    [0, 1], or :data:`BEYOND` times the range of both rows' values where that is narrower.
    """
    low = np.minimum(a.min(axis=1), b.min(axis=1))
    high = np.maximum(a.max(axis=1), b.max(axis=1))
    further = (BEYOND - 1.0) * (high - low)
    flat = high - low < _FLAT
    return (
        np.where(flat, 0.0, np.maximum(0.0, low - further)),
        np.where(flat, 1.0, np.minimum(1.0, high + further)),
    )


def _rooms(shares: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the distance to the nearer bound in standard deviations, its side, the variance."""
    mean = shares.mean(axis=1)
    variance = shares.var(axis=1, ddof=1) if shares.shape[1] > 1 else np.zeros(len(shares))
    room = np.minimum(mean, 1.0 - mean) / np.maximum(np.sqrt(variance), _FLAT)
    return room, np.where(mean < 0.5, 1.0, -1.0), variance


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
    if len(x) > 1 and near_a_bound(_unit(x, low, high))[0]:
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

    :func:`~currgym.statistics.welch_difference`, or, where a bound skews the difference
    (:func:`~currgym.statistics.shares.differs_near_a_bound`),
    :func:`~currgym.statistics.bounded_difference`. There a run is
    taken to fall at most twice as far out as those that were seen: with the bounds themselves,
    eight runs that solve nothing could not be told from eight that solve a fifth. It
    covers 93 % and more (``experiments/coverage.py``), but 92 % with n = 8 where both arms solve
    nearly nothing in most runs and nearly all in a few.

    Args:
        a: ``(n,)`` values of one arm.
        b: ``(m,)`` values of the other.
        rng: Draws the weights.
        low: Smallest possible value.
        high: Largest possible value.
        level: Nominal coverage, in (0, 1).

    Raises:
        ValueError: If a sample is empty, or a value not in the range.
        NotOffered: If there are fewer than 8 values: too few to see how near the bounds are (with
            5 it covers 82 to 91 % where they are near).
    """
    x, y = within_bounds("a", a, low, high), within_bounds("b", b, low, high)
    check_offered("share_difference", "share", min(len(x), len(y)))
    if differs_near_a_bound(_unit(x, low, high), _unit(y, low, high))[0]:
        return bounded_difference(x, y, rng, *_span(x, y, low, high), level)
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

    :func:`~currgym.statistics.paired_difference`, or, where a bound skews the difference,
    :func:`~currgym.statistics.bounded_paired_difference`, as in :func:`share_difference`.

    Args:
        a: ``(n,)`` values of one arm.
        b: ``(n,)`` values of the other, in the same order of seeds.
        rng: Draws the weights.
        low: Smallest possible value.
        high: Largest possible value.
        level: Nominal coverage, in (0, 1).

    Raises:
        ValueError: If the samples differ in length, are empty, or a value is not in the range.
        NotOffered: If there are fewer than 8 pairs.
    """
    x, y = within_bounds("a", a, low, high), within_bounds("b", b, low, high)
    if len(x) != len(y):
        raise ValueError(f"pairs need equal numbers of values, got {len(x)} and {len(y)}")
    check_offered("share_paired_difference", "share", len(x))
    if differs_near_a_bound(_unit(x, low, high), _unit(y, low, high))[0]:
        return bounded_paired_difference(x, y, rng, *_span(x, y, low, high), level)
    return paired_difference(x, y, level).clipped(low - high, high - low)


def _unit(x: FloatArray, low: float, high: float) -> FloatArray:
    return (x[None] - low) / (high - low)


def _span(x: FloatArray, y: FloatArray, low: float, high: float) -> tuple[float, float]:
    ends = spans(_unit(x, low, high), _unit(y, low, high))
    # The values that were seen lie inside, whatever rounding says.
    below = min(low + (high - low) * float(ends[0][0]), float(x.min()), float(y.min()))
    above = max(low + (high - low) * float(ends[1][0]), float(x.max()), float(y.max()))
    return below, above
