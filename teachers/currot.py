"""CURROT: particles move towards the target as far as the student's performance allows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._given import given_points
from currgym.teachers._measure import Measure, check_measure, measured, needs_of
from currgym.teachers._transport import cloud, match, squared_distances
from currgym.teaching import Batch, Reason, State, Teacher, register

__all__ = ["Currot", "SuccessBuffer", "predict_performance"]

FloatArray = NDArray[np.float64]

# Of the authors' code: the kernel's length and reach, the noise on successes (shares of epsilon),
# the jitter of a sampled particle (a share of each range), and the candidates of a particle.
LENGTH_SHARE = 0.3
REACH = 3.0
NEAREST = 10
NOISE_SHARE = 0.005
SEARCH_WIDTH = 0.25
JITTER = 1e-3
CANDIDATES = 100
LINE_POINTS = 10
REDRAWS = 10
# A weighted mean of ones may round to a little less than 1.
SLACK = 1e-9
# Candidates are looked at nearest to the target first, and most particles need only a few.
ROUNDS = (0, 8, 32, 1 + CANDIDATES + LINE_POINTS)
CHUNK = 256
SNAPSHOT_BYTES = 40_000


def predict_performance(
    tasks: FloatArray, values: FloatArray, at: FloatArray, length: float
) -> FloatArray:
    """Return the Nadaraya-Watson estimate of performance at some tasks, ``(m,)``.

    A Gaussian kernel weighs the attempts within three lengths, or, where there are none, the
    nearest ten.

    Args:
        tasks: ``(n, dim)`` attempted, at least one.
        values: ``(n,)`` how well each went.
        at: ``(m, dim)`` where to predict.
        length: Of the kernel, above 0.
    """
    nearest = min(NEAREST, len(tasks))
    found = np.empty(len(at))
    for first in range(0, len(at), CHUNK):
        gaps = squared_distances(at[first : first + CHUNK], tasks)
        near = gaps <= (REACH * length) ** 2
        alone = ~near.any(axis=1)
        if alone.any():
            limit = np.partition(gaps[alone], nearest - 1, axis=1)[:, nearest - 1 : nearest]
            near[alone] = gaps[alone] <= limit
        # Relative to the nearest attempt: far from all of them the weights would sum to 0.
        gaps -= gaps.min(axis=1, keepdims=True)
        weights = np.zeros_like(gaps)
        np.exp(gaps / (-2.0 * length**2), out=weights, where=near)
        found[first : first + CHUNK] = (weights @ values) / weights.sum(axis=1)
    return found


class SuccessBuffer:
    """Attempts from which particles are drawn: the best so far, later those above a threshold.

    Until half of them reach the threshold, attempts at least as good as the middle one enter and
    the worst leave. From then on only those that reach it enter; where there are too many, an
    assignment to samples of the target tells which stay.

    Args:
        size: Attempts kept.
        dim: Dimensions of a task.
        threshold: Performance that counts as success.
    """

    def __init__(self, size: int, dim: int, threshold: float) -> None:
        self.size = size
        self.threshold = threshold
        self.reached = False
        self.tasks: FloatArray = np.empty((0, dim))
        self.values: FloatArray = np.empty(0)

    def __len__(self) -> int:
        return len(self.values)

    def add(
        self, tasks: FloatArray, values: FloatArray, target: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Take attempts in, and return tasks and values of those that are not kept.

        Args:
            tasks: ``(n, dim)``.
            values: ``(n,)``.
            target: ``(size, dim)`` samples of the target distribution.
        """
        pool = np.concatenate([self.tasks, tasks])
        scores = np.concatenate([self.values, values])
        kept = self._solved(scores, target, pool) if self.reached else self._best(scores)
        rest = np.setdiff1d(np.arange(len(scores)), kept)
        self.tasks, self.values = pool[kept], scores[kept]
        if not self.reached:
            self.reached = bool(self.values[len(self) // 2] >= self.threshold)
        return pool[rest], scores[rest]

    def _best(self, scores: FloatArray) -> NDArray[np.intp]:
        """Return the rows to keep while searching, the worst first."""
        old = len(self)
        if old == 0:
            entering, leaving = np.arange(len(scores)), 0
        else:
            middle = self.values[old // 2]
            entering = old + np.flatnonzero(scores[old:] >= middle)
            leaving = min(len(entering), old // 2 + 1)
        rows = np.concatenate([np.arange(leaving, old), entering])
        return rows[np.argsort(scores[rows], kind="stable")][-self.size :]

    def _solved(self, scores: FloatArray, target: FloatArray, pool: FloatArray) -> NDArray[np.intp]:
        """Return the rows to keep once half of the buffer has reached the threshold."""
        old = len(self)
        solved = np.flatnonzero(scores >= self.threshold)
        if len(solved) > self.size:
            return solved[match(target, pool[solved])]
        failed = np.flatnonzero(scores[:old] < self.threshold)
        gained = int((solved >= old).sum())
        worst_first = failed[np.argsort(scores[failed], kind="stable")]
        return np.concatenate([worst_first[gained:], solved])

    def state(self) -> State:
        """Return plain arrays and numbers."""
        return {"tasks": self.tasks.copy(), "values": self.values.copy(), "reached": self.reached}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` returned."""
        self.tasks = np.array(state["tasks"], dtype=np.float64)
        self.values = np.array(state["values"], dtype=np.float64)
        self.reached = bool(state["reached"])


@register(
    "currot",
    presets={
        # Published for the point mass: 4.0 of about 10 that the best policy gets (discounted), and
        # a step of 0.7 in a space of 8 x 7.5.
        "pointmass": {
            "particles": 100, "delta": 0.4, "epsilon": 0.064, "update_period": 20, "wait": True,
            "measure": "return",
        },
        # Sparse goal reaching: a step of 1.2 in a space of 18 x 18 x 17.95.
        "maze": {
            "particles": 500, "delta": 0.8, "epsilon": 0.0385, "update_period": 50, "wait": True,
            "measure": "success",
        },
        # A return of 180 in [-150, 350].
        "teachmyagent": {
            "particles": 500, "delta": 0.66, "epsilon": 0.05, "update_period": 50, "wait": False,
            "measure": "return",
        },
    },
)  # fmt: skip
class Currot(Teacher):
    """Move particles to the target distribution, each only where the student performs well enough.

    The tasks proposed are particles. Every ``update_period`` attempts a kernel regression over
    buffers of successes and failures predicts the student's performance. Particles whose own
    performance is too low are replaced by noisy successes; then each moves towards its sample of
    the target (exact assignment, squared distances), by ``epsilon`` at most and only to places
    where at least ``delta`` is predicted.

    Source: Klink, Yang, D'Eramo, Peters, Pajarinen, "Curriculum reinforcement learning via
    constrained optimal transport", ICML 2022, and its journal form "On the benefit of optimal
    transport for curriculum reinforcement learning", TPAMI 2024, https://arxiv.org/abs/2309.14091,
    with the settings of the authors' code (``currot``, ``optimal-transport-curricula``).

    Differences from that code: distances are those of the unit cube and ``epsilon`` is a share of
    its diameter; one ``epsilon`` serves trust region, kernel and noise (the code hands its square
    root to two of them). A particle at its target stays (0/0 there). The width of the search counts
    from the worst attempt ever, not of the first batch, and never exceeds a quarter of the range
    (negative or infinite there). A noisy success outside the space is drawn anew from the success,
    not from the last draw. With fewer than ten attempts all are neighbours. The buffer starts empty
    and knows at once that it has reached ``delta`` (an update late there). Every particle has its
    own candidates and may stay where it is. Dropped is the cap on the neighbours of a prediction.
    Particles go by the latest attempts to arrive, so that short failures that overtake longer
    successes count too early; ``Curriculum(teacher, ordered=True)`` prevents it.

    Args:
        space: Box tasks, or examples with a declared difficulty.
        seed: Of the private random generator.
        return_range: Raw returns that count as 0 and 1 for ``measure="return"``; None uses running
            quantiles.
        initial: Tasks to start from, each as likely, as the space writes them; None is uniform.
        target: Tasks of the target distribution, likewise; None for uniform over the space.
        delta: Performance that a task must promise, in [0, 1] of ``measure``.
        epsilon: Greatest step of a particle, as a share of the cube's diameter, in (0, 1]. The
            journal paper's rule of thumb is the default.
        particles: Tasks that stand for the distribution, and size of both buffers, in [2, 2,000].
        update_period: Attempts between updates, at least 1.
        wait: Whether the particles stay until their mean performance has once reached ``delta``;
            otherwise they search around the best attempts.
        measure: ``"return"`` (scaled to [0, 1]) or ``"success"``.

    Raises:
        ValueError: If a given task lies outside the space, or a value is out of its range.

    >>> from currgym import BoxTasks, Outcomes, make_teacher
    >>> space = BoxTasks([0, 0], [8, 8])
    >>> teacher = make_teacher(
    ...     "currot", space, seed=0, return_range=(0, 1), initial=[[1, 1]], target=[[7, 7]]
    ... )
    >>> for _ in range(60):
    ...     tasks = teacher.sample(10)
    ...     teacher.update(Outcomes(tasks, tasks.sum(axis=1) < 10))  # beyond, all attempts fail
    >>> float(teacher.sample(50).sum(axis=1).mean().round(1))
    10.2
    """

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        initial: ArrayLike | None = None,
        target: ArrayLike | None = None,
        delta: float = 0.5,
        epsilon: float = 0.05,
        particles: int = 100,
        update_period: int = 20,
        wait: bool = False,
        measure: Measure = "return",
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        if not 0.0 <= delta <= 1.0:
            raise ValueError(f"delta must lie in [0, 1], got {delta}")
        if not 0.0 < epsilon <= 1.0:
            raise ValueError(f"epsilon must lie in (0, 1], got {epsilon}")
        if not 2 <= particles <= 2000:
            raise ValueError(f"particles must lie in [2, 2000], got {particles}")
        if update_period < 1:
            raise ValueError(f"update_period must be at least 1, got {update_period}")
        check_measure(measure)
        self.initial = given_points(space, initial, "initial")
        self.target = given_points(space, target, "target")
        self.delta = delta
        self.epsilon = epsilon
        self.particles = particles
        self.update_period = update_period
        self.wait = wait
        self.measure: Measure = measure
        dim = space.unit_dim
        self._step = epsilon * math.sqrt(dim)
        self._bar = delta - SLACK
        self._particles = cloud(self.initial, particles, dim, self.rng)
        self._successes = SuccessBuffer(particles, dim, delta)
        self._failures: tuple[FloatArray, FloatArray] = (np.empty((0, dim)), np.empty(0))
        self._new: tuple[FloatArray, FloatArray] = (np.empty((0, dim)), np.empty(0))
        self._lowest = 1.0
        self._reached = False
        self._performance = math.nan
        self._updates = 0

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """Successes, where they are the measure."""
        return needs_of(self.measure)

    @property
    def privileges(self) -> frozenset[str]:  # type: ignore[override]
        """The threshold, and what was given."""
        given = {"initial": self.initial, "target": self.target}
        return frozenset({"success_threshold"} | {k for k, v in given.items() if v is not None})

    def _sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        chances = rng.random((n, 1 + self.space.unit_dim))
        chosen = (chances[:, 0] * self.particles).astype(np.int64)
        self._origins = chosen
        moved = self._particles[chosen] + JITTER * (2.0 * chances[:, 1:] - 1.0)
        return np.asarray(np.clip(moved, 0.0, 1.0))

    def _update(self, batch: Batch) -> None:
        tasks = np.concatenate([self._new[0], batch.tasks])
        values = np.concatenate([self._new[1], measured(batch, self.measure)])
        first = 0
        while len(values) - first >= self.update_period:
            part = slice(first, first + self.update_period)
            self._advance(tasks[part], values[part])
            first += self.update_period
        self._new = tasks[first:], values[first:]

    def _advance(self, tasks: FloatArray, values: FloatArray) -> None:
        """Learn from the attempts of one period, then move the particles."""
        self._updates += 1
        self._lowest = min(self._lowest, float(values.min()))
        dim = self.space.unit_dim
        if dim == 0:
            return
        target = cloud(self.target, self.particles, dim, self.rng)
        rest = self._successes.add(tasks, values, target)
        if self._reached:
            self._failures = (
                np.concatenate([self._failures[0], rest[0]])[-self.particles :],
                np.concatenate([self._failures[1], rest[1]])[-self.particles :],
            )
        self._performance = float(self._predict(self._particles).mean())
        if self._reached or self._performance >= self._bar:
            self._reached = True
            self._move()
        elif not self.wait:
            self._particles = self._noisy_successes()

    def _predict(self, at: FloatArray) -> FloatArray:
        return predict_performance(
            np.concatenate([self._successes.tasks, self._failures[0]]),
            np.concatenate([self._successes.values, self._failures[1]]),
            at,
            LENGTH_SHARE * self._step,
        )

    def _noisy_successes(self) -> FloatArray:
        """Return tasks around the stored successes; the worse a success, the wider."""
        rng, n = self.rng, self.particles
        tasks, values = self._successes.tasks, self._successes.values
        if self._successes.reached:
            repeats = rng.integers(len(values), size=n - len(values))
            rows = np.concatenate([np.arange(len(values)), repeats])
        else:
            upper = np.argsort(values, kind="stable")[len(values) // 2 :]
            above = values[upper] - values[upper[0]]
            even = np.full(len(upper), 1.0 / len(upper))
            rows = upper[rng.choice(len(upper), n, p=above / above.sum() if above.any() else even)]
        lacking = np.maximum(self.delta - values[rows], 0.0)
        possible = self.delta - self._lowest
        share = lacking / possible if possible > 0.0 else np.zeros(n)
        width = (NOISE_SHARE * self._step + SEARCH_WIDTH * share)[:, None]
        moved = tasks[rows] + width * rng.normal(size=(n, tasks.shape[1]))
        for _ in range(REDRAWS):
            outside = ((moved < 0.0) | (moved > 1.0)).any(axis=1)
            if not outside.any():
                break
            noise = rng.normal(size=(int(outside.sum()), tasks.shape[1]))
            moved[outside] = tasks[rows[outside]] + width[outside] * noise
        return np.asarray(np.clip(moved, 0.0, 1.0))

    def _move(self) -> None:
        """Replace the particles that are too hard, then move all of them towards the target."""
        places = self._particles
        predicted = self._predict(places)
        hard = predicted < self._bar
        if hard.any():
            pool = self._noisy_successes()
            promised = self._predict(pool)
            solved = promised >= self._bar
            if solved.sum() >= hard.sum():
                pool, promised = pool[solved], promised[solved]
            taken = match(places[hard], pool)
            places = places.copy()
            places[hard], predicted[hard] = pool[taken], promised[taken]
        target = cloud(self.target, self.particles, places.shape[1], self.rng)
        goals = target[match(places, target)]
        self._particles = self._nearest_good(places, goals, predicted >= self._bar)

    def _nearest_good(
        self, places: FloatArray, goals: FloatArray, good: NDArray[np.bool_]
    ) -> FloatArray:
        """Return for each particle the candidate nearest to its goal that promises ``delta``.

        Where none does, the one that promises most.
        """
        candidates = self._candidates(places, goals, good)
        gaps = ((candidates - goals[:, None]) ** 2).sum(axis=2)
        order = np.argsort(gaps, axis=1, kind="stable")
        chosen = np.zeros(len(places), dtype=np.int64)
        most = np.full(len(places), -np.inf)
        left = np.arange(len(places))
        for first, last in itertools.pairwise(ROUNDS):
            columns = order[left, first:last]
            shown = candidates[left[:, None], columns]
            promised = self._predict(shown.reshape(-1, places.shape[1])).reshape(columns.shape)
            enough = promised >= self._bar
            found = enough.any(axis=1)
            pick = np.where(found, enough.argmax(axis=1), promised.argmax(axis=1))
            rows = np.arange(len(left))
            better = found | (promised[rows, pick] > most[left])
            chosen[left[better]] = columns[rows, pick][better]
            most[left[better]] = promised[rows, pick][better]
            left = left[~found]
            if len(left) == 0:
                break
        return np.asarray(candidates[np.arange(len(places)), chosen])

    def _candidates(
        self, places: FloatArray, goals: FloatArray, good: NDArray[np.bool_]
    ) -> FloatArray:
        """Return where each particle could go, ``(n, candidates, dim)``: it may stay."""
        n, dim = places.shape
        way = goals - places
        distance = np.sqrt((way**2).sum(axis=1))
        reach = np.minimum(distance, self._step)
        ball = self.rng.normal(size=(n, CANDIDATES, dim))
        ball /= np.sqrt((ball**2).sum(axis=2, keepdims=True))
        ball *= self.rng.random((n, CANDIDATES, 1)) ** (1.0 / dim)
        # A particle whose task is mastered only looks ahead.
        behind = good[:, None] & ((ball * way[:, None]).sum(axis=2) < 0.0)
        ball[behind] *= -1.0
        around = places[:, None] + ball * np.where(good, reach, self._step)[:, None, None]
        share = reach / np.maximum(distance, 1e-300)  # 0 for a particle at its goal
        ticks = np.arange(1, LINE_POINTS + 1) / LINE_POINTS
        line = places[:, None] + ticks[:, None] * (share[:, None] * way)[:, None]
        return np.concatenate([places[:, None], np.clip(around, 0.0, 1.0), line], axis=1)

    def _state(self) -> State:
        return {
            "particles": self._particles.copy(),
            "successes": self._successes.state(),
            "failures": {"tasks": self._failures[0].copy(), "values": self._failures[1].copy()},
            "new": {"tasks": self._new[0].copy(), "values": self._new[1].copy()},
            "lowest": self._lowest,
            "reached": self._reached,
            "performance": None if math.isnan(self._performance) else self._performance,
            "updates": self._updates,
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self._particles = np.array(state["particles"], dtype=np.float64)
        self._successes.load(state["successes"])
        failures, new = state["failures"], state["new"]
        self._failures = np.array(failures["tasks"]), np.array(failures["values"])
        self._new = np.array(new["tasks"]), np.array(new["values"])
        self._lowest, self._reached = float(state["lowest"]), bool(state["reached"])
        performance = state["performance"]
        self._performance = math.nan if performance is None else float(performance)
        self._updates = int(state["updates"])

    def _why(self, row: int, task: Any) -> Reason:
        particle = int(self._origins[row])
        mean = "unknown" if math.isnan(self._performance) else f"{self._performance:.3g}"
        return Reason(
            f"particle {particle + 1:,} of {self.particles:,}",
            f"it was moved last by update {self._updates:,}, towards the target where a "
            f"performance of {self.delta:.3g} is expected; the particles' mean is {mean}",
            1.0 / self.particles, explores=False,
        )  # fmt: skip

    def snapshot(self) -> dict[str, Any]:
        """Return particles and successes (tasks, as many as fit), and where the student stands."""
        shown = {}
        for name, points in (("tasks", self._particles), ("successes", self._successes.tasks)):
            tasks = self.space.from_unit(points)
            shown[name] = tasks[: max(1, SNAPSHOT_BYTES * len(tasks) // max(1, tasks.nbytes))]
        return {
            **shown,
            "success_values": self._successes.values[: len(shown["successes"])].copy(),
            "failures": len(self._failures[1]),
            "mean_performance": self._performance,
            "reached": self._reached,
            "updates": self._updates,
        }
