from typing import Any, cast

import numpy as np
import pytest

from currgym import BoxTasks, DiscreteTasks, Outcomes, make_teacher
from currgym.teachers._transport import cloud, match, squared_distances
from currgym.teachers.straight_line import StraightLine

SPACE = BoxTasks([0, 0], [4, 8])


def test_trace_worked_by_hand() -> None:
    # In the cube the start is (0, 1) and (1, 1), the target (.25, 0) and (.5, 0). Straight down
    # with a quarter of a side's drift costs .0625 + .25 + 2, crossing over .25 + .5625 + 2.
    teacher = make_teacher(
        "straight-line", SPACE, seed=0, initial=[[0, 8], [4, 8]], target=[[2, 0], [1, 0]],
        horizon=8, particles=2,
    )  # fmt: skip
    tasks = teacher.sample(12)
    left = [[0 + t / 8, 8 - t] for t in range(8)] + [[1, 0]] * 4
    right = [[4 - t / 4, 8 - t] for t in range(8)] + [[2, 0]] * 4
    on_left = np.abs(tasks - left).max(axis=1) < 1e-6
    on_right = np.abs(tasks - right).max(axis=1) < 1e-6
    assert (on_left | on_right).all()
    assert on_left[:8].any()
    assert on_right[:8].any()


def test_profile_moves_on_by_proposals_alone() -> None:
    teacher = make_teacher(
        "straight-line", SPACE, seed=0, initial=[[0, 8]], target=[[4, 0]], horizon=1000
    )
    for outcome in (0.0, 1.0):  # whatever the student does
        tasks = teacher.sample(250)
        teacher.update(Outcomes(tasks, np.full(250, outcome), successes=np.full(250, outcome)))
    np.testing.assert_allclose(teacher.sample(1), [[2.0, 4.0]])
    np.testing.assert_allclose(teacher.sample(250)[-1], [3.0, 2.0])


def test_many_at_once_are_the_same_as_one_by_one() -> None:
    together, single = (make_teacher("straight-line", SPACE, seed=2, horizon=40) for _ in range(2))
    np.testing.assert_array_equal(
        together.sample(60), np.concatenate([single.sample(1) for _ in range(60)])
    )


def test_ends_in_the_whole_target_not_in_its_particles() -> None:
    teacher = make_teacher("straight-line", SPACE, seed=0, horizon=10, particles=4)
    teacher.sample(10)
    late = teacher.sample(3000)
    assert len(np.unique(late, axis=0)) == 3000
    assert np.abs(late.mean(axis=0) / [4, 8] - 0.5).max() < 0.03
    given = make_teacher(
        "straight-line", SPACE, seed=0, horizon=1, particles=1, target=[[1, 1], [2, 2], [3, 3]]
    )
    given.sample(1)
    assert set(given.sample(300)[:, 0]) == {1.0, 2.0, 3.0}


def test_default_start() -> None:
    easy = make_teacher("straight-line", BoxTasks([0, 0], [4, 8], difficulty="-x1"), seed=0)
    early = easy.preview(500, np.random.default_rng(0))
    assert early[:, 1].min() >= 7.2
    assert np.ptp(early[:, 0]) > 3.5
    assert easy.privileges == {"difficulty"}
    plain = make_teacher("straight-line", SPACE, seed=0)
    early = plain.preview(500, np.random.default_rng(0)) / [4, 8]
    assert early.min() >= 0.45
    assert early.max() <= 0.55
    assert plain.privileges == frozenset()
    examples = make_teacher("straight-line", DiscreteTasks(50, difficulty=range(50)), seed=0)
    assert max(examples.preview(200, np.random.default_rng(0))) <= 5


def test_declares_what_it_was_told() -> None:
    teacher = make_teacher("straight-line", SPACE, initial=[[0, 0]], target=[[1, 1]])
    assert teacher.privileges == {"initial", "target"}


def test_preview_holds_the_time() -> None:
    teacher = make_teacher(
        "straight-line", SPACE, seed=0, initial=[[0, 8]], target=[[4, 0]], horizon=100
    )
    teacher.sample(50)
    np.testing.assert_allclose(
        teacher.preview(500, np.random.default_rng(1)), np.full((500, 2), [2.0, 4.0])
    )
    assert teacher.snapshot()["time"] == 0.5
    np.testing.assert_allclose(teacher.snapshot()["tasks"][:3], np.full((3, 2), [2.0, 4.0]))


def test_matching_is_the_cheapest() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((4, 3)), rng.random((6, 3))
    cost = ((a[:, None] - b[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(squared_distances(a, b), cost, atol=1e-12)
    chosen = match(a, b)
    assert len(set(chosen.tolist())) == 4
    import itertools

    least = min(cost[range(4), list(p)].sum() for p in itertools.permutations(range(6), 4))
    assert cost[range(4), chosen].sum() == pytest.approx(least, abs=1e-12)


def test_a_cloud_holds_given_points_equally_often() -> None:
    points = np.arange(3.0)[:, None]
    drawn = cloud(points, 8, 1, np.random.default_rng(0))
    counts = np.bincount(drawn[:, 0].astype(int))
    assert sorted(counts.tolist()) == [2, 3, 3]


def test_snapshot_is_small() -> None:
    wide = BoxTasks([0] * 20, [1] * 20)
    teacher = cast(StraightLine, make_teacher("straight-line", wide, seed=0, particles=500))
    assert teacher.snapshot()["tasks"].nbytes <= 40_000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"horizon": 0}, "horizon must be at least 1 proposal, got 0"),
        ({"particles": 0}, r"particles must lie in \[1, 2000\], got 0"),
        ({"initial": np.empty((0, 2))}, "initial must have at least one task"),
        ({"target": [[1.0, 9.0]]}, "x1 = 9"),
    ],
)
def test_refuses(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_teacher("straight-line", SPACE, **settings)
