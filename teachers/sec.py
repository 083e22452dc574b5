"""Self-evolving curriculum: a bandit on the absolute advantage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._arms import ArmTeacher
from currgym.teaching import Batch, State, register

__all__ = ["SEC"]

FloatArray = NDArray[np.float64]


@register("sec")
class SEC(ArmTeacher):
    """Choose the arms from whose attempts the policy gradient is largest.

    The reward of an arm in a training batch is the mean absolute advantage of its attempts there;
    ``Q += learning_rate (reward - Q)`` for the arms that occur (TD(0) without a next state), and
    arms are drawn in proportion to ``exp(Q / temperature)``. With a binary reward the absolute
    advantage is largest where about half of the attempts succeed.

    Source: Chen et al., "Self-Evolving Curriculum for LLM Reasoning", 2025,
    https://arxiv.org/abs/2505.14970, its algorithm.

    Differences: a batch is ``batch_size`` outcomes in the order in which they come, however they
    are delivered. Arms are bins or examples where there are no groups (the paper's categories).
    Probes do not count: nothing was learned from them. ``relative`` divides ``Q`` by its largest
    value, for advantages that were not normalised, as of PPO's; the paper's are (GRPO and the
    like). ``learning_rate`` and ``temperature`` have to be chosen, as in the paper, by trial.

    Args:
        space: Examples (or their groups), or box tasks (through a binning).
        seed: Of the private random generator.
        return_range: Unused: advantages are taken as they come.
        bins: Bins a side, or one number for each live axis; None takes as many as give at most
            1,000 arms, 10 a side at most. Of examples: slices; None is groups or single ones.
        learning_rate: Of ``Q``, in (0, 1].
        temperature: Of the choice, above 0; in units of the advantage, or with ``relative`` of the
            largest ``Q``.
        batch_size: Outcomes after which ``Q`` moves, at least 1.
        relative: Divide ``Q`` by its largest value.

    >>> from currgym import DiscreteTasks, Outcomes, make_teacher
    >>> teacher = make_teacher("sec", DiscreteTasks(2), seed=0, learning_rate=1.0, batch_size=2)
    >>> teacher.update(Outcomes([0, 1], [0.0, 0.0], scores={"abs_advantage": [1.0, 0.0]}))
    >>> teacher.chances.round(3)
    array([0.731, 0.269])
    """

    needs = frozenset({"abs_advantage"})

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        bins: int | Sequence[int] | None = None,
        learning_rate: float = 0.5,
        temperature: float = 1.0,
        batch_size: int = 64,
        relative: bool = False,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range, bins=bins)
        if not 0.0 < learning_rate <= 1.0:
            raise ValueError(f"learning_rate must lie in (0, 1], got {learning_rate}")
        if not temperature > 0.0:
            raise ValueError(f"temperature must be above 0, got {temperature}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.learning_rate = learning_rate
        self.temperature = temperature
        self.batch_size = batch_size
        self.relative = relative
        self._q = np.zeros(self.arms.n)
        # Of the batch that is being gathered, for each arm: sum and number.
        self._sums = np.zeros(self.arms.n)
        self._counts = np.zeros(self.arms.n, dtype=np.int64)
        self._gathered = 0

    def _update(self, batch: Batch) -> None:
        arms, sizes = self.arms.of(batch.tasks), np.abs(batch.scores["abs_advantage"])
        if batch.probe is not None:
            arms, sizes = arms[~batch.probe], sizes[~batch.probe]
        for arm, size in zip(arms.tolist(), sizes.tolist(), strict=True):
            self._sums[arm] += size
            self._counts[arm] += 1
            self._gathered += 1
            if self._gathered == self.batch_size:
                self._learn()

    def _learn(self) -> None:
        seen = self._counts > 0
        rewards = self._sums[seen] / self._counts[seen]
        self._q[seen] += self.learning_rate * (rewards - self._q[seen])
        self._sums[:], self._counts[:], self._gathered = 0.0, 0, 0
        self._forget_chances()

    def probability(self) -> FloatArray:
        """Return the Boltzmann distribution over ``Q``."""
        top = float(self._q.max())
        unit = top if self.relative and top > 0.0 else 1.0
        raised = np.exp((self._q - top) / (unit * self.temperature))
        return np.asarray(raised / raised.sum())

    def _state(self) -> State:
        return {
            "q": self._q.copy(),
            "sums": self._sums.copy(),
            "counts": self._counts.copy(),
            "gathered": self._gathered,
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self._q, self._sums = np.array(state["q"]), np.array(state["sums"])
        self._counts, self._gathered = np.array(state["counts"]), int(state["gathered"])
        self._forget_chances()

    def _worth(self, arm: int) -> str:
        return (
            f"its mean absolute advantage Q is {self._q[arm]:.3g}, the highest is "
            f"{self._q.max():.3g}"
        )

    def snapshot(self) -> dict[str, Any]:
        """Return the likeliest arms with their chances and ``Q``."""
        return {**self._shown(q=self._q), "gathered": self._gathered}
