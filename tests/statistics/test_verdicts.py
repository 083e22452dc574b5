from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from currgym.statistics import (
    Interval,
    NotOffered,
    Plan,
    conclude,
    equivalence,
    judge,
    paired_difference,
    power_of_t,
    seeds_from_pilot,
    seeds_needed,
    upper_sd,
    welch_difference,
)
from currgym.statistics.choice import Kind

RNG = np.random.default_rng
PLAN = Plan("solved", "random", ("alp-gmm",), 0.1, n=8)
THREE = replace(PLAN, contrasts=("a", "b", "c"))


def interval(low: float, high: float, p: float) -> Interval:
    return Interval((low + high) / 2.0, low, high, 20, "Welch interval", 0.95, p)


# Verdicts. --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "p", "word"),
    [
        (0.05, 0.35, 0.01, "supported"),
        (-0.35, -0.05, 0.01, "contradicted"),
        (-0.05, 0.08, 0.7, "equivalent"),
        (0.01, 0.09, 0.02, "equivalent"),  # significant, and smaller than anything of interest
        (-0.05, 0.30, 0.15, "inconclusive"),
        (0.01, 0.35, 0.06, "inconclusive"),  # Holm's p decides, not the single interval
        (-0.10, 0.05, 0.5, "inconclusive"),  # the edge of the margin is not inside it
    ],
)
def test_the_four_words(low: float, high: float, p: float, word: str) -> None:
    verdict = conclude(PLAN, "rl", 10, interval(low, high, p), frozen=True)
    assert (verdict.word, verdict.final) == (word, True)
    assert (verdict.needed is not None) == (word == "inconclusive")
    lower = replace(PLAN, direction="lower")
    turned = conclude(lower, "rl", 10, interval(-high, -low, p), frozen=True)
    assert turned.word == word


@pytest.mark.parametrize(("kind", "need"), [("rl", 8), ("supervised", 10), ("simulated", 30)])
def test_too_few_seeds_or_no_frozen_plan_give_no_verdict(kind: str, need: int) -> None:
    clear, student = interval(0.2, 0.3, 1e-9), cast(Kind, kind)
    few = conclude(PLAN, student, need - 1, clear, frozen=True)
    assert few == judge(student, need - 1)
    assert few.word == "illustration, no verdict"
    assert conclude(PLAN, student, need, clear, frozen=False).word == "exploratory, no verdict"
    assert not conclude(PLAN, student, need, clear, frozen=False).final
    assert conclude(PLAN, student, need, clear, frozen=True).word == "supported"


def test_there_is_one_look_at_the_planned_seeds() -> None:
    clear = interval(0.2, 0.3, 1e-9)
    early = conclude(replace(PLAN, n=20), "rl", 19, clear, frozen=True)
    assert (early.word, early.final) == ("unfinished, no verdict", False)
    assert "19 of the 20" in early.reason
    assert conclude(replace(PLAN, n=20), "rl", 20, clear, frozen=True).word == "supported"


def test_the_correction_cannot_be_left_out() -> None:
    one = interval(0.05, 0.35, 0.03)
    assert conclude(PLAN, "rl", 8, one, frozen=True).word == "supported"
    with pytest.raises(ValueError, match="corrected by holm"):
        conclude(THREE, "rl", 8, one, frozen=True)
    assert conclude(THREE, "rl", 8, one, frozen=True, adjusted_p=0.09).word == "inconclusive"
    with pytest.raises(ValueError, match=r"asks for 0\.9"):
        conclude(replace(PLAN, alpha=0.1), "rl", 8, one, frozen=True)


def test_without_an_interval_nothing_is_tested() -> None:
    for refused in (
        Interval(0.2, math.nan, math.nan, 16, "bounded_difference needs 8 values"),
        replace(interval(0.05, 0.35, 0.03), p=math.nan),
    ):
        assert conclude(PLAN, "rl", 8, refused, frozen=True).word == "not testable here"


def test_the_n_that_would_decide_decides() -> None:
    """With as many seeds as the verdict asks for, four of five studies are conclusive."""
    rng, decided = RNG(0), {0.0: 0, 0.1: 0}
    sd = 0.15
    pilot = welch_difference(*RNG(6).normal(0.03, sd, (2, 10)))
    verdict = conclude(PLAN, "rl", 10, pilot, frozen=True)
    assert verdict.word == "inconclusive"
    assert verdict.needed is not None
    # Planned by hand on the true spread, for equivalence, the more demanding of the two.
    by_hand = 2.0 * (sd * (1.96 + 1.2816) / 0.1) ** 2
    assert 0.5 * by_hand < verdict.needed < 2.0 * by_hand
    half = float(stats.t.ppf(0.975, 18)) * sd * math.sqrt(2.0 / 10)
    exact = interval(0.05 - half, 0.05 + half, 0.5)
    n = conclude(PLAN, "rl", 10, exact, frozen=True).needed
    assert n is not None
    assert n == pytest.approx(by_hand, rel=0.1)
    for true in decided:
        for _ in range(150):
            a, b = rng.normal(true, sd, n), rng.normal(0.0, sd, n)
            word = conclude(PLAN, "rl", n, welch_difference(a, b), frozen=True).word
            decided[true] += word == ("supported" if true else "equivalent")
    assert 0.72 < decided[0.0] / 150 < 0.88
    assert decided[0.1] / 150 > 0.72


