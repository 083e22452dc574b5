"""Simulated students: they score a teacher in seconds, with no environment and no network."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.curriculum import Curriculum
from currgym.outcomes import COLUMNS, Outcomes
from currgym.tasks import BoxTasks, TaskSpace
from currgym.teaching import TeacherLike, make_teacher

__all__ = ["CubeStudent", "ScoreCurve", "SimulatedStudent", "teach"]

FloatArray = NDArray[np.float64]

UNLOCK_AT = 75
MASTERED_ABOVE = 75
MOST = 100
MAX_CELLS = 50_000_000
MOST_TESTED = 10_000


class SimulatedStudent(Protocol):
    """What :func:`teach` asks of a student; ``return_range`` is read where there is one.

    A teacher that asks for probes needs ``attempt(tasks, learn=False)`` too, which changes nothing.
    """

    @property
    def task_space(self) -> TaskSpace:
        """Its tasks."""

    def attempt(self, tasks: Any) -> Outcomes:
        """Attempt tasks one after the other, and learn from them."""

    def score(self) -> float:
        """Return the percentage mastered."""


class CubeStudent:
    """The toy student of the ALP-GMM paper: cells that unlock as their neighbours are learnt.

    The unit cube is cut into ``cubes`` cells a side, each with a competence from 0 to 100. An
    attempt in an unlocked cell adds 1, in a locked one nothing; it returns competence / 100.
    The cell at the origin is unlocked, any other once one of its up to ``2^dims - 1`` neighbours
    towards the origin (diagonals included) has competence 75. A cell is mastered above 75. Nothing
    is forgotten.

    Source: the n-dimensional toy environment of Portelas et al., CoRL 2019,
    https://arxiv.org/abs/1910.07224, and of its code. With 10 cells a side in 2 dimensions uniform
    sampling masters 4 to 6 % in 20,000 attempts, the authors' ALP-GMM 34 to 42 %, and 7,600 well
    chosen attempts master all.

    Args:
        cubes: Cells a side, at least 1.
        dims: Dimensions that matter, at least 1.
        noise: Standard deviation of normal noise on the returns (competence itself has none).
        useless_dims: Further dimensions of the task that change nothing.
        seed: Of the noise.

    >>> student = CubeStudent()
    >>> student.attempt([[0.05, 0.05], [0.95, 0.95]]).returns
    array([0.01, 0.  ])
    """

    return_range = (0.0, 1.0)
    mastery = MASTERED_ABOVE / MOST

    def __init__(
        self,
        cubes: int = 10,
        dims: int = 2,
        *,
        noise: float = 0.0,
        useless_dims: int = 0,
        seed: int | None = 0,
    ) -> None:
        if cubes < 1 or dims < 1 or useless_dims < 0:
            raise ValueError(
                "cubes and dims must be at least 1 and useless_dims at least 0, got "
                f"{cubes}, {dims} and {useless_dims}"
            )
        if cubes**dims > MAX_CELLS:
            raise ValueError(f"at most {MAX_CELLS:,} cells, got {cubes}^{dims}")
        if not noise >= 0.0:
            raise ValueError(f"noise must be at least 0, got {noise}")
        self.cubes = cubes
        self.dims = dims
        self.noise = noise
        self.useless_dims = useless_dims
        self.seed = seed
        width = dims + useless_dims
        self.task_space = BoxTasks([0.0] * width, [1.0] * width)
        self.competence: NDArray[np.int64] = np.zeros(cubes**dims, dtype=np.int64)
        """Competence of each cell, flat, last dimension fastest."""
        self._sources: dict[int, tuple[int, ...]] = {}
        self.reset()

    def reset(self) -> None:
        """Forget everything and restart the noise."""
        self.competence[:] = 0
        self._rng = np.random.default_rng(self.seed)

    def reseed(self, seed: int) -> None:
        """Draw the noise from this seed from now on."""
        self._rng = np.random.default_rng(seed)

    def attempt(self, tasks: ArrayLike, *, learn: bool = True) -> Outcomes:
        """Attempt tasks one after the other.

        Args:
            tasks: ``(n, dims + useless_dims)`` in [0, 1].
            learn: False for probes, which leave the student as it was.

        Returns:
            Outcomes with returns in [0, 1] (noise apart) and successes.

        Raises:
            ValueError: If a task lies outside the space.
        """
        rows = self.task_space.check(tasks)
        competence, last = self.competence, self.cubes - 1
        returns: list[float] = []
        successes: list[float] = []
        for row in rows.tolist():
            cell = 0
            for x in row[: self.dims]:
                cell = cell * self.cubes + min(int(x * self.cubes), last)
            value = int(competence[cell])
            if learn and value < MOST and (value > 0 or self._unlocked(cell)):
                value += 1
                competence[cell] = value
            returns.append(value / MOST)
            successes.append(float(value > MASTERED_ABOVE))
        noisy = np.array(returns)
        if self.noise > 0.0:
            noisy += self._rng.normal(0.0, self.noise, len(returns))
        return Outcomes(rows, noisy, successes=np.array(successes))

    def score(self) -> float:
        """Return the percentage of cells that are mastered."""
        return 100.0 * float(np.mean(self.competence > MASTERED_ABOVE))

    def test_tasks(self) -> FloatArray:
        """Return the centre of every cell, ``(cells, dims + useless_dims)``.

        Raises:
            ValueError: If there are more than 10,000 cells.
        """
        if len(self.competence) > MOST_TESTED:
            raise ValueError(
                f"{len(self.competence):,} cells are too many to be listed: at most {MOST_TESTED:,}"
            )
        places = np.unravel_index(np.arange(len(self.competence)), (self.cubes,) * self.dims)
        centres = (np.stack(places, axis=1) + 0.5) / self.cubes
        return np.hstack([centres, np.full((len(centres), self.useless_dims), 0.5)])

    def competences(self) -> tuple[FloatArray, FloatArray]:
        """Return competence in [0, 1] and mastery (0 or 1) of every cell, as in `test_tasks`."""
        return self.competence / MOST, (self.competence > MASTERED_ABOVE).astype(np.float64)

    def state_dict(self) -> dict[str, Any]:
        """Return plain arrays and numbers."""
        return {"competence": self.competence.copy(), "rng": self._rng.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state, bit for bit."""
        self.competence[:] = state["competence"]
        self._rng.bit_generator.state = state["rng"]

    def _unlocked(self, cell: int) -> bool:
        sources = self._sources.get(cell)
        if sources is None:
            sources = self._sources[cell] = self._find_sources(cell)
        return cell == 0 or any(self.competence[s] >= UNLOCK_AT for s in sources)

    def _find_sources(self, cell: int) -> tuple[int, ...]:
        """Return the neighbours towards the origin, any of which unlocks the cell."""
        place = np.unravel_index(cell, (self.cubes,) * self.dims)
        choices = [(int(i), int(i) - 1) if i > 0 else (int(i),) for i in place]
        cells = [
            int(np.ravel_multi_index(p, (self.cubes,) * self.dims))
            for p in itertools.product(*choices)
        ]
        return tuple(cells[1:])  # the first is the cell itself


