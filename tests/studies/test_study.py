"""A study at work, and the commands that drive it."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from currgym import cli
from currgym.cli import main
from currgym.runs import RunConfig
from currgym.studies import Arm, Study, StudySpec
from currgym.studies.engines import Event, Job, Listener
from currgym.studies.engines.inline import InlineEngine

Write = Callable[..., Path]


class Counting(InlineEngine):
    """Notes which runs it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []

    def run(self, jobs: object, listen: Listener) -> None:
        given: list[Job] = list(jobs)  # type: ignore[call-overload]
        self.done += [job.config.label or "" for job in given]
        super().run(given, listen)


def ran(path: Path) -> list[str]:
    engine = Counting()
    assert Study.open(path).run(engine=engine) == []
    return engine.done


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


def test_only_what_is_missing_is_run(write: Write) -> None:
    text = write().read_text()
    assert sorted(ran(write())) == ["alp-gmm", "alp-gmm", "random", "random"]
    assert ran(write()) == []
    assert ran(write(text.replace("seeds = 2", "seeds = 3"))) == ["random", "alp-gmm"]
    assert ran(write(text.replace('"alp-gmm"', '"alp-gmm", "target"'))) == ["target", "target"]
    changed = text.replace('"alp-gmm"', '"alp-gmm:fit_period=60"')
    assert ran(write(changed)) == ["alp-gmm-fit_period-60"] * 2
    assert ran(write()) == []


def test_a_failed_run_is_told_once_and_does_not_stop_the_others(write: Write) -> None:
    study = Study.open(write('environments = ["toy/cube"]\nteachers = ["random", "window"]\n'
                             "seeds = 3\nsteps = 32"))  # fmt: skip
    (line,) = study.run(engine="inline")
    assert line.startswith("window, toy-cube-cube, seeds 0, 1, 2: ValueError")
    assert study.status().count("done") == 3
    assert study.status().count("failed") == 3
    assert "declares no difficulty" in str(study.store[study.cells[1].key].error)


def test_a_run_that_another_study_does_keeps_its_state(write: Write) -> None:
    study = Study.open(write())

    class Elsewhere(InlineEngine):
        """The first time round, somebody else is at every run."""

        calls = 0

        def run(self, jobs: object, listen: Listener) -> None:
            given: list[Job] = list(jobs)  # type: ignore[call-overload]
            self.calls += 1
            if self.calls > 1:
                return super().run(given, listen)
            for job in given:
                listen(Event(job.key, "begun"))
                listen(Event(job.key, "busy"))
            assert study.status().count("running") == 4
            return None

    import currgym.studies.study as module

    module.ASK_AGAIN, before = 0.0, module.ASK_AGAIN
    try:
        assert study.run(engine=Elsewhere()) == []
    finally:
        module.ASK_AGAIN = before
    assert study.status().count("done") == 4


def test_commands(write: Write, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = str(write(write().read_text() + '[plan]\nendpoint = "solved"\nbaseline = "random"\n'
                     "smallest_effect = 0.1\nn = 2\n"))  # fmt: skip
    assert call("study", "status", path) == 0
    assert "not frozen: no verdict" in capsys.readouterr().out
    assert call("study", "freeze", path) == 0
    assert "frozen: " in capsys.readouterr().out
    assert call("study", "run", path, "--engine", "inline") == 0
    out = capsys.readouterr().out
    assert "4 done of 4 runs, 100% of the steps" in out
    assert "\x1b" not in out
    assert call("study", "resume", path, "--engine", "inline") == 0
    capsys.readouterr()
    assert call("study", "status", path, "--rebuild") == 0
    out = capsys.readouterr().out
    assert "4 runs found" in out
    assert "plan: frozen, " in out
    assert call("study", "report", path) == 0
    assert (tmp_path / "small" / "report.html").stat().st_size > 10_000
    assert call("study", "export", path, "--out", str(tmp_path / "tables")) == 0
    assert (tmp_path / "tables" / "runs.csv").exists()
    capsys.readouterr()
    assert call("study", "run", path, "--engine", "inlin") == 2
    assert "did you mean 'inline'" in capsys.readouterr().err


def test_compare_writes_a_study_and_runs_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[Path] = []
    monkeypatch.setattr(cli, "_write_report", pages.append)  # a page is made above
    out = tmp_path / "c"
    arms = ["mine=alp-gmm:recent,fit_period=90", "random"]
    base = ["compare", "toy/cube", "--steps", "64", "--out", str(out), "--set", "student.cubes=4"]
    assert call(*base, "--teachers", *arms, "--seeds", "2", "--controls") == 0
    spec = StudySpec.read(out)
    assert [arm.label for arm in spec.arms] == [
        "mine", "random", "yoked-mine", "yoked-shuffled-mine",
    ]  # fmt: skip
    assert spec.arms[0] == Arm("mine", "alp-gmm", "recent", {"fit_period": 90})
    assert spec.panels[0].base.student_parameters == {"cubes": 4}
    study = Study.open(out)
    assert study.status().count("done") == 8
    # More seeds and arms may be asked for later, anything else may not.
    assert call(*base, "--teachers", *arms, "target", "--seeds", "3", "--controls") == 0
    assert Study.open(out).status().count("done") == 15
    capsys.readouterr()
    assert call(*base[:3], "96", *base[4:], "--teachers", *arms, "--seeds", "3") == 1
    assert "another study" in capsys.readouterr().err
    assert pages == [out, out]
    assert call("resume", str(out)) == 0


@pytest.mark.slow
def test_progress_in_a_log_file_is_few_plain_lines(write: Write) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "currgym", "study", "run", str(write()), "--jobs", "1"],
        capture_output=True, text=True, check=True, env={**os.environ, "FORCE_COLOR": "1"},
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert "\x1b" not in done.stdout
    assert len(lines) <= 4
    assert any(line.startswith("4 done of 4 runs") for line in lines)


