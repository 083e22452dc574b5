"""Base of environments with Gymnasium's own physics, whose constants the task sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import ArrayLike

from currgym.envs.base import TaskEnv, TaskRange

__all__ = ["PhysicsEnv"]


class PhysicsEnv(TaskEnv):
    """A Gymnasium environment whose constants are set anew at every reset.

    The physics stays Gymnasium's object and shares this environment's random generator, so that the
    default task is the original to the bit.

    Args:
        physics: The Gymnasium environment.
        tasks: Which parameters vary, and how far (see :func:`currgym.envs.base.box_tasks`).
        observe_task: Append the unit-cube task to the observation.
    """

    def __init__(
        self,
        physics: gymnasium.Env[Any, Any],
        *,
        tasks: Mapping[str, TaskRange] | None = None,
        observe_task: bool = False,
    ) -> None:
        super().__init__(tasks=tasks, observe_task=observe_task)
        # Any, because Gymnasium's constants carry no types.
        self.physics: Any = physics
        self._continuous = isinstance(physics.action_space, gymnasium.spaces.Box)
        self.render_mode = physics.render_mode

    def largest(self, name: str) -> float:
        """Return the largest value a parameter takes in this environment's task space."""
        if name in self.task_space.names:
            return float(self.task_space.high[self.task_space.names.index(name)])
        return self._constants[name]

    @property
    def state(self) -> Any:
        """The physics' state, in Gymnasium's order."""
        return self.physics.state

    def _configure(self, values: Mapping[str, float]) -> dict[str, Any] | None:
        """Write all constants into the physics; return the options of its reset."""
        raise NotImplementedError

    def _begin(self, values: dict[str, float]) -> tuple[Any, dict[str, Any]]:
        options = self._configure(values)
        self.physics.np_random = self.np_random
        observation, info = self.physics.reset(options=options)
        return observation, info

    def _advance(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self._continuous:
            # A float64 action would raise the precision of the physics, in some steps only.
            action = np.asarray(action, dtype=np.float32)
        observation, reward, terminated, truncated, info = self.physics.step(action)
        return observation, reward, terminated, truncated, info

    def place(self, values: Mapping[str, float], state: ArrayLike) -> None:
        """Set constants and state without an episode, to draw them.

        Args:
            values: All parameters by name, as :meth:`values` gives them.
            state: The physics' state.
        """
        self._configure(values)
        self.physics.state = np.array(state)

    def render(self) -> Any:
        """Draw the current state as Gymnasium does."""
        if self.render_mode is None:
            gymnasium.logger.warn(
                "You are calling render without a render mode: pass render_mode='rgb_array' or "
                "'human' when the environment is made"
            )
            return None
        return self.physics.render()

    def close(self) -> None:
        """Close the window."""
        self.physics.close()
