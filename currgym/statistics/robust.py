"""Summaries over many tasks or environments: interquartile mean, optimality gap, tail mean.

The definitions are those of Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the
Statistical Precipice", https://arxiv.org/abs/2108.13264, section 4; the tests compare them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from currgym.statistics.domains import NotOffered
from currgym.statistics.intervals import Interval, check_level

__all__ = [
    "BOOTSTRAP_ABOVE", "FEWEST_RUNS", "cvar", "interquartile_mean", "optimality_gap",
    "probability_of_improvement", "resampled_improvement", "wins",
]  # fmt: skip

FloatArray = NDArray[np.float64]

FEWEST_RUNS = 5
"""Fewest runs an environment from which the intervals over environments are offered."""

BOOTSTRAP_ABOVE = 0.2
"""The bootstrap of a probability of improvement is offered from here to one minus this."""

_CHUNK_VALUES = 4_000_000


def interquartile_mean(
    scores: ArrayLike,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2_000,
) -> Interval:
    """Return the mean of the middle half of all scores, with a stratified bootstrap interval.

    Runs are drawn anew within each column, so that every environment keeps its weight (Agarwal et
    al. 2021, section 4). Their percentile interval covers too little with few runs (85 to 88 % at
    5); this one takes percentiles further out, by as much as Student's t is wider than the normal
    (Hesterberg 2015, The American Statistician 69, section 4.2). Its degrees of freedom are those
    of the half of the values that count.

    Args:
        scores: ``(runs, environments)``, 5 runs or more; a vector is one environment.
        rng: Draws the resamples.
        level: Nominal coverage, in (0, 1).
        resamples: How many, at least 1.

    Raises:
        ValueError: If there is no score, one is not finite, or there are 2 to 4 runs, too few for
            the interval. One run gives the estimate without an interval.
    """
    return _stratified("interquartile_mean", scores, _trimmed, rng, level, resamples)


def optimality_gap(
    scores: ArrayLike,
    rng: np.random.Generator,
    target: float = 1.0,
    level: float = 0.95,
    resamples: int = 2_000,
) -> Interval:
    """Return by how much scores fall short of a target on average, with a bootstrap interval.

    Scores above the target count as the target (Agarwal et al. 2021, section 4). Resampled as in
    :func:`interquartile_mean`; lower is better.

    Args:
        scores: ``(runs, environments)``, 5 runs or more; a vector is one environment.
        rng: Draws the resamples.
        target: The score that is good enough.
        level: Nominal coverage, in (0, 1).
        resamples: How many, at least 1.

    Raises:
        ValueError: As :func:`interquartile_mean`, and if every run reaches the target: all gaps
            are then 0, and no resample can tell what another run would do.
    """
    matrix = as_matrix("scores", scores)
    gaps = target - np.minimum(matrix, target)
    if len(matrix) > 1 and not gaps.any():
        raise NotOffered(
            "every run reaches the target: use bounded_interval on the share of runs that do"
        )
    return _stratified("optimality_gap", gaps, _mean, rng, level, resamples)


def probability_of_improvement(
    a: ArrayLike,
    b: ArrayLike,
    level: float = 0.95,
    method: Literal["score", "bootstrap"] = "score",
    rng: np.random.Generator | None = None,
    resamples: int = 2_000,
) -> Interval:
    """Return how probably a run of a beats one of b, averaged over environments.

    Ties count half: the Mann-Whitney statistic over the number of pairs (Agarwal et al. 2021,
    section 4.3). ``"score"`` is Newcombe's score interval (2006, Statistics in Medicine 25,
    557-573, method 5) with the variance shared by the environments, which is the larger the less
    they differ. ``"bootstrap"`` draws runs anew within each environment and arm, as Agarwal et al.
    do, with percentiles further out as in :func:`interquartile_mean`. It is refused where the
    estimate is below 0.2 or above 0.8: where one arm beats the other in nearly all pairs hardly
    any resample says otherwise, and a nominal 95 % covers 65 to 90 % (n = 5 to 20, true value
    0.92; ``experiments/coverage.py``).

    Args:
        a: ``(runs, environments)`` of one arm, 5 runs or more; a vector is one environment.
        b: ``(runs, environments)`` of the other, with as many environments.
        level: Nominal coverage, in (0, 1).
        method: Of the interval.
        rng: Draws the resamples of the bootstrap.
        resamples: How many, at least 1.

    Returns:
        Probability in [0, 1]; ``p`` tests that it is 1/2 (by the score test, whatever the method).

    Raises:
        ValueError: If the arms differ in environments, a score is not finite, or the bootstrap has
            no generator.
        NotOffered: If there are fewer than 5 runs, or the bootstrap's estimate is too near 0 or 1.
    """
    x, y = as_matrix("a", a), as_matrix("b", b)
    check_level(level)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"a and b differ in environments: {x.shape[1]} and {y.shape[1]}")
    n, m = len(x), len(y)
    _check_runs("probability_of_improvement", min(n, m))
    columns = x.shape[1]
    statistic = np.asarray(stats.mannwhitneyu(x, y, axis=0, method="asymptotic").statistic)
    estimate = float(statistic.mean() / (n * m))
    error = math.sqrt(float(_improvement_variance(np.array([0.5]), n, m)[0]) / columns)
    p = float(2.0 * stats.norm.sf(abs(estimate - 0.5) / error))
    if method == "score":
        limits = improvement_limits(np.array([estimate]), n, m, columns, level)
        low, high = (float(end[0]) for end in limits)
        return Interval(estimate, low, high, n + m, "score interval", level, p)
    if method != "bootstrap" or rng is None:
        raise ValueError("method must be 'score', or 'bootstrap' with a generator")
    if not BOOTSTRAP_ABOVE <= estimate <= 1.0 - BOOTSTRAP_ABOVE:
        raise NotOffered(
            f"the bootstrap of a probability of {estimate:.2f} covers too little: use the score "
            "interval"
        )
    draws = resampled_improvement(wins(x[None], y[None]), rng, resamples)[0]
    tail = expanded_tail(level, min(n, m), columns)
    low, high = (float(end) for end in np.quantile(draws, [tail, 1.0 - tail]))
    return Interval(
        estimate, low, high, n + m, "stratified bootstrap, expanded percentiles", level, p
    )


def wins(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return which run of a beats which of b, ties half: ``(k, n, m, environments)``.

    Args:
        a: ``(k, n, environments)``.
        b: ``(k, m, environments)``.
    """
    left, right = a[:, :, None], b[:, None]
    result: FloatArray = (left > right) + 0.5 * (left == right)
    return result


