"""How well an attempt went, as a teacher measures it: success, or return in [0, 1]."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from currgym.teaching import Batch

__all__ = ["Measure", "check_measure", "measured", "needs_of"]

Measure = Literal["success", "return"]


def check_measure(measure: str) -> None:
    """Refuse an unknown measure."""
    if measure not in get_args(Measure):
        raise ValueError(f"measure must be one of {get_args(Measure)}, got {measure!r}")


def needs_of(measure: Measure) -> frozenset[str]:
    """Return the columns that a teacher with this measure needs."""
    return frozenset({"successes"}) if measure == "success" else frozenset()


def measured(batch: Batch, measure: Measure) -> NDArray[np.float64]:
    """Return how well each attempt went, ``(n,)`` in [0, 1]."""
    if measure == "success":
        assert batch.successes is not None  # the teacher's needs name it
        return batch.successes
    return batch.returns
