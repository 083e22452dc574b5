"""A replay buffer on disk as append-only pieces: each checkpoint writes only what is new."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.runs.checkpoints import fingerprint

__all__ = ["ReplayPieces"]

_COLUMNS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


class ReplayPieces:
    """The pieces of one run's replay buffer, ``replay/<first row>-<end>.npz``.

    A row is one step of all sub-environments; rows are numbered from the run's beginning.
    """

    def __init__(self, run: Path) -> None:
        self.folder = run / "replay"
        self._known: dict[str, dict[str, Any]] = {}
        self._end = 0

    def append(self, buffer: Any, rows: int) -> dict[str, dict[str, Any]]:
        """Write the rows added since the last call; return the pieces that make up the buffer.

        Args:
            buffer: An SB3 replay buffer.
            rows: Rows ever added to it.

        Raises:
            OSError: If the disk is full. Nothing counts as written then.
        """
        size = buffer.buffer_size
        first = max(self._end, rows - size)
        if rows > first:
            self.folder.mkdir(exist_ok=True)
            name = f"{first}-{rows}.npz"
            draft = self.folder / f".{name}.draft"
            indices = np.arange(first, rows) % size
            with draft.open("wb") as file:
                np.savez(file, allow_pickle=False, **{k: a[indices] for k, a in _arrays(buffer)})
                file.flush()
                os.fsync(file.fileno())
            draft.rename(self.folder / name)
            self._known[name] = fingerprint(self.folder / name)
            self._end = rows
        oldest = rows - size
        self._known = {name: f for name, f in self._known.items() if _ends(name)[1] > oldest}
        return dict(self._known)

    def restore(self, buffer: Any, rows: int, pieces: Mapping[str, Any]) -> None:
        """Fill a buffer with the rows of these pieces."""
        size = buffer.buffer_size
        for name in sorted(pieces, key=lambda piece: _ends(piece)[0]):
            first, end = _ends(name)
            keep = np.arange(max(first, rows - size), min(end, rows))
            with np.load(self.folder / name, allow_pickle=False) as file:
                for key, array in _arrays(buffer):
                    array[keep % size] = file[key][keep - first]
        buffer.pos = rows % size
        buffer.full = rows >= size
        self._known = dict(pieces)
        self._end = rows


def _ends(name: str) -> tuple[int, int]:
    first, _, end = name.removesuffix(".npz").partition("-")
    return int(first), int(end)


def _arrays(buffer: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    for column in _COLUMNS:
        value = getattr(buffer, column, None)
        if isinstance(value, dict):
            for key, array in value.items():
                yield f"{column}.{key}", array
        elif value is not None:
            yield column, value
