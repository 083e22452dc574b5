"""MountainCarContinuous whose engine, gravity, flag and start are the task."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.continuous_mountain_car import Continuous_MountainCarEnv

from currgym.envs.base import Parameter, TaskRange
from currgym.envs.physics_base import PhysicsEnv

__all__ = ["MountainCarContinuous"]


class _Physics(Continuous_MountainCarEnv):
    """Gymnasium's car with gravity as an attribute instead of a number inside ``step``."""

    gravity = 0.0025
    start_velocity = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start where Gymnasium does, at the start velocity as far as the speed limit allows."""
        _, info = super().reset(seed=seed, options=options)
        self.state[1] = min(max(self.start_velocity, -self.max_speed), self.max_speed)
        return np.array(self.state, dtype=np.float32), info

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
            self.render()  # type: ignore[no-untyped-call]
        return self.state, reward, terminated, False, {}


class MountainCarContinuous(PhysicsEnv):
    """A weak car swings itself up a hill; the task sets the engine and the flag.

    ## Description
    Gymnasium's ``MountainCarContinuous-v0`` with its constants as task parameters. The default task
    is the original, step for step and to the bit. A flag near the valley's floor is reached by
    chance and one up the hill only by swinging; with a strong engine the car drives straight up,
    and with the weakest it does not arrive in time (about 1 task in 10, measured with full throttle
    in the direction of motion). Since driving costs and standing still does not, a student that
    never meets the flag learns to stand.

    Source: Moore (1990), *Efficient Memory-based Learning for Robot Control*;
    ``gymnasium/envs/classic_control/continuous_mountain_car.py``.

    ## Action Space
    ``Box(-1, 1, (1,))``, float32: the throttle.

    ## Observation Space
    ``Box`` of shape ``(2,)``, float32; with ``observe_task`` the unit-cube task follows.

    | Num | Observation | Min           | Max  |
    |-----|-------------|---------------|------|
    | 0   | position    | -1.2          | 0.6  |
    | 1   | velocity    | -0.07 (below) | 0.07 |

    The bound on the velocity is the largest ``max_speed`` in the task space.

    ## Rewards
    ``-0.1 throttle^2`` a step, and 100 at the flag. A return strictly above 0 masters a task. That
    is to say that the car arrived: 999 steps at full throttle cost 99.9.

    ## Starting State
    Position uniform in ``start_position`` plus or minus ``start_spread``; velocity
    ``start_velocity``, at most ``max_speed`` either way. Where one of ``start_position`` and
    ``start_velocity`` varies, ``info["reached.start_position"]`` and its like tell one of the
    states that the episode has visited, each as likely: a later start (teacher ``start-buffer``,
    with ``start_spread`` 0 for the very state).

    ## Episode End
    Termination: the car is at ``goal_position`` or beyond with ``goal_velocity`` or more.
    Truncation: after 999 steps.

    ## Task parameters
    | Name             | Range           | Default | Unit   | Varies | Effect on difficulty    |
    |------------------|-----------------|---------|--------|--------|-------------------------|
    | `power`          | 0.0001 to 0.003 | 0.0015  | 1/step | yes    | weaker is harder        |
    | `goal_position`  | -0.4 to 0.55    | 0.45    |        | yes    | farther is harder       |
    | `gravity`        | 0.001 to 0.005  | 0.0025  | 1/step | no     | stronger is harder      |
    | `goal_velocity`  | 0 to 0.07       | 0       | 1/step | no     | faster is harder        |
    | `max_speed`      | 0.03 to 0.07    | 0.07    | 1/step | no     | slower is harder        |
    | `start_position` | -0.9 to -0.3    | -0.5    |        | no     | off the floor is easier |
    | `start_spread`   | 0 to 0.2        | 0.1     |        | no     | mixed                   |
    | `start_velocity` | -0.07 to 0.07   | 0       | 1/step | no     | faster is easier        |

    The declared difficulty rises with the flag's position and falls with the power.

    ## Arguments
    | Name           | Default | Description                                                  |
    |----------------|---------|--------------------------------------------------------------|
    | `tasks`        | `None`  | `{"gravity": (0.001, 0.01), "power": 0.002}` varies one only |
    | `observe_task` | `False` | append the unit-cube task to the observation                 |
    | `render_mode`  | `None`  | `"human"` or `"rgb_array"`                                   |

    ## Version History
    * v0: first release.
    """

    metadata = Continuous_MountainCarEnv.metadata
    parameters = (
        Parameter("power", 0.0001, 0.003, 0.0015, varies=True, kind="log", minimum=1e-6),
        Parameter("goal_position", -0.4, 0.55, 0.45, varies=True, minimum=-1.2, maximum=0.6),
        Parameter("gravity", 0.001, 0.005, 0.0025, minimum=0.0),
        Parameter("goal_velocity", 0.0, 0.07, 0.0, minimum=0.0),
        Parameter("max_speed", 0.03, 0.07, 0.07, minimum=1e-3),
        Parameter("start_position", -0.9, -0.3, -0.5, minimum=-1.0, maximum=0.4),
        Parameter("start_spread", 0.0, 0.2, 0.1, minimum=0.0, maximum=0.2),
        Parameter("start_velocity", -0.07, 0.07, 0.0),
    )
    starts = ("start_position", "start_velocity")
    difficulty: ClassVar[dict[str, float]] = {"goal_position": 1.0, "power": -300.0}
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
        physics, speed = self.physics, self.largest("max_speed")
        self.set_spaces(
            gymnasium.spaces.Box(
                np.array([physics.min_position, -speed], dtype=np.float32),
                np.array([physics.max_position, speed], dtype=np.float32),
                dtype=np.float32,
            ),
            physics.action_space,
        )

    def _configure(self, values: Mapping[str, float]) -> dict[str, Any]:
        physics = self.physics
        physics.power = values["power"]
        physics.gravity = values["gravity"]
        physics.goal_position = values["goal_position"]
        physics.goal_velocity = values["goal_velocity"]
        physics.max_speed = values["max_speed"]
        physics.start_velocity = values["start_velocity"]
        middle, spread = values["start_position"], values["start_spread"]
        return {"low": middle - spread, "high": middle + spread}

    def _state_as_start(self) -> Any:
        return self.state
