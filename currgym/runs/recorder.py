"""Writes what passes between curriculum and teacher, so that a log rebuilds the teacher."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.curriculum import Tickets
from currgym.outcomes import Outcomes
from currgym.runs.cells import CellCounter
from currgym.runs.logs import Logs
from currgym.tasks import TaskSpace

__all__ = ["BASE_COLUMNS", "CallRecorder", "RunRecorder", "episode_header", "extra_columns"]

BASE_COLUMNS = (
    "episode", "id", "env", "step", "seed", "return", "length", "success", "terminated",
    "truncated",
)  # fmt: skip
_PLAIN_EXTRAS = ("discounted", "initial_values", "trials")
_ALWAYS = frozenset(
    {"probe", "successes", "lengths", "terminated", "truncated", "returns", "seeds", "ids"}
)


def extra_columns(needs: frozenset[str]) -> frozenset[str]:
    """Return which of a teacher's needs are columns or scores beyond the fixed ones."""
    return needs - _ALWAYS


def episode_header(space: TaskSpace, extras: tuple[str, ...]) -> str:
    """Return the header of ``episodes.csv``: fixed columns, the task, what the teacher needs."""
    names = [f"task.{name}" for name in space.names]
    more = [name if name in _PLAIN_EXTRAS else f"score.{name}" for name in extras]
    return ",".join([*BASE_COLUMNS, *names, *more])


class CallRecorder:
    """Listens to one curriculum, and writes a row for each call and each attempt.

    Args:
        logs: Where rows go: ``episodes.csv``, ``probes.csv``, ``calls.csv``.
        extras: Columns and scores beyond the fixed ones that the teacher works on.
    """

    def __init__(self, logs: Logs, extras: tuple[str, ...] = ()) -> None:
        self.logs = logs
        self.extras = extras
        self.episodes = 0
        self.probes = 0

    def issued(self, tickets: Tickets, probe: bool) -> None:
        """Note one call of ``propose`` or ``requests``."""
        self.logs.write("calls.csv", f"{'requests' if probe else 'propose'},{len(tickets.ids)}")

    def settled(self, outcomes: Outcomes, envs: NDArray[np.int64], step: int) -> None:
        """Note one call of ``update`` and its outcomes."""
        probe = _is_probe(outcomes)
        name = "probes.csv" if probe else "episodes.csv"
        self.logs.write("calls.csv", f"{'probed' if probe else 'update'},{len(outcomes)}")
        for row in _rows(outcomes, envs, step, self.extras):
            number = self.probes if probe else self.episodes
            self.logs.write(name, f"{number},{row}")
            if probe:
                self.probes += 1
            else:
                self.episodes += 1


class RunRecorder(CallRecorder):
    """Counts besides where a run's steps went.

    Args:
        logs: See :class:`CallRecorder`.
        cells: Counts attempts by period and task cell.
        extras: See :class:`CallRecorder`.
    """

    def __init__(self, logs: Logs, cells: CellCounter, extras: tuple[str, ...] = ()) -> None:
        super().__init__(logs, extras)
        self.cells = cells

    def settled(self, outcomes: Outcomes, envs: NDArray[np.int64], step: int) -> None:
        """Note one call of ``update`` and its outcomes."""
        super().settled(outcomes, envs, step)
        if not _is_probe(outcomes):
            self.cells.add(
                step, outcomes.tasks, outcomes.lengths, _returns(outcomes), outcomes.successes
            )

    def end(self) -> None:
        """Write the counts of the last period: the run is over."""
        self.cells.fold()
        self.cells.end()

    def state_dict(self) -> dict[str, Any]:
        """Return the counters."""
        return {
            "episodes": self.episodes, "probes": self.probes, "cells": self.cells.state_dict(),
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on counting from a saved state."""
        self.episodes, self.probes = int(state["episodes"]), int(state["probes"])
        self.cells.load_state_dict(state["cells"])


def _is_probe(outcomes: Outcomes) -> bool:
    return outcomes.probe is not None and bool(outcomes.probe.all())


def _returns(outcomes: Outcomes) -> NDArray[np.float64]:
    """Return the returns, or minus the losses where there are none."""
    return outcomes.returns if outcomes.returns is not None else -outcomes.scores["loss"]


def _rows(
    outcomes: Outcomes, envs: NDArray[np.int64], step: int, extras: tuple[str, ...]
) -> list[str]:
    """Return the text of each outcome from ``id`` on; floats read back the same."""
    n = len(outcomes)
    empty = [""] * n
    returns = _returns(outcomes)

    def texts(column: NDArray[Any] | None) -> list[str]:
        if column is None:
            return empty
        if column.dtype == np.bool_:
            column = column.astype(np.int64)
        return [repr(value) for value in column.tolist()]

    tasks = outcomes.tasks
    if tasks.ndim == 1:
        named = texts(tasks)
    else:
        named = [",".join(map(repr, row)) for row in tasks.reshape(n, -1).tolist()]
    columns = [
        texts(outcomes.ids), texts(envs), [str(step)] * n, texts(outcomes.seeds), texts(returns),
        texts(outcomes.lengths), texts(outcomes.successes), texts(outcomes.terminated),
        texts(outcomes.truncated), named,
    ]  # fmt: skip
    for extra in extras:
        plain = extra in _PLAIN_EXTRAS
        columns.append(texts(getattr(outcomes, extra) if plain else outcomes.scores.get(extra)))
    return [",".join(fields) for fields in zip(*columns, strict=True)]
