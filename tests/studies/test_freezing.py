"""Freezing: a plan is written before its runs, and a change of it shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from currgym.studies import Study, StudySpec, freeze, frozen_hash

Write = Callable[..., Path]

TOP = """\
environments = ["toy/cube"]
teachers = ["random", "alp-gmm"]
seeds = 3
steps = 160
"""
PLAN = """\
[plan]
endpoint = "solved"
baseline = "random"
smallest_effect = 0.05
n = 2
"""


def read(write: Write, top: str = TOP, plan: str = PLAN, name: str = "s.toml") -> StudySpec:
    return StudySpec.read(write(top + plan, name))


def test_a_frozen_plan_is_known_again(write: Write) -> None:
    spec = read(write)
    assert frozen_hash(spec) is None
    digest = freeze(spec)
    assert frozen_hash(read(write)) == digest
    assert freeze(read(write)) == digest  # twice is once


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("smallest_effect = 0.05", "smallest_effect = 0.04"), ('"solved"', '"area"'),
        ("n = 2", "n = 3"), ('baseline = "random"', 'baseline = "alp-gmm"'),
        ("steps = 160", "steps = 320"), ('"alp-gmm"]', '"alp-gmm=alp-gmm:fit_period=50"]'),
        ("seeds = 3", "seeds = [5, 6, 7]"),
    ],
)  # fmt: skip
def test_a_changed_plan_is_not_frozen_and_cannot_be(old: str, new: str, write: Write) -> None:
    freeze(read(write))
    changed = read(write, TOP.replace(old, new), PLAN.replace(old, new))
    assert frozen_hash(changed) is None
    with pytest.raises(ValueError, match="another plan, frozen before"):
        freeze(changed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seeds = 3", "seeds = 9"), ('"alp-gmm"]', '"alp-gmm", "target"]'),
        ("steps = 160", "steps = 160\n[run]\ncheckpoint_every = 5.0"),
        ("steps = 160", "steps = 160\n[run]\nlog = ['mlflow']"),
    ],
)  # fmt: skip
def test_an_added_arm_or_seed_changes_no_plan(old: str, new: str, write: Write) -> None:
    digest = freeze(read(write))
    assert frozen_hash(read(write, TOP.replace(old, new))) == digest


def test_a_plan_after_its_runs_is_refused(write: Write) -> None:
    spec = read(write)
    study = Study(spec)
    baseline = [cell for cell in study.cells if cell.arm == "random"]
    study.store.add(study.cells)
    for cell in study.cells[:2]:
        study.store.begin(cell.key)
    study.store.progress({baseline[0].key: (160, 0.1)})
    freeze(spec)  # the baseline's own runs may be there
    study.store.progress({study.cells[1].key: (16, 0.1)})
    other = read(write, name="other.toml")
    other.store = spec.store
    with pytest.raises(ValueError, match="1 of the planned runs have results already"):
        freeze(other)


def test_without_a_plan_there_is_nothing_to_freeze(write: Write) -> None:
    with pytest.raises(ValueError, match=r"has no \[plan\]: write endpoint"):
        freeze(read(write, plan=""))


def test_the_study_says_whether_its_plan_is_frozen(write: Write) -> None:
    spec = read(write)
    assert Study(spec).to_json(spec.panels[0])["plan"]["frozen"] is None
    digest = freeze(spec)
    assert Study(spec).to_json(spec.panels[0])["plan"]["frozen"] == digest
