"""Where a teacher's gain comes from: which tasks, in which order, for which student."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from currgym.statistics.choice import difference_if_offered
from currgym.statistics.domains import Shape
from currgym.statistics.intervals import Interval, as_sample

__all__ = ["Decomposition", "decompose"]


@dataclass(frozen=True)
class Decomposition:
    """A gain and its three parts, whose estimates add up to it (their intervals do not).

    Attributes:
        marginal: yoked-shuffled - baseline: other tasks than the baseline's, in no order.
        order: yoked - yoked-shuffled: the same tasks, earlier or later.
        adaptivity: teacher - yoked: chosen for this student rather than for another.
        total: teacher - baseline.
    """

    marginal: Interval
    order: Interval
    adaptivity: Interval
    total: Interval

    def parts(self) -> dict[str, Interval]:
        """Return the three parts by name, in the order in which they add up."""
        return {"marginal": self.marginal, "order": self.order, "adaptivity": self.adaptivity}


def decompose(
    baseline: ArrayLike,
    yoked_shuffled: ArrayLike,
    yoked: ArrayLike,
    teacher: ArrayLike,
    rng: np.random.Generator,
    shape: Shape = "normal",
    paired: bool = False,
    bounds: tuple[float, float] = (0.0, 1.0),
    level: float = 0.95,
) -> Decomposition:
    """Split a teacher's gain over the baseline into marginal, order and adaptivity.

    The intervals are each for one part by itself; the parts explain a verdict on the total and get
    none of their own. A yoked run replays the log of another seed's teacher run: through it the two
    arms share what that run happened to do, which the intervals do not know.

    Args:
        baseline: ``(n,)`` endpoint values, one a seed.
        yoked_shuffled: The same for students given a teacher's tasks in random order.
        yoked: For students given a teacher's tasks in the order chosen for another student.
        teacher: For the teacher's own students.
        rng: Draws resamples and weights where the shape needs them.
        shape: See :data:`~currgym.statistics.SHAPES`.
        paired: Whether arms are compared seed by seed; all four in the same order of seeds.
        bounds: Smallest and largest possible value, for ``"bounded"`` and ``"share"``.
        level: Nominal coverage, in (0, 1).

    Returns:
        The parts, with bare estimates where no interval is offered.

    Raises:
        ValueError: If an arm is empty or not finite, or arms that are paired differ in length.
    """
    arms = [
        as_sample(name, values)
        for name, values in (
            ("baseline", baseline), ("yoked_shuffled", yoked_shuffled), ("yoked", yoked),
            ("teacher", teacher),
        )
    ]  # fmt: skip

    def gain(better: int, worse: int) -> Interval:
        return difference_if_offered(arms[better], arms[worse], rng, shape, paired, bounds, level)

    return Decomposition(gain(1, 0), gain(2, 1), gain(3, 2), gain(3, 0))
