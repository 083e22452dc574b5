"""Checks of the two contracts, for our own suite and for anybody's teacher or environment.

:func:`check_teacher` and :func:`check_env` run every check and raise :class:`CheckFailed` at the
first that fails, naming the sentence of the contract. The checks are listed in
:data:`TEACHER_CHECKS` and :data:`ENV_CHECKS`, so that a suite can run them one by one.
"""

from __future__ import annotations

import copy
import cProfile
import hashlib
import importlib
import json
import random
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import gymnasium
import numpy as np
from numpy.typing import NDArray

from currgym.curriculum import Curriculum, Tickets
from currgym.outcomes import Outcomes
from currgym.states import load_state, save_state
from currgym.tasks import BoxTasks, DiscreteTasks, TaskSpace
from currgym.teaching import (
    PRIVILEGES,
    Proposals,
    Teacher,
    make_teacher,
    teacher_parameters,
)

__all__ = [
    "ENV_CHECKS", "TEACHER_CHECKS", "CheckFailed", "EnvCase", "TeacherCase", "check_env",
    "check_teacher", "standard_spaces", "teacher_digest", "teacher_spaces",
]  # fmt: skip

SNAPSHOT_LIMIT = 100_000
REASON_LIMIT = 500
CAPACITY = 20_000
SMALL_MEMORY = 500
MEMORY_NAMES = ("buffer_size", "capacity", "history_size", "memory", "window")
Parameters = Mapping[str, Any]


class CheckFailed(AssertionError):
    """A sentence of the contract does not hold."""


# Teachers ----------------------------------------------------------------------------------------


def standard_spaces() -> dict[str, TaskSpace]:
    """Return the spaces on which teachers are checked: 0 to 20 dimensions, of every kind."""
    n = 60
    scores = np.random.default_rng(7).gamma(2.0, size=n)
    return {
        "box": BoxTasks([0, 0], [3, 6], names=["height", "gap"], difficulty="height"),
        "mixed": BoxTasks(
            [1e-3, 0, -2, 0, 5],
            [1e1, 7, 2, 2, 5],
            names=["rate", "count", "slope", "colour", "fixed"],
            kinds=["log", "integer", "real", ("red", "green", "blue"), "real"],
            difficulty={"slope": 1.0, "count": -0.5, "colour": 0.25},
        ),
        "line": BoxTasks([-1], [1], difficulty="-x0"),
        "twenty": BoxTasks(
            np.zeros(20), np.arange(1, 21), difficulty={f"x{i}": 1.0 / (i + 1) for i in range(20)}
        ),
        "constant": BoxTasks([2, 3], [2, 3], difficulty="x0"),
        "examples": DiscreteTasks(
            n, difficulty=scores, groups=np.arange(n) % 3, features=np.outer(scores, [1.0, -1.0])
        ),
        "unordered": DiscreteTasks(n),
        "single": DiscreteTasks(1, difficulty=[0.5]),
    }


def teacher_spaces(cls: type[Teacher]) -> dict[str, TaskSpace]:
    """Return the standard spaces that a teacher must work on, by what it declares.

    An unordered discrete space may be refused, by an error that names what is missing.
    """
    chosen = {}
    for name, space in standard_spaces().items():
        if space.kind in cls.spaces or ("box" in cls.spaces and space.unit_dim):
            chosen[name] = space
    return chosen


@dataclass
class TeacherCase:
    """One teacher on one space, as every check gets it.

    Attributes:
        teacher: A registered name or a class.
        space: What tasks there are.
        seeds: Two different seeds.
        parameters: Passed to the teacher.
        capacity: Outcomes after which its memory must have stopped growing, at least 2,000.
    """

    teacher: str | type[Teacher]
    space: TaskSpace
    seeds: tuple[int, int] = (0, 1)
    parameters: Parameters = field(default_factory=dict)
    capacity: int = CAPACITY

    def build(self, seed: int | None = None, **parameters: Any) -> Teacher:
        """Build it; the first seed by default."""
        return make_teacher(
            self.teacher,
            self.space,
            seed=self.seeds[0] if seed is None else seed,
            **{**self.parameters, **parameters},
        )

    def fail(self, sentence: str, detail: str = "") -> NoReturn:
        """Raise :class:`CheckFailed`."""
        name = self.teacher if isinstance(self.teacher, str) else self.teacher.__name__
        raise CheckFailed(
            f"teacher {name!r} on {self.space!r}: {sentence}{': ' + detail if detail else ''}"
        )

    def outcomes(
        self, teacher: Teacher, tasks: Any, rng: np.random.Generator, ids: Any = None
    ) -> Outcomes:
        """Return made-up outcomes: easy tasks near the origin of the cube are solved."""
        n = len(tasks)
        easy = np.full(n, 0.5)
        if self.space.unit_dim:
            easy = 1.0 - self.space.to_unit(tasks).mean(axis=1)
        quality = np.clip(easy + rng.normal(0.0, 0.1, n), 0.0, 1.0)
        columns: dict[str, Any] = {
            "lengths": 1 + (100 * quality).astype(np.int64),
            "successes": (quality > 0.5).astype(np.float64),
        }
        wanted = teacher.needs - {"probe", "returns", "ids", *columns}
        made: dict[str, Any] = {
            "seeds": rng.integers(2**31, size=n),
            "trials": np.full(n, 1),
            "discounted": 8.0 * quality,
            "terminated": quality > 0.5,
            "truncated": quality <= 0.5,
            "initial_values": 10.0 * easy,
        }
        columns |= {name: made[name] for name in wanted if name in made}
        columns["scores"] = {name: rng.random(n) for name in sorted(wanted - set(made))}
        return Outcomes(tasks, 10.0 * quality, ids=ids, **columns)

    def run(
        self, teacher: Teacher, attempts: int, batch: int = 4, seed: int = 5, first_id: int = 0
    ) -> NDArray[Any]:
        """Teach a made-up student, answering requests too, and return the proposed tasks."""
        rng = np.random.default_rng(seed)
        taken: list[Any] = []
        for start in range(0, attempts, batch):
            tasks = teacher.propose(min(batch, attempts - start)).tasks
            ids = first_id + start + np.arange(len(tasks))
            teacher.update(self.outcomes(teacher, tasks, rng, ids))
            wanted = teacher.requests()
            if wanted is not None and len(wanted):
                answer = self.outcomes(teacher, wanted.tasks, rng)
                answer.probe = np.ones(len(wanted), dtype=np.bool_)
                teacher.update(answer)
            taken.append(tasks)
        return np.concatenate(taken)

    @property
    def degenerate(self) -> bool:
        """Whether there is only one task to propose."""
        if isinstance(self.space, DiscreteTasks):
            return self.space.n == 1
        return self.space.kind == "box" and self.space.unit_dim == 0


