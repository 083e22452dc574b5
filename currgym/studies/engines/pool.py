"""A pool of local processes, which ends by itself when its main process is killed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from currgym.studies.engines import Event, Job
from currgym.studies.engines.crew import Crew, Lost, Worker
from currgym.studies.engines.work import perform

__all__ = ["PoolEngine"]


class _Process(Worker):
    """One process and the pipe to it."""

    def __init__(self, context: Any) -> None:
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def give(self, job: Job) -> None:
        self.heard = time.monotonic()
        try:
            self.pipe.send(job)
        except OSError:
            raise self._lost() from None

    def receive(self) -> list[Event]:
        events = []
        try:
            while self.pipe.poll():
                events.append(self.pipe.recv())
        except (EOFError, OSError):
            if not events:
                raise self._lost() from None
        return events

    def _lost(self) -> Lost:
        self.process.join(timeout=1.0)
        return Lost(f"its worker died (exit code {self.process.exitcode})")

    def ask_to_stop(self) -> None:
        with contextlib.suppress(OSError):
            self.pipe.send(None)

    def end(self) -> None:
        if self.job is None:
            self.ask_to_stop()
            self.process.join(timeout=5.0)
        self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class PoolEngine(Crew):
    """Runs jobs in local processes.

    Args:
        jobs: Processes; None for one run a core that this process may use.
        threads: torch and OpenMP threads of each.
        retries: How often a run is begun again after its worker died or hung; it goes on from its
            last checkpoint.
        hang_after: Seconds without a word from a run after which its worker is killed.
    """

    _context = multiprocessing.get_context("spawn")

    def _room(self) -> int:
        if self.jobs is None:
            from joblib import cpu_count  # minds affinity and the limits of containers

            self.jobs = max(1, cpu_count() // self.threads)
        return self.jobs

    def _hire(self) -> Worker:
        with self._threads():
            return _Process(self._context)

    @contextlib.contextmanager
    def _threads(self) -> Iterator[None]:
        """Let new processes find how many threads OpenMP may use, before they load it."""
        before = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = str(self.threads)
        try:
            yield
        finally:
            if before is None:
                del os.environ["OMP_NUM_THREADS"]
            else:
                os.environ["OMP_NUM_THREADS"] = before

    def _ready(self, busy: list[Worker], timeout: float) -> list[Worker]:
        by_pipe = {worker.pipe: worker for worker in busy if isinstance(worker, _Process)}
        return [by_pipe[pipe] for pipe in wait(list(by_pipe), timeout)]


def _serve(pipe: Connection) -> None:
    """Do jobs until told to end, or until nobody is there to tell."""
    # Ctrl-C reaches the whole process group. Who is at work writes a checkpoint (the run sees to
    # it); who waits is told by the main process, or finds the pipe closed.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    stopping = False

    def tell(event: Event) -> None:
        with contextlib.suppress(OSError):  # nobody listens: the next safe point notices
            pipe.send(event)

    def stop() -> bool:
        nonlocal stopping
        if os.getppid() != parent or stopping:
            return True
        try:
            stopping = pipe.poll() and pipe.recv() is None
        except (EOFError, OSError):
            stopping = True
        return stopping

    # A second Ctrl-C quits; the main process says so, and this one adds no traceback.
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while not stopping and (job := pipe.recv()) is not None:
            tell(perform(job, tell, stop))
