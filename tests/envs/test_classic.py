"""The classics: Gymnasium's own to the bit, every parameter live, difficulty as declared."""

from __future__ import annotations

import copy
import itertools
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

from currgym.envs.base import Parameter
from currgym.envs.classic import Acrobot, CartPole, MountainCarContinuous, Pendulum
from currgym.envs.physics_base import PhysicsEnv

Array = NDArray[Any]
Policy = Callable[[Array, int], Any]

ENVIRONMENTS: dict[type[PhysicsEnv], str] = {
    CartPole: "CartPole-v1",
    Pendulum: "Pendulum-v1",
    MountainCarContinuous: "MountainCarContinuous-v0",
    Acrobot: "Acrobot-v1",
}
EVERY = [(cls, p) for cls in ENVIRONMENTS for p in cls.parameters]
# Each swings itself up, or keeps the cart about where it is.
POLICIES: dict[type[PhysicsEnv], Policy] = {
    CartPole: lambda obs, step: step % 2,
    Pendulum: lambda obs, step: np.array([2.0 if obs[2] >= 0 else -2.0], dtype=np.float32),
    MountainCarContinuous: lambda obs, step: np.array(
        [1.0 if obs[1] >= 0 else -1.0], dtype=np.float32
    ),
    Acrobot: lambda obs, step: 2 if obs[5] > 0 else 0,
}
# They bound or end a motion, so a tenth of their range shows only where the motion gets there.
BOUNDS = {"goal_velocity", "max_speed_1", "max_speed_2", "target_height", "length_2"}


def names(value: Any) -> str:
    return value.name if isinstance(value, Parameter) else value.__name__


def only(cls: type[PhysicsEnv], name: str, **kwargs: Any) -> PhysicsEnv:
    """An environment of which just one parameter varies."""
    (parameter,) = [p for p in cls.parameters if p.name == name]
    fixed = {p.name: p.default for p in cls.parameters if p.varies}
    return make(cls, tasks={**fixed, name: (parameter.low, parameter.high)}, **kwargs)


def make(cls: type[PhysicsEnv], **kwargs: Any) -> PhysicsEnv:
    build: Any = cls
    env: PhysicsEnv = build(**kwargs)
    return env


def steps_of(
    env: gymnasium.Env[Any, Any], policy: Policy, seed: int, task: Any = None, steps: int = 300
) -> list[tuple[bytes, float, bool, bool]]:
    """A whole episode, to the bit."""
    obs, _ = env.reset(seed=seed, options=None if task is None else {"task": task})
    trace = [(obs.tobytes(), 0.0, False, False)]
    for step in range(steps):
        obs, reward, terminated, truncated, _ = env.step(policy(obs, step))
        trace.append((obs.tobytes(), float(reward), terminated, truncated))
        if terminated or truncated:
            break
    return trace


def noise(env: gymnasium.Env[Any, Any], seed: int, size: float = 1.0) -> Policy:
    """Uniform actions, ``size`` times as wide as the action space."""
    rng = np.random.default_rng(seed)
    space = env.action_space
    if isinstance(space, gymnasium.spaces.Discrete):
        return lambda obs, step: int(rng.integers(space.n))
    assert isinstance(space, gymnasium.spaces.Box)
    high = float(space.high[0])
    return lambda obs, step: (size * high * rng.uniform(-1, 1, 1)).astype(np.float32)


@pytest.mark.parametrize("cls", ENVIRONMENTS)
@pytest.mark.parametrize("seed", range(3))
def test_default_task_is_gymnasiums_environment(cls: type[PhysicsEnv], seed: int) -> None:
    ours = gymnasium.make(f"currgym/{cls.__name__}-v0")
    theirs = gymnasium.make(ENVIRONMENTS[cls])
    if cls is not CartPole:  # whose angle is bounded by what the original pole can reach
        assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.spec is not None
    assert theirs.spec is not None
    assert ours.spec.max_episode_steps == theirs.spec.max_episode_steps
    # Two episodes in a row, the second on the stream that the first left; some actions too large.
    for one, other in (
        (noise(ours, seed, size=1.5), noise(theirs, seed, size=1.5)),
        (POLICIES[cls], POLICIES[cls]),
    ):
        assert steps_of(ours, one, seed, steps=1000) == steps_of(theirs, other, seed, steps=1000)
        for env in (ours, theirs):
            env.reset()
        np.testing.assert_array_equal(ours.reset()[0], theirs.reset()[0])


@pytest.mark.parametrize(("cls", "parameter"), EVERY, ids=names)
def test_every_parameter_is_live(cls: type[PhysicsEnv], parameter: Parameter) -> None:
    env = only(cls, parameter.name)
    grid = np.linspace(parameter.low, parameter.high, 11)
    task = env.default_task.copy()
    index = env.task_space.names.index(parameter.name)
    traces = []
    for value in grid:
        task[index] = value
        traces.append(steps_of(env, POLICIES[cls], 1, task, steps=200))
    changed = sum(one != two for one, two in itertools.pairwise(traces))
    assert changed >= (1 if parameter.name in BOUNDS else 10)


