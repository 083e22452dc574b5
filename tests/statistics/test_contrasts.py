from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

import currgym.statistics as statistics
from currgym.statistics import (
    best_against_runner_up,
    bounded_difference,
    contrasts,
    decompose,
    holm,
    paired_difference,
    welch_difference,
)

RNG = np.random.default_rng


def arms(k: int, n: int = 10, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    return {f"arm{i}": row for i, row in enumerate(RNG(seed).normal(size=(k, n)))}


def test_contrasts_are_with_the_baseline_only() -> None:
    values = arms(4)
    found = contrasts(values, "arm1", RNG(0))
    assert list(found) == ["arm0", "arm2", "arm3"]
    singles = [welch_difference(values[a], values["arm1"]) for a in found]
    assert [c.difference for c in found.values()] == singles
    np.testing.assert_allclose([c.adjusted_p for c in found.values()], holm([s.p for s in singles]))
    for arm, contrast in found.items():
        wide = welch_difference(values[arm], values["arm1"], level=1.0 - 0.05 / 3)
        assert contrast.simultaneous == wide


def test_one_contrast_needs_no_correction() -> None:
    found = contrasts(arms(2), "arm0", RNG(0), paired=True)["arm1"]
    assert found.adjusted_p == found.difference.p
    assert found.simultaneous.low == pytest.approx(found.difference.low)
    values = arms(2)
    assert found.difference == paired_difference(values["arm1"], values["arm0"])


def test_simultaneous_intervals_of_bounded_outcomes_are_wider() -> None:
    rates = {a: stats.norm.cdf(v) for a, v in arms(3).items()}
    for contrast in contrasts(rates, "arm0", RNG(0), "bounded").values():
        assert contrast.difference.method == bounded_difference([0.5] * 8, [0.5] * 8, RNG(0)).method
        assert contrast.simultaneous.low < contrast.difference.low
        assert contrast.simultaneous.high > contrast.difference.high


def test_correction_keeps_the_error_rate() -> None:
    """Of five equal arms some contrast rejects in 5 % of studies; uncorrected in far more."""
    rng = RNG(1)
    wrong, uncorrected, all_covered = 0, 0, 0
    for _ in range(400):
        values = {str(i): row for i, row in enumerate(rng.normal(size=(6, 8)))}
        found = contrasts(values, "0", rng).values()
        wrong += min(c.adjusted_p for c in found) < 0.05
        uncorrected += min(c.difference.p for c in found) < 0.05
        all_covered += all(c.simultaneous.low <= 0.0 <= c.simultaneous.high for c in found)
    assert wrong / 400 < 0.07
    assert uncorrected / 400 > 0.1
    assert all_covered / 400 > 0.935


def test_contrasts_refuse_what_they_cannot_do() -> None:
    with pytest.raises(ValueError, match=r"baseline must be one of \['arm0', 'arm1'\]"):
        contrasts(arms(2), "random", RNG(0))
    with pytest.raises(ValueError, match="no arm to compare"):
        contrasts(arms(1), "arm0", RNG(0))
    with pytest.raises(ValueError, match="'b' has one value"):
        contrasts({"a": [1.0, 2.0], "b": [1.0]}, "a", RNG(0))
    refused = contrasts({"a": [1.0] * 7, "b": [0.0] * 7}, "a", RNG(0), "bounded")["b"]
    assert "bounded_difference needs at least 8" in refused.difference.method
    assert (refused.difference.estimate, refused.difference.known) == (-1.0, False)
    assert refused.adjusted_p == 1.0


def test_nothing_compares_all_pairs() -> None:
    assert not [name for name in statistics.__all__ if "pairs" in name and name != "pairs_seeds"]


# The best against its runner-up. ----------------------------------------------------------------


def test_best_against_runner_up_by_hand() -> None:
    values = {"a": [1.0, 2, 3], "b": [5.0, 6, 7], "c": [3.0, 4, 5]}
    found = best_against_runner_up(values)
    assert (found.best, found.runner_up) == ("b", "c")
    reference: Any = stats.ttest_ind(values["b"], values["c"], equal_var=False)
    assert found.p == pytest.approx(reference.pvalue)
    assert found.difference.estimate == pytest.approx(2.0)
    assert found.difference.low == pytest.approx(reference.confidence_interval(0.95).low)
    assert found.difference.high == np.inf


def test_a_noisy_third_can_be_the_rival_that_counts() -> None:
    values = {"a": [5.0, 5.1, 4.9], "b": [3.0, 3.1, 2.9], "c": [-6.0, 2.5, 11.0]}
    found = best_against_runner_up(values)
    assert found.runner_up == "b"
    assert found.p == pytest.approx(welch_difference(values["a"], values["c"]).p)


Draw = Callable[[np.random.Generator], list[NDArray[np.float64]]]


def error_rate(draw: Draw, studies: int, better: int | None = None) -> float:
    """How often an arm is called the best that is not better than all the others."""
    rng, wrong = RNG(2), 0
    for _ in range(studies):
        found = best_against_runner_up({str(i): v for i, v in enumerate(draw(rng))})
        wrong += found.p < 0.05 and found.best != str(better)
    return wrong / studies


@pytest.mark.parametrize("k", [2, 3, 6])
def test_of_equal_arms_none_is_the_best(k: int) -> None:
    assert error_rate(lambda rng: list(rng.normal(size=(k, 8))), 1_000) <= 0.062


def test_two_equal_arms_far_above_the_others_are_the_worst_case() -> None:
    means = np.array([[5.0], [5.0], [0.0], [0.0]])
    rate = error_rate(lambda rng: list(rng.normal(means, 1.0, (4, 8))), 1_500)
    assert 0.035 < rate <= 0.061  # attained, not exceeded: nothing is given away


def test_unequal_spreads_and_numbers() -> None:
    def draw(rng: np.random.Generator) -> list[NDArray[np.float64]]:
        return [rng.normal(0.0, sd, n) for sd, n in ((1.0, 8), (3.0, 12), (0.5, 8), (2.0, 20))]

    assert error_rate(draw, 1_000) <= 0.062


def test_a_one_sided_test_would_err_twice_as_often() -> None:
    rng, wrong = RNG(3), 0
    for _ in range(1_000):
        x, y = rng.normal(size=(2, 8))
        best, other = (x, y) if x.mean() > y.mean() else (y, x)
        test: Any = stats.ttest_ind(best, other, equal_var=False, alternative="greater")
        wrong += test.pvalue < 0.05
    assert wrong / 1_000 > 0.08


def test_a_clear_winner_is_found() -> None:
    def draw(rng: np.random.Generator) -> list[NDArray[np.float64]]:
        return list(rng.normal([[3.0], [0.0], [0.0]], 1.0, (3, 8)))

    rng = RNG(4)
    found = [best_against_runner_up({str(i): v for i, v in enumerate(draw(rng))})
             for _ in range(100)]  # fmt: skip
    assert sum(f.p < 0.05 and f.best == "0" for f in found) > 90


def test_the_best_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="no runner-up"):
        best_against_runner_up({"a": [1.0, 2.0]})


