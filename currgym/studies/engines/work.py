"""One job, done in whatever process calls this."""

from __future__ import annotations

import time
from collections.abc import Callable

from currgym.studies.engines import Event, Job, Listener

__all__ = ["perform"]

TELL_EVERY = 0.5


def perform(job: Job, listen: Listener, stop: Callable[[], bool] = lambda: False) -> Event:
    """Do a job, and return how it ended.

    Args:
        job: What to do; a run that was begun in its folder is resumed.
        listen: Told about progress, about twice a second.
        stop: Asked at safe points: True writes a checkpoint and ends.
    """
    from currgym.runs.run import Busy, Interrupted, Run

    last = 0.0

    def note(run: Run) -> None:
        nonlocal last
        if stop():
            run.stopping = True
        now = time.monotonic()
        if now - last > TELL_EVERY:
            last = now
            listen(Event(job.key, "progress", run.steps, run.last_mean))

    try:
        if (job.folder / "config.json").exists():
            run = Run.open(job.folder, trust=True)  # this study wrote it
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
