"""The environment: tasks, observation, reward and episode of Stump Tracks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import ArrayLike, NDArray

from currgym.envs.base import Parameter, TaskEnv, TaskRange
from currgym.envs.stump_tracks.body import BODIES, Body
from currgym.envs.stump_tracks.lidar import NUM_RAYS
from currgym.envs.stump_tracks.terrain import FINISH, MIN_SIZE, SCALE, generate
from currgym.tasks import BoxTasks, Difficulty

if TYPE_CHECKING:
    from currgym.envs.stump_tracks.rendering import Renderer
    from currgym.envs.stump_tracks.simulation import Blueprint, Simulation

__all__ = ["StumpTracks"]

_MAX_PUSH = 5.0
_CRASH_REWARD = -100.0

_BENCHMARK_RANGE = (0.0, 0.0), (3.0, 6.0)  # TeachMyAgent tests there whatever the training range


class StumpTracks(TaskEnv):
    """A walker on a track of stumps whose height and spacing are the task.

    ## Description

    A walker in Box2D crosses a track of stumps from left to right. The task of an episode sets how
    high the stumps are and how far they stand apart, between a nearly flat track and walls that the
    walker cannot climb; this makes Stump Tracks the usual test of curricula on a continuous task
    space since the paper on ALP-GMM.

    *Source:* Portelas, Colas, Hofmann, Oudeyer, "Teacher algorithms for curriculum learning of Deep
    RL in continuously parameterized environments", CoRL 2019, https://arxiv.org/abs/1910.07224;
    test set of Romac et al., "TeachMyAgent", ICML 2021, https://arxiv.org/abs/2103.09815. The
    walker is that of Gymnasium's ``BipedalWalker``, which the default body equals step for step on
    the same ground.

    *Differences:* the ground always goes on past the finish (there it ended before it for 2 % of
    the spacings), lidar rays report the nearest hit, the torque penalty of the quadruped does not
    shrink each time an environment is configured, and every episode has a new Box2D world, so that
    nothing of the last one is left.

    ## Action Space

    ``Box(-1, 1, (4,), float32)``, 8 for the quadrupeds: hip and knee of each leg in turn. The sign
    is the motor's direction, the size the share of its torque; the target speeds are fixed, 4 rad/s
    in hips and 6 in knees.

    ## Observation Space

    ``Box(..., (24,), float32)``, 34 for the quadrupeds. The bounds are those of the physics engine;
    usual values are within [-1, 1] or little more.

    | Num | Observation | Min | Max |
    |---|---|---|---|
    | 0 | angle of the hull, rad | -4 pi | 4 pi |
    | 1 | angular velocity of the hull, rad/s x 0.04 | -4 | 4 |
    | 2 | horizontal speed, units/s x 0.12 | -13 | 13 |
    | 3 | vertical speed, units/s x 0.08 | -9 | 9 |
    | 4 + 5 leg | angle of the hip since the start, rad | -2 pi | 2 pi |
    | 5 + 5 leg | speed of the hip, rad/s / 4 | -40 | 40 |
    | 6 + 5 leg | angle of the knee + 1, rad | -2 pi | 2 pi |
    | 7 + 5 leg | speed of the knee, rad/s / 6 | -40 | 40 |
    | 8 + 5 leg | whether the lower leg touches the ground | 0 | 1 |
    | last 10 | lidar: distance to the ground along a ray, of 5.33 units | 0 | 1 |

    Ray i points 0.15 i rad forward of straight down and does not turn with the hull; 1 means that
    it hits nothing. The contact flag goes down when the leg leaves one of two edges it touched, as
    in the original. With ``observe_task=True`` the task in the unit cube follows.

    ## Rewards

    130 / 30 for each unit forward, -5 for each rad that the hull's angle grows, and for each motor
    minus its share of torque times 0.028 (quadrupeds 0.0131, or 0.0035 with torque 80). A crash
    replaces the step's reward by -100. The finish is 84 units from the start, so a return can reach
    364 less the torque; a task counts as mastered above 230, which is ``info["success"]``.

    ## Starting State

    The walker stands on a flat start pad with a random horizontal push, uniform in [-5, 5], on its
    hull. ``reset`` runs one step without action and returns what is observed then.

    ## Episode End

    Termination: the hull touches the ground, or leaves the track to the left, or passes the finish
    at x = 88.67. Truncation: after 2,000 steps (by the registered time limit).

    ## Task parameters

    | Name | Default range | If opened by ``tasks=`` | Unit | Effect |
    |---|---|---|---|---|
    | stump_height | [0, 3] | | ts = 0.467 | mean; a stump has max(0.05, N(mean, 0.1)); harder |
    | obstacle_spacing | [0, 6] | | world units | gap between stumps, at least 0.01; easier |
    | stump_width | 1 | [0.2, 4] | ts | width of all stumps |
    | stump_rotation | 0 | [-pi/4, pi/4] | rad | about the base, positive leans against the walker |
    | roughness | 0 | [0, 5] | pixels | the ground's level changes at each stump; harder |

    These ranges are the usual ones; others may be given, such as ``tasks={"stump_height": (0, 9)}``
    (mostly out of reach) or ``(-3, 3)`` (half of it nearly flat), as in TeachMyAgent's challenges.
    The default task is the easiest: height 0 (bumps of 0.05 ts and a little more), spacing 6. With
    the same seed, all tasks have the same push and the same deviations from the mean height.

    Declared difficulty: ``stump_height - 0.1 obstacle_spacing + 0.1 roughness``. Height decides
    what a walker can cross at all; at a given height, closer stumps and rougher ground are harder.
    Only these three orders are claimed; the small weights say that height comes first.

    ## Arguments

    | Argument | Type | Default | |
    |---|---|---|---|
    | body | str | "default" | "short", "default", "quadru" or "quadru-80", see below |
    | tasks | dict | None | name -> (low, high): opens or widens; name -> number: fixes |
    | observe_task | bool | False | append the task to the observation |
    | render_mode | str | None | "human" or "rgb_array" |

    "short" has legs half as long as "default"; "quadru" has two pairs of longer legs, a larger hull
    and torque 300 in place of 80; "quadru-80" is the same with torque 80, which the paper's runs
    had by mistake.

    ## Test sets

    "grid-100": 10 x 10 regular grid over the range, end points included (100 points if one
    dimension varies). "teachmyagent": the same grid over [0, 3] x [0, 6] whatever the range, where
    the task space contains it. "uniform-50": drawn once and for all.

    ## Version History

    * v0: Box2D 2.3, with the mended defects listed above.
    """

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": 50}  # noqa: RUF012
    parameters = (
        Parameter("stump_height", 0.0, 3.0, 0.0, varies=True),
        Parameter("obstacle_spacing", 0.0, 6.0, 6.0, varies=True, minimum=0.0),
        Parameter("stump_width", 0.2, 4.0, 1.0, minimum=MIN_SIZE),
        Parameter("stump_rotation", -math.pi / 4, math.pi / 4, 0.0),
        Parameter("roughness", 0.0, 5.0, 0.0, minimum=0.0),
    )
    difficulty: ClassVar[Difficulty | None] = {
        "stump_height": 1.0,
        "obstacle_spacing": -0.1,
        "roughness": 0.1,
    }
    return_range = (-150.0, 350.0)
    mastery = 230.0

    def __init__(
        self,
        *,
        body: str = "default",
        tasks: Mapping[str, TaskRange] | None = None,
        observe_task: bool = False,
        render_mode: str | None = None,
    ) -> None:
        if body not in BODIES:
            raise ValueError(f"body must be one of {list(BODIES)}, got {body!r}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(
                f"render_mode must be one of {self.metadata['render_modes']}, got {render_mode!r}"
            )
        # Fails here, in one sentence, where box2d is missing, and not at the first reset.
        import currgym.envs.stump_tracks.simulation  # noqa: F401

        super().__init__(tasks=tasks, observe_task=observe_task)
        self.body = body
        self.render_mode = render_mode
        self.set_spaces(*_spaces(BODIES[body]))
        self._motor_cost = BODIES[body].motor_cost
        self._shaping = 0.0
        # Built at the first reset and left out of pickles and copies.
        self._blueprint: Blueprint | None = None
        self._simulation: Simulation | None = None
        self._renderer: Renderer | None = None

    @property
    def test_sets(self) -> dict[str, NDArray[np.float64]]:
        """Named arrays of tasks for evaluation."""
        space = self.task_space
        sets = super().test_sets
        if 1 <= space.unit_dim <= 2:
            sets["grid-100"] = space.grid(10 if space.unit_dim == 2 else 100)
        if set(space.names) == {"stump_height", "obstacle_spacing"}:
            grid = BoxTasks(*_BENCHMARK_RANGE, space.names).grid(10)
            if space.contains(grid).all():
                sets["teachmyagent"] = grid
        return sets

    def render(self) -> NDArray[np.uint8] | None:
        """Return the current frame, uint8 ``(400, 600, 3)``, or show it in human mode."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs a render_mode: pass it to gymnasium.make")
            return None
        if self._simulation is None:
            raise ResetNeeded("call reset() before render()")
        if self._renderer is None:
            from currgym.envs.stump_tracks.rendering import Renderer

            self._renderer = Renderer(human=self.render_mode == "human")
        return self._renderer.draw(
            self._simulation, self.task_space.as_dict(self.task), self.episode_return
        )

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the physics, which cannot be copied: a copy starts at its next reset."""
        return {**self.__dict__, "_blueprint": None, "_simulation": None, "_renderer": None}

    def _begin(self, values: dict[str, float]) -> tuple[NDArray[np.float32], dict[str, Any]]:
        from currgym.envs.stump_tracks.simulation import Blueprint, Simulation

        if self._blueprint is None:
            self._blueprint = Blueprint(BODIES[self.body])
        push = self.np_random.uniform(-_MAX_PUSH, _MAX_PUSH)
        track = generate(self.np_random, **values)
        self._simulation = simulation = Simulation(self._blueprint, track, push)
        observation = simulation.advance([0.0] * BODIES[self.body].num_motors)
        self._shaping = _shaping(simulation)
        if self.render_mode == "human":
            self.render()
        return np.array(observation, dtype=np.float32), {}

    def _advance(
        self, action: ArrayLike
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        simulation = self._simulation
        if simulation is None:
            raise ResetNeeded("call reset() before step()")
        array = np.asarray(action)
        if array.shape != self.action_space.shape:
            raise ValueError(f"action must have shape {self.action_space.shape}, got {array.shape}")
        actions: list[float] = array.tolist()
        effort = sum([min(abs(a), 1.0) for a in actions])
        if math.isnan(effort):
            raise ValueError(f"action must be numbers, got {actions}")

        observation = simulation.advance(actions)
        before, self._shaping = self._shaping, _shaping(simulation)
        reward = self._shaping - before - self._motor_cost * effort
        crashed = simulation.crashed or simulation.x < 0.0
        if crashed:
            reward = _CRASH_REWARD
        if self.render_mode == "human":
            self.render()
        terminated = crashed or simulation.x > FINISH
        return np.array(observation, dtype=np.float32), reward, terminated, False, {}


def _shaping(simulation: Simulation) -> float:
    """What the walker has earned so far: way made, less a penalty for a tilted hull."""
    return 130.0 * simulation.x / SCALE - 5.0 * abs(simulation.angle)


def _spaces(body: Body) -> tuple[gymnasium.spaces.Box, gymnasium.spaces.Box]:
    """Return observation and action space."""
    # Box2D limits what a body does in a step to 2 units and a quarter turn, so 100 units/s and
    # 25 pi rad/s; the bounds on speeds are that in observed units, rounded up.
    hull = [4 * math.pi, 4.0, 13.0, 9.0]
    leg = [2 * math.pi, 40.0, 2 * math.pi, 40.0]
    num_legs = body.num_motors // 2
    low = [-bound for bound in hull] + num_legs * [*(-bound for bound in leg), 0.0]
    high = hull + num_legs * [*leg, 1.0]
    return (
        gymnasium.spaces.Box(
            np.array(low + NUM_RAYS * [0.0], dtype=np.float32),
            np.array(high + NUM_RAYS * [1.0], dtype=np.float32),
        ),
        gymnasium.spaces.Box(-1.0, 1.0, (body.num_motors,), np.float32),
    )
