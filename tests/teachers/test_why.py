"""Why a task was proposed: for every teacher, what the answer says holds for that very task."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta

from currgym.envs.grid_maze import MazeTasks
from currgym.tasks import TaskSpace
from currgym.teaching import Reason, Teacher, teachers
from currgym.testing import TeacherCase, standard_spaces

OURS = [n for n in teachers if teachers[n].__module__.startswith("currgym.teachers.")]
SPACES: dict[str, TaskSpace] = {
    "box": standard_spaces()["box"],
    "examples": standard_spaces()["examples"],
    "levels": MazeTasks(7),
}
PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "goal-gan": {"n_rollouts": 1, "iterations": 10, "pretraining": 10},
    "setter-solver": {"hidden_size": 8, "steps": 1},
    "straight-line": {"horizon": 2_000},
    "mixture": {"other": "plr"},
    "vds": {"members": 2, "batches": 2, "epochs": 1, "candidates": 50},
}
ON_LEVELS: Mapping[str, Mapping[str, Any]] = {
    "mixture": {"teacher": "plr", "other": "random"},
    "staged": {"stages": ["random", "plr"]},
}
PAIRS = [
    (name, kind) for name in OURS for kind in SPACES if SPACES[kind].kind in teachers[name].spaces
]  # fmt: skip
ATTEMPTS, PROPOSALS = 400, 300


@dataclass
class Said:
    """One answer, and what is needed to check it."""

    teacher: Teacher
    reason: Reason
    task: Any
    number: int
    shown: Mapping[str, Any]

    @property
    def unit(self) -> Any:
        return self.teacher.space.to_unit(self.task[None])[0]

    def rows_in(self, *names: str) -> Any:
        """The rows of the snapshot's tasks of one of these names that are this task."""
        for name in names:
            if name in self.shown and len(self.shown[name]):
                rows = np.asarray(self.shown[name])
                return np.flatnonzero((rows == self.task).reshape(len(rows), -1).all(axis=1))
        return np.empty(0, dtype=np.int64)


def in_its_box(said: Said, _: re.Match[str]) -> bool:
    low, high = said.shown["low"], said.shown["high"]
    inside = ((low <= said.unit) & (said.unit < high)).all(axis=1)
    assert inside.sum() <= 1
    if not inside.any():  # the snapshot shows the likeliest alone
        return False
    chance = said.reason.chance
    if chance is not None:
        assert chance == pytest.approx(said.shown["chances"][inside.argmax()])
    return True


def in_its_group(said: Said, match: re.Match[str]) -> bool:
    groups = getattr(said.teacher.space, "groups")  # noqa: B009 - of discrete spaces alone
    assert groups[said.task] == int(match[1]) - 1
    return True


def near_its_mean(said: Said, match: re.Match[str]) -> bool:
    k, dim = int(match[1]) - 1, said.teacher.space.unit_dim
    off = said.unit - said.shown["means"][k][:dim]
    covariance = said.shown["covariances"][k][:dim, :dim]
    assert off @ np.linalg.solve(covariance, off) < 36.0
    return True


def in_its_region(said: Said, match: re.Match[str]) -> bool:
    k = int(match[1].replace(",", "")) - 1
    slack = 1e-9
    assert (said.unit >= said.shown["low"][k] - slack).all()
    assert (said.unit <= said.shown["high"][k] + slack).all()
    return True


def listed(*names: str, by: str = "") -> Callable[[Said, re.Match[str]], bool]:
    """The snapshot lists the task in that place, or with the value that is said."""

    def check(said: Said, match: re.Match[str]) -> bool:
        rows = said.rows_in(*names)
        if not by:
            assert int(match[1].replace(",", "")) - 1 in rows.tolist()
            return True
        # Levels are tasks with seeds, so that one task may be several of them.
        values = said.shown[by][rows]
        assert not len(rows) or np.isclose(float(match[1]), values, rtol=6e-3, atol=1e-9).any()
        return len(rows) > 0

    return check


def near_its_particle(said: Said, match: re.Match[str]) -> bool:
    at = int(match[1].replace(",", "")) - 1
    particle = said.teacher.space.to_unit(said.shown["tasks"][at][None])[0]
    assert np.abs(said.unit - particle).max() < 0.15
    return True


