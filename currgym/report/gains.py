"""Where the gain comes from: one row a teacher, drawn as plain SVG so that it prints and scales."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from currgym.report.colours import PART_COLOURS
from currgym.report.data import Arm, Metric, Study
from currgym.report.text import difference_text
from currgym.statistics import Interval
from currgym.studies.conclusions import ArmConclusion, Conclusions
from currgym.studies.endpoints import ENDPOINTS

__all__ = ["PARTS", "Gain", "Scale", "gain_axis", "gain_svg", "gains", "has_parts", "measure_of",
           "scale_of"]  # fmt: skip

PARTS = {
    "marginal": "better tasks",
    "order": "their order",
    "adaptivity": "adaptivity",
}
"""Part of a gain -> what it is called."""
WIDTH = 360.0
_SIDE = 12.0


@dataclass(frozen=True)
class Gain:
    """One teacher's difference from the baseline, in shown units.

    Attributes:
        arm: The teacher.
        total: Its difference with its interval, or None where there is none yet.
        parts: Part -> interval; empty where the replays that split it were not run.
        seeds: ``(n,)`` each seed's difference from the baseline's mean (its own where paired).
        conclusion: All that is concluded of the arm.
    """

    arm: Arm
    total: Interval | None
    parts: dict[str, Interval]
    seeds: tuple[float, ...]
    conclusion: ArmConclusion


@dataclass(frozen=True)
class Scale:
    """The common axis of all rows: its ends and round ticks, in shown units."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def x(self, value: float) -> float:
        """Return the position of a value, cut at the ends."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return _SIDE + share * (WIDTH - 2 * _SIDE)


def measure_of(study: Study) -> Metric:
    """Return the measure behind the study's endpoint, in which gains are shown."""
    endpoint = study.conclusions().endpoint
    for metric in study.metrics:
        if metric.endpoint == endpoint:
            return metric
    described = ENDPOINTS[endpoint]
    if described.percent:
        return Metric("mastered", described.says, " %", endpoint, 0.0, 100.0)
    return Metric("return", described.says, "", endpoint)


def gains(study: Study) -> list[Gain]:
    """Return the teachers that are compared, in the order of the study; controls explain them."""
    concluded: Conclusions = study.conclusions()
    factor = measure_of(study).factor
    base = concluded.by_label.get(study.baseline or "")
    found = []
    for arm in study.arms:
        one = concluded[arm.label]
        if base is None or arm.label == study.baseline or arm.parameters.get("of"):
            continue
        parts = {} if one.parts is None else one.parts.parts()
        mean = float(np.mean(list(base.values.values()))) if base.values else math.nan
        seeds = [
            factor * (value - (base.values.get(seed, math.nan) if concluded.paired else mean))
            for seed, value in one.values.items()
        ]
        found.append(
            Gain(
                arm,
                None if one.difference is None else one.difference.scaled(factor),
                {name: part.scaled(factor) for name, part in parts.items()},
                tuple(v for v in seeds if math.isfinite(v)),
                one,
            )
        )
    return found


def has_parts(found: Sequence[Gain]) -> bool:
    """Tell whether any gain could be split."""
    return any(gain.parts for gain in found)


def scale_of(found: Sequence[Gain], margin: float | None, metric: Metric) -> Scale | None:
    """Return an axis for all rows, or None where there is no number."""
    values: list[float] = [0.0]
    for gain in found:
        values += gain.seeds
        for interval in (gain.total, *gain.parts.values()):
            if interval is not None:
                values += [interval.estimate, interval.low, interval.high]
    values = [v for v in values if math.isfinite(v)]
    if len(values) < 2:
        return None
    if margin is not None:
        values += [-margin, margin]
    # Two seeds have intervals wider than the measure itself: they run out of the picture.
    limit = (metric.high - metric.low) if math.isfinite(metric.high - metric.low) else math.inf
    shown = [v for gain in found for v in gain.seeds] + [0.0, margin or 0.0, -(margin or 0.0)]
    widest = max(1.5 * max(abs(v) for v in shown), 1e-9)
    low = max(min(values), -limit, -2.5 * widest)
    high = min(max(values), limit, 2.5 * widest)
    pad = 0.05 * (high - low) or 1.0
    low, high = low - pad, high + pad
    size = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(s * size for s in (1, 2, 2.5, 5, 10, 20) if (high - low) / (s * size) <= 6)
    first, last = math.ceil(low / step), math.floor(high / step)
    return Scale(low, high, tuple(step * i for i in range(first, last + 1)))