def heavy(env: PhysicsEnv) -> Policy:
    """A controller that knows the task: it holds the pole while it can be held."""
    rate = np.sqrt(env.physics.gravity / (4 / 3 * env.physics.length))
    weights = np.array([0.02, 0.02, 1.0, 1 / rate])
    return lambda obs, step: int(obs @ weights > 0)


def energy(env: PhysicsEnv) -> Policy:
    """Swings up by pumping energy, then holds."""
    g, limit = env.physics.g, env.physics.max_torque

    def act(obs: Array, step: int) -> Array:
        angle, speed = np.arctan2(obs[1], obs[0]), obs[2]
        missing = speed**2 / 6 + g / 2 * (np.cos(angle) - 1)
        torque = -np.sign(speed + 1e-9) * np.sign(missing) * limit * min(1, abs(missing) * 3)
        if abs(angle) * g / 2 < 0.9 * limit and abs(speed) < 3:
            torque = -(g / 2 * angle + 8 * angle + 2 * speed)
        return np.array([np.clip(torque, -limit, limit)], dtype=np.float32)

    return act


CONTROLLERS: dict[type[PhysicsEnv], Callable[[PhysicsEnv], Policy]] = {
    CartPole: heavy,
    Pendulum: energy,
    MountainCarContinuous: lambda env: POLICIES[MountainCarContinuous],
    Acrobot: lambda env: POLICIES[Acrobot],
}
DECLARED = [
    (cls, p.name)
    for cls in ENVIRONMENTS
    for p in cls.parameters
    if isinstance(cls.difficulty, dict) and p.name in cls.difficulty
]


def test_every_classic_declares_what_varies_by_default() -> None:
    for cls in ENVIRONMENTS:
        varying = {p.name for p in cls.parameters if p.varies}
        assert {name for declared, name in DECLARED if declared is cls} == varying, cls


@pytest.mark.parametrize(("cls", "name"), DECLARED)
def test_difficulty_rises_as_declared(cls: type[PhysicsEnv], name: str) -> None:
    # Where the other parameter leaves something to show.
    tasks = {
        (CartPole, "gravity"): {"half_length": 0.08},
        (CartPole, "half_length"): {"gravity": 100.0},
        (MountainCarContinuous, "goal_position"): {"power": 0.0002},
    }.get((cls, name), {})
    (parameter,) = [p for p in cls.parameters if p.name == name]
    fixed = {p.name: p.default for p in cls.parameters if p.varies}
    env = make(cls, tasks={**fixed, **tasks, name: (parameter.low, parameter.high)})
    limit = {Pendulum: 200, MountainCarContinuous: 999}.get(cls, 500)
    returns, levels = [], env.task_space.grid(5)
    levels = levels[np.argsort(env.task_space.difficulty_of(levels))]
    for task in levels:
        env.reset(options={"task": task})
        policy = CONTROLLERS[cls](env)
        episodes = [steps_of(env, policy, seed, task, limit) for seed in range(4)]
        returns.append(np.mean([sum(reward for _, reward, _, _ in e) for e in episodes]))
    width = env.return_range[1] - env.return_range[0]
    # Easiest to hardest: it falls beyond noise, and never rises by more than noise.
    assert returns[0] - returns[-1] > 0.15 * width
    assert (np.diff(returns) < 0.05 * width).all(), returns


@pytest.mark.parametrize("cls", ENVIRONMENTS)
def test_history_leaves_no_trace(cls: type[PhysicsEnv]) -> None:
    used = make(cls, tasks={p.name: (p.low, p.high) for p in cls.parameters})
    tasks = used.task_space.sample(4, np.random.default_rng(0))
    for seed, task in enumerate(tasks):
        steps_of(used, noise(used, seed), seed, task, steps=40)
    for seed, task in enumerate(tasks):
        fresh = make(cls, tasks={p.name: (p.low, p.high) for p in cls.parameters})
        one = steps_of(used, noise(used, seed), seed, task, steps=100)
        assert one == steps_of(fresh, noise(fresh, seed), seed, task, steps=100)
    # Nothing went to a module or class: the original is still the original.
    ours, theirs = make(cls), gymnasium.make(ENVIRONMENTS[cls])
    assert steps_of(ours, POLICIES[cls], 5, steps=100) == steps_of(
        theirs, POLICIES[cls], 5, steps=100
    )


@pytest.mark.parametrize("cls", ENVIRONMENTS)
def test_copies_go_on_alike(cls: type[PhysicsEnv]) -> None:
    env = make(cls, observe_task=True)
    env.reset(seed=4, options={"task": env.task_space.high})
    env.step(env.action_space.sample())
    for other in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
        assert steps_of(copy.deepcopy(env), POLICIES[cls], 3, steps=30) == steps_of(
            other, POLICIES[cls], 3, steps=30
        )


