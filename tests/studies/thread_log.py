"""A stranger's teacher that notes how many threads its process has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.teaching import Batch, Teacher, register


@register("test-threads")
class Threads(Teacher):
    """Propose at random and write down what torch and OpenMP may use."""

    spaces = frozenset({"discrete"})

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        import torch

        text = f"{torch.get_num_threads()} {os.environ['OMP_NUM_THREADS']}"
        Path(os.environ["CURRGYM_THREAD_LOG"]).write_text(text)
        return rng.integers(9, size=n)

    def _update(self, batch: Batch) -> None:
        pass

    def _state(self) -> dict[str, Any]:
        return {}

    def _load(self, state: Any) -> None:
        pass
