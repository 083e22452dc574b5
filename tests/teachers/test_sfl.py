"""SFL: which tasks are tried, which are kept, and how often they are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from currgym import BoxTasks, DiscreteTasks, Outcomes, make_teacher
from currgym.envs.grid_maze import MazeTasks
from currgym.students import CubeStudent, teach

LINE = BoxTasks([0], [1])
MAZES = MazeTasks(7)


def answer(teacher: Any, tasks: Any, successes: Any, **more: Any) -> None:
    n = len(tasks)
    probe = more.pop("probe", np.ones(n, dtype=bool))
    successes = np.asarray(successes, dtype=float)
    teacher.update(Outcomes(tasks, successes, successes=successes, probe=probe, **more))


def inside(tasks: NDArray[Any], some: NDArray[Any]) -> NDArray[np.bool_]:
    known = {bytes(np.ascontiguousarray(task)) for task in some}
    return np.array([bytes(np.ascontiguousarray(task)) in known for task in tasks])


def test_trace_of_a_choice() -> None:
    teacher: Any = make_teacher(
        "sfl", MAZES, seed=0, candidates=5, rollouts=4, keep=2, period=50, learnable_share=1.0
    )
    assert teacher.needs == {"successes", "probe"}
    asked = teacher.requests()
    assert asked.seeds is None
    tasks = asked.tasks[::4]
    np.testing.assert_array_equal(asked.tasks, tasks.repeat(4, axis=0))  # each four times
    assert teacher.requests() is None
    # Shares 1, 1/4, 0, 1/2, 3/4: learnability 0, 3/16, 0, 1/4, 3/16. Of equals the first is kept.
    successes = [1, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 1, 1]
    order = np.random.default_rng(0).permutation(20)
    answer(teacher, asked.tasks[order[:19]], np.array(successes)[order[:19]])
    assert "levels" not in teacher.snapshot()  # one is missing still
    assert not inside(teacher.sample(20), tasks).any()
    answer(teacher, asked.tasks[order[19:]], np.array(successes)[order[19:]])
    shown = teacher.snapshot()
    np.testing.assert_array_equal(shown["levels"], tasks[[3, 1]])
    np.testing.assert_allclose(shown["learnability"], [0.25, 0.1875], atol=1e-12)
    drawn = teacher.sample(29)
    assert inside(drawn, tasks[[3, 1]]).all()
    assert teacher.requests() is None  # 49 proposals
    teacher.sample(1)
    assert len(teacher.requests()) == 20
    # Until the new ones are tried, the old ones stay.
    assert inside(teacher.sample(20), tasks[[3, 1]]).all()


def test_profile_half_of_the_proposals_are_learnable_ones() -> None:
    """The profile: half from the ten tasks nearest to p = 1/2, half anywhere."""
    teacher: Any = make_teacher("sfl", LINE, seed=0, candidates=100, rollouts=20, keep=10)
    asked = teacher.requests()
    assert asked is not None
    assert len(asked) == 2000
    rng = np.random.default_rng(1)
    answer(teacher, asked.tasks, rng.random(2000) < asked.tasks[:, 0])
    drawn = teacher.sample(900)
    learnable = inside(drawn, asked.tasks)
    assert learnable.mean() == pytest.approx(0.5, abs=0.06)
    assert len(np.unique(drawn[learnable])) == 10
    assert np.abs(drawn[learnable] - 0.5).mean() < 0.12
    assert 0.2 < np.abs(drawn[~learnable] - 0.5).mean() < 0.3
    # Outcomes of training are none of its business.
    before = teacher.state_dict()["own"]
    answer(teacher, drawn, np.zeros(900), probe=np.zeros(900, dtype=bool))
    after = teacher.state_dict()["own"]
    assert before["choices"] == after["choices"] == 1
    np.testing.assert_array_equal(before["kept"], after["kept"])


def test_shares_count_trials() -> None:
    teacher: Any = make_teacher("sfl", LINE, seed=0, candidates=2, rollouts=1, keep=1)
    asked = teacher.requests()
    # 9 of 10 against 3 of 4.
    answer(teacher, asked.tasks, [0.9, 0.75], trials=[10, 4])
    np.testing.assert_allclose(teacher.snapshot()["learnability"], [0.1875], atol=1e-12)
    np.testing.assert_array_equal(teacher.snapshot()["levels"], asked.tasks[[1]])


def test_what_is_not_answered_is_not_waited_for_for_ever() -> None:
    teacher: Any = make_teacher(
        "sfl", LINE, seed=0, candidates=10, rollouts=2, keep=3, period=5, learnable_share=1.0
    )
    asked = teacher.requests()
    answer(teacher, asked.tasks[:6], [1, 0, 1, 1, 1, 0])
    teacher.sample(5)
    again = teacher.requests()
    assert len(again) == 20
    np.testing.assert_array_equal(teacher.snapshot()["levels"], asked.tasks[[0, 4, 2]])
    # Late answers for the old ones are let go, and do not count among the new ones'.
    answer(teacher, asked.tasks[6:], np.ones(14))
    assert teacher.snapshot()["waiting"] == 20


def test_equal_candidates_are_one() -> None:
    teacher: Any = make_teacher("sfl", DiscreteTasks(3), seed=0, candidates=40, rollouts=2, keep=40)
    asked = teacher.requests()
    answer(teacher, asked.tasks, (asked.tasks == 1) & (np.arange(80) % 2 == 0))
    shown = teacher.snapshot()
    assert sorted(shown["levels"].tolist()) == [0, 1, 2]
    assert shown["levels"][0] == 1
    assert shown["learnability"][1:].tolist() == [0.0, 0.0]


def test_returns_stand_in_for_successes() -> None:
    student = CubeStudent(5, 2)
    teacher: Any = make_teacher("sfl", student.task_space, 0, (0, 1), None, measure="return")
    assert teacher.needs == {"probe"}
    teach(student, teacher, attempts=3000, batch=10)
    shown = teacher.snapshot()
    assert shown["choices"] >= 2
    # Partly learnt, where most cells are locked or mastered.
    assert 0.1 < shown["learnability"].max() <= 0.25


def test_bad_arguments_are_named() -> None:
    for name, value in {
        "candidates": 0, "rollouts": 0, "period": 0, "keep": 101, "learnable_share": -0.5,
        "measure": "regret",
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=rf"{name} must .*{value}"):
            make_teacher("sfl", LINE, 0, None, None, **{name: value})
