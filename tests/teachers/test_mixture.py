"""Any teacher with a share of another."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from currgym import BoxTasks, DiscreteTasks, Outcomes, make_teacher
from currgym.teachers.alp_gmm import ALPGMM
from currgym.teachers.mixture import Mixture
from currgym.teaching import Teacher

SQUARE = BoxTasks([0, 0], [1, 1], difficulty="x0")
TARGET: dict[str, Any] = {"target": [[0.9, 0.9]]}


def build(space: Any = SQUARE, **settings: Any) -> Mixture:
    settings = {"seed": 0, "return_range": (0, 1), **settings}
    return cast(Mixture, make_teacher("mixture", space, **settings))


def test_trace_of_twelve_proposals() -> None:
    teacher = build(teacher="random", other="target", other_parameters=TARGET, share=0.4)
    rng = np.random.default_rng(0)
    seeds = [int(rng.integers(2**62)) for _ in range(2)]
    uniform = make_teacher("random", SQUARE, seed=seeds[0])
    coins = rng.random(12)
    expected = np.full((12, 2), 0.9)
    expected[coins >= 0.4] = uniform.sample(int((coins >= 0.4).sum()))
    np.testing.assert_allclose(teacher.sample(12), expected, atol=1e-12)
    shown = teacher.snapshot()
    assert shown["by_other"] == int((coins < 0.4).sum())
    assert shown["by_teacher"] + shown["by_other"] == 12


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_profile_share_of_the_target(share: float) -> None:
    teacher = build(teacher="window", other="target", other_parameters=TARGET, share=share)
    drawn = np.concatenate([teacher.sample(500), *(teacher.sample(1) for _ in range(500))])
    of_target = (drawn == 0.9).all(axis=1)
    assert of_target.mean() == pytest.approx(share, abs=0.04)
    assert (drawn[~of_target, 0] <= 1 / 6).all()  # the window has not moved


def test_both_learn_from_everything() -> None:
    teacher = build(teacher="alp-gmm", teacher_parameters={"fit_period": 20, "max_components": 3},
                    other="exp3s", other_parameters={"bins": 2}, share=0.5)  # fmt: skip
    rng = np.random.default_rng(0)
    for _ in range(50):
        tasks = teacher.sample(2)
        teacher.update(Outcomes(tasks, rng.random(2)))
    main = cast(ALPGMM, teacher.parts[0])
    assert main.history.count == 100
    assert [part.seen for part in teacher.parts] == [100, 100]
    assert main.proposed < 70
    # What the report draws is the teacher's.
    assert teacher.snapshot()["means"].shape == main.snapshot()["means"].shape


def test_needs_and_privileges_are_those_of_the_parts() -> None:
    teacher = build(teacher="sec", other="adarft")
    assert teacher.needs == {"abs_advantage", "successes"}
    assert teacher.privileges == {"difficulty"}
    with pytest.raises(ValueError, match="'mixture' needs 'abs_advantage'"):
        teacher.update(Outcomes([[0, 0]], [0.0], successes=[0.0]))
    assert build(other="target", other_parameters=TARGET).privileges == {"target"}
    assert build(teacher="random").needs == frozenset()


def test_a_schedule_has_its_share_of_the_horizon() -> None:
    space = DiscreteTasks(50, difficulty=np.arange(50))
    teacher = build(space, teacher="yoked", share=0.25, horizon=400)
    assert getattr(teacher.parts[0], "horizon", None) == 300


def test_a_mixture_of_mixtures() -> None:
    inner: dict[str, Any] = {"other": "target", "other_parameters": TARGET, "share": 0.5}
    teacher = build(teacher="mixture", teacher_parameters=inner, share=0.5)
    assert (teacher.sample(2000) == 0.9).all(axis=1).mean() == pytest.approx(0.25, abs=0.03)
    twin = build(teacher="mixture", teacher_parameters=inner, share=0.5, seed=9)
    twin.load_state_dict(teacher.state_dict())
    np.testing.assert_array_equal(teacher.sample(50), twin.sample(50))


def test_parts_have_streams_of_their_own() -> None:
    drawn = [build(teacher="random", other=other, share=0.0).sample(5) for other in ("random",)]
    drawn.append(build(teacher="random", other="target", share=0.0).sample(5))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    both = build(teacher="random", other="random", share=0.5)
    assert not np.array_equal(both.parts[0].sample(5), both.parts[1].sample(5))


def test_weights_are_the_teachers(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = build(teacher="random")
    part: Teacher = teacher.parts[0]
    monkeypatch.setattr(part, "weights", lambda tasks, losses: np.full(len(tasks), 3.0))
    assert teacher.weights(np.zeros((2, 2))).tolist() == [3.0, 3.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"share": 1.5}, r"share must lie in \[0, 1\], got 1.5"),
        ({"horizon": 0}, "horizon must be at least 1"),
        ({"teacher": "alp-gm"}, "unknown teacher 'alp-gm': did you mean 'alp-gmm'"),
        ({"teacher_parameters": {"fit_period": 1}}, "fit_period must be at least 2"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)
