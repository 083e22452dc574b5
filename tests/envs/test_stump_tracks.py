"""Stump Tracks: the track by itself, then the walker on it, then what the environment promises."""

from __future__ import annotations

import copy
import importlib
import itertools
import math
import pickle
import random
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import DependencyNotInstalled, ResetNeeded
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

from currgym.envs.stump_tracks import BODIES, StumpTracks
from currgym.envs.stump_tracks.lidar import ProfileLidar
from currgym.envs.stump_tracks.simulation import Blueprint, Simulation
from currgym.envs.stump_tracks.terrain import (
    FINISH,
    GROUND_HEIGHT,
    LIDAR_RANGE,
    START_PAD,
    STEP,
    TRACK_LENGTH,
    Track,
    generate,
)

Array = NDArray[Any]
ALL_OPEN: dict[str, Any] = {p.name: (p.low, p.high) for p in StumpTracks.parameters}


def track_of(seed: int = 0, **values: float) -> Track:
    defaults = {"stump_height": 0.0, "obstacle_spacing": 6.0}
    return generate(np.random.default_rng(seed), **{**defaults, **values})


def rollout(env: StumpTracks, task: Any, seed: int, steps: int = 150) -> list[Array]:
    """Observations, rewards and ends under a fixed stream of random actions, to the bit."""
    observation, _ = env.reset(seed=seed, options={"task": task})
    rng = np.random.default_rng(seed)
    trace = [observation]
    for _ in range(steps):
        action = rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)
        observation, reward, terminated, _, _ = env.step(action)
        trace += [observation, np.array([reward, terminated])]
        if terminated:
            break
    return trace


def same(one: list[Array], other: list[Array]) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a, b) for a, b in zip(one, other, strict=True)
    )


def simulation_of(env: StumpTracks) -> Simulation:
    simulation = env._simulation
    assert simulation is not None
    return simulation


def frame_of(env: StumpTracks) -> Array:
    frame = env.render()
    assert frame is not None
    return frame


def carry(env: StumpTracks, distance: float) -> None:
    """Move the walker along the track."""
    for part in simulation_of(env).parts:
        x, y = part.position
        part.transform = ((x + distance, y), part.angle)


