"""Visited states: each as likely, the environment's stream untouched, the same in every form."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from scipy import stats

import currgym.vector
from currgym.envs.visited import Visited

STARTS = {
    "power": 0.0015, "goal_position": 0.45, "start_spread": 0.0,
    "start_position": (-1.0, 0.4), "start_velocity": (-0.07, 0.07),
}  # fmt: skip


def test_trace_of_which_state_is_told() -> None:
    """Worked by hand for u = 0.5 and 0.9: after t steps the state after step floor(u t) + 1."""
    visited = Visited(2, 1)
    visited._when[:] = 0.5, 0.9
    told = []
    for t in range(1, 5):
        told.append(visited.tell(np.array([[10.0 * t], [t]]), np.array([t, t])).ravel().tolist())
    # floor(.5), floor(1), floor(1.5), floor(2); floor(.9), floor(1.8), floor(2.7), floor(3.6).
    assert told == [[10.0, 1.0], [20.0, 2.0], [20.0, 3.0], [30.0, 4.0]]
    # The second begins anew, and tells nothing of before.
    assert visited.tell(np.array([[50.0], [7.0]]), np.array([5, 0])).ravel().tolist() == [30.0, 0.0]
    assert visited.tell(np.array([[60.0], [8.0]]), np.array([6, 1])).ravel().tolist() == [40.0, 8.0]


def test_each_state_is_as_likely_however_long_the_episode() -> None:
    rows = 3000
    visited, rng = Visited(rows, 1), np.random.default_rng(0)
    before = rng.bit_generator.state
    for i in range(rows):
        visited.begin(i, rng)
        assert rng.bit_generator.state == before
        rng.random()
        before = rng.bit_generator.state
    for t in range(1, 151):  # beyond the room that there is at first
        told = visited.tell(np.full((rows, 1), float(t)), np.full(rows, t))
        if t in (3, 150):
            counts = np.bincount(((told[:, 0] - 1) * 3 // t).astype(int), minlength=3)
            assert stats.chisquare(counts).pvalue > 0.001


def test_a_reached_state_is_the_start_of_the_next_episode() -> None:
    env = gymnasium.make("currgym/MountainCarContinuous-v0", tasks=STARTS, max_episode_steps=120)
    space = env.get_wrapper_attr("task_space")
    rng = np.random.default_rng(3)
    started = 0
    for seed, task in enumerate(space.sample(8, rng)):
        seen = []
        observation, info = env.reset(seed=seed, options={"task": task})
        np.testing.assert_array_equal(observation, task[[2, 4]].astype(np.float32))
        over = False
        while not over:
            push = np.array([1.0 if observation[1] >= 0 else -1.0], dtype=np.float32)
            observation, _, terminated, truncated, info = env.step(push)
            seen.append(observation.tolist())
            told = [info["reached.start_position"], info["reached.start_velocity"]]
            assert told in seen
            over = terminated or truncated
        again = {"start_position": told[0], "start_velocity": told[1]}
        if -1.0 <= told[0] <= 0.4:
            started += 1
            assert env.reset(options={"task": again})[0].tolist() == told
    assert started >= 3


def test_a_start_velocity_obeys_the_speed_limit() -> None:
    tasks = {**STARTS, "max_speed": 0.03}
    single = gymnasium.make("currgym/MountainCarContinuous-v0", tasks=tasks)
    vec = gymnasium.make_vec("currgym/MountainCarContinuous-v0", num_envs=1, tasks=tasks)
    for speed, expected in ((0.07, 0.03), (-0.07, -0.03), (0.01, 0.01)):
        options: dict[str, Any] = {"task": {"start_velocity": speed}}
        assert single.reset(options=options)[0][1] == np.float32(expected)
        assert vec.reset(options=options)[0][0, 1] == np.float32(expected)


@pytest.mark.parametrize(
    ("tasks", "scores"),
    [
        (None, set()),
        ({"start_position": -0.4}, set()),  # fixed: nothing to choose
        ({"start_position": (-0.9, 0.0)}, {"reached.start_position"}),
    ],
)
def test_only_what_varies_is_told(tasks: Any, scores: set[str]) -> None:
    env = gymnasium.make("currgym/MountainCarContinuous-v0", tasks=tasks)
    vec = gymnasium.make_vec("currgym/MountainCarContinuous-v0", num_envs=2, tasks=tasks)
    assert currgym.vector.declared(env).scores == currgym.vector.declared(vec).scores == scores
    env.reset(seed=0)
    assert set(env.step(env.action_space.sample())[4]) == {"success", *scores}
