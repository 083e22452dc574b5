"""Task spaces: what a task is, and how it maps to the unit cube teachers work in.

Three maps connect the two worlds: ``to_unit`` and ``from_unit`` between natural units and the cube,
and ``as_dict`` to names a person reads. A space without a cube (levels, unordered examples) still
samples, checks and edits tasks.
"""

from __future__ import annotations

import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from operator import le
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["BoxTasks", "DiscreteTasks", "TaskSpace", "space_from_config"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Kind = str | tuple[str, ...]
Difficulty = str | Mapping[str, float] | Callable[[Any], ArrayLike] | ArrayLike

MAX_GRID_ROWS = 1_000_000


class TaskSpace(ABC):
    """Everything a teacher and an environment must agree on about tasks.

    Subclass it for levels (mazes, tracks) and override :meth:`sample` and :meth:`edit`, and
    :meth:`contains` where not every array of a level's shape is a level; a space with a cube
    overrides :meth:`to_unit` and :meth:`from_unit` too. A run needs :attr:`names`, one a number of
    the task, and :meth:`config`, with the class and its arguments::

        {"type": "levels", "class": "my_package.mazes:Mazes", "arguments": {"size": 9}}
    """

    kind: str = "levels"
    """``"box"``, ``"discrete"`` or ``"levels"``: what a teacher lists in its ``spaces``."""
    names: tuple[str, ...] = ()
    """Names of the task's dimensions, in order."""
    difficulty: Difficulty | None = None
    """The declared difficulty, as it was given."""

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        """Draw ``n`` tasks uniformly over the space."""

    def contains(self, tasks: ArrayLike) -> NDArray[np.bool_]:
        """Tell for each task whether it lies inside the space, shape ``(n,)``.

        By default everything of a sampled task's shape does.
        """
        array = self.as_array(tasks)
        return np.full(len(array), array.shape[1:] == self._task_shape, dtype=np.bool_)

    @abstractmethod
    def edit(self, tasks: ArrayLike, rng: np.random.Generator, size: float = 0.1) -> NDArray[Any]:
        """Return a small random change of each task; ``size`` is a share of the space's width."""

    @property
    def unit_dim(self) -> int:
        """Number of live dimensions of the unit cube; 0 where the space has none."""
        return 0

    def to_unit(self, tasks: ArrayLike) -> FloatArray:
        """Map tasks to the unit cube, shape ``(n, unit_dim)`` in [0, 1]."""
        raise ValueError(self._no_cube())

    def from_unit(self, unit: ArrayLike) -> NDArray[Any]:
        """Map points of the unit cube to tasks, clipping to the bounds."""
        raise ValueError(self._no_cube())

    def grid(self, points_per_axis: int) -> NDArray[Any]:
        """Return a regular grid of tasks (at most a million rows)."""
        raise ValueError(self._no_cube())

    def difficulty_of(self, tasks: ArrayLike) -> FloatArray:
        """Return the declared difficulty of each task, shape ``(n,)``; higher is harder."""
        raise ValueError(f"{type(self).__name__} declares no difficulty: pass difficulty=...")

    @cached_property
    def _task_shape(self) -> tuple[int, ...]:
        """The shape of one task, as the space samples it."""
        return np.shape(self.sample(1, np.random.default_rng(0)))[1:]

    def as_array(self, tasks: ArrayLike) -> NDArray[Any]:
        """Return tasks as the array this space uses, one row a task; one task becomes one row."""
        array = np.asarray(tasks)
        return array[None] if array.ndim == len(self._task_shape) else array

    def from_rows(self, rows: ArrayLike) -> NDArray[Any]:
        """Return tasks from rows of plain numbers ``(n, k)``, as logs keep them."""
        sample = self.sample(1, np.random.default_rng(0))
        numbers = np.asarray(rows, dtype=np.float64)
        return numbers.reshape(len(numbers), *sample.shape[1:]).astype(sample.dtype)

    def easy(self, n: int, rng: np.random.Generator) -> NDArray[Any] | None:
        """Draw ``n`` levels to begin with, such as empty rooms; None where it knows of none."""
        return None

    @property
    def choices(self) -> tuple[int, int] | None:
        """How a designer builds a level: (choices, options of each), or None if it cannot."""
        return None

    def from_choices(self, choices: ArrayLike) -> NDArray[Any]:
        """Return the levels that rows of choices ``(n, number)`` build; every row builds one."""
        raise ValueError(f"{type(self).__name__} is not built by choices: override from_choices")

    def check(self, tasks: ArrayLike) -> NDArray[Any]:
        """Return tasks as an array.

        Raises:
            ValueError: If a task lies outside the space.
        """
        array = self.as_array(tasks)
        inside = self.contains(array)
        if not inside.all():
            row = int(np.argmin(inside))
            raise ValueError(f"task {array[row]!r} (row {row}) is outside {self!r}")
        return array

    def as_dict(self, task: Any) -> dict[str, Any]:
        """Return one task by name, labels in place of their indices."""
        return {"task": task}

    def config(self) -> dict[str, Any]:
        """Return a JSON-ready description from which :func:`space_from_config` rebuilds it.

        Raises:
            ValueError: If the difficulty is a function that cannot be imported by name.
        """
        raise ValueError(f"{type(self).__name__} has no JSON form: override config()")

    def __eq__(self, other: object) -> bool:
        """Tell whether both describe the same tasks: Gymnasium compares specifications so."""
        if not isinstance(other, TaskSpace) or type(self) is not type(other):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash((type(self).__qualname__, self.names))

    def _identity(self) -> tuple[Any, ...]:
        """Return what makes two spaces equal; a space of levels equals itself alone."""
        return (id(self),)

    @property
    def gym_space(self) -> gymnasium.Space[Any]:
        """The Gymnasium space that holds one task."""
        raise ValueError(f"{type(self).__name__} has no Gymnasium form: override gym_space")

    def _no_cube(self) -> str:
        return (
            f"{type(self).__name__} has no unit cube: declare a difficulty, or use another teacher"
        )


class BoxTasks(TaskSpace):
    """Tasks that are vectors of named parameters between bounds.

    Args:
        low: Lower bound of each dimension, natural units.
        high: Upper bound; equal to ``low`` makes the dimension a constant.
        names: One name a dimension; ``x0, x1, ...`` by default.
        kinds: One kind a dimension: ``"real"`` (default), ``"log"`` (uniform in the logarithm,
            needs ``low > 0``), ``"integer"``, or a tuple of labels, whose natural value is the
            index.
        difficulty: A dimension's name (``"-gap"`` for descending), a mapping name -> weight per
            natural unit, or a function ``(n, d) -> (n,)``. Higher is harder.

    >>> space = BoxTasks([0, 1], [3, 9], names=["height", "steps"], kinds=["real", "integer"])
    >>> space.from_unit([[0.5, 0.99]])
    array([[1.5, 9. ]])
    """

    kind = "box"

    def __init__(
        self,
        low: ArrayLike,
        high: ArrayLike,
        names: Sequence[str] | None = None,
        kinds: Sequence[Kind] | None = None,
        difficulty: Difficulty | None = None,
    ) -> None:
        self.low: FloatArray = np.array(low, dtype=np.float64, ndmin=1)
        self.high: FloatArray = np.array(high, dtype=np.float64, ndmin=1)
        if self.low.ndim != 1 or self.low.shape != self.high.shape:
            raise ValueError(
                f"low and high must be vectors of one length, got shapes {self.low.shape} "
                f"and {self.high.shape}"
            )
        dims = len(self.low)
        self.names = tuple(names) if names is not None else tuple(f"x{i}" for i in range(dims))
        self.kinds: tuple[Kind, ...] = tuple(kinds) if kinds is not None else ("real",) * dims
        if len(self.names) != dims or len(set(self.names)) != dims:
            raise ValueError(f"names must be {dims} different names, got {self.names}")
        if len(self.kinds) != dims:
            raise ValueError(f"kinds must have {dims} entries, got {len(self.kinds)}")
        for i, name in enumerate(self.names):
            self._check_dimension(name, self.kinds[i], float(self.low[i]), float(self.high[i]))
        self.difficulty = difficulty
        self._check_difficulty()
        self._build()

    @staticmethod
    def _check_dimension(name: str, kind: Kind, low: float, high: float) -> None:
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(f"bounds of {name!r} must be finite, got [{low}, {high}]")
        if low > high:
            raise ValueError(f"low of {name!r} must not exceed high, got [{low}, {high}]")
        if isinstance(kind, tuple):
            if low < 0 or high > len(kind) - 1 or low != int(low) or high != int(high):
                raise ValueError(
                    f"bounds of {name!r} must be indices of its {len(kind)} labels, "
                    f"got [{low}, {high}]"
                )
        elif kind == "log":
            if low <= 0:
                raise ValueError(f"low of the logarithmic {name!r} must be above 0, got {low}")
        elif kind == "integer":
            if low != int(low) or high != int(high):
                raise ValueError(
                    f"bounds of the integer {name!r} must be whole, got [{low}, {high}]"
                )
        elif kind != "real":
            raise ValueError(
                f"kind of {name!r} must be 'real', 'log', 'integer' or a tuple of labels, "
                f"got {kind!r}"
            )

    def _check_difficulty(self) -> None:
        named: list[str] = []
        if isinstance(self.difficulty, str):
            named = [self.difficulty.removeprefix("-")]
        elif isinstance(self.difficulty, Mapping):
            named = list(self.difficulty)
        elif self.difficulty is not None and not callable(self.difficulty):
            raise ValueError(
                "difficulty of a box must be a dimension's name, a mapping or a function, "
                f"got {type(self.difficulty).__name__}"
            )
        for name in named:
            if name not in self.names:
                raise ValueError(f"difficulty names {name!r}, which is not one of {self.names}")

    def _build(self) -> None:
        """Precompute the affine maps, so that one conversion is a handful of array operations."""
        live = self.low < self.high
        self._live = np.flatnonzero(live)
        self._all_live = bool(live.all())
        self._whole = np.array(
            [isinstance(k, tuple) or k == "integer" for k in self.kinds], dtype=bool
        )[live]
        self._log = np.array([k == "log" for k in self.kinds], dtype=bool)[live]
        self._any_whole, self._any_log = bool(self._whole.any()), bool(self._log.any())
        self._all_log = self._any_log and bool(self._log.all())
        low, high = self.low[live], self.high[live]
        self._low_live, self._high_live = low, high
        # A space simple enough for one task to be mapped without arrays, number by number.
        self._plain = self._all_live and not self._any_whole and self._all_log == self._any_log
        self._start = np.where(self._log, np.log(np.where(self._log, low, 1.0)), low)
        end = np.where(self._log, np.log(np.where(self._log, high, 1.0)), high)
        # A whole-number dimension owns one slice more than its width, so that each value has one.
        self._width = np.where(self._whole, end - self._start + 1.0, end - self._start)
        self._starts, self._widths = self._start.tolist(), self._width.tolist()
        self._bounds = list(zip(low.tolist(), high.tolist(), strict=True))
        # Whether rounding misses a bound from the inside; the ends of the cube are the bounds.
        self._misses_ends = False
        ends = self._live_from_unit(np.repeat([[0.0], [1.0]], len(low), axis=1))
        self._misses_ends = not np.array_equal(ends, [low, high])
        self._low_list, self._high_list = self.low.tolist(), self.high.tolist()
        for array in (self.low, self.high):
            array.setflags(write=False)

    def __repr__(self) -> str:
        parts = [
            f"{name}=[{low:g}, {high:g}]"
            for name, low, high in zip(self.names, self.low, self.high, strict=True)
        ]
        return f"BoxTasks({', '.join(parts)})"

    def _identity(self) -> tuple[Any, ...]:
        difficulty = self.difficulty
        if isinstance(difficulty, Mapping):
            difficulty = dict(difficulty)
        return self._low_list, self._high_list, self.names, self.kinds, difficulty

    @property
    def dim(self) -> int:
        """Number of dimensions of a task, constants included."""
        return len(self.low)

    @property
    def unit_dim(self) -> int:
        """Number of live (not constant) dimensions."""
        return len(self._live)

    def as_array(self, tasks: ArrayLike) -> FloatArray:
        """Return tasks as float64 ``(n, d)``; one task of shape ``(d,)`` becomes one row."""
        array = np.asarray(tasks, dtype=np.float64)
        if array.ndim == 1:
            array = array[None]
        if array.ndim != 2 or array.shape[1] != len(self.low):
            raise ValueError(
                f"tasks must have shape (n, {len(self.low)}) for {self.names}, "
                f"got {np.shape(tasks)}"
            )
        return array

    def sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Draw ``n`` tasks, uniform in the unit cube, shape ``(n, d)``."""
        return self.from_unit(rng.random((n, len(self._live))))

    def contains(self, tasks: ArrayLike) -> NDArray[np.bool_]:
        """Tell for each task whether it lies inside the bounds (whole where it must be)."""
        array = self.as_array(tasks)
        inside = (array >= self.low) & (array <= self.high)
        if self._any_whole:
            whole = self._live[self._whole]
            inside[:, whole] &= array[:, whole] == np.floor(array[:, whole])
        return np.asarray(inside.all(axis=1))

    def check(self, tasks: ArrayLike) -> FloatArray:
        """Return tasks as an array.

        Raises:
            ValueError: If a task lies outside, naming dimension, value and bounds.
        """
        array = self.as_array(tasks)
        if not self._any_whole:
            if len(array) == 1:  # one task, once an episode: no arrays for so little
                row = array[0].tolist()
                if all(map(le, self._low_list, row)) and all(map(le, row, self._high_list)):
                    return array
            elif ((array >= self.low) & (array <= self.high)).all():
                return array
        inside = self.contains(array)
        if not inside.all():
            row = array[int(np.argmin(inside))]
            for name, kind, value, low, high in zip(
                self.names, self.kinds, row, self.low, self.high, strict=True
            ):
                if not low <= value <= high:
                    raise ValueError(
                        f"task is outside its space: {name} = {value:g} is not in "
                        f"[{low:g}, {high:g}]"
                    )
                if (kind == "integer" or isinstance(kind, tuple)) and value != math.floor(value):
                    raise ValueError(
                        f"task is outside its space: {name} = {value:g} must be a whole number "
                        f"in [{low:g}, {high:g}]"
                    )
        return array

    def to_unit(self, tasks: ArrayLike) -> FloatArray:
        """Map tasks to the live unit cube, shape ``(n, unit_dim)``.

        Whole numbers and labels go to the centre of their slice. ``from_unit(to_unit(t)) == t``
        holds exactly for every task that :meth:`from_unit` made; others come back within one
        rounding.
        """
        array = self.as_array(tasks)
        if self._plain and not self._any_log and len(array) == 1:
            one = self._one_unit(array[0].tolist())
            if one is not None:
                return one
        live = array if self._all_live else array[:, self._live]
        if live.shape[1] == 0:
            return np.empty((len(live), 0))
        values = live
        if self._any_log:
            values = np.where(self._log, np.log(np.where(self._log, live, 1.0)), live)
        unit = (values - self._start) / self._width
        if self._any_whole:
            unit = np.where(self._whole, (values - self._start + 0.5) / self._width, unit)
        unit = np.minimum(np.maximum(unit, 0.0), 1.0)
        return self._settle_rounding(unit, live)

    def _settle_rounding(self, unit: FloatArray, live: FloatArray) -> FloatArray:
        """Move coordinates by a few last bits until they map back to the very task."""
        off = self._live_from_unit(unit) != live
        if not off.any():
            return unit
        rows, columns = np.nonzero(off)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            target = live[row, column]
            below = above = unit[row, column]
            for _ in range(4):
                below, above = np.nextafter(below, 0.0), np.nextafter(above, 1.0)
                found = [u for u in (below, above) if self._one_from_unit(u, column) == target]
                if found:
                    unit[row, column] = found[0]
                    break
        return unit

    def _one_from_unit(self, unit: float, column: int) -> float:
        point = np.zeros((1, len(self._live)))
        point[0, column] = unit
        return float(self._live_from_unit(point)[0, column])

    def _one_task(self, unit: list[float]) -> FloatArray | None:
        """Do what :meth:`_live_from_unit` does for one interior point of a plain space, quickly."""
        values = []
        for u, start, width in zip(unit, self._starts, self._widths, strict=True):
            if not 0.0 < u < 1.0:
                return None
            values.append(start + u * width)
        if self._any_log:
            values = np.exp(np.array(values)).tolist()
        for i, (low, high) in enumerate(self._bounds):
            if not low <= values[i] <= high:
                values[i] = low if values[i] < low else high
        return np.array([values])

    def _one_unit(self, task: list[float]) -> FloatArray | None:
        """Do what :meth:`to_unit` does for one task that maps back exactly, quickly."""
        unit = []
        for value, start, width in zip(task, self._starts, self._widths, strict=True):
            u = (value - start) / width
            if not (0.0 < u < 1.0 and start + u * width == value):
                return None
            unit.append(u)
        return np.array([unit])

    def _live_from_unit(self, unit: FloatArray, interior: bool = False) -> FloatArray:
        values = self._start + unit * self._width
        if self._all_log:
            values = np.exp(values)
        elif self._any_log:
            values = np.where(self._log, np.exp(np.where(self._log, values, 0.0)), values)
        if self._any_whole:
            values = np.where(self._whole, np.floor(values), values)
        if self._misses_ends and not interior:
            values = np.where(unit <= 0.0, self._low_live, values)
            values = np.where(unit >= 1.0, self._high_live, values)
        # The rounding of the last product, and the last slice's end, may lie a hair outside.
        result: FloatArray = np.minimum(np.maximum(values, self._low_live), self._high_live)
        return result

    def from_unit(self, unit: ArrayLike) -> FloatArray:
        """Map points ``(n, unit_dim)`` to tasks ``(n, d)``; points outside are clipped."""
        if self._plain and isinstance(unit, np.ndarray) and unit.shape == (1, len(self.low)):
            one = self._one_task(unit[0].tolist())
            if one is not None:
                return one
        array = np.asarray(unit, dtype=np.float64)
        if array.ndim == 1:
            array = array[None]
        if array.ndim != 2 or array.shape[1] != len(self._live):
            raise ValueError(
                f"unit tasks must have shape (n, {len(self._live)}), got {np.shape(unit)}"
            )
        few = array.ravel().tolist() if array.size < 100 else []
        # All well inside, quickly: a sum is finite unless an entry is not.
        interior = bool(few) and math.isfinite(sum(few)) and min(few) > 0.0 and max(few) < 1.0
        if not interior:
            if not np.isfinite(array).all():
                raise ValueError("unit tasks must be finite numbers")
            array = np.minimum(np.maximum(array, 0.0), 1.0)
        live = self._live_from_unit(array, interior)
        if self._all_live:
            return live
        tasks = np.repeat(self.low[None], len(array), axis=0)
        tasks[:, self._live] = live
        return tasks

    def edit(self, tasks: ArrayLike, rng: np.random.Generator, size: float = 0.1) -> FloatArray:
        """Move each live coordinate by a normal step of ``size``, reflected at the cube's faces.

        A whole-number dimension whose step falls inside its slice keeps its value.
        """
        unit = self.to_unit(tasks)
        moved = np.abs(unit + rng.normal(0.0, size, unit.shape)) % 2.0
        return self.from_unit(np.where(moved > 1.0, 2.0 - moved, moved))

    def grid(self, points_per_axis: int | Sequence[int]) -> FloatArray:
        """Return the regular grid over the live dimensions, end points included.

        Args:
            points_per_axis: Points on each live axis, or one number for each. A whole-number axis
                with fewer values than that lists each value once.

        Raises:
            ValueError: If the grid would have more than a million rows.
        """
        counts = np.broadcast_to(np.asarray(points_per_axis, dtype=int), (self.unit_dim,))
        if (counts < 1).any():
            raise ValueError(f"points_per_axis must be at least 1, got {points_per_axis}")
        axes: list[FloatArray] = []
        for column, count in enumerate(counts.tolist()):
            ticks = np.linspace(0.0, 1.0, count) if count > 1 else np.array([0.5])
            points = np.full((len(ticks), self.unit_dim), 0.5)
            points[:, column] = ticks
            axes.append(np.unique(self._live_from_unit(points)[:, column]))
        rows = math.prod(len(axis) for axis in axes)
        if rows > MAX_GRID_ROWS:
            raise ValueError(
                f"a grid of {points_per_axis} points on {self.unit_dim} axes has {rows:,} rows, "
                f"more than {MAX_GRID_ROWS:,}: ask for fewer points, or sample(n, rng)"
            )
        tasks = np.repeat(self.low[None], rows, axis=0)
        if axes:
            mesh = np.meshgrid(*axes, indexing="ij")
            tasks[:, self._live] = np.stack([m.ravel() for m in mesh], axis=1)
        return tasks

    def difficulty_of(self, tasks: ArrayLike) -> FloatArray:
        """Return the declared difficulty of each task, shape ``(n,)``; higher is harder."""
        array = self.as_array(tasks)
        if self.difficulty is None:
            return super().difficulty_of(array)
        if isinstance(self.difficulty, str):
            sign = -1.0 if self.difficulty.startswith("-") else 1.0
            column: FloatArray = array[:, self.names.index(self.difficulty.removeprefix("-"))]
            return np.asarray(sign * column)
        if isinstance(self.difficulty, Mapping):
            weights = np.array([self.difficulty.get(name, 0.0) for name in self.names])
            return np.asarray(array @ weights)
        assert callable(self.difficulty)  # narrowed at construction
        values = np.asarray(self.difficulty(array), dtype=np.float64)
        if values.shape != (len(array),):
            raise ValueError(
                f"difficulty must map (n, d) to (n,), got {values.shape} for {array.shape}"
            )
        return values

    def as_dict(self, task: ArrayLike) -> dict[str, Any]:
        """Return one task by name: floats, ints for integer dimensions, labels for categories."""
        (row,) = self.as_array(task)
        named: dict[str, Any] = {}
        for name, kind, value in zip(self.names, self.kinds, row.tolist(), strict=True):
            if isinstance(kind, tuple):
                named[name] = kind[int(value)]
            else:
                named[name] = int(value) if kind == "integer" else value
        return named

    def from_dict(self, values: Mapping[str, Any], default: ArrayLike) -> FloatArray:
        """Return the task ``(d,)`` with these values; names left out take the default task's.

        Raises:
            ValueError: For a name the space does not have, or an unknown label.
        """
        task: FloatArray = self.as_array(default)[0].copy()
        for name, value in values.items():
            if name not in self.names:
                raise ValueError(f"{name!r} is not a task parameter here; there are {self.names}")
            index = self.names.index(name)
            kind = self.kinds[index]
            if isinstance(kind, tuple) and isinstance(value, str):
                if value not in kind:
                    raise ValueError(f"{name} has no label {value!r}; there are {kind}")
                value = kind.index(value)
            task[index] = value
        return task

    def config(self) -> dict[str, Any]:
        """Return a JSON-ready description."""
        return {
            "type": "box",
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "names": list(self.names),
            "kinds": [list(k) if isinstance(k, tuple) else k for k in self.kinds],
            "difficulty": _difficulty_config(self.difficulty),
        }

    @property
    def gym_space(self) -> gymnasium.spaces.Box:
        """``gymnasium.spaces.Box`` over the natural bounds."""
        return gymnasium.spaces.Box(self.low, self.high, dtype=np.float64)


class DiscreteTasks(TaskSpace):
    """``n`` numbered tasks: levels by seed, examples of a data set, named variants.

    Args:
        n: Number of tasks.
        difficulty: One score a task, shape ``(n,)``, or a function of the indices; higher is
            harder. With it the space has a one-dimensional cube, the rank, so box teachers run on
            examples.
        groups: One group label a task (classes, clusters), shape ``(n,)``.
        features: One row of features a task, shape ``(n, k)``.

    >>> DiscreteTasks(3, difficulty=[0.9, 0.1, 0.5]).from_unit([[0.0], [1.0]])
    array([1, 0])
    """

    kind = "discrete"
    names = ("task",)

    def __init__(
        self,
        n: int,
        difficulty: Difficulty | None = None,
        groups: ArrayLike | None = None,
        features: ArrayLike | None = None,
    ) -> None:
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        self.n = int(n)
        self.difficulty = difficulty
        self._scores: FloatArray | None = None
        if difficulty is not None:
            raw = difficulty(np.arange(self.n)) if callable(difficulty) else difficulty
            scores = np.asarray(raw, dtype=np.float64)
            if scores.shape != (self.n,) or not np.isfinite(scores).all():
                raise ValueError(
                    f"difficulty must be {self.n} finite scores, got shape {scores.shape}"
                )
            self._scores = scores
            self._order: IntArray = np.argsort(scores, kind="stable").astype(np.int64)
            self._rank = np.empty(self.n, dtype=np.int64)
            self._rank[self._order] = np.arange(self.n)
        self.groups = self._per_task("groups", groups)
        self.features = self._per_task("features", features)

    def _per_task(self, name: str, values: ArrayLike | None) -> NDArray[Any] | None:
        if values is None:
            return None
        array = np.asarray(values)
        if array.ndim == 0 or len(array) != self.n:
            raise ValueError(
                f"{name} must have one row for each of {self.n} tasks, got {array.shape}"
            )
        return array

    def __repr__(self) -> str:
        return f"DiscreteTasks({self.n}{'' if self._scores is None else ', with difficulty'})"

    def _identity(self) -> tuple[Any, ...]:
        kept = (self._scores, self.groups, self.features)
        return self.n, *(None if a is None else (a.shape, a.tolist()) for a in kept)

    @property
    def unit_dim(self) -> int:
        """1 with a difficulty (the rank), else 0."""
        return 0 if self._scores is None else 1

    def as_array(self, tasks: ArrayLike) -> IntArray:
        """Return tasks as int64 ``(n,)``."""
        array = np.atleast_1d(np.asarray(tasks))
        if array.ndim != 1:
            raise ValueError(f"tasks of a discrete space must have shape (n,), got {array.shape}")
        if array.dtype.kind not in "iu":
            numbers = array.astype(np.float64)
            if not (np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all()):
                raise ValueError("tasks of a discrete space must be whole numbers")
        return array.astype(np.int64, copy=False)

    def sample(self, n: int, rng: np.random.Generator) -> IntArray:
        """Draw ``n`` tasks uniformly, with replacement."""
        return rng.integers(self.n, size=n)

    def contains(self, tasks: ArrayLike) -> NDArray[np.bool_]:
        """Tell for each task whether it is an index below ``n``."""
        array = self.as_array(tasks)
        return np.asarray((array >= 0) & (array < self.n))

    def check(self, tasks: ArrayLike) -> IntArray:
        """Return tasks as an array.

        Raises:
            ValueError: If an index is out of range.
        """
        array = self.as_array(tasks)
        inside = self.contains(array)
        if not inside.all():
            raise ValueError(
                f"task is outside its space: index {array[~inside][0]} is not in [0, {self.n - 1}]"
            )
        return array

    def to_unit(self, tasks: ArrayLike) -> FloatArray:
        """Map indices to the centre of their rank's slice, shape ``(n, 1)``."""
        if self._scores is None:
            raise ValueError(self._no_cube())
        unit: FloatArray = (self._rank[self.as_array(tasks)] + 0.5)[:, None] / self.n
        return unit

    def from_unit(self, unit: ArrayLike) -> IntArray:
        """Map points ``(n, 1)`` to the index that owns the slice of rank."""
        if self._scores is None:
            raise ValueError(self._no_cube())
        array = np.asarray(unit, dtype=np.float64)
        array = array[:, 0] if array.ndim == 2 else np.atleast_1d(array)
        if not np.isfinite(array).all():
            raise ValueError("unit tasks must be finite numbers")
        ranks = np.clip(np.floor(array * self.n), 0, self.n - 1).astype(np.int64)
        return self._order[ranks]

    def edit(self, tasks: ArrayLike, rng: np.random.Generator, size: float = 0.1) -> IntArray:
        """Move each task by a normal step in rank, or draw anew where there is no difficulty."""
        array = self.as_array(tasks)
        if self._scores is None:
            return self.sample(len(array), rng)
        moved = np.abs(self.to_unit(array) + rng.normal(0.0, size, (len(array), 1))) % 2.0
        return self.from_unit(np.where(moved > 1.0, 2.0 - moved, moved))

    def grid(self, points_per_axis: int) -> IntArray:
        """Return that many indices, evenly spaced in rank (in index without a difficulty)."""
        if points_per_axis < 1:
            raise ValueError(f"points_per_axis must be at least 1, got {points_per_axis}")
        count = min(points_per_axis, self.n)
        if count > MAX_GRID_ROWS:
            raise ValueError(f"a grid may have {MAX_GRID_ROWS:,} rows at most, got {count:,}")
        ranks = np.unique(np.linspace(0, self.n - 1, count).round().astype(np.int64))
        return ranks if self._scores is None else self._order[ranks]

    def difficulty_of(self, tasks: ArrayLike) -> FloatArray:
        """Return the declared score of each task, shape ``(n,)``; higher is harder."""
        if self._scores is None:
            return super().difficulty_of(tasks)
        return self._scores[self.as_array(tasks)]

    def as_dict(self, task: Any) -> dict[str, Any]:
        """Return ``{"task": index}``."""
        return {"task": int(self.as_array(task)[0])}

    def config(self) -> dict[str, Any]:
        """Return a JSON-ready description: scores and groups included, features left out.

        Features are as large as the data, and whoever has the tasks has them.
        """
        return {
            "type": "discrete",
            "n": self.n,
            "difficulty": None if self._scores is None else self._scores.tolist(),
            "groups": None if self.groups is None else self.groups.tolist(),
        }

    @property
    def gym_space(self) -> gymnasium.spaces.Discrete:
        """``gymnasium.spaces.Discrete(n)``."""
        return gymnasium.spaces.Discrete(self.n)


def _difficulty_config(difficulty: Difficulty | None) -> Any:
    """Return the JSON form of a box's difficulty; a function goes by its import name."""
    if difficulty is None or isinstance(difficulty, str):
        return difficulty
    if isinstance(difficulty, Mapping):
        return {name: float(weight) for name, weight in difficulty.items()}
    module = getattr(difficulty, "__module__", None)
    qualname = getattr(difficulty, "__qualname__", "")
    if module in (None, "__main__") or "<" in qualname:
        raise ValueError(
            "this difficulty is a function that cannot be imported by name, so a run could not be "
            "repeated: define it at the top level of a module, or name a dimension or weights"
        )
    return {"import": f"{module}:{qualname}"}


def space_from_config(config: Mapping[str, Any], trust: bool = False) -> TaskSpace:
    """Rebuild a space from :meth:`TaskSpace.config`.

    Args:
        config: The description.
        trust: Allow importing the difficulty function, or the class of levels, that it names.

    Raises:
        ValueError: For an unknown type, or something to import without ``trust``.
    """
    if config["type"] == "levels":
        return _levels_from_config(config, trust)
    difficulty = config.get("difficulty")
    if config["type"] == "discrete":
        return DiscreteTasks(config["n"], difficulty=difficulty, groups=config.get("groups"))
    if config["type"] != "box":
        raise ValueError(f"unknown type of task space {config['type']!r}")
    if isinstance(difficulty, dict) and set(difficulty) == {"import"}:
        if not trust:
            raise ValueError(
                f"this space's difficulty imports {difficulty['import']!r}: pass trust to allow it"
            )
        difficulty = _imported(difficulty["import"])
    kinds = [tuple(k) if isinstance(k, list) else k for k in config["kinds"]]
    return BoxTasks(config["low"], config["high"], config["names"], kinds, difficulty)


def _levels_from_config(config: Mapping[str, Any], trust: bool) -> TaskSpace:
    """Rebuild a space of levels; only this library's own classes are imported without trust."""
    path = str(config["class"])
    if not path.startswith("currgym.") and not trust:
        raise ValueError(f"this space imports {path!r}: pass trust to allow it")
    found = _imported(path)
    if not (isinstance(found, type) and issubclass(found, TaskSpace)):
        raise ValueError(f"{path!r} is no class of task spaces")
    return found(**config["arguments"])


def _imported(path: str) -> Any:
    """Return what ``"module:name"`` names."""
    module, _, name = path.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found
