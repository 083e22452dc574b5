"""Pendulum whose rod, gravity, motor and start are the task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.pendulum import PendulumEnv

from currgym.envs.base import Parameter, TaskRange
from currgym.envs.physics_base import PhysicsEnv

__all__ = ["Pendulum"]


class Pendulum(PhysicsEnv):
    """A motor swings a pendulum up; the task sets gravity and the motor's strength.

    ## Description
    Gymnasium's ``Pendulum-v1`` with its physical constants as task parameters. The default task is
    the original, step for step and to the bit. With a strong motor in weak gravity it is lifted
    straight up; then it takes one swing, then several, and in the end there is no time for them
    (about half of the tasks, measured with an energy-pumping controller).

    Source: ``gymnasium/envs/classic_control/pendulum.py``.

    ## Action Space
    ``Box`` of shape ``(1,)``, float32: torque in N m, between plus and minus the largest
    ``max_torque`` in the task space (2); the task clips it to its own.

    ## Observation Space
    ``Box`` of shape ``(3,)``, float32; with ``observe_task`` the unit-cube task follows.

    | Num | Observation               | Min            | Max |
    |-----|---------------------------|----------------|-----|
    | 0   | cosine of the angle       | -1             | 1   |
    | 1   | sine of the angle         | -1             | 1   |
    | 2   | angular velocity in rad/s | -8 (see below) | 8   |

    The bound on the speed is the largest ``max_speed`` (or ``speed_spread``) in the task space.

    ## Rewards
    ``-(angle^2 + 0.1 speed^2 + 0.001 torque^2)``, the angle 0 when upright. Hanging costs 9.9 a
    step, an upright pendulum nothing. A return strictly above -500 masters a task: the pendulum was
    up after some 50 of the 200 steps and stayed there. One swing costs up to 400 from the worst
    start, a second one 250 more.

    ## Starting State
    Angle uniform in ``(-angle_spread, angle_spread)``, velocity in ``(-speed_spread,
    speed_spread)``.

    ## Episode End
    Truncation after 200 steps.

    ## Task parameters
    | Name           | Range        | Default | Unit  | Varies | Effect on difficulty           |
    |----------------|--------------|---------|-------|--------|--------------------------------|
    | `gravity`      | 2 to 20      | 10      | m/s^2 | yes    | stronger is harder             |
    | `max_torque`   | 0.25 to 2    | 2       | N m   | yes    | weaker is harder               |
    | `mass`         | 0.25 to 2    | 1       | kg    | no     | heavier is harder              |
    | `length`       | 0.5 to 1.5   | 1       | m     | no     | longer is harder               |
    | `max_speed`    | 4 to 8       | 8       | rad/s | no     | small: too slow to swing up    |
    | `angle_spread` | 0 to 3.14159 | 3.14159 | rad   | no     | small: starts upright          |
    | `speed_spread` | 0 to 4       | 1       | rad/s | no     | mixed                          |
    | `time_step`    | 0.02 to 0.1  | 0.05    | s     | no     | short: little time to swing up |

    The declared difficulty rises with gravity and falls with the torque.

    ## Arguments
    | Name           | Default | Description                                                 |
    |----------------|---------|-------------------------------------------------------------|
    | `tasks`        | `None`  | `{"length": (0.5, 2), "gravity": 10}` varies one, fixes one |
    | `observe_task` | `False` | append the unit-cube task to the observation                |
    | `render_mode`  | `None`  | `"human"` or `"rgb_array"`                                  |

    ## Version History
    * v0: first release.
    """

    metadata = PendulumEnv.metadata
    parameters = (
        Parameter("gravity", 2.0, 20.0, 10.0, varies=True, minimum=0.0),
        Parameter("max_torque", 0.25, 2.0, 2.0, varies=True, minimum=1e-3),
        Parameter("mass", 0.25, 2.0, 1.0, minimum=1e-3),
        Parameter("length", 0.5, 1.5, 1.0, minimum=1e-2),
        Parameter("max_speed", 4.0, 8.0, 8.0, minimum=0.1),
        Parameter("angle_spread", 0.0, np.pi, np.pi, minimum=0.0, maximum=np.pi),
        Parameter("speed_spread", 0.0, 4.0, 1.0, minimum=0.0),
        Parameter("time_step", 0.02, 0.1, 0.05, minimum=1e-4),
    )
    difficulty: ClassVar[dict[str, float]] = {"gravity": 1.0, "max_torque": -10.0}
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
        speed = max(self.largest("max_speed"), self.largest("speed_spread"))
        high = np.array([1.0, 1.0, speed], dtype=np.float32)
        self.set_spaces(
            gymnasium.spaces.Box(-high, high, dtype=np.float32),
            gymnasium.spaces.Box(-torque, torque, shape=(1,), dtype=np.float32),
        )

    def _configure(self, values: Mapping[str, float]) -> dict[str, Any]:
        physics = self.physics
        physics.g = values["gravity"]
        physics.m = values["mass"]
        physics.l = values["length"]
        physics.max_torque = values["max_torque"]
        physics.max_speed = values["max_speed"]
        physics.dt = values["time_step"]
        physics.last_u = None
        return {"x_init": values["angle_spread"], "y_init": values["speed_spread"]}
