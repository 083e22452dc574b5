"""The curriculum: tickets, strictness, order, the ledger, state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from currgym import BoxTasks, Curriculum, DiscreteTasks, Outcomes, Proposals, Teacher, make_teacher
from currgym.curriculum import SEED_LIMIT, Tickets
from currgym.teaching import Batch

BOX = BoxTasks([0, 0], [3, 6])


class Chained(Teacher):
    """Each proposal depends on every outcome so far and on their order."""

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        return np.full((n, self.space.unit_dim), self.value)

    value = 0.5

    def _update(self, batch: Batch) -> None:
        for value in batch.raw_returns.tolist():
            self.value = (3.7 * self.value * (1 - self.value) + value / 100) % 1.0

    def _state(self) -> dict[str, Any]:
        return {"value": self.value}

    def _load(self, state: Any) -> None:
        self.value = float(state["value"])


class Asks(Teacher):
    """Requests two probes before every second proposal."""

    needs = frozenset({"probe"})

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        return rng.random((n, self.space.unit_dim))

    def _requests(self) -> Proposals | None:
        if self.proposed % 2:
            return None
        return Proposals(np.array([[1.0, 1.0], [2.0, 2.0]]), seeds=np.array([11, 12]))


class Stranger:
    """The least a teacher may be: sample and update, nothing else."""

    def __init__(self) -> None:
        self.seen: list[Outcomes] = []

    def sample(self, n: int = 1) -> list[list[float]]:
        return [[1.0, 2.0]] * n

    def update(self, outcomes: Outcomes) -> None:
        self.seen.append(outcomes)


class Log:
    """Keeps what a run would write."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []

    def issued(self, tickets: Tickets, probe: bool) -> None:
        self.lines.append(("issued", tickets.ids.tolist(), probe))

    def settled(self, outcomes: Outcomes, envs: Any, step: int) -> None:
        assert outcomes.ids is not None
        self.lines.append(("settled", outcomes.ids.tolist(), envs.tolist(), step))


def curriculum(**arguments: Any) -> Curriculum:
    return Curriculum(make_teacher("random", BOX, seed=0), seed=0, **arguments)


class TestTickets:
    def test_ids_are_unique_and_ascending_and_seeds_come_from_the_seed(self) -> None:
        one, other = curriculum(), curriculum()
        tickets = [one.issue(3), one.issue(1), one.issue(2)]
        assert np.concatenate([t.ids for t in tickets]).tolist() == list(range(6))
        assert tickets[0].tasks.shape == (3, 2)
        again = [other.issue(3), other.issue(1), other.issue(2)]
        for a, b in zip(tickets, again, strict=True):
            assert np.array_equal(a.seeds, b.seeds)
            assert np.array_equal(a.tasks, b.tasks)
        different = Curriculum(make_teacher("random", BOX, seed=0), seed=1).issue(3)
        assert not np.array_equal(different.seeds, tickets[0].seeds)
        assert one.ticket(4)[1] == tickets[2].seeds[0]
        assert list(one.open) == list(range(6))

    def test_outcomes_carry_task_id_and_seed(self) -> None:
        c = curriculum()
        tickets = c.issue(3)
        outcomes = c.settle([2, 0], [1.0, 2.0], lengths=[5, 6], scores={"pvl": [0.1, 0.2]})
        assert np.array_equal(outcomes.tasks, tickets.tasks[[2, 0]])
        assert outcomes.ids is not None
        assert outcomes.ids.tolist() == [2, 0]
        assert outcomes.seeds is not None
        assert outcomes.seeds.tolist() == tickets.seeds[[2, 0]].tolist()
        assert outcomes.probe is None
        assert list(c.open) == [1]


