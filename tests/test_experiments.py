"""The experiments' short forms say what they are, and never replace a committed result."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "experiments"
SHORT = [path for path in sorted(FOLDER.glob("*.py")) if '"--short"' in path.read_text("utf-8")]


@pytest.mark.parametrize("path", SHORT, ids=lambda path: path.stem)
def test_a_short_form_says_so(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "illustration" in text
    assert "no verdict" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["cube.py", "--short"],
        ["cube.py", "--first-seed", "1000"],
        ["cube.py", "--seeds", "8"],
        ["mixtures.py", "--short"],
        ["mixtures.py", "--windows", "10"],
        ["speed.py", "--short"],
    ],
    ids=" ".join,
)
def test_only_the_planned_run_replaces_a_result(arguments: list[str]) -> None:
    path = FOLDER / "results" / arguments[0].replace(".py", ".json")
    before = path.read_bytes()
    done = subprocess.run(
        [sys.executable, str(FOLDER / arguments[0]), *arguments[1:]],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert "--out" in done.stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize("path", SHORT, ids=lambda path: path.stem)
def test_a_short_form_takes_a_folder(path: Path) -> None:
    """As the project's gate calls it."""
    assert '"--out"' in path.read_text("utf-8")
