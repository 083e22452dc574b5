"""Bidirectional learning progress on success rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._arms import ArmTeacher
from currgym.teachers._measure import Measure, check_measure, measured, needs_of
from currgym.teaching import Batch, Proposals, State, register

__all__ = ["LearningProgress"]

FloatArray = NDArray[np.float64]


@register("learning-progress", presets={"omni": {"centre": 0.0, "slope": 1.0, "drop_still": True}})
class LearningProgress(ArmTeacher):
    """Choose arms whose success rate changes, up or down, the rare successes enlarged.

    Every attempt of an arm moves two exponential averages, ``fast`` of its success and ``slow`` of
    ``fast``. The learning progress of the arm is ``|f(fast) - f(slow)|`` with
    ``f(p) = p (1 - theta) / (p + theta (1 - 2 p))``, which is steep near 0: a first success counts
    more than one of many. Progress is standardised over the arms and put through a sigmoid, so
    that the few arms with the most of it are chosen, and among these none dominates.

    Source: Kanitscheider et al., "Multi-task curriculum learning in a complex, visual,
    hard-exploration domain: Minecraft", 2021, https://arxiv.org/abs/2106.14876, the learning
    progress curriculum; preset ``omni`` has the plain sigmoid of the standardised progress and
    drops arms without any, as the code of OMNI (Zhang et al. 2023) and of Syllabus does.

    Differences: the averages move with the attempts of an arm, not all at once by evaluations,
    unless ``evaluate_every`` asks for these (as probes; then training attempts do not count).
    Failures count (in Syllabus' code an attempt without success is passed over). The paper tells
    the constants of its sigmoid by a figure; ``centre`` and ``slope`` are ours: 1.28 is the 90 %
    quantile of a normal distribution.

    Args:
        space: Box tasks (through a binning), or examples (or their groups).
        seed: Of the private random generator.
        return_range: Raw returns that count as 0 and 1 (with ``measure="return"``); None uses
            running quantiles.
        bins: Bins a side, or one number for each live axis; None takes as many as give at most
            1,000 arms, 10 a side at most. Of examples: slices; None is groups or single ones.
        rate: Of both averages, in (0, 1].
        theta: Success rate around which changes count most, in (0, 0.5]; 0.5 leaves rates as they
            are. As the paper is usually quoted (not checked).
        chance: Success rate of a random policy, in [0, 1), which is what counts as 0.
        centre: Standardised progress at which the sigmoid is 1/2.
        slope: Of the sigmoid, above 0.
        drop_still: Never choose an arm without progress while others have some.
        random_ratio: Share of uniform choices, in [0, 1].
        evaluate_every: Proposals between evaluations; None learns from training attempts.
        evaluations: Attempts of each arm in an evaluation, at least 1.
        measure: ``"success"`` (the paper's), or ``"return"``.

    >>> from currgym import DiscreteTasks, Outcomes, make_teacher
    >>> teacher = make_teacher("learning-progress", DiscreteTasks(20), seed=0)
    >>> for step in range(5):
    ...     teacher.update(Outcomes([3, 4], [0.0, 0.0], successes=[step / 5, 1.0]))
    >>> int(teacher.chances.argmax())
    3
    """

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        bins: int | Sequence[int] | None = None,
        rate: float = 0.1,
        theta: float = 0.1,
        chance: float = 0.0,
        centre: float = 1.28,
        slope: float = 3.0,
        drop_still: bool = False,
        random_ratio: float = 0.0,
        evaluate_every: int | None = None,
        evaluations: int = 1,
        measure: Measure = "success",
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range, bins=bins)
        if not 0.0 < rate <= 1.0:
            raise ValueError(f"rate must lie in (0, 1], got {rate}")
        if not 0.0 < theta <= 0.5:
            raise ValueError(f"theta must lie in (0, 0.5], got {theta}")
        if not 0.0 <= chance < 1.0:
            raise ValueError(f"chance must lie in [0, 1), got {chance}")
        if not np.isfinite(centre):
            raise ValueError(f"centre must be finite, got {centre}")
        if not slope > 0.0:
            raise ValueError(f"slope must be above 0, got {slope}")
        if not 0.0 <= random_ratio <= 1.0:
            raise ValueError(f"random_ratio must lie in [0, 1], got {random_ratio}")
        if evaluate_every is not None and evaluate_every < 1:
            raise ValueError(f"evaluate_every must be at least 1, got {evaluate_every}")
        if evaluations < 1:
            raise ValueError(f"evaluations must be at least 1, got {evaluations}")
        check_measure(measure)
        self.rate = rate
        self.theta = theta
        self.chance = chance
        self.centre = centre
        self.slope = slope
        self.drop_still = drop_still
        self.random_ratio = random_ratio
        self.evaluate_every = evaluate_every
        self.evaluations = evaluations
        self.measure: Measure = measure
        # Fast and slow average of each arm.
        self._averages = np.zeros((2, self.arms.n))
        self._tried = np.zeros(self.arms.n, dtype=np.int64)
        self.progress: FloatArray = np.zeros(self.arms.n)
        """Learning progress of each arm, in [0, 1]."""
        self._evaluated = -1
        """Evaluations asked for, by the clock of proposals; -1 before the first."""

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """What is measured, and ``probe`` where evaluations are asked for."""
        probes = frozenset() if self.evaluate_every is None else frozenset({"probe"})
        return needs_of(self.measure) | probes

    def _requests(self) -> Proposals | None:
        if self.evaluate_every is None or self.proposed // self.evaluate_every <= self._evaluated:
            return None
        self._evaluated = self.proposed // self.evaluate_every
        arms = np.repeat(np.arange(self.arms.n), self.evaluations)
        points = self.arms.place(arms, self.rng.random((len(arms), self.arms.width)))
        return Proposals(self._to_tasks(points))

    def _update(self, batch: Batch) -> None:
        arms, values = self.arms.of(batch.tasks), measured(batch, self.measure)
        if self.evaluate_every is not None:
            if batch.probe is None:
                return
            arms, values = self._by_arm(arms[batch.probe], values[batch.probe])
        rate = self.rate
        above_chance = np.maximum(values - self.chance, 0.0) / (1.0 - self.chance)
        for arm, value in zip(arms.tolist(), above_chance.tolist(), strict=True):
            fast, slow = self._averages[:, arm].tolist()
            fast += rate * (value - fast)
            slow += rate * (fast - slow)
            self._averages[0, arm], self._averages[1, arm] = fast, slow
            self.progress[arm] = abs(self._enlarged(fast) - self._enlarged(slow))
            self._tried[arm] += 1
        self._forget_chances()

    def _by_arm(
        self, arms: NDArray[np.int64], values: FloatArray
    ) -> tuple[NDArray[np.int64], FloatArray]:
        """Return the success rate of each evaluated arm."""
        found, row = np.unique(arms, return_inverse=True)
        return found, np.bincount(row, values, len(found)) / np.bincount(row, minlength=len(found))

    def _enlarged(self, p: Any) -> Any:
        """Return ``f(p)``, which is steep near 0, of a rate or an array of them."""
        return p * (1.0 - self.theta) / (p + self.theta * (1.0 - 2.0 * p))

    def probability(self) -> FloatArray:
        """Return how likely each arm is."""
        progress, n = self.progress, self.arms.n
        if progress.max() <= 0.0:
            return np.full(n, 1.0 / n)
        moving = progress > 0.0 if self.drop_still else None
        some = progress if moving is None else progress[moving]
        spread = float(some.std())
        # In place: with many arms this is most of what an attempt costs.
        weights: FloatArray = np.asarray(progress - some.mean())
        weights /= spread if spread > 0.0 else 1.0
        weights -= self.centre
        weights *= -self.slope
        np.exp(weights, out=weights)
        weights += 1.0
        np.divide(1.0 if moving is None else moving, weights, out=weights)
        total = weights.sum()
        weights *= 1.0 - self.random_ratio
        weights /= total
        weights += self.random_ratio / n
        return weights

    def _state(self) -> State:
        return {
            "averages": self._averages.copy(),
            "tried": self._tried.copy(),
            "evaluated": self._evaluated,
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self._averages = np.array(state["averages"])
        self._tried = np.array(state["tried"])
        fast, slow = self._enlarged(self._averages)
        self.progress = np.abs(fast - slow)
        self._evaluated = int(state["evaluated"])
        self._forget_chances()

    def _worth(self, arm: int) -> str:
        fast, slow = (float(side) for side in self._averages[:, arm])
        return (
            f"its learning progress is {self.progress[arm]:.3g} (success of late {fast:.3g}, "
            f"before {slow:.3g}), the highest is {self.progress.max():.3g}"
        )

    def _explored(self, arm: int) -> bool | None:
        progress = self.progress
        if progress.max() <= 0.0 or (self.drop_still and progress[arm] <= 0.0):
            return True
        return None if self.random_ratio else False

    def snapshot(self) -> dict[str, Any]:
        """Return the likeliest arms with their chances, progress, averages and attempts."""
        fast, slow = self._averages
        return self._shown(progress=self.progress, fast=fast, slow=slow, tried=self._tried)
