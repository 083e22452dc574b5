"""Exp3.S, rewarded by progress."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import pytest

from currgym import BoxTasks, DiscreteTasks, Outcomes, make_teacher
from currgym.students.simulated import CubeStudent, teach
from currgym.teachers._rewards import RewardScale
from currgym.teachers.exp3s import Exp3S

LINE = BoxTasks([0], [3])
# Arm and return of each attempt, three bins.
ATTEMPTS = [
    (0, 0.2), (0, 0.6), (1, 0.0), (1, 0.1), (2, 0.5), (2, 1.0), (0, 0.6), (1, 0.9), (2, 0.1),
    (2, 0.2), (0, 0.9), (1, 0.8),
]  # fmt: skip


def build(space: Any = LINE, **settings: Any) -> Exp3S:
    settings = {"seed": 0, "return_range": (0, 1), **settings}
    return cast(Exp3S, make_teacher("exp3s", space, **settings))


def feed(teacher: Exp3S, attempts: list[tuple[int, float]], **columns: Any) -> None:
    for arm, value in attempts:
        teacher.update(Outcomes([[arm + 0.5]], [value], **columns))


def shares(teacher: Exp3S, n: int = 40_000, arms: int = 3) -> np.ndarray[Any, Any]:
    drawn = teacher.preview(n, np.random.default_rng(1))[:, 0]
    return np.bincount(drawn.astype(int), minlength=arms) / n


def policy_by_the_formula(
    attempts: list[tuple[int, float]], eta: float, epsilon: float, beta: float
) -> list[float]:
    """Work through the paper's equations, in plain numbers."""
    w, last, seen = [0.0, 0.0, 0.0], [math.nan] * 3, []

    def policy() -> list[float]:
        total = sum(math.exp(x) for x in w)
        return [(1 - epsilon) * math.exp(x) / total + epsilon / 3 for x in w]

    for arm, value in attempts:
        before, last[arm] = last[arm], value
        if math.isnan(before):
            continue
        gain = abs(value - before)
        seen.append(gain)
        low, high = np.quantile(seen, [0.2, 0.8])
        if low == high:
            reward = 0.0
        elif gain < low:
            reward = -1.0
        elif gain >= high:
            reward = 1.0
        else:
            reward = 2 * (gain - low) / (high - low) - 1
        pi = policy()
        moved = [math.exp(w[i] + eta * (reward * (i == arm) + beta) / pi[i]) for i in range(3)]
        alpha = 1 / (len(seen) + 1)
        w = [
            math.log((1 - alpha) * moved[i] + alpha / 2 * (sum(moved) - moved[i])) for i in range(3)
        ]
    return policy()


def test_trace_worked_by_hand() -> None:
    teacher = build(bins=3, eta=0.5, epsilon=0.1)
    # The first reward, 0.4, is all there is to compare it with: 0. The second, 0.1, lies below the
    # 20 % quantile of {0.1, 0.4}: -1, so w = (0, -1.5, 0); a third of each weight goes to the two
    # others: (2/3 + 1.22313/6, 0.22313 * 2/3 + 2/6, the first again) = (.870522, .482087, .870522).
    feed(teacher, ATTEMPTS[:4])
    by_hand = [0.385751, 0.228498, 0.385751]
    np.testing.assert_allclose(shares(teacher), by_hand, atol=0.01)
    np.testing.assert_allclose(teacher.chances, by_hand, atol=1e-6)
    feed(teacher, ATTEMPTS[4:])
    expected = policy_by_the_formula(ATTEMPTS, 0.5, 0.1, 0.0)
    assert max(expected) > 1.5 * min(expected)
    np.testing.assert_allclose(shares(teacher), expected, atol=0.01)
    np.testing.assert_allclose(teacher.chances, expected, atol=1e-6)


def test_bonus_of_every_arm() -> None:
    teacher = build(bins=3, eta=0.2, epsilon=0.3, beta=0.5)
    feed(teacher, ATTEMPTS)
    expected = policy_by_the_formula(ATTEMPTS, 0.2, 0.3, 0.5)
    np.testing.assert_allclose(teacher.chances, expected, atol=1e-6)


def test_preset_currot_is_the_form_of_the_code() -> None:
    teacher = build(bins=3, preset="currot")
    feed(teacher, ATTEMPTS)
    w, last, seen, step = np.zeros(3), [math.nan] * 3, list[float](), 0
    for arm, value in ATTEMPTS:
        before, last[arm] = last[arm], value
        if math.isnan(before):
            continue
        seen.append(abs(value - before))
        width = max(seen) - min(seen)
        reward = 2 * (seen[-1] - min(seen)) / width - 1 if width else 0.0
        soft = np.exp(w) / np.exp(w).sum()
        w[arm] += 0.025 * reward / soft[arm]
        step += 1
        alpha = 1 / (step + 1)
        w = np.log((1 - alpha) * np.exp(w) + alpha / 3 * np.exp(w).sum())
    expected = 0.8 * np.exp(w) / np.exp(w).sum() + 0.2 / 3
    np.testing.assert_allclose(teacher.chances, expected, atol=1e-9)


