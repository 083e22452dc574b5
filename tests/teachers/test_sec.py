"""The self-evolving curriculum: a bandit on absolute advantages."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from currgym import DiscreteTasks, Outcomes, make_teacher
from currgym.teachers.sec import SEC

THREE = DiscreteTasks(3)
# Arm and advantage of twelve attempts, three batches of four.
ATTEMPTS = [
    (0, 1.0), (0, -0.5), (1, 0.2), (0, 0.0),
    (1, -0.6), (1, 0.2), (2, 0.1), (0, 0.5),
    (2, -0.9), (2, 0.7), (2, 0.8), (2, -0.4),
]  # fmt: skip


def build(space: Any = THREE, **settings: Any) -> SEC:
    return cast(SEC, make_teacher("sec", space, **{"seed": 0, **settings}))


def feed(teacher: SEC, attempts: list[tuple[int, float]], batch: int = 1, **columns: Any) -> None:
    for i in range(0, len(attempts), batch):
        arms, sizes = zip(*attempts[i : i + batch], strict=True)
        scores = {"abs_advantage": np.abs(sizes)}
        zeros = np.zeros(len(arms))
        teacher.update(Outcomes(arms, zeros, successes=zeros, scores=scores, **columns))


def shares(teacher: SEC, n: int = 20_000) -> Any:
    return np.bincount(teacher.preview(n, np.random.default_rng(1)), minlength=3) / n


def test_trace_worked_by_hand() -> None:
    teacher = build(batch_size=4, learning_rate=0.5, temperature=0.2)
    feed(teacher, ATTEMPTS)
    # Batch 1: means .5, .2 -> Q = .25, .1, 0. Batch 2: .5, .4, .1 -> Q = .375, .25, .05.
    # Batch 3: arm 2 alone, .7 -> Q = .375, .25, .375.
    # exp of Q / .2 less the largest: 1, exp(-.625) = .535261, 1, of 2.535261.
    by_hand = [0.394437, 0.211127, 0.394437]
    np.testing.assert_allclose(shares(teacher), by_hand, atol=0.015)
    np.testing.assert_allclose(teacher._q, [0.375, 0.25, 0.375], atol=1e-9)
    np.testing.assert_allclose(teacher.chances, by_hand, atol=1e-6)


def test_a_batch_is_outcomes_however_they_are_delivered() -> None:
    states = []
    for batch in (1, 3, 12):
        teacher = build(batch_size=5)
        feed(teacher, ATTEMPTS, batch)
        states.append(teacher.state_dict()["own"])
    np.testing.assert_equal(states[1], states[0])
    np.testing.assert_equal(states[2], states[0])
    assert states[0]["gathered"] == 2


def test_profile_goes_where_half_of_the_attempts_succeed() -> None:
    # Groups of five examples; each group has its success rate, advantages are centred on it.
    rates = np.array([0.0, 0.5, 1.0, 0.9])
    space = DiscreteTasks(20, groups=np.arange(20) // 5)
    teacher = build(space, temperature=0.1)
    rng = np.random.default_rng(0)
    for _ in range(40):
        tasks = teacher.sample(32)
        rate = rates[tasks // 5]
        reward = (rng.random(32) < rate).astype(float)
        scores = {"abs_advantage": np.abs(reward - rate)}
        teacher.update(Outcomes(tasks, reward, successes=reward, scores=scores))
    found = np.bincount(teacher.sample(2000) // 5, minlength=4) / 2000
    assert found[1] > 0.8
    assert found[3] > max(found[0], found[2])


def test_relative_does_not_care_for_the_unit_of_advantages() -> None:
    found = []
    for unit in (1.0, 1000.0):
        teacher = build(batch_size=4, relative=True, temperature=0.5)
        feed(teacher, [(arm, unit * size) for arm, size in ATTEMPTS])
        found.append(teacher.chances)
    np.testing.assert_allclose(found[0], found[1])
    assert found[0].max() > 1.2 * found[0].min()


def test_probes_do_not_count() -> None:
    teacher = build(batch_size=1)
    feed(teacher, ATTEMPTS[:2], probe=True)
    np.testing.assert_allclose(teacher.chances, 1 / 3)
    feed(teacher, ATTEMPTS[:1])
    assert shares(teacher)[0] > 0.4


def test_needs_advantages() -> None:
    with pytest.raises(ValueError, match="'sec' needs 'abs_advantage'"):
        build().update(Outcomes([0], [1.0]))


def test_snapshot() -> None:
    teacher = build(batch_size=4)
    feed(teacher, ATTEMPTS[:6])
    shown = teacher.snapshot()
    assert shown["tasks"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(shown["q"], [0.25, 0.1, 0.0])
    assert shown["gathered"] == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0.0}, r"learning_rate must lie in \(0, 1\], got 0"),
        ({"temperature": 0.0}, "temperature must be above 0, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)
