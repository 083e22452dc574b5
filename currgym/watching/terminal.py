"""A run or study in progress on the terminal, and plain lines where there is none."""

from __future__ import annotations

import math
import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from currgym.runs.live import attended, duration
from currgym.watching.data import RunView, StudyView, Watcher
from currgym.watching.drawing import density, on_grid, resampled, sparkline

__all__ = ["draw", "follow", "line"]

WIDTH, COLUMNS, ROWS = 40, 32, 10
MOST_ARMS = 30
LOG_EVERY = 15.0


def follow(watcher: Watcher, every: float, once: bool) -> None:
    """Show what a watcher sees until it has ended.

    Args:
        watcher: What looks.
        every: Seconds between looks.
        once: Show it as it is now, and return.
    """
    console = Console()
    if not attended(console):
        _log(watcher, console, every, once)
        return
    with Live(console=console, auto_refresh=False) as live:
        while True:
            view = watcher.look()
            live.update(draw(view), refresh=True)
            if once or view.ended:
                return
            time.sleep(every)


def _log(watcher: Watcher, console: Console, every: float, once: bool) -> None:
    said, last = -math.inf, ""
    while True:
        view = watcher.look()
        due = time.monotonic() - said >= LOG_EVERY
        if (due and line(view) != last) or view.ended or once:
            said, last = time.monotonic(), line(view)
            console.print(last, highlight=False, soft_wrap=True, markup=False)
        if once or view.ended:
            return
        time.sleep(every)


def line(view: RunView | StudyView) -> str:
    """Return a view in one plain line."""
    if isinstance(view, RunView):
        words = [f"{view.title}: {view.state}"]
        if view.budget:
            words.append(f"{view.steps:,} of {view.budget:,} steps")
        if view.curve:
            words.append(f"solved {view.curve[-1][1]:.1%}")
        if view.left is not None:
            words.append(f"{duration(view.left)} left")
        return ", ".join(words)
    counts = [f"{view.count(state)} {state}" for state in ("done", "running", "failed", "waiting")]
    left = [] if view.left is None else [f"{duration(view.left)} left"]
    share = f"{view.done:.0%} of the steps"
    return ", ".join([f"{view.title}: {view.state}", *counts, share, *left])


def draw(view: RunView | StudyView) -> RenderableType:
    """Return a view as a picture of text."""
    return _run(view) if isinstance(view, RunView) else _study(view)


def _run(view: RunView) -> RenderableType:
    parts: list[RenderableType] = [Text.assemble((view.title, "bold"), f"   {view.state}")]
    if not view.budget:
        return Group(*parts, Text("waiting for its first files"))
    facts = Table.grid(padding=(0, 2))
    facts.add_row("steps", ProgressBar(total=view.budget, completed=view.steps, width=WIDTH),
                  f"{view.steps:,} of {view.budget:,}")  # fmt: skip
    pace = "" if view.pace is None else f"{view.pace:,.0f} steps/s"
    left = f"{duration(view.left)} left" if view.left is not None else ""
    facts.add_row("time", f"{duration(view.seconds)}, {pace}".rstrip(", "), left)
    facts.add_row("spent", ", ".join(f"{n:,} {k.replace('_', ' ')}"
                                     for k, n in view.spent.items() if n))  # fmt: skip
    if view.curve:
        low, high = _range([mean for _, _, mean in view.curve])
        solved = resampled([(step, share) for step, share, _ in view.curve], view.budget, WIDTH)
        means = resampled([(step, mean) for step, _, mean in view.curve], view.budget, WIDTH)
        _, share, mean = view.curve[-1]
        facts.add_row("solved", sparkline(solved, 0.0, 1.0), f"{share:.1%}, best "
                      f"{max(s for _, s, _ in view.curve):.1%}")  # fmt: skip
        facts.add_row("return", sparkline(means, low, high), f"{mean:.4g}")
    parts.append(facts)
    counts = on_grid(view, COLUMNS, ROWS)
    if counts:
        where = f"the latest {len(view.tasks):,} attempts: {view.names[0]} to the right"
        if len(counts) > 1:
            where += f", {view.names[1]} upwards"
        parts += [Text(where), *(Text(f"  │{row}│") for row in density(counts))]
        if view.bounds:
            parts.append(Text("   " + _ends(view.bounds[0])))
    return Group(*parts)


def _ends(bounds: tuple[float, float]) -> str:
    low, high = (f"{value:.4g}" for value in bounds)
    return low + high.rjust(COLUMNS - len(low))


def _study(view: StudyView) -> RenderableType:
    head = Text.assemble(
        (view.title, "bold"), f"   {view.state}   {view.done:.0%} of the steps, "
        f"{view.count('done')} done, {view.count('running')} running, "
        f"{view.count('failed')} failed, {view.count('waiting')} waiting",
        "" if view.left is None else f", {duration(view.left)} left",
    )  # fmt: skip
    table = Table("arm", "done", "steps", "solved over training", "now", box=None, pad_edge=False)
    for arm in view.arms[:MOST_ARMS]:
        end = arm.curve[-1][0] if arm.curve else 0
        shares = resampled([(step, share) for step, share, _ in arm.curve], end, 24) if end else []
        failed = f" ({arm.counts['failed']} failed)" if arm.counts["failed"] else ""
        table.add_row(
            arm.label, f"{arm.counts['done']} of {sum(arm.counts.values())}{failed}",
            f"{arm.steps / max(arm.budget, 1):.0%}", sparkline(shares, 0.0, 1.0),
            "-" if arm.solved is None else f"{arm.solved:.1%}",
        )  # fmt: skip
    parts: list[RenderableType] = [head, table]
    if len(view.arms) > MOST_ARMS:
        parts.append(Text(f"... and {len(view.arms) - MOST_ARMS} more arms"))
    for what, steps, budget, solved in view.running[:8]:
        share = "" if solved is None else f", solved {solved:.0%}"
        parts.append(Text(f"running: {what}: {steps:,} of {budget:,}{share}"))
    parts += [Text(f"failed: {text}", style="red") for text in view.failed[:5]]
    return Group(*parts)


def _range(values: list[float]) -> tuple[float, float]:
    return min(values), max(values)
