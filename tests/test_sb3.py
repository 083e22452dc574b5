"""The Stable-Baselines3 form: what algorithms see and teachers hear, over every kind of vector."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from sb3_contrib import ARS, RecurrentPPO
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
)

import currgym
from currgym import Curriculum, Outcomes, make_teacher, sb3
from currgym.states import load_state, save_state
from currgym.vector import CurriculumVectorEnv, declared

CARTPOLE = "currgym:currgym/CartPole-v0"
PENDULUM = "currgym:currgym/Pendulum-v0"
fork_is_fine = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


class Counter(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Counts the calls that reach the environment, and writes each episode down."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.steps = self.resets = 0
        self.log: list[list[Any]] = []

    def reset(self, **kwargs: Any) -> Any:
        self.resets += 1
        observation, info = self.env.reset(**kwargs)
        self.log.append([observation])
        return observation, info

    def step(self, action: Any) -> Any:
        self.steps += 1
        result = self.env.step(action)
        self.log[-1].append(result[0])
        return result


class Listener:
    """A teacher that draws uniformly and remembers what it was told."""

    def __init__(self, space: Any, needs: tuple[str, ...] = ()) -> None:
        self.space, self.rng = space, np.random.default_rng(0)
        self.needs = frozenset(needs)
        self.outcomes: list[Outcomes] = []

    def sample(self, n: int = 1) -> Any:
        return self.space.sample(n, self.rng)

    def update(self, outcomes: Outcomes) -> None:
        self.outcomes.append(outcomes)


def one(name: str = CARTPOLE, limit: int | None = 12) -> Counter:
    return Counter(gymnasium.make(name, max_episode_steps=limit))


def vector(mode: AutoresetMode, n: int = 3, name: str = CARTPOLE) -> gymnasium.vector.SyncVectorEnv:
    return gymnasium.vector.SyncVectorEnv([lambda: one(name)] * n, autoreset_mode=mode)


def native(mode: AutoresetMode) -> Any:
    return gymnasium.make_vec(
        CARTPOLE, 3, max_episode_steps=12, vectorization_mode="vector_entry_point",
        autoreset_mode=mode,
    )  # fmt: skip


FORMS: dict[str, Callable[[], Any]] = {
    **{f"sync-{mode.value}": partial(vector, mode) for mode in AutoresetMode},
    **{f"native-{mode.value}": partial(native, mode) for mode in AutoresetMode},
    "dummy": lambda: DummyVecEnv([one] * 3),
}


def _fallen(state: Any) -> bool:
    return bool(abs(state[0]) > 2.4 or abs(state[2]) > 12 * np.pi / 180)


def trace(venv: Any, steps: int) -> list[Any]:
    seen: list[Any] = [venv.reset()]
    rng = np.random.default_rng(0)
    for _ in range(steps):
        observations, rewards, dones, infos = venv.step(rng.integers(2, size=venv.num_envs))
        ends = [info.get("terminal_observation", np.zeros(4)) for info in infos]
        cuts = [info.get("TimeLimit.truncated", False) for info in infos]
        seen.append([observations, rewards, dones, ends, cuts, *venv.tickets])
    return seen


def assert_same(a: Any, b: Any) -> None:
    if isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        np.testing.assert_array_equal(a, b)


# What it is made over ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def expected() -> list[Any]:
    return trace(sb3.wrap(FORMS["sync-Disabled"](), "random", seed=4), 150)


@pytest.mark.parametrize("form", FORMS)
def test_same_run_over_every_form(form: str, expected: list[Any]) -> None:
    venv = sb3.wrap(FORMS[form](), "random", seed=4)
    assert_same(trace(venv, 150), expected)
    assert venv.ledger.environment_steps == 450


@fork_is_fine
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_same_run_over_processes(mode: AutoresetMode, expected: list[Any]) -> None:
    venv = sb3.wrap(
        AsyncVectorEnv([one] * 3, context="fork", autoreset_mode=mode), "random", seed=4
    )
    assert_same(trace(venv, 150), expected)
    assert sum(venv.get_attr("steps")) == 450
    venv.close()


def test_a_single_environment() -> None:
    env = one()
    venv = sb3.wrap(env, "random", seed=4)
    assert venv.num_envs == 1
    trace(venv, 100)
    assert env.steps == venv.ledger.environment_steps == 100


@fork_is_fine
def test_subprocesses_wait_one_task_ahead() -> None:
    inner = SubprocVecEnv([one] * 2, start_method="fork")
    venv = sb3.wrap(inner, "random", seed=4)
    first = trace(venv, 120)
    assert len(list(venv.curriculum.open)) == 4
    assert venv.ledger.environment_steps == sum(venv.get_attr("steps")) == 240
    assert venv.ledger.attempts > 8
    venv.close()
    # The same as Gymnasium's own same-step reset.
    vec = CurriculumVectorEnv(vector(AutoresetMode.SAME_STEP, 2), "random", seed=4)
    observations, _ = vec.reset()
    np.testing.assert_array_equal(observations, first[0])
    rng = np.random.default_rng(0)
    for step in first[1:]:
        observations, _, terminated, truncated, _ = vec.step(rng.integers(2, size=2))
        np.testing.assert_array_equal(observations, step[0])
        np.testing.assert_array_equal(terminated | truncated, step[2])
        np.testing.assert_array_equal(vec.tickets.ids, step[5])


@fork_is_fine
def test_subprocesses_without_a_hook_or_a_replay() -> None:
    bare = SubprocVecEnv([lambda: gymnasium.make("CartPole-v1")], start_method="fork")
    with pytest.raises(TypeError, match=r"no `queued`.*ParameterizedEnv"):
        sb3.wrap(bare, "random")
    with pytest.raises(ValueError, match="cannot be replayed"):
        sb3.wrap(bare, "random", keep_actions=True)
    bare.close()


def test_another_vec_env_goes_through_its_methods() -> None:
    venv = sb3.wrap(VecMonitor(DummyVecEnv([one] * 2)), "random", seed=4)
    trace(venv, 100)
    assert venv.ledger.environment_steps == 200
    assert len(list(venv.curriculum.open)) == 4


def test_normalisation_below_is_refused() -> None:
    with pytest.raises(ValueError, match="put VecNormalize on top"):
        sb3.wrap(VecNormalize(DummyVecEnv([one])), "random")


@fork_is_fine
def test_workers_that_reset_twice_are_refused() -> None:
    vec = AsyncVectorEnv([one], shared_memory=False, context="fork")
    with pytest.raises(ValueError, match="twice"):
        sb3.wrap(vec, "random")
    vec.close()


# What the algorithm sees ---------------------------------------------------------------------


@pytest.mark.parametrize("form", ["sync-NextStep", "sync-SameStep", "sync-Disabled", "dummy"])
def test_every_transition_is_a_real_one(form: str) -> None:
    """Observations before, after and at the end of each step are those the environment gave."""
    bare = FORMS[form]()
    counters: list[Counter] = list(bare.envs)
    venv = sb3.wrap(bare, "random", seed=4)
    before: Any = venv.reset()
    rng = np.random.default_rng(0)
    cut = ended = 0
    for t in range(150):
        tickets = venv.tickets
        logs = [counter.log[-1] for counter in counters]
        observations: Any
        observations, rewards, dones, infos = venv.step(rng.integers(2, size=3))
        assert rewards.dtype == np.float32
        for i, (log, info) in enumerate(zip(logs, infos, strict=True)):
            np.testing.assert_array_equal(before[i], log[-2])
            assert counters[i].steps == t + 1
            if dones[i]:
                np.testing.assert_array_equal(info["terminal_observation"], log[-1])
                np.testing.assert_array_equal(observations[i], counters[i].log[-1][0])
                assert info["TimeLimit.truncated"] == (len(log) == 13 and not _fallen(log[-1]))
                assert info["episode"]["l"] == len(log) - 1
                assert info["episode"]["r"] == pytest.approx(len(log) - 1)
                assert set(info["episode"]) == {"r", "l", "t"}
                assert info["is_success"] == info["success"]
                np.testing.assert_array_equal(info["task"], tickets.tasks[i])
                np.testing.assert_array_equal(venv.reset_infos[i]["task"], venv.tickets.tasks[i])
                cut += info["TimeLimit.truncated"]
                ended += not info["TimeLimit.truncated"]
            else:
                np.testing.assert_array_equal(observations[i], log[-1])
                assert "episode" not in info
                assert "terminal_observation" not in info
        before = observations
    assert cut > 0
    assert ended > 0


def test_terminal_observations_are_not_overwritten() -> None:
    venv = sb3.wrap(vector(AutoresetMode.NEXT_STEP), "random", seed=4)
    kept: list[Any] = []
    venv.reset()
    for _ in range(60):
        *_, infos = venv.step(np.ones(3, dtype=int))
        kept.extend(info["terminal_observation"] for info in infos if "episode" in info)
    assert len({o.tobytes() for o in kept}) == len(kept) > 3


def test_learning_with_normalisation_on_top() -> None:
    bare = vector(AutoresetMode.NEXT_STEP)
    teacher = Listener(declared(bare).task_space)
    venv = sb3.wrap(bare, teacher)
    env = VecNormalize(venv)
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=2, seed=0, device="cpu")
    model.learn(300)
    assert venv.ledger.environment_steps == model.num_timesteps
    assert sum(env.get_wrapper_attr("steps") for env in bare.envs) == model.num_timesteps
    assert model.ep_info_buffer is not None
    for outcomes in teacher.outcomes:  # raw: one for each step
        np.testing.assert_array_equal(outcomes.returns, outcomes.lengths)
    lengths = [n for outcomes in teacher.outcomes for n in outcomes.lengths.tolist()]
    assert [info["l"] for info in model.ep_info_buffer] == lengths[-100:]
    assert env.env_is_wrapped(Monitor) == [True] * 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it warns where no Monitor is found
        mean, _ = evaluate_policy(model, env, n_eval_episodes=3)
    assert float(mean) > 0  # type: ignore[arg-type]


def test_off_policy() -> None:
    venv = sb3.wrap(vector(AutoresetMode.NEXT_STEP, 2, PENDULUM), "random", seed=0)
    model = SAC("MlpPolicy", venv, learning_starts=50, batch_size=16, seed=0, device="cpu")
    model.learn(80)
    assert venv.ledger.environment_steps == 80
    assert model.replay_buffer is not None
    assert model.replay_buffer.pos == 40


# Value estimates -----------------------------------------------------------------------------


@pytest.mark.parametrize("normalised", [False, True])
def test_the_model_gives_its_values(normalised: bool) -> None:
    bare = vector(AutoresetMode.NEXT_STEP, 2)
    teacher = Listener(declared(bare).task_space, needs=("initial_values", "pvl"))
    venv = sb3.wrap(bare, teacher)
    env: Any = VecNormalize(venv) if normalised else venv
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, seed=0, device="cpu")
    venv.attach(model)
    env.reset()
    raw = venv.core._observations.copy()
    if normalised:  # far from the identity
        env.obs_rms.mean, env.obs_rms.var = np.full(4, 0.3), np.ones(4)
        env.ret_rms.var = np.array(25.0)
    started = {0: raw[0], 1: raw[1]}
    for _ in range(40):
        env.step(np.ones(2, dtype=int))
        if venv.finished is not None:
            break
    outcomes = teacher.outcomes[0]
    assert outcomes.initial_values is not None
    assert outcomes.ids is not None
    row = started[int(outcomes.ids[0])][None]
    scale = 1.0
    if normalised:
        row = np.clip((row - 0.3) / np.sqrt(1.0 + env.epsilon), -10, 10).astype(np.float32)
        scale = 5.0
    with torch.no_grad():
        value = float(model.policy.predict_values(torch.as_tensor(row)))
    assert outcomes.initial_values[0] == pytest.approx(scale * value, rel=1e-5)
    assert "pvl" in outcomes.scores


@pytest.mark.parametrize("algorithm", [DQN, SAC])
def test_critics_of_actions_give_values_too(algorithm: type[Any]) -> None:
    name = CARTPOLE if algorithm is DQN else PENDULUM
    bare = vector(AutoresetMode.NEXT_STEP, 2, name)
    teacher = Listener(declared(bare).task_space, needs=("td",))
    venv = sb3.wrap(bare, teacher)
    model = algorithm("MlpPolicy", venv, learning_starts=20, batch_size=8, seed=0, device="cpu")
    model.learn(90, callback=venv.callback())
    assert sum(len(o) for o in teacher.outcomes) > 1
    assert all(np.isfinite(o.scores["td"]).all() for o in teacher.outcomes)


def test_asking_for_values_draws_no_random_numbers() -> None:
    venv = sb3.wrap(vector(AutoresetMode.NEXT_STEP, 2, PENDULUM), "random")
    model = SAC("MlpPolicy", venv, seed=0, device="cpu")
    before = torch.get_rng_state()
    values = sb3.value_function(model, venv)(venv.reset())
    assert values.shape == (2,)
    assert torch.equal(before, torch.get_rng_state())


def test_values_without_a_model() -> None:
    bare = vector(AutoresetMode.NEXT_STEP, 2)
    teacher = Listener(declared(bare).task_space, needs=("pvl",))
    venv = sb3.wrap(bare, teacher)
    model = PPO("MlpPolicy", venv, n_steps=16, batch_size=16, device="cpu")
    with pytest.raises(RuntimeError, match=r"venv.attach\(model\).*venv.callback\(\)"):
        model.learn(16)
    venv.reset()
    venv.observe([0.0, 0.0])  # by hand is as good
    venv.step(np.zeros(2, dtype=int))


def test_students_without_values_are_refused() -> None:
    bare = vector(AutoresetMode.NEXT_STEP, 2)
    venv = sb3.wrap(bare, Listener(declared(bare).task_space, needs=("pvl",)))
    for algorithm, policy, says in (
        (ARS, "MlpPolicy", "has none to give"),
        (RecurrentPPO, "MlpLstmPolicy", "memory"),
    ):
        with pytest.raises(ValueError, match=says):
            venv.attach(algorithm(policy, venv, device="cpu"))
    model = PPO("MlpPolicy", VecFrameStack(venv, 2), device="cpu")
    with pytest.raises(ValueError, match="VecFrameStack"):
        venv.attach(model)
    other = sb3.wrap(vector(AutoresetMode.NEXT_STEP, 2), "random")
    with pytest.raises(ValueError, match="does not learn on"):
        venv.attach(PPO("MlpPolicy", other, device="cpu"))


def test_a_teacher_that_needs_none_asks_for_none() -> None:
    venv = sb3.wrap(vector(AutoresetMode.NEXT_STEP, 2), "random")
    venv.attach(ARS("MlpPolicy", venv, device="cpu"))
    assert venv.core.value_function is None


# Going on, and the rest ----------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_restore_is_exact(form: str, tmp_path: Path) -> None:
    def build() -> Any:
        bare = FORMS[form]()
        teacher = make_teacher("random", currgym.task_space(bare), seed=1)
        return sb3.wrap(bare, Curriculum(teacher, seed=1), keep_actions=True)

    first, second = build(), build()
    observations = first.reset()
    rng = np.random.default_rng(0)
    for _ in range(47):
        observations, *_ = first.step(rng.integers(2, size=3))
    save_state(tmp_path, first.state_dict())
    np.testing.assert_array_equal(second.restore(load_state(tmp_path)), observations)
    assert second.ledger == first.ledger
    for _ in range(60):
        actions = rng.integers(2, size=3)
        assert_same(list(first.step(actions)[:3]), list(second.step(actions)[:3]))
        assert_same(list(first.tickets), list(second.tickets))
    assert second.ledger == first.ledger


def test_nan_rewards_stop_the_training() -> None:
    class Broken(gymnasium.RewardWrapper[Any, Any]):
        def reward(self, reward: Any) -> float:
            return float("nan") if self.env.get_wrapper_attr("steps") == 20 else float(reward)

    vec = gymnasium.vector.SyncVectorEnv([lambda: Broken(one())] * 2)
    venv = sb3.wrap(vec, "random")
    model = PPO("MlpPolicy", venv, n_steps=16, batch_size=16, device="cpu")
    with pytest.raises(ValueError, match=r"reward nan in sub-environment 0.*half_length = "):
        model.learn(200)
    assert venv.ledger.environment_steps == 40


@fork_is_fine
def test_attributes_and_methods() -> None:
    sync = sb3.wrap(vector(AutoresetMode.NEXT_STEP), "random")
    sync.reset()
    assert sync.get_attr("steps", [0, 2]) == [0, 0]
    sync.set_attr("steps", 7, [1])
    assert sync.get_attr("steps") == [0, 7, 0]
    assert sync.has_attr("queued")
    assert not sync.has_attr("nothing")
    assert sync.env_is_wrapped(Counter) == [True] * 3
    assert sync.env_is_wrapped(gymnasium.wrappers.ClipAction) == [False] * 3
    assert sync.env_method("has_wrapper_attr", "steps", indices=[0]) == [True]
    assert sync.get_images() == [None] * 3
    with pytest.raises(AttributeError, match="nothing"):
        sync.get_attr("nothing")

    remote = sb3.wrap(AsyncVectorEnv([one] * 2, context="fork"), "random")
    remote.reset()
    assert remote.env_method("has_wrapper_attr", "steps") == [True, True]
    remote.set_attr("steps", 3)
    assert remote.get_attr("steps", 1) == [3]
    with pytest.raises(ValueError, match="all its sub-environments"):
        remote.set_attr("steps", 3, [0])
    with pytest.raises(AttributeError, match="nothing"):
        remote.get_attr("nothing")
    assert remote.env_is_wrapped(Counter) == [False, False]
    remote.close()

    at_once = sb3.wrap(native(AutoresetMode.NEXT_STEP), "random")
    assert at_once.get_attr("mastery") == [at_once.core.mastery] * 3
    with pytest.raises(ValueError, match="all its sub-environments"):
        at_once.env_method("reset")


def test_the_callback_logs_the_curriculum(tmp_path: Path) -> None:
    from stable_baselines3.common.logger import configure

    venv = sb3.wrap(vector(AutoresetMode.NEXT_STEP), "random")
    model = PPO("MlpPolicy", venv, n_steps=64, batch_size=64, device="cpu")
    model.set_logger(configure(str(tmp_path), ["json"]))
    model.learn(192, callback=venv.callback())
    model.logger.close()
    logged = (tmp_path / "progress.json").read_text()
    for name in ("attempts", "environment_steps", "mean_half_length"):
        assert f"curriculum/{name}" in logged
    assert "rollout/ep_rew_mean" in logged
    assert "rollout/success_rate" in logged


def test_what_can_be_looked_at() -> None:
    venv = sb3.wrap(vector(AutoresetMode.NEXT_STEP), "random", seed=3)
    venv.seed(17)  # SB3 does: the curriculum owns the seeds
    venv.reset()
    again = sb3.wrap(vector(AutoresetMode.NEXT_STEP), "random", seed=3)
    again.reset()
    assert_same(list(venv.tickets), list(again.tickets))
    assert venv.teacher is venv.curriculum.teacher
    assert repr(venv.task_space) == repr(currgym.task_space(one()))
    assert repr(currgym.task_space(venv)) == repr(venv.task_space)
