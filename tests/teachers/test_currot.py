from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from currgym.outcomes import Outcomes
from currgym.students.simulated import CubeStudent, teach
from currgym.tasks import BoxTasks
from currgym.teachers.currot import Currot, SuccessBuffer, predict_performance
from currgym.teaching import make_teacher

FloatArray = NDArray[np.float64]
LINE = BoxTasks([0], [10])
SQUARE = BoxTasks([0, 0], [1, 1])


def build(space: BoxTasks = SQUARE, **settings: Any) -> Currot:
    # By name, so that an impostor can take its place.
    settings = {"seed": 0, "return_range": (0, 1), **settings}
    return cast(Currot, make_teacher("currot", space, **settings))


def column(values: list[float]) -> FloatArray:
    return np.array(values)[:, None]


def test_trace_of_particles_worked_by_hand() -> None:
    # Everything succeeds, so each update brings a particle nearer by a tenth of the range: from 1
    # to 9, where it stays.
    teacher = build(
        LINE, initial=[[1]], target=[[9]], epsilon=0.1, particles=2, update_period=1
    )  # fmt: skip
    for at in [1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9]:
        tasks = teacher.sample(1)
        assert abs(tasks[0, 0] - at) <= 0.01  # a thousandth of the range
        np.testing.assert_allclose(teacher.snapshot()["tasks"], [[at], [at]], atol=1e-6)
        teacher.update(Outcomes(tasks, [1.0]))
    assert teacher.snapshot()["mean_performance"] == pytest.approx(1.0)


def test_trace_of_the_buffer_worked_by_hand() -> None:
    buffer = SuccessBuffer(4, 1, threshold=0.5)
    target = column([0.7, 0.8, 0.9, 1.0])
    steps: list[tuple[list[float], list[float], list[float], list[float], bool]] = [
        # tasks, values, tasks kept afterwards, tasks given back, half has reached 0.5
        ([0.1, 0.2, 0.3], [0.0, 0.2, 0.1], [0.1, 0.3, 0.2], [], False),  # empty: all enter
        ([0.4], [0.05], [0.1, 0.3, 0.2], [0.4], False),  # below the middle, 0.1
        # Two enter, so two leave (at most half and one): 0 and 0.1.
        ([0.5, 0.6], [0.1, 0.4], [0.5, 0.2, 0.6], [0.1, 0.3], False),
        ([0.7], [0.9], [0.2, 0.6, 0.7], [0.5], False),
        ([0.8], [0.6], [0.6, 0.8, 0.7], [0.2], True),  # the middle is 0.6
        # 0.3 is a failure; 0.55 takes the place of the one stored failure, 0.4.
        ([0.85, 0.9], [0.55, 0.3], [0.8, 0.7, 0.85], [0.6, 0.9], True),
        # One too many: to .7, .8, .9, 1 go .7, .8, .85, .95 (cost .005), so .75 is left.
        ([0.95, 0.75], [1.0, 0.7], [0.7, 0.8, 0.85, 0.95], [0.75], True),
        ([0.1], [0.49], [0.7, 0.8, 0.85, 0.95], [0.1], True),
        ([0.9], [0.5], [0.7, 0.8, 0.9, 0.95], [0.85], True),  # .0025 is less than .005
    ]
    for tasks, values, kept, given_back, reached in steps:
        rest, _ = buffer.add(column(tasks), np.array(values), target)
        np.testing.assert_allclose(buffer.tasks[:, 0], kept, atol=1e-12)
        np.testing.assert_allclose(rest[:, 0], given_back, atol=1e-12)
        assert buffer.reached is reached


def test_prediction_worked_by_hand() -> None:
    # Length 0.1: attempts within 0.3 count, at d with exp(-50 d^2).
    tasks, values = column([0.0, 0.1, 0.3, 0.9]), np.array([1.0, 0.0, 0.5, 0.2])
    found = predict_performance(tasks, values, column([0.05, 0.9, 0.2]), 0.1)
    e = np.exp
    expected = [
        (e(-0.125) + 0.5 * e(-3.125)) / (2 * e(-0.125) + e(-3.125)),
        0.2,
        (e(-2.0) + 0.5 * e(-0.5)) / (e(-2.0) + 2 * e(-0.5)),
    ]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    # Nothing near: of the fewer than ten all are neighbours, and the weights do not vanish.
    alone = predict_performance(tasks, values, column([60.0]), 0.1)
    np.testing.assert_allclose(alone, [0.2])
    between = predict_performance(column([0.0, 1.0]), np.array([0.0, 1.0]), column([0.5]), 0.01)
    np.testing.assert_allclose(between, [0.5])


