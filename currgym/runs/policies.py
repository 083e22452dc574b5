"""Policies kept over a run, for films of the student at several times: small, and never resumed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from currgym.states import load_state, save_state

__all__ = ["KeptPolicies"]


class KeptPolicies:
    """The policies kept in one run folder, each in ``policies/<step>/``."""

    def __init__(self, run: Path) -> None:
        self.folder = run / "policies"

    def keep(self, step: int, state: Mapping[str, Any]) -> None:
        """Write the policy of this step; whatever was written for it before is replaced."""
        target, draft = self.folder / str(step), self.folder / f".{step}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        save_state(draft, state)
        shutil.rmtree(target, ignore_errors=True)
        draft.rename(target)

    def steps(self) -> list[int]:
        """Return the steps at which one was kept, in order."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())

    def load(self, step: int) -> dict[str, Any]:
        """Return what was kept at a step.

        Raises:
            ValueError: If it is damaged.
        """
        return load_state(self.folder / str(step))

    def drop_after(self, step: int) -> None:
        """Remove what is newer: a run that goes back to a checkpoint makes it again."""
        for later in self.steps():
            if later > step:
                shutil.rmtree(self.folder / str(later), ignore_errors=True)
