"""Counts and curves in the form that a terminal and a page both draw."""

from __future__ import annotations

import math
from collections.abc import Sequence

from currgym.watching.data import RunView

__all__ = ["density", "on_grid", "resampled", "sparkline"]

BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], low: float, high: float) -> str:
    """Return one bar a value.

    >>> sparkline([0.0, 0.5, 1.0], 0, 1)
    '▁▅█'
    """
    span = (high - low) or 1.0
    return "".join(
        BARS[min(7, max(0, int((value - low) / span * 8)))] if math.isfinite(value) else " "
        for value in values
    )


def resampled(points: Sequence[tuple[int, float]], end: int, width: int) -> list[float]:
    """Return the latest value at each of ``width`` equal steps up to ``end``, as far as known."""
    found: list[float] = []
    index = -1
    for column in range(width):
        step = end * (column + 1) / width
        while index + 1 < len(points) and points[index + 1][0] <= step:
            index += 1
        if index < 0:
            found.append(float("nan"))
        elif step > points[-1][0] + end / width:
            break
        else:
            found.append(points[index][1])
    return found


def on_grid(view: RunView, columns: int, rows: int) -> list[list[int]]:
    """Return how many of the latest attempts fell into each cell of the first two dimensions.

    Rows go from the highest value of the second dimension down; tasks of one dimension make one
    row.
    """
    dims = min(2, len(view.names))
    if not view.tasks or not dims:
        return []
    size = (columns, rows if dims == 2 else 1)
    counts = [[0] * size[0] for _ in range(size[1])]
    bounds = view.bounds or [
        (min(task[i] for task in view.tasks), max(task[i] for task in view.tasks))
        for i in range(dims)
    ]
    for task in view.tasks:
        place = []
        for i in range(dims):
            low, high = bounds[i]
            share = (task[i] - low) / (high - low) if high > low else 0.5
            if not math.isfinite(share):
                break
            place.append(min(size[i] - 1, max(0, int(share * size[i]))))
        else:
            row = size[1] - 1 - place[1] if dims == 2 else 0
            counts[row][place[0]] += 1
    return counts


def density(counts: Sequence[Sequence[int]]) -> list[str]:
    """Return a picture in shades, a text line a row.

    >>> density([[0, 1, 4]])
    [' ░█']
    """
    most = max((max(row) for row in counts), default=0) or 1
    shades = " ░▒▓█"
    return ["".join(shades[math.ceil(4 * count / most)] for count in row) for row in counts]
