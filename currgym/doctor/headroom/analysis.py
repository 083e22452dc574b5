"""From forks to conclusions: what a cell is worth, what an oracle gains, which signal knows it.

The confounds, and what is done about each:

- *Selection.* The best of 16 noisy gains is too good. The oracle's cell is chosen on one half (half
  of the repeats, half of the evaluation tasks) and valued on the other, both ways round.
- *Steps.* Every fork gets the same steps and updates from the same checkpoint, optimiser and
  normaliser included; the uniform control is forked too, so that new episodes, a reset collection
  buffer and the like cost both the same.
- *Evaluation.* All forks are valued on the same (task, seed) pairs, and the gain is measured over
  the whole target distribution: what a fork forgets elsewhere counts.
- *Noise.* A perfect signal cannot reach a rank correlation of 1 with noisy gains. The ceiling is
  what it could reach, from the agreement of the two halves.
- *Dependence.* Checkpoints of one run are not independent runs. With fewer than four seeds the unit
  of an interval is the checkpoint, which says how well *these* runs are known and nothing of
  others; the output says which it was.

The oracle is greedy: it is worth what training on one cell *now* gains. A stepping stone that pays
only later is not seen.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from currgym.statistics import Interval, t_interval

__all__ = ["FEWEST_SEEDS_AS_UNITS", "Forks", "Grid", "SignalSummary", "Summary", "summarise"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FEWEST_SEEDS_AS_UNITS = 4
TOP_SHARE = 0.25


@dataclass(frozen=True)
class Grid:
    """How evaluation rows belong to cells.

    Attributes:
        cells: Cell of each evaluation row, ``(rows,)``.
        weights: Share of each cell in the target distribution, ``(m,)``.
    """

    cells: IntArray
    weights: FloatArray

    def __post_init__(self) -> None:
        counts = np.bincount(self.cells, minlength=len(self.weights))
        if (counts == 0).any():
            raise ValueError(
                f"cell {int(np.argmin(counts))} has no evaluation task: cut fewer dimensions, or "
                "take a finer test set"
            )

    def by_cell(self, values: FloatArray, half: int | None = None) -> FloatArray:
        """Return the mean of each cell's rows, ``(..., rows)`` to ``(..., m)``.

        A half is every other row of each cell. A cell with one row, which only toys have that read
        competence without error, has it in both.
        """
        return np.stack(
            [values[..., rows].mean(axis=-1) for rows in self._rows(half)],
            axis=-1,
        )

    def _rows(self, half: int | None) -> list[IntArray]:
        """Return the rows of each cell, of one half or all."""
        found = []
        for cell in range(len(self.weights)):
            rows = np.flatnonzero(self.cells == cell)
            found.append(rows if half is None or len(rows) == 1 else rows[half::2])
        return found

    def overall(self, values: FloatArray, half: int | None = None) -> FloatArray:
        """Return the target distribution's mean, ``(..., rows)`` to ``(...)``."""
        return np.asarray(self.by_cell(values, half) @ self.weights)


