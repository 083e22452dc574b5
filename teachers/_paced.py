"""What the two difficulty schedules share: an opening share of the space, from one of its ends."""

from __future__ import annotations

import copy
import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import BoxTasks, DiscreteTasks, TaskSpace
from currgym.teachers._difficulty import DifficultyOrder, LevelOrder, require_difficulty
from currgym.teachers._pacing import Pacing
from currgym.teaching import Reason, Teacher

__all__ = ["PacedTeacher"]


class PacedTeacher(Teacher):
    """Uniform over a share of the space that grows with time, counted in proposals."""

    spaces = frozenset({"box", "discrete", "levels"})
    privileges = frozenset({"difficulty"})
    from_the_hard_end: ClassVar[bool] = False
    """Which end the share is counted from."""

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        pacing: str = "linear",
        start: float = 0.1,
        horizon: int | None = None,
        power: float = 2.0,
        steps: int = 5,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        require_difficulty(space, self.name)
        self.pacing = pacing
        self.start = start
        self.horizon = self.default_horizon() if horizon is None else int(horizon)
        self.power = power
        self.steps = steps
        self._pace = Pacing(pacing, start, self.horizon, power, steps)
        self._order: DifficultyOrder | LevelOrder | None = None
        if space.kind == "levels":
            self._order = LevelOrder(space, hardest=self.from_the_hard_end)
        elif isinstance(space, BoxTasks):
            self._order = DifficultyOrder(space, hardest=self.from_the_hard_end)
        elif isinstance(space, DiscreteTasks):
            ranked = np.argsort(space.difficulty_of(np.arange(space.n)), kind="stable")
            self._ranked = ranked[::-1] if self.from_the_hard_end else ranked
        self._held = False

    @property
    def fraction(self) -> float:
        """The share of the space open at present."""
        return float(self._pace(self.proposed))

    def preview(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        """Return tasks it would propose now, the share held where it is; leaves no trace."""
        twin = copy.deepcopy(self, {id(self.space): self.space})
        twin._held = True
        return twin._draw(n, rng)

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        assert self._order is not None  # discrete spaces go by passes
        ahead = np.zeros(n) if self._held else np.arange(n)
        return self._order.draw(self._pace(self.proposed + ahead), rng)

    def _plan(self, rng: np.random.Generator) -> NDArray[np.int64] | None:
        if not isinstance(self.space, DiscreteTasks):
            return None
        chosen = rng.permutation(self._ranked[: self._open(self.space.n)])
        # Where the horizon is shorter than some passes, whole ones would skip the schedule.
        whole = self.horizon >= 5 * self.space.n or self.proposed >= self.horizon
        return chosen if whole else chosen[: max(1, self.horizon // 100)]

    def _open(self, n: int) -> int:
        """Examples whose share of the ranking, (rank + 1) / n, is at most the fraction."""
        return max(1, math.floor(self.fraction * n + 1e-9))

    def _why(self, row: int, task: Any) -> Reason:
        number = self._number(row)
        end = "hardest" if self.from_the_hard_end else "easiest"
        if isinstance(self.space, DiscreteTasks):
            rank = int(np.flatnonzero(self._ranked == task)[0])
            return Reason(
                self._place(row),
                f"example {int(task)} is number {rank + 1:,} of {self.space.n:,} from the {end}, "
                "within the share that was open when the pass began",
            )
        share = float(self._pace(number - 1))
        return Reason(
            f"the {end} {100.0 * share:.4g} % of the space",
            f"the schedule has that open at proposal {number:,} of {self.horizon:,}",
        )

    def snapshot(self) -> dict[str, Any]:
        """Return the schedule's time, the open share and the difficulty where it ends."""
        ahead = np.linspace(0, self.horizon, 21)
        shown = {
            "time": self.proposed / self.horizon,
            "fraction": self.fraction,
            "counted_from": "hardest" if self.from_the_hard_end else "easiest",
            "schedule": np.stack([ahead, self._pace(ahead)], axis=1),
        }
        if isinstance(self.space, DiscreteTasks):
            last = self._ranked[self._open(self.space.n) - 1]
            shown["examples"] = self._open(self.space.n)
            shown["hardest" if not self.from_the_hard_end else "easiest"] = float(
                self.space.difficulty_of([last])[0]
            )
        return shown
