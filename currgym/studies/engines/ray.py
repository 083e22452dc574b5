"""Runs on a Ray cluster, one a worker; their folders travel back to the one store as bytes.

Workers share no file system with the store. A run is made in a temporary folder of its node, and
whatever changes there is streamed back after each checkpoint, so that a run whose node dies goes on
elsewhere from the last checkpoint that has arrived.
"""

from __future__ import annotations

import contextlib
import queue
import shutil
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from currgym.remote.connection import connect, disconnect, end, ray
from currgym.runs.config import RunConfig
from currgym.studies.engines import Event, Job
from currgym.studies.engines.crew import Crew, Lost, Worker
from currgym.studies.engines.mirror import Mirror, Parcel, pack, unpack

__all__ = ["RayEngine"]

ATTENTION = 0.5
"""Seconds for which a worker waits for something to say before it says that there is nothing."""


def take_place(parent: Path) -> tuple[Path, FileLock]:
    """Make a folder for a run, and remove those of workers that were killed.

    Returns:
        The folder, and its owner's lock, which the system frees when the process ends.
    """
    for left in parent.glob("currgym-run-*"):
        with contextlib.suppress(OSError, Timeout), FileLock(left / ".owner", blocking=False):
            shutil.rmtree(left)
    begun = Path(tempfile.mkdtemp(prefix="currgym-new-", dir=parent))
    owner = FileLock(begun / ".owner")
    owner.acquire()
    # Under this name it is somebody's from the beginning.
    return begun.rename(parent / begun.name.replace("-new-", "-run-", 1)), owner


class _Actor:
    """Does one job at a time; what it has to say is fetched by :meth:`hear`."""

    def __init__(self) -> None:
        self._said: queue.SimpleQueue[Event | Parcel] = queue.SimpleQueue()
        self._stop = threading.Event()

    def begin(self, job: Job, there: Parcel, inputs: list[bytes]) -> None:
        """Begin a job.

        Args:
            job: As the store knows it.
            there: What its folder holds already.
            inputs: Content of the files that it is made from; none if it was begun.
        """
        self._stop.clear()
        threading.Thread(target=self._work, args=(job, there, inputs), daemon=True).start()

    def hear(self, stop: bool) -> list[Event | Parcel]:
        """Return what there is to say, waiting for it a moment.

        Args:
            stop: Have a checkpoint written and the job ended.
        """
        if stop:
            self._stop.set()
        said: list[Event | Parcel] = []
        with contextlib.suppress(queue.Empty):
            said.append(self._said.get(timeout=ATTENTION))
            while True:
                said.append(self._said.get_nowait())
        return said

    def _work(self, job: Job, there: Parcel, inputs: list[bytes]) -> None:
        from currgym.studies.engines.work import perform

        place, owner = take_place(Path(tempfile.gettempdir()))
        try:
            folder = place / "run"
            unpack(there, folder)
            mirror = Mirror(folder, there)
            last = perform(
                replace(job, config=self._with_inputs(job, inputs, place), folder=folder),
                self._said.put,
                self._stop.is_set,
                lambda: self._said.put(mirror.changes()),
            )
            if folder.exists():
                self._said.put(mirror.changes())
        except Exception as error:  # a full disk, say: the study must hear of it
            last = Event(job.key, "failed", error=f"{type(error).__name__}: {error}")
        finally:
            shutil.rmtree(place, ignore_errors=True)
            owner.release()
        if last.error is not None:
            last = replace(last, error=last.error.replace(str(place / "run"), str(job.folder)))
        self._said.put(last)

    @staticmethod
    def _with_inputs(job: Job, inputs: list[bytes], place: Path) -> RunConfig:
        """Write the files that the run is made from, and return the configuration that names them.

        The run copies them into its folder, so that nothing of this machine is in its own.
        """
        names: dict[str, str] = {}
        for k, (path, content) in enumerate(zip(job.inputs, inputs, strict=False)):
            local = place / f"input-{k}" / path.name
            local.parent.mkdir()
            local.write_bytes(content)
            names[str(path)] = str(local)
        parameters = {
            name: names.get(str(Path(value)), value) if isinstance(value, str) else value
            for name, value in job.config.teacher_parameters.items()
        }
        return replace(job.config, teacher_parameters=parameters)


