"""What a report needs of a finished run, in some kilobytes: its logs need not be read again.

A study's index holds one for each finished run. It says what the logs say, to the bit; where there
is none, or a damaged one, the logs are read.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.runs.cells import Cells

__all__ = ["Digest", "Evaluated", "OptimizerLog", "pack", "unpack"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FORMAT = 1
_LARGEST = 2**30
_CELL_ARRAYS = ("attempts", "steps")
_HEADER = 4


@dataclass(frozen=True)
class Evaluated:
    """A run's evaluations on its test set, summed up.

    Attributes:
        last: Step of the last evaluation, whole or not; 0 where there was none.
        episodes: Episodes a task in the last whole one.
        steps: ``(k,)`` of the whole evaluations, ascending.
        solved: ``(k,)`` share solved; NaN where nothing says what success is.
        returns: ``(k,)`` mean return.
        task_solved: ``(k, tasks)`` share solved of each test task, NaN where it was not tried.
        task_returns: ``(k, tasks)`` its mean return.
        index: ``(j,)`` rows of the test set in the last whole evaluation.
        final_solved: ``(j,)`` their shares solved.
        final_returns: ``(j,)`` their mean returns.
    """

    last: float
    episodes: int
    steps: FloatArray
    solved: FloatArray
    returns: FloatArray
    task_solved: FloatArray
    task_returns: FloatArray
    index: IntArray
    final_solved: FloatArray
    final_returns: FloatArray

    @classmethod
    def of(
        cls,
        steps: FloatArray,
        task_index: IntArray,
        returns: FloatArray,
        successes: FloatArray,
        tasks: int,
    ) -> Evaluated:
        """Sum up evaluation episodes, one entry each.

        Args:
            steps: Of training before the evaluation.
            task_index: Row of the test set.
            returns: Raw returns.
            successes: Share solved.
            tasks: Size of the test set, 0 where it is not known.
        """
        at, group, counts = np.unique(steps, return_inverse=True, return_counts=True)
        whole = counts == counts.max(initial=0)
        kept = at[whole]
        solved, mean = (
            np.bincount(group, weights=v)[whole] / counts[whole] for v in (successes, returns)
        )
        known = np.isin(steps, kept) & (task_index >= 0) & (task_index < tasks)
        row, column = np.searchsorted(kept, steps[known]), task_index[known]
        tried = np.zeros((len(kept), tasks))
        np.add.at(tried, (row, column), 1.0)

        def by_task(values: FloatArray) -> FloatArray:
            sums, table = np.zeros(tried.shape), np.full(tried.shape, np.nan)
            np.add.at(sums, (row, column), values[known])
            np.divide(sums, tried, out=table, where=tried > 0)
            return table

        final = steps == (kept[-1] if len(kept) else math.nan)
        index, inverse, each = np.unique(task_index[final], return_inverse=True, return_counts=True)

        def at_end(values: FloatArray) -> FloatArray:
            return np.bincount(inverse, weights=values[final]) / each

        return cls(
            last=float(at[-1]) if len(at) else 0.0,
            episodes=round(final.sum() / len(index)) if len(index) else 0,
            steps=kept,
            solved=solved,
            returns=mean,
            task_solved=by_task(successes),
            task_returns=by_task(returns),
            index=index,
            final_solved=at_end(successes),
            final_returns=at_end(returns),
        )


@dataclass(frozen=True)
class OptimizerLog:
    """What a student's optimiser did over training, one entry a stretch of it.

    Attributes:
        steps: Environment steps (examples) at the end of each stretch.
        gradient_norm: Of the gradient as the optimiser got it.
        update_norm: Of the change of the weights.
        effective_step: Root mean square of that change, as a multiple of the learning rate.
    """

    steps: FloatArray
    gradient_norm: FloatArray
    update_norm: FloatArray
    effective_step: FloatArray


@dataclass(frozen=True)
class Digest:
    """What is kept of a run: its evaluations, where its steps went, what its optimiser did."""

    evaluated: Evaluated
    cells: Cells | None
    optimizer: OptimizerLog


def pack(digest: Digest) -> bytes:
    """Return a digest as bytes: sizes first, then all arrays, compressed; no pickle."""
    facts: dict[str, Any] = {"format": FORMAT}
    arrays: dict[str, NDArray[Any]] = {}
    for part in ("evaluated", "optimizer"):
        held = getattr(digest, part)
        for field in fields(held):
            value = getattr(held, field.name)
            if isinstance(value, np.ndarray):
                arrays[f"{part}.{field.name}"] = value
            else:
                facts[field.name] = value
    cells = digest.cells
    if cells is not None:
        facts["cells"] = {
            "budget": cells.budget, "axes": list(cells.axes), "planes": [*map(list, cells.planes)],
            "tasks": list(cells.tasks),
        }  # fmt: skip
        arrays |= {name: getattr(cells, name) for name in _CELL_ARRAYS}
        for name in ("line_edges", "plane_edges", "lines"):
            arrays |= {f"{name}.{i}": a for i, a in enumerate(getattr(cells, name))}
        arrays |= {f"planes.{i}": a for i, a in enumerate(cells.planes.values())}
        arrays |= {f"tasks.{name}": a for name, a in cells.tasks.items()}
    small = {name: _small(array) for name, array in arrays.items()}
    facts["arrays"] = [[name, a.dtype.str, list(a.shape)] for name, a in small.items()]
    header = json.dumps(facts, separators=(",", ":")).encode()
    body = zlib.compress(b"".join(a.tobytes() for a in small.values()), 1)
    return len(header).to_bytes(_HEADER, "big") + header + body


def _small(array: NDArray[Any]) -> NDArray[Any]:
    """Return counts as the narrowest whole numbers that hold them; everything else as it is."""
    counts = array.size and not np.signbit(array).any() and (array < 2**53).all()
    if counts and (array % 1 == 0).all():
        return array.astype(np.min_scalar_type(int(array.max())).newbyteorder("<"))
    return array.astype("<f8")


def unpack(data: bytes) -> Digest:
    """Read what :func:`pack` wrote; counts come as whole numbers.

    Raises:
        ValueError: If it is damaged, or of a later format.
    """
    try:
        size = _HEADER + int.from_bytes(data[:_HEADER], "big")
        facts = json.loads(data[_HEADER:size])
        if facts["format"] > FORMAT:
            raise ValueError(f"format {facts['format']}: update currgym")
        arrays = _arrays(facts["arrays"], data[size:])
        cells = None if facts.get("cells") is None else _cells(facts["cells"], arrays)
        return Digest(
            Evaluated(
                float(facts["last"]),
                int(facts["episodes"]),
                **_part(Evaluated, arrays, "evaluated"),
            ),
            cells,
            OptimizerLog(**_part(OptimizerLog, arrays, "optimizer")),
        )
    except (KeyError, TypeError, AttributeError, IndexError, zlib.error) as error:
        raise ValueError(f"a run's digest is damaged: {type(error).__name__}: {error}") from None


def _arrays(described: list[Any], body: bytes) -> dict[str, NDArray[Any]]:
    kinds = {np.dtype(f"<{kind}") for kind in ("f8", "u2", "u4", "u8")} | {np.dtype("u1")}
    sizes = []
    for name, kind, shape in described:
        dtype = np.dtype(str(kind))
        if dtype not in kinds or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError(f"{name} is of type {kind}, shape {shape}")
        sizes.append((str(name), dtype, tuple(shape), math.prod(shape) * dtype.itemsize))
    total = sum(size for *_, size in sizes)
    if total > _LARGEST:
        raise ValueError(f"a run's digest says that it holds {total:,} bytes")
    # No more than the sizes say, whatever the compressed bytes would grow to.
    whole = zlib.decompressobj().decompress(body, total + 1)
    if len(whole) != total:
        raise ValueError(f"a run's digest holds {len(whole):,} bytes instead of {total:,}")
    arrays, start = {}, 0
    for name, dtype, shape, size in sizes:
        count = size // dtype.itemsize
        arrays[name] = np.frombuffer(whole, dtype, count, start).reshape(shape)
        start += size
    return arrays


def _part(kind: type, arrays: Mapping[str, NDArray[Any]], part: str) -> dict[str, NDArray[Any]]:
    names = [f.name for f in fields(kind) if f"{part}.{f.name}" in arrays]
    return {
        name: arrays[f"{part}.{name}"].astype(np.int64 if name == "index" else np.float64)
        for name in names
    }


def _cells(facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Cells:
    def several(name: str, count: int) -> tuple[NDArray[Any], ...]:
        return tuple(arrays[f"{name}.{i}"] for i in range(count))

    def edges(name: str) -> tuple[FloatArray, ...]:
        return tuple(a.astype(np.float64) for a in several(name, len(axes)))

    axes = tuple(str(axis) for axis in facts["axes"])
    pairs = [(int(a), int(b)) for a, b in facts["planes"]]
    return Cells(
        int(facts["budget"]), axes, edges("line_edges"),
        edges("plane_edges"), arrays["attempts"], arrays["steps"],
        several("lines", len(axes)), dict(zip(pairs, several("planes", len(pairs)), strict=True)),
        {str(name): arrays[f"tasks.{name}"] for name in facts["tasks"]},
    )  # fmt: skip
