"""Append-only CSV logs that a resumed run can cut back to a checkpoint, byte for byte."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TextIO

__all__ = ["Logs", "read_rows"]


class Logs:
    """The text logs of one run folder.

    Rows are buffered and reach the disk at :meth:`flush`, which every checkpoint calls; what a kill
    loses is later than the last checkpoint and is made again on resume.

    Args:
        folder: The run folder.
        headers: File name -> header line (None for files without one).
    """

    def __init__(self, folder: Path, headers: Mapping[str, str | None]) -> None:
        self.folder = folder
        self._files: dict[str, TextIO] = {}
        for name, header in headers.items():
            file = (folder / name).open("a", encoding="utf-8", newline="")
            if header is not None and file.tell() == 0:
                file.write(header + "\n")
            self._files[name] = file

    def write(self, name: str, line: str) -> None:
        """Append one line."""
        self._files[name].write(line + "\n")

    def flush(self) -> dict[str, int]:
        """Bring everything to the disk and return each file's length in bytes.

        Raises:
            OSError: If the disk is full. The rows stay in the buffer.
        """
        lengths = {}
        for name, file in self._files.items():
            file.flush()
            os.fsync(file.fileno())
            lengths[name] = os.fstat(file.fileno()).st_size
        return lengths

    def show(self) -> None:
        """Hand the rows to the system without waiting for the disk, so that readers see them."""
        for file in self._files.values():
            file.flush()

    def close(self) -> None:
        """Flush and close all files."""
        for file in self._files.values():
            file.close()

    @staticmethod
    def cut(folder: Path, lengths: Mapping[str, int]) -> None:
        """Cut files back to these lengths.

        Raises:
            ValueError: If a file is shorter than it must be.
        """
        for name, length in lengths.items():
            path = folder / name
            if not path.exists() or path.stat().st_size < length:
                raise ValueError(f"{name} is shorter than its checkpoint says ({length} bytes)")
            os.truncate(path, length)


def read_rows(path: Path) -> Iterable[dict[str, str]]:
    """Yield the rows of a CSV log by column name; an unfinished last line is left out."""
    import csv

    with path.open(encoding="utf-8", newline="") as file:
        lines = (line for line in file if line.endswith("\n"))
        yield from csv.DictReader(lines)
