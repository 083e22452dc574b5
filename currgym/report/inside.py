"""The section on what the teachers kept in mind: their chances, scores, stages and gates."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np

from currgym.report.accounts import MOST_PANELS, Panel, panels_of
from currgym.report.colours import tint
from currgym.report.data import Arm, Run, Study
from currgym.report.elements import section
from currgym.report.plotting import (
    BOXED,
    INK,
    QUIET,
    Chart,
    Spec,
    State,
    axis_spec,
    layout_of,
    plain,
)
from currgym.report.sheet import Sheet
from currgym.report.strips import GROUP, PERIODS, latest, moment_name, shown_run, slider

__all__ = ["inside_section", "periods_of", "top_of"]

_HEIGHT, _GAP, _BELOW = 78.0, 46.0, 26.0


def inside_section(sheet: Sheet, study: Study) -> str:
    """Return *What the teachers had in mind*; nothing where no snapshot has anything of it."""
    prefix = sheet.name("inside", study)
    figures = []
    for i, arm in enumerate(study.arms):
        chart = inside_chart(arm, study, sheet.palette[arm.label])
        if chart is not None:
            figures.append(sheet.figure(f"{prefix}-{i}", chart, "", sheet.heading(arm)))
    if not figures:
        return ""
    says = (
        "Chances, scores, stages and gates by the teachers' own snapshots; filled: what holds at "
        "that time; dashed: thresholds."
    )
    if not study.single:
        says += " Of each teacher its first run."
    says += ' <span class="screen">Move the slider to go through the training.</span>'
    body = f'<p>{says}</p>{slider(study, prefix)}<div class="panels">{"".join(figures)}</div>'
    return section("What the teachers had in mind", body, prefix)


def periods_of(run: Run, study: Study) -> list[list[Panel]]:
    """Return the panels of a run's latest snapshot at the end of each period."""
    ends = np.linspace(0.0, study.span, PERIODS + 1)[1:]
    known: dict[int, list[Panel]] = {}
    found = []
    for end in ends:
        snapshot = latest(run, end)
        assert snapshot is not None
        found.append(known.setdefault(id(snapshot), panels_of(snapshot.values)))
    return found


def top_of(panels: Sequence[Panel]) -> tuple[float, float]:
    """Return ends of a height axis that hold all values and thresholds of panels."""
    values = np.concatenate([p.values for p in panels] + [[y for y, _ in p.lines] for p in panels])
    known = values[np.isfinite(values)]
    low = min(0.0, float(known.min(initial=0.0)))
    high = float(known.max(initial=0.0))
    return (1.08 * low, 1.08 * high) if low < high else (0.0, 1.0)


def inside_chart(arm: Arm, study: Study, colour: str) -> Chart | None:
    """Return an arm's panels in each period; None where its snapshots have none."""
    run = shown_run(arm)
    if run is None:
        return None
    periods = periods_of(run, study)
    # One slot for each entry that is ever drawn, in the order in which they come.
    slots: list[frozenset[str]] = []
    for panels in periods:
        slots += [p.entries for p in panels if p.entries not in slots]
    slots = slots[:MOST_PANELS]
    if not slots:
        return None
    # The same heights at all times, but for few and many things, as a portfolio has in turn.
    alike: dict[tuple[frozenset[str], bool], list[Panel]] = {}
    for panel in (p for panels in periods for p in panels):
        alike.setdefault((panel.entries, panel.curve), []).append(panel)
    ends = {key: top_of(panels) for key, panels in alike.items()}
    height = len(slots) * (_HEIGHT + _GAP) + _BELOW
    states = tuple(
        State(
            moment_name(study, period),
            *_state([_of(panels, slot) for slot in slots], ends, height, colour),
        )
        for period, panels in enumerate(periods)
    )
    says = f"What {arm.label} had in mind in each of {PERIODS} periods of training."
    return Chart(states, round(height), says, start=PERIODS - 1, group=GROUP)


def _of(panels: Sequence[Panel], slot: frozenset[str]) -> Panel | None:
    return next((panel for panel in panels if panel.entries == slot), None)


