"""Regions of the unit cube with a mean each: a regression tree, grown best split first."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Regions", "split_regions"]

FloatArray = NDArray[np.float64]
# A split must explain this many times the region's variance; the best of a thousand splits of pure
# noise explains about ten.
SIGNIFICANCE = 12.0


@dataclass(frozen=True)
class Regions:
    """Boxes that fill the unit cube.

    Attributes:
        low: Lower corners, ``(k, dim)``.
        high: Upper corners, ``(k, dim)``.
        mean: Mean value in each, ``(k,)``, above 0.
    """

    low: FloatArray
    high: FloatArray
    mean: FloatArray

    @classmethod
    def whole(cls, dim: int) -> Regions:
        """Return the cube as one region of mean 1."""
        return cls(np.zeros((1, dim)), np.ones((1, dim)), np.ones(1))

    @property
    def probability(self) -> FloatArray:
        """Volume over mean, ``(k,)``, summing to 1."""
        share = (self.high - self.low).prod(axis=1) / self.mean
        return np.asarray(share / share.sum())

    def draw(self, n: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], FloatArray]:
        """Return ``n`` regions by their probability, and a uniform point of each."""
        edges = np.cumsum(self.probability)
        region = np.searchsorted(edges, rng.random(n) * edges[-1], side="right")
        region = np.minimum(region, len(edges) - 1)
        low, high = self.low[region], self.high[region]
        return region, np.asarray(low + rng.random(low.shape) * (high - low))


def split_regions(
    points: FloatArray, values: FloatArray, min_leaf: int, max_leaves: int
) -> Regions:
    """Cut the unit cube where the values differ most.

    Args:
        points: ``(n, dim)`` in the unit cube, at least one.
        values: ``(n,)``, above 0.
        min_leaf: Points in a region at least.
        max_leaves: Regions at most.
    """
    dim = points.shape[1]
    leaves: dict[int, tuple[NDArray[np.int64], FloatArray, FloatArray]] = {
        0: (np.arange(len(values)), np.zeros(dim), np.ones(dim))
    }
    heap: list[tuple[float, int, int, float]] = []
    born = 1

    def offer(leaf: int) -> None:
        best = _best_split(points[leaves[leaf][0]], values[leaves[leaf][0]], min_leaf)
        if best is not None:
            gain, column, cut = best
            heapq.heappush(heap, (-gain, leaf, column, cut))

    offer(0)
    while heap and len(leaves) < max_leaves:
        _, leaf, column, cut = heapq.heappop(heap)
        rows, low, high = leaves.pop(leaf)
        left = points[rows, column] < cut
        middle_high, middle_low = high.copy(), low.copy()
        middle_high[column] = middle_low[column] = cut
        leaves[born] = (rows[left], low, middle_high)
        leaves[born + 1] = (rows[~left], middle_low, high)
        offer(born)
        offer(born + 1)
        born += 2
    kept = list(leaves.values())
    return Regions(
        np.array([low for _, low, _ in kept]).reshape(len(kept), dim),
        np.array([high for _, _, high in kept]).reshape(len(kept), dim),
        np.array([values[rows].mean() for rows, _, _ in kept]),
    )


def _best_split(
    points: FloatArray, values: FloatArray, min_leaf: int
) -> tuple[float, int, float] | None:
    """Return (variance explained, column, cut) of the best split, or None if none is worth it."""
    count, dim = points.shape
    if dim == 0 or count < 2 * min_leaf:
        return None
    centred = values - values.mean()
    scatter = float(centred @ centred)
    if scatter <= 1e-12 * float(values @ values):
        return None
    order = np.argsort(points, axis=0, kind="stable")
    ordered = np.take_along_axis(points, order, axis=0)
    left = np.cumsum(centred[order], axis=0)[:-1]
    size = np.arange(1, count)[:, None]
    gain = left * left * (1.0 / size + 1.0 / (count - size))
    gain[: min_leaf - 1] = -1.0
    gain[count - min_leaf :] = -1.0
    gain[ordered[1:] == ordered[:-1]] = -1.0
    row, column = np.unravel_index(int(np.argmax(gain)), gain.shape)
    best = float(gain[row, column])
    if best <= SIGNIFICANCE * scatter / count:
        return None
    return best, int(column), float((ordered[row, column] + ordered[row + 1, column]) / 2.0)
