"""Environments whose episodes are set by a task: the part that all of them share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from currgym.envs.visited import Visited
from currgym.seeds import EpisodeSeed, generator
from currgym.tasks import BoxTasks, Difficulty, Kind, TaskSpace

__all__ = [
    "EpisodeSlot", "LevelEnv", "Parameter", "TaskEnv", "TaskRange", "box_tasks",
    "task_by_name", "with_task",
]  # fmt: skip

FloatArray = NDArray[np.float64]
TaskRange = tuple[float, float] | float | str


@dataclass(frozen=True)
class Parameter:
    """One task parameter of an environment.

    Attributes:
        name: As it stands in the task space.
        low: Lower end of the usual range, natural units.
        high: Upper end of the usual range.
        default: Value in the unmodified environment.
        varies: Whether it is part of the task by default; else it is constant until ``tasks=``
            opens it.
        kind: As in :class:`currgym.tasks.BoxTasks`.
        minimum: Smallest value the physics accepts (``tasks=`` may go beyond ``low``).
        maximum: Largest value the physics accepts.
    """

    name: str
    low: float
    high: float
    default: float
    varies: bool = False
    kind: Kind = "real"
    minimum: float = -np.inf
    maximum: float = np.inf


def box_tasks(
    parameters: tuple[Parameter, ...],
    tasks: Mapping[str, TaskRange] | None,
    difficulty: Difficulty | None,
) -> tuple[BoxTasks, FloatArray]:
    """Return the task space and default task of an environment's parameters.

    Args:
        parameters: All parameters the environment has.
        tasks: Name -> ``(low, high)`` opens a parameter or changes its range, name -> number fixes
            it; the rest keep their default range, or stay constant at their default value.
        difficulty: Declared difficulty; its terms on parameters outside the space are dropped.

    Raises:
        ValueError: For an unknown name or a range the physics does not accept.
    """
    asked = dict(tasks or {})
    known = {p.name: p for p in parameters}
    for name in asked:
        if name not in known:
            raise ValueError(f"{name!r} is not a task parameter; there are {sorted(known)}")
    chosen = [p for p in parameters if p.varies or p.name in asked]
    low, high, default = [], [], []
    for p in chosen:
        value: Any = asked.get(p.name, (p.low, p.high))
        if isinstance(value, str) and isinstance(p.kind, tuple):
            if value not in p.kind:
                raise ValueError(f"{p.name} has no label {value!r}; there are {p.kind}")
            value = p.kind.index(value)
        ends = (value, value) if np.ndim(value) == 0 else tuple(value)
        if len(ends) != 2:
            raise ValueError(f"range of {p.name} must be (low, high) or a number, got {value!r}")
        if not p.minimum <= ends[0] <= ends[1] <= p.maximum:
            raise ValueError(
                f"range of {p.name} must lie in [{p.minimum:g}, {p.maximum:g}], got {value!r}"
            )
        low.append(float(ends[0]))
        high.append(float(ends[1]))
        default.append(min(max(p.default, low[-1]), high[-1]))
    names = [p.name for p in chosen]
    if isinstance(difficulty, str):
        difficulty = difficulty if difficulty.removeprefix("-") in names else None
    elif isinstance(difficulty, Mapping):
        difficulty = {n: w for n, w in difficulty.items() if n in names} or None
    space = BoxTasks(low, high, names, [p.kind for p in chosen], difficulty)
    return space, np.array(default)


def with_task(space: gymnasium.Space[Any], tasks: TaskSpace) -> gymnasium.spaces.Box:
    """Return an observation space with the unit-cube task appended.

    Raises:
        ValueError: If the observation is no vector of floats, or the tasks have no unit cube.
    """
    if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1:
        raise ValueError(f"observe_task appends to a vector (Box of one dimension), not to {space}")
    if not np.issubdtype(space.dtype, np.floating):
        raise ValueError(f"observe_task needs observations of floats, got {space.dtype}")
    if not tasks.unit_dim and tasks.kind != "box":
        raise ValueError(f"observe_task needs tasks with a unit cube, and {tasks!r} has none")
    extra = np.zeros(tasks.unit_dim, dtype=space.dtype)
    return gymnasium.spaces.Box(
        np.concatenate([space.low, extra]),
        np.concatenate([space.high, extra + 1]),
        dtype=space.dtype,
    )


def task_by_name(space: TaskSpace, task: Mapping[str, Any], default: Any) -> Any:
    """Return the task that a dict names: a box's values, or ``{"task": task}``.

    Raises:
        ValueError: For a name that the space does not have.
    """
    if isinstance(space, BoxTasks):
        return space.from_dict(task, default)
    if set(task) != {"task"}:
        raise ValueError(f"the only name of a task here is 'task', got {sorted(task)}")
    return task["task"]


class EpisodeSlot:
    """The (task, seed) that the next episode takes: asked for, queued, or the last one again.

    One mechanism for every environment here and for :class:`currgym.ParameterizedEnv`. A vector
    environment resets its sub-environments bare, so the curriculum puts the next episode in
    ``queued``; an explicit ``reset(seed=..., options={"task": ...})`` comes first.
    """

    def __init__(self, space: TaskSpace, default: Any) -> None:
        self.space = space
        self.default = default
        self.task = default
        self._unit: FloatArray | None = None
        self.queued: tuple[Any, int | None] | None = None

    def append(self, observation: NDArray[Any]) -> NDArray[Any]:
        """Return the observation with the current task's unit-cube coordinates appended."""
        if self._unit is None:
            self._unit = self.space.to_unit(self.task)[0]
        return np.concatenate([observation, self._unit.astype(observation.dtype)])

    def take(self, seed: int | None, options: Mapping[str, Any] | None) -> tuple[Any, int | None]:
        """Return the next episode's (task, seed) and make its task the current one.

        Raises:
            ValueError: If the task lies outside the space. Nothing has changed then, but a queued
                task is dropped.
        """
        queued, self.queued = self.queued, None
        task = options.get("task") if options else None
        if queued is not None:
            task = queued[0] if task is None else task
            seed = queued[1] if seed is None else seed
        if task is not None:
            if isinstance(task, Mapping):
                task = task_by_name(self.space, task, self.default)
            # A copy, for the row of an array that the caller may write to again.
            self.task = self.space.check(task)[0].copy()
            self._unit = None
        # Gymnasium takes no NumPy integers as seeds, which is what an array of seeds holds.
        return self.task, seed if seed is None or isinstance(seed, EpisodeSeed) else int(seed)


