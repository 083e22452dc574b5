"""RIAC: split the task space into regions, and sample where learning progress is greatest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import TaskSpace
from currgym.teaching import Batch, Reason, State, Teacher, register

__all__ = ["RIAC"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# A leaf looks for a split among at most this many times ``split_attempts`` random cuts.
ROUNDS = 20
# Mutations stay this far inside their region.
INSET = 1e-5


class RegionTree:
    """Boxes cut in two again and again; each keeps its latest attempts, oldest first to go.

    Args:
        dim: Dimensions of a task.
        keep: Attempts that a region keeps.
        max_regions: Regions at most, inner ones counted.
    """

    def __init__(self, dim: int, keep: int, max_regions: int) -> None:
        self.dim = dim
        self.keep = keep
        self.max_regions = max_regions
        self.low: list[FloatArray] = []
        self.high: list[FloatArray] = []
        # Of an inner region: column, threshold and left child (the right one is the next).
        self.column: list[int] = []
        self.threshold: list[float] = []
        self.left: list[int] = []
        self.head: IntArray = np.zeros(1, dtype=np.int64)
        self.size: IntArray = np.zeros(1, dtype=np.int64)
        self.tasks = np.zeros((1, keep, dim))
        self.returns = np.zeros((1, keep))
        self._new(np.zeros(dim), np.ones(dim))

    def __len__(self) -> int:
        return len(self.left)

    @property
    def full(self) -> bool:
        """Whether no region may be split any more."""
        return len(self) + 2 > self.max_regions

    def _new(self, low: FloatArray, high: FloatArray) -> int:
        region = len(self.left)
        if region == len(self.returns):
            self._reserve(min(2 * region, self.max_regions))
        self.low.append(low)
        self.high.append(high)
        self.column.append(-1)
        self.threshold.append(math.nan)
        self.left.append(-1)
        return region

    def _reserve(self, regions: int) -> None:
        for name in ("head", "size", "tasks", "returns"):
            old = getattr(self, name)
            new = np.zeros((regions, *old.shape[1:]), dtype=old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)

    def path(self, task: FloatArray) -> IntArray:
        """Return the regions that contain a task, from the whole space down to a leaf."""
        point = task.tolist()
        region = 0
        found = [0]
        while self.left[region] >= 0:
            above = point[self.column[region]] >= self.threshold[region]
            region = self.left[region] + above
            found.append(region)
        return np.array(found)

    def add(self, regions: IntArray, task: FloatArray, value: float) -> None:
        """Store an attempt in each of the regions."""
        slots = self.head[regions]
        self.tasks[regions, slots] = task
        self.returns[regions, slots] = value
        self.head[regions] = (slots + 1) % self.keep
        self.size[regions] = np.minimum(self.size[regions] + 1, self.keep)

    def attempts(self, region: int) -> tuple[FloatArray, FloatArray]:
        """Return the tasks and returns of a region, oldest first."""
        known = int(self.size[region])
        slots = (self.head[region] - known + np.arange(known)) % self.keep
        return self.tasks[region, slots], self.returns[region, slots]

    def latest(self, regions: IntArray, n: int) -> tuple[FloatArray, IntArray]:
        """Return the latest ``n`` returns of regions, ``(k, n)`` newest first, and their sizes."""
        slots = (self.head[regions, None] - 1 - np.arange(n)) % self.keep
        return self.returns[regions[:, None], slots], self.size[regions]

    def forget(self, region: int, n: int) -> None:
        """Drop the oldest ``n`` attempts of a region."""
        self.size[region] = max(int(self.size[region]) - n, 0)

    def split(self, region: int, column: int, threshold: float) -> int:
        """Cut a leaf in two and share its attempts out; return the left child."""
        tasks, returns = self.attempts(region)
        low, high = self.low[region], self.high[region]
        middle_low, middle_high = low.copy(), high.copy()
        middle_low[column] = middle_high[column] = threshold
        left = self._new(low, middle_high)
        right = self._new(middle_low, high)
        self.column[region], self.threshold[region], self.left[region] = column, threshold, left
        below = tasks[:, column] < threshold
        for child, inside in ((left, below), (right, ~below)):
            known = int(inside.sum())
            self.tasks[child, :known] = tasks[inside]
            self.returns[child, :known] = returns[inside]
            self.head[child], self.size[child] = known % self.keep, known
        return left

    def state(self) -> State:
        """Return plain arrays; of each region only the attempts that it holds."""
        held = [self.attempts(region) for region in range(len(self))]
        return {
            "low": np.stack(self.low),
            "high": np.stack(self.high),
            "column": np.array(self.column),
            "threshold": np.array(self.threshold),
            "left": np.array(self.left),
            "size": self.size[: len(self)].copy(),
            "tasks": np.concatenate([tasks for tasks, _ in held]),
            "returns": np.concatenate([returns for _, returns in held]),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` returned."""
        self.low, self.high = list(np.array(state["low"])), list(np.array(state["high"]))
        for name in ("column", "threshold", "left"):
            setattr(self, name, np.asarray(state[name]).tolist())
        regions = len(self)
        self.size = np.array(state["size"], dtype=np.int64)
        self.head = self.size % self.keep
        self.tasks = np.zeros((regions, self.keep, self.dim))
        self.returns = np.zeros((regions, self.keep))
        start = 0
        for region, size in enumerate(self.size.tolist()):
            self.tasks[region, :size] = state["tasks"][start : start + size]
            self.returns[region, :size] = state["returns"][start : start + size]
            start += size


