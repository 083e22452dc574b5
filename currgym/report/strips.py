"""Charts of the frontier: steps, teacher and mastery over time, and the plane at each time."""

from __future__ import annotations

import html
from itertools import pairwise
from typing import Any

import numpy as np

from currgym.report.colours import MASTERY_RAMP, STATE_COLOURS, STEPS_RAMP, tint
from currgym.report.data import Arm, Run, Snapshot, Study
from currgym.report.elements import escape
from currgym.report.frontier import STATES, Frontier, MasteryStrip, mastery_strip
from currgym.report.maps import StepsMap, View, steps_map
from currgym.report.models import StripModel, TeacherModel, strip_model, teacher_model, told
from currgym.report.plotting import (
    BOXED,
    Chart,
    Spec,
    State,
    axis_spec,
    heat,
    layout_of,
    plain,
    range_text,
    task_axis,
    time_title,
)  # fmt: skip
from currgym.report.text import number, steps_text

__all__ = [
    "GROUP", "PERIODS", "latest", "moment_name", "plane_chart", "shown_run", "slider",
    "strip_chart",
]  # fmt: skip

PERIODS = 24
GROUP = "time"
"""Name of the slider that moves all charts of the frontier at once."""


def shown_run(arm: Arm) -> Run | None:
    """Return the run whose teacher is drawn: the first with snapshots."""
    return next((run for run in arm.shown if run.snapshots), None)


def moment_name(study: Study, period: int) -> str:
    """Return the name of a place of the slider."""
    edges = np.linspace(0.0, study.span, PERIODS + 1)
    low, high = steps_text(edges[period]), steps_text(edges[period + 1])
    return f"{time_title(study)} {low} to {high}"


def slider(study: Study, prefix: str) -> str:
    """Return the control that moves all charts of a section through the training."""
    names = [moment_name(study, period) for period in range(PERIODS)]
    last = PERIODS - 1
    listed = escape("|".join(names))
    return (
        f'<div class="controls slider"><input type="range" min="0" max="{last}" step="1" '
        f'value="{last}" data-group="{GROUP}" data-of="{prefix}" data-names="{listed}" '
        f'aria-label="Time" aria-valuetext="{escape(names[last])}">'
        f"<output>{escape(names[last])}</output></div>"
    )


def strip_chart(
    arm: Arm,
    study: Study,
    views: tuple[View, ...],
    top: float,
    frontier: Frontier | None,
    colour: str,
) -> Chart:
    """Return an arm's steps over time with its teacher's model, above what students mastered.

    One state for each axis of the task space. Where the steps' true states are known they are drawn
    below.

    Args:
        arm: Whose.
        study: Of the arm.
        views: One for each axis.
        top: Density at the dark end of the ramp.
        frontier: The states of the arm's steps, or None.
        colour: Of the teacher's model.
    """
    run = shown_run(arm)
    states = []
    height = 0
    for view in views:
        found = steps_map(arm.shown, view, PERIODS)
        mastered = mastery_strip(arm, view, study.span)
        model = strip_model(run, view) if run is not None else None
        state, height = _strip_state(study, view, found, top, model, mastered, frontier, colour)
        states.append(state)
    edges = np.linspace(0.0, study.span, PERIODS + 1).tolist()
    moments = tuple(pairwise(edges))
    says = (
        f"Over training: where {arm.label} spent its {_unit(study)} along {views[0].axes[0].short}"
        ", what its students mastered there"
    )
    says += ", and the states of the tasks it chose." if frontier is not None else "."
    return Chart(tuple(states), height, says, group=GROUP, moments=moments)


def _unit(study: Study) -> str:
    return {"supervised": "examples", "simulated": "attempts"}.get(study.kind, "steps")


