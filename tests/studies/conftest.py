"""Small studies of the toy cube, and what a store holds apart from times."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from currgym.runs import RunConfig
from currgym.studies import Arm, Study
from currgym.studies.engines import Engine, Event, Job, Listener

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.append(HERE)  # workers of a pool import from the same places

Make = Callable[..., Study]

SMALL = """\
environments = ["toy/cube"]
teachers = ["random", "alp-gmm"]
seeds = 2
steps = 160
"""


def make_study(folder: Path, arms: Sequence[Arm], seeds: Sequence[int], **changes: Any) -> Study:
    settings: dict[str, Any] = {
        "steps": 480, "evaluate_every": 160, "modules": ["traps"], "env_parameters": {"cubes": 3},
        **changes,
    }  # fmt: skip
    study = Study.of(folder, RunConfig("toy/cube", "random", "cube", **settings), arms, seeds)
    study.create()
    return study


def contents(study: Study) -> dict[str, Any]:
    """All that a store knows of a study's runs, times and tries apart."""
    found: dict[str, Any] = {}
    rows = study.store.runs()
    curves = study.store.curves(rows)
    for key, row in rows.items():
        said = asdict(row)
        for name in ("seconds", "tries"):
            del said[name]
        said["folder"] = row.folder.relative_to(study.folder)
        logs = ("episodes.csv", "evaluations.csv", "probes.csv", "calls.csv", "snapshots.jsonl")
        found[key] = said, curves[key], {name: (row.folder / name).read_bytes() for name in logs}
    return found


class Spy:
    """An engine that remembers what another one says."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.events: list[Event] = []

    def run(self, jobs: Sequence[Job], listen: Listener) -> None:
        def heard(event: Event) -> None:
            self.events.append(event)
            listen(event)

        self.engine.run(jobs, heard)

    def close(self) -> None:
        self.engine.close()

    def kinds(self, *wanted: str) -> list[str]:
        return [event.kind for event in self.events if event.kind in wanted]


def children(pid: int) -> list[int]:
    """Processes whose parent this is."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


def alive(pids: Sequence[int]) -> list[int]:
    """Those of these processes that have not ended (zombies have)."""
    found = []
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            found.append(pid)
    return found


def until(condition: Callable[[], Any], seconds: float = 120.0) -> None:
    """Wait for something to become true."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def helpers() -> Any:
    return sys.modules[__name__]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a study file."""

    def write(text: str = SMALL, name: str = "small.toml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write
