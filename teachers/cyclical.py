"""Cyclical Curriculum Learning: the amount of data shrinks and grows, easy examples come first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import DiscreteTasks, TaskSpace
from currgym.teachers._difficulty import require_difficulty
from currgym.teaching import Reason, State, Teacher, register

__all__ = ["Cyclical", "next_size"]

FloatArray = NDArray[np.float64]
SCORES = ("inverse", "exponential", "hard", "uniform")
LOSSES = ("declared", "rank")


def next_size(
    size: float, growing: bool, start: float, end: float, alpha: float
) -> tuple[float, bool]:
    """Return the next pass's share of the data, and whether the share grew.

    It grows when it stands at the floor, or has just grown and is below the ceiling; else it
    shrinks.

    >>> next_size(0.5, True, start=0.25, end=1.0, alpha=0.5)
    (1.0, True)
    """
    if size == start or (growing and size < end):
        return min(size / alpha, end), True
    return max(size * alpha, start), False


@register(
    "cyclical",
    presets={
        "tnnls2023": {"start": 0.25, "end": 1.0, "alpha": 0.5, "score": "inverse"},
        "exponential": {"score": "exponential", "rate": 5.0},
        "random-cyclic": {"score": "uniform"},
    },
)
class Cyclical(Teacher):
    """Go through ever new subsets whose size cycles, drawn by how easy the examples are.

    Source: Kesgin and Amasyali 2023, "Cyclical Curriculum Learning", IEEE TNNLS, arXiv 2202.05531,
    algorithm 1. One pass is ``int(n S_t)`` examples drawn without replacement with probabilities in
    proportion to a score of their loss, where ``S_0 = start`` and ``S`` is divided by ``alpha`` up
    to ``end``, then multiplied by it down to ``start``, and so on.

    Differences: the loss has a floor, so that a memorised example cannot take all the probability
    (the published ``1 / loss`` does). The subset is drawn by exponential keys, which cannot fail,
    and shuffled, since a weighted draw without replacement returns easy examples first. Over a box
    a pass starts from ``pool`` new uniform tasks in the place of the data set, and the loss is a
    task's quantile of difficulty among them. The cycle has no end of its own: the budget ends
    it.

    >>> from currgym import DiscreteTasks, make_teacher
    >>> teacher = make_teacher("cyclical", DiscreteTasks(100, difficulty=range(1, 101)), seed=0)
    >>> [len(teacher.plan()) for _ in range(7)]
    [25, 50, 100, 50, 25, 50, 100]

    Args:
        space: Examples, or a box; with a declared difficulty (for examples the loss of a scoring
            run) unless ``score`` is ``"uniform"``.
        seed: Of the private random generator.
        return_range: Unused: the cycle does not look at outcomes.
        start: Smallest share of the data, in (0, 1].
        end: Largest share, in [start, 1].
        alpha: Factor from one size to the next, in (0, 1).
        score: ``"inverse"`` (1 / loss), ``"exponential"`` (exp(-rate loss)), ``"hard"`` (loss: the
            anti-curriculum) or ``"uniform"`` (the control with the same sizes and no preference).
        rate: Of the exponential score, above 0; the paper tries 5, 0.5 and 0.25.
        floor: Least loss, as a share of the median loss, above 0.
        losses: ``"declared"`` takes the declared difficulty as the loss, ``"rank"`` its quantile in
            (0, 1); None takes the first for examples without negative difficulties, else the
            second.
        pool: Tasks in the place of the data set over a box, at least 1.

    Raises:
        ValueError: If a score needs a difficulty and there is none, or a value is out of its range.
    """

    spaces = frozenset({"box", "discrete"})

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        start: float = 0.25,
        end: float = 1.0,
        alpha: float = 0.5,
        score: str = "inverse",
        rate: float = 5.0,
        floor: float = 1e-3,
        losses: str | None = None,
        pool: int = 1000,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        if not 0.0 < start <= end <= 1.0:
            raise ValueError(f"0 < start <= end <= 1 must hold, got start={start}, end={end}")
        if not 0.0 < alpha < 1.0:
            raise ValueError(f"alpha must lie in (0, 1), got {alpha}")
        if score not in SCORES:
            raise ValueError(f"score must be one of {', '.join(SCORES)}, got {score!r}")
        if not rate > 0.0:
            raise ValueError(f"rate must be above 0, got {rate}")
        if not floor > 0.0:
            raise ValueError(f"floor must be above 0, got {floor}")
        if losses is not None and losses not in LOSSES:
            raise ValueError(f"losses must be one of {', '.join(LOSSES)} or None, got {losses!r}")
        if pool < 1:
            raise ValueError(f"pool must be at least 1, got {pool}")
        if score != "uniform":
            require_difficulty(space, self.name)
        self.start = start
        self.end = end
        self.alpha = alpha
        self.score = score
        self.rate = rate
        self.floor = floor
        self.losses = losses
        self.pool = pool
        self._size = start
        self._growing = False
        self._passes = 0
        self._shares = np.zeros(10)
        self._points: FloatArray = np.empty((0, space.unit_dim))
        self._at = 0
        self._quantiles: FloatArray = np.zeros(0)
        self._log_scores: FloatArray = np.zeros(0)
        if isinstance(space, DiscreteTasks):
            difficulty = np.zeros(space.n)
            if space.difficulty is not None:
                difficulty = space.difficulty_of(np.arange(space.n))
            self._quantiles = quantiles(difficulty)
            self._log_scores = self._score(difficulty, self._quantiles)

    @property
    def privileges(self) -> frozenset[str]:  # type: ignore[override]
        """``difficulty``, except for uniform scores."""
        return frozenset() if self.score == "uniform" else frozenset({"difficulty"})

    @property
    def size(self) -> float:
        """Share of the data in the next pass to begin."""
        return self._size

    def _score(self, difficulty: FloatArray, rank: FloatArray) -> FloatArray:
        """Return the logarithm of each score."""
        if self.score == "uniform":
            return np.zeros(len(difficulty))
        declared = self.losses == "declared"
        if self.losses is None:
            declared = isinstance(self.space, DiscreteTasks) and bool(difficulty.min() >= 0.0)
        if declared and difficulty.min() < 0.0:
            raise ValueError(
                f"losses='declared' takes the difficulty for a loss, and it goes down to "
                f"{difficulty.min():g}: pass losses='rank'"
            )
        loss = difficulty if declared else rank
        if self.score == "exponential":
            return -self.rate * loss
        # The median of a mostly solved set may itself be 0; then the mean sets the scale.
        scale = float(np.median(loss)) or float(loss.mean()) or 1.0
        logarithm: FloatArray = np.log(np.maximum(loss, self.floor * scale))
        return logarithm if self.score == "hard" else -logarithm

    def _subset(
        self, log_scores: FloatArray, rank: FloatArray, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return the next pass over items with these scores, and move the cycle on."""
        count = max(1, int(len(log_scores) * self._size + 1e-9))
        # The largest log score + Gumbel noise are a weighted draw without replacement.
        keys = log_scores + rng.gumbel(size=len(log_scores))
        chosen = np.argpartition(-keys, count - 1)[:count]
        self._shares = np.bincount(
            np.minimum((rank[chosen] * 10).astype(np.int64), 9), minlength=10
        ) / float(count)
        self._passes += 1
        self._size, self._growing = next_size(
            self._size, self._growing, self.start, self.end, self.alpha
        )
        # Sorted first: the order left by the partition is no part of any contract.
        return rng.permutation(np.sort(chosen)).astype(np.int64)

    def _plan(self, rng: np.random.Generator) -> NDArray[np.int64] | None:
        if not isinstance(self.space, DiscreteTasks):
            return None
        return self._subset(self._log_scores, self._quantiles, rng)

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        pieces: list[FloatArray] = []
        self._origins = []
        while n > 0:
            if self._at == len(self._points):
                points = rng.random((self.pool, self.space.unit_dim))
                difficulty = np.zeros(self.pool)
                if self.space.difficulty is not None:
                    difficulty = self.space.difficulty_of(self.space.from_unit(points))
                rank = quantiles(difficulty)
                self._points = points[self._subset(self._score(difficulty, rank), rank, rng)]
                self._at = 0
            piece = self._points[self._at : self._at + n]
            places = range(self._at + 1, self._at + 1 + len(piece))
            self._origins += [(place, len(self._points)) for place in places]
            self._at += len(piece)
            n -= len(piece)
            pieces.append(piece)
        return np.concatenate(pieces)

    def _state(self) -> State:
        return {
            "size": self._size,
            "growing": self._growing,
            "passes": self._passes,
            "shares": self._shares.copy(),
            "points": self._points.copy(),
            "at": self._at,
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self._size = float(state["size"])
        self._growing = bool(state["growing"])
        self._passes = int(state["passes"])
        self._shares = np.array(state["shares"], dtype=np.float64)
        self._points = np.array(state["points"], dtype=np.float64)
        self._at = int(state["at"])

    def _why(self, row: int, task: Any) -> Reason:
        name = self._place(row)
        if not name:
            place, length = self._origins[row]
            name = f"place {place:,} of a pass of {length:,} tasks"
        weighed = "every task weighed alike"
        if self.score != "uniform":
            difficulty = float(self.space.difficulty_of(self._latest[row : row + 1])[0])
            weighed = f"its difficulty is {difficulty:.3g}, which the score {self.score!r} weighed"
        return Reason(name, f"{weighed}; {self._passes:,} passes were drawn so far")

    def snapshot(self) -> dict[str, Any]:
        """Return the sizes of the passes to come and the difficulty deciles of the running one.

        Over up to 5,000 examples also the probability of each to be drawn first.
        """
        sizes, size, growing = [self._size], self._size, self._growing
        for _ in range(7):
            size, growing = next_size(size, growing, self.start, self.end, self.alpha)
            sizes.append(size)
        shown = {"sizes": np.array(sizes), "passes": self._passes, "deciles": self._shares.copy()}
        if 0 < len(self._log_scores) <= 5000:
            score = np.exp(self._log_scores - self._log_scores.max())
            shown["probability"] = score / score.sum()
        return shown


def quantiles(difficulty: FloatArray) -> FloatArray:
    """Return each difficulty's quantile in (0, 1), the mean one for equal difficulties."""
    ordered = np.sort(difficulty)
    first = np.searchsorted(ordered, difficulty, side="left")
    last = np.searchsorted(ordered, difficulty, side="right")
    return np.asarray((first + last) / (2.0 * len(difficulty)))
