"""Gaussian mixtures for teachers: every candidate number of components fitted in one race.

The rows of a teacher's window are few and narrow, so that a fit by itself is all interpreter and
library overhead. Here the components of all candidates are stacked and one step of
expectation-maximisation (EM) serves them all.

With ``u = (1, x - centre)`` the density of component ``j`` is a quadratic form,
``log w_j N(x; m_j, S_j) = u' Q_j u``. Its statistics are one homogeneous moment matrix,
``H_j = E_j[u u'] = [[1, m'], [m, S + m m']]``, and since ``u' H^-1 u = 1 + (x - m)' S^-1 (x - m)``
and ``det H = det S``, ``Q_j`` is ``-H_j^-1 / 2`` plus a constant in its corner. Both halves of a
step are then one matrix product over the outer products ``u u'``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

__all__ = ["Criterion", "Mixture", "fit_mixture", "parameter_count"]

FloatArray = NDArray[np.float64]
Criterion = Literal["aic", "bic", "aicc"]

MAX_STEPS = 500
# A candidate leaves the race once not even this many more steps as good as its last could win it.
HORIZON = 20
# Before this many steps nobody is judged.
BURN_IN = 5
LOG_TWO_PI = math.log(2.0 * math.pi)
TINY = 10.0 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of ``k`` full-covariance normals in ``D`` dimensions.

    Attributes:
        weights: ``(k,)``, summing to 1.
        means: ``(k, D)``.
        covariances: ``(k, D, D)``.
        factors: ``(k, D, D)``, lower Cholesky factors of the covariances.
        criterion: The information criterion it was chosen by; lower is better.
    """

    weights: FloatArray
    means: FloatArray
    covariances: FloatArray
    factors: FloatArray
    criterion: float

    def __len__(self) -> int:
        return len(self.weights)

    def draw(self, component: int, rng: np.random.Generator) -> FloatArray:
        """Draw one row from a component, shape ``(D,)``."""
        noise = rng.standard_normal(self.means.shape[1])
        drawn: FloatArray = self.means[component] + self.factors[component] @ noise
        return drawn

    def log_density(self, rows: FloatArray) -> FloatArray:
        """Return the log density of each row, shape ``(n,)``."""
        whitening = np.linalg.inv(self.factors)
        gaps = np.einsum("kij,knj->kni", whitening, rows[None] - self.means[:, None])
        diagonals = np.diagonal(self.factors, axis1=1, axis2=2)
        constants = (
            np.log(self.weights) - np.log(diagonals).sum(1) - 0.5 * rows.shape[1] * LOG_TWO_PI
        )
        joint = constants[:, None] - 0.5 * (gaps**2).sum(2)
        highest = joint.max(axis=0)
        total: FloatArray = highest + np.log(np.exp(joint - highest).sum(axis=0))
        return total

    def state(self) -> dict[str, Any]:
        """Return plain arrays and numbers."""
        return {
            "weights": self.weights.copy(), "means": self.means.copy(),
            "covariances": self.covariances.copy(), "factors": self.factors.copy(),
            "criterion": self.criterion,
        }  # fmt: skip

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Mixture:
        """Return the mixture that :meth:`state` described."""
        arrays = {
            name: np.array(state[name], dtype=np.float64)
            for name in ("weights", "means", "covariances", "factors")
        }
        return cls(**arrays, criterion=float(state["criterion"]))


