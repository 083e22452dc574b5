"""How often each interval holds the true value: the table behind what is offered.

``experiments/coverage.py`` simulates and writes it. The tests use the same cells, so a method
cannot be offered where the table says that it fails. Most cells run the offered code on
thousands of studies at once; the t, Welch and paired intervals are recomputed with scipy by rows,
and a test ties them to the offered functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from currgym.statistics.bounded import gaffke_limits
from currgym.statistics.curves import Times
from currgym.statistics.domains import offered
from currgym.statistics.robust import (
    BOOTSTRAP_ABOVE,
    FEWEST_RUNS,
    expanded_tail,
    improvement_limits,
    resampled,
    resampled_improvement,
    wins,
)
from currgym.statistics.robust import _mean as mean_of
from currgym.statistics.robust import _trimmed as trimmed
from currgym.statistics.shares import differs_near_a_bound, near_a_bound, spans
from currgym.statistics.skewed import bootstrap_t_limits, combined_limits
from currgym.statistics.survival import FEWEST_RUNS as FEWEST_TIMES
from currgym.statistics.survival import median_time

__all__ = ["CELLS", "LEAST", "MOST", "SIZES", "Cell", "Row", "exact_rates", "line", "simulate"]

FloatArray = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], FloatArray]
Ends = tuple[FloatArray, FloatArray]

SIZES = (5, 8, 10, 20, 30)
LEAST, MOST = 0.93, 0.97
"""What counts as covering 95 %."""

LEVEL = 0.95
STUDIES = 4_000
FEWER_STUDIES = 1_500
"""For cells that resample every study, or take studies one by one."""


# Outcomes: each draws values of a shape, and knows its mean. -----------------------------------


@dataclass(frozen=True)
class Outcome:
    """A distribution of one seed's endpoint.

    Attributes:
        label: For the table.
        mean: Its true mean.
        draw: Draws values of a shape.
    """

    label: str
    mean: float
    draw: Draw


def normal(mean: float = 0.0, sd: float = 1.0) -> Outcome:
    """Return a normal outcome."""
    return Outcome("normal", mean, lambda rng, size: rng.normal(mean, sd, size))


def exponential(scale: float = 1.0) -> Outcome:
    """Return an exponential outcome, of skewness 2."""
    return Outcome("exponential", scale, lambda rng, size: rng.exponential(scale, size))


def lognormal(sigma: float) -> Outcome:
    """Return a lognormal outcome; of skewness 1.75 at sigma 0.5, 6.2 at sigma 1."""
    return Outcome(
        f"lognormal {sigma:g}",
        math.exp(sigma**2 / 2.0),
        lambda rng, size: rng.lognormal(0.0, sigma, size),
    )


def solved(rate: float) -> Outcome:
    """Return whether a run solved it, 0 or 1."""
    return Outcome(
        f"solved {rate:g}", rate, lambda rng, size: (rng.random(size) < rate).astype(np.float64)
    )


def shares(rate: float, alike: float, tasks: int = 50) -> Outcome:
    """Return the share of test tasks solved, where runs differ (beta) and tasks do (binomial).

    Args:
        rate: Mean share.
        alike: The larger, the more alike are the runs; below 1, most solve all or nothing.
        tasks: In the test set.
    """

    def draw(rng: np.random.Generator, size: tuple[int, ...]) -> FloatArray:
        if rate == 0.0:
            return np.zeros(size)
        each = rng.beta(rate * alike, (1.0 - rate) * alike, size)
        return rng.binomial(tasks, each) / tasks

    spread = " all-or-none" if alike <= 1.0 and rate else ""
    steady = " steady" if alike >= 1_000.0 else ""
    return Outcome(f"share {rate:g}{spread}{steady}", rate, draw)


# Methods: from studies in rows to the ends of their intervals. ---------------------------------


def t_ends(x: FloatArray, rng: np.random.Generator) -> Ends:
    """Return the ends of :func:`~currgym.statistics.t_interval`."""
    n = x.shape[1]
    half = stats.t.ppf((1.0 + LEVEL) / 2.0, n - 1) * x.std(axis=1, ddof=1) / math.sqrt(n)
    return x.mean(axis=1) - half, x.mean(axis=1) + half


def bootstrap_t_ends(x: FloatArray, rng: np.random.Generator) -> Ends:
    """Return the ends of :func:`~currgym.statistics.bootstrap_t_interval`."""
    return _in_blocks(lambda block: bootstrap_t_limits(block, rng, 1_000)(LEVEL), x)


def gaffke_ends(x: FloatArray, rng: np.random.Generator) -> Ends:
    """Return the ends of :func:`~currgym.statistics.bounded_interval`."""
    return _in_blocks(lambda block: gaffke_limits(block, rng, 1_000)(LEVEL), x)


def welch_ends(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> Ends:
    """Return the ends of :func:`~currgym.statistics.welch_difference`."""
    n, m = x.shape[1], y.shape[1]
    a, b = x.var(axis=1, ddof=1) / n, y.var(axis=1, ddof=1) / m
    varies = a + b > 0.0
    df = np.ones(len(x))
    np.divide((a + b) ** 2, a**2 / (n - 1) + b**2 / (m - 1), out=df, where=varies)
    half = stats.t.ppf((1.0 + LEVEL) / 2.0, df) * np.sqrt(a + b)
    centre = x.mean(axis=1) - y.mean(axis=1)
    return centre - half, centre + half


def paired_ends(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> Ends:
    """Return the ends of :func:`~currgym.statistics.paired_difference`."""
    return t_ends(x - y, rng)


def permutation_ends(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> Ends:
    """Return the ends of :func:`~currgym.statistics.permutation_interval`, 999 regroupings."""
    from currgym.statistics.intervals import permutation_interval

    both = [
        permutation_interval(a, b, rng, LEVEL, permutations=999) for a, b in zip(x, y, strict=True)
    ]
    return np.array([i.low for i in both]), np.array([i.high for i in both])


def skewed_ends(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> Ends:
    """Return the ends of :func:`~currgym.statistics.skewed_difference`."""

    def ends(block: FloatArray, other: FloatArray) -> Ends:
        a, b = (bootstrap_t_limits(z, rng, 1_000) for z in (block, other))
        return combined_limits(block.mean(axis=1), other.mean(axis=1), a, b, LEVEL)

    return _in_blocks(ends, x, y)


def bounded_ends(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> Ends:
    """Return the ends of :func:`~currgym.statistics.bounded_difference`."""

    def ends(block: FloatArray, other: FloatArray) -> Ends:
        a, b = (gaffke_limits(z, rng, 500, mid=True) for z in (block, other))
        return combined_limits(block.mean(axis=1), other.mean(axis=1), a, b, LEVEL)

    return _in_blocks(ends, x, y)


def bounded_paired_ends(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> Ends:
    """Return the ends of :func:`~currgym.statistics.bounded_paired_difference`."""
    low, high = gaffke_ends((x - y + 1.0) / 2.0, rng)
    return 2.0 * low - 1.0, 2.0 * high - 1.0


def share_ends(x: FloatArray, rng: np.random.Generator) -> Ends:
    """Return the ends of :func:`~currgym.statistics.share_interval`."""
    low, high = t_ends(x, rng)
    near = near_a_bound(x)
    if near.any():
        low[near], high[near] = gaffke_ends(x[near], rng)
    return low, high


def share_difference_ends(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> Ends:
    """Return the ends of :func:`~currgym.statistics.share_difference`."""
    return _mixed(welch_ends, bounded_ends, x, y, rng)


def share_paired_ends(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> Ends:
    """Return the ends of :func:`~currgym.statistics.share_paired_difference`."""
    return _mixed(paired_ends, bounded_paired_ends, x, y, rng)


def _mixed(
    far: Callable[..., Ends],
    near: Callable[..., Ends],
    x: FloatArray,
    y: FloatArray,
    rng: np.random.Generator,
) -> Ends:
    low, high = far(x, y, rng)
    at = differs_near_a_bound(x, y)
    if at.any():
        below, above = spans(x[at], y[at])
        width = above - below
        ends = near(
            (x[at] - below[:, None]) / width[:, None], (y[at] - below[:, None]) / width[:, None],
            rng,
        )  # fmt: skip
        low[at], high[at] = ends[0] * width, ends[1] * width
    return low, high


def _in_blocks(ends: Callable[..., Ends], *studies: FloatArray, block: int = 500) -> Ends:
    """Return the ends by blocks of studies, each with resamples of its own."""
    parts = [
        ends(*(z[start : start + block] for z in studies))
        for start in range(0, len(studies[0]), block)
    ]
    return np.concatenate([low for low, _ in parts]), np.concatenate([high for _, high in parts])


# The cells of the table. -----------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """One method on one outcome, at each size.

    Attributes:
        method: Name of the public function.
        shape: What the outcome counts as, a key of :data:`~currgym.statistics.SHAPES`, or "any".
        label: The outcome in words.
        covers: From size, studies and generator to the share of studies that cover.
        studies: How many.
        fewest: Fewest values where the method is offered; None: as
            :data:`~currgym.statistics.FEWEST_VALUES` says.
        may_exceed: Whether it may cover more than 97 %, because outcomes are discrete or nothing
            is assumed of them.
        inside: Whether it is within what the shape describes; else the row shows what happens
            beyond, and asserts nothing.
    """

    method: str
    shape: str
    label: str
    covers: Callable[[int, int, np.random.Generator], float]
    studies: int = STUDIES
    fewest: int | None = None
    may_exceed: bool = False
    inside: bool = True

    def offered(self, n: int) -> bool:
        """Tell whether the method takes n values of this shape."""
        if self.fewest is not None:
            return n >= self.fewest
        return offered(self.method, self.shape, n)


@dataclass(frozen=True)
class Row:
    """A cell with the coverage found, by size."""

    cell: Cell
    coverage: dict[int, float]


def _held(ends: Ends, truth: float) -> float:
    """Return the share of intervals that hold the truth, of those that are not refused."""
    low, high = ends
    given = ~np.isnan(low)
    # Rates such as 0.9 are not exact, and ends fall on them.
    held = (low[given] <= truth + 1e-9) & (high[given] >= truth - 1e-9)
    return float(held.mean()) if given.any() else math.nan


def one(
    method: str,
    shape: str,
    outcome: Outcome,
    ends: Callable[[FloatArray, np.random.Generator], Ends],
    may_exceed: bool = False,
    inside: bool = True,
) -> Cell:
    """Return the cell of a mean."""

    def covers(n: int, studies: int, rng: np.random.Generator) -> float:
        return _held(ends(outcome.draw(rng, (studies, n)), rng), outcome.mean)

    return Cell(method, shape, outcome.label, covers, may_exceed=may_exceed, inside=inside)


def two(
    method: str,
    shape: str,
    a: Outcome,
    b: Outcome,
    ends: Callable[[FloatArray, FloatArray, np.random.Generator], Ends],
    label: str | None = None,
    studies: int = STUDIES,
    may_exceed: bool = False,
    inside: bool = True,
) -> Cell:
    """Return the cell of a difference of independent arms."""

    def covers(n: int, many: int, rng: np.random.Generator) -> float:
        x, y = a.draw(rng, (many, n)), b.draw(rng, (many, n))
        return _held(ends(x, y, rng), a.mean - b.mean)

    label = f"{a.label} and {b.label}" if label is None else label
    return Cell(method, shape, label, covers, studies, None, may_exceed, inside)


def aggregate(
    method: str,
    label: str,
    outcomes: Sequence[Outcome],
    statistic: Callable[[FloatArray], FloatArray],
    target: float | None = None,
    may_exceed: bool = False,
) -> Cell:
    """Return the cell of a summary over environments."""
    many = 200_000
    source = np.random.default_rng(12345)
    sample = np.stack([o.draw(source, (many,)) for o in outcomes], axis=-1)

    def ready(x: FloatArray) -> FloatArray:
        return x if target is None else target - np.minimum(x, target)

    truth = float(statistic(ready(sample).reshape(-1)))

    def covers(n: int, studies: int, rng: np.random.Generator) -> float:
        x = ready(np.stack([o.draw(rng, (studies, n)) for o in outcomes], axis=-1))
        tail = expanded_tail(LEVEL, n, len(outcomes))

        def ends(block: FloatArray) -> Ends:
            draws = resampled(block, statistic, rng, 500)
            low, high = np.quantile(draws, [tail, 1.0 - tail], axis=1)
            return low, high

        return _held(_in_blocks(ends, x, block=250), truth)

    return Cell(method, "any", label, covers, STUDIES, FEWEST_RUNS, may_exceed)


def improvement(label: str, pairs: Sequence[tuple[Outcome, Outcome]], may_exceed: bool) -> Cell:
    """Return the cell of a probability of improvement."""
    source = np.random.default_rng(54321)
    truth = float(
        np.mean([_beats(a.draw(source, (1, 20_000)), b.draw(source, (1, 20_000)))
                 for a, b in pairs])
    )  # fmt: skip

    def covers(n: int, studies: int, rng: np.random.Generator) -> float:
        estimates = np.mean(
            [_beats(a.draw(rng, (studies, n)), b.draw(rng, (studies, n))) for a, b in pairs], axis=0
        )
        return _held(improvement_limits(estimates, n, n, len(pairs), LEVEL), truth)

    return Cell(
        "probability_of_improvement", "any", label, covers, STUDIES, FEWEST_RUNS, may_exceed
    )


def bootstrapped(label: str, pairs: Sequence[tuple[Outcome, Outcome]]) -> Cell:
    """Return the cell of a probability of improvement by bootstrap, where it is not refused."""
    source = np.random.default_rng(54321)
    truth = float(
        np.mean([_beats(a.draw(source, (1, 20_000)), b.draw(source, (1, 20_000)))
                 for a, b in pairs])
    )  # fmt: skip

    def covers(n: int, studies: int, rng: np.random.Generator) -> float:
        x, y = (np.stack([o.draw(rng, (studies, n)) for o in side], axis=-1)
                for side in zip(*pairs, strict=True))  # fmt: skip
        tail = expanded_tail(LEVEL, n, len(pairs))

        def ends(a: FloatArray, b: FloatArray) -> Ends:
            won = wins(a, b)
            draws = resampled_improvement(won, rng, 400)
            low, high = np.quantile(draws, [tail, 1.0 - tail], axis=1)
            estimate = won.mean(axis=(1, 2, 3))
            refused = (estimate < BOOTSTRAP_ABOVE) | (estimate > 1.0 - BOOTSTRAP_ABOVE)
            return np.where(refused, math.nan, low), np.where(refused, math.nan, high)

        return _held(_in_blocks(ends, x, y, block=250), truth)

    return Cell(
        "probability_of_improvement by bootstrap", "any", label, covers, 1_000, FEWEST_RUNS, True
    )


def _beats(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the share of pairs in which a is higher, ties half, for each row."""
    statistic = stats.mannwhitneyu(a, b, axis=1, method="asymptotic").statistic
    result: FloatArray = np.asarray(statistic, dtype=np.float64) / (a.shape[1] * b.shape[1])
    return result


