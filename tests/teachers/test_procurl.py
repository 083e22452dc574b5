"""ProCuRL: neither too easy nor too hard, and towards a target."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from currgym.outcomes import Outcomes
from currgym.states import load_state, save_state
from currgym.students.simulated import CubeStudent, teach
from currgym.tasks import BoxTasks
from currgym.teachers.procurl import ProCuRL
from currgym.teaching import make_teacher

FloatArray = NDArray[np.float64]
SQUARE = BoxTasks([0, 0], [1, 1])


def build(space: BoxTasks = SQUARE, **settings: Any) -> ProCuRL:
    return cast(ProCuRL, make_teacher("procurl", space, **{"seed": 0, **settings}))


def feed(teacher: ProCuRL, tasks: FloatArray, successes: FloatArray) -> None:
    teacher.update(Outcomes(tasks, np.zeros(len(tasks)), successes=successes))


def chances_by_hand(
    pool: FloatArray, attempts: list[tuple[float, float]], targets: list[float], best: float
) -> FloatArray:
    """The formula, number by number: bandwidth .2, memory 10, prior weight 2, one dimension."""

    def zone(x: float) -> float:
        near, good = 2.0, 1.0
        for age, (task, value) in enumerate(reversed(attempts)):
            weight = 0.9**age * math.exp(-((x - task) ** 2) / (2 * 0.2**2))
            near += weight
            good += weight * value
        return good / near * (best - good / near)

    scores = []
    for x in pool.tolist():
        towards = max((zone(t) * math.exp(-abs(x - t)) for t in targets), default=1.0)
        scores.append((100.0 if targets else 20.0) * zone(x) * towards)
    weights = np.exp(scores)
    return np.asarray(weights / weights.sum())


@pytest.mark.parametrize("target", [None, [[9.0], [2.0]]])
def test_trace_of_ten_outcomes_by_the_formula(target: list[list[float]] | None) -> None:
    check_trace(target)


def test_trace_worked_by_hand() -> None:
    # Far apart, no prior to speak of: two tasks, one attempted four times with one success.
    check_trace(None)
    teacher = build(BoxTasks([0], [1]), pool_size=2, fit_period=1, memory=10**9, bandwidth=1e-6,
                    prior_weight=4.0)  # fmt: skip
    tasks = teacher.snapshot().get("tasks")
    assert tasks is not None, "no pool"
    feed(teacher, tasks[[0, 0, 0, 0]], np.array([1.0, 0.0, 0.0, 0.0]))
    # (1 + 4 / 2) / (4 + 4) = 3/8 against 1/2: scores 15/64 and 16/64, twenty times the difference.
    odds = math.exp(20 * (16 - 15) / 64)
    shown = teacher.snapshot()
    np.testing.assert_allclose(shown["success"], [0.5, 0.375], atol=1e-6)
    np.testing.assert_allclose(shown["chances"], [odds / (1 + odds), 1 / (1 + odds)], atol=1e-6)


def check_trace(target: list[list[float]] | None) -> None:
    teacher = build(
        BoxTasks([0], [10]), target=target, pool_size=20, bandwidth=0.2, memory=10,
        prior_weight=2.0, fit_period=1, best=0.9,
    )  # fmt: skip
    attempts: list[tuple[float, float]] = []
    for task, value in [
        (0.1, 1.0), (0.1, 1.0), (0.2, 0.0), (0.9, 0.0), (0.5, 1.0), (0.5, 0.0), (0.3, 1.0),
        (0.8, 0.5), (0.0, 1.0), (1.0, 0.0), (0.6, 0.25),
    ]:  # fmt: skip
        feed(teacher, np.array([[10 * task]]), np.array([value]))
        attempts.append((task, value))
        shown = teacher.snapshot()
        assert "tasks" in shown, "no pool"
        expected = chances_by_hand(
            shown["tasks"][:, 0] / 10, attempts, [] if target is None else [0.9, 0.2], 0.9
        )
        np.testing.assert_allclose(shown["chances"], expected, atol=1e-6)


def test_profile_the_middle_between_failure_and_success_is_practised() -> None:
    # Success falls from 1 at the left to 0 at the right; it is one half at .6.
    rng = np.random.default_rng(1)
    teacher = build()
    for _ in range(20):
        tasks = rng.random((100, 2))
        chance = 1.0 / (1.0 + np.exp(20 * (tasks[:, 0] - 0.6)))
        feed(teacher, tasks, (rng.random(100) < chance).astype(float))
    drawn = teacher.sample(3000)[:, 0]
    assert 0.5 < np.median(drawn) < 0.7
    assert np.mean(np.abs(drawn - 0.6) < 0.2) > 0.75


def test_profile_practice_moves_towards_the_target() -> None:
    # Half of all attempts succeed everywhere, so that only nearness to the target counts.
    rng = np.random.default_rng(2)
    teacher = build(target=[[0.9, 0.9], [0.95, 0.85]])
    for _ in range(20):
        feed(teacher, rng.random((100, 2)), rng.integers(2, size=100).astype(float))
    towards = np.linalg.norm(teacher.sample(3000) - [0.92, 0.88], axis=1)
    anywhere = np.linalg.norm(SQUARE.sample(3000, rng) - [0.92, 0.88], axis=1)
    assert np.mean(towards) < 0.75 * np.mean(anywhere)


def test_a_target_that_is_out_of_reach_or_mastered_does_not_draw() -> None:
    # Of two targets one is mastered, one learnable: practice is near the second.
    rng = np.random.default_rng(3)
    teacher = build(target=[[0.1, 0.1], [0.9, 0.9]])
    for _ in range(20):
        tasks = rng.random((100, 2))
        learnt = tasks.sum(axis=1) < 1.0
        feed(teacher, tasks, np.where(learnt, 1.0, rng.integers(2, size=100)))
    drawn = teacher.sample(2000)
    assert np.mean(drawn.sum(axis=1) > 1.0) > 0.9


def test_what_was_attempted_long_ago_is_forgotten() -> None:
    teacher = build(memory=50, fit_period=1)
    feed(teacher, np.tile([[0.2, 0.2]], (200, 1)), np.zeros(200))
    near = np.linalg.norm(teacher._points - [0.2, 0.2], axis=1) < 0.05
    assert teacher._success[near].max() < 0.1
    feed(teacher, np.tile([[0.8, 0.8]], (300, 1)), np.ones(300))
    assert teacher._success[near].min() > 0.4


def test_best_moves_the_peak() -> None:
    teacher = build(best=0.6, prior_weight=1e-6, fit_period=1, memory=10**9)
    rng = np.random.default_rng(4)
    for _ in range(30):
        tasks = rng.random((100, 2))
        feed(teacher, tasks, tasks[:, 0])
    assert np.median(teacher.sample(3000)[:, 0]) == pytest.approx(0.3, abs=0.06)


def test_batches_of_any_size_equal_single_updates() -> None:
    rng = np.random.default_rng(5)
    tasks, successes = rng.random((300, 2)), rng.random(300)
    states = []
    for batch in (1, 7, 300):
        teacher = build(target=[[0.9, 0.9]], pool_size=50)
        for i in range(0, 300, batch):
            feed(teacher, tasks[i : i + batch], successes[i : i + batch])
        states.append(teacher.state_dict())
    for state in states[1:]:
        np.testing.assert_equal(state["own"], states[0]["own"])


def test_many_targets_are_thinned_out_and_saved(tmp_path: Path) -> None:
    target = SQUARE.sample(1000, np.random.default_rng(6))
    teacher = build(target=target, pool_size=30)
    assert len(teacher._points) == 30 + 250
    feed(teacher, target[:40], np.ones(40))
    save_state(tmp_path, teacher.state_dict())
    twin = build(target=target, pool_size=30, seed=9)
    twin.load_state_dict(load_state(tmp_path))
    for one in (teacher, twin):
        feed(one, target[40:90], np.zeros(50))
    np.testing.assert_equal(twin.snapshot(), teacher.snapshot())
    np.testing.assert_array_equal(twin.sample(20), teacher.sample(20))


def test_measure_and_declarations() -> None:
    assert build().needs == {"successes"}
    assert build().privileges == frozenset()
    assert build(target=[[1, 1]]).privileges == {"target"}
    teacher = build(measure="return", return_range=(0, 10), fit_period=1)
    assert teacher.needs == frozenset()
    teacher.update(Outcomes(np.full((30, 2), 0.5), np.full(30, 9.0)))
    near = np.linalg.norm(teacher._points - 0.5, axis=1) < 0.03
    assert teacher._success[near].mean() == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pool_size": 1}, "pool_size must be at least 2, got 1"),
        ({"memory": 0}, "memory must be at least 1"),
        ({"fit_period": 0}, "fit_period must be at least 1"),
        ({"beta": -1.0}, "beta must be at least 0"),
        ({"best": 0.0}, "best must lie in"),
        ({"bandwidth": 0.0}, "bandwidth must be above 0"),
        ({"prior_weight": 0.0}, "prior_weight must be above 0"),
        ({"measure": "luck"}, "measure must be one of"),
        ({"target": [[2, 0]]}, "x0 = 2"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)


def test_teaches_the_toy_better_than_chance() -> None:
    finals = []
    for i in range(2):
        student = CubeStudent(cubes=4)
        teacher = build(student.task_space, measure="return", return_range=(0, 1), seed=1000 + i)
        finals.append(teach(student, teacher, 1500).final)
    chance = [teach(CubeStudent(cubes=4), "random", 1500, seed=1000 + i).final for i in range(2)]
    assert min(finals) > 1.3 * max(chance)
