"""The README says what is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_tables_are_current() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "experiments" / "readme.py"), "--check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_setup_commands_stand_on_one_line_each() -> None:
    lines = [line for line in TEXT.splitlines() if line.startswith("python -m venv .venv")]
    assert lines == [
        "python -m venv .venv && . .venv/bin/activate && pip install -c constraints.txt -e . "
        "&& currgym demo",
        "python -m venv .venv && . .venv/bin/activate && pip install -c constraints.txt -e "
        '".[dev]" && pytest',
    ]


def test_links_and_pictures_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        if "://" not in target:
            assert (ROOT / target).exists(), target


@pytest.mark.slow
def test_python_examples_run(tmp_path: Path) -> None:
    """All Python blocks one after the other, as somebody would paste them."""
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    code = "\n".join(blocks).replace("total_timesteps=10_000", "total_timesteps=256")
    code = code.replace("attempts=20_000", "attempts=200")
    code = code.replace(
        'PPO("MlpPolicy", venv)', 'PPO("MlpPolicy", venv, n_steps=32, batch_size=64)'
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
