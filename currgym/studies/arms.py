"""Arms: what a study compares, one teacher with its settings each, and the controls beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from currgym.registry import nearest
from currgym.runs.settings import split_assignments, typed_teacher_parameters
from currgym.teaching import Teacher, teachers

__all__ = ["CONTROLS", "Arm", "with_controls", "with_reference"]

CONTROLS = frozenset({"static-best", "uniform-steps", "yoked", "yoked-shuffled"})
"""Teachers that stand in a comparison to explain it, not to win it."""


@dataclass(frozen=True)
class Arm:
    """One teacher with its settings.

    Attributes:
        label: As it stands in tables and folder names.
        teacher: Registered name.
        preset: Of the teacher.
        parameters: Of the teacher.
        of: For ``yoked``: the arm whose task log it replays, made for another seed's student.
    """

    label: str
    teacher: str
    preset: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    of: str | None = None

    @classmethod
    def parse(cls, text: str) -> Arm:
        """Read ``NAME``, ``NAME:preset`` or ``LABEL=NAME:key=value,...``.

        Raises:
            ValueError: For an unknown teacher, preset or parameter.
        """
        head, colon, tail = text.partition(":")
        label, equals, name = head.partition("=")
        name = name if equals else label
        preset: str | None = None
        given: dict[str, str] = {}
        for part in tail.split(",") if colon else []:
            if "=" in part:
                given.update(split_assignments([part]))
            elif part:
                preset = part
        of = given.pop("of", None)
        plain = text.replace(":", "-").replace("=", "-").replace(",", "-")
        arm = cls(label if equals else plain, name, preset, {}, of)
        arm.check()
        return cls(arm.label, name, preset, typed_teacher_parameters(name, given), of)

    def check(self) -> None:
        """Look the teacher and its preset up.

        Raises:
            ValueError: If one is unknown; the nearest are named.
        """
        presets = teachers[self.teacher].presets
        if self.preset is not None and self.preset not in presets:
            raise ValueError(nearest(self.preset, presets, f"preset of teacher {self.teacher!r}"))

    @property
    def reference(self) -> bool:
        """Whether it is a control."""
        return self.teacher in CONTROLS

    @property
    def adaptive(self) -> bool:
        """Whether its tasks depend on outcomes, so that replaying them elsewhere tells something.

        Controls count as not adaptive: a control of a control explains nothing.
        """
        return not self.reference and teachers[self.teacher]._update is not Teacher._update

    @property
    def privileges(self) -> list[str]:
        """What it is told; empty where that depends on parameters (each run then says it)."""
        declared = teachers[self.teacher].privileges
        return [] if isinstance(declared, property) else sorted(declared)


def with_controls(arms: Sequence[Arm], kind: str, seeds: int) -> list[Arm]:
    """Return the arms with their controls.

    ``uniform-steps`` for reinforcement learning, and for every adaptive arm its task sequence made
    for another seed's student (``yoked``: no adaptivity) and that shuffled (``yoked-shuffled``: no
    order), so that a gain can be split.

    Args:
        arms: What is compared.
        kind: ``"rl"``, ``"supervised"`` or ``"simulated"``.
        seeds: How many there will be; yoked arms need two.
    """
    found = list(arms)
    if kind == "rl" and all(arm.teacher != "uniform-steps" for arm in arms):
        found.append(Arm("uniform-steps", "uniform-steps"))
    labels = {arm.label for arm in found}
    for arm in arms:
        if seeds > 1 and arm.adaptive:
            for control in ("yoked", "yoked-shuffled"):
                label = f"{control}-{arm.label}"
                if label not in labels:
                    found.append(Arm(label, control, of=arm.label))
    return found


def with_reference(arms: Sequence[Arm], shipped: Sequence[Arm]) -> list[Arm]:
    """Return the arms with those that reference results are shipped of, where they are missing."""
    found = list(arms)
    for arm in shipped:
        there = any(
            (a.teacher, a.preset, a.parameters, a.of)
            == (arm.teacher, arm.preset, arm.parameters, None)
            for a in found
        )
        if not there and all(a.label.casefold() != arm.label.casefold() for a in found):
            found.append(arm)
    return found
