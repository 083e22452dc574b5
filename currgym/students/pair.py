"""A pair of students on the same tickets: what PAIRED's regret is measured with.

Both learners have environments and a curriculum of their own, which ask one *desk* for episodes.
The desk keeps the designer's curriculum: it hands every ticket to both, and settles it when both
have made their attempts.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from currgym import sb3
from currgym.curriculum import Curriculum, Ledger
from currgym.outcomes import Outcomes
from currgym.sb3 import CurriculumVecEnv
from currgym.students.base import Environments, SafePoint
from currgym.students.meter import OptimizerMeter
from currgym.students.rl import (
    Policy,
    SB3Student,
    global_randomness,
    guarded_randomness,
    set_global_randomness,
)
from currgym.teaching import Proposals, TeacherLike, make_teacher
from currgym.vector import declared

__all__ = ["ROLES", "Desk", "Pair", "pair_regret"]

State = dict[str, Any]

ROLES = ("protagonist", "antagonist")
_PROVIDED = frozenset({"regret", "probe", "returns", "ids", "seeds", "lengths", "successes"})
"""What the desk tells by itself; of other needs it tells the mean of the protagonist's attempts."""
_UNMEANT = frozenset({"terminated", "truncated", "trials"})
_COLUMNS = ("discounted", "initial_values")


def pair_regret(protagonist: list[float], antagonist: list[float]) -> float:
    """Return the regret of a ticket: the antagonist's best return less the protagonist's mean.

    >>> pair_regret([0.2, 0.4], [0.9, 0.1])
    0.6
    """
    return max(antagonist) - sum(protagonist) / len(protagonist)


