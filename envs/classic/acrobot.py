"""Acrobot whose links, motor, gravity and bar are the task."""

from __future__ import annotations

from collections.abc import Mapping
from math import pi
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.acrobot import AcrobotEnv
from numpy import cos, sin

from currgym.envs.base import Parameter, TaskRange
from currgym.envs.physics_base import PhysicsEnv

__all__ = ["Acrobot"]


class _Physics(AcrobotEnv):
    """Gymnasium's acrobot with every constant an attribute.

    Gymnasium writes gravity into the equations, gives both links one moment of inertia, and
    measures the height of the tip as if both links were one metre long.
    """

    gravity = 9.8
    inertia_1 = 1.0
    inertia_2 = 1.0
    target_height = 1.0
    state: Any

    def _terminal(self) -> bool:
        s = self.state
        height = -self.LINK_LENGTH_1 * cos(s[0]) - self.LINK_LENGTH_2 * cos(s[1] + s[0])
        return bool(height > self.target_height)

    def _dsdt(self, s_augmented: Any) -> tuple[Any, Any, Any, Any, float]:
        """Return the state's derivative; the operations and their order are Gymnasium's."""
        m1, m2 = self.LINK_MASS_1, self.LINK_MASS_2
        l1, lc1, lc2 = self.LINK_LENGTH_1, self.LINK_COM_POS_1, self.LINK_COM_POS_2
        i1, i2, g = self.inertia_1, self.inertia_2, self.gravity
        theta1, theta2, dtheta1, dtheta2, a = s_augmented
        d1 = m1 * lc1**2 + m2 * (l1**2 + lc2**2 + 2 * l1 * lc2 * cos(theta2)) + i1 + i2
        d2 = m2 * (lc2**2 + l1 * lc2 * cos(theta2)) + i2
        phi2 = m2 * lc2 * g * cos(theta1 + theta2 - pi / 2.0)
        phi1 = (
            -m2 * l1 * lc2 * dtheta2**2 * sin(theta2)
            - 2 * m2 * l1 * lc2 * dtheta2 * dtheta1 * sin(theta2)
            + (m1 * lc1 + m2 * l1) * g * cos(theta1 - pi / 2)
            + phi2
        )
        ddtheta2 = (a + d2 / d1 * phi1 - m2 * l1 * lc2 * dtheta1**2 * sin(theta2) - phi2) / (
            m2 * lc2**2 + i2 - d2**2 / d1
        )
        ddtheta1 = -(d2 * ddtheta2 + phi1) / d1
        return dtheta1, dtheta2, ddtheta1, ddtheta2, 0.0


