"""Point mass that must pass a gate in a wall: where the gate is and how wide is the task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from currgym.envs.base import Parameter, TaskEnv, TaskRange
from currgym.envs.vector_base import BoolArray, NativeTaskVectorEnv

__all__ = ["PointMassGate", "PointMassGateVector"]

FloatArray = NDArray[np.float64]

SUBSTEPS = 10
TIME_STEP = 0.01
PUSH = 1.5
NOISE = 0.05
LIMIT = 4.0
START = (0.0, 0.0, 3.0, 0.0)
GOAL = (0.0, -3.0)
PIXELS = 200


def advance(
    state: FloatArray, actions: FloatArray, gates: FloatArray, noise: FloatArray
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Advance point masses by one step.

    The single environment is the array form of one row, so both agree to the bit.

    Args:
        state: ``(n, 4)`` rows of x, velocity in x, y, velocity in y.
        actions: ``(n, 2)``.
        gates: ``(n, 3)`` rows of position, width and friction.
        noise: ``(n, SUBSTEPS, 2)`` added to the accelerations.

    Returns:
        The new states, the rewards, and which masses have hit the wall.
    """
    push = PUSH * np.clip(actions, -10.0, 10.0)
    position, width, friction = gates[:, 0], gates[:, 1], gates[:, 2:]
    state = state.copy()
    crashed = np.zeros(len(state), dtype=np.bool_)
    for part in range(SUBSTEPS):
        velocity = state[:, 1::2]
        moved = np.empty_like(state)
        moved[:, 0::2] = np.clip(state[:, 0::2] + TIME_STEP * velocity, -LIMIT, LIMIT)
        moved[:, 1::2] = velocity + TIME_STEP * (push - friction * velocity + noise[:, part])
        above, below = state[:, 2] >= 0.0, moved[:, 2] >= 0.0
        crossing = np.flatnonzero((above != below) & ~crashed)
        if len(crossing):
            old, new = state[crossing], moved[crossing]
            share = old[:, 2] / (old[:, 2] - new[:, 2])
            at = share * new[:, 0] + (1.0 - share) * old[:, 0]
            hit = np.abs(at - position[crossing]) > 0.5 * width[crossing]
            rows = crossing[hit]
            crashed[rows] = True
            state[rows] = 0.0
            state[rows, 0] = at[hit]
        state = np.where(crashed[:, None], state, moved)
    gap = state[:, 0::2] - np.array(GOAL)
    rewards = np.exp(-0.6 * np.sqrt(gap[:, 0] * gap[:, 0] + gap[:, 1] * gap[:, 1]))
    return state, rewards, crashed