class TestTrack:
    @pytest.mark.parametrize(("spacing", "count"), [(0.0, 177), (3.0, 25), (6.0, 13)])
    def test_number_of_stumps(self, spacing: float, count: int) -> None:
        stumps = track_of(obstacle_spacing=spacing).stumps
        assert len(stumps) == count
        period = STEP + max(0.01, spacing)
        assert stumps[-1][0][0] == pytest.approx(START_PAD + (count - 1) * period)
        assert stumps[-1][0][0] < TRACK_LENGTH <= stumps[-1][0][0] + period

    def test_ground_passes_the_finish_at_every_spacing(self) -> None:
        for spacing in np.linspace(0.0, 6.0, 10_000):
            ground = track_of(obstacle_spacing=float(spacing)).ground
            assert ground[0] == (0.0, GROUND_HEIGHT)
            # One lidar range past the track: the walker never sees the end before the finish.
            assert ground[-1][0] >= TRACK_LENGTH + LIDAR_RANGE > FINISH + LIDAR_RANGE
            assert all(a[0] < b[0] for a, b in itertools.pairwise(ground))

    def test_stumps_are_drawn_one_by_one_about_the_mean(self) -> None:
        def heights(seed: int, **values: float) -> Array:
            return np.array([c[3][1] - c[0][1] for c in track_of(seed, **values).stumps]) / STEP

        drawn = np.concatenate([heights(k, stump_height=2.0, obstacle_spacing=0) for k in range(9)])
        assert drawn.mean() == pytest.approx(2.0, abs=0.01)
        assert drawn.std() == pytest.approx(0.1, abs=0.01)
        assert heights(0, stump_height=-3.0) == pytest.approx(0.05)
        # N(mean, 0.1) by hand, from the generator's own stream.
        normals = np.random.default_rng(5).standard_normal(13)
        assert heights(5, stump_height=1.5) == pytest.approx(1.5 + 0.1 * normals)

    def test_same_seed_same_deviations_at_other_tasks(self) -> None:
        low, high = track_of(3, stump_height=1.0), track_of(3, stump_height=2.0)
        for a, b in zip(low.stumps, high.stumps, strict=True):
            assert b[2][1] - a[2][1] == pytest.approx(STEP)

    def test_width_and_rotation_take_numbers(self) -> None:
        upright = track_of(stump_height=1.0, stump_width=2.0)
        turned = track_of(stump_height=1.0, stump_width=2.0, stump_rotation=math.pi / 2)
        for corners, other in zip(upright.stumps, turned.stumps, strict=True):
            (left, level), (right, _), (_, top), _ = corners
            assert right - left == pytest.approx(2 * STEP)
            # A quarter turn anticlockwise about the middle of the base: the top lies to the left.
            middle = (left + right) / 2
            assert other[0] == pytest.approx((middle, level - STEP))
            assert other[2] == pytest.approx((middle - (top - level), level + STEP))
        assert turned.profile is None
        assert turned.ground == upright.ground

    def test_roughness_moves_the_ground_between_stumps_only(self) -> None:
        track = track_of(roughness=5.0, obstacle_spacing=2.0)
        levels = [corners[0][1] for corners in track.stumps]
        assert len(set(levels)) == len(levels)
        for k, (left, level) in enumerate(corners[0] for corners in track.stumps):
            assert track.ground[1 + 2 * k] == (left, level)
            assert track.ground[2 + 2 * k][1] == track.ground[min(3 + 2 * k, 2 * len(levels))][1]
        # By hand: the slope starts at the first draw after the stumps' (y is not off the mean yet).
        rng = np.random.default_rng(0)
        rng.standard_normal(len(levels))
        bump = rng.uniform(-5.0, 5.0, len(levels))[0] / 30
        assert levels[1] - levels[0] == pytest.approx(bump)

    def test_rough_ground_follows_its_formula(self) -> None:
        """v <- 0.8 v + 0.01 sign(3.333 - y) + U(-rough, rough) / 30, then y <- y + v."""
        track = track_of(3, roughness=5.0, obstacle_spacing=1.0)
        rng = np.random.default_rng(3)
        rng.standard_normal(len(track.stumps))
        bumps = rng.uniform(-5.0, 5.0, len(track.stumps)) / 30.0
        y, velocity = 400 / 30 / 4, 0.0
        expected = [y]
        for bump in bumps.tolist():
            velocity = 0.8 * velocity + 0.01 * float(np.sign(400 / 30 / 4 - y)) + bump
            y += velocity
            expected.append(y)
        # Each stump's foot, the landing after it, and the last level out to the end.
        heights = [point[1] for point in track.ground[1:-1]]
        np.testing.assert_allclose(heights[0::2], expected[:-1], rtol=0, atol=1e-12)
        np.testing.assert_allclose(heights[1::2], expected[1:], rtol=0, atol=1e-12)
        assert track.ground[-1][1] == heights[-1]


