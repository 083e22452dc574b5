"""Replace each teacher by simpler ones, and list the tests that notice.

A teacher whose tests also pass with an impostor in its place has no test of what it does. Run
``python tests/impostors.py`` for the full table (each teacher against ``random`` and against every
sibling of its family); ``tests/test_impostors.py`` runs the short form within the suite.

An impostor carries the name, parameters and presets of the teacher it replaces, so that it is
caught by what it *proposes*: only failed assertions count, not missing attributes or parameters.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from currgym.tasks import TaskSpace
from currgym.teaching import Teacher, teacher_parameters, teachers

ROOT = Path(__file__).resolve().parent.parent
VARIABLE = "CURRGYM_IMPOSTOR"
REPORT = "CURRGYM_IMPOSTOR_REPORT"

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "baselines": ("random", "target", "uniform-steps"),
    "schedules": ("easy-to-hard", "hard-to-easy", "cyclical", "window"),
    "progress": ("alp-gmm", "covar-gmm", "riac"),
    "randomization": ("adr", "doraemon"),
    "networks": ("goal-gan", "setter-solver", "vds"),
    "bandits": ("exp3s", "tscl", "learning-progress", "bayes-band", "sec", "stratified"),
    "pools": ("procurl", "skew"),
    "composition": ("mixture", "portfolio", "staged"),
    "controls": ("yoked", "yoked-shuffled", "static-best"),
    "starts": ("reverse-start", "start-buffer"),
    "transport": ("currot", "straight-line", "gradient", "self-paced"),
    "replay": ("plr", "accel", "sfl"),
    "adversarial": ("paired",),
    "gates": ("adarft", "staged"),
}
EQUAL = {
    ("random", "target"): "the default target distribution is uniform over the space",
}
"""Pairs that are the same thing by definition."""
MODULES = {"yoked-shuffled": "test_yoked"}
"""Test modules that are not named after their teacher."""


def impostors_of(name: str) -> list[str]:
    """Return who may stand in for a teacher: ``random`` and its siblings."""
    siblings = [n for family in FAMILIES.values() if name in family for n in family]
    candidates = dict.fromkeys(["random", *siblings])
    return [n for n in candidates if n != name and (name, n) not in EQUAL]


def module_of(name: str) -> Path:
    """Return the path of a teacher's test module."""
    module = MODULES.get(name, f"test_{name.replace('-', '_')}")
    return ROOT / "tests" / "teachers" / f"{module}.py"


def disguise(original: type[Teacher], stand_in: type[Teacher]) -> type[Teacher]:
    """Return the stand-in under the name and with the parameters of the original."""
    own = teacher_parameters(stand_in)
    theirs = teacher_parameters(original)

    def __init__(
        self: Teacher,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        **parameters: Any,
    ) -> None:
        shared = {key: value for key, value in parameters.items() if key in own}
        build: Any = stand_in.__init__
        try:
            build(self, space, seed=seed, return_range=return_range, **shared)
        except ValueError:
            build(self, space, seed=seed, return_range=return_range)
        for key, parameter in theirs.items():
            if not hasattr(self, key):
                setattr(self, key, parameters.get(key, parameter.default))

    __init__.__signature__ = inspect.signature(original.__init__)  # type: ignore[attr-defined]
    members: dict[str, Any] = {
        "__init__": __init__,
        "__module__": __name__,
        "name": original.name,
        "presets": original.presets,
        "privileges": original.privileges,
        "spaces": stand_in.spaces,
    }
    return type(f"{stand_in.__name__}As{original.__name__}", (stand_in,), members)


@contextmanager
def impersonate(name: str, stand_in: str) -> Iterator[None]:
    """Make the registry return one teacher under another's name."""
    original = teachers[name]
    install(name, stand_in)
    try:
        yield
    finally:
        teachers._things[name] = original


def install(name: str, stand_in: str) -> None:
    """Make the registry return one teacher under another's name, for good."""
    teachers._things[name] = disguise(teachers[name], teachers[stand_in])


def install_from_environment() -> None:
    """Obey ``CURRGYM_IMPOSTOR=name=stand-in``; the suite's conftest calls it."""
    if VARIABLE in os.environ:
        name, _, stand_in = os.environ[VARIABLE].partition("=")
        install(name, stand_in)


def failures(name: str, stand_in: str) -> list[dict[str, Any]]:
    """Run a teacher's tests with an impostor, and return the failed ones."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        variables = {**os.environ, VARIABLE: f"{name}={stand_in}", REPORT: str(report)}
        command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider"]
        command.append(str(module_of(name)))
        done = subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True)
        if not report.exists():
            raise RuntimeError(f"pytest did not run:\n{done.stdout}\n{done.stderr}")
        found: list[dict[str, Any]] = json.loads(report.read_text())
        return found


def main() -> int:
    """Print the table; 1 if an impostor passes for a teacher."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teacher", action="append", help="only this one (may be repeated)")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--json", type=Path, help="write the table there, with its commit")
    arguments = parser.parse_args()
    table: dict[str, dict[str, Any]] = {}
    unnoticed: list[str] = []
    names = arguments.teacher or list(teachers)
    tested = [name for name in names if module_of(name).exists()]
    unnoticed += [f"{name}: no {module_of(name).name}" for name in names if name not in tested]
    pairs = [(name, stand_in) for name in tested for stand_in in impostors_of(name)]
    with ThreadPoolExecutor(arguments.jobs) as pool:  # each test run is a process of its own
        found = pool.map(failures, *zip(*pairs, strict=True)) if pairs else iter(())
        for (name, stand_in), failed in zip(pairs, found, strict=True):
            noticed = sorted(f["test"].partition("::")[2] for f in failed if f["assertion"])
            table.setdefault(name, {})[stand_in] = {
                "noticed_by": noticed,
                "other_failures": sorted(
                    f"{f['test'].partition('::')[2]}: {f['error']}"
                    for f in failed
                    if not f["assertion"]
                ),
            }
            line = f"{stand_in} in the place of {name}: {', '.join(noticed) or 'NOT NOTICED'}"
            print(line, flush=True)  # noqa: T201 - a script
            if not noticed:
                unnoticed.append(f"{name}: nobody notices {stand_in} in its place")
    if arguments.json is not None:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True
        ).stdout.strip()
        equal = [{"teacher": a, "impostor": b, "why": why} for (a, b), why in EQUAL.items()]
        content = {"commit": commit, "table": table, "equal_by_definition": equal}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")
    for line in unnoticed:
        print(f"not delivered: {line}", file=sys.stderr)  # noqa: T201
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
