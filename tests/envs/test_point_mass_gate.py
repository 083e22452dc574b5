from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import currgym  # noqa: F401 - registers the environments
from currgym.envs.point_mass_gate import PointMassGateVector, advance

ID = "currgym/PointMassGate-v0"
MODES = list(AutoresetMode)


def towards(observation: Any, x: float, y: float) -> Any:
    """Push to a point, with damping; no more than the action space allows."""
    place, speed = np.array([observation[0], observation[2]]), np.array(observation[[1, 3]])
    push = 6.0 * (np.array([x, y]) - place) - 5.0 * speed
    return np.clip(push, -10.0, 10.0).astype(np.float32)


def scripted(observation: Any, gate: float) -> Any:
    """Over the gate first, then straight down, then to the goal."""
    x, y = observation[0], observation[2]
    if y < -0.3:
        return towards(observation, 0.0, -3.0)
    if abs(x - gate) > 0.1 and y > 0.5:
        return towards(observation, gate, 1.5)
    return towards(observation, gate, -2.0)


def straight(observation: Any, gate: float) -> Any:
    return towards(observation, 0.0, -3.0)


def outcome(policy: Any, task: Any, seed: int = 0) -> tuple[float, bool]:
    env = gymnasium.make(ID)
    observation, _ = env.reset(seed=seed, options={"task": task})
    total, over, info = 0.0, False, dict[str, Any]()
    while not over:
        observation, reward, terminated, truncated, info = env.step(policy(observation, task[0]))
        total += float(reward)
        over = terminated or truncated
    env.close()
    return total, bool(info["success"])


def test_one_step_worked_by_hand() -> None:
    # Ten Euler steps of 0.01 at an acceleration of 1.5 * 2 = 3: v = 0.3, and the position lags by
    # one step: 3 * 0.0001 * (0 + 1 + ... + 9) = 0.0135.
    state, rewards, crashed = advance(
        np.array([[0.0, 0.0, 3.0, 0.0]]), np.array([[2.0, -2.0]]), np.array([[0.0, 2.0, 0.0]]),
        np.zeros((1, 10, 2)),
    )  # fmt: skip
    np.testing.assert_allclose(state, [[0.0135, 0.3, 2.9865, -0.3]], atol=1e-12)
    distance = np.hypot(0.0135, 5.9865)
    np.testing.assert_allclose(rewards, np.exp(-0.6 * distance))
    assert not crashed[0]


def test_noise_and_friction() -> None:
    state, _, _ = advance(
        np.array([[0.0, 1.0, 3.0, 0.0]]), np.zeros((1, 2)), np.array([[0.0, 2.0, 2.0]]),
        np.full((1, 10, 2), 0.5),
    )  # fmt: skip
    # v' = v + 0.01 (0.5 - 2 v) settles at 0.25, by 0.98 a step.
    np.testing.assert_allclose(state[0, [1, 3]], 0.25 + np.array([0.75, -0.25]) * 0.98**10)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(("x", "through"), [(1.2, False), (0.8, True), (-0.8, True), (-1.2, False)])
def test_the_wall_stops_both_ways_outside_the_gate(sign: float, x: float, through: bool) -> None:
    state, _, crashed = advance(
        np.array([[x, 0.0, 0.1 * sign, -2.0 * sign]]), np.zeros((1, 2)),
        np.array([[0.0, 2.0, 0.0]]), np.zeros((1, 10, 2)),
    )  # fmt: skip
    assert crashed[0] != through
    expected = [x, 0.0, -0.1 * sign, -2.0 * sign] if through else [x, 0.0, 0.0, 0.0]
    np.testing.assert_allclose(state[0], expected, atol=1e-12)


def test_a_crossing_is_judged_where_it_happens() -> None:
    # From (0.9, 0.01) by (0.2, -0.02) in one Euler step: it meets the wall at x = 1.
    step = np.array([[0.9, 20.0, 0.01, -2.0]])
    for width, crash in ((1.99, True), (2.01, False)):
        state, _, crashed = advance(
            step, np.zeros((1, 2)), np.array([[0.0, width, 0.0]]), np.zeros((1, 10, 2))
        )
        assert crashed[0] == crash
        if crash:
            np.testing.assert_allclose(state[0], [1.0, 0.0, 0.0, 0.0], atol=1e-12)


def test_positions_stay_in_the_arena() -> None:
    state, _, _ = advance(
        np.array([[3.9, 9.0, 3.9, 9.0]]), np.zeros((1, 2)), np.array([[0.0, 2.0, 0.0]]),
        np.zeros((1, 10, 2)),
    )  # fmt: skip
    np.testing.assert_allclose(state, [[4.0, 9.0, 4.0, 9.0]])


def test_a_scripted_policy_solves_the_easy_end() -> None:
    for seed in range(5):
        total, success = outcome(straight, [0.0, 8.0], seed)
        assert success
        assert total > 60.0


