"""The page's interactive charts, as Plotly specifications in plain dictionaries.

Each chart has one or more *states* (a measure, a time); the page's script draws the first and the
reader moves between them. ``plotly.graph_objects.Figure`` validates every one in a test.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from currgym.report.colours import MASTERY_RAMP, STEPS_RAMP, tint
from currgym.report.data import Arm, Metric, Run, Study
from currgym.report.maps import Axis, MasteryMap, StepsMap, TeacherModel, View, teacher_model
from currgym.report.text import count, number, steps_text

__all__ = [
    "Chart", "State", "curves_chart", "dense_top", "mastery_cells_chart", "mastery_lines_chart",
    "model_chart", "preview_chart", "steps_chart", "strip_chart",
]  # fmt: skip

Spec = dict[str, Any]

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
INK, QUIET, RULE = "#1A1A1A", "#555555", "#E3E3E3"
STRIP_PERIODS = 24
THIRDS = ("first third", "second third", "last third")
MOST_FRAMES = 40


@dataclass(frozen=True)
class State:
    """One view of a chart: its name, traces and layout."""

    name: str
    data: list[Spec]
    layout: Spec


@dataclass(frozen=True)
class Chart:
    """A chart with the states between which a reader moves.

    Attributes:
        states: At least one.
        height: CSS pixels.
        control: ``"buttons"`` or ``"slider"``, for more than one state.
        start: The state drawn first.
        legend: Arms that the reader may hide: label, colour, whether dashed.
        says: What it shows, for those who cannot see it.
    """

    states: tuple[State, ...]
    height: int
    says: str
    control: str = "buttons"
    start: int = 0
    legend: tuple[tuple[str, str, bool], ...] = ()


def curves_chart(study: Study, palette: dict[str, str]) -> Chart:
    """Return the learning curves: mean, 95 % t interval, every seed faint; one state a measure."""
    states = tuple(
        State(metric.label, _curve_traces(study, metric, palette), _curve_layout(study, metric))
        for metric in study.metrics
    )
    says = f"Learning curves of {len(study.arms)} teachers over training."
    return Chart(states, 380, says, legend=_legend(study.arms, palette))


def _legend(arms: Sequence[Arm], palette: dict[str, str]) -> tuple[tuple[str, str, bool], ...]:
    if len(arms) < 2:
        return ()
    return tuple((arm.label, palette[arm.label], arm.reference) for arm in arms)


def _curve_traces(study: Study, metric: Metric, palette: dict[str, str]) -> list[Spec]:
    traces: list[Spec] = []
    last, whiskers = study.last_step, 0
    for arm in study.arms:
        curve = arm.curve(metric.name)
        if len(curve.steps) == 0:
            continue
        colour, name = palette[arm.label], html.escape(arm.label)
        mean, low, high = curve.band()
        many = len(curve.seeds) > 1
        known = np.isfinite(low)
        low, high = np.maximum(low, metric.low), np.minimum(high, metric.high)
        if len(curve.seeds) == 2:
            # The interval of two seeds is so wide that bands would hide the curves: the last one
            # alone, as a bar beside the curve's end.
            whiskers += 1
            traces.append(
                {
                    "type": "scatter", "mode": "markers", "hoverinfo": "skip",
                    "x": [last * (1 + 0.012 * whiskers)], "y": _plain(mean[-1:]),
                    "error_y": {
                        "type": "data", "symmetric": False, "color": colour, "thickness": 2,
                        "width": 3, "array": _plain(high[-1:] - mean[-1:]),
                        "arrayminus": _plain(mean[-1:] - low[-1:]),
                    },
                    "marker": {"color": colour, "size": 6, "symbol": "square"},
                    "legendgroup": arm.label, "showlegend": False,
                }
            )  # fmt: skip
        elif known.any():
            x, below, above = curve.steps[known], low[known], high[known]
            traces.append(
                {
                    "type": "scatter", "mode": "lines", "fill": "toself", "hoverinfo": "skip",
                    "x": _plain([*x, *x[::-1]], 7), "y": _plain([*above, *below[::-1]]),
                    "fillcolor": tint(colour, 0.14), "line": {"width": 0},
                    "legendgroup": arm.label, "showlegend": False,
                }
            )  # fmt: skip
        if many:
            xs: list[float | None] = []
            ys: list[float | None] = []
            for row in curve.values:
                xs += [*_plain(curve.steps, 7), None]
                ys += [*_plain(row), None]
            traces.append(
                {
                    "type": "scatter", "mode": "lines", "x": xs, "y": ys, "hoverinfo": "skip",
                    "line": {"width": 1, "color": tint(colour, 0.3)}, "legendgroup": arm.label,
                    "showlegend": False,
                }
            )  # fmt: skip
        dash = "dash" if arm.reference else "solid"
        # Numbers go to the reader as text, so that page and table format them alike.
        ends = [
            f"{number(m)} [{number(a)}, {number(b)}]" if np.isfinite(a) else number(m)
            for m, a, b in zip(mean, low, high, strict=True)
        ]
        traces.append(
            {
                "type": "scatter", "mode": "lines", "name": name, "x": _plain(curve.steps, 7),
                "y": _plain(mean), "line": {"width": 2.5, "color": colour, "dash": dash},
                "legendgroup": arm.label, "text": ends,
                "hovertemplate": f"{name}: %{{text}}<extra></extra>",
            }
        )  # fmt: skip
    return traces


def _curve_layout(study: Study, metric: Metric) -> Spec:
    y: Spec = {"title": {"text": metric.label, "standoff": 8}, "gridcolor": RULE, "zeroline": False}
    if metric.name == "mastered":
        y |= {"range": [0, 102], "dtick": 20}
    steps = "examples seen" if study.kind == "supervised" else "environment steps"
    pairs = sum(len(arm.runs) == 2 for arm in study.arms)
    end = study.last_step * (1 + 0.012 * (pairs + 1) * (pairs > 0))
    x = {
        "title": {"text": steps, "standoff": 8}, "range": [0, end], "showgrid": False,
        "zeroline": False, "nticks": 6, "ticks": "outside", "tickcolor": QUIET, "ticklen": 4,
    }  # fmt: skip
    return _layout(
        xaxis=_axis(x),
        yaxis=_axis(y),
        hovermode="x unified",
        margin={"l": 56, "r": 24, "t": 10, "b": 46},
    )


def dense_top(maps: Sequence[StepsMap]) -> float:
    """Return the density at the dark end of the ramp, common to all arms."""
    known = [m.density[np.isfinite(m.density)] for m in maps]
    values = np.concatenate(known) if known else np.empty(0)
    return float(np.clip(np.quantile(values, 0.99), 4.0, 12.0)) if len(values) else 4.0


def steps_chart(arm: Arm, found: StepsMap, view: View, top: float) -> Chart:
    """Return three maps of where an arm's steps went, one for each third of its budget."""
    x_axis, y_axis = view.axes
    traces: list[Spec] = []
    layout = _layout(
        margin={"l": 48, "r": 14, "t": 24, "b": 40},
        annotations=[],
        shapes=[],
    )
    for period in range(3):
        suffix = str(period + 1) if period else ""
        left = period * 0.345
        layout[f"xaxis{suffix}"] = _task_axis(
            x_axis, "x", domain=[left, left + 0.31], anchor=f"y{suffix}", title=period == 1,
            room_at_end=period < 2,
        )  # fmt: skip
        layout[f"yaxis{suffix}"] = _task_axis(
            y_axis, "y", anchor=f"x{suffix}", title=period == 0, labels=period == 0
        )
        there = found.steps[period] > 0
        layout["annotations"].append(
            _note(left + 0.155, 1.0, THIRDS[period] if there else f"{THIRDS[period]}: not yet")
        )
        if there:
            traces.append(
                _cells(
                    found.edges, found.density[period], top, x_axis, y_axis,
                    xaxis=f"x{suffix}", yaxis=f"y{suffix}",
                )
            )  # fmt: skip
    says = f"Where {arm.label} spent its steps, in three thirds of the training."
    return Chart((State("", traces, layout),), 216, says)


