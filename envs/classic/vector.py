"""Array forms of CartPole, Pendulum and MountainCarContinuous.

Each takes Gymnasium's operations in Gymnasium's order, because the results must agree with the
single environment in the last bit. Three things on the way there are not obvious. ``x ** 2`` of a
NumPy scalar goes through the C library's ``pow``, which is not always ``x * x``. ``numpy.sin`` of
an array runs the same loop as of a scalar, but ``math.cos`` is another function. And a ``float32``
action or state pulls what it meets down to ``float32`` (in NumPy 2; in NumPy 1 it does not), so
such products are taken in the type that the scalars would take.
"""

from __future__ import annotations

import math
from itertools import repeat
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from currgym.envs.classic.cartpole import CartPole
from currgym.envs.classic.mountain_car import MountainCarContinuous
from currgym.envs.classic.pendulum import Pendulum
from currgym.envs.physics_base import PhysicsEnv
from currgym.envs.vector_base import BoolArray, FloatArray, NativeTaskVectorEnv

__all__ = ["CartPoleVector", "MountainCarContinuousVector", "PendulumVector"]

MIXED: np.dtype[Any] = np.asarray(np.float32(1.0) * 1.0).dtype
"""Type of a float32 scalar times a Python float: float32, or float64 before NumPy 2."""

TWO = repeat(2.0)


class _ClassicVector(NativeTaskVectorEnv):
    """Keeps a state array ``(k, num_envs)`` and an array ``(num_envs,)`` of each constant.

    Args:
        num_envs: Number of sub-environments.
        **kwargs: As in :class:`currgym.envs.vector_base.NativeTaskVectorEnv`.
    """

    _single: PhysicsEnv
    state_size: ClassVar[int] = 2
    num_constants: ClassVar[int] = 5

    def __init__(self, num_envs: int = 1, **kwargs: Any) -> None:
        super().__init__(num_envs, **kwargs)
        self._state: NDArray[Any] = np.zeros((self.state_size, num_envs))
        self._constants = tuple(np.ones(num_envs) for _ in range(self.num_constants))

    def _set_constants(self, i: int, *values: float) -> None:
        for constant, value in zip(self._constants, values, strict=True):
            constant[i] = value

    def _states(self) -> FloatArray:
        return self._state.T

    def _place(self, values: dict[str, float], state: FloatArray) -> None:
        self._single.place(values, state)

    def _column(self, actions: NDArray[Any]) -> NDArray[np.float32]:
        """Return one continuous action each."""
        if actions.shape != (self.num_envs, 1):
            raise ValueError(f"actions must have shape ({self.num_envs}, 1), got {actions.shape}")
        return actions[:, 0].astype(np.float32)


class CartPoleVector(_ClassicVector):
    """Array form of :class:`currgym.envs.classic.CartPole`.

    Args:
        num_envs: Number of sub-environments.
        **kwargs: As in :class:`currgym.envs.vector_base.NativeTaskVectorEnv`.
    """

    single_class = CartPole
    state_size = 4
    num_constants = 7

    def __init__(self, num_envs: int = 1, **kwargs: Any) -> None:
        super().__init__(num_envs, **kwargs)
        physics = self._single.physics
        self._thresholds = np.array([[physics.x_threshold], [physics.theta_threshold_radians]])
        self._rewards = np.ones(num_envs)

    def _begin(self, i: int, values: dict[str, float], rng: np.random.Generator) -> None:
        cart, pole, length = values["cart_mass"], values["pole_mass"], values["half_length"]
        self._set_constants(
            i, values["force"], values["gravity"], pole, length, pole + cart, pole * length,
            values["time_step"],
        )  # fmt: skip
        spread = values["start_spread"]
        self._state[:, i] = rng.uniform(low=-spread, high=spread, size=(4,))

    def _advance(self, actions: NDArray[Any]) -> tuple[FloatArray, BoolArray]:
        fits = actions.shape == (self.num_envs,) and actions.dtype.kind in "iu"
        # The bits of all actions together: 0 or 1 only where each is.
        if not fits or np.bitwise_or.reduce(actions) not in (0, 1):
            raise ValueError(f"actions must be {self.num_envs} integers 0 or 1, got {actions!r}")
        push, gravity, pole, length, total_mass, polemass_length, tau = self._constants
        _, x_dot, theta, theta_dot = self._state
        force = np.where(actions, push, -push)
        cos, sin = np.cos(theta), np.sin(theta)
        temp = (force + polemass_length * np.square(theta_dot) * sin) / total_mass
        theta_acc = (gravity * sin - cos * temp) / (
            length * (4.0 / 3.0 - pole * np.square(cos) / total_mass)
        )
        rates = np.empty_like(self._state)
        rates[0] = x_dot
        rates[1] = temp - polemass_length * theta_acc * cos / total_mass
        rates[2] = theta_dot
        rates[3] = theta_acc
        rates *= tau
        self._state += rates
        over = np.abs(self._state[::2]) > self._thresholds
        return self._rewards.copy(), over[0] | over[1]

    def _observe(self) -> NDArray[np.float32]:
        return self._state.T.astype(np.float32, order="C")


