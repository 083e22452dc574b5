"""What sessions have in common whose student needs no environment: examples and toys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from currgym.curriculum import Curriculum, Ledger
from currgym.runs.config import RunConfig
from currgym.runs.replay import ReplayPieces
from currgym.runs.seeding import seed_for
from currgym.runs.tracking import Tracks
from currgym.teaching import Teacher

__all__ = ["DirectSession", "check_needs"]


def check_needs(config: RunConfig, teacher: Teacher, provides: frozenset[str]) -> None:
    """Refuse a teacher that needs what the student cannot give.

    Raises:
        ValueError: Naming what is missing.
    """
    missing = teacher.needs - provides
    if missing:
        raise ValueError(
            f"teacher {config.teacher!r} needs {', '.join(sorted(missing))}, which student "
            f"{config.student!r} cannot give"
        )


class DirectSession:
    """A curriculum and a student that takes its tasks as they are."""

    exact = True
    notes = ()

    config: RunConfig
    curriculum: Curriculum
    student: Any
    _tracks: Tracks | None = None

    @property
    def end(self) -> int:
        """The budget."""
        return self.config.steps

    @property
    def ledger(self) -> Ledger:
        """All that has been spent."""
        return self.curriculum.ledger

    @property
    def steps(self) -> int:
        """The run's clock."""
        raise NotImplementedError

    def log_to(self, tracks: Tracks) -> None:
        """Send scalars there."""
        self._tracks = tracks

    def note(self, name: str, value: float) -> None:
        """Send one scalar to whoever tracks the run."""
        if self._tracks is not None:
            self._tracks.write({name: value}, self.steps)

    def playing(self, env: Any) -> str | None:
        """There are no environments."""
        return None

    def policy_state(self) -> None:
        """Nothing can be filmed."""

    def load_policy_state(self, state: Mapping[str, Any]) -> None:
        """Nothing was kept."""

    def save(self, pieces: ReplayPieces) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return (state tree, no pieces)."""
        state = {
            "student": self.student.state_dict(),
            "curriculum": self.curriculum.state_dict(),
        }
        return state, {}

    def restore(
        self, state: Mapping[str, Any], pieces: ReplayPieces, names: Mapping[str, Any]
    ) -> None:
        """Go on from a saved state."""
        self.curriculum.load_state_dict(state["curriculum"])
        self.student.load_state_dict(state["student"])

    def restore_policy(self, state: Mapping[str, Any]) -> None:
        """Take over the student alone."""
        self.student.load_state_dict(state["student"])

    def adopt(
        self, state: Mapping[str, Any], pieces: ReplayPieces, names: Mapping[str, Any]
    ) -> None:
        """Take over another run's student; what it has spent stays on the clock."""
        self.student.load_state_dict(state["student"])
        before = state["curriculum"]["ledger"]
        self.ledger.charge(**{name: int(count) for name, count in before.items()})

    def reseed(self, seed: int) -> None:
        """Draw the student's own chances (dropout, noise) from this seed from now on."""
        self.student.reseed(seed_for(seed, "student"))

    def close(self) -> None:
        """Nothing to free."""
