"""What may be said: what a verdict needs, which one it is, corrections for several contrasts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from currgym.statistics.choice import Kind
from currgym.statistics.intervals import Interval
from currgym.statistics.plans import Plan
from currgym.statistics.power import MOST_SEEDS, seeds_needed

__all__ = [
    "FEWEST_SEEDS", "TUNING_SEEDS_FROM", "Verdict", "conclude", "conclude_bar", "fewest_seeds",
    "holm", "judge",
]  # fmt: skip

FEWEST_SEEDS = {"rl": 8, "supervised": 10, "simulated": 30}
"""Fewest seeds an arm for a verdict, by kind of student."""

TUNING_SEEDS_FROM = 1000
"""Settings are chosen on seeds from this one up, and verdicts rest on others."""


@dataclass(frozen=True)
class Verdict:
    """What a comparison says.

    Attributes:
        word: The word to print.
        reason: Why, in one sentence.
        final: Whether it is a verdict at all.
        needed: Seeds an arm that would decide, of an inconclusive comparison; None elsewhere, or
            where the number cannot be told.
        label: Of a verdict on somebody's published claim: ``"same protocol"``, or ``"conceptual"``
            with its scale factor.
    """

    word: str
    reason: str
    final: bool
    needed: int | None = None
    label: str = ""

    @property
    def text(self) -> str:
        """The word with its label, as it is printed.

        >>> Verdict("supported", "", True, label="same protocol").text
        'supported (same protocol)'
        """
        return f"{self.word} ({self.label})" if self.label else self.word


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


def conclude(
    plan: Plan,
    kind: Kind,
    seeds: int,
    difference: Interval,
    frozen: bool,
    adjusted_p: float | None = None,
) -> Verdict:
    """Return the verdict on one arm's difference from the baseline.

    In this order: *illustration* with too few seeds, *exploratory* without a frozen plan,
    *unfinished* before the planned seeds are there (a look at fewer would be a second chance);
    *not testable here* where no interval is offered; *equivalent* where the whole interval lies
    inside the margin (a difference that is significant but smaller than anything of interest is
    equivalent too); *supported* or *contradicted* where the corrected p is below alpha, by the
    sign; else *inconclusive*, with the seeds an arm that would find the smallest effect, and would
    show equivalence if there is no effect, each with 80 % power at the spread that was seen.

    Args:
        plan: Written before the runs.
        kind: ``"rl"``, ``"supervised"`` or ``"simulated"``.
        seeds: Finished seeds of the smaller arm, of the planned ones.
        difference: Arm minus baseline of the primary endpoint, at level 1 - alpha.
        frozen: Whether the plan was frozen before the first run.
        adjusted_p: p corrected over the plan's contrasts; the interval's own where None, which is
            right for one contrast only.

    Raises:
        ValueError: If the kind is unknown, the interval is of another level than the plan, or
            several contrasts come without a corrected p.
    """
    if seeds < fewest_seeds(kind) or not frozen:
        return judge(kind, seeds)
    if seeds < plan.n:
        return Verdict(
            "unfinished, no verdict", f"{seeds} of the {plan.n} planned seeds are there", False
        )
    p = difference.p if adjusted_p is None else adjusted_p
    if not difference.known or not 0.0 <= p <= 1.0:
        return Verdict("not testable here", f"no interval: {difference.method}", final=True)
    if abs(difference.level - plan.level) > 1e-9:
        raise ValueError(
            f"the interval is of level {difference.level:g}, and the plan's alpha {plan.alpha:g} "
            f"asks for {plan.level:g}"
        )
    if len(plan.contrasts) > 1 and adjusted_p is None:
        raise ValueError(f"{len(plan.contrasts)} contrasts need p-values corrected by holm()")
    margin = plan.smallest_effect
    sign = 1.0 if plan.direction == "higher" else -1.0
    ends = f"{difference.level:.0%} interval {difference.low:.3g} to {difference.high:.3g}"
    if -margin < difference.low and difference.high < margin:
        return Verdict(
            "equivalent", f"{ends}, inside the margin of {margin:g} either way", final=True
        )
    if p < plan.alpha:
        agrees = difference.estimate * sign > 0.0
        return Verdict(
            "supported" if agrees else "contradicted",
            f"{plan.endpoint} {'higher' if difference.estimate > 0.0 else 'lower'} than with "
            f"{plan.baseline}, {ends}, corrected p = {p:.2g}",
            final=True,
        )
    needed = _seeds_that_decide(plan, seeds, difference, plan.paired(kind))
    more = "more seeds than can be told" if needed is None else f"about {needed:,} seeds an arm"
    return Verdict(
        "inconclusive",
        f"{ends}, corrected p = {p:.2g}: neither a difference nor its absence is shown; {more} "
        "would decide",
        final=True,
        needed=needed,
    )


def conclude_bar(mean: Interval, bar: float, kind: Kind, seeds: int, frozen: bool) -> Verdict:
    """Return the verdict on a claim that a mean lies above a bar named before the runs.

    Args:
        mean: Of the endpoint, with its interval.
        bar: In the endpoint's unit.
        kind: ``"rl"``, ``"supervised"`` or ``"simulated"``.
        seeds: Finished seeds.
        frozen: Whether endpoint, bar and seeds were written before the first run.
    """
    if seeds < fewest_seeds(kind) or not frozen:
        return judge(kind, seeds)
    if not mean.known:
        return Verdict("not testable here", f"no interval: {mean.method}", final=True)
    word = "supported" if mean.low > bar else "contradicted" if mean.high < bar else "inconclusive"
    return Verdict(
        word,
        f"{mean.level:.0%} interval {mean.low:.3g} to {mean.high:.3g}, bar {bar:g}",
        final=True,
    )


def _seeds_that_decide(plan: Plan, seeds: int, difference: Interval, paired: bool) -> int | None:
    half = (difference.high - difference.low) / 2.0
    if not (math.isfinite(half) and half > 0.0):
        return None
    arms = 1.0 if paired else 2.0
    critical = float(stats.t.ppf((1.0 + difference.level) / 2.0, arms * (seeds - 1)))
    sd = half / critical * math.sqrt(seeds / arms)
    try:
        superior = seeds_needed(
            plan.smallest_effect, sd, paired=paired, alpha=plan.alpha,
            contrasts=len(plan.contrasts),
        )  # fmt: skip
    except ValueError:
        return None

    def shows_equivalence(n: int) -> float:
        error = sd * math.sqrt(arms / n)
        df = arms * (n - 1)
        room = plan.smallest_effect / error - float(stats.t.ppf(1.0 - plan.alpha / 2.0, df))
        return 2.0 * float(stats.t.cdf(room, df)) - 1.0

    n = superior
    while shows_equivalence(n) < 0.8:
        n = max(n + 1, round(1.02 * n))
        if n > MOST_SEEDS:
            return None
    return max(n, seeds + 1)


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
