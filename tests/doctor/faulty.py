"""Planted faults: environments, teachers and loops wrong in one way each; and healthy ones.

Every fault is one that people make: most are shortened from code seen in the wild.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import wrappers
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from gymnasium.envs.classic_control.pendulum import PendulumEnv

import currgym
from currgym import BoxTasks, ParameterizedEnv, Teacher

Env = gymnasium.Env[Any, Any]
CARTPOLE = BoxTasks([0.25, 4.0], [1.0, 16.0], names=["length", "gravity"], difficulty="gravity")
PENDULUM = BoxTasks([0.5, 2.0], [1.5, 16.0], names=["length", "gravity"], difficulty="gravity")


def set_cartpole(env: Env, task: Mapping[str, Any]) -> None:
    physics: Any = env.unwrapped
    physics.length, physics.gravity = task["length"], task["gravity"]
    physics.polemass_length = physics.masspole * physics.length


def set_pendulum(env: Env, task: Mapping[str, Any]) -> None:
    physics: Any = env.unwrapped
    physics.l, physics.g = task["length"], task["gravity"]


def cartpole(inner: Env | None = None, **changes: Any) -> ParameterizedEnv:
    settings: dict[str, Any] = {
        "apply": set_cartpole, "mastery": 195.0, "return_range": (0.0, 200.0), **changes
    }  # fmt: skip
    space = settings.pop("task_space", CARTPOLE)
    return ParameterizedEnv(
        inner or gymnasium.make("CartPole-v1", max_episode_steps=200), space, **settings
    )


def pendulum(inner: Env | None = None, **changes: Any) -> ParameterizedEnv:
    settings: dict[str, Any] = {
        "apply": set_pendulum, "mastery": -300.0, "return_range": (-2000.0, 0.0), **changes
    }  # fmt: skip
    space = settings.pop("task_space", PENDULUM)
    return ParameterizedEnv(
        inner or gymnasium.make("Pendulum-v1", max_episode_steps=100), space, **settings
    )


# Tasks that do not arrive ------------------------------------------------------------------------


def writes_on_the_wrapper() -> Env:
    def apply(env: Any, task: Mapping[str, Any]) -> None:
        env.length, env.gravity = task["length"], task["gravity"]  # not env.unwrapped

    return cartpole(apply=apply)


class _Restoring(CartPoleEnv):
    def reset(self, **arguments: Any) -> Any:
        self.gravity = 9.8
        return super().reset(**arguments)


def overwritten_by_reset() -> Env:
    return cartpole(wrappers.TimeLimit(_Restoring(), 200))


def forgets_one_of_two() -> Env:
    def apply(env: Any, task: Mapping[str, Any]) -> None:
        env.unwrapped.gravity = task["gravity"]
        env.unwrapped.lenght = task["length"]  # spelt wrong

    return cartpole(apply=apply)


class _Late(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Notes the task, and applies it when the next episode is set up."""

    def __init__(self) -> None:
        super().__init__(cartpole())
        self._noted: Any = None

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        task = (options or {}).get("task")
        if isinstance(task, Mapping):
            task = CARTPOLE.from_dict(task, self.env.get_wrapper_attr("default_task"))
        current = task if task is not None else self._noted
        played = self._noted if self._noted is not None else current
        self._noted = current
        observation, info = self.env.reset(
            seed=seed, options=None if played is None else {"task": played}
        )
        return observation, info if current is None else {**info, "task": np.array(current)}


def one_episode_late() -> Env:
    return _Late()


class _Silent(gymnasium.Wrapper[Any, Any, Any, Any]):
    def reset(self, **arguments: Any) -> Any:
        return self.env.reset(**arguments)[0], {}


def says_nothing() -> Env:
    return _Silent(cartpole())


class _Swallows(gymnasium.Wrapper[Any, Any, Any, Any]):
    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return self.env.reset(seed=seed)


