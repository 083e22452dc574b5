import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from currgym.outcomes import Outcomes
from currgym.students.simulated import CubeStudent, teach
from currgym.tasks import BoxTasks
from currgym.teaching import Proposals, Teacher, make_teacher

FloatArray = NDArray[np.float64]


def middle(*cell: int, cubes: int = 10) -> list[float]:
    return [(i + 0.5) / cubes for i in cell]


def visit(student: CubeStudent, *cell: int, times: int = 1) -> float:
    outcomes = student.attempt([middle(*cell, cubes=student.cubes)] * times)
    assert outcomes.returns is not None
    return float(outcomes.returns[-1])


class Recorder:
    """A teacher that counts: what it proposed and what came back, in order."""

    def __init__(self) -> None:
        self.proposed = 0
        self.log: list[tuple[str, int]] = []

    def sample(self, n: int = 1) -> FloatArray:
        self.log.append(("out", n))
        self.proposed += n
        return np.full((n, 2), 0.05)

    def update(self, outcomes: Outcomes) -> None:
        assert outcomes.ids is not None
        self.log += [("back", id) for id in outcomes.ids.tolist()]


def test_seventy_five_visits_unlock_the_three_neighbours() -> None:
    student = CubeStudent()
    assert visit(student, 0, 1) == 0.0
    assert visit(student, 0, 0, times=74) == 0.74
    for cell in ((0, 1), (1, 0), (1, 1)):
        assert visit(student, *cell) == 0.0
    assert visit(student, 0, 0) == 0.75
    for i, j in itertools.product(range(4), repeat=2):
        if (i, j) != (0, 0):
            assert visit(student, i, j) == (0.01 if max(i, j) == 1 else 0.0)


def test_mastered_at_seventy_six_and_capped_at_a_hundred() -> None:
    student = CubeStudent()
    visit(student, 0, 0, times=75)
    assert student.score() == 0.0
    outcomes = student.attempt([middle(0, 0)])
    assert student.score() == 1.0
    assert outcomes.successes is not None
    assert outcomes.successes.tolist() == [1.0]
    assert visit(student, 0, 0, times=50) == 1.0


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_perfect_order_masters_all_in_76_visits_a_cell(dims: int) -> None:
    student = CubeStudent(cubes=4, dims=dims)
    for cell in itertools.product(range(4), repeat=dims):
        visit(student, *cell, times=76)
    assert student.score() == 100.0


def test_ten_by_ten_takes_7600() -> None:
    student = CubeStudent()
    cells = list(itertools.product(range(10), repeat=2))
    tasks = [middle(*cell) for cell in cells for _ in range(76)]
    student.attempt(tasks[:-1])
    assert student.score() == 99.0
    student.attempt(tasks[-1:])
    assert student.score() == 100.0


@pytest.mark.parametrize("cubes", [1, 6, 9, 29, 98])
def test_edges_belong_to_a_cell(cubes: int) -> None:
    student = CubeStudent(cubes=cubes, dims=1)
    edges = np.arange(cubes) / cubes
    student.competence[:] = np.arange(cubes) % 100
    outcomes = student.attempt(np.append(edges, 1.0)[:, None], learn=False)
    assert outcomes.returns is not None
    inside = student.attempt(((np.arange(cubes) + 0.5) / cubes)[:, None], learn=False)
    assert inside.returns is not None
    np.testing.assert_array_equal(inside.returns, student.competence / 100)
    assert outcomes.returns[-1] == inside.returns[-1]
    assert len(outcomes.returns) == cubes + 1


def test_a_batch_is_attempted_in_order() -> None:
    student = CubeStudent()
    tasks = [middle(0, 0)] * 75 + [middle(1, 1)] * 2
    outcomes = student.attempt(tasks)
    single = CubeStudent()
    one_by_one = [single.attempt([task]).returns for task in tasks]
    assert outcomes.returns is not None
    np.testing.assert_array_equal(outcomes.returns[:, None], one_by_one)
    assert outcomes.returns[-1] == 0.02


def test_useless_dimensions_change_nothing() -> None:
    student = CubeStudent(dims=2, useless_dims=3)
    assert student.task_space.dim == 5
    rng = np.random.default_rng(0)
    tasks = rng.random((500, 5)) * [0.15, 0.15, 1, 1, 1]
    plain = CubeStudent()
    plain.attempt(tasks[:, :2])
    student.attempt(tasks)
    np.testing.assert_array_equal(student.competence, plain.competence)


def test_noise_is_on_returns_only_and_repeats() -> None:
    first, second = CubeStudent(noise=0.1, seed=3), CubeStudent(noise=0.1, seed=3)
    plain = CubeStudent()
    tasks = [middle(0, 0)] * 400
    returns = first.attempt(tasks).returns
    np.testing.assert_array_equal(returns, second.attempt(tasks).returns)
    exact = plain.attempt(tasks).returns
    assert returns is not None
    assert exact is not None
    assert np.std(returns - exact) == pytest.approx(0.1, rel=0.15)
    np.testing.assert_array_equal(first.competence, plain.competence)


