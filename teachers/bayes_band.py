"""Thompson sampling on intermediate success."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._arms import ArmTeacher
from currgym.teachers._measure import Measure, check_measure, measured, needs_of
from currgym.teaching import Batch, State, register

__all__ = ["BayesBand"]

FloatArray = NDArray[np.float64]

SNAPSHOT_DRAWS = 200
AT_ONCE = 256
"""Arms whose rates are drawn at first; the others' only if none of these lies in the band."""


@register("bayes-band")
class BayesBand(ArmTeacher):
    """Choose the arm whose success, drawn from what is believed of it, lies nearest to a band.

    The success rate of an arm has a Beta posterior. All counts fade with every outcome, so that an
    arm that was not attempted for long is uncertain again. For every task one rate is drawn for
    each arm, and the arm whose rate is nearest to ``[low, high]`` is chosen; of several inside each
    is as likely.

    Source: ours, from known parts: intermediate success as in goals of intermediate difficulty
    (Florensa, Held, Geng, Abbeel 2018, https://arxiv.org/abs/1705.06366), Thompson sampling with
    discounted counts (Raj, Kalyani 2017, https://arxiv.org/abs/1707.09727).

    Differences: not the largest rate is looked for but one within the band. An outcome of several
    ``trials`` counts as that many; a success between 0 and 1, or a return in [0, 1], as a part.

    Args:
        space: Box tasks (through a binning), or examples (or their groups).
        seed: Of the private random generator.
        return_range: Raw returns that count as 0 and 1 (with ``measure="return"``); None uses
            running quantiles.
        bins: Bins a side, or one number for each live axis; None takes as many as give at most
            1,000 arms, 10 a side at most. Of examples: slices; None is groups or single ones.
        low: Lower end of the band, in [0, 1].
        high: Upper end, in [low, 1]; equal ends are a single aim.
        discount: What is left of all counts after an outcome, in (0, 1]; 1 forgets nothing.
        prior_successes: Of an arm's Beta prior, above 0.
        prior_failures: Of an arm's Beta prior, above 0.
        measure: ``"success"`` or ``"return"``.

    >>> from currgym import DiscreteTasks, Outcomes, make_teacher
    >>> teacher = make_teacher("bayes-band", DiscreteTasks(3), seed=0)
    >>> for step in range(100):
    ...     teacher.update(Outcomes([0, 1, 2], [0] * 3, successes=[1.0, step % 2, 0.0]))
    >>> teacher.sample(4)
    array([1, 1, 1, 1])
    """

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        bins: int | Sequence[int] | None = None,
        low: float = 0.25,
        high: float = 0.75,
        discount: float = 0.999,
        prior_successes: float = 1.0,
        prior_failures: float = 1.0,
        measure: Measure = "success",
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range, bins=bins)
        if not 0.0 <= low <= high <= 1.0:
            raise ValueError(f"low and high must be 0 <= low <= high <= 1, got {low} and {high}")
        if not 0.0 < discount <= 1.0:
            raise ValueError(f"discount must lie in (0, 1], got {discount}")
        for name, value in (
            ("prior_successes", prior_successes), ("prior_failures", prior_failures)
        ):  # fmt: skip
            if not 0.0 < value < np.inf:
                raise ValueError(f"{name} must be above 0, got {value}")
        check_measure(measure)
        self.low = low
        self.high = high
        self.discount = discount
        self.prior_successes = prior_successes
        self.prior_failures = prior_failures
        self.measure: Measure = measure
        # Faded successes and failures of each arm.
        self._counts = np.zeros((2, self.arms.n))

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """``successes``, where they are what is measured."""
        return needs_of(self.measure)

    def _update(self, batch: Batch) -> None:
        arms, rates = self.arms.of(batch.tasks), measured(batch, self.measure)
        trials = np.ones(len(batch)) if batch.trials is None else batch.trials
        for arm, rate, many in zip(arms.tolist(), rates.tolist(), trials.tolist(), strict=True):
            if self.discount < 1.0:
                self._counts *= self.discount
            self._counts[0, arm] += many * rate
            self._counts[1, arm] += many * (1.0 - rate)
        self._forget_chances()

    @property
    def posterior(self) -> tuple[FloatArray, FloatArray]:
        """Both parameters of every arm's Beta distribution."""
        return self._counts[0] + self.prior_successes, self._counts[1] + self.prior_failures

    def _choose(self, rng: np.random.Generator) -> int:
        # Any arm inside the band is as likely, so one of some arms at random is as good as of all.
        arms = np.arange(self.arms.n)
        some = arms if len(arms) <= AT_ONCE else rng.choice(len(arms), AT_ONCE, replace=False)
        off = self._off(some, rng)
        if len(some) < len(arms) and off.min() > 0.0:
            rest = np.delete(arms, some)
            some, off = np.append(some, rest), np.append(off, self._off(rest, rng))
        best = np.flatnonzero(off == off.min())
        return int(some[best[int(rng.random() * len(best))]])

    def _off(self, arms: NDArray[np.int64], rng: np.random.Generator) -> FloatArray:
        """Draw a rate for each of these arms, and return how far outside the band it lies."""
        successes, failures = self._counts[:, arms]
        rates = rng.beta(successes + self.prior_successes, failures + self.prior_failures)
        return np.asarray(np.maximum(np.maximum(self.low - rates, rates - self.high), 0.0))

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        tasks = [
            self.arms.place(np.array([self._choose(rng)]), rng.random((1, self.arms.width)))
            for _ in range(n)
        ]
        return np.concatenate(tasks)

    def probability(self) -> FloatArray:
        """Return how often each arm was chosen in 200 draws, always the same ones."""
        rng = np.random.default_rng(0)
        chosen = [self._choose(rng) for _ in range(SNAPSHOT_DRAWS)]
        return np.bincount(chosen, minlength=self.arms.n) / SNAPSHOT_DRAWS

    def _state(self) -> State:
        return {"counts": self._counts.copy()}

    def _load(self, state: Mapping[str, Any]) -> None:
        self._counts = np.array(state["counts"])
        self._forget_chances()

    def _worth(self, arm: int) -> str:
        a, b = (float(side[arm]) for side in self.posterior)
        return (
            f"its success rate, Beta({a:.3g}, {b:.3g}) with mean {a / (a + b):.3g}, was drawn "
            f"nearest to the band from {self.low:.3g} to {self.high:.3g}"
        )

    def _chance_of(self, arm: int) -> float | None:
        return None

    def snapshot(self) -> dict[str, Any]:
        """Return the likeliest arms with their chances, expected success and faded attempts."""
        a, b = self.posterior
        return self._shown(success=a / (a + b), attempts=self._counts.sum(axis=0))
