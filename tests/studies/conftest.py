"""Shared parts of the study tests: small studies of the toy cube."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from currgym.studies import Study

Make = Callable[..., Study]

SMALL = """\
environments = ["toy/cube"]
teachers = ["random", "alp-gmm"]
seeds = 2
steps = 160
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a study file."""

    def write(text: str = SMALL, name: str = "small.toml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write
