"""Waves to fit: examples generated from a task in a box, so that difficulty has two axes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.supervised.base import Examples, Family, HeldOut, register_family
from currgym.tasks import BoxTasks

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Regression"]

FloatArray = NDArray[np.float64]
# Episode seeds of a curriculum lie below 2**31, so nothing trained on is ever tested on.
TEST_SEED = 2**31
VALIDATION_SEED = 2**32
VALIDATION_TASKS = 50
SEEDS_PER_TASK = 3
GRID = (10, 5)


@register_family("data/regression")
class Regression(Family):
    """Fit y = sin(2 pi f x) + noise for every frequency f at once, from (x, f) to y.

    A task is (*frequency*, *noise*): its examples are ``points`` pairs, generated from the
    episode's seed, one x uniform in each of as many equal parts of [-1, 1], with a normal error of
    standard deviation *noise*. The network sees x and the frequency, scaled to [-1, 1], and not the
    noise. High frequencies are learnt last (networks fit smooth functions first), and noise adds
    its variance to every loss: declared difficulty is frequency + noise.

    The loss of a task is the mean squared error over its points. Teachers see 0 for predicting zero
    everywhere on the noisiest task, 1 for no error. Its length is ``points`` samples. The *test*
    set is a grid of 10 frequencies by 5 noise levels with 3 fresh seeds each, *validation* 50 other
    tasks drawn once.

    Args:
        frequency: Range of the frequency, periods a unit of x; equal ends fix it.
        noise: Range of the noise's standard deviation; equal ends fix it.
        points: Pairs in one attempt at a task.
        mastery_loss: Loss below which a task counts as mastered (predicting zero gives about 0.5).

    >>> family = Regression()
    >>> inputs, targets = family.batch([[0.5, 0.0], [3.0, 0.3]], [1, 2])
    >>> inputs.shape, targets.shape
    (torch.Size([2, 8, 2]), torch.Size([2, 8]))
    """

    input_dim = 2
    output_dim = 1

    def __init__(
        self,
        *,
        frequency: tuple[float, float] = (0.5, 3.0),
        noise: tuple[float, float] = (0.0, 0.3),
        points: int = 8,
        mastery_loss: float = 0.15,
    ) -> None:
        if len(frequency) != 2 or len(noise) != 2:
            raise ValueError(f"ranges must be (low, high), got {frequency} and {noise}")
        if not min(frequency) > 0.0:
            raise ValueError(f"frequency must be above 0, got {frequency}")
        if not min(noise) >= 0.0:
            raise ValueError(f"noise must be at least 0, got {noise}")
        if points < 1:
            raise ValueError(f"points must be at least 1, got {points}")
        if not mastery_loss > 0.0:
            raise ValueError(f"mastery_loss must be above 0, got {mastery_loss}")
        self.frequency = frequency
        self.noise = noise
        self.points = points
        self.mastery_loss = mastery_loss
        self.samples_per_task = points
        self.mastery = -mastery_loss
        self.return_range = (-(0.5 + noise[1] ** 2), 0.0)
        names = ["frequency", "noise"]
        low, high = zip(frequency, noise, strict=True)
        self.task_space: BoxTasks = BoxTasks(low, high, names, difficulty=dict.fromkeys(names, 1.0))
        live = [g for g, (a, b) in zip(GRID, (frequency, noise), strict=True) if a < b]
        others = self.task_space.sample(VALIDATION_TASKS, np.random.default_rng(VALIDATION_SEED))
        self.test_sets = {
            "test": self._held_out("test", self.task_space.grid(live), TEST_SEED),
            "validation": self._held_out("validation", others, VALIDATION_SEED),
        }

    def _held_out(self, name: str, tasks: FloatArray, first_seed: int) -> HeldOut:
        index = np.repeat(np.arange(len(tasks)), SEEDS_PER_TASK)
        seeds = first_seed + np.arange(len(index))
        return HeldOut(name, tasks, index, seeds, lambda: self.batch(tasks[index], seeds))

    def batch(self, tasks: ArrayLike, seeds: ArrayLike) -> Examples:
        """Return the points of each task, a function of its (task, seed) alone."""
        import torch

        rows = self.task_space.check(tasks)
        numbers = _uniforms(np.atleast_1d(np.asarray(seeds, dtype=np.int64)), 3 * self.points)
        first, second, third = np.split(numbers, 3, axis=1)
        frequency, noise = rows[:, :1], rows[:, 1:]
        x = (np.arange(self.points) + first) * (2.0 / self.points) - 1.0
        error = np.sqrt(-2.0 * np.log(second)) * np.cos(2.0 * np.pi * third)  # Box and Muller
        y = np.sin(2.0 * np.pi * frequency * x) + noise * error
        low, high = self.frequency
        scaled = (2.0 * frequency - low - high) / (high - low) if low < high else 0.0 * frequency
        inputs = np.stack([x, np.broadcast_to(scaled, x.shape)], axis=2)
        return Examples(
            torch.from_numpy(inputs.astype(np.float32)), torch.from_numpy(y.astype(np.float32))
        )

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean squared error of each task over its points."""
        return (outputs.squeeze(2) - targets).square().mean(dim=1)

    def successes(self, outputs: Tensor, targets: Tensor) -> FloatArray:
        """Return 1 where the loss is below ``mastery_loss``."""
        low: NDArray[np.bool_] = (self.losses(outputs, targets) < self.mastery_loss).numpy()
        return low.astype(np.float64)


def _uniforms(seeds: NDArray[np.int64], count: int) -> FloatArray:
    """Return ``count`` numbers in (0, 1) for each seed: SplitMix64, all rows at once.

    A generator object for every example would cost more than the student's update.
    """
    state = _mix(seeds.astype(np.uint64))[:, None]
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    whole = (_mix(state + steps) >> np.uint64(12)).astype(np.float64)
    return (whole + 0.5) * math.ldexp(1.0, -52)


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
