"""Are two runs the same? Byte by byte for logs, number by number for the final state."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from currgym.documents import read_json, reading
from currgym.runs.checkpoints import Checkpoint, Checkpoints

__all__ = ["COMPARED", "compare_runs", "first_difference", "last_state"]

COMPARED = (
    "episodes.csv", "evaluations.csv", "probes.csv", "calls.csv", "periods.jsonl", "optimizer.csv",
)  # fmt: skip
"""The logs of a run that hold no wall-clock."""


def compare_runs(recorded: Path, again: Path) -> list[str]:
    """Return where two run folders first differ: a line for each log, one for the final state.

    An interrupted run is compared as far as its newest checkpoint goes.

    Args:
        recorded: A run folder.
        again: Another, of the same configuration.

    Raises:
        ValueError: If the first has no sound checkpoint, or the second none at the same step.
    """
    theirs = _newest(recorded)
    ours = Checkpoints(again).at(theirs.step)
    found = []
    for name in COMPARED:
        if name not in theirs.logs:  # a log that came later
            continue
        lengths = (theirs.logs[name], ours.logs.get(name, 0))
        difference = _first_line(recorded / name, again / name, lengths)
        if difference is not None:
            found.append(difference)
    with reading(theirs.folder):
        state = first_difference(last_state(theirs), last_state(ours))
    if state is not None:
        found.append(f"final state: {state}")
    summaries = [folder / "summary.json" for folder in (recorded, again)]
    if all(path.exists() for path in summaries):
        spent = [read_json(path).get("ledger") for path in summaries]
        ledger = first_difference(spent[0], spent[1], "ledger")
        if ledger is not None:
            found.append(ledger)
    return found


def _newest(folder: Path) -> Checkpoint:
    checkpoint, problems = Checkpoints(folder).newest()
    if checkpoint is None:
        why = f" ({problems[0]})" if problems else ""
        raise ValueError(f"{folder} has no sound checkpoint{why}: nothing to compare")
    return checkpoint


def last_state(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return a checkpoint's whole state, wall-clock apart."""
    state = checkpoint.state()
    state["run"].pop("seconds")
    return state


def _first_line(recorded: Path, again: Path, lengths: tuple[int, int]) -> str | None:
    """Return the first line at which two logs differ, within these lengths, or None."""
    with recorded.open("rb") as first, again.open("rb") as second:
        header, left = "", list(lengths)
        for number in itertools.count(1):
            lines = [
                file.readline(max(n, 0)) for file, n in zip((first, second), left, strict=True)
            ]
            if lines[0] != lines[1]:
                shown = [line.decode("utf-8", "replace").strip() for line in lines]
                return f"{recorded.name}, line {number}: {_in_words(header, *shown)}"
            if not lines[0]:
                return None
            header = header or lines[0].decode("utf-8", "replace").strip()
            left = [n - len(line) for n, line in zip(left, lines, strict=True)]
    return None


def _in_words(header: str, recorded: str, again: str) -> str:
    names, a, b = header.split(","), recorded.split(","), again.split(",")
    if not recorded or not again:
        return f"{'recorded' if recorded else 'the new run'} goes on where the other ends"
    if len(a) == len(b) == len(names):
        pairs = [(n, x, y) for n, x, y in zip(names, a, b, strict=True) if x != y]
        return ", ".join(f"{n} was {x} and is {y}" for n, x, y in pairs)
    return f"was {recorded!r} and is {again!r}"


def first_difference(a: Any, b: Any, path: str = "state") -> str | None:
    """Return where two state trees first differ, or None: types and every bit count."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if a.keys() != b.keys():
            return f"{path}: keys {sorted(map(str, a.keys() ^ b.keys()))} are in one only"
        return _first(first_difference(a[k], b[k], f"{path}.{k}") for k in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        if len(a) != len(b):
            return f"{path}: lengths {len(a)} and {len(b)}"
        pairs = enumerate(zip(a, b, strict=True))
        return _first(first_difference(x, y, f"{path}[{i}]") for i, (x, y) in pairs)
    if hasattr(a, "detach") and hasattr(b, "detach"):  # tensors
        a, b = a.detach().cpu().numpy(), b.detach().cpu().numpy()
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return _arrays(a, b, path)
    return None if _plain(a) == _plain(b) else f"{path}: was {a!r} and is {b!r}"


def _first(found: Any) -> str | None:
    return next((difference for difference in found if difference is not None), None)


def _arrays(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], path: str) -> str | None:
    if (a.shape, a.dtype) != (b.shape, b.dtype):
        return f"{path}: {a.dtype} {a.shape} and {b.dtype} {b.shape}"
    if np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
        return None
    if a.dtype.kind not in "fiu":
        return f"{path}: arrays differ"
    gap = np.nanmax(np.abs(a.astype(np.float64) - b.astype(np.float64)))
    return f"{path}: {int((a != b).sum())} of {a.size} numbers differ, by {gap:.3g} at most"


def _plain(value: Any) -> str:
    """Return JSON's text of a number or word, in which NaN equals itself."""
    return json.dumps(value)
