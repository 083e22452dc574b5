"""The environment: a point in a corridor around a block, and a goal that may lie in the wall."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from currgym.envs.base import Parameter, TaskEnv, TaskRange

if TYPE_CHECKING:
    from currgym.envs.goal_maze.rendering import Renderer

__all__ = ["GoalMaze", "feasible", "moved", "start"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

WALL, BLOCK, EDGE = 7.0, 5.0, 9.0
WIDEST, NARROWEST = 18.0, 0.05
STEP = 0.3
TESTS = 50


class GoalMaze(TaskEnv):
    """A point walks through a square corridor to a goal that the task sets, sparsely rewarded.

    ## Description
    The corridor runs around a solid block. The task is a goal and a tolerance. With a wide
    tolerance every place is near enough; the target asks for 0.05, at goals drawn from the whole
    square, seven tenths of which no one can reach: they lie in the block or outside.

    Source: the maze ("sparse goal reaching") of Klink, Yang, D'Eramo, Peters, Pajarinen,
    "Curriculum Reinforcement Learning via Constrained Optimal Transport", ICML 2022,
    https://proceedings.mlr.press/v162/klink22a.html, and its code.

    Differences: observations are divided by their bounds. The start is drawn from the episode's
    seed.

    ## Action Space
    ``Box(-1, 1, (2,), float32)``: a step of 0.3 times the action, which is shortened to length 1
    where it is longer.

    ## Observation Space
    ``Box(-1, 1, (5,), float32)``; with ``observe_task`` the unit-cube task follows.

    | Num | Observation     | Min | Max |
    |-----|-----------------|-----|-----|
    | 0   | x / 9           | -1  | 1   |
    | 1   | y / 9           | -1  | 1   |
    | 2   | goal's x / 9    | -1  | 1   |
    | 3   | goal's y / 9    | -1  | 1   |
    | 4   | tolerance / 18  | 0   | 1   |

    ## Rewards
    -1 for each step, 0 for the one that comes nearer to the goal than the tolerance. So a return is
    minus the number of steps before, and any above ``-steps`` masters a task: the goal was reached.

    ## Starting State
    Uniform in the lower left corner, ``[-7, -5]`` in both directions. ``info["feasible"]`` of a
    reset tells whether any place of the corridor is near enough to the goal.

    ## Episode End
    Termination: the goal is reached. Truncation: after ``steps`` steps.

    ## Task parameters
    | Name        | Range      | Default | Varies | Effect on difficulty               |
    |-------------|------------|---------|--------|------------------------------------|
    | `goal_x`    | -9 to 9    | 6       | yes    | farther is harder; walls: hopeless |
    | `goal_y`    | -9 to 9    | 6       | yes    | the same                           |
    | `tolerance` | 0.05 to 18 | 0.05    | yes    | narrower is harder                 |

    The default goal is the far corner. The declared difficulty falls with the tolerance: whatever
    ends an episode ends it under a wider one too.

    ## Arguments
    | Name           | Default | Description                                                 |
    |----------------|---------|-------------------------------------------------------------|
    | `steps`        | `200`   | the time limit                                              |
    | `tasks`        | `None`  | `{"tolerance": 0.5}` fixes one, `(0.05, 2)` narrows a range |
    | `observe_task` | `False` | append the unit-cube task to the observation                |
    | `render_mode`  | `None`  | `"rgb_array"`                                               |

    ## Test sets
    "feasible-50": goals in reach, with the least tolerance of the space. "uniform-50".

    ## Version History
    * v0: first release.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 - as Gymnasium has it
    parameters = (
        Parameter("goal_x", -EDGE, EDGE, 6.0, varies=True, minimum=-EDGE, maximum=EDGE),
        Parameter("goal_y", -EDGE, EDGE, 6.0, varies=True, minimum=-EDGE, maximum=EDGE),
        Parameter(
            "tolerance", NARROWEST, WIDEST, NARROWEST, varies=True, minimum=1e-3, maximum=WIDEST
        ),
    )
    difficulty: ClassVar[dict[str, float]] = {"tolerance": -1.0}

    def __init__(
        self,
        *,
        steps: int = 200,
        tasks: Mapping[str, TaskRange] | None = None,
        observe_task: bool = False,
        render_mode: str | None = None,
    ) -> None:
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode must be 'rgb_array' or None, got {render_mode!r}")
        super().__init__(tasks=tasks, observe_task=observe_task)
        self.steps = steps
        self.return_range = (-float(steps), 0.0)
        self.mastery = 0.5 - steps
        self.render_mode = render_mode
        low = np.array([-1, -1, -1, -1, 0], dtype=np.float32)
        self.set_spaces(
            gymnasium.spaces.Box(low, np.ones(5, dtype=np.float32)),
            gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32),
        )
        self.target = self._hardest(self.task_space.sample(1000, np.random.default_rng(31)))
        self._position: FloatArray | None = None
        self._goal = np.zeros((1, 3))
        self._taken = 0
        self._renderer: Renderer | None = None

    def _hardest(self, tasks: FloatArray) -> FloatArray:
        """Return tasks with the least tolerance of the space."""
        space = self.task_space
        if "tolerance" in space.names:
            column = space.names.index("tolerance")
            tasks[:, column] = space.low[column]
        return tasks

    def feasible(self, tasks: NDArray[Any]) -> BoolArray:
        """Tell of each task ``(n, d)`` whether a place of the corridor is near enough."""
        rows = [list(self.values(task).values()) for task in self.task_space.as_array(tasks)]
        return feasible(np.array(rows).reshape(-1, 3))

    @property
    def test_sets(self) -> dict[str, FloatArray]:
        """Named arrays of tasks for evaluation."""
        sets = super().test_sets
        drawn = self._hardest(self.task_space.sample(100 * TESTS, np.random.default_rng(32)))
        found = drawn[self.feasible(drawn)][:TESTS]
        return {"feasible-50": found, **sets} if len(found) == TESTS else sets

    def _begin(self, values: dict[str, float]) -> tuple[NDArray[np.float32], dict[str, Any]]:
        self.place(values, start(self.np_random))
        self._taken = 0
        return self._observe(), {"feasible": bool(feasible(self._goal)[0])}

    def place(self, values: Mapping[str, float], position: NDArray[Any]) -> None:
        """Set goal and position without an episode, to draw them."""
        self._goal = np.array([[values[p.name] for p in self.parameters]])
        self._position = np.array([position])

    def _observe(self) -> NDArray[np.float32]:
        assert self._position is not None
        seen: NDArray[np.float32] = observed(self._position, self._goal)[0]
        return seen

    def _advance(
        self, action: Any
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        if self._position is None:
            raise ResetNeeded("call reset() before step()")
        array = np.asarray(action, dtype=np.float64)
        if array.shape != (2,) or not np.isfinite(array).all():
            raise ValueError(f"action must be two numbers, got {action!r}")
        self._position = moved(self._position, array[None])
        there = bool(arrived(self._position, self._goal)[0])
        self._taken += 1
        over = self._taken >= self.steps
        return self._observe(), 0.0 if there else -1.0, there, over, {}

    def render(self) -> NDArray[np.uint8] | None:
        """Return the current frame, uint8 ``(480, 480, 3)``."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs render_mode='rgb_array': pass it to make")
            return None
        if self._position is None:
            raise ResetNeeded("call reset() before render()")
        if self._renderer is None:
            from currgym.envs.goal_maze.rendering import Renderer

            self._renderer = Renderer()
        return self._renderer.draw(self._position[0], self._goal[0])


# One mechanism for the single and the array form: every function takes rows, and each row's result
# depends on that row alone, in operations that are rounded correctly whatever the number of rows.


def start(rng: np.random.Generator) -> FloatArray:
    """Draw a start in the lower left corner."""
    return rng.uniform(-WALL, -BLOCK, 2)


def moved(positions: FloatArray, actions: FloatArray) -> FloatArray:
    """Return where steps lead, ``(n, 2)``: walls stop them, each direction by itself."""
    x, y = actions[:, 0], actions[:, 1]
    length = np.maximum(np.sqrt(x * x + y * y), 1.0)[:, None]
    after = np.minimum(np.maximum(positions + STEP * actions / length, -WALL), WALL)
    inside = (np.abs(after) < BLOCK).all(axis=1, keepdims=True)
    came = np.abs(positions) >= BLOCK
    return np.where(inside & came, np.sign(positions) * BLOCK, after)


def arrived(positions: FloatArray, goals: FloatArray) -> BoolArray:
    """Tell which positions are nearer to their goal than its tolerance; goals are ``(n, 3)``."""
    gap = positions - goals[:, :2]
    near: BoolArray = np.sqrt(gap[:, 0] * gap[:, 0] + gap[:, 1] * gap[:, 1]) < goals[:, 2]
    return near


def observed(positions: FloatArray, goals: FloatArray) -> NDArray[np.float32]:
    """Return observations ``(n, 5)``."""
    return np.concatenate(
        [positions / EDGE, goals[:, :2] / EDGE, goals[:, 2:] / WIDEST], axis=1, dtype=np.float64
    ).astype(np.float32)


def feasible(goals: FloatArray) -> BoolArray:
    """Tell of each goal ``(n, 3)`` whether a place of the corridor is nearer than its tolerance."""
    places = goals[:, :2]
    beyond = places - np.clip(places, -WALL, WALL)
    depth = BLOCK - np.abs(places).max(axis=1)
    near: BoolArray = np.maximum(np.hypot(beyond[:, 0], beyond[:, 1]), depth) < goals[:, 2]
    return near
