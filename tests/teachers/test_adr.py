"""ADR: the faces of a box, each with its own queue."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from currgym.outcomes import Outcomes
from currgym.states import load_state, save_state
from currgym.tasks import BoxTasks
from currgym.teachers.adr import ADR, MOST_PENDING
from currgym.teaching import make_teacher

FloatArray = NDArray[np.float64]
LINE = BoxTasks([0], [10])
SQUARE = BoxTasks([0, 0], [3, 6])


def build(space: BoxTasks = SQUARE, **settings: Any) -> ADR:
    settings = {"seed": 0, "return_range": (0, 1), **settings}
    return cast(ADR, make_teacher("adr", space, **settings))


def answer(teacher: ADR, face: float, value: float, times: int) -> None:
    """Answer this many proposals at ``face`` with ``value``; the others stay open."""
    for _ in range(10_000):
        if times == 0:
            return
        task = teacher.sample(1)
        if abs(task[0, 0] - face) < 1e-9:
            teacher.update(Outcomes(task, [value]))
            times -= 1
    raise AssertionError(f"no tasks at {face}")


def test_trace_worked_by_hand() -> None:
    # Steps of .1 in a range of 10 are 1; two results a queue; in at a mean of .3, out at .7.
    teacher = build(
        LINE, initial=[[4], [6]], step=0.1, queue=2, boundary_ratio=1.0, shrink_at=0.3, grow_at=0.7
    )
    trace: list[tuple[float, float, tuple[float, float]]] = [
        # answered face, result, box afterwards
        (6, 0.5, (4, 6)),
        (6, 0.9, (4, 7)),  # mean .7 is enough
        (4, 0.0, (4, 7)),
        (7, 0.4, (4, 7)),  # a queue of its own
        (4, 0.6, (5, 7)),  # mean .3 is too little
        (7, 0.6, (5, 7)),  # mean .5: emptied, nothing moves
        (7, 1.0, (5, 7)),  # the first of a new queue
        (7, 0.5, (5, 8)),  # mean .75
        (5, 0.9, (5, 8)),
        (5, 0.9, (4, 8)),
        (8, 0.1, (4, 8)),
        (8, 0.1, (4, 7)),
    ]
    for face, value, box in trace:
        answer(teacher, face, value, 1)
        low, high = teacher.bounds
        np.testing.assert_allclose([low[0] * 10, high[0] * 10], box, atol=1e-6)
    shown = teacher.snapshot()
    np.testing.assert_array_equal(shown["grown"], [1, 2])
    np.testing.assert_array_equal(shown["shrunk"], [1, 1])


def test_profile_tasks_stay_in_the_box_and_half_of_them_on_its_faces() -> None:
    teacher = build(initial=[[0.6, 2.4], [1.2, 3.6]])
    tasks = teacher.sample(8000)
    assert tasks.min(axis=0) == pytest.approx([0.6, 2.4])
    assert tasks.max(axis=0) == pytest.approx([1.2, 3.6])
    on = np.stack([np.isclose(tasks, [0.6, 2.4]), np.isclose(tasks, [1.2, 3.6])])
    np.testing.assert_allclose(on.mean(axis=1), np.full((2, 2), 1 / 8), atol=0.015)


def test_profile_grows_to_what_the_student_can_and_no_further() -> None:
    # Success up to 1.5 of 3 in the first dimension, everywhere in the second.
    teacher = build(initial=[[0.3, 3]], step=0.05, queue=5)
    for _ in range(3000):
        tasks = teacher.sample(4)
        teacher.update(Outcomes(tasks, (tasks[:, 0] <= 1.5).astype(float)))
    low, high = teacher.bounds
    assert abs(high[0] - 0.5) <= 0.11
    np.testing.assert_allclose([low[0], low[1], high[1]], [0, 0, 1])


@pytest.mark.parametrize("good", [True, False])
def test_a_student_who_always_or_never_succeeds(good: bool) -> None:
    # Full after range / step queues a face; never more than the point where it started.
    teacher = build(initial=[[1.5, 3]], step=0.1, queue=4, boundary_ratio=1.0)
    for _ in range(4 * 4 * 5 * 3):
        tasks = teacher.sample(1)
        teacher.update(Outcomes(tasks, [float(good)]))
    low, high = teacher.bounds
    np.testing.assert_allclose([low, high], [[0, 0], [1, 1]] if good else [[0.5] * 2] * 2)


def test_a_point_fills_one_queue_with_each_attempt() -> None:
    # In the benchmark's code every attempt on a point fills all queues: all faces move at once.
    teacher = build(initial=[[1.5, 3]], queue=100, boundary_ratio=1.0)
    for done in range(1, 41):
        teacher.update(Outcomes(teacher.sample(1), [1.0]))
        assert teacher.snapshot()["queued"].sum() == done
    assert (teacher.snapshot()["queued"] > 0).all()


def test_a_step_is_a_share_of_each_range() -> None:
    teacher = build(BoxTasks([0, 0], [3, 0.2]), initial=[[1.5, 0.1]], step=0.1, queue=1)
    for _ in range(60):
        teacher.update(Outcomes(teacher.sample(1), [1.0]))
        if min(teacher.snapshot()["grown"]) > 0:
            break
    low, high = teacher.bounds
    np.testing.assert_allclose((0.5 - low) / 0.1, teacher.snapshot()["grown"][:2])
    np.testing.assert_allclose((high - 0.5) / 0.1, teacher.snapshot()["grown"][2:])


def test_whole_number_dimensions_are_recognised() -> None:
    # A face at .6 of 0 ... 4 is the task 3, which comes back as .7.
    space = BoxTasks([0, 0], [4, 1], kinds=["integer", ("a", "b")])
    teacher = build(space, initial=[[2, 0]], step=0.1, queue=1, boundary_ratio=1.0)
    for _ in range(60):
        teacher.update(Outcomes(teacher.sample(1), [1.0]))
    np.testing.assert_allclose(teacher.bounds, [[0, 0], [1, 1]])


def test_late_and_shuffled_results_reach_their_faces() -> None:
    teacher = build(initial=[[0.6, 2.4], [1.2, 3.6]], queue=1000)
    tasks = teacher.sample(400)
    teacher.sample(400)
    on = np.concatenate(
        [np.isclose(tasks, [0.6, 2.4]).sum(axis=0), np.isclose(tasks, [1.2, 3.6]).sum(axis=0)]
    )
    order = np.random.default_rng(0).permutation(400)
    teacher.update(Outcomes(tasks[order], np.ones(400)))
    np.testing.assert_array_equal(teacher.snapshot()["queued"], on)
    teacher.update(Outcomes(SQUARE.sample(50, np.random.default_rng(1)), np.ones(50)))
    np.testing.assert_array_equal(teacher.snapshot()["queued"], on)


def test_results_of_a_face_that_has_moved_do_not_count() -> None:
    teacher = build(LINE, initial=[[4], [6]], step=0.1, queue=5, boundary_ratio=1.0)
    tasks = teacher.sample(100)
    teacher.update(Outcomes(tasks, np.ones(100)))
    # Five results of each face moved it, the other ninety were of where it no longer was.
    np.testing.assert_allclose(teacher.bounds, [[0.3], [0.7]])
    assert teacher.snapshot()["late"] == 90
    np.testing.assert_array_equal(teacher.snapshot()["queued"], [0, 0])


def test_what_is_never_answered_is_forgotten() -> None:
    teacher = build(initial=[[0, 0], [3, 6]], boundary_ratio=1.0)
    first = teacher.sample(100)
    for _ in range(6):
        teacher.sample(1000)
    assert len(teacher.state_dict()["own"]["marks"]) == MOST_PENDING
    teacher.update(Outcomes(first, np.ones(100)))
    assert teacher.snapshot()["queued"].sum() == 0


def test_tasks_do_not_repeat_after_a_move() -> None:
    # In the benchmark's code the box restarts its stream at every move.
    teacher = build(LINE, initial=[[4], [6]], step=0.1, queue=1, boundary_ratio=0.5)
    inside = []
    for _ in range(40):
        tasks = teacher.sample(1)
        low, high = (10 * bound[0] for bound in teacher.bounds)
        inside.append((tasks[0, 0] - low) / (high - low))
        teacher.update(Outcomes(tasks, [1.0]))
    interior = [value for value in inside if 1e-9 < value < 1 - 1e-9]
    assert len(interior) > 10
    assert len(set(np.round(interior, 9))) == len(interior)


def test_measure_by_success() -> None:
    teacher = build(LINE, initial=[[5]], measure="success", queue=1, step=0.1, boundary_ratio=1.0)
    assert teacher.needs == {"successes"}
    teacher.update(Outcomes(teacher.sample(4), np.zeros(4), successes=np.ones(4)))
    assert teacher.snapshot()["grown"].sum() > 0
    assert build().needs == frozenset()
    assert build().privileges == {"success_threshold"}
    assert teacher.privileges == {"success_threshold", "initial"}


def test_saved_and_restored_with_results_on_their_way(tmp_path: Path) -> None:
    teacher = build(initial=[[1.5, 3]], queue=3)
    waiting = teacher.sample(30)
    teacher.update(Outcomes(waiting[:11], np.ones(11)))
    save_state(tmp_path, teacher.state_dict())
    twin = build(initial=[[1.5, 3]], queue=3, seed=9)
    twin.load_state_dict(load_state(tmp_path))
    for one in (teacher, twin):
        one.update(Outcomes(waiting[11:], np.ones(19)))
    np.testing.assert_equal(twin.state_dict(), teacher.state_dict())
    assert teacher.snapshot()["grown"].sum() > 0


def test_presets() -> None:
    paper = cast(ADR, make_teacher("adr:openai", SQUARE))
    assert (paper.step, paper.boundary_ratio, paper.queue) == (0.02, 0.5, 240)
    assert (paper.shrink_at, paper.grow_at) == (0.2, 0.4)
    benchmark = cast(ADR, make_teacher("adr:teachmyagent", SQUARE))
    assert (benchmark.step, benchmark.boundary_ratio, benchmark.queue) == (1 / 30, 0.7, 10)
    # 0 and 180 in -150 ... 350
    assert benchmark.shrink_at == 150 / 500
    assert benchmark.grow_at == 330 / 500


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step": 0.0}, "step must lie in"),
        ({"boundary_ratio": 1.1}, "boundary_ratio must lie in"),
        ({"queue": 0}, "queue must be at least 1, got 0"),
        ({"shrink_at": 0.7}, "the first below the second"),
        ({"grow_at": 1.2}, "the first below the second"),
        ({"measure": "luck"}, "measure must be one of"),
        ({"initial": [[4, 0]]}, "x0 = 4"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)
