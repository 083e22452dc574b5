"""Where values become conclusions: one place for pages, tables and the terminal. Reads no files.

The rules are those of a pre-registered comparison: one endpoint, contrasts with one baseline only,
corrected by Holm, the first n seeds of the plan, and no verdict without a frozen plan or with too
few seeds. Every panel (one environment with one student) is a conclusion of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.statistics import (
    TUNING_SEEDS_FROM,
    BestArm,
    Contrast,
    Decomposition,
    Interval,
    NotOffered,
    Plan,
    Profile,
    Verdict,
    best_against_runner_up,
    conclude,
    contrasts_of,
    decompose,
    difference_if_offered,
    fewest_seeds,
    holm,
    interquartile_mean,
    judge,
    mean_interval,
    optimality_gap,
    pairs_seeds,
    performance_profile,
    probability_of_improvement,
)
from currgym.statistics.choice import Kind
from currgym.statistics.robust import FEWEST_RUNS
from currgym.studies.endpoints import ENDPOINTS, Endpoint

__all__ = [
    "AcrossPanels", "ArmAcross", "ArmConclusion", "ArmValues", "Conclusions", "conclude_across",
    "conclude_panel",
]  # fmt: skip

FloatArray = NDArray[np.float64]

FEWEST_PANELS = 3
"""Fewest environments over which arms are summed up."""


@dataclass(frozen=True)
class ArmValues:
    """What an arm's finished runs measured.

    Attributes:
        label: Of the arm.
        values: Seed -> endpoint.
        tail: Seed -> mean over the worst tenth of the tasks at the end; empty where not known.
        privileges: What its teacher is told beside outcomes.
        control: Whether it explains the comparison rather than competes in it.
        teacher: Registered name.
        of: For a replay: label of the arm whose tasks it replays.
    """

    label: str
    values: Mapping[int, float]
    tail: Mapping[int, float] = field(default_factory=dict)
    privileges: tuple[str, ...] = ()
    control: bool = False
    teacher: str = ""
    of: str | None = None


@dataclass(frozen=True)
class ArmConclusion:
    """What is concluded of one arm.

    Attributes:
        arm: Its label.
        values: Endpoint by seed, of all finished runs.
        mean: Over the seeds that count, with its interval; None where no run is finished. Ends are
            NaN where no interval is offered; the method then says why.
        tail: The same of the mean over the worst tenth of the tasks (CVaR); None where not known.
        difference: Arm minus baseline, the interval by itself; None for the baseline, and where
            either has no run.
        simultaneous: The interval widened so that those of all contrasts hold at once; None where
            the arm is not among the contrasts.
        adjusted_p: p corrected by Holm over the contrasts; likewise.
        parts: The difference split into better tasks, their order, and adaptivity; None where the
            arm's two replays are not there.
        verdict: What may be said.
        crosses: Whether it is told other things than the baseline, so that the comparison is one of
            information too.
        control: Whether it is a control.
    """

    arm: str
    values: Mapping[int, float]
    mean: Interval | None
    tail: Interval | None
    difference: Interval | None
    simultaneous: Interval | None
    adjusted_p: float | None
    parts: Decomposition | None
    verdict: Verdict
    crosses: bool
    control: bool


@dataclass(frozen=True)
class Conclusions:
    """What one panel shows.

    Attributes:
        endpoint: Its name, a key of :data:`~currgym.studies.endpoints.ENDPOINTS`.
        baseline: Label of the arm that the others are compared with, or None.
        smallest_effect: Smallest difference of interest, in the endpoint's unit; None without plan.
        frozen: Whether the plan was frozen before its runs.
        kind: ``"rl"``, ``"supervised"`` or ``"simulated"``.
        paired: Whether arms are compared seed by seed.
        seeds: Those that count: the plan's first n, or all.
        plan: What was to be concluded, where it speaks of this endpoint; None elsewhere.
        arms: In the order given.
        best: The best arm against its runner-up, corrected for having selected both; None where
            that is no conclusion (no frozen plan, too few seeds).
    """

    endpoint: str
    baseline: str | None
    smallest_effect: float | None
    frozen: bool
    kind: Kind
    paired: bool
    seeds: tuple[int, ...]
    plan: Plan | None
    arms: tuple[ArmConclusion, ...]
    best: BestArm | None

    @cached_property
    def by_label(self) -> Mapping[str, ArmConclusion]:
        """The arms by label."""
        return {arm.arm: arm for arm in self.arms}

    def __getitem__(self, label: str) -> ArmConclusion:
        """Return the arm of this label."""
        return self.by_label[label]

    @property
    def tried(self) -> str:
        """How a published claim is tried here, in a sentence; empty where none is."""
        plan = self.plan if self.frozen else None
        if plan is None or plan.protocol is None:
            return ""
        if plan.protocol == "same":
            return "The published claim is tried under the same protocol."
        differs = f"; {plan.differs}" if plan.differs else ""
        return (
            f"The published claim is tried conceptually, at {plan.scale:g} times the original's "
            f"budget{differs}."
        )

    @property
    def verdict(self) -> Verdict:
        """What may be said of the whole: the arms' verdicts, or why there is none."""
        compared = [a for a in self.arms if a.arm != self.baseline]
        compared = [a for a in compared if not a.control] or compared
        planned = [a for a in compared if a.verdict.final]
        if not compared:
            return judge(self.kind, min((len(a.values) for a in self.arms), default=0))
        if not planned:
            # What comes first is what holds most of them back.
            return min((a.verdict for a in compared), key=lambda v: _ORDER.index(v.word))
        words = "; ".join(f"{a.arm}: {a.verdict.text}" for a in planned)
        return Verdict(words, "the plan was frozen before its runs", final=True)


