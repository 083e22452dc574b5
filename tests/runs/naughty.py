"""Environments that raise, hang, return NaN, or never end, each at the tasks of one half."""

from __future__ import annotations

import ctypes
import time
from typing import Any

import gymnasium
import numpy as np

import currgym

SPACE = currgym.BoxTasks([0.0], [1.0], names=["gap"])


class Naughty(gymnasium.Env[Any, Any]):
    """Ten steps of nothing; misbehaves at step 3 of tasks with gap above ``above``."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, fault: str = "", above: float = 0.5, render_mode: Any = None) -> None:
        self.fault, self.above, self.render_mode = fault, above, render_mode
        self.gap, self.steps = 0.0, 0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        if self.fault == "reset" and self.gap > self.above:
            raise ZeroDivisionError("no ground here")
        return np.zeros(2, dtype=np.float32), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        observation, reward = np.zeros(2, dtype=np.float32), 0.1
        fault = self.fault if self.gap > self.above and self.steps >= 3 else ""
        if fault == "raise":
            raise ZeroDivisionError("no ground here")
        if fault == "nan-reward":
            reward = float("nan")
        if fault == "nan-observation":
            observation = np.full(2, np.nan, dtype=np.float32)
        if fault == "loop":
            while True:
                pass
        if fault == "stubborn":
            while True:
                try:
                    time.sleep(0.01)
                except Exception:
                    continue
        if fault == "sleep":
            time.sleep(3600.0)
        if fault == "native":  # holds the interpreter's lock, so that no other thread runs
            ctypes.PyDLL(None).sleep(3600)
        over = self.steps >= 10 and fault != "endless"
        return observation, reward, over, False, {}


def make(fault: str = "", above: float = 0.5, **kwargs: Any) -> Any:
    def apply(env: Any, task: dict[str, Any]) -> None:
        env.unwrapped.gap = task["gap"]

    return currgym.ParameterizedEnv(
        Naughty(fault, above, **kwargs), SPACE, apply, mastery=0.5, return_range=(0.0, 1.0),
        test_sets={"low": [[0.1]], "all": [[0.1], [0.9]]},
    )  # fmt: skip


gymnasium.register("naughty/Env-v0", entry_point=make)
