"""A pool of local processes, each doing one run after the other.

Of our own, because a run is not a function call: it reports while it goes on, a worker that dies
or hangs costs one run and not the pool, and a pool whose main process is killed ends by itself.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from currgym.studies.engines import Event, Job, Listener
from currgym.studies.engines.work import perform

__all__ = ["PoolEngine"]

PATIENCE = 120.0
"""Seconds that interrupted workers have for their checkpoints."""


class _Worker:
    """One process, the pipe to it, and what it does at present."""

    def __init__(self, context: Any) -> None:
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.job: Job | None = None
        self.heard = time.monotonic()

    def give(self, job: Job) -> None:
        self.job, self.heard = job, time.monotonic()
        self.pipe.send(job)

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class PoolEngine:
    """Runs jobs in local processes, which are reused.

    Args:
        jobs: Processes.
        threads: torch and OpenMP threads of each.
        retries: How often a run is begun again after its worker died or hung; it goes on from its
            last checkpoint.
        hang_after: Seconds without a word from a run after which its worker is killed.
    """

    def __init__(
        self, jobs: int = 1, threads: int = 1, retries: int = 2, hang_after: float = 900.0
    ) -> None:
        self.jobs, self.threads = jobs, threads
        self.retries, self.hang_after = retries, hang_after
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []

    def run(self, jobs: Sequence[Job], listen: Listener) -> None:
        """Do all jobs.

        Raises:
            KeyboardInterrupt: After Ctrl-C, once every running job has written its checkpoint.
        """
        waiting = deque(jobs)
        tries: dict[str, int] = {}
        try:
            while waiting or any(worker.job for worker in self._workers):
                self._hand_out(waiting, listen)
                self._hear(waiting, tries, listen)
        except KeyboardInterrupt:
            self._interrupt(listen)
            raise

    def _hand_out(self, waiting: deque[Job], listen: Listener) -> None:
        for worker in self._workers:
            if worker.job is None and waiting:
                self._start(worker, waiting.popleft(), listen)
        while waiting and len(self._workers) < self.jobs:
            with self._threads():
                self._workers.append(_Worker(self._context))
            self._start(self._workers[-1], waiting.popleft(), listen)

    @staticmethod
    def _start(worker: _Worker, job: Job, listen: Listener) -> None:
        worker.give(job)
        listen(Event(job.key, "begun"))

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

    def _hear(self, waiting: deque[Job], tries: dict[str, int], listen: Listener) -> None:
        busy = {worker.pipe: worker for worker in self._workers if worker.job is not None}
        for pipe in wait(list(busy), timeout=0.5):
            worker = busy[pipe]
            try:
                event: Event = worker.pipe.recv()
            except (EOFError, OSError):
                code = worker.process.exitcode
                self._lost(worker, f"its worker died (exit code {code})", waiting, tries, listen)
                continue
            worker.heard = time.monotonic()
            if event.kind != "progress":
                worker.job = None
            listen(event)
        now = time.monotonic()
        for worker in list(busy.values()):
            if worker.job is not None and now - worker.heard > self.hang_after:
                why = f"its worker said nothing for {self.hang_after:.0f} s and was killed"
                self._lost(worker, why, waiting, tries, listen)

    def _lost(
        self,
        worker: _Worker,
        why: str,
        waiting: deque[Job],
        tries: dict[str, int],
        listen: Listener,
    ) -> None:
        job = worker.job
        assert job is not None
        worker.kill()
        self._workers.remove(worker)
        tries[job.key] = tries.get(job.key, 0) + 1
        if tries[job.key] > self.retries:
            listen(Event(job.key, "failed", error=f"{why}, {tries[job.key]} times"))
        else:
            listen(Event(job.key, "retried", error=why))
            waiting.append(job)

    def _interrupt(self, listen: Listener) -> None:
        """Ask every worker for a checkpoint and wait for them; a second Ctrl-C goes through."""
        for worker in self._workers:
            if worker.job is not None:
                with contextlib.suppress(OSError):
                    worker.pipe.send(None)
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            busy = {worker.pipe: worker for worker in self._workers if worker.job is not None}
            if not busy:
                return
            for pipe in wait(list(busy), timeout=0.5):
                worker = busy[pipe]
                try:
                    event: Event = worker.pipe.recv()
                except (EOFError, OSError):
                    worker.job = None
                    continue
                if event.kind != "progress":
                    worker.job = None
                    listen(event)

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            if worker.job is None:
                with contextlib.suppress(OSError):
                    worker.pipe.send(None)
        for worker in self._workers:
            if worker.job is None:
                worker.process.join(timeout=5.0)
            worker.kill()
        self._workers.clear()


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

    while not stopping:
        try:
            job: Job | None = pipe.recv()
        except (EOFError, OSError):
            return
        if job is None:
            return
        tell(perform(job, tell, stop))