def test_saved_restored_and_reset() -> None:
    student = CubeStudent(noise=0.1, seed=1)
    student.attempt([middle(0, 0)] * 80)
    state = student.state_dict()
    twin = CubeStudent(noise=0.1, seed=2)
    twin.load_state_dict(state)
    tasks = [middle(0, 1)] * 5
    np.testing.assert_array_equal(student.attempt(tasks).returns, twin.attempt(tasks).returns)
    assert state["competence"].max() == 80
    student.reset()
    np.testing.assert_equal(student.state_dict(), CubeStudent(noise=0.1, seed=1).state_dict())


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"x1 = 1\.5 is not in \[0, 1\]"):
        CubeStudent().attempt([[0.5, 1.5]])
    with pytest.raises(ValueError, match="cubes and dims must be at least 1"):
        CubeStudent(cubes=0)
    with pytest.raises(ValueError, match="noise must be at least 0"):
        CubeStudent(noise=-1.0)
    with pytest.raises(ValueError, match="at most"):
        CubeStudent(dims=9)
    with pytest.raises(ValueError, match="batch must be at least 1, got 0"):
        teach(CubeStudent(), "random", batch=0)


def test_random_masters_four_to_six_percent() -> None:
    finals = [teach(CubeStudent(), "random", batch=100, seed=1000 + i).final for i in range(4)]
    assert 4.0 <= np.mean(finals) <= 6.0


def test_scores_are_taken_before_the_first_attempt_and_every_thousand() -> None:
    curve = teach(CubeStudent(), "random", 2500, batch=50)
    assert curve.attempts.tolist() == [0, 1000, 2000, 2500]
    assert curve.scores[0] == 0.0
    assert curve.final == curve.scores[-1]


def test_delay_holds_back_the_latest_outcomes() -> None:
    teacher = Recorder()
    teach(CubeStudent(), teacher, 5, delay=2)
    out = ("out", 1)
    back = [("back", id) for id in range(5)]
    assert teacher.log == [out, out, out, back[0], out, back[1], out, *back[2:]]


def test_batches_go_out_and_come_back_together() -> None:
    teacher = Recorder()
    teach(CubeStudent(), teacher, 5, batch=2)
    back = [("back", id) for id in range(5)]
    assert teacher.log == [("out", 2), *back[:2], ("out", 2), *back[2:4], ("out", 1), back[4]]


def test_same_seed_same_course() -> None:
    students = [CubeStudent(4) for _ in range(3)]
    for student, seed in zip(students, (1000, 1000, 1001), strict=True):
        teach(student, "alp-gmm", 700, seed=seed)
    np.testing.assert_array_equal(students[0].competence, students[1].competence)
    assert not np.array_equal(students[0].competence, students[2].competence)


def test_probes_teach_nothing_and_count() -> None:
    class Prober(Teacher):
        probed = 0

        def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
            return np.zeros((n, 2))

        def _requests(self) -> Proposals | None:
            return Proposals(np.zeros((3, 2))) if self.proposed > self.seen - 3 else None

        def _update(self, batch: Any) -> None:
            if batch.probe is not None:
                self.probed += int(batch.probe.sum())

    student = CubeStudent()
    prober = Prober(BoxTasks([0, 0], [1, 1]), seed=0, return_range=(0, 1))
    curve = teach(student, prober, 20)
    assert prober.probed >= 3
    assert int(student.competence.sum()) == int(curve.attempts[-1]) - prober.probed
    assert curve.attempts[-1] >= 20


def test_a_teacher_object_keeps_its_own_seed() -> None:
    student = CubeStudent()
    teacher = make_teacher("random", student.task_space, seed=5)
    first = teach(student, teacher, 300, every=100)
    assert teacher.proposed == 300
    assert first.attempts.tolist() == [0, 100, 200, 300]


class Ladder:
    """Somebody's own student: the three things the contract names."""

    def __init__(self) -> None:
        self.task_space = BoxTasks([0], [10])
        self.level = 0.0

    def attempt(self, tasks: Any) -> Outcomes:
        rows = self.task_space.check(tasks)
        returns = []
        for (height,) in rows.tolist():
            solved = height <= self.level + 1.0
            self.level = max(self.level, height) if solved else self.level
            returns.append(5.0 if solved else -5.0)
        lengths = np.arange(len(rows)) + 3
        return Outcomes(rows, returns, lengths=lengths, scores={"td": np.arange(len(rows)) * 0.5})

    def score(self) -> float:
        return 10.0 * self.level


@pytest.mark.parametrize("delay", [0, 5])
def test_anybodys_student_is_taught(delay: int) -> None:
    class Notes(Teacher):
        def __init__(self, space: Any) -> None:
            super().__init__(space, seed=0)
            self.outcomes: list[Outcomes] = []

        def _sample(self, n: int, rng: np.random.Generator) -> FloatArray:
            return rng.random((n, 1))

        def _update(self, batch: Any) -> None:
            self.outcomes.append(batch)

    student = Ladder()
    teacher = Notes(student.task_space)
    curve = teach(student, teacher, attempts=300, batch=3, delay=delay, every=100)
    assert curve.scores[0] == 0.0
    assert curve.final > 50.0
    assert sum(len(o) for o in teacher.outcomes) == 300
    ids = np.concatenate([o.ids for o in teacher.outcomes if o.ids is not None])
    assert ids.tolist() == list(range(300))
    # Everything the student reports arrives, with the attempt it belongs to.
    lengths = np.concatenate([o.lengths for o in teacher.outcomes])
    assert lengths.tolist() == [3, 4, 5] * 100
    assert (
        np.concatenate([o.scores["td"] for o in teacher.outcomes]).tolist() == [0.0, 0.5, 1] * 100
    )
    named = teach(Ladder(), "random", attempts=300)
    assert named.final > 50.0
