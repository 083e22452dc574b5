"""One test task at a time: its curve by arm and seed, and the attempts near it.

The page's script draws it from numbers kept once for all tasks; states for each of a hundred tasks
would be ten times the page.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.report.data import Arm, FloatArray, Run, Study, faint
from currgym.report.maps import View
from currgym.report.plotting import axis_spec, layout_of, plain, time_title
from currgym.report.text import number
from currgym.runs.cells import PERIODS

__all__ = ["MOST_TASKS", "drill_data"]

MOST_TASKS = 225
_PERIODS = 24


def drill_data(study: Study, view: View | None, palette: dict[str, str]) -> dict[str, Any] | None:
    """Return what the script needs, or None where there is no test task.

    ``arms`` hold ``mean[evaluation][task]`` in per cent (or of returns), the same for each seed
    that is drawn (all, or some evenly), and ``near[task][period]`` attempts, all seeds together.
    At most 225 tasks are kept, evenly over the test set.
    """
    run = study.example
    tasks = run.test_tasks
    if tasks is None or not len(tasks):
        return None
    chosen = np.arange(len(tasks))
    if len(tasks) > MOST_TASKS:
        chosen = np.linspace(0, len(tasks) - 1, MOST_TASKS).round().astype(int)
    arms = [_arm(study, arm, chosen, len(tasks), palette) for arm in study.arms]
    arms = [arm for arm in arms if arm["seeds"]]
    if not arms:
        return None
    mastered = study.metric.name == "mastered"
    label = "episodes mastered (%)" if mastered else "return"
    if study.kind == "supervised" and mastered:
        label = "mastered (%)"
    layout = layout_of(
        xaxis=axis_spec(
            {"title": {"text": time_title(study), "standoff": 6}, "nticks": 6, "showgrid": False,
             "range": [0, study.last_step], "anchor": "y2", "zeroline": False}
        ),
        yaxis=axis_spec(
            {"title": {"text": label}, "domain": [0.42, 1.0], "gridcolor": "#E3E3E3",
             **({"range": [-3, 103]} if mastered else {}), "zeroline": False}
        ),
        yaxis2=axis_spec(
            {"title": {"text": "attempts near it"}, "domain": [0.0, 0.32], "gridcolor": "#E3E3E3",
             "rangemode": "tozero", "zeroline": False}
        ),
        margin={"l": 62, "r": 20, "t": 8, "b": 44}, height=400,
    )  # fmt: skip
    return {
        "kind": "drill",
        "names": [_name(run, tasks[i], int(i)) for i in chosen],
        "times": plain(np.linspace(0, study.span, _PERIODS + 1), 7),
        "arms": arms,
        "layout": layout,
        "start": int(len(chosen) // 2),
        "left_out": len(tasks) - len(chosen),
    }


def _arm(
    study: Study, arm: Arm, chosen: NDArray[np.int64], count: int, palette: dict[str, str]
) -> dict[str, Any]:
    percent = study.metric.name == "mastered"
    steps: list[float] = []
    tables: list[FloatArray] = []
    near = np.zeros((_PERIODS, count))
    for run in arm.shown:
        at, share = run.by_task if percent else run.returns_by_task
        if len(at) and share.shape[1] == count:
            if len(at) > len(steps):
                steps = at.tolist()
            tables.append(100.0 * share[:, chosen] if percent else share[:, chosen])
        if run.cells is not None and run.cells.tasks["attempts"].shape == (PERIODS, count):
            near += run.cells.tasks["attempts"].reshape(_PERIODS, -1, count).sum(axis=1)
    sums, counts = (np.zeros((len(steps), len(chosen))) for _ in range(2))
    for table in tables:
        known = np.isfinite(table)
        sums[: len(table)] += np.where(known, table, 0.0)
        counts[: len(table)] += known
    mean = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return {
        "label": arm.label,
        "colour": palette[arm.label],
        "dash": "dash" if arm.reference else "solid",
        "steps": plain(steps, 7),
        "mean": [plain(row, 3) for row in mean],
        "seeds": [[plain(row, 3) for row in tables[i]] for i in faint(len(tables))],
        "near": near[:, chosen].T.astype(int).tolist() if near.any() else [],
    }


def _name(run: Run, task: FloatArray, index: int) -> str:
    space = run.space
    if run.config.get("kind") == "supervised" or space is None:
        return f"test example {index + 1}"
    if space.kind == "discrete":
        return f"task {int(task[0])}"
    named = space.as_dict(space.from_rows(task[None])[0])
    parts = [
        f"{key.replace('_', ' ')} {number(value) if isinstance(value, float) else value}"
        for key, value in named.items()
    ]
    live = getattr(space, "low", None)
    if live is not None:
        moving = space.low < space.high  # type: ignore[attr-defined]
        parts = [p for p, m in zip(parts, moving, strict=True) if m]
    return ", ".join(parts)
