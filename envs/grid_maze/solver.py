"""The exact least number of actions from the start of a maze to its goal.

A state is a cell and a direction. All states that are reached in so many actions are kept as four
whole numbers, one a direction, with a bit a cell: one action moves every state at once, by shifts.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FORWARD", "LEFT", "RIGHT", "Board", "distance", "shortest_path"]

LEFT, RIGHT, FORWARD = 0, 1, 2
"""Actions, as MiniGrid numbers them."""
_Sets = list[int]


class Board(NamedTuple):
    """One maze without its outer wall, as the solver takes it.

    Attributes:
        rows: One whole number a row, bit ``c`` set where column ``c`` is a wall.
        start: Cell where the agent stands, ``row * len(rows) + column``.
        direction: 0 right, 1 down, 2 left, 3 up.
        goal: Cell of the goal.
    """

    rows: tuple[int, ...]
    start: int
    direction: int
    goal: int


def distance(board: Board) -> int | None:
    """Return the least number of actions to the goal, or None where it is out of reach.

    >>> distance(Board((0, 0), start=0, direction=0, goal=3))
    3
    """
    layers = _layers(board)
    return None if layers is None else len(layers) - 1


def shortest_path(board: Board) -> list[int] | None:
    """Return a shortest sequence of actions to the goal, or None where it is out of reach.

    >>> shortest_path(Board((0, 0), start=0, direction=0, goal=3))
    [2, 1, 2]
    """
    layers = _layers(board)
    if layers is None:
        return None
    width = len(board.rows) + 1
    steps = (1, width, -1, -width)
    position = _bit(board.goal, len(board.rows))
    direction = next(d for d in range(4) if layers[-1][d] >> position & 1)
    actions: list[int] = []
    for before in reversed(layers[:-1]):
        back = position - steps[direction]
        if back >= 0 and before[direction] >> back & 1:
            actions.append(FORWARD)
            position = back
        elif before[(direction - 1) % 4] >> position & 1:
            actions.append(RIGHT)
            direction = (direction - 1) % 4
        else:
            actions.append(LEFT)
            direction = (direction + 1) % 4
    return actions[::-1]


def _bit(cell: int, side: int) -> int:
    """Return a cell's bit: a column of wall is added, so that no shift goes round the edge."""
    return cell // side * (side + 1) + cell % side


def _layers(board: Board) -> list[_Sets] | None:
    """Return the states reached within 0, 1, 2, ... actions, up to the goal; None if never."""
    side = len(board.rows)
    width = side + 1
    free = 0
    for r, walls in enumerate(board.rows):
        free |= (~walls & ((1 << side) - 1)) << (r * width)
    goal = 1 << _bit(board.goal, side)
    reached = [0, 0, 0, 0]
    reached[board.direction] = 1 << _bit(board.start, side)
    layers = [reached]
    while not (reached[0] | reached[1] | reached[2] | reached[3]) & goal:
        right, down, left, up = reached
        following = [
            right | up | down | (right << 1 & free),
            down | right | left | (down << width & free),
            left | down | up | (left >> 1 & free),
            up | left | right | (up >> width & free),
        ]
        if following == reached:
            return None
        reached = following
        layers.append(reached)
    return layers