class Acrobot(PhysicsEnv):
    """Two links swing their tip over a bar; the task sets the bar's height and the motor.

    ## Description
    Gymnasium's ``Acrobot-v1`` with its constants as task parameters. The default task is the
    original, step for step and to the bit. Gymnasium fixes gravity and the bar, gives both links
    one moment of inertia, and takes both for one metre long where it measures the tip's height;
    here each is a parameter, and the links' own lengths count. A low bar is met by chance, a high
    one needs a swing built up with the motor.

    Source: Sutton (1996), *Generalization in Reinforcement Learning*;
    ``gymnasium/envs/classic_control/acrobot.py`` (the equations of the book, not of the paper).

    ## Action Space
    ``Discrete(3)``: ``-torque``, 0 or ``torque`` on the joint between the links.

    ## Observation Space
    ``Box`` of shape ``(6,)``, float32; with ``observe_task`` the unit-cube task follows.

    | Num  | Observation                         | Min           | Max  |
    |------|-------------------------------------|---------------|------|
    | 0, 1 | cosine and sine of the first angle  | -1            | 1    |
    | 2, 3 | cosine and sine of the second angle | -1            | 1    |
    | 4    | first angular velocity in rad/s     | -4 pi (below) | 4 pi |
    | 5    | second angular velocity in rad/s    | -9 pi (below) | 9 pi |

    The bounds on the velocities are the largest ``max_speed_1`` and ``max_speed_2`` in the task
    space.

    ## Rewards
    -1 a step, 0 at the last one. A return strictly above -100, the original's threshold, masters a
    task.

    ## Starting State
    Angles and velocities uniform in ``(-start_spread, start_spread)``: both links hang down.

    ## Episode End
    Termination: the tip is higher than ``target_height`` above the first joint.
    Truncation: after 500 steps.

    ## Task parameters
    | Name            | Range        | Default | Unit   | Varies | Effect on difficulty   |
    |-----------------|--------------|---------|--------|--------|------------------------|
    | `target_height` | -1.5 to 1.9  | 1       | m      | yes    | higher is harder       |
    | `torque`        | 0.2 to 1.5   | 1       | N m    | yes    | weaker is harder       |
    | `gravity`       | 4 to 20      | 9.8     | m/s^2  | no     | stronger is harder     |
    | `length_1`      | 0.5 to 1.5   | 1       | m      | no     | mixed                  |
    | `length_2`      | 0.5 to 1.5   | 1       | m      | no     | shorter is harder      |
    | `mass_1`        | 0.5 to 2     | 1       | kg     | no     | heavier is harder      |
    | `mass_2`        | 0.5 to 2     | 1       | kg     | no     | heavier is harder      |
    | `center_1`      | 0.25 to 1    | 0.5     | m      | no     | mixed                  |
    | `center_2`      | 0.25 to 1    | 0.5     | m      | no     | mixed                  |
    | `inertia_1`     | 0.5 to 2     | 1       | kg m^2 | no     | mixed                  |
    | `inertia_2`     | 0.5 to 2     | 1       | kg m^2 | no     | mixed                  |
    | `max_speed_1`   | 2 to 12.5664 | 12.5664 | rad/s  | no     | small cuts the swing   |
    | `max_speed_2`   | 2 to 28.2743 | 28.2743 | rad/s  | no     | small cuts the swing   |
    | `torque_noise`  | 0 to 1       | 0       | N m    | no     | uniform, on the torque |
    | `start_spread`  | 0 to 0.5     | 0.1     |        | no     | wider is easier        |
    | `time_step`     | 0.05 to 0.2  | 0.2     | s      | no     | shorter is harder      |

    The declared difficulty rises with the bar's height and falls with the torque.

    ## Arguments
    | Name           | Default | Description                                               |
    |----------------|---------|-----------------------------------------------------------|
    | `tasks`        | `None`  | `{"gravity": (4, 20), "torque": 1}` varies one, fixes one |
    | `observe_task` | `False` | append the unit-cube task to the observation              |
    | `render_mode`  | `None`  | `"human"` or `"rgb_array"`                                |

    ## Version History
    * v0: first release.
    """

    metadata = AcrobotEnv.metadata
    parameters = (
        Parameter("target_height", -1.5, 1.9, 1.0, varies=True),
        Parameter("torque", 0.2, 1.5, 1.0, varies=True, minimum=0.0),
        Parameter("gravity", 4.0, 20.0, 9.8, minimum=0.0),
        Parameter("length_1", 0.5, 1.5, 1.0, minimum=1e-2),
        Parameter("length_2", 0.5, 1.5, 1.0, minimum=1e-2),
        Parameter("mass_1", 0.5, 2.0, 1.0, minimum=1e-2),
        Parameter("mass_2", 0.5, 2.0, 1.0, minimum=1e-2),
        Parameter("center_1", 0.25, 1.0, 0.5, minimum=0.0),
        Parameter("center_2", 0.25, 1.0, 0.5, minimum=0.0),
        Parameter("inertia_1", 0.5, 2.0, 1.0, minimum=1e-3),
        Parameter("inertia_2", 0.5, 2.0, 1.0, minimum=1e-3),
        Parameter("max_speed_1", 2.0, 4 * pi, 4 * pi, minimum=1.0),
        Parameter("max_speed_2", 2.0, 9 * pi, 9 * pi, minimum=1.0),
        Parameter("torque_noise", 0.0, 1.0, 0.0, minimum=0.0),
        Parameter("start_spread", 0.0, 0.5, 0.1, minimum=0.0, maximum=1.0),
        Parameter("time_step", 0.05, 0.2, 0.2, minimum=1e-3),
    )
    difficulty: ClassVar[dict[str, float]] = {"target_height": 1.0, "torque": -2.0}
    return_range = (-500.0, 0.0)
    mastery = -100.0

    def __init__(
        self,
        *,
        tasks: Mapping[str, TaskRange] | None = None,
        observe_task: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(_Physics(render_mode=render_mode), tasks=tasks, observe_task=observe_task)
        speeds = [self.largest("max_speed_1"), self.largest("max_speed_2")]
        high = np.array([1.0, 1.0, 1.0, 1.0, *speeds], dtype=np.float32)
        self.set_spaces(
            gymnasium.spaces.Box(-high, high, dtype=np.float32), self.physics.action_space
        )

    def _configure(self, values: Mapping[str, float]) -> dict[str, Any]:
        physics = self.physics
        physics.target_height = values["target_height"]
        physics.AVAIL_TORQUE = [-values["torque"], 0.0, values["torque"]]
        physics.gravity = values["gravity"]
        physics.LINK_LENGTH_1 = values["length_1"]
        physics.LINK_LENGTH_2 = values["length_2"]
        physics.LINK_MASS_1 = values["mass_1"]
        physics.LINK_MASS_2 = values["mass_2"]
        physics.LINK_COM_POS_1 = values["center_1"]
        physics.LINK_COM_POS_2 = values["center_2"]
        physics.inertia_1 = values["inertia_1"]
        physics.inertia_2 = values["inertia_2"]
        physics.MAX_VEL_1 = values["max_speed_1"]
        physics.MAX_VEL_2 = values["max_speed_2"]
        physics.torque_noise_max = values["torque_noise"]
        physics.dt = values["time_step"]
        return {"low": -values["start_spread"], "high": values["start_spread"]}
