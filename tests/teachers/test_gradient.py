from typing import Any, cast

import numpy as np
import pytest

from currgym.outcomes import Outcomes
from currgym.students.simulated import CubeStudent, teach
from currgym.tasks import BoxTasks
from currgym.teachers.gradient import Gradient, barycentre
from currgym.teaching import make_teacher

LINE = BoxTasks([0], [10])
SQUARE = BoxTasks([0, 0], [1, 1])


def build(space: BoxTasks = SQUARE, **settings: Any) -> Gradient:
    # By name, so that an impostor can take its place.
    settings = {"seed": 0, "return_range": (0, 1), **settings}
    return cast(Gradient, make_teacher("gradient", space, **settings))


def test_trace_worked_by_hand() -> None:
    # Half of the start is at 0, half at 4; a third of the target each at 6, 8 and 10. On a line the
    # cheapest plan keeps the order: 0 goes to 6 (1/3) and 8 (1/6), 4 to 8 (1/6) and 10 (1/3).
    teacher = build(
        LINE, initial=[[0], [4]], target=[[10], [6], [8]], stages=4, update_period=2,
        threshold=0.5, particles=4,
    )  # fmt: skip
    stages = {
        0.0: {0.0: 1 / 2, 4.0: 1 / 2},
        0.25: {1.5: 1 / 3, 2.0: 1 / 6, 5.0: 1 / 6, 5.5: 1 / 3},
        0.5: {3.0: 1 / 3, 4.0: 1 / 6, 6.0: 1 / 6, 7.0: 1 / 3},
        0.75: {4.5: 1 / 3, 6.0: 1 / 6, 7.0: 1 / 6, 8.5: 1 / 3},
        1.0: {6.0: 1 / 3, 8.0: 1 / 3, 10.0: 1 / 3},
    }
    # Pairs of returns, and alpha afterwards: it grows where their mean is at least 0.5.
    trace = [
        ((0.0, 0.9), 0.0), ((0.5, 0.5), 0.25), ((0.2, 0.7), 0.25), ((0.0, 0.0), 0.25),
        ((1.0, 0.0), 0.5), ((1.0, 1.0), 0.75), ((0.4, 0.5), 0.75), ((0.3, 0.9), 1.0),
        ((0.0, 0.0), 1.0),
    ]  # fmt: skip
    for returns, alpha in trace:
        teacher.update(Outcomes(teacher.sample(2), returns))
        assert teacher.snapshot().get("alpha") == pytest.approx(alpha, abs=1e-6)
        drawn = teacher.preview(3000, np.random.default_rng(0))[:, 0]
        shares = {place: float(np.mean(np.abs(drawn - place) < 1e-6)) for place in stages[alpha]}
        assert shares == pytest.approx(stages[alpha], abs=0.03)


def test_profile_all_go_together_when_the_mean_allows() -> None:
    # One of two lanes is solved throughout, the other never: a mean of one half.
    lanes: dict[str, Any] = {"initial": [[0, 0], [0, 1]], "target": [[1, 0], [1, 1]]}

    def lane(threshold: float) -> Any:
        teacher = build(threshold=threshold, update_period=100, **lanes)
        for _ in range(40):
            tasks = teacher.sample(100)
            solved = (tasks[:, 1] > 0.5).astype(float)
            teacher.update(Outcomes(tasks, solved, successes=solved))
        return teacher.sample(400)[:, 0]

    np.testing.assert_allclose(lane(0.2), 1.0)
    np.testing.assert_allclose(lane(0.8), 0.0)


def test_barycentre_is_the_least_sum_of_transport_costs() -> None:
    # McCann: the way is divided, W(start, p) = alpha W and W(p, end) = (1 - alpha) W.
    import ot

    rng = np.random.default_rng(0)
    a, b = rng.random((7, 2)), rng.random((5, 2))
    u, v = np.full(7, 1 / 7), rng.dirichlet(np.ones(5))

    def distance(x: Any, p: Any, y: Any, q: Any) -> float:
        cost = ((x[:, None] - y[None]) ** 2).sum(axis=2)
        return float(np.sqrt(ot.emd2(p, q, cost)))

    whole = distance(a, u, b, v)
    for alpha in (0.0, 0.3, 1.0):
        points, weights = barycentre((a, u), (b, v), alpha)
        assert weights.sum() == pytest.approx(1.0)
        assert len(points) <= 11
        assert distance(a, u, points, weights) == pytest.approx(alpha * whole, abs=1e-6)
        assert distance(points, weights, b, v) == pytest.approx((1 - alpha) * whole, abs=1e-6)


