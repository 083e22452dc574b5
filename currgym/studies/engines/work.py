"""One job, done in whatever process calls this."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from currgym.studies.engines import Event, Job, Listener

if TYPE_CHECKING:
    from currgym.runs.run import Run

__all__ = ["perform"]

ASK_EVERY = 0.1
TELL_EVERY = 0.5


def perform(
    job: Job,
    listen: Listener,
    stop: Callable[[], bool] = lambda: False,
    saved: Callable[[], None] = lambda: None,
) -> Event:
    """Do a job, and return how it ended.

    Args:
        job: What to do; a run that was begun in its folder is resumed.
        listen: Told that it has begun, and about progress, about twice a second.
        stop: Asked ten times a second at safe points: True writes a checkpoint and ends.
        saved: Called after each new checkpoint.
    """
    from currgym.runs.run import Busy, Interrupted, Run

    asked = told = 0.0
    begun = False
    checkpoint: int | None = None

    def note(run: Run) -> None:
        nonlocal asked, told, begun, checkpoint
        if not begun:  # only now is it certain that nobody else is at it
            begun = True
            listen(Event(job.key, "begun"))
        if run.saved_step != checkpoint:
            checkpoint = run.saved_step
            saved()
        now = time.monotonic()
        if now - asked > ASK_EVERY:
            asked = now
            run.stopping |= stop()
        if now - told > TELL_EVERY:
            told = now
            listen(Event(job.key, "progress", run.steps, run.last_mean))

    try:
        _check_code(job)
        if (job.folder / "config.json").exists():
            run = Run.open(job.folder, trust=job.config.foreign)
            run.take(job.config)
        else:
            run = Run.create(job.config, job.folder)
        run.train(note)
        return Event(job.key, "done", job.config.steps, run.last_mean)
    except Busy as error:
        return Event(job.key, "busy", error=str(error))
    except Interrupted:
        return Event(job.key, "interrupted")
    except Exception as error:
        # Whatever it was, the other runs of the study go on.
        return Event(job.key, "failed", error=f"{type(error).__name__}: {error}")


def _check_code(job: Job) -> None:
    """Refuse to answer by other code than was asked."""
    if job.code is None:
        return
    import platform

    from currgym.studies.cells import code_of

    job.config.load_modules()
    if code_of(job.config) != job.code:
        raise RuntimeError(
            f"the source of teacher, environment or student on {platform.node()} is not the "
            "study's: it was edited meanwhile, or another version is installed there"
        )
