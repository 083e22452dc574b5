"""The best fixed distribution: a control without order and without adaptivity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._arms import ArmTeacher, pick
from currgym.teaching import Batch, Reason, State, register

__all__ = ["StaticBest"]

FloatArray = NDArray[np.float64]


@register("static-best")
class StaticBest(ArmTeacher):
    """Draw one fixed distribution all the time: the one known, or found, to be best.

    With ``tasks`` (and ``shares``) it is what turned out best in hindsight: the single task, or
    the mixture, of earlier runs' comparison. Nothing is learned. What an adaptive teacher gains
    over it is order and adaptivity; what it gains over uniform draws is a better marginal.

    Without them every arm is attempted equally often at first, and the ``keep`` arms whose returns
    changed most from one attempt to the next are drawn uniformly from then on for good: the best
    that looking once can do.

    Source: the "better marginal" of a gain split into marginal, order and adaptivity; the measured
    form is explore-then-commit (Garivier, Kaufmann, Lattimore 2016,
    https://arxiv.org/abs/1605.08988) on learning progress.

    Differences: that a distribution is best has to be shown by whoever gives it, on other seeds
    than those of the comparison; ``yoked-shuffled`` has the marginal of an adaptive teacher. Probes
    count in the measured phase as attempts do.

    Args:
        space: Box tasks, or examples.
        seed: Of the private random generator.
        return_range: Raw returns that count as 0 and 1 in the measured phase; None uses running
            quantiles.
        tasks: The fixed distribution, as the space writes tasks; None measures first.
        shares: Of the tasks, from 0 up; None is all alike.
        bins: Of the measured phase: bins a side, or one number for each live axis; None takes as
            many as give at most 1,000 arms, 10 a side at most. Of examples: slices; None is groups
            or single ones.
        attempts: Outcomes of each arm on average in the measured phase, at least 2.
        keep: Arms that are kept, at least 1.

    >>> from currgym import BoxTasks, make_teacher
    >>> best = {"tasks": [[0.5], [2.5]], "shares": [0.0, 1.0]}
    >>> make_teacher("static-best", BoxTasks([0], [3]), seed=0, **best).sample(2)
    array([[2.5],
           [2.5]])
    """

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        tasks: ArrayLike | None = None,
        shares: ArrayLike | None = None,
        bins: int | Sequence[int] | None = None,
        attempts: int = 10,
        keep: int = 1,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range, bins=bins)
        if attempts < 2:
            raise ValueError(f"attempts must be at least 2, got {attempts}")
        if keep < 1:
            raise ValueError(f"keep must be at least 1, got {keep}")
        self.tasks: NDArray[Any] | None = None
        self.shares: FloatArray | None = None
        if tasks is not None:
            self.tasks = space.check(tasks).copy()
            self.shares = self._checked(shares, len(self.tasks))
        elif shares is not None:
            raise ValueError("shares are of tasks, and there are none: pass tasks too")
        self.attempts = attempts
        self.keep = keep
        n = self.arms.n
        self._last = np.full(n, np.nan)
        self._changes = np.zeros(n)
        self._compared = np.zeros(n, dtype=np.int64)
        self._measured = 0
        # Where the first turn begins; given tasks need no draw.
        self._asked = int(self.rng.integers(n)) if tasks is None else 0
        self._kept: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    @staticmethod
    def _checked(shares: ArrayLike | None, n: int) -> FloatArray:
        found = np.ones(n) if shares is None else np.array(shares, dtype=np.float64)
        if n == 0:
            raise ValueError("tasks must have at least one task, got none")
        if found.shape != (n,) or not (np.isfinite(found) & (found >= 0.0)).all():
            raise ValueError(f"shares must be {n} numbers from 0 up, one a task, got {shares!r}")
        if found.sum() <= 0.0:
            raise ValueError(f"shares must not all be 0, got {shares!r}")
        return found

    def _update(self, batch: Batch) -> None:
        if self.tasks is not None or len(self._kept):
            return
        arms = self.arms.of(batch.tasks).tolist()
        for arm, value in zip(arms, batch.raw_returns.tolist(), strict=True):
            before, now = self.scale(np.array([self._last[arm], value])).tolist()
            if not np.isnan(before):
                self._changes[arm] += abs(now - before)
                self._compared[arm] += 1
            self._last[arm] = value
            self._measured += 1
            if self._measured == self.attempts * self.arms.n:
                self._commit()
                return

    @property
    def progress(self) -> FloatArray:
        """Mean change from one attempt of an arm to the next, ``(arms,)``."""
        return np.asarray(self._changes / np.maximum(self._compared, 1))

    def _commit(self) -> None:
        progress = self.progress
        # Of equally good arms a random one: they are all alike if nothing changed anywhere.
        order = np.lexsort((self.rng.random(self.arms.n), -progress))
        self._kept = np.sort(order[: self.keep])
        self._forget_chances()

    def probability(self) -> FloatArray:
        """Return equal shares of the arms that are kept, or of all of them before that."""
        kept = self._kept if len(self._kept) else np.arange(self.arms.n)
        chances = np.zeros(self.arms.n)
        chances[kept] = 1.0 / len(kept)
        return chances

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        if self.tasks is not None and self.shares is not None:
            self._origins = pick(self.shares, rng.random(n))
            return np.asarray(self.tasks[self._origins])
        if len(self._kept):
            return super()._sample(n, rng)
        arms = (self._asked + np.arange(n)) % self.arms.n  # in turn
        self._asked += n
        return self.arms.place(arms, rng.random((n, self.arms.width)))

    def _to_tasks(self, drawn: NDArray[Any]) -> NDArray[Any]:
        return drawn if self.tasks is not None else super()._to_tasks(drawn)

    def _state(self) -> State:
        return {
            "last": self._last.copy(),
            "changes": self._changes.copy(),
            "compared": self._compared.copy(),
            "measured": self._measured,
            "asked": self._asked,
            "kept": self._kept.copy(),
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self._last, self._changes = np.array(state["last"]), np.array(state["changes"])
        self._compared = np.array(state["compared"])
        self._measured, self._asked = int(state["measured"]), int(state["asked"])
        self._kept = np.array(state["kept"], dtype=np.int64)
        self._forget_chances()

    def _why(self, row: int, task: Any) -> Reason:
        if self.tasks is not None and self.shares is not None:
            given, share = int(self._origins[row]), self.shares / self.shares.sum()
            what = f"its share was fixed beforehand, as proposal {self._number(row):,} has it"
            name = f"given task {given + 1:,} of {len(share):,}"
            return Reason(name, what, float(share[given]), explores=False)
        return super()._why(row, task)

    def _worth(self, arm: int) -> str:
        if len(self._kept):
            return (
                f"its progress was {self.progress[arm]:.3g} while all were measured, among the "
                f"best {len(self._kept):,}, and has not been looked at since"
            )
        need = self.attempts * self.arms.n
        return f"all take turns until {need:,} attempts are measured, {self._measured:,} so far"

    def _chance_of(self, arm: int) -> float | None:
        return super()._chance_of(arm) if len(self._kept) else None

    def _explored(self, arm: int) -> bool | None:
        return not len(self._kept)

    def snapshot(self) -> dict[str, Any]:
        """Return the fixed tasks with their shares, or the arms, their chances and progress."""
        if self.tasks is not None and self.shares is not None:
            most = max(1, 80_000 * len(self.tasks) // (self.tasks.nbytes + self.shares.nbytes))
            chances = self.shares / self.shares.sum()
            likeliest = np.argsort(-chances, kind="stable")[:most]
            return {"tasks": self.tasks[likeliest], "chances": chances[likeliest]}
        return {
            **self._shown(progress=self.progress),
            "measured": self._measured,
            "kept": len(self._kept),
        }
