"""Intervals for a mean and for a difference of means, one value a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from currgym.statistics.domains import Shape, check_offered

__all__ = [
    "Interval", "paired_difference", "permutation_interval", "t_band", "t_interval",
    "welch_difference",
]  # fmt: skip

FloatArray = NDArray[np.float64]

ENUMERATE_AT_MOST = 20_000


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval.

    Attributes:
        estimate: The point estimate.
        low: Lower end; NaN where the sample is too small to have one or no method is offered,
            -inf where it is unbounded.
        high: Upper end, likewise.
        n: Number of values (of both samples together for a difference).
        method: How it was made, in words for a reader.
        level: Nominal coverage.
        p: Two-sided p-value of no difference; NaN for a mean.
    """

    estimate: float
    low: float
    high: float
    n: int
    method: str
    level: float = 0.95
    p: float = math.nan

    @property
    def known(self) -> bool:
        """Whether there is an interval at all (two values a sample at least)."""
        return not (math.isnan(self.low) or math.isnan(self.high))

    def scaled(self, factor: float) -> Interval:
        """Return the interval in another unit; a negative factor turns it round."""
        ends = sorted((factor * self.low, factor * self.high))
        return replace(self, estimate=factor * self.estimate, low=ends[0], high=ends[1])

    def clipped(self, low: float, high: float) -> Interval:
        """Return the interval cut to what the quantity can be; coverage stays."""
        if not self.known:
            return self
        return replace(self, low=max(self.low, low), high=min(self.high, high))


