"""Where each interval method is offered: it must cover what it says, by simulation.

A nominal 95 % interval counts as covering if it holds the true value in 93 to 97 % of simulated
studies, or in more where outcomes are discrete and no method could do better. ``experiments/
coverage.py`` measures it; this table states the conclusion, and the
methods refuse the rest.
"""

from __future__ import annotations

from typing import Literal

__all__ = ["FEWEST_VALUES", "SHAPES", "NotOffered", "Shape", "check_offered", "offered"]

Shape = Literal["normal", "alike", "skewed", "bounded", "share"]

SHAPES: dict[str, str] = {
    "normal": "roughly symmetric, no bound near (shares of 0.3 to 0.7 too); spreads may differ",
    "alike": "skewed, the arms the same way with spreads within a factor 1.5 (differences only)",
    "skewed": "skewed up to a skewness of 2 (exponential), the arms each in its own way",
    "bounded": "solved or not, or a share of tasks solved: values in a known range, near its ends",
    "share": "values in a known range, wherever in it: the methods look how near its ends are",
}
"""Shapes of outcomes, chosen by what is measured and not by a look at the values."""

FEWEST_VALUES: dict[str, dict[str, int]] = {
    "t_interval": {"normal": 2},
    "bootstrap_t_interval": {"normal": 8, "skewed": 8},
    "bounded_interval": {"bounded": 2},
    "welch_difference": {"normal": 2, "alike": 5},
    "paired_difference": {"normal": 2, "alike": 5},
    "permutation_interval": {"normal": 2, "alike": 5},
    "skewed_difference": {"normal": 8, "alike": 8, "skewed": 8},
    "bounded_difference": {"bounded": 8},
    "bounded_paired_difference": {"bounded": 5},
    "share_interval": {"share": 2},
    "share_difference": {"share": 8},
    "share_paired_difference": {"share": 8},
}
"""Fewest values a sample from which a method is offered, by shape; absent where it never is."""

_INSTEAD = {
    "mean": {
        "normal": "t_interval",
        "alike": "bootstrap_t_interval with shape='skewed'",
        "skewed": "bootstrap_t_interval, from 8 values on",
        "bounded": "bounded_interval, at any n from 2 on",
        "share": "share_interval",
    },
    "difference": {
        "normal": "welch_difference or paired_difference",
        "alike": "welch_difference or paired_difference, from 5 values an arm on",
        "skewed": "skewed_difference, from 8 values an arm on",
        "bounded": "bounded_difference, from 8 values an arm on, or bounded_paired_difference",
        "share": "share_difference or share_paired_difference, from 8 values an arm on",
    },
}


class NotOffered(ValueError):
    """An interval was asked for where no method covers what it says."""


def offered(method: str, shape: str, n: int) -> bool:
    """Tell whether a method is offered for outcomes of this shape with n values a sample.

    Args:
        method: Name of the function.
        shape: A key of :data:`SHAPES`.
        n: Values in the smaller sample.
    """
    least = FEWEST_VALUES[method].get(shape)
    return least is not None and n >= least


def check_offered(method: str, shape: str, n: int) -> None:
    """Refuse a method where it does not cover what it says.

    Raises:
        ValueError: If the shape is unknown.
        NotOffered: If the method is not offered; says what is.
    """
    if shape not in SHAPES:
        raise ValueError(f"shape must be one of {sorted(SHAPES)}, got {shape!r}")
    if offered(method, shape, n):
        return
    family = "difference" if "difference" in method or "permutation" in method else "mean"
    least = FEWEST_VALUES[method].get(shape)
    if least is None:
        raise NotOffered(
            f"{method} is not offered for {shape!r} outcomes, where a nominal 95 % covers too "
            f"little: use {_INSTEAD[family][shape]}"
        )
    raise NotOffered(
        f"{method} needs at least {least} values a sample for {shape!r} outcomes, got {n}: "
        "report the values one by one, or run more seeds"
    )
