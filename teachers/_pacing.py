"""Pacing functions: how much of the space, in order of difficulty, is open at a time.

Each takes time as a share of the horizon and the share open at the start, and returns the share
open now: ``start`` at time 0, 1 from time 1 on, and never falling in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["PACINGS", "Pacing"]

FloatArray = NDArray[np.float64]
# Constant of the exponential and logarithmic forms (Wu et al. 2021, table 2).
STEEPNESS = 10.0


def linear(u: FloatArray, start: float, power: float, steps: int) -> FloatArray:
    """``s + (1 - s) u``."""
    return start + (1.0 - start) * u


def root(u: FloatArray, start: float, power: float, steps: int) -> FloatArray:
    """``(s^p + (1 - s^p) u)^(1/p)``: fast at first (Platanios et al. 2019, eq. 7 has p = 2)."""
    floor = start**power
    return np.asarray((floor + (1.0 - floor) * u) ** (1.0 / power))


def geometric(u: FloatArray, start: float, power: float, steps: int) -> FloatArray:
    """``s^(1 - u)``: every stretch of time multiplies the share alike."""
    return np.asarray(start ** (1.0 - u))


def exponential(u: FloatArray, start: float, power: float, steps: int) -> FloatArray:
    """``s + (1 - s) (e^(10 u) - 1) / (e^10 - 1)``: nothing for long, then everything."""
    return start + (1.0 - start) * np.expm1(STEEPNESS * u) / math.expm1(STEEPNESS)


def logarithmic(u: FloatArray, start: float, power: float, steps: int) -> FloatArray:
    """``s + (1 - s) (1 + log(u + e^-10) / 10)``, clipped: nearly everything at once."""
    grown = 1.0 + np.log(u + math.exp(-STEEPNESS)) / STEEPNESS
    return start + (1.0 - start) * np.clip(grown, 0.0, 1.0)


def step(u: FloatArray, start: float, power: float, steps: int) -> FloatArray:
    """``s + (1 - s) floor(k u) / k``: k equal jumps, the last at the end ("baby steps")."""
    # The nudge keeps a time such as 3/10 * 10 from falling below its own jump by rounding.
    return start + (1.0 - start) * np.floor(steps * u + 1e-9) / steps


PACINGS: dict[str, Callable[[FloatArray, float, float, int], FloatArray]] = {
    "linear": linear,
    "root": root,
    "geometric": geometric,
    "exponential": exponential,
    "logarithmic": logarithmic,
    "step": step,
}
"""Pacing functions by name."""


class Pacing:
    """A pacing function with its constants.

    Args:
        name: One of :data:`PACINGS`.
        start: Share open at time 0, in [0, 1]; above 0 for ``"geometric"``.
        horizon: Time at which all is open, at least 1.
        power: Of ``"root"``, above 0.
        steps: Of ``"step"``, at least 1.

    Raises:
        ValueError: For a value out of its range.

    >>> Pacing("root", start=0.1, horizon=100, power=2.0)([0, 25, 100]).round(3).tolist()
    [0.1, 0.507, 1.0]
    """

    def __init__(
        self, name: str, start: float, horizon: int, power: float = 2.0, steps: int = 5
    ) -> None:
        if name not in PACINGS:
            raise ValueError(f"pacing must be one of {', '.join(PACINGS)}, got {name!r}")
        if not 0.0 <= start <= 1.0:
            raise ValueError(f"start must lie in [0, 1], got {start}")
        if name == "geometric" and start == 0.0:
            raise ValueError("geometric pacing multiplies its start, so it must be above 0, got 0")
        if horizon < 1:
            raise ValueError(f"horizon must be at least 1 proposal, got {horizon}")
        if not power > 0.0:
            raise ValueError(f"power must be above 0, got {power}")
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        self.name = name
        self._function: Callable[..., FloatArray] = PACINGS[name]
        self._start, self._horizon, self._power, self._steps = start, horizon, power, steps

    def __call__(self, time: ArrayLike) -> FloatArray:
        """Return the share open at each time, in [0, 1]; ``time`` counts proposals."""
        u = np.clip(np.asarray(time, dtype=np.float64) / self._horizon, 0.0, 1.0)
        share: Any = self._function(u, self._start, self._power, self._steps)
        # The powers may miss the two ends by a rounding; the end must admit the last task.
        return np.where(u >= 1.0, 1.0, np.clip(share, 0.0, 1.0))
