"""Stump Tracks: walkers in Box2D on a track of stumps. Needs the ``box2d`` package to run."""

from currgym.envs.stump_tracks.body import BODIES, Body
from currgym.envs.stump_tracks.env import StumpTracks

__all__ = ["BODIES", "Body", "StumpTracks"]