TeacherCheck = Callable[[TeacherCase], None]
TEACHER_CHECKS: dict[str, TeacherCheck] = {}
"""Every check of a teacher, by name."""
_ONCE: set[str] = set()


def _teacher_check(everywhere: bool = True) -> Callable[[TeacherCheck], TeacherCheck]:
    """Enter a check; without ``everywhere`` it runs on the first space only."""

    def enter(check: TeacherCheck) -> TeacherCheck:
        name = check.__name__.removeprefix("_teacher_")
        TEACHER_CHECKS[name] = check
        if not everywhere:
            _ONCE.add(name)
        return check

    return enter


def check_teacher(
    teacher: str | type[Teacher],
    space: TaskSpace | None = None,
    *,
    seeds: tuple[int, int] = (0, 1),
    parameters: Parameters | None = None,
    fresh_process: bool = False,
    capacity: int = CAPACITY,
) -> None:
    """Check that a teacher keeps its contract.

    Args:
        teacher: A registered name, or a class.
        space: Where to check it; None for every standard space of the kinds that it declares.
        seeds: Two different seeds.
        parameters: Passed to the teacher.
        fresh_process: Compare with a new Python process too (takes a second); the teacher must be
            registered or importable.
        capacity: Outcomes after which its memory must have stopped growing, at least 2,000 (the
            scale of returns alone remembers 1,000).

    Raises:
        CheckFailed: Naming the sentence of the contract that does not hold.

    >>> check_teacher("random")
    """
    cls = type(_built(teacher, space, parameters)) if isinstance(teacher, str) else teacher
    spaces = teacher_spaces(cls) if space is None else {"space": space}
    if not spaces:
        raise ValueError(f"{cls.__name__} works on {sorted(cls.spaces)} only: pass space=")
    for order, (name, where) in enumerate(spaces.items()):
        case = TeacherCase(teacher, where, seeds, parameters or {}, capacity)
        if not _applies(case, may_refuse=name == "unordered"):
            continue
        for check_name, check in TEACHER_CHECKS.items():
            if order == 0 or check_name not in _ONCE:
                check(case)
        if order == 0 and fresh_process:
            _same_in_fresh_process(case)


def _built(name: str, space: TaskSpace | None, parameters: Parameters | None) -> Teacher:
    """Build a named teacher on the first space that takes it, to learn its class."""
    problem: ValueError | None = None
    for where in [space] if space is not None else standard_spaces().values():
        try:
            return make_teacher(name, where, seed=0, **(parameters or {}))
        except ValueError as error:
            problem = error
    assert problem is not None
    raise problem


def _applies(case: TeacherCase, may_refuse: bool) -> bool:
    """Build the teacher; an unordered space may be refused, if the error names the remedy."""
    try:
        case.build()
    except ValueError as error:
        named = ("difficulty", "groups", "features", "target")
        if may_refuse and any(word in str(error) for word in named):
            return False
        case.fail("every teacher can be built from a space alone", str(error))
    return True


@_teacher_check()
def _teacher_declares(case: TeacherCase) -> None:
    """Declarations are subsets of what there is; repr works; arguments are kept as attributes."""
    teacher = case.build()
    unknown = teacher.privileges - PRIVILEGES
    if unknown:
        case.fail("privileges are a subset of the known ones", f"{sorted(unknown)}")
    if not isinstance(teacher.needs, frozenset):
        case.fail("needs is a frozenset", f"got {type(teacher.needs).__name__}")
    for name in ("space", "seed", "return_range", *teacher_parameters(type(teacher))):
        if not hasattr(teacher, name):
            case.fail("every argument is kept as an attribute of the same name", f"no {name!r}")
    if type(teacher).__name__ not in repr(teacher):
        case.fail("repr names the class", repr(teacher))
    try:
        case.build(no_such_parameter=1)
    except TypeError:
        pass
    else:
        case.fail("unknown parameters raise TypeError")


@_teacher_check()
def _teacher_stays_inside(case: TeacherCase) -> None:
    """Tasks are inside the space, as the space writes them, in batches of 1 to 1000."""
    teacher = case.build()
    rng = np.random.default_rng(3)
    for n in (1, 7, 1000, 1):
        tasks = teacher.sample(n)
        _check_tasks(case, tasks, n)
        teacher.update(case.outcomes(teacher, tasks, rng))
    _check_tasks(case, case.run(teacher, 60), 60)
    _check_proposals(case, teacher.propose(5), 5)
    wanted = teacher.requests()
    if wanted is not None:
        _check_proposals(case, wanted, len(wanted.tasks))
    for n in (0, -1):
        try:
            teacher.sample(n)
        except ValueError:
            continue
        case.fail("a number of tasks below 1 raises ValueError", f"sample({n})")


def _check_tasks(case: TeacherCase, tasks: Any, n: int) -> None:
    expected = case.space.sample(n, np.random.default_rng(0))
    if not isinstance(tasks, np.ndarray) or tasks.dtype != expected.dtype:
        found = tasks.dtype if isinstance(tasks, np.ndarray) else type(tasks).__name__
        case.fail("tasks are an array as the space writes them", f"got {found}")
    if tasks.shape != expected.shape:
        case.fail("n tasks are n rows", f"got shape {tasks.shape}, not {expected.shape}")
    inside = case.space.contains(tasks)
    if not inside.all():
        case.fail("tasks are always inside the space", f"got {tasks[~inside][0]}")


def _check_proposals(case: TeacherCase, proposals: Proposals, n: int) -> None:
    _check_tasks(case, proposals.tasks, n)
    for name, kind in (("seeds", "iu"), ("density", "f")):
        values = getattr(proposals, name)
        if values is not None and (values.shape != (n,) or values.dtype.kind not in kind):
            case.fail(f"{name} of proposals are one number a task", f"got {values!r}")


