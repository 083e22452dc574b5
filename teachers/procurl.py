"""ProCuRL: tasks that are neither too easy nor too hard, and that lead towards a target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._given import draw, given_points
from currgym.teachers._measure import Measure, check_measure, measured, needs_of
from currgym.teaching import Batch, Reason, State, Teacher, register

__all__ = ["ProCuRL"]

FloatArray = NDArray[np.float64]

TARGETS = 250
SNAPSHOT_TASKS = 100
# Inverse temperatures: scores reach 1/4 by themselves and 1/16 towards a target.
BETA, BETA_TARGET = 20.0, 100.0


@register("procurl")
class ProCuRL(Teacher):
    """Sample a pool of tasks by ``p (best - p)``, where ``p`` is the student's success on each.

    That is greatest halfway between failure and the best one can do: the zone of proximal
    development. With ``target`` the score of a task is multiplied by that of the target tasks and
    by how near they are, ``max over t of p(t) (best - p(t)) exp(-|c - t|)``, so that practice
    moves to them as they become learnable. A task is drawn with a chance proportional to
    ``exp(beta * score)``.

    Source: Tzannetos, Ribeiro, Kamalaruban, Singla, "Proximal curriculum for reinforcement learning
    agents", TMLR 2023, https://arxiv.org/abs/2304.12877 (ProCuRL), and Tzannetos, Kamalaruban,
    Singla, "Proximal curriculum with task correlations for deep reinforcement learning", IJCAI
    2024, https://arxiv.org/abs/2405.02481 (ProCuRL-Target), with the similarity, the maximum over
    250 targets and the pool of 1,000 tasks of the authors' code.

    Differences: the papers take ``p`` from rollouts, from the student's critic or from a network
    fitted to returns; here it is a kernel average over outcomes, in which each attempt counts less
    by a factor of ``1 - 1/memory`` with every later one, and which returns to one half where
    nothing was attempted lately. Probes count like other attempts. Distances are in the unit cube.

    Args:
        space: What tasks there are.
        seed: Of the private random generator.
        return_range: Raw returns that count as 0 and 1 (only for the measure ``"return"``).
        target: Tasks of the target distribution, each as likely, as the space writes them (at most
            250 of them are used); None is plain ProCuRL.
        pool_size: Tasks in the pool, drawn uniformly once and for all; at least 2.
        beta: Inverse temperature, at least 0; None is 20, or 100 with a target.
        best: Success that the best student reaches, in (0, 1].
        bandwidth: Standard deviation of the kernel, as a share of each range; above 0. It grows
            with the root of the number of dimensions, as distances do.
        memory: Attempts over which ``p`` is averaged, at least 1.
        prior_weight: Attempts that the prior of one half is worth, above 0.
        fit_period: Attempts between evaluations of the pool; at least 1.
        measure: ``"success"`` or ``"return"`` (scaled to [0, 1]).

    >>> from currgym import BoxTasks, Outcomes, make_teacher
    >>> teacher = make_teacher("procurl", BoxTasks([0], [10]), seed=0)
    >>> for _ in range(1000):
    ...     tasks = teacher.sample(1)
    ...     teacher.update(Outcomes(tasks, [0.0], successes=tasks[:, 0] < 5))
    >>> bool(abs(teacher.sample(200) - 5).mean() < 2)
    True
    """

    spaces = frozenset({"box"})

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        target: ArrayLike | None = None,
        pool_size: int = 1000,
        beta: float | None = None,
        best: float = 1.0,
        bandwidth: float = 0.05,
        memory: int = 1000,
        prior_weight: float = 1.0,
        fit_period: int = 10,
        measure: Measure = "success",
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        for name, count, least in (
            ("pool_size", pool_size, 2), ("memory", memory, 1), ("fit_period", fit_period, 1)
        ):  # fmt: skip
            if count < least:
                raise ValueError(f"{name} must be at least {least}, got {count}")
        if beta is not None and not beta >= 0.0:
            raise ValueError(f"beta must be at least 0, got {beta}")
        if not 0.0 < best <= 1.0:
            raise ValueError(f"best must lie in (0, 1], got {best}")
        if not bandwidth > 0.0:
            raise ValueError(f"bandwidth must be above 0, got {bandwidth}")
        if not prior_weight > 0.0:
            raise ValueError(f"prior_weight must be above 0, got {prior_weight}")
        check_measure(measure)
        self.target = given_points(space, target, "target")
        self.pool_size = pool_size
        self.beta = beta
        self.best = best
        self.bandwidth = bandwidth
        self.memory = memory
        self.prior_weight = prior_weight
        self.fit_period = fit_period
        self.measure: Measure = measure
        targets = np.empty((0, space.unit_dim))
        if self.target is not None:
            targets = self.target
            if len(targets) > TARGETS:
                targets = draw(targets, TARGETS, space.unit_dim, self.rng)
        pool = self.rng.random((pool_size, space.unit_dim))
        self._attempts = 0
        self._adopt(np.concatenate([pool, targets]))
        # Of pool and targets: how much was attempted near each, and how much of it succeeded.
        self._near = np.zeros(len(self._points))
        self._good = np.zeros(len(self._points))
        self._evaluate()

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """``successes`` where they are the measure."""
        return needs_of(self.measure)

    @property
    def privileges(self) -> frozenset[str]:  # type: ignore[override]
        """``target`` where one was given."""
        return frozenset() if self.target is None else frozenset({"target"})

    def _adopt(self, points: FloatArray) -> None:
        """Take pool and targets, and see how similar they are."""
        self._points = points
        pool, targets = points[: self.pool_size], points[self.pool_size :]
        gaps = np.sqrt(((targets[:, None] - pool[None]) ** 2).sum(axis=2))
        self._similar: FloatArray = np.exp(-gaps)

    def _update(self, batch: Batch) -> None:
        narrow = 0.5 / (self.bandwidth**2 * max(self.space.unit_dim, 1))
        keep = 1.0 - 1.0 / self.memory
        for task, value in zip(batch.tasks, measured(batch, self.measure).tolist(), strict=True):
            gaps = self._points - task
            kernel = np.exp(-narrow * np.einsum("nd,nd->n", gaps, gaps))
            self._near = keep * self._near + kernel
            self._good = keep * self._good + value * kernel
            self._attempts += 1
            if self._attempts % self.fit_period == 0:
                self._evaluate()

    def _evaluate(self) -> None:
        """Score the pool by the present success."""
        weight = self.prior_weight
        success = (self._good + 0.5 * weight) / (self._near + weight)
        score = success * (self.best - success)
        worth = score[: self.pool_size]
        beta = BETA
        if len(self._similar):
            worth = worth * (score[self.pool_size :, None] * self._similar).max(axis=0)
            beta = BETA_TARGET
        logits = (beta if self.beta is None else self.beta) * worth
        chances = np.exp(logits - logits.max())
        self._success = success[: self.pool_size]
        self._chances = chances / chances.sum()
        self._edges = self._chances.cumsum()

    def _sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        chosen = self._edges.searchsorted(rng.random(n) * self._edges[-1], side="right")
        self._origins = np.minimum(chosen, self.pool_size - 1)
        return np.asarray(self._points[self._origins])

    def _state(self) -> State:
        return {
            "points": self._points.copy(),
            "near": self._near.copy(),
            "good": self._good.copy(),
            "success": self._success.copy(),
            "chances": self._chances.copy(),
            "attempts": self._attempts,
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self._adopt(np.array(state["points"], dtype=np.float64))
        for name in ("near", "good", "success", "chances"):
            setattr(self, f"_{name}", np.array(state[name], dtype=np.float64))
        self._edges = self._chances.cumsum()
        self._attempts = int(state["attempts"])

    def _why(self, row: int, task: Any) -> Reason:
        at = int(self._origins[row])
        return Reason(
            f"task {at + 1:,} of the pool of {self.pool_size:,}",
            f"its success is expected to be {self._success[at]:.3g}, and the likeliest task of "
            f"the pool has a chance of {self._chances.max():.3g}",
            float(self._chances[at]), explores=False,
        )  # fmt: skip

    def snapshot(self) -> dict[str, Any]:
        """Return the likeliest tasks of the pool with their ``chances`` and ``success``.

        ``spread`` is how many equally likely tasks the whole pool is worth.
        """
        top = np.argsort(-self._chances, kind="stable")[:SNAPSHOT_TASKS]
        return {
            "tasks": self.space.from_unit(self._points[top]),
            "chances": self._chances[top],
            "success": self._success[top],
            "spread": float(1.0 / (self._chances**2).sum()),
        }
