"""Evaluation on a fixed test set: (task, environment seed) pairs, deterministic policy."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from currgym.runs.config import environment_spec
from currgym.tasks import TaskSpace
from currgym.vector import stack

__all__ = ["Actor", "Evaluator", "TestRow", "TestSet"]

SINGLE_ENVS = 16
NATIVE_ENVS = 256
# Test seeds never come from a run's own seed: they are common to all arms.
_SEED_STREAM = 982_451_653


class Actor(Protocol):
    """Whatever acts: a student's policy, or a scripted one."""

    def act(self, observations: Any, starts: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """Return one action for each raw observation."""


@dataclass(frozen=True)
class TestRow:
    """One evaluation episode (or example)."""

    task_index: int
    seed: int
    result: float
    length: int
    success: float

    __test__ = False


@dataclass(frozen=True)
class TestSet:
    """Tasks and the environment seeds each is tried with.

    Attributes:
        name: As it stands in ``evaluations.csv``.
        tasks: ``(n, d)`` or ``(n,)``.
        seeds: int64 ``(n, k)``.
    """

    name: str
    tasks: NDArray[Any]
    seeds: NDArray[np.int64]

    __test__ = False

    @classmethod
    def choose(
        cls,
        named: Mapping[str, NDArray[Any]],
        space: TaskSpace,
        name: str | None,
        at_most: int | None,
        seeds: int,
    ) -> TestSet:
        """Return the named set of an environment, ``"grid"`` over its space, or its first one.

        Raises:
            ValueError: For an unknown name.
        """
        name = name or next(iter(named), "grid")
        if name == "grid":
            points = 10
            while points > 1 and points**space.unit_dim > 100:
                points -= 1
            tasks = space.grid(points)
        elif name in named:
            tasks = np.asarray(named[name])
        else:
            raise ValueError(f"no test set {name!r}; there are: {', '.join([*named, 'grid'])}")
        if at_most is not None and len(tasks) > at_most:
            # Evenly over the set, so that a grid stays a grid-like cover.
            tasks = tasks[np.linspace(0, len(tasks) - 1, at_most).round().astype(int)]
        rng = np.random.default_rng(_SEED_STREAM)
        return cls(name, tasks, rng.integers(2**31 - 1, size=(len(tasks), seeds)))

    def to_json(self) -> dict[str, Any]:
        """Return the form that ``config.json`` keeps."""
        return {"name": self.name, "tasks": self.tasks.tolist(), "seeds": self.seeds.tolist()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TestSet:
        """Read back :meth:`to_json`.

        Raises:
            ValueError: If tasks and seeds are not arrays of numbers of the same length.
        """
        tasks, seeds = np.array(document["tasks"]), np.array(document["seeds"])
        for name, array, kinds, dims in (
            ("tasks", tasks, "iuf", (1, 2)),
            ("seeds", seeds, "iu", (2,)),
        ):
            if array.dtype.kind not in kinds or array.ndim not in dims or array.size == 0:
                raise ValueError(f"{name} of the test set are {array.dtype} of shape {array.shape}")
        if len(tasks) != len(seeds) or seeds.min() < 0 or not np.isfinite(tasks).all():
            raise ValueError("tasks and seeds of the test set do not fit")
        return cls(str(document["name"]), tasks, seeds)


class Evaluator:
    """Plays a test set with a policy, in environments of its own.

    Args:
        env_id: Environment id.
        env_kwargs: Its keyword arguments.
        test_set: What to play.
        mastery: Return above which an episode counts as solved where the environment says nothing.
    """

    def __init__(
        self,
        env_id: str,
        env_kwargs: Mapping[str, Any],
        test_set: TestSet,
        mastery: float | None,
    ) -> None:
        self.test_set = test_set
        self.mastery = mastery
        self._pairs = [
            (index, seed) for index, seeds in enumerate(test_set.seeds.tolist()) for seed in seeds
        ]
        native = environment_spec(env_id).vector_entry_point is not None
        count = min(len(self._pairs), NATIVE_ENVS if native else SINGLE_ENVS)
        self._desk: _NativeDesk | _SingleDesk = (
            _NativeDesk(env_id, env_kwargs, count)
            if native
            else _SingleDesk(env_id, env_kwargs, count)
        )
        self.steps = 0
        """``env.step`` calls of the last :meth:`play`, every sub-environment counted."""

    def play(self, policy: Actor) -> list[TestRow]:
        """Return one row for each (task, seed) pair, in the order of the test set."""
        desk, count = self._desk, self._desk.count
        rows: list[TestRow | None] = [None] * len(self._pairs)
        current = list(range(count))
        waiting = iter(range(count, len(self._pairs)))
        open_ = np.ones(count, dtype=np.bool_)
        returns, lengths = np.zeros(count), np.zeros(count, dtype=np.int64)
        starts = np.ones(count, dtype=np.bool_)
        observations = self._begin(np.arange(count), current)
        self.steps = 0
        while open_.any():
            actions = policy.act(observations, starts)
            observations, rewards, done, solved = desk.step(actions, open_)
            self.steps += desk.cost(open_)
            returns += rewards
            lengths += 1
            starts = np.zeros(count, dtype=np.bool_)
            ended = np.flatnonzero(done & open_)
            for slot in ended.tolist():
                index, seed = self._pairs[current[slot]]
                result, success = float(returns[slot]), solved[slot]
                if success is None:
                    success = self.mastery is not None and result > self.mastery
                rows[current[slot]] = TestRow(
                    index, seed, result, int(lengths[slot]), float(success)
                )
                following = next(waiting, None)
                if following is None:
                    open_[slot] = False
                else:
                    current[slot] = following
            again = np.flatnonzero(done) if desk.keeps_stepping else ended[open_[ended]]
            if len(again) and open_.any():
                starts[again] = True
                returns[again], lengths[again] = 0.0, 0
                observations = self._begin(again, [current[slot] for slot in again.tolist()])
        return [row for row in rows if row is not None]

    def _begin(self, slots: NDArray[np.int64], pairs: list[int]) -> Any:
        tasks = [self.test_set.tasks[self._pairs[pair][0]] for pair in pairs]
        return self._desk.begin(slots, tasks, [self._pairs[pair][1] for pair in pairs])

    def close(self) -> None:
        """Close the environments."""
        self._desk.close()


class _SingleDesk:
    """Single environments side by side; finished ones rest."""

    keeps_stepping = False

    def __init__(self, env_id: str, env_kwargs: Mapping[str, Any], count: int) -> None:
        self.count = count
        self._envs = [gymnasium.make(env_id, **env_kwargs) for _ in range(count)]
        self._latest: list[Any] = [None] * count

    def cost(self, open_: NDArray[np.bool_]) -> int:
        return int(open_.sum())

    def begin(self, slots: NDArray[np.int64], tasks: list[Any], seeds: list[int]) -> Any:
        for slot, task, seed in zip(slots.tolist(), tasks, seeds, strict=True):
            observation, _ = self._envs[slot].reset(seed=seed, options={"task": task})
            self._latest[slot] = deepcopy(observation)
        return stack(self._latest)

    def step(
        self, actions: NDArray[Any], open_: NDArray[np.bool_]
    ) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], list[Any]]:
        rewards, done = np.zeros(self.count), np.zeros(self.count, dtype=np.bool_)
        solved: list[Any] = [None] * self.count
        for slot in np.flatnonzero(open_).tolist():
            observation, reward, terminated, truncated, info = self._envs[slot].step(actions[slot])
            self._latest[slot], rewards[slot] = deepcopy(observation), float(reward)
            done[slot] = terminated or truncated
            solved[slot] = info.get("success")
        return stack(self._latest), rewards, done, solved

    def close(self) -> None:
        for env in self._envs:
            env.close()


