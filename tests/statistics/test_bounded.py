from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from currgym.statistics import (
    bootstrap_t_interval,
    bounded_difference,
    bounded_interval,
    bounded_paired_difference,
    difference,
    mean_interval,
    paired_difference,
    pairs_seeds,
    seed_correlation,
    skewed_difference,
    t_interval,
    welch_difference,
)

RNG = np.random.default_rng


@pytest.mark.parametrize(("k", "n"), [(0, 5), (5, 5), (3, 8), (8, 8), (27, 30)])
def test_solved_or_not_gives_clopper_and_pearson(k: int, n: int) -> None:
    interval = bounded_interval([1.0] * k + [0.0] * (n - k), RNG(0), draws=100_000)
    exact = stats.binomtest(k, n).proportion_ci(0.95, method="exact")
    assert (interval.low, interval.high) == pytest.approx((exact.low, exact.high), abs=0.005)
    assert interval.estimate == k / n


def test_all_solved_is_not_certainty() -> None:
    # The t interval of eight ones has no width. Clopper-Pearson by hand: .025 ** (1 / 8) = .6306.
    assert t_interval([1.0] * 8).low == 1.0
    interval = bounded_interval([1.0] * 8, RNG(0), draws=100_000)
    assert interval.low == pytest.approx(0.6306, abs=0.005)
    assert interval.high == 1.0


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0.0, 1.0), min_size=8, max_size=12),
    st.lists(st.floats(0.0, 1.0), min_size=8, max_size=12),
)
def test_intervals_hold_the_estimate_and_stay_in_range(a: list[float], b: list[float]) -> None:
    one = bounded_interval(a, RNG(0), draws=1_000)
    assert 0.0 <= one.low <= one.estimate + 1e-9
    assert one.estimate - 1e-9 <= one.high <= 1.0 + 1e-12
    two = bounded_difference(a, b, RNG(0), draws=1_000)
    assert two.low <= two.estimate <= two.high
    assert 0.0 < two.p <= 1.0
    # Up to where the ends fall on 0 within rounding, p and interval say the same.
    if min(abs(two.low), abs(two.high)) > 1e-6:
        assert (two.p < 0.05) == (two.low > 0.0 or two.high < 0.0)
    swapped = bounded_difference(b, a, RNG(0), draws=4_000)
    assert swapped.estimate == pytest.approx(-two.estimate)


def test_other_bounds_only_rescale() -> None:
    x, y = RNG(3).random(10), RNG(4).random(10)
    for call in (bounded_difference, bounded_paired_difference):
        unit = call(x, y, RNG(0))
        scaled = call(100.0 * x - 50.0, 100.0 * y - 50.0, RNG(0), -50.0, 50.0)
        for name in ("estimate", "low", "high"):
            assert getattr(scaled, name) == pytest.approx(100.0 * getattr(unit, name))
        assert scaled.p == unit.p
    unit = bounded_interval(x, RNG(0))
    scaled = bounded_interval(2.0 * x + 1.0, RNG(0), 1.0, 3.0)
    assert scaled.low == pytest.approx(2.0 * unit.low + 1.0)


def test_all_against_none() -> None:
    interval = bounded_difference([1.0] * 8, [0.0] * 8, RNG(0))
    # Mid-p limits of 8 of 8: 2 * .025 = .05, and .05 ** (1 / 8) = .6877; twice 1 - .6877 squared.
    assert interval.low == pytest.approx(1.0 - np.sqrt(2.0) * (1.0 - 0.6877), abs=0.01)
    assert interval.high == 1.0
    assert interval.p < 0.001
    paired = bounded_paired_difference([1.0] * 8, [0.0] * 8, RNG(0))
    assert 0.0 < paired.low < 1.0
    # All eight differences +1, Clopper-Pearson at 1/2: two-sided sign test.
    assert paired.p == pytest.approx(2.0 * 0.5**8, abs=0.003)


def test_bounds_are_checked() -> None:
    with pytest.raises(ValueError, match=r"values must lie in \[0.0, 1.0\]"):
        bounded_interval([0.5, 1.5], RNG(0))
    with pytest.raises(ValueError, match="low must be below high"):
        bounded_interval([0.5, 0.5], RNG(0), 1.0, 0.0)
    with pytest.raises(ValueError, match="draws"):
        bounded_interval([0.5, 0.5], RNG(0), draws=0)
    with pytest.raises(ValueError, match="equal numbers"):
        bounded_paired_difference([0.5] * 8, [0.5] * 9, RNG(0))


def test_bootstrap_t_leans_the_right_way() -> None:
    # A long right tail that was not drawn is where the mean may be: the upper arm is longer.
    values = np.array([0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.1, 2.6])
    interval = bootstrap_t_interval(values, RNG(0))
    assert interval.high - interval.estimate > 1.5 * (interval.estimate - interval.low)
    mirrored = bootstrap_t_interval(-values, RNG(0))
    assert (mirrored.low, mirrored.high) == pytest.approx((-interval.high, -interval.low), rel=0.1)


