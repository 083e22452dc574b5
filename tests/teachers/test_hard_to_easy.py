"""Hard to easy: the mirror of easy to hard."""

from __future__ import annotations

import math

import numpy as np
import pytest

from currgym import BoxTasks, DiscreteTasks, make_teacher


def test_trace_ten_passes_over_ten_examples() -> None:
    # Geometric from 0.1 over 50 proposals: floor(10 * 0.1^(1 - t / 50)) examples, at least one.
    space = DiscreteTasks(10, difficulty=np.arange(10))
    teacher = make_teacher("hard-to-easy", space, seed=0, pacing="geometric", start=0.1, horizon=50)
    time = 0
    for _ in range(30):
        count = max(1, math.floor(10 * 0.1 ** (1 - min(time / 50, 1)) + 1e-9))
        assert sorted(teacher.plan().tolist()) == list(range(10 - count, 10))
        time += count
    assert time > 50


def test_trace_ten_tasks_of_a_box() -> None:
    # The open share of the axis from its hard end: height = 3 (1 - share u).
    space = BoxTasks([0, 0], [3, 6], names=["height", "gap"], difficulty="height")
    teacher = make_teacher("hard-to-easy", space, seed=5, start=0.1, horizon=20)
    rng = np.random.default_rng(5)
    for t in range(10):
        u = rng.random(2)
        expected = [3 * (1 - (0.1 + 0.9 * t / 20) * u[0]), 6 * u[1]]
        np.testing.assert_allclose(teacher.sample(1)[0], expected, atol=1e-6)


def test_profile_the_easy_part_opens_late() -> None:
    space = BoxTasks([0, 0], [1, 1], difficulty={"x0": 1.0, "x1": 1.0})
    teacher = make_teacher("hard-to-easy", space, seed=0, horizon=1000)
    sums = np.concatenate([teacher.sample(10).sum(axis=1) for _ in range(150)])
    # At time 400 the share is 0.46: sums above 2 - sqrt(0.92).
    assert sums[:400].min() > 1.03
    assert sums[1000:].min() < 0.4


def test_declares_difficulty() -> None:
    space = BoxTasks([0], [1], difficulty="x0")
    assert make_teacher("hard-to-easy", space).privileges == {"difficulty"}
    with pytest.raises(ValueError, match="declares none"):
        make_teacher("hard-to-easy", BoxTasks([0], [1]))
