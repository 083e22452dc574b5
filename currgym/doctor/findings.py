"""What the doctor says: findings, each with what was tried, what was seen, and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Diagnosis", "Finding"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or that could be better.

    Attributes:
        name: Short and fixed, for scripts: ``"live"``, ``"history"``, ...
        tried: What was done.
        seen: What came of it.
        remedy: What to do.
        serious: Whether it makes the environment unfit; the rest is advice.
    """

    name: str
    tried: str
    seen: str
    remedy: str
    serious: bool = True


@dataclass
class Diagnosis:
    """All that was found about one environment.

    Attributes:
        subject: What was examined.
        findings: In the order of the checks, the most basic first.
        passed: Checks that found nothing, in order: name -> what was tried.
        skipped: Checks that could not be made, and why.
    """

    subject: str
    findings: list[Finding] = field(default_factory=list)
    passed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether nothing serious was found."""
        return not any(finding.serious for finding in self.findings)

    @property
    def names(self) -> list[str]:
        """Names of the serious findings, in order."""
        return [finding.name for finding in self.findings if finding.serious]
