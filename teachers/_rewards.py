"""Rewards of a bandit on one scale, whatever they are measured in."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from currgym.teaching import State

__all__ = ["Rescale", "RewardScale"]

Rescale = Literal["quantiles", "range"]


class RewardScale:
    """Rescales rewards to [-1, 1] by what was seen of them so far.

    Args:
        rule: ``"quantiles"``, the 20 % and 80 % ones of a reservoir sample, or ``"range"``, the
            least and the greatest.
        size: Of the reservoir.
    """

    LOW, HIGH = 0.2, 0.8

    def __init__(self, rule: Rescale, size: int) -> None:
        self.rule: Rescale = rule
        self.size = size
        self.count = 0
        self.range = (np.inf, -np.inf)
        self._sorted: list[float] = []

    def add(self, reward: float, rng: np.random.Generator) -> None:
        """Take note of a reward."""
        self.count += 1
        self.range = min(self.range[0], reward), max(self.range[1], reward)
        if len(self._sorted) == self.size:
            if rng.integers(self.count) >= self.size:
                return
            self._sorted.pop(int(rng.integers(self.size)))
        bisect.insort(self._sorted, reward)

    @property
    def ends(self) -> tuple[float, float]:
        """The rewards that become -1 and 1."""
        if self.rule == "range":
            return self.range
        return self._quantile(self.LOW), self._quantile(self.HIGH)

    def _quantile(self, share: float) -> float:
        place = share * (len(self._sorted) - 1)
        below = int(place)
        above = min(below + 1, len(self._sorted) - 1)
        low, high = self._sorted[below], self._sorted[above]
        return low + (place - below) * (high - low)

    def __call__(self, reward: float) -> float:
        """Return it in [-1, 1]."""
        low, high = self.ends
        if high <= low:  # all alike so far: neither good nor bad
            return float(reward > high) - float(reward < low)
        return min(max(2.0 * (reward - low) / (high - low) - 1.0, -1.0), 1.0)

    def state(self) -> State:
        """Return plain arrays and numbers."""
        return {"count": self.count, "range": list(self.range), "sorted": np.array(self._sorted)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` returned."""
        self.count = int(state["count"])
        low, high = state["range"]
        self.range = float(low), float(high)
        self._sorted = np.asarray(state["sorted"]).tolist()