class PointMassGate(TaskEnv):
    """A point mass must pass a gate in a wall to reach its goal.

    ## Description
    The mass starts above a wall and its goal lies below. A wide gate in the middle is passed by
    falling straight down; a narrow one at the side needs a detour, and every miss ends the episode.
    The two targets of the CURROT paper, narrow gates at either side, are hardly ever found without
    a curriculum.

    Source: Klink et al. (2020), *Self-Paced Deep Reinforcement Learning*, arXiv:2004.11812, and
    Klink et al. (2022), *Curriculum Reinforcement Learning via Constrained Optimal Transport*, with
    the constants of the authors' code. An episode's noise comes from its own seed (there from a
    global generator), and the wall stops the mass in both directions.

    ## Action Space
    ``Box(-10, 10, (2,))``, float32: the push in x and y.

    ## Observation Space
    ``Box`` of shape ``(4,)``, float32; with ``observe_task`` the unit-cube task follows.

    | Num | Observation   | Min  | Max |
    |-----|---------------|------|-----|
    | 0   | x             | -4   | 4   |
    | 1   | velocity in x | -inf | inf |
    | 2   | y             | -4   | 4   |
    | 3   | velocity in y | -inf | inf |

    ## Rewards
    ``exp(-0.6 d)`` a step, with ``d`` the distance to the goal at (0, -3). Above the wall that is
    17 in an episode at most, so a return strictly above 50 of 100, which masters a task, takes the
    mass through the gate in the first half of the episode.

    ## Starting State
    At rest in (0, 3).

    ## Episode End
    Termination: the mass hits the wall, at y = 0 outside the gate. Truncation: after 100 steps of
    0.1 s, ten Euler steps each.

    ## Task parameters
    | Name            | Range    | Default | Unit | Varies | Effect on difficulty              |
    |-----------------|----------|---------|------|--------|-----------------------------------|
    | `gate_position` | -4 to 4  | 0       | m    | yes    | farther from the middle is harder |
    | `gate_width`    | 0.5 to 8 | 2       | m    | yes    | narrower is harder                |
    | `friction`      | 0 to 4   | 0       | 1/s  | no     | more is slower                    |

    The declared difficulty rises as the gate gets narrower. ``target`` are the gates of width 0.5
    at -3 and 3, and the test set ``narrow-gates`` holds the same.

    ## Arguments
    | Name           | Default | Description                                                    |
    |----------------|---------|----------------------------------------------------------------|
    | `tasks`        | `None`  | `{"friction": (0, 2), "gate_width": 1.0}` varies one, fixes one |
    | `observe_task` | `False` | append the unit-cube task to the observation                   |
    | `render_mode`  | `None`  | `"rgb_array"`                                                  |

    ## Version History
    * v0: first release.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - Gymnasium's
    parameters = (
        Parameter("gate_position", -4.0, 4.0, 0.0, varies=True, minimum=-LIMIT, maximum=LIMIT),
        Parameter("gate_width", 0.5, 8.0, 2.0, varies=True, minimum=0.0, maximum=4.0 * LIMIT),
        Parameter("friction", 0.0, 4.0, 0.0, minimum=0.0, maximum=50.0),
    )
    difficulty = "-gate_width"
    return_range = (0.0, 100.0)
    mastery = 50.0

    def __init__(
        self,
        *,
        tasks: Mapping[str, TaskRange] | None = None,
        observe_task: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(tasks=tasks, observe_task=observe_task)
        self.render_mode = render_mode
        high = np.array([LIMIT, np.inf, LIMIT, np.inf], dtype=np.float32)
        self.set_spaces(
            gymnasium.spaces.Box(-high, high, dtype=np.float32),
            gymnasium.spaces.Box(-10.0, 10.0, (2,), dtype=np.float32),
        )
        space = self.task_space
        gates = [{"gate_position": side, "gate_width": 0.5} for side in (-3.0, 3.0)]
        known = [{k: v for k, v in gate.items() if k in space.names} for gate in gates]
        narrow = np.array([space.from_dict(gate, self.default_task) for gate in known])
        self.target: FloatArray = np.clip(narrow, space.low, space.high)
        self._gate = np.zeros((1, 3))
        self._state = np.array([START])

    @property
    def test_sets(self) -> dict[str, FloatArray]:
        """Named arrays of tasks for evaluation."""
        return {"narrow-gates": self.target.copy(), **super().test_sets}

    def place(self, values: Mapping[str, float], state: FloatArray) -> None:
        """Set the gate and the state ``(4,)``."""
        self._gate = np.array([[values[p.name] for p in self.parameters]])
        self._state = np.array([state])

    def _begin(self, values: dict[str, float]) -> tuple[Any, dict[str, Any]]:
        self.place(values, np.array(START))
        return self._state[0].astype(np.float32), {}

    def _advance(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        push = np.asarray(action, dtype=np.float64)
        if push.shape != (2,):
            raise ValueError(f"an action must have shape (2,), got {push.shape}")
        noise = self.np_random.normal(0.0, NOISE, (1, SUBSTEPS, 2))
        self._state, rewards, crashed = advance(self._state, push[None], self._gate, noise)
        seen = self._state[0].astype(np.float32)
        return seen, float(rewards[0]), bool(crashed[0]), False, {}

    def render(self) -> Any:
        """Return a picture of the wall, the goal and the mass; None without a render mode."""
        if self.render_mode is None:
            return None
        frame = np.full((PIXELS, PIXELS, 3), 255, dtype=np.uint8)
        centres = (np.arange(PIXELS) + 0.5) / PIXELS * 2.0 * LIMIT - LIMIT
        x, y = centres[None], -centres[:, None]
        position, width = self._gate[0, 0], self._gate[0, 1]
        frame[(np.abs(y) < 0.1) & (np.abs(x - position) > 0.5 * width)] = 0
        frame[(x - GOAL[0]) ** 2 + (y - GOAL[1]) ** 2 < 0.04] = (220, 40, 40)
        frame[(x - self._state[0, 0]) ** 2 + (y - self._state[0, 2]) ** 2 < 0.04] = (40, 90, 200)
        return frame


class PointMassGateVector(NativeTaskVectorEnv):
    """Array form of :class:`PointMassGate`.

    Args:
        num_envs: Number of sub-environments.
        **kwargs: As in :class:`currgym.envs.vector_base.NativeTaskVectorEnv`.
    """

    single_class = PointMassGate
    _single: PointMassGate

    def __init__(self, num_envs: int = 1, **kwargs: Any) -> None:
        super().__init__(num_envs, **kwargs)
        self._gates = np.zeros((num_envs, 3))
        self._state = np.repeat(np.array([START]), num_envs, axis=0)
        self._noise = np.zeros((num_envs, SUBSTEPS, 2))

    def _begin(self, i: int, values: dict[str, float], rng: np.random.Generator) -> None:
        self._gates[i] = [values[p.name] for p in self._single.parameters]
        self._state[i] = START

    def _advance(self, actions: NDArray[Any]) -> tuple[FloatArray, BoolArray]:
        if actions.shape != (self.num_envs, 2):
            raise ValueError(f"actions must have shape ({self.num_envs}, 2), got {actions.shape}")
        # A row that is about to be reset makes no step, so it must not draw noise either.
        for i in np.flatnonzero(~self._over).tolist():
            self._noise[i] = self._generator(i).normal(0.0, NOISE, (SUBSTEPS, 2))
        pushes = actions.astype(np.float64)
        self._state, rewards, crashed = advance(self._state, pushes, self._gates, self._noise)
        return rewards, crashed

    def _observe(self) -> NDArray[np.float32]:
        return self._state.astype(np.float32)

    def _states(self) -> FloatArray:
        return self._state

    def _place(self, values: dict[str, float], state: FloatArray) -> None:
        self._single.place(values, state)
