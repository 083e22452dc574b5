"""Which interval a mean or a difference gets: by the shape of the outcome and how seeds match."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from currgym.statistics.bounded import (
    bounded_difference,
    bounded_interval,
    bounded_paired_difference,
)
from currgym.statistics.domains import NotOffered, Shape
from currgym.statistics.intervals import (
    Interval,
    as_sample,
    paired_difference,
    t_interval,
    welch_difference,
)
from currgym.statistics.shares import (
    share_difference,
    share_interval,
    share_paired_difference,
)
from currgym.statistics.skewed import bootstrap_t_interval, skewed_difference

__all__ = [
    "PAIR_ABOVE", "Kind", "difference", "difference_if_offered",
    "difference_method", "mean_interval", "pairs_seeds",
    "seed_correlation",
]  # fmt: skip

Kind = Literal["rl", "supervised", "simulated"]

PAIR_ABOVE = 0.3
"""Reinforcement-learning arms are paired where their seeds correlate by more than this."""


def mean_interval(
    values: ArrayLike,
    rng: np.random.Generator,
    shape: Shape,
    bounds: tuple[float, float] = (0.0, 1.0),
    level: float = 0.95,
) -> Interval:
    """Return the mean with the interval that covers for outcomes of this shape.

    Args:
        values: ``(n,)``, one a seed.
        rng: Draws resamples and weights.
        shape: See :data:`~currgym.statistics.SHAPES`.
        bounds: Smallest and largest possible value, for ``"bounded"`` and ``"share"``.
        level: Nominal coverage, in (0, 1).

    Raises:
        ValueError: If the values are too few for the shape, or not finite.
    """
    if shape == "normal":
        return t_interval(values, level)
    if shape in ("bounded", "share"):
        within = bounded_interval if shape == "bounded" else share_interval
        return within(values, rng, *bounds, level=level)
    return bootstrap_t_interval(values, rng, level, shape="skewed")


def seed_correlation(a: ArrayLike, b: ArrayLike) -> float:
    """Return Pearson's correlation of two arms over their common seeds; 0 where one is constant.

    Args:
        a: ``(n,)`` values of one arm, n at least 3.
        b: ``(n,)`` values of the other, in the same order of seeds.

    Raises:
        ValueError: If the samples differ in length, or have fewer than 3 values.
    """
    x, y = as_sample("a", a), as_sample("b", b)
    if len(x) != len(y) or len(x) < 3:
        raise ValueError(f"a correlation needs 3 pairs or more, got {len(x)} and {len(y)} values")
    if np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        return 0.0
    found: Any = stats.pearsonr(x, y)
    return float(found.statistic)


def pairs_seeds(kind: Kind, correlation: float = 0.0) -> bool:
    """Tell whether two arms are compared seed by seed.

    Supervised and simulated arms share data and initial student by seed. In reinforcement learning
    a seed fixes little after the first update, and pairing costs half of the degrees of freedom.
    The correlation must come from a pilot (other seeds): chosen by the correlation of the very runs
    that are tested, a nominal 5 % test of independent arms errs in 6.4 % (n = 8; 6.2 % at 10, 5.5 %
    at 20; ``experiments/coverage.py``), because the pairs that look alike are those whose
    differences look steady.

    Args:
        kind: ``"rl"``, ``"supervised"`` or ``"simulated"``.
        correlation: Of the arms over seeds, as a pilot measured it.

    Raises:
        ValueError: For another kind, or a correlation outside [-1, 1].
    """
    if kind not in ("rl", "supervised", "simulated"):
        raise ValueError(f"kind must be 'rl', 'supervised' or 'simulated', got {kind!r}")
    if not -1.0 <= correlation <= 1.0:
        raise ValueError(f"correlation must lie in [-1, 1], got {correlation}")
    return kind != "rl" or correlation > PAIR_ABOVE


def difference_method(shape: Shape, paired: bool) -> str:
    """Return the name of the function that :func:`difference` uses."""
    if shape in ("bounded", "share"):
        return f"{shape}_paired_difference" if paired else f"{shape}_difference"
    if paired:
        return "paired_difference"
    return "skewed_difference" if shape == "skewed" else "welch_difference"


def difference(
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    shape: Shape = "normal",
    paired: bool = False,
    bounds: tuple[float, float] = (0.0, 1.0),
    level: float = 0.95,
) -> Interval:
    """Return mean(a) - mean(b) with the interval that covers for outcomes of this shape.

    Args:
        a: ``(n,)`` values of one arm.
        b: ``(m,)`` values of the other; in the same order of seeds where paired.
        rng: Draws resamples and weights.
        shape: See :data:`~currgym.statistics.SHAPES`. Differences of pairs are less skewed than
            their terms; ``"skewed"`` pairs are refused nevertheless, for want of a method that
            covers: use ``"alike"`` where the arms are.
        paired: As :func:`pairs_seeds` says.
        bounds: Smallest and largest possible value, for ``"bounded"`` and ``"share"``.
        level: Nominal coverage, in (0, 1).

    Raises:
        ValueError: If the values are too few for the shape, or not finite, or no method is offered.
    """
    within = {
        "bounded_difference": bounded_difference,
        "bounded_paired_difference": bounded_paired_difference,
        "share_difference": share_difference,
        "share_paired_difference": share_paired_difference,
    }.get(difference_method(shape, paired))
    if within is not None:
        return within(a, b, rng, *bounds, level=level)
    if paired:
        return paired_difference(a, b, level, shape)
    if shape == "skewed":
        return skewed_difference(a, b, rng, level)
    return welch_difference(a, b, level, shape)


def difference_if_offered(
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    shape: Shape = "normal",
    paired: bool = False,
    bounds: tuple[float, float] = (0.0, 1.0),
    level: float = 0.95,
) -> Interval:
    """Return :func:`difference`, or the bare estimate where no interval is offered.

    The method then says why, and the ends are NaN.
    """
    try:
        return difference(a, b, rng, shape, paired, bounds, level)
    except NotOffered as refused:
        x, y = as_sample("a", a), as_sample("b", b)
        n = len(x) if paired else len(x) + len(y)
        gap = float(x.mean() - y.mean())
        return Interval(gap, math.nan, math.nan, n, str(refused), level)
