"""The address of a cell: what makes it another one, and what does not."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import currgym
from currgym.runs import RunConfig
from currgym.studies import Arm, Panel, StudySpec
from currgym.studies import cells as cells_module
from currgym.studies.cells import Cell, cells_of

BASE = RunConfig("toy/cube", "random", "cube", steps=160)
ARMS = [Arm("random", "random"), Arm("alp-gmm", "alp-gmm"), Arm("again", "yoked", of="alp-gmm")]


def keys(
    base: RunConfig = BASE, arms: list[Arm] = ARMS, seeds: int = 3, strict: bool = False
) -> dict[tuple[str, int], str]:
    spec = StudySpec("s", [Panel.of(base)], arms, list(range(seeds)))
    return {(cell.arm, cell.seed): cell.key for cell in cells_of(spec, strict)}


def test_adding_an_arm_or_a_seed_leaves_the_others_alone() -> None:
    before = keys()
    after = keys(arms=[*ARMS, Arm("target", "target")], seeds=5)
    assert len(set(after.values())) == 20
    assert {cell: after[cell] for cell in before} == before


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 161}, {"num_envs": 4}, {"threads": 2}, {"evaluate_every": 40},
        {"student_parameters": {"cubes": 4}}, {"test_set": "all"},
    ],
)  # fmt: skip
def test_a_changed_setting_is_a_new_cell(changes: dict[str, Any]) -> None:
    assert not set(keys().values()) & set(keys(replace(BASE, **changes)).values())


@pytest.mark.parametrize(
    "changes",
    [
        {"checkpoint_every": 1.0}, {"log": ["wandb"]}, {"label": "x"}, {"evaluate_every": 8},
        {"modules": ["json"]},
    ],
)  # fmt: skip
def test_what_decides_nothing_is_no_new_cell(changes: dict[str, Any]) -> None:
    assert keys() == keys(replace(BASE, **changes))


def test_a_teachers_parameter_changes_its_arm_and_who_replays_it() -> None:
    other = [ARMS[0], Arm("alp-gmm", "alp-gmm", parameters={"fit_period": 50}), ARMS[2]]
    before, after = keys(), keys(arms=other)
    assert {arm for (arm, seed), key in before.items() if after[arm, seed] != key} == {
        "alp-gmm", "again",
    }  # fmt: skip


def test_a_log_counts_by_its_content(tmp_path: Path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("id,task.x0,task.x1\n0,0.5,0.5\n")
    shutil.copy(one, two)

    def key(path: Path) -> str:
        return keys(arms=[Arm("y", "yoked", parameters={"log": str(path)})])["y", 0]

    assert key(one) == key(two)
    two.write_text("id,task.x0,task.x1\n0,0.5,0.6\n")
    assert key(one) != key(two)


def test_versions_of_other_packages_count_where_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    loose, strict = keys(), keys(strict=True)
    assert loose != strict
    monkeypatch.setattr(cells_module, "package_versions", lambda: {"numpy": "99"})
    assert keys() == loose
    assert keys(strict=True) != strict


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let addresses be made of a copy of currgym that a test may change."""
    home, target = Path(currgym.__file__).parent, tmp_path / "currgym"
    shutil.copytree(home, target, ignore=shutil.ignore_patterns("__pycache__"))
    find = cells_module._source

    def source(name: str) -> Path | None:
        path = find(name)
        if path is None or name.partition(".")[0] != "currgym":
            return path
        return target / path.relative_to(home)

    monkeypatch.setattr(cells_module, "_source", source)
    return target


def test_changed_source_is_a_new_cell_of_who_imports_it(copied: Path) -> None:
    def addresses() -> dict[tuple[str, str], str]:
        pole = RunConfig("currgym/CartPole-v0", "random", "ppo", steps=9)
        spec = StudySpec("s", [Panel.of(BASE), Panel.of(pole)], ARMS[:2], [0])
        return {(cell.config.student, cell.arm): cell.key for cell in cells_of(spec)}

    before = addresses()
    cube, pole = (
        {("cube", a) for a in ("random", "alp-gmm")},
        {("ppo", "random"), ("ppo", "alp-gmm")},
    )
    assert set(before) == cube | pole
    for source, changed in (
        ("teachers/_mixtures.py", {("cube", "alp-gmm"), ("ppo", "alp-gmm")}),  # imported by one
        ("students/simulated.py", cube),
        ("envs/base.py", pole),
        ("outcomes.py", cube | pole),
        ("teachers/cyclical.py", set()),
        ("report/page.py", set()),
        ("studies/live.py", set()),
    ):
        with (copied / source).open("a") as file:
            file.write("\n# changed\n")
        after = addresses()
        assert {name for name in before if after[name] != before[name]} == changed, source
        before = after