class TestSeeds:
    @pytest.mark.parametrize("seed", [0, 1, 7])
    def test_the_stream_is_its_own(self, seed: int) -> None:
        """A teacher made from the same number must not draw what the episodes are seeded with."""
        seeds = Curriculum(Stranger(), seed=seed).issue(50).seeds
        assert len(set(seeds.tolist())) == 50
        shared = np.random.default_rng(seed)
        for drawn in (shared.integers(SEED_LIMIT, size=256), shared.random(256) * SEED_LIMIT):
            assert not set(np.floor(drawn).astype(np.int64).tolist()) & set(seeds.tolist())
        again = Curriculum(Stranger(), seed=seed).issue(50).seeds
        assert np.array_equal(seeds, again)


class TestStrictness:
    def test_ids_settled_twice_or_never_issued_raise(self) -> None:
        c = curriculum()
        c.issue(3)
        c.settle([1], [0.0])
        for bad, message in [
            ([1], "ticket 1 is closed already"),
            ([3], "ticket 3 was never issued"),
            ([-1], "ticket -1 was never issued"),
            ([0, 0], "named twice"),
        ]:
            with pytest.raises(KeyError, match=message):
                c.settle(bad, np.zeros(len(bad)))
            with pytest.raises(KeyError, match=message):
                c.cancel(bad)
        assert list(c.open) == [0, 2]

    def test_bad_values_lose_nothing(self) -> None:
        c = curriculum()
        c.issue(2)
        with pytest.raises(ValueError, match="returns must be finite"):
            c.settle([0, 1], [1.0, np.nan])
        with pytest.raises(ValueError, match="lengths must have shape"):
            c.settle([0, 1], [1.0, 2.0], lengths=[1])
        assert c.ledger.attempts == 0
        assert list(c.open) == [0, 1]
        c.settle([0, 1], [1.0, 2.0])
        assert c.ledger.attempts == 2

    def test_ids_are_whole_numbers(self) -> None:
        c = curriculum()
        c.issue(3)
        with pytest.raises(KeyError, match="whole numbers"):
            c.settle([1.5], [0.0])
        assert list(c.open) == [0, 1, 2]
        c.settle([], [])
        assert c.ledger.attempts == 0

    @pytest.mark.parametrize("tasks", [[1.0, 2.0], [[1.0, 2.0]] * 2, []])
    def test_a_teacher_gives_as_many_tasks_as_it_was_asked_for(self, tasks: Any) -> None:
        """One task of two dimensions is not two tasks, whoever forgets the outer bracket."""

        class Wrong(Stranger):
            def sample(self, n: int = 1) -> Any:
                return tasks

        c = Curriculum(Wrong(), seed=0)
        with pytest.raises(ValueError, match="asked for 1 tasks"):
            c.issue(1)
        assert list(c.open) == []

    @pytest.mark.parametrize("seeds", [[1, 2], [], [-1], [0.5], [np.nan]])
    def test_a_teachers_own_seeds_are_checked(self, seeds: Any) -> None:
        class Replays(Stranger):
            def propose(self, n: int) -> Proposals:
                return Proposals(np.ones((n, 2)), seeds=np.array(seeds))

        c = Curriculum(Replays(), seed=0)
        with pytest.raises(ValueError, match="1 whole numbers"):
            c.issue(1)
        assert list(c.open) == []

    def test_teachers_and_lags_are_checked(self) -> None:
        with pytest.raises(TypeError, match="needs a method 'update'"):
            Curriculum(BOX)  # type: ignore[arg-type]
        for arguments in ({"lag": 2}, {"lag": 0, "ordered": True}):
            with pytest.raises(ValueError, match="lag needs ordered=True"):
                curriculum(**arguments)


class TestStranger:
    def test_sample_and_update_are_enough(self) -> None:
        stranger = Stranger()
        c = Curriculum(stranger, seed=0)
        tickets = c.issue(2)
        assert tickets.tasks.tolist() == [[1.0, 2.0], [1.0, 2.0]]
        c.settle(tickets.ids[::-1], [1.0, 2.0])
        assert len(stranger.seen[0]) == 2
        assert c.requests() is None
        with pytest.raises(RuntimeError, match="no state_dict"):
            c.state_dict()


