"""From values to verdicts: planted effects are found, absent ones are not, and rules hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from currgym.statistics import Plan, paired_difference, welch_difference
from currgym.statistics.choice import Kind
from currgym.studies.conclusions import (
    ArmValues,
    Conclusions,
    conclude_across,
    conclude_panel,
)
from currgym.studies.endpoints import ENDPOINTS, RunCurve, tail_of
from currgym.studies.tables import across_rows, across_table, interval_text, latex, rows, table

RNG = np.random.default_rng
PLAN = Plan("solved", "random", ("alp-gmm",), 0.1, n=10, shape="share")


def arm(label: str, mean: float, seeds: int = 10, sd: float = 0.05, **more: Any) -> ArmValues:
    values = RNG([len(label), ord(label[0])]).normal(mean, sd, seeds).clip(0.0, 1.0)
    return ArmValues(label, dict(enumerate(values.tolist())), **more)


def panel(
    gain: float,
    seeds: int = 10,
    kind: Kind = "rl",
    frozen: bool = True,
    plan: Plan | None = PLAN,
    sd: float = 0.05,
    others: tuple[ArmValues, ...] = (),
) -> Conclusions:
    arms = [arm("random", 0.4, seeds, sd), arm("alp-gmm", 0.4 + gain, seeds, sd), *others]
    return conclude_panel(arms, "solved", kind, range(seeds), "random", plan, frozen)


# Words. ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gain", "sd", "word"),
    [
        (0.3, 0.05, "supported"), (-0.3, 0.05, "contradicted"), (0.0, 0.05, "equivalent"),
        (0.05, 0.2, "inconclusive"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["rl", "supervised"])
def test_a_planted_effect_gets_its_word(gain: float, sd: float, word: str, kind: Kind) -> None:
    found = panel(gain, kind=kind, sd=sd)
    concluded = found["alp-gmm"]
    assert (concluded.verdict.word, concluded.verdict.final) == (word, True)
    assert found["random"].verdict.word == "baseline"
    assert found.verdict.word == f"alp-gmm: {word}"
    assert concluded.adjusted_p is not None
    if word == "inconclusive":
        assert concluded.verdict.needed is not None


@pytest.mark.parametrize(("kind", "need"), [("rl", 8), ("supervised", 10), ("simulated", 30)])
def test_few_seeds_illustrate_and_no_plan_explores(kind: Kind, need: int) -> None:
    plan = replace(PLAN, n=need)
    few = panel(0.3, need - 1, kind, plan=plan)
    assert few.verdict.word == few["alp-gmm"].verdict.word == "illustration, no verdict"
    for without in (panel(0.3, need, kind, False, plan), panel(0.3, need, kind, False, None)):
        assert without["alp-gmm"].verdict.word == "exploratory, no verdict"
        assert without.best is None
        assert not without.verdict.final
    assert panel(0.3, need, kind, True, plan)["alp-gmm"].verdict.word == "supported"


CLAIM = replace(
    PLAN, protocol="conceptual", scale=0.05, differs="PPO in place of SAC",
    by_construction={"never": "it may not choose"}, not_testable={"vision": "no pictures here"},
)  # fmt: skip
DECLARED = (arm("never", 0.9), arm("vision", 0.9))


def test_what_cannot_fail_and_what_cannot_be_tested_say_so() -> None:
    """However far their values lie from the baseline's: they are no contrasts."""
    found = panel(0.3, plan=CLAIM, others=DECLARED)
    alone = panel(0.3)
    for label, word, why in (
        ("never", "by construction", "it may not choose"),
        ("vision", "not testable here", "no pictures here"),
    ):
        verdict = found[label].verdict
        assert (verdict.word, verdict.reason, verdict.final) == (word, why, True)
        assert found[label].adjusted_p is None
    assert found["alp-gmm"].adjusted_p == alone["alp-gmm"].adjusted_p  # Holm over one contrast
    assert found["alp-gmm"].verdict.word == "supported"
    assert found.best is not None
    assert {found.best.best, found.best.runner_up} == {"alp-gmm", "random"}
    open_ = panel(0.3, plan=CLAIM, frozen=False, others=DECLARED)
    assert not any(one.verdict.final for one in open_.arms)