def drive(teacher: Currot, solved: Any, periods: int, batch: int = 20) -> FloatArray:
    tasks = teacher.sample(batch)
    for _ in range(periods):
        good = solved(tasks).astype(float)
        teacher.update(Outcomes(tasks, good, successes=good))
        tasks = teacher.sample(batch)
    return cast(FloatArray, teacher.sample(400))


def test_profile_each_particle_goes_as_far_as_the_student_can() -> None:
    # Two lanes from left to right with nothing between them; this student solves the upper one,
    # and the lower one as far as 0.5.
    teacher = build(initial=[[0, 0.1], [0, 0.9]], target=[[1, 0.1], [1, 0.9]])
    drawn = drive(teacher, lambda x: (x[:, 1] > 0.8) | (x[:, 1] < 0.3) & (x[:, 0] < 0.5), 60)
    lower = drawn[:, 1] < 0.5
    assert 0.05 < lower.mean() < 0.7
    assert drawn[lower, 0].max() < 0.6
    assert np.median(drawn[lower, 0]) > 0.35
    assert np.median(drawn[~lower, 0]) > 0.95
    assert teacher.snapshot()["reached"]


def test_profile_waits_for_the_student() -> None:
    teacher = build(initial=[[0.1, 0.1]], target=[[0.9, 0.9]], wait=True)
    drawn = drive(teacher, lambda x: np.zeros(len(x)), 60)
    np.testing.assert_allclose(drawn, np.full(drawn.shape, 0.1), atol=1e-3)
    drawn = drive(teacher, lambda x: np.ones(len(x)), 60)
    np.testing.assert_allclose(drawn, np.full(drawn.shape, 0.9), atol=1e-3)


def test_searches_around_the_best_while_nothing_is_good_enough() -> None:
    # The return rises to the right but stays below delta.
    def slope(x: FloatArray) -> FloatArray:
        return 0.4 * x[:, 0]

    teacher = build(target=[[0.1, 0.5]])
    tasks = teacher.sample(20)
    for _ in range(30):
        teacher.update(Outcomes(tasks, slope(tasks)))
        tasks = teacher.sample(20)
    assert not teacher.snapshot()["reached"]
    assert teacher.sample(400)[:, 0].mean() > 0.75


def test_no_step_exceeds_epsilon_and_a_free_one_is_exactly_that() -> None:
    # One epsilon, not its square root: 0.05 of the diagonal of the square.
    teacher = build(initial=[[0.1, 0.2]], target=[[0.9, 0.2]], epsilon=0.05)
    step = 0.05 * np.sqrt(2.0)
    for _ in range(5):
        before = teacher._particles
        drive(teacher, lambda x: np.ones(len(x)), 1)
        moved = np.linalg.norm(teacher._particles - before, axis=1)
        np.testing.assert_allclose(moved, step, atol=1e-12)


def test_the_width_of_the_search_is_sane_whatever_the_first_batch_was() -> None:
    # The first batch is all above delta, what follows below: the reference divides by
    # delta minus the least return of the first batch, which is negative here.
    teacher = build(delta=0.5, update_period=10, particles=20)
    rng = np.random.default_rng(0)
    for value in (0.9, 0.5, 0.2, 0.0):
        tasks = teacher.sample(10)
        teacher.update(Outcomes(tasks, np.full(10, value)))
        assert np.isfinite(teacher._noisy_successes()).all()
    assert SQUARE.contains(teacher.preview(100, rng)).all()


