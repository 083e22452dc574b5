"""What to do when a worker process of a vector environment hangs or dies: end it, and say whose."""

from __future__ import annotations

import functools
import multiprocessing
from multiprocessing.connection import wait
from typing import Any

from gymnasium.vector import AsyncVectorEnv, VectorEnv

__all__ = ["TROUBLE", "end_workers", "limit_waiting"]

TROUBLE = (multiprocessing.TimeoutError, EOFError, BrokenPipeError, ConnectionResetError)
"""What waiting for a worker raises when it hangs or is dead."""


def limit_waiting(vec: VectorEnv[Any, Any, Any], seconds: float | None) -> None:
    """Let ``step`` and ``reset`` of an ``AsyncVectorEnv`` wait for its workers no longer than this.

    Gymnasium has the limit on ``step_wait`` and ``reset_wait``, and passes none from ``step`` and
    ``reset``. Vector environments without workers are left alone.
    """
    base: Any = vec.unwrapped
    if seconds is None or not isinstance(base, AsyncVectorEnv):
        return
    if not seconds > 0:
        raise ValueError(f"step_timeout must be above 0, got {seconds}")
    for name in ("step_wait", "reset_wait"):
        setattr(base, name, functools.partial(getattr(base, name), timeout=seconds))


def end_workers(vec: VectorEnv[Any, Any, Any], trouble: Exception) -> tuple[list[int], str]:
    """Kill the workers of an ``AsyncVectorEnv`` of which one is silent.

    Args:
        vec: The vector environment, wrapped or not.
        trouble: What waiting for them has raised.

    Returns:
        The sub-environments that are to blame, and what became of them, in words.
    """
    base: Any = vec.unwrapped
    if not isinstance(base, AsyncVectorEnv):
        return [], "ended unexpectedly"
    late = isinstance(trouble, multiprocessing.TimeoutError)
    sentinels = [process.sentinel for process in base.processes]
    # A process that ends closes its files, sentinel included, before it can be waited for, and its
    # pipe first, which Gymnasium calls late too.
    ended = wait(sentinels, timeout=1.0 if late else 5.0)
    dead = [i for i, sentinel in enumerate(sentinels) if sentinel in ended]
    silent = [i for i, pipe in enumerate(base.parent_pipes) if late and not _answers(pipe)]
    for process in base.processes:
        process.kill()
    for process in base.processes:
        process.join()
    for pipe in base.parent_pipes:
        pipe.close()
    base.closed = True
    codes = ", ".join(str(base.processes[i].exitcode) for i in dead)
    if dead:
        return dead, f"died (exit code {codes})"
    return silent, "did not answer in time and was killed"


def _answers(pipe: Any) -> bool:
    try:
        return bool(pipe.poll(0))
    except OSError:
        return False