def resampled_improvement(won: FloatArray, rng: np.random.Generator, resamples: int) -> FloatArray:
    """Return the probability of improvement of resamples of each study, ``(k, resamples)``.

    Args:
        won: As :func:`wins` returns it; the k studies share their resamples.
        rng: Draws them, runs within each environment and arm.
        resamples: How many.
    """
    n, m, columns = won.shape[1:]
    # How often each run is drawn says all.
    first = rng.multinomial(n, np.full(n, 1.0 / n), size=(resamples, columns)) / n
    second = rng.multinomial(m, np.full(m, 1.0 / m), size=(resamples, columns)) / m
    total = np.zeros((len(won), resamples))
    for c in range(columns):
        by_first = np.einsum("knm,rm->knr", won[..., c], second[:, c], optimize=True)
        total += np.einsum("knr,rn->kr", by_first, first[:, c], optimize=True)
    result: FloatArray = total / columns
    return result


def improvement_limits(
    estimates: FloatArray, n: int, m: int, columns: int, level: float
) -> tuple[FloatArray, FloatArray]:
    """Return the values that the score test does not reject, for each of ``(k,)`` estimates."""
    z = float(stats.norm.ppf((1.0 + level) / 2.0))

    def edge(outer: float) -> FloatArray:
        """Bisect between the estimate, which is never rejected, and a bound."""
        inside, outside = estimates.copy(), np.full_like(estimates, outer)
        for _ in range(50):
            middle = (inside + outside) / 2.0
            error = np.sqrt(_improvement_variance(middle, n, m) / columns)
            kept = np.abs(estimates - middle) <= z * error
            inside, outside = np.where(kept, middle, inside), np.where(kept, outside, middle)
        return inside

    return edge(0.0), edge(1.0)


