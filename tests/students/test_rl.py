"""Students of Stable-Baselines3 and sb3-contrib: every name trains, on whatever is observed."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

import currgym
from currgym import BoxTasks, sb3
from currgym.students import ALGORITHM, students
from currgym.students.rl import SB3Student

RL = [name for name in students if students[name].wrapper == ALGORITHM]
DISCRETE = ("dqn", "qr-dqn")
OFF_POLICY: dict[str, Any] = {"learning_starts": 16, "batch_size": 4, "net_arch": [4]}
ON_POLICY: dict[str, Any] = {"n_steps": 16, "batch_size": 16, "net_arch": [4]}
A2C: dict[str, Any] = {"n_steps": 16, "net_arch": [4]}


def settings(name: str) -> dict[str, Any]:
    if name == "a2c":
        return A2C
    return ON_POLICY if name in ("ppo", "trpo", "recurrent-ppo") else OFF_POLICY


@pytest.mark.parametrize("name", RL)
def test_every_algorithm_trains_by_its_name(name: str) -> None:
    env = "currgym/CartPole-v0" if name in DISCRETE else "currgym/Pendulum-v0"
    venv = sb3.wrap(gymnasium.make_vec(env, num_envs=2, max_episode_steps=10), "random", seed=0)
    student = SB3Student(name, venv, seed=0, **settings(name))
    before = [p.detach().clone() for p in student.model.policy.parameters()]
    student.learn(64, lambda: None)
    changed = any(
        not np.array_equal(old.numpy(), new.detach().numpy())
        for old, new in zip(before, student.model.policy.parameters(), strict=True)
    )
    assert changed
    assert student.updates > 0
    assert venv.ledger.attempts >= 4
    observations = venv.reset()
    actions = student.policy().act(observations, np.ones(2, dtype=np.bool_))
    assert len(actions) == 2


class Sight(gymnasium.Env[Any, Any]):
    """Somebody's environment, whose observations are of any make."""

    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, kind: str) -> None:
        place = gymnasium.spaces.Box(-10, 10, (2,), np.float32)
        self.observation_space = {
            "box": place,
            "number": gymnasium.spaces.Discrete(5),
            "dict": gymnasium.spaces.Dict(place=place, room=gymnasium.spaces.Discrete(5)),
            "rooms": gymnasium.spaces.Dict(room=gymnasium.spaces.Discrete(5)),
        }[kind]
        self.kind, self.gain = kind, 1.0

    def _see(self) -> Any:
        place, room = np.full(2, self.gain, dtype=np.float32), self.now % 5
        parts = {"place": place, "room": room}
        if self.kind in ("dict", "rooms"):
            return {name: parts[name] for name in self.observation_space}  # type: ignore[attr-defined]
        return place if self.kind == "box" else room

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.now = 0
        return self._see(), {}

    def step(self, action: Any) -> Any:
        self.now += 1
        return self._see(), self.gain, self.now >= 4, False, {}


def set_gain(env: gymnasium.Env[Any, Any], task: dict[str, Any]) -> None:
    env.unwrapped.gain = task["gain"]  # type: ignore[attr-defined]


def seeing(kind: str) -> Any:
    return currgym.ParameterizedEnv(Sight(kind), BoxTasks([1], [3], ["gain"]), set_gain)


@pytest.mark.parametrize("kind", ["box", "number", "dict", "rooms"])
@pytest.mark.parametrize("name", ["ppo", "recurrent-ppo", "dqn"])
def test_observations_of_any_make(name: str, kind: str) -> None:
    vec = SyncVectorEnv([lambda: seeing(kind)] * 2)
    venv = sb3.wrap(vec, "random", seed=0)
    student = SB3Student(name, venv, seed=0, **settings(name))
    student.attach(venv)
    student.learn(64, lambda: None)
    assert student.updates > 0
    assert venv.finished is None or venv.finished.outcomes.returns is not None


@pytest.mark.parametrize("name", ["ppo", "sac"])
def test_teachers_see_raw_returns_whatever_is_normalised(name: str) -> None:
    class Notes:
        def __init__(self) -> None:
            self.returns: list[float] = []

        def sample(self, n: int = 1) -> Any:
            return vec.unwrapped.task_space.sample(n, np.random.default_rng(0))  # type: ignore[attr-defined]

        def update(self, outcomes: Any) -> None:
            self.returns += outcomes.returns.tolist()

    notes = Notes()
    vec = gymnasium.make_vec("currgym/Pendulum-v0", num_envs=2, max_episode_steps=20)
    venv = sb3.wrap(vec, notes, seed=0)
    student = SB3Student(name, venv, seed=0, normalize="both", **settings(name))
    student.learn(100, lambda: None)
    # A step costs up to 16; normalised to unit variance, twenty of them would come to much less.
    assert max(notes.returns) < -20.0
    assert student.normalizer is not None
    assert abs(float(student.normalizer.old_reward.mean())) > 0.0


def test_scores_take_the_students_own_discount() -> None:
    vec = SyncVectorEnv([lambda: seeing("box")] * 2)
    venv = sb3.wrap(vec, "random", seed=0)
    student = SB3Student("ppo", venv, seed=0, gamma=0.5, gae_lambda=0.25, **ON_POLICY)
    student.attach(venv)
    assert (venv.core.gamma, venv.core.gae_lambda) == (0.5, 0.25)
    venv.reset()
    for _ in range(4):
        venv.step(np.zeros(2, dtype=np.int64))
    assert venv.finished is not None
    outcomes = venv.finished.outcomes
    assert outcomes.discounted is not None
    assert np.allclose(outcomes.discounted, outcomes.tasks[:, 0] * 1.875, rtol=1e-12)
