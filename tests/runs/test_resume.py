"""Kill -9 at any instant, then resume: the same bytes as the run that was never interrupted."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

_spec = importlib.util.spec_from_file_location("killing", Path(__file__).with_name("killing.py"))
assert _spec is not None
assert _spec.loader is not None
killing = importlib.util.module_from_spec(_spec)
sys.modules["killing"] = killing
_spec.loader.exec_module(killing)

PPO = [
    "CartPole-v0", "--teacher", "alp-gmm", "--student", "ppo", "--steps", "8000", "--num-envs",
    "4", "--set", "student.n_steps=128", "--set", "teacher.fit_period=40", "--test-tasks", "4",
    "--test-seeds", "1", "--evaluate-every", "4000",
]  # fmt: skip
SAC = [
    "Pendulum-v0", "--teacher", "easy-to-hard", "--student", "sac", "--steps", "1600",
    "--num-envs", "2", "--set", "student.learning_starts=200", "--set", "student.batch_size=32",
    "--set", "student.net_arch=[16,16]", "--set", "student.buffer_size=1000", "--test-tasks", "2",
    "--test-seeds", "1", "--evaluate-every", "800",
]  # fmt: skip
PAIR = [
    "GridMaze-v0", "--teacher", "paired", "--student", "pair", "--steps", "14000", "--num-envs",
    "4", "--set", "student.n_steps=128", "--set", "student.attempts=1", "--set", "env.size=7",
    "--set", "teacher.batch=8", "--test-tasks", "4", "--test-seeds", "1", "--evaluate-every",
    "7000",
]  # fmt: skip
DIGITS = [
    "data/digits", "--teacher", "cyclical", "--steps", "16000", "--evaluate-every", "8000",
    "--set", "env.scoring_passes=2",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [PPO, SAC, PAIR, DIGITS], ids=["ppo", "sac", "pair", "supervised"]
)
def test_killed_and_resumed_equals_uninterrupted(arguments: list[str], tmp_path: Path) -> None:
    killing.run("train", *arguments, "--seed", "3", "--out", "whole", cwd=tmp_path)
    rng = np.random.default_rng(0)
    out = tmp_path / "killed"
    start = ["train", *arguments, "--seed", "3", "--out", "killed", "--checkpoint-every", "0.3"]
    killed = killing.kill_after_checkpoint(start, out, rng.uniform(0, 0.3), tmp_path)
    times = int(killed)
    for _ in range(2):
        if (out / "summary.json").exists():
            break
        times += killing.kill_after_checkpoint(
            ["resume", "killed"], out, rng.uniform(0, 0.3), tmp_path
        )
    if not (out / "summary.json").exists():
        killing.run("resume", "killed", cwd=tmp_path)
    assert times >= 1
    killing.assert_same_run(tmp_path / "whole", out)


@pytest.mark.slow
def test_two_kills_of_the_experiment(tmp_path: Path) -> None:
    """Uniform over time and aimed at phases; ``experiments/faults.py`` does 200."""
    script = Path(__file__).parents[2] / "experiments" / "faults.py"
    done = subprocess.run(
        [sys.executable, str(script), "--kills", "2", "--only", "supervised", "--out", "."],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "faults.json").read_text())
    assert result["kills"] == 2 == sum(result["by_phase"].values())
    assert result["equal_to_twin"] == result["trials"] >= 1
    assert result["problems"] == []
