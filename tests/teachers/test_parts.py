"""What teachers made of teachers share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from currgym.outcomes import Outcomes
from currgym.tasks import BoxTasks, DiscreteTasks
from currgym.teachers._parts import MOST_OPEN, Composite, OpenProposals, build_part, listed
from currgym.teaching import Proposals, Teacher

LINE = BoxTasks([0], [1])


def test_lists_as_a_command_line_writes_them() -> None:
    for names in ("alp-gmm, random", "alp-gmm+random", ["alp-gmm", "random"]):
        assert listed(names, "teachers") == ["alp-gmm", "random"]
    for names in ("", "random,,x", []):
        with pytest.raises(ValueError, match="teachers must name at least one teacher"):
            listed(names, "teachers")


def test_a_part_gets_its_seed_range_and_horizon() -> None:
    rng = np.random.default_rng(0)
    one, two = (build_part("yoked", LINE, rng, (-1, 1), horizon=7) for _ in range(2))
    assert one.return_range == (-1, 1)
    assert getattr(one, "horizon", None) == 7
    assert one.seed != two.seed
    own = build_part("yoked", LINE, rng, None, {"horizon": 3}, horizon=7)
    assert getattr(own, "horizon", None) == 3
    assert getattr(build_part("alp-gmm:corl2019", LINE, rng, None), "fit_period", None) == 250
    with pytest.raises(ValueError, match="unknown teacher 'randm'"):
        build_part("randm", LINE, rng, None)


def test_open_proposals_come_back_in_any_order_once() -> None:
    known = OpenProposals()
    tasks = np.array([[0.1, 0.2], [0.3, 0.4], [0.1, 0.2]])
    known.add(tasks, [4, 5, 6])
    twin = OpenProposals()
    twin.load(known.state())
    for remembered in (known, twin):
        back = remembered.take(np.array([[0.3, 0.4], [0.1, 0.2], [0.5, 0.5], [0.1, 0.2]]))
        assert back == [5, 4, None, 6]
        assert remembered.take(tasks) == [None, None, None]


def test_open_proposals_are_bounded() -> None:
    known = OpenProposals()
    known.add(np.arange(MOST_OPEN + 10), range(MOST_OPEN + 10))
    assert known.take(np.array([0, 9, 10])) == [None, None, 10]
    assert len(known.state()["numbers"]) == MOST_OPEN - 1
    same = OpenProposals()
    same.add(np.zeros(MOST_OPEN + 10, dtype=np.int64), range(MOST_OPEN + 10))
    assert same.take(np.array([0])) == [10]


class Levels(Teacher):
    """Proposes levels, and asks for attempts, where it is told to."""

    spaces = frozenset({"box", "discrete"})

    def __init__(self, space: Any, place: float, seeded: bool) -> None:
        super().__init__(space, seed=0)
        self.place, self.seeded = place, seeded
        self.heard = 0

    def propose(self, n: int = 1) -> Proposals:
        seeds = np.arange(n, dtype=np.int64) if self.seeded else None
        return Proposals(np.full((n, 1), self.place), seeds=seeds)

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        return np.full((n, 1), self.place)

    def _requests(self) -> Proposals | None:
        return self.propose(2)

    def _update(self, batch: Any) -> None:
        self.heard += len(batch)


class Alternating(Composite):
    """Its parts in turn."""

    def __init__(self, *parts: Teacher) -> None:
        super().__init__(LINE, seed=0)
        self.parts = parts

    def _choose(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        return np.arange(n) % len(self.parts)


def test_seeds_of_levels_are_kept_and_the_others_drawn() -> None:
    teacher = Alternating(Levels(LINE, 0.2, True), Levels(LINE, 0.8, False))
    proposals = teacher.propose(6)
    assert proposals.tasks[:, 0].tolist() == [0.2, 0.8] * 3
    assert proposals.seeds is not None
    assert proposals.seeds[::2].tolist() == [0, 1, 2]
    assert len(set(proposals.seeds[1::2].tolist())) == 3
    assert Alternating(Levels(LINE, 0.2, False)).propose(3).seeds is None
    assert teacher.proposed == 6


def test_requests_are_asked_for_together_and_outcomes_go_to_all() -> None:
    parts = Levels(LINE, 0.2, True), Levels(LINE, 0.8, True)
    teacher = Alternating(*parts)
    wanted = teacher.requests()
    assert wanted is not None
    assert wanted.tasks[:, 0].tolist() == [0.2, 0.2, 0.8, 0.8]
    assert wanted.seeds is not None
    assert wanted.seeds.tolist() == [0, 1, 0, 1]
    teacher.update(Outcomes([[0.2], [0.5]], [1.0, 2.0]))
    assert [part.heard for part in parts] == [2, 2]


def test_discrete_spaces_are_cut_piece_by_piece() -> None:
    space = DiscreteTasks(10)
    rng = np.random.default_rng(0)
    teacher = Alternating(*(build_part("random", space, rng, None) for _ in range(2)))
    drawn = teacher.sample(20).reshape(10, 2)
    assert sorted(drawn[:, 0]) == sorted(drawn[:, 1]) == list(range(10))
