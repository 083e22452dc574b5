"""The base class of teachers, the scale of returns, and the registry."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from currgym import BoxTasks, DiscreteTasks, Outcomes, Proposals, Teacher, make_teacher, register
from currgym.registry import Registry
from currgym.tasks import TaskSpace
from currgym.teaching import (
    Batch,
    ReturnScale,
    TeacherLike,
    _load_teachers,
    teacher_parameters,
    teachers,
)

BOX = BoxTasks([0, 0, 5], [3, 6, 5])
EXAMPLES = DiscreteTasks(6, difficulty=[5, 4, 3, 2, 1, 0])


class Remembers(Teacher):
    """Uniform, and keeps the batches it saw."""

    spaces = frozenset({"box"})
    needs = frozenset({"pvl"})

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        rate: float = 0.5,
        sizes: Any = None,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        self.rate = rate
        self.sizes = sizes
        self.batches: list[Batch] = []

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        return rng.random((n, self.space.unit_dim))

    def _update(self, batch: Batch) -> None:
        self.batches.append(batch)


class Passes(Teacher):
    """Plans passes whose length is the time at which they begin, up to 6."""

    spaces = frozenset({"discrete"})

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        raise AssertionError("passes only")

    def _plan(self, rng: np.random.Generator) -> NDArray[np.int64]:
        return np.arange(min(self.proposed + 1, 6))


class TestBaseClass:
    def test_batches_are_in_the_cube_and_scaled(self) -> None:
        teacher = Remembers(BOX, seed=0, return_range=(-10, 10))
        teacher.update(
            Outcomes(
                [[1.5, 6.0, 5.0], [3.0, 0.0, 5.0], [0.0, 0.0, 5.0]],
                [-30.0, 5.0, 30.0],
                scores={"pvl": [0.0, 1.0, 2.0]},
                ids=[4, -1, 6],
            )
        )
        (batch,) = teacher.batches
        assert batch.tasks.tolist() == [[0.5, 1.0], [1.0, 0.0], [0.0, 0.0]]
        assert batch.returns.tolist() == [0.0, 0.75, 1.0]
        assert batch.raw_returns.tolist() == [-30.0, 5.0, 30.0]
        assert batch.ids is not None
        assert batch.ids.tolist() == [4, -1, 6]
        assert batch.scores["pvl"].tolist() == [0.0, 1.0, 2.0]
        assert teacher.seen == 3

    def test_discrete_spaces_with_difficulty_have_a_cube(self) -> None:
        teacher = Remembers(EXAMPLES, seed=0)
        tasks = teacher.sample(600)
        assert tasks.dtype == np.int64
        assert set(tasks.tolist()) == set(range(6))
        teacher.update(Outcomes([5, 0], [1.0, 2.0], scores={"pvl": [0, 0]}))
        np.testing.assert_allclose(teacher.batches[0].tasks, [[1 / 12], [11 / 12]])

    def test_examples_may_give_losses(self) -> None:
        teacher = Remembers(EXAMPLES, seed=0, return_range=(-4, 0))
        teacher.update(Outcomes([5, 0], scores={"loss": [1.0, 3.0], "pvl": [0, 0]}))
        assert teacher.batches[0].raw_returns.tolist() == [-1.0, -3.0]
        assert teacher.batches[0].returns.tolist() == [0.75, 0.25]

    def test_needs_are_checked_and_nothing_is_lost(self) -> None:
        teacher = Remembers(BOX, seed=0)
        with pytest.raises(ValueError, match="needs 'pvl' with every outcome and got none"):
            teacher.update(Outcomes([[0, 0, 5]], [1.0]))
        assert teacher.seen == 0

    def test_spaces_that_do_not_fit_are_refused(self) -> None:
        with pytest.raises(ValueError, match="declare a difficulty to give it one"):
            Remembers(DiscreteTasks(3))
        with pytest.raises(ValueError, match=r"works on \['discrete'\], not on BoxTasks"):
            Passes(BOX)

    def test_time_goes_on_within_a_call(self) -> None:
        one, many = Passes(EXAMPLES, seed=0), Passes(EXAMPLES, seed=0)
        singles = [int(one.sample(1)[0]) for _ in range(20)]
        # Passes begin at times 0, 1, 3, 7, 13 with lengths 1, 2, 4, 6, 6.
        expected = [0, 0, 1, 0, 1, 2, 3, *range(6), *range(6), 0]
        assert singles == expected
        assert many.sample(20).tolist() == expected
        assert one.proposed == many.proposed == 20

    def test_plan_is_what_is_left_of_the_pass(self) -> None:
        teacher = Passes(EXAMPLES, seed=0)
        teacher.sample(4)
        assert teacher.plan().tolist() == [1, 2, 3]
        assert teacher.plan().tolist() == [0, 1, 2, 3, 4, 5]
        assert teacher.proposed == 13
        draws = Remembers(EXAMPLES, seed=0)
        assert draws.plan().shape == (6,)
        with pytest.raises(ValueError, match="plan\\(\\) is for discrete spaces"):
            Remembers(BOX).plan()

    def test_plans_are_checked(self) -> None:
        class Empty(Passes):
            def _plan(self, rng: np.random.Generator) -> NDArray[np.int64]:
                return np.empty(0, dtype=np.int64)

        class Outside(Passes):
            def _plan(self, rng: np.random.Generator) -> NDArray[np.int64]:
                return np.array([6])

        with pytest.raises(RuntimeError, match="planned an empty pass"):
            Empty(EXAMPLES).sample(1)
        with pytest.raises(ValueError, match=r"index 6 is not in \[0, 5\]"):
            Outside(EXAMPLES).sample(1)

    def test_state_goes_on_bit_for_bit(self) -> None:
        one = Passes(EXAMPLES, seed=0)
        one.sample(5)
        other = Passes(EXAMPLES, seed=1)
        other.load_state_dict(one.state_dict())
        assert one.sample(20).tolist() == other.sample(20).tolist()

    def test_zero_is_a_seed_and_none_is_not(self) -> None:
        tasks = [make_teacher("random", BOX, seed=seed).sample(3) for seed in (0, 0, None, None)]
        assert np.array_equal(tasks[0], tasks[1])
        assert not np.array_equal(tasks[2], tasks[3])

    def test_repr_shows_what_is_not_default(self) -> None:
        assert repr(Remembers(EXAMPLES)) == "Remembers(DiscreteTasks(6, with difficulty))"
        teacher = Remembers(EXAMPLES, seed=3, rate=0.25, sizes=np.zeros((2, 3)))
        shown = "seed=3, rate=0.25, sizes=<float64 array of shape (2, 3)>"
        assert repr(teacher) == f"Remembers(DiscreteTasks(6, with difficulty), {shown})"

    def test_why_has_an_answer_where_an_author_proposes(self) -> None:
        class Levels(Teacher):
            name = "levels-of-an-author"

            def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
                return rng.random((n, 1))

            def propose(self, n: int = 1) -> Proposals:
                return Proposals(self.space.from_unit(self._sample(n, self.rng)), np.arange(n))

        teacher = Levels(BoxTasks([0], [1]), seed=0)
        teacher.propose(2)
        assert str(teacher.why(1)) == "From what levels-of-an-author draws: after 0 outcomes."

    def test_defaults_of_the_rest(self) -> None:
        teacher = Remembers(EXAMPLES, seed=0)
        assert teacher.requests() is None
        assert teacher.snapshot() == {}
        assert teacher.weights([0, 1, 2]).tolist() == [1.0] * 3
        assert isinstance(teacher.propose(2), Proposals)
        assert len(teacher.propose(2)) == 2
        assert teacher.default_horizon() == 60
        assert Remembers(BOX).default_horizon() == 10_000
        assert isinstance(teacher, TeacherLike)
        with pytest.raises(ValueError, match="n must be at least 1, got 0"):
            teacher.sample(0)


class TestReturnScale:
    def test_a_fixed_range_clamps(self) -> None:
        scale = ReturnScale((-150, 350))
        assert scale(np.array([-200.0, -150.0, 100.0, 350.0, 400.0])).tolist() == [0, 0, 0.5, 1, 1]

    @pytest.mark.parametrize("bad", [(1, 1), (2, 1), (0, np.inf)])
    def test_bad_ranges(self, bad: tuple[float, float]) -> None:
        with pytest.raises(ValueError, match="low < high"):
            ReturnScale(bad)

    def test_running_quantiles_of_the_latest_thousand(self) -> None:
        rng = np.random.default_rng(0)
        returns = np.concatenate([rng.normal(0, 1, 2500), rng.normal(50, 1, 2500)])
        scale = ReturnScale(None)
        for i in range(0, 5000, 7):
            scale.observe(returns[i : i + 7])
        latest = returns[3950:5000]  # refreshed within the latest 50
        np.testing.assert_allclose(scale.range, np.quantile(latest, [0.05, 0.95]), atol=0.05)
        assert scale(np.array([0.0, 100.0])).tolist() == [0.0, 1.0]

    def test_one_by_one_equals_in_batches(self) -> None:
        returns = np.random.default_rng(1).normal(size=2345)
        one, many = ReturnScale(None), ReturnScale(None)
        for value in returns:
            one.observe(np.array([value]))
        many.observe(returns)
        assert one.range == many.range

    def test_equal_returns_are_in_the_middle(self) -> None:
        scale = ReturnScale(None)
        scale.observe(np.full(9, 3.0))
        assert scale(np.array([2.0, 3.0, 4.0])).tolist() == [0.0, 0.5, 1.0]

    def test_state(self) -> None:
        returns = np.random.default_rng(1).normal(size=1700)
        one, other = ReturnScale(None), ReturnScale(None)
        one.observe(returns[:1234])
        other.load_state_dict(one.state_dict())
        one.observe(returns[1234:])
        other.observe(returns[1234:])
        assert one.range == other.range


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget afterwards what a test registers."""
    monkeypatch.setattr(teachers, "_things", dict(teachers.load()))


