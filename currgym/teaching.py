"""Teachers: the contract, its base class, and the registry that finds them.

A teacher works in the unit cube (or on indices) and sees returns in [0, 1]; conversion, checks,
counting and the private random generator live here. A teacher is a pure function of its seed, the
calls and the outcomes, so the log of a run rebuilds it.
"""

from __future__ import annotations

import copy
import importlib
import importlib.metadata
import inspect
import math
import pkgutil
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.outcomes import COLUMNS, Outcomes
from currgym.reasons import Reason
from currgym.registry import Registry, check_arguments, nearest
from currgym.tasks import DiscreteTasks, TaskSpace

__all__ = [
    "PRIVILEGES", "Batch", "Proposals", "Reason", "ReturnScale", "Teacher", "TeacherLike",
    "make_teacher", "register", "teacher_names", "teacher_parameters", "teachers",
]  # fmt: skip

FloatArray = NDArray[np.float64]
State = dict[str, Any]

PRIVILEGES = frozenset(
    {
        "difficulty", "target", "initial", "return_range", "success_threshold", "solver",
        "validation_labels", "demonstrations",
    }
)  # fmt: skip
"""Information beyond outcomes that a teacher may use; tables group arms by it."""

QUANTILE_WINDOW = 1000
QUANTILE_REFRESH = 50


@dataclass(frozen=True)
class Proposals:
    """Tasks a teacher proposes.

    Attributes:
        tasks: ``(n, d)`` or ``(n,)``, as the task space writes them.
        seeds: ``(n,)`` int64; given, the level (task, seed) is replayed exactly. None lets the
            curriculum draw them.
        density: ``(n,)`` probability densities in the unit cube under which the tasks were drawn.
    """

    tasks: NDArray[Any]
    seeds: NDArray[np.int64] | None = None
    density: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.tasks)


@runtime_checkable
class TeacherLike(Protocol):
    """The least a teacher must have; any such object drives a curriculum."""

    def sample(self, n: int = 1) -> Any:
        """Return ``n`` tasks."""

    def update(self, outcomes: Outcomes) -> None:
        """Take outcomes back."""


class Batch(Outcomes):
    """Outcomes as a teacher's ``_update`` sees them.

    ``tasks`` are in the unit cube (or indices), ``returns`` in [0, 1]; ``raw_returns`` as reported.
    """

    __slots__ = ("raw_returns",)

    raw_returns: FloatArray
    returns: FloatArray

    @classmethod
    def of(
        cls, outcomes: Outcomes, tasks: NDArray[Any], raw: FloatArray, scaled: FloatArray
    ) -> Batch:
        """Return the same columns with converted tasks and returns (checked already)."""
        batch = cls.__new__(cls)
        for name in (*COLUMNS, "probe", "scores"):
            setattr(batch, name, getattr(outcomes, name))
        batch.tasks, batch.returns, batch.raw_returns = tasks, scaled, raw
        return batch


