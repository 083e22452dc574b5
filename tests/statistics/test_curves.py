from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from currgym.statistics import (
    Times,
    area_under_curve,
    bounded_interval,
    compare_times,
    forgetting,
    median_time,
    restricted_mean_time,
    time_to_threshold,
)

RNG = np.random.default_rng


def test_area_by_hand() -> None:
    # Trapezoids .5 * 1 and 1 * 2 over a span of 3; uneven steps matter: the plain mean is .6667.
    np.testing.assert_allclose(area_under_curve([0, 1, 3], [[0, 1, 1], [1, 1, 1]]), [2.5 / 3, 1])
    np.testing.assert_allclose(area_under_curve([10, 20], [0.0, 1.0]), [0.5])
    for times, match in (([0, 0], "ascend"), ([1], "2 points"), ([[0, 1]], "shape")):
        with pytest.raises(ValueError, match=match):
            area_under_curve(times, np.zeros((1, np.size(times))))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=8), st.floats(0.1, 100.0))
def test_area_does_not_depend_on_the_unit_of_time(values: list[float], unit: float) -> None:
    t = np.arange(len(values), dtype=float)
    area = area_under_curve(t, values)
    np.testing.assert_allclose(area_under_curve(7.0 + unit * t, values), area, atol=1e-9)
    assert min(values) - 1e-9 <= area[0] <= max(values) + 1e-9


def test_time_to_threshold_by_hand() -> None:
    curves = [[0.1, 0.9, 0.2, 0.9, 0.9], [0.1, 0.2, 0.3, 0.4, 0.5], [0.8, 0.8, 0.8, 0.8, 0.8]]
    first = time_to_threshold([10, 20, 30, 40, 50], curves, 0.8)
    assert first.times.tolist() == [20.0, 50.0, 10.0]
    assert first.reached.tolist() == [True, False, True]
    # One lucky test does not count where it must hold for two.
    held = time_to_threshold([10, 20, 30, 40, 50], curves, 0.8, hold=2)
    assert held.times.tolist() == [40.0, 50.0, 10.0]
    with pytest.raises(ValueError, match="hold"):
        time_to_threshold([1, 2], [[0.0, 1.0]], 0.5, hold=3)


def test_forgetting_by_hand() -> None:
    # Task 0: best .9, final .5. Task 1: improved at the end by .2. Task 2: constant.
    scores = np.array([[0.0, 0.2, 1.0], [0.9, 0.4, 1.0], [0.5, 0.6, 1.0]])
    np.testing.assert_allclose(forgetting(scores), [0.4, -0.2, 0.0])
    runs = np.stack([scores, np.zeros((3, 3))])
    assert forgetting(runs).shape == (2, 3)
    # The mean of the drops between evaluations, or best minus worst, would be something else.
    np.testing.assert_allclose(forgetting([[1.0], [0.0], [1.0]]), [0.0])
    with pytest.raises(ValueError, match="evaluations"):
        forgetting([[1.0, 2.0]])
    with pytest.raises(ValueError, match="finite"):
        forgetting([[1.0], [math.nan]])


def test_kaplan_meier_median_by_hand() -> None:
    # Deaths at 1 2 4 5 of 8, censored at 3 and 6 (three): S = 7/8, 6/8, then 5 at risk:
    # 6/8 * 4/5 = .6, * 3/4 = .45: the median is 5. Leaving the censored out would give 3.
    times = Times.of([1, 2, 3, 4, 5, 6, 6, 6], [1, 1, 0, 1, 1, 0, 0, 0])
    interval = median_time(times)
    assert interval.estimate == 5.0
    assert interval.low <= 5.0
    assert interval.high == math.inf


def test_median_limits_by_hand() -> None:
    # Brookmeyer-Crowley on log-log limits: S(t) with exp(+-1.96 se), se = Greenwood / log S.
    times = Times.of(np.arange(1.0, 13.0), np.ones(12))
    low = high = None
    for t in range(1, 12):
        s = 1.0 - t / 12.0
        greenwood = sum(1.0 / ((12 - i) * (12 - i - 1)) for i in range(t))
        theta = 1.959964 * math.sqrt(greenwood) / math.log(s)
        lower, upper = s ** math.exp(-theta), s ** math.exp(theta)
        if low is None and lower <= 0.5:
            low = float(t)
        if high is None and upper < 0.5:
            high = float(t)
    interval = median_time(times)
    assert (interval.low, interval.estimate, interval.high) == (low, 6.0, high)