class Attempt(NamedTuple):
    """One learner's attempt on a ticket.

    Attributes:
        result: Its return.
        steps: Environment steps.
        success: In [0, 1]; None where nobody knows.
        told: What the designer needs besides, by name.
    """

    result: float
    steps: int
    success: float | None = None
    told: Mapping[str, float] = {}


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
        self.seats: dict[str, CurriculumVecEnv] = {}
        """The environments of each learner, by role."""
        needs = frozenset(getattr(curriculum.teacher, "needs", ()))
        self.wanted = needs - _PROVIDED
        """What the protagonist's attempts must tell."""
        if unmeant := sorted(needs & _UNMEANT):
            raise ValueError(
                f"{curriculum.teacher!r} needs {', '.join(unmeant)}, which is told of single "
                "episodes: it cannot design for a pair, who attempt a task several times"
            )
        self._queues: dict[str, deque[int]] = {role: deque() for role in ROLES}
        self._open: dict[int, dict[str, list[Attempt]]] = {}

    def seat(self, role: str, environments: VectorEnv[Any, Any, Any]) -> CurriculumVecEnv:
        """Return a learner's environments, whose every episode is an attempt on a ticket."""
        follower = _Follower(self, role)
        self.seats[role] = sb3.wrap(environments, Curriculum(follower), keep_actions=True)
        return self.seats[role]

    @property
    def steps(self) -> int:
        """Environment steps of both."""
        return sum(venv.core.steps for venv in self.seats.values())

    def next(self, role: str) -> tuple[int, Any, int]:
        """Return a learner's next (ticket, task, seed); a new ticket where it has none left."""
        if not self._queues[role]:
            new = int(self.curriculum.issue(1).ids[0])
            self._open[new] = {r: [] for r in ROLES}
            for queue in self._queues.values():
                queue.extend([new] * self.attempts)
        ticket = self._queues[role].popleft()
        return ticket, *self.curriculum.ticket(ticket)

    def done(self, role: str, ticket: int, attempt: Attempt) -> None:
        """Take a learner's attempt; the designer hears of the ticket when both have made theirs."""
        made = self._open[ticket]
        made[role].append(attempt)
        if all(len(attempts) == self.attempts for attempts in made.values()):
            del self._open[ticket]
            self._settle(ticket, *(made[r] for r in ROLES))

    def _settle(self, ticket: int, protagonist: list[Attempt], antagonist: list[Attempt]) -> None:
        results = [a.result for a in protagonist]
        successes = [a.success for a in protagonist if a.success is not None]
        columns: State = {}
        if len(successes) == self.attempts:
            columns["successes"] = [float(np.mean(successes))]
        scores = {"regret": [pair_regret(results, [a.result for a in antagonist])]}
        for name in self.wanted:
            mean = [float(np.mean([a.told[name] for a in protagonist]))]
            (columns if name in _COLUMNS else scores)[name] = mean
        steps = sum(a.steps for a in [*protagonist, *antagonist])
        self.curriculum.settle(
            [ticket], [float(np.mean(results))], lengths=[steps], step=self.steps, scores=scores,
            **columns,
        )  # fmt: skip

    def state_dict(self) -> State:
        """Return designer, tickets and both learners' running episodes, as plain arrays."""
        rows = [
            (ticket, k, attempt)
            for ticket, made in self._open.items()
            for k, role in enumerate(ROLES)
            for attempt in made[role]
        ]
        attempts = [attempt for _, _, attempt in rows]
        return {
            "curriculum": self.curriculum.state_dict(),
            "queues": {role: np.array(queue, np.int64) for role, queue in self._queues.items()},
            "open": np.array(list(self._open), dtype=np.int64),
            "tickets": np.array([ticket for ticket, _, _ in rows], dtype=np.int64),
            "roles": np.array([k for _, k, _ in rows], dtype=np.int64),
            "results": np.array([a.result for a in attempts], dtype=np.float64),
            "steps": np.array([a.steps for a in attempts], dtype=np.int64),
            "successes": np.array(
                [np.nan if a.success is None else a.success for a in attempts], dtype=np.float64
            ),
            "told": {
                # Only the protagonist's attempts tell it.
                name: np.array([a.told.get(name, np.nan) for a in attempts], dtype=np.float64)
                for name in sorted(self.wanted)
            },
            "seats": {role: venv.state_dict() for role, venv in self.seats.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Go on within the saved episodes; return each learner's present observations."""
        self.curriculum.load_state_dict(state["curriculum"])
        for role, queue in self._queues.items():
            queue.clear()
            queue.extend(np.asarray(state["queues"][role]).tolist())
        self._open = {int(ticket): {role: [] for role in ROLES} for ticket in state["open"]}
        columns = [np.asarray(state[name]).tolist() for name in ("tickets", "roles", "results")]
        columns += [np.asarray(state[name]).tolist() for name in ("steps", "successes")]
        for row, (ticket, k, result, steps, success) in enumerate(zip(*columns, strict=True)):
            told = {name: float(column[row]) for name, column in state["told"].items()}
            known = None if np.isnan(success) else success
            self._open[ticket][ROLES[k]].append(Attempt(result, steps, known, told))
        return {role: venv.restore(state["seats"][role]) for role, venv in self.seats.items()}


class _Follower:
    """One learner's teacher: proposes what the desk hands out, and reports there."""

    def __init__(self, desk: Desk, role: str) -> None:
        self.desk, self.role = desk, role
        self.name = str(getattr(desk.curriculum.teacher, "name", ""))
        self.needs = desk.wanted if role == "protagonist" else frozenset()
        self._next = 0  # the own curriculum's id of the next proposal
        self._tickets: dict[int, int] = {}

    def sample(self, n: int = 1) -> NDArray[Any]:
        return self.propose(n).tasks

    def propose(self, n: int = 1) -> Proposals:
        found = [self.desk.next(self.role) for _ in range(n)]
        for ticket, _, _ in found:
            self._tickets[self._next] = ticket
            self._next += 1
        seeds = np.array([seed for _, _, seed in found], dtype=np.int64)
        return Proposals(np.array([task for _, task, _ in found]), seeds)

    def update(self, outcomes: Outcomes) -> None:
        assert outcomes.ids is not None
        assert outcomes.returns is not None
        told = {
            name: getattr(outcomes, name) if name in _COLUMNS else outcomes.scores[name]
            for name in self.needs
        }
        for i, own in enumerate(outcomes.ids.tolist()):
            attempt = Attempt(
                float(outcomes.returns[i]),
                int(outcomes.lengths[i]),
                None if outcomes.successes is None else float(outcomes.successes[i]),
                {name: float(column[i]) for name, column in told.items()},
            )
            self.desk.done(self.role, self._tickets.pop(own), attempt)

    def state_dict(self) -> State:
        return {
            "next": self._next,
            "own": np.array(list(self._tickets), dtype=np.int64),
            "tickets": np.array(list(self._tickets.values()), dtype=np.int64),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._next = int(state["next"])
        own, tickets = np.asarray(state["own"]).tolist(), np.asarray(state["tickets"]).tolist()
        self._tickets = dict(zip(own, tickets, strict=True))


class Pair:
    """A protagonist and an antagonist of one algorithm, on the tasks of one designer.

    Both attempt the same tickets, task and seed, ``attempts`` times each. The designer hears, per
    ticket, the protagonist's mean return and ``scores["regret"]``, the best return of the
    antagonist less that mean; a ticket's length is the steps of both. Any teacher may design: what
    else it needs (value losses, say) is the mean of the protagonist's attempts. Only the
    protagonist is evaluated, filmed and probed.

    They take turns, a rollout and its updates each, and each draws from random generators of its
    own. A budget of steps is that of both.

    Source: Dennis et al., "Emergent Complexity and Zero-shot Transfer via Unsupervised Environment
    Design" (PAIRED), NeurIPS 2020, https://arxiv.org/abs/2012.02096.

    Args:
        environments: Makes a vector environment; called once for each learner.
        teacher: The designer: a registered name, a teacher, or a :class:`currgym.Curriculum`.
        seed: Of a designer given by name, of episodes, and of both learners (which differ).
        algorithm: Of both learners: a student as ``currgym list students`` shows it, on-policy.
        attempts: Of each learner on each ticket, at least 1.
        **parameters: Of both learners.

    >>> import gymnasium, currgym
    >>> make = lambda: gymnasium.make_vec("currgym/CartPole-v0", num_envs=2)
    >>> pair = Pair(make, "paired", n_steps=32, batch_size=64)
    >>> pair.learn(256).steps >= 256
    True
    """

    def __init__(
        self,
        environments: Environments,
        teacher: str | TeacherLike | Curriculum = "paired",
        *,
        seed: int = 0,
        algorithm: str = "ppo",
        attempts: int = 2,
        **parameters: Any,
    ) -> None:
        made = {role: environments() for role in ROLES}
        about = declared(made["protagonist"])
        if isinstance(teacher, str):
            teacher = make_teacher(teacher, about.task_space, seed, about.return_range)
        self.curriculum = (
            teacher if isinstance(teacher, Curriculum) else Curriculum(teacher, seed=seed)
        )
        self.desk = Desk(self.curriculum, attempts)

        def learner(role: str) -> SB3Student:
            own = 2 * seed + ROLES.index(role)
            venv = self.desk.seat(role, made[role])
            found = SB3Student(algorithm, venv, seed=own, **dict(parameters))
            if found.replay is not None:
                raise ValueError(f"students of a pair must learn from rollouts, got {algorithm!r}")
            found.attach(venv)
            return found

        self.protagonist = learner("protagonist")
        """The learner that counts; it draws from the global generators, as students do."""
        with guarded_randomness():
            self.antagonist = learner("antagonist")
            """The learner that shows what can be done; its generators are kept aside."""
            self._aside = global_randomness()
        self.learners = {"protagonist": self.protagonist, "antagonist": self.antagonist}
        """By role."""
        self.exact = self.protagonist.exact

    # As a run builds it --------------------------------------------------------------------------

    @classmethod
    def parameters(
        cls, name: str, given: Mapping[str, Any] | None = None
    ) -> dict[str, inspect.Parameter]:
        """Return its own hyperparameters and those of the algorithm that is chosen."""
        signature = inspect.signature(cls.__init__, eval_str=True).parameters
        own = {key: signature[key] for key in ("algorithm", "attempts")}
        algorithm = str((given or {}).get("algorithm", own["algorithm"].default))
        return {**own, **SB3Student.parameters(algorithm)}

    @classmethod
    def on(
        cls,
        name: str,
        environments: Environments,
        curriculum: Curriculum,
        *,
        seed: int,
        **parameters: Any,
    ) -> Pair:
        """Build it as a run does: see :meth:`currgym.students.base.RLStudent.on`."""
        return cls(environments, curriculum, seed=seed, **parameters)

    # What both have done -------------------------------------------------------------------------

    @property
    def venvs(self) -> dict[str, CurriculumVecEnv]:
        """The environments of each, by role."""
        return self.desk.seats

    @property
    def steps(self) -> int:
        """Environment steps of both."""
        return sum(learner.steps for learner in self.learners.values())

    @property
    def rollout(self) -> int:
        """Environment steps of a turn of both."""
        return sum(learner.rollout for learner in self.learners.values())

    @property
    def updates(self) -> int:
        """Gradient updates of both."""
        return sum(learner.updates for learner in self.learners.values())

    @property
    def ledger(self) -> Ledger:
        """Tickets are its attempts; steps are those of both, on unsettled tickets too."""
        steps = sum(venv.ledger.steps for venv in self.desk.seats.values())
        return replace(self.curriculum.ledger, steps=steps, updates=self.updates)

    def learn(self, steps: int, at_safe_point: SafePoint = lambda: None) -> Pair:
        """Train until both together have taken that many steps (whole rollouts may go beyond).

        Args:
            steps: The budget, counted from the beginning.
            at_safe_point: Called before each turn, when nothing is half done.
        """
        while self.steps < steps:
            self._turn(self.protagonist, at_safe_point)
            with self._its_own_randomness():
                self._turn(self.antagonist, lambda: None)
        return self

    @staticmethod
    def _turn(learner: SB3Student, at_safe_point: SafePoint) -> None:
        learner.learn(learner.steps + learner.rollout, at_safe_point)

    @contextmanager
    def _its_own_randomness(self) -> Iterator[None]:
        """Let the antagonist draw from its own generators."""
        with guarded_randomness():
            set_global_randomness(self._aside)
            yield
            self._aside = global_randomness()

    def log_to(self, write: Callable[[Mapping[str, float], int], None]) -> None:
        """Send the scalars of both there, at the pair's step; the antagonist's under its name."""

        def aside(values: Mapping[str, float], step: int) -> None:
            write({f"antagonist/{name}": value for name, value in values.items()}, self.steps)

        self.protagonist.log_to(lambda values, step: write(values, self.steps))
        self.antagonist.log_to(aside)

    # The protagonist -----------------------------------------------------------------------------

    @property
    def gamma(self) -> float:
        """The discount."""
        return self.protagonist.gamma

    @property
    def gae_lambda(self) -> float:
        """Trace parameter of the advantages."""
        return self.protagonist.gae_lambda

    @property
    def meter(self) -> OptimizerMeter:
        """Of the protagonist's optimiser."""
        return self.protagonist.meter

    @property
    def replay(self) -> None:
        """There is none."""

    def value_function(self) -> Callable[[Any], NDArray[np.float64]]:
        """Return the protagonist's state values."""
        return self.protagonist.value_function()

    def estimate(self, observations: Any) -> float:
        """Return the protagonist's value estimate of a batch of one raw observation."""
        return self.protagonist.estimate(observations)

    def policy(self, deterministic: bool = True) -> Policy:
        """Return the protagonist's behaviour."""
        return self.protagonist.policy(deterministic)

    def policy_state(self) -> State:
        """Return what the protagonist's deterministic behaviour needs."""
        return self.protagonist.policy_state()

    def load_policy_state(self, state: Mapping[str, Any]) -> None:
        """Let the protagonist behave as when :meth:`policy_state` was taken."""
        self.protagonist.load_policy_state(state)

    # State ---------------------------------------------------------------------------------------

    def state_dict(self) -> State:
        """Return both learners; valid at a safe point only."""
        state = {"protagonist": self.protagonist.state_dict()}
        with self._its_own_randomness():
            state["antagonist"] = self.antagonist.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any], observations: Any = None) -> None:
        """Go on from a saved state (see :meth:`currgym.students.base.RLStudent`)."""
        for role, learner in self.learners.items():
            learner.load_state_dict(state[role], observations and observations[role])
        self._aside = state["antagonist"]["randomness"]

    def environments_state(self) -> State:
        """Return the designer, its tickets, and the running episodes of both."""
        return self.desk.state_dict()

    def restore_environments(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Go on within the saved episodes; return the present observations by role."""
        return self.desk.restore(state)

    def begin_episodes(self) -> None:
        """Start new episodes everywhere, and draw as the saved state would have drawn."""
        self.protagonist.begin_episodes()
        with self._its_own_randomness():
            self.antagonist.begin_episodes()

    def reseed(self, seed: int) -> None:
        """Draw exploration and minibatches from this seed from now on."""
        self.protagonist.reseed(2 * seed)
        with self._its_own_randomness():
            self.antagonist.reseed(2 * seed + 1)

    def close(self) -> None:
        """Close all environments."""
        for learner in self.learners.values():
            learner.close()
