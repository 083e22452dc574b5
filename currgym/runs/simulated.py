"""A simulated run's moving parts: a toy that is world and learner in one, and its curriculum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from currgym.curriculum import Curriculum, Tickets
from currgym.outcomes import Outcomes
from currgym.registry import check_arguments, nearest
from currgym.runs.config import RunConfig
from currgym.runs.direct import DirectSession, check_needs
from currgym.runs.evaluation import TestRow, TestSet
from currgym.runs.recorder import extra_columns
from currgym.runs.seeding import build_teacher, seed_for
from currgym.runs.settings import student_parameters
from currgym.students import students
from currgym.teaching import Teacher

__all__ = ["SimulatedSession", "make_run_teacher", "make_session"]

PROVIDES = frozenset({"probe", "successes", "returns", "lengths", "ids", "seeds"})


def make_session(config: RunConfig, test_set: TestSet | None) -> SimulatedSession:
    """Build the session of a run with a simulated student."""
    return SimulatedSession(config)


def make_run_teacher(config: RunConfig) -> Teacher:
    """Build the teacher of a run with a simulated student."""
    student = _student(config)
    return build_teacher(config, student.task_space, student.return_range, config.steps)


def _student(config: RunConfig) -> Any:
    toys = [name for name in students if students[name].kind == "simulated"]
    if config.env.removeprefix("toy/") not in toys:
        raise ValueError(nearest(config.env, [f"toy/{name}" for name in toys], "toy"))
    if config.env != f"toy/{config.student}":
        raise ValueError(
            f"student {config.student!r} and {config.env} do not fit: a toy is world and learner "
            f"in one, so take --student {config.env.removeprefix('toy/')}"
        )
    parameters = {**config.env_parameters, **config.student_parameters}
    check_arguments(parameters, student_parameters(config.student), config.env)
    return students[config.student].load()(seed=seed_for(config.seed, "student"), **parameters)


class SimulatedSession(DirectSession):
    """Everything of one simulated run that is not its folder.

    ``num_envs`` attempts are drawn and reported together.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.student = _student(config)
        self.space = self.student.task_space
        self.teacher = build_teacher(config, self.space, self.student.return_range, config.steps)
        check_needs(config, self.teacher, PROVIDES | getattr(self.student, "provides", frozenset()))
        self._wanted = self.log_columns  # what the teacher is told and what the log says are one
        self.curriculum = Curriculum(self.teacher, seed=seed_for(config.seed, "episodes"))
        tasks = self.student.test_tasks()
        self.test_set = TestSet("all", tasks, np.zeros((len(tasks), 1), dtype=np.int64))
        if config.test_set not in (None, "all"):
            raise ValueError(f"no test set {config.test_set!r}; there is: all")

    @property
    def steps(self) -> int:
        """The run's clock: attempts, probes included."""
        return self.ledger.attempts + self.ledger.probes

    @property
    def log_columns(self) -> frozenset[str]:
        """Columns and scores beyond the fixed ones that the teacher works on."""
        return extra_columns(self.teacher.needs)

    def describe(self) -> dict[str, Any]:
        """Return what ``config.json`` says beyond the request."""
        return {
            "task_space": self.space.config(),
            "return_range": list(self.student.return_range),
            "mastery": self.student.mastery,
            "default_task": None,
            "test_set": self.test_set.to_json(),
            "privileges": sorted(self.teacher.privileges),
            "exact_resume": self.exact,
        }

    def train(self, at_safe_point: Callable[[], None]) -> None:
        """Attempt tasks to the end of the budget."""
        curriculum, student = self.curriculum, self.student
        while (left := self.config.steps - self.steps) > 0:
            at_safe_point()
            probes = curriculum.requests()
            if probes is not None:
                self._settle(probes, student.attempt(probes.tasks, learn=False))
                left -= len(probes.ids)
            if left > 0:
                tickets = curriculum.issue(min(self.config.num_envs, left))
                self._settle(tickets, student.attempt(tickets.tasks))

    def _settle(self, tickets: Tickets, outcomes: Outcomes) -> None:
        wanted = self._wanted
        self.curriculum.settle(
            tickets.ids,
            outcomes.returns,
            successes=outcomes.successes,
            initial_values=outcomes.initial_values if "initial_values" in wanted else None,
            scores={name: v for name, v in outcomes.scores.items() if name in wanted},
            step=self.steps,
        )

    def evaluate(self) -> list[TestRow]:
        """Look at the student's competence everywhere; nothing is attempted."""
        result, solved = self.student.competences()
        self.ledger.charge(evaluations=len(result))
        return [
            TestRow(i, 0, r, 1, s)
            for i, (r, s) in enumerate(zip(result.tolist(), solved.tolist(), strict=True))
        ]

    def policy(self) -> Any:
        """Return the student."""
        return self.student

    def measured(self) -> None:
        """There is no optimiser."""
