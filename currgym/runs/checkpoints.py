"""Checkpoints: folders whose manifest is written last, verified before use.

The newest two are kept, and the first at or after each milestone.

A checkpoint holds a state tree and nothing that can run: structure and numbers as JSON
(``state.json``), arrays as ``.npz`` read with ``allow_pickle=False`` (``arrays.npz``), and the
student's policy and optimisers as plain tensors (``tensors.pt``), read by
``torch.load(weights_only=True)``, which builds tensors and containers and refuses every other
object. Stable-Baselines3's own ``save()`` is not used: it holds cloudpickle. The network itself is
built from ``config.json``; only its numbers come from the checkpoint. So a run of somebody else is
opened, evaluated and gone on with without unpickling anything of theirs.

``--trust`` does not change any of that: no option makes currgym unpickle. It allows what a
configuration may ask for beyond currgym, which is code of this machine: importing the modules that
it names (``modules``, the module part of an environment's id, an importable difficulty function, a
study's ``import``), and following symbolic links out of the run's folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from currgym.documents import Damaged, fits, read_json, reading
from currgym.states import load_state, save_state

__all__ = ["Checkpoint", "Checkpoints", "fingerprint"]

KEEP = 2
_PLAIN_NAME = re.compile(r"\w[\w.-]*")
_PIECE_NAME = re.compile(r"\d+-\d+\.npz")


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
        """Return the saved state tree.

        Raises:
            Damaged: If it holds anything but plain arrays, numbers and tensors.
        """
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
            _sync_folder(draft)
            old = self.folder / f".{step}.old"
            if target.exists():  # two checkpoints without a step between
                target.rename(old)
            draft.rename(target)
            _sync_folder(self.folder)
            shutil.rmtree(old, ignore_errors=True)
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
        self._recover()
        for folder in self._folders():
            problem, checkpoint = self._verify(folder)
            if checkpoint is not None:
                return checkpoint, problems
            problems.append(f"checkpoint {folder.name}: {problem}")
        return None, problems

    def _recover(self) -> None:
        """Put back a checkpoint that a kill caught while one of the same step replaced it."""
        if self.folder.is_dir():
            for old in self.folder.glob(".*.old"):
                target = self.folder / old.name[1 : -len(".old")]
                if not target.exists():
                    with contextlib.suppress(OSError):  # a read-only folder: the one before will do
                        old.rename(target)

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
            manifest = self._manifest(folder)
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
        except (OSError, Damaged) as error:
            return f"its manifest cannot be read ({error})", None

    @staticmethod
    def _manifest(folder: Path) -> dict[str, Any]:
        """Return a manifest whose names lead nowhere but into the run."""
        path = folder / "manifest.json"
        manifest = read_json(path)
        with reading(path):
            if manifest["step"] != int(folder.name):
                raise ValueError(f"it says step {manifest['step']!r}")
            lacking = {"state.json", "arrays.npz"} - set(manifest["files"])
            if lacking:
                raise ValueError(f"it does not vouch for {', '.join(sorted(lacking))}")
            for part, pattern in (
                ("files", _PLAIN_NAME), ("logs", _PLAIN_NAME), ("pieces", _PIECE_NAME),
            ):  # fmt: skip
                for name, value in manifest[part].items():
                    if pattern.fullmatch(name) is None:
                        raise ValueError(f"{name!r} is no name of a file in {part}")
                    size = value if part == "logs" else value["bytes"]
                    if not fits(size, int) or size < 0:
                        raise ValueError(f"{name} is said to have {size!r} bytes")
        return manifest


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
