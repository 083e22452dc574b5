"""Every registered teacher keeps the contract: an addition is tested by being registered."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from currgym.teaching import make_teacher, teachers
from currgym.testing import check_teacher, teacher_digest, teacher_spaces

# Other tests register teachers of their own; a fresh process knows ours.
NAMES = [name for name in teachers if teachers[name].__module__.startswith("currgym.teachers.")]
# Teachers of levels alone need a space of their own, and so a test of their own.
GENERAL = [name for name in NAMES if teacher_spaces(teachers[name])]


def test_ours_are_there() -> None:
    ours = {
        "alp-gmm", "cyclical", "easy-to-hard", "hard-to-easy", "random", "target", "uniform-steps",
        "window", "yoked", "yoked-shuffled",
    }  # fmt: skip
    assert ours <= set(NAMES)


@pytest.mark.parametrize("name", GENERAL)
def test_registered(name: str) -> None:
    check_teacher(name)


@pytest.mark.parametrize("name", GENERAL)
def test_presets_can_be_built(name: str) -> None:
    for preset in teachers[name].presets:
        for space in teacher_spaces(teachers[name]).values():
            if space.unit_dim:
                make_teacher(f"{name}:{preset}", space, seed=0).sample(3)


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