@_teacher_check()
def _teacher_repeats(case: TeacherCase) -> None:
    """Same seed, same stream, also beside another teacher; another seed, another stream.

    Nobody else's random state is used.
    """
    with _global_random_states(case):
        alone = case.build()
        expected = [case.run(alone, 40, seed=i) for i in range(3)]
        one, other = case.build(), case.build(case.seeds[1])
        found, others = [], []
        for i in range(3):
            found.append(case.run(one, 40, seed=i))
            others.append(case.run(other, 40, seed=i))
    if not _same(found, expected):
        again = case.build()
        if not _same([case.run(again, 40, seed=i) for i in range(3)], expected):
            case.fail("the same seed gives the same stream")
        case.fail("two teachers in one process do not disturb each other")
    if not case.degenerate and _same(others, expected):
        case.fail("another seed gives another stream")


@contextmanager
def _global_random_states(case: TeacherCase | EnvCase) -> Iterator[None]:
    """Fail if NumPy's, Python's or torch's global random state changes inside."""

    def states() -> dict[str, Any]:
        torch = sys.modules.get("torch")
        found: dict[str, Any] = {
            "numpy": np.random.get_state(legacy=True),  # noqa: NPY002 - looked at only
            "random": random.getstate(),
        }
        if torch is not None:
            found["torch"] = torch.get_rng_state().numpy().copy()
        return found

    before = states()
    yield
    after = states()
    for name, state in before.items():
        if not _same(state, after[name]):
            case.fail(f"the global random state of {name} is left alone")


@_teacher_check()
def _teacher_saves_and_goes_on(case: TeacherCase) -> None:
    """A state is plain arrays and numbers, and a teacher goes on from it bit for bit.

    At any moment: before the first outcome, and later between proposals and their outcomes.
    """
    _save_and_go_on(case, 0, 30)
    _save_and_go_on(case, 131, 120)


@_teacher_check(everywhere=False)
def _teacher_saves_late(case: TeacherCase) -> None:
    """The same after a longer history."""
    _save_and_go_on(case, 1010, 520)


def _save_and_go_on(case: TeacherCase, before: int, after: int) -> None:
    teacher = case.build()
    if before:
        case.run(teacher, before, batch=3)
    waiting = teacher.propose(5).tasks  # their outcomes come to whoever goes on
    state = teacher.state_dict()
    _check_plain(case, state, "state")
    frozen = copy.deepcopy(state)
    with tempfile.TemporaryDirectory() as folder:
        save_state(Path(folder), state)
        loaded = load_state(Path(folder))

    def go_on(one: Teacher) -> NDArray[Any]:
        ids = before + np.arange(5)
        one.update(case.outcomes(one, waiting, np.random.default_rng(9), ids))
        return case.run(one, after, seed=6, first_id=before + 5)

    expected = go_on(teacher)
    if not _same(state, frozen):
        case.fail("a state that was handed out does not change any more")
    # Another seed: nothing of the stream may come from the constructor.
    for attempt in ("a teacher goes on from a saved state bit for bit", "a state loads twice"):
        resumed = case.build(case.seeds[1])
        resumed.load_state_dict(loaded)
        if not _same(resumed.state_dict(), frozen):
            case.fail("a loaded state is saved as it was")
        if not np.array_equal(go_on(resumed), expected):
            case.fail(attempt)
        if not _same(resumed.state_dict(), teacher.state_dict()):
            case.fail(attempt, "the states differ in the end")


def _check_plain(case: TeacherCase, value: Any, path: str) -> None:
    if isinstance(value, Mapping):
        for key, child in value.items():
            if not isinstance(key, str):
                case.fail("keys of a state are strings", f"{key!r} in {path}")
            if key != "torch":
                _check_plain(case, child, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for i, child in enumerate(value):
            _check_plain(case, child, f"{path}[{i}]")
    elif isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            case.fail("states and snapshots are plain arrays and numbers", f"{path} holds objects")
    elif not (value is None or isinstance(value, (bool, int, float, str, np.generic))):
        case.fail("states and snapshots are plain arrays and numbers", f"{path} is {type(value)}")


def _same(a: Any, b: Any) -> bool:
    """Compare two state trees to the bit; NaN equals NaN, a tuple a list."""
    if isinstance(a, Mapping):
        return isinstance(b, Mapping) and a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, (str, bytes)) or a is None or b is None:
        return bool(a == b)
    if hasattr(a, "detach"):
        a, b = a.detach().cpu().numpy(), b.detach().cpu().numpy()
    left, right = np.asarray(a), np.asarray(b)
    return left.shape == right.shape and np.array_equal(
        left, right, equal_nan=left.dtype.kind == "f" and right.dtype.kind == "f"
    )


@_teacher_check()
def _teacher_looks_leave_no_trace(case: TeacherCase) -> None:
    """preview, snapshot, weights, why and repr change nothing; a snapshot is small and plain.

    Every proposal has a reason, one or two sentences of facts.
    """
    teacher = case.build()
    teacher.propose(2)
    early = [str(teacher.why(row)) for row in range(2)]
    case.run(teacher, 120, batch=3)
    teacher.propose(2)
    before = copy.deepcopy(teacher.state_dict())
    tasks = teacher.preview(50, np.random.default_rng(1))
    _check_tasks(case, tasks, 50)
    if not np.array_equal(tasks, teacher.preview(50, np.random.default_rng(1))):
        case.fail("a preview depends on the given generator only")
    shown = teacher.snapshot()
    _check_plain(case, shown, "snapshot")
    size = _bytes(shown)
    if size > SNAPSHOT_LIMIT:
        case.fail("a snapshot has 100 kB at most", f"{size:,} bytes")
    weights = teacher.weights(tasks)
    if weights.shape != (50,) or not np.isfinite(weights).all() or (weights < 0).any():
        case.fail("weights are one number from 0 up a task", f"got {weights!r}")
    repr(teacher)
    late = [str(teacher.why(row)) for row in range(2)]
    for said in early + late:
        if not 10 <= len(said) <= REASON_LIMIT:
            case.fail("a reason is one or two sentences", f"got {said!r}")
    if not case.degenerate and len({*early, *late}) == 1:
        case.fail("a reason has facts of its proposal", f"always {late[0]!r}")
    for row in (-1, 2):
        try:
            teacher.why(row)
        except ValueError:
            continue
        case.fail("why() raises ValueError where no proposal is", f"row {row}")
    if not _same(before, teacher.state_dict()):
        case.fail("preview, snapshot, weights, why and repr leave no trace")


