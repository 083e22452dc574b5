"""Uniform over episodes."""

from __future__ import annotations

import numpy as np

from currgym import BoxTasks, DiscreteTasks, Outcomes, make_teacher

SPACE = BoxTasks([0, 0], [3, 6])


def test_trace_ten_draws_from_the_generator() -> None:
    teacher = make_teacher("random", SPACE, seed=4)
    expected = np.random.default_rng(4).random((10, 2)) * [3.0, 6.0]
    for row in expected:
        (task,) = teacher.sample(1)
        np.testing.assert_allclose(task, row, atol=1e-6)
        teacher.update(Outcomes([task], [float(task.sum())], lengths=[1 + int(10 * task[0])]))


def test_profile_does_not_look_at_outcomes() -> None:
    teacher = make_teacher("random", SPACE, seed=0)
    quarters = np.zeros(4)
    for _ in range(40):
        tasks = teacher.sample(100)
        quarter = (4 * tasks[:, 0] / 3).astype(int)
        quarters += np.bincount(quarter, minlength=4)
        lengths = np.where(quarter == 0, 1500, 80)
        teacher.update(Outcomes(tasks, quarter, lengths=lengths))
    assert np.abs(quarters / 4000 - 0.25).max() < 0.03


def test_examples_come_in_permutations() -> None:
    teacher = make_teacher("random", DiscreteTasks(7), seed=0)
    passes = [teacher.plan() for _ in range(20)]
    assert all(sorted(p.tolist()) == list(range(7)) for p in passes)
    assert len({tuple(p.tolist()) for p in passes}) > 15
