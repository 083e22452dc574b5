"""Progress of a study on the terminal, and plain lines where there is none."""

from __future__ import annotations

import time

from rich.progress import TaskID

from currgym.runs.live import Live, duration
from currgym.studies.study import Study, StudyProgress

__all__ = ["StudyBar"]

MOST_LINES = 20


class StudyBar(Live):
    """One bar over all steps with the counts of runs, and a line an arm where there are few."""

    def __init__(self, study: Study) -> None:
        super().__init__()
        self._study = study
        self._tasks: dict[str, TaskID] = {}
        self._total: TaskID | None = None
        self._start: tuple[float, float] | None = None

    def __enter__(self) -> StudyBar:
        if self.attended:
            cells = self._study.cells
            self._total = self.bars.add_task(
                "all runs", total=sum(cell.config.steps for cell in cells), solved=""
            )
            arms = self._study.spec.arms
            for arm in arms if len(arms) <= MOST_LINES else []:
                steps = sum(cell.config.steps for cell in cells if cell.arm == arm.label)
                self._tasks[arm.label] = self.bars.add_task(arm.label, total=steps, solved="")
            self.bars.start()
        return self

    def __call__(self, progress: StudyProgress) -> None:
        """Show where the study stands."""
        now = time.monotonic()
        if self._start is None:
            self._start = (now, progress.done)
        counts = {state: progress.count(state) for state in ("done", "running", "failed")}
        words = ", ".join(
            f"{count} {state}" for state, count in counts.items() if count or state == "done"
        )
        words = f"{words} of {len(progress.cells)} runs"
        if self._total is not None:
            taken = sum(progress.steps(cell) for cell in progress.cells)
            self.bars.update(self._total, completed=taken, solved=words)
        for label, task in self._tasks.items():
            mine = [cell for cell in progress.cells if cell.arm == label]
            known = [
                solved for cell in mine if (solved := progress.runs[cell.key].solved) is not None
            ]
            self.bars.update(
                task,
                completed=sum(progress.steps(cell) for cell in mine),
                solved=f"solved {sum(known) / len(known):.0%}" if known else "",
            )
        pace = (progress.done - self._start[1]) / max(now - self._start[0], 1e-9)
        left = f"{duration((1 - progress.done) / pace)} left" if pace > 0 else "starting"
        self.say(f"{words}, {progress.done:.0%} of the steps, {left}")
