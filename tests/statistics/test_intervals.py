from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy import stats

from currgym.statistics import (
    paired_difference,
    permutation_interval,
    t_band,
    t_interval,
    welch_difference,
)


def test_t_interval_by_hand() -> None:
    # mean 4, SD sqrt(((-3)^2 + (-1)^2 + 1 + 9) / 3) = 2.5820; t(.975, 3) = 3.18245 (table)
    interval = t_interval([1.0, 3.0, 5.0, 7.0])
    half = 3.182446 * 2.5819889 / 2.0
    assert interval.estimate == 4.0
    assert interval.low == pytest.approx(4.0 - half, abs=1e-5)
    assert interval.high == pytest.approx(4.0 + half, abs=1e-5)
    assert interval.n == 4


@pytest.mark.parametrize("n", [3, 8, 20])
def test_t_interval_covers_what_it_says(n: int) -> None:
    rng = np.random.default_rng(7)
    # The band is the same computation, column by column: one column an experiment.
    values = rng.normal(2.0, 3.0, size=(n, 20_000))
    _, low, high = t_band(values)
    covered = float(((low <= 2.0) & (high >= 2.0)).mean())
    assert 0.945 < covered < 0.955
    one = t_interval(values[:, 0])
    assert (one.low, one.high) == pytest.approx((low[0], high[0]))


def test_one_value_has_no_interval() -> None:
    for interval in (t_interval([3.0]), welch_difference([3.0], [1.0, 2.0])):
        assert not interval.known
        assert np.isnan(interval.low)
    assert t_interval([3.0]).estimate == 3.0


def test_clipping_keeps_an_unknown_interval_unknown() -> None:
    assert not t_interval([0.5]).clipped(0.0, 1.0).known
    clipped = t_interval([0.9, 1.0, 0.95]).clipped(0.0, 1.0)
    assert clipped.high == 1.0


def test_band_leaves_out_missing_values() -> None:
    values = np.array([[1.0, np.nan, np.nan], [3.0, 4.0, np.nan]])
    mean, low, high = t_band(values)
    np.testing.assert_allclose(mean, [2.0, 4.0, np.nan])
    assert np.isnan(low[1:]).all()
    expected = t_interval([1.0, 3.0])
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high))


def test_welch_equals_scipy_and_hand() -> None:
    a, b = [10.0, 12.0, 14.0], [1.0, 2.0, 3.0, 10.0]
    interval = welch_difference(a, b)
    # se^2 = 4/3 + (16.6667)/4 = 5.5; difference 12 - 4
    assert interval.estimate == 8.0
    reference: Any = stats.ttest_ind(a, b, equal_var=False)
    ends = reference.confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((ends.low, ends.high))
    assert interval.p == pytest.approx(reference.pvalue)


def test_paired_equals_scipy() -> None:
    a, b = [1.0, 2.0, 4.0, 8.0], [0.5, 2.5, 2.0, 5.0]
    interval = paired_difference(a, b, level=0.9)
    reference: Any = stats.ttest_rel(a, b)
    ends = reference.confidence_interval(0.9)
    assert (interval.low, interval.high) == pytest.approx((ends.low, ends.high))
    assert interval.p == pytest.approx(reference.pvalue)


def test_no_spread_gives_a_point() -> None:
    assert welch_difference([1.0, 1.0], [1.0, 1.0]).p == 1.0
    interval = paired_difference([2.0, 3.0], [1.0, 2.0])
    assert (interval.low, interval.high, interval.p) == (1.0, 1.0, 0.0)


def test_permutation_interval_by_brute_force() -> None:
    a, b = np.array([3.0, 5.5, 6.0, 9.0]), np.array([1.0, 2.0, 4.5, 0.3])
    interval = permutation_interval(a, b, np.random.default_rng(0))

    def rejected(shift: float) -> bool:
        """Whether either one-sided test at 2.5 % rejects that the difference is this shift."""
        pooled = np.concatenate([a - shift, b])
        groups = np.array(list(combinations(range(8), 4)))
        first = pooled[groups].sum(axis=1)
        differences = first / 4 - (pooled.sum() - first) / 4
        observed = differences[0]
        upper = (differences >= observed - 1e-12).mean()
        lower = (differences <= observed + 1e-12).mean()
        return bool(min(upper, lower) <= 0.025)

    for end, outward in ((interval.low, -1.0), (interval.high, 1.0)):
        assert not rejected(end - outward * 1e-6)
        assert rejected(end + outward * 1e-6)
    everything: Any = np.inf  # all regroupings
    reference = stats.permutation_test(
        (a, b), lambda x, y, axis: x.mean(axis) - y.mean(axis), n_resamples=everything
    )
    assert interval.p == pytest.approx(reference.pvalue)


def test_three_against_three_are_too_few_for_a_permutation_interval() -> None:
    interval = permutation_interval([9.0, 8.0, 7.0], [1.0, 2.0, 3.0], np.random.default_rng(0))
    assert (interval.low, interval.high) == (-np.inf, np.inf)
    assert interval.p == pytest.approx(0.1)  # 2 of 20


def test_permutation_interval_really_uses_its_generator() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(1.0, 1.0, 30), rng.normal(0.0, 1.0, 30)
    first, again, other = (
        permutation_interval(a, b, np.random.default_rng(seed), permutations=500)
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other
    welch = welch_difference(a, b)
    assert first.low == pytest.approx(welch.low, abs=0.15)
    assert first.high == pytest.approx(welch.high, abs=0.15)


@pytest.mark.parametrize("call", [t_interval, lambda v: welch_difference(v, [1.0, 2.0])])
@pytest.mark.parametrize("values", [[], [1.0, np.nan], [[1.0]]])
def test_bad_samples_are_refused(call: Callable[[Any], Any], values: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        call(values)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="level"):
        t_interval([1.0, 2.0], level=95)
    with pytest.raises(ValueError, match="equal numbers"):
        paired_difference([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="permutations"):
        permutation_interval([1.0], [2.0], np.random.default_rng(0), permutations=0)
    with pytest.raises(ValueError, match="shape"):
        t_band([1.0, 2.0])
