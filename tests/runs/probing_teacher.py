"""A stranger's teacher that asks for attempts without learning."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.teaching import Batch, Proposals, Teacher, register


@register("test-scout")
class Scout(Teacher):
    """Propose near the best-probed task; ask for two probes every third time."""

    needs = frozenset({"probe"})

    def __init__(self, space: Any, *, seed: int | None = None, return_range: Any = None) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        self._asked = 0
        self._best = np.full(space.unit_dim, 0.5)
        self._score = -1.0

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        return self._best + rng.normal(0, 0.1, (n, len(self._best)))

    def _requests(self) -> Proposals | None:
        self._asked += 1
        if self._asked % 3:
            return None
        unit = self.rng.random((2, self.space.unit_dim))
        return Proposals(self.space.from_unit(unit))

    def _update(self, batch: Batch) -> None:
        if batch.probe is None:
            return
        for task, result in zip(batch.tasks, batch.returns.tolist(), strict=True):
            if result > self._score:
                self._best, self._score = task.copy(), result

    def _state(self) -> dict[str, Any]:
        return {"asked": self._asked, "best": self._best.copy(), "score": self._score}

    def _load(self, state: Any) -> None:
        self._asked, self._score = int(state["asked"]), float(state["score"])
        self._best = np.array(state["best"])

    def snapshot(self) -> dict[str, Any]:
        return {"best": self._best}


@register("test-examiner")
class Examiner(Teacher):
    """Ask for the same level over and over, and for what the critic makes of it."""

    needs = frozenset({"probe", "pvl", "initial_values"})

    def __init__(self, space: Any, *, seed: int | None = None, return_range: Any = None) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        self.probes: list[Batch] = []

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        return rng.random((n, self.space.unit_dim))

    def _requests(self) -> Proposals:
        unit = np.full((4, self.space.unit_dim), 0.5)
        unit[2] = 0.9
        return Proposals(self.space.from_unit(unit), seeds=np.array([7, 7, 8, 7]))

    def _update(self, batch: Batch) -> None:
        if batch.probe is not None:
            self.probes.append(batch)


@register("test-curious")
class Curious(Examiner):
    """May ask for probes, and can do without."""

    needs = frozenset()
