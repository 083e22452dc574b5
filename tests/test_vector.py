"""The vector form: every autoreset mode over sync, async and native vector environments."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

import currgym
from currgym import BoxTasks, Curriculum, CurriculumVectorEnv, Outcomes, Proposals, make_teacher
from currgym.envs.base import Parameter, TaskEnv
from currgym.scores import episode_scores
from currgym.states import load_state, save_state
from currgym.teaching import Teacher
from currgym.vector import declared

MODES = list(AutoresetMode)
CARTPOLE = "currgym:currgym/CartPole-v0"
fork_is_fine = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


class Walk(TaskEnv):
    """Ends by itself after ``length`` steps, is cut off after 5; rewards and states are random."""

    parameters = (
        Parameter("length", 2, 8, 4, varies=True, kind="integer"),
        Parameter("gain", 0.5, 2.0, 1.0, varies=True),
    )
    difficulty = "length"
    return_range = (-10.0, 10.0)
    mastery = 1.0
    limit = 5

    def __init__(self) -> None:
        super().__init__()
        box = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.set_spaces(box, gymnasium.spaces.Box(-1, 1, (1,), np.float64))
        self.calls = 0

    def _begin(self, values: dict[str, float]) -> tuple[Any, dict[str, Any]]:
        self.now, self.length, self.gain = 0, values["length"], values["gain"]
        self.place = float(self.np_random.normal())
        return np.array([self.place, 0.0]), {}

    def _advance(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.calls += 1
        self.now += 1
        self.place += self.gain * float(action[0]) + float(self.np_random.normal())
        terminated = self.now >= self.length
        truncated = not terminated and self.now >= self.limit
        return np.array([self.place, self.now]), self.place, terminated, truncated, {}


class Notebook:
    """A teacher that writes down what it is asked and told."""

    needs: frozenset[str] = frozenset()

    def __init__(self, space: Any, seed: int = 0, needs: tuple[str, ...] = ()) -> None:
        self.space, self.rng = space, np.random.default_rng(seed)
        self.needs = frozenset(needs)
        self.events: list[tuple[str, int]] = []
        self.outcomes: list[Any] = []

    def sample(self, n: int = 1) -> Any:
        self.events.append(("sample", n))
        return self.space.sample(n, self.rng)

    def update(self, outcomes: Outcomes) -> None:
        self.events.append(("update", len(outcomes)))
        self.outcomes.append(outcomes)

    def state_dict(self) -> dict[str, Any]:
        return {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rng.bit_generator.state = state["rng"]


def walks(n: int, mode: AutoresetMode, make: Callable[[], Any] = Walk) -> SyncVectorEnv:
    return SyncVectorEnv([make] * n, autoreset_mode=mode)


def cartpoles(kind: str, mode: AutoresetMode, n: int = 3, context: str = "fork") -> Any:
    if kind == "native":
        return gymnasium.make_vec(
            CARTPOLE, n, vectorization_mode="vector_entry_point", autoreset_mode=mode
        )
    settings: dict[str, Any] = {"autoreset_mode": mode}
    if kind == "async":
        settings["context"] = context
    return gymnasium.make_vec(CARTPOLE, n, vectorization_mode=kind, vector_kwargs=settings)


def advance(vec: Any, actions: Any) -> tuple[Any, ...]:
    """Step, resetting finished sub-environments where that is the caller's business."""
    observations, rewards, terminated, truncated, infos = vec.step(actions)
    if vec.metadata["autoreset_mode"] is AutoresetMode.DISABLED:
        done = terminated | truncated
        if done.any():
            observations, _ = vec.reset(options={"reset_mask": done})
    return observations, rewards, terminated, truncated, infos


def steps_taken(bare: Any) -> int:
    return sum(env.calls for env in bare.envs)


def advance_idly(vec: Any, steps: int) -> None:
    for _ in range(steps):
        advance(vec, np.zeros((vec.num_envs, 1)))


def trace(vec: Any, steps: int, seed: int = 1) -> list[Any]:
    """Everything that can be seen of a run, step by step."""
    seen: list[Any] = [vec.reset()[0]]
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        *step, _ = advance(vec, rng.integers(2, size=vec.num_envs))
        seen.append([*step, *vec.tickets, vec.steps])
        if vec.finished is not None:
            seen.append([vec.finished.indices, vec.finished.outcomes.returns])
    return seen


def assert_same(a: Any, b: Any) -> None:
    if isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        np.testing.assert_array_equal(a, b)


# One run, whatever carries it ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def sync_traces() -> dict[AutoresetMode, list[Any]]:
    found = {}
    for mode in MODES:
        vec = CurriculumVectorEnv(cartpoles("sync", mode), "random", seed=5)
        found[mode] = trace(vec, 120)
        assert vec.ledger.attempts > 10
        vec.close()
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["native", "async"])
@fork_is_fine
def test_same_run_to_the_bit(
    kind: str, mode: AutoresetMode, sync_traces: dict[AutoresetMode, list[Any]]
) -> None:
    vec = CurriculumVectorEnv(cartpoles(kind, mode), "random", seed=5)
    assert_same(trace(vec, 120), sync_traces[mode])
    vec.close()


@pytest.mark.slow
@pytest.mark.parametrize("context", ["spawn", "forkserver"])
def test_start_methods(context: str, sync_traces: dict[AutoresetMode, list[Any]]) -> None:
    mode = AutoresetMode.NEXT_STEP
    vec = CurriculumVectorEnv(cartpoles("async", mode, context=context), "random", seed=5)
    assert_same(trace(vec, 120), sync_traces[mode])
    vec.close()


def test_other_seeds_give_other_runs(sync_traces: dict[AutoresetMode, list[Any]]) -> None:
    mode = AutoresetMode.NEXT_STEP
    vec = CurriculumVectorEnv(cartpoles("sync", mode), "random", seed=6)
    with pytest.raises(AssertionError):
        assert_same(trace(vec, 120), sync_traces[mode])


def test_a_seed_given_to_reset_is_not_used() -> None:
    vecs = [CurriculumVectorEnv(walks(2, MODES[0]), "random", seed=0) for _ in range(2)]
    assert_same(vecs[0].reset(seed=1)[0], vecs[1].reset(seed=2)[0])


# Counting -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_the_ledger_equals_an_outside_counter(mode: AutoresetMode) -> None:
    bare = walks(4, mode)
    teacher = Notebook(declared(bare).task_space)
    vec = CurriculumVectorEnv(bare, teacher)
    vec.reset()
    rng = np.random.default_rng(0)
    for t in range(80):
        advance(vec, rng.uniform(-1, 1, (4, 1)))
        if t % 23 == 22:
            vec.reset()
        if t % 17 == 16 and mode is not AutoresetMode.SAME_STEP:
            vec.reset(options={"reset_mask": np.array([True, False, True, False])})
        calls = steps_taken(bare)
        assert vec.ledger.environment_steps == vec.steps == calls
    settled = sum(int(o.lengths.sum()) for o in teacher.outcomes)
    assert vec.curriculum.ledger.steps == settled
    assert vec.ledger.cancelled > 0
    if mode is not AutoresetMode.NEXT_STEP:  # whose resets take steps of their own
        assert vec.steps == 80 * 4


@pytest.mark.parametrize("mode", MODES)
def test_outcomes_are_what_a_single_environment_gives(mode: AutoresetMode) -> None:
    teacher = Notebook(declared(Walk()).task_space)
    vec = CurriculumVectorEnv(walks(3, mode), teacher, gamma=0.9)
    vec.reset()
    rng = np.random.default_rng(0)
    actions: dict[int, list[Any]] = {}
    for _ in range(60):
        action = rng.uniform(-1, 1, (3, 1))
        for i, ticket in enumerate(vec.tickets.ids.tolist()):
            actions.setdefault(ticket, []).append(action[i])
        advance(vec, action)
    ends = set()
    for outcomes in teacher.outcomes:
        assert outcomes.returns is not None
        assert outcomes.ids is not None
        assert outcomes.seeds is not None
        for k, ticket in enumerate(outcomes.ids.tolist()):
            env = Walk()
            env.reset(seed=int(outcomes.seeds[k]), options={"task": outcomes.tasks[k]})
            rewards: list[float] = []
            terminated = truncated = False
            for action in actions[ticket]:
                assert not terminated
                assert not truncated
                _, reward, terminated, truncated, info = env.step(action)
                rewards.append(reward)
            expected = {
                "returns": sum(rewards),
                "lengths": len(rewards),
                "discounted": sum(r * 0.9**t for t, r in enumerate(rewards)),
                "terminated": terminated,
                "truncated": truncated,
                "successes": info["success"],
            }
            for name, value in expected.items():
                assert getattr(outcomes, name)[k] == pytest.approx(float(value)), name
            ends.add((terminated, truncated))
    assert ends == {(True, False), (False, True)}


def test_success_is_the_environments_own_where_it_says() -> None:
    class Judge(gymnasium.Wrapper[Any, Any, Any, Any]):
        def step(self, action: Any) -> Any:
            *step, info = self.env.step(action)
            return *step, {**info, "success": step[2]}  # exactly where it terminated

    for mode in MODES:
        teacher = Notebook(declared(Walk()).task_space)
        vec = CurriculumVectorEnv(walks(2, mode, lambda: Judge(Walk())), teacher)
        vec.reset()
        advance_idly(vec, 40)
        for outcomes in teacher.outcomes:
            np.testing.assert_array_equal(outcomes.successes, outcomes.terminated)


# Order of things ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_outcomes_come_first_and_together(mode: AutoresetMode) -> None:
    class Short(Walk):
        limit = 2

    space = BoxTasks([2, 0.5], [2, 2.0], ["length", "gain"], ["integer", "real"])
    teacher = Notebook(space)
    vec = CurriculumVectorEnv(walks(3, mode, Short), teacher)
    vec.reset()
    first = [("sample", 3)] * (2 if mode is AutoresetMode.SAME_STEP else 1)
    assert teacher.events == first
    advance_idly(vec, 6)
    assert teacher.events[len(first) :][:4] == [("update", 3), ("sample", 3)] * 2
    ids = [o.ids.tolist() for o in teacher.outcomes]
    assert ids[:2] == [[0, 1, 2], [3, 4, 5]]
    waiting = 3 if mode is AutoresetMode.SAME_STEP else 0
    running = int((vec.tickets.ids >= 0).sum())
    assert len(list(vec.curriculum.open)) == running + waiting


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_nothing_is_drawn_before_it_is_needed(mode: AutoresetMode) -> None:
    """What the teacher learns between two steps counts for the next task."""
    vec = CurriculumVectorEnv(walks(2, mode), Notebook(declared(Walk()).task_space))
    vec.reset()
    issued = 2
    for _ in range(30):
        *_, terminated, truncated, _ = vec.step(np.zeros((2, 1)))
        done = terminated | truncated
        if done.any():
            assert max(vec.curriculum.open, default=0) < issued
            np.testing.assert_array_equal(vec.tickets.ids < 0, done)
            issued += int(done.sum())
            if mode is AutoresetMode.DISABLED:
                vec.reset(options={"reset_mask": done})


# Resets -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_reset_in_mid_episode_cancels(mode: AutoresetMode) -> None:
    bare = walks(2, mode)
    teacher = Notebook(BoxTasks([5, 1], [8, 1], ["length", "gain"], ["integer", "real"]))
    vec = CurriculumVectorEnv(bare, teacher)
    vec.reset()
    advance_idly(vec, 3)
    mask = np.array([False, True])
    options = {"reset_mask": mask}
    before = vec.tickets.ids.copy()
    vec.reset(options=options)
    assert options["reset_mask"] is mask  # Gymnasium would have taken it out of the dict
    assert vec.tickets.ids[0] == before[0]
    assert vec.tickets.ids[1] not in before
    assert (vec.ledger.cancelled, vec.ledger.cancelled_steps) == (1, 3)
    vec.reset()
    assert (vec.ledger.cancelled, vec.ledger.cancelled_steps) == (3, 6)
    assert vec.ledger.environment_steps == 6
    assert teacher.outcomes == []
    advance_idly(vec, 12)
    assert len(teacher.outcomes) > 0


def test_a_finished_sub_environment_waits_for_its_reset() -> None:
    vec = CurriculumVectorEnv(walks(2, AutoresetMode.DISABLED), "random")
    vec.reset()
    done = np.zeros(2, dtype=np.bool_)
    while not done.any():
        *_, terminated, truncated, _ = vec.step(np.zeros((2, 1)))
        done = terminated | truncated
    with pytest.raises(RuntimeError, match="reset_mask"):
        vec.step(np.zeros((2, 1)))
    vec.reset(options={"reset_mask": done})
    vec.step(np.zeros((2, 1)))


def test_step_needs_a_reset() -> None:
    with pytest.raises(RuntimeError, match="reset"):
        CurriculumVectorEnv(walks(2, MODES[0]), "random").step(np.zeros((2, 1)))


@pytest.mark.parametrize("name", ["task", "seeds"])
def test_tasks_and_seeds_are_the_curriculums(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        CurriculumVectorEnv(walks(2, MODES[0]), "random").reset(options={name: [1, 2]})


@fork_is_fine
@pytest.mark.parametrize("shared_memory", [True, False])
def test_a_reset_of_finished_workers(shared_memory: bool) -> None:
    """Without shared memory Gymnasium's workers reset once more in the step after."""
    bare: Any = AsyncVectorEnv([Walk] * 2, shared_memory=shared_memory, context="fork")
    vec = CurriculumVectorEnv(bare, "random", seed=0)
    vec.reset()
    ends = 0
    for _ in range(60):
        *_, terminated, truncated, _ = vec.step(np.zeros((2, 1)))
        ends += bool((terminated | truncated).any())
        if ends % 3 == 2:
            vec.reset()
        assert vec.ledger.environment_steps == vec.steps == sum(bare.get_attr("calls"))
    assert vec.ledger.cancelled > 0
    vec.close()


# Environments that do not play along --------------------------------------------------------------


class Deaf(Walk):
    """Takes the queued task and plays the default one all the same."""

    silent = False

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        self.queued = None
        observation, info = super().reset(**kwargs)
        if self.silent:
            del info["task"]
        return observation, info


class Mute(Deaf):
    silent = True


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("env", "says"), [(Deaf, "plays task"), (Mute, "reports no")])
def test_a_task_that_does_not_arrive_raises(
    mode: AutoresetMode, env: type[Walk], says: str
) -> None:
    vec = CurriculumVectorEnv(walks(2, mode, env), "random", seed=0)
    with pytest.raises(
        RuntimeError, match=f"sub-environment 0 {says}.*ticket 0 asks for"
    ) as caught:
        vec.reset()
    assert str(vec.tickets.tasks[0]) in str(caught.value)
    with pytest.raises(RuntimeError, match="reset"):
        vec.step(np.zeros((2, 1)))


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_task_that_stops_arriving_raises(mode: AutoresetMode) -> None:
    class Tired(Walk):
        def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
            if self.calls:
                self.queued = None
            return super().reset(**kwargs)

    vec = CurriculumVectorEnv(walks(2, mode, Tired), "random", seed=0)
    vec.reset()
    with pytest.raises(RuntimeError, match="does not reach it"):
        advance_idly(vec, 20)


class Hookless(gymnasium.Env[Any, Any]):
    """Declares tasks, and has no way in for them."""

    task_space = BoxTasks([0], [1])
    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    action_space = gymnasium.spaces.Discrete(2)


@fork_is_fine
@pytest.mark.parametrize("kind", [SyncVectorEnv, AsyncVectorEnv])
def test_a_missing_hook_is_refused(kind: Callable[..., VectorEnv[Any, Any, Any]]) -> None:
    bare: Any = kind([Hookless] * 2)
    with pytest.raises(TypeError, match=r"no `queued` attribute.*ParameterizedEnv"):
        CurriculumVectorEnv(bare, "random")
    there = bare.call("has_wrapper_attr", "queued")
    assert there == (False, False)  # asking has not created it
    bare.close()


def test_an_environment_without_tasks_is_refused() -> None:
    for vec in (
        gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="sync"),
        gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="vector_entry_point"),
    ):
        with pytest.raises(TypeError, match=r"no task_space.*ParameterizedEnv"):
            CurriculumVectorEnv(vec, "random")


def test_a_second_curriculum_is_refused() -> None:
    vec = CurriculumVectorEnv(walks(2, MODES[0]), "random")
    with pytest.raises(TypeError, match="curriculum already"):
        CurriculumVectorEnv(vec, "random")


def test_rewards_normalised_below_are_refused() -> None:
    inside = walks(2, MODES[0], lambda: gymnasium.wrappers.NormalizeReward(Walk()))
    outside = gymnasium.wrappers.vector.NormalizeReward(walks(2, MODES[0]))
    for vec in (inside, outside):
        with pytest.raises(ValueError, match="raw returns"):
            CurriculumVectorEnv(vec, "random")


# Bad numbers --------------------------------------------------------------------------------------


class Faulty(Walk):
    """The fourth episode pays NaN in its second step."""

    episodes = 0

    def _begin(self, values: dict[str, float]) -> tuple[Any, dict[str, Any]]:
        self.episodes += 1
        return super()._begin(values)

    def _advance(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super()._advance(action)
        if self.episodes == 4 and self.now == 2:
            reward = float("nan")
        return observation, reward, terminated, truncated, info


@pytest.mark.parametrize("mode", MODES)
def test_nan_rewards_are_refused_and_nothing_is_lost(mode: AutoresetMode) -> None:
    bare = SyncVectorEnv([Walk, Faulty, Walk], autoreset_mode=mode)
    teacher = Notebook(declared(bare).task_space)
    vec = CurriculumVectorEnv(bare, teacher)
    vec.reset()
    with pytest.raises(ValueError, match="reward nan in sub-environment 1 at step 2") as caught:
        advance_idly(vec, 60)
    assert "length = " in str(caught.value)
    calls = steps_taken(bare)
    assert vec.ledger.environment_steps == calls
    assert vec.tickets.ids[1] >= 0
    told = len(teacher.outcomes)
    vec.state_dict()
    with pytest.raises(RuntimeError, match="reset"):
        vec.step(np.zeros((3, 1)))
    vec.reset()
    advance_idly(vec, 10)
    assert len(teacher.outcomes) > told
    assert vec.ledger.environment_steps == steps_taken(bare)


def test_outcomes_beside_a_nan_reach_the_teacher() -> None:
    class Two(Walk):
        limit = 2

    class Bad(Two):
        def _advance(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            observation, reward, terminated, truncated, info = super()._advance(action)
            reward = float("nan") if terminated or truncated else reward
            return observation, reward, terminated, truncated, info

    bare = SyncVectorEnv([Two, Two, Bad])
    teacher = Notebook(declared(bare).task_space)
    vec = CurriculumVectorEnv(bare, teacher)
    vec.reset()
    vec.step(np.zeros((3, 1)))
    with pytest.raises(ValueError, match="sub-environment 2"):
        vec.step(np.zeros((3, 1)))
    assert [o.ids.tolist() for o in teacher.outcomes] == [[0, 1]]


def test_a_teacher_that_raises_leaves_the_books_right() -> None:
    class Picky(Notebook):
        def update(self, outcomes: Outcomes) -> None:
            super().update(outcomes)
            if len(self.outcomes) == 3:
                raise ValueError("not this one")

    bare = walks(3, MODES[0])
    vec = CurriculumVectorEnv(bare, Picky(declared(bare).task_space))
    vec.reset()
    with pytest.raises(ValueError, match="not this one"):
        advance_idly(vec, 60)
    assert vec.ledger.environment_steps == steps_taken(bare)
    with pytest.raises(RuntimeError, match="without a mask"):
        vec.reset(options={"reset_mask": np.array([True, False, False])})
    vec.reset()
    advance_idly(vec, 20)
    assert vec.ledger.environment_steps == steps_taken(bare)


def test_a_task_outside_the_space_is_refused() -> None:
    class Wild(Notebook):
        def sample(self, n: int = 1) -> Any:
            tasks = super().sample(n)
            if len(self.outcomes) > 3:
                tasks[0, 1] = 99.0
            return tasks

    vec = CurriculumVectorEnv(walks(2, MODES[0]), Wild(declared(Walk()).task_space))
    vec.reset()
    with pytest.raises(ValueError, match=r"gain = 99 is not in \[0.5, 2\]"):
        advance_idly(vec, 60)
    assert vec.ledger.environment_steps == vec.steps


# What a teacher needs -----------------------------------------------------------------------------

NEEDS = ("pvl", "maxmc", "td", "abs_advantage", "initial_values")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("asked", [False, True])
def test_scores_from_value_estimates(mode: AutoresetMode, asked: bool) -> None:
    """By ``observe`` and by ``value_function``, which also knows final observations."""

    def value(observations: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(np.sin(observations[:, 0]))

    bare = walks(3, mode)
    teacher = Notebook(declared(bare).task_space, needs=NEEDS)
    vec = CurriculumVectorEnv(bare, teacher, gamma=0.9, gae_lambda=0.8)
    assert vec.needs_values
    observations, _ = vec.reset()
    if asked:
        vec.value_function = value
    rng = np.random.default_rng(0)
    actions: dict[int, list[Any]] = {}
    for _ in range(50):
        if not asked:
            vec.observe(value(observations)[:, None])
        action = rng.uniform(-1, 1, (3, 1))
        for i, ticket in enumerate(vec.tickets.ids.tolist()):
            actions.setdefault(ticket, []).append(action[i])
        observations, *_ = advance(vec, action)
    cut = 0
    for outcomes in teacher.outcomes:
        assert outcomes.initial_values is not None
        assert set(outcomes.scores) == {"pvl", "maxmc", "td", "abs_advantage"}
        for k, ticket in enumerate(outcomes.ids.tolist()):
            env = Walk()
            seen = [
                env.reset(
                    seed=int(outcomes.seeds[k]),
                    options={"task": outcomes.tasks[k]},
                )[0]
            ]
            rewards = []
            for action in actions[ticket]:
                observation, reward, _, truncated, _ = env.step(action)
                seen.append(observation)
                rewards.append(reward)
            values = value(np.array(seen))
            final = (values[-1] if asked else values[-2]) if truncated else 0.0
            cut += truncated
            expected = episode_scores(rewards, values[:-1], final, gamma=0.9, gae_lambda=0.8)
            for name, score in expected.items():
                assert outcomes.scores[name][k] == pytest.approx(score, abs=1e-12), name
            assert outcomes.initial_values[k] == values[0]
    assert cut > 3


@pytest.mark.parametrize(("mastery", "mastered"), [(2.999, 1.0), (3.0, 0.0), (3.001, 0.0)])
def test_mastered_is_strictly_above(mastery: float, mastered: float) -> None:
    class Quiet(Countdown):
        """Declares its mastery and says nothing of success itself."""

        task_space = BoxTasks([0, 0], [3, 6])
        queued: Any = None

        def reset(self, **kwargs: Any) -> Any:
            observation, _ = super().reset(**kwargs)
            self.task, self.told = self.queued[0], 1.0
            return observation, {"task": self.task}

    Quiet.mastery = mastery  # type: ignore[attr-defined]
    bare = SyncVectorEnv([Quiet] * 2)
    teacher = Notebook(Quiet.task_space)
    vec = CurriculumVectorEnv(bare, teacher)
    vec.reset()
    for _ in range(3):
        vec.step(np.zeros(2, dtype=int))
    (outcomes,) = teacher.outcomes
    assert outcomes.returns.tolist() == [3.0, 3.0]
    assert outcomes.successes.tolist() == [mastered] * 2


@pytest.mark.parametrize("mode", MODES)
def test_an_end_that_is_both_is_an_end(mode: AutoresetMode) -> None:
    """Terminated in the step of the time limit: the final observation is worth nothing."""

    class Both(Countdown):
        def step(self, action: Any) -> Any:
            observation, _, terminated, _, info = super().step(action)
            return observation, 1.0, terminated, terminated, info

    def make() -> Any:
        return currgym.ParameterizedEnv(Both(), BoxTasks([0, 0], [3, 6]), tell)

    bare = SyncVectorEnv([make] * 2, autoreset_mode=mode)
    teacher = Notebook(currgym.task_space(bare), needs=("td",))
    vec = CurriculumVectorEnv(bare, teacher, gamma=1.0)
    vec.value_function = lambda observations: np.full(len(observations), 10.0)
    vec.reset()
    for _ in range(8):
        advance(vec, np.zeros(2, dtype=int))
    assert teacher.outcomes
    for outcomes in teacher.outcomes:
        # |1 + 10 - 10| twice, and |1 - 10| at the end.
        assert outcomes.scores["td"].tolist() == pytest.approx([11 / 3] * len(outcomes))


def test_missing_values_raise_before_the_step() -> None:
    bare = walks(2, MODES[0])
    vec = CurriculumVectorEnv(bare, Notebook(declared(bare).task_space, needs=("pvl",)))
    vec.reset()
    with pytest.raises(RuntimeError, match=r"needs pvl: call vec.observe\(values\)"):
        vec.step(np.zeros((2, 1)))
    assert vec.steps == 0
    vec.observe([0.0, 1.0])
    vec.step(np.zeros((2, 1)))


@pytest.mark.parametrize(
    ("values", "says"), [([0.0], "one a sub-environment"), ([0.0, np.nan], "finite")]
)
def test_bad_values_are_refused(values: list[float], says: str) -> None:
    bare = walks(2, MODES[0])
    vec = CurriculumVectorEnv(bare, Notebook(declared(bare).task_space, needs=("td",)))
    vec.reset()
    with pytest.raises(ValueError, match=says):
        vec.observe(values)


def test_values_nobody_needs_are_ignored() -> None:
    vec = CurriculumVectorEnv(walks(2, MODES[0]), "random")
    vec.reset()
    vec.observe("anything")
    assert not vec.needs_values


@pytest.mark.parametrize(
    ("needs", "says"),
    [
        (("grad_norm", "returns"), "cannot give grad_norm"),
        (("probe",), r"provides=\['probe'\]"),
        (("trials", "probe"), "cannot give trials"),
        (("regret",), "student 'pair'"),
    ],
)
def test_needs_that_nobody_meets_are_refused_at_once(needs: tuple[str, ...], says: str) -> None:
    teacher = Notebook(declared(Walk()).task_space, needs=needs)
    with pytest.raises(ValueError, match=f"teacher 'Notebook' needs .*{says}"):
        CurriculumVectorEnv(walks(2, MODES[0]), teacher)


def test_probes_may_be_provided() -> None:
    teacher = Notebook(declared(Walk()).task_space, needs=("probe", "lengths", "successes"))
    CurriculumVectorEnv(walks(2, MODES[0]), teacher, provides=["probe"])
    CurriculumVectorEnv(walks(2, MODES[0]), Curriculum(teacher))


# How it is built ----------------------------------------------------------------------------------


def _range(vec: CurriculumVectorEnv) -> Any:
    teacher: Any = vec.teacher
    return teacher.return_range


def test_teachers_by_name_object_and_curriculum() -> None:
    space = declared(Walk()).task_space
    by_name = CurriculumVectorEnv(walks(2, MODES[0]), "random", seed=3)
    assert _range(by_name) == Walk.return_range
    runs = [
        by_name,
        CurriculumVectorEnv(walks(2, MODES[0]), make_teacher("random", space, seed=3), seed=3),
        CurriculumVectorEnv(
            walks(2, MODES[0]), Curriculum(make_teacher("random", space, seed=3), seed=3)
        ),
    ]
    seen = []
    for vec in runs:
        vec.reset()
        seen.append([vec.tickets.tasks, vec.tickets.seeds])
    assert_same(seen[0], seen[1])
    assert_same(seen[0], seen[2])


def test_parameters_reach_the_teacher() -> None:
    vec = CurriculumVectorEnv(walks(2, MODES[0]), "random", return_range=(0, 1))
    assert _range(vec) == (0, 1)
    with pytest.raises(ValueError, match="did you mean"):
        CurriculumVectorEnv(walks(2, MODES[0]), "randon")
    with pytest.raises(TypeError, match="parameter of teacher"):
        CurriculumVectorEnv(walks(2, MODES[0]), "random", fit_periods=3)
    teacher = make_teacher("random", declared(Walk()).task_space)
    with pytest.raises(TypeError, match="by name"):
        CurriculumVectorEnv(walks(2, MODES[0]), teacher, fit_period=3)


@fork_is_fine
def test_one_call_for_the_task_space_of_everything() -> None:
    single = gymnasium.make(CARTPOLE)
    expected = repr(single.get_wrapper_attr("task_space"))
    assert repr(currgym.task_space(single)) == expected
    for kind in ("sync", "native", "async"):
        vec = cartpoles(kind, AutoresetMode.NEXT_STEP, n=1)
        facts = declared(vec)
        assert repr(facts.task_space) == expected
        assert facts.return_range == single.get_wrapper_attr("return_range")
        assert facts.mastery == single.get_wrapper_attr("mastery")
        wrapped = gymnasium.wrappers.vector.RecordEpisodeStatistics(vec)
        assert repr(currgym.task_space(wrapped)) == expected
        assert repr(currgym.task_space(CurriculumVectorEnv(wrapped, "random"))) == expected
        vec.close()
    with pytest.raises(TypeError, match="neither"):
        currgym.task_space(3)


@pytest.mark.parametrize("mode", MODES)
def test_anybodys_environment(mode: AutoresetMode) -> None:
    """``ParameterizedEnv`` around an environment and inside other wrappers."""

    def set_mass(env: gymnasium.Env[Any, Any], task: dict[str, Any]) -> None:
        physics: Any = env.unwrapped
        physics.masscart = task["mass"]

    def make(name: str) -> gymnasium.Env[Any, Any]:
        env = currgym.ParameterizedEnv(
            gymnasium.make(name), BoxTasks([0.5], [2.0], ["mass"]), set_mass, mastery=15
        )
        return gymnasium.wrappers.RecordEpisodeStatistics(env)

    def playing(env: Any) -> float:
        return float(env.unwrapped.masscart)

    bare = walks(2, mode, lambda: make("CartPole-v1"))
    vec = CurriculumVectorEnv(bare, "random", seed=0)
    vec.reset()
    for _ in range(80):
        advance(vec, np.zeros(2, dtype=int))
        for i in np.flatnonzero(vec.tickets.ids >= 0):
            assert playing(bare.envs[i]) == vec.tickets.tasks[i, 0]
    assert vec.ledger.attempts > 5


class Countdown(gymnasium.Env[Any, Any]):
    """Somebody's environment: lasts three steps, and shows what it was told."""

    observation_space = gymnasium.spaces.Box(-100, 100, (1,))
    action_space = gymnasium.spaces.Discrete(2)
    told = 0.0

    def reset(self, **kwargs: Any) -> Any:
        super().reset(seed=kwargs.get("seed"))
        self.now = 0
        return np.array([self.told], dtype=np.float32), {}

    def step(self, action: Any) -> Any:
        self.now += 1
        return np.array([self.told], dtype=np.float32), self.told, self.now == 3, False, {}


def tell(env: gymnasium.Env[Any, Any], task: dict[str, Any]) -> None:
    env.unwrapped.told = float(np.sum(list(task.values())))  # type: ignore[attr-defined]


class Boards(currgym.TaskSpace):
    def sample(self, n: int, rng: np.random.Generator) -> Any:
        return rng.integers(0, 2, (n, 4, 3)).astype(np.int8)

    def edit(self, tasks: Any, rng: np.random.Generator, size: float = 0.1) -> Any:
        return 1 - np.asarray(tasks)


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("kind", [SyncVectorEnv, AsyncVectorEnv])
def test_levels(kind: Any, mode: AutoresetMode) -> None:
    def make() -> Any:
        return currgym.ParameterizedEnv(Countdown(), Boards(), tell)

    with contextlib.closing(
        CurriculumVectorEnv(kind([make] * 2, autoreset_mode=mode), "random", seed=0)
    ) as vec:
        vec.reset()
        for _ in range(12):
            advance(vec, np.zeros(2, dtype=int))
            if vec.finished is not None:
                outcomes = vec.finished.outcomes
                assert outcomes.tasks.shape[1:] == (4, 3)
                assert outcomes.returns is not None
                sums = outcomes.tasks.reshape(len(outcomes), -1).sum(axis=1)
                assert (outcomes.returns == 3 * sums).all()
        assert vec.ledger.attempts >= 6


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("proposes", [False, True])
def test_a_teacher_may_write_whole_numbers(proposes: bool, mode: AutoresetMode) -> None:
    """Lists of ints and then of floats: the books must not become whole-numbered."""
    stages: list[list[list[float]]] = [[[1, 2]], [[0.5, 0.25]]]

    class Staged:
        asked = 0

        def sample(self, n: int = 1) -> Any:
            self.asked += 1
            return stages[self.asked > 1] * n

        def update(self, outcomes: Outcomes) -> None: ...

    class Proposing(Teacher):
        asked = 0

        def propose(self, n: int = 1) -> Any:
            self.asked += 1
            return Proposals(np.array(stages[self.asked > 1] * n))

        def _sample(self, n: int, rng: np.random.Generator) -> Any: ...

    space = BoxTasks([0, 0], [3, 6])

    def make() -> Any:
        return currgym.ParameterizedEnv(Countdown(), space, tell)

    teacher = Proposing(space, seed=0) if proposes else Staged()
    vec = CurriculumVectorEnv(SyncVectorEnv([make] * 2, autoreset_mode=mode), teacher, seed=0)
    vec.reset()
    for _ in range(12):
        advance(vec, np.zeros(2, dtype=int))
    assert vec.tickets.tasks.tolist() == [[0.5, 0.25]] * 2
    assert vec.ledger.attempts >= 6


def test_discrete_tasks() -> None:
    class Levels(gymnasium.Env[Any, Any]):
        task_space = currgym.DiscreteTasks(5)
        observation_space = gymnasium.spaces.Box(0, 5, (1,))
        action_space = gymnasium.spaces.Discrete(2)
        queued: Any = None

        def reset(self, **kwargs: Any) -> Any:
            self.level, _ = self.queued
            return np.array([self.level], dtype=np.float32), {"task": self.level}

        def step(self, action: Any) -> Any:
            return np.array([self.level], dtype=np.float32), 1.0, True, False, {}

    vec = CurriculumVectorEnv(SyncVectorEnv([Levels] * 3), "random", seed=0)
    vec.reset()
    for _ in range(10):
        vec.step(np.zeros(3, dtype=int))
    assert vec.ledger.attempts == 15
    assert vec.tickets.tasks.shape == (3,)


# Going on exactly ---------------------------------------------------------------------------------


def through_disk(state: dict[str, Any], folder: Path) -> dict[str, Any]:
    save_state(folder, state)
    return load_state(folder)


def going_on(vec: Any, steps: int, seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    seen: list[Any] = []
    for _ in range(steps):
        *step, _ = advance(vec, rng.integers(2, size=vec.num_envs))
        seen.append([*step, *vec.tickets])
        if vec.finished is not None:
            outcomes = vec.finished.outcomes
            seen.append([outcomes.returns, outcomes.discounted, outcomes.lengths])
    return seen


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["sync", "native"])
@pytest.mark.parametrize("at", [0, 3, "finished"])
def test_restore_is_exact(kind: str, mode: AutoresetMode, at: int | str, tmp_path: Path) -> None:
    one = CurriculumVectorEnv(cartpoles(kind, mode), "random", seed=2, keep_actions=True)
    observations, _ = one.reset()
    rng = np.random.default_rng(0)
    steps = 0
    while steps != at and not (at == "finished" and steps > 30 and one.finished is not None):
        observations, *_ = advance(one, rng.integers(2, size=3))
        steps += 1
    if at == "finished" and mode is AutoresetMode.NEXT_STEP:
        assert (one.tickets.ids < 0).any()  # a reset is pending
    state = through_disk(one.state_dict(), tmp_path)
    two = CurriculumVectorEnv(cartpoles(kind, mode), "random", seed=99, keep_actions=True)
    restored = two.restore(state)
    assert restored.tobytes() == observations.tobytes()
    assert two.ledger == one.ledger
    assert_same(list(two.tickets), list(one.tickets))
    assert_same(going_on(two, 60, seed=4), going_on(one, 60, seed=4))
    assert two.ledger == one.ledger


@pytest.mark.parametrize("mode", MODES)
@fork_is_fine
def test_restore_over_processes(mode: AutoresetMode, tmp_path: Path) -> None:
    one = CurriculumVectorEnv(cartpoles("sync", mode), "random", seed=2, keep_actions=True)
    one.reset()
    going_on(one, 33, seed=0)
    state = through_disk(one.state_dict(), tmp_path)
    two = CurriculumVectorEnv(cartpoles("async", mode), "random", keep_actions=True)
    two.restore(state)
    assert_same(going_on(two, 40, seed=4), going_on(one, 40, seed=4))
    two.close()


@pytest.mark.parametrize("mode", MODES)
def test_restore_with_values_and_dict_observations(mode: AutoresetMode, tmp_path: Path) -> None:
    class Dressed(gymnasium.ObservationWrapper[Any, Any, Any]):
        def __init__(self) -> None:
            super().__init__(Walk())
            bare = self.env.observation_space
            self.observation_space = gymnasium.spaces.Dict({"b": bare, "a": bare})

        def observation(self, observation: Any) -> Any:
            return {"b": observation, "a": -observation}

    def build() -> tuple[CurriculumVectorEnv, Notebook]:
        teacher = Notebook(declared(Walk()).task_space, needs=NEEDS)
        vec = CurriculumVectorEnv(walks(3, mode, Dressed), teacher, keep_actions=True)
        vec.value_function = lambda observations: np.cos(observations["a"][:, 0])
        return vec, teacher

    (one, told), (two, told_again) = build(), build()
    one.reset()
    rng = np.random.default_rng(0)
    for _ in range(27):
        advance(one, rng.uniform(-1, 1, (3, 1)))
    two.restore(through_disk(one.state_dict(), tmp_path))
    before = len(told.outcomes)
    for _ in range(20):
        action = rng.uniform(-1, 1, (3, 1))
        assert_same(advance(one, action)[1:4], advance(two, action)[1:4])
    assert len(told_again.outcomes) == len(told.outcomes) - before > 0
    for a, b in zip(told.outcomes[before:], told_again.outcomes, strict=True):
        assert_same(list(a.scores.values()), list(b.scores.values()))
        assert_same(a.initial_values, b.initial_values)


def test_restore_notices_another_environment() -> None:
    class Restless(Walk):
        def _advance(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            observation, *rest = super()._advance(action)
            return observation + np.random.default_rng().normal(), *rest

    def build() -> CurriculumVectorEnv:
        return CurriculumVectorEnv(SyncVectorEnv([Walk, Restless]), "random", keep_actions=True)

    one, two = build(), build()
    one.reset()
    one.step(np.zeros((2, 1)))
    with pytest.raises(RuntimeError, match="sub-environment 1 does not come back"):
        two.restore(one.state_dict())


def test_restore_needs_the_actions() -> None:
    one = CurriculumVectorEnv(walks(2, MODES[0]), "random")
    one.reset()
    two = CurriculumVectorEnv(walks(2, MODES[0]), "random", keep_actions=True)
    with pytest.raises(ValueError, match="keep_actions"):
        two.restore(one.state_dict())
    three = CurriculumVectorEnv(walks(3, MODES[0]), "random", keep_actions=True)
    three.reset()
    with pytest.raises(ValueError, match="3 sub-environments"):
        two.restore(three.state_dict())


@pytest.mark.parametrize("mode", MODES)
def test_books_without_a_replay(mode: AutoresetMode, tmp_path: Path) -> None:
    """``load_state_dict`` and ``reset``: running episodes are cancelled, nothing else changes."""
    one = CurriculumVectorEnv(walks(3, mode), "random", seed=1)
    one.reset()
    for _ in range(11):
        advance(one, np.zeros((3, 1)))
    two = CurriculumVectorEnv(walks(3, mode), "random", seed=9)
    two.load_state_dict(through_disk(one.state_dict(), tmp_path))
    assert two.ledger == one.ledger
    assert two.ledger.environment_steps == one.steps
    one.reset()
    two.reset()
    assert_same(list(two.tickets), list(one.tickets))
    assert two.ledger == one.ledger
    for _ in range(11):
        assert_same(advance(one, np.zeros((3, 1)))[:4], advance(two, np.zeros((3, 1)))[:4])


@fork_is_fine
def test_a_transport_that_cannot_be_replayed_is_refused() -> None:
    bare = AsyncVectorEnv([Walk] * 2, shared_memory=False, context="fork")
    with pytest.raises(ValueError, match="shared_memory"):
        CurriculumVectorEnv(bare, "random", keep_actions=True)
    bare.close()