class PendulumVector(_ClassicVector):
    """Array form of :class:`currgym.envs.classic.Pendulum`.

    Args:
        num_envs: Number of sub-environments.
        **kwargs: As in :class:`currgym.envs.vector_base.NativeTaskVectorEnv`.
    """

    single_class = Pendulum

    def _begin(self, i: int, values: dict[str, float], rng: np.random.Generator) -> None:
        g, m, length = values["gravity"], values["mass"], values["length"]
        self._set_constants(
            i, 3 * g / (2 * length), 3.0 / (m * length**2), values["max_torque"],
            values["max_speed"], values["time_step"],
        )  # fmt: skip
        high = np.array([values["angle_spread"], values["speed_spread"]])
        self._state[:, i] = rng.uniform(low=-high, high=high)

    def _advance(self, actions: NDArray[Any]) -> tuple[FloatArray, BoolArray]:
        torque = self._column(actions)
        pull, gain, max_torque, max_speed, dt = self._constants
        theta, speed = self._state
        bound = max_torque.astype(np.float32)
        torque = np.minimum(np.maximum(torque, -bound), bound)
        angle = ((theta + np.pi) % (2 * np.pi)) - np.pi
        # Element by element, where an array would not take pow or not the scalars' precision.
        costs = np.array(list(map(math.pow, angle.tolist(), TWO)))
        costs += 0.1 * np.array(list(map(math.pow, speed.tolist(), TWO)))
        costs += [0.001 * (u**2) for u in torque]
        speed = speed + (pull * np.sin(theta) + gain.astype(MIXED) * torque) * dt
        speed = np.minimum(np.maximum(speed, -max_speed), max_speed)
        self._state[0] += speed * dt
        self._state[1] = speed
        return -costs, np.zeros(self.num_envs, dtype=np.bool_)

    def _observe(self) -> NDArray[np.float32]:
        theta, speed = self._state
        observation = np.empty((self.num_envs, 3), dtype=np.float32)
        observation[:, 0] = np.cos(theta)
        observation[:, 1] = np.sin(theta)
        observation[:, 2] = speed
        return observation


class MountainCarContinuousVector(_ClassicVector):
    """Array form of :class:`currgym.envs.classic.MountainCarContinuous`.

    Gymnasium's state is float64 after a reset and float32 after a step, and so is the arithmetic:
    an episode's first step is computed in float64, the others in float32.

    Args:
        num_envs: Number of sub-environments.
        **kwargs: As in :class:`currgym.envs.vector_base.NativeTaskVectorEnv`.
    """

    single_class = MountainCarContinuous

    def __init__(self, num_envs: int = 1, **kwargs: Any) -> None:
        super().__init__(num_envs, **kwargs)
        self._limits = self._single.physics.min_position, self._single.physics.max_position
        self._state = np.zeros((2, num_envs), dtype=MIXED)
        self._start = np.zeros((2, num_envs))
        self._fresh = np.zeros(num_envs, dtype=np.bool_)
        self._any_fresh = False
        self._narrow: tuple[NDArray[Any], ...] = ()

    def _begin(self, i: int, values: dict[str, float], rng: np.random.Generator) -> None:
        self._set_constants(
            i, values["gravity"], values["power"], values["goal_position"], values["goal_velocity"],
            values["max_speed"],
        )  # fmt: skip
        middle, spread = values["start_position"], values["start_spread"]
        self._start[0, i] = rng.uniform(low=middle - spread, high=middle + spread)
        limit = values["max_speed"]
        self._start[1, i] = min(max(values["start_velocity"], -limit), limit)
        self._state[:, i] = self._start[:, i]
        self._fresh[i] = self._any_fresh = True

    def _advance(self, actions: NDArray[Any]) -> tuple[FloatArray, BoolArray]:
        action = self._column(actions)
        inside = np.abs(action) <= 1.0
        angle = 3 * self._state[0]
        if self._any_fresh:
            self._narrow = tuple(c.astype(MIXED) for c in self._constants)
            angle = np.where(self._fresh, 3 * self._start[0], angle)
        weight = self._constants[0] * np.array(list(map(math.cos, angle.tolist())))
        moved, reached = self._move(self._state, action, inside, weight, self._narrow)
        if self._any_fresh:
            exact, reached_exactly = self._move(
                self._start, action, inside, weight, self._constants
            )
            moved = np.where(self._fresh, exact, moved)
            reached = np.where(self._fresh, reached_exactly, reached)
            self._fresh = np.zeros(self.num_envs, dtype=np.bool_)
            self._any_fresh = False
        self._state = moved.astype(np.float32, copy=False).astype(MIXED, copy=False)
        costs = 0.1 * np.array(list(map(math.pow, action.tolist(), TWO)))
        rewards = 0.0 - costs
        if np.count_nonzero(reached):
            rewards[reached] = 100.0 - costs[reached]
        return rewards, reached

    def _move(
        self,
        state: NDArray[Any],
        action: NDArray[np.float32],
        inside: BoolArray,
        weight: FloatArray,
        constants: tuple[NDArray[Any], ...],
    ) -> tuple[NDArray[Any], BoolArray]:
        """Return the new states and the arrivals, computed in the precision of ``state``."""
        _, _, goal_position, goal_velocity, max_speed = constants
        slope = action * self._narrow[1] - weight.astype(MIXED)
        if np.count_nonzero(inside) < self.num_envs:
            # The clipped action is a Python number, with which the scalars keep full precision.
            slope = np.where(inside, slope, np.sign(action) * self._constants[1] - weight)
        position, velocity = moved = np.empty_like(state)
        np.add(state[1], slope.astype(state.dtype, copy=False), out=velocity)
        np.minimum(np.maximum(velocity, -max_speed, out=velocity), max_speed, out=velocity)
        np.add(state[0], velocity, out=position)
        low, high = self._limits
        np.minimum(np.maximum(position, low, out=position), high, out=position)
        at_wall = position == state.dtype.type(low)
        if np.count_nonzero(at_wall):
            velocity[at_wall & (velocity < 0)] = 0.0
        return moved, (position >= goal_position) & (velocity >= goal_velocity)

    def _observe(self) -> NDArray[np.float32]:
        return self._state.T.astype(np.float32, order="C")

    def _states_as_starts(self) -> NDArray[Any]:
        return self._state.T
