"""Runs: one folder each, with logs, checkpoints, exact resume, forks, and why each task came."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = [
    "Busy", "Failed", "Interrupted", "Run", "RunConfig", "explain", "load_policy",
    "rebuild_teacher",
]  # fmt: skip

_ORIGINS = {
    "Busy": "run",
    "Failed": "run",
    "Interrupted": "run",
    "Run": "run",
    "RunConfig": "config",
    "explain": "why",
    "load_policy": "run",
    "rebuild_teacher": "why",
}


def __getattr__(name: str) -> Any:
    if name in _ORIGINS:
        return getattr(importlib.import_module(f"currgym.runs.{_ORIGINS[name]}"), name)
    raise AttributeError(f"module 'currgym.runs' has no attribute {name!r}")