_ORDER = ("illustration, no verdict", "unfinished, no verdict", "exploratory, no verdict")


def conclude_panel(
    arms: Sequence[ArmValues],
    endpoint: str,
    kind: Kind,
    seeds: Sequence[int],
    baseline: str | None,
    plan: Plan | None = None,
    frozen: bool = False,
) -> Conclusions:
    """Return what one environment with one student shows.

    Without a frozen plan all finished seeds are described (intervals at 95 %, contrasts of all arms
    that are no controls), and no arm gets a verdict. With one, the plan's first n seeds count, its
    arms get verdicts, and the others are described on the same seeds. Seeds from 1000 up choose
    settings: a plan that rests on them gets no verdict.

    Args:
        arms: One entry a teacher, in the order of the tables.
        endpoint: A key of :data:`~currgym.studies.endpoints.ENDPOINTS`.
        kind: ``"rl"``, ``"supervised"`` or ``"simulated"``.
        seeds: The study's seeds, in its order.
        baseline: Label of the arm that the others are compared with, or None.
        plan: What was to be concluded; it counts where it names this endpoint and baseline.
        frozen: Whether it was frozen before its runs.

    Raises:
        ValueError: If the endpoint or kind is unknown, or the plan names an arm that is not there.
    """
    panel = _Panel(arms, endpoint, kind, seeds, baseline, plan, frozen)
    return panel.conclusions()


