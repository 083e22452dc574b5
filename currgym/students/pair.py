"""A pair of students on the same tickets: what PAIRED's regret is measured with.

Both learners have environments and a curriculum of their own, which ask one *desk* for episodes.
The desk keeps the designer's curriculum: it hands every ticket to both, and settles it when both
have made their attempts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from currgym import sb3
from currgym.curriculum import Curriculum, Ledger
from currgym.outcomes import Outcomes
from currgym.students.rl import Policy, SB3Student
from currgym.tasks import TaskSpace
from currgym.teaching import Proposals, Teacher, make_teacher
from currgym.vector import declared

__all__ = ["ROLES", "Desk", "Pair", "pair_regret"]

ROLES = ("protagonist", "antagonist")


def pair_regret(protagonist: list[float], antagonist: list[float]) -> float:
    """Return the regret of a ticket: the antagonist's best return less the protagonist's mean.

    >>> pair_regret([0.2, 0.4], [0.9, 0.1])
    0.6
    """
    return max(antagonist) - sum(protagonist) / len(protagonist)


@dataclass
class _Ticket:
    """What is known of one ticket: per role, returns, successes and steps."""

    returns: dict[str, list[float]] = field(default_factory=lambda: {r: [] for r in ROLES})
    successes: list[float] = field(default_factory=list)
    steps: int = 0


class Desk:
    """Hands each of the designer's tickets to both learners, and settles it when both are done.

    Args:
        curriculum: The designer's.
        attempts: Of each learner on each ticket, at least 1.
    """

    def __init__(self, curriculum: Curriculum, attempts: int) -> None:
        if attempts < 1:
            raise ValueError(f"attempts must be at least 1, got {attempts}")
        self.curriculum = curriculum
        self.attempts = attempts
        self.settled: list[float] = []
        """Regret of each settled ticket, the latest thousand."""
        self._queues: dict[str, deque[tuple[int, Any, int]]] = {role: deque() for role in ROLES}
        self._open: dict[int, _Ticket] = {}

    def next(self, role: str) -> tuple[int, Any, int]:
        """Return a learner's next (ticket, task, seed); a new ticket where it has none left."""
        if not self._queues[role]:
            tickets = self.curriculum.issue(1)
            ticket = int(tickets.ids[0]), tickets.tasks[0], int(tickets.seeds[0])
            self._open[ticket[0]] = _Ticket()
            for queue in self._queues.values():
                queue.extend([ticket] * self.attempts)
        return self._queues[role].popleft()

    def done(
        self, role: str, ticket: int, result: float, success: float | None, steps: int
    ) -> None:
        """Take a learner's attempt; the designer hears of the ticket when both have made theirs."""
        entry = self._open[ticket]
        entry.returns[role].append(result)
        entry.steps += steps
        if role == "protagonist" and success is not None:
            entry.successes.append(success)
        if any(len(returns) < self.attempts for returns in entry.returns.values()):
            return
        del self._open[ticket]
        protagonist, antagonist = (entry.returns[role] for role in ROLES)
        regret = pair_regret(protagonist, antagonist)
        known: dict[str, Any] = (
            {"successes": [float(np.mean(entry.successes))]} if entry.successes else {}
        )
        self.curriculum.settle(
            [ticket], [float(np.mean(protagonist))], lengths=[entry.steps],
            scores={"regret": [regret]}, **known,
        )  # fmt: skip
        self.settled = [*self.settled[-999:], regret]


class _Follower:
    """One learner's teacher: proposes what the desk hands out, and reports there."""

    needs: frozenset[str] = frozenset()

    def __init__(self, desk: Desk, role: str) -> None:
        self.desk, self.role = desk, role
        self._tickets: deque[int] = deque()
        self._first = 0  # the own curriculum's id of the oldest one kept
        self._told: dict[int, bool] = {}

    def sample(self, n: int = 1) -> NDArray[Any]:
        return self.propose(n).tasks

    def propose(self, n: int = 1) -> Proposals:
        found = [self.desk.next(self.role) for _ in range(n)]
        self._tickets.extend(ticket for ticket, _, _ in found)
        seeds = np.array([seed for _, _, seed in found], dtype=np.int64)
        return Proposals(np.array([task for _, task, _ in found]), seeds)

    def update(self, outcomes: Outcomes) -> None:
        assert outcomes.ids is not None
        assert outcomes.returns is not None
        for i, own in enumerate(outcomes.ids.tolist()):
            success = None if outcomes.successes is None else float(outcomes.successes[i])
            self.desk.done(
                self.role, self._tickets[own - self._first], float(outcomes.returns[i]), success,
                int(outcomes.lengths[i]),
            )  # fmt: skip
            self._told[own] = True
        while self._told.pop(self._first, False):
            self._tickets.popleft()
            self._first += 1


