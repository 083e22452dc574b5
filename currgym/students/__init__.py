"""Students: who attempts the tasks. Nothing heavy is imported until one is built.

Reinforcement learning: every algorithm of Stable-Baselines3 and sb3-contrib that learns from a
vector environment, by name, and a pair of them for PAIRED. Supervised: a PyTorch network.
Simulated: students that score a teacher in seconds.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from currgym.registry import Registry

__all__ = [
    "ALGORITHM", "CubeStudent", "GridStudent", "Pair", "SB3Student", "ScoreCurve", "StudentEntry",
    "SupervisedStudent", "students", "teach",
]  # fmt: skip


@dataclass(frozen=True)
class StudentEntry:
    """How a student is found without importing it.

    Attributes:
        kind: ``"rl"``, ``"supervised"`` or ``"simulated"``.
        origin: ``"module:name"`` of the class.
        summary: One line for ``currgym list``.
        exact: Whether an interrupted run goes on bit for bit.
        wrapper: ``"module:name"`` of what makes a student of it, for algorithms that are none
            themselves; None for a class that is a student.
    """

    kind: str
    origin: str
    summary: str
    exact: bool = False
    wrapper: str | None = None

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of the modules that it is defined by."""
        places = (self.origin, self.wrapper or self.origin)
        return tuple(dict.fromkeys(place.partition(":")[0] for place in places))

    def load(self) -> Any:
        """Import the class."""
        return _imported(self.origin)

    def student(self) -> Any:
        """Import the class of the student that runs build, which knows its parameters."""
        return _imported(self.wrapper or self.origin)


def _imported(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


ALGORITHM = "currgym.students.rl:SB3Student"
"""What makes a student of an algorithm of Stable-Baselines3's interface."""


def _load_students() -> None:
    sb3, contrib = "stable_baselines3", "sb3_contrib"
    for name, origin, summary, exact in (
        ("ppo", f"{sb3}:PPO", "proximal policy optimisation", True),
        ("sac", f"{sb3}:SAC", "soft actor-critic (continuous actions)", True),
        ("td3", f"{sb3}:TD3", "twin delayed DDPG (continuous actions)", True),
        ("dqn", f"{sb3}:DQN", "deep Q-network (discrete actions)", True),
        ("a2c", f"{sb3}:A2C", "advantage actor-critic", False),
        ("ddpg", f"{sb3}:DDPG", "deterministic policy gradient (continuous actions)", False),
        ("trpo", f"{contrib}:TRPO", "trust-region policy optimisation", False),
        ("tqc", f"{contrib}:TQC", "truncated quantile critics (continuous actions)", False),
        ("qr-dqn", f"{contrib}:QRDQN", "quantile-regression DQN (discrete actions)", False),
        ("crossq", f"{contrib}:CrossQ", "SAC without target networks (continuous)", False),
        ("recurrent-ppo", f"{contrib}:RecurrentPPO", "PPO with an LSTM policy", False),
    ):
        students.add(name, StudentEntry("rl", origin, summary, exact, ALGORITHM))
    students.add(
        "pair",
        StudentEntry(
            "rl", "currgym.students.pair:Pair",
            "protagonist and antagonist on the same tasks (PAIRED's), of an on-policy algorithm",
            True,
        ),
    )  # fmt: skip
    students.add(
        "mlp",
        StudentEntry(
            "supervised", "currgym.students.supervised:SupervisedStudent",
            "multi-layer perceptron in PyTorch, for data/...", True,
        ),
    )  # fmt: skip
    students.add(
        "cube",
        StudentEntry(
            "simulated", "currgym.students.simulated:CubeStudent",
            "cells that unlock as their neighbours are learnt (ALP-GMM's toy), for toy/cube", True,
        ),
    )  # fmt: skip
    students.add(
        "grid",
        StudentEntry(
            "simulated", "currgym.students.population:GridStudent",
            "a population of such students, with challenges (plateau, rugged, ...), for toy/grid",
            True,
        ),
    )  # fmt: skip


students: Registry[StudentEntry] = Registry("student", _load_students)
"""Every student, by name."""

_ORIGINS = {
    "CubeStudent": "currgym.students.simulated",
    "GridStudent": "currgym.students.population",
    "Pair": "currgym.students.pair",
    "SB3Student": "currgym.students.rl",
    "ScoreCurve": "currgym.students.simulated",
    "SupervisedStudent": "currgym.students.supervised",
    "teach": "currgym.students.simulated",
}


def __getattr__(name: str) -> Any:
    if name in _ORIGINS:
        return getattr(importlib.import_module(_ORIGINS[name]), name)
    raise AttributeError(f"module 'currgym.students' has no attribute {name!r}")
