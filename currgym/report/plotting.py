"""What all charts are made of: states, layouts, axes and traces, as plain dictionaries."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from currgym.report.data import Arm, Study
from currgym.report.maps import Axis
from currgym.report.text import number

__all__ = [
    "BOXED", "INK", "QUIET", "RULE", "Chart", "Spec", "State", "at", "axis_spec", "extent", "heat",
    "layout_of", "legend_of", "note", "plain", "range_text", "scale", "task_axis", "time_title",
]  # fmt: skip

Spec = dict[str, Any]

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
INK, QUIET, RULE = "#1A1A1A", "#555555", "#E3E3E3"


@dataclass(frozen=True)
class State:
    """One view of a chart: its name, traces, layout, and what else to say of it."""

    name: str
    data: list[Spec]
    layout: Spec
    about: str = ""


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
        group: Name of the section's slider that drives it, instead of a control of its own.
        moments: For a chart over time in a group: the span that each place of the slider marks.
    """

    states: tuple[State, ...]
    height: int
    says: str
    control: str = "buttons"
    start: int = 0
    legend: tuple[tuple[str, str, bool], ...] = ()
    group: str = ""
    moments: tuple[tuple[float, float], ...] = ()


def legend_of(arms: Sequence[Arm], palette: dict[str, str]) -> tuple[tuple[str, str, bool], ...]:
    """Return the legend of several arms: label, colour, whether dashed."""
    if len(arms) < 2:
        return ()
    return tuple((arm.label, palette[arm.label], arm.reference) for arm in arms)


def time_title(study: Study) -> str:
    """Return what the time axis counts."""
    return {"supervised": "examples seen", "simulated": "attempts"}.get(
        study.kind, "environment steps"
    )


BOXED: Spec = {
    "showline": True, "mirror": True, "linecolor": "#BBBBBB", "linewidth": 1, "showgrid": False,
    "zeroline": False, "ticks": "outside", "ticklen": 4, "tickcolor": "#999999",
}  # fmt: skip


def layout_of(**parts: Any) -> Spec:
    """Return a layout with the page's fonts and colours."""
    base: Spec = {
        "font": {"family": FONT, "size": 12, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "#FFFFFF",
        "showlegend": False,
        "hoverlabel": {"font": {"family": FONT, "size": 12}, "align": "left"},
        "hovermode": "closest",
    }
    return base | parts


def axis_spec(own: Spec) -> Spec:
    """Return an axis with the page's fonts."""
    base: Spec = {"tickfont": {"size": 11, "color": QUIET}, "ticklabeloverflow": "allow"}
    axis = base | own
    if "title" in axis:
        axis["title"] = {"font": {"size": 12, "color": INK}, **axis["title"]}
    return axis


def task_axis(
    axis: Axis,
    which: str,
    *,
    domain: list[float] | None = None,
    anchor: str | None = None,
    title: bool = False,
    labels: bool = True,
    room_at_end: bool = False,
) -> Spec:
    """Return an axis of the task space with its own ticks and words."""
    values = axis.tick_values(room_at_end=room_at_end)
    words = dict(axis.ticks)
    spec: Spec = {
        **BOXED, "range": extent(axis, None), "showticklabels": labels, "tickvals": values,
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
    return axis_spec(spec)


def extent(axis: Axis, edges: np.ndarray | None) -> list[float]:
    """Return an axis' ends, or those of its cells, as Plotly wants them."""
    ends = [axis.low, axis.high] if edges is None else [float(edges[0]), float(edges[-1])]
    return [float(np.log10(v)) for v in ends] if axis.log else ends


def heat(
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    top: float,
    ramp: Sequence[str],
    texts: list[list[str]],
    **places: str,
) -> Spec:
    """Return a map of cells, ``z[row][column]``, coloured along a ramp."""
    return {
        "type": "heatmap", "x": plain(x, 6), "y": plain(y, 6), "z": [plain(row) for row in z],
        "zmin": 0, "zmax": float(top), "colorscale": scale(ramp), "showscale": False,
        "text": texts, "hoverinfo": "text", **places,
    }  # fmt: skip


def scale(ramp: Sequence[str]) -> list[list[Any]]:
    """Return a ramp as Plotly wants it."""
    return [[i / (len(ramp) - 1), colour] for i, colour in enumerate(ramp)]


def note(x: float, y: float, text: str) -> Spec:
    """Return a quiet word over a panel."""
    return {
        "x": x, "y": y, "xref": "paper", "yref": "paper", "text": text, "showarrow": False,
        "xanchor": "center", "yanchor": "bottom", "font": {"size": 11, "color": QUIET},
    }  # fmt: skip


def at(axis: Axis, value: float) -> str:
    """Return a place on an axis in words."""
    if axis.ticks:
        shown = dict(axis.ticks).get(float(round(value)), number(value))
        return f"{html.escape(axis.short)}: {html.escape(shown)}"
    return f"{html.escape(axis.short)}: {number(value)}"


def range_text(axis: Axis, edges: np.ndarray, i: int) -> str:
    """Return a cell of an axis in words."""
    low, high = float(edges[i]), float(edges[i + 1])
    if axis.values:
        first, last = low + 0.5, high - 0.5
        if first == last:
            return at(axis, first)
        low, high = first, last
    return f"{html.escape(axis.short)}: {number(low)} to {number(high)}"


def plain(values: ArrayLike, digits: int = 4) -> list[float | None]:
    """Return short JSON-ready numbers, None for NaN."""
    return [
        float(f"{v:.{digits}g}") if math.isfinite(v) else None
        for v in np.asarray(values, dtype=np.float64).tolist()
    ]
