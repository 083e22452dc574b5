"""MountainCarContinuous whose engine, gravity, flag and start are the task."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.continuous_mountain_car import Continuous_MountainCarEnv

from currgym.envs.base import Parameter, TaskRange
from currgym.envs.classic.base import ClassicEnv

__all__ = ["MountainCarContinuous"]


class _Physics(Continuous_MountainCarEnv):
    """Gymnasium's car with gravity as an attribute instead of a number inside ``step``."""

    gravity = 0.0025

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Advance one step; the operations and their order are Gymnasium's."""
        position, velocity = self.state
        force = min(max(action[0], self.min_action), self.max_action)
        velocity += force * self.power - self.gravity * math.cos(3 * position)
        if velocity > self.max_speed:
            velocity = self.max_speed
        if velocity < -self.max_speed:
            velocity = -self.max_speed
        position += velocity
        if position > self.max_position:
            position = self.max_position
        if position < self.min_position:
            position = self.min_position
        if position == self.min_position and velocity < 0:
            velocity = 0
        terminated = bool(position >= self.goal_position and velocity >= self.goal_velocity)
        reward = (100.0 if terminated else 0.0) - math.pow(action[0], 2) * 0.1
        self.state = np.array([position, velocity], dtype=np.float32)
        if self.render_mode == "human":
            self.render()
        return self.state, reward, terminated, False, {}


class MountainCarContinuous(ClassicEnv):
    parameters = (
        Parameter("power", 0.0003, 0.003, 0.0015, varies=True, kind="log", minimum=0.0),
        Parameter("goal_position", -0.2, 0.55, 0.45, varies=True, minimum=-1.2, maximum=0.6),
        Parameter("gravity", 0.001, 0.005, 0.0025, minimum=0.0),
        Parameter("goal_velocity", 0.0, 0.05, 0.0),
        Parameter("max_speed", 0.03, 0.07, 0.07, minimum=1e-3),
        Parameter("start_position", -0.9, -0.3, -0.5, minimum=-1.2, maximum=0.6),
        Parameter("start_spread", 0.0, 0.2, 0.1, minimum=0.0),
    )
    difficulty = {"power": -1000.0, "goal_position": 1.0}
    return_range = (-100.0, 100.0)
    mastery = 0.0

    def __init__(
        self,
        *,
        tasks: Mapping[str, TaskRange] | None = None,
        observe_task: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(_Physics(render_mode=render_mode), tasks=tasks, observe_task=observe_task)
        physics, speed = self._physics, self.largest("max_speed")
        self.set_spaces(
            gymnasium.spaces.Box(
                np.array([physics.min_position, -speed], dtype=np.float32),
                np.array([physics.max_position, speed], dtype=np.float32),
                dtype=np.float32,
            ),
            physics.action_space,
        )

    def _configure(self, values: Mapping[str, float]) -> dict[str, Any]:
        physics = self._physics
        physics.power = values["power"]
        physics.gravity = values["gravity"]
        physics.goal_position = values["goal_position"]
        physics.goal_velocity = values["goal_velocity"]
        physics.max_speed = values["max_speed"]
        middle, spread = values["start_position"], values["start_spread"]
        return {"low": middle - spread, "high": middle + spread}