def test_the_hard_end_is_harder() -> None:
    # Straight down, the narrow side gates are missed; with a detour they can be passed.
    for side in (-3.0, 3.0):
        assert not outcome(straight, [side, 0.5])[1]
        passed = [outcome(scripted, [side, 0.5], seed) for seed in range(5)]
        assert all(success for _, success in passed)
        assert max(total for total, _ in passed) < outcome(straight, [0.0, 8.0])[0]


def test_nothing_above_the_wall_masters_a_task() -> None:
    assert 100 * np.exp(-0.6 * 3.0) < gymnasium.make(ID).get_wrapper_attr("mastery")


def test_target_and_test_sets() -> None:
    env = gymnasium.make(ID)
    gates = [[-3.0, 0.5], [3.0, 0.5]]
    assert env.get_wrapper_attr("target").tolist() == gates
    assert env.get_wrapper_attr("test_sets")["narrow-gates"].tolist() == gates
    assert env.get_wrapper_attr("default_task").tolist() == [0.0, 2.0]
    other = gymnasium.make(ID, tasks={"gate_width": 1.0, "friction": (0, 2)})
    assert other.get_wrapper_attr("target").tolist() == [[-3.0, 1.0, 0.0], [3.0, 1.0, 0.0]]


def test_the_noise_is_the_episodes_own() -> None:
    env = gymnasium.make(ID)
    ends = []
    for seed in (1, 2, 1):
        env.reset(seed=seed, options={"task": [0.0, 8.0]})
        for _ in range(20):
            observation = env.step(np.zeros(2, dtype=np.float32))[0]
        ends.append(observation)
    np.testing.assert_array_equal(ends[0], ends[2])
    assert (ends[0] != ends[1]).any()


def test_render() -> None:
    blind = gymnasium.make(ID)
    blind.reset(seed=0)
    assert blind.unwrapped.render() is None
    env = gymnasium.make(ID, render_mode="rgb_array")
    env.reset(seed=0, options={"task": [2.0, 2.0]})
    frame: Any = env.render()
    assert frame.shape == (200, 200, 3)
    row = frame[100]
    assert (row[:120] == 0).all()  # the wall as far as x = 1
    assert (row[130:170] == 255).all()  # the gate from 1 to 3
    assert frame[25, 100].tolist() == [40, 90, 200]  # the mass at (0, 3)
    assert frame[175, 100].tolist() == [220, 40, 40]  # the goal


def assert_same(one: Any, other: Any) -> None:
    """Equal in structure, type and every bit."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, tuple) or (isinstance(one, np.ndarray) and one.dtype == object):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()
    else:
        assert one == other


@pytest.mark.parametrize("observe_task", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_the_array_form_equals_single_ones_to_the_bit(
    mode: AutoresetMode, observe_task: bool
) -> None:
    num = 9
    settings: dict[str, Any] = {
        "num_envs": num, "max_episode_steps": 40, "observe_task": observe_task,
        "tasks": {"friction": (0, 4)},
    }  # fmt: skip
    ours = gymnasium.make_vec(ID, autoreset_mode=mode, **settings)
    assert isinstance(ours, PointMassGateVector)
    theirs: Any = gymnasium.make_vec(
        ID, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **settings
    )
    rng = np.random.default_rng(0)

    def put(rows: Any) -> None:
        tasks = ours.task_space.sample(num, rng)
        seeds = [int(s) if s % 2 else None for s in rng.integers(0, 1000, num)]
        ours.queue(rows, tasks[rows], [seeds[i] for i in rows])
        for i in rows:
            theirs.envs[i].set_wrapper_attr("queued", (tasks[i], seeds[i]))

    put(np.arange(num))
    assert_same(ours.reset(seed=5), theirs.reset(seed=5))
    ended = crashes = 0
    for step in range(200):
        actions = rng.uniform(-12, 12, (num, 2)).astype(np.float32)
        actions[:, 1] -= 3.0
        one, other = ours.step(actions), theirs.step(actions)
        assert_same(one, other)
        done = one[2] | one[3]
        ended, crashes = ended + int(done.sum()), crashes + int(one[2].sum())
        if done.any() and step % 5:
            put(np.flatnonzero(done))
        if done.any() and mode is AutoresetMode.DISABLED:
            assert_same(
                ours.reset(options={"reset_mask": done}),
                theirs.reset(options={"reset_mask": done.copy()}),
            )
    assert ended > crashes > 5
    for a, b in zip(ours.np_random, theirs.np_random, strict=True):
        assert a.bit_generator.state == b.bit_generator.state


def test_actions_of_another_shape_are_refused() -> None:
    vec = gymnasium.make_vec(ID, num_envs=3)
    vec.reset(seed=0)
    with pytest.raises(ValueError, match=r"actions must have shape \(3, 2\)"):
        vec.step(np.zeros((3, 1), dtype=np.float32))
