"""Somebody else's environment becomes one with tasks."""

from __future__ import annotations

import copy
import pickle
import sys
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit

from currgym.envs.parameterized import ParameterizedEnv
from currgym.tasks import BoxTasks, DiscreteTasks

SPACE = BoxTasks([1, 0], [9, 1], names=["goal", "wind"], kinds=["integer", "real"])


class Corridor(gymnasium.Env[Any, Any]):
    """A stranger's: walk right to the goal, 0.1 off a step, 1 at the goal."""

    observation_space = gymnasium.spaces.Box(-1.0, 99.0, (2,), dtype=np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    goal, wind = 3, 0.0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.x, self.options = 0, options
        return np.array([0, self.np_random.random()], dtype=np.float32), {}

    def step(self, action: int) -> Any:
        self.x += int(action == 1 and self.np_random.random() >= self.wind)
        done = self.x >= self.goal
        return np.array([self.x, 0], dtype=np.float32), float(done) - 0.1, done, False, {}


def apply(env: gymnasium.Env[Any, Any], task: dict[str, Any]) -> None:
    stranger: Any = env.unwrapped
    stranger.goal, stranger.wind = task["goal"], task["wind"]


def arrived(info: dict[str, Any], episode_return: float) -> bool:
    return episode_return > 0


def make(time_limit: bool = False, **kwargs: Any) -> ParameterizedEnv:
    env: Any = TimeLimit(Corridor(), 30) if time_limit else Corridor()
    return ParameterizedEnv(env, SPACE, apply, **{"mastery": 0.0, **kwargs})


def episode(env: Any, action: Any = 1, **reset: Any) -> tuple[list[float], dict[str, Any]]:
    observation, _ = env.reset(**reset)
    seen, info, over = [*observation], {}, False
    while not over:
        observation, reward, terminated, truncated, info = env.step(action)
        seen += [*observation, reward]
        over = terminated or truncated
    return seen, info


def test_tasks_reach_the_environment() -> None:
    env = make()
    _, info = env.reset(seed=0, options={"task": [5, 0.0]})
    assert info["task"].tolist() == [5, 0]
    assert [env.step(1)[2] for _ in range(5)] == [False] * 4 + [True]
    _, info = env.reset(options={"task": {"wind": 0.25}})
    assert info["task"].tolist() == [env.default_task[0], 0.25]
    stranger: Any = env.unwrapped
    assert stranger.wind == 0.25
    assert type(stranger.goal) is int


@pytest.mark.filterwarnings("ignore:.*different from the unwrapped:UserWarning")
def test_observe_task_appends_the_unit_cube_task() -> None:
    bare, env = make(), make(observe_task=True)
    assert env.observation_space.shape == (4,)
    for task in ([1, 0.0], [9, 1.0], [3, 0.25]):
        plain, _ = bare.reset(seed=4, options={"task": task})
        seen, _ = env.reset(seed=4, options={"task": task})
        unit = SPACE.to_unit(task)[0]
        for _ in range(2):
            assert seen.dtype == np.float32
            assert env.observation_space.contains(seen)
            assert np.array_equal(seen[:2], plain)
            assert np.allclose(seen[2:], unit)
            seen, plain = env.step(1)[0], bare.step(1)[0]
    check_env(env, skip_render_check=True)


def test_observe_task_needs_a_vector_and_a_unit_cube() -> None:
    with pytest.raises(ValueError, match="Box of one dimension"):
        ParameterizedEnv(gymnasium.make("FrozenLake-v1"), SPACE, apply, observe_task=True)
    with pytest.raises(ValueError, match="has none"):
        ParameterizedEnv(Corridor(), DiscreteTasks(3), apply, observe_task=True)


def test_default_task() -> None:
    assert make().default_task.tolist() == [5, 0.5]
    assert make(default_task={"goal": 2}).default_task.tolist() == [2, 0.5]
    assert make(default_task=[2, 1.0]).reset()[1]["task"].tolist() == [2, 1]
    with pytest.raises(ValueError, match=r"goal = 12 is not in \[1, 9\]"):
        make(default_task=[12, 0])


def test_a_task_outside_names_itself_and_leaves_the_environment_usable() -> None:
    env = make()
    env.reset(seed=0, options={"task": [2, 0]})
    with pytest.raises(ValueError, match=r"wind = 3 is not in \[0, 1\]"):
        env.reset(options={"task": [2, 3]})
    assert env.step(1)[0][0] == 1
    assert env.reset()[1]["task"].tolist() == [2, 0]


def test_reset_without_a_task_repeats_it_and_queued_comes_before() -> None:
    env = TimeLimit(make(), 50)
    env.reset(seed=0, options={"task": [2, 0]})
    assert env.reset()[1]["task"].tolist() == [2, 0]
    env.set_wrapper_attr("queued", (np.array([7.0, 0.5]), 3), force=False)
    assert env.get_wrapper_attr("queued")[1] == 3
    first, info = env.reset()
    assert info["task"].tolist() == [7, 0.5]
    assert env.get_wrapper_attr("queued") is None
    np.testing.assert_array_equal(first, make().reset(seed=3)[0])


def test_other_options_go_through_and_the_callers_dict_stays() -> None:
    env = make()
    options = {"task": [2, 0], "light": "low"}
    env.reset(options=options)
    stranger: Any = env.unwrapped
    assert stranger.options == {"light": "low"}
    assert set(options) == {"task", "light"}
    env.reset(options={"task": [2, 0]})
    assert stranger.options is None


def test_attributes_reach_through_wrappers() -> None:
    env = RecordEpisodeStatistics(
        TimeLimit(make(return_range=(-3.0, 1.0), target=[[1, 0], [2, 0]]), 50)
    )
    assert env.get_wrapper_attr("task_space") is SPACE
    assert env.get_wrapper_attr("return_range") == (-3.0, 1.0)
    assert env.get_wrapper_attr("mastery") == 0.0
    assert env.get_wrapper_attr("target").shape == (2, 2)
    assert SPACE.contains(env.get_wrapper_attr("test_sets")["uniform-50"]).all()
    own = make(test_sets={"hard": [[9, 0.9]]})
    assert own.test_sets["hard"].tolist() == [[9, 0.9]]


@pytest.mark.parametrize("inside", [True, False])
def test_success_by_mastery_under_a_time_limit_on_either_side(inside: bool) -> None:
    env: Any = make(time_limit=True) if inside else TimeLimit(make(), 30)
    assert episode(env, seed=0, options={"task": [3, 0]})[1]["success"] is True
    _, info = episode(env, seed=0, options={"task": [9, 1]})
    assert info["success"] is False


def test_success_by_function_bool_or_share() -> None:
    assert episode(make(success=arrived, mastery=None), options={"task": [3, 0]})[1]["success"]
    share: Any = lambda info, episode_return: np.float32(0.25)  # noqa: E731
    info = episode(make(success=share), options={"task": [3, 0]})[1]
    assert info["success"] == 0.25
    assert type(info["success"]) is float
    numpy_bool: Any = lambda info, episode_return: np.bool_(True)  # noqa: E731
    assert episode(make(success=numpy_bool), options={"task": [1, 0]})[1]["success"] is True


@pytest.mark.parametrize("key", ["success", "is_success"])
def test_success_of_the_environment_itself(key: str) -> None:
    class Knows(Corridor):
        def step(self, action: int) -> Any:
            *rest, _ = super().step(action)
            return *rest, {key: self.x >= 2}

    env = ParameterizedEnv(Knows(), SPACE, apply, mastery=50.0)
    assert episode(env, options={"task": [3, 0]})[1]["success"] is True
    assert episode(env, options={"task": [1, 0]})[1]["success"] is False
    assert "success" not in episode(make(mastery=None), options={"task": [1, 0]})[1]


def test_numbered_tasks() -> None:
    levels: list[dict[str, Any]] = []

    def choose(env: gymnasium.Env[Any, Any], task: dict[str, Any]) -> None:
        levels.append(task)
        env.unwrapped.goal = 1 + task["task"]  # type: ignore[attr-defined]

    env = ParameterizedEnv(Corridor(), DiscreteTasks(5), choose)
    assert env.reset(seed=0)[1]["task"] == 0
    _, info = env.reset(options={"task": 4})
    assert info["task"] == 4
    assert levels == [{"task": 0}, {"task": 4}]
    assert env.reset(options={"task": {"task": 2}})[1]["task"] == 2
    with pytest.raises(ValueError, match=r"index 5 is not in \[0, 4\]"):
        env.reset(options={"task": 5})
    assert env.reset()[1]["task"] == 2
    vec = gymnasium.vector.SyncVectorEnv(
        [lambda: ParameterizedEnv(Corridor(), DiscreteTasks(5), choose)] * 2
    )
    vec.set_attr("queued", [(1, 0), (3, 0)])
    assert vec.reset()[1]["task"].tolist() == [1, 3]


def test_apply_may_return_another_environment() -> None:
    kept: list[Corridor] = [Corridor(), Corridor()]
    for goal, one in enumerate(kept):
        one.goal = 1 + goal

    def swap(env: gymnasium.Env[Any, Any], task: dict[str, Any]) -> gymnasium.Env[Any, Any]:
        index: int = task["task"]
        return kept[index]

    env = ParameterizedEnv(Corridor(), DiscreteTasks(2), swap)
    for task in (1, 0, 1):
        env.reset(seed=0, options={"task": task})
        assert env.unwrapped is kept[task]
        assert [env.step(1)[2] for _ in range(1 + task)][-1]

    other: Any = lambda env, task: gymnasium.make("Pendulum-v1")  # noqa: E731
    with pytest.raises(ValueError, match="another observation_space"):
        ParameterizedEnv(Corridor(), SPACE, other).reset()
    number: Any = lambda env, task: 3  # noqa: E731
    with pytest.raises(ValueError, match="must return an environment or None, got int"):
        ParameterizedEnv(Corridor(), SPACE, number).reset()


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="apply must be a function"):
        ParameterizedEnv(Corridor(), SPACE, None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="return_range must be"):
        make(return_range=(1.0, 0.0))


