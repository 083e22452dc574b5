"""Summaries over many tasks or environments: interquartile mean, tail mean."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from currgym.statistics.intervals import Interval

__all__ = ["cvar", "interquartile_mean"]

FloatArray = NDArray[np.float64]

_CHUNK_VALUES = 4_000_000


def interquartile_mean(
    scores: ArrayLike,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2_000,
) -> Interval:
    """Return the mean of the middle half of all scores, with a stratified bootstrap interval.

    Seeds are drawn anew within each column, so that every environment keeps its weight (Agarwal et
    al. 2021, https://arxiv.org/abs/2108.13264). The percentile interval covers too little with few
    seeds (81-84 % at 5): a verdict on one environment rests on :func:`t_interval` instead.

    Args:
        scores: ``(seeds, environments)``; a vector is one environment.
        rng: Draws the resamples.
        level: Nominal coverage.
        resamples: How many.

    Raises:
        ValueError: If there is no score, or one is not finite.
    """
    matrix = np.asarray(scores, dtype=np.float64)
    if matrix.ndim == 1:
        matrix = matrix[:, None]
    if matrix.ndim != 2 or matrix.size == 0 or not np.isfinite(matrix).all():
        raise ValueError(
            f"scores must be a finite (seeds, environments) matrix, got {matrix.shape}"
        )
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    estimate = float(stats.trim_mean(matrix.ravel(), 0.25))
    seeds, columns = matrix.shape
    if seeds < 2:
        return Interval(estimate, math.nan, math.nan, seeds, "one seed: no interval", level)
    drawn: list[FloatArray] = []
    chunk = max(1, _CHUNK_VALUES // matrix.size)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        rows = rng.integers(seeds, size=(size, seeds, columns))
        resampled = matrix[rows, np.arange(columns)].reshape(size, -1)
        drawn.append(np.asarray(stats.trim_mean(resampled, 0.25, axis=1)))
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(np.concatenate(drawn), [tail, 1.0 - tail])
    return Interval(
        estimate, float(low), float(high), seeds, "stratified percentile bootstrap", level
    )


def cvar(values: ArrayLike, share: float = 0.1) -> float:
    """Return the mean of the worst share of the values (conditional value at risk).

    Args:
        values: ``(n,)``, higher is better.
        share: Of the values, in (0, 1]; a value on the edge counts in part.

    Raises:
        ValueError: If there is no value, one is not finite, or the share is out of range.

    >>> cvar([0.0, 1.0, 2.0, 3.0], share=0.5)
    0.5
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64).reshape(-1))
    if len(ordered) == 0 or not np.isfinite(ordered).all():
        raise ValueError("values must be finite, and at least one")
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share must lie in (0, 1], got {share}")
    wanted = share * len(ordered)
    weights = np.clip(wanted - np.arange(len(ordered)), 0.0, 1.0)
    return float(weights @ ordered / wanted)
