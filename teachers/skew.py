"""Skew: the tasks that were mastered, the rarer the likelier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._measure import Measure, check_measure, measured, needs_of
from currgym.teaching import Batch, Reason, State, Teacher, register

__all__ = ["Skew"]

FloatArray = NDArray[np.float64]

SNAPSHOT_TASKS = 100


@register("skew")
class Skew(Teacher):
    """Sample near mastered tasks, each with a chance of its density to the power of ``alpha``.

    The latest mastered tasks are kept, their density is estimated by normal kernels, and tasks are
    drawn from the same kernels, weighted by ``density ** alpha``: with -1 evenly over all that is
    mastered, however unevenly it was practised. The kernels reach beyond it, so that it grows.

    Source: Pong, Dalal, Lin, Nair, Bahl, Levine, "Skew-Fit: state-covering self-supervised
    reinforcement learning", ICML 2020, https://arxiv.org/abs/1903.03698, the section on skewing by
    importance sampling.

    Differences: the paper skews the states that the policy *reached*, images mostly, with a
    variational autoencoder for their density and for drawing goals. A teacher does not see states:
    here it is the density of tasks whose attempt succeeded, which is the same thing where a task is
    a goal to be reached, and of all attempted ones with ``mastered_at=0``. Kernels stand for the
    autoencoder. Kernel mass outside the cube is given back, or faces would seem rare. Until
    something is mastered tasks are uniform.

    Args:
        space: What tasks there are.
        seed: Of the private random generator.
        return_range: Raw returns that count as 0 and 1 (only for the measure ``"return"``).
        alpha: Power of the density, in [-1, 0).
        bandwidth: Standard deviation of a kernel, as a share of each range; above 0.
        mastered_at: An attempt of at least this much is mastered, in [0, 1]; 0 keeps all attempts.
        random_ratio: Share of uniform tasks, in [0, 1]; the paper has none.
        history_size: Mastered tasks kept, the latest; at least 2.
        fit_period: Attempts between estimates of the density; at least 1.
        measure: ``"success"`` or ``"return"`` (scaled to [0, 1]).

    >>> from currgym import BoxTasks, Outcomes, make_teacher
    >>> teacher = make_teacher("skew", BoxTasks([0], [10]), seed=0, fit_period=50)
    >>> for _ in range(500):
    ...     tasks = teacher.sample(1)
    ...     teacher.update(Outcomes(tasks, [0.0], successes=tasks[:, 0] < 3))
    >>> bool((teacher.sample(200) < 4.5).mean() > 0.9)
    True
    """

    spaces = frozenset({"box"})

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        alpha: float = -1.0,
        bandwidth: float = 0.05,
        mastered_at: float = 0.5,
        random_ratio: float = 0.0,
        history_size: int = 500,
        fit_period: int = 100,
        measure: Measure = "success",
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        if not -1.0 <= alpha < 0.0:
            raise ValueError(f"alpha must lie in [-1, 0), got {alpha}")
        if not bandwidth > 0.0:
            raise ValueError(f"bandwidth must be above 0, got {bandwidth}")
        for name, share in (("mastered_at", mastered_at), ("random_ratio", random_ratio)):
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {share}")
        if history_size < 2:
            raise ValueError(f"history_size must be at least 2, got {history_size}")
        if fit_period < 1:
            raise ValueError(f"fit_period must be at least 1, got {fit_period}")
        check_measure(measure)
        self.alpha = alpha
        self.bandwidth = bandwidth
        self.mastered_at = mastered_at
        self.random_ratio = random_ratio
        self.history_size = history_size
        self.fit_period = fit_period
        self.measure: Measure = measure
        self._attempts = 0
        self._mastered = 0
        self._tasks = np.zeros((history_size, space.unit_dim))
        self._adopt(np.empty((0, space.unit_dim)), np.empty(0))

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """``successes`` where they are the measure."""
        return needs_of(self.measure)

    def _adopt(self, centres: FloatArray, chances: FloatArray) -> None:
        """Take the centres of the kernels and how likely each is."""
        self._centres, self._chances = centres, chances
        self._edges = chances.cumsum()

    def _update(self, batch: Batch) -> None:
        values = measured(batch, self.measure).tolist()
        for task, value in zip(batch.tasks, values, strict=True):
            if value >= self.mastered_at:
                self._tasks[self._mastered % self.history_size] = task
                self._mastered += 1
            self._attempts += 1
            if self._attempts % self.fit_period == 0 and self._mastered:
                self._fit()

    def _fit(self) -> None:
        centres = self._tasks[: min(self._mastered, self.history_size)].copy()
        logits = self.alpha * self._log_density(centres)
        chances = np.exp(logits - logits.max())
        self._adopt(centres, chances / chances.sum())

    def _log_density(self, centres: FloatArray) -> FloatArray:
        """Return the log density at each centre, up to a constant."""
        from scipy.special import log_ndtr, ndtr

        scaled = centres / self.bandwidth
        squares = np.einsum("nd,nd->n", scaled, scaled)
        # Rounding may leave the distance of a point from itself a hair below 0.
        gaps = np.maximum(squares[:, None] + squares - 2.0 * (scaled @ scaled.T), 0.0)
        density = np.log(np.exp(-0.5 * gaps).sum(axis=1))
        # Of a kernel at x the cube holds P(z > -x) - P(z > 1 - x), z its noise.
        below, above = log_ndtr(scaled), ndtr(scaled - 1.0 / self.bandwidth)
        inside = np.exp(below) - above
        return np.asarray(density - np.log(inside).sum(axis=1))

    def _sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        # One by one: most calls ask for a single task, and n tasks are the same as n times one.
        tasks = np.empty((n, self.space.unit_dim))
        self._origins = np.full(n, -1)
        for i in range(n):
            if len(self._centres) == 0 or rng.random() < self.random_ratio:
                tasks[i] = rng.random(self.space.unit_dim)
            else:
                self._origins[i], tasks[i] = self._guided(rng)
        return tasks

    def _guided(self, rng: np.random.Generator) -> tuple[int, FloatArray]:
        """Choose a kernel and draw from it, reflected at the faces as its density is."""
        chosen = int(self._edges.searchsorted(rng.random() * self._edges[-1], side="right"))
        chosen = min(chosen, len(self._centres) - 1)
        centre = self._centres[chosen]
        moved = np.abs(centre + self.bandwidth * rng.standard_normal(len(centre))) % 2.0
        return chosen, np.where(moved > 1.0, 2.0 - moved, moved)

    def _state(self) -> State:
        return {
            "attempts": self._attempts,
            "mastered": self._mastered,
            "tasks": self._tasks[: min(self._mastered, self.history_size)].copy(),
            "centres": self._centres.copy(),
            "chances": self._chances.copy(),
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self._attempts, self._mastered = int(state["attempts"]), int(state["mastered"])
        self._tasks[: len(state["tasks"])] = state["tasks"]
        self._adopt(
            np.array(state["centres"], dtype=np.float64),
            np.array(state["chances"], dtype=np.float64),
        )

    def _why(self, row: int, task: Any) -> Reason:
        at = int(self._origins[row])
        if at < 0:
            some = len(self._centres) > 0
            told = f"{self._mastered:,} tasks are mastered"
            chance = self.random_ratio if some else 1.0
            return Reason("the whole space", told, chance, explores=True)
        return Reason(
            f"the surroundings of mastered task {at + 1:,} of {len(self._centres):,}",
            f"its density among the mastered, raised to {self.alpha:.3g}, gives it that chance; "
            f"an even one is {1.0 / len(self._centres):.3g}",
            float((1.0 - self.random_ratio) * self._chances[at]), explores=False,
        )  # fmt: skip

    def snapshot(self) -> dict[str, Any]:
        """Return the likeliest centres of kernels as ``tasks``, with their ``chances``.

        ``mastered`` counts all tasks mastered so far; ``spread`` is how many equally likely kernels
        all of them are worth.
        """
        top = np.argsort(-self._chances, kind="stable")[:SNAPSHOT_TASKS]
        total = float((self._chances**2).sum())
        return {
            "tasks": self.space.from_unit(self._centres[top]),
            "chances": self._chances[top],
            "mastered": self._mastered,
            "spread": 1.0 / total if total > 0.0 else 0.0,
        }
