"""Engines: where the runs of a study are executed.

An engine takes jobs and says what became of them; it knows nothing of studies, and a job knows
nothing of engines, so the same study runs in this process, in a pool, or on a Ray cluster.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from currgym.registry import Registry
from currgym.runs.config import RunConfig

__all__ = ["Engine", "Event", "Job", "Listener", "engines", "make_engine"]


@dataclass(frozen=True)
class Job:
    """One run to be done, or to be gone on with.

    Attributes:
        key: By which events name it.
        config: What to run.
        folder: Where; a run that was begun there is resumed.
        inputs: Files elsewhere that the configuration names, and the run reads.
        code: Fingerprint of the source that the run is to be made by; None takes what is there.
    """

    key: str
    config: RunConfig
    folder: Path
    inputs: tuple[Path, ...] = ()
    code: str | None = None


@dataclass(frozen=True)
class Event:
    """What an engine says about a job.

    Attributes:
        key: Of the job.
        kind: ``"begun"``, ``"progress"``, ``"done"``, ``"retried"`` (a worker died, or hung, and it
            is begun again), ``"failed"``, ``"interrupted"`` (a checkpoint is written) or ``"busy"``
            (somebody else is at it).
        steps: Steps done so far.
        solved: Share of the test set solved at the last evaluation.
        error: What went wrong, in one line.
    """

    key: str
    kind: str
    steps: int = 0
    solved: float | None = None
    error: str | None = None


Listener = Callable[[Event], None]


class Engine(Protocol):
    """Executes jobs."""

    def run(self, jobs: Sequence[Job], listen: Listener) -> None:
        """Do all jobs; every one ends with done, failed, interrupted or busy.

        Raises:
            KeyboardInterrupt: After Ctrl-C, once every running job has written its checkpoint.
        """

    def close(self) -> None:
        """End all workers."""


def _load_engines() -> None:
    for name in ("inline", "pool", "ray"):
        engines.add(name, f"currgym.studies.engines.{name}:{name.capitalize()}Engine")


engines: Registry[str] = Registry("engine", _load_engines)
"""Every engine's class by name, as ``"module:class"``."""


def make_engine(
    name: str, jobs: int | None = None, threads: int = 1, address: str | None = None
) -> Engine:
    """Build an engine.

    Args:
        name: ``"inline"``, ``"pool"`` or ``"ray"``.
        jobs: Runs at once; None takes as many as the cores (of the cluster) have room for.
        threads: torch and OpenMP threads of each run.
        address: Of a Ray cluster; None looks for one and else starts one here.

    Raises:
        ValueError: For an unknown name, or an address for an engine that has none.
        ImportError: If the engine's extra is not installed.
    """
    module, _, cls = engines[name].partition(":")
    options: dict[str, Any] = {"jobs": jobs, "threads": threads}
    if address is not None:
        if name != "ray":
            raise ValueError(f"an address is for the engine 'ray', not for {name!r}")
        options["address"] = address
    engine: Engine = getattr(importlib.import_module(module), cls)(**options)
    return engine
