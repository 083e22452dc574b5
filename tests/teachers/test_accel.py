"""ACCEL: whose children are asked for, what they are like, and where it all begins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from currgym import BoxTasks, Outcomes, make_teacher
from currgym.envs.grid_maze import MazeTasks

MAZES = MazeTasks(9)
SQUARE = BoxTasks([0, 0], [1, 1])


def tell(teacher: Any, tasks: Any, scores: Any, probe: bool = False, seeds: Any = None) -> None:
    n = len(tasks)
    seeds = np.zeros(n, dtype=int) if seeds is None else seeds
    columns: dict[str, Any] = {"probe": np.ones(n, dtype=bool)} if probe else {}
    teacher.update(Outcomes(tasks, np.zeros(n), seeds=seeds, scores={"pvl": scores}, **columns))


def blocks(tasks: NDArray[Any]) -> NDArray[np.int64]:
    return np.asarray(MAZES.walls(tasks)[:, 1:-1, 1:-1].sum(axis=(1, 2)))


def test_profile_begins_with_empty_rooms_and_is_told_so() -> None:
    teacher: Any = make_teacher("accel", MAZES, seed=0, warmup=40)
    assert teacher.needs == {"pvl", "probe"}
    assert teacher.privileges == {"initial"}
    asked = teacher.requests()
    assert asked is not None
    assert len(asked) == 40
    assert blocks(asked.tasks).max() == 0
    anywhere = make_teacher("accel", MAZES, seed=0, warmup=40, start="random").requests()
    assert anywhere is not None
    assert blocks(anywhere.tasks).mean() > 3
    assert make_teacher("accel", SQUARE, seed=0).privileges == frozenset()


def test_trace_of_a_generation() -> None:
    """Three levels, replays of all, children of the better half alone, scored, kept."""
    teacher: Any = make_teacher(
        "accel", MAZES, seed=0, warmup=4, edit_rate=0.5, edits=1, replay_rate=1.0, capacity=6
    )
    first = teacher.requests().tasks
    tell(teacher, first, [1.0, 2.0, 3.0, 4.0], probe=True)
    assert teacher.requests() is None  # probes have no children
    tell(teacher, first, [1.0, 5.0, 7.0, 3.0])  # trained on: the same levels, other scores
    asked = teacher.requests()
    # 4 replays at a rate of 0.5: two children, of the levels that now score 7 and 5.
    assert len(asked) == 2
    for child, parent in zip(asked.tasks, first[[2, 1]], strict=True):
        # One change: a block, the agent (which may turn too), or the goal.
        walls = (MAZES.walls(child) != MAZES.walls(parent)).sum()
        agent = (child[[-3, -2]] != parent[[-3, -2]]).any()
        assert int(walls) + int(agent) + int(child[-1] != parent[-1]) == 1
    assert teacher.levels.find(asked.tasks[0], -1) is None  # not before it is scored
    tell(teacher, asked.tasks, [6.0, 0.5], probe=True)
    kept = dict(zip(map(bytes, teacher.levels.tasks), teacher.levels.scores.tolist(), strict=True))
    assert kept[bytes(asked.tasks[0])] == 6.0
    assert kept[bytes(asked.tasks[1])] == 0.5  # capacity 6: there was room
    assert sorted(kept.values()) == [0.5, 1.0, 3.0, 5.0, 6.0, 7.0]
    assert teacher.requests() is None  # each replay is a parent once
    # A full store: a child has to be better than the lowest, and takes its place.
    tell(teacher, first[[2]], [7.0])
    tell(teacher, first[[2]], [7.0])
    (child,) = teacher.requests().tasks
    tell(teacher, child[None], [0.9], probe=True)
    assert sorted(teacher.levels.scores.tolist()) == [0.9, 1.0, 3.0, 5.0, 6.0, 7.0]
    assert teacher.snapshot()["children"] == 3


def test_children_in_a_box_are_near_and_keep_the_seed() -> None:
    teacher: Any = make_teacher("accel", SQUARE, seed=0, warmup=1, replay_rate=1.0)
    middle = np.full((200, 2), 0.5)
    seeds = np.arange(200)
    for start in range(0, 200, 50):
        part = slice(start, start + 50)
        tell(teacher, middle[part], np.ones(50), probe=True, seeds=seeds[part])
        tell(teacher, middle[part], np.ones(50), seeds=seeds[part])
        asked = teacher.requests()
        assert asked.seeds.tolist() == seeds[part].tolist()
        # Five steps of 0.05: standard deviation 0.112.
        assert np.std(asked.tasks - 0.5) == pytest.approx(0.05 * np.sqrt(5), rel=0.25)


def test_profile_complexity_grows_as_far_as_the_score_leads() -> None:
    """The profile: from empty rooms to more blocks than random mazes ever have."""
    teacher: Any = make_teacher("accel", MazeTasks(9, 8), seed=0, warmup=10, capacity=100)
    over_time: list[float] = []
    for _ in range(150):
        asked = teacher.requests()
        if asked is not None:
            tell(teacher, asked.tasks, blocks(asked.tasks).astype(float), probe=True)
        tasks = teacher.propose(4).tasks
        over_time.append(float(blocks(tasks).mean()))
        tell(teacher, tasks, blocks(tasks).astype(float))
    assert over_time[0] == 0.0
    assert np.mean(over_time[-10:]) > 10.0  # random mazes have 4 on the average, 8 at most
    assert np.mean(over_time[70:80]) > np.mean(over_time[20:30]) + 1.0


def test_no_child_is_known_already() -> None:
    # Numbered tasks without a difficulty: an edit draws anew, so that most are known.
    from currgym import DiscreteTasks

    teacher: Any = make_teacher(
        "accel", DiscreteTasks(20), seed=0, warmup=1, replay_rate=1.0, fixed_seeds=False
    )
    tell(teacher, np.arange(15), np.ones(15), probe=True)
    for _ in range(10):
        tell(teacher, np.arange(15), np.ones(15))
        asked = teacher.requests()
        if asked is not None:
            assert asked.tasks.min() >= 15
            assert len(set(asked.tasks.tolist())) == len(asked)


def test_what_waits_to_be_edited_is_bounded_and_saved() -> None:
    teacher: Any = make_teacher("accel", SQUARE, seed=0, warmup=1, replay_rate=1.0, edits=1)
    tasks = np.random.default_rng(0).random((500, 2))
    tell(teacher, tasks, np.arange(500.0), probe=True)
    tell(teacher, tasks, np.arange(500.0))
    state = teacher.state_dict()
    other: Any = make_teacher("accel", SQUARE, seed=1, warmup=1, replay_rate=1.0, edits=1)
    other.load_state_dict(state)
    one, two = teacher.requests(), other.requests()
    np.testing.assert_array_equal(one.tasks, two.tasks)
    assert len(one) == 64  # of 500 the best
    assert np.abs(one.tasks - tasks[:-65:-1]).max() < 0.3


def test_bad_arguments_are_named() -> None:
    for name, value in {
        "edit_rate": 1.5, "edits": 0, "edit_size": 0.0, "start": "hard", "replay_rate": 0.0,
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=rf"{name} must .*{value}"):
            make_teacher("accel", SQUARE, 0, None, None, **{name: value})
