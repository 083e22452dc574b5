"""The scoring run: how hard each training example is for an ordinary model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.curriculum import Curriculum
from currgym.supervised.base import Family
from currgym.tasks import DiscreteTasks
from currgym.teaching import make_teacher

__all__ = ["scoring_run"]


def scoring_run(
    family: Family, *, passes: int = 30, seed: int = 1000, **student: Any
) -> NDArray[np.float64]:
    """Train a plain student to the end and return its loss on every training example.

    It sees the training set as the students do, wrong labels included, and no other data. The
    losses are taken in evaluation mode. Cost: ``passes`` times the training set, and one pass to
    score.

    Args:
        family: A family of numbered examples (its difficulty, if any, is not used).
        passes: Passes over the training set.
        seed: Of the model and the order of its examples; keep it apart from the seeds of students.
        **student: Parameters of :class:`currgym.students.SupervisedStudent`, by default its own:
            the model should be of the architecture that it scores for.
    """
    from currgym.students.supervised import SupervisedStudent

    if not isinstance(family.task_space, DiscreteTasks):
        raise ValueError(
            f"a scoring run needs numbered examples, and this is {family.task_space!r}"
        )
    if passes < 1:
        raise ValueError(f"passes must be at least 1, got {passes}")
    n = family.task_space.n
    model = SupervisedStudent(family, seed=seed, **student)
    curriculum = Curriculum(make_teacher("random", DiscreteTasks(n), seed=seed), seed=seed)
    model.learn(curriculum, passes * n)
    return model.losses(np.arange(n))
