"""Pictures of a maze, made with NumPy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from currgym.envs.grid_maze.view import GOAL, WALL, View

__all__ = ["Renderer"]

_WIDTH = 480
_FLOOR, _BLOCK, _GRID = (38, 40, 46), (128, 132, 140), (60, 63, 70)
_GOAL, _AGENT = (88, 178, 94), (214, 72, 62)
_LIGHT = 0.28
"""How much nearer to white what the agent sees is drawn."""


class Renderer:
    """Draws frames.

    Args:
        window: Knows the board and what the agent sees.
        size: Cells a side, the outer wall included.
    """

    def __init__(self, window: View, size: int) -> None:
        self._window, self._size = window, size
        self._tile = tile = max(8, _WIDTH // size)
        along, across = (np.mgrid[:tile, :tile] + 0.5) / tile
        right = (across > 0.18) & (np.abs(along - 0.5) < 0.42 * (0.86 - across))
        # Right, down, left, up: each a quarter turn on.
        self._arrows = [np.rot90(right, -d) for d in range(4)]

    def draw(self, board: NDArray[np.uint8], place: int, direction: int) -> NDArray[np.uint8]:
        """Return a frame, uint8 ``(pixels, pixels, 3)``.

        Args:
            board: Flat, as the window has it.
            place: Of the agent, on the board.
            direction: Of the agent.
        """
        stride, tile = self._window.stride, self._tile
        pad = (stride - self._size) // 2
        colours = np.full((len(board), 3), _FLOOR, dtype=np.float64)
        colours[board == WALL], colours[board == GOAL] = _BLOCK, _GOAL
        seen = place + self._window.offsets[direction]
        colours[seen] += _LIGHT * (255.0 - colours[seen])
        cells = colours.reshape(stride, stride, 3)[pad : stride - pad, pad : stride - pad]
        frame = cells.repeat(tile, axis=0).repeat(tile, axis=1)
        frame[::tile] = frame[:, ::tile] = _GRID
        row, column = (int(part) - pad for part in divmod(place, stride))
        corner = frame[row * tile : (row + 1) * tile, column * tile : (column + 1) * tile]
        corner[self._arrows[direction]] = _AGENT
        return frame.astype(np.uint8)