def median(label: str, budget: float) -> Cell:
    """Return the cell of a median time (exponential, median ln 2), runs censored at a budget."""

    def covers(n: int, studies: int, rng: np.random.Generator) -> float:
        t = rng.exponential(size=(studies, n))
        both = [median_time(Times(np.minimum(row, budget), row <= budget)) for row in t]
        ends = np.array([i.low for i in both]), np.array([i.high for i in both])
        return _held(ends, math.log(2.0))

    return Cell("median_time", "any", label, covers, 1_000, FEWEST_TIMES, True)


def _cells() -> Iterator[Cell]:
    exp, log = exponential(), lognormal(0.5)
    yield one("t_interval", "normal", normal(), t_ends)
    yield one("t_interval", "normal", shares(0.7, 10.0), t_ends)
    yield one("t_interval", "skewed", exp, t_ends)
    yield one("t_interval", "skewed", log, t_ends)
    yield one("t_interval", "bounded", solved(0.9), t_ends)
    yield one("t_interval", "bounded", shares(0.97, 1.0), t_ends)
    yield one("bootstrap_t_interval", "normal", normal(), bootstrap_t_ends)
    yield one("bootstrap_t_interval", "skewed", exp, bootstrap_t_ends)
    yield one("bootstrap_t_interval", "skewed", log, bootstrap_t_ends)
    yield one("bootstrap_t_interval", "skewed", lognormal(1.0), bootstrap_t_ends, inside=False)
    yield one("bootstrap_t_interval", "bounded", shares(0.97, 1.0), bootstrap_t_ends)
    for rate in (0.5, 0.9, 0.98):
        yield one("bounded_interval", "bounded", solved(rate), gaffke_ends, may_exceed=True)
    for outcome in (shares(0.9, 10.0), shares(0.9, 1.0), shares(0.97, 1.0), shares(0.03, 10.0)):
        yield one("bounded_interval", "bounded", outcome, gaffke_ends, may_exceed=True)
    for method, ends in (("welch_difference", welch_ends), ("paired_difference", paired_ends)):
        yield two(method, "normal", normal(), normal(0.0, 3.0), ends, "normal, SD 1 and 3")
        yield two(method, "normal", shares(0.7, 10.0), shares(0.5, 10.0), ends)
        yield two(method, "alike", exp, exponential(1.5), ends, "exponential, mean 1 and 1.5")
        yield two(method, "alike", log, log, ends)
        yield two(method, "skewed", exponential(3.0), exp, ends, "exponential, mean 3 and 1")
        yield two(
            method, "skewed", log, normal(0.0, 0.1), ends, "lognormal 0.5 and nearly constant"
        )
        yield two(method, "bounded", solved(0.98), solved(0.8), ends)
    fewer = FEWER_STUDIES
    yield two("permutation_interval", "normal", normal(), normal(), permutation_ends,
              "normal", fewer)  # fmt: skip
    yield two("permutation_interval", "alike", exp, exponential(1.5), permutation_ends,
              "exponential, mean 1 and 1.5", fewer)  # fmt: skip
    yield two("skewed_difference", "normal", normal(), normal(0.0, 3.0), skewed_ends,
              "normal, SD 1 and 3", may_exceed=True)  # fmt: skip
    yield two("skewed_difference", "skewed", exp, exp, skewed_ends, may_exceed=True)
    yield two("skewed_difference", "skewed", exponential(3.0), exp, skewed_ends,
              "exponential, mean 3 and 1")  # fmt: skip
    yield two("skewed_difference", "skewed", log, normal(0.0, 0.1), skewed_ends,
              "lognormal 0.5 and nearly constant")  # fmt: skip
    yield two("skewed_difference", "bounded", solved(0.98), solved(0.8), skewed_ends)
    pairs = (
        (solved(0.9), solved(0.5)),
        (solved(0.98), solved(0.8)),
        (shares(0.9, 1.0), shares(0.5, 1.0)),
        (shares(0.97, 10.0), shares(0.9, 10.0)),
    )
    for a, b in pairs:
        yield two("bounded_difference", "bounded", a, b, bounded_ends, may_exceed=True)
        yield two("bounded_paired_difference", "bounded", a, b, bounded_paired_ends,
                  may_exceed=True)  # fmt: skip
    hardly, never = shares(0.5, 3_000.0, 3_000), shares(0.0, 1.0)
    for outcome in (
        shares(0.5, 10.0), shares(0.7, 10.0), shares(0.8, 10.0), shares(0.9, 10.0),
        shares(0.05, 30.0), solved(0.5), solved(0.9), shares(0.97, 1.0),
    ):  # fmt: skip
        yield one("share_interval", "share", outcome, share_ends, may_exceed=True)
    for a, b in (
        *pairs, (shares(0.7, 10.0), shares(0.5, 10.0)), (shares(0.8, 10.0), shares(0.8, 10.0)),
        (shares(0.9, 10.0), shares(0.7, 10.0)), (shares(0.15, 10.0), hardly),
        (shares(0.05, 30.0), hardly), (shares(0.2, 10.0), never), (shares(0.05, 30.0), never),
    ):  # fmt: skip
        yield two("share_difference", "share", a, b, share_difference_ends, may_exceed=True)
        yield two("share_paired_difference", "share", a, b, share_paired_ends, may_exceed=True)
    yield two("share_difference", "share", shares(0.03, 1.0), shares(0.1, 1.0),
              share_difference_ends, may_exceed=True, inside=False)  # fmt: skip
    three = [normal(), normal(0.5), normal(1.0, 2.0)]
    far = [normal(), normal(3.0), normal(6.0, 2.0)]
    skew = [exponential(1.0), exponential(1.5), exponential(3.0)]
    part = [shares(0.9, 10.0, 20), shares(0.6, 10.0, 20), shares(0.97, 10.0, 20)]
    cases = {
        "1 normal": [normal()],
        "3 normal": three,
        "3 normal, far apart": far,
        "3 exponential": skew,
        "3 shares": part,
    }
    for label, outcomes in cases.items():
        yield aggregate("interquartile_mean", label, outcomes, trimmed)
    yield aggregate("optimality_gap", "3 normal, target 1", three, mean_of, 1.0)
    yield aggregate("optimality_gap", "3 shares, target 1", part, mean_of, 1.0)
    yield improvement("1 normal, no difference", [(normal(), normal())], False)
    yield improvement("1 normal, 2 SD apart", [(normal(2.0), normal())], True)
    yield improvement("3 normal, one apart", [(normal(4.0), normal()), (normal(), normal(0.0, 3.0)),
                                              (normal(0.5), normal())], True)  # fmt: skip
    yield improvement("3 shares", [(shares(0.9, 10.0), shares(0.7, 10.0)),
                                   (shares(0.97, 1.0), shares(0.9, 1.0))], True)  # fmt: skip
    apart = [(normal(4.0), normal()), (normal(), normal(0.0, 3.0)), (normal(0.5), normal())]
    yield bootstrapped("1 normal, no difference", [(normal(), normal())])
    yield bootstrapped("1 normal, 1 SD apart", [(normal(1.0), normal())])
    yield bootstrapped("3 normal, one apart", apart)
    yield bootstrapped("3 shares", [(shares(0.9, 10.0), shares(0.7, 10.0)),
                                    (shares(0.97, 1.0), shares(0.9, 1.0)),
                                    (shares(0.6, 10.0), shares(0.5, 10.0))])  # fmt: skip
    yield median("all runs get there", math.inf)
    yield median("1 in 4 censored", -math.log(0.25))


