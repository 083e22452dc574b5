"""What a run drives: one protocol for reinforcement and supervised learning."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from currgym.curriculum import Curriculum, Ledger
from currgym.runs.config import RunConfig
from currgym.runs.evaluation import TestRow, TestSet
from currgym.runs.replay import ReplayPieces
from currgym.runs.tracking import Tracks
from currgym.tasks import TaskSpace
from currgym.teaching import Teacher

__all__ = ["Session", "open_session", "open_teacher", "session_module"]


class Session(Protocol):
    """The moving parts of one run; everything about folders is :class:`currgym.runs.Run`'s."""

    space: TaskSpace
    teacher: Teacher
    curriculum: Curriculum
    test_set: TestSet
    exact: bool
    """Whether an interrupted run goes on bit for bit."""

    notes: tuple[str, ...]
    """What a person should know before it begins."""

    @property
    def steps(self) -> int:
        """The run's clock."""

    @property
    def end(self) -> int:
        """Steps that the run takes in all: its budget, or what whole rollouts make of it."""

    @property
    def ledger(self) -> Ledger:
        """All that has been spent."""

    @property
    def log_columns(self) -> frozenset[str]:
        """Columns and scores beyond the fixed ones that the teacher works on."""

    def describe(self) -> dict[str, Any]:
        """Return what ``config.json`` says beyond the request."""

    def log_to(self, tracks: Tracks) -> None:
        """Send scalars there."""

    def note(self, name: str, value: float) -> None:
        """Send one scalar to whoever tracks the run."""

    def train(self, at_safe_point: Callable[[], None]) -> None:
        """Train to the end of the budget, calling back where everything can be saved."""

    def evaluate(self) -> list[TestRow]:
        """Play the test set; nothing of it reaches student or teacher."""

    def save(self, pieces: ReplayPieces) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return (state tree, replay pieces); valid at a safe point."""

    def restore(
        self, state: Mapping[str, Any], pieces: ReplayPieces, names: Mapping[str, Any]
    ) -> None:
        """Go on from a saved state."""

    def restore_policy(self, state: Mapping[str, Any]) -> None:
        """Take over the student alone."""

    def adopt(
        self, state: Mapping[str, Any], pieces: ReplayPieces, names: Mapping[str, Any]
    ) -> None:
        """Take over another run's student and begin new episodes under this run's teacher."""

    def reseed(self, seed: int) -> None:
        """Draw all that is random in the student from this seed from now on."""

    def playing(self, env: Any) -> str | None:
        """Say what an environment plays at present (which, task, seed); None if it is none here."""

    def policy(self) -> Any:
        """Return what the student does at present."""

    def policy_state(self) -> dict[str, Any] | None:
        """Return what :meth:`policy` needs, or None where nothing can be filmed."""

    def load_policy_state(self, state: Mapping[str, Any]) -> None:
        """Let the student act as it did when :meth:`policy_state` was taken."""

    def measured(self) -> dict[str, float] | None:
        """Return what the optimiser did since the last call, or None if nothing was measured."""

    def close(self) -> None:
        """Free everything."""


_MODULES = {
    "rl": "currgym.runs.rl",
    "simulated": "currgym.runs.simulated",
    "supervised": "currgym.runs.examples",
}


def session_module(config: RunConfig) -> str:
    """Return the name of the module that drives runs of this kind."""
    return _MODULES[config.kind]


def open_session(config: RunConfig, test_set: TestSet | None) -> Session:
    """Build the session of a run.

    Args:
        config: What to build.
        test_set: What to evaluate on; None chooses as the configuration says.

    Raises:
        ValueError: If student and environment do not fit, or something is unknown.
    """
    config.load_modules()
    session: Session = importlib.import_module(session_module(config)).make_session(
        config, test_set
    )
    return session


def open_teacher(config: RunConfig) -> Teacher:
    """Build the teacher of a run as its session does, without the student."""
    config.load_modules()
    teacher: Teacher = importlib.import_module(session_module(config)).make_run_teacher(config)
    return teacher
