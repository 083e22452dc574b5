"""Attempts without learning that a teacher asks for, played in environments of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from currgym.curriculum import Curriculum
from currgym.remote.attempts import play
from currgym.runs.watching import EPISODE_LIMIT, EnvironmentFailed, finite, in_words
from currgym.scores import VALUE_SCORES, episode_scores
from currgym.students.base import RLStudent
from currgym.students.rl import Policy
from currgym.tasks import TaskSpace
from currgym.vector import stack

__all__ = ["Prober"]

_START, _GOES_ON = np.array([True]), np.array([False])


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
        told = self._env.get_wrapper_attr("scores") if self._env.has_wrapper_attr("scores") else ()
        self._told = frozenset(told)
        self._named = ""

    def playing(self, env: Any) -> str | None:
        """Say what the environment plays; None if it is not the one of the probes."""
        return self._named if env is self._env else None

    def run(self, curriculum: Curriculum, student: RLStudent, step: int) -> None:
        """Ask for requests, play them with the student as it is now, and settle them."""
        tickets = curriculum.requests()
        if tickets is None:
            return
        explores = bool(getattr(curriculum.teacher, "probes_explore", False))
        policy = student.policy(deterministic=not explores)
        wanted = frozenset(getattr(curriculum.teacher, "needs", ()))
        columns: dict[str, list[float]] = {}
        scores: dict[str, list[float]] = {}
        for task, seed in zip(tickets.tasks, tickets.seeds.tolist(), strict=True):
            found, scored = self._play(task, seed, policy, student, wanted)
            for name, value in found.items():
                columns.setdefault(name, []).append(value)
            for name, score in scored.items():
                scores.setdefault(name, []).append(score)
        # Some episodes may say whether they succeeded and others not: then nobody knows of all.
        known: dict[str, Any] = {
            name: values for name, values in columns.items() if len(values) == len(tickets.ids)
        }
        curriculum.settle(tickets.ids, known.pop("returns"), step=step, scores=scores, **known)

    def _play(
        self, task: Any, seed: int, policy: Policy, student: RLStudent, wanted: frozenset[str]
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Return the columns of one attempt, and the scores that its teacher needs."""
        asked = bool(wanted & (VALUE_SCORES | {"initial_values"}))
        values: list[float] = []
        start, taken = _START, 0
        self._named = f"probe of {in_words(self._space, task, seed)}"

        def act(observation: Any) -> Any:
            nonlocal start, taken
            self._look(observation, taken)
            taken += 1
            batch = stack([observation])
            if asked:
                values.append(student.estimate(batch))
            action = policy.act(batch, start)[0]
            start = _GOES_ON
            return action

        played = play(self._env, task, seed, act, self._mastery)
        self._look(played.final, taken)
        discounted = sum(r * student.gamma**t for t, r in enumerate(played.rewards))
        columns = {**played.columns, "discounted": discounted}
        scores = {name: float(played.info[name]) for name in sorted(self._told & wanted)}
        if not asked:
            return columns, scores
        final = 0.0 if columns["terminated"] else student.estimate(stack([played.final]))
        if "initial_values" in wanted:
            columns["initial_values"] = values[0]
        scores |= episode_scores(
            played.rewards, values, final, gamma=student.gamma, gae_lambda=student.gae_lambda,
            names=wanted & VALUE_SCORES,
        )  # fmt: skip
        return columns, scores

    def _look(self, observation: Any, step: int) -> None:
        """Refuse what is not finite, and an episode that does not end."""
        if not finite(observation):
            raise EnvironmentFailed(f"{self._named}: observation {observation} at step {step}")
        if step > EPISODE_LIMIT:
            raise EnvironmentFailed(
                f"{self._named}: no end after {EPISODE_LIMIT:,} steps; register the environment "
                "with max_episode_steps"
            )

    def close(self) -> None:
        """Close the environment."""
        self._env.close()
