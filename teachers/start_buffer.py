"""Start buffer: begin episodes in states that the student has reached by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.tasks import BoxTasks, TaskSpace
from currgym.teachers._arms import pick
from currgym.teachers._given import given_points
from currgym.teaching import Batch, Reason, State, Teacher, register

__all__ = ["StartBuffer"]

FloatArray = NDArray[np.float64]
Selection = Literal["uniform", "count"]

SNAPSHOT_BYTES = 60_000


@register("start-buffer", presets={"go-explore": {"selection": "count"}})
class StartBuffer(Teacher):
    """Begin a share of the episodes in states that earlier ones reached, kept in a buffer.

    The task is where an episode starts (a space some of whose dimensions are the start state).
    Every finished episode reports one state that it has visited; the latest of these are
    remembered. An episode begins in one of them with probability ``share``, and else at a start of
    the initial distribution. From states at the edge of what was reached the student gets further,
    and once the goal is found, states on the way to it are starts too.

    The environment must tell the states, as scores ``reached.<name>`` for each dimension in
    ``starts``: it lists them in its attribute ``scores`` and puts the numbers, in natural units,
    into ``info`` at every step; the last step's count. ``currgym/MountainCarContinuous-v0`` does.
    A number outside the space says that no start was reached.

    Source: uniform restart of Tavakoli, Levdik, Islam, Smith, Kormushev, "Exploring restart
    distributions", 2018, https://arxiv.org/abs/1811.11298. Preset ``go-explore`` prefers states
    that were reached rarely, by the weight of a cell in Ecoffet, Huizinga, Lehman, Stanley, Clune,
    "First return, then explore", Nature 590, 2021, https://arxiv.org/abs/2004.12919:
    ``1 / sqrt(C + 1)`` (as it is usually quoted, not checked), with ``C`` the times that the cell
    was reached.

    Differences: an episode contributes one state, not all of its states, since an outcome is one
    row. ``share`` and ``capacity`` are this library's: of the first paper only the abstract was
    read, and what others say of its variants. Those by temporal difference error and by return
    are left out: they score a state, and outcomes score episodes. ``C`` counts remembered states,
    not all that ever were; an archive's entry is each of them, not one a cell; and the student
    learns as usual, where Go-Explore acts at random.

    >>> from currgym import BoxTasks, Outcomes, make_teacher
    >>> space = BoxTasks([-1.0], [1.0], names=["x"])
    >>> teacher = make_teacher("start-buffer", space, seed=0, initial=[[0.0]], share=1.0)
    >>> teacher.sample(1)
    array([[0.]])
    >>> teacher.update(Outcomes([[0.0]], [0.0], scores={"reached.x": [0.25]}))
    >>> teacher.sample(1)
    array([[0.25]])

    Args:
        space: Box tasks, or examples with a declared difficulty.
        seed: Of the private random generator.
        return_range: Unused: how an episode went does not matter.
        starts: Names of the dimensions that are the start state; None is all that vary. The others
            keep the value of the episode in which the state was reached.
        initial: Tasks of the initial distribution, as the space writes them; None is uniform over
            the space.
        share: Probability to begin in a remembered state, in [0, 1].
        selection: ``"uniform"`` over the remembered states, or ``"count"``: over cells by
            ``1 / sqrt(C + 1)``, and uniformly within a cell.
        capacity: States remembered, at least 1; the oldest make way.
        cells: Cells a side of the unit cube, at least 1; with ``"count"``.
    """

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        starts: Sequence[str] | None = None,
        initial: ArrayLike | None = None,
        share: float = 0.5,
        selection: Selection = "uniform",
        capacity: int = 1_000,
        cells: int = 10,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"share must lie in [0, 1], got {share}")
        if selection not in get_args(Selection):
            raise ValueError(f"selection must be one of {get_args(Selection)}, got {selection!r}")
        for name, value in (("capacity", capacity), ("cells", cells)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.starts = starts
        self.initial = given_points(space, initial, "initial")
        self.share = share
        self.selection: Selection = selection
        self.capacity = capacity
        self.cells = cells
        self._columns = _columns(space, starts)
        self.buffer: FloatArray = np.empty((0, space.unit_dim))
        """Tasks that start in the remembered states, in the unit cube, the oldest first."""
        self.reached = 0
        """States reported so far that are starts of the space."""
        self.outside = 0
        """States reported so far that are none."""
        self._chances: FloatArray | None = None

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """``reached.<name>`` for each dimension of the start state."""
        return frozenset(self._columns)

    @property
    def privileges(self) -> frozenset[str]:  # type: ignore[override]
        """``initial`` where the initial distribution was given."""
        return frozenset() if self.initial is None else frozenset({"initial"})

    @property
    def chances(self) -> FloatArray:
        """How likely each remembered state is to be chosen, ``(remembered,)``."""
        if self._chances is None:
            self._chances = self._probability()
        return self._chances

    def _probability(self) -> FloatArray:
        if self.selection == "uniform":
            return np.full(len(self.buffer), 1.0 / max(len(self.buffer), 1))
        cell = np.minimum((self.buffer * self.cells).astype(np.int64), self.cells - 1)
        keys = [row.tobytes() for row in cell]
        times = Counter(keys)
        counts = np.array([times[key] for key in keys], dtype=np.float64)
        weights = 1.0 / (np.sqrt(counts + 1.0) * counts)
        return np.asarray(weights / weights.sum())

    def _sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        # One row a task, so that n tasks are the same as n times one.
        given, dim = self.initial, self.space.unit_dim
        u = rng.random((n, 2 + (dim if given is None else 1)))
        points = u[:, 2:] if given is None else given[(u[:, 2] * len(given)).astype(np.int64)]
        again = u[:, 0] < self.share
        self._origins = np.full(n, -1)
        if len(self.buffer) and again.any():
            points = points.copy()
            self._origins[again] = pick(self.chances, u[again, 1])
            points[again] = self.buffer[self._origins[again]]
        return np.asarray(points)

    def _update(self, batch: Batch) -> None:
        if not self._columns:
            return
        tasks = np.asarray(self.space.from_unit(batch.tasks), dtype=np.float64)
        rows = tasks.reshape(len(batch), -1).copy()
        for name, column in self._columns.items():
            rows[:, column] = batch.scores[name]
        found = self.space.from_rows(rows)
        same = np.asarray(found, dtype=np.float64).reshape(rows.shape) == rows  # whole numbers are
        inside = same.all(axis=1) & self.space.contains(found)
        points = self.space.to_unit(found[inside])
        self.reached += len(points)
        self.outside += len(rows) - len(points)
        if len(points):
            self.buffer = np.concatenate([self.buffer, points])[-self.capacity :]
            self._chances = None

    def _state(self) -> State:
        return {"buffer": self.buffer.copy(), "reached": self.reached, "outside": self.outside}

    def _load(self, state: Mapping[str, Any]) -> None:
        self.buffer = np.array(state["buffer"], dtype=np.float64)
        self.reached, self.outside = int(state["reached"]), int(state["outside"])
        self._chances = None

    def _why(self, row: int, task: Any) -> Reason:
        at, kept = int(self._origins[row]), len(self.buffer)
        if at < 0:
            share = 1.0 - self.share if kept else 1.0
            because = f"proposal {self._number(row):,}, with {kept:,} states remembered"
            return Reason("the initial distribution", because, share, explores=True)
        return Reason(
            f"state {at + 1:,} of {kept:,} remembered, the oldest first",
            f"chosen by {self.selection} selection",
            self.share * float(self.chances[at]),
            explores=False,
        )

    def snapshot(self) -> dict[str, Any]:
        """Return counts, and the latest remembered starts as tasks with their chances."""
        most = SNAPSHOT_BYTES // (8 * (len(self.space.names) + 1))
        return {
            "remembered": len(self.buffer),
            "reached": self.reached,
            "outside": self.outside,
            "tasks": self.space.from_unit(self.buffer[-most:]),
            "chances": self.chances[-most:],
        }


def _columns(space: TaskSpace, starts: Sequence[str] | None) -> dict[str, int]:
    """Return score -> column of a task, for each dimension of the start state that varies."""
    varies = [True] * len(space.names)
    if isinstance(space, BoxTasks):
        varies = (space.low < space.high).tolist()
    names = space.names if starts is None else starts
    unknown = [name for name in names if name not in space.names]
    if isinstance(names, str) or unknown:
        raise ValueError(f"starts must be names of {space.names}, got {starts!r}")
    found = {
        f"reached.{name}": space.names.index(name)
        for name in names
        if varies[space.names.index(name)]
    }
    if starts is not None and not found:
        raise ValueError(f"starts must name a dimension that varies in {space!r}, got {starts!r}")
    return found