def counted(said: Said, match: re.Match[str]) -> bool:
    assert int(match[1].replace(",", "")) == said.number
    return True


def its_index(said: Said, match: re.Match[str]) -> bool:
    assert int(match[1]) == int(said.task)
    return True


def its_difficulty(said: Said, match: re.Match[str]) -> bool:
    found = float(said.teacher.space.difficulty_of(said.task[None])[0])
    assert float(match[1]) == pytest.approx(found, rel=6e-3, abs=1e-9)
    return True


def in_its_slice(said: Said, match: re.Match[str]) -> bool:
    tasks = said.teacher.space.sample(4_000, np.random.default_rng(0))
    hard = said.teacher.space.difficulty_of(tasks)
    own = float(said.teacher.space.difficulty_of(said.task[None])[0])
    below = 100.0 * float((hard < own).mean())
    assert float(match[1]) - 4.0 <= below <= float(match[2]) + 4.0
    return True


def its_log(said: Said, match: re.Match[str]) -> bool:
    log = getattr(said.teacher, "_tasks")  # noqa: B009 - of the controls alone
    assert np.array_equal(log[int(match[1].replace(",", "")) - 1], said.task)
    return True


def on_its_face(said: Said, match: re.Match[str]) -> bool:
    end = said.shown["low" if match[1] == "lower" else "high"]
    column = int(match[2]) - 1
    assert said.unit[column] == pytest.approx(end[column])
    return True


def in_the_box(said: Said, match: re.Match[str]) -> bool:
    if said.teacher.space.kind == "levels":  # the corners are difficulties
        difficulty = said.teacher.space.difficulty_of(said.task[None])[0]
        low, high = said.shown["corners"]
        return bool(low <= difficulty <= high)
    assert (said.unit >= said.shown["low"] - 1e-9).all()
    assert (said.unit <= said.shown["high"] + 1e-9).all()
    return True


def as_dense(said: Said, match: re.Match[str]) -> bool:
    density = beta.logpdf(said.unit, *said.shown["exponents"]).sum()
    assert float(match[1]) == pytest.approx(density, rel=6e-3, abs=6e-3)
    return True


def as_far(said: Said, match: re.Match[str]) -> bool:
    off = said.unit - said.shown["means"][0]
    distance = np.sqrt(off @ np.linalg.solve(said.shown["covariances"][0], off))
    assert float(match[1]) == pytest.approx(distance, rel=6e-3)
    return True


def as_judged(said: Said, match: re.Match[str]) -> bool:
    rows = said.rows_in("tasks")  # those that are set next
    if not len(rows):
        return False
    for column, value in (("asked", match[1]), ("judged", match[2])):
        known = said.shown[column][rows]
        assert np.isclose(float(value), known, rtol=6e-3).any()
    return True


def as_built(said: Said, match: re.Match[str]) -> bool:
    if said.teacher.space.kind != "box":
        return False
    first = said.shown["first_choice"]
    # Of the first choice the snapshot shows the chances, and no task is likelier than that.
    assert float(match[1]) <= first[int(said.unit[0] * len(first))] * 1.01
    return True


def as_shown(key: str) -> Callable[[Said, re.Match[str]], bool]:
    """The number is that of the snapshot."""

    def check(said: Said, match: re.Match[str]) -> bool:
        said_number = float(match[1].replace(",", ""))
        assert said_number == pytest.approx(float(said.shown[key]), rel=6e-3)
        return True

    return check


def its_stage(said: Said, match: re.Match[str]) -> bool:
    present = match[3] == "the present"
    assert (int(match[1]) == said.shown["stage"] + 1) is present
    mean = said.shown["stage_means"][int(match[1]) - 1]
    assert float(match[4]) == pytest.approx(mean, rel=6e-3)
    return True


