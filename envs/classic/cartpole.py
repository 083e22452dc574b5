"""CartPole whose cart, pole, push, gravity and start are the task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymnasium.envs.classic_control.cartpole import CartPoleEnv

from currgym.envs.base import Parameter, TaskRange
from currgym.envs.classic.base import ClassicEnv

__all__ = ["CartPole"]


class CartPole(ClassicEnv):
    parameters = (
        Parameter("half_length", 0.02, 0.5, 0.5, varies=True, kind="log", minimum=1e-3),
        Parameter("gravity", 2.0, 200.0, 9.8, varies=True, kind="log", minimum=1e-3),
        Parameter("force", 1.0, 40.0, 10.0, kind="log", minimum=1e-3),
        Parameter("cart_mass", 0.25, 4.0, 1.0, kind="log", minimum=1e-3),
        Parameter("pole_mass", 0.02, 1.0, 0.1, kind="log", minimum=1e-4),
        Parameter("start_spread", 0.0, 0.2, 0.05, minimum=0.0),
        Parameter("time_step", 0.005, 0.05, 0.02, minimum=1e-4),
    )
    difficulty = {"gravity": 1.0, "half_length": -1.0}
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
        self.set_spaces(self._physics.observation_space, self._physics.action_space)

    def _configure(self, values: Mapping[str, float]) -> dict[str, Any]:
        physics = self._physics
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
