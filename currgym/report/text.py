"""Numbers and sentences, the same on the page and in the figures."""

from __future__ import annotations

import math

from currgym.report.data import Metric
from currgym.statistics import Interval

__all__ = [
    "count", "difference_text", "duration", "join", "level_text", "number", "plain_env",
    "steps_text",
]  # fmt: skip

MINUS, THIN, DASH = "\u2212", "\u202f", "\u2013"


def number(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits and a true minus sign.

    >>> number(0.04567), number(1234567.0), number(-3.0)
    ('0.0457', '1,234,567', '−3')
    """
    if not math.isfinite(value):
        return "\u221e" if value > 0 else (f"{MINUS}\u221e" if value < 0 else DASH)
    if value == 0:
        return "0"
    size = abs(value)
    places = max(0, digits - 1 - math.floor(math.log10(size)))
    if places > 6:
        text = f"{size:.{digits - 1}e}"
    else:
        text = f"{size:,.{places}f}"
        if "." in text and size == round(size):
            text = f"{size:,.0f}"
    return f"{MINUS}{text}" if value < 0 else text


def count(value: float) -> str:
    """Return a whole number with thousands separated."""
    return f"{round(value):,}"


def steps_text(value: float) -> str:
    """Return a number of steps in short: 250k, 1.5M.

    >>> steps_text(250_000), steps_text(1_500_000), steps_text(900)
    ('250k', '1.5M', '900')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.0f}"


def duration(seconds: float) -> str:
    """Return a duration for a reader.

    >>> duration(42.0), duration(200.0), duration(7_300.0)
    ('42 s', '3.3 min', '2.0 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _shown(value: float, metric: Metric) -> str:
    # A percentage of a test set of some hundred pairs has no meaningful decimals.
    if metric.name == "mastered" and math.isfinite(value):
        return f"{value:.0f}".replace("-0", "0").replace("-", MINUS)
    return number(value)


def level_text(interval: Interval, metric: Metric) -> tuple[str, str]:
    """Return an estimate and its interval, ``("61 %", "[50, 72]")``."""
    ends = ""
    if interval.known:
        ends = f"[{_shown(interval.low, metric)}, {_shown(interval.high, metric)}]"
    return f"{_shown(interval.estimate, metric)}{metric.unit.replace(' ', THIN)}", ends


def difference_text(interval: Interval, metric: Metric) -> tuple[str, str]:
    """Return a signed difference and its interval, ``("+13", "[−3, +29]")``."""

    def signed(value: float) -> str:
        text = _shown(value, metric)
        return f"+{text}" if value > 0 and text != "0" else text

    ends = f"[{signed(interval.low)}, {signed(interval.high)}]" if interval.known else ""
    return signed(interval.estimate), ends


def plain_env(env: str) -> str:
    """Return an environment's name without our prefix."""
    return env.removeprefix("currgym/")


def join(words: list[str]) -> str:
    """Return ``a``, ``a and b`` or ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
