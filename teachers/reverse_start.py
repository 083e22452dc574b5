"""Reverse start: begin episodes near the goal, and move the starts outward as they are mastered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._given import given_points
from currgym.teachers._measure import Measure, check_measure, measured, needs_of
from currgym.teachers._transport import known_beforehand, start_cloud
from currgym.teaching import Batch, Reason, State, Teacher, register

__all__ = ["ReverseStart"]

FloatArray = NDArray[np.float64]


@register("reverse-start")
class ReverseStart(Teacher):
    """Grow the set of start states outward from the goal, by random walks from good starts.

    The task is where an episode starts (a space whose dimensions are the start state). An iteration
    trains on ``new`` starts found by random walks from the last iteration's good ones, and ``old``
    ones that were good earlier; after it, those with a success rate between ``low`` and ``high``
    are good.

    Source: Florensa, Held, Wulfmeier, Zhang, Abbeel, "Reverse curriculum generation for
    reinforcement learning", CoRL 2017, https://arxiv.org/abs/1707.05300, algorithms 1 and 2, with
    the settings of its appendix.

    Differences: the walk takes normal steps in the unit cube of starts, reflected at its faces,
    where the paper takes random actions in the environment; so a start may be infeasible, which its
    success rate shows. Where an iteration leaves no good start, the walks begin at all of its
    starts if they were too easy, and at earlier good ones if they were too hard; the paper does not
    say. Outcomes of earlier iterations' starts are ignored.

    >>> from currgym import BoxTasks, make_teacher
    >>> space = BoxTasks([-0.9], [0.44], names=["start_position"])
    >>> teacher = make_teacher("reverse-start", space, seed=0, initial=[[0.43]], step_size=0.001)
    >>> bool((teacher.sample(10) > 0.4).all())
    True

    Args:
        space: Box tasks, or examples with a declared difficulty.
        seed: Of the private random generator.
        return_range: Raw returns that count as 0 and 1, for ``measure="return"``.
        initial: Starts at (or next to) the goal, as the space writes them; None is uniform over the
            easiest tenth of a space that declares a difficulty, and else over the middle tenth of
            every dimension.
        new: Starts by random walk in each iteration, at least 1; the paper's default.
        old: Starts that were good earlier, likewise; at least 0.
        attempts: Outcomes of an iteration's starts that end it; None for two a start.
        low: Least success rate of a good start, in [0, 1].
        high: Greatest, from ``low`` to 1.
        walk_length: Steps of a random walk, at least 1.
        walks: Random walks an iteration, at least 1; their points are drawn from.
        step_size: Standard deviation of a step in each dimension, as a share of its range; above 0.
        capacity: Good starts remembered; the oldest make way.
        measure: ``"success"`` or ``"return"`` (scaled to [0, 1]).
    """

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        initial: ArrayLike | None = None,
        new: int = 200,
        old: int = 100,
        attempts: int | None = None,
        low: float = 0.1,
        high: float = 0.9,
        walk_length: int = 50,
        walks: int = 200,
        step_size: float = 0.02,
        capacity: int = 2_000,
        measure: Measure = "success",
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        for name, value, least in (
            ("new", new, 1), ("old", old, 0), ("walk_length", walk_length, 1), ("walks", walks, 1),
            ("capacity", capacity, 1), ("attempts", 1 if attempts is None else attempts, 1),
        ):  # fmt: skip
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if not 0.0 <= low <= high <= 1.0:
            raise ValueError(f"0 <= low <= high <= 1 must hold, got {low} and {high}")
        if not step_size > 0.0:
            raise ValueError(f"step_size must be above 0, got {step_size}")
        check_measure(measure)
        self.initial = given_points(space, initial, "initial")
        self.new = new
        self.old = old
        self.attempts = 2 * (new + old) if attempts is None else attempts
        self.low = low
        self.high = high
        self.walk_length = walk_length
        self.walks = walks
        self.step_size = step_size
        self.capacity = capacity
        self.measure: Measure = measure
        self.iterations = 0
        count = max(1, min(new, 100 if self.initial is None else len(self.initial)))
        self.good = self._settled(start_cloud(space, self.initial, count, self.rng))
        """Where the next walks begin, in the unit cube; at first the goal itself."""
        self.remembered = self.good.copy()
        self._begin(self.good)

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """Successes, unless it measures returns."""
        return needs_of(self.measure)

    @property
    def privileges(self) -> frozenset[str]:  # type: ignore[override]
        """``initial`` where the goal's starts were given, else ``difficulty`` where declared."""
        return known_beforehand(self.space, self.initial, None)

    def _settled(self, points: FloatArray) -> FloatArray:
        """Return points as the space will write them back."""
        return self.space.to_unit(self.space.from_unit(points))

    def _begin(self, origins: FloatArray) -> None:
        """Set out an iteration: walks from some starts, and earlier good ones."""
        rng = self.rng
        place = origins[rng.integers(len(origins), size=self.walks)]
        visited = np.empty((self.walk_length, *place.shape))
        for t in range(self.walk_length):
            place = np.abs(place + rng.normal(0.0, self.step_size, place.shape)) % 2.0
            place = np.where(place > 1.0, 2.0 - place, place)
            visited[t] = place
        points = np.concatenate([origins, *visited])
        chosen = points[rng.integers(len(points), size=self.new)]
        earlier = self.remembered[rng.integers(len(self.remembered), size=self.old)]
        self._adopt(self._settled(np.concatenate([chosen, earlier])))

    def _adopt(self, starts: FloatArray) -> None:
        self.starts = starts
        """Of this iteration, in the unit cube; the same start may stand there often."""
        self._rows = {start.tobytes(): i for i, start in enumerate(starts)}
        self._sums = np.zeros(len(starts))
        self._counts = np.zeros(len(starts))
        self._taken = 0

    def _sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        self._origins = rng.integers(len(self.starts), size=n)
        return np.asarray(self.starts[self._origins])

    def _update(self, batch: Batch) -> None:
        for task, value in zip(batch.tasks, measured(batch, self.measure).tolist(), strict=True):
            row = self._rows.get(task.tobytes())
            if row is None:
                continue
            self._sums[row] += value
            self._counts[row] += 1.0
            self._taken += 1
            if self._taken >= self.attempts:
                self._end_iteration()

    def _end_iteration(self) -> None:
        """Keep the good starts, and set out from them."""
        tried = self._counts > 0.0
        rates = self._sums[tried] / self._counts[tried]
        found = self.starts[tried][(rates >= self.low) & (rates <= self.high)]
        self.iterations += 1
        if len(found):
            self.good = found
            self.remembered = np.concatenate([self.remembered, found])[-self.capacity :]
            self._begin(found)
        elif rates.mean() > self.high:
            self._begin(self.starts)
        else:
            self._begin(self.remembered)

    def _state(self) -> State:
        return {
            "iterations": self.iterations, "good": self.good.copy(), "starts": self.starts.copy(),
            "remembered": self.remembered.copy(), "sums": self._sums.copy(),
            "counts": self._counts.copy(), "taken": self._taken,
        }  # fmt: skip

    def _load(self, state: Mapping[str, Any]) -> None:
        self.iterations = int(state["iterations"])
        self.good = np.array(state["good"], dtype=np.float64)
        self.remembered = np.array(state["remembered"], dtype=np.float64)
        self._adopt(np.array(state["starts"], dtype=np.float64))
        self._sums[:], self._counts[:] = state["sums"], state["counts"]
        self._taken = int(state["taken"])

    def _why(self, row: int, task: Any) -> Reason:
        at = int(self._origins[row])
        tried = int(self._counts[at])
        rate = f"{self._sums[at] / tried:.3g} of them succeeded" if tried else "none is in yet"
        return Reason(
            f"start {at + 1:,} of {len(self.starts):,} of iteration {self.iterations + 1:,}",
            f"{tried:,} attempts from it are in, {rate}; starts between {self.low:.3g} and "
            f"{self.high:.3g} are kept",
            1.0 / len(self.starts), explores=tried == 0,
        )  # fmt: skip

    def snapshot(self) -> dict[str, Any]:
        """Return this iteration's starts as tasks, how often each was tried and how it went."""
        rates = self._sums / np.maximum(self._counts, 1.0)
        return {
            "iterations": self.iterations,
            "good_starts": len(self.good),
            "tasks": self.space.from_unit(self.starts),
            "tried": self._counts.copy(),
            "rates": np.where(self._counts > 0.0, rates, np.nan),
        }