# Where a gain comes from. -----------------------------------------------------------------------


@pytest.mark.parametrize("paired", [False, True])
def test_parts_add_up_to_the_total(paired: bool) -> None:
    base, shuffled, yoked, teacher = RNG(5).normal([[0.0], [1.0], [1.5], [3.0]], 0.3, (4, 10))
    found = decompose(base, shuffled, yoked, teacher, RNG(0), paired=paired)
    parts = found.parts()
    assert list(parts) == ["marginal", "order", "adaptivity"]
    assert sum(p.estimate for p in parts.values()) == pytest.approx(found.total.estimate)
    assert parts["marginal"].estimate == pytest.approx(shuffled.mean() - base.mean())
    assert parts["order"].estimate == pytest.approx(yoked.mean() - shuffled.mean())
    assert parts["adaptivity"].estimate == pytest.approx(teacher.mean() - yoked.mean())
    method = paired_difference if paired else welch_difference
    assert found.adaptivity == method(teacher, yoked)


def test_a_teacher_that_only_picks_better_tasks_shows_as_such() -> None:
    rng = RNG(6)
    base = rng.normal(0.0, 0.5, 12)
    shuffled, yoked, teacher = rng.normal(2.0, 0.5, (3, 12))
    found = decompose(base, shuffled, yoked, teacher, rng)
    assert found.marginal.low > 0.0
    for part in (found.order, found.adaptivity):
        assert part.low < 0.0 < part.high


def test_decompose_passes_its_settings_on() -> None:
    base, shuffled, yoked, teacher = RNG(7).random((4, 8))
    found = decompose(base, shuffled, yoked, teacher, RNG(0), shape="bounded", level=0.9)
    assert found.total.level == 0.9
    assert "Gaffke" in found.total.method
    with pytest.raises(ValueError, match="yoked_shuffled must be"):
        decompose([1.0], [], [1.0], [1.0], RNG(0))
    with pytest.raises(ValueError, match="equal numbers"):
        decompose([1.0, 2.0], [1.0], [1.0], [1.0], RNG(0), paired=True)
