"""What pool and cluster have in common: workers that each do one run after the other.

A run is not a function call: it reports while it goes on, a worker that dies or hangs costs one
run's progress since its last checkpoint and nothing else, and Ctrl-C lets every run write one.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence

from currgym.studies.engines import Event, Job, Listener

__all__ = ["Crew", "Lost", "Worker"]

PATIENCE = 120.0
"""Seconds that interrupted workers have for their checkpoints."""

WAIT = 0.5
"""Seconds between looks at workers that say nothing."""


class Lost(Exception):
    """A worker is gone; the text says how."""


class Worker(ABC):
    """Somebody elsewhere who does one job at a time.

    Attributes:
        job: At present, or None.
        heard: When it last said something (monotonic clock); None before it is up.
    """

    job: Job | None = None
    heard: float | None = None

    @abstractmethod
    def give(self, job: Job) -> Event | None:
        """Hand over a job; an event is returned where it ended before it was begun.

        Raises:
            Lost: If nobody is there.
        """

    @abstractmethod
    def receive(self) -> list[Event]:
        """Return what it has said.

        Raises:
            Lost: If it is gone.
        """

    @abstractmethod
    def ask_to_stop(self) -> None:
        """Let the running job write a checkpoint and end."""

    @abstractmethod
    def end(self) -> None:
        """End it: gently if it has nothing to do."""

    @abstractmethod
    def kill(self) -> None:
        """End it now."""


class Crew(ABC):
    """An engine of workers, which are kept from run to run.

    Args:
        jobs: Runs at once; None for as many as there is room for.
        threads: torch and OpenMP threads of each.
        retries: How often a run is begun again after its worker died or hung; it goes on from its
            last checkpoint.
        hang_after: Seconds without a word from a run after which its worker is killed.
    """

    def __init__(
        self,
        jobs: int | None = None,
        threads: int = 1,
        retries: int = 2,
        hang_after: float = 900.0,
    ) -> None:
        self.jobs, self.threads = jobs, threads
        self.retries, self.hang_after = retries, hang_after
        self._workers: list[Worker] = []
        self._lost: dict[str, int] = {}

    @abstractmethod
    def _room(self) -> int:
        """Return how many workers there may be now."""

    @abstractmethod
    def _hire(self) -> Worker:
        """Return a new worker, who need not be up yet."""

    @abstractmethod
    def _ready(self, busy: list[Worker], timeout: float) -> list[Worker]:
        """Wait until some of these have something to say, or are gone; return them."""

    def run(self, jobs: Sequence[Job], listen: Listener) -> None:
        """Do all jobs.

        Raises:
            KeyboardInterrupt: After Ctrl-C, once every running job has written its checkpoint.
        """
        waiting = deque(jobs)
        self._lost = {}
        try:
            while waiting or self._busy:
                self._hand_out(waiting, listen)
                self._hear(waiting, listen)
        except KeyboardInterrupt:
            self._interrupt(listen)
            raise

    @property
    def _busy(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.job is not None]

    def _hand_out(self, waiting: deque[Job], listen: Listener) -> None:
        idle = [worker for worker in self._workers if worker.job is None]
        # Whoever there is no room for yet must not keep a job from one who is free.
        for worker in self._busy:
            if worker.heard is None and len(waiting) < len(idle):
                assert worker.job is not None
                waiting.append(worker.job)
                self._dismiss(worker)
        for worker in idle:
            self._start(worker, waiting, listen)
        while waiting and len(self._workers) < max(1, self._room()):
            self._workers.append(self._hire())
            self._start(self._workers[-1], waiting, listen)

    def _start(self, worker: Worker, waiting: deque[Job], listen: Listener) -> None:
        while waiting and worker.job is None:
            job = waiting.popleft()
            worker.job = job
            try:
                ended = worker.give(job)
            except Lost as how:
                self._give_up(worker, str(how), waiting, listen)
                return
            if ended is not None:
                worker.job = None
                listen(ended)

    def _hear(self, waiting: deque[Job], listen: Listener) -> None:
        for worker in self._ready(self._busy, WAIT):
            try:
                events = worker.receive()
            except Lost as how:
                self._give_up(worker, str(how), waiting, listen)
                continue
            self._tell(worker, events, waiting, listen)
        now = time.monotonic()
        for worker in self._busy:
            if worker.heard is not None and now - worker.heard > self.hang_after:
                why = f"its worker said nothing for {self.hang_after:.0f} s and was killed"
                self._give_up(worker, why, waiting, listen)

    def _tell(
        self, worker: Worker, events: list[Event], waiting: deque[Job], listen: Listener
    ) -> None:
        if events:
            worker.heard = time.monotonic()
        if any(event.kind not in ("begun", "progress") for event in events):
            worker.job = None
            # At once: what the listener does with the last run need not keep it waiting.
            self._start(worker, waiting, listen)
        for event in events:
            listen(event)

    def _give_up(self, worker: Worker, why: str, waiting: deque[Job], listen: Listener) -> None:
        """Do without a worker; its job is begun again, but not forever."""
        job = worker.job
        assert job is not None
        self._dismiss(worker)
        self._lost[job.key] = times = self._lost.get(job.key, 0) + 1
        if times > self.retries:
            listen(Event(job.key, "failed", error=f"{why} ({times} times in all)"))
        else:
            listen(Event(job.key, "retried", error=why))
            waiting.append(job)

    def _dismiss(self, worker: Worker) -> None:
        self._workers.remove(worker)
        worker.job = None
        worker.kill()

    def _interrupt(self, listen: Listener) -> None:
        """Ask every worker for a checkpoint and wait for them; a second Ctrl-C goes through."""
        for worker in self._busy:
            worker.ask_to_stop()
        limit = time.monotonic() + PATIENCE
        while (busy := self._busy) and time.monotonic() < limit:
            for worker in busy:
                if worker.heard is None:  # it has not begun
                    self._leave(worker, listen)
            for worker in self._ready(self._busy, WAIT):
                try:
                    self._tell(worker, worker.receive(), deque(), listen)
                except Lost:
                    self._leave(worker, listen)
        for worker in self._busy:
            self._leave(worker, listen)

    def _leave(self, worker: Worker, listen: Listener) -> None:
        """Do without a worker; its job rests where its last checkpoint is."""
        job = worker.job
        assert job is not None
        self._dismiss(worker)
        listen(Event(job.key, "interrupted"))

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.end()
        self._workers.clear()
