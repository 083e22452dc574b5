"""The track: flat start pad, then stumps and gaps until past the finish, as plain geometry.

World units throughout: one unit is 30 pixels of the original 600 x 400 window. Nothing here needs
Box2D, so tracks can be drawn, counted and tested without it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["Point", "Track", "generate"]

Point = tuple[float, float]

SCALE = 30.0  # pixels of the original window to a world unit
STEP = 14 / SCALE  # "terrain step" ts; stump heights and widths are multiples of it
TRACK_LENGTH = 200 * STEP  # no stump starts beyond
FINISH = 190 * STEP
START_PAD = 20 * STEP
GROUND_HEIGHT = 400 / SCALE / 4
LIDAR_RANGE = 160 / SCALE

HEIGHT_STD = 0.1  # in ts: every stump draws its own height
MIN_SIZE = 0.05  # in ts, smallest height and width of a stump
MIN_SPACING = 0.01  # world units


@dataclass(frozen=True)
class Track:
    """One track.

    Attributes:
        ground: Polyline of the ground from left to right; consecutive points are one edge.
        stumps: One rectangle each, anticlockwise from its near foot (upright unless rotated).
        profile: Polyline of what is seen from above (ground and stumps in one, vertical sides
            included), x never decreasing; None where rotated stumps may overhang.
    """

    ground: list[Point]
    stumps: list[tuple[Point, Point, Point, Point]]
    profile: list[Point] | None


def generate(
    rng: np.random.Generator,
    *,
    stump_height: float,
    obstacle_spacing: float,
    stump_width: float = 1.0,
    stump_rotation: float = 0.0,
    roughness: float = 0.0,
) -> Track:
    """Draw a track.

    Stump k stands at START_PAD + k (width + spacing), as long as that is short of the track's
    length. The ground goes on for one lidar range past all of it: the reference code stops it at
    its last corner, which for 2 % of the spacings lies before the finish.

    Args:
        rng: Draws one standard normal a stump, then, on rough ground, one uniform a stump.
        stump_height: Mean height in ts; each stump has max(0.05, N(mean, 0.1)).
        obstacle_spacing: Gap between stumps in world units, at least 0.01.
        stump_width: In ts, at least 0.05.
        stump_rotation: Angle in rad about the middle of the stump's base, anticlockwise, so that a
            positive one leans against the walker.
        roughness: Largest change of the ground's slope at a gap, in pixels.
    """
    width = max(MIN_SIZE, stump_width) * STEP
    period = width + max(MIN_SPACING, obstacle_spacing)
    count = math.ceil((TRACK_LENGTH - START_PAD) / period)
    normals = rng.standard_normal(count)
    heights = np.maximum(MIN_SIZE, stump_height + HEIGHT_STD * normals) * STEP
    lefts = START_PAD + period * np.arange(count)
    levels = _levels(rng, count, roughness)

    start: Point = (0.0, GROUND_HEIGHT)
    ground = [start]
    stumps = []
    profile = [start]
    for left, height, level, after in zip(
        lefts.tolist(), heights.tolist(), levels[:-1], levels[1:], strict=True
    ):
        right, top = left + width, level + height
        foot, landing = (left, level), (right, after)
        ground += (foot, landing)
        stumps.append((foot, (right, level), (right, top), (left, top)))
        if after > top:  # the ground under the stump rises through its top
            through = left + width * height / (after - level)
            profile += (foot, (left, top), (through, top), landing)
        else:
            profile += (foot, (left, top), (right, top), landing)
    last_x, last_y = ground[-1]
    end = (max(TRACK_LENGTH, last_x) + LIDAR_RANGE, last_y)
    ground.append(end)
    profile.append(end)
    if stump_rotation:
        return Track(ground, [_rotated(corners, stump_rotation) for corners in stumps], None)
    return Track(ground, stumps, profile)


def _levels(rng: np.random.Generator, count: int, roughness: float) -> list[float]:
    """Return the ground's height before each stump and after the last, ``count + 1`` numbers."""
    if roughness <= 0.0:
        return [GROUND_HEIGHT] * (count + 1)
    noise = rng.uniform(-roughness, roughness, count) / SCALE
    levels = [GROUND_HEIGHT]
    velocity = 0.0
    for bump in noise.tolist():
        pull = math.copysign(0.01, GROUND_HEIGHT - levels[-1])
        velocity = 0.8 * velocity + (pull if levels[-1] != GROUND_HEIGHT else 0.0) + bump
        levels.append(levels[-1] + velocity)
    return levels


def _rotated(
    corners: tuple[Point, Point, Point, Point], angle: float
) -> tuple[Point, Point, Point, Point]:
    """Turn a rectangle about the middle of its first side."""
    (left, level), (right, _) = corners[:2]
    middle = (left + right) / 2
    cos, sin = math.cos(angle), math.sin(angle)

    def turn(corner: Point) -> Point:
        x, y = corner[0] - middle, corner[1] - level
        return middle + cos * x - sin * y, level + sin * x + cos * y

    return turn(corners[0]), turn(corners[1]), turn(corners[2]), turn(corners[3])