def _strip_state(
    study: Study,
    view: View,
    found: StepsMap,
    top: float,
    model: StripModel | None,
    mastered: MasteryStrip | None,
    frontier: Frontier | None,
    colour: str,
) -> tuple[State, int]:
    """Return one state of a strip chart and its height."""
    axis = view.axes[0]
    rows = [("y", 130.0)]
    rows += [("y2", 90.0)] if mastered is not None else []
    rows += [("y3", 70.0)] if frontier is not None else []
    gap, above, below = 22.0, 8.0, 42.0
    inner = sum(size for _, size in rows) + gap * (len(rows) - 1)
    domains, end = {}, 1.0
    for name, size in rows:
        domains[name] = [max(0.0, end - size / inner), end]
        end -= (size + gap) / inner
    traces = _steps_traces(study, view, found, top)
    if model is not None:
        traces += _model_traces(model, axis.short, colour)
    last = rows[-1][0]
    layout = layout_of(
        xaxis=axis_spec(
            {
                "title": {"text": time_title(study), "standoff": 6}, "nticks": 6, **BOXED,
                "range": [0, study.last_step], "anchor": last, "mirror": False, "showline": False,
            }
        ),
        yaxis=task_axis(axis, "y", domain=domains["y"], title=True),
        margin={"l": 60, "r": 22, "t": above, "b": below},
        barmode="stack", bargap=0,
        shapes=[_cursor(study)],
    )  # fmt: skip
    if mastered is not None:
        texts = [
            [
                f"mastered: {100 * share:.0f} %<br>{range_text(axis, mastered.edges, j)}"
                if np.isfinite(share) else ""
                for share in mastered.share[:, j]
            ]
            for j in range(mastered.share.shape[1])
        ]  # fmt: skip
        trace = heat(
            mastered.times, mastered.edges, 100.0 * mastered.share.T, 100.0, MASTERY_RAMP, texts,
            yaxis="y2",
        )  # fmt: skip
        traces.append(trace)
        layout["yaxis2"] = task_axis(axis, "y", domain=domains["y2"], title=True)
    if frontier is not None:
        traces += _state_traces(frontier)
        layout["yaxis3"] = axis_spec(
            {
                **BOXED, "range": [0, 100], "tickvals": [0, 50, 100], "domain": domains["y3"],
                "title": {"text": "steps (%)", "standoff": 4},
            }
        )  # fmt: skip
    return State(axis.short, traces, layout), round(inner + above + below)


def _cursor(study: Study) -> Spec:
    width = study.span / PERIODS
    return {
        "type": "rect", "xref": "x", "yref": "paper", "x0": study.span - width, "x1": study.span,
        "y0": 0, "y1": 1, "line": {"color": "#000000", "width": 1}, "fillcolor": "rgba(0,0,0,0)",
        "layer": "above",
    }  # fmt: skip


def _steps_traces(study: Study, view: View, found: StepsMap, top: float) -> list[Spec]:
    axis = view.axes[0]
    texts = [
        [
            f"{number(float(value), 2)} times an even spread<br>"
            f"{range_text(axis, found.edges[0], j)}"
            for value in found.density[:, j]
        ]
        for j in range(found.density.shape[1])
    ]
    return [
        heat(found.times, found.edges[0], np.sqrt(found.density.T), np.sqrt(top), STEPS_RAMP, texts)
    ]


def _model_traces(model: StripModel, axis: str, colour: str) -> list[Spec]:
    """Return the teacher over time: what it would propose, and its likeliest Gaussians or boxes."""
    if len(model.steps) == 0:
        return []
    traces: list[Spec] = []
    for column, dash, width, name in (
        (0, "dot", 1.2, "10 %"), (2, "dot", 1.2, "90 %"), (1, "solid", 2.0, "median"),
    ):  # fmt: skip
        traces.append(
            {
                "type": "scatter", "mode": "lines", "x": plain(model.steps, 7),
                "y": plain(model.preview[:, column]), "name": name,
                "line": {"color": "#000000", "width": width, "dash": dash},
                "hovertemplate": f"proposes, {name}: %{{y}}<extra></extra>",
            }
        )  # fmt: skip
    if len(model.pieces):
        xs: list[float | None] = []
        ys: list[float | None] = []
        for step, low, _, high, _ in model.pieces.tolist():
            xs += [step, step, None]
            ys += [*plain([low, high]), None]
        traces.append(
            {
                "type": "scatter", "mode": "lines", "x": xs, "y": ys, "hoverinfo": "skip",
                "line": {"color": tint(colour, 0.75), "width": 4},
            }
        )  # fmt: skip
        traces.append(
            {
                "type": "scatter", "mode": "markers", "x": plain(model.pieces[:, 0], 7),
                "y": plain(model.pieces[:, 2]), "hoverinfo": "skip",
                "marker": {
                    "color": "#FFFFFF", "line": {"color": colour, "width": 1.5},
                    "size": plain(3.0 + 5.0 * model.pieces[:, 4], 3),
                },
            }
        )  # fmt: skip
    return traces


