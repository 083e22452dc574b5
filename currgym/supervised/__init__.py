"""Supervised learning: families of data whose examples are tasks.

A *family* is to a supervised student what an environment is to an RL student: it has a task space,
turns (task, seed) into examples, and keeps test sets apart. Nothing heavy is imported until a
family or a network is built.

>>> from currgym.supervised import make_family
>>> family = make_family("data/regression")
>>> family.task_space
BoxTasks(frequency=[0.5, 3], noise=[0, 0.3])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from currgym.supervised.base import (
        Examples,
        Family,
        HeldOut,
        Row,
        families,
        family_parameters,
        make_family,
        register_family,
        uses_scores,
    )
    from currgym.supervised.digits import Digits
    from currgym.supervised.networks import MLP
    from currgym.supervised.regression import Regression
    from currgym.supervised.scoring import scoring_run

__all__ = [
    "MLP", "Digits", "Examples", "Family", "HeldOut", "Regression", "Row", "families",
    "family_parameters", "make_family", "register_family", "scoring_run", "uses_scores",
]  # fmt: skip

_ORIGINS = {
    "MLP": "networks",
    "Digits": "digits",
    "Regression": "regression",
    "scoring_run": "scoring",
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        module = importlib.import_module(f"currgym.supervised.{_ORIGINS.get(name, 'base')}")
        return getattr(module, name)
    raise AttributeError(f"module 'currgym.supervised' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
