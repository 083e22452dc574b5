"""Teachers made of teachers: who proposes, who learns, and whose task came back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.outcomes import Outcomes
from currgym.tasks import TaskSpace
from currgym.teaching import (
    Batch,
    Proposals,
    Reason,
    State,
    Teacher,
    make_teacher,
    teacher_names,
    teacher_parameters,
    teachers,
)

__all__ = ["Composite", "OpenProposals", "build_part", "listed"]

IntArray = NDArray[np.int64]

SEED_LIMIT = 2**31 - 1
MOST_OPEN = 5_000


def listed(names: str | Sequence[str], parameter: str) -> list[str]:
    """Return names as a list: of a list, or of a text with commas or plus signs between them.

    Raises:
        ValueError: If there is none.
    """
    found = teacher_names(names)
    if not found or not all(found):
        raise ValueError(f"{parameter} must name at least one teacher, got {names!r}")
    return found


def build_part(
    name: str,
    space: TaskSpace,
    rng: np.random.Generator,
    return_range: tuple[float, float] | None,
    parameters: Mapping[str, Any] | None = None,
    horizon: int | None = None,
) -> Teacher:
    """Build a teacher that another one consists of.

    Args:
        name: ``"name"`` or ``"name:preset"``.
        space: What tasks there are.
        rng: Draws its seed.
        return_range: Raw returns that it sees as 0 and 1.
        parameters: Of it.
        horizon: Filled in where it has one and neither parameters nor preset say it.
    """
    settings = dict(parameters or {})
    plain, _, preset = name.partition(":")
    known = teachers[plain]
    scheduled = "horizon" in teacher_parameters(known)
    if horizon is not None and scheduled and "horizon" not in known.presets.get(preset, {}):
        settings.setdefault("horizon", horizon)
    seed = int(rng.integers(2**62))
    return make_teacher(name, space, seed=seed, return_range=return_range, **settings)


class OpenProposals:
    """Remembers a number with every task that is out, at most 5,000 of them; the oldest makes way.

    Tasks come back unchanged, so they are recognised by their bytes. Of equal tasks the first out
    is the first back.
    """

    def __init__(self) -> None:
        self._open: dict[bytes, tuple[NDArray[Any], list[int]]] = {}
        self._size = 0

    def add(self, tasks: NDArray[Any], numbers: Sequence[int]) -> None:
        """Take note of tasks and their numbers."""
        for task, number in zip(tasks, numbers, strict=True):
            row = np.array(task)
            self._open.setdefault(row.tobytes(), (row, []))[1].append(int(number))
            self._size += 1
            if self._size > MOST_OPEN:
                self._pop(next(iter(self._open)))

    def take(self, tasks: NDArray[Any]) -> list[int | None]:
        """Return the number of each task that is back; None where it is not known to be out."""
        return [self._pop(np.array(task).tobytes()) for task in tasks]

    def _pop(self, key: bytes) -> int | None:
        if key not in self._open:
            return None
        numbers = self._open[key][1]
        self._size -= 1
        number = numbers.pop(0)
        if not numbers:
            del self._open[key]
        return number

    def state(self) -> State:
        """Return plain arrays."""
        pairs = [(row, number) for row, numbers in self._open.values() for number in numbers]
        return {
            "tasks": np.array([row for row, _ in pairs]),
            "numbers": np.array([number for _, number in pairs], dtype=np.int64),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` returned."""
        self._open, self._size = {}, 0
        numbers = np.asarray(state["numbers"]).tolist()
        self.add(np.asarray(state["tasks"]), numbers)


