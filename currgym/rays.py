"""Ray, where it is wanted: found, connected to, or started here."""

from __future__ import annotations

import os
from typing import Any

try:
    import ray
except ImportError as error:
    raise ImportError(f"this needs Ray: pip install 'currgym[ray]' ({error})") from None

__all__ = ["connect", "disconnect", "ray"]


def connect(address: str | None = None, cpus: int | None = None) -> bool:
    """Connect to a Ray cluster, or start one on this machine.

    Args:
        address: Of the cluster. None takes the connection there is, else ``RAY_ADDRESS``, else a
            Ray that runs on this machine, else starts one.
        cpus: What a Ray that is started here offers; None for the cores of this machine.

    Returns:
        Whether this call has connected, so that its maker has to :func:`disconnect`.

    Raises:
        ConnectionError: If nothing answers at the address.
    """
    if ray.is_initialized():
        return False
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "WARNING"}
    wanted = address or os.environ.get("RAY_ADDRESS")
    try:
        ray.init(address=wanted or "auto", **quiet)
    except ConnectionError as error:
        if wanted and wanted != "auto":
            raise ConnectionError(f"no Ray cluster answers at {wanted}: {error}") from None
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, **quiet)
    return True


def disconnect() -> None:
    """Leave the cluster; one that was started here ends."""
    ray.shutdown()
