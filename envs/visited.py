"""States that running episodes have visited, of which each tells one, to start a later one from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Visited"]

FloatArray = NDArray[np.float64]
FIRST_STEPS = 64


class Visited:
    """The states of running episodes.

    Each episode tells one of its states so far, each as likely as any other: when it begins, ``u``
    is drawn uniformly in [0, 1), and after ``t`` steps it tells the state after step
    ``floor(u t) + 1``. So the state that it tells at its end is uniform over its states.

    Args:
        num_envs: Episodes that run at once.
        size: Numbers in a state.
    """

    def __init__(self, num_envs: int, size: int) -> None:
        self._rows = np.arange(num_envs)
        self._when = np.zeros(num_envs)
        self._states = np.zeros((num_envs, FIRST_STEPS, size))

    def begin(self, i: int, rng: np.random.Generator) -> None:
        """Draw which of its states the next episode of a row tells.

        Args:
            i: The row.
            rng: Of the environment. A copy of it is drawn from, so that its stream goes on as if
                nobody had asked.
        """
        bits: Any = type(rng.bit_generator)(0)
        bits.state = rng.bit_generator.state
        self._when[i] = np.random.Generator(bits).random()

    def tell(self, states: NDArray[np.floating], steps: NDArray[np.int64]) -> FloatArray:
        """Note where the episodes are, and return what each tells, ``(num_envs, size)``.

        Args:
            states: After the last step, ``(num_envs, size)``.
            steps: Steps that each episode has taken, ``(num_envs,)``; one of 0 has only begun and
                tells zeros.
        """
        last = np.maximum(steps, 1) - 1
        length = self._states.shape[1]
        if last.max() >= length:
            self._states = np.concatenate([self._states, np.zeros_like(self._states)], axis=1)
        self._states[self._rows, last] = states
        # The product may round up to the number of steps.
        told = np.minimum((self._when * steps).astype(np.int64), last)
        return np.where(steps[:, None] > 0, self._states[self._rows, told], 0.0)
