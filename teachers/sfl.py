"""Sampling for learnability: the levels that the student now solves and now fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._measure import Measure, check_measure, measured, needs_of
from currgym.teaching import Batch, Proposals, Reason, State, Teacher, register

__all__ = ["SFL"]

FloatArray = NDArray[np.float64]

SNAPSHOT_BYTES = 60_000


@register("sfl")
class SFL(Teacher):
    """Draw the levels of greatest learnability p (1 - p) among many random ones, tried beforehand.

    Every ``period`` proposals ``candidates`` random tasks are tried ``rollouts`` times each without
    learning (they are *requests*). ``p`` is the share of successes. The ``keep`` tasks of greatest
    ``p (1 - p)`` are drawn from, each as likely, for a share ``learnable_share`` of the proposals;
    the others are random tasks.

    Source: Rutherford, Beukman, Willi, Lacerda, Hawes, Foerster, "No Regrets: Investigating and
    Improving Regret Approximations for Curriculum Discovery", NeurIPS 2024,
    https://arxiv.org/abs/2408.15099 (Sampling For Learnability).

    Differences: time is counted in proposals, not in updates of the student; far fewer candidates
    (theirs are thousands, in parallel on an accelerator), so that trying them costs two attempts to
    five of training; the old tasks stay until all attempts on the new ones have come back (or the
    next ones are due); a level is a task, whose attempts have seeds of their own.

    Args:
        space: Any: boxes, numbered tasks, levels.
        seed: Of the private random generator.
        return_range: Raw returns that count as 0 and 1, for ``measure="return"``; None uses running
            quantiles.
        candidates: Random tasks that are tried each time, at least 1.
        rollouts: Attempts on each, at least 1 (with one, p is 0 or 1 and nothing is learnable).
        keep: Tasks of greatest learnability that are drawn from, from 1 to ``candidates``.
        period: Proposals between two choices, at least 1.
        learnable_share: Share of proposals from the kept ones, in [0, 1].
        measure: What p is the mean of: ``"success"`` (the paper's), or ``"return"`` in [0, 1] for
            students of which no attempt tells success from failure.

    >>> from currgym import BoxTasks, Outcomes, make_teacher
    >>> teacher = make_teacher("sfl", BoxTasks([0], [1]), seed=0, candidates=3, rollouts=2, keep=1)
    >>> asked = teacher.requests()
    >>> teacher.update(Outcomes(asked.tasks, [0] * 6, successes=[1, 1, 0, 1, 0, 0], probe=True))
    >>> bool((teacher.snapshot()["levels"] == asked.tasks[2]).all())
    True
    """

    spaces = frozenset({"box", "discrete", "levels"})
    probes_explore = True

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        candidates: int = 100,
        rollouts: int = 4,
        keep: int = 20,
        period: int = 1000,
        learnable_share: float = 0.5,
        measure: Measure = "success",
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        for name, value in (("candidates", candidates), ("rollouts", rollouts), ("period", period)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not 1 <= keep <= candidates:
            raise ValueError(f"keep must be from 1 to candidates ({candidates}), got {keep}")
        if not 0.0 <= learnable_share <= 1.0:
            raise ValueError(f"learnable_share must lie in [0, 1], got {learnable_share}")
        check_measure(measure)
        self.candidates = candidates
        self.rollouts = rollouts
        self.keep = keep
        self.period = period
        self.learnable_share = learnable_share
        self.measure: Measure = measure
        self.drawn = 0
        self.choices = 0
        """How often tasks were chosen."""
        sample = self._native(space.sample(1, np.random.default_rng(0)))
        self._tried = sample[:0]
        self._successes: FloatArray = np.empty(0)
        self._trials: FloatArray = np.empty(0)
        self._waiting = 0
        self._next = 0
        self._rows: dict[bytes, int] = {}
        self._kept = sample[:0]
        self._learnability: FloatArray = np.empty(0)

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """Probes, and successes where they are measured."""
        return needs_of(self.measure) | {"probe"}

    def _native(self, tasks: NDArray[Any]) -> NDArray[Any]:
        """Return tasks of the space as they are kept: in the unit cube where there is one."""
        return self.space.to_unit(tasks) if self.space.kind == "box" else tasks

    @staticmethod
    def _key(task: NDArray[Any]) -> bytes:
        return (task + 0).tobytes()  # -0.0 is 0.0

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        self.drawn += n
        self._origins = []
        # One by one: n tasks are the same as n times one.
        return np.concatenate([self._one(rng) for _ in range(n)])

    def _one(self, rng: np.random.Generator) -> NDArray[Any]:
        if len(self._kept) and rng.random() < self.learnable_share:
            kept = int(rng.integers(len(self._kept)))
            self._origins.append(kept)
            return self._kept[[kept]]
        self._origins.append(-1)
        return self._native(self.space.sample(1, rng))

    def _requests(self) -> Proposals | None:
        if self.drawn < self._next:
            return None
        if self._waiting:
            self._choose()  # what was not answered by now never will be
        self._next = self.drawn + self.period
        tasks = self.space.sample(self.candidates, self.rng)
        found = self._native(tasks)
        self._rows = {}
        for task in found:
            self._rows.setdefault(self._key(task), len(self._rows))
        first = np.array([self._rows[self._key(task)] for task in found])
        self._tried = found[np.unique(first, return_index=True)[1]]
        self._successes, self._trials = np.zeros(len(self._tried)), np.zeros(len(self._tried))
        self._waiting = self.candidates * self.rollouts
        return Proposals(self._to_tasks(found.repeat(self.rollouts, axis=0)))

    def _update(self, batch: Batch) -> None:
        if batch.probe is None or not self._waiting:
            return
        outcomes = measured(batch, self.measure)
        for i in np.flatnonzero(batch.probe).tolist():
            row = self._rows.get(self._key(batch.tasks[i]))
            if row is None or not self._waiting:
                continue
            trials = 1.0 if batch.trials is None else float(batch.trials[i])
            self._successes[row] += trials * outcomes[i]
            self._trials[row] += trials
            self._waiting -= 1
            if not self._waiting:
                self._choose()

    def _choose(self) -> None:
        """Keep the tasks of greatest learnability among those that were tried."""
        self._waiting = 0
        known = np.flatnonzero(self._trials)
        if not len(known):
            return
        share = self._successes[known] / self._trials[known]
        learnability = share * (1.0 - share)
        best = np.argsort(-learnability, kind="stable")[: self.keep]
        self._kept, self._learnability = self._tried[known[best]], learnability[best]
        self.choices += 1

    def _state(self) -> State:
        return {
            "drawn": self.drawn, "choices": self.choices, "tried": self._tried.copy(),
            "successes": self._successes.copy(), "trials": self._trials.copy(),
            "waiting": self._waiting, "next": self._next, "kept": self._kept.copy(),
            "learnability": self._learnability.copy(),
        }  # fmt: skip

    def _load(self, state: Mapping[str, Any]) -> None:
        self.drawn, self.choices = int(state["drawn"]), int(state["choices"])
        self._waiting, self._next = int(state["waiting"]), int(state["next"])
        self._tried, self._kept = np.array(state["tried"]), np.array(state["kept"])
        self._successes, self._trials = np.array(state["successes"]), np.array(state["trials"])
        self._learnability = np.array(state["learnability"])
        self._rows = {self._key(task): row for row, task in enumerate(self._tried)}

    def _why(self, row: int, task: Any) -> Reason:
        at, share = int(self._origins[row]), self.learnable_share
        if at < 0:
            told = (
                f"proposal {self._number(row):,}, after {self.choices:,} choices of tasks to keep"
            )
            rest = 1.0 - share if len(self._kept) else 1.0
            return Reason("the whole space", told, rest, explores=True)
        worth = self._learnability
        return Reason(
            f"kept task {at + 1:,} of {len(self._kept):,}",
            f"its learnability p (1 - p) was {worth[at]:.3g} at choice {self.choices:,}, the "
            f"highest {worth[0]:.3g}",
            share / len(self._kept), explores=False,
        )  # fmt: skip

    def snapshot(self) -> dict[str, Any]:
        """Return the tasks that are drawn from, as many as fit, and their learnability."""
        shown: dict[str, Any] = {"choices": self.choices, "waiting": self._waiting}
        if len(self._kept):
            room = max(1, SNAPSHOT_BYTES // (self._kept[0].nbytes + 8))
            shown |= {
                "levels": self._to_tasks(self._kept[:room].copy()),
                "learnability": self._learnability[:room],
            }
        return shown
