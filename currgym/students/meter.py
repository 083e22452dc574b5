"""What an optimiser does: how large its gradients are, and how far it moves the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

__all__ = ["OptimizerMeter"]

MEASURE_EVERY = 8
_NAMES = ("gradient_norm", "update_norm", "effective_step")


class OptimizerMeter:
    """Counts an optimiser's updates and measures one in :data:`MEASURE_EVERY`; changes nothing.

    Measured are the norm of the gradient as the optimiser gets it (after clipping), the norm of the
    update, and the effective step: the update's root mean square over the weights, as a multiple of
    the learning rate. With Adam it is that of m / sqrt(v), about 1 at most while gradients are
    steady; a curriculum that makes gradients grow raises it, which is a larger learning rate by
    another name (Weber et al. 2023, "Curriculum learning with Adam: the devil is in the wrong
    details", https://arxiv.org/abs/2308.12202).

    Args:
        optimizer: Of the student.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        self.updates = 0
        """Steps of the optimiser so far."""
        self._sums = [0.0] * len(_NAMES)
        self._measured = 0
        self._before: list[tuple[torch.Tensor, torch.Tensor, float]] = []
        self._gradient = 0.0
        optimizer.register_step_pre_hook(self._look)
        optimizer.register_step_post_hook(self._measure)

    def _look(self, *_: Any) -> None:
        if self.updates % MEASURE_EVERY:
            return
        square = 0.0
        for group in self.optimizer.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    square += float(weight.grad.detach().pow(2).sum())
                    before = weight.detach().clone()
                    self._before.append((weight, before, float(group["lr"])))
        self._gradient = math.sqrt(square)

    def _measure(self, *_: Any) -> None:
        self.updates += 1
        if not self._before:
            return
        moved = scaled = 0.0
        weights = 0
        for weight, before, rate in self._before:
            square = float((weight.detach() - before).pow(2).sum())
            moved += square
            scaled += square / rate**2 if rate > 0.0 else 0.0
            weights += before.numel()
        self._before = []
        values = (self._gradient, math.sqrt(moved), math.sqrt(scaled / weights))
        self._sums = [total + value for total, value in zip(self._sums, values, strict=True)]
        self._measured += 1

    def read(self) -> dict[str, float] | None:
        """Return the means since the last call, or None if nothing was measured."""
        if not self._measured:
            return None
        means = {
            name: total / self._measured for name, total in zip(_NAMES, self._sums, strict=True)
        }
        self._sums, self._measured = [0.0] * len(_NAMES), 0
        return means

    def state_dict(self) -> dict[str, Any]:
        """Return the counts."""
        return {"updates": self.updates, "measured": self._measured, "sums": list(self._sums)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.updates, self._measured = int(state["updates"]), int(state["measured"])
        self._sums = [float(total) for total in state["sums"]]
