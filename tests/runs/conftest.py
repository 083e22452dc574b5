"""Shared parts of the run tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from currgym.runs import Run, RunConfig

Make = Callable[..., Run]


@pytest.fixture
def digits(tmp_path: Path) -> Make:
    """Make a tiny supervised run."""

    def make(name: str = "run", **changes: Any) -> Run:
        settings: dict[str, Any] = {
            "env": "data/digits", "teacher": "random", "student": "mlp", "steps": 960,
            "evaluate_every": 480, "checkpoint_every": 0.0, **changes,
        }  # fmt: skip
        return Run.create(RunConfig(**settings), tmp_path / name)

    return make
