"""The conformance checks of :mod:`currgym.testing`, said as findings."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import gymnasium

from currgym.doctor.findings import Finding
from currgym.doctor.subject import Subject
from currgym.testing import ENV_CHECKS, CheckFailed, EnvCase, Policy

__all__ = ["CONTRACT", "Sentence", "contract"]


class Sentence(NamedTuple):
    """How a broken sentence of the contract is told.

    Attributes:
        name: Of the finding.
        remedy: What to do.
        serious: Whether it makes the environment unfit.
    """

    name: str
    remedy: str
    serious: bool = True


class _Check(NamedTuple):
    """One conformance check.

    Attributes:
        name: Of the finding where nothing more exact is known.
        check: In :data:`currgym.testing.ENV_CHECKS`.
        tried: What it does.
        remedy: Where nothing more exact is known.
        sentences: Beginning of the sentence that failed -> what is said.
        policies: Whether it may pass under any of several policies.
    """

    name: str
    check: str
    tried: str
    remedy: str
    sentences: dict[str, Sentence]
    policies: bool = False


_SEEDS = "draw everything from self.np_random, which reset(seed=...) seeds, and from nothing else"
CONTRACT: tuple[_Check, ...] = (
    _Check(
        "task-arrives", "tells_its_task",
        "asked for tasks as arrays and by name, and compared info['task'] with them",
        "pass reset's options through every wrapper, and put the task that is in force into "
        "info['task']; currgym.ParameterizedEnv does both: make it the outermost wrapper",
        {},
    ),
    _Check(
        "history", "leaves_no_history",
        "played the same (seed, task, actions) in fresh environments and in a used one",
        "set up everything in reset, a new physics world too; no running statistics inside",
        {
            "the global random state": Sentence("global-randomness", _SEEDS),
            "same seed, task and actions": Sentence("seeds", _SEEDS),
        },
    ),
    _Check(
        "seeds", "draws_new_seeds",
        "repeated a seeded reset and the bare resets after it", _SEEDS,
        {
            "bare resets after": Sentence(
                "bare-resets",
                "a curriculum seeds every reset, so this is for your own loops: go on with the "
                "stream of the last seed; where apply builds a new environment, hand it on "
                "(new.unwrapped.np_random = env.unwrapped.np_random)",
                serious=False,
            ),
        },
    ),
    _Check(
        "outside", "refuses_outside",
        "asked for tasks outside the space",
        "raise ValueError and change nothing (task_space.check(task) does): a task that is clipped "
        "in silence teaches the teacher about a task that was never played",
        {
            "the error for a task outside": Sentence(
                "outside-words", "name dimension, value and bounds in the error", serious=False
            ),
        },
    ),
    _Check(
        "queued", "takes_queued",
        "queued a task for the next bare reset, as a vector environment's workers need it",
        "give the environment an attribute 'queued' (task, seed) that the next reset without "
        "options takes; currgym.ParameterizedEnv has it",
        {},
    ),
    _Check(
        "range-ends", "accepts_its_ends",
        "played both ends of every parameter",
        "narrow the range to what the physics can take, or mend the environment there",
        {
            "rewards are finite": Sentence(
                "finite-returns", "look for a division by zero in the reward there"
            ),
            "observations lie in": Sentence(
                "observation-space",
                "widen observation_space; most students do not mind", serious=False,
            ),
        },
    ),
    _Check(
        "live", "parameters_are_live",
        "moved each parameter by a tenth of its range, under random and linear policies",
        "look where the parameter is written: on env.unwrapped and not on a wrapper, after "
        "whatever resets it, and under the name that the physics reads. If it matters only to a "
        "skilled student, pass --policy MODULE:FUNCTION or more --compare steps; else drop it",
        {},
        policies=True,
    ),
)  # fmt: skip


def contract(subject: Subject, check: _Check) -> Finding | None:
    """Make one conformance check, and return what it found."""
    policies: Sequence[Policy | None] = subject.policies if check.policies else [subject.policy]
    finding = None
    for policy in policies:
        case = subject.case(policy, 300 if check.policies and policy is not None else None)
        finding = _once(case, check)
        if finding is None or not check.policies:
            break
    return finding


def _once(case: EnvCase, check: _Check) -> Finding | None:
    try:
        with warnings.catch_warnings():
            # Gymnasium warns where it is asked for what it does not know; we look ourselves.
            warnings.simplefilter("ignore")
            gymnasium_level = gymnasium.logger.min_level
            gymnasium.logger.min_level = gymnasium.logger.ERROR
            try:
                ENV_CHECKS[check.check](case)
            finally:
                gymnasium.logger.min_level = gymnasium_level
    except CheckFailed as error:
        text = str(error).removeprefix(f"{case.name}: ")
        for beginning, sentence in check.sentences.items():
            if text.startswith(beginning):
                return Finding(sentence.name, check.tried, text, sentence.remedy, sentence.serious)
        return Finding(check.name, check.tried, text, check.remedy)
    except Exception as error:
        # Somebody else's environment may raise anything, and that is the finding.
        return Finding(check.name, check.tried, f"{type(error).__name__}: {error}", check.remedy)
    return None
