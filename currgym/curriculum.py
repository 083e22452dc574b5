"""The curriculum: the one place where tasks, identities, episode seeds and counts are kept.

No environment and no process in here. The vector form, the SB3 form, samplers and your own loop
are thin users of it: ``issue`` tickets, attempt them, ``settle`` them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.outcomes import Outcomes
from currgym.seeds import episode_seeds
from currgym.teaching import Proposals, Teacher, TeacherLike

__all__ = ["Curriculum", "Ledger", "Recorder", "Tickets"]

IntArray = NDArray[np.int64]
SEED_LIMIT = 2**31 - 1
_SEED_BLOCK = 256


class Tickets(NamedTuple):
    """Issued tasks, one entry a ticket.

    Attributes:
        ids: int64 ``(n,)``, unique and ascending.
        tasks: ``(n, d)`` or ``(n,)``, as the task space writes them.
        seeds: int64 ``(n,)``: the episode seed of each.
    """

    ids: IntArray
    tasks: NDArray[Any]
    seeds: IntArray


_NOTHING = Tickets(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))


def _tickets(first: int, tasks: NDArray[Any], seeds: list[int]) -> Tickets:
    ids = np.arange(first, first + len(seeds), dtype=np.int64)
    return Tickets(ids, tasks, np.array(seeds, dtype=np.int64))


def _given_seeds(seeds: ArrayLike, n: int) -> list[int]:
    """Return a teacher's own episode seeds, looked through before anything is handed out."""
    array = np.asarray(seeds)
    whole = array.dtype.kind in "iu" or bool((array == np.floor(array)).all())
    if array.shape != (n,) or not whole or (array < 0).any():
        raise ValueError(f"seeds of {n} proposals must be {n} whole numbers from 0, got {seeds!r}")
    return [int(seed) for seed in array.tolist()]


@dataclass
class Ledger:
    """What has been spent. Attempts and their steps are counted by the curriculum itself.

    Attributes:
        attempts: Settled attempts that the student may have learned from.
        steps: Environment steps (or examples) of those.
        probes: Settled attempts without learning.
        probe_steps: Environment steps of those.
        cancelled: Tickets taken back unfinished.
        cancelled_steps: Environment steps of those.
        evaluations: Evaluation episodes.
        evaluation_steps: Environment steps (or examples) of those.
        updates: Gradient updates of the student.
        scoring_passes: Passes over the data that scored difficulty.
        teacher_trainings: Models trained for the teacher's sake.
    """

    attempts: int = 0
    steps: int = 0
    probes: int = 0
    probe_steps: int = 0
    cancelled: int = 0
    cancelled_steps: int = 0
    evaluations: int = 0
    evaluation_steps: int = 0
    updates: int = 0
    scoring_passes: int = 0
    teacher_trainings: int = 0

    def charge(self, **amounts: int) -> None:
        """Add to the named counts."""
        for name, amount in amounts.items():
            setattr(self, name, getattr(self, name) + int(amount))

    @property
    def environment_steps(self) -> int:
        """All ``env.step`` calls: attempts, probes, cancelled ones and evaluations."""
        return self.steps + self.probe_steps + self.cancelled_steps + self.evaluation_steps


class Recorder(Protocol):
    """What a run listens to; every call to the teacher passes here, in order."""

    def issued(self, tickets: Tickets, probe: bool) -> None:
        """Tickets went out: the teacher was asked for that many tasks, or for requests."""

    def settled(self, outcomes: Outcomes, envs: IntArray, step: int) -> None:
        """These outcomes went to the teacher in one call."""


@dataclass(slots=True)
class _Open:
    """An issued ticket that has no outcome yet."""

    task: Any
    seed: int
    env: int
    probe: bool


@dataclass(slots=True)
class _Held:
    """A settled ticket whose outcome waits for those before it (``ordered=True``)."""

    outcome: Outcomes | None
    env: int
    step: int | None


@dataclass
class _Buffer:
    """Outcomes held back so that they are delivered in the order of their ids."""

    next_id: int = 0
    held: dict[int, _Held] = field(default_factory=dict)


def _may_request(teacher: TeacherLike) -> bool:
    """Tell whether anything but the base class's answer, which is None, is to be had."""
    if isinstance(teacher, Teacher):
        kind: type[Teacher] = type(teacher)
        return kind.requests is not Teacher.requests or kind._requests is not Teacher._requests
    return callable(getattr(teacher, "requests", None))


