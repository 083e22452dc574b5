"""Equal shares of every arm, well spread at any time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import DiscreteTasks, TaskSpace
from currgym.teachers._arms import Arms, ArmTeacher, Bins, Members
from currgym.teachers._difficulty import spread_points
from currgym.teaching import Reason, State, register

__all__ = ["Stratified"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SLICES = 10
POINTS_PER_ARM = 16
GOLDEN = (5.0**0.5 - 1.0) / 2.0


def spread_order(arms: Arms) -> IntArray:
    """Return all arms in an order of which any stretch is spread over them.

    Bins come as the points of a low-discrepancy sequence first fall into them, examples' arms as
    those of such a sequence over their numbers.
    """
    if not isinstance(arms, Bins):
        return np.argsort(np.argsort(spread_points(arms.n, 1)[:, 0]))
    hit = arms.of(spread_points(POINTS_PER_ARM * arms.n, arms.width))
    found, first = np.unique(hit, return_index=True)
    missed = np.setdiff1d(np.arange(arms.n), found)
    return np.concatenate([found[np.argsort(first)], missed])


def strides(sizes: IntArray) -> IntArray:
    """Return for each size a step near its golden section that visits all before any again."""
    steps = []
    for size in sizes.tolist():
        step = max(1, round(GOLDEN * size))
        while np.gcd(step, size) != 1:
            step += 1
        steps.append(step)
    return np.array(steps, dtype=np.int64)


@register("stratified")
class Stratified(ArmTeacher):
    """Attempt every group or bin equally often, in an order that is spread over them at any time.

    Each round has every arm once, in the order of a low-discrepancy sequence, from a place that is
    drawn anew for each round. Within a bin tasks are uniform; the examples of an arm come without
    repetition, easy and hard ones in turn.

    Source: stratified sampling, with the order of a Halton sequence (Halton 1960) and of golden
    sections; a baseline that knows the space and nothing of outcomes, with less variance than
    uniform draws, and with equal shares of groups of unequal size.

    Differences: beyond 6 dimensions the order of bins comes from a fixed random sample, as there
    a Halton sequence is no better.

    Args:
        space: Box tasks (through a binning), or examples.
        seed: Of the private random generator.
        return_range: Unused: this teacher does not look at outcomes.
        bins: Bins a side, or one number for each live axis; None takes as many as give at most
            1,000 arms, 10 a side at most. Of examples: slices; None is their groups, else 10 slices
            by difficulty, else single examples.

    >>> from currgym import DiscreteTasks, make_teacher
    >>> space = DiscreteTasks(100, groups=[0] * 90 + [1] * 10)
    >>> int((make_teacher("stratified", space, seed=0).sample(20) >= 90).sum())
    10
    """

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        bins: int | Sequence[int] | None = None,
    ) -> None:
        sliced = isinstance(space, DiscreteTasks) and space.groups is None and space.unit_dim
        super().__init__(
            space, seed=seed, return_range=return_range,
            bins=SLICES if bins is None and sliced else bins,
        )  # fmt: skip
        self.bins = bins
        self._order = spread_order(self.arms)
        sizes = self.arms.sizes if isinstance(self.arms, Members) else np.ones(1, dtype=np.int64)
        self._strides = strides(sizes)
        self._next = self.rng.integers(sizes)
        """Of examples' arms: the place of the next one in its list."""
        self._at = self._start = 0
        self._turns: list[int] = []

    def probability(self) -> FloatArray:
        """Return equal shares."""
        return np.full(self.arms.n, 1.0 / self.arms.n)

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        arms = np.empty(n, dtype=np.int64)
        self._turns = []
        done = 0
        while done < n:
            if self._at == 0:
                self._start = int(rng.integers(self.arms.n))
            piece = min(n - done, self.arms.n - self._at)
            places = (self._start + self._at + np.arange(piece)) % self.arms.n
            arms[done : done + piece] = self._order[places]
            self._turns += range(self._at + 1, self._at + 1 + piece)
            self._at = (self._at + piece) % self.arms.n
            done += piece
        if isinstance(self.arms, Members):
            return np.array([self._member(self.arms, arm) for arm in arms.tolist()])
        return self.arms.place(arms, rng.random((n, self.arms.width)))

    def _member(self, members: Members, arm: int) -> int:
        row = int(self._next[arm])
        self._next[arm] = (row + self._strides[arm]) % members.sizes[arm]
        return int(members.member(np.array([arm]), np.array([row]))[0])

    def _state(self) -> State:
        return {"next": self._next.copy(), "at": self._at, "start": self._start}

    def _load(self, state: Mapping[str, Any]) -> None:
        self._next = np.array(state["next"])
        self._at, self._start = int(state["at"]), int(state["start"])

    def _why(self, row: int, task: Any) -> Reason:
        found = super()._why(row, task)
        turn = f"turn {self._turns[row]:,} of a round in which each of {self.arms.n:,} has one"
        return replace(found, because=turn)

    def _chance_of(self, arm: int) -> float | None:
        return None

    def snapshot(self) -> dict[str, Any]:
        """Return the arms, all as likely, and the place in the round."""
        return {**self._shown(), "position": self._at}