def test_a_plan_may_say_only_what_needs_no_test() -> None:
    plan = replace(PLAN, contrasts=(), by_construction={"alp-gmm": "it is the same code"})
    found = panel(0.3, plan=plan)
    assert found["alp-gmm"].verdict.text == "by construction"
    assert found.best is None
    with pytest.raises(ValueError, match="at least one contrast"):
        replace(PLAN, contrasts=())


@pytest.mark.parametrize(
    ("plan", "label", "tried"),
    [
        (CLAIM, "conceptual, scale 0.05", "at 0.05 times the original's budget; PPO in place"),
        (replace(PLAN, protocol="same"), "same protocol", "under the same protocol"),
        (PLAN, "", ""),
    ],
)
def test_a_verdict_on_a_published_claim_is_labelled(plan: Plan, label: str, tried: str) -> None:
    others = DECLARED if plan is CLAIM else ()
    found = panel(0.3, plan=plan, others=others)
    text = f"supported ({label})" if label else "supported"
    assert found["alp-gmm"].verdict.text == text
    assert found.verdict.word.startswith(f"alp-gmm: {text}")
    assert tried in found.tried
    (row,) = [row for row in rows("cube", found) if row["arm"] == "alp-gmm"]
    assert row["verdict"] == "supported"
    assert row["protocol"] == (plan.protocol or "")
    scale = {"conceptual": 0.05, "same": 1.0, "": np.nan}[row["protocol"]]
    np.testing.assert_equal(row["scale"], scale)
    tex = latex({"cube": found})
    assert text in tex
    assert (found.tried in tex) if label else (r"\footnotesize" not in tex)
    assert text in str(list(table("cube", found).columns[-1].cells)[1])
    few = panel(0.3, 7, plan=replace(plan, n=7), others=others)
    assert few["alp-gmm"].verdict.text == "illustration, no verdict"  # no verdict, no label


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"protocol": "other"}, "protocol must be 'same' or 'conceptual'"),
        ({"protocol": "conceptual"}, "needs scale"),
        ({"protocol": "conceptual", "scale": -1.0}, "above 0, got -1"),
        ({"protocol": "same", "scale": 0.5}, "scale goes with"),
        ({"differs": "another body"}, "differs goes with"),
        ({"by_construction": {"alp-gmm": "why"}}, "'alp-gmm' is listed twice"),
        ({"by_construction": {"a": "x"}, "not_testable": {"a": "y"}}, "'a' is listed twice"),
        ({"not_testable": {"random": "why"}}, "cannot be compared with itself"),
        ({"not_testable": {"a": " "}}, "not_testable must say why for 'a'"),
        ({"by_construction": {"a": 3}}, "by_construction must say why for 'a'"),
    ],
)
def test_a_claim_that_does_not_fit_is_refused(change: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        replace(PLAN, **change)


def test_the_first_planned_seeds_count_and_no_others() -> None:
    """Twenty more seeds that say the contrary change nothing; they are no second chance."""
    before = panel(0.3)
    turned = {
        a.arm: {**a.values, **dict.fromkeys(range(10, 30), 0.9 if a.arm == "random" else 0.1)}
        for a in before.arms
    }
    after = conclude_panel(
        [ArmValues(label, values) for label, values in turned.items()],
        "solved", "rl", range(30), "random", PLAN, True,
    )  # fmt: skip
    assert after["alp-gmm"].verdict == before["alp-gmm"].verdict
    assert after["alp-gmm"].mean == before["alp-gmm"].mean
    assert after.seeds == tuple(range(10))
    assert len(after["alp-gmm"].values) == 30


def test_before_the_planned_seeds_are_there_it_is_unfinished() -> None:
    arms = [arm("random", 0.4), arm("alp-gmm", 0.7)]
    found = conclude_panel(arms, "solved", "rl", range(20), "random", replace(PLAN, n=20), True)
    assert found["alp-gmm"].verdict.word == "unfinished, no verdict"
    assert found.verdict.word == "unfinished, no verdict"
    assert found.best is None


def test_seeds_that_choose_settings_give_no_verdict() -> None:
    arms = [
        ArmValues(a.label, {1000 + s: v for s, v in a.values.items()})
        for a in (arm("random", 0.4), arm("alp-gmm", 0.7))
    ]
    found = conclude_panel(arms, "solved", "rl", range(1000, 1010), "random", PLAN, True)
    verdict = found["alp-gmm"].verdict
    assert (verdict.word, verdict.final) == ("exploratory, no verdict", False)
    assert "seeds from 1000 up" in verdict.reason
    assert found.best is None


def test_an_arm_that_was_not_planned_is_described_only() -> None:
    found = panel(0.3, others=(arm("window", 0.9),))
    assert found["window"].verdict.word == "exploratory, no verdict"
    assert "contrasts" in found["window"].verdict.reason
    assert found["window"].difference is not None
    assert found["window"].adjusted_p is None
    # Its presence costs the planned contrast nothing.
    alone = panel(0.3)["alp-gmm"]
    assert found["alp-gmm"].adjusted_p == alone.adjusted_p


def test_another_endpoint_than_the_plans_is_an_exploration() -> None:
    arms = [arm("random", 0.4), arm("alp-gmm", 0.7)]
    found = conclude_panel(arms, "area", "rl", range(10), "random", PLAN, True)
    assert not found.frozen
    assert found["alp-gmm"].verdict.word == "exploratory, no verdict"


def test_less_time_is_better() -> None:
    plan = Plan("time", "random", ("alp-gmm",), 0.1, 10, direction="lower", shape="share")
    arms = [arm("random", 0.7), arm("alp-gmm", 0.4)]
    found = conclude_panel(arms, "time", "rl", range(10), "random", plan, True)
    assert found["alp-gmm"].verdict.word == "supported"
    assert found.best is not None
    assert found.best.best == "alp-gmm"


# Methods. ----------------------------------------------------------------------------------------


def test_reinforcement_learning_is_not_paired_unless_the_pilot_says_so() -> None:
    rl, supervised = panel(0.3), panel(0.3, kind="supervised")
    alike = panel(0.3, plan=replace(PLAN, correlation=0.5))
    x, y = (list(rl[label].values.values()) for label in ("alp-gmm", "random"))
    assert rl["alp-gmm"].difference == welch_difference(x, y)
    assert supervised["alp-gmm"].difference == paired_difference(x, y)
    assert alike["alp-gmm"].difference == paired_difference(x, y)
    assert (rl.paired, supervised.paired, alike.paired) == (False, True, True)


def test_pairs_are_the_common_seeds() -> None:
    base = arm("random", 0.4, 12)
    other = ArmValues("alp-gmm", {s: v + 0.1 for s, v in base.values.items() if s != 3})
    found = conclude_panel([base, other], "solved", "supervised", range(12), "random")["alp-gmm"]
    assert found.difference is not None
    assert found.difference.n == 11
    assert found.difference.estimate == pytest.approx(0.1)


def test_without_a_plan_controls_are_outside_the_family() -> None:
    control = arm("uniform-steps", 0.4, control=True)
    found = panel(0.3, frozen=False, plan=None, others=(control,))
    assert found["uniform-steps"].difference is not None
    assert found["uniform-steps"].adjusted_p is None
    assert found["alp-gmm"].difference is not None
    assert found["alp-gmm"].adjusted_p == pytest.approx(found["alp-gmm"].difference.p)


def test_one_seed_and_none_have_no_interval() -> None:
    one = panel(0.3, 1, frozen=False, plan=None)["alp-gmm"]
    assert one.mean is not None
    assert one.difference is not None
    assert not one.mean.known
    assert not one.difference.known
    empty = [ArmValues("random", {}), ArmValues("alp-gmm", {})]
    found = conclude_panel(empty, "solved", "rl", range(8), "random", None)
    assert found["alp-gmm"].mean is found["alp-gmm"].difference is None
    assert found.verdict.word == "illustration, no verdict"


def test_a_few_seeds_have_an_estimate_only() -> None:
    arms = [ArmValues("random", dict.fromkeys(range(3), 0.0)), arm("alp-gmm", 0.5, 3)]
    found = conclude_panel(arms, "solved", "rl", range(3), "random")["alp-gmm"]
    assert found.difference is not None
    assert not found.difference.known
    assert "needs at least 8" in found.difference.method


def test_a_baseline_that_never_solves_can_be_beaten() -> None:
    """Eight runs at 0 against eight at about a fifth: the commonest case there is."""
    arms = [ArmValues("random", dict.fromkeys(range(8), 0.0)), arm("alp-gmm", 0.22, 8)]
    plan = replace(PLAN, n=8)
    found = conclude_panel(arms, "solved", "rl", range(8), "random", plan, True)
    assert found["alp-gmm"].verdict.word == "supported"


def test_other_information_is_marked() -> None:
    arms = [
        arm("random", 0.4), arm("alp-gmm", 0.7), arm("window", 0.7, privileges=("difficulty",)),
    ]  # fmt: skip
    plan = replace(PLAN, contrasts=("alp-gmm", "window"))
    found = conclude_panel(arms, "solved", "rl", range(10), "random", plan, True)
    assert [a.crosses for a in found.arms] == [False, False, True]


def test_a_gain_is_split_where_its_replays_are_there() -> None:
    replays = (
        arm("yoked-alp-gmm", 0.6, control=True, teacher="yoked", of="alp-gmm"),
        arm("yoked-shuffled-alp-gmm", 0.5, control=True, teacher="yoked-shuffled", of="alp-gmm"),
    )
    found = panel(0.3, others=replays)
    parts = found["alp-gmm"].parts
    assert parts is not None
    total = found["alp-gmm"].difference
    assert total is not None
    assert sum(p.estimate for p in parts.parts().values()) == pytest.approx(total.estimate)
    assert parts.marginal.estimate == pytest.approx(0.1, abs=0.05)
    assert panel(0.3, others=replays[:1])["alp-gmm"].parts is None
    assert found["random"].parts is None


def test_the_best_is_named_against_its_runner_up_only() -> None:
    plan = replace(PLAN, contrasts=("alp-gmm", "window"))
    found = panel(0.1, plan=plan, others=(arm("window", 0.9, control=False),))
    assert found.best is not None
    assert (found.best.best, found.best.runner_up) == ("window", "alp-gmm")
    assert found.best.p < 0.05


def test_what_is_unknown_is_refused() -> None:
    with pytest.raises(ValueError, match="kind must be one of"):
        panel(0.3, kind="robot")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the plan's arm 'window'"):
        panel(0.3, plan=replace(PLAN, contrasts=("window",)))


def test_the_same_values_give_the_same_conclusions() -> None:
    def once() -> list[dict[str, Any]]:
        return rows("p", panel(0.5, others=(arm("window", 0.97),)))

    assert str(once()) == str(once())


# Error rates. ------------------------------------------------------------------------------------


def false_verdicts(shape: str, studies: int = 400) -> float:
    """Return how often five arms without any effect get some verdict of a difference."""
    labels = [f"arm{i}" for i in range(5)]
    plan = Plan("solved", "random", tuple(labels), 0.1, n=8, shape="share")
    rng, wrong = RNG(0), 0
    for _ in range(studies):
        if shape == "middle":
            drawn = rng.beta(6.0, 4.0, (6, 8))
        else:  # most runs solve next to nothing, some much
            drawn = rng.beta(0.3, 3.0, (6, 8)).round(2)
        arms = [
            ArmValues(label, dict(enumerate(row.tolist())))
            for label, row in zip(["random", *labels], drawn, strict=True)
        ]
        found = conclude_panel(arms, "solved", "rl", range(8), "random", plan, True)
        wrong += any(a.verdict.word in ("supported", "contradicted") for a in found.arms)
    return wrong / studies


@pytest.mark.parametrize(("shape", "studies"), [("middle", 300), ("corner", 60)])
def test_without_any_effect_few_studies_find_one(shape: str, studies: int) -> None:
    """At most about 5 % over five contrasts: 300 studies tell 5 from 10, 60 from 16."""
    slack = 2.0 * (0.05 * 0.95 / studies) ** 0.5
    assert false_verdicts(shape, studies) <= 0.05 + slack


def test_a_real_effect_is_found_by_most_studies() -> None:
    rng, right = RNG(1), 0
    for _ in range(100):
        arms = [
            ArmValues(label, dict(enumerate(rng.normal(mean, 0.05, 10).tolist())))
            for label, mean in (("random", 0.4), ("alp-gmm", 0.5))
        ]
        found = conclude_panel(arms, "solved", "rl", range(10), "random", PLAN, True)
        right += found["alp-gmm"].verdict.word == "supported"
    assert right > 90  # power .99 by seeds_needed's formula, less the Welch correction


# Endpoints. --------------------------------------------------------------------------------------


def curve(*solved: float) -> RunCurve:
    steps = np.linspace(0.0, 1_000.0, len(solved))
    return RunCurve(steps, np.array(solved), 10.0 * np.array(solved), 1_000)


def test_endpoints_by_hand() -> None:
    run = curve(0.0, 0.2, 0.6, 0.8, 0.8)  # at 0, 250, ..., 1000
    assert ENDPOINTS["solved"].value(run) == 0.8
    assert ENDPOINTS["return"].value(run) == 8.0
    assert ENDPOINTS["area"].value(run) == pytest.approx((0.1 + 0.4 + 0.7 + 0.8) / 4.0)
    assert ENDPOINTS["time"].value(run, 0.5) == 0.5
    assert ENDPOINTS["time"].value(run, 0.8) == 0.75
    assert ENDPOINTS["time"].value(run, 0.9) == 1.0  # never: censored at the budget
    assert all(e.name == name for name, e in ENDPOINTS.items())


def test_a_run_without_success_has_no_share() -> None:
    run = curve(0.0, float("nan"))
    for name in ("solved", "area", "time"):
        assert ENDPOINTS[name].value(run) is None
    empty = RunCurve(np.empty(0), np.empty(0), np.empty(0), 1_000)
    assert ENDPOINTS["return"].value(empty) is None


def test_the_tail_is_the_worst_tenth_of_the_tasks() -> None:
    assert tail_of(np.arange(20.0)) == 0.5
    assert tail_of(np.empty(0)) is None


def test_the_tail_stands_beside_the_mean() -> None:
    tails = {seed: 0.1 for seed in range(10)} | {0: 0.2}
    found = panel(0.0, others=(replace(arm("window", 0.6), tail=tails),))
    tail = found["window"].tail
    assert tail is not None
    assert tail.estimate == pytest.approx(0.11)
    assert found["random"].tail is None


# Across environments. ----------------------------------------------------------------------------


def panels(count: int, endpoint: str = "solved") -> Mapping[str, Conclusions]:
    found = {}
    for i in range(count):
        rng = RNG(i)
        arms = [
            ArmValues(label, dict(enumerate(rng.normal(mean, 0.05, 8).tolist())))
            for label, mean in (("random", 0.3 + 0.1 * i), ("alp-gmm", 0.5 + 0.1 * i))
        ]
        found[f"env{i}"] = conclude_panel(arms, endpoint, "rl", range(8), "random")
    return found


def test_three_environments_are_summed_up_and_two_are_not() -> None:
    assert conclude_across(panels(2)) is None
    assert conclude_across(panels(3, "return")) is None  # other units in each
    found = conclude_across(panels(3))
    assert found is not None
    base, other = found.arms
    assert (base.arm, base.improvement, base.adjusted_p) == ("random", None, None)
    assert other.interquartile_mean.estimate == pytest.approx(0.6, abs=0.03)
    assert other.optimality_gap.estimate == pytest.approx(0.4, abs=0.03)
    assert other.improvement is not None
    assert other.improvement.low > 0.8
    assert other.profile.share[0] == 1.0
    row = across_rows(found)[1]
    assert row["improvement"] == other.improvement.estimate
    assert across_table(found).row_count == 2


def test_less_time_is_an_improvement() -> None:
    found = conclude_across(panels(3, "time"))
    assert found is not None
    assert found.arms[1].improvement is not None  # which takes longer
    assert found.arms[1].improvement.high < 0.2
    assert found.arms[1].optimality_gap.estimate == pytest.approx(0.6, abs=0.03)


def test_an_incomplete_arm_is_left_out() -> None:
    found = dict(panels(3))
    arms = [ArmValues(a.arm, a.values) for a in found["env1"].arms[:1]]
    arms.append(ArmValues("alp-gmm", {0: 0.5}))
    found["env1"] = conclude_panel(arms, "solved", "rl", range(8), "random")
    together = conclude_across(found)
    assert together is not None
    assert [a.arm for a in together.arms] == ["random"]
    assert together.left_out == ("alp-gmm",)


# Tables. -----------------------------------------------------------------------------------------


def test_tables_say_what_was_concluded() -> None:
    found = panel(0.3, others=(arm("window_1", 0.7, privileges=("difficulty",)),))
    tidy = rows("env", found)
    assert [row["verdict"] for row in tidy][:2] == ["baseline", "supported"]
    assert found["alp-gmm"].difference is not None
    assert tidy[1]["difference"] == found["alp-gmm"].difference.estimate
    assert table("env", found).row_count == 3
    text = latex({"env": found})
    assert r"window\_1" in text
    assert r"$^\dag$" in text
    assert "supported" in text
    assert text.count(r"\\") == 5
    assert interval_text(None) == "-"
    assert interval_text(found["alp-gmm"].difference, 100.0, signed=True).startswith("+")
