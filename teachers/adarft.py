"""AdaRFT: a servo that holds success at a set level by moving a target difficulty."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import DiscreteTasks, TaskSpace
from currgym.teachers._difficulty import directions_of, require_difficulty, spread_points
from currgym.teachers._measure import Measure, check_measure, measured, needs_of
from currgym.teaching import Batch, Reason, State, Teacher, register

__all__ = ["AdaRFT"]

FloatArray = NDArray[np.float64]

PROBED = 4096


@register("adarft", presets={"paper": {"step": 0.5, "batch_size": 1024}})
class AdaRFT(Teacher):
    """Propose the tasks nearest to a target difficulty, and move it so that a set share succeeds.

    After every ``batch_size`` outcomes with mean success ``R`` the target moves by
    ``step * tanh(sensitivity * (R - aim))``, within the space's difficulties: success above the aim
    makes tasks harder.

    Source: Shi, Wu, Song, Zhou, Zhao, "Efficient Reinforcement Finetuning via Adaptive Curriculum
    Learning", 2025, https://arxiv.org/abs/2504.05520, algorithm 1. Preset ``paper`` has its
    constants (50 of difficulties from 0 to 100, batches of 1,024).

    Differences: difficulty is scaled to [0, 1] by the least and greatest of the space (of a box, of
    4,096 spread tasks and two corners). Batches are small by default, and steps with them, so that
    thousands of attempts suffice. Of examples that are equally near each is as likely, where
    sorting would take the same ones always. A box has no list of tasks to sort: each task is the
    nearest of ``candidates`` uniform ones. Probes do not count.

    Args:
        space: Examples or box tasks with a declared difficulty.
        seed: Of the private random generator.
        return_range: Raw returns that count as 0 and 1 (with ``measure="return"``); None uses
            running quantiles.
        start: First target difficulty, in [0, 1].
        aim: Mean success that is held, in [0, 1]. Default of the paper.
        step: Largest change of the target, above 0.
        sensitivity: Of the change to the error, above 0. Default of the paper.
        batch_size: Outcomes between changes, and examples in a pass, at least 1.
        candidates: Uniform tasks of a box of which the nearest is taken, at least 1.
        measure: ``"success"`` or ``"return"``.

    Raises:
        ValueError: If the space declares no difficulty, or a value is out of its range.

    >>> from currgym import DiscreteTasks, Outcomes, make_teacher
    >>> space = DiscreteTasks(100, difficulty=range(100))
    >>> teacher = make_teacher("adarft", space, seed=0, batch_size=4, step=0.5)
    >>> sorted(teacher.sample(4).tolist())
    [0, 1, 2, 3]
    >>> teacher.update(Outcomes([0, 1, 2, 3], [1.0] * 4, successes=[1.0] * 4))
    >>> sorted(teacher.sample(4).tolist())
    [36, 37, 38, 39]
    """

    spaces = frozenset({"box", "discrete"})
    privileges = frozenset({"difficulty"})

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        start: float = 0.0,
        aim: float = 0.5,
        step: float = 0.05,
        sensitivity: float = 2.0,
        batch_size: int = 64,
        candidates: int = 64,
        measure: Measure = "success",
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        require_difficulty(space, "adarft")
        for name, value in (("start", start), ("aim", aim)):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {value}")
        for name, value in (("step", step), ("sensitivity", sensitivity)):
            if not value > 0.0:
                raise ValueError(f"{name} must be above 0, got {value}")
        for name, count in (("batch_size", batch_size), ("candidates", candidates)):
            if count < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")
        check_measure(measure)
        self.start = start
        self.aim = aim
        self.step = step
        self.sensitivity = sensitivity
        self.batch_size = batch_size
        self.candidates = candidates
        self.measure: Measure = measure
        self._target = start
        self._sum, self._gathered = 0.0, 0
        self._last_mean = float("nan")
        raw = self._raw_difficulties()
        self._low, self._width = float(raw.min()), float(raw.max() - raw.min())
        # Of examples, all of them; of a box, none.
        self._known = self._scaled(raw) if isinstance(space, DiscreteTasks) else np.empty(0)
        self._known.setflags(write=False)

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """``successes``, where they are what is measured."""
        return needs_of(self.measure)

    def _raw_difficulties(self) -> FloatArray:
        if isinstance(self.space, DiscreteTasks):
            return self.space.difficulty_of(np.arange(self.space.n))
        harder = directions_of(self.space) > 0.0
        spread = spread_points(PROBED, self.space.unit_dim)
        points = np.concatenate([spread, [harder, ~harder]])
        return self.space.difficulty_of(self.space.from_unit(points))

    def _scaled(self, difficulty: FloatArray) -> FloatArray:
        if self._width <= 0.0:
            return np.zeros_like(difficulty)
        return np.clip((difficulty - self._low) / self._width, 0.0, 1.0)

    def _plan(self, rng: np.random.Generator) -> NDArray[np.int64] | None:
        if not isinstance(self.space, DiscreteTasks):
            return None
        off = np.abs(self._known - self._target)
        size = min(self.batch_size, len(off))
        limit = np.partition(off, size - 1)[size - 1]
        nearer, level = np.flatnonzero(off < limit), np.flatnonzero(off == limit)
        chosen = rng.choice(level, size - len(nearer), replace=False)
        return rng.permutation(np.concatenate([nearer, chosen]))

    def _sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        dim = self.space.unit_dim
        points = rng.random((n, self.candidates, dim))
        tasks = self.space.from_unit(points.reshape(n * self.candidates, dim))
        off = np.abs(self._scaled(self.space.difficulty_of(tasks)) - self._target)
        best = off.reshape(n, self.candidates).argmin(axis=1)
        return np.asarray(points[np.arange(n), best])

    def _update(self, batch: Batch) -> None:
        values = measured(batch, self.measure)
        if batch.probe is not None:
            values = values[~batch.probe]
        for value in values.tolist():
            self._sum += value
            self._gathered += 1
            if self._gathered == self.batch_size:
                self._move(self._sum / self.batch_size)
                self._sum, self._gathered = 0.0, 0

    def _move(self, mean: float) -> None:
        self._last_mean = mean
        moved = self._target + self.step * math.tanh(self.sensitivity * (mean - self.aim))
        self._target = min(max(moved, 0.0), 1.0)

    def _state(self) -> State:
        return {
            "target": self._target,
            "sum": self._sum,
            "gathered": self._gathered,
            "last_mean": None if math.isnan(self._last_mean) else self._last_mean,
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self._target, self._sum = float(state["target"]), float(state["sum"])
        self._gathered = int(state["gathered"])
        self._last_mean = float("nan" if state["last_mean"] is None else state["last_mean"])

    def _why(self, row: int, task: Any) -> Reason:
        own = self._scaled(self.space.difficulty_of(self._latest[row : row + 1]))[0]
        mean = "none so far" if np.isnan(self._last_mean) else f"{self._last_mean:.3g}"
        return Reason(
            self._place(row) or f"the nearest of {self.candidates:,} even draws to the target",
            f"proposal {self._number(row):,} has difficulty {own:.3g} of the range, the target is "
            f"{self._target:.3g}, which the latest mean ({mean}) moved to hold {self.aim:.3g}",
            explores=False,
        )

    def snapshot(self) -> dict[str, Any]:
        """Return the target difficulty, scaled and as the space declares it, and the last mean."""
        return {
            "target_difficulty": self._target,
            "declared_difficulty": self._low + self._target * self._width,
            "last_mean": self._last_mean,
            "gathered": self._gathered,
        }