def test_both_anchors_go_the_same_way() -> None:
    ways = []
    for anchor in ("initial", "previous"):
        teacher = build(initial=[[0, 0]], target=[[1, 0.5]], stages=5, anchor=anchor)
        way = []
        for _ in range(6):
            way.append(teacher.sample(20)[-1])
            teacher.update(Outcomes(teacher.sample(20), np.ones(20)))
        ways.append(way)
    expected = [[k / 5, k / 10] for k in range(6)]
    np.testing.assert_allclose(ways, [expected, expected], atol=1e-9)


def test_from_stage_to_stage_the_points_stay_few() -> None:
    teacher = build(anchor="previous", particles=20, stages=30, update_period=1)
    for _ in range(29):
        teacher.update(Outcomes(teacher.sample(1), [1.0]))
    assert len(teacher._points) <= 40
    assert teacher._weights.sum() == pytest.approx(1.0)
    # Nearly there: spread over the whole space, as the target is.
    assert teacher.sample(2000).std(axis=0).min() > 0.2


def test_only_the_running_stage_counts() -> None:
    teacher = build(initial=[[0, 0]], target=[[1, 1]], stages=4, update_period=20)
    early = teacher.sample(200)
    teacher.update(Outcomes(early, np.ones(200)))  # 180 of them come too late
    assert teacher.snapshot()["alpha"] == 0.25
    foreign = np.random.default_rng(0).random((200, 2))
    teacher.update(Outcomes(foreign, np.ones(200)))
    assert teacher.snapshot()["alpha"] == 0.25
    probed = teacher.sample(20)
    teacher.update(Outcomes(probed, np.ones(20), probe=True))
    assert teacher.snapshot()["alpha"] == 0.25
    # A task that went through single precision is still recognised.
    teacher.update(Outcomes(probed.astype(np.float32).astype(float), np.ones(20)))
    assert teacher.snapshot()["alpha"] == 0.5


def test_environment_steps_open_the_next_stage_in_the_end() -> None:
    teacher = build(initial=[[0, 0]], target=[[1, 1]], stages=4, max_steps=100)
    for alpha in (0.0, 0.0, 0.0, 0.25, 0.25):
        teacher.update(Outcomes(teacher.sample(1), [0.0], lengths=[30]))
        assert teacher.snapshot()["alpha"] == alpha


def test_a_barycentre_that_fails_keeps_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = build(initial=[[0, 0]], target=[[1, 1]], stages=4)
    nothing = np.full((1, 2), np.nan), np.ones(1)
    monkeypatch.setattr("currgym.teachers.gradient.barycentre", lambda *_: nothing)
    teacher.update(Outcomes(teacher.sample(20), np.ones(20)))
    shown = teacher.snapshot()
    assert (shown["alpha"], shown["failed_fits"]) == (0.0, 1)
    np.testing.assert_allclose(teacher.sample(5), 0.0)


def test_ends_in_the_whole_target() -> None:
    teacher = build(stages=1, particles=4)
    teacher.update(Outcomes(teacher.sample(20), np.ones(20)))
    assert len(np.unique(teacher.sample(500), axis=0)) == 500
    assert teacher.snapshot()["alpha"] == 1.0


def test_default_start_is_easy() -> None:
    easy = build(BoxTasks([0, 0], [1, 1], difficulty="-x0"))
    assert easy.sample(100)[:, 0].min() >= 0.9
    assert easy.privileges == {"difficulty", "success_threshold"}
    assert build().privileges == {"success_threshold"}


def test_success_as_the_measure() -> None:
    teacher = build(initial=[[0, 0]], target=[[1, 1]], measure="success")
    assert teacher.needs == {"successes"}
    teacher.update(Outcomes(teacher.sample(20), np.ones(20), successes=np.zeros(20)))
    assert teacher.snapshot()["alpha"] == 0.0
    teacher.update(Outcomes(teacher.sample(20), np.zeros(20), successes=np.ones(20)))
    assert teacher.snapshot()["alpha"] == 0.1


def test_presets() -> None:
    original = build(preset="original")
    assert (original.anchor, original.stages, original.max_steps) == ("previous", 10, 100_000)
    maze = build(preset="otc-maze")
    assert (maze.stages, maze.threshold, maze.update_period) == (20, 0.6, 50)
    assert maze.measure == "success"


def test_teaches_the_toy_from_its_corner() -> None:
    student = CubeStudent(cubes=4)
    teacher = build(student.task_space, initial=[[0.1, 0.1]], threshold=0.7)
    assert teach(student, teacher, 1500, batch=10).final > 30


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stages": 0}, "stages must be at least 1, got 0"),
        ({"update_period": 0}, "update_period must be at least 1"),
        ({"max_steps": 0}, "max_steps must be at least 1"),
        ({"threshold": -0.1}, "threshold must lie in"),
        ({"anchor": "target"}, "anchor must be one of"),
        ({"particles": 1}, "particles must lie in"),
        ({"measure": "reward"}, "measure must be one of"),
        ({"target": [[2, 0]]}, "x0 = 2"),
    ],
)
def test_refuses(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)
