"""The page's charts of curves, steps and mastery, as Plotly specifications in plain dictionaries.

Each chart has one or more *states* (a measure, a time); the page's script draws the first and the
reader moves between them. ``plotly.graph_objects.Figure`` validates every one in a test.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from currgym.report.colours import MASTERY_RAMP, tint
from currgym.report.data import Arm, Metric, Study, faint
from currgym.report.maps import MasteryMap, StepsMap, View
from currgym.report.plotting import (
    QUIET,
    RULE,
    Chart,
    Spec,
    State,
    at,
    axis_spec,
    extent,
    heat,
    layout_of,
    legend_of,
    plain,
    scale,
    task_axis,
    time_title,
)  # fmt: skip
from currgym.report.text import number

__all__ = ["curves_chart", "dense_top", "mastery_cells_chart", "mastery_lines_chart"]


def curves_chart(study: Study, palette: dict[str, str]) -> Chart:
    """Return the learning curves: mean, 95 % t interval, seeds faint; one state a measure."""
    states = tuple(
        State(metric.label, _curve_traces(study, metric, palette), _curve_layout(study, metric))
        for metric in study.metrics
    )
    says = f"Learning curves of {len(study.arms)} teachers over training."
    return Chart(states, 380, says, legend=legend_of(study.arms, palette))


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
                    "x": [last * (1 + 0.012 * whiskers)], "y": plain(mean[-1:]),
                    "error_y": {
                        "type": "data", "symmetric": False, "color": colour, "thickness": 2,
                        "width": 3, "array": plain(high[-1:] - mean[-1:]),
                        "arrayminus": plain(mean[-1:] - low[-1:]),
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
                    "x": plain([*x, *x[::-1]], 7), "y": plain([*above, *below[::-1]]),
                    "fillcolor": tint(colour, 0.14), "line": {"width": 0},
                    "legendgroup": arm.label, "showlegend": False,
                }
            )  # fmt: skip
        if many:
            xs: list[float | None] = []
            ys: list[float | None] = []
            for row in curve.values[faint(len(curve.values))]:
                xs += [*plain(curve.steps, 7), None]
                ys += [*plain(row), None]
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
                "type": "scatter", "mode": "lines", "name": name, "x": plain(curve.steps, 7),
                "y": plain(mean), "line": {"width": 2.5, "color": colour, "dash": dash},
                "legendgroup": arm.label, "text": ends,
                "hovertemplate": f"{name}: %{{text}}<extra></extra>",
            }
        )  # fmt: skip
    return traces


def _curve_layout(study: Study, metric: Metric) -> Spec:
    y: Spec = {"title": {"text": metric.label, "standoff": 8}, "gridcolor": RULE, "zeroline": False}
    if metric.name == "mastered":
        y |= {"range": [0, 102], "dtick": 20}
    steps = time_title(study)
    pairs = sum(len(arm.runs) == 2 for arm in study.arms)
    end = study.last_step * (1 + 0.012 * (pairs + 1) * (pairs > 0))
    x = {
        "title": {"text": steps, "standoff": 8}, "range": [0, end], "showgrid": False,
        "zeroline": False, "nticks": 6, "ticks": "outside", "tickcolor": QUIET, "ticklen": 4,
    }  # fmt: skip
    return layout_of(
        xaxis=axis_spec(x),
        yaxis=axis_spec(y),
        hovermode="x unified",
        margin={"l": 56, "r": 24, "t": 10, "b": 46},
    )


def dense_top(maps: Sequence[StepsMap]) -> float:
    """Return the density at the dark end of the ramp, common to all arms."""
    known = [m.density[np.isfinite(m.density)] for m in maps]
    values = np.concatenate(known) if known else np.empty(0)
    return float(np.clip(np.quantile(values, 0.99), 4.0, 12.0)) if len(values) else 4.0


def mastery_cells_chart(arm: Arm, found: MasteryMap, view: View) -> Chart:
    """Return what an arm's students had mastered, over the plane."""
    x_axis, y_axis = view.axes
    x_range, y_range = extent(x_axis, None), extent(y_axis, None)
    if found.grid is not None:
        xs, ys, share = found.grid
        x_edges, y_edges = x_axis.around(xs), y_axis.around(ys)
        x_range, y_range = extent(x_axis, x_edges), extent(y_axis, y_edges)
        texts = [
            [
                f"{at(y_axis, y)}<br>{at(x_axis, x)}<br>mastered: {100 * share[i, j]:.0f} %"
                for i, x in enumerate(xs)
            ]
            for j, y in enumerate(ys)
        ]
        trace = heat(x_edges, y_edges, 100.0 * share.T, 100.0, MASTERY_RAMP, texts)
        trace |= {"xgap": 1, "ygap": 1}
    else:
        trace = {
            "type": "scatter", "mode": "markers", "x": plain(found.places[:, 0]),
            "y": plain(found.places[:, 1]), "hoverinfo": "text",
            "text": [
                f"{at(y_axis, y)}<br>{at(x_axis, x)}<br>mastered: {100 * share:.0f} %"
                for (x, y), share in zip(found.places.tolist(), found.share.tolist(), strict=True)
            ],
            "marker": {
                "size": 9, "color": plain(100.0 * found.share), "cmin": 0, "cmax": 100,
                "colorscale": scale(MASTERY_RAMP), "line": {"width": 0.5, "color": "#777777"},
            },
        }  # fmt: skip
    layout = layout_of(
        xaxis=task_axis(x_axis, "x", title=True) | {"range": x_range},
        yaxis=task_axis(y_axis, "y", title=True) | {"range": y_range},
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
                "type": "scatter", "mode": "lines+markers", "name": name, "x": plain(x),
                "y": plain(100.0 * share),
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
    x_axis = task_axis(axis, "x", title=True) | {"mirror": False, "showline": False}
    layout = layout_of(
        xaxis=x_axis,
        yaxis=axis_spec(y),
        hovermode="x unified",
        margin={"l": 56, "r": 24, "t": 10, "b": 46},
    )
    legend = legend_of([arm for arm, _ in found], palette)
    says = "Test tasks mastered along the task axis."
    return Chart((State("", traces, layout),), 300, says, legend=legend)
