"""The plan of a comparison: what will be concluded, from what, written before the runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from currgym.statistics.choice import Kind, difference_method, pairs_seeds
from currgym.statistics.domains import SHAPES, Shape, check_offered

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """What is to be concluded, written before the runs.

    Attributes:
        endpoint: Name of the one primary endpoint.
        baseline: Label of the arm that the others are compared with.
        contrasts: Labels of the arms compared with it; Holm's correction is over these.
        smallest_effect: Smallest difference of interest, above 0, in the endpoint's unit; also the
            margin of equivalence.
        n: Seeds an arm. The verdict uses the first n, however many there are in the end.
        alpha: Two-sided level over all contrasts, in (0, 1).
        direction: What the claim says the difference (arm minus baseline) is: ``"higher"``, or
            ``"lower"`` for times and errors.
        shape: What the endpoint is like over seeds, a key of :data:`~currgym.statistics.SHAPES`.
        correlation: Of the arms over seeds, as a pilot measured it; 0 where none did. See
            :func:`~currgym.statistics.pairs_seeds`.
        threshold: What counts as mastery, for an endpoint that is a time.

    Raises:
        ValueError: If something is out of its range.
    """

    endpoint: str
    baseline: str
    contrasts: tuple[str, ...]
    smallest_effect: float
    n: int
    alpha: float = 0.05
    direction: Literal["higher", "lower"] = "higher"
    shape: Shape = "normal"
    correlation: float = 0.0
    threshold: float | None = None

    def __post_init__(self) -> None:
        if not (self.smallest_effect > 0.0 and math.isfinite(self.smallest_effect)):
            raise ValueError(f"smallest_effect must be above 0, got {self.smallest_effect}")
        if self.n < 2:
            raise ValueError(f"n must be at least 2, got {self.n}")
        if not 0.0 < self.alpha < 1.0:
            raise ValueError(f"alpha must lie between 0 and 1, got {self.alpha}")
        if self.direction not in ("higher", "lower"):
            raise ValueError(f"direction must be 'higher' or 'lower', got {self.direction!r}")
        if self.shape not in SHAPES:
            raise ValueError(f"shape must be one of {sorted(SHAPES)}, got {self.shape!r}")
        if not -1.0 <= self.correlation <= 1.0:
            raise ValueError(f"correlation must lie in [-1, 1], got {self.correlation}")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise ValueError(f"threshold must be finite, got {self.threshold}")
        if not self.contrasts:
            raise ValueError("a plan needs at least one contrast with its baseline")
        if len(set(self.contrasts)) != len(self.contrasts):
            raise ValueError(f"each contrast is listed once, got {list(self.contrasts)}")
        if self.baseline in self.contrasts:
            raise ValueError(f"the baseline {self.baseline!r} cannot be compared with itself")

    @property
    def level(self) -> float:
        """Nominal coverage of its intervals."""
        return 1.0 - self.alpha

    def paired(self, kind: Kind) -> bool:
        """Tell whether its arms are compared seed by seed."""
        return pairs_seeds(kind, self.correlation)

    def check(self, kind: Kind) -> None:
        """Refuse a plan that no method can carry out, whatever its n.

        Raises:
            NotOffered: If no interval is offered for this shape with arms compared as they are.
        """
        # With fewer than 8 seeds there is no verdict, and the plan an illustration.
        check_offered(difference_method(self.shape, self.paired(kind)), self.shape, max(8, self.n))
