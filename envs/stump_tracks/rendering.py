"""Pictures of an episode, drawn with pygame from what the simulation holds and nothing else.

A frame depends on the state alone: no random numbers are drawn and the physics is only read.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pygame
from numpy.typing import NDArray

from currgym.envs.stump_tracks.lidar import RAYS
from currgym.envs.stump_tracks.terrain import FINISH, LIDAR_RANGE, Point, Track

if TYPE_CHECKING:
    from currgym.envs.stump_tracks.simulation import Simulation

__all__ = ["Renderer"]

WIDTH, HEIGHT = 600, 400
_FPS = 50
_OVERSAMPLING = 2  # drawn at twice the size and scaled down, which smooths all edges
_ZOOM = 40  # pixels to a world unit
_PIXELS = _ZOOM * _OVERSAMPLING
_VIEW = WIDTH / _ZOOM  # world units across
_LEAD = 0.33 * _VIEW  # how much of the view lies behind the walker
_SOIL_DEPTH = 2.5  # world units of soil in view, which hold the caption

_Colour = tuple[int, int, int]
_SKY_TOP, _SKY_LOW = (112, 172, 230), (229, 241, 248)
_CLOUD = (250, 252, 254)
_FAR_HILLS, _NEAR_HILLS = (176, 205, 216), (145, 188, 170)
_SOIL, _DEEP_SOIL, _GRASS, _BLADE = (122, 89, 64), (97, 70, 51), (98, 158, 74), (130, 188, 96)
_STUMP, _STUMP_SHADE, _STUMP_TOP = (168, 124, 82), (134, 96, 62), (214, 178, 130)
_HULL, _CRASHED = ((92, 84, 176), (128, 120, 212)), ((176, 58, 58), (216, 96, 88))  # rim, panel
_NEAR_LEG, _FAR_LEG = (230, 132, 70), (158, 88, 54)
_OUTLINE = (44, 38, 58)
_RAY = (214, 58, 58)
_WHITE, _BLACK = (255, 255, 255), (32, 32, 36)
_MARGIN = 14  # of the caption


class Renderer:
    """Draws frames, and shows them in a window in human mode.

    Args:
        human: Whether to show a window.
    """

    def __init__(self, human: bool) -> None:
        pygame.font.init()
        self._font = pygame.font.Font(None, 21)
        self._canvas = pygame.Surface((WIDTH * _OVERSAMPLING, HEIGHT * _OVERSAMPLING))
        reach = round(LIDAR_RANGE * _PIXELS) + 16
        self._veil = pygame.Surface((reach, reach), pygame.SRCALPHA)
        self._sky = _gradient(self._canvas.get_size(), _SKY_TOP, _SKY_LOW)
        self._left = self._bottom = 0.0  # world coordinates of the lower left corner
        self._window: pygame.Surface | None = None
        if human:
            pygame.display.init()
            pygame.display.set_caption("currgym: Stump Tracks")
            self._window = pygame.display.set_mode((WIDTH, HEIGHT))
            self._clock = pygame.time.Clock()

    def draw(
        self, simulation: Simulation, task: Mapping[str, Any], episode_return: float
    ) -> NDArray[np.uint8] | None:
        """Draw a frame: uint8 ``(400, 600, 3)``, or None where it goes to the window."""
        track = simulation.track
        end = track.ground[-1][0]
        self._left = min(max(simulation.x - _LEAD, 0.0), end - _VIEW)
        self._bottom = _height_at(track.ground, simulation.x) - _SOIL_DEPTH
        self._draw_background()
        self._draw_track(track)
        self._draw_finish(track)
        self._draw_rays(simulation)
        self._draw_walker(simulation)
        frame = pygame.transform.smoothscale(self._canvas, (WIDTH, HEIGHT))
        self._draw_caption(frame, task, episode_return, simulation.x / FINISH)
        if self._window is None:
            pixels = np.frombuffer(pygame.image.tobytes(frame, "RGB"), dtype=np.uint8)
            return pixels.reshape(HEIGHT, WIDTH, 3).copy()
        self._window.blit(frame, (0, 0))
        pygame.event.pump()
        self._clock.tick(_FPS)
        pygame.display.flip()
        return None

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            pygame.display.quit()
            self._window = None

    def _at(self, point: Point) -> Point:
        """Return the canvas position of a world point."""
        x, y = point
        return (x - self._left) * _PIXELS, HEIGHT * _OVERSAMPLING - (y - self._bottom) * _PIXELS

    def _polygon(self, corners: Iterable[Point], colour: _Colour, outline: int = 0) -> None:
        points = [self._at(corner) for corner in corners]
        pygame.draw.polygon(self._canvas, colour, points)
        if outline:
            pygame.draw.polygon(self._canvas, _OUTLINE, points, outline)

    def _disc(self, centre: Point, radius: float, colour: _Colour) -> None:
        pygame.draw.circle(self._canvas, colour, self._at(centre), radius * _PIXELS)

    def _draw_background(self) -> None:
        self._canvas.blit(self._sky, (0, 0))
        for number in range(8):
            # A fixed sky: whole clouds at places that look like chance, passing by slowly.
            x = 6.5 * number + 2.0 * math.sin(5.0 * number) - 0.25 * self._left
            y = 8.3 + 0.8 * math.sin(7.0 * number)
            for dx, dy, radius in ((-0.9, 0.0, 0.42), (0.0, 0.2, 0.62), (0.9, 0.05, 0.48)):
                centre = (x + dx) * _PIXELS, HEIGHT * _OVERSAMPLING - (y + dy) * _PIXELS
                pygame.draw.circle(self._canvas, _CLOUD, centre, radius * _PIXELS)
        self._draw_hills(_FAR_HILLS, base=4.5, height=0.8, length=5.0, speed=0.15)
        self._draw_hills(_NEAR_HILLS, base=3.4, height=0.5, length=3.0, speed=0.4)

    def _draw_hills(
        self, colour: _Colour, base: float, height: float, length: float, speed: float
    ) -> None:
        low = HEIGHT * _OVERSAMPLING
        points = [(0.0, float(low))]
        for column in range(0, WIDTH * _OVERSAMPLING + 12, 12):
            x = (column / _PIXELS + speed * self._left) / length
            y = base + height * (0.6 * math.sin(x) + 0.4 * math.sin(2.3 * x + 1.0))
            points.append((float(column), low - y * _PIXELS))
        points.append((float(WIDTH * _OVERSAMPLING), float(low)))
        pygame.draw.polygon(self._canvas, colour, points)

    def _draw_track(self, track: Track) -> None:
        left, right = self._left - 3.0, self._left + _VIEW + 3.0
        for corners in track.stumps:
            if left < corners[0][0] < right:
                self._draw_stump(corners)
        xs = [x for x, _ in track.ground]
        first, last = bisect_left(xs, left), bisect_right(xs, right)
        surface = track.ground[max(first - 1, 0) : last + 1]
        floor = self._bottom - 1.0
        for depth, colour in ((0.0, _SOIL), (1.1, _DEEP_SOIL)):
            edge = [(x, y - depth) for x, y in surface]
            self._polygon([(edge[0][0], floor), *edge, (edge[-1][0], floor)], colour)
        for depth, colour in ((0.18, _GRASS), (0.05, _BLADE)):
            lower = [(x, y - depth) for x, y in reversed(surface)]
            self._polygon([*surface, *lower], colour)

    def _draw_stump(self, corners: tuple[Point, Point, Point, Point]) -> None:
        near, far, far_top, near_top = corners
        height = math.dist(near, near_top)
        if near[1] == far[1]:  # upright: rooted, where rough ground falls away under it
            near, far = (near[0], near[1] - 0.5), (far[0], far[1] - 0.5)
            corners = near, far, far_top, near_top
        foot, top = _between(near, far, 0.62), _between(near_top, far_top, 0.62)
        self._polygon(corners, _STUMP)
        self._polygon((foot, far, far_top, top), _STUMP_SHADE)
        cap = min(0.1, height) / math.dist(near, near_top)
        self._polygon(
            (near_top, far_top, _between(far_top, far, cap), _between(near_top, near, cap)),
            _STUMP_TOP,
        )
        pygame.draw.polygon(self._canvas, _OUTLINE, [self._at(c) for c in corners], 2)

    def _draw_finish(self, track: Track) -> None:
        foot = _height_at(track.ground, FINISH)
        top, cell = foot + 3.0, 0.22
        self._polygon(
            ((FINISH, foot), (FINISH + 0.08, foot), (FINISH + 0.08, top), (FINISH, top)), _OUTLINE
        )
        for row in range(4):
            for column in range(6):
                x, y = FINISH + 0.08 + column * cell, top - row * cell
                square = ((x, y), (x + cell, y), (x + cell, y - cell), (x, y - cell))
                self._polygon(square, _WHITE if (row + column) % 2 else _BLACK)

    def _draw_rays(self, simulation: Simulation) -> None:
        x, y = self._at((simulation.x, simulation.y))
        corner = round(x) - 8, round(y) - 8
        veil = self._veil
        veil.fill((0, 0, 0, 0))
        start = x - corner[0], y - corner[1]
        for (dx, dy), fraction in zip(RAYS, simulation.fractions, strict=True):
            length = fraction * _PIXELS
            end = start[0] + length * dx, start[1] - length * dy
            pygame.draw.line(veil, (*_RAY, 80), start, end, 2)
            if fraction < 1.0:
                pygame.draw.circle(veil, (*_RAY, 200), end, 6)
        self._canvas.blit(veil, corner)

    def _draw_walker(self, simulation: Simulation) -> None:
        hull, *legs = simulation.outlines()
        # Parts of legs come in fours: upper and lower of the far leg, then of the near one.
        for first in range(0, len(legs), 4):
            self._draw_leg(legs[first], legs[first + 1], _FAR_LEG)
        self._draw_hull(simulation, hull)
        for first in range(0, len(legs), 4):
            self._draw_leg(legs[first + 2], legs[first + 3], _NEAR_LEG)

    def _draw_leg(self, upper: list[Point], lower: list[Point], colour: _Colour) -> None:
        self._polygon(lower, colour, outline=2)
        self._polygon(upper, colour, outline=2)
        # A box's corners start at its foot; hip and knee are the middles of its short sides.
        for centre in (_between(upper[2], upper[3], 0.5), _between(upper[0], upper[1], 0.5)):
            self._disc(centre, 0.08, _OUTLINE)

    def _draw_hull(self, simulation: Simulation, outline: list[Point]) -> None:
        rim, panel = _CRASHED if simulation.crashed else _HULL
        self._polygon(outline, rim)
        middle = (simulation.x, simulation.y)
        self._polygon([_between(corner, middle, 0.25) for corner in outline], panel)
        pygame.draw.polygon(self._canvas, _OUTLINE, [self._at(c) for c in outline], 3)
        cos, sin = math.cos(simulation.angle), math.sin(simulation.angle)
        x, y = 0.62, 0.02
        eye = simulation.x + cos * x - sin * y, simulation.y + sin * x + cos * y
        self._disc(eye, 0.13, _WHITE)
        self._disc((eye[0] + 0.045, eye[1] - 0.015), 0.065, _BLACK)

    def _draw_caption(
        self, frame: pygame.Surface, task: Mapping[str, Any], episode_return: float, way: float
    ) -> None:
        lines: list[str] = []
        for name, value in task.items():
            entry = f"{name} {value:.2f}"
            longer = f"{lines[-1]}   {entry}" if lines else entry
            if lines and self._font.size(longer)[0] <= WIDTH - 2 * _MARGIN:
                lines[-1] = longer
            else:
                lines.append(entry)
        for row, line in enumerate(reversed(lines)):
            frame.blit(self._font.render(line, True, _WHITE), (_MARGIN, HEIGHT - 54 - 20 * row))
        label = self._font.render(f"return {episode_return:.0f}", True, _WHITE)
        frame.blit(label, (WIDTH - _MARGIN - label.get_width(), HEIGHT - 28))
        bar = pygame.Rect(_MARGIN, HEIGHT - 24, WIDTH - 2 * _MARGIN - 100, 6)
        pygame.draw.rect(frame, _OUTLINE, bar, border_radius=3)
        bar.width = round(bar.width * min(max(way, 0.0), 1.0))
        pygame.draw.rect(frame, _BLADE, bar, border_radius=3)


def _gradient(size: tuple[int, int], top: _Colour, low: _Colour) -> pygame.Surface:
    """Return a surface that fades from one colour to another."""
    column = pygame.Surface((1, 2))
    column.set_at((0, 0), top)
    column.set_at((0, 1), low)
    return pygame.transform.smoothscale(column, size)


def _between(start: Point, end: Point, share: float) -> Point:
    """Return the point that share of the way from start to end."""
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def _height_at(ground: list[Point], x: float) -> float:
    """Return the ground's height, as at its ends outside of it."""
    xs, ys = zip(*ground, strict=True)
    return float(np.interp(x, xs, ys))
