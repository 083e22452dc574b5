"""A bandit over whole teachers."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import pytest

from currgym import BoxTasks, DiscreteTasks, Outcomes, make_teacher
from currgym.students.simulated import CubeStudent, teach
from currgym.teachers.portfolio import MOST_BLOCKS, Master, Portfolio

LINE = BoxTasks([0], [1])
# Two teachers of one task each.
PLACES: dict[str, Any] = {
    "teachers": "target,yoked",
    "teacher_parameters": {"target": {"target": [[0.25]]}, "yoked": {"log": [[0.75]]}},
    "bins": 2,
}


def build(space: Any = LINE, **settings: Any) -> Portfolio:
    settings = {"seed": 0, "return_range": (0, 1), **settings}
    return cast(Portfolio, make_teacher("portfolio", space, **settings))


class TestMaster:
    def test_trace_worked_by_hand(self) -> None:
        # K = 2, gamma = .5, alpha = .1: the first reward 1 of arm 0, chosen with .5, multiplies its
        # weight by exp(.5 * 2 / 2) = 1.648721: (.824361, .5), to which e * .1 / 2 = .135914 is
        # added: (.960275, .635914) of 1.596189.
        master = Master(2, 0.5, 0.1)
        master.learn(0, 1.0, 0.5)
        np.testing.assert_allclose(master.weights, [0.601605, 0.398395], atol=1e-6)
        np.testing.assert_allclose(master.chances, [0.550803, 0.449197], atol=1e-6)

    def test_ten_rounds_by_the_formula(self) -> None:
        master, rng = Master(3, 0.3, 0.02), np.random.default_rng(0)
        w = [1.0, 1.0, 1.0]  # as in the paper, where weights grow without end
        for _ in range(10):
            arm, reward = int(rng.integers(3)), float(rng.random())
            p = [0.7 * x / sum(w) + 0.1 for x in w]
            np.testing.assert_allclose(master.chances, p, atol=1e-9)
            master.learn(arm, reward, p[arm])
            estimate = [reward / p[arm] if i == arm else 0.0 for i in range(3)]
            total = sum(w)
            w = [
                w[i] * math.exp(0.3 * estimate[i] / 3) + math.e * 0.02 / 3 * total for i in range(3)
            ]

    def test_tuning_has_the_least_bound(self) -> None:
        master = Master.tuned(4, 5000, 3)
        least = 2 * math.sqrt(math.e - 1) * math.sqrt(4 * 5000 * (3 * math.log(4 * 5000) + math.e))
        assert master.bound(5000, 3) == pytest.approx(least)
        for gamma in (0.5 * master.gamma, 1.5 * master.gamma):
            assert Master.tuned(4, 5000, 3, gamma).bound(5000, 3) > least
        assert Master.tuned(4, 10, 3).gamma == 1.0

    def test_regret_is_within_the_bound_and_below_the_best_single_arm(self) -> None:
        # Bernoulli rewards; the best arm changes twice, so that the best single arm gets .5 at most
        # of the time what the best sequence does.
        rounds, segments = 6000, 3
        chances = np.full((rounds, 3), 0.2)
        for segment, arm in enumerate((0, 2, 1)):
            chances[segment * 2000 : (segment + 1) * 2000, arm] = 0.9
        gains, best_sequence, best_single = [], [], []
        for seed in range(10):
            rng = np.random.default_rng(1000 + seed)
            rewards = (rng.random((rounds, 3)) < chances).astype(float)
            master, gain = Master.tuned(3, rounds, segments), 0.0
            for reward in rewards:
                p = master.chances
                arm = int(np.searchsorted(np.cumsum(p), rng.random() * p.sum()))
                gain += reward[arm]
                master.learn(arm, reward[arm], p[arm])
            gains.append(gain)
            best_sequence.append(rewards[np.arange(rounds), chances.argmax(axis=1)].sum())
            best_single.append(rewards.sum(axis=0).max())
        regret = np.mean(best_sequence) - np.mean(gains)
        assert 0 < regret < Master.tuned(3, rounds, segments).bound(rounds, segments)
        assert np.mean(gains) > 1.3 * np.mean(best_single)


def test_trace_of_blocks() -> None:
    teacher = build(**PLACES, period=2, horizon=40, exploration=0.4, segments=1, switch_cost=0.1)
    # All that the teacher does with outcomes, worked through again in plain numbers.
    w, last, seen = np.full(2, 0.5), [math.nan, math.nan], list[float]()
    rising = iter([0.1, 0.2, 0.4, 0.7, 0.7, 0.9, 0.2, 0.5, 0.5, 0.6, 0.8, 0.1] * 3)
    followed, previous, switches = [], -1, 0
    for _ in range(12):
        chances = 0.6 * w + 0.2
        np.testing.assert_allclose(teacher.master.chances, chances, atol=1e-9)
        tasks = teacher.sample(2)
        assert tasks[0, 0] == tasks[1, 0]
        arm = int(tasks[0, 0] > 0.5)
        followed.append(arm)
        returns = [next(rising), next(rising)] if arm else [0.3, 0.3]
        for task, value in zip(tasks, returns, strict=True):
            teacher.update(Outcomes([task], [value]))
        gaps = [abs(b - a) for a, b in zip([last[arm], returns[0]], returns, strict=True)]
        known = [gap for gap in gaps if not math.isnan(gap)]
        last[arm] = returns[1]
        switched = previous not in (-1, arm)
        switches += switched
        previous = arm
        progress = sum(known) / len(known)
        seen.append(progress)
        low, high = np.quantile(seen, [0.2, 0.8])
        if high > low:
            reward = min(max((progress - low) / (high - low), 0.0), 1.0)
        else:
            reward = 0.5 + 0.5 * (float(progress > high) - float(progress < low))
        reward = max(0.0, reward - 0.1 * switched)
        w = w * np.array(
            [math.exp(0.4 * reward / chances[i] / 2) if i == arm else 1 for i in (0, 1)]
        )
        w = w + math.e / 20 / 2
        w = w / w.sum()
    assert len(set(followed)) == 2
    shown = teacher.snapshot()
    assert (shown["blocks"], shown["switches"]) == (12, switches)
    assert shown["charged"] == pytest.approx(0.1 * switches)
    np.testing.assert_allclose(shown["teacher_chances"], 0.6 * w + 0.2, atol=1e-9)


def test_profile_follows_whoever_brings_progress_and_changes_its_mind() -> None:
    teacher = build(**PLACES, period=5, horizon=4000, exploration=0.2)
    rng = np.random.default_rng(0)
    drawn = []
    for step in range(4000):
        tasks = teacher.sample(1)
        assert tasks[0, 0] in (0.25, 0.75)
        drawn.append(tasks[0, 0] > 0.5)
        moving = bool(drawn[-1]) == (step < 2000)
        teacher.update(Outcomes(tasks, [rng.random() if moving else 0.5]))
    assert np.mean(drawn[500:2000]) > 0.75
    assert np.mean(drawn[2700:]) < 0.25


def test_profile_one_teacher_a_block() -> None:
    space = BoxTasks([0], [1], difficulty="x0")
    teacher = build(space, teachers="window,stratified", period=20)
    in_window = 0
    for _ in range(40):
        drawn = teacher.sample(20)[:, 0]
        if drawn.max() <= 1 / 6:
            in_window += 1
        else:  # each of ten bins twice
            assert np.bincount((10 * drawn).astype(int), minlength=10).tolist() == [2] * 10
    assert 5 < in_window < 35


def test_all_teachers_learn_from_all_outcomes() -> None:
    teacher = build(teachers=["alp-gmm", "exp3s"], teacher_parameters={"exp3s": {"bins": 4}})
    for _ in range(30):
        tasks = teacher.sample(3)
        teacher.update(Outcomes(tasks, tasks[:, 0]))
    assert [part.seen for part in teacher.parts] == [90, 90]
    assert (
        sum(part.proposed for part in teacher.parts) == 90 == teacher.snapshot()["proposals"].sum()
    )


def test_late_outcomes_reward_the_teacher_that_proposed_them() -> None:
    teacher = build(**PLACES, period=4, horizon=400, exploration=1.0)
    tasks = teacher.sample(80)  # twenty blocks are out
    first = tasks[0, 0]
    other = 0.25 if first == 0.75 else 0.75
    assert other in tasks
    teacher.update(Outcomes([[first], [other]] * 2, [0.0, 0.0, 0.0, 0.0], ids=[-1] * 4))
    rng = np.random.default_rng(0)
    for row in rng.permutation(80):
        value = rng.random() if tasks[row, 0] == first else 0.0
        teacher.update(Outcomes([tasks[row]], [value]))
    best = int(teacher.master.weights.argmax())
    assert [0.25, 0.75][best] == first
    weights = teacher.master.weights.copy()
    teacher.update(Outcomes(tasks, rng.random(80)))  # twice, and foreign ones: no block's
    np.testing.assert_array_equal(teacher.master.weights, weights)


def test_blocks_that_never_come_back_are_given_up() -> None:
    teacher = build(**PLACES, period=1)
    teacher.sample(3 * MOST_BLOCKS)
    assert len(teacher.state_dict()["own"]["blocks"]) == MOST_BLOCKS
    assert teacher.snapshot()["unmeasured_blocks"] == 2 * MOST_BLOCKS


def test_default_teachers_are_those_that_work_here() -> None:
    assert build().names == ["alp-gmm", "exp3s", "random"]
    assert build(DiscreteTasks(5)).names == ["exp3s", "random"]
    with pytest.raises(ValueError, match="declare a difficulty"):
        build(DiscreteTasks(5), teachers="alp-gmm")


def test_period_is_the_cube_root_of_the_horizon() -> None:
    assert build(horizon=8000).period == 20
    assert build(horizon=8000, period=7).period == 7
    assert build(horizon=1).rounds == 1


def test_snapshot_shows_the_followed_teacher() -> None:
    teacher = build(teachers="stratified,random")
    while teacher.snapshot()["followed"] != "stratified":
        teacher.sample(1)
    shown = teacher.snapshot()
    assert len(shown["low"]) == 10
    assert shown["teachers"] == "stratified, random"
    assert shown["bound_per_block"] > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"period": 0}, "period must be at least 1, got 0"),
        ({"segments": 0}, "segments must be at least 1"),
        ({"exploration": 0.0}, r"exploration must lie in \(0, 1\], got 0"),
        ({"switch_cost": 2.0}, r"switch_cost must lie in \[0, 1\]"),
        ({"horizon": 0}, "horizon must be at least 1"),
        ({"teachers": "random,random"}, "teachers name 'random' twice"),
        ({"teachers": "randm"}, "unknown teacher 'randm'"),
        ({"teacher_parameters": {"plr": {}}}, "teacher_parameters name 'plr'"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)


def test_against_the_best_single_teacher_and_with_a_poisoned_one() -> None:
    # The poisoned one never leaves a cell that stays locked to the end.
    parameters = {"exp3s:currot": {"bins": 4}, "target": {"target": [[0.99, 0.99]]}}
    attempts, finals = 3000, dict[str, list[float]]()
    for seed in range(2):
        for teachers in ("exp3s:currot", "random", "exp3s:currot,random,target", "target"):
            student = CubeStudent(cubes=4)
            teacher = build(
                student.task_space, seed=seed, teachers=teachers, horizon=attempts,
                exploration=0.2,
                teacher_parameters={k: v for k, v in parameters.items() if k in teachers},
            )  # fmt: skip
            score = teach(student, teacher, attempts, seed=seed).final
            finals.setdefault(teachers, []).append(score)
            if "," in teachers:
                assert teacher.snapshot()["proposals"][2] < 0.25 * attempts
    single = {name: np.mean(scores) for name, scores in finals.items() if "," not in name}
    best = max(single.values())
    together = np.mean(finals["exp3s:currot,random,target"])
    assert single["target"] == 0.0
    assert best == single["exp3s:currot"]
    # It pays for looking at all three; it must keep most of the best one's score all the same.
    assert 0.7 * best < together
    assert together > 2.0 * single["random"]