def test_profile_follows_the_arm_that_moves() -> None:
    teacher = build(bins=3, eta=0.02)
    rng = np.random.default_rng(0)
    for step in range(1500):
        tasks = teacher.sample(1)
        moving = 2 if step < 1200 else 0  # and it changes
        value = rng.random() if int(tasks[0, 0]) == moving else 0.3
        teacher.update(Outcomes(tasks, [value]))
        if step == 1199:
            assert shares(teacher)[2] > 0.8
    assert shares(teacher)[0] > 0.5


def test_length_divides_progress() -> None:
    # The same progress; the attempts of the middle arm take ten times as long.
    attempts = [(arm, float(i % 2)) for i in range(60) for arm in (0, 1, 2)]
    paid = {}
    for per_step in (True, False):
        teacher = build(bins=3, eta=0.05, per_step=per_step)
        for arm, value in attempts:
            teacher.update(Outcomes([[arm + 0.5]], [value], lengths=[100 if arm == 1 else 10]))
        paid[per_step] = teacher.chances
    assert paid[True][1] < 0.1
    np.testing.assert_allclose(paid[False], 1 / 3, atol=0.05)


def test_the_first_attempt_and_probes_give_no_reward() -> None:
    teacher = build(bins=3, eta=0.5)
    feed(teacher, [(0, 0.0), (1, 1.0), (2, 0.5)])
    feed(teacher, [(0, 1.0), (0, 0.0)], probe=[True])
    np.testing.assert_allclose(teacher.chances, 1 / 3)
    assert teacher.rewards.count == 0
    feed(teacher, [(0, 0.25)])  # compared with the probe
    assert teacher.rewards.ends == (0.25, 0.25)


def test_losses_and_scores_as_signals() -> None:
    space = DiscreteTasks(3)
    teacher = build(space, signal="loss", eta=0.5)
    assert teacher.needs == {"loss"}
    for step in range(6):  # the second falls, the third rises
        losses = [1.0, 1.0 - step / 10, 1.0 + step / 10]
        teacher.update(Outcomes([0, 1, 2], scores={"loss": losses}))
    assert teacher.chances[1] > teacher.chances[0] > teacher.chances[2]
    measured = build(space, signal="prediction_gain", eta=0.5)
    with pytest.raises(ValueError, match="needs 'prediction_gain'"):
        measured.update(Outcomes([0], [1.0]))
    for _ in range(6):
        measured.update(Outcomes([0, 1, 2], [0.0] * 3, scores={"prediction_gain": [0.1, 0.0, 0.3]}))
    assert measured.chances[2] > 0.5


def test_reservoir() -> None:
    rng = np.random.default_rng(0)
    rewards = RewardScale("quantiles", 100)
    values = rng.normal(size=100)
    for i, value in enumerate(values):
        rewards.add(value, rng)
        np.testing.assert_allclose(rewards.ends, np.quantile(values[: i + 1], [0.2, 0.8]))
    # Of all that came, not of the latest: half the rewards are around 0, half around 10.
    for value in 10.0 + rng.normal(size=100):
        rewards.add(value, rng)
    low, high = rewards.ends
    assert low < 2
    assert high > 8
    assert len(rewards.state()["sorted"]) == 100


def test_weights_stay_finite_under_extreme_rewards() -> None:
    teacher = build(bins=3, eta=1e6, importance="weights", epsilon=1e-9)
    rng = np.random.default_rng(0)
    for _ in range(300):
        tasks = teacher.sample(1)
        teacher.update(Outcomes(tasks, rng.random(1)))
    assert np.isfinite(teacher.chances).all()
    assert teacher.chances.sum() == pytest.approx(1.0)
    # No arm is lost for good: the share keeps each above the policy's floor.
    assert np.exp(teacher._log_weights).min() > 1e-4


def test_snapshot_shows_the_likeliest_bins() -> None:
    wide = build(BoxTasks([0] * 20, [1] * 20))
    shown = wide.snapshot()
    assert shown["arms"] == 768
    assert shown["low"].shape == shown["high"].shape
    assert len(shown["chances"]) == len(shown["low"]) <= 400
    teacher = build(bins=3, eta=0.5)
    feed(teacher, [(arm, float(i % 2)) for i in range(4) for arm in (1,)])
    feed(teacher, [(0, 0.5)] * 6)
    shown = teacher.snapshot()
    assert shown["low"][0] == pytest.approx(1 / 3)
    assert shown["chances"][0] == max(shown["chances"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eta": 0.0}, "eta must be above 0, got 0"),
        ({"epsilon": 0.0}, r"epsilon must lie in \(0, 1\], got 0"),
        ({"beta": -1.0}, "beta must be at least 0"),
        ({"reservoir": 1}, "reservoir must be at least 2, got 1"),
        ({"rescale": "ranks"}, "rescale must be one of"),
        ({"importance": "none"}, "importance must be one of"),
        ({"share": "none"}, "share must be one of"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)


def test_teaches_the_toy_better_than_chance() -> None:
    student = CubeStudent(cubes=4)
    teacher = build(student.task_space, bins=4, eta=0.01)
    assert teach(student, teacher, 2500).final > 60