@pytest.mark.usefixtures("registry")
class TestRegistry:
    def test_registered_by_the_decorator(self) -> None:
        @register("remembers", presets={"slow": {"rate": 0.1}})
        class Named(Remembers):
            pass

        cls = Named
        assert cls.name == "remembers"
        assert "remembers" in teachers
        teacher = make_teacher("remembers", BOX, seed=0)
        assert getattr(teacher, "rate", None) == 0.5
        for built in (
            make_teacher("remembers:slow", BOX),
            make_teacher("remembers", BOX, preset="slow"),
            make_teacher(cls, BOX, preset="slow"),
        ):
            assert getattr(built, "rate", None) == 0.1
        assert getattr(make_teacher("remembers:slow", BOX, rate=0.9), "rate", None) == 0.9

    def test_duplicates_are_refused_and_reruns_are_not(self) -> None:
        class Mine(Remembers):
            pass

        register("mine")(Mine)
        register("mine")(Mine)
        with pytest.raises(ValueError, match="teacher 'mine' is already registered by"):
            register("mine")(Passes)
        with pytest.raises(ValueError, match="teacher 'random' is already registered"):
            register("random")(Mine)

    def test_wrong_names_are_answered_with_the_nearest(self) -> None:
        with pytest.raises(
            ValueError, match=r"unknown teacher 'alp_gmm': did you mean 'alp-gmm' or"
        ):
            make_teacher("alp_gmm", BOX)
        with pytest.raises(ValueError, match=r"unknown teacher 'zzz': there are .*alp-gmm, "):
            make_teacher("zzz", BOX)
        with pytest.raises(TypeError, match=r"'fit_perod': did you mean 'fit_period'"):
            make_teacher("alp-gmm", BOX, fit_perod=100)
        with pytest.raises(ValueError, match=r"preset of teacher 'alp-gmm' 'corl2018'.*'corl2019'"):
            make_teacher("alp-gmm:corl2018", BOX)

    def test_wrong_declarations_are_refused(self) -> None:
        class Nosy(Remembers):
            privileges = frozenset({"difficulti"})

        with pytest.raises(ValueError, match="did you mean 'difficulty'"):
            register("nosy")(Nosy)
        with pytest.raises(TypeError, match="did you mean 'rate'"):
            register("typo", presets={"a": {"rat": 1}})(type("T", (Remembers,), {}))

    def test_parameters(self) -> None:
        parameters = teacher_parameters(Remembers)
        assert list(parameters) == ["rate", "sizes"]
        assert parameters["rate"].annotation is float

    def test_parameters_whose_types_cannot_be_resolved(self) -> None:
        class Hidden(Remembers):
            def __init__(self, space: TaskSpace, *, odd: NotImported = 1, **_: Any) -> None:  # type: ignore[name-defined]  # noqa: F821
                super().__init__(space)

        assert "odd" in teacher_parameters(Hidden)

    def test_entry_points_of_other_packages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Theirs(Remembers):
            pass

        class Entry:
            name, value = "theirs", "their_package:Theirs"
            broken: ClassVar[bool] = False

            def load(self) -> object:
                if self.broken:
                    raise ImportError("no module named 'their_dependency'")
                return register("theirs")(Theirs)

        def entry_points(group: str) -> list[Entry]:
            assert group == "currgym.teachers"
            return [Entry()]

        monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
        monkeypatch.setattr(teachers, "_load", _load_teachers)
        assert isinstance(make_teacher("theirs", BOX), Theirs)
        assert "random" in list(teachers)
        # A broken one takes nobody else's teachers away.
        Entry.broken = True
        del teachers._things["theirs"]
        monkeypatch.setattr(teachers, "_load", _load_teachers)
        with pytest.warns(
            UserWarning, match="teacher 'theirs' of 'their_package:Theirs' could not"
        ):
            assert "random" in teachers
        assert "theirs" not in teachers

    def test_a_load_that_fails_is_tried_again(self) -> None:
        attempts: list[int] = []

        def load() -> None:
            attempts.append(1)
            if len(attempts) == 1:
                raise ImportError("not yet")
            things.add("one", 1)

        things: Registry[int] = Registry("thing", load)
        with pytest.raises(ImportError):
            list(things)
        assert list(things) == ["one"]
        assert len(attempts) == 2


def test_every_file_of_the_folder_registers_itself() -> None:
    import currgym.teachers

    files = {
        path.stem
        for path in Path(currgym.teachers.__path__[0]).glob("*.py")
        if not path.stem.startswith("_")
    }
    modules = {teachers[name].__module__.rpartition(".")[2] for name in teachers}
    assert files <= modules


def test_states_hold_no_more_than_they_say() -> None:
    state: Mapping[str, Any] = Remembers(BOX, seed=0).state_dict()
    assert set(state) == {"rng", "proposed", "seen", "scale", "pass", "cursor", "own"}
