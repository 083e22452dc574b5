"""Straight line: a fixed anneal from an initial to a target distribution."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._given import given_points
from currgym.teachers._transport import cloud, known_beforehand, match, start_cloud
from currgym.teaching import Reason, State, Teacher, register

__all__ = ["StraightLine"]

FloatArray = NDArray[np.float64]
SNAPSHOT_BYTES = 40_000


@register("straight-line")
class StraightLine(Teacher):
    """Move every task of an initial distribution straight to its own task of the target one.

    Particles of both distributions are matched once, so that the squared distances sum to the
    least, and travel in a straight line at constant speed, whatever the student does. It is the
    baseline for ``currot``, ``gradient`` and ``self-paced``: what they gain over it, they gain by
    looking at the student.

    Source: displacement interpolation (McCann 1997, "A convexity principle for interacting gases").
    A linear anneal between two distributions is a baseline in Klink et al. 2022 (CURROT).

    Differences: time is counted in proposals. From the horizon on the target distribution itself is
    drawn, not its particles.

    >>> from currgym import BoxTasks, make_teacher
    >>> teacher = make_teacher(
    ...     "straight-line", BoxTasks([0, 0], [3, 6]), seed=0, initial=[[0.0, 6.0]],
    ...     target=[[3.0, 0.0]], horizon=4,
    ... )
    >>> teacher.sample(5).tolist()
    [[0.0, 6.0], [0.75, 4.5], [1.5, 3.0], [2.25, 1.5], [3.0, 0.0]]

    Args:
        space: Box tasks, or examples with a declared difficulty.
        seed: Of the private random generator.
        return_range: Unused: the schedule does not look at outcomes.
        initial: Tasks to start from, each as likely, as the space writes them. None is uniform over
            the easiest tenth of a space that declares a difficulty, and else over the middle tenth
            of every dimension.
        target: Tasks of the target distribution, likewise; None for uniform over the space.
        horizon: Proposals after which the target is reached, at least 1; default 10 passes over a
            discrete space, 10,000 otherwise.
        particles: Tasks that stand for either distribution on the way, from 1 to 2,000.

    Raises:
        ValueError: If a given task lies outside the space, or a value is out of its range.
    """

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        initial: ArrayLike | None = None,
        target: ArrayLike | None = None,
        horizon: int | None = None,
        particles: int = 256,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        self.horizon = self.default_horizon() if horizon is None else int(horizon)
        if self.horizon < 1:
            raise ValueError(f"horizon must be at least 1 proposal, got {horizon}")
        if not 1 <= particles <= 2000:
            raise ValueError(f"particles must lie in [1, 2000], got {particles}")
        self.particles = particles
        self.initial = given_points(space, initial, "initial")
        self.target = given_points(space, target, "target")
        starts = start_cloud(space, self.initial, particles, self.rng)
        ends = cloud(self.target, particles, space.unit_dim, self.rng)
        self._starts, self._ends = starts, ends[match(starts, ends)]
        self._held = False

    @property
    def privileges(self) -> frozenset[str]:  # type: ignore[override]
        """What was given, and the difficulty where it tells the start."""
        return known_beforehand(self.space, self.initial, self.target)

    @property
    def time(self) -> float:
        """How far on the way it is, in [0, 1]."""
        return min(1.0, self.proposed / self.horizon)

    def preview(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        """Return tasks it would propose now, the time held where it is; leaves no trace."""
        twin = copy.deepcopy(self, {id(self.space): self.space})
        twin._held = True
        return twin._draw(n, rng)

    def _sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        ahead = np.zeros(n) if self._held else np.arange(n)
        time = np.minimum(1.0, (self.proposed + ahead) / self.horizon)
        chances = rng.random((n, 1 + self.space.unit_dim))
        chosen = (chances[:, 0] * self.particles).astype(np.int64)
        self._origins = chosen
        starts, ends = self._starts[chosen], self._ends[chosen]
        tasks = starts + time[:, None] * (ends - starts)
        there = time >= 1.0
        if self.target is None:
            tasks[there] = chances[there, 1:]
        else:
            tasks[there] = self.target[(chances[there, 0] * len(self.target)).astype(np.int64)]
        return tasks

    def _state(self) -> State:
        return {"starts": self._starts.copy(), "ends": self._ends.copy()}

    def _load(self, state: Mapping[str, Any]) -> None:
        self._starts = np.array(state["starts"], dtype=np.float64)
        self._ends = np.array(state["ends"], dtype=np.float64)

    def _why(self, row: int, task: Any) -> Reason:
        number = self._number(row)
        time = min(1.0, (number - 1) / self.horizon)
        told = f"the way is {100.0 * time:.3g} % gone at proposal {number:,} of {self.horizon:,}"
        if time >= 1.0:
            return Reason("the target", told)
        particle = int(self._origins[row])
        return Reason(
            f"particle {particle + 1:,} of {self.particles:,}", told, 1.0 / self.particles
        )

    def snapshot(self) -> dict[str, Any]:
        """Return the time, and where the particles are now (tasks, as many as fit in 40 kB)."""
        now = self.space.from_unit(self._starts + self.time * (self._ends - self._starts))
        return {
            "time": self.time,
            "tasks": now[: max(1, SNAPSHOT_BYTES * len(now) // max(1, now.nbytes))],
        }