def _bytes(value: Any) -> int:
    """Return the size of a state tree, roughly."""
    if isinstance(value, Mapping):
        return sum(len(str(k)) + _bytes(v) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return sum(map(_bytes, value))
    if isinstance(value, np.ndarray):
        return value.nbytes
    return len(value) if isinstance(value, str) else 8


@_teacher_check()
def _teacher_takes_any_outcomes(case: TeacherCase) -> None:
    """Outcomes come in any order, late, twice, for tasks never proposed, alike, or not at all.

    All attempts may be on one task, all returns equal, and success come never or always.
    """
    rng = np.random.default_rng(11)
    teacher = case.build()
    tasks = teacher.sample(64)
    outcomes = case.outcomes(teacher, tasks, rng, np.arange(64))
    teacher.update(outcomes.take(np.arange(0)))
    later = teacher.sample(64)
    teacher.update(case.outcomes(teacher, later, rng, 64 + np.arange(64)))
    teacher.update(outcomes.take(rng.permutation(64)))
    teacher.update(outcomes)
    foreign = case.space.sample(64, rng)
    teacher.update(case.outcomes(teacher, foreign, rng, np.full(64, -1)))
    _check_tasks(case, teacher.sample(20), 20)
    alike: tuple[tuple[bool, float | None, float | None], ...] = (
        (True, None, None),  # all attempts on one task
        (False, 1.0, None),  # all returns equal
        (False, 0.0, 0.0),  # success never
        (False, 10.0, 1.0),  # success always
    )
    for one_task, value, success in alike:
        teacher = case.build()
        for _ in range(6):
            tasks = teacher.sample(50)
            if one_task:
                tasks = np.repeat(tasks[:1], 50, axis=0)
            outcomes = case.outcomes(teacher, tasks, rng)
            if value is not None:
                _all_at(outcomes, value, success)
            teacher.update(outcomes)
        _check_tasks(case, teacher.sample(100), 100)
        _check_plain(case, teacher.state_dict(), "state")


def _all_at(outcomes: Outcomes, value: float, success: float | None) -> None:
    """Make all returns this value, all successes this one, and all attempts one step long."""
    assert outcomes.returns is not None
    outcomes.returns[:] = value
    outcomes.lengths[:] = 1
    if success is not None and outcomes.successes is not None:
        outcomes.successes[:] = success


@_teacher_check()
def _teacher_leaves_arrays_alone(case: TeacherCase) -> None:
    """The caller's arrays are not changed; the teacher keeps none of them, nor gives its own."""

    def stream(scribble: bool) -> NDArray[Any]:
        teacher = case.build()
        rng = np.random.default_rng(2)
        for _ in range(15):
            tasks = teacher.sample(20)
            outcomes = case.outcomes(teacher, tasks.copy(), rng)
            kept = copy.deepcopy(outcomes)
            teacher.update(outcomes)
            if not _same(_columns(kept), _columns(outcomes)):
                case.fail("the caller's arrays are not changed")
            if scribble:
                for array in (tasks, *_columns(outcomes).values()):
                    if isinstance(array, np.ndarray):
                        array.flags.writeable = True
                        array[...] = array[::-1].copy()
                        array[: len(array) // 2] = array[-1]
        return teacher.sample(100)

    if not np.array_equal(stream(False), stream(True)):
        case.fail("a teacher shares no array with its caller")


def _columns(outcomes: Outcomes) -> dict[str, Any]:
    scores = {f"scores.{name}": values for name, values in outcomes.scores.items()}
    names = (
        "tasks", "returns", "lengths", "successes", "ids", "seeds", "trials", "probe",
        "discounted", "terminated", "truncated", "initial_values",
    )  # fmt: skip
    return {name: getattr(outcomes, name) for name in names} | scores


@_teacher_check()
def _teacher_refuses_bad_outcomes(case: TeacherCase) -> None:
    """NaN is refused and loses nothing, and so is an outcome without a column that is needed."""
    teacher = case.build()
    curriculum = Curriculum(teacher, seed=0)
    tickets = curriculum.issue(4)
    before = copy.deepcopy(teacher.state_dict())
    good = case.outcomes(teacher, tickets.tasks, np.random.default_rng(0))
    try:
        curriculum.settle(
            tickets.ids,
            [0.0, np.nan, 0.0, 0.0],
            lengths=good.lengths,
            successes=good.successes,
            scores=good.scores,
        )
    except ValueError:
        pass
    else:
        case.fail("NaN returns are refused")
    for name in teacher.needs - {"probe", "returns", "ids", "lengths"}:
        poor = copy.deepcopy(good)
        if name in poor.scores:
            del poor.scores[name]
        else:
            setattr(poor, name, None)
        try:
            teacher.update(poor)
        except ValueError as error:
            if name in str(error):
                continue
        case.fail("an outcome without a column that is needed is refused by name", repr(name))
    if not _same(before, teacher.state_dict()):
        case.fail("bad input changes nothing")


@_teacher_check()
def _teacher_plans(case: TeacherCase) -> None:
    """On a discrete space plan() is the running pass, and sample(n) cuts from it."""
    if not isinstance(case.space, DiscreteTasks):
        try:
            case.build().plan()
        except ValueError:
            return
        case.fail("plan() raises ValueError where the space is not discrete")
    one, two = case.build(), case.build()
    for _ in range(3):
        plan = one.plan()
        if plan.dtype != np.int64 or plan.ndim != 1 or len(plan) == 0:
            case.fail("a plan is int64 indices, at least one", f"got {plan!r}")
        _check_tasks(case, plan, len(plan))
        cut = max(1, len(plan) // 3)
        pieces = [two.sample(min(cut, len(plan) - i)) for i in range(0, len(plan), cut)]
        if not np.array_equal(plan, np.concatenate(pieces)):
            case.fail("sample(n) cuts from the running plan")
    if one.proposed != two.proposed:
        case.fail("a plan counts as proposals", f"{one.proposed} against {two.proposed}")


class _Tape:
    """Records the calls that reach a teacher, as a run does."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def issued(self, tickets: Tickets, probe: bool) -> None:
        self.calls.append(("requests", None) if probe else ("propose", len(tickets.ids)))

    def settled(self, outcomes: Outcomes, envs: Any, step: int) -> None:
        self.calls.append(("update", copy.deepcopy(outcomes)))


@_teacher_check(everywhere=False)
def _teacher_is_rebuilt_from_its_log(case: TeacherCase) -> None:
    """A teacher is a function of its seed, the calls and the outcomes: the log rebuilds it."""
    teacher = case.build()
    curriculum = Curriculum(teacher, seed=0)
    tape = curriculum.recorder = _Tape()
    rng = np.random.default_rng(8)
    for _ in range(150):
        curriculum.requests()
        curriculum.issue(int(rng.integers(1, 4)))
        waiting = np.array(list(curriculum.open))
        done = waiting[rng.random(len(waiting)) < 0.6]
        rng.shuffle(done)
        if len(done) > 1:
            curriculum.cancel(done[0])
            done = done[1:]
        if len(done):
            made = case.outcomes(teacher, [curriculum.ticket(i)[0] for i in done], rng)
            columns = {k: v for k, v in _columns(made).items() if not k.startswith("scores.")}
            for name in ("tasks", "ids", "seeds", "probe"):
                del columns[name]
            curriculum.settle(done, **columns, scores=made.scores)
    rebuilt = case.build()
    for call, argument in tape.calls:
        if call == "update":
            rebuilt.update(argument)
        elif call == "propose":
            rebuilt.propose(argument)
        else:
            rebuilt.requests()
    if not _same(rebuilt.state_dict(), teacher.state_dict()):
        case.fail("the log of a run rebuilds the teacher")


@_teacher_check(everywhere=False)
def _teacher_is_not_led_by_short_attempts(case: TeacherCase) -> None:
    """In an ordered curriculum, short attempts that always report first change nothing.

    Otherwise they may: whoever goes by the order of arrival is then led by failures.
    """

    def state(short_first: bool) -> Mapping[str, Any]:
        teacher = case.build()
        curriculum = Curriculum(teacher, seed=0, ordered=True)
        rng = np.random.default_rng(12)
        for _ in range(12):
            tickets = curriculum.issue(10)
            made = case.outcomes(teacher, tickets.tasks, rng)
            columns = {k: v for k, v in _columns(made).items() if not k.startswith("scores.")}
            for name in ("tasks", "ids", "seeds", "probe"):
                del columns[name]
            order = np.argsort(made.lengths, kind="stable") if short_first else np.arange(10)
            for row in order:
                one: dict[str, Any] = {
                    k: None if v is None else v[[row]] for k, v in columns.items()
                }
                scores = {name: values[[row]] for name, values in made.scores.items()}
                curriculum.settle(tickets.ids[[row]], **one, scores=scores)
        return teacher.state_dict()

    if not _same(state(True), state(False)):
        case.fail("in an ordered curriculum short attempts that report first change nothing")


@_teacher_check(everywhere=False)
def _teacher_cost_is_bounded(case: TeacherCase) -> None:
    """Neither memory nor the number of function calls grows with history.

    Parameters that bound the memory, by their usual names, are set low, so that it fills soon.
    """
    smaller = {
        name: SMALL_MEMORY
        for name, parameter in teacher_parameters(type(case.build())).items()
        if name in MEMORY_NAMES and name not in case.parameters
        if isinstance(parameter.default, int) and parameter.default > SMALL_MEMORY
    }
    capacity = 6 * SMALL_MEMORY if smaller else case.capacity
    teacher = case.build(**smaller)
    rng = np.random.default_rng(4)
    sizes, calls = [0, 0], [0, 0]
    for half in range(2):
        for start in range(0, capacity, 100):
            last = start + 2000 >= capacity
            with _counted_calls() if last else _nothing() as counter:
                tasks = teacher.sample(100)
            calls[half] += counter[0]
            outcomes = case.outcomes(teacher, tasks, rng)
            with _counted_calls() if last else _nothing() as counter:
                teacher.update(outcomes)
            calls[half] += counter[0]
            if last:
                sizes[half] = max(sizes[half], _bytes(teacher.state_dict()))
    if sizes[1] > 1.2 * sizes[0] + 1000:
        case.fail(
            "memory is bounded",
            f"the state has {sizes[0]:,} bytes after {capacity:,} outcomes and {sizes[1]:,} "
            "after twice as many (pass capacity= if it is bounded later)",
        )
    if calls[1] > 1.5 * calls[0] + 1000:
        case.fail("cost does not grow with history", f"{calls[0]:,} calls, later {calls[1]:,}")


@contextmanager
def _counted_calls() -> Iterator[list[int]]:
    """Count Python and C function calls."""
    counter = [0]
    profile = cProfile.Profile()  # its counting is in C: a hook in Python costs twenty times that
    profile.enable()
    try:
        yield counter
    finally:
        profile.disable()
        counter[0] = sum(entry.callcount for entry in profile.getstats())


@contextmanager
def _nothing() -> Iterator[list[int]]:
    yield [0]


def teacher_digest(
    teacher: str | type[Teacher],
    space: str | TaskSpace = "box",
    seed: int = 0,
    **parameters: Any,
) -> str:
    """Return a hash of a teacher's first 300 tasks and its state after them.

    Args:
        teacher: A registered name, or a class.
        space: A space, or the name of a standard one.
        seed: Of the teacher.
        **parameters: Of the teacher.
    """
    where = standard_spaces()[space] if isinstance(space, str) else space
    case = TeacherCase(teacher, where, (seed, seed + 1), parameters)
    built = case.build()
    digest = hashlib.sha256(case.run(built, 300).tobytes())
    with tempfile.TemporaryDirectory() as folder:
        save_state(Path(folder), built.state_dict())
        digest.update((Path(folder) / "state.json").read_bytes())
        with np.load(Path(folder) / "arrays.npz") as arrays:
            for name in sorted(arrays.files):
                digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def _same_in_fresh_process(case: TeacherCase) -> None:
    """A teacher is a pure function of its seed, the calls and the outcomes, in any process."""
    cls = type(case.build())
    named = (
        case.teacher if isinstance(case.teacher, str) else f"{cls.__module__}:{cls.__qualname__}"
    )
    if "<locals>" in named:
        raise ValueError(f"{named} cannot be imported by name: run without fresh_process")
    script = (
        "import json, sys\n"
        "from currgym.testing import _digest_by_name\n"
        "print(_digest_by_name(**json.loads(sys.argv[1])))\n"
    )
    space = json.dumps(case.space.config())
    order: dict[str, Any] = {
        "teacher": named, "space": space, "seed": case.seeds[0], "parameters": dict(case.parameters)
    }  # fmt: skip
    try:
        done = subprocess.run(
            [sys.executable, "-c", script, json.dumps(order)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        case.fail("a teacher runs in a fresh process", error.stderr.strip().splitlines()[-1])
    # Built from the same description here, which leaves features out.
    if done.stdout.strip() != _digest_by_name(**order):
        case.fail("a fresh process gives the same stream")


def _digest_by_name(
    teacher: str, space: str, seed: int, parameters: dict[str, Any]
) -> str:  # pragma: no cover - runs in the fresh process
    from currgym.tasks import space_from_config

    cls: str | type[Teacher] = teacher
    if ":" in teacher:
        module, _, name = teacher.partition(":")
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        cls = found
    return teacher_digest(cls, space_from_config(json.loads(space), trust=True), seed, **parameters)


# Environments ------------------------------------------------------------------------------------


Policy = Callable[[Any], Any]


@dataclass
class EnvCase:
    """One environment, as every check gets it.

    Attributes:
        name: For messages.
        make: Builds a fresh one; keyword arguments reach its constructor.
        steps: Longest trajectory that is compared.
        policy: Acts in the trajectories; None acts at random.
    """

    name: str
    make: Callable[..., gymnasium.Env[Any, Any]]
    steps: int = 120
    policy: Policy | None = None

    def fail(self, sentence: str, detail: str = "") -> NoReturn:
        """Raise :class:`CheckFailed`."""
        raise CheckFailed(f"{self.name}: {sentence}{': ' + detail if detail else ''}")

    @contextmanager
    def env(self, **arguments: Any) -> Iterator[gymnasium.Env[Any, Any]]:
        """Build one, and close it afterwards."""
        env = self.make(**arguments)
        try:
            yield env
        finally:
            env.close()

    def space(self, env: gymnasium.Env[Any, Any]) -> TaskSpace:
        """Return its task space."""
        space: TaskSpace = env.get_wrapper_attr("task_space")
        return space

    def rollout(
        self,
        env: gymnasium.Env[Any, Any],
        task: Any = None,
        seed: int | None = 3,
        steps: int | None = None,
        actions_seed: int = 0,
    ) -> NDArray[np.float64]:
        """Return observations, rewards and ends of an episode, in rows."""
        options = None if task is None else {"task": task}
        observation, _ = env.reset(seed=seed, options=options)
        actions = copy.deepcopy(env.action_space)
        actions.seed(actions_seed)
        rows = [np.append(_flat(env, observation), [0.0, 0.0, 0.0])]
        for _ in range(steps or self.steps):
            action = actions.sample() if self.policy is None else self.policy(observation)
            observation, reward, terminated, truncated, _ = env.step(action)
            ends = [float(reward), float(terminated), float(truncated)]
            rows.append(np.append(_flat(env, observation), ends))
            if terminated or truncated:
                break
        return np.array(rows)

    def tasks(self, n: int, env: gymnasium.Env[Any, Any]) -> NDArray[Any]:
        """Return ``n`` tasks of its space, the same every time."""
        return self.space(env).sample(n, np.random.default_rng(17))


def _flat(env: gymnasium.Env[Any, Any], observation: Any) -> NDArray[np.float64]:
    flat = gymnasium.spaces.utils.flatten(env.observation_space, observation)
    return np.asarray(flat, dtype=np.float64)


EnvCheck = Callable[[EnvCase], None]
ENV_CHECKS: dict[str, EnvCheck] = {}
"""Every check of an environment, by name."""


def _env_check(check: EnvCheck) -> EnvCheck:
    ENV_CHECKS[check.__name__.removeprefix("_env_")] = check
    return check


def env_case(
    env: str | gymnasium.Env[Any, Any] | Callable[..., gymnasium.Env[Any, Any]],
    steps: int = 120,
    policy: Policy | None = None,
    **arguments: Any,
) -> EnvCase:
    """Return the case that :func:`check_env` would check."""
    if isinstance(env, gymnasium.Env):
        if env.spec is None:
            raise ValueError(
                "check_env compares used environments with fresh ones, and this one does not tell "
                "how it was made: pass an id or a function that builds it"
            )
        spec = copy.deepcopy(env.spec)

        def build_spec(**more: Any) -> gymnasium.Env[Any, Any]:
            return gymnasium.make(spec, **{**arguments, **more})

        return EnvCase(spec.id, build_spec, steps, policy)
    if isinstance(env, str):

        def build(**more: Any) -> gymnasium.Env[Any, Any]:
            return gymnasium.make(env, disable_env_checker=True, **{**arguments, **more})

        return EnvCase(env, build, steps, policy)
    name = getattr(env, "__name__", repr(env))
    return EnvCase(name, lambda **more: env(**{**arguments, **more}), steps, policy)


def check_env(
    env: str | gymnasium.Env[Any, Any] | Callable[..., gymnasium.Env[Any, Any]],
    steps: int = 120,
    policy: Policy | None = None,
    **arguments: Any,
) -> None:
    """Check that an environment keeps the contract of environments with tasks.

    Args:
        env: An id, an environment made by ``gymnasium.make``, or a function that builds one.
        steps: Longest trajectory that is compared; long enough for every parameter to matter.
        policy: Observation -> action, for environments where random actions never come to a place
            in which every parameter matters; without memory or randomness of its own.
        **arguments: Passed to its constructor, e.g. ``tasks={"gravity": (5, 15)}``.

    Raises:
        CheckFailed: Naming the sentence of the contract that does not hold.
    """
    case = env_case(env, steps, policy, **arguments)
    for check in ENV_CHECKS.values():
        check(case)


# What Gymnasium warns of and is no fault here.
_HARMLESS = (
    "bound",
    "infinity",
    "unwrapped",
    "wrapped",
    "spec",
    "render",
    "symmetric",
    "normalize",
)
_STANDARD_WRAPPERS = (
    gymnasium.wrappers.TimeLimit,
    gymnasium.wrappers.OrderEnforcing,
    gymnasium.wrappers.PassiveEnvChecker,
)


@_env_check
def _env_declares(case: EnvCase) -> None:
    """Attributes are there, and the default task lies inside the space."""
    with case.env() as env:
        for name in (
            "task_space",
            "return_range",
            "mastery",
            "default_task",
            "test_sets",
            "queued",
        ):
            try:
                env.get_wrapper_attr(name)
            except AttributeError:
                case.fail(f"an environment with tasks has {name!r}")
        low, high = env.get_wrapper_attr("return_range")
        if not low < high:
            case.fail("return_range is (low, high)", f"got {(low, high)}")
        space = case.space(env)
        space.check(env.get_wrapper_attr("default_task"))
        for name, tasks in env.get_wrapper_attr("test_sets").items():
            if not space.contains(tasks).all():
                case.fail("test sets lie inside the space", name)


@_env_check
def _env_passes_gymnasium(case: EnvCase) -> None:
    """Gymnasium's own checker has nothing to object."""
    from gymnasium.utils.env_checker import check_env as gymnasium_check

    with case.env() as env, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bare = env
        while isinstance(bare, _STANDARD_WRAPPERS):
            bare = bare.env
        try:
            gymnasium_check(bare, skip_render_check=True)
        except Exception as error:
            # Gymnasium asserts, and raises whatever the environment raises.
            hint = (
                " (give ParameterizedEnv functions of a module, not ones made anew in the factory)"
                if "wrapper spec" in str(error)
                else ""
            )
            raise CheckFailed(
                f"{case.name}: Gymnasium's check_env passes: {error}{hint}"
            ) from error
    for warning in caught:
        text = str(warning.message)
        if not any(word in text for word in _HARMLESS):
            case.fail("Gymnasium's check_env does not warn", text)


@_env_check
def _env_tells_its_task(case: EnvCase) -> None:
    """info["task"] is the task; the first bare reset takes the default, later ones repeat."""
    with case.env() as env:
        space = case.space(env)
        _, info = env.reset(seed=0)
        _check_info(case, info, env.get_wrapper_attr("default_task"), "the default task at first")
        for task in case.tasks(4, env):
            _, info = env.reset(seed=1, options={"task": task})
            _check_info(case, info, task, "the task asked for")
            with _unchanged(case, task):
                info["task"] = None
                env.step(env.action_space.sample())
            _, info = env.reset()
            _check_info(case, info, task, "a reset without a task repeats it")
        if isinstance(space, BoxTasks):
            default = np.asarray(env.get_wrapper_attr("default_task"))
            for index, name in enumerate(space.names):
                wanted = default.copy()
                wanted[index] = case.tasks(1, env)[0][index]
                named = {name: space.as_dict(wanted)[name]}
                _, info = env.reset(seed=1, options={"task": named})
                _check_info(case, info, wanted, f"a task by name ({named}), the rest the default")


def _check_info(case: EnvCase, info: Mapping[str, Any], task: Any, what: str) -> None:
    if "task" not in info:
        case.fail('info["task"] is there after reset')
    if not np.array_equal(info["task"], task):
        case.fail(f'info["task"]: {what}', f"got {info['task']}, not {task}")


@contextmanager
def _unchanged(case: EnvCase, task: Any) -> Iterator[None]:
    kept = copy.deepcopy(task)
    yield
    if not np.array_equal(kept, task):
        case.fail("the caller's task is not changed")


@_env_check
def _env_leaves_no_history(case: EnvCase) -> None:
    """After reset(seed, task) a used environment equals a fresh one, to the bit."""
    with case.env() as used, _global_random_states(case):
        tasks = case.tasks(3, used)
        for i, task in enumerate(tasks):
            with case.env() as fresh:
                expected = case.rollout(fresh, task, seed=20 + i)
            with case.env() as fresh:
                again = case.rollout(fresh, task, seed=20 + i)
            if not np.array_equal(expected, again):
                case.fail("same seed, task and actions give the same trajectory")
            # Something else before it: other tasks, an episode broken off, several bare resets.
            case.rollout(used, tasks[i - 1], seed=40 + i, steps=15 + i, actions_seed=9)
            used.reset()
            found = case.rollout(used, task, seed=20 + i)
            if not np.array_equal(expected, found):
                case.fail(
                    "history leaves no trace: a used environment equals a fresh one to the bit",
                    _first_difference(expected, found),
                )


def _first_difference(a: NDArray[Any], b: NDArray[Any]) -> str:
    for step, (left, right) in enumerate(zip(a, b, strict=False)):
        if not np.array_equal(left, right):
            gap = np.abs(left - right).max()
            return f"they part at step {step}, by {gap:.3g}"
    return f"{len(a) - 1} steps against {len(b) - 1}"


@_env_check
def _env_draws_new_seeds(case: EnvCase) -> None:
    """A bare reset goes on with the same stream: repeated from the same seed, it repeats."""
    trajectories = []
    for _ in range(2):
        with case.env() as env:
            task = case.tasks(1, env)[0]
            case.rollout(env, task, seed=5, steps=10)
            trajectories.append([case.rollout(env, None, seed=None, steps=10) for _ in range(3)])
    for one, other in zip(*trajectories, strict=True):
        if not np.array_equal(one, other):
            case.fail("bare resets after a seeded one are deterministic")


@_env_check
def _env_refuses_outside(case: EnvCase) -> None:
    """A task outside the space raises ValueError that names it, and loses nothing."""
    with case.env() as env:
        space = case.space(env)
        task = case.tasks(1, env)[0]
        with case.env() as fresh:
            expected = case.rollout(fresh, task, steps=25)
        env.reset(seed=0)
        for wrong, words in _outside(space, task):
            try:
                env.reset(seed=1, options={"task": wrong})
            except ValueError as error:
                missing = [word for word in words if word not in str(error)]
                if missing:
                    case.fail(
                        "the error for a task outside names dimension, value and bounds",
                        f"{missing[0]!r} is missing in {str(error)!r}",
                    )
            else:
                case.fail("a task outside the space raises ValueError", f"{wrong}")
            if not np.array_equal(case.rollout(env, task, steps=25), expected):
                case.fail("an environment stays usable after a task outside its space")


def _outside(space: TaskSpace, inside: Any) -> list[tuple[Any, list[str]]]:
    """Return tasks outside a space with the words that the error must have."""
    if isinstance(space, DiscreteTasks):
        return [(space.n, [str(space.n)]), (-1, ["-1"])]
    if not isinstance(space, BoxTasks):
        return []
    found = []
    for i, name in enumerate(space.names):
        width = float(space.high[i] - space.low[i])
        for value in (space.high[i] + width + 1.0, space.low[i] - width - 1.0, np.nan):
            task = np.array(inside)
            task[i] = value
            bounds = [f"{space.low[i]:g}", f"{space.high[i]:g}"]
            found.append((task, [name, f"{value:g}", *bounds]))
    return found


@_env_check
def _env_takes_queued(case: EnvCase) -> None:
    """The episode in ``queued`` is taken by the next bare reset, once; an explicit one wins."""
    with case.env() as env:
        one, other = case.tasks(2, env)
        with case.env() as fresh:
            expected = case.rollout(fresh, one, seed=31)
        env.reset(seed=0)
        env.set_wrapper_attr("queued", (one, 31))
        if not np.array_equal(case.rollout(env, None, seed=None), expected):
            case.fail("a bare reset takes the queued task and seed")
        if env.get_wrapper_attr("queued") is not None:
            case.fail("a queued episode is taken once")
        env.set_wrapper_attr("queued", (other, 32))
        if not np.array_equal(case.rollout(env, one, seed=31), expected):
            case.fail("an explicit task and seed come before the queued ones")
        _, info = env.reset()
        _check_info(case, info, one, "a queued episode that was overridden is gone")


@_env_check
def _env_parameters_are_live(case: EnvCase) -> None:
    """A tenth of each parameter's range changes the trajectory of a fixed policy."""
    with case.env() as env:
        space = case.space(env)
        if not isinstance(space, BoxTasks):
            return
        default = env.get_wrapper_attr("default_task")
        bases = np.concatenate([[default, space.low, space.high], case.tasks(4, env)])
        unit = space.to_unit(bases)
        live = np.flatnonzero(space.low < space.high)
        for column, index in enumerate(live.tolist()):
            # A limit matters only where it is low, and what acts through a goal alone changes an
            # episode only where it ends: other values of this parameter, and other seeds.
            others = np.repeat(unit[:1], 9, axis=0)
            others[:, column] = np.tile([0.0, 0.5, unit[0, column]], 3)
            starts = np.concatenate([unit, others])
            if not any(
                _moves(case, env, space, start, column, i) for i, start in enumerate(starts)
            ):
                case.fail(
                    "every parameter is live",
                    f"a tenth of the range of {space.names[index]!r} changes nothing in "
                    f"{case.steps} steps",
                )


def _moves(
    case: EnvCase,
    env: gymnasium.Env[Any, Any],
    space: BoxTasks,
    unit: NDArray[np.float64],
    column: int,
    seed: int,
) -> bool:
    """Tell whether a tenth of one parameter's range changes the trajectory from this task."""
    index = int(np.flatnonzero(space.low < space.high)[column])
    whole = not isinstance(space.kinds[index], str) or space.kinds[index] == "integer"
    # Of whole numbers the next one, where a tenth is less.
    step = max(0.1, 1.0 / float(space.high[index] - space.low[index] + 1.0)) if whole else 0.1
    one = case.rollout(env, space.from_unit(unit)[0], seed=50 + seed, actions_seed=seed)
    # What observe_task appends differs by itself; compare the rest.
    observes = env.has_wrapper_attr("observe_task") and env.get_wrapper_attr("observe_task")
    extra = space.unit_dim if observes else 0
    keep = np.r_[0 : one.shape[1] - 3 - extra, one.shape[1] - 3 : one.shape[1]]
    for change in (step, -step):
        moved = unit.copy()
        moved[column] += change
        if not 0.0 <= moved[column] <= 1.0:
            continue
        two = case.rollout(env, space.from_unit(moved)[0], seed=50 + seed, actions_seed=seed)
        if len(one) != len(two):
            return True
        gap = np.abs(one[:, keep] - two[:, keep])
        if (gap > 1e-6 * (1.0 + np.abs(one[:, keep]))).any():
            return True
    return False


@_env_check
def _env_accepts_its_ends(case: EnvCase) -> None:
    """Every end of every parameter gives an episode inside the observation space."""
    with case.env() as env:
        space = case.space(env)
        if not isinstance(space, BoxTasks):
            return
        default = np.asarray(env.get_wrapper_attr("default_task"))
        corners = [space.low, space.high]
        for index in np.flatnonzero(space.low < space.high).tolist():
            for value in (space.low[index], space.high[index]):
                corner = default.copy()
                corner[index] = value
                corners.append(corner)
        for task in corners:
            observation, info = env.reset(seed=2, options={"task": task})
            _check_info(case, info, task, "an end of the range")
            for _ in range(5):
                if not env.observation_space.contains(observation):
                    case.fail("observations lie in the observation space", f"task {task}")
                observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
                if not np.isfinite(float(reward)):
                    case.fail("rewards are finite", f"task {task}")
                if terminated or truncated:
                    break


@_env_check
def _env_tells_success(case: EnvCase) -> None:
    """info["success"] is there at the end of an episode, in [0, 1]."""
    with case.env() as env:
        env.reset(seed=8)
        limit = (env.spec.max_episode_steps if env.spec else None) or 10_000
        for _ in range(limit):
            _, _, terminated, truncated, info = env.step(env.action_space.sample())
            if terminated or truncated:
                if "success" not in info:
                    case.fail('info["success"] is there at the end')
                if not 0.0 <= float(info["success"]) <= 1.0:
                    case.fail('info["success"] lies in [0, 1]', f"got {info['success']}")
                return
        case.fail("an episode ends", f"not within {limit} steps")


@_env_check
def _env_observes_its_task(case: EnvCase) -> None:
    """observe_task=True appends the unit-cube task to the observation."""
    try:
        observing = case.make(observe_task=True)
    except TypeError:
        return  # no such option: somebody else's environment
    plain = case.make(observe_task=False)
    try:
        space = case.space(plain)
        dim = space.unit_dim
        tasks = case.tasks(3, plain)
        base = case.rollout(plain, tasks[0], steps=5)
        found = case.rollout(observing, tasks[0], steps=5)
        without = np.delete(found, np.s_[found.shape[1] - 3 - dim : -3], axis=1)
        if found.shape[1] != base.shape[1] + dim or not np.array_equal(without, base):
            case.fail("observe_task appends the task and changes nothing else")
        for task in tasks:
            observation, _ = observing.reset(seed=1, options={"task": task})
            expected = space.to_unit(task[None])[0]
            if dim and not np.allclose(np.asarray(observation)[-dim:], expected, atol=1e-6):
                case.fail("observe_task appends the unit-cube task", f"{observation[-dim:]}")
            if not observing.observation_space.contains(observation):
                case.fail("observations lie in the observation space", "observe_task=True")
    finally:
        plain.close()
        observing.close()