NUMBER = r"(-?[\d.]+(?:e[-+]?\d+)?)"
CHECKS: list[tuple[str, Callable[[Said, re.Match[str]], bool]]] = [
    (r"^From bin [\d,]+ of", in_its_box),
    (r"group (\d+) of", in_its_group),
    (r"rom Gaussian (\d+) of", near_its_mean),
    (r"region ([\d,]+) of", in_its_region),
    (r"From the (lower|upper) face of dimension (\d+)", on_its_face),
    (r"From the (inside of the box|window)", in_the_box),
    (r"^From level .* its \w+ is " + NUMBER, listed("levels", by="scores")),
    (r"its learnability p \(1 - p\) was " + NUMBER, listed("levels", by="learnability")),
    (r"disagree on it by " + NUMBER, listed("tasks", by="disagreement")),
    (r"its success is expected to be " + NUMBER, listed("tasks", by="success")),
    (r"From start ([\d,]+) of", listed("tasks")),
    (r"From task ([\d,]+) of [\d,]+ of stage", listed("tasks")),
    (r"From particle ([\d,]+) of", near_its_particle),
    (r"entry ([\d,]+) of a log", its_log),
    (r"example (\d+) is", its_index),
    (r"^[^;]*its difficulty is " + NUMBER, its_difficulty),
    (r"\((\d+)% to (\d+)%\)", in_its_slice),
    (r"stage (\d+) of (\d+).*: (the present|an earlier) stage has a mean of " + NUMBER, its_stage),
    (r"its log density there is " + NUMBER, as_dense),
    (r"this task lies " + NUMBER + " standard", as_far),
    (r"feasibility " + NUMBER + r", and .* the judge expects " + NUMBER, as_judged),
    (r"choices with a probability of " + NUMBER, as_built),
    (r"(?:after|update) ([\d,]+) updates", as_shown("updates")),
    (r"(?:of|as of) fit ([\d,]+)", as_shown("fits")),
    (r"after ([\d,]+) trainings", as_shown("fits")),
    (r"divergence from the target is " + NUMBER, as_shown("kl_to_target")),
    (r"at choice ([\d,]+)", as_shown("choices")),
    (r"the stage lies " + NUMBER + " % of", lambda s, m: s.shown["alpha"] * 100 == float(m[1])),
    (r"^(?!.*there from).*proposal ([\d,]+)", counted),
]


@cache
def answers(name: str, kind: str) -> list[Said]:
    parameters = dict(PARAMETERS.get(name, {}))
    if kind == "levels":
        parameters |= ON_LEVELS.get(name, {})
    case = TeacherCase(name, SPACES[kind], parameters=parameters)
    teacher = case.build()
    case.run(teacher, ATTEMPTS)
    teacher.propose(1)
    shown = teacher.snapshot()
    parts = [part.snapshot() for part in getattr(teacher, "parts", ())]
    tasks = teacher.propose(PROPOSALS).tasks
    said = []
    for row, task in enumerate(tasks):
        own = parts[getattr(teacher, "_origins")[row, 0]] if parts else {}  # noqa: B009
        number = ATTEMPTS + 1 + row + 1
        said.append(Said(teacher, teacher.why(row), task, number, {**shown, **own}))
    return said


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_what_is_said_holds(name: str, kind: str) -> None:
    said = answers(name, kind)
    held = 0
    for one in said:
        text = str(one.reason)
        for pattern, check in CHECKS:
            match = re.search(pattern, text)
            if match is not None:
                held += check(one, match)
    assert held >= PROPOSALS // 10 or said_by_chance(said) >= 1
    if {one.reason.chance for one in said} != {1.0}:  # the only arm that was kept
        assert len({str(one.reason) for one in said}) > 1


def said_by_chance(said: list[Said]) -> int:
    """Compare the chances named with how often their sources were drawn; return how many."""
    chances: dict[str, list[float]] = {}
    for one in said:
        if one.reason.chance is not None:
            chances.setdefault(one.reason.source, []).append(one.reason.chance)
    n = len(said)
    for source, named in chances.items():
        chance = float(np.mean(named))
        spread = np.sqrt(n * chance * (1.0 - chance))
        assert abs(len(named) - n * chance) <= 4.5 * spread + 3.0, (source, len(named), n * chance)
    assert sum(float(np.mean(named)) for named in chances.values()) <= 1.0 + 1e-6
    return len(chances)


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_chances_are_how_often(name: str, kind: str) -> None:
    said_by_chance(answers(name, kind))
