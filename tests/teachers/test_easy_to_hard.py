"""Easy to hard, its pacing functions, and the order of difficulty over a box."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from currgym import BoxTasks, DiscreteTasks, make_teacher
from currgym.envs.grid_maze import MazeTasks
from currgym.teachers._difficulty import DifficultyOrder, UniformSum, spread_points
from currgym.teachers._pacing import PACINGS, Pacing

TIMES = np.arange(0, 131)
HORIZON = 100


def closed_form(name: str, t: int, s: float, p: float, k: int) -> float:
    u = min(t / HORIZON, 1.0)
    if name == "linear":
        return s + (1 - s) * u
    if name == "root":
        return math.pow(s**p + (1 - s**p) * u, 1 / p)
    if name == "geometric":
        return math.exp(math.log(s) * (1 - u))
    if name == "exponential":
        return s + (1 - s) * (math.exp(10 * u) - 1) / (math.exp(10) - 1)
    if name == "logarithmic":
        grown = 1 + 0.1 * math.log(u + math.exp(-10))
        return s + (1 - s) * min(max(grown, 0), 1)
    assert name == "step"
    return s + (1 - s) * (t * k // HORIZON if t < HORIZON else k) / k


@pytest.mark.parametrize("start", [0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("name", PACINGS)
def test_pacing_equals_its_closed_form(name: str, start: float) -> None:
    for power, steps in [(0.5, 1), (2.0, 5), (3.0, 7)]:
        found = Pacing(name, start, HORIZON, power, steps)(TIMES)
        expected = [closed_form(name, t, start, power, steps) for t in TIMES.tolist()]
        np.testing.assert_allclose(found, expected, atol=1e-9, rtol=0)
        assert (np.diff(found) >= 0).all()
        assert found[HORIZON:].tolist() == [1.0] * 31


def test_root_pacing_is_the_pth_root() -> None:
    # Public code takes the square root whatever p is.
    assert Pacing("root", 0.0, 8, power=3.0)([1]) == pytest.approx(0.5, abs=1e-9)


def test_trace_ten_passes_over_ten_examples() -> None:
    # Linear from 0.2 over 50 proposals: floor(10 (0.2 + 0.8 t / 50)) examples at time t.
    scores = np.array([0.9, 0.1, 0.5, 0.3, 0.8, 0.2, 0.7, 0.0, 0.6, 0.4])
    easiest = [7, 1, 5, 3, 9, 2, 8, 6, 4, 0]
    space = DiscreteTasks(10, difficulty=scores)
    teacher = make_teacher("easy-to-hard", space, seed=0, start=0.2, horizon=50)
    time = 0
    for count in (2, 2, 2, 2, 3, 3, 4, 4, 5, 6):
        assert math.floor(10 * (0.2 + 0.8 * time / 50) + 1e-9) == count
        assert sorted(teacher.plan().tolist()) == sorted(easiest[:count])
        time += count
    assert teacher.snapshot()["fraction"] == pytest.approx(0.2 + 0.8 * 33 / 50, abs=1e-9)


def test_trace_ten_tasks_of_a_box() -> None:
    # The share of the axis that is open, times a uniform number: height = 3 share u.
    space = BoxTasks([0, 0], [3, 6], names=["height", "gap"], difficulty="height")
    teacher = make_teacher("easy-to-hard", space, seed=5, start=0.1, horizon=20)
    rng = np.random.default_rng(5)
    for t in range(10):
        u = rng.random(2)
        expected = [3 * (0.1 + 0.9 * t / 20) * u[0], 6 * u[1]]
        np.testing.assert_allclose(teacher.sample(1)[0], expected, atol=1e-6)


def test_profile_the_hard_part_opens_late() -> None:
    space = BoxTasks([0, 0], [3, 6], names=["height", "gap"], difficulty="-height")
    teacher = make_teacher("easy-to-hard", space, seed=0, horizon=1000)
    heights = np.concatenate([teacher.sample(10)[:, 0] for _ in range(200)])
    assert heights[:400].min() > 3 * 0.5  # at time 400 the share is 0.46
    assert heights[1000:].min() < 0.03
    assert abs(heights[1000:].mean() - 1.5) < 0.1


def test_time_is_counted_in_proposals_not_in_calls() -> None:
    box = BoxTasks([0], [1], difficulty="x0")
    examples = DiscreteTasks(20, difficulty=np.arange(20))
    for space in (box, examples):
        one = make_teacher("easy-to-hard", space, seed=0, horizon=200)
        many = make_teacher("easy-to-hard", space, seed=0, horizon=200)
        singles = np.concatenate([one.sample(1) for _ in range(300)])
        assert np.array_equal(singles, many.sample(300))


def test_preview_holds_the_time() -> None:
    space = BoxTasks([0], [1], difficulty="x0")
    teacher = make_teacher("easy-to-hard", space, seed=0, horizon=1000)
    assert teacher.preview(1000, np.random.default_rng(0)).max() <= 0.1


def triangle(tasks: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(tasks.sum(axis=1))


@pytest.mark.parametrize("share", [0.005, 0.02, 0.125, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["weights", "function", "mixed"])
def test_the_open_share_of_a_box_is_the_fraction(kind: str, share: float) -> None:
    if kind == "mixed":
        space = BoxTasks(
            [1, 0, 0], [100, 4, 1], kinds=["log", "integer", "real"],
            difficulty={"x0": 0.02, "x1": 1.0},
        )  # fmt: skip
    else:
        space = BoxTasks([0, 0], [1, 1], difficulty=triangle if kind == "function" else WEIGHTS)
    teacher = make_teacher("easy-to-hard", space, seed=0, start=share, horizon=10**9)
    drawn = np.sort(space.difficulty_of(teacher.sample(20_000)))
    # Of the whole space the drawn difficulties must be the lowest share, evenly.
    rng = np.random.default_rng(1)
    everything = np.sort(space.difficulty_of(space.sample(400_000, rng)))
    lowest = everything[: int(share * len(everything))]
    for quantile in (0.1, 0.3, 0.5, 0.7, 0.9, 1.0):
        at = lowest[int(quantile * (len(lowest) - 1))]
        below = np.searchsorted(drawn, at, side="right") / len(drawn)
        wanted = np.searchsorted(lowest, at, side="right") / len(lowest)
        assert abs(below - wanted) < 0.02 + 0.0005 / share


WEIGHTS = {"x0": 1.0, "x1": 1.0}


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("widths", [(2.0,), (3.0, 1.0), (1.0, 0.1, 2.0), (1.0, 1.0, 1.0, 1.0)])
def test_weights_of_real_dimensions_have_a_closed_form(
    widths: tuple[float, ...], sign: float
) -> None:
    exact = UniformSum(-1.0, widths)
    for share in (1e-6, 0.01, 0.1, 0.5, 0.77, 0.999):
        assert exact.share(exact.quantile(share)) == pytest.approx(share, abs=1e-9)
    if widths == (3.0, 1.0):
        # By hand: t^2 / 6 up to t = 1, then (t - 1/2) / 3 up to t = 3.
        assert exact.quantile(0.1) + 1.0 == pytest.approx(math.sqrt(0.6), abs=1e-12)
        assert exact.quantile(0.5) + 1.0 == pytest.approx(2.0, abs=1e-12)
        assert exact.quantile(0.9) + 1.0 == pytest.approx(4.0 - math.sqrt(0.6), abs=1e-12)
    # No task beyond the threshold, and the share below it is what was asked for.
    names = [f"x{i}" for i in range(len(widths))]
    weights = {name: sign * width for name, width in zip(names, widths, strict=True)}
    space = BoxTasks(np.zeros(len(widths)), np.ones(len(widths)), names, difficulty=weights)
    order = DifficultyOrder(space)
    points = order.draw(np.full(4000, 0.3), np.random.default_rng(0))
    limit = UniformSum(min(0.0, sign * sum(widths)), widths).quantile(0.3)
    assert space.difficulty_of(points).max() <= limit
    assert np.quantile(space.difficulty_of(points), 0.999) > limit - 0.01 * sum(widths)


def test_stump_tracks_own_difficulty_opens_exactly() -> None:
    """height - 0.1 spacing over [0, 3] x [0, 6]: a sum of uniforms of widths 3 and 0.6."""
    difficulty = {"height": 1.0, "gap": -0.1}
    space = BoxTasks([0, 0], [3, 6], names=["height", "gap"], difficulty=difficulty)
    teacher = make_teacher("easy-to-hard", space, seed=0, start=0.1, horizon=10**15)
    # Of 3.6 in all, from -0.6: 10 % lie below t with (t - 0.3) / 3 = 0.1.
    hardest = space.difficulty_of(teacher.sample(5000)).max()
    assert -0.001 < hardest <= 1e-9


def test_ties_are_admitted_in_part() -> None:
    # Ten equally likely difficulties; a share of 0.25 is two and a half of them.
    space = BoxTasks([0, 0], [9, 1], kinds=["integer", "real"], difficulty={"x0": 1.0})
    teacher = make_teacher("easy-to-hard", space, seed=0, start=0.25, horizon=10**9)
    counts = np.bincount(teacher.sample(20_000)[:, 0].astype(int), minlength=10) / 20_000
    np.testing.assert_allclose(counts, [0.4, 0.4, 0.2, 0, 0, 0, 0, 0, 0, 0], atol=0.02)


def test_all_alike_is_uniform() -> None:
    space = BoxTasks([0, 0], [1, 1], difficulty=lambda tasks: np.zeros(len(tasks)))
    tasks = make_teacher("easy-to-hard", space, seed=0).sample(4000)
    assert np.abs(tasks.mean(axis=0) - 0.5).max() < 0.03


def test_a_share_of_nothing_gives_the_easiest() -> None:
    space = BoxTasks([0, 0], [1, 1], difficulty=WEIGHTS)
    order = DifficultyOrder(space)
    points = order.draw(np.zeros(5), np.random.default_rng(0))
    assert points.sum(axis=1).max() < 0.03
    assert copy.deepcopy(order) is order


def test_levels_open_by_their_distance() -> None:
    """The easiest fifth of the mazes that the space samples, then all of them."""
    space = MazeTasks(7)
    easy = make_teacher("easy-to-hard", space, seed=0, start=0.2, horizon=400)
    hard = make_teacher("hard-to-easy", space, seed=0, start=0.2, horizon=400)
    known = np.sort(space.difficulty_of(space.sample(2000, np.random.default_rng(1))))
    rng = np.random.default_rng(2)
    first = space.difficulty_of(easy.preview(300, rng))
    assert first.max() == known[400]
    for distance in (1, 2, 3):  # as often as the space samples them
        opened = known[known <= known[400]]
        assert abs(np.mean(first == distance) - np.mean(opened == distance)) < 0.1
    assert space.difficulty_of(hard.preview(300, rng)).min() == known[1600]
    for teacher in (easy, hard):
        early = space.difficulty_of(teacher.sample(400))
        late = space.difficulty_of(teacher.sample(600))
        assert abs(np.median(late) - np.median(known)) <= 1.0
        assert (early.mean() < known.mean()) == (teacher is easy)
        assert late.max() == 4 * space.cells  # what cannot be solved comes last, or first


def test_short_horizons_keep_their_time_over_many_examples() -> None:
    space = DiscreteTasks(100_000, difficulty=np.arange(100_000))
    teacher = make_teacher("easy-to-hard", space, seed=0, horizon=1000)
    tasks = teacher.sample(1000)
    assert tasks[:100].max() < 20_000
    assert tasks[900:].max() > 85_000


def test_spread_points_fill_evenly() -> None:
    for dim in (1, 2, 6):
        points = spread_points(4096, dim)
        assert points.min() >= 0
        assert points.max() < 1
        for column in points.T:
            assert np.abs(np.sort(column) - (np.arange(4096) + 0.5) / 4096).max() < 0.01


def test_refuses() -> None:
    with pytest.raises(ValueError, match="declares none: build the space with difficulty="):
        make_teacher("easy-to-hard", BoxTasks([0], [1]))
    with pytest.raises(ValueError, match="one a task"):
        make_teacher("easy-to-hard", DiscreteTasks(3))
    space = BoxTasks([0], [1], difficulty="x0")
    for name, value in [("start", -0.1), ("horizon", 0), ("power", 0.0), ("steps", 0)]:
        settings: dict[str, Any] = {name: value}
        with pytest.raises(ValueError, match=f"{name} must"):
            make_teacher("easy-to-hard", space, **settings)
    with pytest.raises(ValueError, match="pacing must be one of linear"):
        make_teacher("easy-to-hard", space, pacing="cubic")
    with pytest.raises(ValueError, match="must be above 0"):
        make_teacher("easy-to-hard", space, pacing="geometric", start=0.0)
