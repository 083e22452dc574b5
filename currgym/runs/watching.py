"""An environment that raises, hangs, or returns nonsense: found at work, and named with its task.

Nothing of this is in the way of a step. Who is at work is read off the stack: off the traceback
when something was raised, and now and then off the training thread's while it runs.
"""

from __future__ import annotations

import faulthandler
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import SyncVectorEnv, VectorEnv

from currgym.documents import sentence
from currgym.tasks import TaskSpace

__all__ = [
    "EPISODE_LIMIT", "EnvironmentFailed", "Watchdog", "blame", "finite", "in_words",
]  # fmt: skip

Playing = Callable[[Any], "str | None"]
EPISODE_LIMIT = 100_000
"""Steps after which an evaluation episode or probe without a time limit of its own has no end."""
GRACE = 10.0
"""Seconds, at most, in which a hanging environment may give way to an exception."""


class EnvironmentFailed(RuntimeError):
    """An environment raised, hung, or returned what is no observation or reward."""


def in_words(space: TaskSpace, task: Any, seed: int) -> str:
    """Return a task and the seed of its episode as errors name them."""
    named = ", ".join(f"{name} = {value}" for name, value in space.as_dict(task).items())
    return f"task {named}; seed {seed}"


def finite(observations: Any) -> bool:
    """Tell whether there is no NaN and no infinity in a batch of observations."""
    if isinstance(observations, dict):
        return all(finite(part) for part in observations.values())
    if isinstance(observations, tuple):
        return all(finite(part) for part in observations)
    array = np.asarray(observations)
    if array.dtype.kind != "f":
        return True
    # The sum of squares is finite unless an entry is not, or it overflows: then a second look.
    flat = array.ravel()
    return math.isfinite(float(np.vdot(flat, flat))) or bool(np.isfinite(array).all())


def blame(error: BaseException, playing: Playing) -> EnvironmentFailed | None:
    """Return an error that names the environment in which this one was raised, if it was in one.

    Args:
        error: As caught.
        playing: Says what an environment plays: which it is, task and seed.
    """
    if isinstance(error, EnvironmentFailed):
        return None
    frames = list(traceback.walk_tb(error.__traceback__))
    env = _environment(frame for frame, _ in frames)
    if env is None:
        return None
    frame, line = frames[-1]
    place = f"{os.path.basename(frame.f_code.co_filename)}, line {line}"
    what = f"{type(error).__name__}: {sentence(error).removeprefix(type(error).__name__ + ': ')}"
    return EnvironmentFailed(f"{playing(env) or env} failed: {what} ({place})")


def _environment(frames: Iterator[FrameType]) -> Any:
    """Return the outermost environment at work in a stack (outermost frame first), or None."""
    found = _outermost(frames)
    return None if found is None else found.f_locals["self"]


def _outermost(frames: Iterator[FrameType]) -> FrameType | None:
    for frame in frames:
        owner: Any = frame.f_locals.get("self")
        if isinstance(owner, gymnasium.Env):
            return frame
        # A synchronous vector environment only calls its sub-environments, which come next.
        vector = isinstance(owner, VectorEnv) and not isinstance(owner, SyncVectorEnv)
        if vector and owner.unwrapped is owner:
            return frame
    return None


class Watchdog:
    """Ends a run whose environment does not come back from a step or reset.

    First by an exception in the training thread, which unwinds as any other. If that does not get
    through, because the environment swallows it or is in native code, the process ends with exit
    code 1; so it does, by :mod:`faulthandler` and with the place in the code, if native code does
    not even let other threads run. No checkpoint is written: the last one stands.

    It watches the main thread only, where signals arrive; elsewhere it does nothing.

    Args:
        seconds: Longest time for one call.
        playing: Says what an environment plays.
    """

    def __init__(self, seconds: float, playing: Playing) -> None:
        self._seconds, self._playing = seconds, playing
        self._every, self._grace = min(1.0, seconds / 10), min(GRACE, seconds)
        self._over = threading.Event()
        self._main = threading.main_thread()
        self._thread: threading.Thread | None = None
        self._frame: FrameType | None = None
        self._before: Any = None

    def __enter__(self) -> Watchdog:
        if math.isfinite(self._seconds) and threading.current_thread() is self._main:
            if hasattr(signal, "SIGALRM"):
                self._before = signal.signal(signal.SIGALRM, self._raise)
            self._rearm()  # here: what hangs at once may never let the other thread begin
            self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread is None:
            return
        self._over.set()
        self._thread.join()
        self._frame = None
        faulthandler.cancel_dump_traceback_later()
        if hasattr(signal, "SIGALRM"):
            signal.signal(signal.SIGALRM, self._before)

    def _watch(self) -> None:
        since, asked = time.monotonic(), False
        while not self._over.wait(self._every):
            now = time.monotonic()
            stack = _stack(sys._current_frames().get(self._main.ident or 0))
            frame = _outermost(iter(stack))
            if frame is None or frame is not self._frame:
                self._frame, since, asked = frame, now, False
                self._rearm()
            elif now - since > self._seconds and not asked and hasattr(signal, "SIGALRM"):
                asked = True
                signal.pthread_kill(self._main.ident or 0, signal.SIGALRM)
            elif now - since > self._seconds + self._grace:
                with suppress(OSError, ValueError):
                    sys.stderr.write(f"error: {self._message()}\n")
                    sys.stderr.flush()
                os._exit(1)

    def _rearm(self) -> None:
        """Put off the end that comes by itself if this thread gets no chance to run."""
        with suppress(OSError, ValueError, AttributeError, RuntimeError):  # no real stderr
            faulthandler.dump_traceback_later(
                self._seconds + 2 * self._grace + self._every, exit=True, file=sys.stderr
            )

    def _raise(self, number: int, frame: FrameType | None) -> None:
        if self._frame is not None and any(f is self._frame for f in _stack(frame)):
            raise EnvironmentFailed(self._message())

    def _message(self) -> str:
        env = None if self._frame is None else self._frame.f_locals.get("self")
        call = "" if self._frame is None else self._frame.f_code.co_name
        return (
            f"{self._playing(env) or env} hangs: its {call}() has not come back within "
            f"{self._seconds:g} s (--step-timeout), so the run was ended"
        )


def _stack(frame: FrameType | None) -> list[FrameType]:
    """Return the frames of a stack, outermost first."""
    found = []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found[::-1]
