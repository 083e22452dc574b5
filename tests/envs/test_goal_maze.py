from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

import currgym  # noqa: F401  registers the environments
from currgym.envs.goal_maze.env import GoalMaze, feasible, moved
from currgym.envs.goal_maze.vector import GoalMazeVector

FloatArray = NDArray[np.float64]
NUM = 5


def walk(env: GoalMaze, task: Any, seed: int = 0) -> tuple[float, bool, bool, dict[str, Any]]:
    """Walk along the corridor's middle towards the goal, the shorter way round."""
    observation, first = env.reset(seed=seed, options={"task": task})
    goal = np.asarray(task[:2])
    target = np.clip(goal, -6.0, 6.0) if np.abs(goal).max() > 5 else goal
    total, over, cut = 0.0, False, False
    while not (over or cut):
        place = observation[:2].astype(float) * 9
        here, there = _angle(place), _angle(target)
        gap = (there - here + np.pi) % (2 * np.pi) - np.pi
        aim = goal
        if abs(gap) > 0.6:  # a little way on, on the corridor's middle
            turn = here + 0.25 * np.sign(gap)
            ray = np.array([np.cos(turn), np.sin(turn)])
            aim = 6.0 * ray / np.abs(ray).max()
        observation, reward, over, cut, info = env.step(
            ((aim - place) / 0.3).astype(np.float32).clip(-50, 50)
        )
        total += reward
    return total, over, bool(info["success"]), first


def _angle(place: Any) -> float:
    return float(np.arctan2(place[1], place[0]))


def test_steps_by_hand() -> None:
    trace: list[tuple[list[float], list[float], list[float]]] = [
        # from, action, to
        ([-6, -6], [1, 0], [-5.7, -6]),
        ([-6, -6], [0.5, -0.5], [-5.85, -6.15]),  # shorter than 1: as it is
        ([-6, -6], [3, 4], [-5.82, -5.76]),  # longer: the direction alone
        ([-6.9, -6.9], [-1, -1], [-7, -7]),  # the outer wall
        ([-6, -6.9], [1, -1], [-6 + 0.3 / 2**0.5, -7]),  # and along it
        ([-5.1, 0], [1, 0], [-5, 0]),  # the block stops what leads into it
        ([-5, 0], [0.6, 0.8], [-5, 0.24]),  # and lets the rest pass
        ([0, 5], [0.8, -0.6], [0.24, 5]),
        ([-5.1, -5.1], [1, 1], [-5, -5]),  # at its corner in both directions
        ([5.2, 5.05], [-0.6, -0.8], [5.02, 4.81]),  # still beside it
    ]
    before, actions, after = (np.array(column, dtype=float) for column in zip(*trace, strict=True))
    np.testing.assert_allclose(moved(before, actions), after, atol=1e-9)
    for i in range(len(trace)):  # alone or among others, to the bit
        np.testing.assert_array_equal(
            moved(before[i : i + 1], actions[i : i + 1])[0], moved(before, actions)[i]
        )


def test_nobody_gets_through_a_wall() -> None:
    rng = np.random.default_rng(0)
    positions = rng.uniform(-7, -5, (300, 2))
    heading = rng.uniform(-1, 1, (300, 2))
    for step in range(300):
        if step % 10 == 0:
            heading = rng.uniform(-1, 1, (300, 2))
        positions = moved(positions, heading)
        assert (np.abs(positions) <= 7).all()
        assert (np.abs(positions).max(axis=1) >= 5).all()


@pytest.mark.parametrize(
    ("goal", "tolerance", "possible"),
    [
        ([6, 6], 0.05, True),
        ([0, 0], 0.05, False),
        ([0, 0], 5.0, False),  # nearer than 5, not at 5
        ([0, 0], 5.01, True),
        ([4.96, 0], 0.05, True),
        ([4.9, -4.0], 0.05, False),
        ([7.04, 0], 0.05, True),
        ([9, 9], 2.8, False),  # 2.83 from the corner
        ([9, 9], 2.85, True),
        ([-9, 0], 18, True),
    ],
)
def test_feasible(goal: list[float], tolerance: float, possible: bool) -> None:
    assert feasible(np.array([[*goal, tolerance]]))[0] == possible
    env = GoalMaze()
    _, info = env.reset(seed=0, options={"task": [*goal, tolerance]})
    assert info["feasible"] is possible


def test_feasible_is_what_a_walker_reaches() -> None:
    # The walker has no use for infeasible goals, and comes to every feasible one in time.
    env = GoalMaze()
    rng = np.random.default_rng(5)
    tasks = env.task_space.sample(60, rng)
    tasks[:, 2] = rng.uniform(0.05, 1.0, 60)
    found = [walk(env, task, seed)[1] for seed, task in enumerate(tasks)]
    np.testing.assert_array_equal(found, env.feasible(tasks))
    assert 10 < sum(found) < 50


def test_rewards_and_success() -> None:
    env = GoalMaze()
    total, over, success, _ = walk(env, [-5.5, 5.5, 0.5])
    assert over
    assert success
    assert -50 < total < -30  # some 11 units to go, 0.3 at a time
    total, over, success, first = walk(env, [0.0, 0.0, 0.5])
    assert (total, over, success, first["feasible"]) == (-200.0, False, False, False)
    total, over, success, _ = walk(env, [9.0, 9.0, 18.0])
    assert -20 < total <= 0.0
    assert success