def test_n_is_not_invented_where_there_is_no_width() -> None:
    endless = Interval(0.2, -math.inf, math.inf, 6, "permutation interval", 0.95, 0.1)
    verdict = conclude(PLAN, "rl", 8, endless, frozen=True)
    assert (verdict.word, verdict.needed) == ("inconclusive", None)
    assert "more seeds than can be told" in verdict.reason


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"smallest_effect": 0.0}, "smallest_effect"),
        ({"alpha": 5.0}, "alpha"),
        ({"direction": "up"}, "direction"),
        ({"n": 1}, "n must be"),
        ({"shape": "gaussian"}, "shape must be"),
        ({"correlation": 1.5}, "correlation"),
        ({"threshold": math.nan}, "threshold"),
        ({"contrasts": ()}, "at least one contrast"),
        ({"contrasts": ("a", "a")}, "listed once"),
        ({"contrasts": ("random",)}, "with itself"),
    ],
)
def test_bad_plans_are_refused(change: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        replace(PLAN, **change)


def test_a_plan_that_no_method_can_carry_out_is_refused() -> None:
    PLAN.check("rl")
    replace(PLAN, shape="share", n=2).check("rl")  # an illustration; no verdict anyway
    with pytest.raises(NotOffered, match="paired_difference is not offered"):
        replace(PLAN, shape="skewed", n=10).check("supervised")


def test_arms_are_paired_as_the_pilot_says() -> None:
    assert PLAN.paired("supervised")
    assert PLAN.paired("simulated")
    assert not PLAN.paired("rl")
    assert not replace(PLAN, correlation=0.3).paired("rl")
    assert replace(PLAN, correlation=0.31).paired("rl")


def test_pairing_by_the_tested_runs_own_correlation_errs_too_often() -> None:
    """Why the correlation is the plan's: independent arms, n = 8, nominal 5 %."""
    x, y = RNG(0).normal(size=(2, 20_000, 8))
    welch: Any = stats.ttest_ind(x, y, axis=1, equal_var=False)
    paired: Any = stats.ttest_rel(x, y, axis=1)
    both: Any = stats.pearsonr(x, y, axis=1)
    chosen = np.where(both.statistic > 0.3, paired.pvalue, welch.pvalue)
    assert (welch.pvalue < 0.05).mean() < 0.053
    assert (chosen < 0.05).mean() > 0.058


# Equivalence. -----------------------------------------------------------------------------------


def test_equivalence_by_hand() -> None:
    # d = 1 0 -1 0: mean 0, SD .8165, se .40825; t = 1 / .40825 = 2.4495 on 3 df.
    found = equivalence([2.0, 2.0, 2.0, 2.0], [1.0, 2.0, 3.0, 2.0], margin=1.0, paired=True)
    assert found.p == pytest.approx(float(stats.t.sf(2.449490, 3)), abs=1e-6)
    assert found.equivalent
    # t(.95, 3) = 2.35336 (table): the 90 % interval just fits.
    assert found.difference.high == pytest.approx(2.35336 * 0.408248, abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100_000), st.booleans(), st.floats(0.3, 1.5))
def test_both_tests_reject_just_where_the_interval_is_inside(
    seed: int, paired: bool, margin: float
) -> None:
    a, b = RNG(seed).normal(0.0, 0.5, (2, 8))
    found = equivalence(a, b, margin, paired=paired)
    method = paired_difference if paired else welch_difference
    assert found.difference == method(a, b, level=0.9)
    inside = -margin < found.difference.low and found.difference.high < margin
    assert found.equivalent == inside


def test_not_significant_is_not_equivalent() -> None:
    a, b = [0.0, 1.0, 2.0], [0.5, 1.0, 2.5]
    assert welch_difference(a, b).p > 0.5
    assert not equivalence(a, b, margin=0.4).equivalent


def test_equivalence_errs_rarely_at_the_margin() -> None:
    rng = RNG(1)
    wrong = sum(
        equivalence(rng.normal(1.0, 1.0, 20), rng.normal(0.0, 1.0, 20), 1.0).equivalent
        for _ in range(500)
    )
    assert wrong / 500 < 0.07


