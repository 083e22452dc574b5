import numpy as np
import pytest

from currgym.statistics import cvar, fewest_seeds, holm, interquartile_mean, judge


def test_interquartile_mean_by_hand() -> None:
    # Sorted -9 0 1 2 3 4 5 6 90 100: two cut at each end leave 1 to 6.
    scores = [[0.0, 100.0], [5.0, 3.0], [2.0, 4.0], [6.0, 1.0], [90.0, -9.0]]
    interval = interquartile_mean(scores, np.random.default_rng(0))
    assert interval.estimate == 3.5
    assert interval.low <= 3.5 <= interval.high


def test_bootstrap_draws_within_columns() -> None:
    # No spread within a column: whatever is drawn, the resample is the sample.
    scores = np.tile([0.0, 10.0, 20.0, 30.0], (5, 1))
    interval = interquartile_mean(scores, np.random.default_rng(0))
    assert (interval.low, interval.estimate, interval.high) == (15.0, 15.0, 15.0)


def test_bootstrap_really_uses_its_generator() -> None:
    scores = np.random.default_rng(3).normal(size=(10, 3))
    first, again, other = (
        interquartile_mean(scores, np.random.default_rng(seed), resamples=200) for seed in (0, 0, 1)
    )
    assert first == again
    assert first.low != other.low


def test_interquartile_mean_of_one_seed_has_no_interval() -> None:
    assert not interquartile_mean([[1.0, 2.0]], np.random.default_rng(0)).known
    with pytest.raises(ValueError, match="matrix"):
        interquartile_mean([[np.nan]], np.random.default_rng(0))


def test_cvar_by_hand() -> None:
    values = [3.0, 1.0, 2.0, 0.0]
    assert cvar(values, 0.25) == 0.0
    assert cvar(values, 1.0) == 1.5
    # 1.5 of 4 values: all of the 0, half of the 1
    assert cvar(values, 0.375) == pytest.approx(0.5 / 1.5)
    assert cvar([7.0], 0.1) == pytest.approx(7.0)
    with pytest.raises(ValueError, match="share"):
        cvar(values, 0.0)


def test_holm_by_hand() -> None:
    # Sorted .005 .01 .03 .04 times 4 3 2 1 = .02 .03 .06 .04, made ascending.
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.6, 0.7]), [1.0, 1.0])
    assert len(holm([])) == 0
    with pytest.raises(ValueError, match="p-values"):
        holm([1.2])


@pytest.mark.parametrize(("kind", "need"), [("rl", 8), ("supervised", 10), ("simulated", 30)])
def test_too_few_seeds_give_no_verdict(kind: str, need: int) -> None:
    assert fewest_seeds(kind) == need
    few = judge(kind, need - 1)
    assert few.word == "illustration, no verdict"
    assert f"at least {need}" in few.reason
    enough = judge(kind, need)
    assert enough.word.startswith("exploratory")
    assert not few.final
    assert not enough.final


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind must be one of"):
        fewest_seeds("unsupervised")
