"""Times to mastery where some runs never get there: Kaplan-Meier, restricted means, log-rank.

Leaving out the runs that failed, or counting them as having finished at the end of the budget,
makes the worse arm look faster. Here they are censored: known to take longer than was watched.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from currgym.statistics.bounded import bounded_difference, bounded_interval
from currgym.statistics.curves import FloatArray, Times
from currgym.statistics.domains import NotOffered
from currgym.statistics.intervals import Interval, check_level

__all__ = ["TimesContrast", "compare_times", "median_time", "restricted_mean_time"]

FEWEST_RUNS = 8
"""Fewest runs from which the interval of a median time is offered."""


def median_time(times: Times, level: float = 0.95) -> Interval:
    """Return the Kaplan-Meier median with the interval of Brookmeyer and Crowley.

    The interval holds the times at which the survival curve's log-log limits include one half
    (Brookmeyer and Crowley 1982, Biometrics 38). Infinite where fewer than half of the runs got
    there.

    Args:
        times: Of 8 runs or more.
        level: Nominal coverage, in (0, 1).

    Raises:
        ValueError: If there are fewer than 8 runs.
    """
    check_level(level)
    n = len(times.times)
    if n < FEWEST_RUNS:
        raise NotOffered(
            f"median_time needs at least {FEWEST_RUNS} runs, got {n}: give the times one by one"
        )
    if not times.reached.any():
        return Interval(math.inf, float(times.times.max()), math.inf, n, "Kaplan-Meier", level)
    survival = stats.ecdf(_censored(times)).sf
    with warnings.catch_warnings():
        # The limits are undefined where the curve is 0 or 1, which is dealt with below.
        warnings.filterwarnings("ignore", message="The confidence interval is undefined")
        band = survival.confidence_interval(confidence_level=level, method="log-log")
    points = np.asarray(survival.quantiles, dtype=np.float64)
    middle = _first(points, np.asarray(survival.probabilities) <= 0.5 + 1e-12)
    # Where all have got there the limits are not defined: the curve is 0, and so are they.
    lower = np.nan_to_num(np.asarray(band.low.probabilities), nan=0.0)
    upper = np.nan_to_num(np.asarray(band.high.probabilities), nan=0.0)
    low = _first(points, lower <= 0.5)
    high = _first(points, upper < 0.5)
    return Interval(middle, low, high, n, "Kaplan-Meier", level)


def restricted_mean_time(
    times: Times, rng: np.random.Generator, horizon: float | None = None, level: float = 0.95
) -> Interval:
    """Return the mean time, counted up to a horizon, with an interval.

    The area under the survival curve up to the horizon (Royston and Parmar 2013, BMC Medical
    Research Methodology 13:152). Runs are watched to the end of their budget; up to the shortest
    budget none is censored earlier, so that it is the mean of min(time, horizon), bounded by 0 and
    the horizon.

    Args:
        times: Of 2 runs or more.
        rng: Draws the interval's weights.
        horizon: In the unit of the times; the shortest censored time where None, or the longest
            time where no run is censored.
        level: Nominal coverage, in (0, 1).

    Raises:
        ValueError: If the horizon is not positive, or a run was watched for less.
    """
    cut, end = _restricted(times, horizon)
    return bounded_interval(cut, rng, 0.0, end, level)


@dataclass(frozen=True)
class TimesContrast:
    """One arm's times against another's.

    Attributes:
        difference: Restricted mean of the first minus that of the second; negative is faster.
        horizon: Up to where time is counted.
        log_rank: Two-sided p-value of the log-rank test (whole curves, censoring anywhere).
    """

    difference: Interval
    horizon: float
    log_rank: float


def compare_times(
    a: Times,
    b: Times,
    rng: np.random.Generator,
    horizon: float | None = None,
    level: float = 0.95,
) -> TimesContrast:
    """Return the difference in restricted mean time and the log-rank test.

    The log-rank test (Mantel 1966) asks whether the curves differ anywhere, and is best where one
    arm is faster by the same factor throughout; the difference says by how much, curves that cross
    included. Name one of them in the plan.

    Args:
        a: Times of one arm, 8 runs or more.
        b: Times of the other, 8 runs or more.
        rng: Draws the interval's weights.
        horizon: As in :func:`restricted_mean_time`, over both arms.
        level: Nominal coverage, in (0, 1).

    Raises:
        ValueError: If an arm has fewer than 8 runs, or a run was watched for less than the horizon.
    """
    if horizon is None:
        both = Times(np.concatenate([a.times, b.times]), np.concatenate([a.reached, b.reached]))
        horizon = _default_horizon(both)
    cut_a, end = _restricted(a, horizon)
    cut_b, _ = _restricted(b, horizon)
    difference = bounded_difference(cut_a, cut_b, rng, 0.0, end, level)
    if not (a.reached.any() or b.reached.any()):
        return TimesContrast(difference, end, 1.0)
    log_rank = float(stats.logrank(_censored(a), _censored(b)).pvalue)
    return TimesContrast(difference, end, log_rank)


def _censored(times: Times) -> stats.CensoredData:
    return stats.CensoredData.right_censored(times.times, ~times.reached)


def _first(points: FloatArray, crossed: NDArray[np.bool_]) -> float:
    return float(points[int(np.argmax(crossed))]) if crossed.any() else math.inf


def _default_horizon(times: Times) -> float:
    censored = times.times[~times.reached]
    return float(censored.min()) if len(censored) else float(times.times.max())


def _restricted(times: Times, horizon: float | None) -> tuple[FloatArray, float]:
    end = _default_horizon(times) if horizon is None else float(horizon)
    if not end > 0.0:
        raise ValueError(f"horizon must be positive, got {end}")
    watched = times.times[~times.reached]
    if len(watched) and watched.min() < end:
        raise ValueError(
            f"a run was watched for {watched.min():g} only, less than the horizon {end:g}: choose "
            "a horizon up to the shortest budget"
        )
    return np.minimum(times.times, end), end
