"""The array form of Goal Maze: all points step at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.envs.goal_maze.env import GoalMaze, arrived, feasible, moved, observed, start
from currgym.envs.vector_base import BoolArray, FloatArray, NativeTaskVectorEnv

__all__ = ["GoalMazeVector"]


class GoalMazeVector(NativeTaskVectorEnv):
    """Array form of :class:`currgym.envs.goal_maze.GoalMaze`.

    Args:
        num_envs: Number of sub-environments.
        max_episode_steps: A shorter time limit than ``steps``; mastery does not follow it.
        **kwargs: As in :class:`currgym.envs.vector_base.NativeTaskVectorEnv`.
    """

    single_class = GoalMaze
    _single: GoalMaze

    def __init__(
        self, num_envs: int = 1, *, max_episode_steps: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(num_envs, max_episode_steps=max_episode_steps, **kwargs)
        self.max_episode_steps = self._limit = min(self._limit, self._single.steps)
        self._positions = np.zeros((num_envs, 2))
        self._goals = np.zeros((num_envs, 3))

    def _begin(self, i: int, values: dict[str, float], rng: np.random.Generator) -> None:
        self._positions[i] = start(rng)
        self._goals[i] = [values[p.name] for p in self._single.parameters]

    def _restart(self, rows: NDArray[np.intp], *args: Any, **kwargs: Any) -> dict[str, Any]:
        infos = super()._restart(rows, *args, **kwargs)
        begun = np.zeros(self.num_envs, dtype=np.bool_)
        begun[rows] = True
        return {"feasible": feasible(self._goals) & begun, "_feasible": begun, **infos}

    def _advance(self, actions: NDArray[Any]) -> tuple[FloatArray, BoolArray]:
        array = np.asarray(actions, dtype=np.float64)
        if array.shape != (self.num_envs, 2) or not np.isfinite(array).all():
            raise ValueError(f"actions must be {self.num_envs} pairs of numbers, got {actions!r}")
        self._positions = moved(self._positions, array)
        there = arrived(self._positions, self._goals)
        return np.where(there, 0.0, -1.0), there

    def _observe(self) -> NDArray[np.float32]:
        return observed(self._positions, self._goals)

    def _states(self) -> FloatArray:
        return self._positions.copy()

    def _place(self, values: dict[str, float], state: NDArray[Any]) -> None:
        self._single.place(values, state)
