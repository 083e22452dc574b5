"""The best fixed distribution."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from currgym import BoxTasks, DiscreteTasks, Outcomes, make_teacher
from currgym.teachers.static_best import StaticBest

LINE = BoxTasks([0], [4])
# Not what from_unit would make of them: they must come back as they were written.
BEST: dict[str, Any] = {"tasks": [[0.7], [2.9], [3.3]], "shares": [1.0, 3.0, 0.0]}


def build(space: Any = LINE, **settings: Any) -> StaticBest:
    settings = {"seed": 0, "return_range": (0, 1), **settings}
    return cast(StaticBest, make_teacher("static-best", space, **settings))


def test_trace_of_given_tasks() -> None:
    teacher = build(seed=3, **BEST)
    u = np.random.default_rng(3).random(10)
    expected = np.where(u < 0.25, 0.7, 2.9)
    assert len(set(expected.tolist())) == 2
    np.testing.assert_allclose(teacher.sample(10)[:, 0], expected, atol=1e-12)


def test_profile_given_tasks_in_their_shares_for_ever() -> None:
    teacher = build(**BEST)
    rng = np.random.default_rng(0)
    for _ in range(40):
        tasks = teacher.sample(100)
        counts = [int((tasks == task).sum()) for task in (0.7, 2.9)]
        assert sum(counts) == 100
        assert counts[1] == pytest.approx(75, abs=18)
        teacher.update(Outcomes(tasks, np.where(tasks[:, 0] == 0.7, rng.random(100), 0.0)))
    assert teacher.snapshot()["chances"].tolist() == [0.75, 0.25, 0.0]
    assert teacher.snapshot()["tasks"].tolist() == [[2.9], [0.7], [3.3]]


def test_trace_of_the_measured_phase() -> None:
    teacher = build(bins=4, attempts=3)
    returns = [[0.0, 0.5, 0.2, 0.9], [0.1, 0.5, 0.4, 0.9], [0.2, 0.5, 0.1, 1.0]]
    for round_ in returns:
        tasks = teacher.sample(4)
        arms = tasks[:, 0].astype(int)
        assert sorted(arms) == [0, 1, 2, 3]
        teacher.update(Outcomes(tasks, np.array(round_)[arms]))
    # Mean changes: (.1 + .1) / 2, 0, (.2 + .3) / 2, (0 + .1) / 2.
    assert set(teacher.sample(200)[:, 0].astype(int)) == {2}
    np.testing.assert_allclose(teacher.progress, [0.1, 0.0, 0.25, 0.05], atol=1e-9)
    # For good: what comes now does not count.
    for _ in range(50):
        teacher.update(Outcomes([[0.5], [0.5]], [0.0, 1.0]))
    assert set(teacher.sample(200)[:, 0].astype(int)) == {2}
    assert teacher.snapshot()["kept"] == 1


def test_keeps_several() -> None:
    teacher = build(bins=4, attempts=2, keep=2)
    for returns in ([0.0, 0.5, 0.2, 0.9], [0.3, 0.5, 0.4, 0.9]):
        tasks = teacher.sample(4)
        teacher.update(Outcomes(tasks, np.array(returns)[tasks[:, 0].astype(int)]))
    drawn = teacher.sample(2000)[:, 0].astype(int)
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 2000, [0.5, 0, 0.5, 0], atol=0.05)


def test_late_outcomes_prolong_the_phase() -> None:
    teacher = build(bins=4, attempts=2)
    early = teacher.sample(40)
    assert np.bincount(early[:, 0].astype(int)).tolist() == [10] * 4
    teacher.update(Outcomes(early[:7], np.zeros(7)))
    assert len(set(teacher.sample(8)[:, 0].astype(int))) == 4
    teacher.update(Outcomes(early[7:8], [0.0]))
    assert len(set(teacher.sample(8)[:, 0].astype(int))) == 1


def test_without_any_progress_any_arm_is_kept() -> None:
    kept = set()
    for seed in range(20):
        teacher = build(DiscreteTasks(4), seed=seed, attempts=2)
        teacher.update(Outcomes([0, 1, 2, 3] * 2, [0.5] * 8))
        kept |= set(teacher.sample(3).tolist())
    assert kept == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": [[5.0]]}, r"x0 = 5 is not in \[0, 4\]"),
        ({"tasks": np.empty((0, 1))}, "at least one task"),
        ({"shares": [1.0]}, "pass tasks too"),
        ({**BEST, "shares": [1.0, -1.0, 0.0]}, "shares must be 3 numbers from 0 up"),
        ({**BEST, "shares": [1.0]}, "shares must be 3 numbers"),
        ({**BEST, "shares": [0.0] * 3}, "shares must not all be 0"),
        ({"attempts": 1}, "attempts must be at least 2, got 1"),
        ({"keep": 0}, "keep must be at least 1, got 0"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)