def _cells(
    edges: tuple[np.ndarray, ...], density: np.ndarray, top: float, x: Axis, y: Axis, **places: str
) -> Spec:
    texts = [
        [
            f"{_range(y, edges[1], j)}<br>{_range(x, edges[0], i)}<br>"
            f"{number(density[i, j], 2)} times an even spread"
            for i in range(density.shape[0])
        ]
        for j in range(density.shape[1])
    ]
    return _heat(edges[0], edges[1], np.sqrt(density.T), np.sqrt(top), STEPS_RAMP, texts, **places)


def strip_chart(arm: Arm, study: Study, found: StepsMap, view: View, top: float) -> Chart:
    """Return where an arm's steps went along one axis, against time."""
    axis = view.axes[0]
    unit = "examples" if study.kind == "supervised" else "steps"
    texts = [
        [
            f"{steps_text(a)} to {steps_text(b)} {unit}<br>{_range(axis, found.edges[0], j)}<br>"
            f"{number(found.density[i, j], 2)} times an even spread"
            for i, (a, b) in enumerate(zip(found.times[:-1], found.times[1:], strict=True))
        ]
        for j in range(found.density.shape[1])
    ]
    trace = _heat(
        found.times, found.edges[0], np.sqrt(found.density.T), np.sqrt(top), STEPS_RAMP, texts
    )
    title = "examples seen" if study.kind == "supervised" else "environment steps"
    layout = _layout(
        xaxis=_axis({"title": {"text": title, "standoff": 6}, "nticks": 6, **_BOXED}),
        yaxis=_task_axis(axis, "y", title=True),
        margin={"l": 56, "r": 22, "t": 6, "b": 40},
    )
    return Chart((State("", [trace], layout),), 190, f"Where {arm.label} spent its {unit}.")


