"""The expert's sliding window, called "Oracle" in the papers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import BoxTasks, TaskSpace
from currgym.teachers._difficulty import LevelOrder, directions_of
from currgym.teaching import Batch, Reason, State, Teacher, register

__all__ = ["Window"]


@register(
    "window",
    presets={"corl2019": {"window": 1 / 6, "step": 1 / 30, "queue": 50, "threshold": 230.0}},
)
class Window(Teacher):
    """Slide a window over the task space, from easy to hard, each time the student masters it.

    Source: "Oracle" in Portelas et al. 2019 (ALP-GMM), arXiv 1910.07224, appendix B; preset
    ``corl2019`` has the values of its code (window 1/6 of each range, mean of 50 raw returns above
    230; its steps of 0.1 in 3 and 0.2 in 6 are 1/30 of the ranges).

    Differences: it works in the unit cube, so a logarithmic dimension is windowed in its logarithm.
    A dimension without a direction has no window and varies over its whole range. Probes and
    outcomes of tasks it never proposed (id -1) do not count. Without ``threshold``, an attempt
    counts by its success where one is reported, else by its return scaled to [0, 1], and the mean
    must exceed ``level``; 0.75 is close to the paper's 230 in [-150, 350], which is 0.76.

    >>> from currgym import BoxTasks, make_teacher
    >>> space = BoxTasks([0, 0], [3, 6], names=["height", "gap"], difficulty="height")
    >>> teacher = make_teacher("window", space, seed=0, directions={"height": 1, "gap": -1})
    >>> height, gap = teacher.sample(1)[0]
    >>> bool(height <= 0.5), bool(gap >= 5)
    (True, True)

    Args:
        space: Box tasks, or examples or levels with a declared difficulty (their rank is then the
            one axis).
        seed: Of the private random generator.
        return_range: Raw returns that map to 0 and 1 (only without ``threshold``).
        directions: Where each dimension gets harder: 1 upward, -1 downward, 0 for no window; by
            name (names left out are 0) or one for each. None takes the signs of the declared
            difficulty.
        window: Share of each range that the window covers, in (0, 1].
        step: Share of each range that it moves at a time, above 0.
        queue: Attempts after which it is decided whether to move, at least 1; then counted anew.
        threshold: Raw mean return to exceed; None for the rule above.
        level: Mean success or scaled return to exceed without ``threshold``, in [0, 1].

    Raises:
        ValueError: If there are neither directions nor a declared difficulty, or a value is out of
            its range.
    """

    spaces = frozenset({"box", "levels"})
    privileges = frozenset({"difficulty", "success_threshold"})

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        directions: Mapping[str, float] | Sequence[float] | None = None,
        window: float = 1 / 6,
        step: float = 1 / 30,
        queue: int = 50,
        threshold: float | None = None,
        level: float = 0.75,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        if not 0.0 < window <= 1.0:
            raise ValueError(f"window must lie in (0, 1], got {window}")
        if not step > 0.0:
            raise ValueError(f"step must be above 0, got {step}")
        if queue < 1:
            raise ValueError(f"queue must be at least 1, got {queue}")
        if not 0.0 <= level <= 1.0:
            raise ValueError(f"level must lie in [0, 1], got {level}")
        self.directions = directions
        self.window = window
        self.step = step
        self.queue = queue
        self.threshold = threshold
        self.level = level
        self._signs = self._resolve(directions)
        self._order = LevelOrder(space) if space.kind == "levels" else None
        self._moves = 0
        self._values: list[float] = []
        self._last_mean = float("nan")

    def _resolve(
        self, directions: Mapping[str, float] | Sequence[float] | None
    ) -> NDArray[np.float64]:
        if directions is None:
            if self.space.difficulty is None:
                raise ValueError(
                    f"teacher {self.name!r} must know where tasks get harder, and {self.space!r} "
                    'declares no difficulty: build the space with difficulty="a_dimension" or '
                    "weights by name, or pass directions="
                )
            return np.ones(1) if self.space.kind == "levels" else directions_of(self.space)
        if self.space.kind == "levels":
            raise ValueError(f"directions are of dimensions, which {self.space!r} has none of")
        names = self.space.names
        if isinstance(directions, Mapping):
            unknown = set(directions) - set(names)
            if unknown:
                raise ValueError(f"directions name {min(unknown)!r}, which is not one of {names}")
            signs = np.array([directions.get(name, 0.0) for name in names])
        else:
            signs = np.asarray(directions, dtype=np.float64)
            if signs.shape != (len(names),):
                raise ValueError(f"directions must have {len(names)} entries, got {signs.shape}")
        if isinstance(self.space, BoxTasks):
            signs = signs[self.space.low < self.space.high]
        return np.asarray(np.sign(signs), dtype=np.float64)

    @property
    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper corner of the window in the unit cube."""
        travelled = min(self._moves * self.step, 1.0 - self.window)
        low = np.where(self._signs > 0, travelled, 1.0 - self.window - travelled)
        free = self._signs == 0
        return np.where(free, 0.0, low), np.where(free, 1.0, low + self.window)

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        low, high = self.bounds
        if self._order is not None:
            ends = float(low[0]), float(high[0])
            return np.array([self._order.between(*ends, rng) for _ in range(n)])
        return low + rng.random((n, len(low))) * (high - low)

    def _update(self, batch: Batch) -> None:
        if self.threshold is not None:
            values, limit = batch.raw_returns, self.threshold
        else:
            values = batch.returns if batch.successes is None else batch.successes
            limit = self.level
        counts = np.ones(len(batch), dtype=bool)
        if batch.probe is not None:
            counts &= ~batch.probe
        if batch.ids is not None:
            counts &= batch.ids >= 0
        for value in values[counts].tolist():
            self._values.append(value)
            if len(self._values) == self.queue:
                self._last_mean = sum(self._values) / self.queue
                if self._last_mean > limit and self._moves * self.step < 1.0 - self.window:
                    self._moves += 1
                self._values.clear()

    def _state(self) -> State:
        return {
            "moves": self._moves,
            "values": np.array(self._values),
            "last_mean": None if np.isnan(self._last_mean) else self._last_mean,
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self._moves = int(state["moves"])
        self._values = np.asarray(state["values"]).tolist()
        self._last_mean = float("nan" if state["last_mean"] is None else state["last_mean"])

    def _corners(self, ends: NDArray[np.float64]) -> NDArray[Any]:
        """Return the tasks at two corners of the cube; of levels their difficulty."""
        if self._order is None:
            return self.space.from_unit(ends)
        return np.array([self._order.quantile(share) for share in ends[:, 0].tolist()])

    def _why(self, row: int, task: Any) -> Reason:
        mean = "no mean so far" if np.isnan(self._last_mean) else f"mean {self._last_mean:.3g}"
        return Reason(
            f"the window after {self._moves:,} moves",
            f"proposal {self._number(row):,}; the window covers {self.window:.3g} of each range, "
            f"and the latest {self.queue:,} attempts that moved or held it had {mean}",
        )

    def snapshot(self) -> dict[str, Any]:
        """Return the window (unit cube and tasks at its corners), its moves and the last mean.

        Of levels ``corners`` are the difficulties between which it lies.
        """
        low, high = self.bounds
        return {
            "low": low,
            "high": high,
            "corners": self._corners(np.stack([low, high])),
            "directions": self._signs.copy(),
            "moves": self._moves,
            "queued": len(self._values),
            "last_mean": self._last_mean,
        }
