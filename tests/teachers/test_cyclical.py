"""Cyclical Curriculum Learning."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from currgym import BoxTasks, DiscreteTasks, make_teacher

SIZES = [0.25, 0.5, 1.0, 0.5, 0.25, 0.5, 1.0, 0.5, 0.25, 0.5]


def closed_form(start: float, end: float, alpha: float, passes: int) -> list[float]:
    """One period: start / alpha^i up to the ceiling, then down by alpha from there to the floor."""
    up = [start]
    while up[-1] < end:
        up.append(min(start / alpha ** len(up), end))
    down: list[float] = []
    while (down or up)[-1] > start:
        down.append(max(end * alpha ** (len(down) + 1), start))
    period = up + down[:-1] if down else up
    return [period[i % len(period)] for i in range(passes)]


@pytest.mark.parametrize("start", [0.1, 0.25, 1.0])
@pytest.mark.parametrize("end", [0.8, 1.0])
@pytest.mark.parametrize("alpha", [0.3, 0.5, 0.9])
def test_sizes_equal_their_closed_form(start: float, end: float, alpha: float) -> None:
    if start > end:
        pytest.skip("no such cycle")
    space = DiscreteTasks(1, difficulty=[1.0])
    teacher = make_teacher("cyclical", space, seed=0, start=start, end=end, alpha=alpha)
    found = []
    for _ in range(60):
        found.append(teacher.snapshot()["sizes"][0])
        teacher.plan()
    np.testing.assert_allclose(found, closed_form(start, end, alpha, 60), atol=1e-9, rtol=0)


def test_trace_ten_passes() -> None:
    # int(8 S) examples a pass; the probability of each is 1 / loss over the sum of those.
    losses = np.array([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8])
    teacher = make_teacher("cyclical", DiscreteTasks(8, difficulty=losses), seed=0)
    for size in SIZES:
        plan = teacher.plan()
        assert len(plan) == int(8 * size)
        assert len(set(plan.tolist())) == len(plan)  # without replacement
    inverse = [10.0, 5.0, 2.5, 1.25, 0.625, 0.3125, 0.15625, 0.078125]
    np.testing.assert_allclose(
        teacher.snapshot()["probability"], np.array(inverse) / 19.921875, atol=1e-6
    )
    # ... and without a drawn one, over the sum of the rest: exponential scores by hand.
    other = make_teacher(
        "cyclical", DiscreteTasks(3, difficulty=[0.0, 0.2, 1.0]), seed=0, score="exponential"
    )
    weights = [1.0, math.exp(-1.0), math.exp(-5.0)]
    np.testing.assert_allclose(
        other.snapshot()["probability"], np.array(weights) / sum(weights), atol=1e-6
    )


def test_profile_draws_as_often_as_the_scores_say() -> None:
    # Two of four without replacement, sequentially: P(i) = p_i + sum_j p_j p_i / (1 - p_j).
    losses = np.array([1.0, 2.0, 4.0, 8.0])
    p = (1 / losses) / (1 / losses).sum()
    included = [p[i] + sum(p[j] * p[i] / (1 - p[j]) for j in range(4) if j != i) for i in range(4)]
    space = DiscreteTasks(4, difficulty=losses)
    teacher = make_teacher("cyclical", space, seed=0, start=0.5, end=0.5)
    counts = np.zeros(4)
    for _ in range(4000):
        counts[teacher.plan()] += 1
    np.testing.assert_allclose(counts / 4000, included, atol=0.03)


@pytest.mark.parametrize(
    ("score", "low", "high"),
    [("inverse", 0.0, 0.4), ("exponential", 0.0, 0.4), ("hard", 0.6, 1.0), ("uniform", 0.46, 0.54)],
)
def test_profile_small_passes_favour_what_the_score_says(
    score: str, low: float, high: float
) -> None:
    examples = DiscreteTasks(400, difficulty=np.arange(1, 401) / 400)
    box = BoxTasks([0, 0], [3, 6], names=["height", "gap"], difficulty="height")
    for space in (examples, box):
        teacher = make_teacher("cyclical", space, seed=0, score=score, pool=400)
        means = []
        for size in SIZES[:4] * 10:
            tasks = teacher.sample(int(400 * size))
            quantile = space.to_unit(tasks)[:, 0]
            if size == 1.0:
                assert abs(quantile.mean() - 0.5) < 0.06
            elif size == 0.25:
                means.append(quantile.mean())
        assert low <= np.mean(means) <= high


def test_subsets_are_shuffled() -> None:
    # A weighted draw without replacement returns easy ones first: a curriculum nobody asked for.
    space = DiscreteTasks(1000, difficulty=np.linspace(0.001, 1, 1000))
    teacher = make_teacher("cyclical", space, seed=0, start=1.0)
    halves = [plan[:500].mean() - plan[500:].mean() for plan in (teacher.plan() for _ in range(20))]
    assert abs(np.mean(halves)) < 20


def test_memorised_examples_do_not_take_everything() -> None:
    losses = np.full(100, 1.0)
    losses[0] = 1e-300
    losses[1] = 0.0
    teacher = make_teacher("cyclical", DiscreteTasks(100, difficulty=losses), seed=0)
    probability = teacher.snapshot()["probability"]
    assert probability[0] == pytest.approx(1000 / 2098, abs=1e-9)
    assert len(set(teacher.plan().tolist())) == 25
    nothing = make_teacher("cyclical", DiscreteTasks(4, difficulty=np.zeros(4)), seed=0)
    assert nothing.snapshot()["probability"].tolist() == [0.25] * 4


def test_negative_difficulties_go_by_rank() -> None:
    space = DiscreteTasks(4, difficulty=[-3.0, -1.0, -1.0, 5.0])
    probability = make_teacher("cyclical", space, seed=0).snapshot()["probability"]
    inverse = np.array([8.0, 2.0, 2.0, 8 / 7])  # quantiles 1/8, 1/2, 1/2, 7/8
    np.testing.assert_allclose(probability, inverse / inverse.sum(), atol=1e-9)
    with pytest.raises(ValueError, match=r"down to -3: pass losses='rank'"):
        make_teacher("cyclical", space, losses="declared")


def test_uniform_scores_need_no_difficulty() -> None:
    control = make_teacher("cyclical:random-cyclic", DiscreteTasks(8), seed=0)
    assert control.privileges == frozenset()
    assert [len(control.plan()) for _ in range(4)] == [2, 4, 8, 4]
    assert len(make_teacher("cyclical:random-cyclic", BoxTasks([0], [1]), seed=0).sample(9)) == 9
    assert make_teacher("cyclical", DiscreteTasks(2, difficulty=[1, 2])).privileges == {
        "difficulty"
    }


def test_refuses() -> None:
    with pytest.raises(ValueError, match="declares none"):
        make_teacher("cyclical", DiscreteTasks(4))
    space = DiscreteTasks(4, difficulty=np.ones(4))
    for name, value in [
        ("start", 0.0), ("end", 0.1), ("alpha", 1.0), ("score", "easy"), ("rate", 0.0),
        ("floor", 0.0), ("losses", "raw"), ("pool", 0),
    ]:  # fmt: skip
        settings: dict[str, Any] = {name: value}
        with pytest.raises(ValueError, match=name):
            make_teacher("cyclical", space, **settings)
