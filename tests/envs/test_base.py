"""What every environment with a task gets from its base class."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray

from currgym.envs.base import EpisodeSlot, Parameter, TaskEnv, TaskRange, box_tasks
from currgym.tasks import BoxTasks, DiscreteTasks

PARAMETERS = (
    Parameter("height", 0.0, 3.0, 1.0, varies=True, minimum=0.0, maximum=10.0),
    Parameter("count", 1, 5, 2, varies=True, kind="integer", minimum=0),
    Parameter("weight", 0.5, 2.0, 1.0, kind="log", minimum=1e-3),
    Parameter("ground", 0, 2, 0, kind=("grass", "sand", "ice"), minimum=0, maximum=2),
)


class Echo(TaskEnv):
    """Shows its parameters and one random number; pays the action."""

    parameters = PARAMETERS
    difficulty = "height"
    return_range = (0.0, 5.0)
    mastery = 2.0

    def __init__(
        self, *, tasks: dict[str, TaskRange] | None = None, observe_task: bool = False
    ) -> None:
        super().__init__(tasks=tasks, observe_task=observe_task)
        box = gymnasium.spaces.Box(-10.0, 10.0, (5,), dtype=np.float32)
        self.set_spaces(box, gymnasium.spaces.Discrete(3))

    def _begin(self, values: dict[str, float]) -> tuple[Any, dict[str, Any]]:
        self.shown = np.array([*values.values(), self.np_random.random()], dtype=np.float32)
        return self.shown, {}

    def _advance(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.shown, float(action), False, False, {}


def test_parameters_that_vary_make_the_space() -> None:
    space, default = box_tasks(PARAMETERS, None, "height")
    assert space.names == ("height", "count")
    assert space.kinds == ("real", "integer")
    np.testing.assert_array_equal(space.low, [0, 1])
    np.testing.assert_array_equal(space.high, [3, 5])
    np.testing.assert_array_equal(default, [1, 2])


def test_tasks_open_fix_and_move_parameters() -> None:
    space, default = box_tasks(
        PARAMETERS, {"height": (2, 8), "weight": (1, 4), "count": 3, "ground": "ice"}, "height"
    )
    assert space.names == ("height", "count", "weight", "ground")
    np.testing.assert_array_equal(space.low, [2, 3, 1, 2])
    np.testing.assert_array_equal(space.high, [8, 3, 4, 2])
    np.testing.assert_array_equal(default, [2, 3, 1, 2])
    assert space.unit_dim == 2


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({"hight": (0, 1)}, "'hight' is not a task parameter; there are .*'height'"),
        ({"height": (-1, 1)}, r"range of height must lie in \[0, 10\], got \(-1, 1\)"),
        ({"height": (0, 11)}, r"range of height must lie in \[0, 10\]"),
        ({"height": (2, 1)}, "range of height"),
        ({"height": (1, 2, 3)}, r"must be \(low, high\) or a number"),
        ({"ground": "mud"}, "ground has no label 'mud'"),
    ],
)
def test_wrong_tasks_are_named(tasks: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        box_tasks(PARAMETERS, tasks, None)


def test_difficulty_keeps_what_the_space_has() -> None:
    space, _ = box_tasks(PARAMETERS, None, {"height": 1.0, "weight": 2.0})
    assert space.difficulty == {"height": 1.0}
    assert box_tasks(PARAMETERS, None, {"weight": 2.0})[0].difficulty is None
    assert box_tasks(PARAMETERS, None, "-weight")[0].difficulty is None
    assert box_tasks(PARAMETERS, None, "-height")[0].difficulty == "-height"


def test_slot_takes_explicit_then_queued_then_the_last() -> None:
    space = BoxTasks([0, 0], [1, 1], names=["a", "b"])
    slot = EpisodeSlot(space, np.array([0.5, 0.5]))
    task, seed = slot.take(None, None)
    assert (task.tolist(), seed) == ([0.5, 0.5], None)
    slot.queued = (np.array([0.1, 0.2]), 7)
    task, seed = slot.take(None, None)
    assert (task.tolist(), seed) == ([0.1, 0.2], 7)
    assert slot.take(None, None)[0].tolist() == [0.1, 0.2]
    slot.queued = (np.array([0.3, 0.3]), 7)
    task, seed = slot.take(8, {"task": {"b": 0.9}})
    assert (task.tolist(), seed) == ([0.5, 0.9], 8)
    assert slot.queued is None


def test_slot_keeps_a_copy_and_plain_seeds() -> None:
    slot = EpisodeSlot(BoxTasks([0], [1]), np.array([0.5]))
    mine = np.array([0.2])
    slot.take(None, {"task": mine})
    mine[0] = 0.9
    assert slot.task.tolist() == [0.2]
    slot.queued = (mine, np.int64(3))  # type: ignore[assignment]
    assert type(slot.take(None, None)[1]) is int


def test_slot_of_numbered_tasks() -> None:
    slot = EpisodeSlot(DiscreteTasks(4), np.int64(0))
    assert slot.take(None, {"task": 3})[0] == 3
    assert slot.take(None, {"task": {"task": 2}})[0] == 2
    with pytest.raises(ValueError, match="only name of a task here is 'task'"):
        slot.take(None, {"task": {"level": 2}})
    with pytest.raises(ValueError, match=r"index 4 is not in \[0, 3\]"):
        slot.take(None, {"task": 4})
    assert slot.take(None, None)[0] == 2


def test_a_task_outside_names_itself_and_changes_nothing() -> None:
    env = Echo()
    env.reset(seed=0, options={"task": {"height": 2.0}})
    with pytest.raises(ValueError, match=r"height = 4 is not in \[0, 3\]"):
        env.reset(options={"task": [4, 1]})
    with pytest.raises(ValueError, match=r"count = 1\.5 must be a whole number"):
        env.reset(options={"task": [1, 1.5]})
    assert env.task.tolist() == [2, 2]
    _, info = env.reset()
    assert info["task"].tolist() == [2, 2]
    assert env.step(1)[1] == 1.0


def test_reset_without_a_task_repeats_it_with_a_new_seed() -> None:
    env = Echo()
    first, info = env.reset(seed=0, options={"task": [2, 4]})
    second, info = env.reset()
    assert info["task"].tolist() == [2, 4]
    np.testing.assert_array_equal(first[:4], second[:4])
    assert first[4] != second[4]


def test_names_left_out_take_the_default_not_the_last_task() -> None:
    env = Echo()
    env.reset(options={"task": [2, 4]})
    assert env.reset(options={"task": {"count": 5}})[1]["task"].tolist() == [1, 5]


def test_info_is_the_callers_own() -> None:
    env = Echo()
    _, info = env.reset(options={"task": [2, 4]})
    info["task"][:] = 0
    assert env.task.tolist() == [2, 4]


def test_success_is_a_return_strictly_above_mastery() -> None:
    env = Echo()
    env.reset(seed=0)
    found = [env.step(action)[4]["success"] for action in (0, 2, 1)]
    assert found == [False, False, True]
    assert all(type(s) is bool for s in found)
    env.reset()
    assert env.step(2)[4]["success"] is False


def test_observed_task_is_the_unit_cube() -> None:
    env = Echo(observe_task=True, tasks={"ground": "sand"})
    observation, _ = env.reset(seed=0, options={"task": [1.5, 1, 1]})
    assert observation.dtype == np.float32
    np.testing.assert_allclose(observation[5:], [0.5, 0.1])
    assert env.observation_space.contains(observation)
    np.testing.assert_array_equal(env.step(0)[0][5:], observation[5:])


def test_queue_reaches_through_wrappers() -> None:
    env = gymnasium.wrappers.TimeLimit(Echo(), 5)
    env.set_wrapper_attr("queued", (np.array([3.0, 5.0]), 11), force=False)
    first, info = env.reset()
    assert info["task"].tolist() == [3, 5]
    again, _ = Echo().reset(seed=11, options={"task": [3, 5]})
    np.testing.assert_array_equal(first, again)
    assert env.get_wrapper_attr("queued") is None


def test_test_sets_are_fixed_and_inside() -> None:
    def tasks(env: Echo) -> NDArray[np.float64]:
        return env.test_sets["uniform-50"]

    one = Echo()
    np.testing.assert_array_equal(tasks(one), tasks(Echo()))
    assert len(one.task_space.check(tasks(one))) == 50
