"""Who is at work on something: a process, and whether it is known to have ended."""

from __future__ import annotations

import os
import socket

__all__ = ["gone", "whoami"]


def whoami() -> str:
    """Return this process and machine, as they are noted."""
    return f"{os.getpid()}@{socket.gethostname()}"


def gone(owner: str | None) -> bool:
    """Tell whether the process noted is known to have ended; elsewhere nobody knows."""
    number, _, host = (owner or "").partition("@")
    if os.name != "posix" or host != socket.gethostname() or not number.isdigit():
        return not owner
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