@register(
    "riac",
    presets={
        "corl2019": {
            "region_size": 200, "split_attempts": 50, "min_points": 10, "min_side": 1 / 15,
        },
        "teachmyagent": {
            "region_size": 150, "split_attempts": 75, "min_points": 8, "min_side": 0.1,
        },
    },
)  # fmt: skip
class RIAC(Teacher):
    """Split the task space into regions, and sample those where absolute progress is greatest.

    A region's absolute learning progress (ALP) is the difference between the mean returns of the
    older and of the newer half of its latest attempts. A leaf with more than ``region_size``
    attempts is cut in two at the best of ``split_attempts`` random cuts, the one that maximises
    ``n_left * n_right * |ALP_left - ALP_right|``. A task is drawn uniformly in a region chosen in
    proportion to ALP, or (one in ten) near the worst attempt of such a region, or (one in five)
    anywhere.

    Source: Baranes and Oudeyer, "R-IAC: robust intrinsically motivated exploration and active
    learning", IEEE TAMD 2009, in the form of Portelas et al., CoRL 2019,
    https://arxiv.org/abs/1910.07224, appendix on RIAC; presets from that paper's code
    (``teachDeepRL``, the defaults here) and from TeachMyAgent (https://arxiv.org/abs/2103.09815).

    Differences from the reference code: the score of a cut counts the attempts on both sides (there
    the constant 2 stood for them); children begin with the ALP of the cut that was chosen, not of
    the one tried last; the search for cuts ends, also where none leaves ``min_points`` on both
    sides; inner regions are as bounded as leaves, and there are at most ``max_regions``; a task on
    a threshold lies on one side only; mutation noise is a share of each range; everything random
    comes from the teacher's own generator.

    Args:
        space: What tasks there are.
        seed: Of the private random generator.
        return_range: Raw returns that count as 0 and 1; None uses running quantiles.
        region_size: Attempts above which a leaf is split; at least 2. Default of the paper.
        alp_window: Latest attempts over which ALP is taken, at least 2; None is ``region_size``.
        split_attempts: Random cuts compared at a split; at least 1.
        min_points: Attempts on each side of a cut; at least 1; None is a twentieth of
            ``region_size``.
        min_side: Shortest side of a region, as a share of the range, in [0, 1].
        discard: Share of the oldest attempts that a leaf without a good cut drops, in (0, 1].
        mutate_ratio: Share of mutations, in [0, 1].
        random_ratio: Share of uniform tasks, in [0, 1]; both shares together at most 1.
        mutation_noise: Standard deviation of mutations, as a share of each range; at least 0.
        leaves_only: Whether only leaves are sampled; in the paper inner regions are too.
        max_regions: Regions at most, inner ones counted; at least 1.

    >>> from currgym import BoxTasks, Outcomes, make_teacher
    >>> space = BoxTasks([0, 0], [3, 6], names=["stump_height", "obstacle_spacing"])
    >>> teacher = make_teacher("riac", space, seed=0, return_range=(0, 9), region_size=50)
    >>> for _ in range(60):
    ...     tasks = teacher.sample(1)
    ...     teacher.update(Outcomes(tasks, tasks.sum(axis=1)))
    >>> teacher.snapshot()["regions"]
    3
    """

    spaces = frozenset({"box"})

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        region_size: int = 200,
        alp_window: int | None = None,
        split_attempts: int = 50,
        min_points: int | None = None,
        min_side: float = 1 / 15,
        discard: float = 0.25,
        mutate_ratio: float = 0.1,
        random_ratio: float = 0.2,
        mutation_noise: float = 0.1,
        leaves_only: bool = False,
        max_regions: int = 250,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        for name, value, least in (
            ("region_size", region_size, 2), ("alp_window", alp_window, 2),
            ("split_attempts", split_attempts, 1), ("min_points", min_points, 1),
            ("max_regions", max_regions, 1),
        ):  # fmt: skip
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        for name, share in (
            ("min_side", min_side), ("mutate_ratio", mutate_ratio), ("random_ratio", random_ratio)
        ):  # fmt: skip
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {share}")
        if mutate_ratio + random_ratio > 1.0:
            raise ValueError(
                "mutate_ratio and random_ratio must be at most 1 together, got "
                f"{mutate_ratio} and {random_ratio}"
            )
        if not 0.0 < discard <= 1.0:
            raise ValueError(f"discard must lie in (0, 1], got {discard}")
        if not mutation_noise >= 0.0:
            raise ValueError(f"mutation_noise must be at least 0, got {mutation_noise}")
        self.region_size = region_size
        self.alp_window = alp_window
        self.split_attempts = split_attempts
        self.min_points = min_points
        self.min_side = min_side
        self.discard = discard
        self.mutate_ratio = mutate_ratio
        self.random_ratio = random_ratio
        self.mutation_noise = mutation_noise
        self.leaves_only = leaves_only
        self.max_regions = max_regions
        self.tree = RegionTree(space.unit_dim, region_size + 1, max_regions)
        """Raw returns are kept, so that two are always compared on one scale."""
        self._alp = np.zeros(1)
        self._choices: IntArray = np.zeros(1, dtype=np.int64)
        """The regions that are sampled."""
        self._edges: FloatArray | None = None

    @property
    def _window(self) -> int:
        window = self.region_size if self.alp_window is None else self.alp_window
        return min(window, self.region_size + 1)

    def _update(self, batch: Batch) -> None:
        assert batch.raw_returns is not None
        for task, value in zip(batch.tasks, batch.raw_returns.tolist(), strict=True):
            path = self.tree.path(task)
            self.tree.add(path, task, value)
            newest, sizes = self.tree.latest(path, self._window)
            self._alp[path] = self._progress(newest, sizes)
            if sizes[-1] > self.region_size:
                self._split(int(path[-1]))
        self._edges = None

    def _progress(self, newest: FloatArray, sizes: IntArray) -> FloatArray:
        """Return the ALP of rows of raw returns, newest first, of which ``sizes`` are known."""
        scaled = self.scale(newest)
        scaled -= scaled[:, :1]  # returns that are all equal differ by nothing at all
        ages = np.arange(newest.shape[1])
        known = np.minimum(sizes, newest.shape[1])[:, None]
        half = known // 2
        new, old = ages < half, (ages >= half) & (ages < known)
        after = np.where(new, scaled, 0.0).sum(axis=1) / np.maximum(half, 1)[:, 0]
        before = np.where(old, scaled, 0.0).sum(axis=1) / np.maximum(known - half, 1)[:, 0]
        return np.asarray(np.where(known[:, 0] > 2, np.abs(before - after), 0.0))

    def _split(self, leaf: int) -> None:
        found = None if self.tree.full else self._best_cut(leaf)
        if found is None:
            self.tree.forget(leaf, max(int(self.region_size * self.discard), 1))
            return
        column, threshold, alps = found
        left = self.tree.split(leaf, column, threshold)
        self._alp = np.append(self._alp, alps)
        kept = self._choices[self._choices != leaf] if self.leaves_only else self._choices
        self._choices = np.append(kept, [left, left + 1])

    def _best_cut(self, leaf: int) -> tuple[int, float, list[float]] | None:
        """Return column, threshold and the ALP of both sides of the best cut, if any will do."""
        dim = self.space.unit_dim
        tasks, returns = self.tree.attempts(leaf)
        low, high = self.tree.low[leaf], self.tree.high[leaf]
        if dim == 0:
            return None
        least = max(self.region_size / 20 if self.min_points is None else self.min_points, 1)
        columns: list[int] = []
        cuts: list[float] = []
        below: list[NDArray[np.bool_]] = []
        for _ in range(ROUNDS):
            column = self.rng.integers(dim, size=self.split_attempts)
            cut = low[column] + self.rng.random(self.split_attempts) * (high - low)[column]
            sides = tasks[:, column] < cut
            left = sides.sum(axis=0)
            for i in ((left >= least) & (len(tasks) - left >= least)).nonzero()[0].tolist():
                columns.append(int(column[i]))
                cuts.append(float(cut[i]))
                below.append(sides[:, i])
            if len(cuts) >= self.split_attempts:
                break
        best, found = -1.0, None
        for column_, cut_, side in list(zip(columns, cuts, below, strict=True))[
            : self.split_attempts
        ]:
            if min(cut_ - low[column_], high[column_] - cut_) < self.min_side:
                continue
            halves = [returns[side], returns[~side]]
            alps = [self._alp_of(half) for half in halves]
            score = len(halves[0]) * len(halves[1]) * abs(alps[0] - alps[1])
            if score >= best:
                best, found = score, (column_, cut_, alps)
        return found

    def _alp_of(self, returns: FloatArray) -> float:
        """Return the ALP of one region's returns, oldest first."""
        newest = returns[::-1][None, : self._window]
        return float(self._progress(newest, np.array([newest.shape[1]]))[0])

    def _choose(self, rng: np.random.Generator) -> int:
        """Choose a region in proportion to its ALP; without any progress each as likely."""
        if self._edges is None:
            self._edges = self._alp[self._choices].cumsum()
        edges = self._edges
        if not edges[-1] > 0.0:
            return int(self._choices[rng.integers(len(edges))])
        chosen = edges.searchsorted(rng.random() * edges[-1], side="right")
        return int(self._choices[min(int(chosen), len(edges) - 1)])

    def _sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        # One by one: most calls ask for a single task, and n tasks are the same as n times one.
        dim = self.space.unit_dim
        tasks = np.empty((n, dim))
        self._origins = []
        for i in range(n):
            kind, how, region = rng.random(), "region", -1
            if kind < self.mutate_ratio:
                how = "mutate"
                region, tasks[i] = self._mutate(rng)
            elif kind < self.mutate_ratio + self.random_ratio:
                how, tasks[i] = "random", rng.random(dim)
            else:
                region = self._choose(rng)
                low, high = self.tree.low[region], self.tree.high[region]
                tasks[i] = low + rng.random(dim) * (high - low)
            self._origins.append((how, region))
        return tasks

    def _mutate(self, rng: np.random.Generator) -> tuple[int, FloatArray]:
        """Return a region and a task near its worst attempt, inside it; -1 and any without one."""
        region = self._choose(rng)
        tasks, returns = self.tree.attempts(region)
        if len(tasks) == 0:
            return -1, rng.random(self.space.unit_dim)
        low, high = self.tree.low[region], self.tree.high[region]
        inset = np.minimum(INSET, 0.25 * (high - low))
        noise = rng.standard_normal(self.space.unit_dim) * self.mutation_noise
        near: FloatArray = tasks[int(returns.argmin())] + noise
        return region, np.minimum(np.maximum(near, low + inset), high - inset)

    def _state(self) -> State:
        return {
            "tree": self.tree.state(),
            "alp": self._alp.copy(),
            "choices": self._choices.copy(),
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self.tree.load(state["tree"])
        self._alp = np.array(state["alp"], dtype=np.float64)
        self._choices = np.array(state["choices"], dtype=np.int64)
        self._edges = None

    def _why(self, row: int, task: Any) -> Reason:
        how, region = self._origins[row]
        if region < 0:
            evenly = f"a share {self.random_ratio:.3g} of proposals is spread evenly"
            none = "the region that was chosen has no attempt to start from"
            chance = self.random_ratio if how == "random" else None
            why = f"{evenly if how == 'random' else none}; proposal {self._number(row):,}"
            return Reason("the whole space", why, chance, explores=True)
        alp = self._alp[self._choices]
        at = int(np.flatnonzero(self._choices == region)[0])
        chance = float(alp[at] / alp.sum()) if alp.sum() > 0.0 else 1.0 / len(alp)
        told = f"its absolute learning progress is {alp[at]:.3g}, the highest is {alp.max():.3g}"
        name = f"region {at + 1:,} of {len(alp):,}"
        if how == "mutate":
            return Reason(
                f"the neighbourhood of the worst attempt in {name}", told,
                self.mutate_ratio * chance, explores=False,
            )  # fmt: skip
        share = 1.0 - self.mutate_ratio - self.random_ratio
        return Reason(name, told, max(0.0, share * chance), explores=False)

    def snapshot(self) -> dict[str, Any]:
        """Return the regions that are sampled, in the unit cube, with ALP and chances.

        ``low`` and ``high`` are ``(k, unit_dim)``, inner regions included where they are sampled.
        """
        alp = self._alp[self._choices]
        even = np.full(len(alp), 1.0 / len(alp))
        return {
            "regions": len(self.tree),
            "low": np.array([self.tree.low[region] for region in self._choices]),
            "high": np.array([self.tree.high[region] for region in self._choices]),
            "alp": alp,
            "chances": alp / alp.sum() if alp.sum() > 0.0 else even,
        }
