"""The task space in order of its declared difficulty."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import BoxTasks, DiscreteTasks, TaskSpace

__all__ = [
    "DifficultyOrder", "LevelOrder", "UniformSum", "directions_of", "require_difficulty",
    "spread_points",
]  # fmt: skip

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

POINTS = 16_384
PRIMES = (2, 3, 5, 7, 11, 13)
CHUNK = 65_536
MAX_CANDIDATES = 64 * CHUNK
MAX_SUMMANDS = 8
LEVELS = 4096


def require_difficulty(space: TaskSpace, teacher: str) -> None:
    """Refuse a space without declared difficulty.

    Raises:
        ValueError: With the remedy.
    """
    if space.difficulty is None:
        example = (
            "difficulty=scores, one a task"
            if isinstance(space, DiscreteTasks)
            else 'difficulty="a_dimension", weights by name, or a function'
        )
        raise ValueError(
            f"teacher {teacher!r} orders tasks by difficulty, and {space!r} declares none: "
            f"build the space with {example}"
        )


def spread_points(n: int, dim: int) -> FloatArray:
    """Return ``n`` points that fill the unit cube evenly, ``(n, dim)``; always the same ones.

    The Halton sequence up to 6 dimensions; beyond, where it is no better, a fixed random sample.
    """
    if dim > len(PRIMES):
        return np.random.default_rng(0).random((n, dim))
    points = np.zeros((n, dim))
    for column, base in enumerate(PRIMES[:dim]):
        # The digits of 1, 2, 3, ... mirrored at the point.
        left, place = np.arange(1, n + 1), 1.0
        while left.any():
            place /= base
            points[:, column] += place * (left % base)
            left //= base
    return points


def directions_of(space: TaskSpace) -> FloatArray:
    """Return for each live dimension where it gets harder: 1 upward, -1 downward, 0 neither.

    A named dimension or weights tell by themselves. A function is asked: the sign of its mean
    change from the lower to the upper end of the dimension, the others spread over the space.
    """
    if not isinstance(space, BoxTasks):
        return np.ones(space.unit_dim)
    dim = space.unit_dim
    points = spread_points(256, dim)
    change = np.zeros(dim)
    for column in range(dim):
        low, high = points.copy(), points.copy()
        low[:, column], high[:, column] = 0.0, 1.0
        ends = [space.difficulty_of(space.from_unit(end)) for end in (low, high)]
        change[column] = (ends[1] - ends[0]).mean()
    largest = np.abs(change).max(initial=0.0)
    return np.where(np.abs(change) > 1e-9 * largest, np.sign(change), 0.0)


class UniformSum:
    """The distribution of ``offset + sum_i widths[i] u_i`` with independent uniform ``u_i``.

    With ``t`` above the least value, the volume of the cube below it is
    ``sum_S (-1)^|S| max(0, t - sum_S widths)^k / (k! prod widths)`` over all subsets ``S`` of the
    ``k`` widths (inclusion and exclusion).

    Args:
        offset: The least value.
        widths: All above 0.
    """

    def __init__(self, offset: float, widths: Sequence[float]) -> None:
        self.offset, self.total = offset, math.fsum(widths)
        self._power = len(widths)
        self._scale = math.factorial(self._power) * math.prod(widths)
        self._corners = [
            (math.fsum(chosen), (-1.0) ** size)
            for size in range(self._power + 1)
            for chosen in itertools.combinations(widths, size)
        ]

    @property
    def accuracy(self) -> float:
        """About how much of :meth:`share` is rounding."""
        return float(np.finfo(np.float64).eps) * self.total**self._power / self._scale

    def share(self, value: float) -> float:
        """Return the probability of a value at most this."""
        above = value - self.offset
        if above >= self.total / 2.0 and self._power > 1:  # the smaller half is the exacter one
            mirrored = self.total - above
            return 1.0 - self._volume(mirrored) if mirrored > 0.0 else 1.0
        return min(1.0, self._volume(above))

    def quantile(self, share: float) -> float:
        """Return the value below which this share lies."""
        from scipy.optimize import brentq  # here: listing teachers must not load it

        low, high = self.offset, self.offset + self.total
        if share <= 0.0 or share >= 1.0:
            return low if share <= 0.0 else high
        return float(brentq(lambda t: self.share(t) - share, low, high, xtol=1e-15 * self.total))

    def _volume(self, above: float) -> float:
        terms = [sign * (above - at) ** self._power for at, sign in self._corners if at < above]
        return max(0.0, math.fsum(terms) / self._scale)


def _weighted_sum(space: BoxTasks, sign: float) -> UniformSum | None:
    """Return the exact distribution of a weighted difficulty, or None where there is none."""
    if not isinstance(space.difficulty, Mapping):
        return None
    offset, widths = 0.0, []
    for name, kind, low, high in zip(
        space.names, space.kinds, space.low.tolist(), space.high.tolist(), strict=True
    ):
        weight = sign * space.difficulty.get(name, 0.0)
        offset += min(weight * low, weight * high)
        if weight != 0.0 and low < high:
            if kind != "real":
                return None
            widths.append(abs(weight) * (high - low))
    if not 0 < len(widths) <= MAX_SUMMANDS:
        return None
    exact = UniformSum(offset, widths)
    return exact if exact.accuracy < 1e-11 else None


class DifficultyOrder:
    """Draws uniformly from the easiest (or hardest) share of a space.

    Where the difficulty is one dimension's name, the share is cut off that axis and is exact. Else
    tasks are drawn by rejection below a threshold. That is exact too for weights of real
    dimensions; otherwise it is the quantile of the difficulty over 16,384 evenly spread points, and
    of tasks that all have the threshold's difficulty just the missing share is admitted. Immutable,
    and a function of the space alone.

    Args:
        space: A box that declares a difficulty.
        hardest: Count the share from the hard end.
    """

    def __init__(self, space: BoxTasks, hardest: bool = False) -> None:
        self._space = space
        self._dim = space.unit_dim
        self._sign = -1.0 if hardest else 1.0
        self._axis: int | None = None
        self._upward = True
        if self._dim == 0:
            return
        if isinstance(space.difficulty, str):
            live = [name for i, name in enumerate(space.names) if space.low[i] < space.high[i]]
            name = space.difficulty.removeprefix("-")
            if name in live:
                self._axis = live.index(name)
                self._upward = (name == space.difficulty) != hardest
                return
        self._sum = _weighted_sum(space, self._sign)
        points = spread_points(POINTS, self._dim)
        values = self._values(points)
        order = np.argsort(values, kind="stable")
        self._points, self._sorted = points[order], values[order]

    def __deepcopy__(self, memo: dict[int, Any]) -> DifficultyOrder:
        return self

    def _values(self, unit: FloatArray) -> FloatArray:
        return self._sign * self._space.difficulty_of(self._space.from_unit(unit))

    def draw(self, shares: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Return one point of the cube for each share, uniform over that share of the space.

        Args:
            shares: ``(n,)`` in [0, 1].
            rng: Draws the points.
        """
        n = len(shares)
        if self._dim == 0:
            return np.empty((n, 0))
        if self._axis is not None:
            points = rng.random((n, self._dim))
            along = shares * points[:, self._axis]
            points[:, self._axis] = along if self._upward else 1.0 - along
            return points
        return self._reject(shares, rng)

    def _reject(self, shares: FloatArray, rng: np.random.Generator) -> FloatArray:
        count = len(self._sorted)
        rank = np.clip(np.ceil(shares * count).astype(np.int64) - 1, 0, count - 1)
        threshold = self._sorted[rank]
        below = np.searchsorted(self._sorted, threshold, side="left") / count
        level = np.searchsorted(self._sorted, threshold, side="right") / count - below
        ties = np.clip((shares - below) / level, 0.0, 1.0)
        if self._sum is not None:
            threshold = np.array([self._sum.quantile(share) for share in shares.tolist()])
        result = np.empty((len(shares), self._dim))
        open_rows = np.arange(len(shares))
        spent = 0
        while len(open_rows) and spent < MAX_CANDIDATES:
            smallest = max(float(shares[open_rows].min()), 1.0 / count)
            tries = int(np.ceil(4.0 / smallest))
            now, later = np.split(open_rows, [max(1, CHUNK // tries)])
            points = rng.random((len(now), tries, self._dim))
            values = self._values(points.reshape(-1, self._dim)).reshape(len(now), tries)
            spent += values.size
            limit = threshold[now, None]
            inside = values < limit
            equal = values == limit
            if equal.any():
                inside |= equal & (rng.random(values.shape) < ties[now, None])
            found = inside.any(axis=1)
            first = inside.argmax(axis=1)
            result[now[found]] = points[found, first[found]]
            open_rows = np.concatenate([now[~found], later])
        # Too small a share, or too many of them, for rejection: the spread points inside it.
        chosen = (rng.random(len(open_rows)) * (rank[open_rows] + 1)).astype(np.int64)
        result[open_rows] = self._points[chosen]
        return result


class LevelOrder:
    """Draws levels between two quantiles of their difficulty, as the space samples levels.

    The quantiles are those of 4,096 levels. Levels with the very difficulty of one are all
    admitted, so that a share is rounded up. Immutable, and a function of the space alone.

    Args:
        space: Levels that declare a difficulty.
        hardest: Count from the hard end.
    """

    def __init__(self, space: TaskSpace, hardest: bool = False) -> None:
        self._space = space
        self._sign = -1.0 if hardest else 1.0
        levels = space.sample(LEVELS, np.random.default_rng(0))
        values = self._values(levels)
        order = np.argsort(values, kind="stable")
        self._levels, self._sorted = levels[order], values[order]

    def __deepcopy__(self, memo: dict[int, Any]) -> LevelOrder:
        return self

    def _values(self, levels: NDArray[Any]) -> FloatArray:
        return self._sign * self._space.difficulty_of(levels)

    def quantile(self, share: float) -> float:
        """Return the difficulty below which this share lies."""
        return float(self._sign * self._sorted[self._rank(share)])

    @staticmethod
    def _rank(share: float) -> int:
        return min(max(math.ceil(share * LEVELS), 1), LEVELS) - 1

    def draw(self, shares: FloatArray, rng: np.random.Generator) -> NDArray[Any]:
        """Return one level for each share, of the easiest that make it up.

        Args:
            shares: ``(n,)`` in [0, 1].
            rng: Draws the levels.
        """
        return np.array([self.between(0.0, share, rng) for share in shares.tolist()])

    def between(self, low: float, high: float, rng: np.random.Generator) -> NDArray[Any]:
        """Return a level of those between two shares, ``0 <= low <= high <= 1``."""
        first, last = self._rank(low) if low > 0.0 else 0, self._rank(high)
        least, most = self._sorted[first], self._sorted[last]
        left = LEVELS
        while left > 0:
            # As many as are likely to hold one: each costs a look at its difficulty.
            tries = min(left, math.ceil(LEVELS / (last - first + 1)))
            levels = self._space.sample(tries, rng)
            values = self._values(levels)
            inside = np.flatnonzero((values >= least) & (values <= most))
            if len(inside):
                return np.asarray(levels[inside[0]])
            left -= tries
        return np.asarray(self._levels[rng.integers(first, last + 1)])