class TestLidar:
    def test_by_hand(self) -> None:
        # From 2 units above flat ground, with a wall 1 ahead that is 1.5 high and 1 wide.
        lidar = ProfileLidar([(0, 0), (11, 0), (11, 1.5), (12, 1.5), (12, 0), (40, 0)])
        fractions = lidar.sense(10.0, 2.0)
        assert fractions is not None
        assert fractions[0] == pytest.approx(2 / LIDAR_RANGE)
        assert fractions[2] == pytest.approx(2 / math.cos(0.3) / LIDAR_RANGE)  # ground
        assert fractions[4] == pytest.approx(1 / math.sin(0.6) / LIDAR_RANGE)  # wall, y = 0.54
        assert fractions[8] == pytest.approx(0.5 / math.cos(1.2) / LIDAR_RANGE)  # top, x = 11.29
        assert fractions[9] == 1.0  # over it, then 1.17 down and 5.2 along: short of the ground

    @pytest.mark.parametrize("roughness", [0.0, 5.0, 60.0])
    def test_nearest_hit_as_box2d_finds_it(self, roughness: float) -> None:
        rng = np.random.default_rng(7)
        blueprint = Blueprint(BODIES["default"])
        worst, points = [], 0
        for _ in range(30):
            track = generate(
                rng,
                stump_height=rng.uniform(0, 3),
                obstacle_spacing=rng.uniform(0, 6),
                stump_width=rng.uniform(0.2, 4),
                roughness=roughness,
            )
            assert track.profile is not None
            simulation = Simulation(blueprint, track, 0.0)
            lidar = ProfileLidar(track.profile)
            xs, ys = zip(*track.ground, strict=True)
            for x in rng.uniform(0, 92, 20):
                y = float(np.interp(x, xs, ys)) + rng.uniform(0.1, 6)
                # Box2D has the point in float32.
                x, y = float(np.float32(x)), float(np.float32(y))
                fractions = lidar.sense(x, y)
                if fractions is not None:  # else inside a stump
                    points += 1
                    worst.append(np.abs(np.subtract(fractions, simulation.rays(x, y))).max())
        assert points > 400
        # A ray may pass a corner on either side, by rounding; all others agree to 1e-6.
        assert np.mean(np.array(worst) < 2e-6) > 0.99

    def test_rotated_stumps_are_seen_too(self) -> None:
        env = StumpTracks(tasks=ALL_OPEN)
        env.reset(seed=0)
        upright = env.step(np.zeros(4))[0][-10:]
        env.reset(seed=0, options={"task": {"stump_height": 3.0, "stump_rotation": 0.7}})
        turned = env.step(np.zeros(4))[0][-10:]
        assert ((turned >= 0) & (turned <= 1)).all()
        assert (turned[:3] == upright[:3]).all()
        assert turned.min() < 1.0
        assert not np.array_equal(turned, upright)

    def test_points_off_the_track(self) -> None:
        lidar = ProfileLidar([(0, 0), (10, 0)])
        assert lidar.sense(-0.1, 1.0) is None
        assert lidar.sense(5.0, -0.1) is None
        assert lidar.sense(11.0, 1.0) == [1.0] * 10
        beyond = lidar.sense(9.9, 1.0)
        assert beyond is not None
        assert beyond[0] == pytest.approx(1 / LIDAR_RANGE)
        assert beyond[1:] == [1.0] * 9


class Level:
    """Stands in for a generator: the middle of every range, so no push and flat ground."""

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2

    def integers(self, low: int, high: int) -> int:
        return low