def mastery_cells_chart(arm: Arm, found: MasteryMap, view: View) -> Chart:
    """Return what an arm's students had mastered, over the plane."""
    x_axis, y_axis = view.axes
    x_range, y_range = _extent(x_axis, None), _extent(y_axis, None)
    if found.grid is not None:
        xs, ys, share = found.grid
        x_edges, y_edges = x_axis.around(xs), y_axis.around(ys)
        x_range, y_range = _extent(x_axis, x_edges), _extent(y_axis, y_edges)
        texts = [
            [
                f"{_at(y_axis, y)}<br>{_at(x_axis, x)}<br>mastered: {100 * share[i, j]:.0f} %"
                for i, x in enumerate(xs)
            ]
            for j, y in enumerate(ys)
        ]
        trace = _heat(x_edges, y_edges, 100.0 * share.T, 100.0, MASTERY_RAMP, texts)
        trace |= {"xgap": 1, "ygap": 1}
    else:
        trace = {
            "type": "scatter", "mode": "markers", "x": _plain(found.places[:, 0]),
            "y": _plain(found.places[:, 1]), "hoverinfo": "text",
            "text": [
                f"{_at(y_axis, y)}<br>{_at(x_axis, x)}<br>mastered: {100 * share:.0f} %"
                for (x, y), share in zip(found.places.tolist(), found.share.tolist(), strict=True)
            ],
            "marker": {
                "size": 9, "color": _plain(100.0 * found.share), "cmin": 0, "cmax": 100,
                "colorscale": _scale(MASTERY_RAMP), "line": {"width": 0.5, "color": "#777777"},
            },
        }  # fmt: skip
    layout = _layout(
        xaxis=_task_axis(x_axis, "x", title=True) | {"range": x_range},
        yaxis=_task_axis(y_axis, "y", title=True) | {"range": y_range},
        margin={"l": 48, "r": 14, "t": 6, "b": 40},
    )
    says = f"Test tasks mastered by the students of {arm.label}, over the task space."
    return Chart((State("", [trace], layout),), 220, says)


