"""Intervals for skewed outcomes: the studentised bootstrap, and differences built from it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.statistics.domains import NotOffered, Shape, check_offered
from currgym.statistics.intervals import Interval, as_sample, check_level

__all__ = ["bootstrap_t_interval", "combined_limits", "combined_p", "skewed_difference"]

FloatArray = NDArray[np.float64]
Limits = Callable[[float], tuple[FloatArray, FloatArray]]
"""From a nominal coverage to lower and upper ends, one a row."""


def bootstrap_t_interval(
    values: ArrayLike,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 10_000,
    shape: Shape = "skewed",
) -> Interval:
    """Return the mean of independent values with the studentised bootstrap interval.

    Where values are skewed, the t statistic is skewed the other way; the bootstrap estimates its
    distribution rather than assuming Student's (Efron and Tibshirani 1993, chapter 12.5; scipy's
    bootstrap has no studentised form). Up to the skewness of the exponential a nominal 95 % covers
    93 to 95 % from n = 8 on; of a lognormal with sigma = 1 it covers 90 %, as little as anything.

    Args:
        values: ``(n,)``, one a seed, n at least 8.
        rng: Draws the resamples.
        level: Nominal coverage, in (0, 1).
        resamples: How many, at least 1.
        shape: What the outcome is like; ``"bounded"`` is refused.

    Raises:
        ValueError: If there are fewer than 8 values, one is not finite, all are equal, or the
            shape is not offered.
    """
    x = as_sample("values", values)
    check_level(level)
    check_offered("bootstrap_t_interval", shape, len(x))
    if np.ptp(x) == 0.0:
        raise NotOffered(
            f"all {len(x)} values are {x[0]}: a resample cannot vary; use bounded_interval if the "
            "outcome has bounds"
        )
    limits = bootstrap_t_limits(x[None], rng, resamples)
    low, high = limits(level)
    return Interval(
        float(x.mean()), float(low[0]), float(high[0]), len(x), "studentised bootstrap", level
    )


def bootstrap_t_limits(values: FloatArray, rng: np.random.Generator, resamples: int) -> Limits:
    """Return the limits of each row of ``(k, n)`` values; the rows share their resamples."""
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    n = values.shape[1]
    # How often each value is drawn says all about a resample's mean and variance.
    weights = rng.multinomial(n, np.full(n, 1.0 / n), size=resamples) / n
    mean, spread = values.mean(axis=1), values.std(axis=1)
    centred = values - mean[:, None]
    shift = centred @ weights.T
    variance = (centred**2) @ weights.T - shift**2
    tiny = 1e-9 * spread[:, None] ** 2
    # A resample without spread says nothing about the ratio; it is as good as never drawn.
    ratio = np.full_like(shift, np.nan)
    np.divide(shift, np.sqrt(np.maximum(variance, tiny)), out=ratio, where=variance > tiny)
    ratio.sort(axis=1)
    known = np.isfinite(ratio).sum(axis=1)

    def limits(level: float) -> tuple[FloatArray, FloatArray]:
        tail = (1.0 - level) / 2.0
        below = quantile_of_sorted(ratio, tail, known)
        above = quantile_of_sorted(ratio, 1.0 - tail, known)
        return mean - above * spread, mean - below * spread

    return limits


def quantile_of_sorted(ordered: FloatArray, share: float, known: NDArray[np.int64]) -> FloatArray:
    """Return the quantile of the first ``known`` entries of each sorted row, ``(k,)``."""
    last = np.maximum(known - 1, 0)
    place = share * last
    left = np.floor(place).astype(np.int64)
    right = np.minimum(left + 1, last)
    index = np.arange(len(ordered))
    low, high = ordered[index, left], ordered[index, right]
    result: FloatArray = low + (high - low) * (place - left)
    return result


def combined_limits(
    a: FloatArray, b: FloatArray, limits_a: Limits, limits_b: Limits, level: float
) -> tuple[FloatArray, FloatArray]:
    """Return the limits of a difference from those of its two independent terms.

    The squares of the distances add ("MOVER": Zou and Donner 2008, Statistics in Medicine 27,
    section 2; Newcombe 1998 for two rates), so that each arm keeps its own asymmetry.

    Args:
        a: ``(k,)`` estimates of the first term.
        b: ``(k,)`` estimates of the second.
        limits_a: Limits of the first.
        limits_b: Limits of the second.
        level: Nominal coverage, in (0, 1).
    """
    low_a, high_a = limits_a(level)
    low_b, high_b = limits_b(level)
    d = a - b
    return d - np.hypot(a - low_a, high_b - b), d + np.hypot(high_a - a, b - low_b)


def combined_p(
    a: FloatArray, b: FloatArray, limits_a: Limits, limits_b: Limits, draws: int
) -> float:
    """Return the smallest p at which the combined interval of one difference leaves out 0.

    It is found by bisection, and never below one in the number of draws.
    """
    if float((a - b)[0]) == 0.0:
        return 1.0
    inside, outside = 1.0 / (draws + 1), 1.0
    for _ in range(40):
        middle = math.sqrt(inside * outside)
        low, high = combined_limits(a, b, limits_a, limits_b, 1.0 - middle)
        if low[0] <= 0.0 <= high[0]:
            inside = middle
        else:
            outside = middle
    return outside


def skewed_difference(
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 10_000,
    shape: Shape = "skewed",
) -> Interval:
    """Return mean(a) - mean(b) of independent arms that are skewed, each in its own way.

    The studentised bootstrap limits of the two means, combined as :func:`combined_limits` says.
    Wider than Welch's (at n = 8 by up to two thirds): the price of not knowing that the arms are
    alike.

    Args:
        a: ``(n,)`` values of one arm, n at least 8.
        b: ``(m,)`` values of the other, m at least 8.
        rng: Draws the resamples.
        level: Nominal coverage, in (0, 1).
        resamples: How many, at least 1.
        shape: What the outcomes are like; ``"bounded"`` is refused.

    Raises:
        ValueError: If a sample is too small, not finite or constant, or the shape is not offered.
    """
    x, y = as_sample("a", a), as_sample("b", b)
    check_level(level)
    check_offered("skewed_difference", shape, min(len(x), len(y)))
    for name, sample in (("a", x), ("b", y)):
        if np.ptp(sample) == 0.0:
            raise NotOffered(f"all values of {name} are {sample[0]}: use bounded_difference")
    mean_a, mean_b = np.array([x.mean()]), np.array([y.mean()])
    limits_a = bootstrap_t_limits(x[None], rng, resamples)
    limits_b = bootstrap_t_limits(y[None], rng, resamples)
    low, high = combined_limits(mean_a, mean_b, limits_a, limits_b, level)
    return Interval(
        float(mean_a[0] - mean_b[0]), float(low[0]), float(high[0]), len(x) + len(y),
        "difference of studentised bootstraps", level,
        combined_p(mean_a, mean_b, limits_a, limits_b, resamples),
    )  # fmt: skip
