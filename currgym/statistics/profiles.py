"""Performance profiles: which share of runs scores above each threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from currgym.statistics.intervals import check_level
from currgym.statistics.robust import as_matrix

__all__ = ["Profile", "performance_profile"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Profile:
    """A curve with its band.

    Attributes:
        thresholds: ``(k,)``.
        share: ``(k,)``, of runs that score above each, in [0, 1].
        low: ``(k,)``, lower edge of the band.
        high: ``(k,)``, upper edge.
        level: Nominal coverage, at each threshold by itself or of the whole curve.
        simultaneous: Whether it is the whole curve's.
    """

    thresholds: FloatArray
    share: FloatArray
    low: FloatArray
    high: FloatArray
    level: float
    simultaneous: bool


def performance_profile(
    scores: ArrayLike,
    thresholds: ArrayLike,
    level: float = 0.95,
    simultaneous: bool = False,
) -> Profile:
    """Return the share of all runs that score above each threshold, with a band.

    The share is Agarwal et al.'s (2021, https://arxiv.org/abs/2108.13264, section 4.2) run-score
    distribution. The band at a threshold is the exact binomial interval of the pooled count:
    environments whose shares differ only make the count vary less than a binomial one (Hoeffding
    1956, Annals of Mathematical Statistics 27, theorem 4), so that it covers at least what it says.
    Their bootstrap band has no width where all runs pass or none does. The simultaneous band is
    the exact pointwise one at a level corrected for the number of thresholds (Bonferroni).

    Args:
        scores: ``(runs, environments)``; a vector is one environment.
        thresholds: ``(k,)``.
        level: Nominal coverage, in (0, 1).
        simultaneous: Whether the band is to hold at all thresholds at once.

    Raises:
        ValueError: If a score or threshold is not finite, or there is none.
    """
    matrix = as_matrix("scores", scores)
    points = np.asarray(thresholds, dtype=np.float64)
    check_level(level)
    if points.ndim != 1 or len(points) == 0 or not np.isfinite(points).all():
        raise ValueError("thresholds must be a finite vector of at least one value")
    total = matrix.size
    count = (matrix.reshape(-1, 1) > points).sum(axis=0)
    tail = (1.0 - level) / 2.0 / (len(points) if simultaneous else 1)
    low, high = np.zeros(len(points)), np.ones(len(points))
    some, not_all = count > 0, count < total
    low[some] = stats.beta.ppf(tail, count[some], total - count[some] + 1)
    high[not_all] = stats.beta.ppf(1.0 - tail, count[not_all] + 1, total - count[not_all])
    return Profile(points, count / total, low, high, level, simultaneous)
