"""Task spaces: properties that hold for every space, and the errors."""

from __future__ import annotations

import json
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from currgym.tasks import BoxTasks, Difficulty, DiscreteTasks, TaskSpace, space_from_config

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True)
FINITE = st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 3))


@st.composite
def dimensions(draw: st.DrawFn) -> tuple[float, float, Any]:
    """One dimension's (low, high, kind); a tenth are constants."""
    kind = draw(st.sampled_from(["real", "log", "integer", "labels"]))
    constant = draw(st.integers(0, 9)) == 0
    if kind == "real":
        low = draw(FINITE)
        return low, low if constant else low + draw(st.floats(1e-3, 1e6)), kind
    if kind == "log":
        low = draw(st.floats(1e-6, 1e3))
        return low, low if constant else low * draw(st.floats(1.01, 1e6)), kind
    if kind == "integer":
        low = float(draw(st.integers(-1000, 1000)))
        return low, low if constant else low + draw(st.integers(1, 500)), kind
    labels = tuple(f"label {i}" for i in range(draw(st.integers(2, 6))))
    first = draw(st.integers(0, len(labels) - 1))
    last = first if constant else draw(st.integers(first, len(labels) - 1))
    return float(first), float(last), labels


@st.composite
def boxes(draw: st.DrawFn) -> BoxTasks:
    rows = draw(st.lists(dimensions(), min_size=1, max_size=6))
    low, high, kinds = zip(*rows, strict=True)
    names = [f"d{i}" for i in range(len(rows))]
    difficulty = draw(st.sampled_from([None, "d0", "-d0", {"d0": 2.0}]))
    return BoxTasks(low, high, names, kinds, difficulty)


SEEDS = st.integers(0, 2**32 - 1)


@SETTINGS
@given(boxes(), SEEDS)
def test_tasks_come_back_from_the_cube_exactly(space: BoxTasks, seed: int) -> None:
    tasks = space.sample(50, np.random.default_rng(seed))
    assert tasks.dtype == np.float64
    assert tasks.shape == (50, space.dim)
    assert space.contains(tasks).all()
    unit = space.to_unit(tasks)
    assert unit.shape == (50, space.unit_dim)
    assert unit.min(initial=0.0) >= 0
    assert unit.max(initial=1.0) <= 1
    assert np.array_equal(space.from_unit(unit), tasks)
    ends = np.stack([space.low, space.high])
    assert np.array_equal(space.from_unit(space.to_unit(ends)), ends)


@SETTINGS
@given(boxes(), SEEDS)
def test_points_outside_the_cube_are_clipped(space: BoxTasks, seed: int) -> None:
    points = np.random.default_rng(seed).normal(0.5, 2.0, (50, space.unit_dim))
    tasks = space.from_unit(points)
    assert space.contains(tasks).all()
    assert np.array_equal(tasks, space.from_unit(np.clip(points, 0, 1)))
    assert np.array_equal(space.from_unit(np.zeros(space.unit_dim))[0], space.low)
    assert np.array_equal(space.from_unit(np.ones(space.unit_dim))[0], space.high)


