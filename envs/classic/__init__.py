"""Gymnasium's classic control environments with their physical constants as the task."""

from __future__ import annotations

from currgym.envs.classic.acrobot import Acrobot
from currgym.envs.classic.cartpole import CartPole
from currgym.envs.classic.mountain_car import MountainCarContinuous
from currgym.envs.classic.pendulum import Pendulum

__all__ = ["Acrobot", "CartPole", "MountainCarContinuous", "Pendulum"]
