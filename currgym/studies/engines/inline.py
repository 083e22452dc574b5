"""One run after the other, in this process."""

from __future__ import annotations

from collections.abc import Sequence

from currgym.studies.engines import Job, Listener
from currgym.studies.engines.work import perform

__all__ = ["InlineEngine"]


class InlineEngine:
    """Runs jobs here: for debugging, and where processes cannot be had.

    Args:
        jobs: Not used: one at a time.
        threads: Not used: the configuration of each run says it.
    """

    def __init__(self, jobs: int | None = 1, threads: int = 1) -> None:
        del jobs, threads

    def run(self, jobs: Sequence[Job], listen: Listener) -> None:
        """Do all jobs."""
        for job in jobs:
            end = perform(job, listen)
            listen(end)
            if end.kind == "interrupted":
                raise KeyboardInterrupt

    def close(self) -> None:
        """Nothing to end."""
