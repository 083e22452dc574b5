"""The target distribution."""

from __future__ import annotations

import numpy as np
import pytest

from currgym import BoxTasks, DiscreteTasks, make_teacher

SPACE = BoxTasks([0, 0], [3, 6])
# Not what from_unit would make of them: they must come back as they were written.
TARGET = [[0.1, 0.7], [2.9, 5.3], [1.1, 0.3]]


def test_trace_ten_rows_drawn_by_index() -> None:
    teacher = make_teacher("target", SPACE, seed=3, target=TARGET)
    rows = np.random.default_rng(3).integers(3, size=10)
    np.testing.assert_allclose(teacher.sample(10), np.array(TARGET)[rows], atol=1e-6)


def test_profile_every_row_alike_and_nothing_else() -> None:
    teacher = make_teacher("target", SPACE, seed=0, target=TARGET)
    tasks = teacher.sample(3000)
    counts = [int((tasks == row).all(axis=1).sum()) for row in TARGET]
    assert sum(counts) == 3000
    assert min(counts) > 900


def test_examples_come_in_permutations_of_the_target() -> None:
    teacher = make_teacher("target", DiscreteTasks(9), seed=0, target=[8, 1, 1, 4])
    for _ in range(5):
        assert sorted(teacher.plan().tolist()) == [1, 1, 4, 8]


def test_uniform_by_default() -> None:
    teacher = make_teacher("target", SPACE, seed=0)
    assert teacher.privileges == frozenset()
    assert np.abs(teacher.sample(4000).mean(axis=0) / [3, 6] - 0.5).max() < 0.03
    assert sorted(make_teacher("target", DiscreteTasks(5), seed=0).plan().tolist()) == [*range(5)]


def test_declares_and_shows_the_target() -> None:
    teacher = make_teacher("target", SPACE, seed=0, target=TARGET)
    assert teacher.privileges == {"target"}
    assert teacher.snapshot()["target"].tolist() == TARGET
    assert "array of shape (3, 2)" in repr(teacher)
    wide = make_teacher("target", SPACE, seed=0, target=np.zeros((9000, 2)))
    assert wide.snapshot()["target"].nbytes <= 80_000


def test_refuses() -> None:
    with pytest.raises(ValueError, match=r"x1 = 7 is not in \[0, 6\]"):
        make_teacher("target", SPACE, target=[[1.0, 7.0]])
    with pytest.raises(ValueError, match="at least one"):
        make_teacher("target", SPACE, target=np.empty((0, 2)))
