"""Skew: mastered tasks, the rarer the likelier."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from currgym.outcomes import Outcomes
from currgym.tasks import BoxTasks
from currgym.teachers.skew import Skew
from currgym.teaching import make_teacher

FloatArray = NDArray[np.float64]
LINE = BoxTasks([0], [10])
SQUARE = BoxTasks([0, 0], [1, 1])


def build(space: BoxTasks = SQUARE, **settings: Any) -> Skew:
    return cast(Skew, make_teacher("skew", space, **{"seed": 0, **settings}))


def feed(teacher: Skew, tasks: FloatArray, successes: FloatArray) -> None:
    teacher.update(Outcomes(tasks, np.zeros(len(tasks)), successes=successes))


def normal(z: float) -> float:
    return 0.5 * (1.0 + math.erf(z / math.sqrt(2.0)))


def chances_by_hand(centres: list[float], alpha: float, width: float) -> FloatArray:
    """The formula, number by number, in one dimension."""
    weights = []
    for x in centres:
        density = sum(math.exp(-((x - c) ** 2) / (2 * width**2)) for c in centres)
        density /= normal((1 - x) / width) - normal(-x / width)
        weights.append(density**alpha)
    return np.asarray(np.array(weights) / sum(weights))


def test_trace_worked_by_hand() -> None:
    teacher = build(LINE, alpha=-0.5, bandwidth=0.1, fit_period=1, history_size=5)
    kept: list[float] = []
    for task, success in [
        (0.5, 0.0), (0.2, 1.0), (0.2, 1.0), (0.25, 1.0), (0.6, 1.0), (0.9, 0.4), (0.0, 1.0),
        (0.95, 0.6), (0.6, 1.0), (0.7, 0.5),
    ]:  # fmt: skip
        feed(teacher, np.array([[10 * task]]), np.array([success]))
        if success >= 0.5:
            kept = [*kept, task][-5:]
        shown = teacher.snapshot()
        assert "chances" in shown, "no density"
        expected = sorted(zip(chances_by_hand(kept, -0.5, 0.1), kept, strict=True))[::-1]
        np.testing.assert_allclose(shown["chances"], [c for c, _ in expected], atol=1e-6)
        np.testing.assert_allclose(
            np.sort(shown["tasks"][:, 0]), 10 * np.sort([x for _, x in expected]), atol=1e-6
        )
    # Far from each other and from the faces: a task kept n times has the share of n ** (1 + alpha).
    teacher = build(LINE, alpha=-0.5, bandwidth=1e-3, fit_period=13)
    feed(teacher, np.repeat([[2.0], [5.0]], [9, 4], axis=0), np.ones(13))
    chances = dict(
        zip(teacher.snapshot()["tasks"][:, 0], teacher.snapshot()["chances"], strict=True)
    )
    np.testing.assert_allclose([9 * chances[2.0], 4 * chances[5.0]], [3 / 5, 2 / 5], atol=1e-6)


@pytest.mark.parametrize(("alpha", "share"), [(-1.0, 0.5), (-0.5, 0.25), (-0.01, 0.1)])
def test_profile_rare_tasks(alpha: float, share: float) -> None:
    check_rare(alpha, share)


def test_profile_rare_tasks_are_as_likely_as_frequent_ones() -> None:
    check_rare(-1.0, 0.5)


def check_rare(alpha: float, share: float) -> None:
    # One in ten mastered tasks lies at the right: 9 ** (1 + alpha) to 1.
    teacher = build(alpha=alpha, bandwidth=0.02, fit_period=500)
    rng = np.random.default_rng(1)
    places = np.where(np.arange(500)[:, None] % 10 > 0, [0.2, 0.5], [0.8, 0.5])
    feed(teacher, places + 0.005 * rng.standard_normal((500, 2)), np.ones(500))
    drawn = teacher.sample(4000)
    assert np.mean(drawn[:, 0] > 0.5) == pytest.approx(share, abs=0.03)
    assert np.minimum(abs(drawn[:, 0] - 0.2), abs(drawn[:, 0] - 0.8)).max() < 0.12


def test_profile_grows_beyond_what_is_mastered() -> None:
    # Solvable: the left 40 %. Begun in a corner; what fails is not sampled around.
    teacher = build(fit_period=50)
    feed(teacher, np.tile([[0.05, 0.05]], (50, 1)), np.ones(50))
    assert teacher.sample(500).max() < 0.35
    for _ in range(60):
        tasks = teacher.sample(50)
        feed(teacher, tasks, (tasks[:, 0] < 0.4).astype(float))
    drawn = teacher.sample(2000)
    assert np.mean(drawn[:, 0] < 0.4) > 0.9
    assert stats.kstest(drawn[drawn[:, 0] < 0.4, 1], "uniform").statistic < 0.15


def test_failed_tasks_do_not_count_unless_all_do() -> None:
    tasks = np.repeat([[0.2, 0.2], [0.8, 0.8]], 50, axis=0)
    successes = np.repeat([1.0, 0.0], 50)
    mastered, attempted = build(), build(mastered_at=0.0)
    for teacher in (mastered, attempted):
        feed(teacher, tasks, successes)
    assert mastered.sample(300).max() < 0.5
    assert np.mean(attempted.sample(2000)[:, 0] > 0.5) == pytest.approx(0.5, abs=0.05)


def test_faces_are_not_rare_because_kernels_end_there() -> None:
    # Mastered evenly: without the correction the four corners would be four times as likely.
    rng = np.random.default_rng(2)
    teacher = build(bandwidth=0.1, history_size=4000, fit_period=4000)
    feed(teacher, rng.random((4000, 2)), np.ones(4000))
    drawn = teacher.sample(10_000)
    corner = np.mean((drawn < 0.1).all(axis=1))
    assert corner == pytest.approx(0.01, abs=0.004)


def test_random_ratio_and_before_anything_is_mastered() -> None:
    teacher = build(random_ratio=0.3)
    feed(teacher, SQUARE.sample(200, np.random.default_rng(3)), np.zeros(200))
    assert stats.kstest(teacher.sample(1000)[:, 0], "uniform").statistic < 0.06
    feed(teacher, np.full((100, 2), 0.5), np.ones(100))
    far = np.abs(teacher.sample(6000) - 0.5).max(axis=1) > 0.25
    assert far.mean() == pytest.approx(0.3 * 0.75, abs=0.02)


def test_many_at_once_are_the_same_as_one_by_one() -> None:
    together, single = build(random_ratio=0.2), build(random_ratio=0.2)
    for teacher in (together, single):
        feed(teacher, SQUARE.sample(100, np.random.default_rng(4)), np.ones(100))
    np.testing.assert_array_equal(
        together.sample(50), np.concatenate([single.sample(1) for _ in range(50)])
    )


def test_batches_of_any_size_equal_single_updates() -> None:
    rng = np.random.default_rng(5)
    tasks, successes = rng.random((330, 2)), rng.random(330)
    states = []
    for batch in (1, 7, 330):
        teacher = build(fit_period=50, history_size=60)
        for i in range(0, 330, batch):
            feed(teacher, tasks[i : i + batch], successes[i : i + batch])
        states.append(teacher.state_dict()["own"])
    for state in states[1:]:
        np.testing.assert_equal(state, states[0])


def test_twenty_dimensions_and_none() -> None:
    wide = BoxTasks(np.zeros(20), np.ones(20))
    teacher = build(wide)
    feed(teacher, wide.sample(200, np.random.default_rng(6)), np.ones(200))
    assert np.isfinite(teacher.snapshot()["chances"]).all()
    assert wide.contains(teacher.sample(100)).all()
    constant = build(BoxTasks([2], [2]))
    feed(constant, constant.sample(200), np.ones(200))
    np.testing.assert_array_equal(constant.sample(3), np.full((3, 1), 2.0))


def test_measure_and_declarations() -> None:
    assert build().needs == {"successes"}
    assert build().privileges == frozenset()
    teacher = build(measure="return", return_range=(0, 10), mastered_at=0.7)
    assert teacher.needs == frozenset()
    teacher.update(Outcomes(np.full((100, 2), 0.5), np.repeat([6.9, 7.0], 50)))
    assert teacher.snapshot()["mastered"] == 50


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 0.0}, "alpha must lie in"),
        ({"alpha": -1.1}, "alpha must lie in"),
        ({"bandwidth": 0.0}, "bandwidth must be above 0"),
        ({"mastered_at": 1.5}, "mastered_at must lie in"),
        ({"random_ratio": -0.1}, "random_ratio must lie in"),
        ({"history_size": 1}, "history_size must be at least 2, got 1"),
        ({"fit_period": 0}, "fit_period must be at least 1"),
        ({"measure": "luck"}, "measure must be one of"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)
