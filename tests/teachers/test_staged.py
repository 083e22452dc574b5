"""Stages with gates."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from currgym import BoxTasks, Curriculum, DiscreteTasks, Outcomes, make_teacher
from currgym.students.simulated import CubeStudent, teach
from currgym.teachers.staged import Band, Staged

LINE = BoxTasks([0], [4], difficulty="x0")


def build(space: Any = LINE, **settings: Any) -> Staged:
    settings = {"seed": 0, "return_range": (0, 1), **settings}
    return cast(Staged, make_teacher("staged", space, **settings))


def attempt(teacher: Staged, *successes: float, **columns: Any) -> list[int]:
    """Attempt one task after the other; return the stage that each was of."""
    stages = []
    for success in successes:
        tasks = teacher.sample(1)
        # Quarters end at the quantiles of 4,096 points, 1/1024 below the whole numbers.
        stages.append(int((tasks[0, 0] > np.array([1, 2, 3]) - 1 / 1024).sum()))
        teacher.update(Outcomes(tasks, [success], successes=[success], **columns))
    return stages


def test_trace_up_and_down_again() -> None:
    teacher = build(
        promote=0.75, demote=0.3, window=4, min_attempts=3, patience=2, rehearsal=0.0
    )  # fmt: skip
    # success, and the mean of the latest four at which the gates look:
    assert attempt(teacher, 1, 1, 1, 1) == [0] * 4  # -, -, 1, 1: twice in a row, open
    assert attempt(teacher, 1, 0, 1, 1) == [1] * 4  # -, -, .67, .75
    assert attempt(teacher, 0, 1) == [1] * 2  # .75 (0, 1, 1, 0 is .5), .75
    assert teacher.snapshot()["looks_above"] == 1
    assert attempt(teacher, 1) == [1]  # .75, and open at this look
    assert attempt(teacher, 0, 0, 0) == [2] * 3  # -, -, 0
    assert attempt(teacher, 1) == [2]  # .25: twice below .3, back
    assert attempt(teacher, 0, 0, 1, 1, 0) == [1] * 5  # -, -, .33, .5, .5: neither
    shown = teacher.snapshot()
    assert (shown["promotions"], shown["demotions"], shown["stage_attempts"]) == (2, 1, 5)
    assert attempt(teacher, 0, 0, 0) == [1] * 3  # .5, .25, 0: back
    assert attempt(teacher, 0, 0, 0, 0, 0, 0) == [0] * 6  # there is no stage before the first


def test_profile_climbs_with_the_student_and_stays_where_it_is_hard() -> None:
    teacher = build(stages=8)
    rng = np.random.default_rng(0)
    drawn = []
    for step in range(1500):
        tasks = teacher.sample(1)
        drawn.append(tasks[0, 0])
        skill = min(2.8, step / 200)  # past the sixth of eight slices (to 3) it does not come
        success = float(tasks[0, 0] < skill and rng.random() < 0.95)
        teacher.update(Outcomes(tasks, [success], successes=[success]))
    found = np.array(drawn)
    assert found[:20].max() < 0.5
    assert (found > 3.0).mean() < 0.1
    late = found[1000:]
    assert np.mean((late > 2.5) & (late <= 3.0)) > 0.7  # the rest is rehearsal
    assert 0.05 < np.mean(late <= 2.5) < 0.17


def test_hysteresis() -> None:
    # Between the thresholds nothing moves, however long.
    teacher = build(promote=0.8, demote=0.3, rehearsal=0.0, window=10, min_attempts=10)
    attempt(teacher, *[1.0] * 20)
    assert set(attempt(teacher, *[1.0, 0.0] * 200)) == {1}
    assert teacher.snapshot()["demotions"] == 0


def test_mean_over_all_stages() -> None:
    # The newest is mastered, but not what is rehearsed.
    for promote_all, promoted in ((0.7, False), (0.0, True)):
        teacher = build(promote_all=promote_all, rehearsal=0.5, window=10, min_attempts=10)
        attempt(teacher, *[1.0] * 14)
        for _ in range(100):
            tasks = teacher.sample(1)
            success = float(tasks[0, 0] >= 1.0)
            teacher.update(Outcomes(tasks, [success], successes=[success]))
        assert (teacher.snapshot()["stage"] > 1) is promoted


def test_rehearsal_is_spread_over_the_earlier_stages() -> None:
    teacher = build(rehearsal=0.3, min_attempts=1, window=1, patience=1)
    assert set(teacher.preview(100, np.random.default_rng(0))[:, 0].astype(int)) == {0}
    while teacher.snapshot()["stage"] < 2:
        attempt(teacher, 1.0)
    drawn = teacher.preview(4000, np.random.default_rng(0))[:, 0].astype(int)
    np.testing.assert_allclose(
        np.bincount(drawn, minlength=4) / 4000, [0.15, 0.15, 0.7, 0.0], atol=0.02
    )


def test_outcomes_count_for_the_stage_that_proposed_them() -> None:
    teacher = build(rehearsal=0.0, min_attempts=5, window=5, patience=1)
    early = teacher.sample(30)
    teacher.update(Outcomes(early[:5], np.ones(5), successes=np.ones(5)))
    assert teacher.snapshot()["stage"] == 1
    # Late failures of the stage before, foreign tasks, the same twice, and probes.
    teacher.update(Outcomes(early[5:], np.zeros(25), successes=np.zeros(25)))
    foreign = np.full((20, 1), 1.5)
    teacher.update(Outcomes(foreign, np.ones(20), successes=np.ones(20), ids=[-1] * 20))
    teacher.update(Outcomes(early[:5], np.ones(5), successes=np.ones(5)))
    attempt(teacher, *[1.0] * 4)
    attempt(teacher, *[1.0] * 10, probe=[True])
    assert teacher.snapshot()["stage_attempts"] == 4
    assert teacher.snapshot()["stage"] == 1
    attempt(teacher, 1.0)
    assert teacher.snapshot()["stage"] == 2


def test_stages_that_are_teachers() -> None:
    spots: dict[str, Any] = {"target": {"target": [[0.5]]}, "yoked": {"log": [[3.5]]}}
    for stages in ("target,yoked,random", ["target", "yoked", "random"]):
        teacher = build(
            stages=stages, stage_parameters=spots, rehearsal=0.0, min_attempts=1, patience=1,
            window=1,
        )  # fmt: skip
        assert attempt(teacher, 0, 0, 1, 0, 1) == [0, 0, 0, 3, 0]
        assert attempt(teacher, 1, 1) == [3, 0] or teacher.snapshot()["stage_name"] == "random"
        assert teacher.privileges == {"target"}
    # No difficulty is needed then.
    assert build(DiscreteTasks(5), stages="random,stratified").sample(3).shape == (3,)


def test_bands_are_the_quantiles_of_difficulty() -> None:
    # The sum of two uniform numbers: its quartiles are .707, 1 and 1.293.
    space = BoxTasks([0, 0], [1, 1], difficulty={"x0": 1.0, "x1": 1.0})
    edges = [0.0, 0.707, 1.0, 1.293, 2.0]
    for k, part in enumerate(build(space).parts):
        total = part.sample(2000).sum(axis=1)
        assert total.min() > edges[k] - 0.02
        assert total.max() < edges[k + 1] + 0.02
        if k == 0:  # uniform within: the mean of a triangle's density is 2/3 of its end
            assert total.mean() == pytest.approx(0.471, abs=0.01)
    examples = DiscreteTasks(10, difficulty=[9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
    parts = build(examples, stages=[0.25, 0.5, 1.0]).parts
    bands = [sorted(part.sample(len(cast(Band, part).members)).tolist()) for part in parts]
    assert bands == [[8, 9], [5, 6, 7], [0, 1, 2, 3, 4]]


def test_few_values_of_difficulty() -> None:
    space = BoxTasks([0, 0], [1, 1], kinds=["integer", "real"], difficulty="x0")
    low, _, _, high = (part.sample(50)[:, 0] for part in build(space).parts)
    assert set(low) == {0.0}
    assert set(high) == {1.0}


def test_by_curriculum_on_returns() -> None:
    teacher = build(measure="return", stages=2, min_attempts=5, window=5, patience=1)
    assert teacher.needs == frozenset()
    curriculum = Curriculum(teacher, seed=0)
    for _ in range(5):
        tickets = curriculum.issue(1)
        curriculum.settle(tickets.ids, [0.9])
    assert teacher.snapshot()["stage"] == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stages": 0}, "stages must be at least 1, got 0"),
        ({"stages": [0.5, 0.4, 1.0]}, "stages must be shares that rise from above 0 to 1"),
        ({"stages": [0.5, 0.9]}, "stages must be shares that rise"),
        ({"stages": []}, "stages must be shares"),
        ({"stages": "randm"}, "unknown teacher 'randm'"),
        ({"stage_parameters": {"random": {}}}, "stage_parameters are of stages that are teachers"),
        ({"stages": "random", "stage_parameters": {"plr": {}}}, "stage_parameters name 'plr'"),
        ({"promote": 1.5}, r"promote must lie in \[0, 1\], got 1.5"),
        ({"promote_all": -1.0}, "promote_all must lie in"),
        ({"demote": 0.9}, r"demote must lie in \[0, promote = 0.8\], got 0.9"),
        ({"window": 0}, "window must be at least 1"),
        ({"min_attempts": 0}, "min_attempts must be at least 1"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"rehearsal": 1.0}, r"rehearsal must lie in \[0, 1\), got 1"),
        ({"measure": "loss"}, "measure must be one of"),
        ({"horizon": 0}, "horizon must be at least 1"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)


def test_needs_a_difficulty_for_slices() -> None:
    with pytest.raises(ValueError, match="'staged' orders tasks by difficulty"):
        build(BoxTasks([0], [1]))


def test_teaches_the_toy_in_the_order_of_its_cells() -> None:
    student = CubeStudent(cubes=4)
    student.task_space = BoxTasks([0, 0], [1, 1], difficulty={"x0": 1.0, "x1": 1.0})
    teacher = build(student.task_space, measure="return", stages=6, promote=0.76)
    assert teach(student, teacher, 2500).final > 60
