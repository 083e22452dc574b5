"""Simulated students that differ from one another, and challenges that make teachers fail."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.documents import fits
from currgym.outcomes import Outcomes
from currgym.registry import nearest
from currgym.scores import VALUE_SCORES
from currgym.tasks import BoxTasks

__all__ = ["CHALLENGES", "GridStudent", "Oracle", "oracle_score"]

FloatArray = NDArray[np.float64]

MOST = 100.0
UNLOCK_AT = 75.0
MASTERED_ABOVE = 75.0
MAX_CELLS = 1_000_000

CHALLENGES: Mapping[str, Mapping[str, Any]] = {
    "baseline": {
        "useless_dims": 0, "unlearnable": 0.1, "spread": 0.1, "trivial": 0.0, "speeds": (0.75, 1.5),
        "forgetting": 0.0, "reset_every": 0, "rugged": 1, "noise": 0.0, "interference": 0.0,
        "plateau": 0.0,
    },
    "useless-dimensions": {"useless_dims": 2},
    "mostly-unfeasible": {"unlearnable": 0.8},
    "mostly-trivial": {"trivial": 0.5},
    "forgetting-student": {"reset_every": 1_750},
    "rugged": {"rugged": 4},
    "variety": {"speeds": (0.5, 3.0), "unlearnable": 0.3, "spread": 0.3},
    "noisy": {"noise": 0.1},
    "decay": {"forgetting": 1e-4},
    "negative-transfer": {"interference": 0.8},
    "plateau": {"plateau": 0.75},
}  # fmt: skip
"""Settings by name. The first five but one after ``baseline`` are TeachMyAgent's five (Romac et al.
2021, arXiv:2103.09815, section 4): mostly unfeasible and mostly trivial task spaces, a forgetting
student (reset every 35 % of the budget, here of 5,000 attempts), rugged difficulty, and a variety
of students."""


class GridStudent:
    """A student of a population: cells of a grid that unlock as their neighbours are learnt.

    As in :class:`~currgym.students.CubeStudent` a cell's competence runs from 0 to 100, unlocks
    its neighbours at 75 and counts as mastered above 75. Here learning spreads from any start cell
    to the neighbours along the axes, both ways, and each student, drawn from its seed, has a start
    cell, an orientation, a speed and a share of cells that nobody can learn.

    Source: the toy's second version of Portelas et al. 2020, "Meta automatic curriculum learning",
    arXiv:2011.08463, has start cells and spreading of this kind; the challenges follow Romac et al.
    2021, arXiv:2103.09815. The mechanisms beyond those are this library's own.

    Args:
        challenge: One of :data:`CHALLENGES`. What follows is None for as the challenge says;
            explicit values come before its settings, which come before the baseline's.
        cubes: Cells a side, at least 2.
        dims: Dimensions that matter, at least 1.
        seed: Draws the student (start, orientation, speed, share) and its noise.
        useless_dims: Further dimensions of the task that change nothing.
        unlearnable: Mean share of cells that stay at 0, those furthest from the start; in [0, 1).
        spread: A student's own share lies uniformly within this of the mean, cut to [0, .95].
        trivial: Share of cells mastered from the beginning, those nearest to the start; in [0, 1).
        speeds: Least and greatest competence that an attempt adds; a student's own lies uniformly
            between.
        forgetting: Share of its competence that a cell loses at each attempt made elsewhere; in
            [0, 1).
        reset_every: Attempts after which everything is forgotten, again and again; 0 never.
        rugged: Intervals into which each dimension is cut and shuffled; 1 leaves it smooth.
        noise: Standard deviation of normal noise on the returns.
        interference: Negative transfer: what an attempt adds to a cell, times this, is lost by its
            rival, one other cell a cell; in [0, 1].
        plateau: The return stays 0 until competence reaches this share of 100, then jumps to it.

    >>> student = GridStudent("plateau", seed=0)
    >>> student.attempt(student.test_tasks()[:1]).returns
    array([0.])
    """

    return_range = (0.0, 1.0)
    mastery = MASTERED_ABOVE / MOST
    provides = frozenset({"initial_values", *VALUE_SCORES})
    """Columns and scores of its outcomes beyond returns and successes: what it expects of a cell is
    the return it last had there, 0 at first, as a value network of one step would learn it."""

    def __init__(
        self,
        challenge: str = "baseline",
        *,
        cubes: int = 10,
        dims: int = 2,
        seed: int | None = 0,
        useless_dims: int | None = None,
        unlearnable: float | None = None,
        spread: float | None = None,
        trivial: float | None = None,
        speeds: tuple[float, float] | None = None,
        forgetting: float | None = None,
        reset_every: int | None = None,
        rugged: int | None = None,
        noise: float | None = None,
        interference: float | None = None,
        plateau: float | None = None,
    ) -> None:
        if challenge not in CHALLENGES:
            raise ValueError(nearest(challenge, CHALLENGES, "challenge"))
        self.challenge = challenge
        explicit = {
            "useless_dims": useless_dims, "unlearnable": unlearnable, "spread": spread,
            "trivial": trivial, "speeds": speeds, "forgetting": forgetting,
            "reset_every": reset_every, "rugged": rugged, "noise": noise,
            "interference": interference, "plateau": plateau,
        }  # fmt: skip
        given = {name: value for name, value in explicit.items() if value is not None}
        self._configure(**{**CHALLENGES["baseline"], **CHALLENGES[challenge], **given})
        if cubes < 2 or dims < 1:
            raise ValueError(
                f"cubes must be at least 2 and dims at least 1, got {cubes} and {dims}"
            )
        if cubes**dims > MAX_CELLS:
            raise ValueError(f"at most {MAX_CELLS:,} cells, got {cubes}^{dims}")
        self.cubes = cubes
        self.dims = dims
        self.seed = seed
        width = dims + self.useless_dims
        self.task_space = BoxTasks([0.0] * width, [1.0] * width)
        self._draw_student(np.random.default_rng(seed))
        self.reset()

    def _configure(
        self,
        *,
        useless_dims: int,
        unlearnable: float,
        spread: float,
        trivial: float,
        speeds: tuple[float, float],
        forgetting: float,
        reset_every: int,
        rugged: int,
        noise: float,
        interference: float,
        plateau: float,
    ) -> None:
        shares = {
            "unlearnable": unlearnable, "trivial": trivial, "forgetting": forgetting,
            "plateau": plateau,
        }  # fmt: skip
        for name, share in shares.items():
            if not 0.0 <= share < 1.0:
                raise ValueError(f"{name} must lie in [0, 1), got {share}")
        if not 0.0 <= interference <= 1.0:
            raise ValueError(f"interference must lie in [0, 1], got {interference}")
        for name, value, least in (
            ("useless_dims", useless_dims, 0), ("rugged", rugged, 1), ("noise", noise, 0),
            ("spread", spread, 0), ("reset_every", reset_every, 0),
        ):  # fmt: skip
            if not value >= least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        pair = isinstance(speeds, (tuple, list)) and len(speeds) == 2
        if not pair or not all(fits(s, float) for s in speeds) or not 0.0 < speeds[0] <= speeds[1]:
            raise ValueError(f"speeds must be [least, greatest] above 0, got {speeds!r}")
        self.useless_dims = useless_dims
        self.unlearnable = unlearnable
        self.spread = spread
        self.trivial = trivial
        self.speeds = (float(speeds[0]), float(speeds[1]))
        self.forgetting = forgetting
        self.reset_every = reset_every
        self.rugged = rugged
        self.noise = noise
        self.interference = interference
        self.plateau = plateau

    def _draw_student(self, rng: np.random.Generator) -> None:
        """Draw what differs from student to student, and lay out its landscape."""
        cubes, dims = self.cubes, self.dims
        self.start: tuple[int, ...] = tuple(rng.integers(max(1, cubes // 2), size=dims).tolist())
        """Where learning begins, in the student's own coordinates."""
        self.axes: NDArray[np.int64] = rng.permutation(dims)
        self.flips: NDArray[np.bool_] = rng.random(dims) < 0.5
        self.speed = float(rng.uniform(*self.speeds))
        own = self.unlearnable + rng.uniform(-self.spread, self.spread)
        self.own_unlearnable = float(np.clip(own, 0.0, 0.95))
        self._shuffles = np.stack([rng.permutation(self.rugged) for _ in range(dims)])
        self._unshuffles = np.argsort(self._shuffles, axis=1)
        cells = cubes**dims
        places = np.stack(np.unravel_index(np.arange(cells), (cubes,) * dims), axis=1)
        order = np.lexsort((np.arange(cells), np.abs(places - self.start).sum(axis=1)))
        learnable = cells - int(self.own_unlearnable * cells)
        self._learnable = np.zeros(cells, dtype=np.bool_)
        self._learnable[order[:learnable]] = True
        self._trivial = order[: int(self.trivial * learnable)]
        self._first = int(order[0])
        self._rivals = _derangement(order[:learnable], cells, rng) if self.interference else None
        strides = [cubes ** (dims - 1 - i) for i in range(dims)]
        self._strides = np.array(strides)
        self._neighbours = [
            [
                cell + step * stride
                for i, stride in enumerate(strides)
                for step in (-1, 1)
                if 0 <= place[i] + step < cubes
            ]
            for cell, place in enumerate(places.tolist())
        ]
        self._noise_seed = int(rng.integers(2**63))

    def reset(self) -> None:
        """Forget everything and restart the noise."""
        self.attempts = 0
        self.competence: FloatArray = np.zeros(self.cubes**self.dims)
        """Of each cell when it was last attempted, flat, in the student's own coordinates."""
        self._since: NDArray[np.int64] = np.zeros(len(self.competence), dtype=np.int64)
        self.competence[self._trivial] = MOST
        self.expected: FloatArray = self.competence / MOST
        """The return last seen in each cell."""
        self.reseed(self._noise_seed)

    def reseed(self, seed: int) -> None:
        """Draw noise and luck from this seed from now on."""
        # One stream each, so that batches of any size are the same, and probes leave no trace.
        streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4)]
        self._chance = {True: (streams[0], streams[1]), False: (streams[2], streams[3])}

    def attempt(self, tasks: ArrayLike, *, learn: bool = True) -> Outcomes:
        """Attempt tasks one after the other.

        Args:
            tasks: ``(n, dims + useless_dims)`` in [0, 1].
            learn: False for probes, which leave the student as it was.

        Returns:
            Outcomes with returns in [0, 1] (noise apart), successes (each drawn with the return for
            its chance), and value scores against what the student expected.

        Raises:
            ValueError: If a task lies outside the space.
        """
        rows = self.task_space.check(tasks)
        cells = self.cells_of(rows).tolist()
        values = np.array([self._try(cell, learn) for cell in cells])
        returns = np.where(values >= MOST * self.plateau, values / MOST, 0.0)
        noise, luck = self._chance[learn]
        successes = luck.random(len(returns)) < returns
        if self.noise > 0.0:
            returns += noise.normal(0.0, self.noise, len(returns))
        expected = self._expect(cells, returns, learn)
        error = returns - expected
        return Outcomes(
            rows,
            returns,
            successes=successes.astype(np.float64),
            initial_values=expected,
            scores={
                "pvl": np.maximum(error, 0.0), "abs_advantage": np.abs(error),
                "td": np.abs(error), "maxmc": error,
            },
        )  # fmt: skip

    def _expect(self, cells: list[int], returns: FloatArray, learn: bool) -> FloatArray:
        """Return what was expected of each attempt, and learn from what came."""
        before = self.expected[cells]
        if learn:
            for i, cell in enumerate(cells):
                before[i] = self.expected[cell]
                self.expected[cell] = returns[i]
        return before

    def _try(self, cell: int, learn: bool) -> float:
        """Attempt one cell; return its competence."""
        if not learn:
            return self._current(cell)
        self.attempts += 1
        if self.reset_every and self.attempts % self.reset_every == 0:
            self.competence[:] = 0.0
            self.competence[self._trivial] = MOST
        before = self._current(cell)
        after = min(MOST, before + self.speed) if self.open(cell) else before
        self.competence[cell], self._since[cell] = after, self.attempts
        if self._rivals is not None and after > before:
            rival = int(self._rivals[cell])
            left = self._current(rival) - self.interference * (after - before)
            self.competence[rival], self._since[rival] = max(0.0, left), self.attempts
        return after

    def open(self, cell: int) -> bool:
        """Tell whether an attempt at a cell would teach anything."""
        if not self._learnable[cell]:
            return False
        if cell == self._first or self.competence[cell] > 0.0:
            return True
        return any(self._current(n) >= UNLOCK_AT for n in self._neighbours[cell])

    def _current(self, cell: int) -> float:
        value = float(self.competence[cell])
        if self.forgetting > 0.0 and value > 0.0:
            value *= (1.0 - self.forgetting) ** (self.attempts - int(self._since[cell]))
        return value

    def current(self) -> FloatArray:
        """Return the competence of every cell now, in the student's own coordinates."""
        if self.forgetting == 0.0:
            return self.competence.copy()
        return self.competence * (1.0 - self.forgetting) ** (self.attempts - self._since)

    @property
    def learnable(self) -> NDArray[np.bool_]:
        """Which cells can be learnt at all, in the student's own coordinates."""
        return self._learnable

    def cells_of(self, tasks: ArrayLike) -> NDArray[np.int64]:
        """Return the cell of each task, ``(n,)``."""
        x = np.asarray(tasks, dtype=np.float64)[:, : self.dims]
        piece = np.minimum((x * self.rugged).astype(np.int64), self.rugged - 1)
        image = np.take_along_axis(self._shuffles.T, piece, axis=0)
        x = (image + (x * self.rugged - piece)) / self.rugged
        place = np.minimum((x * self.cubes).astype(np.int64), self.cubes - 1)
        place = np.where(self.flips, self.cubes - 1 - place, place)[:, self.axes]
        return np.asarray(place @ self._strides)

    def tasks_of(self, cells: ArrayLike) -> FloatArray:
        """Return the task in the middle of each cell, ``(n, dims + useless_dims)``."""
        flat = np.asarray(cells, dtype=np.int64)
        place = np.empty((len(flat), self.dims), dtype=np.int64)
        place[:, self.axes] = np.stack(np.unravel_index(flat, (self.cubes,) * self.dims), axis=1)
        place = np.where(self.flips, self.cubes - 1 - place, place)
        x = (place + 0.5) / self.cubes
        image = np.minimum((x * self.rugged).astype(np.int64), self.rugged - 1)
        piece = np.take_along_axis(self._unshuffles.T, image, axis=0)
        x = (piece + (x * self.rugged - image)) / self.rugged
        return np.hstack([x, np.full((len(x), self.useless_dims), 0.5)])

    def score(self) -> float:
        """Return the percentage of the learnable cells that are mastered."""
        return 100.0 * float(np.mean(self.current()[self._learnable] > MASTERED_ABOVE))

    def test_tasks(self) -> FloatArray:
        """Return the centre of every learnable cell."""
        return self.tasks_of(np.flatnonzero(self._learnable))

    def competences(self) -> tuple[FloatArray, FloatArray]:
        """Return competence in [0, 1] and mastery (0 or 1), as in :meth:`test_tasks`."""
        now = self.current()[self._learnable]
        return now / MOST, (now > MASTERED_ABOVE).astype(np.float64)

    def state_dict(self) -> dict[str, Any]:
        """Return plain arrays and numbers."""
        return {
            "attempts": self.attempts,
            "competence": self.competence.copy(),
            "since": self._since.copy(),
            "expected": self.expected.copy(),
            "chance": [rng.bit_generator.state for pair in self._streams() for rng in pair],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state, bit for bit."""
        self.attempts = int(state["attempts"])
        self.competence[:], self._since[:] = state["competence"], state["since"]
        self.expected[:] = state["expected"]
        streams = [rng for pair in self._streams() for rng in pair]
        for rng, saved in zip(streams, state["chance"], strict=True):
            rng.bit_generator.state = saved

    def _streams(self) -> list[tuple[np.random.Generator, np.random.Generator]]:
        return [self._chance[True], self._chance[False]]


def _derangement(
    members: NDArray[np.int64], cells: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return each member's rival, itself excluded: neighbours in a random circle."""
    rivals = np.arange(cells)
    circle = rng.permutation(members)
    rivals[circle] = np.roll(circle, -1)
    return rivals


class Oracle:
    """A teacher that looks into the student: the reference for scores, not a competitor.

    It proposes the open cell that is nearest to mastery from below, and first renews mastered cells
    that are about to be lost. Greedy, so not always the best possible.

    Args:
        student: Whose state it reads.
        keep: A mastered cell below 75 plus this is renewed first.
    """

    def __init__(self, student: GridStudent, keep: float = 0.0) -> None:
        self.student = student
        self.keep = keep

    def sample(self, n: int = 1) -> FloatArray:
        """Return ``n`` tasks, as if each were attempted before the next is chosen."""
        student = self.student
        imagined = copy.copy(student)
        imagined.competence, imagined._since = student.competence.copy(), student._since.copy()
        cells = []
        for _ in range(n):
            cells.append(self._best(imagined))
            imagined._try(cells[-1], learn=True)
        return student.tasks_of(cells)

    def _best(self, student: GridStudent) -> int:
        now = student.current()
        fading = (now > MASTERED_ABOVE) & (now < MASTERED_ABOVE + self.keep) & student.learnable
        if fading.any():
            return int(np.argmin(np.where(fading, now, np.inf)))
        waiting = np.flatnonzero(student.learnable & (now <= MASTERED_ABOVE))
        for cell in waiting[np.argsort(-now[waiting], kind="stable")].tolist():
            if student.open(cell):
                return int(cell)
        return int(np.argmin(np.where(student.learnable, now, np.inf)))

    def update(self, outcomes: Outcomes) -> None:
        """Ignore outcomes: it sees the student itself."""


def oracle_score(student: GridStudent, attempts: int, batch: int = 1) -> float:
    """Return what the better of two oracles reaches with a fresh copy of a student.

    One only finishes cells, one also keeps those it has 5 above the bar.
    """
    best = 0.0
    for keep in (0.0, 5.0):
        fresh = copy.deepcopy(student)
        fresh.reset()
        oracle = Oracle(fresh, keep)
        for first in range(0, attempts, batch):
            fresh.attempt(oracle.sample(min(batch, attempts - first)))
        best = max(best, fresh.score())
    return best
