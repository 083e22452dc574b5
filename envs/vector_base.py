"""Vector environments that compute all sub-environments at once, equal to the single one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from currgym.envs.base import EpisodeSlot, LevelEnv, TaskEnv, task_by_name
from currgym.envs.visited import Visited
from currgym.seeds import EpisodeSeed, generator
from currgym.tasks import TaskSpace

__all__ = ["NativeTaskVectorEnv"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


class NativeTaskVectorEnv(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """Base class of array forms of a :class:`currgym.envs.base.LevelEnv`.

    Each sub-environment has its own generator, task, time limit and queue, and goes through the
    same episodes as ``SyncVectorEnv`` over single environments would, to the bit, in all three
    autoreset modes. Subclasses set ``single_class`` and implement :meth:`_begin`, :meth:`_advance`,
    :meth:`_observe` and :meth:`_states`, and :meth:`_scores` where ``single_class`` declares scores
    beyond its ``starts``.

    Args:
        num_envs: Number of sub-environments.
        max_episode_steps: Step at which an episode is truncated; None for never.
        autoreset_mode: When a finished sub-environment is reset.
        render_mode: ``"rgb_array"`` or None.
        **kwargs: Passed to the single environment: ``tasks``, ``observe_task``, ...
    """

    single_class: ClassVar[type[LevelEnv]]
    """The environment whose array form this is."""

    def __init__(
        self,
        num_envs: int = 1,
        *,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be 'rgb_array' or None, got {render_mode!r}")
        # One single environment answers for spaces, parameters and pictures, so that they agree.
        kwargs["render_mode"] = render_mode
        self._single = single = self.single_class(**kwargs)
        self.num_envs = num_envs
        self.max_episode_steps = max_episode_steps
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.render_mode = render_mode
        self.metadata = {**single.metadata, "autoreset_mode": self.autoreset_mode}
        self.task_space: TaskSpace = single.task_space
        self.default_task = single.default_task
        self.return_range = single.return_range
        self.mastery = single.mastery
        self.target = single.target
        self.scores = single.scores
        self.observe_task = single.observe_task
        self.single_observation_space = single.observation_space
        self.single_action_space = single.action_space
        self.observation_space = batch_space(single.observation_space, num_envs)
        self.action_space = batch_space(single.action_space, num_envs)

        # Gymnasium's make takes -1 for "no limit" too.
        limit = -1 if max_episode_steps is None else max_episode_steps
        self._limit = limit if limit > 0 else np.iinfo(np.int64).max
        self._slots = [EpisodeSlot(self.task_space, self.default_task) for _ in range(num_envs)]
        self._generators: list[np.random.Generator | None] = [None] * num_envs
        self._seeds = [-1] * num_envs
        self._tasks = np.repeat(self.default_task[None], num_envs, axis=0)
        self._unit_tasks = np.zeros((num_envs, self.task_space.unit_dim), dtype=np.float32)
        self._elapsed = np.zeros(num_envs, dtype=np.int64)
        self._returns = np.zeros(num_envs)
        self._everyone = np.ones(num_envs, dtype=np.bool_)
        self._over = np.zeros(num_envs, dtype=np.bool_)
        self._begun = np.zeros(num_envs, dtype=np.bool_)
        self._all_begun = False
        self._reached = single.reached if isinstance(single, TaskEnv) else {}
        self._visited: Visited | None = None
        if isinstance(single, TaskEnv) and self._reached:
            self._visited = Visited(num_envs, len(single.starts))

    @property
    def tasks(self) -> NDArray[Any]:
        """The current task of each sub-environment, shape ``(num_envs, d)``."""
        return self._tasks.copy()

    @property
    def test_sets(self) -> dict[str, NDArray[Any]]:
        """Named arrays of tasks for evaluation."""
        return self._single.test_sets

    # Gymnasium's vector class declares one generator; its SyncVectorEnv returns one each, as here.
    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generator of each sub-environment."""
        return tuple(self._generator(i) for i in range(self.num_envs))

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seed of each sub-environment's generator."""
        for i in range(self.num_envs):
            self._generator(i)
        return tuple(self._seeds)

    def queue(
        self,
        indices: Sequence[int] | NDArray[np.int64],
        tasks: ArrayLike,
        seeds: Sequence[int | None] | None = None,
    ) -> None:
        """Set the (task, seed) that the next reset of these sub-environments takes.

        An explicit task or seed at that reset comes first. A later call replaces an earlier one.

        Args:
            indices: Sub-environments, shape ``(k,)``.
            tasks: Their tasks, shape ``(k, d)``.
            seeds: Their seeds; None goes on with the sub-environment's generator.

        Raises:
            ValueError: If a task lies outside the space or the lengths differ; nothing has changed.
        """
        which = [int(i) for i in indices]
        array = self.task_space.check(tasks).copy()
        episode_seeds = [None] * len(which) if seeds is None else [_whole(s) for s in seeds]
        if not len(which) == len(array) == len(episode_seeds):
            raise ValueError(
                "indices, tasks and seeds must have one length, got "
                f"{len(which)}, {len(array)} and {len(episode_seeds)}"
            )
        for i in which:
            if not 0 <= i < self.num_envs:
                raise ValueError(f"indices must lie in [0, {self.num_envs - 1}], got {i}")
        for i, task, seed in zip(which, array, episode_seeds, strict=True):
            self._slots[i].queued = (task, seed)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start episodes in all sub-environments, or in those of a mask.

        Args:
            seed: One number (sub-environment ``i`` gets ``seed + i``), or one for each (None goes
                on with its generator).
            options: ``"reset_mask"``, a bool array; ``"task"``, one for all, as an array ``(d,)``
                or a dict by name, or one for each ``(num_envs, d)``; ``"seeds"``, as a list in
                ``seed``. The dict is left as it is.

        Raises:
            ValueError: If a task lies outside the space or a length is wrong; nothing has changed.
        """
        given = options or {}
        if given.get("seeds") is not None:
            if seed is not None:
                raise ValueError("seeds come as seed=... or options['seeds'], not both")
            seed = given["seeds"]
        seeds = self._checked_seeds(seed)
        rows = self._checked_rows(given.get("reset_mask"))
        tasks = self._checked_tasks(given.get("task"), rows)
        infos = self._restart(rows, tasks, seeds)
        self._over[rows] = False
        self._begun[rows] = True
        self._all_begun = bool(self._begun.all())
        return self._observation(), infos

    def step(
        self, actions: Any
    ) -> tuple[NDArray[np.float32], FloatArray, BoolArray, BoolArray, dict[str, Any]]:
        """Advance all sub-environments, resetting finished ones as ``autoreset_mode`` says.

        ``infos["success"]`` tells whether the return so far is above mastery.

        Raises:
            gymnasium.error.ResetNeeded: If a sub-environment was never reset, or is finished and
            the
                mode is ``DISABLED``.
            ValueError: If the actions do not fit the action space.
        """
        mode, over = self.autoreset_mode, self._over
        if not self._all_begun:
            raise ResetNeeded(f"reset before stepping: {np.flatnonzero(~self._begun)} never were")
        any_over = np.count_nonzero(over)
        if any_over and mode is AutoresetMode.DISABLED:
            raise ResetNeeded(f"sub-environments {np.flatnonzero(over)} are finished: reset them")
        rewards, terminations = self._advance(np.asarray(actions))
        self._elapsed += 1
        self._returns += rewards
        infos: dict[str, Any] = {}
        stepped = self._everyone.copy()
        if any_over and mode is AutoresetMode.NEXT_STEP:
            # The physics of these rows moved too, which the new episode's start overwrites.
            infos = self._restart(np.flatnonzero(over))
            rewards[over] = 0.0
            terminations[over] = False
            stepped = ~over
        truncations = self._elapsed >= self._limit
        done = terminations | truncations
        self._over = done
        told: dict[str, Any] = self._scores() if self.scores else {}
        told["success"] = self._returns > self.mastery
        if mode is AutoresetMode.SAME_STEP and np.count_nonzero(done):
            infos = self._finals(done, told)
            infos.update(self._restart(np.flatnonzero(done)))
            self._over = np.zeros(self.num_envs, dtype=np.bool_)
            stepped = ~done
        if not infos:
            for name, column in told.items():
                infos[name], infos[f"_{name}"] = column, stepped
        elif np.count_nonzero(stepped):
            for name, column in told.items():
                infos[name], infos[f"_{name}"] = _where(stepped, column), stepped.copy()
        return self._observation(), rewards, terminations, truncations, infos

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Return one picture a sub-environment, or None without a render mode."""
        if self.render_mode is None:
            return None
        frames = []
        for task, state in zip(self._tasks, self._states(), strict=True):
            self._place(self._single.values(task), state)
            frames.append(self._single.render())
        return tuple(frames)  # type: ignore[arg-type]

    def close_extras(self, **kwargs: Any) -> None:
        """Close the window the pictures are drawn in."""
        self._single.close()

    def _generator(self, i: int) -> np.random.Generator:
        """Return a sub-environment's generator, made from fresh entropy where nobody seeded it."""
        generator = self._generators[i]
        if generator is None:
            generator, self._seeds[i] = seeding.np_random()
            self._generators[i] = generator
        return generator

    def _checked_seeds(self, seed: Any) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, (int, np.integer)):
            return [_whole(seed + i) for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"seeds must be {self.num_envs}, one for each, got {len(seed)}")
        return [_whole(s) for s in seed]

    def _checked_rows(self, mask: Any) -> NDArray[np.intp]:
        if mask is None:
            return np.arange(self.num_envs)
        mask = np.asarray(mask)
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_:
            raise ValueError(
                f"reset_mask must be a bool array of shape ({self.num_envs},), got {mask.dtype} "
                f"of shape {mask.shape}"
            )
        if not mask.any():
            raise ValueError("reset_mask must have at least one True value")
        return np.flatnonzero(mask)

    def _checked_tasks(self, task: Any, rows: NDArray[np.intp]) -> NDArray[Any] | None:
        """Return a task for each of ``rows``, or None where none is asked for."""
        if task is None:
            return None
        if isinstance(task, Mapping):
            task = task_by_name(self.task_space, task, self.default_task)
        array = np.asarray(task)
        if array.ndim == self.default_task.ndim:
            return self.task_space.check(np.repeat(array[None], len(rows), axis=0))
        if len(array) != self.num_envs:
            raise ValueError(
                f"task must have {self.num_envs} rows or be one task, got {array.shape}"
            )
        return self.task_space.check(array[rows])

    def _restart(
        self,
        rows: NDArray[np.intp],
        tasks: NDArray[Any] | None = None,
        seeds: Sequence[int | None] | None = None,
    ) -> dict[str, Any]:
        """Begin an episode in each of ``rows``; return the infos of their resets."""
        shown = np.zeros_like(self._tasks)
        restarted = np.zeros(self.num_envs, dtype=np.bool_)
        for k, i in enumerate(rows.tolist()):
            task, seed = self._slots[i].take(
                None if seeds is None else seeds[i], None if tasks is None else {"task": tasks[k]}
            )
            if seed is not None:
                self._generators[i], self._seeds[i] = generator(seed), int(seed)
            self._tasks[i] = shown[i] = task
            restarted[i] = True
            if self.observe_task:
                self._unit_tasks[i] = self.task_space.to_unit(task)[0]
            self._begin(i, self._single.values(task), self._generator(i))
            if self._visited is not None:
                self._visited.begin(i, self._generator(i))
        self._elapsed[rows] = 0
        self._returns[rows] = 0.0
        return {"task": shown, "_task": restarted}

    def _finals(self, done: BoolArray, told: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """Return the infos in which ``SAME_STEP`` keeps what the reset is about to overwrite."""
        observation = self._observation()
        final_obs = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(done).tolist():
            final_obs[i] = observation[i]
        final_info: dict[str, Any] = {}
        for name, column in told.items():
            final_info[name], final_info[f"_{name}"] = _where(done, column), done.copy()
        return {
            "final_obs": final_obs,
            "_final_obs": done.copy(),
            "final_info": final_info,
            "_final_info": done.copy(),
        }

    def _observation(self) -> NDArray[np.float32]:
        observation = self._observe()
        if self.observe_task:
            observation = np.concatenate([observation, self._unit_tasks], axis=1)
        return observation

    def _scores(self) -> dict[str, Any]:
        """Return what ``info`` tells besides success after this step, new arrays."""
        assert self._visited is not None  # other scores are told by the subclass that has them
        told = self._visited.tell(self._states_as_starts(), self._elapsed)
        return {name: told[:, place].copy() for name, place in self._reached.items()}

    def _states_as_starts(self) -> NDArray[Any]:
        """Return all states as the single environment's ``starts``, ``(num_envs, starts)``."""
        raise NotImplementedError

    def _begin(self, i: int, values: dict[str, Any], rng: np.random.Generator) -> None:
        """Set the constants and the first state of one sub-environment."""
        raise NotImplementedError

    def _advance(self, actions: NDArray[Any]) -> tuple[FloatArray, BoolArray]:
        """Advance all sub-environments; return rewards and terminations, both new arrays."""
        raise NotImplementedError

    def _observe(self) -> NDArray[np.float32]:
        """Return all bare observations, a new array ``(num_envs, k)``."""
        raise NotImplementedError

    def _states(self) -> NDArray[Any]:
        """Return all states, one row each, as :meth:`_place` takes them."""
        raise NotImplementedError

    def _place(self, values: dict[str, Any], state: NDArray[Any]) -> None:
        """Set constants and state of the single environment that draws."""
        raise NotImplementedError


def _where(told: BoolArray, column: NDArray[Any]) -> NDArray[Any]:
    """Return a column as Gymnasium leaves it where a sub-environment says nothing."""
    return np.where(told, column, np.zeros_like(column))


def _whole(seed: Any) -> int | None:
    if seed is not None and seed < 0:
        raise ValueError(f"seeds must be at least 0, got {seed}")
    return seed if seed is None or isinstance(seed, EpisodeSeed) else int(seed)
