"""Thompson sampling on intermediate success."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from currgym import BoxTasks, DiscreteTasks, Outcomes, make_teacher
from currgym.students.simulated import CubeStudent, teach
from currgym.teachers.bayes_band import BayesBand

THREE = DiscreteTasks(3)


def build(space: Any = THREE, **settings: Any) -> BayesBand:
    settings = {"seed": 0, "return_range": (0, 1), **settings}
    return cast(BayesBand, make_teacher("bayes-band", space, **settings))


def feed(teacher: BayesBand, arm: int, *successes: float, **columns: Any) -> None:
    for success in successes:
        scores = {"abs_advantage": [success]}
        teacher.update(Outcomes([arm], [success], successes=[success], scores=scores, **columns))


def shares(teacher: BayesBand, n: int = 4000) -> Any:
    drawn = teacher.preview(n, np.random.default_rng(1))
    return np.bincount(drawn, minlength=cast(DiscreteTasks, teacher.space).n) / n


def test_trace_worked_by_hand() -> None:
    teacher = build(discount=0.5, prior_successes=1.0, prior_failures=2.0)
    trace: list[tuple[int, float, list[float], list[float]]] = [
        # arm, success; then the faded successes and failures of all arms
        (0, 1.0, [1, 0, 0], [0, 0, 0]),
        (0, 0.0, [0.5, 0, 0], [1, 0, 0]),
        (1, 1.0, [0.25, 1, 0], [0.5, 0, 0]),
        (2, 0.25, [0.125, 0.5, 0.25], [0.25, 0, 0.75]),
        (1, 1.0, [0.0625, 1.25, 0.125], [0.125, 0, 0.375]),
        (1, 0.0, [0.03125, 0.625, 0.0625], [0.0625, 1, 0.1875]),
        (0, 0.0, [0.015625, 0.3125, 0.03125], [1.03125, 0.5, 0.09375]),
        (2, 1.0, [0.0078125, 0.15625, 1.015625], [0.515625, 0.25, 0.046875]),
        (2, 1.0, [0.00390625, 0.078125, 1.5078125], [0.2578125, 0.125, 0.0234375]),
        (2, 0.5, [0.001953125, 0.0390625, 1.25390625], [0.12890625, 0.0625, 0.51171875]),
    ]
    for arm, success, good, bad in trace:
        feed(teacher, arm, success)
        np.testing.assert_allclose(teacher._counts, [good, bad], atol=1e-9)
    np.testing.assert_allclose(
        teacher.posterior, [[1.001953125, 1.0390625, 2.25390625], [2.12890625, 2.0625, 2.51171875]]
    )
    feed(teacher, 1, 1.0, trials=[8])
    np.testing.assert_allclose(teacher._counts[:, 1], [8.01953125, 0.03125])


def test_choices_are_those_of_the_posterior() -> None:
    teacher = build(discount=1.0, low=0.5, high=0.5)
    feed(teacher, 0, 1.0, 0.0, 1.0, 0.0)  # Beta(3, 3)
    feed(teacher, 1, 1.0, 1.0)  # Beta(3, 1)
    feed(teacher, 2, 0.0, 0.0, 0.0)  # Beta(1, 4)
    rng = np.random.default_rng(5)
    drawn = np.stack([rng.beta(3, 3, 40_000), rng.beta(3, 1, 40_000), rng.beta(1, 4, 40_000)])
    expected = np.bincount(np.abs(drawn - 0.5).argmin(axis=0)) / 40_000
    np.testing.assert_allclose(shares(teacher, 10_000), expected, atol=0.02)
    np.testing.assert_allclose(teacher.chances, expected, atol=0.1)


def test_of_many_arms_each_in_the_band_is_as_likely_and_else_the_nearest_is_chosen() -> None:
    teacher = build(DiscreteTasks(2000), low=0.4, high=0.6)
    teacher._counts[:] = np.array([[0.0], [5000.0]])
    good = [7, 900, 1999]
    teacher._counts[:, good] = 5000.0
    drawn = teacher.sample(600)
    found = [int((drawn == arm).sum()) for arm in good]
    assert sum(found) == 600
    assert min(found) > 150  # of 200; 4.3 standard deviations
    # Where many lie inside, those that are looked at first are any of them.
    teacher._counts[:] = 5000.0
    thirds = np.bincount(teacher.sample(1500) * 3 // 2000, minlength=3)
    assert np.abs(thirds - 500).max() < 80
    # None inside: the nearest of all, wherever it stands.
    teacher._counts[:] = np.array([[0.0], [5000.0]])
    teacher._counts[:, 1234] = 1500.0, 3500.0
    assert (teacher.sample(40) == 1234).all()


def test_profile_success_in_the_band_and_all_arms_in_it() -> None:
    rng = np.random.default_rng(0)
    rates = np.array([0.0, 0.02, 0.4, 0.6, 0.97, 1.0])
    teacher = build(DiscreteTasks(6), discount=1.0, low=0.3, high=0.7)
    late = []
    for step in range(2000):
        arm = int(teacher.sample(1)[0])
        feed(teacher, arm, float(rng.random() < rates[arm]))
        late += [arm] * (step >= 500)
    found = np.bincount(late, minlength=6) / len(late)
    assert found[2:4].sum() > 0.95
    assert found[2:4].min() > 0.3


def test_what_was_long_ago_is_uncertain_again() -> None:
    for discount, back in ((0.98, True), (1.0, False)):
        teacher = build(discount=discount)
        feed(teacher, 0, *[0.0] * 200)
        feed(teacher, 1, *[0.0, 1.0] * 150)
        feed(teacher, 2, *[1.0] * 200)
        assert bool(shares(teacher)[0] > 0.1) is back


def test_never_and_always() -> None:
    for success in (0.0, 1.0):
        teacher = build()
        for arm in range(3):
            feed(teacher, arm, *[success] * 100)
        np.testing.assert_allclose(shares(teacher), 1 / 3, atol=0.05)


def test_returns_instead_of_successes() -> None:
    teacher = build(measure="return", discount=1.0)
    assert teacher.needs == frozenset()
    assert build().needs == {"successes"}
    teacher.update(Outcomes([0, 1], [0.25, 1.0]))
    np.testing.assert_allclose(teacher._counts, [[0.25, 1.0, 0.0], [0.75, 0.0, 0.0]])


def test_snapshot() -> None:
    teacher = build(BoxTasks([0], [1]), bins=4, discount=1.0)
    for _ in range(40):
        teacher.update(Outcomes([[0.1], [0.3], [0.6], [0.9]], [0.0] * 4, successes=[0, 1, 0.5, 0]))
    shown = teacher.snapshot()
    assert shown["low"][0] == pytest.approx(0.5)
    assert shown["success"][0] == pytest.approx(0.5)
    assert shown["attempts"].tolist() == [40.0] * 4
    assert shown["chances"][0] > 0.9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"low": 0.8}, "low and high must be 0 <= low <= high <= 1, got 0.8 and 0.75"),
        ({"discount": 0.0}, r"discount must lie in \(0, 1\], got 0"),
        ({"prior_successes": 0.0}, "prior_successes must be above 0"),
        ({"prior_failures": -1.0}, "prior_failures must be above 0"),
        ({"measure": "loss"}, "measure must be one of"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)


def test_teaches_the_toy_better_than_chance() -> None:
    student = CubeStudent(cubes=4)
    teacher = build(student.task_space, bins=4, measure="return")
    assert teach(student, teacher, 2500).final > 50