def test_median_of_runs_that_all_fail() -> None:
    interval = median_time(Times.of([100.0] * 8, [False] * 8))
    assert (interval.low, interval.estimate, interval.high) == (100.0, math.inf, math.inf)
    # Fewer than half got there: no median, yet a lower limit.
    interval = median_time(Times.of([10, 20] + [100] * 6, [1, 1] + [0] * 6))
    assert interval.estimate == math.inf
    assert 10.0 <= interval.low <= 100.0


def test_restricted_mean_is_the_area_under_kaplan_meier() -> None:
    t = np.array([2.0, 3.0, 5.0, 8.0, 10.0, 10.0, 10.0, 4.0])
    times = Times.of(t, t < 10.0)
    interval = restricted_mean_time(times, RNG(0))
    survival = stats.ecdf(stats.CensoredData.right_censored(t, t >= 10.0)).sf
    steps = np.linspace(0.0, 10.0, 100_001)
    area = float(np.mean(survival.evaluate(steps))) * 10.0
    assert interval.estimate == pytest.approx(area, abs=1e-3)
    assert interval.estimate == pytest.approx(np.mean(np.minimum(t, 10.0)))
    expected = bounded_interval(np.minimum(t, 10.0), RNG(0), 0.0, 10.0)
    assert (interval.low, interval.high) == (expected.low, expected.high)


def test_a_horizon_beyond_the_shortest_budget_is_refused() -> None:
    times = Times.of([5.0, 10.0, 20.0], [True, False, True])
    assert restricted_mean_time(times, RNG(0)).estimate == pytest.approx((5 + 10 + 10) / 3)
    with pytest.raises(ValueError, match="watched for 10 only"):
        restricted_mean_time(times, RNG(0), horizon=15.0)
    with pytest.raises(ValueError, match="horizon must be positive"):
        restricted_mean_time(times, RNG(0), horizon=0.0)


def test_log_rank_by_hand() -> None:
    """Observed minus expected events in the first arm, over its variance (Mantel 1966)."""
    rng = RNG(1)
    t = [np.minimum(rng.exponential(scale, 10), 2.0) for scale in (1.0, 2.5)]
    arms = [Times(x, x < 2.0) for x in t]
    difference = variance = 0.0
    for moment in np.unique(np.concatenate([x[x < 2.0] for x in t])):
        at_risk = [float((x >= moment).sum()) for x in t]
        events = [float(((x == moment) & (x < 2.0)).sum()) for x in t]
        n, d = sum(at_risk), sum(events)
        difference += events[0] - d * at_risk[0] / n
        if n > 1:
            variance += d * at_risk[0] / n * at_risk[1] / n * (n - d) / (n - 1)
    p = 2.0 * stats.norm.sf(abs(difference) / math.sqrt(variance))
    contrast = compare_times(arms[0], arms[1], RNG(0))
    assert contrast.log_rank == pytest.approx(p, rel=1e-6)
    assert contrast.horizon == 2.0
    assert contrast.difference.estimate == pytest.approx(t[0].mean() - t[1].mean())


def test_the_horizon_covers_both_arms() -> None:
    fast = Times.of([1.0] * 8, [True] * 8)
    slow = Times.of([50.0, 60.0] + [100.0] * 6, [True] * 2 + [False] * 6)
    contrast = compare_times(fast, slow, RNG(0))
    # Up to 100, not to the 1 at which the fast arm was done.
    assert contrast.horizon == 100.0
    assert contrast.difference.estimate == pytest.approx(1.0 - (50 + 60 + 600) / 8)
    assert contrast.difference.high < 0.0
    assert contrast.log_rank < 0.001
    finished = compare_times(fast, Times.of(np.arange(1.0, 9.0), np.ones(8)), RNG(0))
    assert finished.horizon == 8.0


def test_arms_that_both_fail_do_not_differ() -> None:
    none = Times.of([100.0] * 8, [False] * 8)
    contrast = compare_times(none, none, RNG(0))
    assert contrast.log_rank == 1.0
    assert contrast.difference.estimate == 0.0
    assert contrast.difference.low < 0.0 < contrast.difference.high


def test_log_rank_errs_as_often_as_it_says() -> None:
    rng = RNG(2)
    rejected = 0
    for _ in range(1_000):
        a, b = (np.minimum(rng.exponential(1.0, 8), 1.2) for _ in range(2))
        p = stats.logrank(
            stats.CensoredData.right_censored(a, a >= 1.2),
            stats.CensoredData.right_censored(b, b >= 1.2),
        ).pvalue
        rejected += p < 0.05
    assert rejected / 1_000 < 0.07


def test_bad_times_are_refused() -> None:
    with pytest.raises(ValueError, match="equally long"):
        Times.of([1.0], [True, False])
    with pytest.raises(ValueError, match="not negative"):
        Times.of([-1.0], [True])
    with pytest.raises(ValueError, match="not negative"):
        Times.of([math.inf], [False])
