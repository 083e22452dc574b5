"""Arms: bins of a cube, groups and slices of examples."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from currgym.tasks import BoxTasks, DiscreteTasks
from currgym.teachers._arms import MAX_ARMS, Bins, Members, make_arms, pick


def bins_of(space: BoxTasks, bins: Any = None) -> Bins:
    arms = make_arms(space, bins)
    assert isinstance(arms, Bins)
    return arms


def members_of(space: DiscreteTasks, bins: Any = None) -> Members:
    arms = make_arms(space, bins)
    assert isinstance(arms, Members)
    return arms


@pytest.mark.parametrize("dims", range(1, 21))
def test_one_to_twenty_dimensions(dims: int) -> None:
    space = BoxTasks(np.zeros(dims), np.ones(dims))
    arms = bins_of(space)
    assert 10 <= arms.n <= 1000
    chosen = np.random.default_rng(0).integers(arms.n, size=500)
    points = arms.place(chosen, np.random.default_rng(1).random((500, dims)))
    assert points.min() >= 0
    assert points.max() < 1
    np.testing.assert_array_equal(arms.of(points), chosen)
    assert copy.deepcopy(arms) is arms


def test_automatic_bins_a_side() -> None:
    sides = {
        dims: bins_of(BoxTasks(np.zeros(dims), np.ones(dims))).counts.tolist()
        for dims in (1, 2, 3, 4, 5)
    }
    assert sides == {
        1: [10], 2: [10, 10], 3: [10, 10, 10], 4: [6, 6, 5, 5], 5: [5, 4, 4, 4, 3]
    }  # fmt: skip


def test_the_last_axis_runs_fastest() -> None:
    arms = bins_of(BoxTasks([0, 0], [1, 1]), [2, 3])
    points = np.array([[0.0, 0.0], [0.4, 0.4], [0.4, 1.0], [0.5, 0.0], [1.0, 1.0]])
    assert arms.of(points).tolist() == [0, 1, 2, 3, 5]
    low, high = arms.corners(np.array([4]))
    np.testing.assert_allclose([low[0], high[0]], [[0.5, 1 / 3], [1.0, 2 / 3]])


def test_bins_hold_whole_slices_of_whole_numbers() -> None:
    # Eight counts and three colours on three and ten bins: 0-2, 3-5, 6-7, and one a colour.
    space = BoxTasks(
        [0, 0, 5], [7, 2, 5], kinds=["integer", ("red", "green", "blue"), "real"]
    )  # fmt: skip
    arms = bins_of(space, [3, 10])
    assert arms.counts.tolist() == [3, 3]
    counts = np.arange(8)
    tasks = np.column_stack([counts, np.zeros(8), np.full(8, 5.0)])
    assert arms.of(space.to_unit(tasks)).tolist() == [0, 0, 0, 3, 3, 3, 6, 6]
    rng = np.random.default_rng(0)
    chosen = rng.integers(9, size=3000)
    drawn = space.from_unit(arms.place(chosen, rng.random((3000, 2))))
    np.testing.assert_array_equal(arms.of(space.to_unit(drawn)), chosen)
    inside = np.bincount(drawn[chosen < 3, 0].astype(int), minlength=8)
    assert (inside[3:] == 0).all()
    assert inside[:3].min() > 0.28 * inside.sum()


def test_every_edge_belongs_to_the_bin_above() -> None:
    for count in range(1, 60):
        arms = Bins([count], [0])
        edges = np.arange(count)[:, None] / count
        assert arms.of(edges).tolist() == list(range(count))
        assert arms.of(np.nextafter(edges[1:], 0.0)).tolist() == list(range(count - 1))
    for many in range(1, 40):
        for count in range(1, many + 1):
            arms = Bins([count], [many])
            centres = (np.arange(many)[:, None] + 0.5) / many
            found = arms.of(centres)
            sizes = np.bincount(found, minlength=count)
            assert (np.diff(found) >= 0).all()
            assert sizes.max() - sizes.min() <= 1


def test_nothing_but_constants_is_one_arm() -> None:
    arms = bins_of(BoxTasks([2], [2]))
    assert arms.n == 1
    assert arms.of(np.empty((3, 0))).tolist() == [0, 0, 0]
    assert arms.place(np.zeros(2, dtype=np.int64), np.empty((2, 0))).shape == (2, 0)


def test_examples_groups_and_slices() -> None:
    scores = np.array([5.0, 1.0, 4.0, 2.0, 3.0, 0.0])
    labels = np.array(["b", "a", "b", "a", "a", "b"])
    assert members_of(DiscreteTasks(6)).n == 6
    groups = members_of(DiscreteTasks(6, difficulty=scores, groups=labels))
    assert groups.of(np.arange(6)).tolist() == [1, 0, 1, 0, 0, 1]
    assert groups.sizes.tolist() == [3, 3]
    # Within a group the easiest comes first.
    assert groups.member(np.array([0, 0, 1, 1]), np.array([0, 2, 0, 2])).tolist() == [1, 4, 5, 0]
    slices = members_of(DiscreteTasks(6, difficulty=scores, groups=labels), 3)
    assert slices.of(np.array([5, 1, 3, 4, 2, 0])).tolist() == [0, 0, 1, 1, 2, 2]
    assert members_of(DiscreteTasks(6), 4).sizes.sum() == 6
    assert members_of(DiscreteTasks(6), 100).n == 6
    assert members_of(DiscreteTasks(50_000)).n == 1000


def test_examples_are_uniform_within_their_arm() -> None:
    arms = members_of(DiscreteTasks(10, groups=np.arange(10) // 7))
    rng = np.random.default_rng(0)
    drawn = arms.place(np.zeros(7000, dtype=np.int64), rng.random((7000, 1)))
    counts = np.bincount(drawn, minlength=10)
    assert counts[7:].sum() == 0
    assert counts[:7].min() > 850


def test_pick_is_in_proportion_and_never_takes_what_cannot_be() -> None:
    u = (np.arange(1000) + 0.5) / 1000
    counts = np.bincount(pick(np.array([0.0, 1.0, 0.0, 3.0, 0.0]), u), minlength=5)
    assert counts.tolist() == [0, 250, 0, 750, 0]
    assert pick(np.array([0.0, 2.0]), np.array([0.0])).tolist() == [1]


def test_refuses() -> None:
    square = BoxTasks([0, 0, 0, 0], [1, 1, 1, 1])
    with pytest.raises(ValueError, match=r"at most 10,000 arms, got 14,641 from 11.*at most 10 a"):
        make_arms(square, 11)
    assert bins_of(square, 10).n == MAX_ARMS
    with pytest.raises(ValueError, match="bins must be at least 1, got 0"):
        make_arms(square, 0)
    with pytest.raises(ValueError, match=r"one for each of 4 live axes, got \[2, 2\]"):
        make_arms(square, [2, 2])
    with pytest.raises(ValueError, match="bins of a discrete space must be one number"):
        make_arms(DiscreteTasks(5), [2])
    with pytest.raises(ValueError, match=r"bins must lie in \[1, 10,000\], got 0"):
        make_arms(DiscreteTasks(5), 0)
    with pytest.raises(ValueError, match="has 10,001 groups, more than 10,000"):
        make_arms(DiscreteTasks(10_001, groups=np.arange(10_001)))
