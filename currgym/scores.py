"""Scores of one finished episode from the student's value estimates.

Pure functions on arrays. With rewards ``r_0 .. r_{T-1}``, estimates ``V(s_0) .. V(s_{T-1})`` of the
observations they were made from, and ``V(s_T)`` of the final observation (0 where the episode
terminated):

- one-step errors ``d_t = r_t + gamma V(s_{t+1}) - V(s_t)``;
- generalised advantages ``A_t = d_t + gamma lambda A_{t+1}``, ``A_T = 0``
  (Schulman et al. 2016, arXiv:1506.02438, eq. 16);
- ``pvl``, positive value loss: ``mean_t max(A_t, 0)``
  (Jiang et al. 2021, Replay-Guided Adversarial Environment Design, arXiv:2110.02439);
- ``abs_advantage``, L1 value loss: ``mean_t |A_t|``
  (Jiang et al. 2021, Prioritized Level Replay, arXiv:2010.03934);
- ``td``: ``mean_t |d_t|``, the same with ``lambda = 0``;
- ``maxmc``, maximum Monte Carlo: ``mean_t (R_max - V(s_t))`` with ``R_max`` the best return on the
  level so far (arXiv:2110.02439).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "VALUE_SCORES", "advantages", "episode_scores", "maximum_monte_carlo", "temporal_differences",
]  # fmt: skip

FloatArray = NDArray[np.float64]

VALUE_SCORES = frozenset({"pvl", "maxmc", "td", "abs_advantage"})
"""Scores that :func:`episode_scores` computes."""


def temporal_differences(
    rewards: ArrayLike, values: ArrayLike, final_value: float = 0.0, *, gamma: float
) -> FloatArray:
    """Return the one-step errors ``d_t``, shape ``(T,)``.

    Args:
        rewards: Of each step, ``(T,)``.
        values: The estimate of the observation before each step, ``(T,)``.
        final_value: The estimate of the final observation; 0 where the episode terminated.
        gamma: Discount.

    Raises:
        ValueError: If the two differ in length or are empty.
    """
    r, v = np.asarray(rewards, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if r.ndim != 1 or r.shape != v.shape or len(r) == 0:
        raise ValueError(
            f"rewards and values must be vectors of one length, got shapes {r.shape} and {v.shape}"
        )
    following = np.append(v[1:], final_value)
    return np.asarray(r + gamma * following - v)


def advantages(deltas: ArrayLike, *, gamma: float, gae_lambda: float) -> FloatArray:
    """Return the generalised advantages ``A_t`` of one-step errors, shape ``(T,)``."""
    decay = gamma * gae_lambda
    running = 0.0
    result = np.asarray(deltas, dtype=np.float64).tolist()
    for t in range(len(result) - 1, -1, -1):
        running = result[t] + decay * running
        result[t] = running
    return np.array(result)


def maximum_monte_carlo(values: ArrayLike, best_return: float) -> float:
    """Return ``mean_t (best_return - V(s_t))``."""
    return float(best_return - np.mean(np.asarray(values, dtype=np.float64)))


def episode_scores(
    rewards: ArrayLike,
    values: ArrayLike,
    final_value: float = 0.0,
    *,
    gamma: float,
    gae_lambda: float,
    names: Collection[str] = VALUE_SCORES,
) -> dict[str, float]:
    """Return the named scores of one episode.

    ``maxmc`` takes the episode's own undiscounted return for ``R_max``. A teacher that remembers a
    level's best return adds the difference: ``maxmc + (best - return)``.

    Args:
        rewards: Of each step, ``(T,)``.
        values: The estimate of the observation before each step, ``(T,)``.
        final_value: The estimate of the final observation; 0 where the episode terminated.
        gamma: Discount.
        gae_lambda: Trace parameter of the advantages.
        names: Which of :data:`VALUE_SCORES`.

    >>> episode_scores([0.0, 1.0], [0.5, 0.5], gamma=1.0, gae_lambda=1.0, names=["pvl", "td"])
    {'pvl': 0.5, 'td': 0.25}
    """
    deltas = temporal_differences(rewards, values, final_value, gamma=gamma)
    scores: dict[str, float] = {}
    if "pvl" in names or "abs_advantage" in names:
        advantage = advantages(deltas, gamma=gamma, gae_lambda=gae_lambda)
        if "pvl" in names:
            scores["pvl"] = float(np.maximum(advantage, 0.0).mean())
        if "abs_advantage" in names:
            scores["abs_advantage"] = float(np.abs(advantage).mean())
    if "td" in names:
        scores["td"] = float(np.abs(deltas).mean())
    if "maxmc" in names:
        scores["maxmc"] = maximum_monte_carlo(values, float(np.sum(np.asarray(rewards))))
    return scores
