"""The environment: observation, reward and episode of Grid Maze."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from currgym.envs.base import LevelEnv
from currgym.envs.grid_maze.levels import MazeTasks
from currgym.envs.grid_maze.solver import FORWARD, LEFT
from currgym.envs.grid_maze.view import GOAL, WALL, View

if TYPE_CHECKING:
    from currgym.envs.grid_maze.rendering import Renderer

__all__ = ["GridMaze", "goal_reward", "optimal_return"]

# The papers' 250 steps for 13 x 13 inner cells.
STEPS_PER_CELL = 250 / 13**2
RANDOM_TESTS = 50


class GridMaze(LevelEnv):
    """An agent with a narrow view looks for the goal in a maze of blocks, which is the task.

    ## Description

    The maze environment of the work on unsupervised environment design: a square room with up to
    so many single blocks, an agent that sees the five by five cells before it, a goal. A task is a
    whole maze (see :class:`currgym.envs.grid_maze.MazeTasks`): its walls, where the agent stands
    and looks, where the goal is. Mazes range from empty to full, and some cannot be solved. An
    exact solver knows the least number of actions, so the regret of an episode is known too:
    ``info["true_regret"]`` is the greatest possible return less the return so far, which a teacher
    may need as a score (it is a solver's knowledge: privilege ``solver``).

    *Source:* Dennis et al., "Emergent Complexity and Zero-shot Transfer via Unsupervised
    Environment Design" (PAIRED), NeurIPS 2020, https://arxiv.org/abs/2012.02096; Jiang et al.,
    "Replay-Guided Adversarial Environment Design", NeurIPS 2021, https://arxiv.org/abs/2110.02439.
    Moves and view are those of MiniGrid.

    *Differences:* the observation is one vector of zeros and ones for a policy without
    convolutions; blocks do not hide what lies behind them; three actions, as no others do anything
    here; sizes from 7 with a time limit in proportion to the area; the hand-made test mazes are
    this library's own.

    ## Action Space

    ``Discrete(3)``: 0 turns left, 1 turns right, 2 steps forward. A step into a wall does nothing.

    ## Observation Space

    ``Box(0, 1, (54,), float32)`` for the default view of 5: first 25 numbers, 1 where the cell is a
    wall (what lies outside is wall), row by row, the farthest row first and the agent in the
    middle of the last; then 25 more, 1 at the goal; then the direction, one of four.

    ## Rewards

    ``1 - 0.9 t / T`` for the step ``t`` that reaches the goal, with ``T`` the time limit; else 0. A
    return above 0 masters a task.

    ## Starting State

    The task's. Nothing is random within an episode, so the seed changes nothing.

    ## Episode End

    Termination: the goal is reached. Truncation: after ``T`` steps.

    ## Task parameters

    | Name        | Range              | Default           | Effect on difficulty               |
    |-------------|--------------------|-------------------|------------------------------------|
    | `row_1` ... | 0 to 2^(size-2)-1  | 0 (no walls)      | bit c: a wall; longer ways         |
    | `agent`     | a free cell        | upper left        | farther from the goal is harder    |
    | `direction` | 0 to 3             | 0 (right)         | 0 right, 1 down, 2 left, 3 up      |
    | `goal`      | another free cell  | lower right       | farther from the agent is harder   |

    The declared difficulty is the least number of actions to the goal; mazes without a way come
    last. Test sets: ``hand-made`` (rooms, labyrinths, corridors, ...; from size 10 on ten mazes,
    below it those that fit) and ``random-50``, drawn like training tasks, but
    solvable.

    ## Arguments

    | Name          | Default | Description                                                       |
    |---------------|---------|-------------------------------------------------------------------|
    | `size`        | `13`    | cells a side, outer wall included, 7 to 42                        |
    | `max_blocks`  | `None`  | blocks at most in a sampled maze; the papers' 60 per 13 x 13      |
    | `view`        | `5`     | cells a side of what is seen, odd, at least 3                     |
    | `steps`       | `None`  | time limit T; the papers' 250 per 13 x 13 inner cells             |
    | `render_mode` | `None`  | `"rgb_array"`                                                     |

    ## Version History

    * v0: first release.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - as Gymnasium has it
    task_space: MazeTasks
    return_range = (0.0, 1.0)
    mastery = 0.0
    scores = ("true_regret",)

    def __init__(
        self,
        *,
        size: int = 13,
        max_blocks: int | None = None,
        view: int = 5,
        steps: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode must be 'rgb_array' or None, got {render_mode!r}")
        if view < 3 or view % 2 == 0:
            raise ValueError(f"view must be odd and at least 3, got {view}")
        if steps is not None and steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        space = MazeTasks(size, max_blocks)
        empty = np.zeros((size, size), dtype=np.bool_)
        super().__init__(space, space.encode(empty, (1, 1), 0, (size - 2, size - 2)))
        self.size, self.max_blocks, self.view, self.steps = size, max_blocks, view, steps
        self.max_episode_steps = (
            round(STEPS_PER_CELL * space.cells) if steps is None else int(steps)
        )
        """The time limit."""
        self.render_mode = render_mode
        self.window = View(size, view)
        observation = gymnasium.spaces.Box(0.0, 1.0, (self.window.features,), np.float32)
        self.set_spaces(observation, gymnasium.spaces.Discrete(3))
        self._board: NDArray[np.uint8] | None = None
        self._position = self._direction = self._taken = 0
        self._optimum = 0.0
        self._renderer: Renderer | None = None

    @property
    def test_sets(self) -> dict[str, NDArray[Any]]:
        """Named arrays of tasks for evaluation."""
        rng = np.random.default_rng(31)
        space = self.task_space
        drawn = space.sample(4 * RANDOM_TESTS, rng)
        found = [task for task in drawn if space.distance(task) is not None]
        return {
            "hand-made": np.array(list(space.hand_made().values())),
            "random-50": np.array(found[:RANDOM_TESTS]),
        }

    def _begin(self, values: dict[str, Any]) -> tuple[NDArray[np.float32], dict[str, Any]]:
        self.place(values["task"])
        return self._observe(), {}

    def place(self, task: NDArray[np.int64]) -> None:
        """Build the maze of a task, the agent at its start."""
        space = self.task_space
        self._board, self._position, self._optimum = built(
            space, self.window, task, self.max_episode_steps
        )
        self._direction = int(task[-2])
        self._taken = 0

    def move_to(self, place: int, direction: int) -> None:
        """Put the agent elsewhere in the maze, to draw it: a place on the board, a direction."""
        self._position, self._direction = int(place), int(direction)

    def _observe(self) -> NDArray[np.float32]:
        assert self._board is not None
        place, direction = np.array([self._position]), np.array([self._direction])
        seen: NDArray[np.float32] = self.window.observe(self._board, place, direction)[0]
        return seen

    def _advance(
        self, action: Any
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        if self._board is None:
            raise ResetNeeded("call reset() before step()")
        if not self.action_space.contains(action):
            raise ValueError(f"action must be 0, 1 or 2, got {action!r}")
        terminated = False
        self._taken += 1
        if action == FORWARD:
            ahead = self._position + int(self.window.moves[self._direction])
            if self._board[0, ahead] != WALL:
                self._position = ahead
            terminated = bool(self._board[0, self._position] == GOAL)
        else:
            self._direction = (self._direction + (3 if action == LEFT else 1)) % 4
        reward = goal_reward(self._taken, self.max_episode_steps) if terminated else 0.0
        regret = self._optimum - (self.episode_return + reward)
        truncated = self._taken >= self.max_episode_steps
        return self._observe(), reward, terminated, truncated, {"true_regret": regret}

    def render(self) -> NDArray[np.uint8] | None:
        """Return the current frame, uint8, square: the maze, what the agent sees made lighter."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs render_mode='rgb_array': pass it to make")
            return None
        if self._board is None:
            raise ResetNeeded("call reset() before render()")
        if self._renderer is None:
            from currgym.envs.grid_maze.rendering import Renderer

            self._renderer = Renderer(self.window, self.size)
        return self._renderer.draw(self._board[0], self._position, self._direction)


def goal_reward(steps: Any, limit: int) -> Any:
    """Return the reward of the step that reaches the goal."""
    return 1.0 - 0.9 * steps / limit


def optimal_return(distance: int | None, limit: int) -> float:
    """Return the greatest possible return of a maze whose goal is that far away."""
    if distance is None or distance > limit:
        return 0.0
    return float(goal_reward(distance, limit))


def built(
    space: MazeTasks, window: View, task: NDArray[np.int64], limit: int
) -> tuple[NDArray[np.uint8], int, float]:
    """Return board ``(1, cells)``, the agent's place and the greatest possible return of a task."""
    agent, goal = window.places(task[[-3, -1]], space.side).tolist()
    board = window.boards(space.walls(task), np.array([goal]))
    return board, agent, optimal_return(space.distance(task), limit)