def test_equivalence_without_spread_and_bad_settings() -> None:
    assert equivalence([1.0, 1.0], [1.0, 1.0], 0.1).equivalent
    assert not equivalence([2.0, 2.0], [1.0, 1.0], 0.1).equivalent
    with pytest.raises(ValueError, match="margin"):
        equivalence([1.0, 2.0], [1.0, 2.0], 0.0)
    with pytest.raises(ValueError, match="alpha"):
        equivalence([1.0, 2.0], [1.0, 2.0], 0.1, alpha=0.5)
    with pytest.raises(ValueError, match="2 values"):
        equivalence([1.0], [1.0, 2.0], 0.1)
    with pytest.raises(ValueError, match="bounded_difference"):
        equivalence([0.1] * 8, [0.2] * 8, 0.1, shape="bounded")


# Power. -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "needed"),
    [
        (0.2, 394),
        (0.5, 64),
        (0.8, 26),
    ],  # Cohen 1992, Psychological Bulletin 112, table 2: 393 64 26
)
def test_n_for_80_percent_equals_the_published(effect: float, needed: int) -> None:
    assert seeds_needed(effect, 1.0) == needed


def test_paired_n_equals_the_published() -> None:
    # G*Power 3.1's example for a medium effect of paired means: 34 pairs.
    assert seeds_needed(0.5, 1.0, paired=True) == 34


@pytest.mark.parametrize("paired", [False, True])
def test_power_is_how_often_the_test_rejects(paired: bool) -> None:
    rng = RNG(2)
    x, y = rng.normal(0.0, 1.0, (20_000, 9)), rng.normal(0.0, 2.0, (20_000, 9))
    if paired:
        found: Any = stats.ttest_1samp(x + 1.0, 0.0, axis=1)
        assert (found.pvalue < 0.05).mean() == pytest.approx(
            power_of_t(1.0, 1.0, 9, paired=True), abs=0.01
        )
    else:
        found = stats.ttest_ind(x + 2.0, y, axis=1, equal_var=False)
        assert (found.pvalue < 0.05).mean() == pytest.approx(power_of_t(2.0, 1.0, 9, 2.0), abs=0.01)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.15, 5.0), st.floats(0.5, 0.95), st.integers(1, 6), st.booleans())
def test_n_is_the_first_that_has_the_power(
    effect: float, power: float, k: int, paired: bool
) -> None:
    n = seeds_needed(effect, 1.0, paired=paired, power=power, contrasts=k)
    assert power_of_t(effect, 1.0, n, paired=paired, alpha=0.05 / k) >= power
    if n > 2:
        assert power_of_t(effect, 1.0, n - 1, paired=paired, alpha=0.05 / k) < power
    assert seeds_needed(-effect, 1.0, paired=paired, power=power, contrasts=k) == n


def test_upper_sd_by_hand_and_by_simulation() -> None:
    # chi2(.2, 4) = 1.6488 (table): SD 1.5811 * sqrt(4 / 1.6488).
    assert upper_sd([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(1.581139 * 1.557550, abs=1e-4)
    rng = RNG(3)
    above = np.mean([upper_sd(rng.normal(0.0, 2.0, 5)) >= 2.0 for _ in range(2_000)])
    assert above == pytest.approx(0.8, abs=0.03)


def test_a_small_pilot_plans_more_seeds() -> None:
    pilot = [1.0, 2.0, 3.0, 4.0, 5.0]
    plain = seeds_from_pilot(pilot, 1.0, confidence=None)
    assert plain == seeds_needed(1.0, float(np.std(pilot, ddof=1)))
    careful = seeds_from_pilot(pilot, 1.0)
    assert careful == seeds_needed(1.0, upper_sd(pilot))
    assert careful > 2 * plain
    shifted = [v + 0.1 * i**2 for i, v in enumerate(pilot)]
    paired = seeds_from_pilot(shifted, 1.0, pilot, paired=True, confidence=None)
    d = np.subtract(shifted, pilot)
    assert paired == seeds_needed(1.0, float(np.std(d, ddof=1)), paired=True)
    both = seeds_from_pilot(pilot, 1.0, shifted, confidence=None)
    assert both == seeds_needed(1.0, float(np.std(pilot, ddof=1)), float(np.std(shifted, ddof=1)))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: seeds_needed(0.0, 1.0), "effect"),
        (lambda: seeds_needed(1.0, 0.0), "standard deviations"),
        (lambda: seeds_needed(1.0, 1.0, power=1.0), "power"),
        (lambda: seeds_needed(1.0, 1.0, contrasts=0), "contrasts"),
        (lambda: seeds_needed(1e-4, 1.0), "more than 100,000"),
        (lambda: power_of_t(1.0, 1.0, 1), "n must"),
        (lambda: upper_sd([1.0]), "at least 2"),
        (lambda: upper_sd([1.0, 2.0], 1.0), "confidence"),
        (lambda: seeds_from_pilot([1.0, 1.0], 1.0), "shows no spread"),
        (lambda: seeds_from_pilot([1.0, 2.0], 1.0, [1.0], paired=True), "equal numbers"),
    ],
)
def test_bad_settings_are_refused(call: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        call()