@dataclass(frozen=True)
class ScoreCurve:
    """How a student came along under a teacher.

    Attributes:
        attempts: ``(points,)``, attempts made before each score.
        scores: ``(points,)``, percent mastered.
    """

    attempts: NDArray[np.int64]
    scores: FloatArray

    @property
    def final(self) -> float:
        """The last score."""
        return float(self.scores[-1])


def teach(
    student: SimulatedStudent,
    teacher: TeacherLike | str,
    attempts: int = 20_000,
    *,
    batch: int = 1,
    delay: int = 0,
    every: int = 1000,
    seed: int | None = 0,
) -> ScoreCurve:
    """Let a teacher teach a simulated student.

    Args:
        student: Who learns, this library's or your own; it goes on from where it is.
        teacher: A teacher for ``student.task_space``, or a registered name.
        attempts: Attempts in all; probes the teacher asks for count too.
        batch: Tasks drawn, attempted and reported together.
        delay: The outcome of an attempt reaches the teacher only after this many more have been
            made, as with many environments at once.
        every: Attempts between scores. The first is taken before anything is learnt.
        seed: Of the curriculum, and of a teacher given by name.

    Returns:
        The curve, from 0 attempts to the last.

    >>> teach(CubeStudent(cubes=2), "random", attempts=2000).scores
    array([  0., 100., 100.])
    """
    for name, value, least in (
        ("attempts", attempts, 1), ("batch", batch, 1), ("delay", delay, 0), ("every", every, 1),
    ):  # fmt: skip
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    if isinstance(teacher, str):
        teacher = make_teacher(
            teacher,
            student.task_space,
            seed=seed,
            return_range=getattr(student, "return_range", None),
        )
    curriculum = Curriculum(teacher, seed=seed)
    waiting: deque[tuple[NDArray[np.int64], Outcomes]] = deque()
    done, made, scores = 0, [0], [student.score()]
    while done < attempts:
        probes = curriculum.requests()
        if probes is not None:
            attempt: Any = student.attempt
            _settle(curriculum, probes.ids, attempt(probes.tasks, learn=False))
            done += len(probes.ids)
        if done < attempts:
            tickets = curriculum.issue(min(batch, attempts - done))
            waiting.append((tickets.ids, student.attempt(tickets.tasks)))
            done += len(tickets.ids)
            _settle_all_but(delay, waiting, curriculum)
        if done // every > made[-1] // every or done >= attempts:
            made.append(done)
            scores.append(student.score())
    _settle_all_but(0, waiting, curriculum)
    return ScoreCurve(np.array(made), np.array(scores))


def _settle_all_but(
    keep: int, waiting: deque[tuple[NDArray[np.int64], Outcomes]], curriculum: Curriculum
) -> None:
    """Settle all but the latest attempts, as they were made together."""
    due = sum(len(ids) for ids, _ in waiting) - keep
    while due > 0:
        ids, outcomes = waiting.popleft()
        if len(ids) > due:
            waiting.appendleft((ids[due:], outcomes.take(slice(due, None))))
            ids, outcomes = ids[:due], outcomes.take(slice(due))
        _settle(curriculum, ids, outcomes)
        due -= len(ids)


def _settle(curriculum: Curriculum, ids: NDArray[np.int64], outcomes: Outcomes) -> None:
    columns = {name: getattr(outcomes, name) for name in COLUMNS if name not in ("ids", "seeds")}
    curriculum.settle(ids, **columns, scores=outcomes.scores)