class ReturnScale:
    """Maps raw returns to [0, 1], clamped.

    Args:
        return_range: Raw returns that map to 0 and 1. None follows the 5 % and 95 % quantiles of
            the latest 1,000 returns, refreshed every 50.
    """

    def __init__(self, return_range: tuple[float, float] | None) -> None:
        self.fixed = return_range is not None
        self._low, self._high = return_range if return_range is not None else (0.0, 1.0)
        if not (math.isfinite(self._low) and math.isfinite(self._high) and self._low < self._high):
            raise ValueError(
                f"return_range must be (low, high) with low < high, got {return_range}"
            )
        self._latest: FloatArray = np.empty(0 if self.fixed else QUANTILE_WINDOW)
        self._count = 0
        self._due = 1

    @property
    def range(self) -> tuple[float, float]:
        """The raw returns that map to 0 and 1 at present."""
        return self._low, self._high

    def observe(self, returns: FloatArray) -> None:
        """Take note of raw returns (only the running form does)."""
        if self.fixed:
            return
        for value in returns.tolist():
            self._latest[self._count % QUANTILE_WINDOW] = value
            self._count += 1
            if self._count >= self._due:
                # Early on every return moves the quantiles much, later few do.
                self._due = self._count + min(self._count, QUANTILE_REFRESH)
                known = self._latest[: min(self._count, QUANTILE_WINDOW)]
                low, high = np.quantile(known, [0.05, 0.95])
                self._low, self._high = float(low), float(high)

    def __call__(self, returns: FloatArray) -> FloatArray:
        """Return them scaled to [0, 1]."""
        width = self._high - self._low
        if width <= 0.0:
            # All returns alike so far: no information, the middle.
            return np.where(returns > self._high, 1.0, np.where(returns < self._low, 0.0, 0.5))
        if returns.shape == (1,):  # the common case, without arrays
            return np.array([min(max((returns.item() - self._low) / width, 0.0), 1.0)])
        scaled: FloatArray = np.minimum(np.maximum((returns - self._low) / width, 0.0), 1.0)
        return scaled

    def state_dict(self) -> State:
        """Return plain arrays and numbers."""
        return {
            "low": self._low, "high": self._high, "count": self._count, "due": self._due,
            "latest": self._latest[: min(self._count, QUANTILE_WINDOW)].copy(),
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._low, self._high = float(state["low"]), float(state["high"])
        self._count, self._due = int(state["count"]), int(state["due"])
        self._latest[: len(state["latest"])] = state["latest"]


class Teacher(ABC):
    """Base class of teachers: one file, one subclass, ``@register("name")``, nothing else to edit.

    Args:
        space: What tasks there are.
        seed: Of the private random generator; None draws one from the system. 0 is a seed.
        return_range: Raw returns that the teacher sees as 0 and 1; None uses running quantiles.

    Raises:
        ValueError: If the teacher cannot work on this kind of space.
    """

    name: ClassVar[str] = ""
    """The registered name."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named settings, e.g. a paper's."""
    spaces: ClassVar[frozenset[str]] = frozenset({"box"})
    """Kinds of space it works on; ``"box"`` includes whatever has a unit cube."""
    needs: frozenset[str] = frozenset()
    """Columns and scores of outcomes, and ``"probe"``, without which it cannot work."""
    privileges: frozenset[str] = frozenset()
    """Subset of :data:`PRIVILEGES` that it uses."""
    probes_explore: ClassVar[bool] = False
    """Whether its requests are played as the student explores in training, not at its best."""
    files: ClassVar[frozenset[str]] = frozenset()
    """Parameters that may be the path of a file; a run keeps a copy of each."""
    names_teachers: ClassVar[frozenset[str]] = frozenset()
    """Parameters that name other teachers, in a text or a list; their source decides a run too."""
    default_parts: ClassVar[tuple[str, ...]] = ()
    """Teachers that it may consist of where such a parameter is None."""
    required: ClassVar[frozenset[str]] = frozenset()
    """Parameters that a run must give, though the teacher can be built from a space alone: without
    them it would not be what its name says."""

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
    ) -> None:
        self.space = space
        self.seed = seed
        self.return_range = return_range
        self.rng = np.random.default_rng(seed)
        self.scale = ReturnScale(return_range)
        self.proposed = 0
        """Tasks proposed so far: the teacher's clock."""
        self.seen = 0
        """Outcomes taken so far."""
        self.native = space.kind in self.spaces
        """Whether it works on the space's own tasks; else on its unit cube."""
        if (
            space.kind != "box"
            and not self.native
            and not ("box" in self.spaces and space.unit_dim)
        ):
            hint = "declare a difficulty to give it one" if isinstance(space, DiscreteTasks) else ""
            raise ValueError(
                f"teacher {self.name or type(self).__name__!r} works on {sorted(self.spaces)}, and "
                f"{space!r} is {space.kind!r} without a unit cube{'; ' + hint if hint else ''}"
            )
        if space.kind == "box" and not self.native:
            raise ValueError(
                f"teacher {self.name or type(self).__name__!r} works on {sorted(self.spaces)}, "
                f"not on {space!r}"
            )
        self._pass: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._cursor = 0
        # Of the latest proposals, for why(), and no part of the state: the tasks, whatever
        # ``_sample`` noted of each, and for those cut from passes (place, pass) of each.
        self._latest: NDArray[Any] = np.empty(0)
        self._origins: Any = None
        self._places: list[tuple[int, int]] = []

    # What an author writes -----------------------------------------------------------------------

    @abstractmethod
    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        """Return ``n`` tasks: ``(n, unit_dim)`` in the unit cube, or ``(n,)`` indices."""

    def _update(self, batch: Batch) -> None:  # noqa: B027 - optional
        """Learn from outcomes with tasks in the unit cube (or indices) and returns in [0, 1]."""

    def _state(self) -> State:
        """Return what the subclass must keep, as plain arrays and numbers."""
        return {}

    def _load(self, state: Mapping[str, Any]) -> None:  # noqa: B027 - optional
        """Take back what :meth:`_state` returned."""

    def _plan(self, rng: np.random.Generator) -> NDArray[np.int64] | None:
        """Return the next pass over the examples in order (discrete spaces), or None for draws."""
        return None

    def _requests(self) -> Proposals | None:
        """Return attempts without learning that it would like now (tasks in natural units)."""
        return None

    def snapshot(self) -> dict[str, Any]:
        """Return small arrays (100 kB at most) that explain the present decision."""
        return {}

    def _why(self, row: int, task: Any) -> Reason:
        """Return why a row of the latest proposals was proposed.

        A ``_sample`` that chooses in a way that the task does not show notes its choices, one entry
        a row, in ``self._origins``.

        Args:
            row: From 0.
            task: In the unit cube, or its index, as ``_update`` would see it.
        """
        after = f"proposal {self._number(row):,}, made after {self.seen:,} outcomes"
        return Reason(self._place(row) or f"what {self.name or type(self).__name__} draws", after)

    # What everybody calls ------------------------------------------------------------------------

    def sample(self, n: int = 1) -> NDArray[Any]:
        """Propose ``n`` tasks, always inside the space."""
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        return self._draw(n, self.rng)

    def propose(self, n: int = 1) -> Proposals:
        """Propose ``n`` tasks with what the teacher knows about them; wraps :meth:`sample`."""
        return Proposals(self.sample(n))

    def why(self, row: int = 0) -> Reason:
        """Return why a task was proposed, a row of the latest proposals; leaves no trace.

        Ask before the next outcomes come in: the facts are the present ones.

        Raises:
            ValueError: If the latest proposals, since it was built or loaded, have no such row.
        """
        if not 0 <= row < len(self._latest):
            if row >= 0 and not len(self._latest) and self._proposes_itself:
                return Reason(f"what {self.name} draws", f"after {self.seen:,} outcomes")
            raise ValueError(
                f"row must be that of one of the latest {len(self._latest)} proposals, got {row}"
            )
        task = self._latest[row : row + 1]
        if not self.native or self.space.kind == "box":
            task = self.space.to_unit(task)
        return self._why(row, task[0])

    @property
    def _proposes_itself(self) -> bool:
        """Whether an author has replaced what notes the latest proposals, or added to it."""
        cls = type(self)
        return cls.sample is not Teacher.sample or cls.propose is not Teacher.propose

    def requests(self) -> Proposals | None:
        """Return attempts *without learning* that the teacher would like now, or None."""
        return self._requests()

    def update(self, outcomes: Outcomes) -> None:
        """Take outcomes: any number, any order, late or foreign ones; the same twice counts twice.

        Raises:
            ValueError: If a column the teacher needs is missing.
        """
        if len(outcomes) == 0:
            return
        for column in self.needs:
            if column != "probe" and not outcomes.has(column):
                raise ValueError(
                    f"teacher {self.name!r} needs {column!r} with every outcome and got none: "
                    f"pass it to settle(), or choose a teacher that does without"
                )
        raw = outcomes.returns
        if raw is None:
            raw = -outcomes.scores["loss"]
        self.scale.observe(raw)
        tasks = self.space.as_array(outcomes.tasks)
        if isinstance(self.space, DiscreteTasks):
            self.space.check(tasks)
        if type(self)._update is Teacher._update:  # it does not learn: nothing to convert
            self.seen += len(outcomes)
            return
        if not self.native or self.space.kind == "box":
            tasks = self.space.to_unit(tasks)
        self.seen += len(outcomes)
        self._update(Batch.of(outcomes, tasks, raw, self.scale(raw)))

    def weights(self, tasks: ArrayLike, losses: ArrayLike | None = None) -> FloatArray:
        """Return the weight of each task in the student's loss, shape ``(n,)``; ones by default."""
        return np.ones(len(self.space.as_array(tasks)))

    def plan(self) -> NDArray[np.int64]:
        """Return what is left of the running pass over the examples, or else the next pass.

        Raises:
            ValueError: If the space is not discrete.
        """
        if not isinstance(self.space, DiscreteTasks):
            raise ValueError(f"plan() is for discrete spaces, and this is {self.space!r}")
        left = len(self._pass) - self._cursor
        if left == 0 and not self._next_pass(self.rng):
            left = self.space.n
        return np.asarray(self.sample(left or len(self._pass)), dtype=np.int64)

    def preview(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        """Return tasks it would propose now, for monitoring; leaves no trace."""
        return copy.deepcopy(self, {id(self.space): self.space})._draw(n, rng)

    def state_dict(self) -> State:
        """Return all of it as plain arrays and numbers, the random stream included."""
        return {
            "rng": self.rng.bit_generator.state,
            "proposed": self.proposed,
            "seen": self.seen,
            "scale": self.scale.state_dict(),
            "pass": self._pass.copy(),
            "cursor": self._cursor,
            "own": self._state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state, bit for bit."""
        self.rng.bit_generator.state = state["rng"]
        self.proposed, self.seen = int(state["proposed"]), int(state["seen"])
        self.scale.load_state_dict(state["scale"])
        self._pass = np.array(state["pass"], dtype=np.int64)
        self._cursor = int(state["cursor"])
        self._latest = np.empty(0)
        self._load(state["own"])

    def __repr__(self) -> str:
        shown = [repr(self.space)]
        for name, parameter in inspect.signature(type(self).__init__).parameters.items():
            value = getattr(self, name, parameter.default)
            if isinstance(value, np.ndarray):
                shown.append(f"{name}=<{value.dtype} array of shape {value.shape}>")
            elif name not in ("self", "space") and value != parameter.default:
                shown.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def default_horizon(self) -> int:
        """Proposals after which a schedule ends: 10 passes over examples, else 10,000."""
        return 10 * self.space.n if isinstance(self.space, DiscreteTasks) else 10_000

    # Machinery -----------------------------------------------------------------------------------

    def _draw(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        if isinstance(self.space, DiscreteTasks):
            tasks: NDArray[Any] = self._cut(n, rng)
        else:
            tasks = self._to_tasks(self._sample(n, rng))
            self.proposed += n
        self._latest = tasks.copy()  # the caller may do with his what he likes
        return tasks

    def _number(self, row: int) -> int:
        """Return which proposal a row of the latest ones was, from 1."""
        return self.proposed - len(self._latest) + row + 1

    def _place(self, row: int) -> str:
        """Return the place in its pass of a row of the latest proposals; empty if it was drawn."""
        if not self._places:
            return ""
        place, length = self._places[row]
        return f"place {place:,} of a pass of {length:,} examples"

    def _to_tasks(self, drawn: NDArray[Any]) -> NDArray[Any]:
        """Turn what ``_sample`` returned into tasks of the space.

        A teacher whose ``_sample`` returns the space's own tasks overrides it to check them only.
        """
        if self.native and self.space.kind != "box":
            return self.space.check(drawn)
        return self.space.from_unit(drawn)

    def _next_pass(self, rng: np.random.Generator) -> bool:
        """Start the next pass; False where the teacher has no plan and draws instead."""
        plan = self._plan(rng)
        if plan is None:
            return False
        self._pass, self._cursor = np.asarray(self.space.check(plan), dtype=np.int64), 0
        if len(self._pass) == 0:
            raise RuntimeError(f"teacher {self.name!r} planned an empty pass over {self.space!r}")
        return True

    def _cut(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Cut ``n`` examples from the running pass, beginning new ones as needed.

        The clock goes on piece by piece, so a pass begun in the middle of a call is planned at the
        same time as if the calls had been single.
        """
        pieces: list[NDArray[np.int64]] = []
        self._places = []
        while n > 0:
            if self._cursor == len(self._pass) and not self._next_pass(rng):
                pieces.append(np.asarray(self._to_tasks(self._sample(n, rng)), dtype=np.int64))
                self.proposed += n
                break
            piece = self._pass[self._cursor : self._cursor + n]
            places = range(self._cursor + 1, self._cursor + 1 + len(piece))
            self._places += [(place, len(self._pass)) for place in places]
            self._cursor += len(piece)
            self.proposed += len(piece)
            n -= len(piece)
            pieces.append(piece)
        return pieces[0].copy() if len(pieces) == 1 else np.concatenate(pieces)


T = TypeVar("T", bound=type[Teacher])


def _load_teachers() -> None:
    """Import our teachers by listing the folder, and others' through their entry points."""
    import currgym.teachers as folder

    for module in pkgutil.iter_modules(folder.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"currgym.teachers.{module.name}")
    for entry in importlib.metadata.entry_points(group="currgym.teachers"):
        try:
            entry.load()
        except Exception as error:
            # Another package's fault must not take everybody's teachers away.
            warnings.warn(
                f"teacher {entry.name!r} of {entry.value!r} could not be loaded: {error!r}",
                stacklevel=2,
            )


teachers: Registry[type[Teacher]] = Registry("teacher", _load_teachers)
"""Every registered teacher, by name."""


def register(name: str, presets: Mapping[str, Mapping[str, Any]] | None = None) -> Callable[[T], T]:
    """Register a teacher class under a name, with named presets.

    Raises:
        ValueError: If another class has the name, or it declares an unknown privilege.
        TypeError: If a preset names a parameter the class does not have.
    """

    def add(cls: T) -> T:
        cls.name = name
        cls.presets = dict(presets or {})
        if not isinstance(cls.privileges, property):
            unknown = frozenset(cls.privileges) - PRIVILEGES
            if unknown:
                raise ValueError(nearest(min(unknown), PRIVILEGES, "privilege"))
        for settings in cls.presets.values():
            check_arguments(settings, teacher_parameters(cls), f"teacher {name!r}")
        teachers.add(name, cls)
        return cls

    return add


def teacher_parameters(cls: type[Teacher]) -> dict[str, inspect.Parameter]:
    """Return a teacher's own parameters (all but space, seed and return_range), in order."""
    try:
        parameters = inspect.signature(cls.__init__, eval_str=True).parameters
    except NameError:  # a type imported for checkers only: its name will do
        parameters = inspect.signature(cls.__init__).parameters
    return {
        k: p for k, p in parameters.items() if k not in ("self", "space", "seed", "return_range")
    }


def teacher_names(names: str | Sequence[Any]) -> list[str]:
    """Return the teachers named by a parameter: a list, or a text with commas or plus signs."""
    parts = names.replace("+", ",").split(",") if isinstance(names, str) else list(names)
    return [str(part).strip() for part in parts]


def make_teacher(
    name: str | type[Teacher],
    space: TaskSpace,
    seed: int | None = None,
    return_range: tuple[float, float] | None = None,
    preset: str | None = None,
    **parameters: Any,
) -> Teacher:
    """Build a teacher by name.

    Args:
        name: A registered name, ``"name:preset"``, or a class.
        space: What tasks there are.
        seed: Of its private random generator.
        return_range: Raw returns that it sees as 0 and 1; None uses running quantiles.
        preset: Named settings; explicit parameters come before them.
        **parameters: The teacher's own parameters.

    Raises:
        ValueError: For an unknown name or preset (the nearest valid ones are named), or a value out
            of range.
        TypeError: For an unknown parameter (likewise).

    >>> from currgym import BoxTasks, make_teacher
    >>> make_teacher("random", BoxTasks([0, 0], [3, 6]), seed=0).sample(2).shape
    (2, 2)
    """
    if isinstance(name, str):
        name, _, inline = name.partition(":")
        preset = preset or inline or None
        cls = teachers[name]
    else:
        cls = name
    settings: dict[str, Any] = {}
    if preset is not None:
        if preset not in cls.presets:
            raise ValueError(nearest(preset, cls.presets, f"preset of teacher {cls.name!r}"))
        settings.update(cls.presets[preset])
    settings.update(parameters)
    check_arguments(settings, teacher_parameters(cls), f"teacher {cls.name!r}")
    return cls(space, seed=seed, return_range=return_range, **settings)
