"""Runs the command line, kills it with SIGKILL at chosen moments, and resumes it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from currgym.states import load_state

COMPARED = (
    "episodes.csv", "evaluations.csv", "probes.csv", "calls.csv", "periods.jsonl", "optimizer.csv",
)  # fmt: skip


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


def final_state(folder: Path) -> dict[str, object]:
    """The newest checkpoint's whole state, wall-clock apart."""
    state = load_state(folder / "checkpoints" / str(checkpoints(folder)[-1]))
    state["run"].pop("seconds")
    return state


def assert_same_run(a: Path, b: Path) -> None:
    """All logs byte for byte, and the final state of teacher, student and curriculum."""
    for name in COMPARED:
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
    first, second = final_state(a), final_state(b)
    difference = first_difference(first, second)
    assert difference is None, difference
    ledgers = [json.loads((f / "summary.json").read_text())["ledger"] for f in (a, b)]
    assert ledgers[0] == ledgers[1]


def first_difference(a: object, b: object, path: str = "state") -> str | None:
    import numpy as np
    import torch

    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return f"{path}: keys {sorted(map(str, a.keys() ^ b.keys()))}"
        found = (first_difference(a[k], b[k], f"{path}.{k}") for k in a)
        return next((f for f in found if f is not None), None)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        if len(a) != len(b):
            return f"{path}: lengths {len(a)} and {len(b)}"
        found = (
            first_difference(x, y, f"{path}[{i}]")
            for i, (x, y) in enumerate(zip(a, b, strict=True))
        )
        return next((f for f in found if f is not None), None)
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return None if torch.equal(a, b) else f"{path}: tensors differ"
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        same = np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        return None if same and a.dtype == b.dtype else f"{path}: arrays differ"
    return None if a == b else f"{path}: {a!r} and {b!r}"