def parameter_count(components: int, dim: int) -> int:
    """Return the free parameters of a full-covariance mixture in ``dim`` dimensions."""
    return components * (dim * (dim + 1) // 2 + dim + 1) - 1


def fit_mixture(
    rows: FloatArray,
    components: Sequence[int],
    rng: np.random.Generator,
    *,
    criterion: Criterion = "aic",
    reg_covar: float = 1e-6,
    tol: float = 5e-4,
) -> Mixture | None:
    """Fit a mixture for each number of components and return the best by a criterion.

    Candidates with more components than distinct rows are left out, and so are those for which
    AICc is not defined. The one returned is converged; those that fall behind are given up early.

    Args:
        rows: ``(n, D)``, of the order of the unit cube.
        components: Candidate numbers of components.
        rng: Of the k-means++ starts.
        criterion: ``"aic"``, ``"bic"``, or ``"aicc"`` (AIC corrected for few rows).
        reg_covar: Added to the diagonals of the covariances.
        tol: Converged when a step changes the log-likelihood of all rows together by less.

    Returns:
        The mixture, or None where no candidate could be fitted.
    """
    n, dim = rows.shape
    penalties = {k: _penalty(criterion, parameter_count(k, dim), n) for k in components}
    candidates = [k for k in sorted(penalties) if math.isfinite(penalties[k])]
    centres, distinct = _plus_plus(rows, candidates, rng)
    candidates = [k for k in candidates if k <= distinct]
    if not candidates:
        return None
    race = _Race(rows, candidates, reg_covar)
    try:
        with np.errstate(all="ignore"):
            found = race.run(centres[: len(candidates)], penalties, tol)
        if found is None:
            return None
        value, weights, means, covariances = found
        factors = np.asarray(np.linalg.cholesky(covariances), dtype=np.float64)
        return Mixture(weights, means, covariances, factors, value)
    except np.linalg.LinAlgError:
        return None


def _penalty(criterion: Criterion, parameters: int, n: int) -> float:
    """Return what a criterion adds to ``-2 log L``; infinite where it is not defined."""
    if criterion == "aic":
        return 2.0 * parameters
    if criterion == "bic":
        return parameters * math.log(n)
    if criterion == "aicc":
        left = n - parameters - 1
        return 2.0 * parameters * (1.0 + (parameters + 1) / left) if left > 0 else math.inf
    raise ValueError(f"criterion must be one of {get_args(Criterion)}, got {criterion!r}")


def _plus_plus(
    rows: FloatArray, candidates: Sequence[int], rng: np.random.Generator
) -> tuple[NDArray[np.int64], int]:
    """Choose starting rows by k-means++, one independent choice for each candidate.

    Returns:
        Row indices ``(len(candidates), max)``, of which candidate ``k`` uses the first ``k``, and
        the number of distinct rows (counted up to the largest candidate).
    """
    n, runs, most = len(rows), len(candidates), max(candidates, default=0)
    if n == 0 or most == 0:
        return np.empty((runs, most), dtype=np.int64), 0
    chosen = np.empty((runs, most), dtype=np.int64)
    chosen[:, 0] = rng.integers(n, size=runs)
    thresholds = rng.random((most, runs, 1))
    columns = np.ascontiguousarray(rows.T)
    nearest = _squared_gaps(columns, chosen[:, 0])
    for step in range(1, most):
        mass = nearest.cumsum(axis=1)
        if not mass[0, -1] > 0.0:
            return chosen, step
        chosen[:, step] = np.minimum((mass <= thresholds[step] * mass[:, -1:]).sum(axis=1), n - 1)
        np.minimum(nearest, _squared_gaps(columns, chosen[:, step]), out=nearest)
    return chosen, most


def _squared_gaps(columns: FloatArray, to: NDArray[np.int64]) -> FloatArray:
    """Return squared distances ``(len(to), n)`` between columns; exactly 0 between equal ones."""
    gaps = columns[:, None, :] - columns[:, to][:, :, None]
    gaps *= gaps
    total: FloatArray = gaps.sum(axis=0)
    return total


class _Race:
    """EM on the stacked components of all candidates still in the race.

    Statistics and quadratic forms are ``(total components, (D + 1)^2)``, one row a component.
    """

    def __init__(self, rows: FloatArray, candidates: Sequence[int], reg_covar: float) -> None:
        self.rows = rows
        self.n, self.dim = rows.shape
        self.width = self.dim + 1
        self.reg_covar = reg_covar
        # Centred, so that the moments do not drown small covariances.
        self.centre = rows.mean(axis=0)
        lifted = np.concatenate([np.ones((self.n, 1)), rows - self.centre], axis=1)
        self.outer = (lifted[:, :, None] * lifted[:, None, :]).reshape(self.n, -1)
        self.outer_columns = np.ascontiguousarray(self.outer.T)
        self._enter(np.array(candidates))

    def _enter(self, sizes: NDArray[np.int64]) -> None:
        self.sizes = sizes
        ends = np.cumsum(sizes).tolist()
        self.slices = [slice(e - k, e) for e, k in zip(ends, sizes.tolist(), strict=True)]
        self.member = np.repeat(np.eye(len(sizes), dtype=np.float32), sizes, axis=1)

    def run(
        self, chosen: NDArray[np.int64], penalties: Mapping[int, float], tol: float
    ) -> tuple[float, FloatArray, FloatArray, FloatArray] | None:
        """Run from the chosen rows; return the winner's criterion, weights, means, covariances."""
        statistics = self._start(chosen)
        penalty = np.array([penalties[k] for k in self.sizes.tolist()])
        before = np.full(len(self.sizes), -np.inf)
        moved = np.full(len(self.sizes), np.inf)
        best, winner = np.inf, None
        for step in range(MAX_STEPS):
            moments, mass = self._moments(statistics)
            likelihood, statistics = self._expect(self._forms(moments, mass))
            # Regularised steps may lose likelihood: one small change can be a mere turning point.
            before, change = likelihood, np.abs(likelihood - before)
            moved, gain = change, np.maximum(change, moved)
            value = penalty - 2.0 * likelihood
            finished = (gain < tol) | (step == MAX_STEPS - 1)
            for index in finished.nonzero()[0].tolist():
                if value[index] < best:
                    best = float(value[index])
                    winner = moments[self.slices[index]], mass[self.slices[index]]
            # A candidate that has become NaN compares false here, and leaves.
            leader = min(best, float(np.fmin.reduce(value))) if step >= BURN_IN else np.inf
            stays = (value - 2.0 * HORIZON * gain <= leader) & ~finished
            left = np.count_nonzero(stays)
            if left == 0:
                break
            if left < len(stays):
                statistics = statistics[np.repeat(stays, self.sizes)]
                before, moved, penalty = before[stays], moved[stays], penalty[stays]
                self._enter(self.sizes[stays])
        return None if winner is None else (best, *self._unpack(*winner))

    def _start(self, chosen: NDArray[np.int64]) -> FloatArray:
        """Assign each row to its nearest centre; return the statistics of that.

        More k-means would not pay: measured on ALP-GMM's windows, two or five more of its steps end
        in a worse criterion than EM from here.
        """
        centres = np.concatenate(
            [self.rows[row[:k]] for row, k in zip(chosen, self.sizes.tolist(), strict=True)]
        )
        centres -= self.centre
        # Narrow spheres: assignments are hard except between centres that coincide.
        sharp = 1.0 / self.reg_covar if self.reg_covar > 0.0 else 1e6
        forms = np.zeros((len(centres), self.width**2))
        forms[:, self.width + 1 :: self.width + 1] = -sharp
        forms[:, 1 : self.width] = 2.0 * sharp * centres
        forms[:, 0] = -sharp * (centres**2).sum(axis=1)
        return self._expect(forms)[1]

    def _expect(self, forms: FloatArray) -> tuple[FloatArray, FloatArray]:
        """E-step: log-likelihood of each candidate, and the statistics of its components."""
        joint = forms @ self.outer_columns
        highest = np.empty((len(self.sizes), self.n))
        for row, part in zip(highest, self.slices, strict=True):
            np.maximum.reduce(joint[part], axis=0, out=row)
        # Single precision halves the cost of exp and leaves the log-likelihood right to 1e-5.
        shares = np.empty(joint.shape, dtype=np.float32)
        np.subtract(joint, np.repeat(highest, self.sizes, axis=0), out=shares, casting="same_kind")
        np.exp(shares, out=shares)
        total = self.member @ shares
        shares /= np.repeat(total, self.sizes, axis=0)
        likelihood = (np.log(total) + highest).sum(axis=1)
        return likelihood, shares.astype(np.float64) @ self.outer

    def _moments(self, statistics: FloatArray) -> tuple[FloatArray, FloatArray]:
        """M-step: the regularised moment matrix of each component, and its mass in rows."""
        mass = statistics[:, 0] + TINY
        moments = statistics / mass[:, None]
        moments[:, 0] = 1.0
        moments[:, self.width + 1 :: self.width + 1] += self.reg_covar
        return moments.reshape(-1, self.width, self.width), mass

    def _forms(self, moments: FloatArray, mass: FloatArray) -> FloatArray:
        """Return the quadratic form of each component's log weight plus log density."""
        forms = np.asarray(np.linalg.inv(moments), dtype=np.float64)
        forms *= -0.5
        log_det = np.linalg.slogdet(moments)[1]
        forms[:, 0, 0] += np.log(mass / self.n) + 0.5 * (1.0 - log_det - self.dim * LOG_TWO_PI)
        return forms.reshape(len(mass), -1)

    def _unpack(
        self, moments: FloatArray, mass: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return weights, means and covariances of moment matrices."""
        means = moments[:, 0, 1:]
        covariances = moments[:, 1:, 1:] - means[:, :, None] * means[:, None, :]
        return mass / mass.sum(), means + self.centre, covariances
