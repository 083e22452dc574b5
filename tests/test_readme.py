"""The README says what is there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from currgym import cli

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


def _lines() -> list[list[str]]:
    blocks = re.findall(r"```bash\n(.*?)```", TEXT, re.S)
    words = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [line[1:] for line in words if line[:1] == ["currgym"] and line[1] in _CHECKED]


_CHECKED = ("train", "compare")


@pytest.mark.parametrize("arguments", _lines(), ids=lambda line: " ".join(line[:4]))
def test_shell_lines_are_accepted(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they stand, with the work itself left out, and once more with every --set of the text."""
    for name in ("_train", "_run_study", "_write_report"):
        monkeypatch.setattr(cli, name, lambda *_: None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 0
    settings = re.findall(r"--set (\S+?=[^\s`]+)", TEXT)
    assert len(settings) >= 3
    given = [word for setting in settings for word in ("--set", setting)]
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "CartPole-v0", "--teacher", "alp-gmm", "--out", "set", *given])
    assert stop.value.code == 0


@pytest.mark.slow
def test_python_examples_run(tmp_path: Path) -> None:
    """All Python blocks one after the other, as somebody would paste them."""
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    code = "\n".join(blocks).replace("total_timesteps=10_000", "total_timesteps=256")
    code = code.replace("attempts=20_000", "attempts=200")
    code = code.replace('PPO("MlpPolicy", env)', 'PPO("MlpPolicy", env, n_steps=32, batch_size=64)')
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_the_study_is_one(tmp_path: Path) -> None:
    from currgym.studies import StudySpec, freeze

    (document,) = re.findall(r"```toml\n(.*?)```", TEXT, re.S)
    path = tmp_path / "study.toml"
    path.write_text(document, encoding="utf-8")
    spec = StudySpec.read(path)
    assert freeze(spec)
    labels = [arm.label for arm in spec.arms]
    assert "yoked-alp-gmm" in labels
    assert "uniform-steps" in labels
