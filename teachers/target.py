"""The target distribution itself: what training without a curriculum would draw."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.tasks import DiscreteTasks, TaskSpace
from currgym.teaching import Reason, Teacher, register

__all__ = ["Target"]


@register("target")
class Target(Teacher):
    """Draw the target distribution: the baseline that every curriculum towards a target must beat.

    Source: "Default" in Klink et al. 2022 (CURROT) and earlier self-paced work.

    Differences: the distribution is an array of tasks, as everywhere in this library. Over examples
    each pass is a permutation of the target ones.

    >>> from currgym import BoxTasks, make_teacher
    >>> make_teacher("target", BoxTasks([0, 0], [3, 6]), seed=0, target=[[2.9, 0.5]]).sample(1)
    array([[2.9, 0.5]])

    Args:
        space: Any task space.
        seed: Of the private random generator.
        return_range: Unused: this teacher does not look at outcomes.
        target: Tasks of the target distribution, each as likely, as the space writes them; None for
            uniform over the space.

    Raises:
        ValueError: If a target task lies outside the space, or there is none.
    """

    spaces = frozenset({"box", "discrete", "levels"})

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        target: ArrayLike | None = None,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        self.target: NDArray[Any] | None = None
        if target is not None:
            self.target = space.check(target).copy()
            if len(self.target) == 0:
                raise ValueError("target must have at least one task, got none")
            self.target.setflags(write=False)

    @property
    def privileges(self) -> frozenset[str]:  # type: ignore[override]
        """``target`` where one was given; the uniform default is known to everybody."""
        return frozenset() if self.target is None else frozenset({"target"})

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        if self.target is None:
            return self.space.sample(n, rng)
        return self.target[rng.integers(len(self.target), size=n)]

    def _to_tasks(self, drawn: NDArray[Any]) -> NDArray[Any]:
        return drawn  # the space's own, as the caller wrote them

    def _plan(self, rng: np.random.Generator) -> NDArray[np.int64] | None:
        if not isinstance(self.space, DiscreteTasks):
            return None
        return rng.permutation(self.space.n if self.target is None else self.target)

    def _why(self, row: int, task: Any) -> Reason:
        number = f"proposal {self._number(row):,}, whatever came of those before"
        if self._place(row) or self.target is None:
            return Reason(self._place(row) or "the whole space, which is the target", number)
        same = (self.target == self._latest[row]).reshape(len(self.target), -1).all(axis=1)
        first = int(np.flatnonzero(same)[0])
        name = f"target task {first + 1:,} of {len(self.target):,}"
        return Reason(name, number, float(same.mean()))

    def snapshot(self) -> dict[str, Any]:
        """Return the target tasks, as many as fit in 80 kB (none for the uniform default)."""
        if self.target is None:
            return {}
        return {"target": self.target[: max(1, 80_000 * len(self.target) // self.target.nbytes)]}
