"""CartPole whose cart, pole, push, gravity and start are the task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

from currgym.envs.base import Parameter, TaskRange
from currgym.envs.physics_base import PhysicsEnv

__all__ = ["CartPole"]


class CartPole(PhysicsEnv):
    """A cart balances a pole; the task sets what the pole and its gravity are like.

    ## Description
    Gymnasium's ``CartPole-v1`` with its physical constants as task parameters. The default task is
    the original, step for step and to the bit. By default the pole gets shorter than the original's
    and gravity weaker or stronger. Both make the pole fall faster; since the push is either full
    left or full right and lasts ``time_step``, a short pole in strong gravity can hardly be held
    (about 1 task in 10 defeats even a linear-quadratic regulator made for that very task).

    Source: Barto, Sutton and Anderson (1983), *Neuronlike Adaptive Elements That Can Solve
    Difficult Learning Control Problems*; ``gymnasium/envs/classic_control/cartpole.py``.

    ## Action Space
    ``Discrete(2)``: 0 pushes the cart to the left, 1 to the right.

    ## Observation Space
    ``Box`` of shape ``(4,)``, float32; with ``observe_task`` the unit-cube task follows.

    | Num | Observation           | Min    | Max   |
    |-----|-----------------------|--------|-------|
    | 0   | Cart position         | -4.8 m | 4.8 m |
    | 1   | Cart velocity         | -inf   | inf   |
    | 2   | Pole angle (rad)      | -inf   | inf   |
    | 3   | Pole angular velocity | -inf   | inf   |

    The original bounds the angle by 0.418, which a short pole passes within the last step.

    ## Rewards
    1 for every step, the last one included. A return strictly above 475 of 500 masters a task, the
    original's threshold.

    ## Starting State
    All four values uniform in ``(-start_spread, start_spread)``.

    ## Episode End
    Termination: the pole leans by more than 12 degrees, or the cart leaves [-2.4, 2.4] m.
    Truncation: after 500 steps.

    ## Task parameters
    | Name           | Range         | Default | Unit  | Varies | Effect on difficulty       |
    |----------------|---------------|---------|-------|--------|----------------------------|
    | `half_length`  | 0.02 to 0.5   | 0.5     | m     | yes    | shorter is harder          |
    | `gravity`      | 2 to 200      | 9.8     | m/s^2 | yes    | stronger is harder         |
    | `force`        | 1 to 40       | 10      | N     | no     | weak: slow; strong: coarse |
    | `cart_mass`    | 0.25 to 4     | 1       | kg    | no     | acts as a weaker push      |
    | `pole_mass`    | 0.02 to 1     | 0.1     | kg    | no     | small                      |
    | `start_spread` | 0 to 0.2      | 0.05    |       | no     | wider is harder            |
    | `time_step`    | 0.005 to 0.05 | 0.02    | s     | no     | longer is coarser, harder  |

    The declared difficulty rises with gravity and falls with the pole's length.

    ## Arguments
    | Name           | Default | Description                                                |
    |----------------|---------|------------------------------------------------------------|
    | `tasks`        | `None`  | `{"force": (1, 20), "gravity": 9.8}` varies one, fixes one |
    | `observe_task` | `False` | append the unit-cube task to the observation               |
    | `render_mode`  | `None`  | `"human"` or `"rgb_array"`                                 |

    ## Version History
    * v0: first release.
    """

    metadata = CartPoleEnv.metadata
    parameters = (
        Parameter("half_length", 0.02, 0.5, 0.5, varies=True, kind="log", minimum=1e-3),
        Parameter("gravity", 2.0, 200.0, 9.8, varies=True, kind="log", minimum=1e-3),
        Parameter("force", 1.0, 40.0, 10.0, kind="log", minimum=1e-3),
        Parameter("cart_mass", 0.25, 4.0, 1.0, kind="log", minimum=1e-3),
        Parameter("pole_mass", 0.02, 1.0, 0.1, kind="log", minimum=1e-4),
        Parameter("start_spread", 0.0, 0.2, 0.05, minimum=0.0, maximum=1.0),
        Parameter("time_step", 0.005, 0.05, 0.02, minimum=1e-4),
    )
    difficulty: ClassVar[dict[str, float]] = {"gravity": 1.0, "half_length": -200.0}
    return_range = (0.0, 500.0)
    mastery = 475.0

    def __init__(
        self,
        *,
        tasks: Mapping[str, TaskRange] | None = None,
        observe_task: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(
            CartPoleEnv(render_mode=render_mode), tasks=tasks, observe_task=observe_task
        )
        # The original's bound of twice the angle at which it ends holds for its own pole only.
        high = np.array([2 * self.physics.x_threshold, np.inf, np.inf, np.inf], dtype=np.float32)
        self.set_spaces(
            gymnasium.spaces.Box(-high, high, dtype=np.float32), self.physics.action_space
        )

    def _configure(self, values: Mapping[str, float]) -> dict[str, Any]:
        physics = self.physics
        physics.gravity = values["gravity"]
        physics.masscart = values["cart_mass"]
        physics.masspole = values["pole_mass"]
        physics.length = values["half_length"]
        physics.force_mag = values["force"]
        physics.tau = values["time_step"]
        # Gymnasium computes these two once, at construction.
        physics.total_mass = physics.masspole + physics.masscart
        physics.polemass_length = physics.masspole * physics.length
        return {"low": -values["start_spread"], "high": values["start_spread"]}
