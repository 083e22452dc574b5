"""Ray, where it is wanted: found, connected to, or started here."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any

try:
    import ray as _ray
except ImportError as error:
    raise ImportError(f"this needs Ray: pip install 'currgym[ray]' ({error})") from None

__all__ = ["connect", "disconnect", "end", "ray", "wait_for_room"]

ray: Any = _ray
"""The package; its own annotations do not say what its decorators do."""


ROOM = 120.0
"""Seconds for which workers may wait for room on the cluster."""


def connect(address: str | None = None, cpus: int | None = None, least: int = 1) -> bool:
    """Connect to a Ray cluster, or start one on this machine.

    Args:
        address: Of the cluster. None takes the connection there is, else ``RAY_ADDRESS``, else
            what ``ray start`` has started on this machine, else starts a Ray of its own.
        cpus: What a Ray that is started here offers; None for the cores of this machine.
        least: CPUs that the cluster has to have.

    Returns:
        Whether this call has connected, so that its maker has to :func:`disconnect`.

    Raises:
        ConnectionError: If nothing answers at the address.
        ValueError: If the cluster is too small.
    """
    ours = not ray.is_initialized() and _begin(address, cpus)
    there = ray.cluster_resources().get("CPU", 0.0)
    if there < least:
        if ours:
            disconnect()
        raise ValueError(f"the Ray cluster has {there:.0f} CPUs, and {least} workers need one each")
    return ours


def _begin(address: str | None, cpus: int | None) -> bool:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "WARNING"}
    wanted = address or os.environ.get("RAY_ADDRESS")
    if wanted:
        try:
            _knock(wanted)
            ray.init(address=wanted, **quiet)
        except OSError as error:
            raise ConnectionError(f"no Ray cluster answers at {wanted}: {error}") from None
        return True
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(num_cpus=cpus or os.cpu_count(), include_dashboard=False, **quiet)
    except ValueError:  # there is a cluster already, whose CPUs are not ours to count
        ray.init(**quiet)
    return True


def _knock(address: str) -> None:
    """See whether anybody is there, which Ray itself takes minutes for."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10.0).close()


def disconnect() -> None:
    """Leave the cluster; one that was started here ends."""
    ray.shutdown()


def end(actor: Any) -> None:
    """End an actor, if it is still there."""
    with contextlib.suppress(ray.exceptions.RayError):
        ray.kill(actor)


def wait_for_room(answers: list[Any]) -> list[Any]:
    """Return the first answers of new actors.

    Raises:
        RuntimeError: If the cluster has no room for them.
    """
    try:
        found: list[Any] = ray.get(answers, timeout=ROOM)
    except ray.exceptions.GetTimeoutError:
        raise RuntimeError(
            f"the cluster has had no room for {len(answers)} workers for {ROOM:.0f} s"
        ) from None
    return found
