"""Whether a difference is too small to matter: two one-sided tests against a margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike
from scipy import stats

from currgym.statistics.domains import Shape
from currgym.statistics.intervals import Interval, as_sample, paired_difference, welch_difference

__all__ = ["Equivalence", "equivalence"]


@dataclass(frozen=True)
class Equivalence:
    """What two one-sided tests say.

    Attributes:
        difference: With its interval of level 1 - 2 alpha: inside the margin just where both tests
            reject.
        margin: In the unit of the endpoint.
        p: The larger of the two one-sided p-values.
        alpha: Level of each test.
    """

    difference: Interval
    margin: float
    p: float
    alpha: float

    @property
    def equivalent(self) -> bool:
        """Whether the difference is shown to be smaller than the margin both ways."""
        return self.p < self.alpha


def equivalence(
    a: ArrayLike,
    b: ArrayLike,
    margin: float,
    alpha: float = 0.05,
    paired: bool = False,
    shape: Shape = "normal",
) -> Equivalence:
    """Test whether mean(a) - mean(b) lies within a margin of 0 (TOST).

    A difference that is not significant is not thereby absent: both one-sided tests, that it is
    above the margin and that it is below minus the margin, must reject (Schuirmann 1987, Journal of
    Pharmacokinetics and Biopharmaceutics 15; Lakens 2017). For bounded or differently skewed
    outcomes ask whether :func:`~currgym.statistics.difference` at level 1 - 2 alpha lies inside.

    Args:
        a: ``(n,)`` values of one arm, n at least 2.
        b: ``(m,)`` values of the other, m at least 2; in the same order of seeds where paired.
        margin: Smallest difference of interest, above 0, chosen before the runs.
        alpha: Level of each test, in (0, 0.5).
        paired: Whether arms are compared seed by seed.
        shape: ``"normal"`` or ``"alike"``.

    Raises:
        ValueError: If a sample is too small or not finite, the margin is not positive, or the shape
            is not offered.
    """
    x, y = as_sample("a", a), as_sample("b", b)
    if not margin > 0.0:
        raise ValueError(f"margin must be above 0, got {margin}")
    if not 0.0 < alpha < 0.5:
        raise ValueError(f"alpha must lie between 0 and 0.5, got {alpha}")
    if min(len(x), len(y)) < 2:
        raise ValueError("a test needs at least 2 values an arm")
    level = 1.0 - 2.0 * alpha
    method = paired_difference if paired else welch_difference
    interval = method(x, y, level, shape)
    if interval.low == interval.high:
        # No spread: scipy's tests divide by 0.
        p = 0.0 if abs(interval.estimate) < margin else 1.0
        return Equivalence(interval, margin, p, alpha)
    above: Any
    below: Any
    if paired:
        above = stats.ttest_rel(x + margin, y, alternative="greater")
        below = stats.ttest_rel(x - margin, y, alternative="less")
    else:
        above = stats.ttest_ind(x + margin, y, equal_var=False, alternative="greater")
        below = stats.ttest_ind(x - margin, y, equal_var=False, alternative="less")
    return Equivalence(interval, margin, max(float(above.pvalue), float(below.pvalue)), alpha)