@SETTINGS
@given(boxes(), SEEDS, st.floats(0.0, 3.0))
def test_edits_stay_inside(space: BoxTasks, seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    tasks = space.sample(30, rng)
    kept = tasks.copy()
    edited = space.edit(tasks, rng, size)
    assert space.contains(edited).all()
    assert np.array_equal(tasks, kept)
    if size == 0.0:
        assert np.array_equal(edited, tasks)


@SETTINGS
@given(boxes(), st.integers(1, 4))
def test_grids_are_regular_and_inside(space: BoxTasks, points: int) -> None:
    grid = space.grid(points)
    assert space.contains(grid).all()
    assert len(np.unique(grid, axis=0)) == len(grid)
    assert 1 <= len(grid) <= points**space.unit_dim
    if points > 1:
        assert (grid.min(axis=0) == space.low).all()
        assert (grid.max(axis=0) == space.high).all()


@SETTINGS
@given(boxes(), SEEDS)
def test_names_go_there_and_back(space: BoxTasks, seed: int) -> None:
    task, other = space.sample(2, np.random.default_rng(seed))
    named = space.as_dict(task)
    assert tuple(named) == space.names
    assert np.array_equal(space.from_dict(named, other), task)
    assert np.array_equal(space.from_dict({}, other), other)
    for name, kind in zip(space.names, space.kinds, strict=True):
        expected = str if isinstance(kind, tuple) else int if kind == "integer" else float
        assert type(named[name]) is expected


@SETTINGS
@given(boxes(), SEEDS)
def test_configs_go_there_and_back(space: BoxTasks, seed: int) -> None:
    again = space_from_config(json.loads(json.dumps(space.config())))
    assert isinstance(again, BoxTasks)
    assert repr(again) == repr(space)
    assert again.kinds == space.kinds
    tasks = space.sample(9, np.random.default_rng(seed))
    assert np.array_equal(again.to_unit(tasks), space.to_unit(tasks))
    assert np.array_equal(again.sample(9, np.random.default_rng(seed)), tasks)
    if space.difficulty is not None:
        assert np.array_equal(again.difficulty_of(tasks), space.difficulty_of(tasks))
    assert space.gym_space.contains(tasks[0])


@SETTINGS
@given(boxes(), SEEDS, st.sampled_from(["above", "below", "nan", "half"]))
def test_outside_is_outside(space: BoxTasks, seed: int, how: str) -> None:
    rng = np.random.default_rng(seed)
    tasks = space.sample(3, rng)
    i = int(rng.integers(space.dim))
    whole = isinstance(space.kinds[i], tuple) or space.kinds[i] == "integer"
    if how == "half" and not (whole and space.low[i] < space.high[i]):
        return
    wrong = {
        "above": space.high[i] + 1.0, "below": space.low[i] - 1.0, "nan": np.nan,
        "half": space.low[i] + 0.5,
    }[how]  # fmt: skip
    tasks[1, i] = wrong
    assert space.contains(tasks).tolist() == [True, False, True]
    with pytest.raises(ValueError, match=f"task is outside its space: d{i} = "):
        space.check(tasks)


@SETTINGS
@given(st.integers(1, 200), SEEDS, st.booleans())
def test_discrete_spaces(n: int, seed: int, ordered: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 5, n).astype(float) if ordered else None
    space = DiscreteTasks(n, difficulty=scores)
    tasks = space.sample(40, rng)
    assert tasks.dtype == np.int64
    assert space.contains(tasks).all()
    assert space.contains([-1, n]).tolist() == [False, False]
    assert space.contains(space.edit(tasks, rng)).all()
    grid = space.grid(7)
    assert len(set(grid.tolist())) == len(grid) == min(7, n)
    again = space_from_config(json.loads(json.dumps(space.config())))
    assert repr(again) == repr(space)
    if scores is None:
        assert space.unit_dim == 0
        with pytest.raises(ValueError, match="declare a difficulty"):
            space.to_unit(tasks)
        with pytest.raises(ValueError, match="declares no difficulty"):
            space.difficulty_of(tasks)
        return
    unit = space.to_unit(tasks)
    assert np.array_equal(space.from_unit(unit), tasks)
    # The cube is the rank: easier tasks lie to the left, each owns an equal slice.
    everything = np.arange(n)
    order = np.argsort(space.to_unit(everything)[:, 0])
    assert (np.diff(scores[order]) >= 0).all()
    slices = space.from_unit(((np.arange(4 * n) + 0.5) / (4 * n))[:, None])
    assert np.bincount(slices, minlength=n).tolist() == [4] * n


def test_whole_numbers_own_equal_slices() -> None:
    space = BoxTasks([3, 0], [7, 1], kinds=["integer", ("no", "yes")])
    ticks = (np.arange(1000) + 0.5) / 1000
    tasks = space.from_unit(np.stack([ticks, ticks], axis=1))
    assert np.bincount(tasks[:, 0].astype(int)).tolist() == [0, 0, 0] + [200] * 5
    assert np.bincount(tasks[:, 1].astype(int)).tolist() == [500, 500]
    np.testing.assert_allclose(space.to_unit([[5, 1]]), [[0.5, 0.75]], atol=1e-12)


def test_logarithmic_dimensions_are_uniform_in_the_logarithm() -> None:
    space = BoxTasks([1e-2], [1e2], kinds=["log"])
    np.testing.assert_allclose(space.from_unit([[0.25], [0.5]]), [[0.1], [1.0]], rtol=1e-12)


def test_constants_never_reach_the_cube() -> None:
    space = BoxTasks([0, 5, 1], [1, 5, 1], names=["a", "b", "c"])
    assert space.unit_dim == 1
    assert space.from_unit([0.5]).tolist() == [[0.5, 5.0, 1.0]]
    assert space.to_unit([[0.25, 5, 1]]).tolist() == [[0.25]]
    still = BoxTasks([5], [5])
    assert still.sample(3, np.random.default_rng(0)).tolist() == [[5.0]] * 3
    assert still.to_unit([[5.0]]).shape == (1, 0)
    assert still.grid(10).tolist() == [[5.0]]


def test_difficulty_forms() -> None:
    tasks = np.array([[1.0, 4.0], [2.0, 8.0]])
    forms: list[tuple[Difficulty, list[int]]] = [
        ("h", [1, 2]),
        ("-g", [-4, -8]),
        ({"h": 2.0, "g": -0.25}, [1, 2]),
        (lambda t: t[:, 0] * t[:, 1], [4, 16]),
    ]
    for difficulty, expected in forms:
        space = BoxTasks([0, 0], [10, 10], names=["h", "g"], difficulty=difficulty)
        assert space.difficulty_of(tasks).tolist() == expected
    by_function = DiscreteTasks(3, difficulty=lambda index: -np.asarray(index, dtype=float))
    assert by_function.from_unit([[0.0], [1.0]]).tolist() == [2, 0]
    with pytest.raises(ValueError, match="must map"):
        BoxTasks([0], [1], difficulty=lambda t: t).difficulty_of([[0.5]])
    with pytest.raises(ValueError, match="declares no difficulty"):
        BoxTasks([0], [1]).difficulty_of([[0.5]])


def test_configs_name_functions_and_need_trust() -> None:
    with pytest.raises(ValueError, match="cannot be imported by name"):
        BoxTasks([0], [1], difficulty=lambda t: t[:, 0]).config()
    config = {
        "type": "box", "low": [0], "high": [1], "names": ["x"], "kinds": ["real"],
        "difficulty": {"import": "numpy:ravel"},
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"imports 'numpy:ravel': pass trust"):
        space_from_config(config)
    space = space_from_config(config, trust=True)
    assert space.difficulty_of([[0.25]]).tolist() == [0.25]
    assert space.config()["difficulty"] == {"import": "numpy:ravel"}
    with pytest.raises(ValueError, match="unknown type"):
        space_from_config({"type": "torus"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": [0, 0], "high": [1]}, "vectors of one length"),
        ({"low": [0], "high": [np.inf]}, "bounds of 'x0' must be finite"),
        ({"low": [2], "high": [1]}, r"low of 'x0' must not exceed high, got \[2.0, 1.0\]"),
        ({"low": [0], "high": [1], "kinds": ["log"]}, "must be above 0"),
        ({"low": [0.5], "high": [1], "kinds": ["integer"]}, "must be whole"),
        ({"low": [0], "high": [2], "kinds": [("a", "b")]}, "indices of its 2 labels"),
        ({"low": [0], "high": [1], "kinds": ["angle"]}, "must be 'real', 'log'"),
        ({"low": [0], "high": [1], "kinds": ["real", "real"]}, "kinds must have 1"),
        ({"low": [0, 0], "high": [1, 1], "names": ["a", "a"]}, "2 different names"),
        ({"low": [0], "high": [1], "difficulty": "y"}, "difficulty names 'y'"),
        ({"low": [0], "high": [1], "difficulty": {"y": 1.0}}, "difficulty names 'y'"),
        ({"low": [0], "high": [1], "difficulty": [0.5]}, "must be a dimension's name"),
    ],
)
def test_boxes_refuse(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BoxTasks(**arguments)


def test_wrong_shapes_are_named() -> None:
    space = BoxTasks([0, 0], [1, 1])
    with pytest.raises(ValueError, match=r"shape \(n, 2\) for \('x0', 'x1'\), got \(1, 3\)"):
        space.contains([[1, 2, 3]])
    with pytest.raises(ValueError, match=r"shape \(n, 2\), got \(3, 3\)"):
        space.from_unit(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="finite numbers"):
        space.from_unit([[0.5, np.nan]])
    with pytest.raises(ValueError, match=r"3 axes has 1,030,301 rows, more than 1,000,000"):
        BoxTasks([0] * 3, [1] * 3).grid(101)
    with pytest.raises(ValueError, match="at least 1"):
        space.grid(0)
    with pytest.raises(ValueError, match="'y' is not a task parameter"):
        space.from_dict({"y": 1}, [0, 0])
    with pytest.raises(ValueError, match="colour has no label 'blue'"):
        BoxTasks([0], [1], ["colour"], [("red", "green")]).from_dict({"colour": "blue"}, [0])
    assert space.grid([2, 3]).shape == (6, 2)


def test_discrete_spaces_refuse() -> None:
    with pytest.raises(ValueError, match="n must be at least 1"):
        DiscreteTasks(0)
    with pytest.raises(ValueError, match="3 finite scores"):
        DiscreteTasks(3, difficulty=[1.0, np.nan, 2.0])
    with pytest.raises(ValueError, match="groups must have one row for each of 3"):
        DiscreteTasks(3, groups=[1, 2])
    with pytest.raises(ValueError, match="whole numbers"):
        DiscreteTasks(3).check([0.5])
    with pytest.raises(ValueError, match=r"index 3 is not in \[0, 2\]"):
        DiscreteTasks(3).check([0, 3])
    with pytest.raises(ValueError, match="at least 1"):
        DiscreteTasks(3).grid(0)
    space = DiscreteTasks(3, difficulty=[1, 2, 3], groups=["a", "b", "a"], features=np.eye(3))
    assert space.gym_space == gymnasium.spaces.Discrete(3)
    assert space.as_dict(2) == {"task": 2}
    again = space_from_config(json.loads(json.dumps(space.config())))
    assert isinstance(again, DiscreteTasks)
    assert np.array_equal(again.groups, ["a", "b", "a"])  # type: ignore[arg-type]
    assert again.features is None  # as large as the data: whoever has the tasks has them
    with pytest.raises(ValueError, match="finite numbers"):
        space.from_unit([[np.nan]])


class Mazes(TaskSpace):
    """Levels: 3 x 3 mazes with at least one open cell."""

    def sample(self, n: int, rng: np.random.Generator) -> Any:
        levels = rng.integers(0, 2, (n, 3, 3))
        levels[:, 0, 0] = 1
        return levels

    def contains(self, tasks: Any) -> Any:
        return np.asarray(tasks)[:, 0, 0] == 1

    def edit(self, tasks: Any, rng: np.random.Generator, size: float = 0.1) -> Any:
        return self.sample(len(tasks), rng)


def test_levels_need_three_methods() -> None:
    space = Mazes()
    levels = space.check(space.sample(4, np.random.default_rng(0)))
    assert space.unit_dim == 0
    assert list(space.as_dict(levels[0])) == ["task"]
    with pytest.raises(ValueError, match=r"\(row 0\) is outside"):
        space.check(1 - levels)
    with pytest.raises(ValueError, match="no unit cube"):
        space.to_unit(levels)
    with pytest.raises(ValueError, match="no unit cube"):
        space.from_unit([[0.5]])
    with pytest.raises(ValueError, match="no unit cube"):
        space.grid(3)
    with pytest.raises(ValueError, match="override config"):
        space.config()
    with pytest.raises(ValueError, match="override gym_space"):
        _ = space.gym_space
    with pytest.raises(ValueError, match="declares no difficulty"):
        space.difficulty_of(levels)


def test_edits_are_reflected_and_do_not_pile_up_on_the_faces() -> None:
    """Clipped steps would leave half of all edits of an extreme task where it was."""
    rng = np.random.default_rng(0)
    box = BoxTasks([0, 1], [3, 100], kinds=["real", "log"])
    corner = np.repeat([[0.0, 100.0]], 4000, axis=0)
    moved = box.to_unit(box.edit(corner, rng, size=0.1))
    # |N(0, 0.1)| from either face: median 0.0674, none left on it.
    assert np.median(moved[:, 0]) == pytest.approx(0.0674, abs=0.005)
    assert np.median(1.0 - moved[:, 1]) == pytest.approx(0.0674, abs=0.005)
    assert (moved[:, 0] > 0.0).all()
    examples = DiscreteTasks(1000, difficulty=np.arange(1000))
    ranks = examples.edit(np.zeros(4000, dtype=np.int64), rng, size=0.1)
    assert np.mean(ranks == 0) < 0.02
    assert np.median(ranks) == pytest.approx(67, abs=5)


class Boards(TaskSpace):
    """Levels as the contract has them: sample and edit are all there is."""

    def sample(self, n: int, rng: np.random.Generator) -> Any:
        return rng.integers(0, 2, (n, 4, 3)).astype(np.int8)

    def edit(self, tasks: Any, rng: np.random.Generator, size: float = 0.1) -> Any:
        return np.where(rng.random(np.shape(tasks)) < size, 1 - np.asarray(tasks), tasks)


def test_levels_override_sample_and_edit_alone() -> None:
    space = Boards()
    levels = space.sample(5, np.random.default_rng(0))
    assert space.check(levels).shape == (5, 4, 3)
    assert space.as_array(levels[0]).shape == (1, 4, 3)  # one level is one row, as elsewhere
    assert space.contains(levels[0]).tolist() == [True]
    assert space.contains(levels[:, :2]).tolist() == [False] * 5
    with pytest.raises(ValueError, match="is outside"):
        space.check(levels[:, :2])


def test_discrete_tasks_are_a_vector_of_whole_numbers() -> None:
    space = DiscreteTasks(5)
    assert space.check([1.0, 4.0]).tolist() == [1, 4]
    for bad in ([[1], [2]], [0.5], [np.nan], [np.inf]):
        with pytest.raises(ValueError, match=r"shape \(n,\)|whole numbers"):
            space.check(bad)


def test_equal_spaces_are_equal() -> None:
    """Gymnasium compares the specifications of environments, spaces in them included."""
    low, high = [0.0, 1.0], [2.0, 3.0]
    space = BoxTasks(low, high, names=["a", "b"], difficulty="a")
    assert space == BoxTasks(low, high, names=["a", "b"], difficulty="a")
    assert hash(space) == hash(BoxTasks(low, high, names=["a", "b"], difficulty="a"))
    for other in (
        BoxTasks([0.0, 1.5], high, names=["a", "b"], difficulty="a"),
        BoxTasks(low, high, names=["a", "c"], difficulty="a"),
        BoxTasks(low, high, names=["a", "b"], difficulty="-a"),
        BoxTasks([1.0, 1.0], high, names=["a", "b"], kinds=["log", "real"], difficulty="a"),
    ):
        assert space != other
    assert DiscreteTasks(3) == DiscreteTasks(3)
    assert DiscreteTasks(3) != DiscreteTasks(4)
    assert DiscreteTasks(3, [1, 2, 3]) != DiscreteTasks(3, [1, 2, 4])
    assert DiscreteTasks(3) != space
