"""Which comparisons may be made: arms against the baseline, and the best against its runner-up.

There is no function that compares all pairs: of ten arms without any difference it would find some
pair that differs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.statistics.choice import difference, difference_if_offered
from currgym.statistics.domains import Shape
from currgym.statistics.intervals import Interval, as_sample
from currgym.statistics.verdicts import holm

__all__ = ["BestArm", "Contrast", "best_against_runner_up", "contrasts", "contrasts_of"]


@dataclass(frozen=True)
class Contrast:
    """One arm against the baseline.

    Attributes:
        arm: Its label.
        difference: Arm minus baseline, the interval and p by itself.
        simultaneous: The same with the interval widened (Bonferroni), so that the intervals of all
            contrasts hold at once.
        adjusted_p: p corrected by Holm over the contrasts.
    """

    arm: str
    difference: Interval
    simultaneous: Interval
    adjusted_p: float


def contrasts(
    values_by_arm: Mapping[str, ArrayLike],
    baseline: str,
    rng: np.random.Generator,
    shape: Shape = "normal",
    paired: bool = False,
    bounds: tuple[float, float] = (0.0, 1.0),
    level: float = 0.95,
) -> dict[str, Contrast]:
    """Compare every other arm with the baseline.

    Args:
        values_by_arm: Label to ``(n,)`` values, one a seed; in the same order of seeds where
            paired.
        baseline: Label of the baseline.
        rng: Draws resamples and weights where the shape needs them.
        shape: See :data:`~currgym.statistics.SHAPES`.
        paired: As :func:`~currgym.statistics.pairs_seeds` says.
        bounds: Smallest and largest possible value, for ``"bounded"`` and ``"share"``.
        level: Nominal coverage, in (0, 1).

    Returns:
        The contrasts by label, in the order given, as :func:`contrasts_of` makes them.

    Raises:
        ValueError: If the baseline is not an arm or is the only one, an arm has fewer than 2
            values, or the shape is not offered at this n.
    """
    if baseline not in values_by_arm:
        raise ValueError(f"baseline must be one of {sorted(values_by_arm)}, got {baseline!r}")
    others = [arm for arm in values_by_arm if arm != baseline]
    pairs = {arm: (values_by_arm[arm], values_by_arm[baseline]) for arm in others}
    return contrasts_of(pairs, rng, shape, paired, bounds, level)


def contrasts_of(
    pairs: Mapping[str, tuple[ArrayLike, ArrayLike]],
    rng: np.random.Generator,
    shape: Shape = "normal",
    paired: bool = False,
    bounds: tuple[float, float] = (0.0, 1.0),
    level: float = 0.95,
) -> dict[str, Contrast]:
    """Compare arms with the baseline's values at the same seeds, corrected for their number.

    p-values are corrected by Holm (1979, Scandinavian Journal of Statistics 6), and the
    simultaneous intervals are of level 1 - (1 - level) / contrasts. They can include 0 where Holm's
    p rejects, never the other way round: Holm's method has no intervals of its own. A contrast for
    which no interval is offered keeps its estimate, and counts as one (with p = 1): what was
    planned is corrected for.

    Args:
        pairs: Label to (values of the arm, values of the baseline), 2 or more each.
        rng: Draws resamples and weights where the shape needs them.
        shape: See :data:`~currgym.statistics.SHAPES`.
        paired: As :func:`~currgym.statistics.pairs_seeds` says.
        bounds: Smallest and largest possible value, for ``"bounded"`` and ``"share"``.
        level: Nominal coverage, in (0, 1).

    Returns:
        The contrasts by label, in the order given.

    Raises:
        ValueError: If there is none, or an arm has fewer than 2 values.
    """
    if not pairs:
        raise ValueError("there is no arm to compare with the baseline")
    for arm, both in pairs.items():
        for name, values in zip((arm, "the baseline"), both, strict=True):
            _at_least_two(name, values)
    narrow = 1.0 - (1.0 - level) / len(pairs)
    singles, joint = {}, {}
    for arm, both in pairs.items():
        # Both intervals from the same draws, so that the wider one is wider.
        child = rng.spawn(1)[0]
        state = child.bit_generator.state
        singles[arm] = difference_if_offered(*both, child, shape, paired, bounds, level)
        child.bit_generator.state = state
        joint[arm] = difference_if_offered(*both, child, shape, paired, bounds, narrow)
    adjusted = holm([1.0 if math.isnan(single.p) else single.p for single in singles.values()])
    return {
        arm: Contrast(arm, singles[arm], joint[arm], float(p))
        for arm, p in zip(pairs, adjusted, strict=True)
    }


@dataclass(frozen=True)
class BestArm:
    """Whether the arm with the highest mean is the best.

    Attributes:
        best: Its label.
        runner_up: Label of the arm with the next highest mean.
        difference: Best minus runner-up with a one-sided interval: ``high`` is inf. The estimate is
            too high, because both arms were selected by their means; ``low`` and ``p`` are valid.
        p: That some other arm is as good.
    """

    best: str
    runner_up: str
    difference: Interval
    p: float


def best_against_runner_up(
    values_by_arm: Mapping[str, ArrayLike],
    level: float = 0.95,
    rng: np.random.Generator | None = None,
    shape: Shape = "normal",
    paired: bool = False,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> BestArm:
    """Compare the arm with the highest mean to the next one, corrected for having selected them.

    Test winner against runner-up two-sided as if they had been named beforehand: if any other arm
    is as good as the winner, that errs with probability (1 - level) at most, however many arms
    there are (Hung and Fithian 2019, "Rank verification for exponential families", Annals of
    Statistics 47, https://arxiv.org/abs/1610.03944; Gutmann and Maymin 1987 for normal means). A
    one-sided test would err twice as often with two arms. As the arms may differ in spread and
    number, the test is made against every rival and the largest p counts, the smallest lower bound
    likewise. Their theorem is for independent arms; that pairs err no more is shown by simulation.

    Args:
        values_by_arm: Label to ``(n,)`` values, one a seed, higher is better; 2 arms at least, 2
            values each; in the same order of seeds where paired.
        level: Nominal coverage, in (0, 1).
        rng: Draws resamples and weights where the shape needs them.
        shape: See :data:`~currgym.statistics.SHAPES`.
        paired: As :func:`~currgym.statistics.pairs_seeds` says.
        bounds: Smallest and largest possible value, for ``"bounded"`` and ``"share"``.

    Raises:
        ValueError: If there are fewer than 2 arms, or an arm has fewer than 2 values.
        NotOffered: If the shape is not offered at this n.
    """
    if len(values_by_arm) < 2:
        raise ValueError("the best of one arm has no runner-up")
    samples = {arm: _at_least_two(arm, values) for arm, values in values_by_arm.items()}
    ranked = sorted(samples, key=lambda arm: -float(samples[arm].mean()))
    best, runner_up = ranked[:2]
    rng = np.random.default_rng(0) if rng is None else rng
    rivals = [
        difference(samples[best], samples[arm], rng, shape, paired, bounds, level)
        for arm in ranked[1:]
    ]
    p = max(rival.p for rival in rivals)
    shown = replace(
        rivals[0],
        low=min(rival.low for rival in rivals),
        high=float("inf"),
        p=p,
        method=f"{rivals[0].method}, best against runner-up",
    )
    return BestArm(best, runner_up, shown, p)


def _at_least_two(arm: str, values: ArrayLike) -> NDArray[np.float64]:
    sample = as_sample(f"values of {arm!r}", values)
    if len(sample) < 2:
        raise ValueError(f"arm {arm!r} has one value: a contrast needs at least 2")
    return sample
