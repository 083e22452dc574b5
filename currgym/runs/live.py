"""Progress on the terminal, and plain lines where there is none."""

from __future__ import annotations

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

__all__ = ["Live", "RunBar"]

LOG_EVERY = 15.0


class Live:
    """A rich progress display, or a line every quarter of a minute in a log file."""

    def __init__(self) -> None:
        self.console = Console()
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
        if self.console.is_terminal:
            self.bars.stop()

    def say(self, line: str) -> None:
        """Print a plain line now and then."""
        if not self.console.is_terminal and time.monotonic() - self._said > LOG_EVERY:
            self._said = time.monotonic()
            self.console.print(line, highlight=False)


class RunBar(Live):
    """Progress of one run; pass it to :meth:`currgym.runs.Run.train`."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run
        self._begun: tuple[float, int] | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> RunBar:
        if self.console.is_terminal:
            config = self._run.config
            self._task = self.bars.add_task(
                f"{config.teacher} on {config.env}", total=config.steps, solved=""
            )
            self.bars.start()
        return self

    def __call__(self, run: Run) -> None:
        """Show where the run stands."""
        solved = "" if run.last_mean is None else f"solved {run.last_mean:.0%}"
        stopping = "  finishing this rollout, then a checkpoint" if run.stopping else ""
        if self._task is not None:
            self.bars.update(
                self._task, completed=min(run.steps, run.config.steps), solved=solved + stopping
            )
        now = time.monotonic()
        if self._begun is None:
            self._begun = (now, run.steps)
        pace = (run.steps - self._begun[1]) / max(now - self._begun[0], 1e-9)
        steps_left = max(run.config.steps - run.steps, 0)  # a rollout may go beyond the budget
        left = f"{steps_left / pace:.0f} s left" if pace > 0 else "starting"
        words = [f"{run.steps:,} of {run.config.steps:,} steps", solved, left]
        self.say(", ".join(word for word in words if word))
