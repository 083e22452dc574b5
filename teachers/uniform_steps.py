"""Uniform over environment steps: each region of the task space gets the same practice time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import DiscreteTasks, TaskSpace
from currgym.teachers._regions import Regions, split_regions
from currgym.teaching import Batch, Reason, State, Teacher, register

__all__ = ["UniformSteps"]

FloatArray = NDArray[np.float64]
FIRST_FIT = 50


@register("uniform-steps")
class UniformSteps(Teacher):
    """Draw tasks in inverse proportion to their expected episode length: equal steps everywhere.

    Source: this library's baseline. Uniform over episodes is not uniform over steps: if a quarter
    of the tasks is solved in 1,500 steps and the rest fails in 80, the solved ones fill 86 % of the
    student's batches, and a teacher may look better only because it corrects that.

    Over a box the cube is cut into regions by a regression tree on the
    latest lengths (a cut must explain more than noise would); a region is drawn by its volume over
    its mean length, and a task uniformly within. Over discrete tasks each has a running mean of its
    lengths, shrunk to the mean of its group and that to the mean of all, and a pass holds each task
    as often as its share says, rounded at random: with equal lengths, each example once.

    >>> import numpy as np
    >>> from currgym import DiscreteTasks, Outcomes, make_teacher
    >>> teacher = make_teacher("uniform-steps", DiscreteTasks(2), seed=0)
    >>> teacher.update(Outcomes([0, 1] * 50, np.zeros(100), lengths=[300, 100] * 50))
    >>> teacher.snapshot()["probability"].round(2).tolist()
    [0.26, 0.74]

    Args:
        space: Box or discrete tasks.
        seed: Of the private random generator.
        return_range: Unused: this teacher looks at lengths only.
        window: Latest outcomes that regions are made from, at least 1 (boxes).
        fit_period: Outcomes between two makings of the regions, at least 1; the first come earlier.
        min_leaf: Outcomes in a region, at least 1.
        max_leaves: Regions at most, at least 1.
        recent: Lengths of one task that its running mean spans, at least 1 (discrete tasks).
        prior: Weight of a group's mean against one attempt of the task itself, above 0.

    Raises:
        ValueError: If a value is out of its range.
    """

    spaces = frozenset({"box", "discrete"})

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        window: int = 4000,
        fit_period: int = 200,
        min_leaf: int = 10,
        max_leaves: int = 64,
        recent: int = 20,
        prior: float = 0.5,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        whole = {
            "window": window, "fit_period": fit_period, "min_leaf": min_leaf,
            "max_leaves": max_leaves, "recent": recent,
        }  # fmt: skip
        for name, value in whole.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not prior > 0.0:
            raise ValueError(f"prior must be above 0, got {prior}")
        self.window = window
        self.fit_period = fit_period
        self.min_leaf = min_leaf
        self.max_leaves = max_leaves
        self.recent = recent
        self.prior = prior
        self._counts: FloatArray = np.zeros(0)
        self._means: FloatArray = np.zeros(0)
        self._groups: NDArray[np.int64] | None = None
        if isinstance(space, DiscreteTasks):
            self._counts, self._means = np.zeros(space.n), np.zeros(space.n)
            if space.groups is not None:
                labels = space.groups.reshape(space.n, -1)
                self._groups = np.unique(labels, axis=0, return_inverse=True)[1].ravel()
        dim = space.unit_dim
        self._points: FloatArray = np.empty((0 if self._groupable else window, dim))
        self._lengths: FloatArray = np.empty(len(self._points))
        self._stored = 0
        self._due = FIRST_FIT
        self._regions = Regions.whole(dim)

    @property
    def _groupable(self) -> bool:
        return isinstance(self.space, DiscreteTasks)

    def expected_lengths(self) -> FloatArray:
        """Return the present estimate for each discrete task, shape ``(n,)``."""
        counts, sums = self._counts, self._counts * self._means
        total = counts.sum()
        overall = sums.sum() / total if total else 1.0
        if self._groups is None:
            base: FloatArray | float = overall
        else:
            group_counts = np.bincount(self._groups, weights=counts)
            group_sums = np.bincount(self._groups, weights=sums)
            base = ((self.prior * overall + group_sums) / (self.prior + group_counts))[self._groups]
        return np.asarray((self.prior * base + sums) / (self.prior + counts))

    def _probability(self) -> FloatArray:
        inverse = 1.0 / self.expected_lengths()
        return np.asarray(inverse / inverse.sum())

    def _plan(self, rng: np.random.Generator) -> NDArray[np.int64] | None:
        if not isinstance(self.space, DiscreteTasks):
            return None
        n = self.space.n
        order = rng.permutation(n)
        edges = np.concatenate([[0.0], np.cumsum(self._probability()[order])]) * n
        edges[-1] = n
        # One random offset for all: every count is its expectation rounded up or down.
        ends = np.floor(edges + rng.random()).astype(np.int64)
        return rng.permutation(np.repeat(order, ends[1:] - ends[:-1]))

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        self._origins, points = self._regions.draw(n, rng)
        return points

    def _update(self, batch: Batch) -> None:
        lengths = np.maximum(batch.lengths, 1).tolist()
        if self._groupable:
            for task, length in zip(batch.tasks.tolist(), lengths, strict=True):
                count = min(self._counts[task] + 1.0, self.recent)
                self._counts[task] = count
                self._means[task] += (length - self._means[task]) / count
            return
        for point, length in zip(batch.tasks, lengths, strict=True):
            row = self._stored % self.window
            self._points[row] = point
            self._lengths[row] = length
            self._stored += 1
            if self._stored == self._due:
                self._due += min(self._stored, self.fit_period)
                known = slice(min(self._stored, self.window))
                self._regions = split_regions(
                    self._points[known], self._lengths[known], self.min_leaf, self.max_leaves
                )

    def _state(self) -> State:
        known = min(self._stored, len(self._points))
        return {
            "counts": self._counts.copy(),
            "means": self._means.copy(),
            "points": self._points[:known].copy(),
            "lengths": self._lengths[:known].copy(),
            "stored": self._stored,
            "due": self._due,
            "low": self._regions.low.copy(),
            "high": self._regions.high.copy(),
            "mean": self._regions.mean.copy(),
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self._counts = np.array(state["counts"], dtype=np.float64)
        self._means = np.array(state["means"], dtype=np.float64)
        known = len(state["lengths"])
        self._points[:known] = state["points"]
        self._lengths[:known] = state["lengths"]
        self._stored, self._due = int(state["stored"]), int(state["due"])
        self._regions = Regions(
            *(np.array(state[name], dtype=np.float64) for name in ("low", "high", "mean"))
        )

    def _why(self, row: int, task: Any) -> Reason:
        if self._groupable:
            length, chance = self.expected_lengths()[task], self._probability()[task]
            return Reason(
                self._place(row),
                f"example {int(task)} is expected to take {length:.3g} steps, so it has a share of "
                f"{chance:.3g} of a pass",
            )
        regions = self._regions
        found = int(self._origins[row])
        return Reason(
            f"region {found + 1:,} of {len(regions.mean):,}",
            f"attempts there take {regions.mean[found]:.3g} steps, and its chance is its volume "
            "over that",
            float(regions.probability[found]),
        )

    def snapshot(self) -> dict[str, Any]:
        """Return expected lengths and probabilities, of the regions or of up to 5,000 tasks."""
        if self._groupable:
            return {
                "expected_length": self.expected_lengths()[:5000],
                "probability": self._probability()[:5000],
            }
        return {
            "low": self._regions.low,
            "high": self._regions.high,
            "expected_length": self._regions.mean,
            "probability": self._regions.probability,
        }