def swallows_options() -> Env:
    return _Swallows(cartpole())


class _Rounds(gymnasium.Wrapper[Any, Any, Any, Any]):
    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        task = (options or {}).get("task")
        if task is not None and not isinstance(task, Mapping):
            options = {"task": np.clip(np.round(task), CARTPOLE.low, CARTPOLE.high)}
        return self.env.reset(seed=seed, options=options)


def rounds_tasks() -> Env:
    return _Rounds(cartpole())


class _Clips(gymnasium.Wrapper[Any, Any, Any, Any]):
    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        task = (options or {}).get("task")
        if task is not None and not isinstance(task, Mapping):
            options = {"task": np.clip(np.nan_to_num(task), CARTPOLE.low, CARTPOLE.high)}
        return self.env.reset(seed=seed, options=options)


def clips_tasks() -> Env:
    return _Clips(cartpole())


class _Unqueued(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Takes tasks by its own hands, and knows no queue."""

    def __init__(self) -> None:
        super().__init__(gymnasium.make("CartPole-v1", max_episode_steps=200))
        self.task_space, self.default_task = CARTPOLE, np.array([0.5, 9.8])
        self.mastery, self.return_range = 195.0, (0.0, 200.0)
        self._task, self._total = self.default_task, 0.0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        task = (options or {}).get("task", self._task)
        if isinstance(task, Mapping):
            task = CARTPOLE.from_dict(task, self.default_task)[None]
        self._task, self._total = CARTPOLE.check(task)[0].copy(), 0.0
        set_cartpole(self.env, CARTPOLE.as_dict(self._task))
        observation, info = self.env.reset(seed=seed)
        return observation, {**info, "task": self._task.copy()}

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._total += float(reward)
        info["success"] = self._total > self.mastery
        return observation, reward, terminated, truncated, info


def without_a_queue() -> Env:
    return _Unqueued()


# History and chance ------------------------------------------------------------------------------


class _Wearing(CartPoleEnv):
    def reset(self, **arguments: Any) -> Any:
        self.force_mag *= 0.99  # never set back
        return super().reset(**arguments)


def wears_out() -> Env:
    return cartpole(wrappers.TimeLimit(_Wearing(), 200))


class _Windy(CartPoleEnv):
    def __init__(self) -> None:
        super().__init__()
        self.wind = np.random.default_rng()

    def step(self, action: Any) -> Any:
        self.force_mag = 10.0 + self.wind.normal()
        return super().step(action)  # type: ignore[no-untyped-call]


def has_its_own_chance() -> Env:
    return cartpole(wrappers.TimeLimit(_Windy(), 200))


class _GlobalWind(CartPoleEnv):
    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        if seed is not None:
            np.random.seed(seed)  # noqa: NPY002 - the fault
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        self.force_mag = 10.0 + np.random.normal()  # noqa: NPY002 - the fault
        return super().step(action)  # type: ignore[no-untyped-call]


def seeds_the_whole_process() -> Env:
    return cartpole(wrappers.TimeLimit(_GlobalWind(), 200))


def normalises_rewards() -> Env:
    return pendulum(wrappers.NormalizeReward(gymnasium.make("Pendulum-v1", max_episode_steps=100)))


def normalises_observations() -> Env:
    return cartpole(wrappers.NormalizeObservation(gymnasium.make("CartPole-v1")))


class _RunningScale(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Divides rewards by the largest seen so far."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self._largest = 1e-6

    def step(self, action: Any) -> Any:
        observation, reward, *rest = self.env.step(action)
        self._largest = max(self._largest, abs(float(reward)))
        return observation, float(reward) / self._largest, *rest


def scales_by_hand() -> Env:
    return pendulum(_RunningScale(gymnasium.make("Pendulum-v1", max_episode_steps=100)))


# Ends and returns --------------------------------------------------------------------------------


def never_ends() -> Env:
    return pendulum(PendulumEnv())


def resets_by_itself() -> Env:
    return wrappers.Autoreset(cartpole())


class _OwnReset(gymnasium.Wrapper[Any, Any, Any, Any]):
    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            final = observation
            observation, _ = self.env.reset()
            info["final_obs"] = final
        return observation, reward, terminated, truncated, info


def resets_in_its_step() -> Env:
    return _OwnReset(cartpole())


class _Terminating(gymnasium.Wrapper[Any, Any, Any, Any]):
    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated or truncated, False, info


def time_limit_terminates() -> Env:
    return pendulum(_Terminating(gymnasium.make("Pendulum-v1", max_episode_steps=100)))


def time_out_is_failure() -> Env:
    return pendulum(mastery=-1900.0, success=lambda info, total: bool(info.get("goal", False)))


class _Dividing(CartPoleEnv):
    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)  # type: ignore[no-untyped-call]
        return observation, float(reward) if self.gravity > 4.0 else math.nan, *rest


def divides_by_zero() -> Env:
    return cartpole(wrappers.TimeLimit(_Dividing(), 200))


def breaks_at_an_end() -> Env:
    def apply(env: Env, task: Mapping[str, Any]) -> None:
        if task["length"] >= 1.0:
            raise RuntimeError("the pole does not fit on the track")
        set_cartpole(env, task)

    return cartpole(apply=apply)


def wrong_return_range() -> Env:
    return pendulum(return_range=(0.0, 1.0), mastery=0.5)


def no_success() -> Env:
    return cartpole(mastery=None)


def unreachable_mastery() -> Env:
    return cartpole(mastery=1000.0)


def success_beyond_one() -> Env:
    return cartpole(success=lambda info, total: total)


def given_away() -> Env:
    return cartpole(mastery=2.0)


def reversed_difficulty() -> Env:
    space = BoxTasks([0.5, 2.0], [1.5, 16.0], names=["length", "gravity"], difficulty="-gravity")
    return pendulum(task_space=space)


def cannot_be_reset() -> Env:
    def apply(env: Env, task: Mapping[str, Any]) -> None:
        raise KeyError("friction")

    return cartpole(apply=apply)


def without_tasks() -> Env:
    return gymnasium.make("CartPole-v1")


ENVIRONMENTS: dict[Callable[[], Env], str] = {
    writes_on_the_wrapper: "live",
    overwritten_by_reset: "live",
    forgets_one_of_two: "live",
    one_episode_late: "task-late",
    says_nothing: "task-arrives",
    swallows_options: "task-arrives",
    rounds_tasks: "task-arrives",
    clips_tasks: "outside",
    without_a_queue: "queued",
    wears_out: "history",
    has_its_own_chance: "seeds",
    seeds_the_whole_process: "global-randomness",
    normalises_rewards: "normaliser",
    normalises_observations: "normaliser",
    scales_by_hand: "normaliser",
    never_ends: "episodes-end",
    resets_by_itself: "resets-itself",
    resets_in_its_step: "resets-itself",
    time_limit_terminates: "time-limit",
    time_out_is_failure: "time-outs",
    divides_by_zero: "finite-returns",
    breaks_at_an_end: "range-ends",
    wrong_return_range: "return-range",
    no_success: "success",
    unreachable_mastery: "mastery",
    success_beyond_one: "success-range",
    given_away: "too-easy",
    reversed_difficulty: "difficulty",
    cannot_be_reset: "opens",
    without_tasks: "task-space",
}
"""Faulty environments, and the finding that each must give first."""


# Teachers ----------------------------------------------------------------------------------------


class Deaf(Teacher):
    """Looks at nothing it is told."""

    spaces = frozenset({"box"})

    def __init__(
        self,
        space: Any,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)

    def _sample(self, n: int, rng: np.random.Generator) -> Any:
        return rng.random((n, self.space.unit_dim))

    def _update(self, batch: Any) -> None:
        batch.returns.sum()

    def _state(self) -> dict[str, Any]:
        return {}

    def _load(self, state: Any) -> None:
        pass

    def snapshot(self) -> dict[str, Any]:
        return {}


# Loops -------------------------------------------------------------------------------------------


def _venv() -> Any:
    from stable_baselines3.common.vec_env import DummyVecEnv

    return DummyVecEnv([cartpole, cartpole])


def healthy_loop() -> Any:
    from stable_baselines3.common.vec_env import VecNormalize

    from currgym import sb3

    train = VecNormalize(sb3.wrap(_venv(), "random", seed=0))
    evaluation = VecNormalize(_venv(), training=False, norm_reward=False)
    evaluation.obs_rms = train.obs_rms
    return train, evaluation


def healthy_gymnasium_loop() -> Any:
    vec = gymnasium.make_vec("currgym/CartPole-v0", num_envs=2)
    return gymnasium.wrappers.vector.NormalizeObservation(
        currgym.CurriculumVectorEnv(vec, "random", seed=0)
    )


def normaliser_below() -> Any:
    from gymnasium.vector import SyncVectorEnv

    vec = SyncVectorEnv([lambda: wrappers.NormalizeReward(cartpole())] * 2)
    return currgym.CurriculumVectorEnv(vec, "random", seed=0)


def vec_normalize_below() -> Any:
    from stable_baselines3.common.vec_env import VecNormalize

    from currgym import sb3

    return sb3.wrap(VecNormalize(_venv()), "random", seed=0)


def curriculum_beside() -> Any:
    from currgym import sb3

    venv = _venv()
    sb3.wrap(venv, "random", seed=0)  # and not used
    return venv


class _Impatient(gymnasium.vector.VectorWrapper[Any, Any, Any]):
    """A time limit of its own around the curriculum: what is cut off is never heard of."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self._steps = 0

    def step(self, actions: Any) -> Any:
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        self._steps += 1
        if self._steps % 8 == 0:
            observations, infos = self.env.reset()
            truncated = np.ones_like(truncated)
        return observations, rewards, terminated, truncated, infos


def cut_from_outside() -> Any:
    vec = gymnasium.make_vec("currgym/CartPole-v0", num_envs=4)
    return _Impatient(currgym.CurriculumVectorEnv(vec, "random", seed=0))


def evaluation_adapts() -> Any:
    from stable_baselines3.common.vec_env import VecNormalize

    train, _ = healthy_loop()
    return train, VecNormalize(_venv(), norm_reward=False)


def evaluation_scales_rewards() -> Any:
    from stable_baselines3.common.vec_env import VecNormalize

    train, _ = healthy_loop()
    return train, VecNormalize(_venv(), training=False)


def evaluation_is_training() -> Any:
    train, _ = healthy_loop()
    return train, train.venv


LOOPS: dict[Callable[[], Any], str] = {
    normaliser_below: "normaliser",
    vec_normalize_below: "normaliser",
    curriculum_beside: "outcomes",
    cut_from_outside: "outcomes",
    evaluation_adapts: "evaluation",
    evaluation_scales_rewards: "evaluation",
    evaluation_is_training: "evaluation",
}
"""Faulty loops, and the finding that each must give first."""


# Healthy environments ----------------------------------------------------------------------------


def gymnasium_cartpole() -> Env:
    return cartpole()


def gymnasium_pendulum() -> Env:
    return pendulum()


def gymnasium_mountain_car() -> Env:
    def apply(env: Any, task: Mapping[str, Any]) -> None:
        env.unwrapped.power = task["power"]

    space = BoxTasks([0.001], [0.003], names=["power"], difficulty="-power")
    inner = gymnasium.make("MountainCarContinuous-v0", max_episode_steps=300)
    return ParameterizedEnv(inner, space, apply, mastery=90.0, return_range=(-100.0, 100.0))


def gymnasium_acrobot() -> Env:
    def apply(env: Any, task: Mapping[str, Any]) -> None:
        env.unwrapped.LINK_MASS_1 = task["mass"]

    space = BoxTasks([0.5], [2.0], names=["mass"])
    inner = gymnasium.make("Acrobot-v1", max_episode_steps=200)
    return ParameterizedEnv(inner, space, apply, mastery=-150.0, return_range=(-200.0, 0.0))


def lunar_lander() -> Env:
    def apply(env: Any, task: Mapping[str, Any]) -> None:
        env.unwrapped.gravity = -task["gravity"]

    space = BoxTasks([2.0], [11.5], names=["gravity"], difficulty="gravity")
    inner = gymnasium.make("LunarLander-v3")
    return ParameterizedEnv(inner, space, apply, mastery=200.0, return_range=(-900.0, 320.0))


def bipedal_walker() -> Env:
    def apply(env: Any, task: Mapping[str, Any]) -> Env:
        # A new one each time: its reset builds on in the old Box2D world.
        new = gymnasium.make("BipedalWalker-v3", hardcore=task["ground"] == "hardcore")
        new.unwrapped.np_random = env.unwrapped.np_random
        env.close()
        return new

    space = BoxTasks([0], [1], names=["ground"], kinds=[("plain", "hardcore")])
    inner = gymnasium.make("BipedalWalker-v3")
    return ParameterizedEnv(inner, space, apply, mastery=250.0, return_range=(-150.0, 320.0))


def minigrid_rooms() -> Env:
    import minigrid  # noqa: F401 - registers
    from minigrid.envs.empty import EmptyEnv
    from minigrid.wrappers import ImgObsWrapper

    def build(size: int) -> Env:
        wrapper: Any = ImgObsWrapper  # without types
        made: Env = wrapper(EmptyEnv(size=size, agent_start_pos=None, max_steps=60))
        return made

    def apply(env: Env, task: Mapping[str, Any]) -> Env:
        new = build(int(task["size"]))
        new.unwrapped.np_random = env.unwrapped.np_random
        return new

    space = BoxTasks([5], [9], names=["size"], kinds=["integer"], difficulty="size")
    return ParameterizedEnv(build(5), space, apply, mastery=0.5, return_range=(0.0, 1.0))


def mujoco_swimmer() -> Env:
    def apply(env: Any, task: Mapping[str, Any]) -> None:
        env.unwrapped.model.opt.viscosity = task["viscosity"]

    space = BoxTasks([0.02], [0.3], names=["viscosity"])
    inner = gymnasium.make("Swimmer-v5", max_episode_steps=100)
    return ParameterizedEnv(inner, space, apply, mastery=30.0, return_range=(-20.0, 40.0))


def mujoco_inverted_pendulum() -> Env:
    def apply(env: Any, task: Mapping[str, Any]) -> None:
        env.unwrapped.model.opt.gravity[2] = -task["gravity"]

    space = BoxTasks([3.0], [20.0], names=["gravity"], difficulty="gravity")
    inner = gymnasium.make("InvertedPendulum-v5", max_episode_steps=200)
    return ParameterizedEnv(inner, space, apply, mastery=190.0, return_range=(0.0, 200.0))


OWN = ("CartPole-v0", "Pendulum-v0", "MountainCarContinuous-v0", "Acrobot-v0", "StumpTracks-v0")
HEALTHY: dict[Callable[[], Env], str | None] = {
    gymnasium_cartpole: None,
    gymnasium_pendulum: None,
    gymnasium_mountain_car: None,
    gymnasium_acrobot: None,
    lunar_lander: "Box2D",
    bipedal_walker: "Box2D",
    minigrid_rooms: "minigrid",
    mujoco_swimmer: "mujoco",
    mujoco_inverted_pendulum: "mujoco",
}
"""Healthy environments, and the module that they need."""