class Curriculum:
    """Hands out tasks, takes outcomes back, and keeps the count.

    Args:
        teacher: Any object with ``sample`` and ``update``.
        seed: Of the episode seeds.
        ordered: Deliver outcomes one by one in the order of their ids, so that workers that finish
            in any order give the same run every time.
        lag: With ``ordered``: ticket ``k`` is drawn when exactly the outcomes below ``k - lag + 1``
            have been delivered (``lag`` is the number of workers); :meth:`issue` refuses to run
            ahead. None delivers as soon as all lower ids are settled.

    >>> from currgym import BoxTasks, Curriculum, make_teacher
    >>> curriculum = Curriculum(make_teacher("random", BoxTasks([0], [1]), seed=0), seed=0)
    >>> tickets = curriculum.issue(2)
    >>> outcomes = curriculum.settle(tickets.ids, returns=[1.0, 0.0], lengths=[10, 20])
    >>> curriculum.ledger.steps
    30
    """

    def __init__(
        self,
        teacher: TeacherLike,
        seed: int | None = 0,
        *,
        ordered: bool = False,
        lag: int | None = None,
    ) -> None:
        for method in ("sample", "update"):
            if not callable(getattr(teacher, method, None)):
                raise TypeError(f"a teacher needs a method {method!r}, got {teacher!r}")
        if lag is not None and (lag < 1 or not ordered):
            raise ValueError("lag needs ordered=True and must be at least 1")
        self.teacher = teacher
        self.seed = seed
        self.ordered = ordered
        self.lag = lag
        self.ledger = Ledger()
        self.recorder: Recorder | None = None
        self.may_request = _may_request(teacher)
        """Whether the teacher may have requests; then a loop asks before each of its attempts."""
        # Its own branch of the seed: a teacher made from the same number draws other numbers.
        self._rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
        # Episode seeds are drawn in blocks: what is left of one, last first, and where it began.
        self._seeds_ahead: list[int] = []
        self._seed_block = self._rng.bit_generator.state
        self._next_id = 0
        self._open: dict[int, _Open] = {}
        self._buffer = _Buffer()
        self._delivered = 0
        """Steps of the outcomes that were delivered in order: a clock without a race."""

    # Out -----------------------------------------------------------------------------------------

    def issue(self, n: int = 1, *, envs: Sequence[int] | IntArray | None = None) -> Tickets:
        """Ask the teacher for ``n`` tasks and give each an id and an episode seed.

        Args:
            n: How many.
            envs: The worker each goes to, for the log.

        Raises:
            RuntimeError: With ``ordered`` and ``lag``, if an outcome that must come first is
                missing (see :attr:`ready`).
        """
        first, tasks, seeds = self.deal(n, envs)
        return _tickets(first, tasks, seeds)

    def deal(
        self, n: int, envs: Sequence[int] | IntArray | None = None
    ) -> tuple[int, NDArray[Any], list[int]]:
        """Do what :meth:`issue` does; return the first id, the tasks and the seeds."""
        if self.lag is not None:
            self._wait_for_order(n)
        propose = getattr(self.teacher, "propose", None)
        proposals = Proposals(np.asarray(self.teacher.sample(n))) if propose is None else propose(n)
        if len(proposals) != n:
            raise ValueError(
                f"{self.teacher!r} was asked for {n} tasks and returned an array of shape "
                f"{np.shape(proposals.tasks)}: one row a task"
            )
        return self._hand_out(proposals, envs, probe=False)

    def requests(self) -> Tickets | None:
        """Issue the teacher's requests: attempts from which nothing may be learned, or None."""
        if not self.may_request:
            return None
        wanted: Proposals | None = self.teacher.requests()  # type: ignore[attr-defined]
        if wanted is None or len(wanted) == 0:
            if self.recorder is not None:
                # Asking may have moved the teacher, so the log must say that it was asked.
                self.recorder.issued(_NOTHING, probe=True)
            return None
        first, tasks, seeds = self._hand_out(wanted, None, probe=True)
        return _tickets(first, tasks, seeds)

    def _hand_out(
        self, proposals: Proposals, envs: Sequence[int] | IntArray | None, probe: bool
    ) -> tuple[int, NDArray[Any], list[int]]:
        tasks = np.array(proposals.tasks)  # a copy: a teacher may write its array again
        n = len(tasks)
        given = None if proposals.seeds is None else _given_seeds(proposals.seeds, n)
        first, self._next_id = self._next_id, self._next_id + n
        # Drawn even where the teacher gives its own, so that the stream does not depend on it.
        seeds = self._draw_seeds(n)
        if given is not None:
            seeds = given
        if envs is None:
            envs = [-1] * n
        if n == 1:  # the common case, without a loop
            self._open[first] = _Open(tasks[0], seeds[0], int(envs[0]), probe)
        else:
            for k, (task, seed, env) in enumerate(zip(tasks, seeds, envs, strict=True)):
                self._open[first + k] = _Open(task, seed, int(env), probe)
        if self.recorder is not None:
            self.recorder.issued(_tickets(first, tasks, seeds), probe)
        return first, tasks, seeds

    def _draw_seeds(self, n: int) -> list[int]:
        if n == 1 and self._seeds_ahead:
            return [self._seeds_ahead.pop()]
        seeds: list[int] = []
        while len(seeds) < n:
            if not self._seeds_ahead:
                self._seed_block = self._rng.bit_generator.state
                block = self._rng.integers(SEED_LIMIT, size=_SEED_BLOCK)
                self._seeds_ahead = episode_seeds(block)[::-1]
            seeds.append(self._seeds_ahead.pop())
        return seeds

    # Back ----------------------------------------------------------------------------------------

    def settle(
        self,
        ids: ArrayLike,
        returns: ArrayLike | None = None,
        *,
        step: int | None = None,
        checked: bool = False,
        **columns: Any,
    ) -> Outcomes:
        """Take back finished attempts and tell the teacher.

        Args:
            ids: Tickets, any number in any order, each once.
            returns: Raw returns, ``(n,)``.
            step: The student's clock, for the log; by default the steps in the ledger (with
                ``ordered``, those of the outcomes delivered so far).
            checked: The columns are known to be what :meth:`currgym.Outcomes.of_checked` takes.
            **columns: Further columns of :class:`currgym.Outcomes` (``lengths``, ``successes``,
                ``scores``, ...).

        Returns:
            The outcomes, as built from tickets and columns.

        Raises:
            KeyError: If an id was never issued or is settled already. Nothing has changed then.
            ValueError: If a value is not finite. Nothing has changed then.
        """
        keys = self._take(ids)
        tasks: list[Any] = []
        seeds: list[int] = []
        envs: list[int] = []
        probes: list[bool] = []
        for key in keys:
            ticket = self._open[key]
            tasks.append(ticket.task)
            seeds.append(ticket.seed)
            envs.append(ticket.env)
            probes.append(ticket.probe)
        make: Any = Outcomes.of_checked if checked else Outcomes
        outcomes: Outcomes = make(
            np.array(tasks),
            returns,
            ids=np.array(keys, dtype=np.int64),
            seeds=np.array(seeds, dtype=np.int64),
            probe=probes if True in probes else None,
            **columns,
        )
        for key in keys:
            del self._open[key]
        self._charge(probes, outcomes.lengths)
        if not self.ordered:
            self._deliver(outcomes, envs, self.ledger.steps if step is None else step)
            return outcomes
        for row, (key, env) in enumerate(zip(keys, envs, strict=True)):
            self._buffer.held[key] = _Held(outcomes.take([row]), env, step)
        if self.lag is None:
            self._flush(self._next_id)
        return outcomes

    def cancel(self, ids: ArrayLike, lengths: ArrayLike | None = None) -> None:
        """Take back tickets unfinished; the teacher hears nothing of them.

        Args:
            ids: Open tickets.
            lengths: Steps that were spent on each, for the ledger.

        Raises:
            KeyError: If an id was never issued or is settled already.
        """
        keys = self._take(ids)
        spent = 0 if lengths is None else int(np.sum(lengths))
        for key in keys:
            del self._open[key]
            if self.ordered:
                self._buffer.held[key] = _Held(None, -1, 0)
        self.ledger.charge(cancelled=len(keys), cancelled_steps=spent)
        if self.ordered and self.lag is None:
            self._flush(self._next_id)

    def _take(self, ids: ArrayLike) -> list[int]:
        array = np.asarray(ids)
        if array.dtype.kind not in "iu" and array.size:
            raise KeyError(f"tickets go by whole numbers, got {ids!r}")
        keys: list[int] = array.tolist() if array.ndim else [int(array)]
        for key in keys:
            if key not in self._open:
                state = (
                    "was never issued" if key >= self._next_id or key < 0 else "is closed already"
                )
                raise KeyError(f"ticket {key} {state}: settle or cancel each ticket once")
        if len(keys) > 1 and len(set(keys)) != len(keys):
            raise KeyError(f"tickets named twice in one call: {keys}")
        return keys

    def _charge(self, probes: list[bool], lengths: IntArray) -> None:
        for probe, length in zip(probes, lengths.tolist(), strict=True):
            if probe:
                self.ledger.probes += 1
                self.ledger.probe_steps += length
            else:
                self.ledger.attempts += 1
                self.ledger.steps += length

    def _deliver(self, outcomes: Outcomes, envs: list[int], step: int) -> None:
        if self.recorder is not None:
            self.recorder.settled(outcomes, np.array(envs, dtype=np.int64), step)
        self.teacher.update(outcomes)

    # Order ---------------------------------------------------------------------------------------

    @property
    def ready(self) -> int:
        """With ``ordered`` and ``lag``: how many tickets may be issued before an outcome is due."""
        if self.lag is None:
            raise RuntimeError("ready is for ordered=True with a lag")
        known = self._buffer.next_id
        while known in self._buffer.held:
            known += 1
        return known + self.lag - self._next_id

    def _wait_for_order(self, n: int) -> None:
        if n != 1:
            raise RuntimeError("with a lag, tickets are issued one at a time")
        if self.ready < 1:
            raise RuntimeError(
                f"ticket {self._next_id} must wait for the outcome of "
                f"{self._next_id - (self.lag or 0)}: check curriculum.ready before issue()"
            )
        self._flush(self._next_id - (self.lag or 0) + 1)

    def _flush(self, below: int) -> None:
        """Deliver held outcomes with ids below this, in order, as far as they are there."""
        buffer = self._buffer
        while buffer.next_id < below and buffer.next_id in buffer.held:
            held = buffer.held.pop(buffer.next_id)
            buffer.next_id += 1
            if held.outcome is not None:
                if held.outcome.probe is None or not held.outcome.probe[0]:
                    self._delivered += int(held.outcome.lengths[0])
                step = self._delivered if held.step is None else held.step
                self._deliver(held.outcome, [held.env], step)

    def finish(self) -> None:
        """Deliver all that is still held back; call it when no more outcomes will come."""
        self._flush(self._next_id)

    # State ---------------------------------------------------------------------------------------

    @property
    def open(self) -> Iterable[int]:
        """Ids of tickets without an outcome."""
        return tuple(self._open)

    def ticket(self, id: int) -> tuple[Any, int]:
        """Return an open ticket's (task, seed)."""
        ticket = self._open[int(id)]
        return ticket.task, ticket.seed

    def state_dict(self) -> dict[str, Any]:
        """Return all of it as plain arrays and numbers, the teacher included.

        Raises:
            RuntimeError: If outcomes are held back, or the teacher has no ``state_dict``.
        """
        if any(held.outcome is not None for held in self._buffer.held.values()):
            raise RuntimeError("outcomes are held back: finish() before saving")
        save = getattr(self.teacher, "state_dict", None)
        if save is None:
            raise RuntimeError(f"{self.teacher!r} has no state_dict(), so it cannot be saved")
        opened = list(self._open.values())
        return {
            "teacher": save(),
            "rng": self._seed_block,
            "seeds_ahead": len(self._seeds_ahead),
            "next_id": self._next_id,
            "ordered_next": self._buffer.next_id,
            "ordered_closed": np.array(sorted(self._buffer.held), dtype=np.int64),
            "open_ids": np.array(list(self._open), dtype=np.int64),
            "open_tasks": np.array([o.task for o in opened]),
            "open_seeds": np.array([o.seed for o in opened], dtype=np.int64),
            "open_envs": np.array([o.env for o in opened], dtype=np.int64),
            "open_probes": np.array([o.probe for o in opened], dtype=np.bool_),
            "ledger": asdict(self.ledger),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state, bit for bit."""
        self.teacher.load_state_dict(state["teacher"])  # type: ignore[attr-defined]
        self._rng.bit_generator.state = self._seed_block = state["rng"]
        self._seeds_ahead = []
        if int(state["next_id"]):  # a block was begun
            self._draw_seeds(1)
            del self._seeds_ahead[int(state["seeds_ahead"]) :]
        self._next_id = int(state["next_id"])
        closed = {int(k): _Held(None, -1, 0) for k in state["ordered_closed"]}
        self._buffer = _Buffer(int(state["ordered_next"]), closed)
        self._open = {
            int(id): _Open(task, int(seed), int(env), bool(probe))
            for id, task, seed, env, probe in zip(
                state["open_ids"], state["open_tasks"], state["open_seeds"], state["open_envs"],
                state["open_probes"], strict=True,
            )
        }  # fmt: skip
        self.ledger = Ledger(**{name: int(value) for name, value in state["ledger"].items()})
        self._delivered = self.ledger.steps  # nothing is held back when a state is saved
