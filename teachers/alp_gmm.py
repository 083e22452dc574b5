"""ALP-GMM: sample where a Gaussian mixture finds the most absolute learning progress."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._gmm import Boundary, MixtureTeacher
from currgym.teachers._mixtures import Criterion, Mixture
from currgym.teaching import Batch, State, register

FloatArray = NDArray[np.float64]

# Learning progress is 0 until the history holds more pairs than this (reference code).
NEIGHBOURS_NEEDED = 5
# Squared distances in the cube are right to about 1e-15; all within this of the least are redone.
SLACK = 1e-12


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
class ALPGMM(MixtureTeacher):
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

    extra_columns = 1

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
        super().__init__(
            space, seed=seed, return_range=return_range, fit_period=fit_period,
            bootstrap=bootstrap, random_ratio=random_ratio, min_components=min_components,
            max_components=max_components, criterion=criterion, boundary=boundary,
        )  # fmt: skip
        if history_size <= NEIGHBOURS_NEEDED:
            raise ValueError(
                f"history_size must be more than {NEIGHBOURS_NEEDED}, got {history_size}"
            )
        self.history_size = history_size
        self.history = History(history_size, space.unit_dim)
        """Raw returns are kept, so that two are always compared on one scale."""

    def _fill(self, rows: FloatArray, batch: Batch, part: slice) -> None:
        tasks, raw = batch.tasks[part], batch.raw_returns[part]
        history = self.history
        before = raw.copy()
        for i, task in enumerate(tasks):
            if history.count > NEIGHBOURS_NEEDED:
                before[i] = history.returns[history.nearest(task)]
            history.add(task, raw[i])
        rows[:, -1] = np.abs(batch.returns[part] - self.scale(before))

    def _utility(self, mixture: Mixture) -> FloatArray:
        return mixture.means[:, -1]

    def _state(self) -> State:
        return {"history": self.history.state(), **super()._state()}

    def _load(self, state: Mapping[str, Any]) -> None:
        self.history.load(state["history"])
        super()._load(state)

    def _worth(self, component: int) -> str:
        assert self.mixture is not None
        alp = self.mixture.means[:, -1]
        return (
            f"its mean absolute learning progress is {alp[component]:.3g}, the highest is "
            f"{alp.max():.3g}"
        )

    def snapshot(self) -> dict[str, Any]:
        """Return what every mixture teacher shows, and the ``alp`` of the components.

        ``rows`` are ``(n, unit_dim + 1)`` with ALP last, oldest first.
        """
        shown = super().snapshot()
        if self.mixture is not None:
            shown["alp"] = self.mixture.means[:, -1].copy()
        return shown