class _Panel:
    """One panel's values with the rules that hold for them."""

    def __init__(
        self,
        arms: Sequence[ArmValues],
        endpoint: str,
        kind: Kind,
        seeds: Sequence[int],
        baseline: str | None,
        plan: Plan | None,
        frozen: bool,
    ) -> None:
        fewest_seeds(kind)
        self.endpoint: Endpoint = ENDPOINTS[endpoint]
        self.arms = {arm.label: arm for arm in arms}
        self.baseline = baseline
        self.kind = kind
        # A plan speaks of its own endpoint; of others the same runs are an exploration.
        fits = plan is not None and (plan.endpoint, plan.baseline) == (endpoint, baseline)
        self.plan = plan if fits else None
        self.frozen = frozen and self.plan is not None
        if self.plan is not None:
            for label in self.plan.arms:
                if label not in self.arms:
                    raise ValueError(f"the plan's arm {label!r} is not among {list(self.arms)}")
        planned = self.plan if self.frozen else None
        self.seeds = tuple(seeds[: planned.n] if planned else seeds)
        self.level = planned.level if planned else 0.95
        self.shape = self.plan.shape if self.plan else self.endpoint.shape
        self.paired = pairs_seeds(kind, self.plan.correlation if self.plan else 0.0)
        self.rng = np.random.default_rng(0)

    @property
    def candidates(self) -> list[str]:
        """Labels of the arms in the family of contrasts."""
        if self.frozen and self.plan is not None:
            return list(self.plan.contrasts)
        return [
            arm.label
            for arm in self.arms.values()
            if arm.label != self.baseline and not arm.control
        ]

    def conclusions(self) -> Conclusions:
        base = self.arms.get(self.baseline or "")
        found = self.contrasts(base)
        concluded = []
        for arm in self.arms.values():
            contrast = found.get(arm.label)
            gap = contrast.difference if contrast else self.difference(arm, base)
            concluded.append(
                ArmConclusion(
                    arm.label, dict(arm.values), self.mean(arm.values, self.shape),
                    self.mean(arm.tail, self.tail_shape), gap,
                    contrast.simultaneous if contrast else None,
                    contrast.adjusted_p if contrast else None,
                    self.parts(arm, base), self.verdict(arm, base, contrast),
                    base is not None and set(arm.privileges) != set(base.privileges), arm.control,
                )
            )  # fmt: skip
        return Conclusions(
            self.endpoint.name, self.baseline, self.plan.smallest_effect if self.plan else None,
            self.frozen, self.kind, self.paired, self.seeds, self.plan, tuple(concluded),
            self.best(),
        )  # fmt: skip

    @property
    def tail_shape(self) -> Any:
        return "share" if self.endpoint.percent else self.shape

    def counted(self, values: Mapping[int, float]) -> dict[int, float]:
        """Return the values at the seeds that count, in their order."""
        return {seed: values[seed] for seed in self.seeds if seed in values}

    def mean(self, values: Mapping[int, float], shape: Any) -> Interval | None:
        known = list(self.counted(values).values())
        if not known:
            return None
        try:
            return mean_interval(known, self.rng, shape, self.endpoint.bounds, self.level)
        except NotOffered as refused:
            return Interval(
                float(np.mean(known)), math.nan, math.nan, len(known), str(refused), self.level
            )

    def both(self, arm: ArmValues, base: ArmValues) -> tuple[list[float], list[float]]:
        """Return the values of two arms that are compared: at common seeds where paired."""
        ours, theirs = self.counted(arm.values), self.counted(base.values)
        if self.paired:
            common = [seed for seed in ours if seed in theirs]
            return [ours[s] for s in common], [theirs[s] for s in common]
        return list(ours.values()), list(theirs.values())

    def difference(self, arm: ArmValues, base: ArmValues | None) -> Interval | None:
        if base is None or arm is base:
            return None
        ours, theirs = self.both(arm, base)
        if not ours or not theirs:
            return None
        return difference_if_offered(
            ours, theirs, self.rng, self.shape, self.paired, self.endpoint.bounds, self.level
        )

    def contrasts(self, base: ArmValues | None) -> dict[str, Contrast]:
        if base is None:
            return {}
        pairs = {label: self.both(self.arms[label], base) for label in self.candidates}
        pairs = {label: p for label, p in pairs.items() if min(map(len, p)) >= 2}
        if not pairs:
            return {}
        return contrasts_of(
            dict(pairs), self.rng, self.shape, self.paired, self.endpoint.bounds, self.level
        )

    def parts(self, arm: ArmValues, base: ArmValues | None) -> Decomposition | None:
        replays = {other.teacher: other for other in self.arms.values() if other.of == arm.label}
        if base is None or arm is base or not {"yoked", "yoked-shuffled"} <= set(replays):
            return None
        four = [
            self.counted(a.values) for a in (base, replays["yoked-shuffled"], replays["yoked"], arm)
        ]
        if self.paired:
            common = [seed for seed in four[0] if all(seed in values for values in four)]
            samples = [[values[seed] for seed in common] for values in four]
        else:
            samples = [list(values.values()) for values in four]
        if not all(samples):
            return None
        return decompose(
            samples[0], samples[1], samples[2], samples[3], self.rng, self.shape, self.paired,
            self.endpoint.bounds, self.level,
        )  # fmt: skip

    def verdict(self, arm: ArmValues, base: ArmValues | None, contrast: Contrast | None) -> Verdict:
        if arm is base:
            return Verdict("baseline", "the others are compared with it", final=False)
        seeds = len(self.counted(arm.values))
        if base is not None:
            seeds = min(map(len, self.both(arm, base)))
        if not self.frozen or self.plan is None:
            return judge(self.kind, seeds)
        if max(self.seeds, default=0) >= TUNING_SEEDS_FROM:
            return Verdict(
                "exploratory, no verdict",
                f"seeds from {TUNING_SEEDS_FROM} up choose settings; verdicts rest on others",
                final=False,
            )
        if arm.label in self.plan.untested:
            word, reason = self.plan.untested[arm.label]
            return Verdict(word, reason, final=True, label=self.plan.label)
        if arm.label not in self.plan.contrasts:
            return Verdict("exploratory, no verdict", "not among the plan's contrasts", final=False)
        if contrast is None:
            return judge(self.kind, seeds)
        found = conclude(
            self.plan, self.kind, seeds, contrast.difference, True, contrast.adjusted_p
        )
        return replace(found, label=self.plan.label) if found.final else found

    def best(self) -> BestArm | None:
        if not self.frozen or self.plan is None:
            return None
        labels = [self.plan.baseline, *self.plan.contrasts]
        if len(labels) < 2:
            return None  # all that it says is by construction, or not testable
        values = [self.counted(self.arms[label].values) for label in labels]
        enough = max(self.plan.n, fewest_seeds(self.kind))
        if min(map(len, values)) < enough or max(self.seeds) >= TUNING_SEEDS_FROM:
            return None
        sign = 1.0 if self.endpoint.direction == "higher" else -1.0
        low, high = sorted(sign * bound for bound in self.endpoint.bounds)
        samples = {
            label: sign * np.array(list(by_seed.values()))
            for label, by_seed in zip(labels, values, strict=True)
        }
        try:
            return best_against_runner_up(
                samples, self.level, self.rng, self.shape, self.paired, (low, high)
            )
        except NotOffered:
            return None


