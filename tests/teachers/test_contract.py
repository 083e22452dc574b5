"""Every registered teacher keeps the contract: an addition is tested by being registered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from currgym.tasks import BoxTasks
from currgym.teaching import make_teacher, teachers
from currgym.testing import check_teacher, teacher_digest, teacher_spaces

# Other tests register teachers of their own; a fresh process knows ours.
NAMES = [name for name in teachers if teachers[name].__module__.startswith("currgym.teachers.")]
# Teachers of levels alone need a space of their own, and so a test of their own.
GENERAL = [name for name in NAMES if teacher_spaces(teachers[name])]


def test_ours_are_there() -> None:
    ours = {
        "accel", "adarft", "adr", "alp-gmm", "bayes-band", "covar-gmm", "currot", "cyclical",
        "doraemon", "easy-to-hard", "exp3s", "goal-gan", "gradient", "hard-to-easy",
        "learning-progress", "mixture", "paired", "plr", "portfolio", "procurl", "random",
        "reverse-start", "riac", "sec", "self-paced", "setter-solver", "sfl", "skew", "staged",
        "start-buffer", "static-best", "straight-line", "stratified",
        "target", "tscl", "uniform-steps", "vds", "window", "yoked", "yoked-shuffled",
    }  # fmt: skip
    assert ours <= set(NAMES)


# Teachers that fit something costly: the same code in small, so that the suite stays short.
SMALL: dict[str, dict[str, Any]] = {
    "currot": {"particles": 24},
    "goal-gan": {"iterations": 10, "pretraining": 10},
    "mixture": {"teacher_parameters": {"history_size": 250}},
    "portfolio": {"teachers": ["exp3s", "random"]},
    "setter-solver": {"hidden_size": 8, "steps": 1},
    "vds": {"members": 2, "batches": 2, "epochs": 1, "candidates": 100},
}
# Outcomes after which the memory must have stopped growing, of those that keep more than hundreds.
LARGE = {"riac": 20_000}


@pytest.mark.parametrize("name", GENERAL)
def test_registered(name: str) -> None:
    check_teacher(name, parameters=SMALL.get(name), capacity=LARGE.get(name, 3_000))


@pytest.mark.parametrize("name", GENERAL)
def test_presets_can_be_built(name: str) -> None:
    for preset in teachers[name].presets:
        for space in teacher_spaces(teachers[name]).values():
            if space.unit_dim:
                make_teacher(f"{name}:{preset}", space, seed=0).sample(3)


# A fit of these can fail. In their own tests each is made to: the previous model stays.
FITTED = {
    "alp-gmm", "covar-gmm", "doraemon", "goal-gan", "gradient", "mixture", "paired", "portfolio",
    "self-paced", "setter-solver", "vds",
}  # fmt: skip


def test_fits_that_fail_are_counted() -> None:
    space = BoxTasks([0, 0], [1, 1], difficulty="x0")
    counting = {
        name
        for name in GENERAL
        if "failed_fits" in make_teacher(name, space, seed=0).snapshot()
        if "box" in teachers[name].spaces
    }
    # A portfolio counts what the teacher that it follows counts.
    assert counting == FITTED
    own = counting - {"mixture", "portfolio"}
    folder = Path(__file__).parent
    for name in own:
        text = (folder / f"test_{name.replace('-', '_')}.py").read_text()
        assert "failed_fits" in text, name


def test_a_fresh_process_gives_the_same_streams() -> None:
    script = (
        "import json, sys\n"
        "from currgym.testing import teacher_digest\n"
        "print(json.dumps({n: teacher_digest(n) for n in json.loads(sys.argv[1])}))\n"
    )
    boxed = [name for name in NAMES if "box" in teachers[name].spaces]
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(boxed)],
        env={**os.environ, "PYTHONHASHSEED": "random"},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == {name: teacher_digest(name) for name in boxed}
