"""A stranger's teachers: one takes its time, one kills, stalls or fails the process it runs in."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.teaching import Batch, Teacher, register


@register("test-slow")
class Slow(Teacher):
    """Propose tasks at random, each after a pause."""

    def __init__(
        self, space: Any, *, seed: int | None = None, return_range: Any = None, pause: float = 0.02
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        self.pause = pause

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        time.sleep(self.pause)
        return rng.random((n, self.space.unit_dim))

    def _update(self, batch: Batch) -> None:
        pass

    def _state(self) -> dict[str, Any]:
        return {}

    def _load(self, state: Any) -> None:
        pass


@register("test-trap")
class Trap(Slow):
    """Be the end of its process, ``times`` times in all, at outcome ``at``.

    ``folder`` holds a file for each time.
    """

    def __init__(
        self,
        space: Any,
        *,
        seed: int | None = None,
        return_range: Any = None,
        pause: float = 0.005,
        how: str = "die",
        folder: str = "",
        at: int = 160,
        times: int = 1,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range, pause=pause)
        self.how, self.folder, self.at, self.times = how, folder, at, times
        self._seen = 0

    def _update(self, batch: Batch) -> None:
        self._seen += len(batch.tasks)
        sprung = len(list(Path(self.folder).iterdir())) if self.folder else self.times
        if self._seen >= self.at and sprung < self.times:
            (Path(self.folder) / str(sprung)).touch()
            if self.how == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            elif self.how == "hang":
                time.sleep(3600)
            raise RuntimeError("the trap has sprung")

    def _state(self) -> dict[str, Any]:
        return {"seen": self._seen}

    def _load(self, state: Any) -> None:
        self._seen = int(state["seen"])


def run_file(file: str, gate: Any) -> None:
    """Run a study in a process of its own, when all are ready."""
    import currgym.studies.study as module

    module.ASK_AGAIN = 0.2
    study = module.Study.open(file)
    gate.wait()
    assert study.run(engine="inline") == []