class TestLedger:
    def test_counts(self) -> None:
        c = Curriculum(Asks(BOX, seed=0), seed=0)
        probes = c.requests()
        assert probes is not None
        assert probes.seeds.tolist() == [11, 12]
        tickets = c.issue(5)
        assert c.requests() is None
        outcomes = c.settle(probes.ids, [1.0, 2.0], lengths=[30, 40])
        assert outcomes.probe is not None
        assert outcomes.probe.tolist() == [True, True]
        c.settle(tickets.ids[:2], [1.0, 2.0], lengths=[10, 20])
        c.cancel(tickets.ids[2:4], lengths=[3, 4])
        c.cancel(tickets.ids[4])
        c.ledger.charge(evaluations=2, evaluation_steps=500, updates=7)
        assert (c.ledger.attempts, c.ledger.steps) == (2, 30)
        assert (c.ledger.probes, c.ledger.probe_steps) == (2, 70)
        assert (c.ledger.cancelled, c.ledger.cancelled_steps) == (3, 7)
        assert c.ledger.environment_steps == 30 + 70 + 7 + 500

    def test_seeds_of_the_teacher_do_not_shift_the_stream(self) -> None:
        asked, plain = Curriculum(Asks(BOX, seed=0), seed=0), curriculum()
        plain.issue(2)
        asked.requests()
        assert np.array_equal(asked.issue(3).seeds, plain.issue(3).seeds)

    def test_the_recorder_hears_every_call(self) -> None:
        c = Curriculum(Asks(BOX, seed=0), seed=0)
        log = c.recorder = Log()
        c.requests()
        c.issue(2, envs=[4, 5])
        c.settle([2, 3], [0.0, 0.0], lengths=[3, 4])
        c.settle([0], [0.0], lengths=[2], step=99)
        assert [line for line in log.lines if line[0] == "settled"] == [
            ("settled", [2, 3], [4, 5], 7),
            ("settled", [0], [-1], 99),
        ]
        issued = [line for line in log.lines if line[0] == "issued"]
        assert issued[0] == ("issued", [0, 1], True)
        assert ("issued", [2, 3], False) in issued


def finish_at_random(c: Curriculum, workers: int, attempts: int, seed: int) -> NDArray[Any]:
    """Run asynchronous workers that finish in a random order; one in ten is cancelled."""
    rng = np.random.default_rng(seed)
    running: list[int] = []
    tasks = np.empty((attempts, 2))
    issued = 0
    while issued < attempts or running:
        while issued < attempts and len(running) < workers and (c.lag is None or c.ready > 0):
            ticket = c.issue(1)
            tasks[issued] = ticket.tasks[0]
            running.append(int(ticket.ids[0]))
            issued += 1
        # The outcome depends on the ticket alone, its moment on the worker.
        done = running.pop(int(rng.integers(len(running))))
        if done % 10 == 3:
            c.cancel([done])
        else:
            c.settle([done], [np.sin(done) + c.ticket(done)[0].sum()], lengths=[done % 7 + 1])
    c.finish()
    return tasks


