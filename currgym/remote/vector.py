"""A vector environment whose sub-environments live in Ray workers, stepped in lock-step.

Each worker holds a few neighbouring sub-environments as ``gymnasium.make_vec`` makes them. A call
goes to all of them at once and is over when the last has answered, so rows, infos and the order of
everything are those of the same environment in one process, to the bit.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from currgym.remote.connection import connect, disconnect, end, ray, wait_for_room
from currgym.vector import Transport, declared, transport_to

__all__ = ["RayVectorEnv"]

State = dict[str, Any]


class _Queued(NamedTuple):
    """Tasks for a worker's next resets: all that the curriculum sends."""

    rows: list[int]
    tasks: NDArray[Any]
    seeds: list[int]


class _About(NamedTuple):
    """What a worker's environments say about themselves."""

    observation_space: Any
    action_space: Any
    mode: AutoresetMode
    declared: Any


class _Chunk:
    """A worker: some sub-environments."""

    def __init__(
        self, env: str, num_envs: int, parameters: Mapping[str, Any], modules: Sequence[str]
    ) -> None:
        import gymnasium

        import currgym  # noqa: F401  (registers the environments)

        for module in modules:
            importlib.import_module(module)
        self._vec = gymnasium.make_vec(env, num_envs=num_envs, **parameters)
        self._transport = transport_to(self._vec)

    def about(self) -> _About:
        vec = self._vec
        mode = AutoresetMode(vec.metadata["autoreset_mode"])
        return _About(vec.single_observation_space, vec.single_action_space, mode, declared(vec))

    def reset(self, queued: _Queued | None, seed: Any, options: State | None) -> Any:
        self._put(queued)
        return self._vec.reset(seed=seed, options=options)

    def step(self, queued: _Queued | None, actions: Any) -> Any:
        self._put(queued)
        return self._vec.step(actions)

    def _put(self, queued: _Queued | None) -> None:
        if queued is not None:
            self._transport.put(list(queued.rows), queued.tasks, list(queued.seeds))


class _Mail(Transport):
    """Keeps tasks until the next call takes them along."""

    def __init__(self, owner: RayVectorEnv) -> None:
        self._owner = owner
        self._kept: dict[int, dict[int, tuple[Any, int]]] = {}

    def put(self, rows: list[int], tasks: NDArray[Any], seeds: list[int]) -> None:
        for i, task, seed in zip(rows, tasks, seeds, strict=True):
            worker = self._owner.worker_of(i)
            own = i - self._owner.starts[worker]
            self._kept.setdefault(worker, {})[own] = (task, int(seed))

    def take(self, worker: int) -> _Queued | None:
        """Return what goes to a worker."""
        kept = self._kept.pop(worker, None)
        if kept is None:
            return None
        tasks = np.array([task for task, _ in kept.values()])
        return _Queued(list(kept), tasks, [seed for _, seed in kept.values()])