class Composite(Teacher):
    """Base class of teachers that consist of teachers, its ``parts``.

    A subclass says which part makes each proposal (:meth:`_choose`). All parts learn from all
    outcomes, each has its own random stream, and their requests are asked for together.
    """

    spaces = frozenset({"box", "discrete", "levels"})
    parts: Sequence[Teacher]

    @abstractmethod
    def _choose(self, n: int, rng: np.random.Generator) -> IntArray:
        """Return for each of ``n`` proposals the part that makes it."""

    def _why(self, row: int, task: Any) -> Reason:
        part, own = self._origins[row].tolist()
        return self._followed_for(part, row).within(self.parts[part].why(own))

    def _followed_for(self, part: int, row: int) -> Reason:
        """Return why this part made the proposal in a row of the latest ones."""
        name = self.parts[part].name or type(self.parts[part]).__name__
        told = f"proposal {self._number(row):,} is its"
        return Reason(f"{name}, part {part + 1:,} of {len(self.parts):,}", told)

    def _issued(self, chosen: IntArray, tasks: NDArray[Any]) -> None:
        """Take note of who proposed what."""

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """What any of the parts needs."""
        return frozenset().union(*(part.needs for part in self.parts))

    @property
    def privileges(self) -> frozenset[str]:  # type: ignore[override]
        """What any of the parts is told."""
        return frozenset().union(*(part.privileges for part in self.parts))

    def propose(self, n: int = 1) -> Proposals:
        """Propose ``n`` tasks, with their seeds where a part gives them."""
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        return self._gather(n, self.rng, lambda part, k: part.propose(k))

    def sample(self, n: int = 1) -> NDArray[Any]:
        """Propose ``n`` tasks, always inside the space."""
        return self.propose(n).tasks

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        return self._draw(n, rng)

    def _draw(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        # For previews: everything comes from the given generator.
        return self._gather(n, rng, lambda part, k: Proposals(part._draw(k, rng))).tasks

    def _gather(
        self, n: int, rng: np.random.Generator, ask: Callable[[Teacher, int], Proposals]
    ) -> Proposals:
        chosen = self._choose(n, rng)
        found = [
            (rows, ask(self.parts[index], len(rows)))
            for index in range(len(self.parts))
            if len(rows := np.flatnonzero(chosen == index))
        ]
        tasks = np.empty((n, *found[0][1].tasks.shape[1:]), dtype=found[0][1].tasks.dtype)
        # Who made each proposal, and which row of his it was.
        self._origins = np.stack([chosen, np.zeros_like(chosen)], axis=1)
        for rows, proposals in found:
            tasks[rows] = proposals.tasks
            self._origins[rows, 1] = np.arange(len(rows))
        self._latest = tasks.copy()
        self.proposed += n
        self._issued(chosen, tasks)
        return Proposals(tasks, self._seeds_of(n, found, rng))

    def _requests(self) -> Proposals | None:
        wanted = [asked for part in self.parts if (asked := part.requests()) is not None]
        wanted = [asked for asked in wanted if len(asked)]
        if not wanted:
            return None
        ends = np.cumsum([0, *(len(asked) for asked in wanted)])
        found = [
            (np.arange(first, last), asked)
            for first, last, asked in zip(ends[:-1], ends[1:], wanted, strict=True)
        ]
        tasks = np.concatenate([asked.tasks for asked in wanted])
        return Proposals(tasks, self._seeds_of(len(tasks), found, self.rng))

    def _seeds_of(
        self, n: int, found: Sequence[tuple[IntArray, Proposals]], rng: np.random.Generator
    ) -> NDArray[np.int64] | None:
        """Return everybody's seeds; drawn for those who leave them open while others do not."""
        if all(proposals.seeds is None for _, proposals in found):
            return None
        seeds = rng.integers(SEED_LIMIT, size=n)
        for rows, proposals in found:
            if proposals.seeds is not None:
                seeds[rows] = proposals.seeds
        return seeds

    def update(self, outcomes: Outcomes) -> None:
        """Take outcomes; all parts learn from all of them."""
        super().update(outcomes)
        for part in self.parts:
            part.update(outcomes)

    def _update(self, batch: Batch) -> None:
        """Nothing of its own to learn: the parts do."""

    def _state(self) -> State:
        return {"parts": [part.state_dict() for part in self.parts]}

    def _load(self, state: Mapping[str, Any]) -> None:
        for part, saved in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(saved)
