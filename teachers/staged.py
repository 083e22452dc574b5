"""Stages with gates: on to the next when this one is mastered, back when it is not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.outcomes import Outcomes
from currgym.tasks import DiscreteTasks, TaskSpace
from currgym.teachers._difficulty import require_difficulty, spread_points
from currgym.teachers._measure import Measure, check_measure, measured, needs_of
from currgym.teachers._parts import Composite, OpenProposals, build_part, listed
from currgym.teaching import Batch, Reason, State, Teacher, register

__all__ = ["Band", "Staged"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

DEFAULT_STAGES = 4
POINTS = 4096
TRIES = 64


class Band(Teacher):
    """Uniform over the tasks between two quantiles of the declared difficulty.

    Of a box the quantiles are those of 4,096 spread points.

    Args:
        space: Examples or box tasks with a declared difficulty.
        low: Share of the space that is easier, in [0, 1).
        high: Share at which the band ends, in (low, 1].
        seed: Of the private random generator.
    """

    spaces = frozenset({"box", "discrete"})
    privileges = frozenset({"difficulty"})

    def __init__(self, space: TaskSpace, low: float, high: float, seed: int) -> None:
        super().__init__(space, seed=seed)
        self.low, self.high = low, high
        if isinstance(space, DiscreteTasks):
            order = np.argsort(space.difficulty_of(np.arange(space.n)), kind="stable")
            first, last = (math.floor(share * space.n + 1e-9) for share in (low, high))
            first = min(first, space.n - 1)
            self.members: IntArray = order[first : max(first + 1, last)]
            return
        points = spread_points(POINTS, space.unit_dim)
        values = space.difficulty_of(space.from_unit(points))
        known = np.sort(values)
        self._from, self._to = (
            (known[math.ceil(low * POINTS) - 1] if low > 0.0 else -math.inf),
            (known[math.ceil(high * POINTS) - 1] if high < 1.0 else math.inf),
        )
        # Few values of difficulty: then a band may be nothing but its lower end.
        self._closed = not self._inside(values, closed=False).any()
        self._spare = points[self._inside(values, self._closed)]

    def _inside(self, values: FloatArray, closed: bool) -> NDArray[np.bool_]:
        above = values >= self._from if closed else values > self._from
        return np.asarray(above & (values <= self._to))

    def _plan(self, rng: np.random.Generator) -> NDArray[np.int64] | None:
        return rng.permutation(self.members) if isinstance(self.space, DiscreteTasks) else None

    def _sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        points = rng.random((n, TRIES, self.space.unit_dim))
        tasks = self.space.from_unit(points.reshape(n * TRIES, self.space.unit_dim))
        inside = self._inside(self.space.difficulty_of(tasks), self._closed).reshape(n, TRIES)
        found = points[np.arange(n), inside.argmax(axis=1)]
        missed = np.flatnonzero(~inside.any(axis=1))
        found[missed] = self._spare[rng.integers(len(self._spare), size=len(missed))]
        return np.asarray(found)

    def _why(self, row: int, task: Any) -> Reason:
        difficulty = float(self.space.difficulty_of(self._latest[row : row + 1])[0])
        name = self._place(row) or "an even draw of the stage's slice"
        return Reason(name, f"its difficulty is {difficulty:.3g}")

    def snapshot(self) -> dict[str, Any]:
        """Return the shares of the space between which the band lies."""
        return {"easier_share": self.low, "up_to_share": self.high}


@register("staged")
class Staged(Composite):
    """Go through stages, each with a gate to the next and one back.

    The gate is looked at after every outcome of the present stage, once it has ``min_attempts`` of
    them since it was entered. It opens when, ``patience`` looks in a row, the mean over the latest
    ``window`` attempts of the present stage reaches ``promote`` and the mean over all stages so far
    reaches ``promote_all``. When the present stage's mean stays below ``demote`` as long, the stage
    before comes back; ``demote`` lies below ``promote``, so that one attempt more or less does not
    swing between them. A share ``rehearsal`` of the tasks comes from earlier stages.

    Source: mastery gates as in Bloom 1968 and in sequential curricula of reinforcement learning
    (Zaremba, Sutskever 2014, https://arxiv.org/abs/1410.4615, whose ``mix`` is the rehearsal; the
    stopping conditions of Syllabus).

    Differences: two thresholds with a gap between them. An outcome counts for the stage that
    proposed its task, however late it comes; probes and tasks that nobody proposed do not count.
    Every stage learns from all outcomes, the coming ones too.

    Args:
        space: With a declared difficulty, unless the stages are teachers.
        seed: Of the private random generator, from which the stages have theirs.
        return_range: Raw returns that count as 0 and 1; None uses running quantiles.
        stages: A number of equal slices of the space by difficulty; or the shares of the space at
            which they end, rising to 1; or teachers, ``"name"`` or ``"name:preset"``, as a list or
            as a text with commas or plus signs. None is 4 slices.
        stage_parameters: Of stages that are teachers, by their entry in the list.
        promote: Mean of the present stage from which on it is mastered, in [0, 1].
        promote_all: Mean over all stages so far that it takes besides, in [0, 1].
        demote: Mean of the present stage below which the one before comes back, in [0, promote];
            0 never goes back.
        window: Attempts of a stage in its mean, at least 1.
        min_attempts: Attempts of a stage before its gate is looked at, at least 1.
        patience: Looks in a row that must agree, at least 1.
        rehearsal: Share of tasks of earlier stages, each as likely, in [0, 1).
        measure: ``"success"`` or ``"return"``.
        horizon: Proposals after which schedules of stages end.

    >>> from currgym import DiscreteTasks, Outcomes, make_teacher
    >>> space = DiscreteTasks(100, difficulty=range(100))
    >>> teacher = make_teacher("staged", space, seed=0, stages=[0.1, 1.0], rehearsal=0.0)
    >>> tasks = teacher.sample(40)
    >>> int(tasks.max())
    9
    >>> teacher.update(Outcomes(tasks, [1.0] * 40, successes=[1.0] * 40))
    >>> teacher.snapshot()["stage"], int(teacher.sample(50).min()) >= 10
    (1, True)
    """

    names_teachers = frozenset({"stages"})

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        stages: int | str | Sequence[float] | Sequence[str] | None = None,
        stage_parameters: Mapping[str, Mapping[str, Any]] | None = None,
        promote: float = 0.8,
        promote_all: float = 0.0,
        demote: float = 0.3,
        window: int = 20,
        min_attempts: int = 20,
        patience: int = 5,
        rehearsal: float = 0.1,
        measure: Measure = "success",
        horizon: int | None = None,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        for name, value in (("promote", promote), ("promote_all", promote_all)):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {value}")
        if not 0.0 <= demote <= promote:
            raise ValueError(f"demote must lie in [0, promote = {promote}], got {demote}")
        for name, count in (
            ("window", window), ("min_attempts", min_attempts), ("patience", patience)
        ):  # fmt: skip
            if count < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")
        if not 0.0 <= rehearsal < 1.0:
            raise ValueError(f"rehearsal must lie in [0, 1), got {rehearsal}")
        check_measure(measure)
        self.stages = stages
        self.stage_parameters = stage_parameters
        self.promote = promote
        self.promote_all = promote_all
        self.demote = demote
        self.window = window
        self.min_attempts = min_attempts
        self.patience = patience
        self.rehearsal = rehearsal
        self.measure: Measure = measure
        self.horizon = self.default_horizon() if horizon is None else int(horizon)
        if self.horizon < 1:
            raise ValueError(f"horizon must be at least 1, got {self.horizon}")
        self.names, self.parts = self._build()
        self._open = OpenProposals()
        self._values = np.zeros((len(self.parts), window))
        self._counts = np.zeros(len(self.parts), dtype=np.int64)
        """Of each stage: attempts since it was entered last."""
        self._stage = 0
        self._above = self._below = 0
        self._promotions = self._demotions = 0
        self._arrived: NDArray[Any] = np.empty(0)

    def _build(self) -> tuple[list[str], list[Teacher]]:
        stages = DEFAULT_STAGES if self.stages is None else self.stages
        if isinstance(stages, int):
            if stages < 1:
                raise ValueError(f"stages must be at least 1, got {stages}")
            stages = [(k + 1) / stages for k in range(stages)]
        if not isinstance(stages, str) and not any(isinstance(stage, str) for stage in stages):
            return self._bands([float(stage) for stage in stages])
        names = listed(stages if isinstance(stages, str) else [str(s) for s in stages], "stages")
        parameters = dict(self.stage_parameters or {})
        unknown = sorted(set(parameters) - set(names))
        if unknown:
            raise ValueError(f"stage_parameters name {unknown[0]!r}, which is not one of {names}")
        parts = [
            build_part(
                name, self.space, self.rng, self.return_range, parameters.get(name), self.horizon
            )
            for name in names
        ]
        return names, parts

    def _bands(self, ends: list[float]) -> tuple[list[str], list[Teacher]]:
        if self.stage_parameters:
            raise ValueError("stage_parameters are of stages that are teachers")
        edges = [0.0, *ends]
        rising = all(low < high for low, high in zip(edges, ends, strict=False))
        if not ends or not rising or ends[-1] != 1.0:
            raise ValueError(f"stages must be shares that rise from above 0 to 1, got {ends}")
        require_difficulty(self.space, "staged")
        parts: list[Teacher] = [
            Band(self.space, low, high, int(self.rng.integers(2**62)))
            for low, high in zip(edges, ends, strict=False)
        ]
        names = [f"{low:.0%} to {high:.0%}" for low, high in zip(edges, ends, strict=False)]
        return names, parts

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """What is measured, and what the stages need."""
        return super().needs | needs_of(self.measure)

    # Who proposes --------------------------------------------------------------------------------

    def _choose(self, n: int, rng: np.random.Generator) -> IntArray:
        if self._stage == 0 or self.rehearsal == 0.0:
            return np.full(n, self._stage)
        u = rng.random(n) / self.rehearsal
        earlier = (u * self._stage).astype(np.int64)  # of those below 1
        return np.where(u < 1.0, earlier, self._stage)

    def _issued(self, chosen: IntArray, tasks: NDArray[Any]) -> None:
        self._open.add(tasks, chosen.tolist())

    # Gates ---------------------------------------------------------------------------------------

    def update(self, outcomes: Outcomes) -> None:
        """Take outcomes; all stages learn from all of them."""
        self._arrived = self.space.as_array(outcomes.tasks)
        super().update(outcomes)

    def _update(self, batch: Batch) -> None:
        values = measured(batch, self.measure).tolist()
        learned = np.ones(len(batch), dtype=np.bool_) if batch.probe is None else ~batch.probe
        rows = np.flatnonzero(learned)
        stages = self._open.take(self._arrived[rows])
        for row, stage in zip(rows.tolist(), stages, strict=True):
            if stage is None:
                continue
            self._values[stage, self._counts[stage] % self.window] = values[row]
            self._counts[stage] += 1
            if stage == self._stage:
                self._look()

    def mean(self, stage: int) -> float:
        """Return the mean over the latest attempts of a stage; NaN where there is none."""
        known = min(int(self._counts[stage]), self.window)
        return float(self._values[stage, :known].mean()) if known else float("nan")

    def _look(self) -> None:
        """Look at the gates of the present stage."""
        if self._counts[self._stage] < self.min_attempts:
            return
        newest = self.mean(self._stage)
        means = [mean for k in range(self._stage + 1) if not math.isnan(mean := self.mean(k))]
        mastered = newest >= self.promote and sum(means) / len(means) >= self.promote_all
        self._above = self._above + 1 if mastered else 0
        self._below = self._below + 1 if newest < self.demote else 0
        if self._above >= self.patience and self._stage < len(self.parts) - 1:
            self._promotions += 1
            self._enter(self._stage + 1)
        elif self._below >= self.patience and self._stage > 0:
            self._demotions += 1
            self._enter(self._stage - 1)

    def _enter(self, stage: int) -> None:
        self._stage, self._above, self._below = stage, 0, 0
        self._counts[stage] = 0

    # State ---------------------------------------------------------------------------------------

    def _state(self) -> State:
        return {
            **super()._state(),
            "open": self._open.state(),
            "values": self._values.copy(),
            "counts": self._counts.copy(),
            "stage": self._stage,
            "streaks": [self._above, self._below],
            "moves": [self._promotions, self._demotions],
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        super()._load(state)
        self._open.load(state["open"])
        self._values, self._counts = np.array(state["values"]), np.array(state["counts"])
        self._stage = int(state["stage"])
        self._above, self._below = (int(streak) for streak in state["streaks"])
        self._promotions, self._demotions = (int(moves) for moves in state["moves"])

    def _followed_for(self, part: int, row: int) -> Reason:
        mean = self.mean(part)
        stands = "no attempts yet" if np.isnan(mean) else f"a mean of {mean:.3g}"
        now = part == self._stage
        told = f"{'the present' if now else 'an earlier'} stage has {stands}"
        if now:
            told += f", and its gate opens at {self.promote:.3g}"
        share = self.rehearsal if self._stage else 0.0
        chance = 1.0 - share if now else share / self._stage
        return Reason(
            f"stage {part + 1:,} of {len(self.parts):,} ({self.names[part]})", told, chance
        )

    def snapshot(self) -> dict[str, Any]:
        """Return what the present stage shows, its place at the gates, and all means (0: none)."""
        return {
            **self.parts[self._stage].snapshot(),
            "stage": self._stage,
            "stages": len(self.parts),
            "stage_name": self.names[self._stage],
            "stage_mean": self.mean(self._stage),
            "stage_attempts": int(self._counts[self._stage]),
            "promote": self.promote,
            "demote": self.demote,
            "looks_above": self._above,
            "looks_below": self._below,
            "promotions": self._promotions,
            "demotions": self._demotions,
            "stage_means": np.nan_to_num([self.mean(k) for k in range(len(self.parts))]),
        }
