"""Distributions that a user gives as arrays of tasks: where to start, where to end."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.tasks import TaskSpace

__all__ = ["draw", "given_points"]

FloatArray = NDArray[np.float64]


def given_points(space: TaskSpace, tasks: ArrayLike | None, name: str) -> FloatArray | None:
    """Return given tasks in the unit cube, ``(n, unit_dim)``, read-only; None stays None.

    Args:
        space: With a unit cube.
        tasks: As the space writes them; None for uniform over the space.
        name: The parameter's name, for errors.

    Raises:
        ValueError: If a task lies outside the space, or there is none.
    """
    if tasks is None:
        return None
    points = space.to_unit(space.check(tasks))
    if len(points) == 0:
        raise ValueError(f"{name} must have at least one task, got none")
    points.setflags(write=False)
    return points


def draw(points: FloatArray | None, n: int, dim: int, rng: np.random.Generator) -> FloatArray:
    """Return ``n`` of the given points, each as likely; where none are given, uniform ones."""
    if points is None:
        return rng.random((n, dim))
    return np.asarray(points[rng.integers(len(points), size=n)])
