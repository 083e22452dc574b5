"""Mazes made by hand, drawn for any size: what generalisation is tested on.

Each takes the side of the maze without its outer wall and returns walls ``(side, side)`` and the
two free cells of start and goal. None comes from the random distribution of tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["LAYOUTS", "Layout"]

Walls = NDArray[np.bool_]
Cell = tuple[int, int]
Layout = tuple[Walls, Cell, Cell]

_SMALLEST_SIXTEEN = 7
_SMALLEST_WINDING = 8  # below it is the zigzag


def _open(side: int) -> Walls:
    return np.zeros((side, side), dtype=np.bool_)


def _four_rooms(side: int) -> Layout:
    walls, middle, last = _open(side), side // 2, side - 1
    walls[middle] = walls[:, middle] = True
    quarter = middle // 2
    walls[quarter, middle] = walls[last - quarter, middle] = False
    walls[middle, quarter] = walls[middle, last - quarter] = False
    return walls, (0, 0), (last, last)


def _lines(side: int) -> list[int]:
    return [j * (side + 1) // 4 - 1 for j in (1, 2, 3)]


def _rooms(side: int) -> list[int]:
    """Return the middle of each of four rooms along a side."""
    lines = [-1, *_lines(side), side]
    return [(a + b) // 2 for a, b in pairwise(lines)]


def _sixteen_rooms(side: int) -> Layout:
    walls, last = _open(side), side - 1
    for line in _lines(side):
        walls[line] = walls[:, line] = True
    for line in _lines(side):
        for room in _rooms(side):
            walls[line, room] = walls[room, line] = False
    return walls, (0, 0), (last, last)


def _sixteen_rooms_fewer_doors(side: int) -> Layout:
    """Doors along a winding way only: row by row, to and fro."""
    walls, start, goal = _sixteen_rooms(side)
    lines, rooms = _lines(side), _rooms(side)
    for line in lines:
        walls[line] = True
    for i, line in enumerate(lines):
        walls[line, rooms[3 if i % 2 == 0 else 0]] = False
    # The last row is walked from right to left, so it ends at the left.
    return walls, start, (goal[0], 0)


def _labyrinth(side: int) -> Layout:
    """A spiral: the goal is in its middle."""
    walls = ~_open(side)
    turns = ((0, 1), (1, 0), (0, -1), (-1, 0))
    row = column = turn = stuck = 0
    walls[0, 0] = False
    while stuck < 2:
        down, across = turns[turn]
        r, c = row + down, column + across
        beyond = r + down, c + across
        inside = 0 <= r < side and 0 <= c < side
        blocked = not inside or not walls[r, c]
        if not blocked and 0 <= beyond[0] < side and 0 <= beyond[1] < side:
            blocked = not walls[beyond]
        if blocked:
            turn, stuck = (turn + 1) % 4, stuck + 1
        else:
            row, column, stuck = r, c, 0
            walls[row, column] = False
    return walls, (0, 0), (row, column)


def _labyrinth_outwards(side: int) -> Layout:
    walls, _, goal = _labyrinth(side)
    return walls[:, ::-1].copy(), (goal[0], side - 1 - goal[1]), (0, side - 1)


def _zigzag(side: int) -> Layout:
    """Walls across, with a gap at the right and at the left in turn."""
    walls, last = _open(side), side - 1
    rows = range(1, last, 2)
    for i, row in enumerate(rows):
        walls[row, : last if i % 2 == 0 else side] = True
        walls[row, 0] = i % 2 == 0
    return walls, (0, 0), (last, last if len(rows) % 2 == 0 else 0)


def _corridor(side: int) -> Layout:
    """A corridor with pockets on both sides; the goal is in the last one."""
    walls, middle = ~_open(side), side // 2
    walls[middle] = False
    for column in range(0, side, 2):
        walls[1 : side - 1, column] = False
    last = (side - 1) // 2 * 2
    return walls, (middle, 0), (1, last)


def _pillars(side: int) -> Layout:
    walls = _open(side)
    walls[1::2, 1::2] = True
    return walls, (0, side - 1), (side - 1, 0)


def _perfect(side: int, seed: int) -> Layout:
    """A maze without loops, dug depth first: one way between any two cells."""
    rng = np.random.default_rng(seed)
    walls = ~_open(side)
    end = (side - 1) // 2 * 2
    walls[0, 0] = False
    trail = [(0, 0)]
    while trail:
        row, column = trail[-1]
        ways = [
            (row + r, column + c)
            for r, c in ((0, 2), (2, 0), (0, -2), (-2, 0))
            if 0 <= row + r < side and 0 <= column + c < side and walls[row + r, column + c]
        ]
        if not ways:
            trail.pop()
            continue
        r, c = ways[int(rng.integers(len(ways)))]
        walls[r, c] = walls[(row + r) // 2, (column + c) // 2] = False
        trail.append((r, c))
    return walls, (0, 0), (end, end)


LAYOUTS: dict[str, tuple[int, Callable[[int], Layout]]] = {
    "four-rooms": (5, _four_rooms),
    "sixteen-rooms": (_SMALLEST_SIXTEEN, _sixteen_rooms),
    "sixteen-rooms-fewer-doors": (_SMALLEST_WINDING, _sixteen_rooms_fewer_doors),
    "labyrinth": (5, _labyrinth),
    "labyrinth-outwards": (5, _labyrinth_outwards),
    "zigzag": (5, _zigzag),
    "corridor": (5, _corridor),
    "pillars": (5, _pillars),
    "perfect-maze": (5, lambda side: _perfect(side, 1)),
    "perfect-maze-2": (5, lambda side: _perfect(side, 2)),
}
"""Name -> (smallest side, what draws it)."""
