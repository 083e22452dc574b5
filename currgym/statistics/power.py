"""How many seeds: from a pilot's spread to the n that finds an effect."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from currgym.statistics.intervals import as_sample

__all__ = ["MOST_SEEDS", "power_of_t", "seeds_from_pilot", "seeds_needed", "upper_sd"]

MOST_SEEDS = 100_000
"""Beyond this many seeds no number is given."""


def power_of_t(
    effect: float,
    sd: float,
    n: int,
    sd_baseline: float | None = None,
    paired: bool = False,
    alpha: float = 0.05,
) -> float:
    """Return how probably a two-sided t test with n seeds an arm finds an effect.

    From the noncentral t distribution (Cohen 1988, chapter 2): exact for normal values where the
    spreads are equal or the arms are paired, with Welch's degrees of freedom where they differ.

    Args:
        effect: True difference of means, not 0, in the unit of the endpoint.
        sd: Standard deviation over seeds of one arm; of the differences where paired.
        n: Seeds an arm, at least 2.
        sd_baseline: Of the other arm; ``sd`` where None. Not used where paired.
        paired: Whether arms are compared seed by seed.
        alpha: Two-sided level, in (0, 1).

    Raises:
        ValueError: If a number is out of its range.
    """
    _check_effect(effect, alpha)
    other = sd if sd_baseline is None else sd_baseline
    if not (sd > 0.0 and other > 0.0 and math.isfinite(sd) and math.isfinite(other)):
        raise ValueError(f"standard deviations must be positive, got {sd} and {other}")
    if n < 2:
        raise ValueError(f"n must be at least 2, got {n}")
    if paired:
        error, df = sd / math.sqrt(n), n - 1.0
    else:
        error = math.sqrt((sd**2 + other**2) / n)
        df = (n - 1.0) * (sd**2 + other**2) ** 2 / (sd**4 + other**4)
    shift = abs(effect) / error
    critical = float(stats.t.ppf(1.0 - alpha / 2.0, df))
    # scipy's noncentral t is NaN far in its tails, where the answer is known.
    above = float(stats.nct.sf(critical, df, shift)) if shift < 30.0 else 1.0
    below = float(np.nan_to_num(stats.nct.cdf(-critical, df, shift))) if shift < 30.0 else 0.0
    return min(1.0, above + below)


def seeds_needed(
    effect: float,
    sd: float,
    sd_baseline: float | None = None,
    paired: bool = False,
    power: float = 0.8,
    alpha: float = 0.05,
    contrasts: int = 1,
) -> int:
    """Return the fewest seeds an arm that find an effect with a given power.

    Args:
        effect: Smallest difference of interest, not 0.
        sd: As in :func:`power_of_t`.
        sd_baseline: As in :func:`power_of_t`.
        paired: As in :func:`power_of_t`.
        power: Wanted, in (alpha, 1).
        alpha: Two-sided level over all contrasts, in (0, 1).
        contrasts: How many arms are compared with the baseline; each is planned at
            alpha / contrasts, the level of Holm's first step.

    Raises:
        ValueError: If a number is out of its range, or more than 100,000 seeds would be needed.

    >>> seeds_needed(effect=1.0, sd=1.0)
    17
    """
    if contrasts < 1:
        raise ValueError(f"contrasts must be at least 1, got {contrasts}")
    if not alpha < power < 1.0:
        raise ValueError(f"power must lie between alpha and 1, got {power}")

    def enough(n: int) -> bool:
        return power_of_t(effect, sd, n, sd_baseline, paired, alpha / contrasts) >= power

    low, high = 1, 2
    while not enough(high):
        low, high = high, 2 * high
        if low > MOST_SEEDS:
            raise ValueError(
                f"more than {MOST_SEEDS:,} seeds would be needed for an effect of {effect:g} at a "
                f"standard deviation of {sd:g}: choose an endpoint that varies less"
            )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def upper_sd(values: ArrayLike, confidence: float = 0.8) -> float:
    """Return the upper confidence bound of a standard deviation.

    A pilot of few seeds finds too small a spread more often than not, and a study planned on it is
    too small; Browne (1995, Statistics in Medicine 14, 1933-1940) plans on the bound instead.
    Exact for normal values, from the chi-squared distribution.

    Args:
        values: ``(n,)`` of one arm, or the differences of pairs, n at least 2.
        confidence: One-sided, in (0, 1).

    Raises:
        ValueError: If there are fewer than 2 values, or confidence is out of range.
    """
    x = as_sample("values", values)
    if len(x) < 2:
        raise ValueError("a spread needs at least 2 values")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    df = len(x) - 1
    return float(x.std(ddof=1)) * math.sqrt(df / float(stats.chi2.ppf(1.0 - confidence, df)))


def seeds_from_pilot(
    pilot: ArrayLike,
    effect: float,
    baseline: ArrayLike | None = None,
    paired: bool = False,
    power: float = 0.8,
    alpha: float = 0.05,
    contrasts: int = 1,
    confidence: float | None = 0.8,
) -> int:
    """Return the fewest seeds an arm, from the spread that a pilot shows.

    Only the spread is taken from the pilot: its difference of means is too uncertain to plan on,
    and the effect is the smallest that would matter.

    Args:
        pilot: ``(n,)`` values of one arm, n at least 2.
        effect: Smallest difference of interest, not 0.
        baseline: ``(m,)`` values of the baseline's pilot; in the same order of seeds where paired.
            None takes its spread to be the same, or the pilot to be differences where paired.
        paired: Whether arms are compared seed by seed.
        power: Wanted, in (alpha, 1).
        alpha: Two-sided level over all contrasts, in (0, 1).
        contrasts: As in :func:`seeds_needed`.
        confidence: Of the upper bound of the spread that is planned on, see :func:`upper_sd`; None
            takes the pilot's spread as it is.

    Raises:
        ValueError: If a sample is too small or constant, or a number is out of its range.
    """
    x = as_sample("pilot", pilot)
    y = None if baseline is None else as_sample("baseline", baseline)
    if paired and y is not None:
        if len(x) != len(y):
            raise ValueError(f"pairs need equal numbers of values, got {len(x)} and {len(y)}")
        x, y = x - y, None

    def spread(name: str, values: ArrayLike) -> float:
        # A confidence of one half would still correct for the skewness of the chi-squared.
        sample = as_sample(name, values)
        if len(sample) < 2 or np.ptp(sample) == 0.0:
            raise ValueError(f"{name} must have 2 different values or more: it shows no spread")
        return float(sample.std(ddof=1)) if confidence is None else upper_sd(sample, confidence)

    return seeds_needed(
        effect, spread("pilot", x), None if y is None else spread("baseline", y), paired, power,
        alpha, contrasts,
    )  # fmt: skip


def _check_effect(effect: float, alpha: float) -> None:
    if effect == 0.0 or not math.isfinite(effect):
        raise ValueError(f"effect must be finite and not 0, got {effect}")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha}")
