"""Where the teachers of a study would have gone, by their own snapshots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from currgym.doctor.headroom.cells import Cells

__all__ = ["teacher_scores"]

FloatArray = NDArray[np.float64]


def teacher_scores(study: Path, cells: Cells, step: int) -> dict[str, FloatArray]:
    """Return ``teacher:<arm>`` -> share of the proposals that fall in each cell, ``(m,)``.

    The proposals are those that each run's teacher showed in its last snapshot at or before the
    step, averaged over runs.

    Args:
        study: Folder of a comparison (or page folder of a study).
        cells: The grid.
        step: Environment steps of training.

    Raises:
        ValueError: If the folder holds no runs on this task space.
    """
    from currgym.report.data import load

    found: dict[str, FloatArray] = {}
    for arm in load(study).arms:
        shares = []
        for run in arm.runs:
            if run.space is not None and list(run.space.names) != list(cells.space.names):
                raise ValueError(
                    f"{run.folder} varies {list(run.space.names)}, not {list(cells.space.names)}: "
                    "give a study on the same task space"
                )
            before = [s for s in run.snapshots if s.step <= step and len(s.preview)]
            if before:
                index = cells.index(before[-1].preview)
                shares.append(np.bincount(index, minlength=len(cells)) / len(index))
        if shares:
            found[f"teacher:{arm.label}"] = np.mean(shares, axis=0)
    if not found:
        raise ValueError(f"{study} has no run with a snapshot of its teacher at step {step:,}")
    return found
