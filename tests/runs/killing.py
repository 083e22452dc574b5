"""Runs the command line, kills it with SIGKILL at chosen moments, and resumes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from currgym.runs.comparing import compare_runs, first_difference

__all__ = ["assert_same_run", "first_difference", "kill_after_checkpoint", "run"]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "currgym", *arguments]


def run(*arguments: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(*arguments), cwd=cwd, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def checkpoints(folder: Path) -> list[int]:
    found = (folder / "checkpoints").glob("*/manifest.json")
    return sorted(int(path.parent.name) for path in found if path.parent.name.isdigit())


def kill_after_checkpoint(arguments: list[str], folder: Path, later: float, cwd: Path) -> bool:
    """Start, wait for a checkpoint newer than those there, then ``later`` seconds, then SIGKILL.

    Returns whether the process was still running.
    """
    before = checkpoints(folder)
    process = subprocess.Popen(
        command(*arguments), cwd=cwd, env=environment(), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        now = checkpoints(folder)
        if now and now != before:
            time.sleep(later)
            break
        time.sleep(0.005)
    alive = process.poll() is None
    process.send_signal(signal.SIGKILL)
    output, _ = process.communicate()
    assert alive or process.returncode == 0, output
    return alive


def assert_same_run(a: Path, b: Path) -> None:
    """All logs byte for byte, and the final state of teacher, student and curriculum."""
    assert compare_runs(a, b) == []
