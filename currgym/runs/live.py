"""Progress on the terminal, and plain lines where there is none."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from currgym.runs.run import Run

__all__ = ["Live", "RunBar", "attended", "duration"]

LOG_EVERY = 15.0


def attended(console: Console) -> bool:
    """Tell whether somebody looks on: not so in a log file, whatever ``FORCE_COLOR`` says."""
    return console.is_terminal and not console.is_dumb_terminal and console.file.isatty()


def duration(seconds: float | None) -> str:
    """Return a time in words.

    >>> duration(75), duration(7300), duration(None)
    ('1 min 15 s', '2 h 1 min', 'unknown')
    """
    if seconds is None or not math.isfinite(seconds):
        return "unknown"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Live:
    """A rich progress display, or a line every quarter of a minute in a log file."""

    def __init__(self) -> None:
        self.console = Console()
        self.attended = attended(self.console)
        self._waiting = ""
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[solved]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self._said = time.monotonic()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.attended:
            self.bars.stop()
        elif self._waiting:  # how it ended
            self._print(self._waiting)

    def say(self, line: str) -> None:
        """Print a plain line now and then, and the last one in any case."""
        self._waiting = line
        if not self.attended and time.monotonic() - self._said > LOG_EVERY:
            self._print(line)

    def _print(self, line: str) -> None:
        self._said, self._waiting = time.monotonic(), ""
        # No wrapping at 80 columns: a line of a log file stays one.
        self.console.print(line, highlight=False, markup=False, soft_wrap=True, style=None)


class _Beside:
    """What stands beside the bar, read anew at every refresh.

    A first Ctrl-C is answered at once this way, not at the next safe point, when it is over.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def __str__(self) -> str:
        stopping = "finishing this rollout, then a checkpoint" if self._run.stopping else ""
        return "  ".join(words for words in (_solved(self._run), stopping) if words)


def _solved(run: Run) -> str:
    return "" if run.last_mean is None else f"solved {run.last_mean:.0%}"


class RunBar(Live):
    """Progress of one run; pass it to :meth:`currgym.runs.Run.train`."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run
        self._begun: tuple[float, int] | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> RunBar:
        if self.attended:
            config = self._run.config
            self._task = self.bars.add_task(
                f"{config.teacher} on {config.env}", total=config.steps, solved=_Beside(self._run)
            )
            self.bars.start()
        return self

    def __call__(self, run: Run) -> None:
        """Show where the run stands."""
        solved = _solved(run)
        if self._task is not None:
            self.bars.update(self._task, completed=min(run.steps, run.config.steps))
        now = time.monotonic()
        if self._begun is None:
            self._begun = (now, run.steps)
        pace = (run.steps - self._begun[1]) / max(now - self._begun[0], 1e-9)
        # A rollout may go beyond the budget.
        steps_left = max(run.config.steps - run.steps, 0)
        left = duration(steps_left / pace if pace > 0 else (None if steps_left else 0.0))
        words = [f"{run.steps:,} of {run.config.steps:,} steps", solved, f"{left} left"]
        self.say(", ".join(word for word in words if word))
