"""A supervised run's moving parts: data family, curriculum, student, evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from currgym.curriculum import Curriculum
from currgym.registry import nearest
from currgym.runs.config import RunConfig
from currgym.runs.direct import DirectSession, check_needs
from currgym.runs.evaluation import TestRow, TestSet
from currgym.runs.seeding import build_teacher, seed_for
from currgym.students import students
from currgym.supervised import Family, HeldOut, make_family
from currgym.teaching import Teacher

__all__ = ["SupervisedSession", "make_run_teacher", "make_session"]


def make_run_teacher(config: RunConfig, family: Family | None = None) -> Teacher:
    """Build the teacher of a supervised run."""
    family = family or make_family(config.env, **config.env_parameters)
    proposals = config.steps // family.samples_per_task
    return build_teacher(config, family.task_space, family.return_range, proposals)


def make_session(config: RunConfig, test_set: TestSet | None) -> SupervisedSession:
    """Build the session of a supervised run."""
    import torch

    torch.set_num_threads(config.threads)
    return SupervisedSession(config, test_set)


class SupervisedSession(DirectSession):
    """Everything of one supervised run that is not its folder.

    Args:
        config: What to build.
        test_set: As an earlier session of this run chose it, or tasks and seeds of your own (their
            examples are generated as training's are); None chooses.
    """

    def __init__(self, config: RunConfig, test_set: TestSet | None) -> None:
        self.config = config
        self.family = make_family(config.env, **config.env_parameters)
        self.space = self.family.task_space
        self.teacher = make_run_teacher(config, self.family)
        self.curriculum = Curriculum(self.teacher, seed=seed_for(config.seed, "episodes"))
        self.student = students[config.student].load()(
            self.family, seed=seed_for(config.seed, "student"), **config.student_parameters
        )
        check_needs(config, self.teacher, self.student.provides)
        name = test_set.name if test_set is not None else config.test_set or "test"
        if test_set is not None and name not in self.family.test_sets:
            self.family.test_sets = {**self.family.test_sets, name: self._held_out(test_set)}
        if name not in self.family.test_sets:
            raise ValueError(nearest(name, self.family.test_sets, f"test set of {config.env}"))
        held_out = self.family.test_sets[name]
        self.test_set = TestSet(name, held_out.tasks, np.asarray(held_out.seeds)[:, None])
        self.family.charge(self.curriculum.ledger, self.teacher)

    def _held_out(self, test_set: TestSet) -> HeldOut:
        tasks = test_set.tasks
        # A row a task, however they were written down.
        seeds = test_set.seeds.reshape(len(tasks), -1)
        index = np.repeat(np.arange(len(tasks)), seeds.shape[1])
        return HeldOut(
            test_set.name, tasks, index, seeds.ravel(),
            lambda: self.family.batch(tasks[index], seeds.ravel()),
        )  # fmt: skip

    @property
    def steps(self) -> int:
        """The run's clock: samples the student has learned from."""
        return self.curriculum.ledger.steps

    @property
    def log_columns(self) -> frozenset[str]:
        """The loss is what these teachers work on."""
        return frozenset({"loss"})

    def describe(self) -> dict[str, Any]:
        """Return what ``config.json`` says beyond the request."""
        return {
            "task_space": self.space.config(),
            "return_range": list(self.family.return_range),
            "mastery": self.family.mastery,
            "default_task": None,
            "test_set": self.test_set.to_json(),
            "privileges": sorted(self.teacher.privileges),
            "exact_resume": self.exact,
        }

    def train(self, at_safe_point: Callable[[], None]) -> None:
        """Train to the end of the budget, calling back before each update."""
        while (left := self.config.steps - self.steps) > 0:
            at_safe_point()
            tasks = -(-left // self.family.samples_per_task)
            # The last batch is cut to the budget; evaluations in between cut none.
            self.student.step(self.curriculum, min(self.student.batch_size, tasks))

    def evaluate(self) -> list[TestRow]:
        """Answer the test set; nothing of it reaches student or teacher."""
        rows = self.student.evaluate(self.test_set.name, self.curriculum.ledger)
        self.note("evaluation/loss", float(np.mean([row.loss for row in rows])))
        return [
            TestRow(row.task_index, row.seed, row.result, row.length, row.success) for row in rows
        ]

    def policy(self) -> Any:
        """Return the network."""
        return self.student.model

    def measured(self) -> dict[str, float] | None:
        """Return what the optimiser did since the last call, or None if nothing was measured."""
        found: dict[str, float] | None = self.student.meter.read()
        return found
