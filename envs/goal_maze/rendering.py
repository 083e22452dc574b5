"""Pictures of the maze, made with NumPy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from currgym.envs.goal_maze.env import BLOCK, EDGE, WALL

__all__ = ["Renderer"]

_PIXELS = 480
_REACH = EDGE + 0.5
_FLOOR, _SOLID = (38, 40, 46), (128, 132, 140)
_GOAL, _AGENT = (88, 178, 94), (214, 72, 62)
_DOT = 0.22
_SHADE = 0.35


class Renderer:
    """Draws frames; the goal as a dot within a disc of its tolerance."""

    def __init__(self) -> None:
        ticks = ((np.arange(_PIXELS) + 0.5) / _PIXELS * 2.0 - 1.0) * _REACH
        self._x, self._y = np.meshgrid(ticks, -ticks)
        radius = np.maximum(np.abs(self._x), np.abs(self._y))
        solid = (radius > WALL) | (radius < BLOCK)
        self._ground = np.where(solid[..., None], _SOLID, _FLOOR).astype(np.float64)

    def draw(self, position: NDArray[np.float64], goal: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Return a frame, uint8 ``(480, 480, 3)``.

        Args:
            position: Of the agent.
            goal: Its place and tolerance, ``(3,)``.
        """
        frame = self._ground.copy()
        away = np.hypot(self._x - goal[0], self._y - goal[1])
        disc = away < goal[2]
        frame[disc] += _SHADE * (np.array(_GOAL) - frame[disc])
        frame[away < _DOT] = _GOAL
        frame[np.hypot(self._x - position[0], self._y - position[1]) < _DOT] = _AGENT
        return frame.astype(np.uint8)
