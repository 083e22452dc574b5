"""Pendulum whose rod, gravity, motor and start are the task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.pendulum import PendulumEnv

from currgym.envs.base import Parameter, TaskRange
from currgym.envs.classic.base import ClassicEnv

__all__ = ["Pendulum"]


class Pendulum(ClassicEnv):
    parameters = (
        Parameter("gravity", 1.0, 20.0, 10.0, varies=True, minimum=0.0),
        Parameter("max_torque", 0.25, 2.0, 2.0, varies=True, minimum=0.0),
        Parameter("mass", 0.25, 2.0, 1.0, minimum=1e-3),
        Parameter("length", 0.5, 1.5, 1.0, minimum=1e-2),
        Parameter("max_speed", 4.0, 8.0, 8.0, minimum=0.1),
        Parameter("angle_spread", 0.0, np.pi, np.pi, minimum=0.0, maximum=np.pi),
        Parameter("speed_spread", 0.0, 4.0, 1.0, minimum=0.0),
        Parameter("time_step", 0.02, 0.1, 0.05, minimum=1e-4),
    )
    difficulty = {"gravity": 1.0, "max_torque": -10.0}
    return_range = (-1600.0, 0.0)
    mastery = -500.0

    def __init__(
        self,
        *,
        tasks: Mapping[str, TaskRange] | None = None,
        observe_task: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(
            PendulumEnv(render_mode=render_mode), tasks=tasks, observe_task=observe_task
        )
        torque = self.largest("max_torque")
        high = np.array([1.0, 1.0, self.largest("max_speed")], dtype=np.float32)
        self.set_spaces(
            gymnasium.spaces.Box(-high, high, dtype=np.float32),
            gymnasium.spaces.Box(-torque, torque, shape=(1,), dtype=np.float32),
        )

    def _configure(self, values: Mapping[str, float]) -> dict[str, Any]:
        physics = self._physics
        physics.g = values["gravity"]
        physics.m = values["mass"]
        physics.l = values["length"]
        physics.max_torque = values["max_torque"]
        physics.max_speed = values["max_speed"]
        physics.dt = values["time_step"]
        physics.last_u = None
        return {"x_init": values["angle_spread"], "y_init": values["speed_spread"]}
