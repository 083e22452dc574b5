"""A reinforcement-learning run's moving parts: environments, curriculum, student, evaluation."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np

from currgym.curriculum import Curriculum, Ledger
from currgym.runs.config import RunConfig, environment_id
from currgym.runs.evaluation import Evaluator, TestRow, TestSet
from currgym.runs.probing import Prober
from currgym.runs.recorder import extra_columns
from currgym.runs.replay import ReplayPieces
from currgym.runs.seeding import build_teacher, seed_for
from currgym.runs.tracking import Tracks
from currgym.runs.watching import in_words
from currgym.students import students
from currgym.students.base import RLStudent
from currgym.students.rl import Policy, guarded_randomness
from currgym.tasks import TaskSpace
from currgym.teaching import Teacher

__all__ = ["RLSession", "Surroundings", "make_run_teacher", "make_session"]


class Surroundings:
    """What an environment says about itself, asked of one instance.

    Raises:
        ValueError: If the environment has no task parameters.
    """

    def __init__(self, config: RunConfig) -> None:
        self.env_id = environment_id(config.env)
        env = gymnasium.make(self.env_id, **config.env_parameters)
        try:
            self.space: TaskSpace = env.get_wrapper_attr("task_space")
        except AttributeError:
            raise ValueError(
                f"{self.env_id} has no task parameters: register it wrapped in "
                "currgym.ParameterizedEnv(env, task_space, apply)"
            ) from None

        def ask(name: str) -> Any:
            return env.get_wrapper_attr(name) if env.has_wrapper_attr(name) else None

        self.return_range: tuple[float, float] | None = ask("return_range")
        self.mastery: float | None = ask("mastery")
        self.default_task = np.asarray(ask("default_task"))
        self.test_sets: Mapping[str, Any] = ask("test_sets") or {}
        limit = env.spec.max_episode_steps if env.spec is not None else None
        # An environment may keep a limit of its own, which follows its parameters.
        self.episode_steps: int = limit or ask("max_episode_steps") or 1000
        env.close()


def make_run_teacher(config: RunConfig, about: Surroundings | None = None) -> Teacher:
    """Build the teacher of a reinforcement-learning run."""
    about = about or Surroundings(config)
    # Half the time limit stands for a typical episode: an estimate, and only schedules use it.
    expected = config.steps // max(1, about.episode_steps // 2)
    return build_teacher(config, about.space, about.return_range, expected)


def make_session(config: RunConfig, test_set: TestSet | None) -> RLSession:
    """Build the session of a reinforcement-learning run."""
    import torch

    torch.set_num_threads(config.threads)
    return RLSession(config, test_set)


def _environments(config: RunConfig, env_id: str) -> Any:
    """Build the sub-environments, here or in Ray workers: their episodes are the same."""
    if not config.workers:
        return gymnasium.make_vec(env_id, num_envs=config.num_envs, **config.env_parameters)
    from currgym.remote import RayVectorEnv

    return RayVectorEnv(
        env_id, config.num_envs, config.workers, modules=config.modules, **config.env_parameters
    )


class _BudgetSpent(Exception):
    """Training and probes have used up the budget: ends SB3's loop before its own count."""


