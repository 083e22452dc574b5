"""Levels that are remembered and replayed: the part that PLR and its descendants share.

A level is a task with the seed of its episode. The store keeps the highest scores; a draw from it
mixes how much a level promises with how long it has not been seen.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import TaskSpace
from currgym.teaching import Batch, Proposals, Reason, State, Teacher

__all__ = [
    "Levels", "Prioritisation", "ReplayTeacher", "Score", "replay_chances", "score_chances",
    "staleness_chances",
]  # fmt: skip

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Prioritisation = Literal["rank", "proportional"]
Score = Literal["abs_advantage", "pvl", "maxmc", "td", "true_regret"]

SEED_LIMIT = 2**31 - 1
SNAPSHOT_BYTES = 60_000
MOST_REQUESTS = 256
"""Requests in one call, however many are owed; the rest waits."""


def score_chances(
    scores: FloatArray, prioritisation: Prioritisation, temperature: float
) -> FloatArray:
    """Return how likely each level is by its score, ``(n,)``, summing to 1.

    ``h(S) ** (1 / temperature)``, normalised, with ``h`` one over the rank of the score (equal
    scores share what their ranks get together) or the score itself where it is positive.
    """
    if prioritisation == "rank":
        _, group, counts = np.unique(-scores, return_inverse=True, return_counts=True)
        ends = counts.cumsum()
        shared = np.add.reduceat(rank_weights(len(scores), temperature), ends - counts) / counts
        return np.asarray(shared[group] / (shared * counts).sum())
    positive = np.maximum(scores, 0.0)
    if not positive.any():
        return np.full(len(scores), 1.0 / len(scores))
    with np.errstate(divide="ignore"):
        logs = np.log(positive)
    # Against the greatest, so that no temperature makes all of them vanish.
    weights = np.exp((logs - logs.max()) / temperature)
    return np.asarray(weights / weights.sum())


def rank_weights(n: int, temperature: float) -> FloatArray:
    """Return the weight of each rank from 1 to ``n``, not normalised."""
    return np.exp(-np.log(np.arange(1, n + 1)) / temperature)


def staleness_chances(last: IntArray, now: int) -> FloatArray:
    """Return how likely each level is by the time since it was last drawn, ``(n,)``."""
    ages = staleness(last, now)
    return np.asarray(ages / ages.sum())


def staleness(last: IntArray, now: int) -> IntArray:
    """Return the time since each level was last drawn, ``(n,)``; ones where all are of now."""
    ages = np.maximum(now - last, 0)
    return ages if ages.any() else np.ones_like(ages)


def replay_chances(by_score: FloatArray, by_staleness: FloatArray, share: float) -> FloatArray:
    """Return the mixture of both."""
    return (1.0 - share) * by_score + share * by_staleness


class Levels:
    """At most so many levels with their scores; the lowest makes way for a higher one.

    Args:
        capacity: Levels kept.
        tasks: An array of tasks, for their shape and type.
    """

    def __init__(self, capacity: int, tasks: NDArray[Any]) -> None:
        self.capacity = capacity
        self.count = 0
        self._tasks = np.zeros((capacity, *tasks.shape[1:]), dtype=tasks.dtype)
        self._seeds = np.zeros(capacity, dtype=np.int64)
        self._scores = np.zeros(capacity)
        self._best = np.zeros(capacity)
        self._last = np.zeros(capacity, dtype=np.int64)
        self._slots: dict[tuple[bytes, int], int] = {}
        # (minus score, slot), ascending: the best first, so that a rank is a position.
        self._order: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return self.count

    @property
    def tasks(self) -> NDArray[Any]:
        """``(n, ...)``, as the teacher works on them."""
        return self._tasks[: self.count]

    @property
    def seeds(self) -> IntArray:
        """``(n,)``; -1 where a level is its task alone."""
        return self._seeds[: self.count]

    @property
    def scores(self) -> FloatArray:
        """``(n,)``, as last measured."""
        return self._scores[: self.count]

    @property
    def best(self) -> FloatArray:
        """``(n,)`` the best return on each so far, raw."""
        return self._best[: self.count]

    @property
    def last(self) -> IntArray:
        """``(n,)`` the clock when each was last drawn (or found)."""
        return self._last[: self.count]

    @staticmethod
    def _key(task: NDArray[Any], seed: int) -> tuple[bytes, int]:
        # Adding 0 turns -0.0 into 0.0, which is the same task.
        return (task + 0).tobytes(), seed

    def find(self, task: NDArray[Any], seed: int) -> int | None:
        """Return the slot of a level, or None."""
        return self._slots.get(self._key(task, seed))

    def offer(
        self, task: NDArray[Any], seed: int, score: float, best: float, now: int
    ) -> int | None:
        """Take a level that is not there yet; None where its score is below all of a full store."""
        if self.count < self.capacity:
            slot = self.count
            self.count += 1
        else:
            worst = -self._order[-1][0]
            if not score > worst:
                return None
            # Of equals the one that was not drawn for longest.
            equals = np.flatnonzero(self.scores == worst)
            slot = int(equals[np.argmin(self._last[equals])])
            del self._slots[self._key(self._tasks[slot], int(self._seeds[slot]))]
            self._forget_rank(slot)
        self._tasks[slot], self._seeds[slot] = task, seed
        self._scores[slot], self._best[slot], self._last[slot] = score, best, now
        self._slots[self._key(self._tasks[slot], seed)] = slot
        bisect.insort(self._order, (-score, slot))
        return slot

    def _forget_rank(self, slot: int) -> None:
        del self._order[bisect.bisect_left(self._order, (-float(self._scores[slot]), slot))]

    def at_rank(self, position: int, among_equals: float) -> int:
        """Return the slot at a rank from 0, of equal scores any.

        Args:
            position: The rank.
            among_equals: In [0, 1): which of those with the same score.
        """
        value = self._order[position][0]
        first = bisect.bisect_left(self._order, (value, -1))
        last = bisect.bisect_left(self._order, (value, self.capacity))
        return self._order[first + int(among_equals * (last - first))][1]

    def measure(self, slot: int, score: float, best: float) -> None:
        """Note a level's new score and best return."""
        if score != self._scores[slot]:
            self._forget_rank(slot)
            bisect.insort(self._order, (-score, slot))
        self._scores[slot], self._best[slot] = score, best

    def stamp(self, slot: int, now: int) -> None:
        """Note that a level is drawn."""
        self._last[slot] = now

    def state(self) -> State:
        """Return plain arrays."""
        return {
            "tasks": self.tasks.copy(), "seeds": self.seeds.copy(), "scores": self.scores.copy(),
            "best": self.best.copy(), "last": self.last.copy(),
        }  # fmt: skip

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` returned."""
        self.count = count = len(state["seeds"])
        for name in ("tasks", "seeds", "scores", "best", "last"):
            getattr(self, f"_{name}")[:count] = state[name]
        self._slots = {
            self._key(task, seed): slot
            for slot, (task, seed) in enumerate(zip(self.tasks, self.seeds.tolist(), strict=True))
        }
        self._order = sorted((-score, slot) for slot, score in enumerate(self.scores.tolist()))


class ReplayTeacher(Teacher):
    """Base class: new levels and replayed ones, by scores of the attempts on them.

    A subclass may override :meth:`_new` (where new levels come from) and :meth:`_replayed` (what
    happens with a level that was trained on).

    Args:
        space: What tasks there are.
        seed: Of the private random generator.
        return_range: Unused: scores are taken as they are.
        score: What makes a level worth replaying.
        robust: Whether students train on replayed levels only.
        replay_rate: Share of replays, in (0, 1].
        capacity: Levels kept, at least 1.
        warmup: Levels known before replay begins, at least 1.
        prioritisation: ``"rank"`` or ``"proportional"``.
        temperature: Of the prioritisation, above 0.
        staleness: Share of draws by staleness, in [0, 1].
        fixed_seeds: Whether a level is a task with its seed.
    """

    spaces = frozenset({"box", "discrete", "levels"})
    probes_explore = True

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None,
        return_range: tuple[float, float] | None,
        score: Score,
        robust: bool,
        replay_rate: float,
        capacity: int,
        warmup: int,
        prioritisation: Prioritisation,
        temperature: float,
        staleness: float,
        fixed_seeds: bool | None,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        if score not in get_args(Score):
            raise ValueError(f"score must be one of {get_args(Score)}, got {score!r}")
        if prioritisation not in get_args(Prioritisation):
            raise ValueError(
                f"prioritisation must be one of {get_args(Prioritisation)}, got {prioritisation!r}"
            )
        if not 0.0 < replay_rate <= 1.0:
            raise ValueError(f"replay_rate must lie in (0, 1], got {replay_rate}")
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        if warmup < 1:
            raise ValueError(f"warmup must be at least 1, got {warmup}")
        if not temperature > 0.0:
            raise ValueError(f"temperature must be above 0, got {temperature}")
        if not 0.0 <= staleness <= 1.0:
            raise ValueError(f"staleness must lie in [0, 1], got {staleness}")
        self.score: Score = score
        self.robust = robust
        self.replay_rate = replay_rate
        self.capacity = capacity
        self.warmup = warmup
        self.prioritisation: Prioritisation = prioritisation
        self.temperature = temperature
        self.staleness = staleness
        self.fixed_seeds = fixed_seeds
        self._seeded = space.kind != "levels" if fixed_seeds is None else fixed_seeds
        self.levels = Levels(capacity, self._native(space.sample(1, np.random.default_rng(0))))
        self.drawn = 0
        """Levels drawn so far, new and replayed: the clock of staleness."""
        self.replays = 0
        self.news = 0
        self.duplicates = 0
        """New levels that were known already and drawn again."""
        self._owed = 0.0
        self._edges: FloatArray | None = None
        self._ranks = rank_weights(capacity, temperature).cumsum()
        self._seeds_of_draw: IntArray = np.empty(0, dtype=np.int64)

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """The score; the seeds where a level has one; probes where new levels are requests."""
        more = {"seeds": self._seeded, "probe": self.robust}
        return frozenset({self.score, *(name for name, needed in more.items() if needed)})

    @property
    def privileges(self) -> frozenset[str]:  # type: ignore[override]
        """``solver`` where the score is the true regret."""
        return frozenset({"solver"}) if self.score == "true_regret" else frozenset()

    # Drawing -------------------------------------------------------------------------------------

    def propose(self, n: int = 1) -> Proposals:
        """Propose ``n`` levels: tasks, and the seeds where a level has one."""
        tasks = self.sample(n)
        return Proposals(tasks, self._seeds_of_draw.copy() if self._seeded else None)

    @property
    def ready(self) -> bool:
        """Whether enough levels are known to replay some."""
        return len(self.levels) >= min(self.warmup, self.capacity)

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        tasks: list[NDArray[Any]] = []
        seeds: list[int] = []
        self._origins = []
        for _ in range(n):
            task, seed = self._one(rng)
            tasks.append(task)
            seeds.append(seed)
        self._seeds_of_draw = np.array(seeds, dtype=np.int64)
        return np.array(tasks)

    def _one(self, rng: np.random.Generator) -> tuple[NDArray[Any], int]:
        """Draw one level to train on."""
        self.drawn += 1
        if self.robust:
            self._owed += (1.0 - self.replay_rate) / self.replay_rate
            replays = len(self.levels) > 0
        else:
            replays = self.ready and rng.random() < self.replay_rate
        if replays:
            self.replays += 1
            how, slot = self._replay(rng)
            self._origins.append((how, slot))
            self.levels.stamp(slot, self.drawn)
            return self.levels.tasks[slot].copy(), int(self.levels.seeds[slot])
        self.news += 1
        self._origins.append(("new", -1))
        tasks, seeds = self._fresh(1, rng)
        return tasks[0], int(seeds[0])

    def _replay(self, rng: np.random.Generator) -> tuple[str, int]:
        """Draw the slot of a level to replay, and say how: by ``score``, or by ``staleness``."""
        levels, how = self.levels, "score"
        if self.staleness > 0.0 and rng.random() < self.staleness:
            how = "staleness"
            edges: NDArray[Any] = staleness(levels.last, self.drawn).cumsum()
        elif self.prioritisation == "rank":
            n = len(levels)
            rank = int(self._ranks[:n].searchsorted(rng.random() * self._ranks[n - 1], "right"))
            return how, levels.at_rank(min(rank, n - 1), rng.random())
        else:
            if self._edges is None:
                by_score = score_chances(levels.scores, self.prioritisation, self.temperature)
                self._edges = by_score.cumsum()
            edges = self._edges
        slot = int(edges.searchsorted(rng.random() * edges[-1], side="right"))
        return how, min(slot, len(levels) - 1)

    def _fresh(self, n: int, rng: np.random.Generator) -> tuple[NDArray[Any], IntArray]:
        """Draw new levels, those that are known drawn once more."""
        tasks, seeds = self._native(self._new(n, rng)), self._draw_seeds(n, rng)
        for i in range(n):
            if self.levels.find(tasks[i], int(seeds[i])) is not None:
                self.duplicates += 1
                tasks[i] = self._native(self._new(1, rng))[0]
        return tasks, seeds

    def _new(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        """Return the tasks of new levels, as the space writes them."""
        return self.space.sample(n, rng)

    def _draw_seeds(self, n: int, rng: np.random.Generator) -> IntArray:
        if not self._seeded:
            return np.full(n, -1, dtype=np.int64)
        return rng.integers(SEED_LIMIT, size=n)

    def _native(self, tasks: NDArray[Any]) -> NDArray[Any]:
        """Return tasks of the space as they are kept: in the unit cube where there is one."""
        return self.space.to_unit(tasks) if self.space.kind == "box" else tasks

    # Requests ------------------------------------------------------------------------------------

    def _requests(self) -> Proposals | None:
        asked = self._children(self.rng)
        count = MOST_REQUESTS if asked is None else max(0, MOST_REQUESTS - len(asked[1]))
        if self.robust:
            missing = min(self.warmup, self.capacity) - len(self.levels)
            # Sums of tenths fall short of whole numbers by a last bit.
            count = min(count, max(missing, int(self._owed + 1e-9)))
            self._owed = max(0.0, self._owed - count)
            if count > 0:
                fresh = self._fresh(count, self.rng)
                self.news += count
                asked = fresh if asked is None else _joined(asked, fresh)
        if asked is None:
            return None
        tasks, seeds = asked
        return Proposals(self._to_tasks(tasks), seeds if self._seeded else None)

    def _children(self, rng: np.random.Generator) -> tuple[NDArray[Any], IntArray] | None:
        """Return levels made from known ones, to be scored; None where there are none."""
        return None

    # Learning ------------------------------------------------------------------------------------

    def _update(self, batch: Batch) -> None:
        seeds = batch.seeds if self._seeded else None
        measured = batch.scores[self.score].tolist()
        raw = batch.raw_returns.tolist()
        probe = batch.probe
        for i, task in enumerate(batch.tasks):
            seed = -1 if seeds is None else int(seeds[i])
            slot = self.levels.find(task, seed)
            best = raw[i] if slot is None else max(raw[i], float(self.levels.best[slot]))
            score = measured[i]
            if self.score == "maxmc":
                score += best - raw[i]  # measured against the best return that the level ever gave
            if slot is None:
                if self.levels.offer(task, seed, score, best, self.drawn) is not None:
                    self._edges = None
            else:
                self.levels.measure(slot, score, best)
                self._edges = None
                if probe is None or not probe[i]:
                    self._replayed(slot)

    def _replayed(self, slot: int) -> None:
        """Take note that the student has trained on a known level."""

    # State ---------------------------------------------------------------------------------------

    def _state(self) -> State:
        return {
            "levels": self.levels.state(), "drawn": self.drawn, "replays": self.replays,
            "news": self.news, "duplicates": self.duplicates, "owed": self._owed,
        }  # fmt: skip

    def _load(self, state: Mapping[str, Any]) -> None:
        self.levels.load(state["levels"])
        self.drawn, self.replays = int(state["drawn"]), int(state["replays"])
        self.news, self.duplicates = int(state["news"]), int(state["duplicates"])
        self._owed = float(state["owed"])
        self._edges = None

    def chances(self) -> FloatArray:
        """Return how likely each known level is to be the next replay, ``(levels,)``."""
        if not len(self.levels):
            return np.empty(0)
        by_score = score_chances(self.levels.scores, self.prioritisation, self.temperature)
        by_staleness = staleness_chances(self.levels.last, self.drawn)
        return replay_chances(by_score, by_staleness, self.staleness)

    def _why(self, row: int, task: Any) -> Reason:
        how, slot = self._origins[row]
        known, rate = len(self.levels), 1.0 if self.robust else self.replay_rate
        if how == "new":
            told = f"{known:,} levels are known, and replay begins at {self.warmup:,}"
            return Reason("new levels", told, 1.0 - rate if self.ready else None, explores=True)
        score = float(self.levels.scores[slot])
        rank = int((self.levels.scores > score).sum()) + 1
        worth = f"its {self.score} is {score:.3g}, number {rank:,} of {known:,}"
        if how == "staleness":
            return Reason(f"level {slot + 1:,} by staleness", worth, explores=False)
        by_score = score_chances(self.levels.scores, self.prioritisation, self.temperature)
        chance = float(rate * (1.0 - self.staleness) * by_score[slot])
        return Reason(f"level {slot + 1:,} by score", worth, chance, explores=False)

    def snapshot(self) -> dict[str, Any]:
        """Return counts, and of the levels that are likeliest to be replayed as many as fit.

        ``levels`` are tasks as the space writes them, with their ``scores`` and ``chances``.
        """
        shown: dict[str, Any] = {
            "known": len(self.levels), "replays": self.replays, "new": self.news,
            "duplicates": self.duplicates,
        }  # fmt: skip
        if len(self.levels):
            chances = self.chances()
            room = max(1, SNAPSHOT_BYTES // (self.levels.tasks[0].nbytes + 16))
            likely = np.argsort(-chances, kind="stable")[:room]
            shown |= {
                "levels": self._to_tasks(self.levels.tasks[likely].copy()),
                "scores": self.levels.scores[likely],
                "chances": chances[likely],
            }
        return shown


def _joined(
    one: tuple[NDArray[Any], IntArray], other: tuple[NDArray[Any], IntArray]
) -> tuple[NDArray[Any], IntArray]:
    return np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]])
