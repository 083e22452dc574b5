"""Attempts without learning that a teacher asks for, played in environments of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium

from currgym.curriculum import Curriculum
from currgym.runs.watching import EPISODE_LIMIT, EnvironmentFailed, finite, in_words
from currgym.students.rl import SB3Student
from currgym.tasks import TaskSpace

__all__ = ["Prober"]


class Prober:
    """Plays a teacher's requests; nothing of them reaches a gradient.

    Args:
        env_id: Environment id.
        env_kwargs: Its keyword arguments.
        space: Of its tasks.
        mastery: Return above which an attempt succeeds where the environment says nothing.
    """

    def __init__(
        self,
        env_id: str,
        env_kwargs: Mapping[str, Any],
        space: TaskSpace,
        mastery: float | None,
    ) -> None:
        self._env = gymnasium.make(env_id, **env_kwargs)
        self._space, self._mastery = space, mastery
        self._named = ""

    def playing(self, env: Any) -> str | None:
        """Say what the environment plays; None if it is not the one of the probes."""
        return self._named if env is self._env else None

    def run(self, curriculum: Curriculum, student: SB3Student, step: int) -> None:
        """Ask for requests, play them with the student as it is now, and settle them."""
        tickets = curriculum.requests()
        if tickets is None:
            return
        policy = student.policy()
        columns: dict[str, Any] = {
            "returns": [], "lengths": [], "successes": [], "terminated": [], "truncated": [],
        }  # fmt: skip
        for task, seed in zip(tickets.tasks, tickets.seeds.tolist(), strict=True):
            self._named = f"probe of {in_words(self._space, task, seed)}"
            observation, _ = self._env.reset(seed=seed, options={"task": task})
            total, length, terminated, truncated = 0.0, 0, False, False
            info: dict[str, Any] = {}
            while not (terminated or truncated):
                action = policy.act(observation[None])[0]
                observation, reward, terminated, truncated, info = self._env.step(action)
                total += float(reward)
                length += 1
                if not finite(observation):
                    raise EnvironmentFailed(
                        f"{self._named}: observation {observation} at step {length}"
                    )
                if length > EPISODE_LIMIT:
                    raise EnvironmentFailed(
                        f"{self._named}: no end after {EPISODE_LIMIT:,} steps; register the "
                        "environment with max_episode_steps"
                    )
            success = info.get("success", self._mastery is not None and total > self._mastery)
            for name, value in zip(
                columns, (total, length, float(success), terminated, truncated), strict=True
            ):
                columns[name].append(value)
        returns = columns.pop("returns")
        curriculum.settle(tickets.ids, returns, step=step, **columns)