def mastery_lines_chart(
    found: Sequence[tuple[Arm, MasteryMap]], view: View, palette: dict[str, str]
) -> Chart:
    """Return what students had mastered along one axis, a line an arm."""
    axis = view.axes[0]
    traces: list[Spec] = []
    for arm, mastered in found:
        x, share = mastered.profile()
        name = html.escape(arm.label)
        dash = "dash" if arm.reference else "solid"
        traces.append(
            {
                "type": "scatter", "mode": "lines+markers", "name": name, "x": _plain(x),
                "y": _plain(100.0 * share),
                "line": {"color": palette[arm.label], "width": 2.2, "dash": dash},
                "marker": {"size": 6}, "legendgroup": arm.label,
                "text": [f"{number(100 * s)} %" for s in share.tolist()],
                "hovertemplate": f"{name}: %{{text}}<extra></extra>",
            }
        )  # fmt: skip
    y = {
        "title": {"text": "mastered (%)", "standoff": 8}, "range": [-2, 102], "dtick": 20,
        "gridcolor": RULE, "zeroline": False,
    }  # fmt: skip
    x_axis = _task_axis(axis, "x", title=True) | {"mirror": False, "showline": False}
    layout = _layout(
        xaxis=x_axis,
        yaxis=_axis(y),
        hovermode="x unified",
        margin={"l": 56, "r": 24, "t": 10, "b": 46},
    )
    legend = _legend([arm for arm, _ in found], palette)
    says = "Test tasks mastered along the task axis."
    return Chart((State("", traces, layout),), 300, says, legend=legend)


def model_chart(arm: Arm, run: Run, view: View, colour: str) -> Chart | None:
    """Return a teacher's model over time on the plane, or None where nothing was kept."""
    models = [teacher_model(s, view) for s in _thinned(run)]
    if not any(len(m.preview) or m.outlines for m in models):
        return None
    states = tuple(_model_state(m, view, colour) for m in models)
    says = f"The teacher {arm.label}'s model at {len(states)} times of the training."
    return Chart(states, 320, says, control="slider", start=len(states) - 1)


def _model_state(model: TeacherModel, view: View, colour: str) -> State:
    x_axis, y_axis = view.axes
    traces: list[Spec] = [
        {
            "type": "scatter", "mode": "markers", "name": "would propose now",
            "x": _plain(model.preview[:, 0]), "y": _plain(model.preview[:, 1]),
            "marker": {
                "size": 6 if len(model.preview) <= 60 else 4, "color": tint("#000000", 0.45),
            },
            "text": [
                f"{_at(y_axis, y)}<br>{_at(x_axis, x)}" for x, y in model.preview.tolist()
            ],
            "hoverinfo": "text",
        }
    ]  # fmt: skip
    for outline, strength in zip(model.outlines, model.strengths, strict=True):
        traces.append(
            {
                "type": "scatter", "mode": "lines", "x": _plain(outline[:, 0]),
                "y": _plain(outline[:, 1]), "fill": "toself", "hoverinfo": "skip",
                "fillcolor": tint(colour, 0.06 + 0.34 * strength), "showlegend": False,
                "line": {"color": colour, "width": 1 + strength},
            }
        )  # fmt: skip
    layout = _layout(
        xaxis=_task_axis(x_axis, "x", title=True),
        yaxis=_task_axis(y_axis, "y", title=True),
        margin={"l": 48, "r": 14, "t": 6, "b": 40},
    )
    return State(f"after {count(model.step)} steps", traces, layout)


def preview_chart(arm: Arm, run: Run, study: Study, view: View, colour: str) -> Chart | None:
    """Return what a teacher would have proposed over time along one axis, or None."""
    axis = view.axes[0]
    models = [teacher_model(s, view) for s in _thinned(run)]
    x = [m.step for m in models for _ in range(len(m.preview))]
    if not x:
        return None
    y = np.concatenate([m.preview[:, 0] for m in models if len(m.preview)])
    trace = {
        "type": "scatter", "mode": "markers", "x": x, "y": _plain(y), "hoverinfo": "text",
        "text": [_at(axis, value) for value in y.tolist()],
        "marker": {"size": 5, "color": tint(colour, 0.4)},
    }  # fmt: skip
    title = "examples seen" if study.kind == "supervised" else "environment steps"
    steps = {"title": {"text": title, "standoff": 6}, "range": [0, study.steps], "nticks": 6}
    layout = _layout(
        xaxis=_axis(steps | _BOXED),
        yaxis=_task_axis(axis, "y", title=True),
        margin={"l": 56, "r": 22, "t": 6, "b": 40},
    )
    return Chart((State("", [trace], layout),), 220, f"Tasks {arm.label} would have proposed.")