class _Remote(Worker):
    """One actor, and the lock on the folder of what it does at present."""

    def __init__(self, threads: int) -> None:
        # One CPU a thread: Ray finds the place, and tells OpenMP how many it may use.
        self.actor = ray.remote(num_cpus=threads, max_restarts=0)(_Actor).remote()
        self._lock: FileLock | None = None
        self._stopping = False
        self.said: Any = None

    def give(self, job: Job) -> Event | None:
        job.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(job.folder / ".lock", blocking=False)
        try:
            lock.acquire()
        except Timeout:
            why = f"another process is at work on {job.folder}"
            return Event(job.key, "busy", error=why)
        self._lock = lock
        if (job.folder / "summary.json").exists():
            self._release()
            return Event(job.key, "done", job.config.steps)
        begun = (job.folder / "config.json").exists()  # then it has copies of all that it reads
        inputs = [] if begun else [path.read_bytes() for path in job.inputs]
        self._stopping = False
        try:
            self.actor.begin.remote(job, pack(job.folder), inputs)
            self._listen()
        except ray.exceptions.RayError as error:
            raise _lost(error) from None
        return None

    def _listen(self) -> None:
        self.said = self.actor.hear.remote(self._stopping)

    def receive(self) -> list[Event]:
        assert self.job is not None
        try:
            said = ray.get(self.said)
            self.heard = self.heard or time.monotonic()
            events = []
            for part in said:
                if isinstance(part, Parcel):
                    unpack(part, self.job.folder)
                else:
                    events.append(part)
            if events and events[-1].kind not in ("begun", "progress"):
                self._release()
            else:
                self._listen()
        except ray.exceptions.RayError as error:
            raise _lost(error) from None
        return events

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def ask_to_stop(self) -> None:
        self._stopping = True

    def end(self) -> None:
        self.kill()

    def kill(self) -> None:
        self._release()
        end(self.actor)


def _lost(error: Exception) -> Lost:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return Lost(f"its worker is gone ({type(error).__name__}: {lines[0] if lines else '?'})")


class RayEngine(Crew):
    """Runs jobs on a Ray cluster.

    Args:
        jobs: Runs at once, as far as the cluster has room; None for as many as it has room for.
        threads: torch and OpenMP threads of each run; a run takes as many of the cluster's CPUs.
        address: Of the cluster; by default that of ``RAY_ADDRESS``, else of one that runs on this
            machine, else one is started here and ended with the engine.
        retries: How often a run is begun again after its worker or node died or hung; it goes on
            from the last checkpoint that has arrived here.
        hang_after: Seconds without a word from a run after which its worker is killed.

    Raises:
        ImportError: If Ray is not installed.
        ConnectionError: If nothing answers at the address.
        ValueError: If no machine of the cluster has that many CPUs.
    """

    def __init__(
        self,
        jobs: int | None = None,
        threads: int = 1,
        address: str | None = None,
        retries: int = 2,
        hang_after: float = 900.0,
    ) -> None:
        super().__init__(jobs, threads, retries, hang_after)
        self._ours = connect(address, None if jobs is None else jobs * threads)
        largest = max(node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"])
        if largest < threads:
            self.close()
            raise ValueError(
                f"each run takes {threads} threads, and the cluster's largest machine offers "
                f"{largest:.0f} CPUs"
            )

    def _room(self) -> int:
        there = int(ray.cluster_resources().get("CPU", 0.0)) // self.threads
        return there if self.jobs is None else min(self.jobs, there)

    def _hire(self) -> Worker:
        return _Remote(self.threads)

    def _ready(self, busy: list[Worker], timeout: float) -> list[Worker]:
        by_said = {worker.said: worker for worker in busy if isinstance(worker, _Remote)}
        if not by_said:
            time.sleep(timeout)
            return []
        ready, _ = ray.wait(list(by_said), num_returns=1, timeout=timeout)
        if ready:  # and whoever else has spoken
            ready, _ = ray.wait(list(by_said), num_returns=len(by_said), timeout=0)
        return [by_said[said] for said in ready]

    def close(self) -> None:
        """End all workers, and Ray if it was started here."""
        super().close()
        if self._ours:
            self._ours = False
            disconnect()
