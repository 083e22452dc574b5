"""Arms of a bandit: the examples or groups of a discrete space, or the bins of a unit cube."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import BoxTasks, DiscreteTasks, TaskSpace
from currgym.teaching import Reason, Teacher

__all__ = ["MAX_ARMS", "ArmTeacher", "Arms", "Bins", "Members", "make_arms", "pick"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAX_ARMS = 10_000
AUTO_ARMS = 1_000
AUTO_SIDE = 10
SHOWN_ARMS = 400
SHOWN_BYTES = 80_000


def pick(weights: FloatArray, u: FloatArray) -> IntArray:
    """Return for each ``u`` in [0, 1) an index, in proportion to the weights (not all 0)."""
    edges = np.cumsum(weights)
    chosen = np.searchsorted(edges, u * edges[-1], side="right")
    return np.asarray(np.minimum(chosen, len(edges) - 1), dtype=np.int64)


class Arms(ABC):
    """Which tasks belong together. Immutable."""

    n: int
    """How many there are."""
    width: int
    """Uniform numbers that it takes to choose a task within an arm."""

    @abstractmethod
    def of(self, tasks: NDArray[Any]) -> IntArray:
        """Return the arm of each task, ``(n,)``."""

    @abstractmethod
    def place(self, arms: IntArray, u: FloatArray) -> NDArray[Any]:
        """Return one task of each arm, uniform within it if ``u`` (``(n, width)``) is uniform."""

    @abstractmethod
    def shown(self, arms: IntArray) -> dict[str, NDArray[Any]]:
        """Return what these arms are, for a snapshot."""

    @abstractmethod
    def shown_bytes(self) -> int:
        """Return the size of one arm in :meth:`shown`."""

    @abstractmethod
    def named(self, arm: int) -> str:
        """Return a name that no other arm has."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Arms:
        return self