def _state(
    panels: Sequence[Panel | None],
    ends: Mapping[tuple[frozenset[str], bool], tuple[float, float]],
    height: float,
    colour: str,
) -> tuple[list[Spec], Spec]:
    """Return traces and layout of panels one above the other."""
    traces: list[Spec] = []
    notes: list[Spec] = []
    shapes: list[Spec] = []
    layout = layout_of(margin={"l": 52, "r": 14, "t": 0, "b": _BELOW}, bargap=0.15)
    inner = height - _BELOW
    for i, panel in enumerate(panels):
        low, high = (0.0, 1.0) if panel is None else ends[panel.entries, panel.curve]
        mark = "" if i == 0 else str(i + 1)
        top = 1.0 - (i * (_HEIGHT + _GAP) + 20.0) / inner
        bottom = top - _HEIGHT / inner
        layout[f"yaxis{mark}"] = axis_spec(
            {
                **BOXED, "range": [low, high], "domain": [max(0.0, bottom), top], "nticks": 3,
                "anchor": f"x{mark}",
            }
        )  # fmt: skip
        layout[f"xaxis{mark}"] = axis_spec({**BOXED, "anchor": f"y{mark}", "nticks": 6})
        said = "nothing at this time" if panel is None else panel.title
        notes.append(
            {
                "x": 0, "y": top, "xref": "paper", "yref": "paper", "text": html.escape(said),
                "showarrow": False, "xanchor": "left", "yanchor": "bottom",
                "font": {"size": 11, "color": QUIET},
            }
        )  # fmt: skip
        if panel is None:
            layout[f"xaxis{mark}"]["showticklabels"] = False
            continue
        traces.append(_trace(panel, mark, colour))
        if panel.log:
            layout[f"xaxis{mark}"] |= {"type": "log", "dtick": 1}
        if not panel.curve and len(panel.values) <= 8:
            layout[f"xaxis{mark}"]["dtick"] = 1
        if panel.labels:
            layout[f"xaxis{mark}"] |= {
                "tickvals": plain(panel.places), "ticktext": [html.escape(n) for n in panel.labels],
            }  # fmt: skip
        if panel.curve and panel.marked is not None:
            x, y = float(panel.places[panel.marked]), float(panel.values[panel.marked])
            traces.append(
                {
                    "type": "scatter", "mode": "markers", "x": [x], "y": [y],
                    "xaxis": f"x{mark}", "yaxis": f"y{mark}", "hoverinfo": "skip",
                    "marker": {"size": 9, "color": colour, "line": {"color": INK, "width": 1}},
                }
            )  # fmt: skip
        for value, name in panel.lines:
            shapes.append(
                {
                    "type": "line", "xref": f"x{mark} domain", "x0": 0, "x1": 1, "yref": f"y{mark}",
                    "y0": value, "y1": value, "line": {"color": INK, "width": 1, "dash": "dash"},
                }
            )  # fmt: skip
            notes.append(
                {
                    "x": 1, "xref": f"x{mark} domain", "y": value, "yref": f"y{mark}", "text": name,
                    "showarrow": False, "xanchor": "right", "yanchor": "bottom",
                    "font": {"size": 10, "color": INK},
                }
            )  # fmt: skip
    return traces, layout | {"annotations": notes, "shapes": shapes}


def _trace(panel: Panel, mark: str, colour: str) -> Spec:
    place = {"xaxis": f"x{mark}", "yaxis": f"y{mark}"}
    xy = {"x": plain(panel.places, 6), "y": plain(panel.values)}
    if panel.curve:
        return {
            "type": "scatter", "mode": "lines", **xy, **place, "fill": "tozeroy",
            "fillcolor": tint(colour, 0.25), "line": {"color": colour, "width": 1.5},
            "hovertemplate": "%{x}: %{y}<extra></extra>",
        }  # fmt: skip
    filled = [
        colour if panel.marked in (None, i) else tint(colour, 0.3) for i in range(len(panel.values))
    ]
    return {
        "type": "bar", **xy, **place, "marker": {"color": filled, "line": {"width": 0}},
        "hovertemplate": "%{x}: %{y}<extra></extra>",
    }  # fmt: skip
