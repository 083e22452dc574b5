"""GRADIENT: stages on the shortest way between two distributions, one at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._given import draw, given_points
from currgym.teachers._measure import Measure, check_measure, measured, needs_of
from currgym.teachers._transport import (
    cloud,
    known_beforehand,
    squared_distances,
    start_cloud,
)
from currgym.teaching import Batch, Reason, State, Teacher, register

__all__ = ["Gradient", "barycentre"]

FloatArray = NDArray[np.float64]
Anchor = Literal["initial", "previous"]

# Tasks this near (a share of each range) are the same when it is asked whose stage one is of.
RESOLUTION = 1e-4
SNAPSHOT_BYTES = 40_000


def barycentre(
    start: tuple[FloatArray, FloatArray], end: tuple[FloatArray, FloatArray], alpha: float
) -> tuple[FloatArray, FloatArray]:
    """Return the Wasserstein barycentre of two weighted point clouds, as points and weights.

    It minimises ``(1 - alpha) W(start, p)^2 + alpha W(end, p)^2``. Of two distributions that is the
    displacement interpolation of McCann: every piece of the optimal transport plan goes the share
    ``alpha`` of its way.

    Args:
        start: Points ``(n, dim)`` and weights ``(n,)`` that sum to 1.
        end: Likewise.
        alpha: In [0, 1].
    """
    import ot  # here: listing teachers must not load it

    plan = ot.emd(start[1], end[1], squared_distances(start[0], end[0]))
    rows, columns = np.nonzero(plan)
    weights = plan[rows, columns]
    points = (1.0 - alpha) * start[0][rows] + alpha * end[0][columns]
    return points, weights / weights.sum()


@register(
    "gradient",
    presets={
        # The authors' code: ten stages, each from the one before, at a mean reward of 0.5.
        "original": {
            "stages": 10, "anchor": "previous", "threshold": 0.5, "max_steps": 100_000,
            "particles": 100,
        },
        # Klink et al. (TPAMI 2024), steps of alpha 0.2, 0.05 and 0.05; returns 3.0 of about 10 that
        # the best policy gets (discounted), a success rate of 0.6, and 180 in [-150, 350].
        "otc-pointmass": {
            "stages": 5, "threshold": 0.3, "update_period": 20, "particles": 100,
            "measure": "return",
        },
        "otc-maze": {
            "stages": 20, "threshold": 0.6, "update_period": 50, "particles": 500,
            "measure": "success",
        },
        "otc-teachmyagent": {
            "stages": 20, "threshold": 0.66, "update_period": 50, "particles": 500,
            "measure": "return",
        },
    },
)  # fmt: skip
class Gradient(Teacher):
    """Go from an initial to a target distribution in stages, each begun when the last is mastered.

    The distribution of a stage is the Wasserstein barycentre of the two with weights ``1 - alpha``
    and ``alpha``. Whenever the mean performance of ``update_period`` attempts at the stage's own
    tasks reaches ``threshold``, ``alpha`` grows by ``1 / stages``.

    Source: Huang, Xu, Zhu, Shi, Fang, Zhao, "Curriculum reinforcement learning using optimal
    transport via gradual domain adaptation" (GRADIENT), NeurIPS 2022,
    https://arxiv.org/abs/2210.10195. Presets ``otc-...`` have the settings of Klink et al. (TPAMI
    2024, https://arxiv.org/abs/2309.14091), who compare with it, ``original`` those of the authors'
    code.

    Differences: distances are Euclidean in the unit cube; the paper's learned metric (a contextual
    auto-encoder) is not here. The barycentre is exact (POT's network simplex; the authors iterate
    POT's free-support barycentre, Klink et al. descend a Sinkhorn divergence). Only attempts at
    tasks of the running stage count, so that late ones of an easier stage, or foreign ones, cannot
    open the next. At the end the target distribution itself is drawn.

    Args:
        space: Box tasks, or examples with a declared difficulty.
        seed: Of the private random generator.
        return_range: Raw returns that count as 0 and 1 for ``measure="return"``; None uses running
            quantiles.
        initial: Tasks to start from, each as likely, as the space writes them. None is uniform over
            the easiest tenth of a space that declares a difficulty, and else over the middle tenth
            of every dimension.
        target: Tasks of the target distribution, likewise; None for uniform over the space.
        stages: Steps from the initial to the target distribution, at least 1.
        threshold: Mean performance that opens the next stage, in [0, 1] of ``measure``.
        update_period: Attempts of which the mean is taken, then counted anew; at least 1.
        max_steps: Environment steps after which the next stage opens in any case, at least 1; None
            waits for the threshold.
        anchor: ``"initial"`` takes each barycentre between the initial and the target distribution
            (the paper's), ``"previous"`` between the last stage and the target, which is the same
            but for new samples of the target at each stage.
        particles: Tasks that stand for either distribution, in [2, 1,000].
        measure: ``"return"`` (scaled to [0, 1]) or ``"success"``.

    Raises:
        ValueError: If a given task lies outside the space, or a value is out of its range.

    >>> from currgym import BoxTasks, Outcomes, make_teacher
    >>> teacher = make_teacher(
    ...     "gradient", BoxTasks([0, 0], [3, 6]), seed=0, return_range=(0, 1), stages=4,
    ...     update_period=2, initial=[[0.0, 6.0]], target=[[3.0, 0.0]],
    ... )
    >>> for result in (1.0, 0.0, 1.0):
    ...     tasks = teacher.sample(2)
    ...     teacher.update(Outcomes(tasks, [result, result]))
    >>> teacher.sample(1), teacher.snapshot()["alpha"]
    (array([[1.5, 3. ]]), 0.5)
    """

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        initial: ArrayLike | None = None,
        target: ArrayLike | None = None,
        stages: int = 10,
        threshold: float = 0.5,
        update_period: int = 20,
        max_steps: int | None = None,
        anchor: Anchor = "initial",
        particles: int = 100,
        measure: Measure = "return",
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        for name, value, least in (
            ("stages", stages, 1), ("update_period", update_period, 1),
            ("max_steps", max_steps, 1),
        ):  # fmt: skip
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if not 0.0 <= threshold <= 1.0:
            raise ValueError(f"threshold must lie in [0, 1], got {threshold}")
        if anchor not in get_args(Anchor):
            raise ValueError(f"anchor must be one of {get_args(Anchor)}, got {anchor!r}")
        if not 2 <= particles <= 1000:
            raise ValueError(f"particles must lie in [2, 1000], got {particles}")
        check_measure(measure)
        self.initial = given_points(space, initial, "initial")
        self.target = given_points(space, target, "target")
        self.stages = stages
        self.threshold = threshold
        self.update_period = update_period
        self.max_steps = max_steps
        self.anchor: Anchor = anchor
        self.particles = particles
        self.measure: Measure = measure
        self._stage = 0
        self._start = start_cloud(space, self.initial, particles, self.rng)
        self._values: list[float] = []
        self._steps = 0
        self._last_mean = math.nan
        self._failed_fits = 0
        self._set(self._start, np.full(particles, 1.0 / particles))

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """Successes, where they are the measure."""
        return needs_of(self.measure)

    @property
    def privileges(self) -> frozenset[str]:  # type: ignore[override]
        """The threshold, what was given, and the difficulty where it tells the start."""
        known = known_beforehand(self.space, self.initial, self.target)
        return known | {"success_threshold"}

    @property
    def alpha(self) -> float:
        """How far on the way it is, in [0, 1]."""
        return self._stage / self.stages

    def _set(self, points: FloatArray, weights: FloatArray) -> None:
        """Take the tasks of a stage."""
        self._points, self._weights = points, weights
        self._edges = np.cumsum(weights)
        self._own = set(self._keys(self.space.to_unit(self.space.from_unit(points))))

    @staticmethod
    def _keys(unit: FloatArray) -> list[bytes]:
        return [row.tobytes() for row in np.rint(unit / RESOLUTION).astype(np.int64)]

    def _sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        if self._stage == self.stages:
            return draw(self.target, n, self.space.unit_dim, rng)
        chosen = np.searchsorted(self._edges, rng.random(n) * self._edges[-1], side="right")
        self._origins = np.minimum(chosen, len(self._points) - 1)
        return np.asarray(self._points[self._origins])

    def _update(self, batch: Batch) -> None:
        if self._stage == self.stages:
            return
        keys = self._keys(batch.tasks)
        values = measured(batch, self.measure).tolist()
        lengths = batch.lengths.tolist()
        learned = np.ones(len(batch), dtype=bool) if batch.probe is None else ~batch.probe
        for key, value, length, counts in zip(keys, values, lengths, learned.tolist(), strict=True):
            if not counts or key not in self._own:
                continue
            self._values.append(value)
            self._steps += length
            enough = False
            if len(self._values) == self.update_period:
                self._last_mean = sum(self._values) / self.update_period
                self._values.clear()
                enough = self._last_mean >= self.threshold
            if enough or (self.max_steps is not None and self._steps >= self.max_steps):
                self._next_stage()

    def _next_stage(self) -> None:
        self._values.clear()
        self._steps = 0
        if self._stage + 1 == self.stages:
            self._stage += 1
            self._own = set()
            return
        if self.target is not None and len(self.target) <= self.particles:
            end = self.target  # the distribution itself, without sampling
        else:
            end = cloud(self.target, self.particles, self.space.unit_dim, self.rng)
        goal = end, np.full(len(end), 1.0 / len(end))
        if self.anchor == "initial":
            start = self._start, np.full(self.particles, 1.0 / self.particles)
            share = (self._stage + 1) / self.stages
        else:
            start = self._points, self._weights
            share = 1.0 / (self.stages - self._stage)
        points, weights = barycentre(start, goal, share)
        if len(points) == 0 or not (np.isfinite(points).all() and np.isfinite(weights).all()):
            self._failed_fits += 1
            return
        self._stage += 1
        self._set(*self._thinned(points, weights))

    def _thinned(self, points: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return at most as many points as two clouds have: plans of plans would grow."""
        most = 2 * self.particles
        if len(points) <= most:
            return points, weights
        ticks = (np.arange(most) + self.rng.random()) / most
        rows = np.searchsorted(np.cumsum(weights), ticks * weights.sum(), side="right")
        return points[np.minimum(rows, len(points) - 1)], np.full(most, 1.0 / most)

    def _state(self) -> State:
        return {
            "stage": self._stage,
            "start": self._start.copy(),
            "points": self._points.copy(),
            "weights": self._weights.copy(),
            "values": np.array(self._values),
            "steps": self._steps,
            "last_mean": None if math.isnan(self._last_mean) else self._last_mean,
            "failed_fits": self._failed_fits,
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self._stage = int(state["stage"])
        self._start = np.array(state["start"], dtype=np.float64)
        self._set(np.array(state["points"]), np.array(state["weights"]))
        self._values = np.asarray(state["values"], dtype=np.float64).tolist()
        self._steps = int(state["steps"])
        mean = state["last_mean"]
        self._last_mean = math.nan if mean is None else float(mean)
        self._failed_fits = int(state["failed_fits"])

    def _why(self, row: int, task: Any) -> Reason:
        if self._stage == self.stages:
            told = f"all {self.stages:,} stages were passed before proposal {self._number(row):,}"
            return Reason("the target", told)
        at = int(self._origins[row])
        return Reason(
            f"task {at + 1:,} of {len(self._points):,} of stage {self._stage + 1:,}",
            f"the stage lies {100.0 * self.alpha:.3g} % of the way to the target, and has "
            f"{len(self._values):,} of {self.update_period:,} attempts towards a mean of "
            f"{self.threshold:.3g}",
            float(self._weights[at] / self._weights.sum()),
        )

    def snapshot(self) -> dict[str, Any]:
        """Return the stage's tasks with their chances (as many as fit), and how far it has come."""
        shown: dict[str, Any] = {
            "alpha": self.alpha,
            "last_mean": self._last_mean,
            "counted": len(self._values),
            "failed_fits": self._failed_fits,
        }
        if self._stage < self.stages:
            tasks = self.space.from_unit(self._points)
            fitting = max(1, SNAPSHOT_BYTES * len(tasks) // max(1, tasks.nbytes))
            shown |= {"tasks": tasks[:fitting], "chances": self._weights[:fitting].copy()}
        return shown