class Pair:
    """A protagonist and an antagonist of one algorithm, and the designer that teaches them.

    Both attempt the same tickets, task and seed, ``attempts`` times each. The designer hears, per
    ticket, the protagonist's mean return and ``scores["regret"]``, the best return of the
    antagonist less that mean. Only the protagonist is evaluated.

    Source: Dennis et al., "Emergent Complexity and Zero-shot Transfer via Unsupervised Environment
    Design" (PAIRED), NeurIPS 2020, https://arxiv.org/abs/2012.02096.

    Args:
        env: Environment id.
        teacher: The designer: a registered name or a teacher; any will do.
        student: Algorithm of both, as ``currgym list students`` shows it; on-policy.
        seed: Of designer, episodes and both learners (which differ).
        num_envs: Sub-environments of each learner.
        attempts: Of each learner on each ticket, at least 1.
        env_parameters: Of the environment.
        teacher_parameters: Of a designer given by name.
        **student_parameters: Of both learners.

    >>> pair = Pair("currgym/CartPole-v0", "paired", num_envs=2, n_steps=32, batch_size=64)
    >>> pair.learn(256).steps >= 256
    True
    """

    def __init__(
        self,
        env: str,
        teacher: str | Teacher = "paired",
        *,
        student: str = "ppo",
        seed: int = 0,
        num_envs: int = 8,
        attempts: int = 2,
        env_parameters: Mapping[str, Any] | None = None,
        teacher_parameters: Mapping[str, Any] | None = None,
        **student_parameters: Any,
    ) -> None:
        made = {
            role: gymnasium.make_vec(env, num_envs=num_envs, **(env_parameters or {}))
            for role in ROLES
        }
        about = declared(made["protagonist"])
        self.space: TaskSpace = about.task_space
        if isinstance(teacher, str):
            teacher = make_teacher(
                teacher, self.space, seed, about.return_range, **(teacher_parameters or {})
            )
        self.teacher = teacher
        self.curriculum = Curriculum(teacher, seed=seed)
        self.desk = Desk(self.curriculum, attempts)
        self.learners: dict[str, SB3Student] = {}
        """By role."""
        for i, role in enumerate(ROLES):
            venv = sb3.wrap(made[role], Curriculum(_Follower(self.desk, role), seed=seed))
            learner = SB3Student(student, venv, seed=2 * seed + i, **dict(student_parameters))
            if learner.replay is not None:
                raise ValueError(f"student of a pair must learn from rollouts, got {student!r}")
            self.learners[role] = learner

    @property
    def protagonist(self) -> SB3Student:
        """The learner that counts."""
        return self.learners["protagonist"]

    @property
    def antagonist(self) -> SB3Student:
        """The learner that shows what can be done."""
        return self.learners["antagonist"]

    @property
    def steps(self) -> int:
        """Environment steps of both."""
        return sum(learner.steps for learner in self.learners.values())

    @property
    def ledger(self) -> Ledger:
        """What the designer's curriculum has counted: tickets, and the steps of both on them."""
        return self.curriculum.ledger

    def learn(self, steps: int) -> Pair:
        """Train until both together have taken that many steps (whole rollouts may go beyond).

        They take turns, a rollout and its updates each.
        """
        while self.steps < steps:
            for learner in self.learners.values():
                learner.model.learn(learner.rollout, reset_num_timesteps=learner.steps == 0)
        return self

    def policy(self) -> Policy:
        """Return the protagonist's deterministic behaviour."""
        return self.protagonist.policy()

    def close(self) -> None:
        """Close all environments."""
        for learner in self.learners.values():
            learner.venv.close()
