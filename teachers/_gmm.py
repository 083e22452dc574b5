"""Teachers that fit a Gaussian mixture over recent attempts and sample its useful components."""

from __future__ import annotations

import bisect
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._mixtures import Criterion, Mixture, fit_mixture
from currgym.teaching import Batch, Reason, State, Teacher

__all__ = ["Boundary", "MixtureTeacher"]

FloatArray = NDArray[np.float64]
Boundary = Literal["clip", "resample"]

RESAMPLES = 20
SNAPSHOT_ROWS = 250


class MixtureTeacher(Teacher):
    """Every ``fit_period`` attempts, a mixture over the latest rows (task, further columns).

    Its components are sampled in proportion to their utility. A subclass says what the further
    columns of a row are and what makes a component useful.
    """

    spaces = frozenset({"box"})
    extra_columns: ClassVar[int]
    """Columns of a row beyond the task's."""

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None,
        return_range: tuple[float, float] | None,
        fit_period: int,
        bootstrap: int | None,
        random_ratio: float,
        min_components: int,
        max_components: int,
        criterion: Criterion,
        boundary: Boundary,
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
        self.fit_period = fit_period
        self.bootstrap = bootstrap
        self.random_ratio = random_ratio
        self.min_components = min_components
        self.max_components = max_components
        self.criterion: Criterion = criterion
        self.boundary: Boundary = boundary
        self.attempts = 0
        """Attempts that have become rows."""
        self.mixture: Mixture | None = None
        self.fits = 0
        self.failed_fits = 0
        self._rows = np.zeros((fit_period, space.unit_dim + self.extra_columns))
        self._chances = np.empty(0)
        self._edges: list[float] = []

    @abstractmethod
    def _fill(self, rows: FloatArray, batch: Batch, part: slice) -> None:
        """Write the further columns of rows whose tasks are there already.

        The same whether attempts come in one batch or one by one; ``self.attempts`` counts those
        before the part.
        """

    @abstractmethod
    def _utility(self, mixture: Mixture) -> FloatArray:
        """Return how useful each component is, ``(k,)``; below 0 counts as 0."""

    @property
    def _tolerance(self) -> float:
        """A mixture is converged when a step changes the log-likelihood of its rows by less."""
        return 5e-4

    def _fit_rows(self) -> FloatArray:
        """Return the rows to fit, of the order of the unit cube."""
        return self._rows

    def _update(self, batch: Batch) -> None:
        first = 0
        while first < len(batch):
            slot = self.attempts % self.fit_period
            last = min(first + self.fit_period - slot, len(batch))
            rows = self._rows[slot : slot + last - first]
            rows[:, : self.space.unit_dim] = batch.tasks[first:last]
            self._fill(rows, batch, slice(first, last))
            self.attempts += last - first
            first = last
            due = self.fit_period if self.bootstrap is None else self.bootstrap
            if self.attempts % self.fit_period == 0 and self.attempts >= due:
                self._fit()

    def _fit(self) -> None:
        components = range(self.min_components, self.max_components + 1)
        found = fit_mixture(
            self._fit_rows(), components, self.rng, criterion=self.criterion,
            tol=self._tolerance,
        )  # fmt: skip
        if found is None:
            self.failed_fits += 1
            return
        self.fits += 1
        self._adopt(found)

    def _adopt(self, mixture: Mixture) -> None:
        self.mixture = mixture
        utility = np.maximum(self._utility(mixture), 0.0)
        total = utility.sum()
        # Without any use each component is as good as the others.
        even = np.full(len(mixture), 1.0 / len(mixture))
        self._chances = utility / total if total > 0.0 else even
        self._edges = self._chances.cumsum().tolist()

    def _sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        # One by one: most calls ask for a single task, and n tasks are the same as n times one.
        tasks = np.empty((n, self.space.unit_dim))
        self._origins = np.full(n, -1)
        for i in range(n):
            if self.mixture is None or rng.random() < self.random_ratio:
                tasks[i] = rng.random(self.space.unit_dim)
            else:
                self._origins[i], tasks[i] = self._guided(self.mixture, rng)
        return tasks

    def _why(self, row: int, task: Any) -> Reason:
        component = int(self._origins[row])
        if component < 0:
            if self.mixture is None:
                why, chance = f"no mixture is fitted yet, after {self.attempts:,} attempts", 1.0
            else:
                why, chance = "this share of proposals is spread evenly", self.random_ratio
            why += f"; proposal {self._number(row):,}"
            return Reason("the whole space", why, chance, explores=True)
        return Reason(
            f"Gaussian {component + 1} of {len(self._chances)}",
            f"{self._worth(component)}, as of fit {self.fits:,}",
            float((1.0 - self.random_ratio) * self._chances[component]),
            explores=False,
        )

    @abstractmethod
    def _worth(self, component: int) -> str:
        """Return what a component is drawn in proportion to, in words and numbers."""

    def _guided(self, mixture: Mixture, rng: np.random.Generator) -> tuple[int, FloatArray]:
        """Choose a component in proportion to its utility, and draw a task from it."""
        chosen = bisect.bisect_right(self._edges, rng.random() * self._edges[-1])
        component = min(chosen, len(mixture) - 1)
        dim = self.space.unit_dim
        task = mixture.draw(component, rng)[:dim]
        if self.boundary == "resample":
            for _ in range(RESAMPLES):
                if ((task >= 0.0) & (task <= 1.0)).all():
                    break
                task = mixture.draw(component, rng)[:dim]
        return component, task

    def _state(self) -> State:
        return {
            "attempts": self.attempts,
            "rows": self._rows.copy(),
            "fits": self.fits,
            "failed_fits": self.failed_fits,
            "mixture": None if self.mixture is None else self.mixture.state(),
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self.attempts = int(state["attempts"])
        self._rows[:] = state["rows"]
        self.fits, self.failed_fits = int(state["fits"]), int(state["failed_fits"])
        self.mixture = None
        if state["mixture"] is not None:
            self._adopt(Mixture.from_state(state["mixture"]))

    def snapshot(self) -> dict[str, Any]:
        """Return the mixture in the unit cube, the chances of its components, and the latest rows.

        ``chances`` belong to the components; ``rows`` are ``(n, unit_dim + extra_columns)``, oldest
        first.
        """
        known = min(self.attempts, self.fit_period)
        order = np.arange(self.attempts - known, self.attempts) % self.fit_period
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
                "chances": self._chances.copy(),
                "criterion": self.mixture.criterion,
            }
        return shown
