"""DORAEMON: the widest distribution of tasks on which the student still succeeds often enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._given import given_points
from currgym.teachers._measure import Measure, check_measure, measured, needs_of
from currgym.teaching import Batch, Reason, State, Teacher, register

__all__ = ["DORAEMON"]

FloatArray = NDArray[np.float64]
# Of the exponents: a value and its gradient.
Formula = Callable[[FloatArray], tuple[float, FloatArray]]

# Attempts at tasks whose log density is less were not drawn from the present distribution.
LEAST_LOG_DENSITY = -20.0
# Coordinates this near to a face count as so near: the logarithm ends there.
FACE = 1e-6
# How far a constraint may be missed by the rounding of the optimiser.
SLACK = 1e-4
MAX_STEPS = 100


class Betas:
    """A product of Beta distributions over the unit cube, as formulas of its parameters.

    Parameters are ``(2, dim)``: the exponents at 0 in the first row and at 1 in the second.
    """

    @staticmethod
    def entropy(shape: FloatArray) -> tuple[float, FloatArray]:
        """Return the differential entropy and its gradient."""
        from scipy.special import betaln, digamma, polygamma

        total = shape.sum(axis=0)
        value = betaln(*shape) - ((shape - 1.0) * digamma(shape)).sum(axis=0)
        value += (total - 2.0) * digamma(total)
        gradient = (total - 2.0) * polygamma(1, total) - (shape - 1.0) * polygamma(1, shape)
        return float(value.sum()), gradient

    @staticmethod
    def divergence(old: FloatArray, new: FloatArray) -> tuple[float, FloatArray]:
        """Return the KL divergence of the old from the new one, and its gradient in the new."""
        from scipy.special import betaln, digamma

        expected = digamma(old) - digamma(old.sum(axis=0))
        value = betaln(*new) - betaln(*old) + ((old - new) * expected).sum(axis=0)
        gradient = digamma(new) - digamma(new.sum(axis=0)) - expected
        return float(value.sum()), gradient

    @staticmethod
    def log_density(shape: FloatArray, logs: FloatArray) -> FloatArray:
        """Return the log density of points given by ``logs`` of x and 1 - x, ``(n, 2, dim)``."""
        from scipy.special import betaln

        density: FloatArray = ((shape - 1.0) * logs).sum(axis=(1, 2)) - betaln(*shape).sum()
        return density

    @staticmethod
    def success(
        shape: FloatArray, logs: FloatArray, drawn: FloatArray, values: FloatArray
    ) -> tuple[float, FloatArray]:
        """Return the importance-weighted success rate and its gradient.

        ``drawn`` are the log densities under which the attempts were made.
        """
        from scipy.special import digamma

        gaps = Betas.log_density(shape, logs) - drawn
        weighted = np.exp(np.minimum(gaps, 50.0)) * values / len(values)
        slopes = logs - (digamma(shape) - digamma(shape.sum(axis=0)))
        return float(weighted.sum()), np.einsum("n,nkd->kd", weighted, slopes)


@register("doraemon")
class DORAEMON(Teacher):
    """Widen the distribution of tasks as far as the student still succeeds often enough.

    Tasks come from a product of Beta distributions. Every ``fit_period`` attempts its entropy is
    maximised under two constraints: the success rate under the new distribution, estimated from
    these attempts by importance weights, is at least ``success_rate``, and the KL divergence from
    the present one is at most ``max_kl``. Where the present one does not reach the success rate,
    that rate itself is maximised within the divergence first, and entropy only if it is reached.

    Source: Tiboni, Klink, Peters, Tommasi, D'Eramo, Chalvatzaki, "Domain randomization via entropy
    maximization", ICLR 2024, https://arxiv.org/abs/2311.01885, sections on the constrained problem
    and on its backup; exponents and start as in the authors' code.

    Differences: the divergence is of the present from the next distribution, as in that code; SLSQP
    with exact gradients solves both problems; a solution that misses a constraint is not taken, and
    counted. Outcomes do not tell when they were proposed, so that late ones count as if drawn from
    the present distribution, unless it would hardly draw such a task; of a whole-number dimension
    the middle of the slice counts. Without ``initial`` the start is the centre, as in the paper.

    Args:
        space: What tasks there are.
        seed: Of the private random generator.
        return_range: Raw returns that count as 0 and 1 (only for the measure ``"return"``).
        initial: Tasks whose mean is the mode of the first distribution, as the space writes them;
            None is the centre of the space.
        success_rate: Least success rate, in (0, 1). Default of the paper.
        max_kl: Largest KL divergence between successive distributions, above 0.
        fit_period: Attempts between updates, at least 2.
        concentration: Both exponents of the first distribution (at the centre); above 1. Default
            of the authors' code.
        measure: ``"success"`` or ``"return"`` (scaled to [0, 1]).

    >>> from currgym import BoxTasks, Outcomes, make_teacher
    >>> space = BoxTasks([0, 0], [3, 6], names=["stump_height", "obstacle_spacing"])
    >>> teacher = make_teacher("doraemon", space, seed=0, fit_period=100)
    >>> for _ in range(1000):
    ...     tasks = teacher.sample(1)
    ...     teacher.update(Outcomes(tasks, [0.0], successes=tasks[:, 0] < 1.8))
    >>> teacher.snapshot()["updates"]
    10
    """

    spaces = frozenset({"box"})

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        initial: ArrayLike | None = None,
        success_rate: float = 0.5,
        max_kl: float = 0.1,
        fit_period: int = 200,
        concentration: float = 100.0,
        measure: Measure = "success",
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        if not 0.0 < success_rate < 1.0:
            raise ValueError(f"success_rate must lie in (0, 1), got {success_rate}")
        if not max_kl > 0.0:
            raise ValueError(f"max_kl must be above 0, got {max_kl}")
        if fit_period < 2:
            raise ValueError(f"fit_period must be at least 2, got {fit_period}")
        if not concentration > 1.0:
            raise ValueError(f"concentration must be above 1, got {concentration}")
        check_measure(measure)
        self.initial = given_points(space, initial, "initial")
        self.success_rate = success_rate
        self.max_kl = max_kl
        self.fit_period = fit_period
        self.concentration = concentration
        self.measure: Measure = measure
        dim = space.unit_dim
        mode = np.full(dim, 0.5) if self.initial is None else self.initial.mean(axis=0)
        self._shape = 1.0 + 2.0 * (concentration - 1.0) * np.stack([mode, 1.0 - mode])
        """Exponents ``(2, dim)``: between 1, where all are uniform, and those of the start."""
        self._tasks = np.zeros((fit_period, dim))
        self._values = np.zeros(fit_period)
        self._filled = 0
        self._updates = 0
        self._backups = 0
        self._failed = 0
        self._rate = float("nan")

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """``successes`` where they are the measure."""
        return needs_of(self.measure)

    @property
    def privileges(self) -> frozenset[str]:  # type: ignore[override]
        """``initial`` where one was given, and the threshold."""
        given = frozenset() if self.initial is None else frozenset({"initial"})
        return given | {"success_threshold"}

    def _sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        return rng.beta(self._shape[0], self._shape[1], size=(n, self.space.unit_dim))

    @staticmethod
    def _logs(tasks: FloatArray) -> FloatArray:
        inside = np.minimum(np.maximum(tasks, FACE), 1.0 - FACE)
        return np.asarray(np.log(np.stack([inside, 1.0 - inside], axis=1)))

    def _update(self, batch: Batch) -> None:
        values = measured(batch, self.measure)
        counts = np.ones(len(batch), dtype=np.bool_)
        if batch.ids is not None:
            counts &= batch.ids >= 0
        waiting = counts.nonzero()[0]
        while len(waiting):
            # Judged by the distribution that holds when their turn comes.
            part = waiting[: self.fit_period - self._filled]
            waiting = waiting[len(part) :]
            likely = Betas.log_density(self._shape, self._logs(batch.tasks[part]))
            part = part[likely > LEAST_LOG_DENSITY]
            rows = slice(self._filled, self._filled + len(part))
            self._tasks[rows], self._values[rows] = batch.tasks[part], values[part]
            self._filled += len(part)
            if self._filled == self.fit_period:
                self._filled = 0
                self._move()

    def _move(self) -> None:
        """Solve the constrained problem, or its backup, and take the solution."""
        logs = self._logs(self._tasks)
        drawn = Betas.log_density(self._shape, logs)
        start = self._shape

        def success(shape: FloatArray) -> tuple[float, FloatArray]:
            return Betas.success(shape, logs, drawn, self._values)

        def divergence(shape: FloatArray) -> tuple[float, FloatArray]:
            return Betas.divergence(start, shape)

        self._updates += 1
        self._rate = float(self._values.mean())
        if self.space.unit_dim == 0:
            return
        feasible = start
        if self._rate < self.success_rate:
            self._backups += 1
            best = self._solve(success, [(divergence, -self.max_kl)], start)
            if best is None or success(best)[0] < self._rate:
                self._failed += 1
                return
            feasible = self._shape = best
            if success(best)[0] < self.success_rate:
                return
        limits = [(divergence, -self.max_kl), (success, self.success_rate)]
        widest = self._solve(Betas.entropy, limits, feasible)
        if widest is None or Betas.entropy(widest)[0] < Betas.entropy(feasible)[0]:
            self._failed += 1
            return
        self._shape = widest

    def _solve(
        self,
        objective: Formula,
        limits: Sequence[tuple[Formula, float]],
        start: FloatArray,
    ) -> FloatArray | None:
        """Maximise over the exponents; None where the solution misses a limit.

        A limit (function, level) asks for at least the level, a negative one for at most its
        absolute value. Exponents are searched in their logarithm, between 1 and twice the start's.
        """
        from scipy.optimize import minimize

        def flat(
            function: Formula, sign: float, level: float
        ) -> tuple[Callable[[FloatArray], float], Callable[[FloatArray], FloatArray]]:
            def value(x: FloatArray) -> float:
                return sign * function(np.exp(x).reshape(start.shape))[0] - level

            def slope(x: FloatArray) -> FloatArray:
                shape = np.exp(x).reshape(start.shape)
                return np.asarray(sign * (function(shape)[1] * shape).ravel())

            return value, slope

        goal, goal_slope = flat(objective, -1.0, 0.0)
        parts = [flat(f, 1.0 if level > 0.0 else -1.0, level) for f, level in limits]
        with np.errstate(all="ignore"):  # a wild step is refused below
            found = minimize(
                goal, np.log(start).ravel(), jac=goal_slope, method="SLSQP",
                bounds=[(0.0, np.log(4.0 * self.concentration))] * start.size,
                constraints=[{"type": "ineq", "fun": f, "jac": slope} for f, slope in parts],
                options={"maxiter": MAX_STEPS, "ftol": 1e-12},
            )  # fmt: skip
        if not np.isfinite(found.x).all() or any(f(found.x) < -SLACK for f, _ in parts):
            return None
        return np.asarray(np.exp(found.x).reshape(start.shape))

    def _state(self) -> State:
        return {
            "shape": self._shape.copy(),
            "tasks": self._tasks[: self._filled].copy(),
            "values": self._values[: self._filled].copy(),
            "updates": self._updates,
            "backups": self._backups,
            "failed": self._failed,
            "rate": None if np.isnan(self._rate) else self._rate,
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self._shape = np.array(state["shape"], dtype=np.float64)
        self._filled = len(state["values"])
        self._tasks[: self._filled] = state["tasks"]
        self._values[: self._filled] = state["values"]
        self._updates, self._backups = int(state["updates"]), int(state["backups"])
        self._failed = int(state["failed"])
        self._rate = float("nan" if state["rate"] is None else state["rate"])

    def _why(self, row: int, task: Any) -> Reason:
        rate = "unknown so far" if np.isnan(self._rate) else f"{self._rate:.3g}"
        density = float(Betas.log_density(self._shape, self._logs(task[None]))[0])
        return Reason(
            f"the distribution after {self._updates:,} updates",
            f"its log density there is {density:.3g} (0 is an even spread), its entropy "
            f"{Betas.entropy(self._shape)[0]:.3g}, and the success rate of its latest "
            f"whole period {rate}",
            explores=False,
        )

    def snapshot(self) -> dict[str, Any]:
        """Return the distribution (exponents, mean, covariance, entropy) and how it came about.

        ``success_rate`` is of the latest whole period; ``backups`` counts the periods in which it
        was too low, ``failed_fits`` those without a solution.
        """
        total = self._shape.sum(axis=0)
        variance = self._shape.prod(axis=0) / (total**2 * (total + 1.0))
        return {
            "means": (self._shape[0] / total)[None],
            "covariances": np.diag(variance)[None],
            "exponents": self._shape.copy(),
            "entropy": Betas.entropy(self._shape)[0],
            "success_rate": self._rate,
            "updates": self._updates,
            "backups": self._backups,
            "failed_fits": self._failed,
        }