def test_wider_tolerance_is_never_harder() -> None:
    env = GoalMaze()
    for seed, goal in enumerate([[6, 6], [-6, 6], [6, -2], [8, 8], [3, 3]]):
        totals = [walk(env, [*goal, t], seed)[0] for t in (0.05, 0.2, 1.0, 3.0, 9.0, 18.0)]
        assert totals == sorted(totals)
    assert env.task_space.difficulty_of([[0, 0, 0.05]]) > env.task_space.difficulty_of([[0, 0, 3]])


def test_time_limit_and_mastery_go_together() -> None:
    env = gymnasium.make("currgym/GoalMaze-v0", steps=30)
    assert env.get_wrapper_attr("return_range") == (-30.0, 0.0)
    env.reset(seed=0, options={"task": [6, 6, 0.05]})
    for step in range(30):
        *_, terminated, truncated, info = env.step(np.array([1.0, 0.0], dtype=np.float32))
        assert (terminated, truncated) == (False, step == 29)
    assert info["success"] is False
    # One step before the limit is success still.
    low = env.unwrapped
    assert isinstance(low, GoalMaze)
    assert low.mastery < -29


def test_start_is_the_seed_s() -> None:
    env = GoalMaze()
    starts = np.array([env.reset(seed=i)[0][:2] * 9 for i in range(200)])
    assert (starts >= -7).all()
    assert (starts <= -5).all()
    assert starts.std(axis=0) == pytest.approx([2 / 12**0.5] * 2, abs=0.06)
    np.testing.assert_array_equal(env.reset(seed=7)[0][:2] * 9, starts[7])


def test_target_and_test_sets() -> None:
    env = GoalMaze()
    assert env.target is not None
    assert set(env.target[:, 2]) == {0.05}
    # (14^2 - 10^2) / 18^2 and a seam of a tolerance.
    assert env.feasible(env.target).mean() == pytest.approx(0.305, abs=0.04)
    tests = env.test_sets["feasible-50"]
    assert tests.shape == (50, 3)
    assert env.feasible(tests).all()
    assert set(tests[:, 2]) == {0.05}
    narrow = GoalMaze(tasks={"goal_x": (-2, 2), "goal_y": 0.0, "tolerance": (0.1, 1)})
    assert "feasible-50" not in narrow.test_sets
    assert narrow.target is not None
    assert set(narrow.target[:, 2]) == {0.1}
    assert narrow.task_space.contains(narrow.target).all()


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("observe_task", [False, True])
def test_array_form_equals_the_single_one(mode: AutoresetMode, observe_task: bool) -> None:
    arguments: dict[str, Any] = {"observe_task": observe_task, "steps": 25}
    native: Any = gymnasium.make_vec(
        "currgym/GoalMaze-v0", num_envs=NUM, autoreset_mode=mode, **arguments
    )
    single: Any = gymnasium.make_vec(
        "currgym/GoalMaze-v0", num_envs=NUM, vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode}, **arguments,
    )  # fmt: skip
    assert isinstance(native, GoalMazeVector)
    rng = np.random.default_rng(1)
    tasks = np.array([[6, 6, 0.05], [-6, -4, 1.5], [0, 0, 2], [9, 9, 18], [-5, 0, 3]], dtype=float)
    results = [native.reset(seed=3, options={"task": tasks})]
    for env, task, seed in zip(single.envs, tasks, range(3, 3 + NUM), strict=True):
        env.set_wrapper_attr("queued", (task, seed))
    results.append(single.reset())
    assert_same(*results)
    ends = 0
    for _ in range(150):
        actions = rng.uniform(-1.2, 1.2, (NUM, 2)).astype(np.float32) + np.float32(0.2)
        one, other = native.step(actions), single.step(actions)
        assert_same(one, other)
        done = one[2] | one[3]
        ends += int(done.sum())
        if mode is AutoresetMode.DISABLED and done.any():
            assert_same(*(e.reset(options={"reset_mask": done.copy()}) for e in (native, single)))
    assert ends > 20
    native.close()
    single.close()


def assert_same(one: Any, other: Any) -> None:
    """Equal in structure and every bit."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, tuple) or (isinstance(one, np.ndarray) and one.dtype == object):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()
    else:
        assert one == other


def test_pictures() -> None:
    env = GoalMaze(render_mode="rgb_array")
    with pytest.raises(ResetNeeded):
        env.render()
    env.reset(seed=0, options={"task": [6, -6, 1.0]})
    frame = env.render()
    assert frame is not None
    assert frame.shape == (480, 480, 3)
    red = np.argwhere((frame == (214, 72, 62)).all(axis=2)).mean(axis=0)
    green = np.argwhere((frame == (88, 178, 94)).all(axis=2)).mean(axis=0)
    assert red[0] > 350  # rows go down: y = -6
    assert red[1] < 130
    assert green[0] > 350
    assert green[1] > 350
    vec = GoalMazeVector(2, render_mode="rgb_array")
    vec.reset(seed=[0, 1], options={"task": np.array([6, -6, 1.0])})
    frames = vec.render()
    assert frames is not None
    np.testing.assert_array_equal(frames[0], frame)
    assert not np.array_equal(frames[1], frame)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        GoalMaze(steps=0)
    with pytest.raises(ValueError, match="render_mode must be"):
        GoalMaze(render_mode="ansi")
    env = GoalMaze()
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(2))
    env.reset(seed=0)
    for action in (np.zeros(3), np.array([np.nan, 0.0])):
        with pytest.raises(ValueError, match="action must be two numbers"):
            env.step(action)
    vec = GoalMazeVector(2)
    vec.reset(seed=0)
    with pytest.raises(ValueError, match="actions must be 2 pairs"):
        vec.step(np.zeros((3, 2)))
