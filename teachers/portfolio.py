"""A bandit over whole teachers, which follows different ones at different times."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.outcomes import Outcomes
from currgym.tasks import TaskSpace
from currgym.teachers._arms import make_arms
from currgym.teachers._parts import Composite, OpenProposals, build_part, listed
from currgym.teachers._rewards import RewardScale
from currgym.teaching import Batch, Reason, State, Teacher, register

__all__ = ["Master", "Portfolio"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

DEFAULT_TEACHERS = ("alp-gmm", "exp3s", "random")
RESERVOIR = 1000
MOST_BLOCKS = 64


class Master:
    """Exp3.S with a fixed share: a bandit whose best arm may change.

    Source: Auer, Cesa-Bianchi, Freund, Schapire, "The nonstochastic multiarmed bandit problem",
    SIAM Journal on Computing 32 (2002), section 8; the fixed share is that of Herbster and Warmuth
    1998.

    Args:
        arms: How many, K.
        gamma: Exploration, in (0, 1].
        alpha: Share of the weights that is spread over all arms in a round, at least 0.
    """

    def __init__(self, arms: int, gamma: float, alpha: float) -> None:
        self.gamma, self.alpha = gamma, alpha
        self.weights = np.full(arms, 1.0 / arms)

    @classmethod
    def tuned(cls, arms: int, rounds: int, segments: int, gamma: float | None = None) -> Master:
        """Return the one whose bound is least for so many rounds and segments."""
        if gamma is None:
            hardness = segments * math.log(arms * rounds) + math.e
            gamma = min(1.0, math.sqrt(arms * hardness / ((math.e - 1.0) * rounds)))
        return cls(arms, gamma, 1.0 / rounds)

    @property
    def chances(self) -> FloatArray:
        """How likely each arm is to be chosen."""
        return np.asarray((1.0 - self.gamma) * self.weights + self.gamma / len(self.weights))

    def learn(self, arm: int, reward: float, chance: float) -> None:
        """Take the reward in [0, 1] of an arm that was chosen with this chance."""
        arms = len(self.weights)
        grown = self.weights.copy()
        grown[arm] *= math.exp(self.gamma * reward / (chance * arms))
        grown += math.e * self.alpha / arms  # of weights that sum to 1
        self.weights = grown / grown.sum()

    def bound(self, rounds: int, segments: int) -> float:
        """Return what the best sequence of so many segments gains more at most, expected."""
        arms = len(self.weights)
        learning = segments * math.log(arms / self.alpha) + math.e * self.alpha * rounds
        return arms * learning / self.gamma + (math.e - 1.0) * self.gamma * rounds


@dataclass
class _Block:
    """Consecutive proposals of one teacher, and what came of them."""

    teacher: int
    chance: float
    switched: bool
    arrived: int = 0
    measured: int = 0
    progress: float = 0.0


@register("portfolio")
class Portfolio(Composite):
    """Follow one of several teachers for a while, then perhaps another: whoever brings progress.

    Proposals are cut into blocks of ``period``; a bandit with a fixed share (Exp3.S) chooses the
    teacher of each. The reward of a block is the mean progress of its attempts, the absolute
    difference between an attempt's return and the last one in the same bin of the space, which is
    put on [0, 1] between the 20 % and 80 % quantiles of the blocks so far. A block that switches to
    another teacher pays ``switch_cost`` of it. All teachers learn from all outcomes, so a teacher
    that is not followed does not fall behind.

    Guarantee: the loss of a block is 1 less its rescaled reward. Over ``T = horizon / period``
    blocks the expected sum of losses exceeds that of the best sequence of teachers with ``S``
    segments by at most ``K (S ln(K T) + e) / gamma + (e - 1) gamma T``, and with the costs of
    switching, of which such a sequence pays none, by ``switch_cost T`` more; ``snapshot`` has it
    per block: 0.9 of 1 for three teachers and 20,000 proposals, so next to nothing in short runs.
    With ``period`` near the cube root of the horizon both grow as its power 2/3. This is about the
    rewards as they came: what the *student* would have become under one teacher from the start is
    not covered, and no bandit's guarantee covers that. Nor is absolute progress safe from a teacher
    that seeks noise. Outcomes that come late add the rewards of the blocks under way.

    Source: combining predictors dynamically: Herbster, Warmuth, "Tracking the best expert", Machine
    Learning 32 (1998); for bandits, and the bound, Auer, Cesa-Bianchi, Freund, Schapire, "The
    nonstochastic multiarmed bandit problem", SIAM Journal on Computing 32 (2002), section 8; blocks
    against switching costs as in Dekel, Ding, Koren, Peres 2014, https://arxiv.org/abs/1310.2997.

    Differences: teachers in the place of arms, so rewards depend on what was chosen before.

    Args:
        space: A box, or examples, on which all of the teachers work.
        seed: Of the private random generator, from which the teachers have theirs.
        return_range: Raw returns that count as 0 and 1; None uses running quantiles.
        teachers: Names, ``"name"`` or ``"name:preset"``: a list, or a text with commas or plus
            signs between them. None is alp-gmm, exp3s and random, as far as they work here.
        teacher_parameters: Of the teachers, by their entry in the list.
        period: Proposals in a block, at least 1; None is the cube root of the horizon.
        segments: ``S``, how often the best teacher is thought to change, plus 1; at least 1.
        exploration: ``gamma``, in (0, 1]; None has the least bound for the horizon.
        switch_cost: Reward that the first block after a switch pays, in [0, 1].
        bins: Where progress is measured: bins a side, or one number for each live axis; None takes
            as many as give at most 1,000, 10 a side at most. Of examples: slices; None is groups or
            single ones.
        horizon: Proposals in all; default 10 passes over a discrete space, 10,000 otherwise.

    >>> from currgym import BoxTasks, make_teacher
    >>> teacher = make_teacher("portfolio", BoxTasks([0], [1]), seed=0, teachers="random,window",
    ...     teacher_parameters={"window": {"directions": [1]}})
    >>> teacher.sample(100).shape
    (100, 1)
    >>> teacher.snapshot()["teacher_chances"]
    array([0.5, 0.5])
    """

    spaces = frozenset({"box", "discrete"})

    names_teachers = frozenset({"teachers"})
    default_parts = DEFAULT_TEACHERS

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        teachers: str | Sequence[str] | None = None,
        teacher_parameters: Mapping[str, Mapping[str, Any]] | None = None,
        period: int | None = None,
        segments: int = 3,
        exploration: float | None = None,
        switch_cost: float = 0.05,
        bins: int | Sequence[int] | None = None,
        horizon: int | None = None,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        if period is not None and period < 1:
            raise ValueError(f"period must be at least 1, got {period}")
        if segments < 1:
            raise ValueError(f"segments must be at least 1, got {segments}")
        if exploration is not None and not 0.0 < exploration <= 1.0:
            raise ValueError(f"exploration must lie in (0, 1], got {exploration}")
        if not 0.0 <= switch_cost <= 1.0:
            raise ValueError(f"switch_cost must lie in [0, 1], got {switch_cost}")
        self.teachers = teachers
        self.teacher_parameters = teacher_parameters
        self.segments = segments
        self.exploration = exploration
        self.switch_cost = switch_cost
        self.bins = bins
        self.horizon = self.default_horizon() if horizon is None else int(horizon)
        if self.horizon < 1:
            raise ValueError(f"horizon must be at least 1, got {self.horizon}")
        self.period = max(1, round(self.horizon ** (1 / 3))) if period is None else period
        self.names, self.parts = self._build(return_range)
        self.rounds = max(1, self.horizon // self.period)
        self.master = Master.tuned(len(self.parts), self.rounds, segments, exploration)
        self._arms = make_arms(space, bins)
        self._last = np.full(self._arms.n, np.nan)
        self._rewards = RewardScale("quantiles", RESERVOIR)
        self._open = OpenProposals()
        self._blocks: dict[int, _Block] = {}
        self._begun = 0
        self._left = 0
        self._followed = -1
        self._counts = np.zeros(len(self.parts), dtype=np.int64)
        self._switches = self._unmeasured = 0
        # Of the call under way: the block of each proposal, and the tasks that came back.
        self._block_of: IntArray = np.empty(0, dtype=np.int64)
        self._arrived: NDArray[Any] = np.empty(0)

    def _build(
        self, return_range: tuple[float, float] | None
    ) -> tuple[list[str], Sequence[Teacher]]:
        parameters = dict(self.teacher_parameters or {})
        optional = self.teachers is None
        names = listed(DEFAULT_TEACHERS if self.teachers is None else self.teachers, "teachers")
        unknown = sorted(set(parameters) - set(names))
        if unknown:
            raise ValueError(f"teacher_parameters name {unknown[0]!r}, which is not one of {names}")
        found: dict[str, Teacher] = {}
        for name in names:
            if name in found:
                raise ValueError(f"teachers name {name!r} twice")
            try:
                found[name] = build_part(
                    name, self.space, self.rng, return_range, parameters.get(name), self.horizon
                )
            except ValueError:
                if not optional:
                    raise
        return list(found), list(found.values())

    # Who proposes --------------------------------------------------------------------------------

    def _choose(self, n: int, rng: np.random.Generator) -> IntArray:
        chosen = np.empty(n, dtype=np.int64)
        self._block_of = np.empty(n, dtype=np.int64)
        done = 0
        while done < n:
            if self._left == 0:
                self._begin_block(rng)
            piece = min(n - done, self._left)
            chosen[done : done + piece] = self._followed
            self._block_of[done : done + piece] = self._begun
            self._left -= piece
            done += piece
        return chosen

    def _begin_block(self, rng: np.random.Generator) -> None:
        if len(self._blocks) >= MOST_BLOCKS:  # what is still out of the oldest may never come
            self._close(next(iter(self._blocks)))
        chances = self.master.chances
        found = np.searchsorted(np.cumsum(chances), rng.random() * chances.sum(), side="right")
        teacher = min(int(found), len(self.parts) - 1)
        switched = self._begun > 0 and teacher != self._followed
        self._switches += switched
        self._followed, self._left = teacher, self.period
        self._begun += 1
        self._blocks[self._begun] = _Block(teacher, float(chances[teacher]), switched)

    def _issued(self, chosen: IntArray, tasks: NDArray[Any]) -> None:
        self._open.add(tasks, self._block_of.tolist())
        self._counts += np.bincount(chosen, minlength=len(self.parts))

    # What came of it -----------------------------------------------------------------------------

    def update(self, outcomes: Outcomes) -> None:
        """Take outcomes; all teachers learn from all of them."""
        self._arrived = self.space.as_array(outcomes.tasks)
        super().update(outcomes)

    def _update(self, batch: Batch) -> None:
        bins = self._arms.of(batch.tasks).tolist()
        before = self._last[bins]
        values = batch.raw_returns.tolist()
        for row, (place, value) in enumerate(zip(bins, values, strict=True)):
            before[row], self._last[place] = self._last[place], value
        progress = np.abs(batch.returns - self.scale(before)).tolist()
        for row, number in enumerate(self._open.take(self._arrived)):
            if number is None or number not in self._blocks:
                continue
            block = self._blocks[number]
            block.arrived += 1
            if not math.isnan(progress[row]):
                block.measured += 1
                block.progress += progress[row]
            if block.arrived == self.period:
                self._close(number)

    def _close(self, number: int) -> None:
        """Reward a block's teacher."""
        block = self._blocks.pop(number)
        if block.measured == 0:
            self._unmeasured += 1
            return
        progress = block.progress / block.measured
        self._rewards.add(progress, self.rng)
        reward = (1.0 + self._rewards(progress)) / 2.0
        if block.switched:
            reward = max(0.0, reward - self.switch_cost)
        self.master.learn(block.teacher, reward, block.chance)

    # State ---------------------------------------------------------------------------------------

    def _state(self) -> State:
        return {
            **super()._state(),
            "weights": self.master.weights.copy(),
            "last": self._last.copy(),
            "rewards": self._rewards.state(),
            "open": self._open.state(),
            "blocks": [{"number": k, **asdict(block)} for k, block in self._blocks.items()],
            "begun": self._begun,
            "left": self._left,
            "followed": self._followed,
            "counts": self._counts.copy(),
            "switches": self._switches,
            "unmeasured": self._unmeasured,
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        super()._load(state)
        self.master.weights = np.array(state["weights"])
        self._last = np.array(state["last"])
        self._rewards.load(state["rewards"])
        self._open.load(state["open"])
        self._blocks = {
            int(saved["number"]): _Block(**{k: v for k, v in saved.items() if k != "number"})
            for saved in state["blocks"]
        }
        self._begun, self._left = int(state["begun"]), int(state["left"])
        self._followed = int(state["followed"])
        self._counts = np.array(state["counts"])
        self._switches, self._unmeasured = int(state["switches"]), int(state["unmeasured"])

    def _followed_for(self, part: int, row: int) -> Reason:
        block = int(self._block_of[row])
        begun = self._blocks.get(block)
        odds = "" if begun is None else f", chosen with a chance of {begun.chance:.3g}"
        return Reason(
            self.names[part],
            f"block {block:,} of {self.period:,} proposals follows it{odds} (the next would with "
            f"{self.master.chances[part]:.3g})",
        )

    def snapshot(self) -> dict[str, Any]:
        """Return what the followed teacher shows, and how likely each is to be followed next."""
        followed = max(self._followed, 0)
        regret = self.master.bound(self.rounds, self.segments) / self.rounds
        return {
            **self.parts[followed].snapshot(),
            "teachers": ", ".join(self.names),
            "followed": self.names[followed],
            "teacher_chances": self.master.chances,
            "proposals": self._counts.copy(),
            "blocks": self._begun,
            "switches": self._switches,
            "charged": self.switch_cost * self._switches,
            "unmeasured_blocks": self._unmeasured,
            "bound_per_block": regret + self.switch_cost,
        }
