"""Uniform sampling over the task space: the baseline of every comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import DiscreteTasks
from currgym.teaching import Reason, Teacher, register


@register("random")
class Random(Teacher):
    """Draw every task uniformly, whatever the outcomes: domain randomisation.

    Uniform over *episodes*: tasks whose episodes are long fill the student's batches (compare
    ``uniform-steps``). Over examples each pass is a fresh permutation, as of a shuffling
    ``DataLoader``.

    >>> from currgym import BoxTasks, make_teacher
    >>> make_teacher("random", BoxTasks([0, 0], [3, 6]), seed=0).sample(2).shape
    (2, 2)
    """

    spaces = frozenset({"box", "discrete", "levels"})

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        if self.space.kind == "levels":
            return self.space.sample(n, rng)
        return rng.random((n, self.space.unit_dim))

    def _plan(self, rng: np.random.Generator) -> NDArray[np.int64] | None:
        if isinstance(self.space, DiscreteTasks):
            return rng.permutation(self.space.n)
        return None

    def _why(self, row: int, task: Any) -> Reason:
        number = f"proposal {self._number(row):,}, whatever came of those before"
        return Reason(self._place(row) or "the whole space, evenly", number, explores=True)
