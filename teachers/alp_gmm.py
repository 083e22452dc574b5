"""ALP-GMM: sample where a Gaussian mixture finds the most absolute learning progress."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._mixtures import Criterion, Mixture, fit_mixture
from currgym.teaching import Batch, State, Teacher, register

FloatArray = NDArray[np.float64]
Boundary = Literal["clip", "resample"]

# Learning progress is 0 until the history holds more pairs than this (reference code).
NEIGHBOURS_NEEDED = 5
RESAMPLES = 20
# Squared distances in the cube are right to about 1e-15; all within this of the least are redone.
SLACK = 1e-12
SNAPSHOT_ROWS = 250


class History:
    """The latest tasks and their returns, with an exact nearest neighbour.

    One matrix-vector product over at most ``size`` tasks: below 20,000 that is faster than a
    kd-tree's query and rebuilds, in 2 dimensions as in 10.

    Args:
        size: Tasks kept; the oldest makes way.
        dim: Dimensions of a task.
    """

    def __init__(self, size: int, dim: int) -> None:
        self.size = size
        self.count = 0
        self.tasks = np.zeros((dim, size))
        self.returns = np.zeros(size)
        self._squares = np.zeros(size)

    def __len__(self) -> int:
        return min(self.count, self.size)

    def add(self, task: FloatArray, value: float) -> None:
        """Store one task and its return."""
        slot = self.count % self.size
        self.tasks[:, slot] = task
        self.returns[slot] = value
        self._squares[slot] = task @ task
        self.count += 1

    def nearest(self, task: FloatArray) -> int:
        """Return the slot of the nearest stored task, of equally near ones the newest."""
        known = min(self.count, self.size)
        gaps = (-2.0 * task) @ self.tasks[:, :known]
        gaps += self._squares[:known]
        best = int(gaps.argmin())
        limit = gaps[best] + SLACK
        gaps[best] = np.inf
        if gaps[gaps.argmin()] > limit:
            return best
        gaps[best] = limit
        near = (gaps <= limit).nonzero()[0]
        exact = ((self.tasks[:, near] - task[:, None]) ** 2).sum(axis=0)
        tied = near[exact == exact.min()]
        return int(tied[np.argmin((self.count - 1 - tied) % self.size)])

    def state(self) -> State:
        """Return plain arrays and numbers."""
        known = len(self)
        return {
            "count": self.count,
            "tasks": self.tasks[:, :known].copy(),
            "returns": self.returns[:known].copy(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` returned."""
        self.count = int(state["count"])
        known = len(self)
        self.tasks[:, :known] = state["tasks"]
        self.returns[:known] = state["returns"]
        self._squares[:known] = (self.tasks[:, :known] ** 2).sum(axis=0)


