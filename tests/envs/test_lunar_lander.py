from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.box2d import lunar_lander
from numpy.typing import NDArray

import currgym  # noqa: F401  registers the environments
from currgym.envs.lunar_lander import LunarLander

DEFAULT = {
    "gravity": -10.0, "wind_power": 0.0, "turbulence_power": 0.0, "main_engine_power": 13.0,
    "side_engine_power": 0.6,
}  # fmt: skip


def flight(
    env: gymnasium.Env[Any, Any], seed: int, task: dict[str, float] | None = None, steps: int = 400
) -> NDArray[np.float64]:
    """Return observations and rewards of an episode that the heuristic flies, mostly."""
    observation, _ = env.reset(seed=seed, options=None if task is None else {"task": task})
    rng = np.random.default_rng(seed)
    rows = [np.append(observation, 0.0)]
    continuous = isinstance(env.action_space, gymnasium.spaces.Box)
    for _ in range(steps):
        action = heuristic(env, observation)
        if rng.random() < 0.2:
            action = rng.uniform(-1, 1, 2) if continuous else int(rng.integers(4))
        if continuous:
            action = np.asarray(action, dtype=np.float32)
        observation, reward, terminated, *_ = env.step(action)
        rows.append(np.append(observation, float(reward)))
        if terminated:
            break
    return np.array(rows)


def heuristic(env: Any, observation: Any) -> Any:
    return lunar_lander.heuristic(env, observation)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("continuous", [False, True])
def test_the_default_task_is_gymnasium_s_to_the_bit(continuous: bool) -> None:
    ours = LunarLander(continuous=continuous)
    theirs = lunar_lander.LunarLander(continuous=continuous)
    assert ours.task_space.as_dict(ours.default_task) == DEFAULT
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    for seed in range(3):
        ours.reset(seed=99 + seed, options={"task": ours.task_space.high})  # leaves no trace
        ours.step(ours.action_space.sample())
        one, other = flight(ours, seed, DEFAULT), flight(theirs, seed)
        np.testing.assert_array_equal(one, other)
        assert len(one) > 60


def test_gravity_and_wind_are_gymnasium_s_arguments() -> None:
    ours = LunarLander()
    for gravity, wind, turbulence in ((-8.0, 15.0, 1.5), (-5.0, 0.0, 1.0), (-11.0, 20.0, 0.0)):
        theirs = lunar_lander.LunarLander(
            gravity=gravity, enable_wind=True, wind_power=wind, turbulence_power=turbulence
        )
        task = {"gravity": gravity, "wind_power": wind, "turbulence_power": turbulence}
        np.testing.assert_array_equal(flight(ours, 3, task), flight(theirs, 3))


@pytest.mark.parametrize("continuous", [False, True])
def test_engines_are_gymnasium_s_constants(
    continuous: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = LunarLander(continuous=continuous)
    found = flight(ours, 4, {"main_engine_power": 17.0, "side_engine_power": 0.4})
    assert (lunar_lander.MAIN_ENGINE_POWER, lunar_lander.SIDE_ENGINE_POWER) == (13.0, 0.6)
    monkeypatch.setattr(lunar_lander, "MAIN_ENGINE_POWER", 17.0)
    monkeypatch.setattr(lunar_lander, "SIDE_ENGINE_POWER", 0.4)
    theirs = lunar_lander.LunarLander(continuous=continuous)
    np.testing.assert_array_equal(found, flight(theirs, 4))


def test_two_landers_have_engines_of_their_own() -> None:
    alone = flight(LunarLander(), 5, {"main_engine_power": 18.0})
    one, other = LunarLander(), LunarLander()
    one.reset(seed=5, options={"task": {"main_engine_power": 18.0}})
    flight(other, 6, {"main_engine_power": 9.0})
    np.testing.assert_array_equal(flight(one, 5), alone)


def test_pictures_change_nothing() -> None:
    drawing, plain = LunarLander(render_mode="rgb_array"), LunarLander()
    task = {"wind_power": 10.0, "main_engine_power": 15.0}
    drawing.reset(seed=1)
    frame = drawing.render()
    assert frame.shape == (400, 600, 3)
    assert frame.std() > 10
    for seed in range(3):
        np.testing.assert_array_equal(flight(drawing, seed, task), flight(plain, seed, task))
    drawing.close()


def test_copies_start_at_their_next_reset() -> None:
    env = LunarLander(continuous=True)
    expected = flight(env, 7, {"side_engine_power": 0.9})
    for twin in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
        np.testing.assert_array_equal(flight(twin, 7, {"side_engine_power": 0.9}), expected)


def share_mastered(name: str, value: float, seeds: range) -> float:
    env = gymnasium.make("currgym/LunarLander-v0", disable_env_checker=True)
    mastered = []
    for seed in seeds:
        observation, _ = env.reset(seed=seed, options={"task": {name: value}})
        over = cut = False
        while not (over or cut):
            observation, _, over, cut, info = env.step(heuristic(env, observation))
        mastered.append(info["success"])
    return float(np.mean(mastered))


@pytest.mark.parametrize(
    ("name", "easy", "hard"),
    [
        ("gravity", -4.0, -11.9),
        ("wind_power", 0.0, 20.0),
        ("turbulence_power", 0.0, 2.0),
        ("main_engine_power", 20.0, 8.0),
    ],
)
def test_the_heuristic_masters_the_easy_end_more_often(name: str, easy: float, hard: float) -> None:
    seeds = range(1000, 1010)
    at_easy, at_hard = (share_mastered(name, value, seeds) for value in (easy, hard))
    assert at_easy >= 0.8
    assert at_hard <= at_easy - 0.3
    space = LunarLander().task_space
    tasks = [space.from_dict({name: value}, list(DEFAULT.values())) for value in (easy, hard)]
    low, high = space.difficulty_of(tasks)
    assert low < high


def test_other_processes_know_it() -> None:
    vec = gymnasium.make_vec(
        "currgym:currgym/LunarLander-v0", num_envs=2, vectorization_mode="async"
    )
    _, infos = vec.reset(seed=0, options={"task": [-6.0, 5.0, 1.0, 15.0, 0.5]})
    np.testing.assert_array_equal(infos["task"], [[-6.0, 5.0, 1.0, 15.0, 0.5]] * 2)
    vec.close()


def test_missing_box2d_is_said_in_one_sentence() -> None:
    script = (
        "import sys; sys.modules['Box2D'] = None\n"
        "import gymnasium, currgym\n"
        "try:\n    gymnasium.make('currgym/LunarLander-v0')\n"
        "except gymnasium.error.DependencyNotInstalled as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "currgym/LunarLander-v0 needs the box2d package" in done.stdout


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="render_mode must be one of"):
        LunarLander(render_mode="ansi")
    with pytest.raises(ValueError, match="range of gravity must lie in"):
        LunarLander(tasks={"gravity": (-13.0, -4.0)})
