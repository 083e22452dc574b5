"""A run folder kept in two places: what has changed in one travels to the other as bytes.

The copy is sound at every moment: logs grow first, a checkpoint's manifest comes after its other
files, the summary last, and what was removed goes when its successor is there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from currgym.studies.store import FAILURE

__all__ = ["Mirror", "Parcel", "pack", "unpack"]

_NEVER_CHANGED = ("checkpoints", "replay")
"""Folders whose files are written once."""

_OTHER = (-1, -1, -1)
"""Signature of a file that the other side has, whatever is in it."""


@dataclass(frozen=True)
class Parcel:
    """Changes of a folder.

    Attributes:
        files: (name, offset, bytes): what stands in the file from this offset on.
        removed: Files that are gone.
    """

    files: tuple[tuple[str, int, bytes], ...]
    removed: tuple[str, ...] = ()


class Mirror:
    """Watches the original.

    Args:
        folder: Of the run.
        known: What the other side has already; of that, only what never changes is not sent again.
    """

    def __init__(self, folder: Path, known: Parcel | None = None) -> None:
        self.folder = folder
        self._sent: dict[str, tuple[int, int, int]] = {}
        for name, _, _ in known.files if known is not None else ():
            same = name.partition("/")[0] in _NEVER_CHANGED
            self._sent[name] = _signature(folder / name) if same else _OTHER

    def changes(self) -> Parcel:
        """Return what has changed since the last call; at a safe point only."""
        files, there = [], set()
        for name in _files(self.folder):
            there.add(name)
            path = self.folder / name
            now, before = _signature(path), self._sent.get(name)
            if now == before:
                continue
            grown = before is not None and before[0] == now[0] and before[1] < now[1]
            offset = before[1] if grown and before is not None else 0
            with path.open("rb") as file:
                file.seek(offset)
                content = file.read()
            files.append((name, offset, content))
            self._sent[name] = now
        removed = tuple(name for name in self._sent if name not in there)
        for name in removed:
            del self._sent[name]
        return Parcel(tuple(sorted(files, key=_order)), removed)


def pack(folder: Path) -> Parcel:
    """Return what a run needs in order to go on from its newest checkpoint."""
    return Parcel(
        tuple(
            (name, 0, (folder / name).read_bytes())
            for name in _files(folder)
            if name != FAILURE and not name.startswith("tensorboard/")
        )
    )


def unpack(parcel: Parcel, folder: Path) -> None:
    """Bring a folder up to date.

    Args:
        parcel: From :meth:`Mirror.changes` or :func:`pack`.
        folder: Made where it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, offset, content in parcel.files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if offset:
            with path.open("r+b") as file:
                file.seek(offset)
                file.write(content)
                file.truncate()
        else:
            draft = path.with_name(f".{path.name}.draft")
            draft.write_bytes(content)
            draft.replace(path)
    for name in parcel.removed:
        path = folder / name
        path.unlink(missing_ok=True)
        if path.parent != folder and path.parent.is_dir() and not any(path.parent.iterdir()):
            path.parent.rmdir()


def _files(folder: Path) -> Iterator[str]:
    """Yield the names of files below a folder, locks and drafts left out."""
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield (Path(where) / name).relative_to(folder).as_posix()


def _order(file: tuple[str, int, bytes]) -> tuple[int, str]:
    name = file[0]
    if name == "summary.json":
        return 3, name
    if name.endswith("/manifest.json"):
        return 2, name
    return int("/" in name), name


def _signature(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