def _improvement_variance(theta: FloatArray, n: int, m: int) -> FloatArray:
    """Return Newcombe's variance of the Mann-Whitney share at a true value of theta."""
    extra = (n + m) / 2.0 - 1.0
    shared = 1.0 + extra * ((1.0 - theta) / (2.0 - theta) + theta / (1.0 + theta))
    result: FloatArray = theta * (1.0 - theta) * shared / (n * m)
    return result


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


def as_matrix(name: str, scores: ArrayLike) -> FloatArray:
    """Return scores as a (runs, environments) matrix, a vector as one column."""
    matrix = np.asarray(scores, dtype=np.float64)
    if matrix.ndim == 1:
        matrix = matrix[:, None]
    if matrix.ndim != 2 or matrix.size == 0 or not np.isfinite(matrix).all():
        raise ValueError(f"{name} must be a finite (runs, environments) matrix, got {matrix.shape}")
    return matrix


def expanded_tail(level: float, runs: int, columns: int) -> float:
    """Return the share to cut off at each side of the resamples, below (1 - level) / 2."""
    df = (runs - 1) * max(1.0, columns / 2.0)
    reach = math.sqrt(runs / (runs - 1)) * float(stats.t.ppf((1.0 + level) / 2.0, df))
    return float(stats.norm.sf(reach))


def resampled(
    scores: FloatArray,
    statistic: Callable[[FloatArray], FloatArray],
    rng: np.random.Generator,
    resamples: int,
) -> FloatArray:
    """Return the statistic of resamples of each study, ``(k, resamples)``.

    The loop is not scipy's ``bootstrap`` because that takes one study at a time, and the coverage
    table needs thousands.

    Args:
        scores: ``(k, runs, environments)``; the k studies share their resamples.
        statistic: From ``(..., values)`` to ``(...)``.
        rng: Draws the resamples.
        resamples: How many.
    """
    studies, runs, columns = scores.shape
    drawn: list[FloatArray] = []
    chunk = max(1, _CHUNK_VALUES // scores.size)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        rows = rng.integers(runs, size=(size, runs, columns))
        drawn.append(statistic(scores[:, rows, np.arange(columns)].reshape(studies, size, -1)))
    return np.concatenate(drawn, axis=1)


def _stratified(
    name: str,
    scores: ArrayLike,
    statistic: Callable[[FloatArray], FloatArray],
    rng: np.random.Generator,
    level: float,
    resamples: int,
) -> Interval:
    matrix = as_matrix("scores", scores)
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    check_level(level)
    estimate = float(statistic(matrix.reshape(-1)))
    runs, columns = matrix.shape
    if runs < 2:
        return Interval(estimate, math.nan, math.nan, runs, "one seed: no interval", level)
    _check_runs(name, runs)
    tail = expanded_tail(level, runs, columns)
    draws = resampled(matrix[None], statistic, rng, resamples)
    low, high = np.quantile(draws[0], [tail, 1.0 - tail])
    return Interval(
        estimate, float(low), float(high), runs, "stratified bootstrap, expanded percentiles", level
    )


def _check_runs(name: str, runs: int) -> None:
    if runs < FEWEST_RUNS:
        raise NotOffered(
            f"{name} needs at least {FEWEST_RUNS} runs an environment, got {runs}: its interval "
            "covers too little with fewer; use t_interval on each run's mean over environments, if "
            "the runs share seeds, or run more seeds"
        )


def _trimmed(values: FloatArray) -> FloatArray:
    return np.asarray(stats.trim_mean(values, 0.25, axis=-1), dtype=np.float64)


def _mean(values: FloatArray) -> FloatArray:
    return np.asarray(values.mean(axis=-1), dtype=np.float64)
