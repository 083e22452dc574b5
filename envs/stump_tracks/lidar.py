"""The ten range-finder rays, against a track's profile and without a physics engine.

Rays start at the hull's origin and keep their directions in the world, from straight down to nearly
level ahead. Seen from above a profile whose x never decreases, the points they hit lie further
right from ray to ray, so one walk along the profile serves all ten.
"""

from __future__ import annotations

import math
from bisect import bisect_right

import numpy as np

from currgym.envs.stump_tracks.terrain import LIDAR_RANGE, Point

__all__ = ["NUM_RAYS", "RAYS", "ProfileLidar"]

NUM_RAYS = 10
RAYS: tuple[Point, ...] = tuple(
    (LIDAR_RANGE * math.sin(0.15 * i), -LIDAR_RANGE * math.cos(0.15 * i)) for i in range(NUM_RAYS)
)
"""End of each ray relative to its start, world units."""

_SLANTED = tuple((reach, drop / reach) for reach, drop in RAYS[1:])  # reach and slope


class ProfileLidar:
    """Measures distances to one profile.

    Args:
        profile: As in :class:`currgym.envs.stump_tracks.terrain.Track`.
    """

    def __init__(self, profile: list[Point]) -> None:
        # Box2D keeps float32 corners: the rays must meet the same ones.
        corners = np.array(profile, dtype=np.float32)
        end = float(corners[-1, 0])
        # The ground's end is a drop nobody sees the bottom of; it spares the walk a check.
        self._xs: list[float] = [*corners[:, 0].tolist(), end, end + 1e3]
        self._ys: list[float] = [*corners[:, 1].tolist(), -1e9, -1e9]

    def sense(self, x: float, y: float) -> list[float] | None:
        """Return the fraction of each ray up to its nearest hit, 1 where it hits nothing.

        Returns None from a point that is not above the profile, where this walk does not hold.
        """
        xs, ys = self._xs, self._ys
        here = bisect_right(xs, x)  # the profile's piece from corner here - 1 to here lies below
        if here == 0 or here == len(xs):
            return None
        left, bottom = xs[here - 1], ys[here - 1]
        right, top = xs[here], ys[here]
        height = y - bottom - (top - bottom) * (x - left) / (right - left)
        if height <= 0.0:
            return None
        fractions = [height / LIDAR_RANGE if height < LIDAR_RANGE else 1.0]
        # Invariant: all rays to come pass above every corner before this one.
        ahead = right - x
        for reach, slope in _SLANTED:
            while True:
                gap = y + slope * ahead - top  # how far above the corner the ray passes
                if gap <= 0.0 or ahead >= reach:
                    break
                here += 1
                right, top = xs[here], ys[here]
                ahead = right - x
            if gap > 0.0:
                fractions.append(1.0)  # ends above this piece
                continue
            left, bottom = xs[here - 1], ys[here - 1]
            before = y + slope * (left - x) - bottom
            hit = (left - x + (right - left) * before / (before - gap)) / reach
            fractions.append(hit if hit < 1.0 else 1.0)
        return fractions
