"""Environments whose tasks are parameters. Importing this package registers nothing by itself."""

from __future__ import annotations

import gymnasium

__all__ = ["register_environments"]


def register_environments() -> None:
    """Register every environment under ``currgym/`` with Gymnasium, once."""
    if "currgym/StumpTracks-v0" in gymnasium.registry:
        return
    gymnasium.register(
        id="currgym/StumpTracks-v0",
        entry_point="currgym.envs.stump_tracks:StumpTracks",
        max_episode_steps=2000,
    )