def _state_traces(frontier: Frontier) -> list[Spec]:
    middle = 0.5 * (frontier.times[1:] + frontier.times[:-1])
    return [
        {
            "type": "bar", "x": plain(middle, 7), "y": plain(100.0 * frontier.shares[:, i]),
            "width": float(frontier.times[1] - frontier.times[0]), "name": name, "yaxis": "y3",
            "marker": {"color": STATE_COLOURS[i], "line": {"width": 0}},
            "hovertemplate": f"{name}: %{{y:.0f}} %<extra></extra>",
        }
        for i, name in enumerate(STATES)
    ]  # fmt: skip


# The plane at each time. -------------------------------------------------------------------------


def plane_chart(arm: Arm, study: Study, view: View, top: float, colour: str) -> Chart | None:
    """Return an arm's steps on the plane in each period, with its teacher then; None without steps.

    On a space with one axis the view is a line, and the steps are bars along it.
    """
    found = steps_map(arm.shown, view, PERIODS)
    if found.steps.sum() == 0:
        return None
    run = shown_run(arm)
    states = tuple(
        _plane_state(study, view, found, period, top, run, colour) for period in range(PERIODS)
    )
    last = int(np.flatnonzero(found.steps > 0)[-1])
    says = f"Where {arm.label} spent its {_unit(study)} in each of {PERIODS} periods of training."
    return Chart(states, 300 if view.plane else 220, says, start=last, group=GROUP)


def _plane_state(
    study: Study,
    view: View,
    found: StepsMap,
    period: int,
    top: float,
    run: Run | None,
    colour: str,
) -> State:
    density = found.density[period]
    snapshot = latest(run, found.times[period + 1])
    if view.plane:
        x_axis, y_axis = view.axes
        texts = [[number(float(v), 2) for v in row] for row in density.T]
        trace = heat(
            found.edges[0], found.edges[1], np.sqrt(density.T), np.sqrt(top), STEPS_RAMP, texts
        )
        trace["hovertemplate"] = "%{text} times an even spread<extra></extra>"
        del trace["hoverinfo"]
        traces = [trace, *_outlines(snapshot, view, colour)]
        layout = layout_of(
            xaxis=task_axis(x_axis, "x", title=True), yaxis=task_axis(y_axis, "y", title=True),
            margin={"l": 52, "r": 14, "t": 6, "b": 42},
        )  # fmt: skip
    else:
        (axis,) = view.axes
        edges = found.edges[0]
        wide = np.diff(edges)
        traces = [
            {
                "type": "bar", "x": plain(0.5 * (edges[1:] + edges[:-1])), "y": plain(density),
                "width": plain(wide), "marker": {"color": STEPS_RAMP[4], "line": {"width": 0}},
                "hovertemplate": "%{y} times an even spread<extra></extra>",
            }
        ]  # fmt: skip
        if snapshot is not None:
            traces += _along(snapshot, view, float(top), colour)
        layout = layout_of(
            xaxis=task_axis(axis, "x", title=True),
            yaxis=axis_spec({**BOXED, "range": [0, float(top)], "title": {"text": "density"}}),
            margin={"l": 52, "r": 14, "t": 6, "b": 42}, bargap=0,
        )  # fmt: skip
    if found.steps[period] == 0:
        layout["annotations"] = [
            {
                "x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper", "showarrow": False,
                "text": f"no {_unit(study)} in this period",
            }
        ]  # fmt: skip
    name = moment_name(study, period)
    about = told(snapshot) if snapshot is not None else ""
    return State(name, traces, layout, about)


def latest(run: Run | None, step: float) -> Snapshot | None:
    """Return a run's latest snapshot up to a step, else its first; None without a run."""
    if run is None:
        return None
    before = [s for s in run.snapshots if s.step <= step]
    return before[-1] if before else run.snapshots[0]


