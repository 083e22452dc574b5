"""Replays of another run's tasks: the controls that split a teacher's gain."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.tasks import BoxTasks, DiscreteTasks, TaskSpace
from currgym.teaching import Reason, State, Teacher, register

__all__ = ["Yoked", "YokedShuffled", "read_log"]


def read_log(path: str | os.PathLike[str], space: TaskSpace) -> NDArray[Any]:
    """Return the tasks of an ``episodes.csv`` in the order in which they were issued.

    Args:
        path: The file; columns ``id`` and ``task.<name>``. Rows whose column ``probe`` is true are
            left out. Dimensions without a column must be constant.
        space: What the tasks must belong to.

    Raises:
        ValueError: If a column is missing, or a task lies outside the space.
    """
    if not isinstance(space, (BoxTasks, DiscreteTasks)):
        raise ValueError(f"a log file holds box or discrete tasks, not those of {space!r}")
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if not _true(row.get("probe"))]
    if not rows:
        raise ValueError(f"{path} holds no episode")
    columns = {name: f"task.{name}" for name in space.names if f"task.{name}" in rows[0]}
    constant = space.low == space.high if isinstance(space, BoxTasks) else np.zeros(1, dtype=bool)
    missing = [n for n, c in zip(space.names, constant, strict=True) if n not in columns and not c]
    if missing or "id" not in rows[0]:
        raise ValueError(f"{path} has no column {'task.' + missing[0] if missing else 'id'!r}")
    rows.sort(key=lambda row: int(row["id"]))
    if isinstance(space, DiscreteTasks):
        return space.check(np.array([int(float(row["task.task"])) for row in rows]))
    tasks = np.repeat(space.low[None], len(rows), axis=0)
    for name, column in columns.items():
        index = space.names.index(name)
        kind = space.kinds[index]
        labels = {label: float(i) for i, label in enumerate(kind)} if type(kind) is tuple else {}
        for i, row in enumerate(rows):
            text = row[column]
            tasks[i, index] = labels[text] if text in labels else float(text)
    return space.check(tasks)


def _true(text: str | None) -> bool:
    return text is not None and text.strip().lower() in ("1", "true")


@register("yoked")
class Yoked(Teacher):
    """Replay the exact tasks of another run, in their order: its curriculum without adaptivity.

    Source: the yoked controls of conditioning experiments. A teacher's gain is a better marginal
    distribution, plus its order, plus adaptivity; this one lacks only the last.

    Differences: the log goes round when it is exhausted, and that is counted.

    >>> from currgym import BoxTasks, make_teacher
    >>> space = BoxTasks([0], [1])
    >>> make_teacher("yoked", space, seed=0, log=[[0.3], [0.1]]).sample(3).ravel().tolist()
    [0.3, 0.1, 0.3]

    Args:
        space: Any task space.
        seed: Of the private random generator (draws the log where none is given).
        return_range: Unused: this teacher does not look at outcomes.
        log: Tasks as the space writes them, or the path of a run's ``episodes.csv``. None draws
            ``horizon`` uniform tasks from the seed.
        horizon: Length of the log that is drawn, at least 1; default 10 passes over a discrete
            space, 10,000 otherwise.

    Raises:
        ValueError: If the log is empty, has a column missing or a task outside the space.
    """

    spaces = frozenset({"box", "discrete", "levels"})
    files = frozenset({"log"})
    required = frozenset({"log"})
    order: ClassVar[str] = "as logged"
    """In which a round goes through the log."""

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        log: ArrayLike | str | os.PathLike[str] | None = None,
        horizon: int | None = None,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        self.log = log
        self.horizon = self.default_horizon() if horizon is None else int(horizon)
        if self.horizon < 1:
            raise ValueError(f"horizon must be at least 1, got {self.horizon}")
        self._origin = self.rng.bit_generator.state
        """Of the generator before the log was drawn: rebuilds it from a few numbers."""
        self._tasks = self._read(log)
        self._tasks.setflags(write=False)
        self._at = 0
        self._rounds = 0

    def _read(self, log: ArrayLike | str | os.PathLike[str] | None) -> NDArray[Any]:
        if log is None:
            return self.space.sample(self.horizon, self.rng)
        if isinstance(log, (str, os.PathLike)):
            return read_log(log, self.space)
        tasks = self.space.check(log).copy()
        if len(tasks) == 0:
            raise ValueError("log must have at least one task, got none")
        return tasks

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        pieces: list[NDArray[Any]] = []
        self._origins = []
        while n > 0:
            if self._at == len(self._tasks):
                self._at = 0
                self._rounds += 1
            if self._at == 0:
                self._begin_round(rng)
            piece = self._rows(self._at, min(self._at + n, len(self._tasks)))
            places = self._entries(self._at, self._at + len(piece)).tolist()
            self._origins += [(place, self._rounds) for place in places]
            self._at += len(piece)
            n -= len(piece)
            pieces.append(piece)
        return np.concatenate(pieces)

    def _to_tasks(self, drawn: NDArray[Any]) -> NDArray[Any]:
        return drawn  # the space's own, to the bit

    def _begin_round(self, rng: np.random.Generator) -> None:
        """Begin the log anew."""

    def _entries(self, begin: int, end: int) -> NDArray[np.int64]:
        """Return which entries of the log come at these places of a round."""
        return np.arange(begin, end)

    def _rows(self, begin: int, end: int) -> NDArray[Any]:
        return self._tasks[begin:end]

    def _state(self) -> State:
        state: State = {"at": self._at, "rounds": self._rounds}
        if self.log is None:
            state["origin"] = self._origin
        return state

    def _load(self, state: Mapping[str, Any]) -> None:
        self._at, self._rounds = int(state["at"]), int(state["rounds"])
        if self.log is None:
            generator = np.random.default_rng(0)
            generator.bit_generator.state = state["origin"]
            self._origin = state["origin"]
            self._tasks = self.space.sample(self.horizon, generator)
            self._tasks.setflags(write=False)

    def _why(self, row: int, task: Any) -> Reason:
        place, rounds = self._origins[row]
        return Reason(
            f"entry {place + 1:,} of a log of {len(self._tasks):,} tasks",
            f"proposal {self._number(row):,}, in round {rounds + 1:,} through the log",
        )

    def snapshot(self) -> dict[str, Any]:
        """Return the log's length, its order, the place in it, and how often it was exhausted."""
        return {
            "length": len(self._tasks), "order": self.order, "position": self._at,
            "exhausted": self._rounds,
        }  # fmt: skip