def t_interval(values: ArrayLike, level: float = 0.95, shape: Shape = "normal") -> Interval:
    """Return the mean of independent values with Student's t interval.

    Offered for ``"normal"`` outcomes only: of exponential ones a nominal 95 % covers 88 to 94 %
    (n = 5 to 30), of success rates near 0 or 1 less than half.

    Args:
        values: ``(n,)``, one a seed.
        level: Nominal coverage, in (0, 1).
        shape: What the outcome is like, see :data:`~currgym.statistics.SHAPES`.

    Raises:
        ValueError: If there is no value, or one is not finite, or the shape is not offered.

    >>> interval = t_interval([1.0, 2.0, 3.0])
    >>> round(interval.low, 3), interval.estimate, round(interval.high, 3)
    (-0.484, 2.0, 4.484)
    """
    x = as_sample("values", values)
    check_level(level)
    n, mean = len(x), float(x.mean())
    check_offered("t_interval", shape, max(n, 2))
    if n < 2:
        return Interval(mean, math.nan, math.nan, n, "one value: no interval", level)
    half = float(stats.t.ppf((1.0 + level) / 2.0, n - 1)) * float(x.std(ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n, "t interval", level)


def t_band(values: ArrayLike, level: float = 0.95) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return mean, lower and upper end at each point of several curves, each ``(k,)``.

    Args:
        values: ``(n, k)``, a curve a seed; NaN where a seed has no value there.
        level: Nominal coverage.

    The ends are NaN where fewer than two seeds have a value, the mean where none has.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 2:
        raise ValueError(f"values must have shape (seeds, points), got {x.shape}")
    check_level(level)
    there = np.isfinite(x)
    n = there.sum(axis=0)
    filled = np.where(there, x, 0.0)
    mean = np.full(x.shape[1], np.nan)
    np.divide(filled.sum(axis=0), n, out=mean, where=n > 0)
    squares = np.where(there, (x - mean) ** 2, 0.0).sum(axis=0)
    half = np.full(x.shape[1], np.nan)
    some = n > 1
    quantile = stats.t.ppf((1.0 + level) / 2.0, n[some] - 1)
    half[some] = quantile * np.sqrt(squares[some] / (n[some] - 1) / n[some])
    return mean, mean - half, mean + half


def welch_difference(
    a: ArrayLike, b: ArrayLike, level: float = 0.95, shape: Shape = "normal"
) -> Interval:
    """Return mean(a) - mean(b) with Welch's interval (variances may differ).

    Offered for ``"normal"`` outcomes, and from 5 values an arm on for ``"alike"`` ones. Where one
    arm is skewed and the other hardly varies, it covers 90 to 93 %.

    Args:
        a: ``(n,)`` values of one arm.
        b: ``(m,)`` values of the other.
        level: Nominal coverage, in (0, 1).
        shape: What the outcomes are like, see :data:`~currgym.statistics.SHAPES`.

    Raises:
        ValueError: If a sample is empty or not finite, or the shape is not offered at its size.
    """
    x, y = as_sample("a", a), as_sample("b", b)
    check_level(level)
    check_offered("welch_difference", shape, max(2, min(len(x), len(y))))
    n, difference = len(x) + len(y), float(x.mean() - y.mean())
    if len(x) < 2 or len(y) < 2:
        return Interval(difference, math.nan, math.nan, n, "one value: no interval", level)
    vx, vy = float(x.var(ddof=1)) / len(x), float(y.var(ddof=1)) / len(y)
    error = math.sqrt(vx + vy)
    if error == 0.0:
        p = 1.0 if difference == 0.0 else 0.0
        return Interval(difference, difference, difference, n, "Welch interval", level, p)
    # Welch-Satterthwaite
    df = (vx + vy) ** 2 / (vx**2 / (len(x) - 1) + vy**2 / (len(y) - 1))
    return _from_t(difference, error, df, n, "Welch interval", level)


def paired_difference(
    a: ArrayLike, b: ArrayLike, level: float = 0.95, shape: Shape = "normal"
) -> Interval:
    """Return the mean of a - b with the t interval over pairs (same seed, same data).

    Offered as :func:`welch_difference` is.

    Args:
        a: ``(n,)`` values of one arm.
        b: ``(n,)`` values of the other, in the same order of seeds.
        level: Nominal coverage, in (0, 1).
        shape: What the outcomes are like, see :data:`~currgym.statistics.SHAPES`.

    Raises:
        ValueError: If the samples differ in length, are empty or not finite, or the shape is not
            offered at their size.
    """
    x, y = as_sample("a", a), as_sample("b", b)
    if len(x) != len(y):
        raise ValueError(f"pairs need equal numbers of values, got {len(x)} and {len(y)}")
    check_level(level)
    check_offered("paired_difference", shape, max(2, len(x)))
    d = x - y
    n, difference = len(d), float(d.mean())
    if n < 2:
        return Interval(difference, math.nan, math.nan, n, "one pair: no interval", level)
    error = float(d.std(ddof=1)) / math.sqrt(n)
    if error == 0.0:
        p = 1.0 if difference == 0.0 else 0.0
        return Interval(difference, difference, difference, n, "paired t interval", level, p)
    return _from_t(difference, error, n - 1.0, n, "paired t interval", level)


def _from_t(
    difference: float, error: float, df: float, n: int, method: str, level: float
) -> Interval:
    half = float(stats.t.ppf((1.0 + level) / 2.0, df)) * error
    p = float(2.0 * stats.t.sf(abs(difference) / error, df))
    return Interval(difference, difference - half, difference + half, n, method, level, p)


def permutation_interval(
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    level: float = 0.95,
    permutations: int = 10_000,
    shape: Shape = "normal",
) -> Interval:
    """Return mean(a) - mean(b) with the interval of shifts that a permutation test does not reject.

    All regroupings are counted where there are at most 20,000, else ``permutations`` are drawn.
    With few values the interval is unbounded: three against three has 20 regroupings, and no
    one-sided p below 0.05.

    Args:
        a: ``(n,)`` values of one arm.
        b: ``(m,)`` values of the other.
        rng: Draws the regroupings where there are too many to count.
        level: Nominal coverage.
        permutations: How many to draw.
        shape: What the outcomes are like, see :data:`~currgym.statistics.SHAPES`.

    Raises:
        ValueError: If a sample is empty or not finite, or the shape is not offered at its size.
    """
    x, y = as_sample("a", a), as_sample("b", b)
    check_level(level)
    check_offered("permutation_interval", shape, max(2, min(len(x), len(y))))
    if permutations < 1:
        raise ValueError(f"permutations must be at least 1, got {permutations}")
    n, m = len(x), len(y)
    pooled = np.concatenate([x, y])
    if math.comb(n + m, n) <= ENUMERATE_AT_MOST:
        chosen = np.array(list(combinations(range(n + m), n)))
        method = "permutation interval, all regroupings"
    else:
        drawn = rng.permuted(np.tile(np.arange(n + m), (permutations, 1)), axis=1)[:, :n]
        # The grouping that was observed is one of them, so that p is never 0.
        chosen = np.concatenate([np.arange(n)[None], drawn])
        method = f"permutation interval, {permutations:,} regroupings"
    total = pooled.sum()
    first = pooled[chosen].sum(axis=1)
    differences = first / n - (total - first) / m
    observed = float(x.mean() - y.mean())
    # With a shifted by d, a regrouping's difference is differences - d * share; it exceeds the
    # observed one, observed - d, from d = (observed - differences) / (1 - share) on.
    stayed = (chosen < n).sum(axis=1)
    share = stayed / n - (n - stayed) / m
    same = stayed == n
    turns = np.sort((observed - differences[~same]) / (1.0 - share[~same]))
    count, always = len(chosen), int(same.sum())
    # Fewest turning points below the lower end that lift the one-sided p above (1 - level) / 2.
    rank = math.floor(count * (1.0 - level) / 2.0 + 1e-9) + 1 - always
    bounded = rank >= 1
    low = float(turns[rank - 1]) if bounded else -math.inf
    high = float(turns[len(turns) - rank]) if bounded else math.inf
    tolerance = 1e-12 * max(1.0, float(np.abs(pooled).max()))
    p = float((np.abs(differences) >= abs(observed) - tolerance).mean())
    return Interval(observed, low, high, n + m, method, level, p)


def as_sample(name: str, values: ArrayLike) -> FloatArray:
    """Return the values as a vector, or refuse what is empty or not finite by its name."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(f"{name} must be a vector of at least one value, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {array[~np.isfinite(array)][0]}")
    return array


def check_level(level: float) -> None:
    """Refuse a nominal coverage that is not in (0, 1), such as 95."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