class TestPhysics:
    @pytest.mark.parametrize("seed", range(6))
    def test_equals_bipedal_walker_to_the_bit(self, seed: int) -> None:
        """The same walker on the same flat ground as in Gymnasium, contacts and falls included."""
        theirs: Any = gymnasium.make("BipedalWalker-v3").unwrapped
        theirs._np_random = Level()
        expected, _ = theirs.reset()
        flat = [(k * STEP, GROUND_HEIGHT) for k in range(200)]
        ours = Simulation(Blueprint(BODIES["default"]), Track(flat, [], flat), push=0.0)
        observation = ours.advance([0.0] * 4)
        rng = np.random.default_rng(seed)
        shaping = 130 * ours.x / 30 - 5 * abs(ours.angle)
        for _ in range(300):
            assert np.array_equal(np.array(observation[:14], dtype=np.float32), expected[:14])
            assert observation[14:] == pytest.approx(expected[14:], abs=2e-6)
            # Beyond the limits too: both clip.
            action = rng.uniform(-1.3, 1.3, 4).astype(np.float32)
            expected, reward, terminated, _, _ = theirs.step(action)
            observation = ours.advance(action.tolist())
            assert ours.crashed == terminated
            if terminated:
                break
            before, shaping = shaping, 130 * ours.x / 30 - 5 * abs(ours.angle)
            effort = np.abs(action).clip(0, 1).sum()
            assert reward == pytest.approx(shaping - before - 0.028 * effort, abs=1e-6)

    @pytest.mark.parametrize(
        ("body", "torque", "cost"),
        [("short", 80, 0.028), ("quadru", 300, 0.013125), ("quadru-80", 80, 0.0035)],
    )
    def test_torque_and_its_cost(self, body: str, torque: float, cost: float) -> None:
        assert BODIES[body].torque == torque
        assert BODIES[body].motor_cost == pytest.approx(cost)
        env = StumpTracks(body=body)
        for _ in range(3):  # the cost must not shrink from one episode, or environment, to the next
            env.reset(seed=0)
            again = StumpTracks(body=body)
            again.reset(seed=0)
            action = np.full(env.action_space.shape or (), 0.5)
            assert env.step(action)[1] == again.step(action)[1]

    def test_quadrupeds_differ_by_their_torque(self) -> None:
        strong, weak = StumpTracks(body="quadru"), StumpTracks(body="quadru-80")
        assert np.array_equal(strong.reset(seed=0)[0], weak.reset(seed=0)[0])
        action = np.full(8, 0.7)
        difference = [strong.step(action)[0] - weak.step(action)[0] for _ in range(20)]
        assert np.abs(difference).max() > 0.1

    def test_feet_feel_the_ground(self) -> None:
        env = StumpTracks()
        env.reset(seed=0)
        flags = [env.step(np.zeros(4))[0][[8, 13]] for _ in range(30)]
        assert set(np.unique(flags)) <= {0.0, 1.0}
        assert (flags[-1] == 1.0).all()
        for part in simulation_of(env).parts:  # up in the air
            part.transform = ((part.position[0], part.position[1] + 3), part.angle)
        assert (env.step(np.zeros(4))[0][[8, 13]] == 0.0).all()

    @pytest.mark.parametrize(
        ("name", "corner", "width", "length", "anchors"),
        [
            ("short", (34, 1), 8, 17, [0.0, 0.0]),
            ("default", (34, 1), 8, 34, [0.0, 0.0]),
            ("quadru", (50, 5), 10, 51, [-1.2, -1.2, 0.85, 0.85]),
            ("quadru-80", (50, 5), 10, 51, [-1.2, -1.2, 0.85, 0.85]),
        ],
    )
    def test_bodies_have_the_papers_measures(
        self, name: str, corner: tuple[int, int], width: int, length: int, anchors: list[float]
    ) -> None:
        """Read off the Box2D world; pixels of the original window, 30 to a unit."""
        simulation = Simulation(Blueprint(BODIES[name]), track_of(), 0.0)
        hull, *legs = simulation.parts
        corners = np.array(hull.fixtures[0].shape.vertices) * 30
        assert np.abs(corners - corner).sum(axis=1).min() < 1e-4
        assert (hull.fixtures[0].density, hull.position[0]) == (5.0, pytest.approx(14 / 3))
        assert hull.position[1] == pytest.approx(10 / 3 + 2 * length / 30)
        assert len(legs) == 2 * len(anchors)
        for k, leg in enumerate(legs):
            half = np.abs(np.array(leg.fixtures[0].shape.vertices) * 30).max(axis=0)
            thickness = width * (0.8 if k % 2 else 1.0)
            assert half == pytest.approx([thickness / 2, length / 2], rel=1e-5)
            assert leg.fixtures[0].density == 1.0
        for (hip, knee), anchor in zip(simulation._legs, anchors, strict=True):
            at = hull.GetLocalPoint(hip.anchorA)
            assert tuple(at) == pytest.approx((anchor, -8 / 30), abs=1e-5)
            assert hip.limits == pytest.approx((-0.8, 1.1))
            assert knee.limits == pytest.approx((-1.6, -0.1))

    def test_the_push_is_uniform_in_5_either_way(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pushes: list[float] = []
        simulation = importlib.import_module("currgym.envs.stump_tracks.simulation")

        def keep(blueprint: Blueprint, track: Track, push: float) -> Simulation:
            pushes.append(push)
            return Simulation(blueprint, track, push)

        monkeypatch.setattr(simulation, "Simulation", keep)
        env = StumpTracks()
        for seed in range(200):
            env.reset(seed=seed)
        assert -5.0 <= min(pushes) < -4.8
        assert 4.8 < max(pushes) <= 5.0
        assert abs(float(np.mean(pushes))) < 0.6


class TestReward:
    @pytest.mark.parametrize(
        ("body", "cost"), [("default", 0.00035 * 80), ("quadru", 0.00035 * 300 / 8)]
    )
    def test_one_step_by_hand(self, body: str, cost: float) -> None:
        env = StumpTracks(body=body)
        env.reset(seed=1, options={"task": [1.0, 2.0]})
        hull = simulation_of(env).parts[0]
        x, angle = hull.position[0], hull.angle
        action = np.linspace(-1.5, 1.0, BODIES[body].num_motors)
        reward = env.step(action)[1]
        progress = 130 / 30 * (hull.position[0] - x)
        tilt = 5 * (abs(hull.angle) - abs(angle))
        effort = sum(min(abs(a), 1.0) for a in action)
        assert reward == pytest.approx(progress - tilt - cost * effort, abs=1e-9)

    def test_crash_replaces_the_reward(self) -> None:
        env = StumpTracks(body="short")
        env.reset(seed=0)
        for _ in range(500):
            _, reward, terminated, truncated, info = env.step(np.zeros(4))
            if terminated:
                break
        assert terminated
        assert not truncated
        assert simulation_of(env).crashed
        assert reward == -100.0
        assert info["success"] is False

    def test_both_ends_of_the_track(self) -> None:
        env = StumpTracks()
        env.reset(seed=0, options={"task": [0.0, 6.0]})
        carry(env, FINISH + 0.05 - simulation_of(env).x)
        _, reward, terminated, _, info = env.step(np.zeros(4))
        assert terminated
        assert reward == pytest.approx(364, abs=2)
        assert info["success"] is True
        env.reset(seed=0)
        carry(env, -0.05 - simulation_of(env).x)
        observation, reward, terminated, _, info = env.step(np.zeros(4))
        assert terminated
        assert reward == -100.0
        assert observation in env.observation_space

    def test_reset_runs_a_step_that_is_not_counted(self) -> None:
        env = StumpTracks()
        env.reset(seed=0)
        start = simulation_of(env).x
        assert start != 10 * STEP
        assert env.episode_return == 0.0
        total = sum(env.step(np.zeros(4))[1] for _ in range(5))
        moved = simulation_of(env)
        assert total == pytest.approx(130 / 30 * (moved.x - start) - 5 * abs(moved.angle), abs=0.05)


class TestContract:
    @pytest.mark.parametrize(
        ("body", "actions", "observations"),
        [("short", 4, 24), ("default", 4, 24), ("quadru", 8, 34), ("quadru-80", 8, 34)],
    )
    def test_spaces(self, body: str, actions: int, observations: int) -> None:
        env = StumpTracks(body=body)
        assert env.action_space.shape == (actions,)
        assert env.observation_space.shape == (observations,)
        rng = np.random.default_rng(0)
        for seed in range(6):
            observation, _ = env.reset(
                seed=seed, options={"task": env.task_space.sample(1, rng)[0]}
            )
            for _ in range(120):
                assert observation in env.observation_space
                action = np.sign(rng.uniform(-1, 1, actions)).astype(np.float32)
                observation, _, terminated, _, _ = env.step(action)
                if terminated:
                    break

    def test_layout_of_the_observation(self) -> None:
        env = StumpTracks()
        env.reset(seed=4, options={"task": [1.0, 2.0]})
        for _ in range(10):
            observation = env.step(np.array([0.5, -0.5, -0.2, 0.9], dtype=np.float32))[0]
        simulation = simulation_of(env)
        hull, *legs = simulation.parts
        vx, vy = hull.linearVelocity
        expected = [
            hull.angle,
            hull.angularVelocity * 2 / 50,
            0.3 * vx * 20 / 50,
            0.3 * vy * 40 / 150,
        ]
        for start, (upper, lower) in ((-0.05, legs[:2]), (0.05, legs[2:])):
            # Joint angles and speeds are differences between the parts they join, from the start.
            expected += [
                upper.angle - hull.angle - start,
                (upper.angularVelocity - hull.angularVelocity) / 4,
                lower.angle - upper.angle + 1,
                (lower.angularVelocity - upper.angularVelocity) / 6,
                float(any(edge.contact.touching for edge in lower.contacts)),
            ]
        expected += simulation.rays(*hull.position)
        assert observation == pytest.approx(np.array(expected), abs=1e-5)

    @pytest.mark.parametrize("body", ["default", "quadru"])
    def test_a_used_environment_equals_a_fresh_one_to_the_bit(self, body: str) -> None:
        used = StumpTracks(body=body, tasks=ALL_OPEN)
        rng = np.random.default_rng(0)
        falls = 0
        for seed in range(15):
            task = used.task_space.sample(1, rng)[0]
            fresh = StumpTracks(body=body, tasks=ALL_OPEN)
            trace = rollout(used, task, seed)
            falls += trace[-1][-1] == 1.0
            assert same(trace, rollout(fresh, task, seed))
        assert falls >= 2
        assert same(rollout(used, task, 0), rollout(used, task, 0))
        assert not same(rollout(used, task, 0), rollout(used, task, 1))

    @pytest.mark.parametrize("name", list(ALL_OPEN))
    def test_every_parameter_is_live(self, name: str) -> None:
        env = StumpTracks(tasks=ALL_OPEN)
        base = {**{p.name: p.default for p in env.parameters}, "obstacle_spacing": 0.5}
        low, high = ALL_OPEN[name]
        paths = []
        for value in (base[name], base[name] + (high - low) / 10):
            env.reset(seed=0, options={"task": {**base, name: value}})
            carry(env, 20.0)
            rng = np.random.default_rng(0)
            hull = simulation_of(env).parts[0]
            path = []
            for _ in range(60):
                env.step(rng.uniform(-1, 1, 4))
                path.append(tuple(hull.position))
            paths.append(path)
        # The walker itself moves otherwise, not only what it sees.
        assert np.abs(np.array(paths[0]) - np.array(paths[1])).max() > 1e-3

    def test_task_outside_leaves_the_environment_usable(self) -> None:
        env = StumpTracks()
        env.reset(seed=0, options={"task": [1.0, 2.0]})
        env.step(np.zeros(4))
        with pytest.raises(ValueError, match="stump_height"):
            env.reset(options={"task": [3.5, 2.0]})
        env.step(np.zeros(4))
        _, info = env.reset(seed=1)
        assert info["task"].tolist() == [1.0, 2.0]

    def test_ranges(self) -> None:
        env = StumpTracks(tasks={"stump_height": (0, 5), "stump_width": 2.0})
        env.reset(seed=0, options={"task": {"stump_height": 4.5}})
        (left, _), (right, _) = simulation_of(env).track.stumps[0][:2]
        assert right - left == pytest.approx(2 * STEP)
        with pytest.raises(ValueError, match="roughness"):
            StumpTracks(tasks={"roughness": (-1, 1)})
        with pytest.raises(ValueError, match=r"'short'.*got 'spider'"):
            StumpTracks(body="spider")
        with pytest.raises(ValueError, match="render_mode"):
            StumpTracks(render_mode="ansi")

    def test_defaults_and_test_sets(self) -> None:
        env = StumpTracks()
        assert env.default_task.tolist() == [0.0, 6.0]
        assert (env.mastery, env.return_range) == (230.0, (-150.0, 350.0))
        sets = env.test_sets
        assert {name: len(tasks) for name, tasks in sets.items()} == {
            "uniform-50": 50,
            "grid-100": 100,
            "teachmyagent": 100,
        }
        assert np.array_equal(sets["grid-100"], sets["teachmyagent"])
        assert sorted({*sets["grid-100"][:, 0]}) == pytest.approx(np.linspace(0, 3, 10))
        assert np.array_equal(sets["uniform-50"], StumpTracks().test_sets["uniform-50"])
        wide = StumpTracks(tasks={"stump_height": (0, 9)}).test_sets
        assert wide["grid-100"].max() == 9.0
        assert np.array_equal(wide["teachmyagent"], sets["teachmyagent"])
        assert "teachmyagent" not in StumpTracks(tasks={"stump_height": (1, 2)}).test_sets
        assert "grid-100" not in StumpTracks(tasks=ALL_OPEN).test_sets
        assert len(StumpTracks(tasks={"obstacle_spacing": 1.0}).test_sets["grid-100"]) == 100

    def test_difficulty_orders(self) -> None:
        space = StumpTracks(tasks={"roughness": (0, 5)}).task_space
        easy, higher, closer, rougher = space.difficulty_of(
            [[1.0, 3.0, 1.0], [1.1, 3.0, 1.0], [1.0, 2.9, 1.0], [1.0, 3.0, 1.1]]
        )
        assert easy < min(higher, closer, rougher)

    def test_wrong_use(self) -> None:
        env = StumpTracks(render_mode="rgb_array")
        with pytest.raises(ResetNeeded):
            env.step(np.zeros(4))
        with pytest.raises(ResetNeeded):
            env.render()
        env.reset(seed=0)
        with pytest.raises(ValueError, match=r"shape \(4,\), got \(3,\)"):
            env.step(np.zeros(3))
        with pytest.raises(ValueError, match="nan"):
            env.step(np.array([0.0, np.nan, 0.0, 0.0]))

    @pytest.mark.parametrize("used", [False, True])
    def test_copies_start_at_their_next_reset(self, used: bool) -> None:
        env = StumpTracks(body="short", tasks={"stump_height": (0, 5)})
        if used:
            rollout(env, [4.0, 1.0], seed=3, steps=20)
        for copied in (pickle.loads(pickle.dumps(env)), copy.deepcopy(env)):
            with pytest.raises(ResetNeeded):
                copied.step(np.zeros(4))
            assert same(rollout(copied, [4.0, 1.0], seed=0), rollout(env, [4.0, 1.0], seed=0))

    def test_global_random_states_are_left_alone(self) -> None:
        before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
        rollout(StumpTracks(tasks=ALL_OPEN, render_mode="rgb_array"), None, seed=0)
        after = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
        assert before == after

    @pytest.mark.parametrize("observe_task", [False, True])
    def test_gymnasium_checks(self, observe_task: bool) -> None:
        env = StumpTracks(render_mode="rgb_array", observe_task=observe_task)
        check_env(env, skip_render_check=True)

    def test_without_box2d(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "Box2D", None)
        monkeypatch.delitem(sys.modules, "currgym.envs.stump_tracks.simulation")
        with pytest.raises(DependencyNotInstalled, match=r"box2d.*3\.14.*StumpTracks-v1"):
            StumpTracks()

    def test_tracks_need_no_box2d(self) -> None:
        code = (
            "import sys; sys.modules['Box2D'] = None;"
            "from currgym.envs.stump_tracks import StumpTracks, terrain;"
            "assert StumpTracks.parameters"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


class TestRendering:
    def test_frames(self) -> None:
        env = StumpTracks(render_mode="rgb_array", tasks=ALL_OPEN)
        env.reset(seed=0, options={"task": {"stump_height": 2.0, "stump_rotation": 0.3}})
        first = frame_of(env)
        assert first.shape == (400, 600, 3)
        assert first.dtype == np.uint8
        assert np.array_equal(first, frame_of(env))
        for _ in range(10):
            env.step(env.action_space.sample())
        assert not np.array_equal(first, frame_of(env))
        carry(env, 80.0)
        env.step(np.zeros(4))
        env.close()
        assert not np.array_equal(first, frame_of(env))

    def test_looking_changes_nothing(self) -> None:
        class Watched(StumpTracks):
            def step(self, action: Any) -> Any:
                self.render()
                return super().step(action)

        plain = rollout(StumpTracks(), [2.0, 1.0], seed=0, steps=80)
        assert same(plain, rollout(Watched(render_mode="rgb_array"), [2.0, 1.0], seed=0, steps=80))

    def test_window(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
        env = StumpTracks(render_mode="human")
        trace = rollout(env, [1.0, 2.0], seed=0, steps=5)
        env.close()
        env.close()
        assert same(trace, rollout(StumpTracks(), [1.0, 2.0], seed=0, steps=5))


def test_the_package_names_what_it_exports() -> None:
    package = importlib.import_module("currgym.envs.stump_tracks")
    assert set(package.__all__) == {"BODIES", "Body", "StumpTracks"}
