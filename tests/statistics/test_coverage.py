"""Every interval covers what it says where it is offered, and is refused where it does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from currgym.statistics import (
    FEWEST_VALUES,
    SHAPES,
    NotOffered,
    Times,
    bootstrap_t_interval,
    bounded_difference,
    bounded_interval,
    bounded_paired_difference,
    interquartile_mean,
    median_time,
    offered,
    optimality_gap,
    paired_difference,
    permutation_interval,
    probability_of_improvement,
    share_difference,
    share_interval,
    share_paired_difference,
    skewed_difference,
    t_interval,
    welch_difference,
)
from currgym.statistics import coverage as table

RNG = np.random.default_rng
SLOW = (
    "permutation_interval", "median_time", "interquartile_mean", "optimality_gap",
    "probability_of_improvement by bootstrap",
)  # fmt: skip
"""These take studies one by one, or many resamples of each: fewer studies, two sizes only.

``experiments/coverage.py`` does all sizes.
"""


@pytest.mark.parametrize(
    "cell", table.CELLS, ids=lambda c: f"{c.method}-{c.shape}-{c.label}".replace(" ", "_")
)
def test_nominal_95_covers_93_to_97(cell: table.Cell) -> None:
    sizes = [n for n in table.SIZES if cell.offered(n)]
    refused = [n for n in table.SIZES if not cell.offered(n)]
    if cell.method in SLOW:
        sizes = sizes[:1] + sizes[-2:-1]
    studies = min(cell.studies, 600 if cell.method in SLOW else 2_500)
    found = {n: table.simulate(cell, n, studies) for n in sizes}
    slack = math.sqrt(table.LEAST * (1.0 - table.LEAST) / studies)  # 0.5 points for 2,500
    print(table.line(table.Row(cell, found)))  # noqa: T201
    if cell.inside:
        for n, share in found.items():
            assert share >= table.LEAST - slack, f"n = {n} covers {share:.3f}"
            assert share <= table.MOST + slack or cell.may_exceed, f"n = {n} covers {share:.3f}"
    elif found:
        assert min(found.values()) < table.LEAST, "covers beyond its shape: widen the shape"
    if refused and not sizes:
        worst = min(table.simulate(cell, n, 2_000) for n in refused[:2])
        assert worst < table.LEAST, "refused without need"


@pytest.mark.parametrize("n", [8, 10, 20, 30])
def test_two_solved_rates_exactly(n: int) -> None:
    """No simulation error here: every pair of rates, each outcome weighed with its probability."""
    covered = table.exact_rates(n)
    assert table.LEAST < covered.mean() < table.MOST
    assert (covered < table.LEAST).mean() < 0.002
    assert covered.min() > 0.91


def test_five_runs_of_two_solved_rates_are_refused_for_a_reason() -> None:
    assert table.exact_rates(5).mean() > table.MOST


# The table's row-wise methods are the offered ones. --------------------------------------------


@pytest.mark.parametrize("n", [5, 8, 20])
def test_the_rows_are_the_public_functions(n: int) -> None:
    rng = RNG(1)
    x, y = rng.exponential(size=(3, n)), rng.exponential(1.5, size=(3, n))
    for row, ends in enumerate(zip(*table.t_ends(x, rng), strict=True)):
        interval = t_interval(x[row])
        assert ends == pytest.approx((interval.low, interval.high))
    for row, ends in enumerate(zip(*table.welch_ends(x, y, rng), strict=True)):
        interval = welch_difference(x[row], y[row])
        assert ends == pytest.approx((interval.low, interval.high))
    for row, ends in enumerate(zip(*table.paired_ends(x, y, rng), strict=True)):
        interval = paired_difference(x[row], y[row])
        assert ends == pytest.approx((interval.low, interval.high))
    x, y = x / 20.0, np.minimum(y / 20.0, 1.0)
    for row, ends in enumerate(zip(*table.gaffke_ends(x, rng), strict=True)):
        interval = bounded_interval(x[row], rng)
        assert ends == pytest.approx((interval.low, interval.high), abs=0.05)
    if n >= 8:
        lower, nothing = x / 3.0, np.zeros_like(x)
        middle = x / 5.0 + 0.4, y / 5.0 + 0.4
        pairs = (middle, (lower, y), (lower, nothing))
        for a, b in pairs:  # away from the bounds, near them, at one
            for row, ends in enumerate(zip(*table.share_difference_ends(a, b, rng), strict=True)):
                interval = share_difference(a[row], b[row], rng)
                assert ends == pytest.approx((interval.low, interval.high), abs=0.05)
            for row, ends in enumerate(zip(*table.share_paired_ends(a, b, rng), strict=True)):
                interval = share_paired_difference(a[row], b[row], rng)
                assert ends == pytest.approx((interval.low, interval.high), abs=0.05)
        for row, ends in enumerate(zip(*table.share_ends(x, rng), strict=True)):
            interval = share_interval(x[row], rng)
            assert ends == pytest.approx((interval.low, interval.high), abs=0.05)
        for row, ends in enumerate(zip(*table.bounded_ends(x, y, rng), strict=True)):
            interval = bounded_difference(x[row], y[row], rng)
            assert ends == pytest.approx((interval.low, interval.high), abs=0.05)


# Refusals. -------------------------------------------------------------------------------------

CALLS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "t_interval": lambda x, y, shape: t_interval(x, shape=shape),
    "bootstrap_t_interval": lambda x, y, shape: bootstrap_t_interval(x, RNG(0), shape=shape),
    "bounded_interval": lambda x, y, shape: bounded_interval(x, RNG(0)),
    "welch_difference": lambda x, y, shape: welch_difference(x, y, shape=shape),
    "paired_difference": lambda x, y, shape: paired_difference(x, y, shape=shape),
    "permutation_interval": lambda x, y, shape: permutation_interval(x, y, RNG(0), shape=shape),
    "skewed_difference": lambda x, y, shape: skewed_difference(x, y, RNG(0), shape=shape),
    "bounded_difference": lambda x, y, shape: bounded_difference(x, y, RNG(0)),
    "bounded_paired_difference": lambda x, y, shape: bounded_paired_difference(x, y, RNG(0)),
    "share_interval": lambda x, y, shape: share_interval(x, RNG(0)),
    "share_difference": lambda x, y, shape: share_difference(x, y, RNG(0)),
    "share_paired_difference": lambda x, y, shape: share_paired_difference(x, y, RNG(0)),
}
TAKES_ONE_SHAPE = {
    **dict.fromkeys(("bounded_interval", "bounded_difference", "bounded_paired_difference"),
                    "bounded"),
    **dict.fromkeys(("share_interval", "share_difference", "share_paired_difference"), "share"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("method", "shape"),
    [
        (method, shape)
        for method in sorted(FEWEST_VALUES)
        for shape in ([TAKES_ONE_SHAPE[method]] if method in TAKES_ONE_SHAPE else sorted(SHAPES))
    ],
)
@pytest.mark.parametrize("n", table.SIZES)
def test_what_fails_is_refused(method: str, shape: str, n: int) -> None:
    rng = RNG(2)
    x, y = rng.uniform(0.4, 0.6, n), rng.uniform(0.4, 0.6, n)
    if offered(method, shape, n):
        assert CALLS[method](x, y, shape).known
    else:
        with pytest.raises(ValueError, match=rf"^{method} .*(use \w+|run more seeds)"):
            CALLS[method](x, y, shape)


def test_every_method_with_a_domain_is_in_the_table() -> None:
    inside = {(c.method, c.shape) for c in table.CELLS if c.inside}
    for method, shapes in FEWEST_VALUES.items():
        for shape in shapes:
            # A method for skewed outcomes that differ takes ones that are alike.
            shown = "skewed" if (method, shape) == ("skewed_difference", "alike") else shape
            assert (method, shown) in inside


@pytest.mark.parametrize("runs", [2, 3, 4])
def test_few_runs_have_no_interval_over_environments(runs: int) -> None:
    scores = RNG(0).random((runs, 3))
    few = "needs at least 5 runs"
    with pytest.raises(ValueError, match=few):
        interquartile_mean(scores, RNG(0))
    with pytest.raises(ValueError, match=few):
        optimality_gap(scores, RNG(0))
    with pytest.raises(ValueError, match=few):
        probability_of_improvement(scores, scores)
    with pytest.raises(ValueError, match="at least 8 runs"):
        median_time(Times.of([1.0] * runs, [True] * runs))


def test_an_unknown_shape_is_refused() -> None:
    wrong: Any = "gaussian"
    with pytest.raises(ValueError, match="shape must be one of"):
        t_interval([1.0, 2.0], shape=wrong)


@pytest.mark.parametrize("difference", [share_difference, share_paired_difference])
def test_a_few_shares_are_not_compared(difference: Callable[..., Any]) -> None:
    for n in (1, 2, 5, 7):
        with pytest.raises(NotOffered, match="needs at least 8 values"):
            difference([0.5] * n, [0.4] * n, RNG(0))
    assert difference([0.0] * 8, [0.4] * 8, RNG(0)).known


def test_away_from_the_bounds_shares_are_compared_as_any_values() -> None:
    x, y = RNG(0).uniform(0.4, 0.6, (2, 8))
    assert share_difference(x, y, RNG(0)) == welch_difference(x, y)
    assert share_paired_difference(x, y, RNG(0)) == paired_difference(x, y)
    assert share_interval(x, RNG(0)) == t_interval(x)
    scaled = share_difference(10.0 * x, 10.0 * y, RNG(0), 0.0, 10.0)
    assert scaled.low == pytest.approx(10.0 * welch_difference(x, y).low)