class LevelEnv(gymnasium.Env[Any, Any]):
    """Base class of environments with tasks of any kind: levels, numbers, parameters.

    Subclasses set ``return_range``, ``mastery``, ``observation_space`` and ``action_space``
    (through :meth:`set_spaces`) and implement :meth:`_begin` and :meth:`_advance`.

    Args:
        task_space: What tasks there are.
        default_task: The task of the first bare reset.
        observe_task: Append the unit-cube task to the observation (which must be a vector).
    """

    task_space: TaskSpace
    return_range: tuple[float, float]
    """Returns between which teachers see 0 to 1."""
    mastery: float
    """A task counts as mastered when its return is strictly above this."""
    target: NDArray[Any] | None = None
    """Tasks of the target distribution; None for uniform over the space."""
    scores: tuple[str, ...] = ()
    """Names of numbers that ``info`` of every step holds and that teachers may need as scores."""

    def __init__(
        self, task_space: TaskSpace, default_task: NDArray[Any], *, observe_task: bool = False
    ) -> None:
        self.task_space, self.default_task = task_space, default_task
        self.observe_task = observe_task
        self._slot = EpisodeSlot(task_space, default_task)
        self.episode_return = 0.0

    def set_spaces(self, observation: gymnasium.spaces.Box, action: gymnasium.Space[Any]) -> None:
        """Set both spaces, the task's coordinates appended to the observation where asked."""
        self.bare_observation_space = observation
        self.observation_space = observation
        self.action_space = action
        if self.observe_task:
            self.observation_space = with_task(observation, self.task_space)

    @property
    def queued(self) -> tuple[Any, int | None] | None:
        """The (task, seed) that the next bare reset takes; None repeats the current task."""
        return self._slot.queued

    @queued.setter
    def queued(self, episode: tuple[Any, int | None] | None) -> None:
        self._slot.queued = episode

    @property
    def task(self) -> NDArray[Any]:
        """The current task, natural units."""
        task: NDArray[Any] = self._slot.task
        return task

    @property
    def test_sets(self) -> dict[str, NDArray[Any]]:
        """Named arrays of tasks for evaluation."""
        rng = np.random.default_rng(31)
        return {"uniform-50": self.task_space.sample(50, rng)}

    def values(self, task: NDArray[Any]) -> dict[str, Any]:
        """Return what an episode of the task is built from, as :meth:`_begin` takes it."""
        return {"task": task}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Seeds the episode; None goes on with the current stream.
            options: ``{"task": array or dict by name}``; without it the task stays as it is.

        Raises:
            ValueError: If the task lies outside the space.
        """
        task, seed = self._slot.take(seed, options)
        if seed is not None:  # what gymnasium.Env.reset does
            self._np_random, self._np_random_seed = generator(seed), int(seed)
        self.episode_return = 0.0
        observation, info = self._begin(self.values(task))
        if self.observe_task:
            observation = self._slot.append(observation)
        info["task"] = task.copy()
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Advance one step; ``info["success"]``: whether the return so far is above mastery."""
        observation, reward, terminated, truncated, info = self._advance(action)
        self.episode_return += reward
        # A NumPy bool would make the vector environments keep an array of objects.
        info["success"] = bool(self.episode_return > self.mastery)
        if self.observe_task:
            observation = self._slot.append(observation)
        return observation, reward, terminated, truncated, info

    def _begin(self, values: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Build the episode from what :meth:`values` returned; ``self.np_random`` is seeded."""
        raise NotImplementedError

    def _advance(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Advance the simulation by one step."""
        raise NotImplementedError


class TaskEnv(LevelEnv):
    """Base class of environments with task parameters.

    Subclasses set ``parameters`` besides what :class:`LevelEnv` asks for, and ``starts`` with
    :meth:`_state_as_start` where parameters are the state in which an episode starts.

    Args:
        tasks: Which parameters vary, and how far (see :func:`box_tasks`).
        observe_task: Append the unit-cube task to the observation (which must be a vector).
    """

    parameters: ClassVar[tuple[Parameter, ...]]
    difficulty: ClassVar[Difficulty | None] = None
    starts: ClassVar[tuple[str, ...]] = ()
    """Parameters that are the state in which an episode starts.

    Of those that vary, ``info`` of every step tells the value in one of the states that the episode
    has visited, each as likely, as the score ``reached.<name>``.
    """
    task_space: BoxTasks

    def __init__(
        self, *, tasks: Mapping[str, TaskRange] | None = None, observe_task: bool = False
    ) -> None:
        space, default = box_tasks(self.parameters, tasks, self.difficulty)
        super().__init__(space, default, observe_task=observe_task)
        self._constants = {p.name: float(p.default) for p in self.parameters}
        live = dict(zip(space.names, (space.low < space.high).tolist(), strict=True))
        self.reached = {f"reached.{s}": i for i, s in enumerate(self.starts) if live.get(s)}
        """Scores that tell visited states -> their place in :meth:`_state_as_start`."""
        self.scores = (*self.scores, *self.reached)
        self._visited = Visited(1, len(self.starts)) if self.reached else None
        self._steps = np.zeros(1, dtype=np.int64)

    def values(self, task: FloatArray) -> dict[str, float]:
        """Return all parameters by name, those outside the task at their defaults."""
        return {
            **self._constants,
            **dict(zip(self.task_space.names, task.tolist(), strict=True)),
        }

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode, as :meth:`LevelEnv.reset` does."""
        begun = super().reset(seed=seed, options=options)
        if self._visited is not None:
            self._steps[0] = 0
            self._visited.begin(0, self.np_random)
        return begun

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Advance one step, as :meth:`LevelEnv.step` does, and tell a visited state."""
        observation, reward, terminated, truncated, info = super().step(action)
        if self._visited is not None:
            self._steps += 1
            told = self._visited.tell(np.array([self._state_as_start()]), self._steps)[0].tolist()
            info.update({name: told[place] for name, place in self.reached.items()})
        return observation, reward, terminated, truncated, info

    def _state_as_start(self) -> NDArray[Any]:
        """Return the values of :attr:`starts` with which an episode would start here."""
        raise NotImplementedError
