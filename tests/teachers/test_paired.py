"""PAIRED's designer: what it builds, and how regret moves it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from currgym import BoxTasks, Outcomes, make_teacher
from currgym.envs.grid_maze import MazeTasks

LINE = BoxTasks([0], [1])
SQUARE = BoxTasks([0, 0], [1, 1])
MAZES = MazeTasks(7, 6)


def tell(teacher: Any, tasks: Any, regrets: Any) -> None:
    teacher.update(Outcomes(tasks, np.zeros(len(tasks)), scores={"regret": regrets}))


def test_mazes_are_built_choice_by_choice() -> None:
    assert MAZES.choices == (9, 25)
    # Agent in cell 7, direction 9 mod 4, the goal on the agent's cell: it goes to the next one;
    # blocks at 0, 0 again, on the agent, on the goal, at 24 and at 12.
    (task,) = MAZES.from_choices([[7, 9, 7, 0, 0, 7, 8, 24, 12]])
    assert MAZES.draw(task).split() == [
        "#######", "##....#", "#..vG.#", "#..#..#", "#.....#", "#....##", "#######",
    ]  # fmt: skip
    for wrong, words in (([[0] * 8], "shape"), ([[25] + [0] * 8], "0 to 24")):
        with pytest.raises(ValueError, match=words):
            MAZES.from_choices(wrong)
    rng = np.random.default_rng(0)
    assert MAZES.contains(MAZES.from_choices(rng.integers(25, size=(500, 9)))).all()


def test_trace_of_an_update() -> None:
    """One coordinate, one epoch, no entropy: Adam's first step is the rate times the sign."""
    teacher: Any = make_teacher(
        "paired", LINE, seed=0, bins=4, batch=8, epochs=1, entropy=0.0, learning_rate=0.1
    )
    tasks = teacher.sample(8)
    bins = np.floor(4 * tasks[:, 0]).astype(int)
    regrets = np.array([3.0, 0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 0.0])
    tell(teacher, tasks, regrets)
    # All four bins are equally likely at first; the gradient of the bias of bin b is the mean of
    # gain x (chosen - 1/4), and gains sum to nothing.
    gain = (regrets - 0.75) / np.sqrt(np.mean((regrets - 0.75) ** 2))
    gradient = np.array([np.mean(gain * (bins == b)) for b in range(4)])
    bias = 0.1 * gradient / (np.abs(gradient) + 1e-8)
    # What feeds the hidden layer has no gradient yet: its outgoing weights are nothing.
    step, out = teacher._weights[1], teacher._weights[3]
    np.testing.assert_allclose(teacher._weights[4], bias, atol=1e-6)
    hidden = np.tanh(step[0])
    slope = np.outer(hidden, gradient)
    expected = 0.1 * slope / (np.abs(slope) + 1e-8)
    np.testing.assert_allclose(out, expected, atol=1e-6)
    logits = hidden @ expected + bias
    chances = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(teacher.snapshot()["first_choice"], chances, atol=1e-6)
    assert teacher.snapshot()["regret"] == 0.75
    assert teacher.snapshot()["updates"] == 1


def test_profile_builds_where_the_regret_is() -> None:
    """The profile: regret in one corner, which needs both coordinates."""
    teacher: Any = make_teacher("paired", SQUARE, seed=0, learning_rate=0.02)
    share = []
    for _ in range(80):
        tasks = teacher.sample(32)
        corner = (tasks > 0.6).all(axis=1)
        share.append(corner.mean())
        tell(teacher, tasks, corner.astype(float))
    assert np.mean(share[:3]) < 0.35
    assert np.mean(share[-10:]) > 0.8


def test_later_choices_follow_earlier_ones() -> None:
    """Regret where both coordinates agree, which no independent choice of each can do."""
    teacher: Any = make_teacher("paired", SQUARE, seed=1, learning_rate=0.02, bins=2)
    for _ in range(150):
        tasks = teacher.sample(32)
        tell(teacher, tasks, ((tasks[:, 0] > 0.5) == (tasks[:, 1] > 0.5)).astype(float))
    tasks = teacher.sample(300)
    assert np.mean((tasks[:, 0] > 0.5) == (tasks[:, 1] > 0.5)) > 0.9


def test_it_builds_mazes_of_regret() -> None:
    teacher: Any = make_teacher("paired", MAZES, seed=0, learning_rate=0.01)
    found = []
    for _ in range(100):
        tasks = teacher.sample(32)
        walls = MAZES.walls(tasks)[:, 1, 1:-1].sum(axis=1).astype(float)  # blocks in the first row
        found.append(walls.mean())
        tell(teacher, tasks, walls)
    assert np.mean(found[-5:]) > np.mean(found[:5]) + 1.0


def test_regret_that_tells_nothing_moves_nothing() -> None:
    teacher: Any = make_teacher("paired", LINE, seed=0, entropy=0.0, bins=5)
    for _ in range(20):
        tasks = teacher.sample(32)
        tell(teacher, tasks, np.full(32, 0.3))
    np.testing.assert_allclose(teacher.snapshot()["first_choice"], 0.2, atol=1e-6)
    # Tasks that it did not build do not count.
    tell(teacher, np.random.default_rng(0).random((100, 1)), np.arange(100.0))
    assert teacher.snapshot()["updates"] == 20


def test_the_middle_of_a_slice_is_known_again() -> None:
    """Whole numbers come back as the middle of their slice, not as they were drawn."""
    space = BoxTasks([0, 0], [2, 1], kinds=["integer", "real"])
    teacher: Any = make_teacher("paired", space, seed=0, batch=16)
    tasks = teacher.sample(16)
    tell(teacher, tasks, np.arange(16.0))
    assert teacher.snapshot()["updates"] == 1


def test_an_update_that_fails_keeps_the_designer() -> None:
    space = BoxTasks([0, 0], [1, 1])
    teacher = make_teacher("paired", space, seed=0, batch=8, learning_rate=1e308)
    before = teacher.state_dict()["own"]
    for _ in range(2):
        tasks = teacher.sample(8)
        tell(teacher, tasks, tasks[:, 0])
    shown, after = teacher.snapshot(), teacher.state_dict()["own"]
    assert (shown["updates"], shown["failed_fits"]) == (0, 2)
    for kept in ("weights", "means", "squares"):
        np.testing.assert_equal(after[kept], before[kept])


def test_bad_arguments_are_named() -> None:
    for name, value in {
        "bins": 1, "hidden": 0, "learning_rate": 0.0, "batch": 1, "epochs": 0, "entropy": -1.0,
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=rf"{name} must .*{value}"):
            make_teacher("paired", LINE, 0, None, None, **{name: value})
