"""Self-paced learning (SPDL): a Gaussian over tasks that trades performance for the target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._given import given_points
from currgym.teachers._measure import Measure, check_measure, measured, needs_of
from currgym.teaching import Batch, Reason, State, Teacher, register

__all__ = ["Gaussian", "SelfPaced", "improve"]

FloatArray = NDArray[np.float64]
Form = Literal["value", "episodic"]

REDRAWS = 100
FARTHEST = 5.0
MAX_ALPHA = 1e5  # the authors'
LEAST_KL = 1e-10
# A given distribution may be a single task; its standard deviation is then this share of a range,
# as in the authors' point mass (0.004 of 8).
LEAST_STD = 5e-4
INITIAL_STD = 0.25
UNIFORM_STD = math.sqrt(1.0 / 12.0)


class Gaussian:
    """A normal distribution over the unit cube's space.

    Args:
        mean: ``(dim,)``.
        factor: Lower triangular ``(dim, dim)``, positive on the diagonal; its square is the
            covariance.
    """

    def __init__(self, mean: FloatArray, factor: FloatArray) -> None:
        self.mean = mean
        self.factor = factor

    @classmethod
    def of(cls, points: FloatArray | None, dim: int, otherwise: float) -> Gaussian:
        """Return the normal distribution with the moments of given points.

        Where none are given: about the centre, with this standard deviation in every dimension.
        """
        if points is None:
            return cls(np.full(dim, 0.5), otherwise * np.eye(dim))
        gaps = points - points.mean(axis=0)
        covariance = gaps.T @ gaps / len(points) + LEAST_STD**2 * np.eye(dim)
        return cls(points.mean(axis=0), np.linalg.cholesky(covariance))

    @property
    def covariance(self) -> FloatArray:
        """``(dim, dim)``."""
        return self.factor @ self.factor.T

    @property
    def std(self) -> FloatArray:
        """Standard deviation of every dimension."""
        return np.asarray(np.sqrt((self.factor**2).sum(axis=1)))

    def kl_to(self, other: Gaussian) -> float:
        """Return the Kullback-Leibler divergence KL(self || other)."""
        ratio = np.linalg.solve(other.factor, self.factor)
        shift = np.linalg.solve(other.factor, self.mean - other.mean)
        logs = np.log(np.diag(other.factor)).sum() - np.log(np.diag(self.factor)).sum()
        return float(0.5 * ((ratio**2).sum() + shift @ shift - len(shift)) + logs)

    def log_density(self, points: FloatArray) -> FloatArray:
        """Return log densities but for the constant ``-dim / 2 log(2 pi)``, ``(n,)``."""
        z = np.linalg.solve(self.factor, (points - self.mean).T)
        return np.asarray(-0.5 * (z**2).sum(axis=0) - np.log(np.diag(self.factor)).sum())

    def widened(self, least: FloatArray) -> Gaussian:
        """Return it with standard deviations of at least ``least``, correlations as they are."""
        return Gaussian(self.mean, np.maximum(1.0, least / self.std)[:, None] * self.factor)


def improve(
    old: Gaussian,
    target: Gaussian,
    tasks: FloatArray,
    values: FloatArray,
    alpha: float,
    max_kl: float,
) -> Gaussian | None:
    """Return the Gaussian with the best trade of performance against the target near the old one.

    Maximises ``mean(p(x) / p_old(x) value) - alpha KL(p || target)`` over ``p`` subject to
    ``KL(p_old || p) <= max_kl``. Where nothing is better that is the old one; None if the search
    fails, or if no attempt can have come from ``p_old``.

    The search goes on where ``p_old`` is the standard normal distribution, so that a narrow one is
    no harder. There ``p`` is written by a lower triangular ``R`` and an ``a`` for which ``R x - a``
    is standard normal: in them the trust region is convex.

    Args:
        old: The distribution from which the tasks were drawn.
        target: Where to go.
        tasks: ``(n, dim)``.
        values: ``(n,)``, the performance in each.
        alpha: Weight of the target, at least 0.
        max_kl: Size of the trust region, above 0.
    """  # fmt: skip
    from scipy.optimize import minimize  # here: listing teachers must not load it

    dim = len(old.mean)
    lower = np.tril_indices(dim, -1)
    diagonal = np.diag_indices(dim)
    points = np.linalg.solve(old.factor, (tasks - old.mean).T)
    # A foreign task, or one from long ago, has no importance weight: it was not drawn from p_old.
    drawn = (points**2).sum(axis=0) <= (math.sqrt(dim) + FARTHEST) ** 2
    if not drawn.any():
        return None
    points, values = points[:, drawn], values[drawn]
    densities = -0.5 * (points**2).sum(axis=0)
    there = np.linalg.solve(old.factor, target.mean - old.mean)
    precision = np.linalg.inv(np.linalg.solve(old.factor, target.factor))
    precision = precision.T @ precision
    shares = values / len(values)

    def unpack(x: FloatArray) -> tuple[FloatArray, FloatArray]:
        root = np.zeros((dim, dim))
        root[lower], root[diagonal] = x[dim:-dim], x[-dim:]
        return x[:dim], root

    def pack(shift: FloatArray, root: FloatArray) -> FloatArray:
        return np.concatenate([shift, root[lower], root[diagonal]])

    def loss(x: FloatArray) -> tuple[float, FloatArray]:
        shift, root = unpack(x)
        logs = np.log(root[diagonal]).sum()
        inverse = np.diag(1.0 / root[diagonal])
        z = root @ points - shift[:, None]
        weighted = shares * np.exp(-0.5 * (z**2).sum(axis=0) + logs - densities)
        by_shift = z @ weighted
        by_root = weighted.sum() * inverse - (z * weighted) @ points.T
        back = np.linalg.inv(root)
        mean, covariance = back @ shift, back @ back.T
        gap = precision @ (mean - there)
        kl = 0.5 * ((precision * covariance).sum() + (mean - there) @ gap) + logs
        pull = back.T @ gap
        kl_by_root = inverse - np.outer(pull, mean) - back.T @ precision @ covariance
        return (
            float(alpha * kl - weighted.sum()),
            pack(alpha * pull - by_shift, alpha * kl_by_root - by_root),
        )

    def room(x: FloatArray) -> float:
        shift, root = unpack(x)
        spread = 0.5 * ((root**2).sum() + shift @ shift - dim)
        return float(max_kl - spread + np.log(root[diagonal]).sum())

    def room_gradient(x: FloatArray) -> FloatArray:
        shift, root = unpack(x)
        return pack(-shift, np.diag(1.0 / root[diagonal]) - root)

    # No coordinate alone can leave these bounds within the trust region.
    side, wide = math.sqrt(2.0 * max_kl), math.sqrt(max_kl)
    bounds = [(-side, side)] * (dim + len(lower[0]))
    bounds += [(math.exp(-max_kl - side), math.exp(wide))] * dim
    start = pack(np.zeros(dim), np.eye(dim))
    before = loss(start)[0]
    scale = max(float(np.abs(loss(start)[1]).max()), 1e-300)
    found = minimize(
        lambda x: tuple(part / scale for part in loss(x)), start, jac=True, method="SLSQP",
        bounds=bounds, constraints=[{"type": "ineq", "fun": room, "jac": room_gradient}],
        options={"maxiter": 100, "ftol": 1e-14},
    )  # fmt: skip
    x = np.asarray(found.x, dtype=np.float64)
    if not np.isfinite(x).all():
        return None
    # Better and within the trust region, both: a step that misses one is shortened.
    for _ in range(10):
        if room(x) >= -1e-6 * max_kl and loss(x)[0] < before:
            shift, root = unpack(x)
            back = np.linalg.inv(root)
            return Gaussian(old.mean + old.factor @ (back @ shift), old.factor @ back)
        x = start + 0.5 * (x - start)
    return old


@register(
    "self-paced",
    presets={
        "episodic": {"form": "episodic"},
        "value": {"form": "value"},
        # The authors' point mass with PPO, and TeachMyAgent's settings: an update every 50,000
        # steps from 200,000 on, at 2,000 an attempt.
        "pointmass": {
            "form": "value", "update_period": 20, "offset": 5, "alpha_offset": 10, "zeta": 1.6,
            "max_kl": 0.05, "std_floor": 0.025, "kl_threshold": 8000.0,
        },
        "teachmyagent": {
            "form": "value", "update_period": 25, "offset": 4, "alpha_offset": 10, "zeta": 0.25,
            "max_kl": 0.1, "std_floor": 0.0,
        },
    },
)  # fmt: skip
class SelfPaced(Teacher):
    """Draw from a Gaussian that moves to the target as fast as the student's performance allows.

    Every ``update_period`` attempts the Gaussian is fitted anew: it maximises the expected
    performance (by importance weights) minus ``alpha`` times its divergence from the target, within
    a trust region around the old one. For the first ``alpha_offset`` updates ``alpha`` is 0, and it
    looks for what the student can do; then it is ``zeta`` times the mean performance over the
    present divergence.

    Source: Klink, D'Eramo, Peters, Pajarinen, "Self-paced deep reinforcement learning" (SPDL),
    NeurIPS 2020, https://arxiv.org/abs/2004.11812; Klink et al., "A probabilistic interpretation of
    self-paced learning with applications to reinforcement learning", JMLR 2021,
    https://arxiv.org/abs/2102.13176.

    Differences from the authors' code: the problem is solved (SLSQP, exact derivatives), not
    approached by one conjugate-gradient step whose residual and direction share memory; a step must
    be better *and* in the trust region (the code's line search takes either) and keeps within
    ``max_kl``, not one and a half times that. Draws outside the space are drawn again, up to 100
    times, and then clipped (the code clips all of them, which piles tasks up on the faces). Time is
    counted in attempts. Target and start are Gaussians with the moments of the given tasks, so two
    separate targets become one wide one.

    Args:
        space: Box tasks, or examples with a declared difficulty.
        seed: Of the private random generator.
        return_range: Raw returns that count as 0 and 1 in the episodic form; None uses running
            quantiles.
        initial: Tasks whose moments the first Gaussian has, as the space writes them; None is the
            centre with a quarter of each range as deviation (the authors' point mass).
        target: Likewise for the target; None has the moments of the uniform distribution.
        form: ``"episodic"`` takes an attempt's own performance, ``"value"`` the student's value
            estimate of its first state (the paper's; needs ``initial_values``).
        zeta: Share of the performance that the target may cost, at least 0.
        alpha_offset: Updates during which the target counts nothing, at least 0.
        max_kl: Size of the trust region, above 0.
        update_period: Attempts between updates, at least 2. None is 20 (the paper's point mass has
            about as many in an iteration), or the number of the Gaussian's parameters, if that is
            more.
        offset: Periods at the start that change nothing, at least 0.
        std_floor: Least standard deviation of a dimension, as a share of its range, in [0, 1], as
            long as the target is farther than ``kl_threshold``. Nearer, and for a target that is
            narrower by itself, the target's own deviation is the floor.
        kl_threshold: Divergence from the target, at least 0.
        measure: Of the episodic form: ``"return"`` (scaled to [0, 1]) or ``"success"``.

    Raises:
        ValueError: If a given task lies outside the space, or a value is out of its range.

    >>> from currgym import BoxTasks, Outcomes, make_teacher
    >>> teacher = make_teacher(
    ...     "self-paced", BoxTasks([0, 0], [3, 6]), seed=0, return_range=(0, 1), target=[[3, 6]]
    ... )
    >>> for _ in range(80):
    ...     teacher.update(Outcomes(teacher.sample(20), [1.0] * 20))
    >>> bool((teacher.sample(50) > [2.9, 5.8]).all())
    True
    """

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        initial: ArrayLike | None = None,
        target: ArrayLike | None = None,
        form: Form = "episodic",
        zeta: float = 1.6,
        alpha_offset: int = 10,
        max_kl: float = 0.05,
        update_period: int | None = None,
        offset: int = 5,
        std_floor: float = 0.025,
        kl_threshold: float = 8000.0,
        measure: Measure = "return",
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        dim = space.unit_dim
        if update_period is None:
            update_period = max(20, dim + dim * (dim + 1) // 2)
        if form not in get_args(Form):
            raise ValueError(f"form must be one of {get_args(Form)}, got {form!r}")
        for name, value, least in (
            ("zeta", zeta, 0), ("alpha_offset", alpha_offset, 0), ("offset", offset, 0),
            ("update_period", update_period, 2), ("kl_threshold", kl_threshold, 0),
        ):  # fmt: skip
            if not value >= least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if not max_kl > 0.0:
            raise ValueError(f"max_kl must be above 0, got {max_kl}")
        if not 0.0 <= std_floor <= 1.0:
            raise ValueError(f"std_floor must lie in [0, 1], got {std_floor}")
        check_measure(measure)
        self.initial = given_points(space, initial, "initial")
        self.target = given_points(space, target, "target")
        self.form: Form = form
        self.zeta = zeta
        self.alpha_offset = alpha_offset
        self.max_kl = max_kl
        self.update_period = update_period
        self.offset = offset
        self.std_floor = std_floor
        self.kl_threshold = kl_threshold
        self.measure: Measure = measure
        self._goal = Gaussian.of(self.target, dim, UNIFORM_STD)
        self._present = Gaussian.of(self.initial, dim, INITIAL_STD)
        self._rows: FloatArray = np.empty((0, dim + 2))
        self._periods = 0
        self._fits = 0
        self._failed_fits = 0
        self._alpha = 0.0

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """Value estimates, or successes where they are the measure."""
        if self.form == "value":
            return frozenset({"initial_values"})
        return needs_of(self.measure)

    @property
    def privileges(self) -> frozenset[str]:  # type: ignore[override]
        """What was given."""
        given = {"initial": self.initial, "target": self.target}
        return frozenset(k for k, v in given.items() if v is not None)

    def _sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        # One by one: most calls ask for a single task, and n tasks are the same as n times one.
        tasks = np.empty((n, self.space.unit_dim))
        mean, factor = self._present.mean, self._present.factor
        for i in range(n):
            for _ in range(REDRAWS):
                task = mean + factor @ rng.standard_normal(len(mean))
                if ((task >= 0.0) & (task <= 1.0)).all():
                    break
            tasks[i] = np.clip(task, 0.0, 1.0)
        return tasks

    def _update(self, batch: Batch) -> None:
        rows = np.concatenate([self._rows, self._new_rows(batch)])
        first = 0
        while len(rows) - first >= self.update_period:
            self._advance(rows[first : first + self.update_period])
            first += self.update_period
        self._rows = rows[first:]

    def _new_rows(self, batch: Batch) -> FloatArray:
        """Return rows of task, the value to maximise, and the performance that sets ``alpha``."""
        if self.form == "value":
            assert batch.initial_values is not None  # the teacher's needs name it
            values = batch.initial_values
            # The paper's mean return is discounted, as values are; a mean value stands in for it.
            performance = values if batch.discounted is None else batch.discounted
        else:
            values = performance = measured(batch, self.measure)
        return np.column_stack([batch.tasks, values, performance])

    def _advance(self, rows: FloatArray) -> None:
        """Fit the Gaussian anew to the attempts of one period."""
        self._periods += 1
        if self._periods <= self.offset or self.space.unit_dim == 0:
            return
        distance = max(self._present.kl_to(self._goal), LEAST_KL)
        self._alpha = 0.0
        if self._fits + self._failed_fits >= self.alpha_offset:
            performance = max(0.0, float(rows[:, -1].mean()))
            self._alpha = min(MAX_ALPHA, self.zeta * performance / distance)
        found = improve(
            self._present, self._goal, rows[:, :-2], rows[:, -2], self._alpha, self.max_kl
        )
        if found is None:
            self._failed_fits += 1
            return
        self._fits += 1
        far = found.kl_to(self._goal) > self.kl_threshold
        least = np.full(len(found.mean), self.std_floor)
        self._present = found.widened(least if far else np.minimum(least, self._goal.std))

    def _state(self) -> State:
        return {
            "mean": self._present.mean.copy(),
            "factor": self._present.factor.copy(),
            "rows": self._rows.copy(),
            "periods": self._periods,
            "fits": self._fits,
            "failed_fits": self._failed_fits,
            "alpha": self._alpha,
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self._present = Gaussian(
            np.array(state["mean"], dtype=np.float64), np.array(state["factor"], dtype=np.float64)
        )
        self._rows = np.array(state["rows"], dtype=np.float64)
        self._periods = int(state["periods"])
        self._fits, self._failed_fits = int(state["fits"]), int(state["failed_fits"])
        self._alpha = float(state["alpha"])

    def _why(self, row: int, task: Any) -> Reason:
        if not self.space.unit_dim:
            return Reason("the only task", f"proposal {self._number(row):,}")
        inside = np.linalg.solve(self._present.factor, task - self._present.mean)
        off = float(np.linalg.norm(inside))
        return Reason(
            f"the Gaussian of fit {self._fits:,}",
            f"this task lies {off:.3g} standard deviations from its mean; its divergence from "
            f"the target is {self._present.kl_to(self._goal):.3g}, which the latest fit weighed "
            f"against performance by alpha = {self._alpha:.3g}",
            explores=False,
        )

    def snapshot(self) -> dict[str, Any]:
        """Return the Gaussian in the unit cube, its divergence from the target, and ``alpha``."""
        shown: dict[str, Any] = {
            "fits": self._fits, "failed_fits": self._failed_fits, "alpha": self._alpha,
        }  # fmt: skip
        if self.space.unit_dim:
            shown |= {
                "means": self._present.mean[None].copy(),
                "covariances": self._present.covariance[None],
                "chances": np.ones(1),
                "kl_to_target": self._present.kl_to(self._goal),
            }
        return shown
