"""The servo on difficulty."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import pytest

from currgym import BoxTasks, DiscreteTasks, Outcomes, make_teacher
from currgym.teachers.adarft import AdaRFT

BOX = BoxTasks([0, 0], [10, 1], names=["gap", "colour"], difficulty="gap")


def build(space: Any = BOX, **settings: Any) -> AdaRFT:
    settings = {"seed": 0, "return_range": (0, 1), **settings}
    return cast(AdaRFT, make_teacher("adarft", space, **settings))


def feed(teacher: AdaRFT, successes: list[float], **columns: Any) -> None:
    tasks = np.zeros((len(successes), 2)) if teacher.space is BOX else np.zeros(len(successes), int)
    teacher.update(Outcomes(tasks, successes, successes=successes, **columns))


def gap(teacher: AdaRFT) -> float:
    drawn = teacher.preview(400, np.random.default_rng(0))
    return float(np.median(drawn[:, 0]))


def test_trace_worked_by_hand() -> None:
    teacher = build(step=0.2, sensitivity=2.0, aim=0.5, batch_size=2)
    trace = [
        # successes of a batch, mean less .5 times 2, its tanh, target
        ([1.0, 1.0], 1.0, 0.761594, 0.152319),
        ([1.0, 0.0], 0.0, 0.0, 0.152319),
        ([0.5, 1.0], 0.5, 0.462117, 0.244742),
        ([0.0, 0.0], -1.0, -0.761594, 0.092423),
        ([0.0, 0.5], -0.5, -0.462117, 0.0),  # -.0000003: not below the easiest
        ([1.0, 1.0], 1.0, 0.761594, 0.152319),
        ([1.0, 1.0], 1.0, 0.761594, 0.304638),
        ([1.0, 1.0], 1.0, 0.761594, 0.456956),
        ([1.0, 1.0], 1.0, 0.761594, 0.609275),
        ([1.0, 1.0], 1.0, 0.761594, 0.761594),
    ]
    for successes, error, tanh, target in trace:
        assert math.tanh(error) == pytest.approx(tanh, abs=1e-6)
        feed(teacher, successes[:1])
        feed(teacher, successes[1:])
        assert gap(teacher) == pytest.approx(10 * target, abs=0.4)
        assert teacher._target == pytest.approx(target, abs=2e-6)
    feed(teacher, [1.0] * 8)
    assert teacher._target == 1.0
    assert gap(teacher) > 9.6


def test_profile_holds_success_at_the_aim() -> None:
    rng = np.random.default_rng(0)
    for aim in (0.3, 0.7):
        teacher = build(aim=aim)
        successes = []
        for step in range(6000):
            tasks = teacher.sample(1)
            skill = 2.0 + 5.0 * min(step, 4000) / 4000  # the student comes along
            chance = 1 / (1 + math.exp(tasks[0, 0] - skill))
            successes.append(float(rng.random() < chance))
            teacher.update(Outcomes(tasks, successes[-1:], successes=successes[-1:]))
        assert np.mean(successes[500:]) == pytest.approx(aim, abs=0.1)  # a moving student is ahead
        assert np.mean(successes[4500:]) == pytest.approx(aim, abs=0.04)


def test_examples_are_the_nearest_and_of_equals_any() -> None:
    space = DiscreteTasks(40, difficulty=np.repeat([0, 1, 2, 3, 4], 8))
    teacher = build(space, start=0.25, batch_size=12)
    passes = [teacher.plan() for _ in range(30)]
    for one in passes:
        assert sorted(np.unique(one)) == sorted(one)
        level = np.sort(space.difficulty_of(one))
        assert (level == 1).sum() == 8  # all of the nearest, and four of the next on both sides
        assert ((level == 0) | (level == 2)).sum() == 4
    rest = np.concatenate([one[space.difficulty_of(one) != 1] for one in passes])
    assert len(np.unique(rest)) == 16
    assert build(DiscreteTasks(3, difficulty=[0, 1, 2])).plan().shape == (3,)


def test_scale_is_that_of_the_space() -> None:
    space = BoxTasks([0, -5], [2, 5], difficulty={"x0": 1.0, "x1": -2.0})
    teacher = build(space)
    assert teacher.snapshot()["declared_difficulty"] == -10.0
    drawn = teacher.sample(200)
    assert drawn[:, 0].mean() < 0.7
    assert drawn[:, 1].mean() > 3.5
    assert build(space, start=1.0).snapshot()["declared_difficulty"] == 12.0


def test_all_equally_difficult() -> None:
    teacher = build(DiscreteTasks(5, difficulty=[1.0] * 5), batch_size=2)
    assert len(set(teacher.sample(60).tolist())) == 5


def test_probes_do_not_move_it() -> None:
    teacher = build(batch_size=1)
    feed(teacher, [1.0, 1.0], probe=[True, True])
    assert teacher._target == 0.0
    feed(teacher, [1.0, 1.0], probe=[True, False])
    assert teacher._target > 0.0


def test_returns_instead_of_successes() -> None:
    teacher = build(measure="return", batch_size=1, step=1.0)
    assert teacher.needs == frozenset()
    teacher.update(Outcomes([[0, 0]], [1.0]))
    assert teacher._target == pytest.approx(math.tanh(1.0))


def test_preset_paper() -> None:
    paper = build(preset="paper")
    assert (paper.step, paper.sensitivity, paper.aim, paper.batch_size) == (0.5, 2.0, 0.5, 1024)


def test_needs_a_difficulty() -> None:
    with pytest.raises(ValueError, match="'adarft' orders tasks by difficulty"):
        make_teacher("adarft", BoxTasks([0], [1]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start": 1.5}, r"start must lie in \[0, 1\], got 1.5"),
        ({"aim": -0.5}, r"aim must lie in \[0, 1\]"),
        ({"step": 0.0}, "step must be above 0, got 0"),
        ({"sensitivity": 0.0}, "sensitivity must be above 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"candidates": 0}, "candidates must be at least 1"),
        ({"measure": "loss"}, "measure must be one of"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)