def test_history_leaves_no_trace_and_copies_go_on_alike() -> None:
    used = make()
    for seed in range(3):
        episode(used, seed=seed, options={"task": [9, 0.5]})
    fresh, _ = episode(make(), seed=4, options={"task": [4, 0.5]})
    assert episode(used, seed=4, options={"task": [4, 0.5]})[0] == fresh
    for twin in (copy.deepcopy(used), pickle.loads(pickle.dumps(used))):
        assert episode(twin, seed=5)[0] == episode(copy.deepcopy(used), seed=5)[0]


def test_on_top_of_make_and_gymnasiums_checker() -> None:
    def heavier(env: gymnasium.Env[Any, Any], task: dict[str, Any]) -> None:
        env.unwrapped.g = task["gravity"]  # type: ignore[attr-defined]

    space = BoxTasks([1], [20], names=["gravity"])
    env = ParameterizedEnv(gymnasium.make("Pendulum-v1"), space, heavier, mastery=-300)
    push = np.ones(1, dtype=np.float32)
    a, b = (episode(env, push, seed=0, options={"task": [g]})[0] for g in (2, 10))
    assert a != b
    assert b == episode(gymnasium.make("Pendulum-v1"), push, seed=0)[0]
    with pytest.MonkeyPatch.context() as patch:
        # The checker would rather have the stranger's own environment, unwrapped.
        patch.setattr(gymnasium.logger, "warn", lambda *args, **kwargs: None)
        check_env(make(), skip_render_check=True)


