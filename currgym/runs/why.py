"""Why was this task proposed? A run's log, played back into a fresh teacher, answers."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from currgym.outcomes import Outcomes
from currgym.runs.config import RunConfig
from currgym.runs.logs import read_rows
from currgym.runs.run import Run
from currgym.tasks import TaskSpace
from currgym.teaching import Reason, Teacher

__all__ = ["Explanation", "explain", "rebuild_teacher"]


@dataclass(frozen=True)
class Explanation:
    """What the teacher knew when it proposed one task.

    Attributes:
        episode: Row of ``episodes.csv``.
        ticket: The proposal's id.
        task: By name.
        outcomes_seen: Outcomes the teacher had taken by then.
        reason: Why this very task: what it was drawn from, and what spoke for that.
        snapshot: The teacher's own account at that moment.
        row: The episode as logged.
    """

    episode: int
    ticket: int
    task: dict[str, Any]
    outcomes_seen: int
    reason: Reason
    snapshot: dict[str, Any]
    row: dict[str, str]


def rebuild_teacher(
    folder: str | Path, before_ticket: int | None = None, trust: bool = False
) -> Teacher:
    """Return the teacher as the log makes it.

    Args:
        folder: A run folder.
        before_ticket: Stop before the call that proposed this ticket; None plays the whole log.
        trust: Allow importing the modules that the configuration names.

    Raises:
        ValueError: If the log ends before that ticket, as it does while a run goes on or after it
            was killed: its files reach the disk one by one.
    """
    return _played_back(folder, before_ticket, trust)[0]


def _played_back(
    folder: str | Path, before_ticket: int | None, trust: bool
) -> tuple[Teacher, int, int]:
    """Return the teacher, and of the call that it stands before the first ticket and the number."""
    run = Run.open(folder, trust)
    teacher = _fresh_teacher(run)
    episodes = _rows(run.folder / "episodes.csv")
    probes = _rows(run.folder / "probes.csv")
    issued = 0
    with (run.folder / "calls.csv").open(encoding="utf-8", newline="") as file:
        for call in csv.DictReader(line for line in file if line.endswith("\n")):
            count = int(call["count"])
            if call["call"] == "propose":
                if before_ticket is not None and before_ticket < issued + count:
                    return teacher, issued, count
                teacher.propose(count)
                issued += count
            elif call["call"] == "requests":
                if before_ticket is not None and before_ticket < issued + count:
                    return teacher, issued, count
                teacher.requests()
                issued += count
            else:
                log = probes if call["call"] == "probed" else episodes
                rows = list(itertools.islice(log, count))
                if len(rows) < count:
                    break
                teacher.update(_outcomes(rows, teacher.space, call["call"] == "probed"))
    if before_ticket is not None:
        raise ValueError(
            f"the log of {folder} ends before ticket {before_ticket} was proposed, as it does "
            "while a run goes on or after it was killed: resume it, or ask about an earlier one"
        )
    return teacher, issued, 0


def explain(folder: str | Path, episode: int, trust: bool = False) -> Explanation:
    """Return why the task of an episode was proposed.

    Args:
        folder: A run folder.
        episode: As numbered in ``episodes.csv``.
        trust: Allow importing the modules that the configuration names.

    Raises:
        ValueError: If the run has no such episode, or the teacher, played back, proposes another
            task: then other code made the run.
    """
    path = Path(folder) / "episodes.csv"
    RunConfig.read(Path(folder))
    last = -1
    for row in read_rows(path) if path.exists() else ():
        last = int(row["episode"])
        if last == episode:
            break
    else:
        raise ValueError(f"{folder} has {last + 1} finished episodes, so none numbered {episode}")
    ticket = int(row["id"])
    teacher, first, count = _played_back(folder, ticket, trust)
    seen, snapshot = teacher.seen, teacher.snapshot()
    proposed = teacher.propose(count).tasks[ticket - first]
    space = teacher.space
    logged = space.from_rows([[float(row[f"task.{name}"]) for name in space.names]])[0]
    if not np.array_equal(proposed, logged):
        raise ValueError(
            f"played back, the teacher of {folder} proposes {proposed} for episode {episode}, and "
            f"the log has {logged}: it was made by another version"
        )
    task = {
        name.removeprefix("task."): value for name, value in row.items() if name.startswith("task.")
    }
    reason = teacher.why(ticket - first)
    return Explanation(episode, ticket, task, seen, reason, snapshot, row)


def _fresh_teacher(run: Run) -> Teacher:
    from currgym.runs.session import open_teacher

    return open_teacher(run.config)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    return iter(read_rows(path)) if path.exists() else iter(())


def _outcomes(rows: list[dict[str, str]], space: TaskSpace, probe: bool) -> Outcomes:
    """Return outcomes as the teacher was given them."""

    def column(name: str) -> list[float] | None:
        if name not in rows[0] or rows[0][name] == "":
            return None
        return [float(row[name]) for row in rows]

    tasks = space.from_rows([[float(row[f"task.{name}"]) for name in space.names] for row in rows])
    flags = {
        name: None if (values := column(name)) is None else np.array(values, dtype=np.bool_)
        for name in ("terminated", "truncated")
    }
    scores = {
        name.removeprefix("score."): values
        for name in rows[0]
        if name.startswith("score.") and (values := column(name)) is not None
    }
    return Outcomes(
        tasks,
        column("return"),
        ids=np.array([int(row["id"]) for row in rows]),
        seeds=np.array([int(row["seed"]) for row in rows]),
        lengths=np.array([int(row["length"]) for row in rows]),
        successes=column("success"),
        discounted=column("discounted"),
        initial_values=column("initial_values"),
        trials=None if (trials := column("trials")) is None else np.array(trials, dtype=np.int64),
        probe=probe or None,
        scores=scores,
        **flags,
    )
