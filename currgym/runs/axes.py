"""The axes of a task space: how it is cut into cells, for counting and for drawing."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import BoxTasks, DiscreteTasks, TaskSpace

__all__ = ["Axis", "axes_of", "place_on"]

FloatArray = NDArray[np.float64]

_REFERENCE_SAMPLE = 20_000
# Of levels, whose difficulty may take a solver.
_LEVELS_SAMPLE = 2_000


@dataclass(frozen=True)
class Axis:
    """One drawn axis of a task space.

    Attributes:
        label: What it is.
        low: Lower end, plot coordinates.
        high: Upper end.
        column: The task's column it shows, or None for the difficulty.
        unit_column: The column of the unit cube, or None where there is no simple one.
        log: Whether it is logarithmic.
        values: Number of whole values or labels; 0 for a continuous axis.
        ticks: Labels at positions; empty leaves ticks to the plot.
        slices: Number of equal slices of which no cell holds a part, where there are any beside
            whole values: the ranks of numbered tasks.
        scale: Sorted difficulties of a uniform sample, for an axis of difficulty percentiles.
    """

    label: str
    low: float
    high: float
    column: int | None
    unit_column: int | None
    log: bool = False
    values: int = 0
    ticks: tuple[tuple[float, str], ...] = ()
    slices: int = 0
    scale: FloatArray | None = field(default=None, repr=False)

    @property
    def short(self) -> str:
        """The label without its explanation in brackets."""
        return self.label.split(" (")[0]

    def tick_values(self, most: int = 4, room_at_end: bool = False) -> list[float]:
        """Return round values along the axis.

        Args:
            most: Intervals at most, about.
            room_at_end: Leave out what lies at the upper end, where a neighbour's label may be.
        """
        if self.ticks:
            return [position for position, _ in self.ticks]
        slack = 1e-9 * (self.high - self.low)
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if math.log10(self.high / self.low) <= 1.6 else (1,)
            values = [step * 10.0**power for power in decades for step in steps]
        else:
            size = 10.0 ** math.floor(math.log10((self.high - self.low) / most))
            wanted = (step * size for step in (1.0, 2.0, 2.5, 5.0, 10.0))
            step = next(s for s in wanted if (self.high - self.low) / s <= most + slack)
            if self.values:
                step = max(1.0, round(step))
            first = math.ceil((self.low - slack) / step)
            values = [step * i for i in range(first, math.floor((self.high + slack) / step) + 1)]
        end = float(self.from_unit(np.array(0.92))) if room_at_end else self.high
        return [float(f"{v:.12g}") for v in values if self.low - slack <= v <= end + slack]

    def from_unit(self, unit: FloatArray) -> FloatArray:
        """Return plot coordinates of positions in the unit cube."""
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            return np.exp(low + unit * (high - low))
        return self.low + unit * (self.high - self.low)

    def edges(self, bins: int) -> FloatArray:
        """Return at most ``bins + 1`` edges; whole values are never cut in two."""
        whole = self.values or self.slices
        if not whole:
            return self.from_unit(np.linspace(0.0, 1.0, bins + 1))
        cuts = np.unique(np.linspace(0, whole, min(bins, whole) + 1).round())
        return self.low + cuts * (self.high - self.low) / whole

    def around(self, centres: FloatArray) -> FloatArray:
        """Return edges of cells around grid points, half a cell beyond the outer ones."""
        points = np.log(centres) if self.log else centres
        middle = 0.5 * (points[1:] + points[:-1])
        first, last = points[0] - (middle[0] - points[0]), points[-1] + (points[-1] - middle[-1])
        edges = np.concatenate([[first], middle, [last]])
        return np.exp(edges) if self.log else edges

    def measure(self, edges: FloatArray) -> FloatArray:
        """Return the share of the space between the edges under uniform sampling."""
        if self.log:
            edges = np.log(edges)
        share: FloatArray = np.diff(edges) / (edges[-1] - edges[0])
        return share


def axes_of(space: TaskSpace) -> tuple[Axis, ...]:
    """Return the axes along which tasks are counted; none for a space without dimensions.

    A box has one for each live dimension, and where it has several and declares a difficulty, one
    more for the percentile of that. Numbered tasks have one: their difficulty rank, or the number.
    Levels have the percentile of the difficulty alone, where they declare one.
    """
    if isinstance(space, DiscreteTasks):
        return (_discrete_axis(space),)
    if not isinstance(space, BoxTasks):
        return () if space.difficulty is None else (_difficulty_axis(space, _LEVELS_SAMPLE),)
    if space.unit_dim == 0:
        return ()
    live = np.flatnonzero(space.low < space.high).tolist()
    axes = [_box_axis(space, column, unit) for unit, column in enumerate(live)]
    if space.difficulty is not None and len(axes) > 1:
        axes.append(_difficulty_axis(space, _REFERENCE_SAMPLE))
    return tuple(axes)


def place_on(axis: Axis, space: TaskSpace, tasks: FloatArray) -> FloatArray:
    """Return plot coordinates ``(n,)`` of tasks ``(n, d)`` in natural units."""
    if axis.column is not None:
        return tasks[:, axis.column]
    if axis.scale is not None:
        difficulty = space.difficulty_of(space.from_rows(tasks))
        # The middle of equals, of which whole numbers have many.
        rank = np.searchsorted(axis.scale, difficulty, side="left").astype(np.float64)
        rank += np.searchsorted(axis.scale, difficulty, side="right")
        return 50.0 * rank / len(axis.scale)
    return 100.0 * space.to_unit(space.from_rows(tasks))[:, 0]


def _difficulty_axis(space: TaskSpace, sample: int) -> Axis:
    found = space.difficulty_of(space.sample(sample, np.random.default_rng(0)))
    label = "difficulty (percentile of all tasks)"
    return Axis(label, 0.0, 100.0, None, None, scale=np.sort(found))


def _discrete_axis(space: DiscreteTasks) -> Axis:
    if space.unit_dim:
        return Axis("difficulty rank (%, easiest first)", 0.0, 100.0, None, 0, slices=space.n)
    return Axis("task number", -0.5, space.n - 0.5, 0, None, values=space.n)


def _box_axis(space: BoxTasks, column: int, unit_column: int) -> Axis:
    kind, label = space.kinds[column], space.names[column].replace("_", " ")
    low, high = float(space.low[column]), float(space.high[column])
    if kind == "integer" or isinstance(kind, tuple):
        ticks: tuple[tuple[float, str], ...] = ()
        if isinstance(kind, tuple):
            ticks = tuple((float(i), kind[i]) for i in range(int(low), int(high) + 1))
        count = int(high - low) + 1
        return Axis(label, low - 0.5, high + 0.5, column, unit_column, values=count, ticks=ticks)
    return Axis(label, low, high, column, unit_column, log=kind == "log")