# Across environments. ----------------------------------------------------------------------------


@dataclass(frozen=True)
class ArmAcross:
    """One arm over several environments.

    Attributes:
        arm: Its label.
        interquartile_mean: Mean of the middle half of all runs, with its interval.
        optimality_gap: By how much runs fall short of all tasks on average.
        improvement: Probability that a run is better than one of the baseline's; None for the
            baseline. Above one half is better, whatever the endpoint's direction.
        adjusted_p: p of the improvement corrected by Holm over the arms.
        profile: Share of runs above each threshold.
    """

    arm: str
    interquartile_mean: Interval
    optimality_gap: Interval
    improvement: Interval | None
    adjusted_p: float | None
    profile: Profile


@dataclass(frozen=True)
class AcrossPanels:
    """What three environments or more show together.

    Attributes:
        endpoint: Its name.
        panels: Labels.
        baseline: Label of the arm that the others are compared with, or None.
        seeds: Those that count.
        arms: Those that have the same finished seeds on every panel.
        left_out: Arms without the same seeds on every panel.
    """

    endpoint: str
    panels: tuple[str, ...]
    baseline: str | None
    seeds: tuple[int, ...]
    arms: tuple[ArmAcross, ...]
    left_out: tuple[str, ...]


def conclude_across(panels: Mapping[str, Conclusions]) -> AcrossPanels | None:
    """Sum arms up over three environments or more; these numbers describe, and give no verdict.

    Verdicts stand at each panel, on the plan's endpoint. Arms count that have a value at the same
    seeds on every panel, of 5 seeds or more.

    Args:
        panels: Label to what was concluded there.

    Returns:
        None with fewer than three panels, with an endpoint whose unit differs between environments
        (``return``), or where no arm is complete.
    """
    found = list(panels.values())
    if len(found) < FEWEST_PANELS or len({c.endpoint for c in found}) != 1:
        return None
    endpoint = ENDPOINTS[found[0].endpoint]
    if not endpoint.percent:
        return None
    rng = np.random.default_rng(0)
    sign = 1.0 if endpoint.direction == "higher" else -1.0
    seeds = found[0].seeds
    labels = [arm.arm for arm in found[0].arms if all(arm.arm in c.by_label for c in found)]
    matrices: dict[str, FloatArray] = {}
    for label in labels:
        values = [c[label].values for c in found]
        common = [seed for seed in seeds if all(seed in v for v in values)]
        if len(common) == len(seeds) >= FEWEST_RUNS:
            matrices[label] = np.array([[v[seed] for v in values] for seed in common])
    if not matrices:
        return None
    baseline = found[0].baseline
    base = matrices.get(baseline or "")
    better = {
        label: probability_of_improvement(sign * matrix, sign * base)
        for label, matrix in matrices.items()
        if base is not None and label != baseline
    }
    adjusted = dict(zip(better, holm([i.p for i in better.values()]).tolist(), strict=True))
    thresholds = np.linspace(0.0, 0.95, 20)
    arms = tuple(
        ArmAcross(
            label, interquartile_mean(matrix, rng), _gap(matrix, endpoint, rng), better.get(label),
            adjusted.get(label), performance_profile(matrix, thresholds),
        )
        for label, matrix in matrices.items()
    )  # fmt: skip
    left_out = tuple(label for label in labels if label not in matrices)
    return AcrossPanels(endpoint.name, tuple(panels), baseline, seeds, arms, left_out)


def _gap(matrix: FloatArray, endpoint: Endpoint, rng: np.random.Generator) -> Interval:
    """Return how far runs are from the best possible: all tasks solved, no budget used."""
    scores = matrix if endpoint.direction == "higher" else 1.0 - matrix
    try:
        return optimality_gap(scores, rng)
    except NotOffered as refused:
        gap = float(np.mean(1.0 - np.minimum(scores, 1.0)))
        return Interval(gap, math.nan, math.nan, len(matrix), str(refused))
