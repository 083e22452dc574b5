"""The README's two-line integrations, applied to scripts in the shape people have."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from currgym.envs.base import TaskEnv

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")

# The shape of Stable-Baselines3's quick start.
QUICK_START = """
import gymnasium as gym
from stable_baselines3 import PPO

env = gym.make("CartPole-v1")

model = PPO("MlpPolicy", env, n_steps=64, device="cpu")
model.learn(total_timesteps=1024)

vec_env = model.get_env()
obs = vec_env.reset()
for _ in range(100):
    action, _state = model.predict(obs, deterministic=True)
    obs, reward, done, info = vec_env.step(action)
"""

# The shape of CleanRL's ppo.py: one file, a synchronous vector of thunks, a flat loop.
ONE_FILE_PPO = """
import random
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical


@dataclass
class Args:
    env_id: str = "CartPole-v1"
    seed: int = 1
    total_timesteps: int = 2048
    num_envs: int = 4
    num_steps: int = 64
    gamma: float = 0.99
    gae_lambda: float = 0.95
    epochs: int = 2
    clip: float = 0.2


def make_env(env_id):
    def thunk():
        env = gym.make(env_id)
        return gym.wrappers.RecordEpisodeStatistics(env)

    return thunk


class Agent(nn.Module):
    def __init__(self, envs):
        super().__init__()
        width = int(np.prod(envs.single_observation_space.shape))
        self.critic = nn.Sequential(nn.Linear(width, 32), nn.Tanh(), nn.Linear(32, 1))
        self.actor = nn.Sequential(
            nn.Linear(width, 32), nn.Tanh(), nn.Linear(32, envs.single_action_space.n)
        )

    def act(self, obs, action=None):
        choice = Categorical(logits=self.actor(obs))
        action = choice.sample() if action is None else action
        return action, choice.log_prob(action), choice.entropy(), self.critic(obs)[..., 0]


args = Args()
random.seed(args.seed)
np.random.seed(args.seed)
torch.manual_seed(args.seed)
envs = gym.vector.SyncVectorEnv([make_env(args.env_id) for _ in range(args.num_envs)])
agent = Agent(envs)
optimizer = torch.optim.Adam(agent.parameters(), lr=3e-3, eps=1e-5)
shape = (args.num_steps, args.num_envs)
obs = torch.zeros(shape + envs.single_observation_space.shape)
actions, logprobs, rewards = torch.zeros(shape), torch.zeros(shape), torch.zeros(shape)
dones, values = torch.zeros(shape), torch.zeros(shape)
global_step = 0
episodic_returns = []
next_obs, _ = envs.reset(seed=args.seed)
next_obs, next_done = torch.Tensor(next_obs), torch.zeros(args.num_envs)
while global_step < args.total_timesteps:
    for step in range(args.num_steps):
        global_step += args.num_envs
        obs[step], dones[step] = next_obs, next_done
        with torch.no_grad():
            action, logprobs[step], _, values[step] = agent.act(next_obs)
        actions[step] = action
        next_obs, reward, terminations, truncations, infos = envs.step(action.numpy())
        rewards[step] = torch.Tensor(reward)
        next_obs, next_done = torch.Tensor(next_obs), torch.Tensor(terminations | truncations)
        if "episode" in infos:
            episodic_returns.extend(infos["episode"]["r"][infos["_episode"]].tolist())
    with torch.no_grad():
        next_value = agent.critic(next_obs)[..., 0]
        advantages, running = torch.zeros(shape), 0
        for t in reversed(range(args.num_steps)):
            last = t == args.num_steps - 1
            going = 1.0 - (next_done if last else dones[t + 1])
            following = next_value if last else values[t + 1]
            delta = rewards[t] + args.gamma * following * going - values[t]
            advantages[t] = running = delta + args.gamma * args.gae_lambda * going * running
        targets = advantages + values
    real = dones == 0  # the step of a reset is no transition
    for _ in range(args.epochs):
        _, logprob, entropy, value = agent.act(obs[real], actions[real])
        ratio = (logprob - logprobs[real]).exp()
        gain = advantages[real]
        gain = (gain - gain.mean()) / (gain.std() + 1e-8)
        policy_loss = -torch.min(gain * ratio, gain * ratio.clamp(1 - args.clip, 1 + args.clip))
        value_loss = 0.5 * (value - targets[real]) ** 2
        loss = policy_loss.mean() + 0.5 * value_loss.mean() - 0.01 * entropy.mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
        optimizer.step()
"""


def changed(script: str, *changes: tuple[str, str]) -> str:
    """Return the script with lines replaced; each new text must stand in the README."""
    result = script
    for old, new in changes:
        assert result.count(old) == 1, old
        result = result.replace(old, new)
    marks = [line[0] for line in difflib.ndiff(script.splitlines(), result.splitlines())]
    assert marks.count("+") <= 3
    return result


def run(script: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "script"}
    exec(compile(script, "script.py", "exec", dont_inherit=True), names)
    return names


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the steps that reach single environments."""
    count = [0]
    step = TaskEnv.step

    def counted(self: TaskEnv, action: Any) -> Any:
        count[0] += 1
        return step(self, action)

    monkeypatch.setattr(TaskEnv, "step", counted)
    return count


def in_readme(line: str) -> str:
    assert line in README, line
    return line


def test_the_quick_start_as_it_is() -> None:
    assert run(QUICK_START)["model"].num_timesteps == 1024


def test_stable_baselines3() -> None:
    line = in_readme(
        'env = currgym.sb3.wrap(gym.make_vec("currgym/CartPole-v0", num_envs=8), "alp-gmm", seed=0)'
    )
    script = changed(
        QUICK_START,
        ("import PPO\n", "import PPO\nimport currgym\n"),
        ('env = gym.make("CartPole-v1")', line),
    )
    names = run(script)
    venv, model = names["env"], names["model"]
    assert model.num_timesteps == 1024
    # The quick start begins anew after training and takes 100 steps more.
    assert venv.ledger.environment_steps == 1024 + 100 * 8
    assert venv.ledger.attempts > 20
    assert venv.ledger.cancelled == 8
    assert np.ptp(venv.tickets.tasks, axis=0).min() > 0
    assert venv.teacher.seen == venv.ledger.attempts
    assert len(model.ep_info_buffer) > 20
    assert {"r", "l", "t"} <= set(model.ep_info_buffer[0])


def test_a_one_file_ppo(calls: list[int]) -> None:
    line = in_readme('envs = currgym.CurriculumVectorEnv(envs, "alp-gmm", seed=0)')
    script = changed(
        ONE_FILE_PPO,
        ("import gymnasium as gym\n", "import currgym\nimport gymnasium as gym\n"),
        ('"CartPole-v1"', '"currgym/CartPole-v0"'),
        ("agent = Agent(envs)\n", f"{line}\nagent = Agent(envs)\n"),
    )
    names = run(script)
    envs = names["envs"]
    assert envs.ledger.environment_steps == calls[0]
    assert 0 < names["global_step"] - calls[0] <= envs.ledger.attempts  # the steps of resets
    assert envs.ledger.attempts == len(names["episodic_returns"]) > 30
    assert np.ptp(envs.tickets.tasks, axis=0).min() > 0
    assert envs.teacher.seen == envs.ledger.attempts


def test_a_one_file_ppo_as_it_is() -> None:
    assert len(run(ONE_FILE_PPO)["episodic_returns"]) > 10