class Bins(Arms):
    """A regular grid over the unit cube; the last axis runs fastest.

    Args:
        counts: Bins on each axis.
        values: Whole numbers or labels on each axis, 0 where it is continuous. A bin then holds
            whole slices of the axis, as evenly as they divide.
    """

    def __init__(self, counts: Sequence[int], values: Sequence[int]) -> None:
        self.counts = np.array(counts, dtype=np.int64)
        self.n = math.prod(counts)
        self.width = len(counts)
        self._strides = np.array(
            [math.prod(counts[i + 1 :]) for i in range(len(counts))], dtype=np.int64
        )
        self._axes = np.arange(len(counts))
        self._edges = np.ones((len(counts), max(counts, default=1) + 1))
        for axis, (count, many) in enumerate(zip(counts, values, strict=True)):
            edges = np.arange(count + 1) / count
            if many:
                edges = np.ceil(np.arange(count + 1) * many / count - 1e-9) / many
            self._edges[axis, : count + 1] = edges

    def of(self, tasks: NDArray[Any]) -> IntArray:
        """Return the bin of each point, ``(n,)``; points on a border belong to the upper one."""
        # A good guess, exact for even bins but for rounding, and then the edges themselves.
        cells = np.minimum((tasks * self.counts).astype(np.int64), self.counts - 1)
        for _ in range(2):
            cells += (tasks >= self._edges[self._axes, cells + 1]) & (cells < self.counts - 1)
            cells -= (tasks < self._edges[self._axes, cells]) & (cells > 0)
        return np.asarray((cells * self._strides).sum(axis=1), dtype=np.int64)

    def corners(self, arms: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return the lower and the upper corner of each bin, ``(n, dim)``."""
        cells = arms[:, None] // self._strides % self.counts
        return self._edges[self._axes, cells], self._edges[self._axes, cells + 1]

    def place(self, arms: IntArray, u: FloatArray) -> FloatArray:
        """Return a point of each bin."""
        low, high = self.corners(arms)
        return np.asarray(np.minimum(low + u * (high - low), np.nextafter(high, 0.0)))

    def shown(self, arms: IntArray) -> dict[str, NDArray[Any]]:
        """Return lower and upper corners in the unit cube."""
        low, high = self.corners(arms)
        return {"low": low, "high": high}

    def shown_bytes(self) -> int:
        """Return the size of two corners."""
        return 16 * self.width

    def named(self, arm: int) -> str:
        """Return its number among the bins, from 1."""
        return f"bin {arm + 1:,} of {self.n:,}"


class Members(Arms):
    """Examples by the arm that each belongs to.

    Args:
        arm_of: The arm of each example, from 0 without a gap.
        order: The examples in the order in which an arm lists its own; None is by index.
    """

    width = 1

    def __init__(self, arm_of: IntArray, order: IntArray | None = None) -> None:
        self._arm_of = np.asarray(arm_of, dtype=np.int64)
        self.n = int(self._arm_of.max()) + 1
        order = np.arange(len(arm_of)) if order is None else order
        self._members = order[np.argsort(self._arm_of[order], kind="stable")]
        self.sizes: IntArray = np.bincount(self._arm_of, minlength=self.n)
        self._first = np.cumsum(self.sizes) - self.sizes

    def of(self, tasks: NDArray[Any]) -> IntArray:
        """Return the arm of each example, ``(n,)``."""
        return np.asarray(self._arm_of[tasks], dtype=np.int64)

    def place(self, arms: IntArray, u: FloatArray) -> IntArray:
        """Return an example of each arm."""
        rows = np.minimum((u[:, 0] * self.sizes[arms]).astype(np.int64), self.sizes[arms] - 1)
        return self.member(arms, rows)

    def member(self, arms: IntArray, rows: IntArray) -> IntArray:
        """Return the example in this place of each arm's list."""
        return np.asarray(self._members[self._first[arms] + rows], dtype=np.int64)

    def shown(self, arms: IntArray) -> dict[str, NDArray[Any]]:
        """Return the first example of each arm, and how many it has."""
        return {"tasks": self.member(arms, np.zeros_like(arms)), "sizes": self.sizes[arms]}

    def shown_bytes(self) -> int:
        """Return the size of an example and a number."""
        return 16

    def named(self, arm: int) -> str:
        """Return its number among the groups, or of its only example."""
        if self.sizes[arm] == 1:
            return f"example {int(self._members[self._first[arm]])}"
        return f"group {arm + 1:,} of {self.n:,} ({self.sizes[arm]:,} examples)"


def make_arms(space: TaskSpace, bins: int | Sequence[int] | None = None) -> Bins | Members:
    """Return the arms of a space.

    Args:
        space: Discrete, or with a unit cube.
        bins: Of a cube, bins a side, or one number for each live axis; at most 10,000 in all. None
            takes as many as give at most 1,000, up to 10 a side, the first axes first. Axes of
            whole numbers or labels never have more bins than values. Of a discrete space, slices of
            equal size in order of difficulty (of index, without one); None takes its groups, or
            each example by itself, or 1,000 slices of more than 10,000 examples.

    Raises:
        ValueError: For fewer bins than 1, or more than 10,000 arms.
    """
    if isinstance(space, DiscreteTasks):
        return _discrete_arms(space, bins)
    values = _values(space)
    if bins is None:
        return Bins(_auto_counts(values), values)
    counts = [bins] * len(values) if isinstance(bins, int) else [int(b) for b in bins]
    if len(counts) != len(values):
        raise ValueError(
            f"bins must be one number, or one for each of {len(values)} live axes, got {bins}"
        )
    if min(counts, default=1) < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    counts = [min(c, many) if many else c for c, many in zip(counts, values, strict=True)]
    total = math.prod(counts)
    if total > MAX_ARMS:
        raise ValueError(
            f"bins must give at most {MAX_ARMS:,} arms, got {total:,} from {bins} on "
            f"{len(counts)} axes: ask for at most {int(MAX_ARMS ** (1 / len(counts)) + 1e-9)} a "
            "side, or leave it to the teacher (None)"
        )
    return Bins(counts, values)


def _discrete_arms(space: DiscreteTasks, bins: int | Sequence[int] | None) -> Members:
    order = None
    if space.unit_dim:  # easiest first
        order = np.argsort(space.difficulty_of(np.arange(space.n)), kind="stable")
    if bins is None:
        if space.groups is not None:
            arm_of = np.unique(space.groups, return_inverse=True)[1].reshape(-1)
            if int(arm_of.max()) >= MAX_ARMS:
                raise ValueError(
                    f"{space!r} has {int(arm_of.max()) + 1:,} groups, more than {MAX_ARMS:,}: "
                    "set bins to slice it instead"
                )
            return Members(arm_of, order)
        if space.n <= MAX_ARMS:
            return Members(np.arange(space.n))
        bins = AUTO_ARMS
    if not isinstance(bins, int):
        raise ValueError(f"bins of a discrete space must be one number, got {bins}")
    if not 1 <= bins <= MAX_ARMS:
        raise ValueError(f"bins must lie in [1, {MAX_ARMS:,}], got {bins}")
    slices = np.arange(space.n) * min(bins, space.n) // space.n
    if order is None:
        return Members(slices)
    arm_of = np.empty(space.n, dtype=np.int64)
    arm_of[order] = slices
    return Members(arm_of, order)


def _values(space: TaskSpace) -> list[int]:
    """Return how many values each live axis has, 0 where it is continuous."""
    if not isinstance(space, BoxTasks):
        return [0] * space.unit_dim
    return [
        int(high - low) + 1 if kind == "integer" or isinstance(kind, tuple) else 0
        for kind, low, high in zip(
            space.kinds, space.low.tolist(), space.high.tolist(), strict=True
        )
        if low < high
    ]


def _auto_counts(values: Sequence[int]) -> list[int]:
    """Let the coarsest axis grow, one bin at a time, as long as there are not too many."""
    counts = [1] * len(values)
    limits = [min(many or AUTO_SIDE, AUTO_SIDE) for many in values]
    while True:
        total = math.prod(counts)
        room = [
            axis
            for axis, (count, limit) in enumerate(zip(counts, limits, strict=True))
            if count < limit and total // count * (count + 1) <= AUTO_ARMS
        ]
        if not room:
            return counts
        counts[min(room, key=counts.__getitem__)] += 1


class ArmTeacher(Teacher):
    """Base class of teachers that choose an arm, and a uniform task within it.

    A subclass gives :meth:`probability`, or its own ``_sample``, and calls :meth:`_forget_chances`
    whenever it learned something.
    """

    spaces = frozenset({"box", "discrete"})

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        bins: int | Sequence[int] | None = None,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        self.bins = bins
        self.arms = make_arms(space, bins)
        self._chances: FloatArray | None = None

    @abstractmethod
    def probability(self) -> FloatArray:
        """Return how likely each arm is to be chosen, ``(arms,)``."""

    @property
    def chances(self) -> FloatArray:
        """The same, computed once until something is learned."""
        if self._chances is None:
            self._chances = self.probability()
        return self._chances

    def _forget_chances(self) -> None:
        self._chances = None

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        # One row a task, so that n tasks are the same as n times one.
        u = rng.random((n, 1 + self.arms.width))
        return self.arms.place(pick(self.chances, u[:, 0]), u[:, 1:])

    def _why(self, row: int, task: Any) -> Reason:
        arm = int(self.arms.of(np.asarray(task)[None])[0])
        return Reason(
            self.arms.named(arm), self._worth(arm), self._chance_of(arm), self._explored(arm)
        )

    def _worth(self, arm: int) -> str:
        """Return what an arm was chosen by, in words and numbers."""
        return f"chosen after {self.seen:,} outcomes"

    def _chance_of(self, arm: int) -> float | None:
        """Return how likely an arm is, or None where :meth:`probability` only estimates it."""
        return float(self.chances[arm])

    def _explored(self, arm: int) -> bool | None:
        """Return whether a choice of this arm can only be exploration, or cannot be; else None."""
        return None

    def _shown(self, **columns: NDArray[Any]) -> dict[str, Any]:
        """Return the likeliest arms with these columns, one entry an arm, and their chances."""
        columns["chances"] = self.chances
        row = self.arms.shown_bytes() + sum(column.itemsize for column in columns.values())
        most = min(SHOWN_ARMS, SHOWN_BYTES // row)
        arms = np.argsort(-self.chances, kind="stable")[:most]
        return {
            "arms": self.arms.n,
            **self.arms.shown(arms),
            **{name: column[arms] for name, column in columns.items()},
        }