def stranger(**kwargs: Any) -> ParameterizedEnv:
    return make(success=arrived, **kwargs)


@pytest.fixture
def stranger_id() -> Any:
    # This file is no module that a worker could import, so its contents travel with the functions.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    gymnasium.register("stranger/Corridor-v0", entry_point=stranger, max_episode_steps=30)
    yield "stranger/Corridor-v0"
    del gymnasium.registry["stranger/Corridor-v0"]
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def vector_rollout(vec: Any) -> list[Any]:
    """Three queued tasks, one queued for a later autoreset, and all that came of it."""
    vec.set_attr("queued", [(np.array([2.0, 0.0]), 1), (np.array([4.0, 0.5]), 2)])
    observations, infos = vec.reset()
    trace = [observations, infos["task"]]
    vec.set_attr("queued", [(np.array([3.0, 0.0]), 3), None])
    for _ in range(12):
        *results, infos = vec.step(np.array([1, 1]))
        trace += [*results, infos.get("task"), infos.get("success")]
    vec.close()
    return trace


def assert_traces_equal(one: list[Any], other: list[Any]) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


# From 3.12 on, Python warns where a process with threads forks, as pytest's own is.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_sync_and_async_agree(stranger_id: str, method: str) -> None:
    made = [
        gymnasium.make_vec(
            stranger_id, num_envs=2, vectorization_mode=kind, vector_kwargs=arguments
        )
        for kind, arguments in (("sync", {}), ("async", {"context": method}))
    ]
    traces = [vector_rollout(vec) for vec in made]
    assert_traces_equal(*traces)
    assert traces[0][1].tolist() == [[2, 0], [4, 0.5]]
    tasks = [t for t in traces[0][2:] if isinstance(t, np.ndarray) and t.shape == (2, 2)]
    assert any(t[0].tolist() == [3, 0] for t in tasks)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_own_environments_under_every_start_method(method: str) -> None:
    def rollout(kind: str, arguments: dict[str, Any]) -> list[Any]:
        vec: Any = gymnasium.make_vec(
            "currgym/Acrobot-v0", num_envs=2, vectorization_mode=kind, vector_kwargs=arguments
        )
        vec.set_attr("queued", [(np.array([-1.5, 1.5]), 1), (np.array([1.9, 0.2]), 2)])
        observations, infos = vec.reset()
        trace = [observations, infos["task"]]
        for step in range(40):
            *results, infos = vec.step(np.array([step % 3, 2 * (step % 2)]))
            trace += [*results, infos["success"]]
        vec.close()
        return trace

    assert_traces_equal(rollout("sync", {}), rollout("async", {"context": method}))
