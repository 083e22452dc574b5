"""Attempts without learning that a teacher asks for, played in environments of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium

from currgym.curriculum import Curriculum
from currgym.remote.attempts import play
from currgym.students.rl import SB3Student

__all__ = ["Prober"]


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
        played = [
            play(self._env, task, seed, lambda o: policy.act(o[None])[0], self._mastery)
            for task, seed in zip(tickets.tasks, tickets.seeds.tolist(), strict=True)
        ]
        columns: dict[str, Any] = {name: [row[name] for row in played] for name in played[0]}
        curriculum.settle(tickets.ids, columns.pop("returns"), step=step, **columns)
