"""Scores from value estimates: numbers worked by hand from the formulas in the module."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from currgym.scores import (
    VALUE_SCORES,
    advantages,
    episode_scores,
    maximum_monte_carlo,
    temporal_differences,
)

# gamma = 1/2, lambda = 1/2; r = (1, 0, 2), V = (2, 4, 1).
REWARDS, VALUES = [1.0, 0.0, 2.0], [2.0, 4.0, 1.0]
HALF: dict[str, Any] = {"gamma": 0.5, "gae_lambda": 0.5}


def test_temporal_differences_of_a_terminated_episode() -> None:
    # 1 + 4/2 - 2 = 1;  0 + 1/2 - 4 = -7/2;  2 + 0 - 1 = 1.
    np.testing.assert_array_equal(
        temporal_differences(REWARDS, VALUES, gamma=0.5), [1.0, -3.5, 1.0]
    )


def test_temporal_differences_bootstrap_from_the_final_value() -> None:
    # Only the last changes: 2 + 6/2 - 1 = 4.
    np.testing.assert_array_equal(
        temporal_differences(REWARDS, VALUES, 6.0, gamma=0.5), [1.0, -3.5, 4.0]
    )


def test_advantages_by_hand() -> None:
    # Backwards with gamma lambda = 1/4: 1;  -7/2 + 1/4 = -13/4;  1 - 13/16 = 3/16.
    np.testing.assert_array_equal(advantages([1.0, -3.5, 1.0], **HALF), [0.1875, -3.25, 1.0])


def test_episode_scores_by_hand() -> None:
    scores = episode_scores(REWARDS, VALUES, **HALF)
    assert set(scores) == VALUE_SCORES
    assert scores["pvl"] == pytest.approx((0.1875 + 0.0 + 1.0) / 3, abs=1e-12)
    assert scores["abs_advantage"] == pytest.approx((0.1875 + 3.25 + 1.0) / 3, abs=1e-12)
    assert scores["td"] == pytest.approx((1.0 + 3.5 + 1.0) / 3, abs=1e-12)
    # Return 3, mean value 7/3.
    assert scores["maxmc"] == pytest.approx(3.0 - 7.0 / 3.0, abs=1e-12)


def test_a_final_value_changes_the_scores_of_a_truncated_episode() -> None:
    # Deltas (1, -3.5, 4): backwards 4;  -3.5 + 1 = -2.5;  1 - 0.625 = 0.375.
    scores = episode_scores(REWARDS, VALUES, 6.0, **HALF)
    assert scores["pvl"] == pytest.approx((0.375 + 0.0 + 4.0) / 3, abs=1e-12)


def test_lambda_one_gives_discounted_return_minus_value() -> None:
    rng = np.random.default_rng(0)
    rewards, values = rng.normal(size=40), rng.normal(size=40)
    gamma = 0.97
    deltas = temporal_differences(rewards, values, 1.5, gamma=gamma)
    powers = gamma ** np.arange(41)
    for t in (0, 17, 39):
        monte_carlo = (powers[: 40 - t] * rewards[t:]).sum() + powers[40 - t] * 1.5
        expected = monte_carlo - values[t]
        assert advantages(deltas, gamma=gamma, gae_lambda=1.0)[t] == pytest.approx(expected)


def test_lambda_zero_gives_the_deltas() -> None:
    np.testing.assert_array_equal(
        advantages([1.0, -3.5, 1.0], gamma=0.5, gae_lambda=0.0), [1.0, -3.5, 1.0]
    )


def test_maxmc_follows_a_better_earlier_return() -> None:
    own = episode_scores(REWARDS, VALUES, names=["maxmc"], **HALF)["maxmc"]
    assert maximum_monte_carlo(VALUES, 10.0) == pytest.approx(own + (10.0 - 3.0))


def test_perfect_values_score_zero() -> None:
    scores = episode_scores([0.0, 0.0, 1.0], [0.25, 0.5, 1.0], gamma=0.5, gae_lambda=0.9)
    assert scores["pvl"] == scores["td"] == scores["abs_advantage"] == 0.0


def test_only_what_is_asked_for() -> None:
    assert set(episode_scores(REWARDS, VALUES, names={"td"}, **HALF)) == {"td"}


@pytest.mark.parametrize(("rewards", "values"), [([1.0], [1.0, 2.0]), ([], [])])
def test_lengths_must_agree(rewards: list[float], values: list[float]) -> None:
    with pytest.raises(ValueError, match="one length"):
        temporal_differences(rewards, values, gamma=0.9)
