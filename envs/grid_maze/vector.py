"""The array form of Grid Maze: all mazes step at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.envs.grid_maze.env import GridMaze, built, goal_reward
from currgym.envs.grid_maze.solver import FORWARD, LEFT
from currgym.envs.grid_maze.view import GOAL, WALL
from currgym.envs.vector_base import BoolArray, FloatArray, NativeTaskVectorEnv

__all__ = ["GridMazeVector"]


class GridMazeVector(NativeTaskVectorEnv):
    """Array form of :class:`currgym.envs.grid_maze.GridMaze`.

    Args:
        num_envs: Number of sub-environments.
        max_episode_steps: A shorter time limit than the maze's own; the reward does not follow it.
        **kwargs: As in :class:`currgym.envs.vector_base.NativeTaskVectorEnv`.
    """

    single_class = GridMaze
    _single: GridMaze

    def __init__(
        self, num_envs: int = 1, *, max_episode_steps: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(num_envs, max_episode_steps=max_episode_steps, **kwargs)
        single = self._single
        self.max_episode_steps = min(self._limit, single.max_episode_steps)
        self._limit = self.max_episode_steps
        self._window, self._horizon = single.window, single.max_episode_steps
        self._boards = np.full((num_envs, self._window.stride**2), WALL, dtype=np.uint8)
        # In the middle, so that there is a view before the first reset too.
        self._places = np.full(num_envs, self._window.stride**2 // 2)
        self._directions = np.zeros(num_envs, dtype=np.int64)
        self._optima = np.zeros(num_envs)
        self._index = np.arange(num_envs)

    def _begin(self, i: int, values: dict[str, Any], rng: np.random.Generator) -> None:
        task = values["task"]
        board, self._places[i], self._optima[i] = built(
            self._single.task_space, self._window, task, self._horizon
        )
        self._boards[i] = board[0]
        self._directions[i] = task[-2]

    def _advance(self, actions: NDArray[Any]) -> tuple[FloatArray, BoolArray]:
        fits = actions.shape == (self.num_envs,) and actions.dtype.kind in "iu"
        if not fits or actions.min() < 0 or actions.max() > FORWARD:
            raise ValueError(f"actions must be {self.num_envs} integers 0, 1 or 2, got {actions!r}")
        index, window = self._index, self._window
        forward = actions == FORWARD
        turns = np.where(forward, 0, np.where(actions == LEFT, 3, 1))
        ahead = self._places + np.where(forward, window.moves[self._directions], 0)
        self._directions = (self._directions + turns) % 4
        self._places = np.where(self._boards[index, ahead] == WALL, self._places, ahead)
        there = forward & (self._boards[index, self._places] == GOAL)
        return np.where(there, goal_reward(self._elapsed + 1, self._horizon), 0.0), there

    def _scores(self) -> dict[str, Any]:
        return {"true_regret": self._optima - self._returns}

    def _observe(self) -> NDArray[np.float32]:
        return self._window.observe(self._boards, self._places, self._directions)

    def _states(self) -> NDArray[Any]:
        return np.stack([self._places, self._directions], axis=1)

    def _place(self, values: dict[str, Any], state: NDArray[Any]) -> None:
        self._single.place(values["task"])
        self._single.move_to(*state)
