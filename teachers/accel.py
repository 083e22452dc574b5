"""ACCEL: small changes of the levels from which most is learnt, scored anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._replay import Prioritisation, ReplayTeacher, Score
from currgym.teaching import State, register

__all__ = ["ACCEL"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Start = Literal["easy", "random"]

MOST_PARENTS = 64
"""Replayed levels that wait to be edited; of more those with the lowest scores are let go."""


@register("accel")
class ACCEL(ReplayTeacher):
    """Edit the levels that were just replayed, score the children without learning, keep the best.

    On top of robust ``plr``: students train on replayed levels only, which are drawn by their
    score. A level that was trained on becomes a parent; its children, ``edits`` small changes away,
    are *requests*, and enter the store with the score of their own attempt. New levels are requests
    too, easy ones where the space knows of any (empty rooms), so that complexity comes from edits
    and only as far as the student can follow.

    Source: Parker-Holder, Jiang, Dennis, Samvelyan, Foerster, Grefenstette, Rocktäschel, "Evolving
    Curricula with Regret-Based Environment Design", ICML 2022, https://arxiv.org/abs/2203.01302.

    Differences: the task space supplies the edit (blocks that come and go in mazes, a small normal
    step in a box), so the teacher works on any; a child has its parent's seed, and is dropped where
    it is known already; with a first batch of environments there is nothing to replay yet, so
    these few first levels are new ones. Temperature and staleness are those of preset ``robust`` of
    ``plr``.

    Args:
        space: Any: boxes, numbered tasks, levels.
        seed: Of the private random generator.
        return_range: Unused: scores are taken as they are.
        score: What makes a level worth replaying, as in ``plr``.
        replay_rate: Replays to all that is not an edit, in (0, 1]: ``(1 - replay_rate) /
            replay_rate`` new levels are asked for to a proposal.
        edit_rate: Children to a replay, in [0, 1]; below 1 the parents with the highest scores.
        edits: Changes from parent to child, at least 1.
        edit_size: Of each change, as the space's ``edit`` takes it; above 0.
        start: ``"easy"``: new levels are the space's easy ones, where it knows of any;
            ``"random"``: drawn as always.
        capacity: Levels kept, at least 1.
        warmup: Levels asked for at first, at least 1.
        prioritisation: ``"rank"`` or ``"proportional"`` to the score.
        temperature: Above 0; the lower, the more the highest scores are preferred.
        staleness: Share of replays by staleness, in [0, 1].
        fixed_seeds: As in ``plr``.

    >>> from currgym import make_teacher
    >>> from currgym.envs.grid_maze import MazeTasks
    >>> space = MazeTasks(7)
    >>> asked = make_teacher("accel", space, seed=0, warmup=5).requests()
    >>> space.walls(asked.tasks)[:, 1:-1, 1:-1].sum()  # five empty rooms
    np.int64(0)
    """

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        score: Score = "pvl",
        replay_rate: float = 0.8,
        edit_rate: float = 1.0,
        edits: int = 5,
        edit_size: float = 0.05,
        start: Start = "easy",
        capacity: int = 4000,
        warmup: int = 100,
        prioritisation: Prioritisation = "rank",
        temperature: float = 0.3,
        staleness: float = 0.3,
        fixed_seeds: bool | None = None,
    ) -> None:
        super().__init__(
            space, seed=seed, return_range=return_range, score=score, robust=True,
            replay_rate=replay_rate, capacity=capacity, warmup=warmup,
            prioritisation=prioritisation, temperature=temperature, staleness=staleness,
            fixed_seeds=fixed_seeds,
        )  # fmt: skip
        if not 0.0 <= edit_rate <= 1.0:
            raise ValueError(f"edit_rate must lie in [0, 1], got {edit_rate}")
        if edits < 1:
            raise ValueError(f"edits must be at least 1, got {edits}")
        if not edit_size > 0.0:
            raise ValueError(f"edit_size must be above 0, got {edit_size}")
        if start not in get_args(Start):
            raise ValueError(f"start must be one of {get_args(Start)}, got {start!r}")
        self.edit_rate = edit_rate
        self.edits = edits
        self.edit_size = edit_size
        self.start: Start = start
        self.children = 0
        self._parents: list[tuple[float, NDArray[Any], int]] = []
        self._edits_owed = 0.0

    @property
    def privileges(self) -> frozenset[str]:  # type: ignore[override]
        """``initial`` where it is told of easy levels, ``solver`` for the true regret."""
        return super().privileges | ({"initial"} if self._easy(1) is not None else frozenset())

    def _easy(self, n: int, rng: np.random.Generator | None = None) -> NDArray[Any] | None:
        if self.start == "random":
            return None
        return self.space.easy(n, np.random.default_rng(0) if rng is None else rng)

    def _new(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        easy = self._easy(n, rng)
        return super()._new(n, rng) if easy is None else easy

    def _replayed(self, slot: int) -> None:
        self._edits_owed += self.edit_rate
        levels = self.levels
        parent = float(levels.scores[slot]), levels.tasks[slot].copy(), int(levels.seeds[slot])
        self._parents.append(parent)
        if len(self._parents) > MOST_PARENTS:
            del self._parents[min(range(len(self._parents)), key=lambda i: self._parents[i][0])]

    def _children(self, rng: np.random.Generator) -> tuple[NDArray[Any], IntArray] | None:
        """Edit the best of the levels replayed since the last call."""
        self._parents.sort(key=lambda parent: -parent[0])
        chosen = self._parents[: int(self._edits_owed + 1e-9)]
        # What is owed goes on; the levels that were not good enough do not.
        self._edits_owed = max(0.0, self._edits_owed - len(chosen))
        if not chosen:
            return None
        self._parents = []
        self._edits_owed = min(self._edits_owed, 1.0)
        tasks = self._to_tasks(np.array([task for _, task, _ in chosen]))
        for _ in range(self.edits):
            tasks = self.space.edit(tasks, rng, self.edit_size)
        children, found = self._native(tasks), set()
        keep: list[int] = []
        for i, (_, _, seed) in enumerate(chosen):
            key = children[i].tobytes(), seed
            if key not in found and self.levels.find(children[i], seed) is None:
                found.add(key)
                keep.append(i)
        self.children += len(keep)
        if not keep:
            return None
        seeds = np.array([seed for _, _, seed in chosen], dtype=np.int64)
        return children[keep], seeds[keep]

    def _state(self) -> State:
        shape = self.levels.tasks.shape[1:]
        tasks = [task for _, task, _ in self._parents]
        return {
            **super()._state(),
            "children": self.children,
            "edits_owed": self._edits_owed,
            "parent_tasks": np.array(tasks) if tasks else np.empty((0, *shape)),
            "parent_scores": np.array([score for score, _, _ in self._parents]),
            "parent_seeds": np.array([seed for _, _, seed in self._parents], dtype=np.int64),
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        super()._load(state)
        self.children, self._edits_owed = int(state["children"]), float(state["edits_owed"])
        kind = self.levels.tasks.dtype
        self._parents = [
            (float(score), np.array(task, dtype=kind), int(seed))
            for score, task, seed in zip(
                state["parent_scores"], state["parent_tasks"], state["parent_seeds"], strict=True
            )
        ]

    def snapshot(self) -> dict[str, Any]:
        """Return what ``plr`` does, and how many children were made."""
        return {**super().snapshot(), "children": self.children}
