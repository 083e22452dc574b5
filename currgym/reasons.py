"""Why a task was proposed: what it was drawn from, how likely that was, and what speaks for it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Reason"]


@dataclass(frozen=True)
class Reason:
    """Facts about one proposal; ``str`` makes a sentence or two of them.

    Attributes:
        source: What it was drawn from, so named that no two are alike: an arm, a Gaussian, a kept
            task, a place in a plan, the whole space.
        because: What speaks for that source now, in numbers: a score, a stage, a schedule.
        chance: How likely the next draw was to come from that source, in [0, 1]; None where it was
            not drawn by chance, or nobody computes it.
        explores: Whether it was drawn without regard to what was learned; None where the teacher
            makes no such difference.

    Raises:
        ValueError: If ``chance`` is not in [0, 1].

    >>> print(Reason("Gaussian 2 of 5", "its mean learning progress is 0.31", 0.4, explores=False))
    From Gaussian 2 of 5 (chance 40 %): its mean learning progress is 0.31. By what was learned.
    """

    source: str
    because: str
    chance: float | None = None
    explores: bool | None = None

    def __post_init__(self) -> None:
        if self.chance is not None and not 0.0 <= self.chance <= 1.0 + 1e-9:
            raise ValueError(f"chance must lie in [0, 1], got {self.chance}")

    def __str__(self) -> str:
        chance = "" if self.chance is None else f" (chance {100.0 * self.chance:.3g} %)"
        how = {None: "", True: " Exploration.", False: " By what was learned."}[self.explores]
        return f"From {self.source}{chance}: {self.because}.{how}"

    def within(self, inner: Reason) -> Reason:
        """Return the reason of a proposal that was made by a part, for which this one speaks.

        Args:
            inner: The part's own reason.
        """
        both = None
        if self.chance is not None and inner.chance is not None:
            both = self.chance * inner.chance
        return Reason(
            f"{self.source}, there from {inner.source}",
            f"{self.because}; there, {inner.because}",
            both,
            inner.explores if self.explores is None else self.explores,
        )
