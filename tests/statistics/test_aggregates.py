"""Summaries over environments, against the formulas of rliable (Agarwal et al. 2021)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from currgym.statistics import (
    NotOffered,
    interquartile_mean,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
)
from currgym.statistics.robust import _mean, _trimmed, resampled, resampled_improvement, wins

RNG = np.random.default_rng
Array = NDArray[np.float64]


# rliable's definitions in a few lines of our own, with loops where it vectorises. ---------------


def yardstick_iqm(scores: Array) -> float:
    """Mean of the values left when a quarter (rounded down) is cut at each end, runs pooled."""
    ordered = sorted(scores.flatten().tolist())
    cut = int(0.25 * len(ordered))
    kept = ordered[cut : len(ordered) - cut]
    return sum(kept) / len(kept)


def yardstick_gap(scores: Array, gamma: float) -> float:
    return gamma - float(np.mean([[min(v, gamma) for v in row] for row in scores]))


def yardstick_improvement(x: Array, y: Array) -> float:
    each = []
    for task in range(x.shape[1]):
        wins = 0.0
        for a in x[:, task]:
            for b in y[:, task]:
                wins += 1.0 if a > b else 0.5 if a == b else 0.0
        each.append(wins / (len(x) * len(y)))
    return float(np.mean(each))


def yardstick_profile(scores: Array, tau: float) -> float:
    return float(np.mean([[v > tau for v in row] for row in scores]))


SHAPES = [(5, 1), (5, 3), (8, 3), (9, 5), (10, 4), (30, 2)]


@pytest.mark.parametrize("shape", SHAPES)
def test_estimates_equal_the_yardstick(shape: tuple[int, int]) -> None:
    x = RNG(0).normal(0.5, 0.5, shape).round(1)  # rounded: with ties
    y = RNG(1).normal(0.3, 0.5, (shape[0] + 2, shape[1])).round(1)
    assert interquartile_mean(x, RNG(0)).estimate == pytest.approx(yardstick_iqm(x))
    assert optimality_gap(x, RNG(0)).estimate == pytest.approx(yardstick_gap(x, 1.0))
    assert optimality_gap(x, RNG(0), 0.4).estimate == pytest.approx(yardstick_gap(x, 0.4))
    assert probability_of_improvement(x, y).estimate == pytest.approx(yardstick_improvement(x, y))
    profile = performance_profile(x, [-1.0, 0.2, 0.5, 0.9])
    expected = [yardstick_profile(x, tau) for tau in (-1.0, 0.2, 0.5, 0.9)]
    np.testing.assert_allclose(profile.share, expected)


RLIABLE = json.loads(Path(__file__).with_name("rliable.json").read_text(encoding="utf-8"))
"""What rliable 1.2.0 itself computed; ``rliable_reference.py`` beside it says how."""


@pytest.mark.parametrize("which", ["x", "y"])
def test_estimates_equal_rliable_itself(which: str) -> None:
    scores = np.array(RLIABLE[which])
    assert interquartile_mean(scores, RNG(0)).estimate == pytest.approx(
        RLIABLE["interquartile_mean"][which], abs=1e-12
    )
    gap = optimality_gap(scores, RNG(0)).estimate
    assert gap == pytest.approx(RLIABLE["optimality_gap"][which], abs=1e-12)
    profile = performance_profile(scores, RLIABLE["thresholds"])
    np.testing.assert_allclose(profile.share, RLIABLE["profile"][which])


def test_improvement_equals_rliable_itself() -> None:
    x, y = np.array(RLIABLE["x"]), np.array(RLIABLE["y"])
    expected = RLIABLE["probability_of_improvement"]
    assert probability_of_improvement(x, y).estimate == pytest.approx(expected, abs=1e-12)


def test_resamples_spread_as_rliables_do() -> None:
    """The same stratified bootstrap, at the plain percentiles that rliable takes."""
    x, y = np.array(RLIABLE["x"]), np.array(RLIABLE["y"])
    tails = [0.025, 0.975]
    for which, scores in (("x", x), ("y", y)):
        for name, statistic, values in (
            ("interquartile_mean", _trimmed, scores),
            ("optimality_gap", _mean, 1.0 - np.minimum(scores, 1.0)),
        ):
            draws = resampled(values[None], statistic, RNG(0), 20_000)[0]
            expected = RLIABLE[f"{name}_percentiles"][which]
            np.testing.assert_allclose(np.quantile(draws, tails), expected, atol=0.006)
    draws = resampled_improvement(wins(x[None], y[None]), RNG(0), 20_000)[0]
    expected = RLIABLE["probability_of_improvement_percentiles"]
    np.testing.assert_allclose(np.quantile(draws, tails), expected, atol=0.006)


def test_the_bootstrap_of_an_improvement_is_offered_where_it_covers() -> None:
    x, y = np.array(RLIABLE["x"]), np.array(RLIABLE["y"])
    found = probability_of_improvement(x, y, method="bootstrap", rng=RNG(0))
    assert found.low < found.estimate < found.high
    assert found.p == probability_of_improvement(x, y).p
    with pytest.raises(NotOffered, match="use the score interval"):
        probability_of_improvement(x + 1.0, y, method="bootstrap", rng=RNG(0))
    with pytest.raises(ValueError, match="with a generator"):
        probability_of_improvement(x, y, method="bootstrap")


def test_bootstrap_equals_scipys_stratified_one() -> None:
    """The same resampling as scipy's with one sample an environment, at the same percentiles."""
    scores = RNG(2).normal(size=(10, 3))
    ours = interquartile_mean(scores, RNG(0), resamples=20_000)

    def pooled(*columns: Array, axis: int = -1) -> Array:
        trimmed: Array = stats.trim_mean(np.concatenate(columns, axis=-1), 0.25, axis=-1)
        return trimmed

    # df: half of 3 * 9; percentiles further out by t and by the root of n / (n - 1).
    reach = math.sqrt(10 / 9) * stats.t.ppf(0.975, 13.5)
    theirs = stats.bootstrap(
        tuple(scores.T), pooled, method="percentile", n_resamples=20_000,
        confidence_level=1.0 - 2.0 * float(stats.norm.sf(reach)), vectorized=True,
    ).confidence_interval  # fmt: skip
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.03)


