"""Uniform over environment steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from currgym import BoxTasks, DiscreteTasks, Outcomes, TaskSpace, make_teacher
from currgym.teachers._regions import split_regions

Array = NDArray[Any]


def shares_of_steps(
    name: str,
    space: TaskSpace,
    lengths_of: Callable[[Array, np.random.Generator], Array],
    quarter_of: Callable[[Array], Array],
    attempts: int = 16_000,
    batch: int = 40,
) -> Array:
    """Return the share of steps in each quarter of the space, the first 4,000 attempts apart."""
    teacher = make_teacher(name, space, seed=0)
    rng = np.random.default_rng(1)
    steps = np.zeros(4)
    for start in range(0, attempts, batch):
        tasks = teacher.sample(batch)
        lengths = lengths_of(tasks, rng)
        if start >= 4000:
            steps += np.bincount(quarter_of(tasks), weights=lengths, minlength=4)
        teacher.update(Outcomes(tasks, np.zeros(batch), lengths=lengths))
    return np.asarray(steps / steps.sum())


def noisy(solved: Array, rng: np.random.Generator) -> Array:
    """1,500 steps where solved, else 80: the design's example, with noise."""
    mean = np.where(solved, 1500, 80)
    return np.asarray((mean * rng.uniform(0.7, 1.3, len(mean))).astype(int))


def test_trace_ten_outcomes_of_three_tasks() -> None:
    # Means 15, 100 and 30 of 4, 4 and 2 attempts, shrunk by two attempts of the mean of all.
    teacher = make_teacher("uniform-steps", DiscreteTasks(3), seed=0, prior=2.0)
    sums, counts = np.zeros(3), np.zeros(3)
    for task, length in zip(
        [0, 1, 2, 0, 1, 0, 0, 2, 1, 1], [10, 100, 30, 20, 140, 15, 15, 30, 90, 70], strict=True
    ):
        teacher.update(Outcomes([task], [0.0], lengths=[length]))
        sums[task] += length
        counts[task] += 1
    overall = sums.sum() / 10
    assert overall == 52.0
    expected = (2 * overall + sums) / (2 + counts)
    np.testing.assert_allclose(expected, [164 / 6, 504 / 6, 164 / 4], atol=1e-9)
    plans = [teacher.plan() for _ in range(400)]
    drawn = np.bincount(np.concatenate(plans), minlength=3)
    wanted = (1 / expected) / (1 / expected).sum()
    assert np.abs(drawn / drawn.sum() - wanted).max() < 0.03
    # Each pass holds each task as often as its share says, rounded up or down.
    for plan in plans:
        held = np.bincount(plan, minlength=3)
        assert (np.abs(held - 3 * wanted) < 1.0 + 1e-9).all()
    np.testing.assert_allclose(teacher.snapshot()["expected_length"], expected, atol=1e-6)
    np.testing.assert_allclose(teacher.snapshot()["probability"], wanted, atol=1e-6)


def test_running_means_forget() -> None:
    teacher = make_teacher("uniform-steps", DiscreteTasks(1), seed=0, recent=4)
    for length in (10, 20, 30, 40, 100, 100):
        teacher.update(Outcomes([0], [0.0], lengths=[length]))
    # 25 after four; then a quarter of the way to each new one: 43.75, 57.8125.
    assert teacher.snapshot()["expected_length"][0] == pytest.approx(57.8125, abs=1e-9)


def test_groups_lend_their_mean() -> None:
    space = DiscreteTasks(4, groups=["a", "a", "b", "b"])
    teacher = make_teacher("uniform-steps", space, seed=0, prior=2.0)
    teacher.update(Outcomes([0] * 6 + [2] * 6, np.zeros(12), lengths=[10] * 6 + [90] * 6))
    expected = teacher.snapshot()["expected_length"]
    assert expected[1] == pytest.approx((2 * 50 + 60) / 8)
    assert expected[3] == pytest.approx((2 * 50 + 540) / 8)
    assert expected[0] == pytest.approx((2 * 20 + 60) / 8)


def test_profile_equal_steps_in_a_box() -> None:
    def run(name: str) -> Array:
        return shares_of_steps(
            name,
            BoxTasks([0, 0], [3, 6]),
            lambda tasks, rng: noisy(tasks[:, 0] < 0.75, rng),
            lambda tasks: np.minimum((tasks[:, 0] / 0.75).astype(int), 3),
        )

    assert np.abs(run("uniform-steps") - 0.25).max() < 0.04
    assert run("random")[0] == pytest.approx(0.86, abs=0.02)


def test_profile_equal_steps_where_most_is_solved() -> None:
    shares = shares_of_steps(
        "uniform-steps",
        BoxTasks([0, 0, 1], [3, 6, 1]),
        lambda tasks, rng: noisy((tasks[:, 0] < 1.5) | (tasks[:, 1] > 3.0), rng),
        lambda tasks: 2 * (tasks[:, 0] >= 1.5) + (tasks[:, 1] > 3.0),
    )
    assert np.abs(shares - 0.25).max() < 0.05


def test_profile_equal_steps_over_discrete_tasks() -> None:
    shares = shares_of_steps(
        "uniform-steps",
        DiscreteTasks(40),
        lambda tasks, rng: noisy(tasks < 10, rng),
        lambda tasks: tasks // 10,
    )
    assert np.abs(shares - 0.25).max() < 0.04


def test_follows_a_student_that_learns() -> None:
    teacher = make_teacher("uniform-steps", BoxTasks([0], [1]), seed=0)
    shares = []
    for border in (0.0, 0.25, 0.5):
        steps = np.zeros(4)
        for i in range(400):
            tasks = teacher.sample(20)
            lengths = np.where(tasks[:, 0] < border, 1500, 80)
            teacher.update(Outcomes(tasks, np.zeros(20), lengths=lengths))
            if i >= 250:
                quarter = np.minimum((4 * tasks[:, 0]).astype(int), 3)
                steps += np.bincount(quarter, weights=lengths, minlength=4)
        shares.append(steps / steps.sum())
    assert np.abs(np.array(shares) - 0.25).max() < 0.06


def test_equal_lengths_are_a_permutation_of_examples() -> None:
    teacher = make_teacher("uniform-steps", DiscreteTasks(50), seed=0)
    for _ in range(5):
        plan = teacher.plan()
        assert sorted(plan.tolist()) == list(range(50))
        teacher.update(Outcomes(plan, scores={"loss": np.ones(50)}))


def test_regions_are_cut_where_lengths_differ() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((2000, 3))
    regions = split_regions(points, np.where(points[:, 1] < 0.25, 1500.0, 80.0), 10, 64)
    assert len(regions.mean) == 2
    assert sorted(regions.mean.tolist()) == [80.0, 1500.0]
    assert abs(regions.high[:, 1].min() - 0.25) < 0.01
    assert regions.probability.sum() == pytest.approx(1.0)
    assert (regions.high - regions.low).prod(axis=1).sum() == pytest.approx(1.0)


def test_noise_makes_no_regions() -> None:
    rng = np.random.default_rng(0)
    for dim in (1, 5, 20):
        regions = split_regions(rng.random((1000, dim)), rng.exponential(100.0, 1000) + 1, 10, 64)
        assert len(regions.mean) <= 3


def test_refuses() -> None:
    for name in ("window", "fit_period", "min_leaf", "max_leaves", "recent", "prior"):
        settings: dict[str, Any] = {name: 0}
        with pytest.raises(ValueError, match=f"{name} must"):
            make_teacher("uniform-steps", BoxTasks([0], [1]), **settings)
