"""RIAC: regions and their absolute learning progress."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from currgym.outcomes import Outcomes
from currgym.students.simulated import CubeStudent, teach
from currgym.tasks import BoxTasks
from currgym.teachers.riac import RIAC
from currgym.teaching import make_teacher

FloatArray = NDArray[np.float64]
SQUARE = BoxTasks([0, 0], [1, 1])


def build(space: BoxTasks = SQUARE, **settings: Any) -> RIAC:
    settings = {"seed": 0, "return_range": (0, 1), **settings}
    return cast(RIAC, make_teacher("riac", space, **settings))


def feed(teacher: RIAC, tasks: FloatArray, returns: FloatArray, batch: int = 1) -> None:
    for i in range(0, len(tasks), batch):
        teacher.update(Outcomes(tasks[i : i + batch], returns[i : i + batch]))


def test_trace_worked_by_hand() -> None:
    # Returns -10 ... 10 count as 0 ... 1; regions hold 4 attempts, so that the fifth splits.
    teacher = build(
        BoxTasks([0], [10]), return_range=(-10, 10), region_size=4, split_attempts=200,
        min_points=1, min_side=0.0,
    )  # fmt: skip
    trace: list[tuple[float, float, list[float]]] = [
        # task, raw return, ALP of the regions that are there
        (1, -10, [0.0]),
        (3, -6, [0.0]),  # two are not enough
        (5, -2, [0.3]),  # |(0 + .2) / 2 - .4|
        (7, 2, [0.4]),  # |(0 + .2) / 2 - (.4 + .6) / 2|
        # |(.2 + .4) / 2 - (.6 + .5) / 2|. Cuts after 1, 2, 3, 4 tasks score 1 * 4 * .25 = 1,
        # 2 * 3 * 0 = 0, 3 * 2 * |.3 - 0| = 1.8 and 4 * 1 * |.4 - 0| = 1.6.
        (9, 0, [0.25, 0.3, 0.0]),
        (2, -10, [0.25, 0.1, 0.0]),  # all: .4 .6 .5 0; left: 0 .2 .4 0
        (9, 10, [0.05, 0.1, 0.45]),  # all: .6 .5 0 1; right: .6 .5 1
        (9.5, 30, [0.75, 0.1, 0.45]),  # clamped to 1. All: .5 0 1 1; right: .6 .5 1 1
        (9.5, 4, [0.35, 0.1, 0.1]),  # all: 0 1 1 .7; right: .5 1 1 .7, and it splits
    ]
    for task, value, alp in trace:
        teacher.update(Outcomes([[task]], [float(value)]))
        shown = teacher.snapshot()
        np.testing.assert_allclose(shown["alp"][: len(alp)], alp, atol=1e-6)
        np.testing.assert_allclose(
            shown["chances"], shown["alp"] / shown["alp"].sum() if max(alp) else [1.0], atol=1e-6
        )
    assert shown["regions"] == 5
    assert 0.5 < shown["high"][1, 0] < 0.7
    np.testing.assert_array_equal(shown["high"][1], shown["low"][2])
    # Right: .6 .5 1 1 .7 at .7 .9 .9 .95 .95; cuts after 1 and 3 tasks score 1 * 4 * .1 = .4 and
    # 3 * 2 * |.55 - 1| = 2.7.
    assert 0.9 < shown["high"][3, 0] < 0.95
    np.testing.assert_allclose(shown["alp"][3:], [0.45, 0.0], atol=1e-6)


def test_profile_mutations_stay_near_the_worst_attempt() -> None:
    teacher = build(mutate_ratio=1.0, random_ratio=0.0, mutation_noise=0.02)
    feed(teacher, np.array([[0.2, 0.2], [0.7, 0.4], [0.9, 0.9]]), np.array([0.5, 0.1, 0.9]))
    drawn = teacher.sample(500)
    assert np.abs(drawn - [0.7, 0.4]).max() < 0.1
    np.testing.assert_allclose(drawn.std(axis=0), 0.02, atol=0.004)


def test_profile_bump_of_progress_is_found() -> None:
    rng = np.random.default_rng(1)
    tasks = rng.random((6000, 2))
    inside = ((tasks > [0.6, 0.2]) & (tasks < [0.9, 0.5])).all(axis=1)
    returns = np.where(inside, np.linspace(0, 1, 6000), 0.0)
    teacher = build(mutate_ratio=0.0, random_ratio=0.0, leaves_only=True)
    feed(teacher, tasks, returns, batch=50)
    drawn = teacher.sample(1000)
    assert np.mean(((drawn > [0.5, 0.1]) & (drawn < [1.0, 0.6])).all(axis=1)) > 0.9
    # Boxes, so that tasks fill the middle of the bump as evenly as its rim.
    assert teacher.snapshot()["high"].shape == teacher.snapshot()["low"].shape


def test_leaves_partition_the_cube() -> None:
    rng = np.random.default_rng(2)
    teacher = build(region_size=40, leaves_only=True)
    tasks = rng.random((4000, 2))
    feed(teacher, tasks, rng.random(4000), batch=100)
    shown = teacher.snapshot()
    low, high = shown["low"], shown["high"]
    assert len(low) > 20
    assert (high - low).prod(axis=1).sum() == pytest.approx(1.0)
    points = np.concatenate([tasks, np.concatenate([low, high])])[:, None]
    owners = ((points >= low) & ((points < high) | ((high == 1.0) & (points == 1.0)))).all(axis=2)
    assert (owners.sum(axis=1) == 1).all()
    assert (high - low).min() >= 1 / 15 - 1e-12


def test_a_task_on_a_threshold_lies_on_one_side() -> None:
    teacher = build(region_size=4, min_points=1, min_side=0.0)
    feed(teacher, np.random.default_rng(3).random((5, 2)), np.linspace(0, 1, 5))
    tree = teacher.tree
    edge = np.full(2, 0.5)
    edge[tree.column[0]] = tree.threshold[0]
    assert tree.path(edge).tolist() == [0, 2]


def test_shares_of_the_three_kinds() -> None:
    # All progress right of .9: 70 % of the tasks there, and of the 20 % uniform ones a tenth.
    teacher = build(mutate_ratio=0.1, random_ratio=0.2, mutation_noise=0.0, leaves_only=True)
    tree = teacher.tree
    tree.split(0, 0, 0.9)
    teacher._alp, teacher._choices = np.array([0.0, 0.0, 1.0]), np.array([1, 2])
    feed(teacher, np.array([[0.95, 0.5]]), np.zeros(1))
    teacher._alp[2] = 1.0
    drawn = teacher.sample(10_000)
    worst = (drawn == [0.95, 0.5]).all(axis=1)
    assert worst.mean() == pytest.approx(0.1, abs=0.012)
    assert (drawn[~worst, 0] > 0.9).mean() == pytest.approx(0.72 / 0.9, abs=0.015)


def test_identical_tasks_end_the_search_for_a_cut() -> None:
    # In the reference no random threshold ever leaves min_points on both sides: it hangs.
    teacher = build(region_size=50)
    feed(teacher, np.full((2000, 2), 0.5), np.linspace(0, 1, 2000), batch=100)
    assert teacher.snapshot()["regions"] == 1
    assert SQUARE.contains(teacher.sample(50)).all()


def test_a_leaf_without_a_cut_drops_its_oldest_quarter() -> None:
    teacher = build(region_size=40)
    feed(teacher, np.full((41, 2), 0.5), np.arange(41) / 41)
    tasks, returns = teacher.tree.attempts(0)
    assert len(tasks) == 31
    assert returns[0] == 10 / 41


def test_every_region_stays_bounded() -> None:
    # In the reference a leaf that once dropped attempts grows without bound when it is a parent.
    rng = np.random.default_rng(4)
    teacher = build(region_size=20, max_regions=9)
    feed(teacher, np.full((100, 2), 0.5), rng.random(100))
    sizes = []
    for _ in range(4):
        feed(teacher, rng.random((1000, 2)), rng.random(1000), batch=50)
        state = teacher.state_dict()["own"]["tree"]
        assert state["size"].max() <= 21
        assert len(state["size"]) == 9
        sizes.append(len(state["returns"]))
    assert max(sizes) <= 9 * 21


def test_children_begin_with_the_progress_of_the_cut_that_was_chosen() -> None:
    for seed in range(5):
        teacher = build(seed=seed, region_size=30, min_points=5)
        rng = np.random.default_rng(seed)
        feed(teacher, rng.random((31, 2)), rng.random(31))
        assert len(teacher.tree) == 3
        for child in (1, 2):
            _, returns = teacher.tree.attempts(child)
            half = len(returns) // 2
            alp = abs(returns[: len(returns) - half].mean() - returns[-half:].mean())
            assert teacher.snapshot()["alp"][child] == pytest.approx(alp, abs=1e-12)


def test_mutation_noise_is_a_share_of_each_range() -> None:
    teacher = build(
        BoxTasks([0, 0], [3, 0.2]), mutate_ratio=1.0, random_ratio=0.0, mutation_noise=0.05
    )
    feed(teacher, np.array([[1.5, 0.1]]), np.zeros(1))
    np.testing.assert_allclose(teacher.sample(4000).std(axis=0), [0.15, 0.01], rtol=0.06)


def test_batches_of_any_size_equal_single_updates() -> None:
    rng = np.random.default_rng(5)
    tasks, returns = rng.random((600, 2)), rng.random(600)
    states = []
    for batch in (1, 7, 600):
        teacher = build(region_size=50)
        feed(teacher, tasks, returns, batch)
        states.append((teacher.state_dict(), teacher.sample(5)))
    for state, drawn in states[1:]:
        np.testing.assert_equal(state["own"], states[0][0]["own"])
        np.testing.assert_array_equal(drawn, states[0][1])


def test_equal_returns_are_no_progress_at_all() -> None:
    teacher = build(region_size=40)
    feed(teacher, np.random.default_rng(6).random((500, 2)), np.full(500, 0.1), batch=25)
    assert (teacher.snapshot()["alp"] == 0.0).all()
    assert teacher.sample(500).std() > 0.2


def test_presets_and_defaults() -> None:
    paper = cast(RIAC, make_teacher("riac:corl2019", SQUARE))
    default = build()
    for name in ("region_size", "split_attempts", "min_side", "mutate_ratio", "random_ratio"):
        assert getattr(paper, name) == getattr(default, name)
    assert paper.min_points == 10
    benchmark = cast(RIAC, make_teacher("riac:teachmyagent", SQUARE))
    assert (benchmark.region_size, benchmark.split_attempts) == (150, 75)
    assert (benchmark.min_points, benchmark.min_side) == (8, 0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"region_size": 1}, "region_size must be at least 2, got 1"),
        ({"alp_window": 1}, "alp_window must be at least 2"),
        ({"split_attempts": 0}, "split_attempts must be at least 1"),
        ({"min_points": 0}, "min_points must be at least 1"),
        ({"max_regions": 0}, "max_regions must be at least 1"),
        ({"min_side": 1.5}, "min_side must lie in"),
        ({"mutate_ratio": -0.1}, "mutate_ratio must lie in"),
        ({"random_ratio": 0.95}, "at most 1 together"),
        ({"discard": 0.0}, "discard must lie in"),
        ({"mutation_noise": -1.0}, "mutation_noise must be at least 0"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)


def test_teaches_the_toy_better_than_chance() -> None:
    finals = {
        name: [teach(CubeStudent(cubes=4), name, 1500, seed=1000 + i).final for i in range(2)]
        for name in ("riac", "random")
    }
    assert min(finals["riac"]) > 1.2 * max(finals["random"])
