"""Reads the files of run folders; a damaged one is named."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "as_rows", "as_value", "columns_of", "header_of", "last_of", "read_json", "table_of",
]  # fmt: skip

FloatArray = NDArray[np.float64]

FORMAT = 1


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        ValueError: If there is none, it is damaged, or of a later format.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(document, dict):
        raise ValueError(f"{path} is damaged: it holds no object")
    if document.get("format", FORMAT) > FORMAT:
        raise ValueError(f"{path} has format {document['format']}: update currgym")
    return document


def header_of(path: Path) -> list[str]:
    """Return the names of a CSV file's columns; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file), [])


def columns_of(path: Path, names: Sequence[str]) -> FloatArray:
    """Return numeric columns of a CSV file by name, ``(rows, names)``."""
    rows = table_of(path, [(name, "f8") for name in names])
    return np.stack([rows[name] for name in names], axis=1).reshape(-1, len(names))


def table_of(path: Path, dtype: list[tuple[str, str]]) -> NDArray[Any]:
    """Return columns of a CSV file as a structured array; an unfinished last line is left out."""
    header = header_of(path)
    if not header:
        return np.empty(0, dtype=dtype)
    lacking = [name for name, _ in dtype if name not in header]
    if lacking:
        raise ValueError(f"{path} lacks the column {lacking[0]!r}; it has {header}")
    text = path.read_text(encoding="utf-8")
    text = text[text.find("\n") + 1 : text.rfind("\n") + 1]
    if not text:
        return np.empty(0, dtype=dtype)
    try:
        rows = np.loadtxt(
            io.StringIO(text),
            dtype=dtype,
            delimiter=",",
            quotechar='"',
            comments=None,
            usecols=[header.index(name) for name, _ in dtype],
            ndmin=1,
        )
    except (ValueError, IndexError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    return rows


def as_rows(tasks: Any) -> FloatArray:
    """Return tasks as ``(n, d)``; numbered tasks become one column."""
    array = np.asarray(tasks, dtype=np.float64)
    return array.reshape(len(array), -1) if array.size else np.empty((0, 1))


def as_value(value: Any) -> Any:
    """Return a snapshot's entry as an array where it is one."""
    if not isinstance(value, list):
        return value
    try:
        return np.asarray(value, dtype=np.float64)
    except (ValueError, TypeError):
        return value  # words, or rows of several lengths


def last_of(path: Path, name: str) -> float:
    """Return a column's value in the last whole row of a CSV file, 0 where there is none.

    Only the end of the file is read.
    """
    header = header_of(path)
    if name not in header:
        return 0.0
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 10_000))
        lines = file.read().decode("utf-8", errors="replace").split("\n")[:-1]
    for line in reversed(lines):
        fields = next(csv.reader([line]), [])
        if len(fields) == len(header):
            try:
                return float(fields[header.index(name)])
            except ValueError:
                continue
    return 0.0
