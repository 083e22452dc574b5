"""Every registered environment keeps the contract: an addition is tested by being registered."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

import currgym  # registers the environments
from currgym.testing import ENV_CHECKS, EnvCase, Policy, env_case

IDS = sorted(name for name in gymnasium.registry if name.startswith("currgym/"))

# Random actions never reach a goal, so a parameter of the goal would seem dead.
POLICIES: dict[str, Policy] = {
    "currgym/Acrobot-v0": lambda observation: 2 if observation[5] > 0 else 0,
    "currgym/MountainCarContinuous-v0": lambda observation: np.array(
        [1.0 if observation[1] >= 0 else -1.0], dtype=np.float32
    ),
    # To the wall at x = 0.3: near enough to the middle for a gate's edges to matter.
    "currgym/PointMassGate-v0": lambda observation: np.clip(
        [
            6.0 * (0.6 - observation[0]) - 5.0 * observation[1],
            6.0 * (-3.0 - observation[2]) - 5.0 * observation[3],
        ],
        -10.0,
        10.0,
    ).astype(np.float32),
}
STEPS = {"currgym/Acrobot-v0": 300, "currgym/MountainCarContinuous-v0": 300}


def case_of(name: str, **arguments: Any) -> EnvCase:
    return env_case(name, STEPS.get(name, 120), POLICIES.get(name), **arguments)


def test_there_are_environments() -> None:
    assert "currgym/CartPole-v0" in IDS
    assert currgym.__version__


@pytest.mark.parametrize("check", ENV_CHECKS)
@pytest.mark.parametrize("name", IDS)
def test_registered(name: str, check: str) -> None:
    ENV_CHECKS[check](case_of(name))


def parameters_of(name: str) -> tuple[Any, ...]:
    env = gymnasium.make(name)
    env.close()
    found: tuple[Any, ...] = getattr(env.unwrapped, "parameters", ())
    return found


@pytest.mark.parametrize("name", [name for name in IDS if parameters_of(name)])
def test_every_parameter_that_can_be_opened_is_live(name: str) -> None:
    parameters = parameters_of(name)
    everything = {p.name: (p.low, p.high) for p in parameters}
    for check in ("parameters_are_live", "accepts_its_ends", "refuses_outside"):
        ENV_CHECKS[check](case_of(name, tasks=everything))
