"""The experiments' short forms say what they are, and never replace a committed result."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from currgym.runs import RunConfig
from currgym.studies import Arm, Plan, Study, StudySpec, freeze, frozen_hash
from currgym.studies.engines import make_engine

FOLDER = Path(__file__).parents[1] / "experiments"
SHORT = [path for path in sorted(FOLDER.glob("*.py")) if '"--short"' in path.read_text("utf-8")]


@pytest.mark.parametrize("path", SHORT, ids=lambda path: path.stem)
def test_a_short_form_says_so(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "illustration" in text
    assert "no verdict" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["cube.py", "--short"],
        ["cube.py", "--first-seed", "1000"],
        ["cube.py", "--seeds", "8"],
        ["mixtures.py", "--short"],
        ["mixtures.py", "--windows", "10"],
        ["regrets.py", "--short"],
        ["regrets.py", "--first-seed", "1000"],
        ["speed.py", "--short"],
    ],
    ids=" ".join,
)
def test_only_the_planned_run_replaces_a_result(arguments: list[str]) -> None:
    path = FOLDER / "results" / arguments[0].replace(".py", ".json")
    before = path.read_bytes()
    done = subprocess.run(
        [sys.executable, str(FOLDER / arguments[0]), *arguments[1:]],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert "--out" in done.stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize("path", SHORT, ids=lambda path: path.stem)
def test_a_short_form_takes_a_folder(path: Path) -> None:
    """As the project's gate calls it."""
    assert '"--out"' in path.read_text("utf-8")


@pytest.mark.parametrize(
    "path", sorted(FOLDER.glob("*/*.toml")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_a_study_stands_as_it_was_frozen(path: Path) -> None:
    """An edit of plan, arms, settings or seeds shows, and calls for another study file."""
    spec = StudySpec.read(path)
    assert frozen_hash(spec) is not None
    assert spec.store.resolve().is_relative_to(FOLDER.parent / "runs")


def loaded(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An experiment's script as a module; its folder comes first on the path, as when it is run."""
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def test_a_study_is_summed_up_as_far_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing seed is counted and leaves it incomplete; what has run before is not run again."""
    studied = loaded("studied", monkeypatch)
    base = RunConfig("toy/cube", "random", "cube", steps=100, evaluate_every=100)
    arms = [Arm("random", "random"), Arm("alp-gmm", "alp-gmm")]
    plan = Plan("solved", "random", ("alp-gmm",), 0.1, 2)
    study = Study.of(tmp_path / "study", base, arms, [0, 1], plan)
    study.create()
    freeze(study.spec)
    studied.carry_out([study], make_engine("inline"))
    (panel,) = studied.panels_of([study]).values()
    assert panel.complete
    assert panel.to_json()["arms"]["alp-gmm"]["spent"]["attempts"] == 100
    lost, kept = (study.store[cell.key].folder / "summary.json" for cell in study.cells[-2:])
    lost.unlink()
    before = kept.stat().st_mtime_ns
    (panel,) = studied.panels_of([study]).values()
    assert not panel.complete
    assert panel.progress == "1 of 2 seeds so far: no verdict"
    studied.carry_out([study], make_engine("inline"))
    assert studied.panels_of([study])["study"].complete
    assert kept.stat().st_mtime_ns == before


def test_nothing_incomplete_reaches_the_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded("studied", monkeypatch)
    arm = {
        "mean": 0.5, "seeds": 20, "control": False, "marginal": None, "verdict": "supported",
        "difference": 0.1, "difference.low": 0.05, "difference.high": 0.15,
    }  # fmt: skip
    panels = {
        name: {"complete": True, "arms": {"plr": arm}} for name in ("point_mass", "lunar_lander")
    }
    six = loaded("six", monkeypatch)
    (row,) = six.readme_rows(panels)
    told = "50 (20 seeds), +10 [+5, +15]: supported"
    assert row["figure"] == f"PointMassGate {told}; LunarLander {told}"
    panels["lunar_lander"]["complete"] = False
    assert six.readme_rows(panels) == []