class RLSession:
    """Everything of one run that is not its folder.

    Args:
        config: What to build.
        test_set: What to evaluate on; None chooses as the configuration says.
    """

    kind = "rl"

    def __init__(self, config: RunConfig, test_set: TestSet | None) -> None:
        self.config = config
        about = self.about = Surroundings(config)
        self.space = about.space
        self.return_range = about.return_range
        self.mastery = about.mastery
        if test_set is not None:
            self.space.check(test_set.tasks)
        self.test_set = test_set or TestSet.choose(
            about.test_sets, about.space, config.test_set, config.test_tasks, config.test_seeds
        )
        self.teacher = make_run_teacher(config, about)
        self.curriculum = Curriculum(self.teacher, seed=seed_for(config.seed, "episodes"))
        entry = students[config.student]
        if entry.kind != self.kind:
            raise ValueError(
                f"student {config.student!r} is {entry.kind}; environments need an 'rl' student"
            )
        self.student: RLStudent = entry.student().on(
            config.student, lambda: _environments(config, about.env_id), self.curriculum,
            seed=seed_for(config.seed, "student"), **config.student_parameters,
        )  # fmt: skip
        self.exact = self.student.exact
        self.notes = self._notes()
        self._evaluator: Evaluator | None = None
        self._prober: Prober | None = None
        self._tracks: Tracks | None = None
        if self.curriculum.may_request:
            self._prober = Prober(about.env_id, config.env_parameters, self.space, about.mastery)

    def _notes(self) -> tuple[str, ...]:
        rollout = self.student.rollout
        if self.end == self.config.steps:
            return ()
        return (
            f"{self.config.student} learns from whole rollouts of {rollout:,} steps (n_steps x "
            f"num_envs of each learner), so it takes {self.end:,} steps rather than "
            f"{self.config.steps:,}",
        )

    @property
    def steps(self) -> int:
        """The run's clock: environment steps the student has taken."""
        return self.student.steps

    @property
    def end(self) -> int:
        """Steps that the run takes in all: its budget, or what whole rollouts make of it."""
        return self.config.steps + -self.config.steps % self.student.rollout

    @property
    def ledger(self) -> Ledger:
        """All that has been spent, unfinished episodes included."""
        return self.student.ledger

    def log_to(self, tracks: Tracks) -> None:
        """Send scalars there, the algorithm's own too."""
        self._tracks = tracks
        self.student.log_to(tracks.write)

    def train(self, at_safe_point: Callable[[], None]) -> None:
        """Train to the end of the budget, calling back where everything can be saved.

        Probes are paid from the same budget: a teacher that asks for them trains on less.
        """

        def safe_point() -> None:
            if self.student.steps + self.curriculum.ledger.probe_steps >= self.config.steps:
                raise _BudgetSpent
            self._probe()
            at_safe_point()

        with contextlib.suppress(_BudgetSpent):
            self.student.learn(self.config.steps, safe_point)

    def _probe(self) -> None:
        if self._prober is None:
            return
        with guarded_randomness():
            self._prober.run(self.curriculum, self.student, step=self.steps)

    def evaluate(self) -> list[TestRow]:
        """Play the test set; nothing of it reaches student or teacher."""
        if self._evaluator is None:
            self._evaluator = Evaluator(
                self.about.env_id,
                self.config.env_parameters,
                self.space,
                self.test_set,
                self.mastery,
            )
        with guarded_randomness():
            rows = self._evaluator.play(self.policy())
        self.curriculum.ledger.charge(evaluations=len(rows), evaluation_steps=self._evaluator.steps)
        return rows

    def playing(self, env: Any) -> str | None:
        """Say what an environment plays at present: which it is, its task and seed."""
        for helper in (self._evaluator, self._prober):
            if helper is not None and (found := helper.playing(env)) is not None:
                return found
        for role, venv in self.student.venvs.items():
            tickets = venv.tickets
            for i, mine in enumerate(getattr(venv.core.unwrapped, "envs", ())):
                if mine is env and tickets.ids[i] >= 0:
                    played = in_words(self.space, tickets.tasks[i], int(tickets.seeds[i]))
                    return f"{role} environment {i} ({played})".lstrip()
        return None

    def policy(self) -> Policy:
        """Return the student's deterministic behaviour."""
        return self.student.policy()

    def policy_state(self) -> dict[str, Any] | None:
        """Return what the policy needs."""
        return self.student.policy_state()

    def load_policy_state(self, state: Mapping[str, Any]) -> None:
        """Let the student act as it did when :meth:`policy_state` was taken."""
        self.student.load_policy_state(state)

    def measured(self) -> dict[str, float] | None:
        """Return what the optimiser did since the last call, or None if nothing was measured."""
        return self.student.meter.read()

    def save(self, pieces: ReplayPieces) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return (state tree, replay pieces); valid at a safe point."""
        used: dict[str, Any] = {}
        if self.student.replay is not None:
            used = pieces.append(self.student.replay, self.steps // self.config.num_envs)
        state = {
            "student": self.student.state_dict(),
            "environments": self.student.environments_state(),
        }
        return state, used

    def restore(
        self, state: Mapping[str, Any], pieces: ReplayPieces, names: Mapping[str, Any]
    ) -> None:
        """Go on from a saved state: replays the actions of every open episode."""
        observations = self.student.restore_environments(state["environments"])
        self.student.load_state_dict(state["student"], observations)
        if self.student.replay is not None:
            pieces.restore(self.student.replay, self.steps // self.config.num_envs, names)

    def restore_policy(self, state: Mapping[str, Any]) -> None:
        """Take over the student alone."""
        self.student.load_state_dict(state["student"])

    def adopt(
        self, state: Mapping[str, Any], pieces: ReplayPieces, names: Mapping[str, Any]
    ) -> None:
        """Take over another run's student and begin new episodes under this run's teacher."""
        student = self.student
        student.load_state_dict(state["student"])
        if student.replay is not None:
            pieces.restore(student.replay, self.steps // self.config.num_envs, names)
        student.begin_episodes()

    def reseed(self, seed: int) -> None:
        """Draw exploration and minibatches from this seed from now on."""
        self.student.reseed(seed_for(seed, "student"))

    def describe(self) -> dict[str, Any]:
        """Return what ``config.json`` says beyond the request."""
        return {
            "task_space": self.space.config(),
            "return_range": self.return_range,
            "mastery": self.mastery,
            "default_task": self.about.default_task.tolist(),
            "test_set": self.test_set.to_json(),
            "privileges": sorted(self.teacher.privileges),
            "exact_resume": self.exact,
        }

    @property
    def log_columns(self) -> frozenset[str]:
        """Columns and scores beyond the fixed ones that the teacher works on."""
        return extra_columns(self.teacher.needs)

    def note(self, name: str, value: float) -> None:
        """Send one scalar to whoever tracks the run."""
        if self._tracks is not None:
            self._tracks.write({name: value}, self.steps)

    def close(self) -> None:
        """Close all environments."""
        self.student.close()
        if self._evaluator is not None:
            self._evaluator.close()
        if self._prober is not None:
            self._prober.close()
