"""What may be said: how many seeds a verdict needs, and corrections for several contrasts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FEWEST_SEEDS", "Verdict", "fewest_seeds", "holm", "judge"]

FEWEST_SEEDS = {"rl": 8, "supervised": 10, "simulated": 30}
"""Fewest seeds an arm for a verdict, by kind of student."""


@dataclass(frozen=True)
class Verdict:
    """What a comparison says.

    Attributes:
        word: The word to print.
        reason: Why, in one sentence.
        final: Whether it is a verdict at all.
    """

    word: str
    reason: str
    final: bool


def fewest_seeds(kind: str) -> int:
    """Return the fewest seeds an arm for a verdict.

    Args:
        kind: ``"rl"``, ``"supervised"`` or ``"simulated"``.

    Raises:
        ValueError: For another kind.
    """
    if kind not in FEWEST_SEEDS:
        raise ValueError(f"kind must be one of {sorted(FEWEST_SEEDS)}, got {kind!r}")
    return FEWEST_SEEDS[kind]


def judge(kind: str, seeds: int) -> Verdict:
    """Return what may be said of a comparison that had no plan before its runs.

    Args:
        kind: ``"rl"``, ``"supervised"`` or ``"simulated"``.
        seeds: Finished seeds of the smaller arm.
    """
    need = fewest_seeds(kind)
    if seeds < need:
        count = "1 seed" if seeds == 1 else f"{seeds} seeds"
        return Verdict(
            "illustration, no verdict",
            f"{count} a teacher, and a verdict needs at least {need}",
            final=False,
        )
    return Verdict(
        "exploratory, no verdict",
        "seeds enough, but a verdict also needs a plan that was written before the runs",
        final=False,
    )


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return p-values corrected for several contrasts by Holm's step-down method, ``(n,)``.

    Raises:
        ValueError: If one is not in [0, 1].

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0.0) & (p <= 1.0)).all():
        raise ValueError("p-values must be a vector of numbers in [0, 1]")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected
