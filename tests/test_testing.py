"""A test for the checkers: each planted fault is found, by the sentence that it breaks."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray

from currgym import BoxTasks, Curriculum, DiscreteTasks, Outcomes, Proposals, Teacher
from currgym.envs.base import Parameter, TaskEnv
from currgym.tasks import TaskSpace
from currgym.teaching import Batch, Reason
from currgym.testing import (
    TEACHER_CHECKS,
    CheckFailed,
    TeacherCase,
    check_env,
    check_teacher,
    env_case,
    standard_spaces,
    teacher_digest,
    teacher_spaces,
)

BOX = standard_spaces()["box"]
EXAMPLES = standard_spaces()["examples"]


class Good(Teacher):
    """Mostly near the best task of the latest hundred; asks for probes; plans nothing."""

    spaces = frozenset({"box"})
    needs = frozenset({"pvl"})
    privileges = frozenset({"target"})

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        size: float = 0.2,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        self.size = size
        self.tasks: NDArray[Any] = np.empty((0, space.unit_dim))
        self.returns: NDArray[Any] = np.empty(0)

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        drawn = rng.random((n, self.space.unit_dim))
        if len(self.returns):
            best = self.tasks[np.argmax(self.returns)]
            drawn = best + (drawn - 0.5) * self.size
        return drawn

    def _update(self, batch: Batch) -> None:
        self.tasks = np.concatenate([self.tasks, batch.tasks])[-100:]
        self.returns = np.concatenate([self.returns, batch.returns])[-100:]

    def _requests(self) -> Proposals | None:
        return Proposals(self.space.sample(2, np.random.default_rng(self.proposed)))

    def _state(self) -> dict[str, Any]:
        return {"tasks": self.tasks.copy(), "returns": self.returns.copy()}

    def _load(self, state: Any) -> None:
        self.tasks, self.returns = np.array(state["tasks"]), np.array(state["returns"])

    def snapshot(self) -> dict[str, Any]:
        return {"tasks": self.tasks, "returns": self.returns}


class Planner(Good):
    """The same over examples, in passes."""

    spaces = frozenset({"discrete"})

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        self.tasks: NDArray[Any] = np.empty(0, dtype=np.int64)

    def _plan(self, rng: np.random.Generator) -> NDArray[np.int64]:
        assert isinstance(self.space, DiscreteTasks)
        return rng.permutation(self.space.n)


def test_good_teachers_pass() -> None:
    check_teacher(Good, capacity=2000)
    check_teacher(Good, BOX, capacity=2000, parameters={"size": 0.1}, seeds=(3, 4))
    check_teacher(Planner, EXAMPLES, capacity=2000)
    check_teacher("random", BOX, fresh_process=True, capacity=2000)


# Each fault is one changed method of the good teacher.


def outside(self: Any, n: int = 1) -> Any:
    return np.full((n, 2), 7.0)


def singles(self: Any, n: int = 1) -> Any:
    return Good.sample(self, n).astype(np.float32)


def one_row(self: Any, n: int = 1) -> Any:
    return Good.sample(self, n)[:1]


def any_number(self: Any, n: int = 1) -> Any:
    return Good.sample(self, max(n, 1))


def with_global_numpy(self: Any, n: int, rng: Any) -> Any:
    return np.random.rand(n, self.space.unit_dim)  # noqa: NPY002 - the fault


def with_global_random(self: Any, n: int, rng: Any) -> Any:
    random.random()
    return Good._sample(self, n, rng)


def deaf_to_its_seed(self: Any, n: int, rng: Any) -> Any:
    return np.full((n, self.space.unit_dim), 0.5)


def with_a_clock(self: Any, n: int, rng: Any) -> Any:
    return np.random.default_rng().random((n, self.space.unit_dim))


def state_of_objects(self: Any) -> Any:
    return {"tasks": [Outcomes(0, 0.0)], "returns": self.returns}


def state_of_integers(self: Any) -> Any:
    return {1: 2}


def state_that_lives(self: Any) -> Any:
    return {"tasks": LIVING, "returns": self.returns.copy()}


LIVING = np.zeros(3)


def update_that_lives(self: Any, batch: Any) -> None:
    LIVING[0] += 1
    Good._update(self, batch)


def load_nothing(self: Any, state: Any) -> None:
    pass


def load_by_reference(self: Any, state: Any) -> None:
    self.tasks, self.returns = state["tasks"], state["returns"]


def update_in_place(self: Any, batch: Any) -> None:
    if len(self.returns) >= 8:
        self.tasks[:-1] = self.tasks[1:]
        self.returns[:-1] = self.returns[1:]
        self.tasks[-1], self.returns[-1] = batch.tasks[-1], batch.returns[-1]
        return
    self.tasks = np.concatenate([self.tasks, batch.tasks])[-8:]
    self.returns = np.concatenate([self.returns, batch.returns])[-8:]


def preview_for_real(self: Any, n: int, rng: Any) -> Any:
    return self.sample(n)


def preview_with_own(self: Any, n: int, rng: Any) -> Any:
    return copy.deepcopy(self)._draw(n, np.random.default_rng())


def snapshot_that_draws(self: Any) -> Any:
    return {"drawn": self.rng.random(3)}


def snapshot_too_large(self: Any) -> Any:
    return {"everything": np.zeros(20_000)}


def snapshot_of_objects(self: Any) -> Any:
    return {"teacher": self}


def reason_at_any_time(self: Any, row: int, task: Any) -> Any:
    return Reason("what it draws", "it seemed a good idea")


def reason_that_is_a_novel(self: Any, row: int, task: Any) -> Any:
    return Reason(f"task {task}", 100 * "and so on, ")


def reason_for_anything(self: Any, row: int = 0) -> Any:
    return self._why(row, self.proposed)


def reason_that_draws(self: Any, row: int, task: Any) -> Any:
    return Reason("a number", f"drawn: {self.rng.random()}")


def negative_weights(self: Any, tasks: Any, losses: Any = None) -> Any:
    return -np.ones(len(tasks))


def update_strictly(self: Any, batch: Any) -> None:
    if batch.ids is not None and (batch.ids < 0).any():
        raise KeyError("never proposed")
    Good._update(self, batch)


def update_by_variance(self: Any, batch: Any) -> None:
    if len(batch) > 1 and batch.raw_returns.std() == 0:
        raise ZeroDivisionError("all returns alike")
    Good._update(self, batch)


def update_and_sort(self: Any, outcomes: Any) -> None:
    if outcomes.returns is not None:
        outcomes.returns.sort()
    Good.update(self, outcomes)


def update_and_keep(self: Any, outcomes: Any) -> None:
    Good.update(self, outcomes)
    if len(outcomes):
        self.tasks, self.returns = self.space.to_unit(outcomes.tasks), outcomes.returns


def forgiving_update(self: Any, outcomes: Any) -> None:
    if outcomes.has("pvl"):
        Good.update(self, outcomes)


def unbounded_update(self: Any, batch: Any) -> None:
    self.tasks = np.concatenate([self.tasks, batch.tasks])
    self.returns = np.concatenate([self.returns, batch.returns])


def ever_slower_update(self: Any, batch: Any) -> None:
    for _ in range(self.seen // 2):
        len(batch)
    Good._update(self, batch)


def shared_memory_update(self: Any, batch: Any) -> None:
    SHARED.append(float(batch.returns[0]))
    self.tasks, self.returns = batch.tasks.copy(), batch.returns.copy()
    self.size = 0.1 + SHARED[-2:][0] / 10


SHARED: list[float] = [0.0]


def requests_outside(self: Any) -> Any:
    return Proposals(np.full((2, 2), -1.0))


def quiet_repr(self: Any) -> str:
    return "a teacher"


def forgetful_init(
    self: Any, space: Any, *, seed: Any = None, return_range: Any = None, size: Any = 1
) -> None:
    Good.__init__(self, space, seed=seed, return_range=return_range)
    del self.size


def needy_init(self: Any, space: Any, *, seed: Any = None, return_range: Any = None) -> None:
    raise ValueError("pass demonstrations=")


FAULTS: list[tuple[str, Any, str]] = [
    ("sample", outside, "always inside the space: got"),
    ("sample", singles, "as the space writes them: got float32"),
    ("sample", one_row, "n tasks are n rows"),
    ("sample", any_number, "below 1 raises ValueError"),
    ("_sample", with_global_numpy, "global random state of numpy|same seed"),
    ("_sample", with_global_random, "global random state of random is left alone"),
    ("_sample", deaf_to_its_seed, "another seed gives another stream"),
    ("_sample", with_a_clock, "the same seed gives the same stream"),
    ("_state", state_of_objects, r"plain arrays and numbers: state.own.tasks\[0\]"),
    ("_state", state_of_integers, "keys of a state are strings"),
    ("_load", load_nothing, "a loaded state is saved as it was"),
    ("preview", preview_for_real, "a preview depends on the given generator only"),
    ("preview", preview_with_own, "a preview depends on the given generator only"),
    ("snapshot", snapshot_that_draws, "leave no trace"),
    ("snapshot", snapshot_too_large, "100 kB at most"),
    ("snapshot", snapshot_of_objects, "plain arrays and numbers: snapshot.teacher"),
    ("_why", reason_at_any_time, "a reason has facts of its proposal: always"),
    ("_why", reason_that_is_a_novel, "a reason is one or two sentences"),
    ("_why", reason_that_draws, "leave no trace"),
    ("why", reason_for_anything, r"why\(\) raises ValueError where no proposal is"),
    ("weights", negative_weights, "weights are one number from 0 up"),
    ("update", update_and_sort, "caller's arrays are not changed"),
    ("update", update_and_keep, "shares no array with its caller"),
    ("update", forgiving_update, "column that is needed is refused by name"),
    ("_update", unbounded_update, "memory is bounded"),
    ("_update", ever_slower_update, "cost does not grow with history"),
    (
        "_update",
        shared_memory_update,
        "same seed gives the same stream|do not disturb|goes on from a saved",
    ),
    ("_requests", requests_outside, "always inside the space"),
    ("__repr__", quiet_repr, "repr names the class"),
    ("__init__", forgetful_init, "kept as an attribute of the same name: no 'size'"),
    ("__init__", needy_init, "can be built from a space alone: pass demonstrations="),
    ("privileges", frozenset({"oracle"}), "subset of the known ones"),
    ("needs", {"pvl"}, "needs is a frozenset"),
]


@pytest.mark.parametrize(
    ("method", "fault", "sentence"), FAULTS, ids=[getattr(f, "__name__", m) for m, f, _ in FAULTS]
)
def test_faults_of_teachers_are_found(method: str, fault: Any, sentence: str) -> None:
    faulty = type("Faulty", (Good,), {method: fault})
    with pytest.raises(CheckFailed, match=sentence):
        check_teacher(faulty, BOX, capacity=2000)


def test_faults_of_states_are_found() -> None:
    living = type("Living", (Good,), {"_state": state_that_lives, "_update": update_that_lives})
    with pytest.raises(CheckFailed, match="handed out does not change"):
        check_teacher(living, BOX)
    members = {"_load": load_by_reference, "_update": update_in_place}
    with pytest.raises(CheckFailed, match=r"saved as it was|a state loads twice"):
        check_teacher(type("ByReference", (Good,), members), BOX)


@pytest.mark.parametrize("fault", [update_strictly, update_by_variance])
def test_intolerant_teachers_are_found(fault: Any) -> None:
    with pytest.raises((KeyError, ZeroDivisionError)):
        check_teacher(type("Faulty", (Good,), {"_update": fault}), BOX)


def test_memory_outside_the_log_is_found() -> None:
    draws = np.random.default_rng(0)

    def sample(self: Any, n: int, rng: Any) -> Any:
        self.tasks = draws.random((1, self.space.unit_dim))
        return rng.random((n, self.space.unit_dim))

    case = TeacherCase(type("Faulty", (Good,), {"_sample": sample}), BOX)
    with pytest.raises(CheckFailed, match="the log of a run rebuilds the teacher"):
        TEACHER_CHECKS["is_rebuilt_from_its_log"](case)


def test_teachers_that_look_past_the_order_are_found() -> None:
    def settle(self: Any, *arguments: Any, **columns: Any) -> None:  # unordered after all
        self.ordered = False
        SETTLE(self, *arguments, **columns)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Curriculum, "settle", settle)
        with pytest.raises(CheckFailed, match="short attempts that report first"):
            TEACHER_CHECKS["is_not_led_by_short_attempts"](TeacherCase(Good, BOX))
    TEACHER_CHECKS["is_not_led_by_short_attempts"](TeacherCase(Good, BOX))


SETTLE = Curriculum.settle


def test_faults_of_plans_are_found() -> None:
    def plan(self: Any) -> Any:
        return np.arange(self.space.n)

    def uncounted(self: Any) -> Any:
        return self.rng.permutation(self.space.n)

    def floats(self: Any) -> Any:
        return Planner.plan(self).astype(float)

    with pytest.raises(CheckFailed, match="cuts from the running plan"):
        check_teacher(type("Faulty", (Planner,), {"plan": plan}), EXAMPLES)
    with pytest.raises(CheckFailed, match="a plan counts as proposals"):
        check_teacher(type("Faulty", (Planner,), {"plan": uncounted}), EXAMPLES)
    with pytest.raises(CheckFailed, match="a plan is int64 indices"):
        check_teacher(type("Faulty", (Planner,), {"plan": floats}), EXAMPLES)
    with pytest.raises(CheckFailed, match="raises ValueError where the space is not discrete"):
        check_teacher(type("Faulty", (Good,), {"plan": plan_anywhere}), BOX)


def plan_anywhere(self: Any) -> Any:
    return np.arange(3)


class Unrepeatable(Good):
    """Differs between processes, never within one."""

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        return (Good._sample(self, n, rng) + OFFSET) % 1.0


OFFSET = np.random.default_rng().random()


def test_differences_between_processes_are_found() -> None:
    # Or it cannot be imported there, which depends on where the suite runs.
    with pytest.raises(CheckFailed, match="a fresh process"):
        check_teacher(Unrepeatable, BOX, fresh_process=True, capacity=2000)

    class Local(Good):
        pass

    with pytest.raises(ValueError, match="cannot be imported by name"):
        check_teacher(Local, BOX, fresh_process=True, capacity=2000)


def test_digests_tell_streams_apart() -> None:
    assert teacher_digest("random") == teacher_digest("random", BOX)
    assert teacher_digest("random") != teacher_digest("random", seed=1)
    assert teacher_digest("random") != teacher_digest("random", "line")


def test_spaces_follow_what_a_teacher_declares() -> None:
    assert {"box", "mixed", "twenty", "constant", "examples", "single"} <= set(teacher_spaces(Good))
    assert "unordered" not in teacher_spaces(Good)
    assert set(teacher_spaces(Planner)) == {"examples", "unordered", "single"}
    levels = type("Levels", (Good,), {"spaces": frozenset({"levels"})})
    with pytest.raises(ValueError, match="pass space="):
        check_teacher(levels)
    with pytest.raises(ValueError, match="did you mean 'random'"):
        check_teacher("randm")


# Environments ------------------------------------------------------------------------------------


class Ball(TaskEnv):
    """A ball is pushed along a line, against friction, to a goal."""

    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("friction", 0.0, 0.9, 0.1, varies=True),
        Parameter("goal", 1.0, 3.0, 2.0, varies=True),
    )
    return_range = (0.0, 10.0)
    mastery = 5.0
    memory = 0.0

    def __init__(self, tasks: Any = None, observe_task: bool = False) -> None:
        super().__init__(tasks=tasks, observe_task=observe_task)
        self.set_spaces(
            gymnasium.spaces.Box(-100.0, 100.0, (2,), np.float32),
            gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32),
        )
        self.constants = {"friction": 0.1, "goal": 2.0}
        self.position = self.speed = 0.0
        self.steps = 0

    def _begin(self, values: dict[str, float]) -> tuple[Any, dict[str, Any]]:
        self.constants = values
        self.position, self.speed = self.np_random.uniform(-0.1, 0.1, 2)
        self.steps = 0
        return self._look(), {}

    def _look(self) -> Any:
        gap = self.constants["goal"] - self.position
        return np.array([gap, self.speed], dtype=np.float32)

    def _advance(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.speed = (1 - self.constants["friction"]) * self.speed + 0.1 * float(action[0])
        self.position += self.speed
        self.steps += 1
        arrived = self.position > self.constants["goal"]
        return self._look(), float(arrived), bool(arrived), self.steps >= 40, {}


def test_good_environments_pass() -> None:
    check_env(Ball)
    check_env("currgym/CartPole-v0", tasks={"gravity": (5.0, 15.0)})
    check_env("currgym/CartPole-v0", observe_task=True)
    env = gymnasium.make("currgym/Pendulum-v0")
    check_env(env)
    env.close()
    with pytest.raises(ValueError, match="pass an id or a function"):
        check_env(Ball())


def no_task(self: Any, *, seed: Any = None, options: Any = None) -> Any:
    observation, info = TaskEnv.reset(self, seed=seed, options=options)
    del info["task"]
    return observation, info


def default_task_always(self: Any, *, seed: Any = None, options: Any = None) -> Any:
    observation, info = TaskEnv.reset(self, seed=seed, options=options)
    info["task"] = self.default_task.copy()
    return observation, info


def forgets_its_task(self: Any, *, seed: Any = None, options: Any = None) -> Any:
    options = {"task": self.default_task} if not options and self.queued is None else options
    return TaskEnv.reset(self, seed=seed, options=options)


def changes_the_task(self: Any, *, seed: Any = None, options: Any = None) -> Any:
    result = TaskEnv.reset(self, seed=seed, options=options)
    if options and isinstance(options.get("task"), np.ndarray):
        SEEN_TASKS.append(options["task"])
    return result


SEEN_TASKS: list[Any] = []


def scribbling_step(self: Any, action: Any) -> Any:
    if SEEN_TASKS:
        SEEN_TASKS[-1] += 0.01
    return TaskEnv.step(self, action)


def remembering_begin(self: Any, values: Any) -> Any:
    result = Ball._begin(self, values)
    self.memory += 0.01
    self.speed += self.memory
    return result


def unseeded_begin(self: Any, values: Any) -> Any:
    Ball._begin(self, values)
    self.speed = float(np.random.default_rng().random())
    return self._look(), {}


def global_begin(self: Any, values: Any) -> Any:
    random.random()
    return Ball._begin(self, values)


def dead_friction(self: Any, values: Any) -> Any:
    return Ball._begin(self, {**values, "friction": 0.1})


def stuck_after_an_error(self: Any, *, seed: Any = None, options: Any = None) -> Any:
    try:
        return TaskEnv.reset(self, seed=seed, options=options)
    except ValueError:
        self.memory = 1.0
        raise


def begin_after_an_error(self: Any, values: Any) -> Any:
    Ball._begin(self, values)
    self.speed += self.memory
    return self._look(), {}


def vague_error(self: Any, *, seed: Any = None, options: Any = None) -> Any:
    try:
        return TaskEnv.reset(self, seed=seed, options=options)
    except ValueError as error:
        raise ValueError("bad task") from error


def clipping_reset(self: Any, *, seed: Any = None, options: Any = None) -> Any:
    task = (options or {}).get("task")
    if isinstance(task, np.ndarray):
        task = np.nan_to_num(np.clip(task, self.task_space.low, self.task_space.high))
        options = {"task": task}
    return TaskEnv.reset(self, seed=seed, options=options)


def deaf_to_the_queue(self: Any, *, seed: Any = None, options: Any = None) -> Any:
    self.queued = None
    return TaskEnv.reset(self, seed=seed, options=options)


def queue_first(self: Any, *, seed: Any = None, options: Any = None) -> Any:
    if self.queued is not None:
        return TaskEnv.reset(self)
    return TaskEnv.reset(self, seed=seed, options=options)


def queue_forever(self: Any, *, seed: Any = None, options: Any = None) -> Any:
    queued = self.queued
    result = TaskEnv.reset(self, seed=seed, options=options)
    self.queued = queued if options is None else None
    return result


def silent_step(self: Any, action: Any) -> Any:
    observation, reward, terminated, truncated, info = TaskEnv.step(self, action)
    del info["success"]
    return observation, reward, terminated, truncated, info


def grading_step(self: Any, action: Any) -> Any:
    observation, reward, terminated, truncated, info = TaskEnv.step(self, action)
    return observation, reward, terminated, truncated, {**info, "success": 7.5}


def endless_advance(self: Any, action: Any) -> Any:
    observation, reward, _, _, info = Ball._advance(self, np.zeros(1))
    return observation, reward, False, False, info


def natural_observation(self: Any, *, seed: Any = None, options: Any = None) -> Any:
    observation, info = TaskEnv.reset(self, seed=seed, options=options)
    if self.observe_task:
        observation[-2:] = info["task"]
    return observation, info


def exploding_look(self: Any) -> Any:
    return np.array([1e3 * self.constants["goal"], 0.0], dtype=np.float32)


ENV_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"reset": no_task}, r'info\["task"\] is there|KeyError'),
    ({"reset": default_task_always}, r'info\["task"\]: the task asked for'),
    ({"reset": forgets_its_task}, "a reset without a task repeats it"),
    ({"reset": changes_the_task, "step": scribbling_step}, "caller's task is not changed"),
    ({"_begin": remembering_begin}, "history leaves no trace|check_env passes: Deterministic"),
    ({"_begin": unseeded_begin}, "same seed, task and actions|check_env passes"),
    ({"_begin": global_begin}, "global random state of random"),
    ({"_begin": dead_friction}, "a tenth of the range of 'friction' changes nothing"),
    ({"reset": stuck_after_an_error, "_begin": begin_after_an_error}, "stays usable"),
    ({"reset": vague_error}, "names dimension, value and bounds"),
    ({"reset": clipping_reset}, "a task outside the space raises ValueError"),
    ({"reset": deaf_to_the_queue}, "takes the queued task and seed"),
    ({"reset": queue_first}, "come before the queued ones"),
    ({"reset": queue_forever}, "taken once"),
    ({"step": silent_step}, r'info\["success"\] is there at the end'),
    ({"step": grading_step}, r"lies in \[0, 1\]"),
    ({"_advance": endless_advance}, "an episode ends"),
    ({"reset": natural_observation}, "observe_task appends"),
    ({"_look": exploding_look}, "observation space|check_env passes"),
    ({"return_range": (1.0, 0.0)}, "return_range is"),
    ({"mastery": property(lambda self: self._missing)}, "has 'mastery'"),
    ({"test_sets": {"far": np.full((2, 2), 9.0)}}, "test sets lie inside the space: far"),
]


@pytest.mark.parametrize(
    ("members", "sentence"),
    ENV_FAULTS,
    ids=[getattr([*m.values()][0], "__name__", [*m][0]) for m, _ in ENV_FAULTS],  # noqa: RUF015
)
def test_faults_of_environments_are_found(members: dict[str, Any], sentence: str) -> None:
    faulty: Callable[..., Any] = type("Faulty", (Ball,), members)
    with pytest.raises(CheckFailed, match=sentence):
        check_env(faulty)


def test_warnings_of_gymnasium_are_found() -> None:
    def reset(self: Any, *, seed: Any = None, options: Any = None) -> Any:
        gymnasium.logger.warn("something is odd")
        return TaskEnv.reset(self, seed=seed, options=options)

    with pytest.raises(CheckFailed, match=r"does not warn: .*something is odd"):
        check_env(type("Faulty", (Ball,), {"reset": reset}))


def test_whole_numbers_move_by_one() -> None:
    # A tenth of three sizes is less than one; the next size must do.
    class Sized(Ball):
        parameters = (*Ball.parameters, Parameter("size", 1, 3, 1, varies=True, kind="integer"))

        def _look(self) -> Any:
            return super()._look() * np.float32(self.constants.get("size", 1.0))

    check_env(Sized)
    assert isinstance(env_case(Sized).make().get_wrapper_attr("task_space"), BoxTasks)
