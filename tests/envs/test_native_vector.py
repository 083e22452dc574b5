"""The array forms go through the same episodes as SyncVectorEnv over single ones, to the bit."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from currgym.envs.classic import CartPole, MountainCarContinuous, Pendulum
from currgym.envs.classic.vector import CartPoleVector
from currgym.envs.physics_base import PhysicsEnv
from currgym.envs.vector_base import NativeTaskVectorEnv
from currgym.tasks import BoxTasks

Array = NDArray[Any]

CLASSES: dict[str, type[PhysicsEnv]] = {
    "CartPole": CartPole,
    "Pendulum": Pendulum,
    "MountainCarContinuous": MountainCarContinuous,
}
MODES = list(AutoresetMode)
NUM = 6
SPEED = {"CartPole": 1, "Pendulum": 2, "MountainCarContinuous": 1}


def native(name: str, num_envs: int = NUM, **kwargs: Any) -> NativeTaskVectorEnv:
    vec = gymnasium.make_vec(f"currgym/{name}-v0", num_envs=num_envs, **kwargs)
    assert isinstance(vec, NativeTaskVectorEnv)
    return vec


def single_space(name: str) -> BoxTasks:
    space = native(name, 1).task_space
    assert isinstance(space, BoxTasks)
    return space


def sync(
    name: str, mode: AutoresetMode = AutoresetMode.NEXT_STEP, **kwargs: Any
) -> gymnasium.vector.SyncVectorEnv:
    vec = gymnasium.make_vec(
        f"currgym/{name}-v0",
        num_envs=NUM,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode},
        **kwargs,
    )
    assert isinstance(vec, gymnasium.vector.SyncVectorEnv)
    return vec


def assert_same(one: Any, other: Any) -> None:
    """Equal in structure, type and every bit."""
    assert type(one) is type(other)
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
        np.testing.assert_array_equal(one, other)
        assert one.tobytes() == other.tobytes()  # 0.0 and -0.0 are not the same bits
    else:
        assert one == other


def actions_for(
    name: str, rng: np.random.Generator, dtype: Any = np.float32, speeds: Any = 1.0
) -> Array:
    if name == "CartPole":
        return rng.integers(0, 2, NUM)
    # Inside, at and beyond the bounds; mostly with the motion, which swings up.
    size = rng.choice([1.0, 0.9, 0.0, 2.5], (NUM, 1)) * rng.choice([1.0, 0.77], (NUM, 1))
    signs = np.where(np.reshape(speeds, (-1, 1)) >= 0, 1, -1) * rng.choice([-1, 1, 1], (NUM, 1))
    return np.asarray(size * signs, dtype=dtype)


def open_all(name: str) -> dict[str, Any]:
    return {p.name: (p.low, p.high) for p in CLASSES[name].parameters}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CLASSES)
def test_equal_to_single_environments(name: str, mode: AutoresetMode, dtype: Any) -> None:
    kwargs: dict[str, Any] = {
        "observe_task": dtype == np.float64,
        "max_episode_steps": 90,
        "tasks": open_all(name),
    }
    ours, theirs = native(name, autoreset_mode=mode, **kwargs), sync(name, mode, **kwargs)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.metadata["autoreset_mode"] is mode
    rng = np.random.default_rng(0)
    ended = 0

    def put(rows: Array) -> None:
        """Queue for both a new task, and for some a seed."""
        tasks = ours.task_space.sample(NUM, rng)
        seeds = [int(s) if s % 2 else None for s in rng.integers(0, 1000, NUM)]
        ours.queue(rows, tasks[rows], [seeds[i] for i in rows])
        for i in rows:
            theirs.envs[i].set_wrapper_attr("queued", (tasks[i], seeds[i]))

    put(np.arange(NUM))
    start = ours.reset(seed=5)
    assert_same(start, theirs.reset(seed=5))
    speeds = start[0][:, SPEED[name]]
    for step in range(250):
        actions = actions_for(name, rng, dtype, speeds)
        one, other = ours.step(actions), theirs.step(actions)
        assert_same(one, other)
        speeds = one[0][:, SPEED[name]]
        done = one[2] | one[3]
        ended += int(done.sum())
        # Now and then nothing is queued, and the task is repeated.
        if done.any() and step % 5:
            put(np.flatnonzero(done))
        if done.any() and mode is AutoresetMode.DISABLED:
            assert_same(
                ours.reset(options={"reset_mask": done}),
                theirs.reset(options={"reset_mask": done.copy()}),
            )
        elif step % 50 == 20:
            # In mid-episode, or between an episode's end and its autoreset.
            mask = rng.random(NUM) < 0.3
            mask[0] = True
            put(np.flatnonzero(mask))
            seeds = rng.integers(0, 1000, NUM).tolist()
            assert_same(
                ours.reset(seed=seeds, options={"reset_mask": mask}),
                theirs.reset(seed=seeds, options={"reset_mask": mask.copy()}),
            )
    assert ended > 5
    assert ours.np_random_seed == theirs.np_random_seed
    for a, b in zip(ours.np_random, theirs.np_random, strict=True):
        assert a.bit_generator.state == b.bit_generator.state


@pytest.mark.parametrize("name", CLASSES)
def test_default_task_is_gymnasiums_environment(name: str) -> None:
    version = {"CartPole": "CartPole-v1", "Pendulum": "Pendulum-v1"}
    theirs = gymnasium.make_vec(
        version.get(name, f"{name}-v0"), num_envs=NUM, vectorization_mode="sync"
    )
    ours, rng = native(name), np.random.default_rng(3)
    np.testing.assert_array_equal(ours.reset(seed=1)[0], theirs.reset(seed=1)[0])
    for _ in range(300):
        actions = actions_for(name, rng)
        for a, b in zip(ours.step(actions)[:4], theirs.step(actions)[:4], strict=True):
            np.testing.assert_array_equal(a, b)


def test_scalar_and_array_functions_agree() -> None:
    """What the array forms rely on, over far more values than an episode meets."""
    rng = np.random.default_rng(0)
    for scale in (0.3, 4.0, 300.0):
        values = rng.uniform(-scale, scale, 10_000)
        for function in (np.sin, np.cos):
            assert function(values).tolist() == [function(v) for v in values]
        assert [v**2 for v in values.tolist()] == [v**2 for v in values]


def test_explicit_tasks_and_seeds() -> None:
    vec = native("CartPole")
    tasks = vec.task_space.sample(NUM, np.random.default_rng(1))
    options: dict[str, Any] = {"task": tasks, "seeds": [7, None, 9, np.int64(10), None, 12]}
    _, infos = vec.reset(options=options)
    np.testing.assert_array_equal(infos["task"], tasks)
    assert infos["_task"].all()
    assert set(options) == {"task", "seeds"}
    np.testing.assert_array_equal(vec.tasks, tasks)
    assert vec.np_random_seed[0] == 7
    assert vec.np_random_seed[3] == 10
    single = gymnasium.make("currgym/CartPole-v0")
    for i in (0, 2, 3, 5):
        observation = single.reset(seed=options["seeds"][i], options={"task": tasks[i]})[0]
        np.testing.assert_array_equal(vec.reset(options=options)[0][i], observation)
    _, infos = vec.reset(seed=0, options={"task": {"gravity": 20.0}})
    assert (infos["task"] == [0.5, 20.0]).all()
    _, infos = vec.reset(seed=0, options={"task": [0.1, 30.0]})
    assert (infos["task"] == [0.1, 30.0]).all()


def test_masked_reset_leaves_the_others_alone() -> None:
    vec = native("Pendulum")
    vec.reset(seed=0)
    before = vec.step(np.ones((NUM, 1), dtype=np.float32))[0]
    mask = np.array([True, False, False, True, False, False])
    tasks = np.full((NUM, 2), np.nan)  # rows outside the mask are not looked at
    tasks[mask] = vec.task_space.sample(2, np.random.default_rng(0))
    options = {"reset_mask": mask, "task": tasks}
    after, infos = vec.reset(seed=3, options=options)
    assert "reset_mask" in options
    np.testing.assert_array_equal(after[~mask], before[~mask])
    np.testing.assert_array_equal(infos["_task"], mask)
    assert (infos["task"][~mask] == 0).all()
    np.testing.assert_array_equal(vec.tasks[~mask], np.repeat(vec.default_task[None], 4, 0))
    *_, infos = vec.step(np.ones((NUM, 1), dtype=np.float32))
    assert infos["_success"].all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"options": {"task": [[0.5, 9.8]] * 5 + [[0.6, 9.8]]}}, "half_length = 0.6 is not in"),
        ({"options": {"task": [0.5, 9.8, 1.0]}}, "must have shape"),
        ({"options": {"task": [[0.5, 9.8]] * 5}}, "task must have 6 rows"),
        ({"options": {"reset_mask": np.ones(5, dtype=bool)}}, "reset_mask must be a bool array"),
        ({"options": {"reset_mask": np.ones(6)}}, "reset_mask must be a bool array"),
        ({"options": {"reset_mask": np.zeros(6, dtype=bool)}}, "at least one True"),
        ({"seed": [1, 2]}, "seeds must be 6, one for each, got 2"),
        ({"seed": -7}, "seeds must be at least 0, got -7"),
        ({"seed": 1, "options": {"seeds": [1] * 6}}, "not both"),
    ],
)
def test_a_wrong_reset_changes_nothing(arguments: dict[str, Any], message: str) -> None:
    vec, twin = native("CartPole"), native("CartPole")
    for v in (vec, twin):
        v.reset(seed=0)
        v.step(np.ones(NUM, dtype=int))
    with pytest.raises(ValueError, match=message):
        vec.reset(**arguments)
    assert_same(vec.step(np.zeros(NUM, dtype=int)), twin.step(np.zeros(NUM, dtype=int)))
    assert_same(vec.reset(), twin.reset())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0], [[0.6, 9.8]]), "half_length = 0.6 is not in"),
        (([0, 1], [[0.1, 9.8]]), "must have one length, got 2, 1 and 2"),
        (([0], [[0.1, 9.8]], [1, 2]), "must have one length, got 1, 1 and 2"),
        (([6], [[0.1, 9.8]]), r"indices must lie in \[0, 5\], got 6"),
        (([0], [[0.1, 9.8]], [-1]), "seeds must be at least 0"),
    ],
)
def test_a_wrong_queue_changes_nothing(arguments: Any, message: str) -> None:
    vec = native("CartPole")
    vec.queue([0], [[0.25, 15.0]], [3])
    with pytest.raises(ValueError, match=message):
        vec.queue(*arguments)
    assert vec.reset()[1]["task"][0].tolist() == [0.25, 15.0]
    assert vec.np_random_seed[0] == 3


def test_queue_keeps_a_copy() -> None:
    vec, mine = native("CartPole"), np.array([[0.25, 15.0]])
    vec.queue([2], mine)
    mine[:] = 0
    assert vec.reset()[1]["task"][2].tolist() == [0.25, 15.0]


def test_stepping_needs_a_reset() -> None:
    vec = native("CartPole", autoreset_mode="Disabled", max_episode_steps=3)
    with pytest.raises(ResetNeeded, match="never were"):
        vec.step(np.zeros(NUM, dtype=int))
    vec.reset(options={"reset_mask": np.arange(NUM) < 3})
    with pytest.raises(ResetNeeded, match=r"\[3 4 5\] never were"):
        vec.step(np.zeros(NUM, dtype=int))
    vec.reset()
    for _ in range(3):
        vec.step(np.zeros(NUM, dtype=int))
    with pytest.raises(ResetNeeded, match="are finished"):
        vec.step(np.zeros(NUM, dtype=int))


@pytest.mark.parametrize(
    ("name", "actions"),
    [
        ("CartPole", np.full(NUM, 2)),
        ("CartPole", np.full(NUM, -1)),
        ("CartPole", np.zeros(NUM)),
        ("CartPole", np.zeros(NUM - 1, dtype=int)),
        ("Pendulum", np.zeros(NUM, dtype=np.float32)),
        ("MountainCarContinuous", np.zeros((1, NUM), dtype=np.float32)),
    ],
)
def test_wrong_actions_are_refused(name: str, actions: Array) -> None:
    vec = native(name)
    vec.reset(seed=0)
    with pytest.raises(ValueError, match="actions must"):
        vec.step(actions)


def test_time_limits() -> None:
    assert native("Pendulum").max_episode_steps == 200
    assert native("MountainCarContinuous").max_episode_steps == 999
    vec = CartPoleVector(2, tasks={"gravity": 1e-3, "force": 1e-3, "start_spread": 0})
    vec.reset(seed=0)
    for step in range(600):
        _, _, terminations, truncations, _ = vec.step(np.full(2, step % 2))
        assert not terminations.any()
        assert not truncations.any()


def test_attributes_are_the_single_ones() -> None:
    vec, single = native("Pendulum"), Pendulum()
    for name in ("return_range", "mastery", "target"):
        assert getattr(vec, name) == getattr(single, name)
    assert vec.task_space.config() == single.task_space.config()
    np.testing.assert_array_equal(vec.default_task, single.default_task)
    np.testing.assert_array_equal(vec.test_sets["uniform-50"], single.test_sets["uniform-50"])


def test_results_are_the_callers_own() -> None:
    vec, twin = native("CartPole"), native("CartPole")
    for v in (vec, twin):
        v.reset(seed=0)
    for _ in range(60):
        actions = np.ones(NUM, dtype=int)
        results = vec.step(actions)
        assert_same(results, twin.step(actions))
        for array in [*results[:4], *results[4].values()]:
            array[:] = 1
        actions[:] = 0


@pytest.mark.parametrize("name", CLASSES)
def test_copies_go_on_alike(name: str) -> None:
    vec = native(name)
    vec.reset(seed=0)
    vec.step(actions_for(name, np.random.default_rng(0)))
    twin = copy.deepcopy(vec)
    high = single_space(name).high
    vec.queue([1], high)
    twin.queue([1], high)
    for step in range(250):
        actions = actions_for(name, np.random.default_rng(step))
        assert_same(vec.step(actions), twin.step(actions))


@pytest.mark.parametrize("name", CLASSES)
def test_pictures(name: str) -> None:
    vec = native(name, num_envs=2, render_mode="rgb_array")
    vec.reset(seed=0)
    frames = vec.render()
    assert frames is not None
    assert len(frames) == 2
    assert (frames[0] != frames[1]).any()
    vec.close()
    assert native(name).render() is None


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="num_envs must be at least 1"):
        CartPoleVector(0)
    with pytest.raises(ValueError, match="render_mode must be"):
        CartPoleVector(1, render_mode="human")
    with pytest.raises(ValueError, match="'mass' is not a task parameter"):
        CartPoleVector(1, tasks={"mass": 1})
