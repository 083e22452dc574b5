"""ADR: a box of tasks whose faces move out where the student does well, and in where it fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._given import given_points
from currgym.teachers._measure import Measure, check_measure, measured, needs_of
from currgym.teaching import Batch, Reason, State, Teacher, register

__all__ = ["ADR"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Boundary tasks that may be on their way at a time; of more the oldest are not waited for.
MOST_PENDING = 4096
# Tasks come back from the cube's faces to within a rounding.
DIGITS = 12


@register(
    "adr",
    presets={
        # The policy's values (table of ADR hyperparameters): 10 and 20 successes of at most 50.
        "openai": {
            "step": 0.02, "boundary_ratio": 0.5, "queue": 240, "shrink_at": 0.2, "grow_at": 0.4,
        },
        # Steps of 0.1 in a range of 3; returns 0 and 180 of -150 ... 350.
        "teachmyagent": {
            "step": 1 / 30, "boundary_ratio": 0.7, "queue": 10, "shrink_at": 0.3, "grow_at": 0.66,
        },
    },
)  # fmt: skip
class ADR(Teacher):
    """Sample a box, and move each of its faces by how the student does on that very face.

    Tasks are uniform in the box. A share of them is put on a face, chosen uniformly. Each face has
    a queue of how attempts on it went; when it is full and the mean is at least ``grow_at`` the
    face moves out by ``step``, at most ``shrink_at`` it moves in, and it is emptied in any case.

    Source: OpenAI, "Solving Rubik's cube with a robot hand", 2019,
    https://arxiv.org/abs/1910.07113, section on automatic domain randomization and its algorithm;
    thresholds 30 % and 70 % are those of its vision model, preset ``openai`` has those of its
    policy. Preset ``teachmyagent``: the benchmark of that name, https://arxiv.org/abs/2103.09815.

    Differences from the paper: there attempts on a face only evaluate, here the student learns from
    them (as in the benchmark); queues are shorter by default. From the benchmark's code: a step is
    a share of the range; an attempt is known by the face it was proposed for, not by comparing
    floats, so that it fills one queue even while the box is a point, and on whole-number
    dimensions too; a result that comes after its face has moved does not count; capped faces are
    treated like others; the stream of random numbers does not restart at every move.

    An outcome counts once for each time that its task was proposed on a face; others do not count.

    Args:
        space: What tasks there are.
        seed: Of the private random generator.
        return_range: Raw returns that count as 0 and 1; None uses running quantiles.
        initial: Tasks that the first box spans (one task is a point, as in the paper), as the space
            writes them; None is the centre of the space and a step around it.
        step: How far a face moves, as a share of the range, in (0, 1]. Default of the paper.
        boundary_ratio: Share of tasks put on a face, in [0, 1]. Default of the paper.
        queue: Attempts on a face before it is judged; at least 1. The paper has 240.
        shrink_at: Mean at or below which a face moves in, in [0, 1].
        grow_at: Mean at or above which it moves out, in [0, 1], above ``shrink_at``.
        measure: ``"return"`` (scaled to [0, 1]) or ``"success"``.

    >>> from currgym import BoxTasks, Outcomes, make_teacher
    >>> space = BoxTasks([0, 0], [3, 6], names=["stump_height", "obstacle_spacing"])
    >>> teacher = make_teacher(
    ...     "adr", space, seed=0, return_range=(0, 1), initial=[[0, 6]], step=0.05, queue=5
    ... )
    >>> for _ in range(500):
    ...     tasks = teacher.sample(1)
    ...     teacher.update(Outcomes(tasks, tasks[:, 0] < 1.0))
    >>> bool(0.5 < teacher.snapshot()["high"][0] * 3 < 1.2)
    True
    """

    spaces = frozenset({"box"})

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        initial: ArrayLike | None = None,
        step: float = 0.02,
        boundary_ratio: float = 0.5,
        queue: int = 20,
        shrink_at: float = 0.3,
        grow_at: float = 0.7,
        measure: Measure = "return",
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        if not 0.0 < step <= 1.0:
            raise ValueError(f"step must lie in (0, 1], got {step}")
        if not 0.0 <= boundary_ratio <= 1.0:
            raise ValueError(f"boundary_ratio must lie in [0, 1], got {boundary_ratio}")
        if queue < 1:
            raise ValueError(f"queue must be at least 1, got {queue}")
        if not 0.0 <= shrink_at < grow_at <= 1.0:
            raise ValueError(
                "shrink_at and grow_at must lie in [0, 1], the first below the second, got "
                f"{shrink_at} and {grow_at}"
            )
        check_measure(measure)
        self.initial = given_points(space, initial, "initial")
        self.step = step
        self.boundary_ratio = boundary_ratio
        self.queue = queue
        self.shrink_at = shrink_at
        self.grow_at = grow_at
        self.measure: Measure = measure
        dim = space.unit_dim
        around = np.clip([[0.5 - step] * dim, [0.5 + step] * dim], 0.0, 1.0)
        start = around if self.initial is None else self.initial
        # Faces: the lower ones of all dimensions, then the upper ones.
        self._faces = np.concatenate([start.min(axis=0), start.max(axis=0)])
        self._queues: list[list[float]] = [[] for _ in range(2 * dim)]
        self._grown = np.zeros(2 * dim, dtype=np.int64)
        self._shrunk = np.zeros(2 * dim, dtype=np.int64)
        self._late = 0
        # Task -> (face, its moves so far), one for each time it was proposed there.
        self._pending: dict[bytes, list[tuple[int, int]]] = {}

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """``successes`` where they are the measure."""
        return needs_of(self.measure)

    @property
    def privileges(self) -> frozenset[str]:  # type: ignore[override]
        """``initial`` where one was given, and the threshold."""
        given = frozenset() if self.initial is None else frozenset({"initial"})
        return given | {"success_threshold"}

    @property
    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Lower and upper corner of the box in the unit cube."""
        dim = self.space.unit_dim
        return self._faces[:dim].copy(), self._faces[dim:].copy()

    def _sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        dim = self.space.unit_dim
        drawn = rng.random((n, dim + 2))
        low, high = self.bounds
        points: FloatArray = low + drawn[:, :dim] * (high - low)
        rows = (drawn[:, dim] < self.boundary_ratio).nonzero()[0]
        self._origins = np.full(n, -1)
        if dim == 0 or len(rows) == 0:
            return points
        faces = (drawn[rows, dim + 1] * 2 * dim).astype(np.int64)
        points[rows, faces % dim] = self._faces[faces]
        self._origins[rows] = faces
        # As outcomes will have it: a whole number comes back as the centre of its slice.
        seen = self.space.to_unit(self.space.from_unit(points[rows]))
        for key, face in zip(self._keys(seen), faces.tolist(), strict=True):
            self._pending.setdefault(key, []).append((face, self._moves(face)))
        while len(self._pending) > MOST_PENDING:
            del self._pending[next(iter(self._pending))]
        return points

    @staticmethod
    def _keys(tasks: FloatArray) -> list[bytes]:
        return [row.tobytes() for row in np.round(tasks, DIGITS)]

    def _moves(self, face: int) -> int:
        return int(self._grown[face] + self._shrunk[face])

    def _update(self, batch: Batch) -> None:
        if not self._pending:
            return
        values = measured(batch, self.measure).tolist()
        for key, value in zip(self._keys(batch.tasks), values, strict=True):
            waiting = self._pending.get(key)
            if waiting is None:
                continue
            face, moves = waiting.pop(0)
            if not waiting:
                del self._pending[key]
            if moves == self._moves(face):
                self._enter(face, value)
            else:
                self._late += 1

    def _enter(self, face: int, value: float) -> None:
        """Put a result into the queue of a face, and judge the face when it is full."""
        queue = self._queues[face]
        queue.append(value)
        if len(queue) < self.queue:
            return
        mean = sum(queue) / len(queue)
        queue.clear()
        dim = self.space.unit_dim
        lower = face < dim
        outward = -self.step if lower else self.step
        if mean >= self.grow_at:
            moved = min(max(self._faces[face] + outward, 0.0), 1.0)
            count = self._grown
        elif mean <= self.shrink_at:
            opposite = self._faces[face + dim if lower else face - dim]
            moved = self._faces[face] - outward
            moved = min(moved, opposite) if lower else max(moved, opposite)
            count = self._shrunk
        else:
            return
        if moved != self._faces[face]:
            self._faces[face] = moved
            count[face] += 1

    def _state(self) -> State:
        keys = [key for key, waiting in self._pending.items() for _ in waiting]
        marks = [mark for waiting in self._pending.values() for mark in waiting]
        dim = self.space.unit_dim
        return {
            "faces": self._faces.copy(),
            "queued": np.array([len(queue) for queue in self._queues], dtype=np.int64),
            "queues": np.array([value for queue in self._queues for value in queue]),
            "grown": self._grown.copy(),
            "shrunk": self._shrunk.copy(),
            "late": self._late,
            "pending": np.frombuffer(b"".join(keys), dtype=np.float64).reshape(-1, dim).copy()
            if dim
            else np.empty((0, 0)),
            "marks": np.array(marks, dtype=np.int64).reshape(-1, 2),
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self._faces = np.array(state["faces"], dtype=np.float64)
        ends = np.cumsum(state["queued"]).astype(int)
        self._queues = [part.tolist() for part in np.split(np.asarray(state["queues"]), ends)[:-1]]
        self._grown = np.array(state["grown"], dtype=np.int64)
        self._shrunk = np.array(state["shrunk"], dtype=np.int64)
        self._late = int(state["late"])
        self._pending = {}
        marks = np.asarray(state["marks"]).tolist()
        for row, (face, moves) in zip(np.asarray(state["pending"]), marks, strict=True):
            self._pending.setdefault(row.tobytes(), []).append((face, moves))

    def _why(self, row: int, task: Any) -> Reason:
        low, high = self.bounds
        face, ratio = int(self._origins[row]), self.boundary_ratio
        if face < 0:
            return Reason(
                "the inside of the box",
                f"proposal {self._number(row):,}; the box has grown {int(self._grown.sum()):,} "
                f"times and shrunk {int(self._shrunk.sum()):,} times, and covers "
                f"{float((high - low).prod()):.3g} of the space",
                1.0 - ratio if len(low) else 1.0,
            )
        dim = len(low)
        side, end = ("lower", low) if face < dim else ("upper", high)
        return Reason(
            f"the {side} face of dimension {face % dim + 1:,} of {dim:,}",
            f"it lies at {end[face % dim]:.3g} of the range, and {len(self._queues[face]):,} of "
            f"{self.queue:,} results are in by which it moves",
            ratio / (2 * dim), explores=True,
        )  # fmt: skip

    def snapshot(self) -> dict[str, Any]:
        """Return the box, and of each face (lower ones first) its queue's length and its moves.

        ``late`` counts results that came after their face had moved.
        """
        low, high = self.bounds
        return {
            "low": low,
            "high": high,
            "queued": np.array([len(queue) for queue in self._queues], dtype=np.int64),
            "grown": self._grown.copy(),
            "shrunk": self._shrunk.copy(),
            "late": self._late,
        }
