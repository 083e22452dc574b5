"""Every planted fault is found, by the right finding; healthy environments raise no alarm."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import pytest

from currgym.doctor import Diagnosis, diagnose, diagnose_loop, subject_of

faulty: Any = sys.modules["faulty"]


def test_there_are_enough_of_both() -> None:
    assert len(faulty.ENVIRONMENTS) + len(faulty.LOOPS) + 1 >= 20
    assert len(faulty.HEALTHY) + len(faulty.OWN) >= 12
    assert len(set(faulty.ENVIRONMENTS.values()) | set(faulty.LOOPS.values())) >= 20


def assert_told(diagnosis: Diagnosis, name: str) -> None:
    """The serious finding is this one and no other, and it says what, why and what to do."""
    assert diagnosis.names == [name]
    finding = next(f for f in diagnosis.findings if f.name == name)
    assert finding.tried
    assert finding.seen
    assert finding.remedy


@pytest.mark.parametrize("make", faulty.ENVIRONMENTS, ids=lambda make: make.__name__)
def test_faulty_environment(make: Callable[[], gymnasium.Env[Any, Any]]) -> None:
    assert_told(diagnose(subject_of(make)), faulty.ENVIRONMENTS[make])


@pytest.mark.parametrize("make", faulty.LOOPS, ids=lambda make: make.__name__)
def test_faulty_loop(make: Callable[[], Any]) -> None:
    assert_told(diagnose_loop(make), faulty.LOOPS[make])


def test_deaf_teacher() -> None:
    assert_told(diagnose(subject_of(faulty.cartpole), teacher=faulty.Deaf), "teacher-moves")


def test_teachers_that_look_at_nothing_need_not_move() -> None:
    diagnosis = diagnose(subject_of(faulty.cartpole), teacher="random")
    assert diagnosis.healthy
    assert "teacher-moves" in diagnosis.passed


@pytest.mark.parametrize("make", faulty.HEALTHY, ids=lambda make: make.__name__)
def test_healthy_environment(make: Callable[[], gymnasium.Env[Any, Any]]) -> None:
    module = faulty.HEALTHY[make]
    if module is not None and importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed: pip install 'currgym[envs]'")
    assert diagnose(subject_of(make)).names == []


@pytest.mark.parametrize("name", faulty.OWN)
def test_our_own_are_healthy(name: str) -> None:
    assert diagnose(subject_of(name)).names == []


@pytest.mark.parametrize("build", [faulty.healthy_loop, faulty.healthy_gymnasium_loop])
def test_healthy_loop(build: Callable[[], Any]) -> None:
    diagnosis = diagnose_loop(build)
    assert diagnosis.names == []
    assert {"normaliser", "outcomes"} <= set(diagnosis.passed)


def test_what_one_fault_explains_is_not_told_twice() -> None:
    diagnosis = diagnose(subject_of(faulty.swallows_options))
    assert diagnosis.skipped["queued"] == "explained by task-arrives"
    assert diagnosis.skipped["outside"] == "explained by task-arrives"


def test_without_a_task_space_it_says_how_to_wrap() -> None:
    finding = diagnose(subject_of("Pendulum-v1")).findings[0]
    assert "ParameterizedEnv" in finding.remedy
    assert "--wrap" in finding.remedy
    assert "g = 10" in finding.seen


def test_wrapping_makes_it_examinable() -> None:
    subject = subject_of("CartPole-v1", wrap=faulty.cartpole)
    assert diagnose(subject).names == []


def test_a_policy_of_the_users_judges_difficulty() -> None:
    def leans(observation: Any) -> int:
        return int(observation[2] + 0.3 * observation[3] > 0)

    diagnosis = diagnose(subject_of(faulty.cartpole, policy=leans))
    assert diagnosis.names == []