@dataclass(frozen=True)
class Forks:
    """All forks of one checkpoint; values are returns scaled to [0, 1].

    Attributes:
        seed: Of the uniform run.
        step: Of the checkpoint.
        before: Evaluation at the checkpoint, ``(rows,)``.
        after: Evaluation after training on each cell, ``(m, repeats, rows)``.
        uniform: After training on the whole space, ``(controls, rows)``.
        scores: Signal -> score of each cell, ``(m,)``.
        grid: How rows belong to cells.
    """

    seed: int
    step: int
    before: FloatArray
    after: FloatArray
    uniform: FloatArray
    scores: dict[str, FloatArray]
    grid: Grid

    @property
    def transfer(self) -> FloatArray:
        """Gain on cell j (column) of training on cell i (row), ``(m, m)``."""
        return np.asarray(self.grid.by_cell(self.after.mean(axis=1) - self.before))

    @property
    def gain(self) -> FloatArray:
        """Gain over the target distribution of training on each cell, ``(m,)``."""
        return self.grid.overall(self.after.mean(axis=1) - self.before)

    @property
    def gain_error(self) -> float:
        """Standard error of a cell's gain from the spread of its repeats, pooled over cells."""
        repeats = self.grid.overall(self.after)
        return float(np.sqrt(repeats.var(axis=1, ddof=1).mean() / repeats.shape[1]))

    @property
    def uniform_gain(self) -> float:
        """Gain of the uniform control."""
        return float((self.grid.overall(self.uniform) - self.grid.overall(self.before)).mean())

    def half_gain(self, half: int) -> FloatArray:
        """Return the gains of one half, ``(m,)``: every other repeat, every other row."""
        repeats = self.after[:, half::2]
        return self.grid.overall(repeats.mean(axis=1) - self.before, half)

    def over_uniform(self, choose: Callable[[int], FloatArray]) -> float:
        """Return what a choice of cells gains over the uniform control.

        Args:
            choose: Half that values -> share of each cell, ``(m,)``, made without that half.
        """
        found = []
        for half in (0, 1):
            control = self.grid.overall(self.uniform - self.before, half).mean()
            found.append(float(choose(half) @ self.half_gain(half)) - control)
        return float(np.mean(found))

    @property
    def oracle(self) -> float:
        """Gain over uniform of the cell that is best in one half, valued on the other."""
        return self.over_uniform(lambda half: _shares_of_best(self.half_gain(1 - half), 1))

    def following(self, signal: str) -> float:
        """Gain over uniform of the quarter of the cells that a signal scores highest."""
        score = self.scores[signal]
        best = max(1, round(TOP_SHARE * len(score)))
        return self.over_uniform(lambda half: _shares_of_best(score, best))

    @property
    def reliability(self) -> float | None:
        """Rank correlation of the gains' two halves; None where one half knows no difference."""
        return _rank_correlation(self.half_gain(0), self.half_gain(1))

    @property
    def ceiling(self) -> float | None:
        """Rank correlation with the measured gain that a perfect signal could reach.

        The square root of the reliability of the whole, which follows from that of its halves
        (Spearman 1910, Brown 1910). 0 where the halves do not agree at all.
        """
        agreement = self.reliability
        if agreement is None:
            return None
        agreement = max(0.0, agreement)
        return math.sqrt(2.0 * agreement / (1.0 + agreement))

    def knows(self, signal: str) -> float | None:
        """Rank correlation of a signal with the gain; 0 where the signal is constant."""
        if np.ptp(self.gain) == 0.0:
            return None
        return _rank_correlation(self.scores[signal], self.gain) or 0.0


def _shares_of_best(values: FloatArray, count: int) -> FloatArray:
    """Return equal shares of the ``count`` largest values, ties at the border shared."""
    ordered = np.sort(values)[::-1]
    above = values > ordered[count - 1]
    equal = values == ordered[count - 1]
    shares = above.astype(np.float64)
    shares[equal] = (count - above.sum()) / equal.sum()
    return np.asarray(shares / count)


def _rank_correlation(a: FloatArray, b: FloatArray) -> float | None:
    if np.ptp(a) == 0.0 or np.ptp(b) == 0.0:
        return None
    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return float(stats.spearmanr(a, b).statistic)


@dataclass(frozen=True)
class SignalSummary:
    """How well a signal knew, over all checkpoints.

    Attributes:
        correlation: Rank correlation with the gain; None where it could not be measured.
        following: Gain over uniform of training on the quarter that it scores highest.
        silent: Checkpoints at which it scored all cells alike.
    """

    correlation: Interval | None
    following: Interval
    silent: int


@dataclass(frozen=True)
class Summary:
    """What all forks say together; gains in units of the return range, a fork's steps each.

    Attributes:
        unit: ``"seed"`` or ``"checkpoint"``: what intervals are taken over.
        uniform: Gain of uniform training.
        oracle: Gain of the greedy oracle over uniform.
        ceiling: Mean noise ceiling of the rank correlations; None where never known.
        signals: By name.
    """

    unit: str
    uniform: Interval
    oracle: Interval
    ceiling: float | None
    signals: dict[str, SignalSummary]


def summarise(forks: Sequence[Forks]) -> Summary:
    """Summarise the forks of several checkpoints, of one seed or more."""
    seeds = sorted({f.seed for f in forks})
    unit = "seed" if len(seeds) >= FEWEST_SEEDS_AS_UNITS else "checkpoint"

    def interval(values: Sequence[float | None]) -> Interval | None:
        pairs = [(f.seed, v) for f, v in zip(forks, values, strict=True) if v is not None]
        if unit == "seed":
            by_seed = [[v for s, v in pairs if s == seed] for seed in seeds]
            taken = [float(np.mean(group)) for group in by_seed if group]
        else:
            taken = [v for _, v in pairs]
        return t_interval(taken) if taken else None

    def known(values: Sequence[float]) -> Interval:
        found = interval(values)
        assert found is not None
        return found

    ceilings = [f.ceiling for f in forks if f.ceiling is not None]
    names = list(dict.fromkeys(name for f in forks for name in f.scores))
    return Summary(
        unit,
        known([f.uniform_gain for f in forks]),
        known([f.oracle for f in forks]),
        float(np.mean(ceilings)) if ceilings else None,
        {
            name: SignalSummary(
                interval([f.knows(name) for f in forks]),
                known([f.following(name) for f in forks]),
                sum(bool(np.ptp(f.scores[name]) == 0.0) for f in forks),
            )
            for name in names
        },
    )
