"""Small pieces of HTML: sections, cells, keys, controls, films."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

import numpy as np

from currgym.report.data import FILM_TYPES, Film, Study
from currgym.report.maps import View
from currgym.report.plotting import Chart
from currgym.statistics import Interval

__all__ = [
    "NUMBER", "axis_note", "capital", "colour_key", "controls", "escape", "film_figure", "forest",
    "forest_extent", "number_cell", "section", "sort_head",
]  # fmt: skip

NUMBER = ' class="number"'
"""Attribute of cells that hold numbers."""


def forest_extent(study: Study) -> tuple[float, float]:
    """Return the ends of the axis of the small plots."""
    metric = study.metric
    if np.isfinite(metric.low) and np.isfinite(metric.high):
        return metric.low, metric.high
    values = [v for arm in study.arms for v in arm.final(metric.name).values()]
    ends = [study.end(arm, metric) for arm in study.arms]
    values += [v for e in ends if e is not None and e.known for v in (e.low, e.high)]
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    pad = 0.05 * (high - low) or 1.0
    return low - pad, high + pad


def forest(end: Interval, seeds: Sequence[float], extent: tuple[float, float], colour: str) -> str:
    """Return a small plot of an interval with its seeds."""
    low, high = extent
    width, middle = 150.0, 11.0

    def x(value: float) -> str:
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return f"{5 + share * (width - 10):.1f}"

    rules = "".join(
        f'<line x1="{x(v)}" x2="{x(v)}" y1="2" y2="20" stroke="#e0ddd6"/>'
        for v in (low, 0.5 * (low + high), high)
    )
    dots = "".join(
        f'<circle cx="{x(v)}" cy="{middle}" r="3" fill="{colour}" fill-opacity="0.3"/>'
        for v in seeds
    )
    line = ""
    if end.known:
        line = (
            f'<line x1="{x(end.low)}" x2="{x(end.high)}" y1="{middle}" y2="{middle}" '
            f'stroke="{colour}" stroke-width="2"/>'
        )
    mean = (
        f'<rect x="{float(x(end.estimate)) - 2:.1f}" y="{middle - 5:g}" width="4" height="10" '
        f'fill="{colour}"/>'
    )
    return (
        f'<svg class="forest" viewBox="0 0 {width:g} 22" aria-hidden="true">{rules}{dots}{line}'
        f"{mean}</svg>"
    )


def axis_note(view: View) -> str:
    """Return what an axis of ranks means."""
    if view.axes[0].column is not None:
        return ""
    return " Difficulty is in percentiles, 0 being the easiest."


def colour_key(ramp: Sequence[str], low: str, high: str, mark: float | None = None) -> str:
    """Return a ramp of colours with its ends named, and a mark at this share of it."""
    stops = ", ".join(f"{c} {100 * i / (len(ramp) - 1):.0f}%" for i, c in enumerate(ramp))
    line, told = "", ""
    if mark is not None:
        line = f'<i style="left:{100 * mark:.0f}%"></i>'
        told = "<span>(orange mark: even spread; square-root scale)</span>"
    return (
        f'<p class="key"><span>{low}</span><span class="ramp" style="background:'
        f'linear-gradient(90deg, {stops})">{line}</span><span>{high}</span>{told}</p>'
    )


def controls(chart: Chart) -> str:
    """Return what moves a reader between a chart's states, and its legend."""
    if len(chart.states) < 2:
        return _legend(chart)
    if chart.control == "slider":
        last, told = len(chart.states) - 1, escape(chart.states[chart.start].name)
        return (
            f'<div class="controls"><input type="range" min="0" max="{last}" step="1" '
            f'value="{chart.start}" aria-label="Time" aria-valuetext="{told}">'
            f"<output>{told}</output></div>"
        )
    buttons = "".join(
        f'<button type="button" data-state="{i}" aria-pressed="{str(i == chart.start).lower()}">'
        f"{escape(s.name)}</button>"
        for i, s in enumerate(chart.states)
    )
    measure = f'<div class="controls" role="group" aria-label="Measure">{buttons}</div>'
    return measure + _legend(chart)


def _legend(chart: Chart) -> str:
    """Return a legend whose entries hide and show their arm."""
    if not chart.legend:
        return ""
    entries = "".join(
        f'<button type="button" data-arm="{escape(label)}" aria-pressed="true">'
        f'<span class="line{" dashed" if dashed else ""}" style="color:{colour}"></span>'
        f"{escape(label)}</button>"
        for label, colour, dashed in chart.legend
    )
    return f'<div class="legend" role="group" aria-label="Teachers shown">{entries}</div>'


def film_figure(film: Film) -> str:
    """Return a film with its title, embedded."""
    data = base64.b64encode(film.path.read_bytes()).decode("ascii")
    kind = FILM_TYPES[film.path.suffix]
    title = escape(capital(film.title))
    return (
        f'<figure><img src="data:{kind};base64,{data}" alt="Film: {title}">'
        f"<figcaption>{title}</figcaption></figure>"
    )


def section(title: str, body: str, name: str) -> str:
    """Return a titled section."""
    return f'<section id="{name}"><h2>{escape(title)}</h2>\n{body}\n</section>'


def sort_head(columns: Sequence[tuple[str, str]]) -> str:
    """Return a table's head whose entries sort it.

    Args:
        columns: What each is called (HTML), and ``"text"`` or ``"number"``, or nothing where a
            column cannot be sorted by.
    """
    cells = []
    for name, kind in columns:
        classes = NUMBER if kind == "number" and "<svg" not in name else ""
        if not kind:
            cells.append(f'<th scope="col"{classes}>{name}</th>')
            continue
        words, _, drawn = name.partition("<svg")
        drawn = f"<svg{drawn}" if drawn else ""
        cells.append(
            f'<th scope="col"{classes} aria-sort="none"><button type="button" class="sort" '
            f'data-kind="{kind}">{words}</button>{drawn}</th>'
        )
    return f"<thead><tr>{''.join(cells)}</tr></thead>"


def number_cell(text: str, value: float | None = None) -> str:
    """Return a table cell for a number, with what it is sorted by."""
    data = "" if value is None else f' data-value="{value}"'
    return f"<td{NUMBER}{data}>{text}</td>"


def capital(text: str) -> str:
    """Return the text with its first letter capital."""
    return text[:1].upper() + text[1:]


def escape(text: str) -> str:
    """Return text that is safe inside an element or an attribute."""
    return html.escape(text)
