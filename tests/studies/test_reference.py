"""Reference results: taken where exactly the same was asked, and told apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

from currgym.report import write as write_page
from currgym.runs import RunConfig
from currgym.studies import Arm, Study, StudySpec
from currgym.studies import reference as module
from currgym.studies.export import results_latex, runs_table
from currgym.studies.reference import arms_of, pack, settings, shipped_path

Write = Callable[..., Path]

TEXT = 'environments = ["toy/cube"]\nteachers = [{}]\nseeds = 3\nsteps = 160\n'


@pytest.fixture
def shipped(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ship random and alp-gmm, seeds 0 to 2, from a file of the test's own."""
    study = Study.open(write(TEXT.format('"random", "alp-gmm"'), "measured.toml"))
    assert study.run(engine="inline") == []
    path = tmp_path / "runs.parquet"
    runs = study.results()
    assert pack([(cell, runs[cell.key].folder) for cell in study.cells], path) == 6
    monkeypatch.setattr(module, "shipped_path", lambda: path)
    return path


def mine(write: Write, text: str = TEXT, **changes: str) -> Study:
    text = text.format('"target"')
    for old, new in changes.items():
        text = text.replace(f"{old} = ", f"{old} = {new} # ")
    return Study.open(write("reference = true\n" + text, "mine.toml"))


@pytest.mark.usefixtures("shipped")
def test_only_ones_own_arm_is_run(write: Write) -> None:
    study = mine(write)
    assert [arm.label for arm in study.spec.arms] == ["target", "alp-gmm", "random"]
    done: list[str] = []
    assert study.run(engine="inline", progress=lambda p: done.append("")) == []
    own = study.store.runs()
    assert {run.label for run in own.values() if run.state == "done"} == {"target"}
    assert study.status().count("done") == 9
    measured = Study.open(write(TEXT.format('"random", "alp-gmm"'), "measured.toml")).results()
    for key, run in study.results().items():
        if run.origin is not None:
            there = measured[key]
            assert (run.solved, run.area, run.mean_return) == (
                there.solved, there.area, there.mean_return,
            )  # fmt: skip
            assert study.curves()[key] == Study.open(write(TEXT.format('"random"'), "measured.toml")
                                                     ).store.curves([key])[key]  # fmt: skip


@pytest.mark.usefixtures("shipped")
def test_they_are_marked(write: Write) -> None:
    study = mine(write)
    assert study.run(engine="inline") == []
    table = runs_table(study)
    assert set(table[table["arm"] == "random"]["origin"]) == {"reference results of currgym 0.1.0"}
    assert table[table["arm"] == "target"]["origin"].isna().all()
    assert r"$^\ddag$ reference results of currgym 0.1.0" in results_latex(study)
    study.describe()
    document = json.loads((study.folder / "study.json").read_text())
    assert set(document["shipped"]) == {"random", "alp-gmm"}
    page = write_page(study.folder).read_text(encoding="utf-8")
    assert "alp-gmm: reference results of currgym 0.1.0" in page
    assert '<span class="uses">reference results of currgym 0.1.0</span>' in page
    place = study.folder / document["runs"]["random"][0]
    assert "reference" in json.loads((place / "config.json").read_text())["origin"]


@pytest.mark.usefixtures("shipped")
def test_a_page_is_made_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Run folders without logs of episodes are enough for a page that shows their curves."""
    from currgym.cli import main

    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        main(["compare", "toy/cube", "--teachers", "target", "--reference", "--seeds", "3",
              "--steps", "160", "--out", str(out)])  # fmt: skip
    assert stop.value.code == 0, capsys.readouterr().err
    page = (out / "report.html").read_text()
    for arm in ("target", "random", "alp-gmm"):
        assert arm in page
    assert len(list((out / "runs").glob("*/*"))) == 3


@pytest.mark.usefixtures("shipped")
def test_changed_code_is_told(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    import currgym.studies.cells as cells

    monkeypatch.setattr(cells, "source_fingerprint", lambda *roots: "other")
    origins = {run.origin for run in mine(write).results().values()} - {None}
    assert origins == {"reference results of currgym 0.1.0, whose code has changed since"}


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize("changes", [{"steps": "320"}, {"environments": '["data/digits"]'}])
def test_other_settings_are_not_answered(write: Write, changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="no reference results fit") as caught:
        mine(write, **changes)
    assert "toy/cube --steps 160 (alp-gmm, random)" in " ".join(str(caught.value).split())


@pytest.mark.usefixtures("shipped")
def test_a_seed_beyond_and_a_replayed_run_are_run(write: Write) -> None:
    text = TEXT.replace("seeds = 3", "seeds = [2, 7]").format('"random", "y=yoked:of=random"')
    study = Study.open(write("reference = true\n" + text, "mine.toml"))
    assert study.run(engine="inline") == []
    own = {(run.label, run.seed) for run in study.store.runs().values() if run.state == "done"}
    # alp-gmm was added and is shipped for seed 2; a log to replay is not shipped.
    assert own == {("random", 2), ("random", 7), ("y", 2), ("y", 7), ("alp-gmm", 7)}


def test_the_shipped_file_holds_what_it_says() -> None:
    """Every group is at the fewest seeds for a verdict, and its command is one that fits."""
    assert shipped_path().stat().st_size < 2_000_000
    lines = settings()
    assert any(line.startswith("toy/cube --steps 20000") for line in lines)
    base = RunConfig("toy/cube", "random", "cube", steps=20_000)
    arms = arms_of([base])
    assert {"random", "alp-gmm"} <= {arm.label for arm in arms}
    study = Study.of("nowhere", base, arms, range(30), reference=True)
    questions = {cell.question for cell in study.cells}
    rows = {row["question"] for row in module._index(shipped_path())}
    assert questions <= rows


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    path = tmp_path / "some.parquet"
    path.write_bytes(b"")
    with pytest.raises(ImportError, match=r"pip install 'currgym\[parquet\]'"):
        module._index(path)


def test_reference_survives_the_study_file(write: Write, shipped: Path) -> None:
    spec = mine(write).spec
    spec.path = write("", "again.toml")
    spec.write()
    again = StudySpec.read(spec.path)
    assert again.reference
    assert again.arms == spec.arms
    assert Arm("random", "random") in again.arms
