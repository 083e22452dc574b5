"""The examination: all checks in order, the most basic first."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import gymnasium

from currgym.doctor.contract import CONTRACT, contract
from currgym.doctor.findings import Diagnosis, Finding
from currgym.doctor.loops import loop_checks
from currgym.doctor.probing import (
    BEFORE,
    FIRST,
    SAMPLE_CHECKS,
    difficulty_rises,
    end,
    sample_of,
)
from currgym.doctor.subject import Subject
from currgym.doctor.teaching import outcomes_arrive, teacher_moves
from currgym.teaching import Teacher

__all__ = ["diagnose", "diagnose_loop"]

Tell = Callable[[str], None]
Attempt = Callable[[], "Finding | None"]


EXPLAINS: dict[str, tuple[str, ...]] = {
    "resets-itself": ("history", "queued", "outcomes"),
    "task-late": ("task-arrives", "history", "outside", "queued", "outcomes"),
    "normaliser": ("history", "seeds", "outside", "queued", "return-range", "success", "outcomes"),
    "task-arrives": ("outside", "queued", "range-ends", "live", "outcomes"),
    "history": ("seeds", "outside", "queued"),
    "seeds": ("outside", "queued"),
    "queued": ("outcomes",),
    "success-range": ("outcomes",),
}
"""A finding, and the checks that it makes fail too: they are skipped."""


class _Examination:
    """Notes what each check found; a check that breaks is a finding too."""

    def __init__(self, diagnosis: Diagnosis, tell: Tell) -> None:
        self.diagnosis, self._tell = diagnosis, tell
        self._explained: dict[str, str] = {}

    def check(self, name: str, what: str, attempt: Attempt) -> bool:
        """Make one check; return whether it found nothing serious."""
        if name in self._explained:
            self.diagnosis.skipped[name] = f"explained by {self._explained[name]}"
            return True
        self._tell(what)
        try:
            finding = attempt()
        except Exception as error:
            # An environment may raise anything, anywhere.
            finding = Finding(
                name, what, f"{type(error).__name__}: {error}", "mend that, and ask again"
            )
        if finding is None:
            self.diagnosis.passed[name] = what
            return True
        if finding.name not in self.diagnosis.names:
            self.diagnosis.findings.append(finding)
        if finding.serious:
            for other in EXPLAINS.get(finding.name, ()):
                self._explained.setdefault(other, finding.name)
        return not finding.serious


def diagnose(
    subject: Subject, teacher: str | type[Teacher] = "alp-gmm", tell: Tell = lambda what: None
) -> Diagnosis:
    """Examine an environment.

    Args:
        subject: See :func:`currgym.doctor.subject_of`.
        teacher: Must move on planted outcomes.
        tell: Told what is being looked at.

    >>> from currgym.doctor import diagnose, subject_of
    >>> diagnose(subject_of("CartPole-v1")).names
    ['task-space']
    """
    diagnosis = Diagnosis(subject.name)
    ward = _Examination(diagnosis, tell)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level, gymnasium.logger.min_level = gymnasium.logger.min_level, gymnasium.logger.ERROR
        try:
            _examine(subject, teacher, ward)
        finally:
            gymnasium.logger.min_level = level
    return diagnosis


def _examine(subject: Subject, teacher: str | type[Teacher], ward: _Examination) -> None:
    for name, (look, what) in FIRST.items():
        if not ward.check(name, what, lambda look=look: look(subject)):  # type: ignore[misc]
            return
    diagnosis = ward.diagnosis
    try:
        sample = sample_of(subject)
    except Exception as error:
        # What breaks it will show below, by a check that can name it.
        sample = None
        diagnosis.skipped["sample"] = f"{type(error).__name__}: {error}"
    if sample is not None and not ward.check("episodes-end", "episodes end", lambda: end(sample)):
        return  # the other checks would wait for it
    for name, (early, what) in BEFORE.items():
        ward.check(name, what, lambda early=early: early(subject))  # type: ignore[misc]
    for check in CONTRACT:
        ward.check(check.name, check.tried, lambda check=check: contract(subject, check))  # type: ignore[misc]
    if sample is not None:
        for name, (judge, what) in SAMPLE_CHECKS.items():
            if name != "episodes-end":
                ward.check(name, what, lambda judge=judge: judge(sample))  # type: ignore[misc]
        ward.check(
            "difficulty", "declared difficulty is not reversed",
            lambda: difficulty_rises(subject, sample),
        )  # fmt: skip
    ward.check("outcomes", "outcomes reach the teacher", lambda: outcomes_arrive(subject))
    ward.check(
        "teacher-moves", "an adaptive teacher moves on planted outcomes",
        lambda: teacher_moves(subject, teacher),
    )  # fmt: skip


def diagnose_loop(build: Callable[[], Any], name: str | None = None) -> Diagnosis:
    """Examine a training loop's stack of environments.

    Args:
        build: Returns what the algorithm trains on, or that and what it is evaluated on.
        name: For messages.
    """
    diagnosis = Diagnosis(name or str(getattr(build, "__name__", build)))
    ward = _Examination(diagnosis, lambda what: None)
    built: list[Any] = []

    def opened() -> Finding | None:
        try:
            built.append(build())
        except ValueError as error:
            if "normal" not in str(error).lower():
                raise
            # The library refuses what is wrong where it can see it.
            return Finding("normaliser", "built the stack", str(error), "see above")
        return None

    if not ward.check("opens", "built the stack", opened):
        return diagnosis
    parts = built[0] if isinstance(built[0], tuple) else (built[0],)
    for check, (what, attempt) in loop_checks(*parts).items():
        ward.check(check, what, attempt)
    return diagnosis
