"""What the teachers that move towards a target share: point clouds, and their exact matching."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import BoxTasks, DiscreteTasks, TaskSpace
from currgym.teachers._difficulty import DifficultyOrder

__all__ = [
    "cloud", "easy_start", "known_beforehand", "match", "squared_distances", "start_cloud",
]  # fmt: skip

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

EASY_SHARE = 0.1


def cloud(points: FloatArray | None, n: int, dim: int, rng: np.random.Generator) -> FloatArray:
    """Return ``n`` points that stand for a distribution, ``(n, dim)``.

    Given points come equally often, as far as ``n`` allows; None is uniform over the cube.
    """
    if points is None:
        return rng.random((n, dim))
    whole, rest = divmod(n, len(points))
    rows = np.concatenate(
        [np.repeat(np.arange(len(points)), whole), rng.permutation(len(points))[:rest]]
    )
    return np.asarray(points[rows])


def easy_start(space: TaskSpace, n: int, rng: np.random.Generator) -> FloatArray:
    """Return ``n`` points of the default start, ``(n, unit_dim)``.

    Uniform over the easiest tenth of the space where it declares a difficulty; else over the middle
    tenth of every dimension.
    """
    if isinstance(space, BoxTasks) and space.difficulty is not None:
        return DifficultyOrder(space).draw(np.full(n, EASY_SHARE), rng)
    points = rng.random((n, space.unit_dim))
    if isinstance(space, DiscreteTasks):  # its cube is the rank of difficulty
        return EASY_SHARE * points
    return 0.5 + EASY_SHARE * (points - 0.5)


def start_cloud(
    space: TaskSpace, initial: FloatArray | None, n: int, rng: np.random.Generator
) -> FloatArray:
    """Return ``n`` points for the given start, or for the default one."""
    if initial is None:
        return easy_start(space, n, rng)
    return cloud(initial, n, space.unit_dim, rng)


def known_beforehand(
    space: TaskSpace, initial: FloatArray | None, target: FloatArray | None
) -> frozenset[str]:
    """Return the privileges of a teacher that starts at the default start where none is given."""
    used = set()
    if target is not None:
        used.add("target")
    if initial is not None:
        used.add("initial")
    elif space.difficulty is not None:
        used.add("difficulty")
    return frozenset(used)


def squared_distances(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return squared Euclidean distances of every row of ``a`` to every row of ``b``."""
    gaps = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2.0 * (a @ b.T)
    return np.asarray(np.maximum(gaps, 0.0))


def match(a: FloatArray, b: FloatArray) -> IntArray:
    """Return for each row of ``a`` its own row of ``b``, the sum of squared distances least.

    Args:
        a: ``(n, dim)``.
        b: ``(m, dim)`` with ``m >= n``.
    """
    from scipy.optimize import linear_sum_assignment  # here: listing teachers must not load it

    _, columns = linear_sum_assignment(squared_distances(a, b))
    return np.asarray(columns, dtype=np.int64)
