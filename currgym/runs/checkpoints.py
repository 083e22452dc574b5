"""Checkpoints: folders whose manifest is written last, verified before use.

The newest two are kept, and the first at or after each milestone.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from currgym.states import load_state, save_state

__all__ = ["Checkpoint", "Checkpoints", "fingerprint"]

KEEP = 2


class Checkpoint:
    """One verified checkpoint.

    Attributes:
        folder: Where it is.
        step: Environment steps of the run when it was taken.
        logs: Log name -> length in bytes at that moment.
        pieces: Names of the replay pieces it needs, in order.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self.step = int(manifest["step"])
        self.logs: dict[str, int] = dict(manifest["logs"])
        self.pieces: dict[str, Any] = dict(manifest["pieces"])

    def state(self) -> dict[str, Any]:
        """Return the saved state tree."""
        return load_state(self.folder)


class Checkpoints:
    """The checkpoints of one run folder.

    Args:
        run: The folder.
        milestones: Steps whose first checkpoint at or after them is kept for good.
    """

    def __init__(self, run: Path, milestones: Sequence[int] = ()) -> None:
        self.run = run
        self.folder = run / "checkpoints"
        self.milestones = tuple(milestones)

    def save(
        self,
        step: int,
        state: Mapping[str, Any],
        logs: Mapping[str, int],
        pieces: Mapping[str, Any],
    ) -> None:
        """Write a checkpoint; it counts from the moment its manifest is in place.

        Args:
            step: The run's clock.
            state: What :func:`currgym.states.save_state` can hold.
            logs: Length of every log in bytes.
            pieces: Replay pieces it relies on: name -> sha256.

        Raises:
            OSError: If the disk is full. Earlier checkpoints are untouched.
        """
        target = self.folder / str(step)
        draft = self.folder / f".{step}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        try:
            draft.mkdir(parents=True)
            save_state(draft, state)
            files = {path.name: fingerprint(path) for path in sorted(draft.iterdir())}
            manifest = {"step": step, "files": files, "logs": dict(logs), "pieces": dict(pieces)}
            _write_durably(draft / "manifest.json", json.dumps(manifest, indent=1))
            # One at the same step says the same: two checkpoints without a step between.
            shutil.rmtree(target, ignore_errors=True)
            draft.rename(target)
            _sync_folder(self.folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def prune(self) -> None:
        """Keep the newest two and the milestones', and the replay pieces that they need."""
        found = self._folders()
        forever = set(self.steps_kept())
        kept = [f for i, f in enumerate(found) if i < KEEP or int(f.name) in forever]
        for folder in found:
            if folder not in kept:
                shutil.rmtree(folder, ignore_errors=True)
        replay = self.run / "replay"
        if replay.is_dir():
            needed: set[str] = set()
            for folder in kept:
                try:
                    needed |= set(json.loads((folder / "manifest.json").read_text())["pieces"])
                except (OSError, ValueError, KeyError):
                    continue
            for path in replay.iterdir():
                if path.name not in needed:
                    path.unlink()

    def steps_kept(self) -> list[int]:
        """Return the steps of the milestones' checkpoints that are there, ascending."""
        steps = sorted(int(folder.name) for folder in self._folders())
        firsts = {next((s for s in steps if s >= m), None) for m in self.milestones}
        return sorted(step for step in firsts if step is not None)

    def drop_after(self, step: int) -> None:
        """Remove whatever is newer than this step: a run that goes back makes it again."""
        for folder in self._folders():
            if int(folder.name) > step:
                shutil.rmtree(folder, ignore_errors=True)

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """Return the newest checkpoint that verifies, and what is wrong with the newer ones."""
        problems: list[str] = []
        for folder in self._folders():
            problem, checkpoint = self._verify(folder)
            if checkpoint is not None:
                return checkpoint, problems
            problems.append(f"checkpoint {folder.name}: {problem}")
        return None, problems

    def at(self, step: int) -> Checkpoint:
        """Return the checkpoint of this step.

        Raises:
            ValueError: If there is none, or it is damaged.
        """
        folder = self.folder / str(step)
        if not folder.is_dir():
            there = ", ".join(f.name for f in self._folders()) or "none"
            raise ValueError(f"no checkpoint at step {step}; there are: {there}")
        problem, checkpoint = self._verify(folder)
        if checkpoint is None:
            raise ValueError(f"the checkpoint at step {step} is damaged: {problem}")
        return checkpoint

    def _folders(self) -> list[Path]:
        """Newest first, drafts left out."""
        if not self.folder.is_dir():
            return []
        found = [f for f in self.folder.iterdir() if f.name.isdigit()]
        return sorted(found, key=lambda f: int(f.name), reverse=True)

    def _verify(self, folder: Path) -> tuple[str, Checkpoint | None]:
        try:
            manifest = json.loads((folder / "manifest.json").read_text())
            for name, print_ in manifest["files"].items():
                path = folder / name
                if not path.exists():
                    return f"{name} is missing", None
                if path.stat().st_size != print_["bytes"]:
                    return f"{name} has {path.stat().st_size} bytes of {print_['bytes']}", None
                if fingerprint(path) != print_:
                    return f"{name} has changed since it was written", None
            for name, length in manifest["logs"].items():
                path = self.run / name
                if not path.exists() or path.stat().st_size < length:
                    return f"the log {name} is shorter than it says", None
            for name, print_ in manifest["pieces"].items():
                path = self.run / "replay" / name
                if not path.exists() or fingerprint(path) != print_:
                    return f"the replay piece {name} is missing or has changed", None
            return "", Checkpoint(folder, manifest)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return f"its manifest cannot be read ({type(error).__name__}: {error})", None


def fingerprint(path: Path) -> dict[str, Any]:
    """Return a file's size and hash, as manifests keep them."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def _write_durably(path: Path, text: str) -> None:
    # The data files must be on the disk before the manifest that vouches for them.
    for other in path.parent.iterdir():
        with other.open("rb") as file:
            os.fsync(file.fileno())
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
