"""The plan of a comparison: what will be concluded, from what, written before the runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from currgym.statistics.choice import Kind, difference_method, pairs_seeds
from currgym.statistics.domains import SHAPES, Shape, check_offered

__all__ = ["Plan"]


_UNTESTED = ("by_construction", "not_testable")


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
        protocol: For a claim that somebody has published: ``"same"`` where it is tried as it was
            made, ``"conceptual"`` where student, physics or scale are others; None otherwise.
        scale: Of a conceptual one: its budget as a multiple of the original's, above 0.
        differs: Of a conceptual one: what else is another, in words.
        by_construction: Arms whose claim cannot fail here -> why. They are not contrasts.
        not_testable: Arms whose claim cannot be tested here -> why. Nor are they.

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
    protocol: Literal["same", "conceptual"] | None = None
    scale: float | None = None
    differs: str = ""
    by_construction: Mapping[str, str] = field(default_factory=dict)
    not_testable: Mapping[str, str] = field(default_factory=dict)

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
        if not self.contrasts and not self.untested:
            raise ValueError("a plan needs at least one contrast with its baseline")
        judged = self.arms[1:]
        if twice := sorted({label for label in judged if judged.count(label) > 1}):
            raise ValueError(
                f"each arm is listed once among contrasts, by_construction and not_testable; "
                f"{twice[0]!r} is listed twice"
            )
        if self.baseline in judged:
            raise ValueError(f"the baseline {self.baseline!r} cannot be compared with itself")
        for name in ("by_construction", "not_testable"):
            for label, reason in getattr(self, name).items():
                if not (isinstance(reason, str) and reason.strip()):
                    raise ValueError(f"{name} must say why for {label!r}, got {reason!r}")
        self._check_protocol()

    def _check_protocol(self) -> None:
        if self.protocol not in (None, "same", "conceptual"):
            raise ValueError(f"protocol must be 'same' or 'conceptual', got {self.protocol!r}")
        if self.protocol != "conceptual":
            for name in ("scale", "differs"):
                if getattr(self, name):
                    raise ValueError(f"{name} goes with protocol = 'conceptual', not without it")
        elif self.scale is None or not (self.scale > 0.0 and math.isfinite(self.scale)):
            raise ValueError(
                "protocol = 'conceptual' needs scale, the budget as a multiple of the original's, "
                f"above 0, got {self.scale}"
            )

    @property
    def untested(self) -> dict[str, tuple[str, str]]:
        """Arms that get a verdict without a test: label -> its word, and why."""
        said = {label: ("by construction", why) for label, why in self.by_construction.items()}
        return said | {
            label: ("not testable here", why) for label, why in self.not_testable.items()
        }

    @property
    def arms(self) -> tuple[str, ...]:
        """Labels of all arms that it names, the baseline first."""
        return (self.baseline, *self.contrasts, *self.by_construction, *self.not_testable)

    @property
    def label(self) -> str:
        """What stands beside each verdict; empty where no published claim is tried.

        >>> Plan("solved", "random", ("alp-gmm",), 0.1, 8, protocol="conceptual", scale=0.05).label
        'conceptual, scale 0.05'
        """
        if self.protocol is None:
            return ""
        if self.protocol == "same":
            return "same protocol"
        return f"conceptual, scale {self.scale:g}"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values; what it leaves unsaid of protocol and arms is left out."""
        document = {**asdict(self), "contrasts": list(self.contrasts)}
        return {
            name: value
            for name, value in document.items()
            if value or name not in ("protocol", "scale", "differs", *_UNTESTED)
        }

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