def test_code_of_ones_own_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_helper.py").write_text("GRAVITY = 9.8\n")
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "__init__.py").write_text("from my_package import maths\n")
    (tmp_path / "my_package" / "maths.py").write_text("import json\nfrom . import more\n")
    (tmp_path / "my_package" / "more.py").write_text("X = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    prints = cells_module.source_fingerprint
    cells_module._source.cache_clear()
    whole, helper = prints("my_package"), prints("my_helper")
    assert prints("my_package") == whole != helper
    (tmp_path / "my_package" / "more.py").write_text("X = 22\n")
    assert prints("my_package") != whole
    assert prints("my_helper") == helper
    (tmp_path / "my_helper.py").write_text("GRAVITY = 9.81\n")
    assert prints("my_helper") != helper


def test_code_counts_where_it_is_no_plain_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an archive, in folders without __init__.py, and where another finder has put it."""
    prints = cells_module.source_fingerprint
    for i, text in enumerate(("X = 1\n", "X = 2\n")):
        with zipfile.ZipFile(tmp_path / f"{i}.zip", "w") as archive:
            archive.writestr(f"packed_{i}/__init__.py", "")
            archive.writestr(f"packed_{i}/task.py", text)
        monkeypatch.syspath_prepend(str(tmp_path / f"{i}.zip"))
        assert cells_module._read(f"packed_{i}.task")[0] == hashlib.sha256(text.encode()).digest()
        assert prints(f"packed_{i}.task") != prints()

    deep = tmp_path / "loose_home" / "deep" / "deeper"
    deep.mkdir(parents=True)
    (deep / "task.py").write_text("from . import helper\n")
    (deep / "helper.py").write_text("X = 1\n")
    (tmp_path / "elsewhere.py").write_text("X = (\n")  # and one that nobody can parse
    (tmp_path / "mapped_home").mkdir()
    (tmp_path / "mapped_home" / "__init__.py").write_text("from mapped_home.far import X\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    class Mapped:
        """As an editable install maps a package that lies elsewhere."""

        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
            if name != "mapped_home.far":
                return None
            return importlib.util.spec_from_file_location(name, tmp_path / "elsewhere.py")

    monkeypatch.setattr(sys, "meta_path", [Mapped, *sys.meta_path])
    loose, mapped = prints("loose_home.deep.deeper.task"), prints("mapped_home")
    (deep / "helper.py").write_text("X = 22\n")
    (tmp_path / "elsewhere.py").write_text("X = ((\n")
    assert prints("loose_home.deep.deeper.task") != loose
    assert prints("mapped_home") != mapped


def test_cells_come_seed_by_seed() -> None:
    spec = StudySpec("s", [Panel.of(BASE)], ARMS, [4, 2])
    found: list[Cell] = cells_of(spec)
    assert [cell.seed for cell in found] == [4, 4, 4, 2, 2, 2]
    assert found[2].source == found[4].key
    assert found[5].source == found[1].key


def test_the_source_of_a_teachers_parts_counts() -> None:
    def modules(name: str, **parameters: Any) -> set[str]:
        config = RunConfig("toy/cube", name, "cube", steps=100, teacher_parameters=parameters)
        return set(cells_module._roots(config))

    homes = {f"currgym.teachers.{name}" for name in ("mixture", "riac", "sfl")}
    assert homes <= modules("mixture", teacher="riac", other="sfl")
    plain = modules("mixture")
    assert {"currgym.teachers.alp_gmm", "currgym.teachers.random"} <= plain
    assert "currgym.teachers.riac" not in plain
    assert {"currgym.teachers.exp3s", "currgym.teachers.random"} <= modules("portfolio")
    assert "currgym.teachers.riac" in modules("staged", stages=["riac", "alp-gmm:recent"])
    assert "currgym.teachers.riac" not in modules("staged", stages=[0.5, 1.0])
    assert "currgym.teachers.riac" not in modules("alp-gmm")
