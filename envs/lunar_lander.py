"""Lunar Lander whose gravity, wind and engines are the task."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from types import FunctionType
from typing import Any, ClassVar

from gymnasium.error import DependencyNotInstalled

from currgym.envs.base import Parameter, TaskRange
from currgym.envs.physics_base import PhysicsEnv

try:
    with warnings.catch_warnings():
        # Box2D's import warns about its own binding, which crashes the interpreter under -W error.
        warnings.simplefilter("ignore", DeprecationWarning)
        from gymnasium.envs.box2d import lunar_lander
except (ImportError, DependencyNotInstalled) as missing:
    raise DependencyNotInstalled(
        "currgym/LunarLander-v0 needs the box2d package (pip install box2d), which has no build "
        "for Python 3.14: use Python 3.10-3.13"
    ) from missing

__all__ = ["LunarLander"]


class _Physics(lunar_lander.LunarLander):
    """Gymnasium's lander with engine powers of its own.

    They are constants of Gymnasium's module there. Its step runs here with a copy of the module's
    names, so that the module stays as it is.
    """

    def __init__(self, render_mode: str | None = None, continuous: bool = False) -> None:
        super().__init__(render_mode=render_mode, continuous=continuous)
        # The arguments of this class, from which a copy is made, and not of the other.
        self._ezpickle_args, self._ezpickle_kwargs = (render_mode, continuous), {}
        self.constants = dict(vars(lunar_lander))
        self._step = FunctionType(lunar_lander.LunarLander.step.__code__, self.constants)

    def step(self, action: Any) -> Any:
        """Advance as Gymnasium does, with these engines."""
        return self._step(self, action)


class LunarLander(PhysicsEnv):
    """A lander comes down between two flags; the task sets gravity, wind and the engines.

    ## Description
    Gymnasium's ``LunarLander-v3`` with its arguments and the power of its engines as task
    parameters. The default task is the original, step for step and to the bit: gravity 10 down, no
    wind. Strong gravity, wind, turbulence and weak main engines make it hard: with a power of 8 to
    10 the lander can hardly brake, let alone rise.

    Source: ``gymnasium/envs/box2d/lunar_lander.py``. The range of the main engine is that of Mehta,
    Diaz, Golemo, Pal, Paull, "Active Domain Randomization", CoRL 2019,
    https://arxiv.org/abs/1904.04762.

    ## Action Space
    ``Discrete(4)``: nothing, left engine, main engine, right engine. With ``continuous``, ``Box(-1,
    1, (2,), float32)``: main engine, side engines.

    ## Observation Space
    ``Box`` of shape ``(8,)``, float32; with ``observe_task`` the unit-cube task follows.

    | Num | Observation              | Min   | Max  |
    |-----|--------------------------|-------|------|
    | 0   | x, from the pad          | -2.5  | 2.5  |
    | 1   | y, from the pad          | -2.5  | 2.5  |
    | 2   | horizontal speed         | -10   | 10   |
    | 3   | vertical speed           | -10   | 10   |
    | 4   | angle in rad             | -2 pi | 2 pi |
    | 5   | angular speed, scaled    | -10   | 10   |
    | 6   | whether the left leg is down  | 0 | 1   |
    | 7   | whether the right leg is down | 0 | 1   |

    ## Rewards
    Gymnasium's: nearer, slower and more upright is better, fuel costs, a crash -100, coming to rest
    100. A return strictly above 200 masters a task, which is when Gymnasium calls it solved.

    ## Starting State
    At the top in the middle, pushed at random. Ground, push and wind are drawn from the episode's
    seed.

    ## Episode End
    Termination: the lander crashes, leaves to the side, or comes to rest. Truncation: after 1,000
    steps.

    ## Task parameters
    | Name                | Range       | Default | Varies | Effect on difficulty            |
    |---------------------|-------------|---------|--------|---------------------------------|
    | `gravity`           | -11.9 to -4 | -10     | yes    | stronger is harder              |
    | `wind_power`        | 0 to 20     | 0       | yes    | stronger is harder              |
    | `turbulence_power`  | 0 to 2      | 0       | yes    | stronger is harder              |
    | `main_engine_power` | 8 to 20     | 13      | yes    | weaker is harder                |
    | `side_engine_power` | 0.2 to 1    | 0.6     | yes    | mixed: weak ones turn it slowly |

    Wind and turbulence are on where either is above 0, as with Gymnasium's ``enable_wind``; then an
    episode draws two numbers more, so its noise differs from a calm one's with the same seed.

    The declared difficulty rises with gravity's strength, wind and turbulence and falls with the
    main engine's power. Each of these four orders holds for Gymnasium's heuristic, the others at
    their defaults: of 30 seeds it masters 27 at the default task, and 30 at gravity -4 but 9 at
    -11.9, 13 in a wind of 20, 11 in a turbulence of 2, and with a main engine of 20, 29, but of 9
    none. (At gravity -2 it lands so slowly that it is harder again.)

    ## Arguments
    | Name           | Default | Description                                                    |
    |----------------|---------|----------------------------------------------------------------|
    | `continuous`   | `False` | two numbers as action                                          |
    | `tasks`        | `None`  | `{"turbulence_power": 0}` fixes one, `(0, 10)` changes a range |
    | `observe_task` | `False` | append the unit-cube task to the observation                   |
    | `render_mode`  | `None`  | `"human"` or `"rgb_array"`                                     |

    ## Version History
    * v0: first release.
    """

    metadata = lunar_lander.LunarLander.metadata
    parameters = (
        Parameter("gravity", -11.9, -4.0, -10.0, varies=True, minimum=-12.0, maximum=-0.1),
        Parameter("wind_power", 0.0, 20.0, 0.0, varies=True, minimum=0.0),
        Parameter("turbulence_power", 0.0, 2.0, 0.0, varies=True, minimum=0.0),
        Parameter("main_engine_power", 8.0, 20.0, 13.0, varies=True, minimum=0.0),
        Parameter("side_engine_power", 0.2, 1.0, 0.6, varies=True, minimum=0.0),
    )
    difficulty: ClassVar[dict[str, float]] = {
        "gravity": -0.1, "wind_power": 0.04, "turbulence_power": 0.4, "main_engine_power": -0.12,
    }  # fmt: skip
    return_range = (-300.0, 300.0)
    mastery = 200.0

    def __init__(
        self,
        *,
        continuous: bool = False,
        tasks: Mapping[str, TaskRange] | None = None,
        observe_task: bool = False,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(
                f"render_mode must be one of {self.metadata['render_modes']}, got {render_mode!r}"
            )
        super().__init__(_Physics(render_mode, continuous), tasks=tasks, observe_task=observe_task)
        self.continuous = continuous
        self.set_spaces(self.physics.observation_space, self.physics.action_space)

    def _configure(self, values: Mapping[str, float]) -> None:
        physics = self.physics
        physics.gravity = values["gravity"]
        physics.wind_power = values["wind_power"]
        physics.turbulence_power = values["turbulence_power"]
        physics.enable_wind = physics.wind_power > 0.0 or physics.turbulence_power > 0.0
        physics.constants["MAIN_ENGINE_POWER"] = values["main_engine_power"]
        physics.constants["SIDE_ENGINE_POWER"] = values["side_engine_power"]
