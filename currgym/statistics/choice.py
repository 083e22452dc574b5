"""Which interval a mean or a difference gets: by the shape of the outcome and how seeds match."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from currgym.statistics.bounded import (
    bounded_difference,
    bounded_interval,
    bounded_paired_difference,
)
from currgym.statistics.domains import Shape
from currgym.statistics.intervals import (
    Interval,
    as_sample,
    paired_difference,
    t_interval,
    welch_difference,
)
from currgym.statistics.skewed import bootstrap_t_interval, skewed_difference

__all__ = ["PAIR_ABOVE", "Kind", "difference", "mean_interval", "pairs_seeds", "seed_correlation"]

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
        bounds: Smallest and largest possible value, for ``"bounded"``.
        level: Nominal coverage, in (0, 1).

    Raises:
        ValueError: If the values are too few for the shape, or not finite.
    """
    if shape == "normal":
        return t_interval(values, level)
    if shape == "bounded":
        return bounded_interval(values, rng, *bounds, level=level)
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


def pairs_seeds(kind: Kind, correlation: float | None = None) -> bool:
    """Tell whether two arms are compared seed by seed.

    Supervised and simulated arms share data and initial student by seed. In reinforcement learning
    a seed fixes little after the first update, and pairing costs half of the degrees of freedom.
    The correlation should come from a pilot: measured on the runs that are tested, the choice
    depends on the data.

    Args:
        kind: ``"rl"``, ``"supervised"`` or ``"simulated"``.
        correlation: Of the arms over seeds, as measured; None where it was not.

    Raises:
        ValueError: For another kind, or a correlation outside [-1, 1].
    """
    if kind not in ("rl", "supervised", "simulated"):
        raise ValueError(f"kind must be 'rl', 'supervised' or 'simulated', got {kind!r}")
    if correlation is not None and not -1.0 <= correlation <= 1.0:
        raise ValueError(f"correlation must lie in [-1, 1], got {correlation}")
    if kind != "rl":
        return True
    return correlation is not None and correlation > PAIR_ABOVE


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
        bounds: Smallest and largest possible value, for ``"bounded"``.
        level: Nominal coverage, in (0, 1).

    Raises:
        ValueError: If the values are too few for the shape, or not finite, or no method is offered.
    """
    if shape == "bounded":
        method = bounded_paired_difference if paired else bounded_difference
        return method(a, b, rng, *bounds, level=level)
    if paired:
        return paired_difference(a, b, level, shape)
    if shape == "skewed":
        return skewed_difference(a, b, rng, level)
    return welch_difference(a, b, level, shape)
