"""Numbers from learning curves: area under the curve, time to a threshold, forgetting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import integrate

__all__ = ["Times", "area_under_curve", "forgetting", "time_to_threshold"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Times:
    """When each run reached something, or until when it was watched in vain.

    Attributes:
        times: ``(n,)``, in the unit of the curve's times (steps, samples).
        reached: ``(n,)``, False where the run never did (censored at the time given).
    """

    times: FloatArray
    reached: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.times.ndim != 1 or self.times.shape != self.reached.shape or len(self.times) == 0:
            raise ValueError(
                f"times and reached must be equally long vectors, got {self.times.shape} and "
                f"{self.reached.shape}"
            )
        if not np.isfinite(self.times).all() or self.times.min() < 0.0:
            raise ValueError("times must be finite and not negative; mark what never happened")

    @classmethod
    def of(cls, times: ArrayLike, reached: ArrayLike) -> Times:
        """Return times from anything like arrays."""
        return cls(np.asarray(times, dtype=np.float64), np.asarray(reached, dtype=np.bool_))


def area_under_curve(times: ArrayLike, values: ArrayLike) -> FloatArray:
    """Return the mean height of each curve over its span, ``(n,)``, in the unit of the values.

    Straight lines between the points (the trapezoid rule), divided by the span, so that curves of
    different budgets can be compared.

    Args:
        times: ``(k,)``, ascending, 2 points at least.
        values: ``(n, k)``, a curve a run; or ``(k,)``.

    Raises:
        ValueError: If the shapes do not fit, times do not ascend, or a value is not finite.

    >>> area_under_curve([0, 1, 3], [[0.0, 1.0, 1.0]]).round(4).tolist()
    [0.8333]
    """
    t, curves = _curves(times, values)
    if len(t) < 2:
        raise ValueError("an area needs at least 2 points")
    area = integrate.trapezoid(curves, t, axis=1) / (t[-1] - t[0])
    return np.asarray(area, dtype=np.float64)


def time_to_threshold(
    times: ArrayLike, values: ArrayLike, threshold: float, hold: int = 1
) -> Times:
    """Return when each curve first reaches a threshold and holds it.

    The time is that of the evaluation, so it is late by up to the time between two evaluations.
    Compare arms only where they were evaluated at the same times.

    Args:
        times: ``(k,)``, ascending, in steps or samples.
        values: ``(n, k)``, a curve a run; higher is better.
        threshold: Mastery is a value of at least this.
        hold: Evaluations in a row that must show it, at least 1: with a noisy test, the first of
            many looks is above the threshold by chance.

    Returns:
        The time of the first of the evaluations in a row; censored at the last evaluation.

    Raises:
        ValueError: If the shapes do not fit, times do not ascend, a value is not finite, or
            ``hold`` is not in 1 to k.
    """
    t, curves = _curves(times, values)
    if not 1 <= hold <= len(t):
        raise ValueError(f"hold must lie in 1 to {len(t)} evaluations, got {hold}")
    above = curves >= threshold
    windows = np.lib.stride_tricks.sliding_window_view(above, hold, axis=1)
    held = np.asarray(windows.all(axis=-1), dtype=np.bool_)
    reached = np.asarray(held.any(axis=1), dtype=np.bool_)
    return Times(np.where(reached, t[held.argmax(axis=1)], t[-1]), reached)


def forgetting(scores: ArrayLike) -> FloatArray:
    """Return by how much each task ended below its own best, ``(..., tasks)``.

    Best score so far minus final score (Chaudhry et al. 2018, "Riemannian Walk for Incremental
    Learning", https://arxiv.org/abs/1801.10112, definition of forgetting in section 2): the best is
    over all evaluations before the last, so that a task still improving at the end counts as
    negative forgetting. The best of many noisy evaluations is too high: with a test set of few
    episodes forgetting is above 0 where nothing was forgotten, and only arms evaluated equally
    often compare.

    Args:
        scores: ``(..., evaluations, tasks)``, 2 evaluations at least.

    Raises:
        ValueError: If there are fewer than 2 evaluations, or a score is not finite.

    >>> forgetting([[0.0, 0.2], [0.9, 0.4], [0.5, 0.6]]).round(2).tolist()
    [0.4, -0.2]
    """
    x = np.asarray(scores, dtype=np.float64)
    if x.ndim < 2 or x.shape[-2] < 2 or x.size == 0:
        raise ValueError(f"scores must have shape (..., evaluations >= 2, tasks), got {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("scores must be finite")
    result: FloatArray = x[..., :-1, :].max(axis=-2) - x[..., -1, :]
    return result


def _curves(times: ArrayLike, values: ArrayLike) -> tuple[FloatArray, FloatArray]:
    t = np.asarray(times, dtype=np.float64)
    curves = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if t.ndim != 1 or len(t) == 0 or curves.ndim != 2 or curves.shape[1] != len(t):
        raise ValueError(f"values must have shape (runs, {t.size}), got {curves.shape}")
    if len(curves) == 0 or not np.isfinite(curves).all() or not np.isfinite(t).all():
        raise ValueError("times and values must be finite, and at least one curve")
    if not (np.diff(t) > 0).all():
        raise ValueError("times must ascend")
    return t, curves