@register("yoked-shuffled")
class YokedShuffled(Yoked):
    """Replay another run's tasks in random order: its marginal distribution, and nothing else.

    Source: as ``yoked``; this form lacks the order too.

    Differences: each round through the log is a new permutation of all of it.

    >>> from currgym import BoxTasks, make_teacher
    >>> teacher = make_teacher("yoked-shuffled", BoxTasks([0], [1]), seed=0, log=[[0.3], [0.1]])
    >>> sorted(teacher.sample(2).ravel().tolist())
    [0.1, 0.3]

    Args:
        space: Any task space.
        seed: Of the private random generator (draws the permutations, and the log where none is
            given).
        return_range: Unused: this teacher does not look at outcomes.
        log: Tasks as the space writes them, or the path of a run's ``episodes.csv``. None draws
            ``horizon`` uniform tasks from the seed.
        horizon: Length of the log that is drawn, at least 1; default 10 passes over a discrete
            space, 10,000 otherwise.

    Raises:
        ValueError: If the log is empty, has a column missing or a task outside the space.
    """

    order = "shuffled"

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        log: ArrayLike | str | os.PathLike[str] | None = None,
        horizon: int | None = None,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range, log=log, horizon=horizon)
        self._order: NDArray[np.int64] = np.arange(len(self._tasks))
        self._order_seed = 0

    def _begin_round(self, rng: np.random.Generator) -> None:
        # The permutation comes from one number, so that the state is small however long the log.
        self._order_seed = int(rng.integers(2**62))
        self._shuffle()

    def _shuffle(self) -> None:
        self._order = np.random.default_rng(self._order_seed).permutation(len(self._tasks))

    def _entries(self, begin: int, end: int) -> NDArray[np.int64]:
        return self._order[begin:end]

    def _rows(self, begin: int, end: int) -> NDArray[Any]:
        return self._tasks[self._entries(begin, end)]

    def _state(self) -> State:
        return {**super()._state(), "order_seed": self._order_seed}

    def _load(self, state: Mapping[str, Any]) -> None:
        super()._load(state)
        self._order_seed = int(state["order_seed"])
        self._shuffle()
