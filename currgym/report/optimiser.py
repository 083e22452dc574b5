"""The optimiser panel: what the gradients did while the curriculum went on."""

from __future__ import annotations

import html

import numpy as np

from currgym.report.colours import tint
from currgym.report.data import Arm, FloatArray, Study, faint
from currgym.report.plotting import (
    RULE,
    Chart,
    Spec,
    State,
    axis_spec,
    layout_of,
    legend_of,
    plain,
    time_title,
)  # fmt: skip

__all__ = ["MEASURES", "arm_curve", "larger_steps", "optimizer_chart"]

MEASURES = {
    "gradient_norm": "gradient norm",
    "update_norm": "update norm",
    "effective_step": "effective step",
}
"""Column of a run's log -> what it is called."""
WARN_FROM = 1.25
_POINTS = 40


def arm_curve(arm: Arm, name: str) -> tuple[FloatArray, FloatArray]:
    """Return common steps ``(k,)`` and an arm's values there, ``(seeds, k)``, NaN outside a run."""
    logs = [run.optimizer for run in arm.runs if len(run.optimizer.steps)]
    if not logs:
        return np.empty(0), np.empty((0, 0))
    first = min(float(log.steps[0]) for log in logs)
    last = max(float(log.steps[-1]) for log in logs)
    points = min(_POINTS, max(len(log.steps) for log in logs))
    steps = np.linspace(first, last, points) if points > 1 else np.array([last])
    rows = [
        np.interp(steps, log.steps, getattr(log, name), left=np.nan, right=np.nan) for log in logs
    ]
    return steps, np.array(rows)


def larger_steps(study: Study) -> dict[str, float]:
    """Return the arms whose effective step differs from the baseline's by a quarter or more.

    Label -> median over training of the ratio of their means at equal steps.
    """
    base = study.baseline_arm
    if base is None:
        return {}
    base_steps, base_rows = arm_curve(base, "effective_step")
    if not len(base_steps):
        return {}
    found = {}
    level = _mean(base_rows)
    for arm in study.arms:
        steps, rows = arm_curve(arm, "effective_step")
        if arm is base or not len(steps):
            continue
        ratio = _mean(rows) / np.interp(steps, base_steps, level, left=np.nan, right=np.nan)
        ratio = ratio[np.isfinite(ratio)]
        if len(ratio):
            median = float(np.median(ratio))
            if median >= WARN_FROM or median <= 1 / WARN_FROM:
                found[arm.label] = median
    return found


def _mean(rows: FloatArray) -> FloatArray:
    known = np.isfinite(rows)
    sums = np.where(known, rows, 0.0).sum(axis=0)
    means = np.full(rows.shape[1], np.nan)
    np.divide(sums, known.sum(axis=0), out=means, where=known.any(axis=0))
    return means


def optimizer_chart(study: Study, palette: dict[str, str]) -> Chart | None:
    """Return gradient norm, update norm and effective step over time, or None if none was kept."""
    states = []
    for name, label in MEASURES.items():
        traces: list[Spec] = []
        for arm in study.arms:
            steps, rows = arm_curve(arm, name)
            if not len(steps):
                continue
            colour, arm_name = palette[arm.label], html.escape(arm.label)
            if len(rows) > 1:
                xs: list[float | None] = []
                ys: list[float | None] = []
                for row in rows[faint(len(rows))]:
                    xs += [*plain(steps, 7), None]
                    ys += [*plain(row), None]
                traces.append(
                    {
                        "type": "scatter", "mode": "lines", "x": xs, "y": ys, "hoverinfo": "skip",
                        "line": {"width": 1, "color": tint(colour, 0.25)},
                        "legendgroup": arm.label,
                    }
                )  # fmt: skip
            traces.append(
                {
                    "type": "scatter", "mode": "lines", "x": plain(steps, 7),
                    "y": plain(_mean(rows)), "name": arm_name, "legendgroup": arm.label,
                    "line": {
                        "width": 2.3, "color": colour, "dash": "dash" if arm.reference else "solid",
                    },
                    "hovertemplate": f"{arm_name}: %{{y:.3g}}<extra></extra>",
                }
            )  # fmt: skip
        if not traces:
            return None
        layout = layout_of(
            xaxis=axis_spec(
                {
                    "title": {"text": time_title(study), "standoff": 8}, "showgrid": False,
                    "range": [0, study.last_step], "nticks": 6, "zeroline": False,
                }
            ),
            yaxis=axis_spec(
                {"title": {"text": label}, "type": "log", "gridcolor": RULE, "zeroline": False}
            ),
            hovermode="x unified", margin={"l": 62, "r": 24, "t": 10, "b": 46},
        )  # fmt: skip
        states.append(State(label, traces, layout))
    says = "Gradient norm, update norm and effective step over training, by teacher."
    return Chart(tuple(states), 320, says, legend=legend_of(study.arms, palette))
