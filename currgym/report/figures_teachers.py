"""The figure of what the teachers have in mind at the end of training."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from currgym.report.accounts import MOST_PANELS, Panel, panels_of
from currgym.report.data import Snapshot, Study
from currgym.report.figures import STYLE, dress, frame, readable
from currgym.report.inside import top_of
from currgym.report.maps import View, plane_of, strips_of
from currgym.report.models import teacher_model
from currgym.report.strips import shown_run

__all__ = ["teachers_inside"]


def teachers_inside(study: Study, palette: dict[str, str]) -> Figure | None:
    """Draw each teacher's last snapshot; None where there is none with anything to draw.

    One row an arm: Gaussians, boxes, kept tasks and proposals in the task space, and beside them
    its chances, scores, stages and gates.

    Args:
        study: What to draw.
        palette: Colours by label.
    """
    views = strips_of(study)
    view = plane_of(study) or (views[0] if views else None)
    rows: list[tuple[str, Snapshot, list[Panel]]] = []
    for arm in study.arms:
        run = shown_run(arm)
        if run is not None:
            last = run.snapshots[-1]
            rows.append((arm.label, last, panels_of(last.values)))
    columns = (view is not None) + max((len(panels) for _, _, panels in rows), default=0)
    if not rows or not columns:
        return None
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.0 + 2.3 * columns, 0.5 + 1.75 * len(rows)), layout="constrained")
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for axes, (label, snapshot, panels) in zip(grid, rows, strict=True):
            colour, first = palette[label], 0
            if view is not None:
                _space(axes[0], snapshot, view, colour)
                first = 1
            axes[0].set_title(
                label, color=readable(colour), fontweight="bold", fontsize=9, loc="left"
            )
            for k in range(first, columns):
                if k - first < min(len(panels), MOST_PANELS):
                    _panel(axes[k], panels[k - first], colour, titled=k > 0)
                else:
                    axes[k].set_axis_off()
    return figure


def _space(ax: Any, snapshot: Snapshot, view: View, colour: str) -> None:
    """Draw what lies in the task space: on a plane, or over a line."""
    model = teacher_model(snapshot, view)
    for outline, strength in zip(model.outlines, model.strengths, strict=True):
        ax.fill(*outline.T, facecolor=colour, alpha=0.04 + 0.2 * strength, linewidth=0)
        ax.plot(*outline.T, color=colour, linewidth=0.5 + 0.9 * strength)
    for low, high, strength in model.spans.tolist():
        ax.fill_between([low, high], 0.0, strength, color=colour, alpha=0.2, linewidth=0)
        ax.plot([low, low, high, high], [0.0, strength, strength, 0.0], color=colour, linewidth=0.8)
    dress(ax, view.axes[0], "x")
    if view.plane:
        if len(model.solved):
            ax.plot(*model.solved.T, "+", color=colour, alpha=0.5, markersize=3)
        if len(model.kept):
            ax.scatter(
                *model.kept.T, s=4.0 + 22.0 * model.worth, marker="D", facecolors="none",
                edgecolors=colour, linewidths=0.7,
            )  # fmt: skip
        if len(model.preview):
            ax.plot(*model.preview[:100].T, ".", color="black", alpha=0.5, markersize=2)
        dress(ax, view.axes[1], "y")
    else:
        if len(model.kept):
            ax.vlines(model.kept[:, 0], 0.0, model.worth, color=colour, linewidth=0.8)
            ax.plot(model.kept[:, 0], model.worth, "D", color=colour, markersize=2.5)
        if len(model.preview):
            places = model.preview[:, 0]
            ax.plot(places, np.zeros(len(places)), "|", color="black", alpha=0.5, clip_on=False)
        ax.set_ylim(0.0, 1.1)
        ax.set_ylabel("relative")
    frame(ax)


def _panel(ax: Any, panel: Panel, colour: str, titled: bool) -> None:
    if panel.curve:
        ax.fill_between(panel.places, panel.values, color=colour, alpha=0.25, linewidth=0)
        ax.plot(panel.places, panel.values, color=colour, linewidth=1.0)
        if panel.log:
            ax.set_xscale("log")
        if panel.marked is not None:
            ax.plot(panel.places[panel.marked], panel.values[panel.marked], "o", color=colour)
    else:
        shades = [1.0 if panel.marked in (None, i) else 0.3 for i in range(len(panel.values))]
        for place, value, shade in zip(panel.places, panel.values, shades, strict=True):
            ax.bar(place, value, width=0.85, color=colour, alpha=shade)
        if panel.labels:
            ax.set_xticks(panel.places, panel.labels, fontsize=7)
        else:
            ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for value, name in panel.lines:
        ax.axhline(value, color="black", linewidth=0.7, linestyle="--")
        ax.annotate(
            name, (1.0, value), xycoords=("axes fraction", "data"), fontsize=7, ha="right",
            va="bottom",
        )  # fmt: skip
    ax.set_ylim(*top_of([panel]))
    ax.yaxis.set_major_locator(MaxNLocator(3))
    if titled:
        ax.set_title(_wrapped(panel.title), fontsize=7, color="#555555", loc="left")
    else:
        ax.set_xlabel(_wrapped(panel.title), fontsize=7)
    frame(ax)


def _wrapped(title: str, width: int = 34) -> str:
    """Return a title on as many lines as it takes."""
    lines = [""]
    for word in title.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