def test_bootstrap_t_by_brute_force() -> None:
    x = RNG(5).exponential(size=9)
    rng = RNG(6)
    drawn = x[rng.integers(9, size=(20_000, 9))]
    t = (drawn.mean(axis=1) - x.mean()) / drawn.std(axis=1, ddof=1)
    low, high = np.quantile(t, [0.025, 0.975])
    ends = x.mean() - high * x.std(ddof=1), x.mean() - low * x.std(ddof=1)
    interval = bootstrap_t_interval(x, RNG(0), resamples=20_000)
    assert (interval.low, interval.high) == pytest.approx(ends, rel=0.05)


def test_skewed_difference_reduces_to_its_arms() -> None:
    # An arm that hardly varies adds nothing: the interval is the other arm's, shifted.
    x = RNG(7).exponential(size=10)
    still = 1.0 + 1e-9 * RNG(8).normal(size=10)
    alone, both = bootstrap_t_interval(x, RNG(0)), skewed_difference(x, still, RNG(0))
    assert both.low == pytest.approx(alone.low - 1.0, abs=1e-6)
    assert both.high == pytest.approx(alone.high - 1.0, abs=1e-6)


def test_skewed_p_agrees_with_the_interval() -> None:
    x, y = RNG(9).exponential(3.0, 12), RNG(10).exponential(1.0, 12)
    p = skewed_difference(x, y, RNG(0)).p
    inside = skewed_difference(x, y, RNG(0), level=1.0 - 0.95 * p)
    outside = skewed_difference(x, y, RNG(0), level=1.0 - 1.05 * p)
    assert inside.low <= 0.0 <= inside.high
    assert outside.low > 0.0 or outside.high < 0.0


@pytest.mark.parametrize("call", [bootstrap_t_interval, bounded_interval])
def test_one_sample_methods_use_their_generator(call: Any) -> None:
    x = RNG(11).random(12)
    assert call(x, RNG(0)) == call(x, RNG(0))
    assert call(x, RNG(0)) != call(x, RNG(1))


@pytest.mark.parametrize("call", [skewed_difference, bounded_difference, bounded_paired_difference])
def test_two_sample_methods_use_their_generator(call: Any) -> None:
    x, y = RNG(12).random((2, 12))
    before = repr(np.random.get_state())  # noqa: NPY002
    assert call(x, y, RNG(0)) == call(x, y, RNG(0))
    assert call(x, y, RNG(0)) != call(x, y, RNG(1))
    assert repr(np.random.get_state()) == before  # noqa: NPY002


def test_a_constant_sample_cannot_be_resampled() -> None:
    with pytest.raises(ValueError, match="bounded_interval"):
        bootstrap_t_interval([1.0] * 8, RNG(0))
    with pytest.raises(ValueError, match="bounded_difference"):
        skewed_difference([1.0] * 8, RNG(0).random(8), RNG(0))


def test_the_shape_chooses_the_method() -> None:
    x, y = RNG(13).random((2, 10))
    assert mean_interval(x, RNG(0), "normal") == t_interval(x)
    assert mean_interval(x, RNG(0), "skewed") == bootstrap_t_interval(x, RNG(0))
    assert mean_interval(x, RNG(0), "bounded") == bounded_interval(x, RNG(0))
    assert difference(x, y, RNG(0)) == welch_difference(x, y)
    assert difference(x, y, RNG(0), paired=True) == paired_difference(x, y)
    assert difference(x, y, RNG(0), "alike") == welch_difference(x, y)
    assert difference(x, y, RNG(0), "skewed") == skewed_difference(x, y, RNG(0))
    assert difference(x, y, RNG(0), "bounded") == bounded_difference(x, y, RNG(0))
    assert difference(x, y, RNG(0), "bounded", True) == bounded_paired_difference(x, y, RNG(0))
    with pytest.raises(ValueError, match="paired_difference is not offered for 'skewed'"):
        difference(x, y, RNG(0), "skewed", paired=True)


def test_pairs_are_compared_where_seeds_are_shared() -> None:
    assert pairs_seeds("supervised")
    assert pairs_seeds("simulated", -0.2)
    assert not pairs_seeds("rl")
    assert not pairs_seeds("rl", 0.3)
    assert pairs_seeds("rl", 0.31)
    wrong: Any = "other"
    with pytest.raises(ValueError, match="kind"):
        pairs_seeds(wrong)
    with pytest.raises(ValueError, match="correlation"):
        pairs_seeds("rl", 1.5)


def test_seed_correlation_by_hand() -> None:
    # Deviations -1 0 1 and -1 1 0: 1 / 2.
    assert seed_correlation([1.0, 2.0, 3.0], [4.0, 6.0, 5.0]) == pytest.approx(0.5)
    assert seed_correlation([1.0, 1.0, 1.0], [4.0, 6.0, 5.0]) == 0.0
    with pytest.raises(ValueError, match="3 pairs"):
        seed_correlation([1.0, 2.0], [1.0, 2.0])


def test_pairing_helps_where_seeds_correlate() -> None:
    """With shared luck the paired interval is the shorter one; without, Welch's is."""
    rng = RNG(14)
    luck = rng.normal(size=(400, 10, 1))
    for weight, shorter in ((2.0, True), (0.0, False)):
        arms = weight * luck + rng.normal(size=(400, 10, 2))
        paired, welch = (
            np.mean([(i := call(a[:, 0], a[:, 1])).high - i.low for a in arms])
            for call in (paired_difference, welch_difference)
        )
        assert (paired < welch) == shorter