CELLS: tuple[Cell, ...] = tuple(_cells())


def simulate(cell: Cell, n: int, studies: int | None = None, seed: int = 0) -> float:
    """Return the share of simulated studies whose interval holds the true value.

    Args:
        cell: What is simulated.
        n: Values a sample.
        studies: How many; the cell's own number where None.
        seed: Of the simulation.
    """
    return cell.covers(n, cell.studies if studies is None else studies, np.random.default_rng(seed))


def exact_rates(n: int, grid: int = 199) -> FloatArray:
    """Return how often ``bounded_difference`` covers for two solved rates, without simulation.

    Every outcome of two arms of n runs is weighed with its binomial probability.

    Args:
        n: Runs an arm.
        grid: Rates from 0.005 to 0.995.

    Returns:
        ``(grid, grid)``, rates of the first arm by rates of the second.
    """
    counts = np.arange(n + 1)
    outcomes = (counts[None, :n] < counts[:, None]).astype(np.float64)
    limits = gaffke_limits(outcomes, np.random.default_rng(0), 40_000, mid=True)
    share = counts / n
    a, b = np.repeat(share, n + 1), np.tile(share, n + 1)
    low, high = limits(LEVEL)
    low_a, high_a = np.repeat(low, n + 1), np.repeat(high, n + 1)
    low_b, high_b = np.tile(low, n + 1), np.tile(high, n + 1)
    below, above = combined_limits(
        a, b, lambda level: (low_a, high_a), lambda level: (low_b, high_b), LEVEL
    )
    rates = np.linspace(0.005, 0.995, grid)
    chance = stats.binom.pmf(counts[:, None], n, rates)
    covered = np.empty((grid, grid))
    for i, rate in enumerate(rates):
        truth = rate - rates
        held = (below[:, None] <= truth + 1e-9) & (above[:, None] >= truth - 1e-9)
        by_counts = held.reshape(n + 1, n + 1, grid)
        covered[i] = np.einsum("i,ijk,jk->k", chance[:, i], by_counts, chance)
    return covered


def line(row: Row, sizes: Sequence[int] = SIZES) -> str:
    """Return a row as text: per cent covered, in brackets where the method refuses."""
    cell = row.cell
    shown = []
    for n in sizes:
        if n not in row.coverage:
            shown.append("      -")
            continue
        figure = f"{100.0 * row.coverage[n]:.1f}"
        shown.append(f"{figure:>6} " if cell.offered(n) else f"{f'({figure})':>7}")
    notes = "  beyond the shape" if not cell.inside else ""
    return f"{cell.method:40} {cell.shape:8} {cell.label:44} " + " ".join(shown) + notes
