"""Teacher-student curriculum learning, its four algorithms."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from currgym import DiscreteTasks, Outcomes, make_teacher
from currgym.students.simulated import CubeStudent, teach
from currgym.teachers.tscl import TSCL, slope

THREE = DiscreteTasks(3)
# Arm and score of each attempt.
ATTEMPTS = [
    (0, 0.2), (1, 0.9), (0, 0.4), (1, 0.8), (2, 0.0), (0, 0.7), (1, 0.6), (2, 0.0), (0, 0.8),
    (1, 0.2),
]  # fmt: skip


def build(space: Any = THREE, **settings: Any) -> TSCL:
    settings = {"seed": 0, "return_range": (0, 1), **settings}
    return cast(TSCL, make_teacher("tscl", space, **settings))


def feed(teacher: TSCL, attempts: list[tuple[int, float]] = ATTEMPTS) -> None:
    for arm, score in attempts:
        teacher.update(Outcomes([arm], [score], successes=[score]))


def shares(teacher: TSCL, n: int = 4000) -> Any:
    drawn = teacher.preview(n, np.random.default_rng(1))
    return (np.bincount(drawn, minlength=cast(DiscreteTasks, teacher.space).n) / n).tolist()


def test_trace_online() -> None:
    teacher = build(algorithm="online", learning_rate=0.5, epsilon=0.3)
    feed(teacher)
    # Differences of arm 0: .2, .3, .1; Q = .1, .2, .15. Of arm 1: -.1, -.2, -.4; Q = -.05, -.125,
    # -.2625. Of arm 2: 0. The largest |Q| is that of arm 1, where the student forgets.
    np.testing.assert_allclose(shares(teacher), [0.1, 0.8, 0.1], atol=0.02)
    np.testing.assert_allclose(teacher._q, [0.15, -0.2625, 0.0], atol=1e-6)
    np.testing.assert_allclose(teacher.chances, [0.1, 0.8, 0.1], atol=1e-6)


def test_trace_boltzmann() -> None:
    teacher = build(
        algorithm="online", learning_rate=0.5, exploration="boltzmann", temperature=0.1
    )  # fmt: skip
    feed(teacher)
    # exp(1.5), exp(2.625), exp(0) = 4.481689, 13.804574, 1 of 19.286263.
    by_hand = [0.232377, 0.715772, 0.051850]
    np.testing.assert_allclose(shares(teacher, 20_000), by_hand, atol=0.02)
    np.testing.assert_allclose(teacher.chances, by_hand, atol=1e-6)


def test_trace_window() -> None:
    teacher = build(algorithm="window", learning_rate=0.5, window=3, epsilon=0.0)
    feed(teacher)
    # Arm 0 scores .2, .4, .7, .8 at times 1, 3, 6, 9. Slopes: .2 / 2 = .1; times 1, 3, 6 around
    # 10/3: (-7/3)(-7/30) + (-1/3)(-1/30) + (8/3)(8/30) over 38/3 = 1.266667 / 12.666667 = .1;
    # times 3, 6, 9 around 6: (3 * .8 - 3 * .4) / 18 = .066667. Q = .05, .075, .070833.
    # Arm 1: .9, .8, .6, .2 at 2, 4, 7, 10. Slopes -.05; times 2, 4, 7 around 13/3: scores around
    # 2.3/3: (-7/3)(.133333) + (-1/3)(.033333) + (8/3)(-.166667) over 38/3 = -.766667 / 12.666667 =
    # -.060526; times 4, 7, 10: (-3 * .8 + 3 * .2) / 18 = -.1. Q = -.025, -.042763, -.071382.
    assert shares(teacher) == [0.0, 1.0, 0.0]
    np.testing.assert_allclose(teacher._q, [0.0708333, -0.0713816, 0.0], atol=1e-6)


def test_trace_naive() -> None:
    teacher = build(algorithm="naive", learning_rate=0.5, window=3, epsilon=0.0)
    blocks = teacher.sample(12).reshape(4, 3)
    assert (blocks == blocks[:, :1]).all()
    feed(teacher)
    # Arm 0: one block .2, .4, .7 with slope .25; arm 1: .9, .8, .6 with slope -.15; arm 2 has two
    # scores only. Q = .125, -.075, 0.
    np.testing.assert_allclose(teacher._q, [0.125, -0.075, 0.0], atol=1e-6)
    assert teacher.sample(6).tolist() == [0] * 6
    # Two scores are left of arm 0 and arm 1 each; the blocks that they complete move Q again.
    feed(teacher, [(0, 0.6), (0, 0.4)])  # .8, .6, .4: slope -.2
    np.testing.assert_allclose(teacher._q, [-0.0375, -0.075, 0.0], atol=1e-6)
    assert teacher.sample(3).tolist() == [1] * 3


def test_trace_sampling() -> None:
    teacher = build(algorithm="sampling", window=3)
    sixteenths = [(0, 2), (1, 14), (0, 4), (1, 13), (2, 0), (0, 7), (1, 11), (2, 0), (0, 8), (1, 7)]
    attempts = [(arm, score / 16) for arm, score in sixteenths]  # so that ties are exact
    feed(teacher, attempts[:4])
    # One difference each; arm 2 has none and counts 1.
    assert shares(teacher) == [0.0, 0.0, 1.0]
    feed(teacher, attempts[4:])
    # Kept, in sixteenths: 2, 3, 1 | -1, -2, -4 | 0. Of nine pairs arm 0 wins with 2 over 1 and with
    # 3 over 1 and 2, and has half of the ties 2, 2 and 1, 1.
    np.testing.assert_allclose(shares(teacher, 20_000), [4 / 9, 5 / 9, 0.0], atol=0.02)
    # -5 pushes the 2 out: 3 over 1 and 2, half of 1, 1, and 5 over all.
    feed(teacher, [(0, 3 / 16)])
    np.testing.assert_allclose(shares(teacher, 20_000), [5.5 / 9, 3.5 / 9, 0.0], atol=0.02)


def test_slope_equals_polyfit() -> None:
    rng = np.random.default_rng(0)
    for n in (2, 5, 10):
        times, scores = rng.random(n), rng.random(n)
        assert slope(times, scores) == pytest.approx(np.polyfit(times, scores, 1)[0])
    assert slope(np.ones(3), np.arange(3.0)) == 0.0


@pytest.mark.parametrize("algorithm", ["online", "naive", "window", "sampling"])
def test_profile_goes_where_the_curve_is_steep_up_or_down(algorithm: str) -> None:
    for direction in (1, -1):
        teacher = build(DiscreteTasks(4), algorithm=algorithm, window=4)
        attempts = np.zeros(4)
        late = []
        for step in range(400):
            arm = int(teacher.sample(1)[0])
            attempts[arm] += 1
            # The third moves, the first is high, the others are low, and nothing is noisy.
            moved = 0.5 + direction * min(attempts[2] / 1000, 0.5)
            feed(teacher, [(arm, [1.0, 0.1, moved, 0.0][arm])])
            late += [arm] * (step >= 200)
        assert np.mean(np.array(late) == 2) > 0.85


def test_what_is_solved_at_once_is_not_progress() -> None:
    teacher = build(algorithm="online", epsilon=0.0)
    feed(teacher, [(0, 1.0), (1, 0.1), (1, 0.2)])
    assert teacher.sample(3).tolist() == [1, 1, 1]


def test_equally_good_arms_are_equally_likely() -> None:
    np.testing.assert_allclose(build(algorithm="window").chances, 1 / 3)
    np.testing.assert_allclose(shares(build(algorithm="sampling")), 1 / 3, atol=0.04)
    np.testing.assert_allclose(shares(build(algorithm="naive", window=2), 8000), 1 / 3, atol=0.04)


def test_preset_reference_is_optimistic_and_takes_the_slope_itself() -> None:
    teacher = build(preset="reference", epsilon=0.0)
    feed(teacher, [(0, 0.0), (0, 0.4), (1, 0.0), (1, 0.3)])
    assert teacher.sample(2).tolist() == [2, 2]
    feed(teacher, [(2, 0.0), (2, 0.1)])
    np.testing.assert_allclose(teacher._q, [0.4, 0.3, 0.1], atol=1e-9)


def test_successes_as_scores() -> None:
    teacher = build(algorithm="online", measure="success", learning_rate=1.0)
    assert teacher.needs == {"successes"}
    teacher.update(Outcomes([0, 0], [0.0, 0.0], successes=[0.0, 1.0]))
    assert teacher._q[0] == 1.0


def test_snapshot() -> None:
    teacher = build(algorithm="naive", window=3)
    teacher.sample(1)
    feed(teacher)
    shown = teacher.snapshot()
    assert shown["tasks"][0] == 0
    assert shown["slope"][0] == pytest.approx(0.025)
    assert shown["block_left"] == 2
    assert build(algorithm="sampling").snapshot()["chances"].sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"algorithm": "ucb"}, "algorithm must be one of"),
        ({"exploration": "none"}, "exploration must be one of"),
        ({"learning_rate": 0.0}, r"learning_rate must lie in \(0, 1\], got 0"),
        ({"window": 1}, "window must be at least 2, got 1"),
        ({"epsilon": 1.5}, r"epsilon must lie in \[0, 1\], got 1.5"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"optimism": -1.0}, "optimism must be at least 0"),
        ({"measure": "loss"}, "measure must be one of"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)


@pytest.mark.parametrize("algorithm", ["online", "window", "sampling"])
def test_teaches_the_toy_better_than_chance(algorithm: str) -> None:
    student = CubeStudent(cubes=4)
    teacher = build(student.task_space, bins=4, algorithm=algorithm)
    assert teach(student, teacher, 2500).final > 60
