"""Bidirectional learning progress."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from currgym import BoxTasks, Curriculum, DiscreteTasks, Outcomes, make_teacher
from currgym.students.simulated import CubeStudent, teach
from currgym.teachers.learning_progress import LearningProgress

THREE = DiscreteTasks(3)


def build(space: Any = THREE, **settings: Any) -> LearningProgress:
    settings = {"seed": 0, "return_range": (0, 1), **settings}
    return cast(LearningProgress, make_teacher("learning-progress", space, **settings))


def feed(teacher: LearningProgress, arm: int, *successes: float, **columns: Any) -> None:
    for success in successes:
        scores = {"abs_advantage": [success]}
        teacher.update(Outcomes([arm], [success], successes=[success], scores=scores, **columns))


def shares(teacher: LearningProgress, n: int = 20_000) -> Any:
    drawn = teacher.preview(n, np.random.default_rng(1))
    return np.bincount(drawn, minlength=cast(DiscreteTasks, teacher.space).n) / n


def test_trace_worked_by_hand() -> None:
    teacher = build(rate=0.5, centre=1.0, slope=2.0)
    feed(teacher, 0, 0, 1, 1)
    feed(teacher, 1, 1, 0, 0)
    feed(teacher, 2, 0, 0, 0, 0)
    # Arm 0: fast 0, .5, .75, slow 0, .25, .5; f(.75) = .675 / .7, f(.5) = .45 / .5: .0642857.
    # Arm 1: fast .5, .25, .125, slow .25, .25, .1875; f = .1125 / .2 and .16875 / .25: .1125.
    # Standardised (.1162, 1.1625, -1.2787), sigmoids of 2 (z - 1): (.14586, .58053, .01038).
    by_hand = [0.1979640, 0.7879471, 0.0140889]
    np.testing.assert_allclose(shares(teacher), by_hand, atol=0.015)
    np.testing.assert_allclose(teacher._averages[0], [0.75, 0.125, 0.0], atol=1e-12)
    np.testing.assert_allclose(teacher._averages[1], [0.5, 0.1875, 0.0], atol=1e-12)
    np.testing.assert_allclose(teacher.progress, [0.0642857, 0.1125, 0.0], atol=1e-6)
    np.testing.assert_allclose(teacher.chances, by_hand, atol=1e-6)


def test_preset_omni_is_the_plain_sigmoid_without_still_arms() -> None:
    teacher = build(DiscreteTasks(4), preset="omni", rate=0.5)
    feed(teacher, 0, 0, 1, 1)
    feed(teacher, 1, 1, 0, 0)
    feed(teacher, 2, 0)
    # Two arms with progress: z = -1 and 1, sigmoids .268941 and .731059.
    np.testing.assert_allclose(teacher.chances, [0.268941, 0.731059, 0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(shares(teacher), teacher.chances, atol=0.015)


def test_rare_successes_are_enlarged() -> None:
    # The same step of success, once from 0 and once from .5.
    for theta, larger in ((0.1, True), (0.5, False)):
        teacher = build(rate=0.1, theta=theta)
        feed(teacher, 1, *[0.5] * 200)
        feed(teacher, 0, *[0.0] * 200, 0.1)
        feed(teacher, 1, 0.6)
        low, middle, _ = teacher.progress
        assert bool(low > 3 * middle) is larger
        if not larger:
            assert low == pytest.approx(middle)


def test_profile_follows_what_changes_and_no_single_arm() -> None:
    # Twenty arms: two are being learned, one is being forgotten, a third is mastered, the rest is
    # out of reach; all of them are attempted alike.
    rng = np.random.default_rng(0)
    teacher = build(DiscreteTasks(20))
    for step in range(100):
        rates = np.zeros(20)
        rates[3:6] = 1.0
        rates[:2] = step / 300
        rates[2] = 0.6 - step / 300
        order = rng.permutation(20)
        teacher.update(Outcomes(order, rates[order], successes=rates[order]))
    found = shares(teacher)
    assert found[:3].sum() > 0.9
    assert found[:3].min() > 0.15


def test_without_any_progress_all_arms_are_alike() -> None:
    teacher = build()
    np.testing.assert_allclose(teacher.chances, 1 / 3)
    feed(teacher, 0, 0.0, 0.0)
    np.testing.assert_allclose(teacher.chances, 1 / 3)
    mastered = build()
    for arm in range(3):
        feed(mastered, arm, *[1.0] * 400)
    np.testing.assert_allclose(mastered.chances, 1 / 3, atol=1e-3)


def test_failures_count() -> None:
    # Syllabus passes over an attempt without success, and so never sees anything forgotten.
    teacher = build(rate=0.5)
    feed(teacher, 0, 1.0, 1.0, 1.0, 1.0, 0.0)
    assert teacher._averages[0, 0] == pytest.approx(0.46875)


def test_success_above_chance() -> None:
    teacher = build(rate=1.0, chance=0.25)
    feed(teacher, 0, 0.1)
    feed(teacher, 1, 0.25)
    feed(teacher, 2, 0.7)
    np.testing.assert_allclose(teacher._averages[0], [0.0, 0.0, 0.6])


def test_evaluations_are_requests() -> None:
    teacher = build(evaluate_every=10, evaluations=4, rate=0.5)
    assert teacher.needs == {"probe", "successes"}
    curriculum = Curriculum(teacher, seed=0)
    asked = []
    for _ in range(25):
        probes = curriculum.requests()
        if probes is not None:
            asked.append((teacher.proposed, probes.tasks.tolist()))
            solved = np.where(probes.tasks == 1, np.arange(12) % 2, 0.0)
            curriculum.settle(probes.ids, solved, successes=solved)
        tickets = curriculum.issue(1)
        curriculum.settle(tickets.ids, [1.0], successes=[1.0])  # does not count
    everything = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert asked == [(0, everything), (10, everything), (20, everything)]
    # Three evaluations of 50 % each, as one step each: fast .25, .375, .4375.
    np.testing.assert_allclose(teacher._averages[0], [0.0, 0.4375, 0.0])
    assert build().requests() is None
    assert build().needs == {"successes"}


def test_share_of_uniform_choices() -> None:
    teacher = build(DiscreteTasks(10), random_ratio=0.5, slope=20.0)
    feed(teacher, 4, 0.0, 1.0)
    assert shares(teacher)[4] == pytest.approx(0.55, abs=0.02)


def test_snapshot() -> None:
    teacher = build(BoxTasks([0, 0], [1, 1]), bins=4, measure="return")
    teacher.update(Outcomes([[0.9, 0.1]], [1.0]))
    shown = teacher.snapshot()
    np.testing.assert_allclose([shown["low"][0], shown["high"][0]], [[0.75, 0.0], [1.0, 0.25]])
    assert shown["progress"][0] > shown["progress"][1] == 0.0
    assert shown["tried"][0] == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 0.0}, r"rate must lie in \(0, 1\], got 0"),
        ({"theta": 0.6}, r"theta must lie in \(0, 0.5\], got 0.6"),
        ({"chance": 1.0}, r"chance must lie in \[0, 1\), got 1"),
        ({"centre": np.inf}, "centre must be finite"),
        ({"slope": 0.0}, "slope must be above 0"),
        ({"random_ratio": 2.0}, r"random_ratio must lie in \[0, 1\]"),
        ({"evaluate_every": 0}, "evaluate_every must be at least 1"),
        ({"evaluations": 0}, "evaluations must be at least 1"),
        ({"measure": "loss"}, "measure must be one of"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)


def test_teaches_the_toy_better_than_chance() -> None:
    student = CubeStudent(cubes=4)
    teacher = build(student.task_space, bins=4, measure="return")
    assert teach(student, teacher, 2500).final > 60
