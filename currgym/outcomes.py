"""Outcomes: what became of attempted tasks, as a struct of arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["COLUMNS", "Outcomes"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_FLOAT, _INT, _BOOL = np.dtype(np.float64), np.dtype(np.int64), np.dtype(np.bool_)
_DTYPES: dict[str, np.dtype[Any]] = {
    "returns": _FLOAT,
    "ids": _INT,
    "seeds": _INT,
    "lengths": _INT,
    "successes": _FLOAT,
    "trials": _INT,
    "discounted": _FLOAT,
    "terminated": _BOOL,
    "truncated": _BOOL,
    "initial_values": _FLOAT,
}
COLUMNS = tuple(_DTYPES)
"""Optional columns, in the order of their declaration."""


@dataclass(init=False, slots=True)
class Outcomes:
    """One entry a finished attempt, shape ``(n,)`` in every column; missing columns are None.

    Attributes:
        tasks: The attempted tasks, as the task space writes them.
        returns: Undiscounted returns, raw (never normalised).
        ids: The proposal each answers; -1 for a task the teacher never proposed.
        seeds: The episode seeds.
        lengths: Environment steps of each attempt; 1 where missing.
        successes: Share solved, in [0, 1].
        trials: Rollouts summed up in the entry, of which ``successes * trials`` succeeded.
        discounted: Discounted returns.
        terminated: Whether the episode ended by itself.
        truncated: Whether it was cut off.
        initial_values: The student's value estimate of the first state.
        probe: True where nothing was learned from the attempt.
        scores: Further named columns (``pvl``, ``maxmc``, ``td``, ``loss``, ...).

    Raises:
        ValueError: For a column of another length, a non-finite value (row and task named), or
            one outside its range.
    """

    tasks: NDArray[Any]
    returns: FloatArray | None
    ids: IntArray | None
    seeds: IntArray | None
    lengths: IntArray
    successes: FloatArray | None
    trials: IntArray | None
    discounted: FloatArray | None
    terminated: BoolArray | None
    truncated: BoolArray | None
    initial_values: FloatArray | None
    probe: BoolArray | None
    scores: dict[str, FloatArray]

    def __init__(
        self,
        tasks: ArrayLike,
        returns: ArrayLike | None = None,
        *,
        ids: ArrayLike | None = None,
        seeds: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        successes: ArrayLike | None = None,
        trials: ArrayLike | None = None,
        discounted: ArrayLike | None = None,
        terminated: ArrayLike | None = None,
        truncated: ArrayLike | None = None,
        initial_values: ArrayLike | None = None,
        probe: ArrayLike | None = None,
        scores: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        self.tasks = np.asarray(tasks)
        if self.tasks.ndim == 0:
            self.tasks = self.tasks[None]
        n = len(self.tasks)
        self._check_finite("tasks", self.tasks)
        self.returns = self._column("returns", returns, n)
        self.ids = self._column("ids", ids, n)
        self.seeds = self._column("seeds", seeds, n)
        given = self._column("lengths", lengths, n)
        self.lengths = np.ones(n, dtype=np.int64) if given is None else given
        self.successes = self._column("successes", successes, n)
        self.trials = self._column("trials", trials, n)
        if given is not None:
            self._check_least("lengths", given, 0)
        if self.trials is not None:
            self._check_least("trials", self.trials, 1)
        self.discounted = self._column("discounted", discounted, n)
        self.terminated = self._column("terminated", terminated, n)
        self.truncated = self._column("truncated", truncated, n)
        self.initial_values = self._column("initial_values", initial_values, n)
        self.probe = None
        if probe is not None:
            self.probe = np.broadcast_to(np.asarray(probe, dtype=np.bool_), (n,)).copy()
        self.scores = {}
        for name, values in (scores or {}).items():
            self.scores[name] = self._numbers(f"scores[{name!r}]", values, _FLOAT, n)
        if self.returns is None and "loss" not in self.scores:
            raise ValueError('outcomes need returns, or scores["loss"] for examples')
        if self.successes is not None and n:
            shares = self.successes.tolist()
            low, high = min(shares), max(shares)
            if low < 0 or high > 1:
                raise ValueError(f"successes must lie in [0, 1], got [{low:g}, {high:g}]")

    @classmethod
    def of_checked(
        cls,
        tasks: NDArray[Any],
        returns: FloatArray,
        *,
        ids: IntArray,
        seeds: IntArray,
        lengths: IntArray,
        discounted: FloatArray,
        terminated: BoolArray,
        truncated: BoolArray,
        successes: FloatArray | None = None,
        initial_values: FloatArray | None = None,
        probe: ArrayLike | None = None,
        scores: Mapping[str, FloatArray] | None = None,
    ) -> Outcomes:
        """Return outcomes from arrays known to be right: ``(n,)``, these types, finite, in range.

        The vector form makes one an episode, of arrays that it has made and looked through itself.
        """
        self = cls.__new__(cls)
        self.tasks, self.returns, self.ids, self.seeds = tasks, returns, ids, seeds
        self.lengths, self.discounted = lengths, discounted
        self.terminated, self.truncated = terminated, truncated
        self.successes, self.initial_values = successes, initial_values
        self.trials = None
        self.probe = None if probe is None else np.array(probe, dtype=np.bool_)
        self.scores = {} if scores is None else dict(scores)
        return self

    def _column(self, name: str, values: ArrayLike | None, n: int) -> Any:
        if values is None:
            return None
        dtype = _DTYPES[name]
        # The common case, quickly: built once an episode.
        if (
            isinstance(values, np.ndarray)
            and values.dtype is dtype
            and values.shape == (n,)
            and (dtype is not _FLOAT or (n < 100 and math.isfinite(sum(values.tolist()))))
        ):
            return values
        return self._numbers(name, values, dtype, n)

    def _numbers(self, name: str, values: ArrayLike, dtype: np.dtype[Any], n: int) -> Any:
        array = np.asarray(values)
        if array.dtype is not dtype and array.dtype != dtype:
            # Checked before a cast that would turn NaN into some integer.
            self._check_finite(name, array)
            cast = array.astype(dtype)
            if dtype is _FLOAT:
                self._check_finite(name, cast)  # None among objects has become NaN
            elif dtype is _INT and not np.array_equal(cast, array):
                raise ValueError(f"{name} must be whole numbers, got {values!r}")
            array = cast
        elif dtype is _FLOAT:
            self._check_finite(name, array)
        if array.shape != (n,):
            if array.ndim == 0 and n == 1:
                return array[None]
            raise ValueError(f"{name} must have shape ({n},), one entry a task, got {array.shape}")
        return array

    def _check_least(self, name: str, array: IntArray, least: int) -> None:
        values = array.tolist()
        if values and min(values) < least:
            row = int(np.argmin(array))
            raise ValueError(
                f"{name} must be at least {least}, got {values[row]} in row {row} "
                f"(task {self.tasks[row]})"
            )

    def _check_finite(self, name: str, array: NDArray[Any]) -> None:
        if array.dtype.kind != "f":
            return
        # The sum is finite unless an entry is not (or it overflows, which the second look settles).
        if math.isfinite(sum(array.ravel().tolist()) if array.size < 100 else array.sum()):
            return
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            row = int(bad[0][0]) if array.ndim else 0
            task = self.tasks[row] if row < len(self.tasks) else None
            raise ValueError(
                f"{name} must be finite, got {array[tuple(bad[0])]} in row {row} (task {task}): "
                "look for a division by zero in the reward, or cancel the ticket instead"
            )

    def __len__(self) -> int:
        return len(self.tasks)

    def take(self, rows: Any) -> Outcomes:
        """Return the entries at ``rows`` (indices, a slice or a mask), in that order."""
        columns = {
            name: None if (column := getattr(self, name)) is None else column[rows]
            for name in (*COLUMNS, "probe")
        }
        scores = {name: values[rows] for name, values in self.scores.items()}
        return Outcomes(self.tasks[rows], scores=scores, **columns)

    def has(self, column: str) -> bool:
        """Tell whether a column or score of this name is there."""
        if column in self.scores:
            return True
        return column in {f.name for f in fields(self)} and getattr(self, column) is not None
