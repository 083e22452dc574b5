"""Covar-GMM: sample where a Gaussian mixture finds that returns rise with time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._gmm import Boundary, MixtureTeacher
from currgym.teachers._mixtures import Criterion, Mixture
from currgym.teaching import Batch, register

__all__ = ["CovarGMM"]

FloatArray = NDArray[np.float64]


@register(
    "covar-gmm",
    presets={
        "corl2019": {
            "fit_period": 250, "random_ratio": 0.2, "min_components": 2, "max_components": 10,
        },
        "teachmyagent": {
            "fit_period": 150, "bootstrap": 150, "random_ratio": 0.1, "min_components": 2,
            "max_components": 14,
        },
    },
)  # fmt: skip
class CovarGMM(MixtureTeacher):
    """Sample where a Gaussian mixture over recent attempts finds returns that rise with time.

    Every ``fit_period`` attempts the latest ``fit_period`` rows (task, time, return), time running
    from 0 to 1, are fitted with mixtures of every candidate size; the best by an information
    criterion is kept. Its components are sampled in proportion to their covariance of time and
    return, falling ones not at all.

    Source: Moulin-Frier, Nguyen, Oudeyer, "Self-organization of early vocal development in infants
    and machines", Frontiers in Psychology 2014, in the form of Portelas et al., CoRL 2019,
    https://arxiv.org/abs/1910.07224, section on Covar-GMM; presets from the authors' code
    (``teachDeepRL``) and from the benchmark TeachMyAgent (https://arxiv.org/abs/2103.09815).

    Differences from the reference code: tasks live in the unit cube and returns in [0, 1]; the
    criterion may be chosen; a fit that fails keeps the previous mixture; all candidates are fitted
    in one stacked EM, from the teacher's own generator.

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
        absolute: Whether falling returns count like rising ones.

    >>> from currgym import BoxTasks, Outcomes, make_teacher
    >>> space = BoxTasks([0, 0], [3, 6], names=["stump_height", "obstacle_spacing"])
    >>> teacher = make_teacher("covar-gmm", space, seed=0, return_range=(0, 9), fit_period=50)
    >>> for _ in range(100):
    ...     tasks = teacher.sample(1)
    ...     teacher.update(Outcomes(tasks, tasks.sum(axis=1)))
    >>> teacher.snapshot()["fits"]
    2
    """

    extra_columns = 2

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
        absolute: bool = False,
    ) -> None:
        super().__init__(
            space, seed=seed, return_range=return_range, fit_period=fit_period,
            bootstrap=bootstrap, random_ratio=random_ratio, min_components=min_components,
            max_components=max_components, criterion=criterion, boundary=boundary,
        )  # fmt: skip
        self.absolute = absolute

    def _fill(self, rows: FloatArray, batch: Batch, part: slice) -> None:
        first = self.attempts % self.fit_period
        rows[:, -2] = np.arange(first, first + len(rows)) / self.fit_period
        rows[:, -1] = batch.raw_returns[part]  # scaled when they are fitted, all on one scale

    @property
    def _tolerance(self) -> float:
        # 1e-3 a row, as in the reference code. Mixtures that go on to converge follow the noise in
        # time: they teach the cube student 65 % instead of 68 % (means of seeds 1000 to 1011).
        return 1e-3 * self.fit_period

    def _fit_rows(self) -> FloatArray:
        rows = self._rows.copy()
        rows[:, -1] = self.scale(rows[:, -1])
        return rows

    def _utility(self, mixture: Mixture) -> FloatArray:
        rise = mixture.covariances[:, -2, -1]
        return np.abs(rise) if self.absolute else rise

    def _worth(self, component: int) -> str:
        assert self.mixture is not None
        rise = self.mixture.covariances[:, -2, -1]
        return (
            f"its covariance of time and return is {rise[component]:.3g}, the highest is "
            f"{rise.max():.3g}"
        )

    def snapshot(self) -> dict[str, Any]:
        """Return what every mixture teacher shows, and the ``rise`` of the components.

        It is their covariance of time and return. ``rows`` are ``(n, unit_dim + 2)`` with time and
        raw return last, oldest first.
        """
        shown = super().snapshot()
        if self.mixture is not None:
            shown["rise"] = self.mixture.covariances[:, -2, -1].copy()
        return shown