def test_plain_percentiles_cover_too_little() -> None:
    """What rliable does, at 5 runs of 3 environments far apart: why ours go further out."""
    studies = RNG(3).normal([-3.0, 0.0, 3.0], 1.0, size=(2_000, 5, 3))
    draws = resampled(studies, _trimmed, RNG(4), 300)
    low, high = np.quantile(draws, [0.025, 0.975], axis=1)
    assert ((low <= 0.0) & (high >= 0.0)).mean() < 0.91


@pytest.mark.parametrize("call", [interquartile_mean, optimality_gap])
def test_draws_within_environments_and_from_its_generator(call: Callable[..., Any]) -> None:
    scores = RNG(5).normal(size=(8, 3))
    assert call(scores, RNG(0)) == call(scores, RNG(0))
    assert call(scores, RNG(0)) != call(scores, RNG(1))
    constant = np.tile([0.1, 0.5, 0.9], (8, 1))
    interval = call(constant, RNG(0))
    assert interval.low == pytest.approx(interval.high)


def test_optimality_gap_counts_what_is_above_as_reached() -> None:
    # Gaps .5, 0, 0, .25, .25.
    assert optimality_gap([0.5, 1.0, 7.0, 0.75, 0.75], RNG(0)).estimate == pytest.approx(0.2)
    with pytest.raises(ValueError, match="every run reaches"):
        optimality_gap([1.0, 2.0, 1.0, 1.0, 3.0], RNG(0))


