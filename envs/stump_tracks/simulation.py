"""One episode's physics: a Box2D world with a track and a walker in it.

A world is built anew for every episode and nothing of the last one is kept. Bodies, fixtures and
joints are always made in the same order: Box2D solves contacts in an order that depends on it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from gymnasium.error import DependencyNotInstalled

from currgym.envs.stump_tracks.body import Body
from currgym.envs.stump_tracks.lidar import RAYS, ProfileLidar
from currgym.envs.stump_tracks.terrain import GROUND_HEIGHT, SCALE, STEP, Point, Track

try:
    with warnings.catch_warnings():
        # Its import warns about its own binding, which crashes the interpreter under -W error.
        warnings.simplefilter("ignore", DeprecationWarning)
        import Box2D
except ImportError as missing:
    raise DependencyNotInstalled(
        "currgym/StumpTracks-v0 needs the box2d package (pip install box2d), which has no build "
        "for Python 3.14: use currgym/StumpTracks-v1 where available, or Python 3.10-3.13"
    ) from missing

__all__ = ["FPS", "Blueprint", "Simulation"]

FPS = 50
_DT = 1.0 / FPS
_VELOCITY_ITERATIONS = 180
_POSITION_ITERATIONS = 60

_START_X = 10 * STEP
_LEG_DOWN = -8 / SCALE  # height of the hips on the hull
_HIP_SPEED, _KNEE_SPEED = 4.0, 6.0
_HIP_LIMITS, _KNEE_LIMITS = (-0.8, 1.1), (-1.6, -0.1)
_LEG_ANGLE = 0.05  # one leg of a pair starts turned by this, the other against it
_GROUND_BITS, _WALKER_BITS = 0x0001, 0x0020  # parts of a walker pass through each other
_FRICTION, _HULL_FRICTION = 2.5, 0.1
_HULL_DENSITY, _LEG_DENSITY = 5.0, 1.0

# Observed speeds are scaled to about 1; 600 x 400 pixels were the original window.
_ANGULAR_SCALE = 2.0 / FPS
_X_SPEED_SCALE = 0.3 * (600 / SCALE) / FPS
_Y_SPEED_SCALE = 0.3 * (400 / SCALE) / FPS

_HULL, _FIRST_FOOT = 1, 2  # user data of fixtures; upper legs and the track have none


class _Contacts(Box2D.b2ContactListener):  # type: ignore[misc]
    """What touches the ground: a flag goes up with a touch and down with a parting.

    A foot on two edges that leaves one of them counts as parted, as in the original environment.
    Box2D calls all four methods from inside its step, so the two that are not needed are spelled
    out empty: the inherited ones cost more.
    """

    def __init__(self, num_feet: int) -> None:
        super().__init__()
        self.hull = False
        self.feet = [0.0] * num_feet

    def BeginContact(self, contact: Box2D.b2Contact) -> None:
        part = contact.fixtureA.userData or contact.fixtureB.userData
        if part == _HULL:
            self.hull = True
        elif part:
            self.feet[part - _FIRST_FOOT] = 1.0

    def EndContact(self, contact: Box2D.b2Contact) -> None:
        part = contact.fixtureA.userData or contact.fixtureB.userData
        if part and part != _HULL:
            self.feet[part - _FIRST_FOOT] = 0.0

    def PreSolve(self, contact: Box2D.b2Contact, manifold: Box2D.b2Manifold) -> None:
        pass

    def PostSolve(self, contact: Box2D.b2Contact, impulse: Box2D.b2ContactImpulse) -> None:
        pass


class _NearestHit(Box2D.b2RayCastCallback):  # type: ignore[misc]
    """Keeps the nearest ground fixture that a ray meets."""

    def __init__(self) -> None:
        super().__init__()
        self.fraction = 1.0

    def ReportFixture(
        self, fixture: Box2D.b2Fixture, point: Box2D.b2Vec2, normal: Box2D.b2Vec2, fraction: float
    ) -> float:
        if not fixture.filterData.categoryBits & _GROUND_BITS:
            return -1.0  # as if it were not there
        self.fraction = fraction
        return fraction  # go on, with the ray cut here


class Blueprint:
    """Fixture definitions of one walker and of its tracks, for any number of worlds.

    Definitions are kept because the ``box2d`` package never frees a definition's shape: made for
    every world, they would leak a kilobyte an episode.

    Args:
        body: The walker.
    """

    def __init__(self, body: Body) -> None:
        self.body = body
        width, length = body.leg_width / SCALE, body.leg_length / SCALE
        hull_corners = [(x / SCALE, y / SCALE) for x, y in body.hull]
        self.hull = _part(
            Box2D.b2PolygonShape(vertices=hull_corners),
            density=_HULL_DENSITY,
            friction=_HULL_FRICTION,
            userData=_HULL,
        )
        upper_box = Box2D.b2PolygonShape(box=(width / 2, length / 2))
        lower_box = Box2D.b2PolygonShape(box=(0.8 * width / 2, length / 2))
        self.upper = _part(upper_box, density=_LEG_DENSITY)
        self.lowers = [
            _part(lower_box, density=_LEG_DENSITY, userData=_FIRST_FOOT + foot)
            for foot in range(2 * len(body.leg_pairs))
        ]
        # These two are reshaped for every stump and edge; Box2D copies the shape each time.
        stump_box = Box2D.b2PolygonShape(box=(1, 1))
        self.stump = Box2D.b2FixtureDef(shape=stump_box, friction=_FRICTION)
        edge_line = Box2D.b2EdgeShape(vertices=[(0, 0), (1, 0)])
        self.edge = Box2D.b2FixtureDef(shape=edge_line, friction=_FRICTION)


class Simulation:
    """A walker on a track.

    Args:
        blueprint: Of the walker.
        track: The track it stands on.
        push: Horizontal force on the hull during the first step.

    Attributes:
        x: Of the hull's origin, world units.
        y: Of the hull's origin.
        angle: Of the hull, rad.
        fractions: Last lidar measurement.
        parts: The walker's Box2D bodies, hull first, then upper and lower leg in turn.
    """

    def __init__(self, blueprint: Blueprint, track: Track, push: float) -> None:
        body = blueprint.body
        self.track = track
        self._world = Box2D.b2World()
        self._lidar = ProfileLidar(track.profile) if track.profile else None
        self._build_track(blueprint, track)
        self._build_walker(blueprint, push)
        self._contacts = _Contacts(2 * len(body.leg_pairs))
        self._world.contactListener = self._contacts
        self._torque = body.torque
        self.x, self.y, self.angle = _START_X, 0.0, 0.0
        self.fractions: list[float] = []

    @property
    def crashed(self) -> bool:
        """Whether the hull has touched the ground."""
        return self._contacts.hull

    def advance(self, actions: Sequence[float]) -> list[float]:
        """Run the motors for one step and return the observation.

        Args:
            actions: One a motor: its sign is the direction, its size the share of the torque.
        """
        torque = self._torque
        for (joint, speed), action in zip(self._motors, actions, strict=True):
            # Both are set at every step, also where nothing changes: it keeps the walker awake.
            if action > 0.0:
                joint.motorSpeed = speed
                joint.maxMotorTorque = torque * action if action < 1.0 else torque
            elif action < 0.0:
                joint.motorSpeed = -speed
                joint.maxMotorTorque = -torque * action if action > -1.0 else torque
            else:
                joint.motorSpeed = 0.0
                joint.maxMotorTorque = 0.0
        self._world.Step(_DT, _VELOCITY_ITERATIONS, _POSITION_ITERATIONS)
        return self._observe()

    def rays(self, x: float, y: float) -> list[float]:
        """Return the lidar fractions from a point by Box2D's own ray casts."""
        fractions = []
        for dx, dy in RAYS:
            hit = _NearestHit()
            self._world.RayCast(hit, (x, y), (x + dx, y + dy))
            fractions.append(hit.fraction)
        return fractions

    def outlines(self) -> list[list[Point]]:
        """Return the corners of the walker's parts in the world, in the order of ``parts``."""
        return [
            [tuple(part.transform * corner) for corner in part.fixtures[0].shape.vertices]
            for part in self.parts
        ]

    def _observe(self) -> list[float]:
        hull = self.parts[0]
        self.x, self.y = x, y = hull.position
        vx, vy = hull.linearVelocity
        self.angle = angle = hull.angle
        observation = [
            angle,
            _ANGULAR_SCALE * hull.angularVelocity,
            _X_SPEED_SCALE * vx,
            _Y_SPEED_SCALE * vy,
        ]
        for (hip, knee), touching in zip(self._legs, self._contacts.feet, strict=True):
            observation += (
                hip.angle,
                hip.speed / _HIP_SPEED,
                knee.angle + 1.0,
                knee.speed / _KNEE_SPEED,
                touching,
            )
        fractions = self._lidar.sense(x, y) if self._lidar else None
        self.fractions = fractions or self.rays(x, y)
        observation += self.fractions
        return observation

    def _build_track(self, blueprint: Blueprint, track: Track) -> None:
        # All of it is one body: the world walks the list of its bodies several times a step.
        ground = self._world.CreateStaticBody()
        polygon = blueprint.stump.shape
        for corners in track.stumps:
            polygon.vertices = corners
            ground.CreateFixture(blueprint.stump)
        line = blueprint.edge.shape
        for ends in zip(track.ground[:-1], track.ground[1:], strict=True):
            line.vertices = ends
            ground.CreateFixture(blueprint.edge)

    def _build_walker(self, blueprint: Blueprint, push: float) -> None:
        length = blueprint.body.leg_length / SCALE
        height = GROUND_HEIGHT + 2 * length
        hull = self._world.CreateDynamicBody(position=(_START_X, height), fixtures=blueprint.hull)
        hull.ApplyForceToCenter((push, 0.0), True)
        self.parts = [hull]
        self._legs: list[tuple[Box2D.b2RevoluteJoint, Box2D.b2RevoluteJoint]] = []
        lowers = iter(blueprint.lowers)
        for anchor, start in blueprint.body.leg_pairs:
            for side in (-1, 1):
                upper = self._world.CreateDynamicBody(
                    position=(_START_X + start, height - length / 2 - _LEG_DOWN),
                    angle=side * _LEG_ANGLE,
                    fixtures=blueprint.upper,
                )
                hip = self._join(hull, upper, (anchor, _LEG_DOWN), length, _HIP_LIMITS)
                lower = self._world.CreateDynamicBody(
                    position=(_START_X + start, height - 3 * length / 2 - _LEG_DOWN),
                    angle=side * _LEG_ANGLE,
                    fixtures=next(lowers),
                )
                knee = self._join(upper, lower, (0.0, -length / 2), length, _KNEE_LIMITS)
                self.parts += (upper, lower)
                self._legs.append((hip, knee))
        self._motors = [
            motor for hip, knee in self._legs for motor in ((hip, _HIP_SPEED), (knee, _KNEE_SPEED))
        ]

    def _join(
        self,
        above: Box2D.b2Body,
        below: Box2D.b2Body,
        anchor: Point,
        length: float,
        limits: tuple[float, float],
    ) -> Box2D.b2RevoluteJoint:
        """Hang the top of one leg part on an anchor of the part above it."""
        return self._world.CreateJoint(
            Box2D.b2RevoluteJointDef(
                bodyA=above,
                bodyB=below,
                localAnchorA=anchor,
                localAnchorB=(0.0, length / 2),
                enableMotor=True,
                enableLimit=True,
                lowerAngle=limits[0],
                upperAngle=limits[1],
            )
        )


def _part(shape: Box2D.b2PolygonShape, **settings: float) -> Box2D.b2FixtureDef:
    """Return a fixture of the walker: it meets the ground only."""
    return Box2D.b2FixtureDef(
        shape=shape, categoryBits=_WALKER_BITS, maskBits=_GROUND_BITS, **settings
    )