class RayVectorEnv(VectorEnv[Any, Any, Any]):
    """The vector environment ``gymnasium.make_vec(env, num_envs)``, spread over Ray workers.

    Args:
        env: Id, with a module part where that has to be imported.
        num_envs: Sub-environments in all.
        workers: Ray workers, at most as many as sub-environments.
        address: Of the Ray cluster; by default one that is found, else one is started here.
        modules: Modules that each worker imports first.
        **parameters: Of the environment.

    Raises:
        ValueError: If there are more workers than sub-environments, or than the cluster has CPUs.
        RuntimeError: From any call, if a worker is lost; a run goes on from its last checkpoint.
    """

    def __init__(
        self,
        env: str,
        num_envs: int,
        workers: int,
        *,
        address: str | None = None,
        modules: Sequence[str] = (),
        **parameters: Any,
    ) -> None:
        if not 1 <= workers <= num_envs:
            raise ValueError(
                f"workers must be from 1 to the number of sub-environments ({num_envs}), got "
                f"{workers}"
            )
        self.num_envs = num_envs
        parts = np.array_split(np.arange(num_envs), workers)
        self.starts = [int(part[0]) for part in parts]
        """The first sub-environment of each worker."""
        self._sizes = [len(part) for part in parts]
        self._home = np.repeat(np.arange(workers), self._sizes)
        self.transport = _Mail(self)
        self._seen: list[Any] = [None] * workers
        self._ours = connect(address, workers, least=workers)
        self._chunks = [
            ray.remote(num_cpus=1, max_restarts=0)(_Chunk).remote(
                env, size, parameters, list(modules)
            )
            for size in self._sizes
        ]
        try:
            about: _About = wait_for_room([chunk.about.remote() for chunk in self._chunks])[0]
        except BaseException:
            self.close()
            raise
        self.task_space, self.return_range, self.mastery, self.scores = about.declared
        self.metadata = {"autoreset_mode": about.mode}
        self.single_observation_space = about.observation_space
        self.single_action_space = about.action_space
        self.observation_space = batch_space(about.observation_space, num_envs)
        self.action_space = batch_space(about.action_space, num_envs)

    def worker_of(self, i: int) -> int:
        """Return which worker holds a sub-environment."""
        return int(self._home[i])

    def _rows(self, worker: int) -> slice:
        return slice(self.starts[worker], self.starts[worker] + self._sizes[worker])

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: State | None = None
    ) -> tuple[Any, State]:
        """Begin episodes everywhere, or in the sub-environments of ``options["reset_mask"]``."""
        given = dict(options or {})
        mask = given.pop("reset_mask", None)
        everyone = range(self.num_envs)
        seeds = [seed + i for i in everyone] if isinstance(seed, (int, np.integer)) else seed
        asked = {}
        for worker, chunk in enumerate(self._chunks):
            rows = self._rows(worker)
            own = dict(given)
            if mask is not None:
                if not np.any(mask[rows]):
                    continue
                own["reset_mask"] = np.asarray(mask[rows])
            asked[worker] = chunk.reset.remote(
                self.transport.take(worker), None if seeds is None else list(seeds)[rows],
                own or None,
            )  # fmt: skip
        answers = self._answers(asked)
        for worker, (observations, _) in answers.items():
            self._seen[worker] = observations
        infos = {worker: answer[1] for worker, answer in answers.items()}
        return _joined(self._seen), self._joined_infos(infos)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, State]:
        """Step all."""
        asked = {
            worker: chunk.step.remote(self.transport.take(worker), actions[self._rows(worker)])
            for worker, chunk in enumerate(self._chunks)
        }
        answers = self._answers(asked)
        columns = list(zip(*answers.values(), strict=True))
        self._seen = list(columns[0])
        rewards, terminated, truncated = (np.concatenate(columns[k]) for k in (1, 2, 3))
        infos = {worker: answer[4] for worker, answer in answers.items()}
        return _joined(self._seen), rewards, terminated, truncated, self._joined_infos(infos)

    @staticmethod
    def _answers(asked: dict[int, Any]) -> dict[int, Any]:
        try:
            return dict(zip(asked, ray.get(list(asked.values())), strict=True))
        except ray.exceptions.RayActorError as error:
            raise RuntimeError(
                f"a worker that holds environments is gone ({type(error).__name__}): resume the "
                "run, it goes on from its last checkpoint"
            ) from error

    def _joined_infos(self, infos: Mapping[int, State]) -> State:
        """Return the workers' infos as those of one vector environment.

        An entry that not every sub-environment has is zero there, and has a mask of its own.
        """
        whole: State = {}
        for worker, info in infos.items():
            rows = self._rows(worker)
            for name, column in info.items():
                if name.startswith("_") and name[1:] in info:
                    continue
                if isinstance(column, Mapping):
                    inner = {w: i[name] for w, i in infos.items() if name in i}
                    whole[name] = self._joined_infos(inner)
                else:
                    column = np.asarray(column)
                    if name not in whole:
                        empty = None if column.dtype == object else 0
                        shape = (self.num_envs, *column.shape[1:])
                        whole[name] = np.full(shape, empty, dtype=column.dtype)
                    whole[name][rows] = column
                given = info.get(f"_{name}")
                present = whole.setdefault(f"_{name}", np.zeros(self.num_envs, dtype=np.bool_))
                present[rows] = True if given is None else given
        return whole

    def close_extras(self, **kwargs: Any) -> None:
        """End the workers."""
        for chunk in self._chunks:
            end(chunk)
        self._chunks = []
        if self._ours:
            self._ours = False
            disconnect()


def _joined(parts: Sequence[Any]) -> Any:
    """Return batches of observations as one, a new array."""
    first = parts[0]
    if isinstance(first, Mapping):
        return {name: _joined([part[name] for part in parts]) for name in first}
    if isinstance(first, tuple):
        return tuple(_joined(column) for column in zip(*parts, strict=True))
    return np.concatenate(parts)
