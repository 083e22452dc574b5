"""Runs the command line in processes of its own, kills them with SIGKILL, and resumes.

The processes are forked from this one: torch takes seconds to import, and they are many.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
import warnings
from multiprocessing.process import BaseProcess
from pathlib import Path

from currgym.cli import main
from currgym.runs.comparing import compare_runs, first_difference

__all__ = ["assert_same_run", "first_difference", "kill_after_checkpoint", "run"]


def start(arguments: list[str], cwd: Path) -> tuple[BaseProcess, Path]:
    """Return a process that runs the command line, and the file of what it says."""
    said = cwd / "said.txt"

    def work() -> None:
        os.chdir(cwd)
        with said.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        main(arguments)

    process = multiprocessing.get_context("fork").Process(target=work)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, from Python 3.12 on
        process.start()
    return process, said


def run(*arguments: str, cwd: Path) -> None:
    process, said = start(list(arguments), cwd)
    process.join()
    assert process.exitcode == 0, (process.exitcode, said.read_text())


def checkpoints(folder: Path) -> list[int]:
    found = (folder / "checkpoints").glob("*/manifest.json")
    return sorted(int(path.parent.name) for path in found if path.parent.name.isdigit())


def kill_after_checkpoint(arguments: list[str], folder: Path, later: float, cwd: Path) -> bool:
    """Start, wait for a checkpoint newer than those there, then ``later`` seconds, then SIGKILL.

    Returns whether the process was still running.
    """
    before = checkpoints(folder)
    process, said = start(arguments, cwd)
    deadline = time.monotonic() + 120
    while process.is_alive() and time.monotonic() < deadline:
        now = checkpoints(folder)
        if now and now != before:
            time.sleep(later)
            break
        time.sleep(0.005)
    alive = process.is_alive()
    process.kill()
    process.join()
    assert alive or process.exitcode == 0, said.read_text()
    return alive


def assert_same_run(a: Path, b: Path) -> None:
    """All logs byte for byte, and the final state of teacher, student and curriculum."""
    assert compare_runs(a, b) == []