class _NativeDesk:
    """One natively vectorised environment; it steps all, so finished ones play on uncounted."""

    keeps_stepping = True

    def __init__(self, env_id: str, env_kwargs: Mapping[str, Any], count: int) -> None:
        self.count = count
        self._vec = gymnasium.make_vec(
            env_id, num_envs=count, autoreset_mode=AutoresetMode.DISABLED, **env_kwargs
        )
        self._tasks: NDArray[Any] | None = None

    def cost(self, open_: NDArray[np.bool_]) -> int:
        return self.count

    def begin(self, slots: NDArray[np.int64], tasks: list[Any], seeds: list[int]) -> Any:
        if self._tasks is None:
            self._tasks = np.array([tasks[0]] * self.count)
        self._tasks[slots] = tasks
        mask = np.zeros(self.count, dtype=np.bool_)
        mask[slots] = True
        all_seeds: list[int | None] = [None] * self.count
        for slot, seed in zip(slots.tolist(), seeds, strict=True):
            all_seeds[slot] = seed
        observations, _ = self._vec.reset(
            options={"reset_mask": mask, "task": self._tasks.copy(), "seeds": all_seeds}
        )
        return np.array(observations)

    def step(
        self, actions: NDArray[Any], open_: NDArray[np.bool_]
    ) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], list[Any]]:
        observations, rewards, terminated, truncated, infos = self._vec.step(actions)
        success = infos.get("success")
        known = infos.get("_success", np.ones(self.count, dtype=np.bool_))
        solved = [
            bool(success[i]) if success is not None and known[i] else None
            for i in range(self.count)
        ]
        return np.array(observations), np.asarray(rewards), terminated | truncated, solved

    def close(self) -> None:
        self._vec.close()