def gain_svg(gain: Gain, scale: Scale, margin: float | None, metric: Metric, colour: str) -> str:
    """Return one row: the total with its interval and seeds, and its parts below."""
    height = 38.0 + 17.0 * len(gain.parts)
    pieces = [_band(scale, margin, height), *_ticks(scale, height)]
    pieces += [
        f'<circle cx="{scale.x(v):.1f}" cy="27" r="3.4" fill="{colour}" fill-opacity="0.35"/>'
        for v in gain.seeds
    ]
    said = []
    if gain.total is not None:
        pieces.append(_whisker(gain.total, scale, 12.0, colour, 3.0, 12.0))
        said.append(f"difference {' '.join(difference_text(gain.total, metric))}")
    for i, (name, part) in enumerate(gain.parts.items()):
        y = 46.0 + 17.0 * i
        own = PART_COLOURS[i]
        zero, end = scale.x(0.0), scale.x(part.estimate)
        pieces.append(
            f'<rect x="{min(zero, end):.1f}" y="{y - 5:g}" width="{abs(end - zero):.1f}" '
            f'height="10" fill="{own}" fill-opacity="0.55"/>'
        )
        pieces.append(_whisker(part, scale, y, "#333333", 1.4, 6.0))
        said.append(f"{PARTS[name]} {' '.join(difference_text(part, metric))}")
    return (
        f'<svg class="gain" viewBox="0 0 {WIDTH:g} {height:g}" role="img" '
        f'aria-label="{"; ".join(said)}">{"".join(pieces)}</svg>'
    )


def gain_axis(scale: Scale, margin: float | None) -> str:
    """Return the axis with its numbers, for above the rows."""
    labels = "".join(
        f'<text x="{scale.x(t):.1f}" y="13" text-anchor="middle">{_signed(t)}</text>'
        for t in scale.ticks
    )
    return f'<svg class="gain axis" viewBox="0 0 {WIDTH:g} 18" aria-hidden="true">{labels}</svg>'


def _signed(value: float) -> str:
    text = f"{abs(value):.6g}"
    return "0" if text == "0" else ("+" if value > 0 else "\u2212") + text


def _band(scale: Scale, margin: float | None, height: float) -> str:
    if margin is None:
        return ""
    low, high = scale.x(-margin), scale.x(margin)
    return (
        f'<rect class="sesoi" x="{low:.1f}" y="0" width="{high - low:.1f}" height="{height:g}" '
        'fill="#f0ead8"/>'
    )


def _ticks(scale: Scale, height: float) -> list[str]:
    return [
        f'<line x1="{scale.x(t):.1f}" x2="{scale.x(t):.1f}" y1="0" y2="{height:g}" '
        f'stroke="{"#8a8a8a" if abs(t) < 1e-12 else "#e4e0d8"}"/>'
        for t in scale.ticks
    ]


def _whisker(
    interval: Interval, scale: Scale, y: float, colour: str, width: float, tall: float
) -> str:
    x = scale.x(interval.estimate)
    line = ""
    if interval.known:
        low, high = scale.x(interval.low), scale.x(interval.high)
        line = (
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y:g}" y2="{y:g}" stroke="{colour}" '
            f'stroke-width="{width:g}"/>'
        )
        # An arrow's head where an interval runs out of the picture.
        for end, value, way in ((low, interval.low, -1), (high, interval.high, 1)):
            if value < scale.low or value > scale.high:
                line += f'<path d="M{end + 6 * way:.1f} {y:g}l{-7 * way} -4v8z" fill="{colour}"/>'
    return (
        f'{line}<rect x="{x - 2:.1f}" y="{y - tall / 2:g}" width="4" height="{tall:g}" '
        f'fill="{colour}"/>'
    )