def test_always_better_is_not_certainly_better() -> None:
    """The bootstrap gives 1 to 1 here; the score interval by hand for n = m = 5.

    (1 - t)^2 = z^2 t (1 - t) (1 + 4 ((1 - t) / (2 - t) + t / (1 + t))) / 25 at t = 0.6346.
    """
    interval = probability_of_improvement([6.0, 7, 8, 9, 10], [1.0, 2, 3, 4, 5])
    assert interval.estimate == 1.0
    assert interval.high == pytest.approx(1.0)
    t = interval.low
    variance = t * (1 - t) * (1 + 4 * ((1 - t) / (2 - t) + t / (1 + t))) / 25
    assert (1 - t) ** 2 == pytest.approx(1.959964**2 * variance, rel=1e-6)
    assert 0.5 < t < 0.75


def test_p_of_improvement_is_mann_whitneys() -> None:
    x, y = RNG(6).normal(0.7, 1.0, 12), RNG(7).normal(size=15)
    theirs = stats.mannwhitneyu(x, y, method="asymptotic", use_continuity=False).pvalue
    assert probability_of_improvement(x, y).p == pytest.approx(theirs)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 9), st.integers(1, 4))
def test_swapping_the_arms_mirrors_the_improvement(seed: int, runs: int, columns: int) -> None:
    x, y = RNG(seed).integers(0, 5, (2, runs, columns)).astype(float)
    there, back = probability_of_improvement(x, y), probability_of_improvement(y, x)
    assert there.estimate == pytest.approx(1.0 - back.estimate)
    assert there.low == pytest.approx(1.0 - back.high)
    assert 0.0 <= there.low <= there.estimate <= there.high <= 1.0
    assert there.p == pytest.approx(back.p)


def test_profile_bands_by_hand() -> None:
    # 0 of 5 above: high is 1 - .025 ** (1 / 5) = .5218 (Clopper-Pearson).
    profile = performance_profile([1.0, 2.0, 3.0, 4.0, 5.0], [0.0, 2.0, 5.0])
    np.testing.assert_allclose(profile.share, [1.0, 0.6, 0.0])
    assert profile.low[0] == pytest.approx(0.4782, abs=1e-4)
    assert profile.high[0] == 1.0
    assert (profile.low[2], profile.high[2]) == pytest.approx((0.0, 0.5218), abs=1e-4)
    exact = stats.binomtest(3, 5).proportion_ci(0.95, method="exact")
    assert (profile.low[1], profile.high[1]) == pytest.approx((exact.low, exact.high))


def test_profile_bands_hold() -> None:
    """Pointwise at each threshold, and at all of them at once where asked; environments differ."""
    rng = RNG(8)
    thresholds = np.array([-1.0, 0.0, 1.0, 2.0])
    truth = np.mean([stats.norm.sf(thresholds, mean) for mean in (0.0, 1.0, 2.0)], axis=0)
    inside: list[NDArray[np.bool_]] = []
    whole: list[NDArray[np.bool_]] = []
    for _ in range(1_000):
        scores = rng.normal([0.0, 1.0, 2.0], 1.0, (8, 3))
        for simultaneous, held in ((False, inside), (True, whole)):
            band = performance_profile(scores, thresholds, simultaneous=simultaneous)
            held.append((band.low <= truth) & (truth <= band.high))
    assert np.mean(inside, axis=0).min() > 0.95
    assert np.mean(np.all(inside, axis=1)) < np.mean(np.all(whole, axis=1))
    assert np.mean(np.all(whole, axis=1)) > 0.95


def test_bad_matrices_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        performance_profile([[np.nan]], [0.0])
    with pytest.raises(ValueError, match="thresholds"):
        performance_profile([1.0], [])
    with pytest.raises(ValueError, match="differ in environments: 2 and 3"):
        probability_of_improvement(np.zeros((5, 2)), np.zeros((5, 3)))