class TestOrder:
    @pytest.mark.parametrize("workers", [1, 4, 16])
    def test_with_a_lag_any_order_of_finishing_is_the_same_run(self, workers: int) -> None:
        found = []
        for seed in range(6):
            c = Curriculum(Chained(BOX, seed=0), seed=0, ordered=True, lag=workers)
            tasks = finish_at_random(c, workers, 120, seed)
            found.append((tasks, c.state_dict()))
        for tasks, state in found[1:]:
            assert np.array_equal(tasks, found[0][0])
            assert state["teacher"]["own"] == found[0][1]["teacher"]["own"]
            assert state["ledger"] == found[0][1]["ledger"]

    def test_without_order_it_is_not(self) -> None:
        runs = [
            finish_at_random(Curriculum(Chained(BOX, seed=0), seed=0), 4, 60, seed)
            for seed in range(3)
        ]
        assert not np.array_equal(runs[0], runs[1])

    def test_ordered_delivers_by_id(self) -> None:
        stranger = Stranger()
        c = Curriculum(stranger, seed=0, ordered=True)
        c.issue(5)
        c.settle([3, 1], [3.0, 1.0])
        assert stranger.seen == []
        c.cancel([0])
        assert [o.ids.tolist() for o in stranger.seen if o.ids is not None] == [[1]]
        c.settle([2], [2.0])
        assert [o.ids.tolist() for o in stranger.seen if o.ids is not None] == [[1], [2], [3]]
        c.settle([4], [4.0])
        assert len(stranger.seen) == 4

    def test_a_lag_waits_for_the_outcome_that_must_come_first(self) -> None:
        c = curriculum(ordered=True, lag=2)
        c.issue(1)
        c.issue(1)
        assert c.ready == 0
        c.settle([1], [0.0])
        with pytest.raises(RuntimeError, match="ticket 2 must wait for the outcome of 0"):
            c.issue(1)
        c.settle([0], [0.0])
        assert c.ready == 2
        with pytest.raises(RuntimeError, match="one at a time"):
            c.issue(2)
        assert c.issue(1).ids.tolist() == [2]
        with pytest.raises(RuntimeError, match="ready is for"):
            _ = curriculum().ready


class TestState:
    @pytest.mark.parametrize("name", ["random", "uniform-steps", "alp-gmm"])
    def test_goes_on_bit_for_bit_with_tickets_open(self, name: str) -> None:
        def build(seed: int) -> Curriculum:
            return Curriculum(make_teacher(name, BOX, seed=seed), seed=seed)

        one = build(0)
        for _ in range(30):
            tickets = one.issue(10)
            one.settle(tickets.ids[:9], tickets.tasks[:9].sum(axis=1), lengths=np.full(9, 4))
        other = build(1)
        other.load_state_dict(one.state_dict())
        assert list(other.open) == list(one.open)
        assert other.ledger == one.ledger
        for c in (one, other):
            c.settle(list(c.open)[::3], np.zeros(10))
            c.cancel(next(iter(c.open)))
        for _ in range(5):
            a, b = one.issue(4), other.issue(4)
            assert np.array_equal(a.tasks, b.tasks)
            assert np.array_equal(a.seeds, b.seeds)
            one.settle(a.ids, [1.0, 2.0, 3.0, 4.0])
            other.settle(b.ids, [1.0, 2.0, 3.0, 4.0])

    def test_with_order_and_gaps(self) -> None:
        one = Curriculum(Chained(BOX, seed=0), seed=0, ordered=True)
        one.issue(6)
        one.settle([0], [1.0])
        one.cancel([2])
        other = Curriculum(Chained(BOX, seed=1), seed=1, ordered=True)
        other.load_state_dict(one.state_dict())
        for c in (one, other):
            c.settle([3, 1], [3.0, 1.0])
        assert np.array_equal(one.issue(1).tasks, other.issue(1).tasks)
        one.settle([5], [5.0])
        with pytest.raises(RuntimeError, match="outcomes are held back"):
            one.state_dict()

    def test_probes_stay_probes(self) -> None:
        one = Curriculum(Asks(BOX, seed=0), seed=0)
        one.requests()
        other = Curriculum(Asks(BOX, seed=1), seed=1)
        other.load_state_dict(one.state_dict())
        other.settle([0, 1], [1.0, 1.0], lengths=[5, 5])
        assert (other.ledger.attempts, other.ledger.probes) == (0, 2)

    def test_examples(self) -> None:
        space = DiscreteTasks(5)
        one = Curriculum(make_teacher("random", space, seed=0), seed=0)
        tickets = one.issue(3)
        other = Curriculum(make_teacher("random", space, seed=1), seed=1)
        other.load_state_dict(one.state_dict())
        outcomes = other.settle(tickets.ids, scores={"loss": [0.1, 0.2, 0.3]})
        assert outcomes.tasks.tolist() == tickets.tasks.tolist()
        assert np.array_equal(one.issue(9).tasks, other.issue(9).tasks)