def _along(snapshot: Snapshot, view: View, top: float, colour: str) -> list[Spec]:
    """Return the teacher over a line: Gaussians or boxes, kept tasks, what it would propose.

    Boxes, and needles of kept tasks, are as high as they are likely or worth keeping.
    """
    model = teacher_model(snapshot, view)
    traces: list[Spec] = []
    if len(model.spans):
        xs: list[float | None] = []
        ys: list[float | None] = []
        for low, high, strength in model.spans.tolist():
            xs += [*plain([low, low, high, high, low]), None]
            ys += [*plain([0.0, 0.9 * top * strength, 0.9 * top * strength, 0.0, 0.0]), None]
        traces.append(
            {
                "type": "scatter", "mode": "lines", "x": xs, "y": ys, "hoverinfo": "skip",
                "fill": "toself", "fillcolor": tint(colour, 0.2),
                "line": {"color": colour, "width": 1.2},
            }
        )  # fmt: skip
    if len(model.kept):
        xs, ys = [], []
        for place, worth in zip(model.kept[:, 0].tolist(), model.worth.tolist(), strict=True):
            xs += [*plain([place, place]), None]
            ys += [0.0, *plain([0.9 * top * worth]), None]
        traces.append(
            {
                "type": "scatter", "mode": "lines", "x": xs, "y": ys, "hoverinfo": "skip",
                "line": {"color": colour, "width": 1.2},
            }
        )  # fmt: skip
        traces.append(_points(model.kept, 0.9 * top * model.worth, _keeps(model), 6, colour))
    if len(model.preview):
        traces.append(
            {
                "type": "scatter", "mode": "markers", "x": plain(model.preview[:, 0]),
                "y": [0.0] * len(model.preview), "hoverinfo": "skip", "cliponaxis": False,
                "name": "would propose now",
                "marker": {"symbol": "line-ns-open", "size": 10, "color": tint("#000000", 0.55)},
            }
        )  # fmt: skip
    return traces


def _keeps(model: TeacherModel) -> str:
    by = model.worth_by.replace("_", " ")
    return html.escape(f"keeps, by {by}" if by else "keeps")


def _points(places: np.ndarray, heights: np.ndarray, name: str, size: Any, colour: str) -> Spec:
    return {
        "type": "scatter", "mode": "markers", "name": name, "x": plain(places[:, 0]),
        "y": plain(heights), "hovertemplate": f"{name}<extra></extra>",
        "marker": {"symbol": "diamond", "size": size, "color": colour, "opacity": 0.8},
    }  # fmt: skip


def _outlines(snapshot: Snapshot | None, view: View, colour: str) -> list[Spec]:
    """Return the teacher's Gaussians, boxes, kept tasks, and the tasks it would have proposed."""
    if snapshot is None:
        return []
    model = teacher_model(snapshot, view)
    traces: list[Spec] = []
    for outline, strength in zip(model.outlines, model.strengths, strict=True):
        traces.append(
            {
                "type": "scatter", "mode": "lines", "x": plain(outline[:, 0]),
                "y": plain(outline[:, 1]), "fill": "toself", "hoverinfo": "skip",
                "fillcolor": tint(colour, 0.04 + 0.2 * strength), "showlegend": False,
                "line": {"color": colour, "width": 1 + 1.5 * strength},
            }
        )  # fmt: skip
    if len(model.solved):
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": "remembers as solved",
                "x": plain(model.solved[:, 0]), "y": plain(model.solved[:, 1]),
                "marker": {"symbol": "cross-thin-open", "size": 5, "color": tint(colour, 0.6)},
                "hovertemplate": "remembers as solved<extra></extra>",
            }
        )  # fmt: skip
    if len(model.kept):
        sizes = plain(4.0 + 8.0 * np.sqrt(model.worth), 3)
        kept = _points(model.kept, model.kept[:, 1], _keeps(model), sizes, colour)
        kept["marker"] |= {"symbol": "diamond-open", "line": {"width": 1.3}}
        traces.append(kept)
    if len(model.preview):
        seen = model.preview[:100]
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": "would propose now",
                "x": plain(seen[:, 0]), "y": plain(seen[:, 1]),
                "marker": {"size": 4, "color": tint("#000000", 0.5)},
                "hovertemplate": "would propose now<extra></extra>",
            }
        )  # fmt: skip
    return traces
