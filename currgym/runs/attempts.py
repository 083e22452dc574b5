"""Attempts on listed tasks by a student as it explores in training; it learns nothing from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from currgym.curriculum import Ledger
from currgym.outcomes import Outcomes
from currgym.scores import VALUE_SCORES
from currgym.teaching import Proposals

if TYPE_CHECKING:
    from currgym.runs.rl import RLSession

__all__ = ["Listed", "explore"]


class Listed:
    """Hands out a list of tasks once, keeps the outcomes, and repeats itself when asked for more.

    Any object with ``sample`` and ``update`` is a teacher; this one also requests its list.

    Args:
        tasks: The list.
        needs: Scores that each attempt must tell.
    """

    def __init__(self, tasks: NDArray[Any], needs: frozenset[str]) -> None:
        self.tasks = tasks
        self.needs = needs
        self.outcomes: list[Outcomes] = []
        self._given = 0
        self._asked = False

    def sample(self, n: int = 1) -> NDArray[Any]:
        """Return the next tasks of the list."""
        rows = np.arange(self._given, self._given + n) % len(self.tasks)
        self._given += n
        return self.tasks[rows]

    def requests(self) -> Proposals | None:
        """Return the list, at the first call."""
        if self._asked:
            return None
        self._asked = True
        return Proposals(self.tasks)

    def update(self, outcomes: Outcomes) -> None:
        """Keep outcomes."""
        self.outcomes.append(outcomes)

    def first(self) -> dict[str, Any]:
        """Return the columns of the outcome of each listed task, in the order of the list."""
        ids = np.concatenate([o.ids for o in self.outcomes if o.ids is not None])
        order = np.argsort(ids)[: len(self.tasks)]

        def column(values: list[Any]) -> Any:
            return None if values[0] is None else np.concatenate(values)[order]

        found = {
            name: column([getattr(o, name) for o in self.outcomes])
            for name in ("returns", "successes")
        }
        found["scores"] = {
            name: column([o.scores[name] for o in self.outcomes])
            for name in self.outcomes[0].scores
        }
        return found

    @property
    def done(self) -> bool:
        """Whether every listed task has its outcome."""
        ids = {i for o in self.outcomes if o.ids is not None for i in o.ids.tolist()}
        return len(ids.intersection(range(len(self.tasks)))) == len(self.tasks)


def explore(
    session: RLSession, tasks: NDArray[Any], seed: int, scores: frozenset[str] = frozenset()
) -> tuple[Listed, Ledger]:
    """Attempt each task once, all at the same time, with the student of a reinforcement run.

    Args:
        session: The run's.
        tasks: As the space writes them; a task may be listed several times.
        seed: Of episodes and exploration.
        scores: Of each attempt, beside return and success: those that the student's critic gives,
            and those that the environment tells.

    Returns:
        The list with its outcomes, and what they cost.

    Raises:
        ValueError: If a score needs state values and the student has none, or nobody gives it.
    """
    import gymnasium
    import torch

    from currgym.students.rl import guarded_randomness
    from currgym.vector import CurriculumVectorEnv

    listed = Listed(tasks, scores)
    values = session.student.value_function() if scores & VALUE_SCORES else None
    vec = gymnasium.make_vec(
        session.about.env_id, num_envs=len(tasks), **session.config.env_parameters
    )
    core = CurriculumVectorEnv(vec, listed, seed=seed)
    core.value_function = values
    if values is not None:
        core.gamma, core.gae_lambda = session.student.gamma, session.student.gae_lambda
    policy = session.student.policy(deterministic=False)
    try:
        with guarded_randomness():
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002 - where SB3 draws from
            observations, _ = core.reset()
            starts = np.ones(len(tasks), dtype=np.bool_)
            while not listed.done:
                actions = policy.act(observations, starts)
                observations, _, terminated, truncated, _ = core.step(actions)
                starts = np.asarray(terminated | truncated)
        return listed, core.ledger
    finally:
        core.close()
