"""Attempts without learning that a teacher asks for, played in environments of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from currgym.curriculum import Curriculum
from currgym.scores import VALUE_SCORES, episode_scores
from currgym.students.rl import Policy, SB3Student
from currgym.teaching import Teacher
from currgym.vector import stack

__all__ = ["Prober", "asks_for_probes"]

_START, _GOES_ON = np.array([True]), np.array([False])


def asks_for_probes(teacher: Teacher) -> bool:
    """Tell whether a teacher may have requests, needed or not."""
    kind = type(teacher)
    written = kind.requests is not Teacher.requests or kind._requests is not Teacher._requests
    return written or "probe" in teacher.needs


class Prober:
    """Plays a teacher's requests; nothing of them reaches a gradient.

    Args:
        env_id: Environment id.
        env_kwargs: Its keyword arguments.
        mastery: Return above which an attempt succeeds where the environment says nothing.
    """

    def __init__(self, env_id: str, env_kwargs: Mapping[str, Any], mastery: float | None) -> None:
        self._env = gymnasium.make(env_id, **env_kwargs)
        self._mastery = mastery

    def run(self, curriculum: Curriculum, student: SB3Student, step: int) -> None:
        """Ask for requests, play them with the student as it is now, and settle them."""
        tickets = curriculum.requests()
        if tickets is None:
            return
        policy = student.policy()
        wanted = frozenset(getattr(curriculum.teacher, "needs", ()))
        columns: dict[str, Any] = {}
        scores: dict[str, list[float]] = {}
        for task, seed in zip(tickets.tasks, tickets.seeds.tolist(), strict=True):
            found, scored = self._play(task, seed, policy, student, wanted)
            for name, value in found.items():
                columns.setdefault(name, []).append(value)
            for name, score in scored.items():
                scores.setdefault(name, []).append(score)
        returns = columns.pop("returns")
        # Some episodes may say whether they succeeded and others not: then nobody knows of all.
        if None in columns["successes"]:
            del columns["successes"]
        curriculum.settle(tickets.ids, returns, step=step, scores=scores, **columns)

    def _play(
        self, task: Any, seed: int, policy: Policy, student: SB3Student, wanted: frozenset[str]
    ) -> tuple[dict[str, Any], dict[str, float]]:
        """Return the columns of one attempt, and the scores that its teacher needs."""
        gamma = student.gamma
        asked = bool(wanted & (VALUE_SCORES | {"initial_values"}))
        observation, info = self._env.reset(seed=seed, options={"task": task})
        start, rewards, values = _START, [], []
        terminated = truncated = False
        while not (terminated or truncated):
            batch = stack([observation])
            if asked:
                values.append(student.estimate(batch))
            action = policy.act(batch, start)[0]
            start = _GOES_ON
            observation, reward, terminated, truncated, info = self._env.step(action)
            rewards.append(float(reward))
        total = sum(rewards)
        columns = {
            "returns": total,
            "lengths": len(rewards),
            "successes": self._success(info, total),
            "terminated": terminated,
            "truncated": truncated,
            "discounted": sum(r * gamma**t for t, r in enumerate(rewards)),
        }
        if not asked:
            return columns, {}
        final = 0.0 if terminated else student.estimate(stack([observation]))
        if "initial_values" in wanted:
            columns["initial_values"] = values[0]
        return columns, episode_scores(
            rewards, values, final, gamma=gamma, gae_lambda=student.gae_lambda,
            names=wanted & VALUE_SCORES,
        )  # fmt: skip

    def _success(self, info: Mapping[str, Any], total: float) -> float | None:
        if info.get("success") is not None:
            return float(info["success"])
        return None if self._mastery is None else float(total > self._mastery)

    def close(self) -> None:
        """Close the environment."""
        self._env.close()
