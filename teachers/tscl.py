"""Teacher-student curriculum learning: four bandits on the slope of the learning curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._arms import ArmTeacher
from currgym.teachers._measure import Measure, check_measure, measured, needs_of
from currgym.teaching import Batch, State, register

__all__ = ["TSCL"]

FloatArray = NDArray[np.float64]
Algorithm = Literal["online", "naive", "window", "sampling"]
Exploration = Literal["greedy", "boltzmann"]

SNAPSHOT_DRAWS = 200


def slope(times: FloatArray, scores: FloatArray) -> float:
    """Return the slope of the least-squares line; 0 where all times are alike."""
    centred = times - times.mean()
    spread = float(centred @ centred)
    return float(centred @ (scores - scores.mean())) / spread if spread > 0.0 else 0.0


@register("tscl", presets={"reference": {"learning_rate": 1.0, "optimism": 1.0}})
class TSCL(ArmTeacher):
    """Choose the arm whose learning curve is steepest, up or down.

    ``x_t`` is the score of the attempt at time ``t``, and ``Q`` of an arm what its slope is
    expected to be. The larger ``|Q|``, the rather an arm is chosen: where the student forgets, too.

    - ``online``: the reward is the difference between the score and the arm's last one;
      ``Q += learning_rate (reward - Q)``.
    - ``naive``: an arm is attempted ``window`` times in a row, and the reward is the slope of the
      line through these scores.
    - ``window``: the reward is the slope of the line through the arm's last ``window`` scores over
      the times at which they came.
    - ``sampling``: the arm's last ``window`` differences are kept, one of them is drawn for every
      arm, and the arm with the largest absolute value is chosen (after Thompson). Untried arms
      count 1.

    Source: Matiisen, Oliver, Cohen, Schulman, "Teacher-Student Curriculum Learning", 2017,
    https://arxiv.org/abs/1707.00183, the algorithms for the simple teacher; preset ``reference``
    takes the slope itself for ``Q`` and 1 for it before an arm has two scores, as the authors' code
    of ``window`` does.

    Differences: the first score of an arm, which has nothing to be compared with, gives no reward
    (the authors' code compares it with 0, so that what is solved at the first attempt passes for
    progress). Of equally good arms each is as likely. Scores are returns in [0, 1] or successes.
    ``naive`` gathers the scores of its blocks as they come, so that late ones are not lost.
    Progress is read from the order in which an arm's scores arrive: where many attempts run at once
    and failures are short, they report first, which passes for progress. ``Curriculum(teacher,
    ordered=True)`` delivers in the order of proposals.

    Args:
        space: Box tasks (through a binning), or examples (or their groups).
        seed: Of the private random generator.
        return_range: Raw returns that count as 0 and 1; None uses running quantiles.
        bins: Bins a side, or one number for each live axis; None takes as many as give at most
            1,000 arms, 10 a side at most. Of examples: slices; None is groups or single ones.
        algorithm: ``"online"``, ``"naive"``, ``"window"`` or ``"sampling"``.
        learning_rate: Of ``Q``, in (0, 1].
        window: Scores in a line, or differences kept, at least 2.
        exploration: ``"greedy"`` chooses the largest ``|Q|`` but for a share ``epsilon``,
            ``"boltzmann"`` in proportion to ``exp(|Q| / temperature)``; both of the paper.
        epsilon: Share of uniform choices (``"greedy"``, and ``"sampling"``), in [0, 1]; the paper
            has none in ``sampling``: None is 0 there and 0.1 elsewhere.
        temperature: Of ``"boltzmann"``, above 0.
        optimism: ``|Q|`` of an arm without reward, at least 0; None is 1 for ``sampling`` and 0
            for the others, as in the paper.
        measure: What a score is: ``"return"``, or ``"success"``.

    >>> from currgym import DiscreteTasks, Outcomes, make_teacher
    >>> teacher = make_teacher("tscl", DiscreteTasks(3), seed=0, return_range=(0, 1), epsilon=0.0)
    >>> for step in range(9):
    ...     teacher.update(Outcomes([0, 1, 2], [0.5, step / 10, 0.0]))
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
        algorithm: Algorithm = "window",
        learning_rate: float = 0.1,
        window: int = 10,
        exploration: Exploration = "greedy",
        epsilon: float | None = None,
        temperature: float = 0.01,
        optimism: float | None = None,
        measure: Measure = "return",
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range, bins=bins)
        for name, value, kind in (
            ("algorithm", algorithm, Algorithm), ("exploration", exploration, Exploration)
        ):  # fmt: skip
            if value not in get_args(kind):
                raise ValueError(f"{name} must be one of {get_args(kind)}, got {value!r}")
        if not 0.0 < learning_rate <= 1.0:
            raise ValueError(f"learning_rate must lie in (0, 1], got {learning_rate}")
        if window < 2:
            raise ValueError(f"window must be at least 2, got {window}")
        if epsilon is not None and not 0.0 <= epsilon <= 1.0:
            raise ValueError(f"epsilon must lie in [0, 1], got {epsilon}")
        if not temperature > 0.0:
            raise ValueError(f"temperature must be above 0, got {temperature}")
        if optimism is not None and not optimism >= 0.0:
            raise ValueError(f"optimism must be at least 0, got {optimism}")
        check_measure(measure)
        self.algorithm: Algorithm = algorithm
        self.learning_rate = learning_rate
        self.window = window
        self.exploration: Exploration = exploration
        self.epsilon = epsilon
        self.temperature = temperature
        self.optimism = optimism
        self.measure: Measure = measure
        samples = algorithm == "sampling"
        self._explores = (0.0 if samples else 0.1) if epsilon is None else epsilon
        self._untried = float(samples) if optimism is None else optimism
        self._reward = {
            "online": self._difference, "naive": self._block_slope, "window": self._line_slope,
            "sampling": self._difference,
        }[algorithm]  # fmt: skip
        n = self.arms.n
        self._q = np.zeros(n)
        self._rewards = np.zeros(n, dtype=np.int64)
        self._last = np.full(n, np.nan)
        # Of each arm the latest scores (``naive``, ``window``) or differences, and their times.
        self._kept = np.zeros((n, window if algorithm != "online" else 0))
        self._times = np.zeros_like(self._kept)
        self._count = np.zeros(n, dtype=np.int64)
        self._now = 0
        self._block = (0, 0)

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """``successes``, where they are the score."""
        return needs_of(self.measure)

    # Rewards -------------------------------------------------------------------------------------

    def _update(self, batch: Batch) -> None:
        arms = self.arms.of(batch.tasks).tolist()
        for arm, score in zip(arms, measured(batch, self.measure).tolist(), strict=True):
            self._now += 1
            reward = self._reward(arm, score)
            self._last[arm] = score
            if reward is not None:
                self._rewards[arm] += 1
                self._q[arm] += self.learning_rate * (reward - self._q[arm])
        self._forget_chances()

    def _keep(self, arm: int, value: float) -> None:
        slot = int(self._count[arm]) % self.window
        self._kept[arm, slot], self._times[arm, slot] = value, self._now
        self._count[arm] += 1

    def _difference(self, arm: int, score: float) -> float | None:
        if np.isnan(self._last[arm]):
            return None
        reward = score - float(self._last[arm])
        if self._kept.shape[1]:
            self._keep(arm, reward)
        return reward

    def _block_slope(self, arm: int, score: float) -> float | None:
        self._keep(arm, score)
        if self._count[arm] < self.window:
            return None
        self._count[arm] = 0
        return slope(np.arange(float(self.window)), self._kept[arm])

    def _line_slope(self, arm: int, score: float) -> float | None:
        self._keep(arm, score)
        known = min(int(self._count[arm]), self.window)
        if known < 2:
            return None
        return slope(self._times[arm, :known], self._kept[arm, :known])

    # Choices -------------------------------------------------------------------------------------

    def probability(self) -> FloatArray:
        """Return how likely each arm is; for ``sampling`` an estimate from 200 draws."""
        if self.algorithm == "sampling":
            rng = np.random.default_rng(0)
            drawn = [self._sampled(rng) for _ in range(SNAPSHOT_DRAWS)]
            best = np.bincount(drawn, minlength=self.arms.n) / SNAPSHOT_DRAWS
        else:
            size = np.where(self._rewards > 0, np.abs(self._q), self._untried)
            if self.exploration == "boltzmann":
                raised = np.exp((size - size.max()) / self.temperature)
                return np.asarray(raised / raised.sum())
            best = (size == size.max()).astype(np.float64)
            best /= best.sum()
        return np.asarray((1.0 - self._explores) * best + self._explores / self.arms.n)

    def _sampled(self, rng: np.random.Generator) -> int:
        """Draw one kept difference of every arm, and return the arm of the largest."""
        u = rng.random(self.arms.n + 1)
        known = np.minimum(self._count, self.window)
        slots = (u[:-1] * known).astype(np.int64)
        drawn = np.abs(self._kept[np.arange(self.arms.n), slots])
        drawn = np.where(known > 0, drawn, self._untried)
        best = np.flatnonzero(drawn == drawn.max())
        return int(best[int(u[-1] * len(best))])

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        if self.algorithm == "sampling":
            choose = self._thompson
        elif self.algorithm == "naive":
            choose = self._in_blocks
        else:
            return super()._sample(n, rng)
        tasks = [
            self.arms.place(np.array([choose(rng)]), rng.random((1, self.arms.width)))
            for _ in range(n)
        ]
        return np.concatenate(tasks)

    def _thompson(self, rng: np.random.Generator) -> int:
        if self._explores and rng.random() < self._explores:
            return int(rng.integers(self.arms.n))
        return self._sampled(rng)

    def _in_blocks(self, rng: np.random.Generator) -> int:
        arm, left = self._block
        if left == 0:
            edges = np.cumsum(self.chances)
            found = np.searchsorted(edges, rng.random() * edges[-1], side="right")
            arm, left = min(int(found), self.arms.n - 1), self.window
        self._block = arm, left - 1
        return arm

    # State ---------------------------------------------------------------------------------------

    def _state(self) -> State:
        return {
            "q": self._q.copy(),
            "rewards": self._rewards.copy(),
            "last": self._last.copy(),
            "kept": self._kept.copy(),
            "times": self._times.copy(),
            "count": self._count.copy(),
            "now": self._now,
            "block": list(self._block),
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self._q, self._last = np.array(state["q"]), np.array(state["last"])
        self._rewards, self._count = np.array(state["rewards"]), np.array(state["count"])
        self._kept, self._times = np.array(state["kept"]), np.array(state["times"])
        self._now = int(state["now"])
        arm, left = state["block"]
        self._block = int(arm), int(left)
        self._forget_chances()

    def _worth(self, arm: int) -> str:
        if not self._rewards[arm]:
            return f"it has shown no slope yet, which counts as {self._untried:.3g}"
        told = f"its expected slope is {self._q[arm]:.3g} from {self._rewards[arm]:,} of them"
        return f"{told}, the steepest is {np.abs(self._q).max():.3g}"

    def _chance_of(self, arm: int) -> float | None:
        # A block's arm was drawn when it began, and the sampling form's chances are estimates.
        return None if self.algorithm in ("naive", "sampling") else super()._chance_of(arm)

    def _explored(self, arm: int) -> bool | None:
        greedy = self.exploration == "greedy" and self._chance_of(arm) is not None
        if not greedy or self.chances[arm] == self.chances.max():
            return None
        return True

    def snapshot(self) -> dict[str, Any]:
        """Return the likeliest arms, their chances, expected slopes and last scores (0: none)."""
        shown = self._shown(slope=self._q, last=np.nan_to_num(self._last))
        if self.algorithm == "naive":
            shown["block_arm"], shown["block_left"] = self._block
        return shown