@pytest.mark.parametrize(("cls", "parameter"), EVERY, ids=names)
@pytest.mark.parametrize("end", [0, 1])
# What the checker says of Gymnasium's own: unbounded velocities, torques beyond [-1, 1].
@pytest.mark.filterwarnings("ignore:.*Box observation space m.*imum value is -?infinity")
@pytest.mark.filterwarnings("ignore:.*symmetric and normalized space")
def test_check_env_at_the_ends(cls: type[PhysicsEnv], parameter: Parameter, end: int) -> None:
    value = (parameter.low, parameter.high)[end]
    env = make(cls, tasks={parameter.name: value})
    check_env(env, skip_render_check=True)


@pytest.mark.parametrize("cls", ENVIRONMENTS)
def test_observations_stay_inside_their_space(cls: type[PhysicsEnv]) -> None:
    env = make(cls, tasks={p.name: (p.low, p.high) for p in cls.parameters}, observe_task=True)
    corners = np.random.default_rng(0).integers(0, 2, (30, env.task_space.unit_dim))
    for seed, task in enumerate(env.task_space.from_unit(corners)):
        observation, _ = env.reset(seed=seed, options={"task": task})
        assert env.observation_space.contains(observation)
        for step in range(50):
            observation, _, terminated, _, _ = env.step(POLICIES[cls](observation, step // 5))
            assert env.observation_space.contains(observation)
            if terminated:
                break


@pytest.mark.parametrize("cls", ENVIRONMENTS)
def test_pictures_show_the_task(cls: type[PhysicsEnv]) -> None:
    env = gymnasium.make(f"currgym/{cls.__name__}-v0", render_mode="rgb_array")
    assert env.render_mode == "rgb_array"
    env.reset(seed=0)
    for _ in range(3):
        env.step(env.action_space.sample())
    frame: Any = env.render()
    assert frame.ndim == 3
    assert frame.shape[2] == 3
    assert frame.std() > 1
    env.close()
    if cls is not Pendulum:  # Gymnasium draws its rod one metre long, whatever the length
        name = {
            CartPole: "half_length",
            MountainCarContinuous: "goal_position",
            Acrobot: "length_2",
        }
        two = only(cls, name[cls], render_mode="rgb_array")
        frames = []
        for task in two.task_space.grid(2):
            two.reset(seed=0, options={"task": task})
            frames.append(two.render())
        assert (frames[0] != frames[1]).any()
        two.close()


@pytest.mark.parametrize("cls", ENVIRONMENTS)
def test_rendering_without_a_mode_warns(cls: type[PhysicsEnv]) -> None:
    env = make(cls)
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="without a render mode"):
        assert env.render() is None
    env.close()


@pytest.mark.parametrize("cls", ENVIRONMENTS)
def test_docstring_tables_tell_the_truth(cls: type[PhysicsEnv]) -> None:
    text = cls.__doc__ or ""
    headings = "Description, Action Space, Observation Space, Rewards, Starting State, Episode End"
    for heading in [*headings.split(", "), "Task parameters", "Arguments", "Version History"]:
        assert f"## {heading}\n" in text
    rows = {}
    for line in text.split("## Task parameters")[1].split("## ")[0].splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if cells[0].startswith("`"):
            rows[cells[0].strip("`")] = (cells[1], cells[2], cells[4])
    assert rows == {
        p.name: (f"{p.low:g} to {p.high:g}", f"{p.default:g}", "yes" if p.varies else "no")
        for p in cls.parameters
    }


def test_wider_motors_and_speeds_widen_the_spaces() -> None:
    env = Pendulum(tasks={"max_torque": (1, 5), "max_speed": (4, 12)})
    assert isinstance(env.action_space, gymnasium.spaces.Box)
    assert env.action_space.high.tolist() == [5.0]
    assert env.bare_observation_space.high.tolist() == [1, 1, 12]
    assert steps_of(env, lambda obs, step: np.array([5.0], dtype=np.float32), 0, [10, 5, 8]) != (
        steps_of(env, lambda obs, step: np.array([5.0], dtype=np.float32), 0, [10, 4, 8])
    )


def test_vector_forms_are_found_by_make_vec() -> None:
    for name, native in (("CartPole", True), ("Pendulum", True), ("Acrobot", False)):
        vec = gymnasium.make_vec(f"currgym/{name}-v0", num_envs=2)
        assert type(vec).__name__ == (f"{name}Vector" if native else "SyncVectorEnv")
        vec.close()


@pytest.mark.slow
def test_registration_imports_no_environment() -> None:
    code = (
        "import sys, gymnasium, currgym; assert 'currgym/CartPole-v0' in gymnasium.registry; "
        "print([m for m in sys.modules if m.startswith('currgym.envs.')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
