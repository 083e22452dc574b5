"""Anybody's environment with a task space, in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces.utils import is_space_dtype_shape_equiv
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import ArrayLike, NDArray

from currgym.envs.base import EpisodeSlot, with_task
from currgym.tasks import BoxTasks, DiscreteTasks, TaskSpace

__all__ = ["Apply", "ParameterizedEnv", "Success"]

Apply = Callable[[gymnasium.Env[Any, Any], dict[str, Any]], "gymnasium.Env[Any, Any] | None"]
Success = Callable[[dict[str, Any], float], "bool | float"]


class ParameterizedEnv(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Turns any environment into one whose episodes are set by a task.

    ``apply(env, task)`` runs before every reset. The task goes in through ``reset(options={"task":
    ...})``, or through :attr:`queued` where a vector environment resets by itself, and comes out as
    ``info["task"]``. A reset without a task repeats the last one.

    ``info["success"]`` comes with every step and counts at the episode's last, for a time limit
    outside this wrapper may end the episode at any of them. It is what ``success`` returns; without
    that, the environment's own ``info["success"]`` or ``info["is_success"]``; without those,
    whether the return so far is above ``mastery``; without that, absent. An episode that runs out
    of time is judged like any other: it is a failure only if ``success`` says so.

    Args:
        env: The environment.
        task_space: Its tasks.
        apply: Called with the wrapped environment and the task by name (``{"task": index}`` where
            the space is discrete). It changes the environment, or returns another one with the same
            spaces to use from now on; the former is not closed, as it may be one of a set you keep.
        success: Called with the step's info and the return so far; returns True, False, or a share
            in [0, 1].
        mastery: A task counts as mastered when its return is strictly above this.
        return_range: Returns between which teachers see 0 to 1; they estimate it where it is
            missing.
        default_task: The task until another one is asked for, as an array or by name; by default
            the centre of a box, the first of a discrete space, a fixed sample of another.
        test_sets: Named arrays of tasks for evaluation; by default 50 drawn uniformly.
        target: Tasks of the target distribution; None for uniform over the space.
        observe_task: Append the unit-cube task to the observation, which must be a vector of
            floats. ``currgym train --observe-task`` hands it to the environment's entry point.

    >>> from currgym.tasks import BoxTasks
    >>> def apply(env, task):
    ...     env.unwrapped.g = task["gravity"]
    >>> env = ParameterizedEnv(
    ...     gymnasium.make("Pendulum-v1"), BoxTasks([1], [20], names=["gravity"]), apply
    ... )
    >>> env.reset(seed=0, options={"task": {"gravity": 3.7}})[1]["task"]
    array([3.7])
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        task_space: TaskSpace,
        apply: Apply,
        success: Success | None = None,
        mastery: float | None = None,
        return_range: tuple[float, float] | None = None,
        default_task: ArrayLike | Mapping[str, Any] | None = None,
        test_sets: Mapping[str, ArrayLike] | None = None,
        target: ArrayLike | None = None,
        observe_task: bool = False,
    ) -> None:
        if not callable(apply):
            raise ValueError(f"apply must be a function (env, task), got {apply!r}")
        if return_range is not None and not return_range[0] < return_range[1]:
            raise ValueError(
                f"return_range must be (low, high) with low < high, got {return_range}"
            )
        RecordConstructorArgs.__init__(
            self,
            _disable_deepcopy=True,
            task_space=task_space,
            apply=apply,
            success=success,
            mastery=mastery,
            return_range=return_range,
            default_task=default_task,
            test_sets=test_sets,
            target=target,
            observe_task=observe_task,
        )
        gymnasium.Wrapper.__init__(self, env)
        self.observe_task = observe_task
        if observe_task:
            self.observation_space = with_task(env.observation_space, task_space)
        self.task_space = task_space
        self.mastery = mastery
        self.return_range = return_range
        self.target = None if target is None else task_space.check(target)
        self.default_task = _default(task_space, default_task)
        self._apply, self._success = apply, success
        self._test_sets = (
            None
            if test_sets is None
            else {name: task_space.check(tasks) for name, tasks in test_sets.items()}
        )
        self._slot = EpisodeSlot(task_space, self.default_task)
        self.episode_return = 0.0

    @property
    def queued(self) -> tuple[Any, int | None] | None:
        """The (task, seed) that the next bare reset takes; None repeats the current task."""
        return self._slot.queued

    @queued.setter
    def queued(self, episode: tuple[Any, int | None] | None) -> None:
        self._slot.queued = episode

    @property
    def task(self) -> Any:
        """The current task, natural units."""
        return self._slot.task

    @property
    def test_sets(self) -> dict[str, NDArray[Any]]:
        """Named arrays of tasks for evaluation."""
        if self._test_sets is not None:
            return dict(self._test_sets)
        return {"uniform-50": self.task_space.sample(50, np.random.default_rng(31))}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Apply the task and start an episode.

        Args:
            seed: Seeds the episode; None goes on with the current stream.
            options: ``{"task": array or dict by name}``, without which the task stays as it is;
                other entries go to the environment.

        Raises:
            ValueError: If the task lies outside the space, or ``apply`` returned something that is
                no environment or has other spaces.
        """
        task, seed = self._slot.take(seed, options)
        new = self._apply(self.env, self.task_space.as_dict(task))
        if new is not None and new is not self.env:
            self._replace(new)
        rest = {name: value for name, value in (options or {}).items() if name != "task"}
        seed = None if seed is None else int(seed)
        observation, info = self.env.reset(seed=seed, options=rest or None)
        self.episode_return = 0.0
        if self.observe_task:
            observation = self._slot.append(observation)
        return observation, {**info, "task": task.copy()}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Advance one step."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.episode_return += float(reward)
        success: Any = info.get("success", info.get("is_success"))
        if self._success is not None:
            success = self._success(info, self.episode_return)
        elif success is None and self.mastery is not None:
            success = self.episode_return > self.mastery
        if success is not None:
            # Plain types, of which vector environments make arrays of numbers and not of objects.
            is_bool = isinstance(success, (bool, np.bool_))
            info = {**info, "success": bool(success) if is_bool else float(success)}
        if self.observe_task:
            observation = self._slot.append(observation)
        return observation, reward, terminated, truncated, info

    def _replace(self, new: Any) -> None:
        if not isinstance(new, gymnasium.Env):
            raise ValueError(f"apply must return an environment or None, got {type(new).__name__}")
        for name in ("observation_space", "action_space"):
            had, has = getattr(self.env, name), getattr(new, name)
            if not is_space_dtype_shape_equiv(had, has):
                raise ValueError(
                    f"apply returned an environment with another {name}: {has} instead of {had}"
                )
        self.env = new
        self._cached_spec = None


def _default(space: TaskSpace, given: Any) -> Any:
    """Return the default task: the one given, or the space's own."""
    if isinstance(space, BoxTasks):
        centre = space.from_unit(np.full((1, space.unit_dim), 0.5))[0]
        if given is None:
            return centre
        if isinstance(given, Mapping):
            given = space.from_dict(given, centre)
    elif given is None:
        discrete = isinstance(space, DiscreteTasks)
        return np.int64(0) if discrete else space.sample(1, np.random.default_rng(31))[0]
    elif isinstance(given, Mapping):
        given = given["task"]
    return space.check(given)[0].copy()
