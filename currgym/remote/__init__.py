"""One curriculum over workers on a Ray cluster: tasks travel out, outcomes travel back.

:class:`Attempts` has whole episodes played by workers that hold an environment and a behaviour that
does not change. :class:`RayVectorEnv` is a vector environment whose sub-environments live in
workers, for students that learn from every step; there the curriculum's own traffic is the same.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["Attempts", "Player", "RayVectorEnv"]

if TYPE_CHECKING:
    from currgym.remote.attempts import Attempts, Player
    from currgym.remote.vector import RayVectorEnv

_ORIGINS = {
    "Attempts": "currgym.remote.attempts",
    "Player": "currgym.remote.attempts",
    "RayVectorEnv": "currgym.remote.vector",
}


def __getattr__(name: str) -> Any:
    if name in _ORIGINS:
        return getattr(importlib.import_module(_ORIGINS[name]), name)
    raise AttributeError(f"module 'currgym.remote' has no attribute {name!r}")
