"""Equal shares, well spread at any time."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from currgym import BoxTasks, DiscreteTasks, make_teacher
from currgym.teachers._arms import Bins
from currgym.teachers.stratified import Stratified, spread_order, strides

LINE = BoxTasks([0], [8])


def build(space: Any = LINE, **settings: Any) -> Stratified:
    return cast(Stratified, make_teacher("stratified", space, **{"seed": 0, **settings}))


def test_trace_of_a_line_in_eight() -> None:
    # Halton's points in base 2: 1/2, 1/4, 3/4, 1/8, 5/8, 3/8, 7/8, 1/16.
    order = [4, 2, 6, 1, 5, 3, 7, 0]
    teacher = build(bins=8)
    drawn = teacher.sample(24)[:, 0].astype(int).reshape(3, 8).tolist()
    for round_ in drawn:
        start = order.index(round_[0])
        assert round_ == order[start:] + order[:start]
    assert len({round_[0] for round_ in drawn}) > 1  # each round from a place of its own
    assert spread_order(Bins([8], [0])).tolist() == order


@pytest.mark.parametrize("dims", [1, 2, 3, 8, 20])
def test_profile_every_bin_once_a_round(dims: int) -> None:
    teacher = build(BoxTasks(np.zeros(dims), np.ones(dims)))
    n = teacher.arms.n
    for _ in range(3):
        arms = teacher.arms.of(teacher.sample(n))
        assert np.bincount(arms, minlength=n).tolist() == [1] * n


def test_any_stretch_is_spread() -> None:
    # 25 consecutive of 100 bins: each quarter of the square has its share, within three.
    teacher = build(BoxTasks([0, 0], [1, 1]), bins=10)
    drawn = teacher.sample(4000)
    quarters = (drawn >= 0.5).astype(int) @ [1, 2]
    counts = [np.bincount(quarters[i : i + 20], minlength=4) for i in range(0, 4000, 20)]
    assert np.mean(counts) == 5.0
    assert np.std(counts) < 1.0  # of uniform draws 1.9


def test_tasks_are_uniform_within_a_bin() -> None:
    drawn = build(bins=2).sample(8000)[:, 0]
    assert drawn[drawn < 4].mean() == pytest.approx(2.0, abs=0.05)
    assert drawn[drawn < 4].std() == pytest.approx(4 / 12**0.5, abs=0.05)


def test_groups_have_equal_shares_and_their_examples_come_without_repetition() -> None:
    groups = np.array([0] * 12 + [1] * 5 + [2])
    teacher = build(DiscreteTasks(18, groups=groups))
    drawn = teacher.sample(180).reshape(60, 3)
    assert (np.sort(groups[drawn], axis=1) == [0, 1, 2]).all()
    first = drawn[groups[drawn] == 0]
    assert sorted(first[:12].tolist()) == list(range(12)) == sorted(first[12:24].tolist())
    second = drawn[groups[drawn] == 1]
    assert sorted(second[:5].tolist()) == [12, 13, 14, 15, 16]


def test_slices_of_difficulty_where_there_are_no_groups() -> None:
    scores = np.random.default_rng(0).permutation(100)
    teacher = build(DiscreteTasks(100, difficulty=scores))
    assert teacher.arms.n == 10
    drawn = teacher.sample(10)
    assert sorted(scores[drawn] // 10) == list(range(10))
    assert build(DiscreteTasks(7)).arms.n == 7


def test_strides_visit_all() -> None:
    sizes = np.arange(1, 200)
    for size, step in zip(sizes.tolist(), strides(sizes).tolist(), strict=True):
        assert len({(i * step) % size for i in range(size)}) == size


def test_snapshot() -> None:
    teacher = build(bins=4)
    teacher.sample(3)
    shown = teacher.snapshot()
    assert shown["chances"].tolist() == [0.25] * 4
    assert shown["position"] == 3
