"""What the agent sees, for one maze or for many at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FREE", "GOAL", "WALL", "View"]

IntArray = NDArray[np.int64]

FREE, WALL, GOAL = 0, 1, 2


class View:
    """Square windows that lie before the agent, whose own cell is the middle of the last row.

    The maze is kept as a flat board with so much wall around it that no window leaves it.

    Args:
        size: Cells a side of the maze, the outer wall included.
        width: Cells a side of the window.
    """

    def __init__(self, size: int, width: int) -> None:
        self.width = width
        self._pad = width - 2  # the outer wall is one cell of it already
        self.stride = size + 2 * self._pad
        self.features = 2 * width**2 + 4
        """Length of an observation."""
        ahead, across = np.mgrid[width - 1 : -1 : -1, -(width // 2) : width // 2 + 1]
        ways = ((0, 1), (1, 0), (0, -1), (-1, 0))
        self.offsets = np.array(
            [
                # To the right of somebody who looks along (r, c) lies (c, -r).
                ((ahead * r + across * c) * self.stride + ahead * c - across * r).ravel()
                for r, c in ways
            ]
        )
        """``(4, width ** 2)``: what is seen in each direction, relative to the agent's place."""
        self.moves: IntArray = np.array([r * self.stride + c for r, c in ways], dtype=np.int64)
        """``(4,)``: one step in each direction."""

    def places(self, cells: Any, side: int) -> Any:
        """Return places on the flat board of cells as tasks number them."""
        row, column = np.divmod(cells, side)
        return (row + self._pad + 1) * self.stride + column + self._pad + 1

    def boards(self, walls: NDArray[np.bool_], goals: IntArray) -> NDArray[np.uint8]:
        """Return boards ``(n, stride ** 2)`` of walls ``(n, size, size)`` and the goals' places."""
        pad = self._pad
        boards = np.full((len(walls), self.stride, self.stride), WALL, dtype=np.uint8)
        boards[:, pad : self.stride - pad, pad : self.stride - pad] = walls
        flat = boards.reshape(len(walls), -1)
        flat[np.arange(len(walls)), goals] = GOAL
        return flat

    def observe(
        self, boards: NDArray[np.uint8], places: IntArray, directions: IntArray
    ) -> NDArray[np.float32]:
        """Return observations ``(n, features)``: walls, goal, direction."""
        n, area = len(boards), self.width**2
        seen = np.take_along_axis(boards, places[:, None] + self.offsets[directions], axis=1)
        observation = np.zeros((n, self.features), dtype=np.float32)
        observation[:, :area] = seen == WALL
        observation[:, area : 2 * area] = seen == GOAL
        observation[np.arange(n), 2 * area + directions] = 1.0
        return observation