@register(
    "alp-gmm",
    presets={
        "corl2019": {
            "fit_period": 250, "random_ratio": 0.2, "min_components": 2, "max_components": 10,
        },
        "teachmyagent": {
            "fit_period": 150, "bootstrap": 150, "random_ratio": 0.05, "min_components": 2,
            "max_components": 9,
        },
        # Progress against what the student did lately, not against its first attempts: chosen on
        # CubeStudent with seeds 1000 and up, see experiments/cube.py.
        "recent": {"fit_period": 100, "history_size": 250},
    },
)  # fmt: skip
class ALPGMM(Teacher):
    """Sample where a Gaussian mixture over recent attempts finds the most learning progress.

    The absolute learning progress (ALP) of an attempt is the difference between its return and that
    of the nearest task attempted before. Every ``fit_period`` attempts the latest ``fit_period``
    rows (task, ALP) are fitted with mixtures of every candidate size, the best by an information
    criterion is kept, and its components are sampled in proportion to their mean ALP.

    Source: Portelas, Colas, Hofmann, Oudeyer, "Teacher algorithms for curriculum learning of Deep
    RL in continuously parameterized environments", CoRL 2019, https://arxiv.org/abs/1910.07224,
    the section and the algorithm named ALP-GMM; presets from the authors' code (``teachDeepRL``)
    and from the benchmark TeachMyAgent (https://arxiv.org/abs/2103.09815).

    Differences from the reference code: distances and mixtures live in the unit cube and returns in
    [0, 1], so that units do not matter; of equally near neighbours the newest counts, not the
    oldest (clipping piles tasks up on the faces); AICc counts the parameters of all dimensions and
    leaves out candidates for which it is not defined; a fit that fails keeps the previous mixture;
    the history is bounded; all candidates are fitted in one stacked EM, the chosen one to
    convergence.

    Args:
        space: What tasks there are.
        seed: Of the private random generator.
        return_range: Raw returns that count as 0 and 1; None uses running quantiles.
        fit_period: Attempts between fits, and rows in each; at least 2. Default of the paper.
        bootstrap: Attempts sampled uniformly before the first fit; None is ``fit_period``.
        random_ratio: Share of uniform tasks after it, in [0, 1]. Default of the paper.
        min_components: Least number of mixture components tried; at least 1.
        max_components: Greatest number tried, inclusive.
        criterion: ``"aic"`` (the paper's), ``"bic"`` or ``"aicc"``.
        boundary: What happens to draws outside the space: ``"clip"`` (the paper's) moves them to
            its faces, ``"resample"`` draws again from the same component (and clips in the end).
        history_size: Attempts kept for the nearest neighbour; more than 5. The paper keeps all.

    >>> from currgym import BoxTasks, Outcomes, make_teacher
    >>> space = BoxTasks([0, 0], [3, 6], names=["stump_height", "obstacle_spacing"])
    >>> teacher = make_teacher("alp-gmm", space, seed=0, return_range=(0, 9), fit_period=50)
    >>> for _ in range(100):
    ...     tasks = teacher.sample(1)
    ...     teacher.update(Outcomes(tasks, tasks.sum(axis=1)))
    >>> teacher.snapshot()["fits"]
    2
    """

    spaces = frozenset({"box"})

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        fit_period: int = 250,
        bootstrap: int | None = None,
        random_ratio: float = 0.2,
        min_components: int = 2,
        max_components: int = 10,
        criterion: Criterion = "aic",
        boundary: Boundary = "clip",
        history_size: int = 20_000,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        if fit_period < 2:
            raise ValueError(f"fit_period must be at least 2, got {fit_period}")
        if bootstrap is not None and bootstrap < 0:
            raise ValueError(f"bootstrap must be at least 0, got {bootstrap}")
        if not 0.0 <= random_ratio <= 1.0:
            raise ValueError(f"random_ratio must lie in [0, 1], got {random_ratio}")
        if not 1 <= min_components <= max_components:
            raise ValueError(
                "min_components must be at least 1 and max_components not below it, got "
                f"{min_components} and {max_components}"
            )
        if criterion not in get_args(Criterion):
            raise ValueError(f"criterion must be one of {get_args(Criterion)}, got {criterion!r}")
        if boundary not in get_args(Boundary):
            raise ValueError(f"boundary must be one of {get_args(Boundary)}, got {boundary!r}")
        if history_size <= NEIGHBOURS_NEEDED:
            raise ValueError(
                f"history_size must be more than {NEIGHBOURS_NEEDED}, got {history_size}"
            )
        self.fit_period = fit_period
        self.bootstrap = bootstrap
        self.random_ratio = random_ratio
        self.min_components = min_components
        self.max_components = max_components
        self.criterion: Criterion = criterion
        self.boundary: Boundary = boundary
        self.history_size = history_size
        self.history = History(history_size, space.unit_dim)
        """Raw returns are kept, so that two are always compared on one scale."""
        self.mixture: Mixture | None = None
        self.fits = 0
        self.failed_fits = 0
        self._rows = np.zeros((fit_period, space.unit_dim + 1))
        self._chances = np.empty(0)
        self._edges: list[float] = []

    def _update(self, batch: Batch) -> None:
        first = 0
        while first < len(batch):
            room = self.fit_period - self.history.count % self.fit_period
            last = min(first + room, len(batch))
            self._append(batch, slice(first, last))
            first = last
            due = self.fit_period if self.bootstrap is None else self.bootstrap
            if self.history.count % self.fit_period == 0 and self.history.count >= due:
                self._fit()

    def _append(self, batch: Batch, part: slice) -> None:
        """Add rows (task, ALP); the same whether they come in one batch or one by one."""
        tasks, raw = batch.tasks[part], batch.raw_returns[part]
        history = self.history
        first = history.count % self.fit_period
        before = raw.copy()
        for i, task in enumerate(tasks):
            if history.count > NEIGHBOURS_NEEDED:
                before[i] = history.returns[history.nearest(task)]
            history.add(task, raw[i])
        rows = self._rows[first : first + len(tasks)]
        rows[:, :-1] = tasks
        rows[:, -1] = np.abs(batch.returns[part] - self.scale(before))

    def _fit(self) -> None:
        components = range(self.min_components, self.max_components + 1)
        found = fit_mixture(self._rows, components, self.rng, criterion=self.criterion)
        if found is None:
            self.failed_fits += 1
            return
        self.fits += 1
        self._adopt(found)

    def _adopt(self, mixture: Mixture) -> None:
        self.mixture = mixture
        progress = np.maximum(mixture.means[:, -1], 0.0)
        total = progress.sum()
        # Without any progress each component is as good as the others.
        even = np.full(len(mixture), 1.0 / len(mixture))
        self._chances = progress / total if total > 0.0 else even
        self._edges = self._chances.cumsum().tolist()

    def _sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        # One by one: most calls ask for a single task, and n tasks are the same as n times one.
        tasks = np.empty((n, self.space.unit_dim))
        for i in range(n):
            if self.mixture is None or rng.random() < self.random_ratio:
                tasks[i] = rng.random(self.space.unit_dim)
            else:
                tasks[i] = self._guided(self.mixture, rng)
        return tasks

    def _guided(self, mixture: Mixture, rng: np.random.Generator) -> FloatArray:
        """Choose a component in proportion to its ALP and draw a task from it."""
        chosen = bisect.bisect_right(self._edges, rng.random() * self._edges[-1])
        component = min(chosen, len(mixture) - 1)
        task = mixture.draw(component, rng)[:-1]
        if self.boundary == "resample":
            for _ in range(RESAMPLES):
                if ((task >= 0.0) & (task <= 1.0)).all():
                    break
                task = mixture.draw(component, rng)[:-1]
        return task

    def _state(self) -> State:
        return {
            "history": self.history.state(),
            "rows": self._rows.copy(),
            "fits": self.fits,
            "failed_fits": self.failed_fits,
            "mixture": None if self.mixture is None else self.mixture.state(),
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self.history.load(state["history"])
        self._rows[:] = state["rows"]
        self.fits, self.failed_fits = int(state["fits"]), int(state["failed_fits"])
        self.mixture = None
        if state["mixture"] is not None:
            self._adopt(Mixture.from_state(state["mixture"]))

    def snapshot(self) -> dict[str, Any]:
        """Return the mixture in the unit cube, the chances of its components, and the latest rows.

        ``alp`` and ``chances`` belong to the components; ``rows`` are ``(n, unit_dim + 1)`` with
        ALP last, oldest first.
        """
        known = min(self.history.count, self.fit_period)
        order = np.arange(self.history.count - known, self.history.count) % self.fit_period
        shown: dict[str, Any] = {
            "fits": self.fits,
            "failed_fits": self.failed_fits,
            "rows": self._rows[order[-SNAPSHOT_ROWS:]],
        }
        if self.mixture is not None:
            shown |= {
                "weights": self.mixture.weights.copy(),
                "means": self.mixture.means.copy(),
                "covariances": self.mixture.covariances.copy(),
                "alp": self.mixture.means[:, -1].copy(),
                "chances": self._chances.copy(),
                "criterion": self.mixture.criterion,
            }
        return shown
