"""What the measurement means for somebody who wants to train here: words and tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from currgym.statistics import Interval, holm

if TYPE_CHECKING:
    from rich.console import RenderableType

    from currgym.doctor.headroom.analysis import Summary
    from currgym.doctor.headroom.measure import Headroom

__all__ = ["MARGIN", "Advice", "advise", "knowing", "tables"]

MARGIN = 0.005
"""Smallest effect of interest: gain over uniform in one fork, in units of the return range."""

_TEACHERS: dict[str, tuple[str, ...]] = {
    "alp": ("alp-gmm", "riac", "covar-gmm"),
    "p(1-p)": ("sfl", "procurl", "goal-gan", "setter-solver"),
    "pvl": ("robust-plr", "plr", "accel"),
    "maxmc": ("robust-plr", "plr", "accel"),
    "td": ("plr",),
    "disagreement": ("vds",),
}
"""Teachers that go by each signal, the first that is registered here is recommended."""


@dataclass(frozen=True)
class Advice:
    """The recommendation.

    Attributes:
        word: ``"headroom"``, ``"no headroom"`` or ``"undecided"``.
        text: What to do, and why.
    """

    word: str
    text: str


def knowing(summary: Summary) -> dict[str, bool]:
    """Tell for each signal whether its correlation lies above 0 (t test, Holm over the signals)."""
    from scipy import stats

    names, p_values = [], []
    for name, signal in summary.signals.items():
        c = signal.correlation
        if name.startswith("teacher:") or c is None or not c.known or c.n < 3:
            continue
        half = (c.high - c.low) / 2.0
        error = half / float(stats.t.ppf(0.975, c.n - 1))
        p = float(stats.t.sf(c.estimate / error, c.n - 1)) if error > 0 else float(c.estimate <= 0)
        names.append(name)
        p_values.append(p)
    adjusted: list[float] = holm(p_values).tolist() if p_values else []
    return dict.fromkeys(summary.signals, False) | {
        name: bool(p < 0.05) for name, p in zip(names, adjusted, strict=True)
    }


def advise(summary: Summary, margin: float = MARGIN) -> Advice:
    """Return the recommendation.

    Args:
        summary: Of all forks.
        margin: Smallest gain over uniform that would matter.
    """
    oracle, uniform = summary.oracle, summary.uniform
    if not oracle.known:
        return Advice("undecided", "one checkpoint has no interval: take more --checkpoints.")
    if oracle.high < margin:
        learnt = "" if uniform.high > margin else (
            " (uniform training learnt next to nothing in a fork either: longer --steps or "
            "--fork-steps may show more)"
        )  # fmt: skip
        return Advice(
            "no headroom",
            "no headroom: train on the target. Even the best cell, had it been known, would not "
            f"have gained {margin:g} of the return range over uniform sampling{learnt}.",
        )
    if oracle.low <= 0.0:
        return Advice(
            "undecided",
            "no headroom shown: train on the target, unless more --seeds or --repeats show "
            "otherwise. The interval of the oracle's gain over uniform holds 0.",
        )
    known = knowing(summary)
    found = sorted(
        (name for name, yes in known.items() if yes),
        key=lambda name: -_estimate(summary.signals[name].correlation),
    )
    if not found:
        return Advice(
            "headroom",
            "there is headroom, but none of these signals finds it here: use what you know of the "
            "tasks (easy-to-hard, a fixed share of the good cells in the transfer matrix), and "
            "compare with random.",
        )
    best = found[0]
    teacher = _teacher(best)
    by = f"teacher {teacher}" if teacher else f"a teacher that goes by {best}"
    others = f" (so do {', '.join(found[1:])})" if len(found) > 1 else ""
    follow = summary.signals[best].following
    doubt = "" if follow.low > 0.0 else (
        f" Training on the quarter that {best} scores highest gained {said(follow, 100.0, '%')} "
        "over uniform in one fork, so do not expect much of following it greedily."
    )  # fmt: skip
    return Advice(
        "headroom",
        f"there is headroom, and {best} knows something of where{others}: try {by}, and compare "
        f"it with random.{doubt}",
    )


def _teacher(signal: str) -> str | None:
    from currgym.teaching import teachers

    return next((name for name in _TEACHERS.get(signal, ()) if name in teachers), None)


def _estimate(interval: Interval | None) -> float:
    return float("-inf") if interval is None else interval.estimate


def tables(found: Headroom) -> list[RenderableType]:
    """Return the transfer matrix and the table of signals, for a terminal."""
    return [_transfer(found), _signals(found.summary)]


def _transfer(found: Headroom) -> Any:
    from rich.table import Table

    matrix = np.mean([f.transfer for f in found.forks], axis=0)
    gain = np.mean([f.gain for f in found.forks], axis=0)
    title = "Transfer: gain on a column's cell of training on a row's cell, per cent of the range"
    table = Table(
        title=title, title_justify="left", box=None, pad_edge=False, collapse_padding=True
    )
    table.add_column("trained on")
    for cell in range(len(found.cells)):
        table.add_column(str(cell), justify="right")
    table.add_column("all", justify="right", style="bold")
    for cell, row in enumerate(matrix):
        named = f"{cell}: {found.cells.describe(cell)}"
        table.add_row(named, *(f"{100 * v:+.0f}" for v in row), f"{100 * gain[cell]:+.1f}")
    uniform = np.mean([f.uniform_gain for f in found.forks])
    table.add_row("uniform", *[""] * len(found.cells), f"{100 * uniform:+.1f}")
    return table


def _signals(summary: Summary) -> Any:
    from rich.table import Table

    table = Table(
        "signal", "rank correlation with the true gain", "gain over uniform of its top quarter", "",
        title="Does the signal know where training gains most?", title_justify="left", box=None,
        pad_edge=False,
    )  # fmt: skip
    known = knowing(summary)
    for name, signal in summary.signals.items():
        remark = "knows" if known[name] else ""
        if signal.silent:
            remark = f"silent at {signal.silent} checkpoints" + (f"; {remark}" if remark else "")
        table.add_row(name, said(signal.correlation), said(signal.following, 100.0, "%"), remark)
    ceiling = "unknown" if summary.ceiling is None else f"{summary.ceiling:.2f}"
    table.add_row("noise ceiling", ceiling, "", "what a perfect signal could reach")
    table.add_row("greedy oracle", "", said(summary.oracle, 100.0, "%"), "best cell, cross-valued")
    return table


def said(interval: Interval | None, factor: float = 1.0, unit: str = "") -> str:
    """Return an interval in words, its ends in brackets."""
    if interval is None:
        return "no cell differed"
    digits = 1 if factor > 1 else 2
    text = f"{factor * interval.estimate:+.{digits}f}"
    if interval.known:
        text += f" [{factor * interval.low:+.{digits}f}, {factor * interval.high:+.{digits}f}]"
    return f"{text} {unit}".strip()
