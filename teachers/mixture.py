"""Any teacher with a share of another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._parts import Composite, build_part
from currgym.teaching import Reason, State, register

__all__ = ["Mixture"]

FloatArray = NDArray[np.float64]


@register("mixture")
class Mixture(Composite):
    """Follow one teacher, and another for a share of the proposals: uniform or the target, say.

    Both learn from all outcomes, whoever proposed the task.

    Source: the share of uniform tasks in most teachers' papers, and the target distribution that
    is mixed in against forgetting what training is for; here for any two teachers.

    Differences: a teacher's own share of uniform tasks stays what it is.

    Args:
        space: Any space on which both teachers work.
        seed: Of the private random generator, from which the parts have theirs.
        return_range: Raw returns that both see as 0 and 1; None uses running quantiles.
        teacher: Whom to follow, ``"name"`` or ``"name:preset"``.
        share: Of proposals by the other, in [0, 1].
        other: Whom to follow for that share.
        teacher_parameters: Of the teacher.
        other_parameters: Of the other, as ``{"target": [[3.0, 6.0]]}`` of ``target``.
        horizon: Proposals after which schedules end; a part's clock has its share of them.

    >>> from currgym import BoxTasks, make_teacher
    >>> target = {"target": [[3.0, 6.0]]}
    >>> teacher = make_teacher(
    ...     "mixture", BoxTasks([0, 0], [3, 6]), seed=0, share=0.5, other="target",
    ...     other_parameters=target,
    ... )
    >>> int((teacher.sample(100)[:, 0] == 3.0).sum())
    45
    """

    names_teachers = frozenset({"teacher", "other"})

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        teacher: str = "alp-gmm",
        share: float = 0.2,
        other: str = "random",
        teacher_parameters: Mapping[str, Any] | None = None,
        other_parameters: Mapping[str, Any] | None = None,
        horizon: int | None = None,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"share must lie in [0, 1], got {share}")
        self.teacher = teacher
        self.share = share
        self.other = other
        self.teacher_parameters = teacher_parameters
        self.other_parameters = other_parameters
        self.horizon = self.default_horizon() if horizon is None else int(horizon)
        if self.horizon < 1:
            raise ValueError(f"horizon must be at least 1, got {self.horizon}")
        ends = [max(1, round(self.horizon * part)) for part in (1.0 - share, share)]
        self.parts = [
            build_part(teacher, space, self.rng, return_range, teacher_parameters, ends[0]),
            build_part(other, space, self.rng, return_range, other_parameters, ends[1]),
        ]
        self._counts = np.zeros(2, dtype=np.int64)

    def _choose(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        return (rng.random(n) < self.share).astype(np.int64)

    def _issued(self, chosen: NDArray[np.int64], tasks: NDArray[Any]) -> None:
        self._counts += np.bincount(chosen, minlength=2)

    def weights(self, tasks: ArrayLike, losses: ArrayLike | None = None) -> FloatArray:
        """Return the weights that the teacher gives; the other has no say."""
        return self.parts[0].weights(tasks, losses)

    def _state(self) -> State:
        return {**super()._state(), "counts": self._counts.copy()}

    def _load(self, state: Mapping[str, Any]) -> None:
        super()._load(state)
        self._counts = np.array(state["counts"])

    def _followed_for(self, part: int, row: int) -> Reason:
        share = (1.0 - self.share, self.share)[part]
        told = f"it has a share of {share:.3g} of the proposals"
        return Reason((self.teacher, self.other)[part], told, share)

    def snapshot(self) -> dict[str, Any]:
        """Return what the teacher shows, and how many proposals came from whom."""
        own, others = self._counts.tolist()
        shown = self.parts[0].snapshot()
        return {**shown, "share": self.share, "by_teacher": own, "by_other": others}
