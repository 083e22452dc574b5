"""One run seed, independent streams for each part; and the teacher built on its stream."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from currgym.runs.config import RunConfig
from currgym.tasks import TaskSpace
from currgym.teaching import Teacher, make_teacher, teacher_parameters, teachers

__all__ = ["build_teacher", "seed_for"]


def seed_for(seed: int, part: str) -> int:
    """Return the seed of a part (``"teacher"``, ``"student"``, ...) of the run with this seed."""
    sequence = np.random.SeedSequence([seed, zlib.crc32(part.encode())])
    return int(sequence.generate_state(1, np.uint32)[0] >> 1)


def build_teacher(
    config: RunConfig, space: TaskSpace, return_range: Any, proposals: int
) -> Teacher:
    """Build the teacher of a run; a schedule's horizon is filled in from the budget.

    Args:
        config: The run.
        space: Its tasks.
        return_range: Raw returns that the teacher sees as 0 and 1, or None.
        proposals: How many the budget is expected to last for.
    """
    parameters = dict(config.teacher_parameters)
    if "horizon" in teacher_parameters(teachers[config.teacher]):
        preset = teachers[config.teacher].presets.get(config.preset or "", {})
        if "horizon" not in preset:
            parameters.setdefault("horizon", max(1, proposals))
    return make_teacher(
        config.teacher,
        space,
        seed=seed_for(config.seed, "teacher"),
        return_range=return_range,
        preset=config.preset,
        **parameters,
    )