def _thinned(run: Run) -> list[Any]:
    """Return a run's snapshots, at most so many and evenly over time."""
    kept = run.snapshots
    if len(kept) <= MOST_FRAMES:
        return list(kept)
    return [kept[i] for i in np.linspace(0, len(kept) - 1, MOST_FRAMES).round().astype(int)]


# Pieces ------------------------------------------------------------------------------------------

_BOXED: Spec = {
    "showline": True, "mirror": True, "linecolor": "#BBBBBB", "linewidth": 1, "showgrid": False,
    "zeroline": False, "ticks": "outside", "ticklen": 4, "tickcolor": "#999999",
}  # fmt: skip


def _layout(**parts: Any) -> Spec:
    base: Spec = {
        "font": {"family": FONT, "size": 12, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "#FFFFFF",
        "showlegend": False,
        "hoverlabel": {"font": {"family": FONT, "size": 12}, "align": "left"},
        "hovermode": "closest",
    }
    return base | parts


def _axis(own: Spec) -> Spec:
    base: Spec = {"tickfont": {"size": 11, "color": QUIET}, "ticklabeloverflow": "allow"}
    axis = base | own
    if "title" in axis:
        axis["title"] = {"font": {"size": 12, "color": INK}, **axis["title"]}
    return axis


def _task_axis(
    axis: Axis,
    which: str,
    *,
    domain: list[float] | None = None,
    anchor: str | None = None,
    title: bool = False,
    labels: bool = True,
    room_at_end: bool = False,
) -> Spec:
    values = axis.tick_values(room_at_end=room_at_end)
    words = dict(axis.ticks)
    spec: Spec = {
        **_BOXED, "range": _extent(axis, None), "showticklabels": labels, "tickvals": values,
        "ticktext": [html.escape(words.get(v, f"{v:g}")) for v in values],
    }  # fmt: skip
    if axis.log:
        spec["type"] = "log"
    if domain is not None:
        spec["domain"] = domain
    if anchor is not None:
        spec["anchor"] = anchor
    if title:
        spec["title"] = {"text": html.escape(axis.short), "standoff": 4 if which == "y" else 6}
    return _axis(spec)


def _extent(axis: Axis, edges: np.ndarray | None) -> list[float]:
    ends = [axis.low, axis.high] if edges is None else [float(edges[0]), float(edges[-1])]
    return [float(np.log10(v)) for v in ends] if axis.log else ends


def _heat(
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    top: float,
    ramp: Sequence[str],
    texts: list[list[str]],
    **places: str,
) -> Spec:
    return {
        "type": "heatmap", "x": _plain(x, 6), "y": _plain(y, 6), "z": [_plain(row) for row in z],
        "zmin": 0, "zmax": float(top), "colorscale": _scale(ramp), "showscale": False,
        "text": texts, "hoverinfo": "text", **places,
    }  # fmt: skip


def _scale(ramp: Sequence[str]) -> list[list[Any]]:
    return [[i / (len(ramp) - 1), colour] for i, colour in enumerate(ramp)]


def _note(x: float, y: float, text: str) -> Spec:
    return {
        "x": x, "y": y, "xref": "paper", "yref": "paper", "text": text, "showarrow": False,
        "xanchor": "center", "yanchor": "bottom", "font": {"size": 11, "color": QUIET},
    }  # fmt: skip


def _at(axis: Axis, value: float) -> str:
    if axis.ticks:
        shown = dict(axis.ticks).get(float(round(value)), number(value))
        return f"{html.escape(axis.short)}: {html.escape(shown)}"
    return f"{html.escape(axis.short)}: {number(value)}"


def _range(axis: Axis, edges: np.ndarray, i: int) -> str:
    low, high = float(edges[i]), float(edges[i + 1])
    if axis.values:
        first, last = low + 0.5, high - 0.5
        if first == last:
            return _at(axis, first)
        low, high = first, last
    return f"{html.escape(axis.short)}: {number(low)} to {number(high)}"


def _plain(values: ArrayLike, digits: int = 4) -> list[float | None]:
    """Return short JSON-ready numbers, None for NaN."""
    return [
        float(f"{v:.{digits}g}") if np.isfinite(v) else None
        for v in np.asarray(values, dtype=np.float64).tolist()
    ]
