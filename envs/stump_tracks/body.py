"""The walkers, as data. Building them in a world is :mod:`currgym.envs.stump_tracks.simulation`'s.

Lengths of ``hull``, ``leg_width`` and ``leg_length`` are in pixels of the original window, 30 to a
world unit, because the numbers are whole that way.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BODIES", "Body"]


@dataclass(frozen=True)
class Body:
    """One walker.

    Attributes:
        hull: Corners about the hull's origin, pixels.
        leg_width: Of the upper leg, pixels; the lower leg is 0.8 times as wide.
        leg_length: Of each of a leg's two parts, pixels.
        leg_pairs: ``(anchor, start)`` of each pair of legs, world units along the hull: where the
            hip holds them, and where they are placed at the start. The two differ for the
            quadruped, as in the reference code; the joints pull the legs in within a few steps.
        torque: Largest torque of each motor.
        torque_penalty: Share of the torque that each step's reward pays.
    """

    hull: tuple[tuple[int, int], ...]
    leg_width: int
    leg_length: int
    leg_pairs: tuple[tuple[float, float], ...]
    torque: float
    torque_penalty: float

    @property
    def num_motors(self) -> int:
        """Hip and knee of two legs a pair."""
        return 4 * len(self.leg_pairs)

    @property
    def motor_cost(self) -> float:
        """What a motor at full torque takes off the reward of a step."""
        return self.torque_penalty * self.torque


_SMALL_HULL = ((-30, 9), (6, 9), (34, 1), (34, -8), (-30, -8))
_LARGE_HULL = ((-46, 13), (6, 13), (50, 5), (50, -12), (-46, -12))
_FOUR_LEGS = ((-1.2, -1.6), (0.85, 1.36))

BODIES: dict[str, Body] = {
    "short": Body(_SMALL_HULL, 8, 17, ((0.0, 0.0),), 80.0, 0.00035),
    "default": Body(_SMALL_HULL, 8, 34, ((0.0, 0.0),), 80.0, 0.00035),
    "quadru": Body(_LARGE_HULL, 10, 51, _FOUR_LEGS, 300.0, 0.00035 / 8),
    # The paper's runs meant 300 as well, but a local variable in their code left it at 80.
    "quadru-80": Body(_LARGE_HULL, 10, 51, _FOUR_LEGS, 80.0, 0.00035 / 8),
}
