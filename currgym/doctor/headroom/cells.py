"""Cells of a task space: the grid on which forks are trained and valued."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.tasks import BoxTasks, DiscreteTasks, TaskSpace

__all__ = ["Cells"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Cells:
    """A 4 x 4 grid over two dimensions of a task space, or 16 slices of one.

    Further dimensions are left free: a cell holds all of their values. A dimension of few values
    (whole numbers, labels) is cut between values, and into fewer parts where it has fewer than
    four. Examples are cut by the rank of their difficulty.

    Args:
        space: The task space; it needs a cube, so examples need a declared difficulty.
        dimensions: Names of one or two dimensions; by default the first two that are not constant.

    Raises:
        ValueError: If the space has nothing to cut, or a name is unknown.

    >>> cells = Cells(BoxTasks([0, 0], [4, 8], names=["height", "gap"]))
    >>> len(cells), cells.index([[0.5, 0.5], [3.5, 7.9]]).tolist()
    (16, [0, 15])
    """

    def __init__(self, space: TaskSpace, dimensions: Sequence[str] | None = None) -> None:
        self.space = space
        values = _live_dimensions(space)
        chosen = list(dimensions or list(values)[:2])
        for name in chosen:
            if name not in values:
                raise ValueError(f"no dimension {name!r} varies here; there are: {list(values)}")
        if not 1 <= len(chosen) <= 2:
            raise ValueError(f"cells are cut along one or two dimensions, got {chosen}")
        self.names: list[str] = chosen
        columns = list(values)
        self._columns = [columns.index(name) for name in chosen]
        wanted = 16 if len(chosen) == 1 else 4
        self._edges = [_edges(wanted, values[name]) for name in chosen]
        self._shape = tuple(len(edges) - 1 for edges in self._edges)

    def __len__(self) -> int:
        return int(np.prod(self._shape))

    @property
    def shape(self) -> tuple[int, ...]:
        """Parts along each dimension; cells are numbered with the last one fastest."""
        return self._shape

    def index(self, tasks: ArrayLike) -> IntArray:
        """Return the cell of each task, int64 ``(n,)``."""
        unit = self.space.to_unit(tasks)
        places = [
            np.clip(np.searchsorted(edges, unit[:, c], side="right") - 1, 0, len(edges) - 2)
            for c, edges in zip(self._columns, self._edges, strict=True)
        ]
        return np.ravel_multi_index(places, self._shape).astype(np.int64)

    def sample(self, cell: int, n: int, rng: np.random.Generator) -> NDArray[Any]:
        """Return ``n`` tasks drawn uniformly from a cell, as the space writes them."""
        unit = rng.random((n, self.space.unit_dim))
        place = np.unravel_index(cell, self._shape)
        for c, edges, k in zip(self._columns, self._edges, place, strict=True):
            low, high = edges[k], edges[k + 1]
            # Strictly inside: rounding at an edge must not make it the neighbour's.
            unit[:, c] = low + (high - low) * (0.001 + 0.998 * unit[:, c])
        return self.space.from_unit(unit)

    def centres(self) -> NDArray[Any]:
        """Return the middle task of each cell, other dimensions at their middle."""
        unit = np.full((len(self), self.space.unit_dim), 0.5)
        for cell in range(len(self)):
            place = np.unravel_index(cell, self._shape)
            for c, edges, k in zip(self._columns, self._edges, place, strict=True):
                unit[cell, c] = (edges[k] + edges[k + 1]) / 2.0
        return self.space.from_unit(unit)

    def weights(self, target: ArrayLike | None) -> FloatArray:
        """Return each cell's share of the target distribution, uniform over the space if None."""
        if target is not None:
            counts = np.bincount(self.index(target), minlength=len(self)).astype(np.float64)
            return np.asarray(counts / counts.sum())
        sizes = np.ones(1)
        for edges in self._edges:
            sizes = np.outer(sizes, np.diff(edges)).ravel()
        return np.asarray(sizes / sizes.sum())

    def describe(self, cell: int) -> str:
        """Return the ranges of a cell in words."""
        place = np.unravel_index(cell, self._shape)
        parts = []
        for name, c, edges, k in zip(self.names, self._columns, self._edges, place, strict=True):
            unit = np.full((2, self.space.unit_dim), 0.5)
            unit[:, c] = edges[k] + 1e-9, edges[k + 1] - 1e-9
            low, high = (self.space.as_dict(task).get(name, task) for task in self._ends(unit))
            parts.append(f"{name} {_short(low)} to {_short(high)}")
        return ", ".join(parts)

    def _ends(self, unit: FloatArray) -> list[Any]:
        return list(self.space.from_unit(unit))


def _live_dimensions(space: TaskSpace) -> dict[str, int | None]:
    """Return the cube's dimensions by name, with their number of values (None: continuous)."""
    if isinstance(space, DiscreteTasks):
        try:
            space.to_unit([0])
        except ValueError as error:
            raise ValueError(
                f"examples without a difficulty cannot be cut in cells: {error}"
            ) from None
        return {"difficulty rank": space.n}
    if not isinstance(space, BoxTasks) or space.unit_dim == 0:
        raise ValueError(f"{space!r} cannot be cut in cells: it has no dimension that varies")
    found: dict[str, int | None] = {}
    for name, kind, low, high in zip(
        space.names, space.kinds, space.low.tolist(), space.high.tolist(), strict=True
    ):
        if low < high:
            whole = not isinstance(kind, str) or kind == "integer"
            found[name] = round(high - low) + 1 if whole else None
    return found


def _edges(parts: int, values: int | None) -> FloatArray:
    """Return where a dimension of the cube is cut; between values where it has few."""
    if values is None:
        return np.linspace(0.0, 1.0, parts + 1)
    parts = min(parts, values)
    return np.round(np.linspace(0.0, values, parts + 1)) / values


def _short(value: Any) -> str:
    return f"{round(value, 6):.3g}" if isinstance(value, float) else str(value)