def test_a_redraw_starts_from_the_success_again() -> None:
    teacher = build(LINE, particles=1000, update_period=2)
    teacher.update(Outcomes([[0.0], [0.0]], [0.0, 0.0]))
    drawn = teacher._noisy_successes()[:, 0]
    # Half of a normal distribution with a quarter of the range as its deviation.
    assert drawn.mean() == pytest.approx(0.25 * np.sqrt(2 / np.pi), abs=0.015)


def test_the_highest_threshold_can_be_reached() -> None:
    # Rounding must not keep a weighted mean of ones below 1.
    teacher = build(delta=1.0, initial=[[0.1, 0.1]], target=[[0.9, 0.9]])
    drawn = drive(teacher, lambda x: np.ones(len(x)), 30)
    np.testing.assert_allclose(drawn, np.full(drawn.shape, 0.9), atol=1e-3)


def test_fewer_attempts_than_neighbours() -> None:
    teacher = build(update_period=1)
    for value in (1.0, 0.0, 1.0):
        teacher.update(Outcomes(teacher.sample(1), [value]))
        assert np.isfinite(teacher.sample(50)).all()
    assert teacher.snapshot()["updates"] == 3


def test_the_lazy_choice_equals_the_full_one(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for rounds in (None, (0, 111)):
        if rounds is not None:
            monkeypatch.setattr("currgym.teachers.currot.ROUNDS", rounds)
        teacher = build(initial=[[0, 0.1], [0, 0.9]], target=[[1, 0.1], [1, 0.9]])
        drawn.append(drive(teacher, lambda x: (x[:, 1] > 0.5) | (x[:, 0] < 0.5), 25))
    np.testing.assert_allclose(drawn[0], drawn[1], atol=1e-9)


def test_batches_of_any_size_equal_single_updates() -> None:
    rng = np.random.default_rng(3)
    tasks, returns = rng.random((230, 2)), rng.random(230)
    states = []
    for batch in (1, 7, 230):
        teacher = build(particles=30)
        for i in range(0, 230, batch):
            teacher.update(Outcomes(tasks[i : i + batch], returns[i : i + batch]))
        states.append(teacher.state_dict())
    np.testing.assert_equal(states[1], states[0])
    np.testing.assert_equal(states[2], states[0])


def test_measure_and_privileges() -> None:
    assert build().needs == frozenset()
    assert build(measure="success").needs == {"successes"}
    assert build().privileges == {"success_threshold"}
    given = build(initial=[[0, 0]], target=[[1, 1]])
    assert given.privileges == {"success_threshold", "initial", "target"}
    teacher = build(initial=[[0, 0]], target=[[1, 1]], measure="success", wait=True)
    for _ in range(5):  # high returns without success do not count
        tasks = teacher.sample(20)
        teacher.update(Outcomes(tasks, np.ones(20), successes=np.zeros(20)))
    assert not teacher.snapshot()["reached"]


def test_presets() -> None:
    maze = build(BoxTasks([-9, -9, 0.05], [9, 9, 18]), preset="maze")
    assert maze._step * 18 == pytest.approx(1.2, abs=0.01)  # of the published 1.2
    mass = build(BoxTasks([-4, 0.5], [4, 8]), preset="pointmass")
    assert (mass.particles, mass.update_period, mass.wait) == (100, 20, True)
    assert mass._step * np.sqrt(8 * 7.5) == pytest.approx(0.7, abs=0.01)
    benchmark = build(preset="teachmyagent")
    assert benchmark.delta == pytest.approx((180 + 150) / 500)


def test_teaches_the_toy_better_than_chance() -> None:
    final = {
        name: teach(CubeStudent(cubes=4), name, 1500, batch=10, seed=1000).final
        for name in ("currot", "random")
    }
    assert final["currot"] > 1.3 * final["random"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"delta": 1.5}, "delta must lie in"),
        ({"epsilon": 0.0}, "epsilon must lie in"),
        ({"particles": 1}, "particles must lie in"),
        ({"update_period": 0}, "update_period must be at least 1, got 0"),
        ({"measure": "reward"}, "measure must be one of"),
        ({"initial": np.empty((0, 2))}, "initial must have at least one"),
        ({"target": [[2, 0]]}, "x0 = 2"),
    ],
)
def test_refuses(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)