@pytest.mark.slow
def test_progress_on_a_terminal_names_every_arm(write: Write) -> None:
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "currgym", "study", "run", str(write()), "--jobs", "1"],
        stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"},
    )  # fmt: skip
    os.close(slave)
    seen = b""
    while True:
        try:
            block = os.read(master, 65536)
        except OSError:
            break
        if not block:
            break
        seen += block
    assert process.wait(60) == 0
    os.close(master)
    text = seen.decode()
    assert "\x1b[" in text
    for word in ("all runs", "random", "alp-gmm", "4 done", "of 4 runs", "left"):
        assert word in text


def test_tables_hold_every_run_and_evaluation(write: Write, tmp_path: Path) -> None:
    from currgym.studies.export import export

    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    text = write().read_text().replace('"toy/cube"', '{id="toy/cube", label="a_b"}')
    study = Study.open(write(text))
    assert study.run(engine="inline") == []
    out = tmp_path / "out"
    names = ("runs", "evaluations", "conclusions")
    assert {path.name for path in export(study, out)} == {
        *(f"{name}.{kind}" for name in names for kind in ("csv", "parquet")), "results.tex",
    }  # fmt: skip
    with (out / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["arm"], r["seed"]) for r in rows] == [
        ("random", "0"), ("alp-gmm", "0"), ("random", "1"), ("alp-gmm", "1"),
    ]  # fmt: skip
    assert {r["ledger.attempts"] for r in rows} == {"160"}
    for name in names:
        table, plain = (
            pandas.read_parquet(out / f"{name}.parquet"), pandas.read_csv(out / f"{name}.csv"),
        )  # fmt: skip
        assert list(table.columns) == list(plain.columns)
        assert len(table) == len(plain) > 0
    curve = pandas.read_parquet(out / "evaluations.parquet")
    one = curve[(curve["arm"] == "random") & (curve["seed"] == 1)]
    assert one["step"].tolist() == sorted(one["step"])
    assert one["solved"].iloc[-1] == float(rows[2]["solved"])
    tex = (out / "results.tex").read_text()
    assert r"a\_b" in tex
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == 1
    assert tex.count("{") == tex.count("}")
    wide = re.compile(r"multicolumn\{(\d)\}")
    body = [
        line.count("&") + sum(int(width) - 1 for width in wide.findall(line))
        for line in tex.splitlines()
        if "&" in line
    ]
    assert len(set(body)) == 1  # every row has the same columns


def test_latex_escapes_what_it_must() -> None:
    from currgym.studies.tables import _tex

    assert _tex("a_b & 50% #1 {x} ~^\\") == (
        r"a\_b \& 50\% \#1 \{x\} \textasciitilde{}\textasciicircum{}\textbackslash{}"
    )


def test_what_a_page_reads(write: Write) -> None:
    study = Study.open(write())
    study.status()
    study.describe()
    document = json.loads((study.folder / "study.json").read_text())
    assert document["baseline"] == "random"
    assert {label: len(places) for label, places in document["runs"].items()} == {
        "random": 2, "alp-gmm": 2,
    }  # fmt: skip


def test_panels_of_different_budgets(write: Write) -> None:
    study = Study.open(write('environments = ["toy/cube", {id = "toy/cube", label = "long", '
                             'steps = 96, set = {cubes = 3}}]\nteachers = ["random"]\nseeds = 1\n'
                             "steps = 32"))  # fmt: skip
    assert study.run(engine="inline") == []
    assert [run.steps for run in study.store.runs().values()] == [32, 96]
    assert study.status().done == 1.0
    study.describe()
    for panel in study.spec.panels:
        document = json.loads((study.page_folder(panel) / "study.json").read_text())
        place = study.page_folder(panel) / document["runs"]["random"][0]
        assert (place / "config.json").exists()
        assert document["steps"] == panel.base.steps


def test_a_study_made_in_python() -> None:
    base = RunConfig("toy/cube", "random", "cube", steps=32)
    with pytest.raises(ValueError, match="use 2 seeds or more"):
        Study.of("x", base, [Arm("r", "random"), Arm("y", "yoked", of="r")], [0])
