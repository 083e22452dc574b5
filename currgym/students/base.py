"""What a run asks of a student that learns in environments, whoever it consists of."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from currgym.curriculum import Curriculum, Ledger

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

    from currgym.sb3 import CurriculumVecEnv
    from currgym.students.meter import OptimizerMeter
    from currgym.students.rl import Policy

__all__ = ["Environments", "RLStudent", "SafePoint"]

Environments = Callable[[], "VectorEnv[Any, Any, Any]"]
"""Makes a vector environment; a student calls it once for each of its learners."""
SafePoint = Callable[[], None]
"""What a student calls where its whole state is in plain sight."""


class RLStudent(Protocol):
    """A student with environments of its own, whose tasks one curriculum hands out."""

    exact: bool
    """Whether an interrupted run goes on bit for bit."""
    meter: OptimizerMeter
    """Of the optimiser of the learner that counts."""

    @classmethod
    def parameters(cls, name: str, given: Mapping[str, Any]) -> dict[str, inspect.Parameter]:
        """Return the hyperparameters of a registered student.

        Args:
            name: Of the student.
            given: What is chosen already: it may decide what else there is to choose.
        """

    @classmethod
    def on(
        cls,
        name: str,
        environments: Environments,
        curriculum: Curriculum,
        *,
        seed: int,
        **parameters: Any,
    ) -> RLStudent:
        """Build it with environments that keep their actions, so that it can be saved at any time.

        Args:
            name: As it is registered.
            environments: Makes as many as it needs.
            curriculum: Hands out all tasks.
            seed: Of networks and exploration.
            **parameters: Its hyperparameters.
        """

    @property
    def venvs(self) -> Mapping[str, CurriculumVecEnv]:
        """Its environments, by the role of who learns there (``""`` for the only one)."""

    @property
    def steps(self) -> int:
        """Environment steps that it has learned from."""

    @property
    def rollout(self) -> int:
        """Environment steps between two safe points, by which it may exceed a budget."""

    @property
    def updates(self) -> int:
        """Gradient updates so far."""

    @property
    def ledger(self) -> Ledger:
        """What has been spent, unfinished episodes included."""

    @property
    def replay(self) -> Any:
        """The replay buffer, which is saved apart, or None."""

    @property
    def gamma(self) -> float:
        """Its discount."""

    @property
    def gae_lambda(self) -> float:
        """Trace parameter of its advantages."""

    def learn(self, steps: int, at_safe_point: SafePoint) -> Any:
        """Train until ``steps`` in all have been taken (whole rollouts may go beyond)."""

    def value_function(self) -> Callable[[Any], NDArray[np.float64]]:
        """Return its state values of raw observations, in raw reward.

        Raises:
            ValueError: If it has none.
        """

    def estimate(self, observations: Any) -> float:
        """Return the value estimate of a batch of one raw observation, in raw reward."""

    def policy(self, deterministic: bool = True) -> Policy:
        """Return its behaviour at present; without ``deterministic`` as it explores in training."""

    def policy_state(self) -> dict[str, Any]:
        """Return what its deterministic behaviour needs."""

    def load_policy_state(self, state: Mapping[str, Any]) -> None:
        """Behave as when :meth:`policy_state` was taken."""

    def log_to(self, write: Callable[[Mapping[str, float], int], None]) -> None:
        """Send the algorithm's scalars there: called with names and values, and the step."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that learning goes on from, environments and replay buffer apart."""

    def load_state_dict(self, state: Mapping[str, Any], observations: Any = None) -> None:
        """Go on from a saved state.

        Args:
            state: From :meth:`state_dict`.
            observations: From :meth:`restore_environments`; None for who will only act, or begins
                new episodes.
        """

    def environments_state(self) -> dict[str, Any]:
        """Return the running episodes, and under ``"curriculum"`` the books and the teacher."""

    def restore_environments(self, state: Mapping[str, Any]) -> Any:
        """Go on within the saved episodes; return the present observations."""

    def begin_episodes(self) -> None:
        """Start new episodes everywhere, and draw as the saved state would have drawn."""

    def reseed(self, seed: int) -> None:
        """Draw exploration and minibatches from this seed from now on."""

    def close(self) -> None:
        """Close its environments."""
