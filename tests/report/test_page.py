import base64
import html
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects
import pytest

from currgym import report
from currgym.report.data import load
from currgym.report.maps import steps_map, view_of
from currgym.tasks import TaskSpace

Make = Callable[..., Path]


class Page(HTMLParser):
    """What a page holds and what it would load."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.scripts = 0
        self._inside: list[str] = []
        self._words: list[str] = []
        self._data: list[str] = []
        self.feed(self.source)
        self.words = " ".join(" ".join(self._words).split())
        self.charts: dict[str, Any] = json.loads("".join(self._data))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            if name in given:
                self.loads.append(given[name] or "")
        if "id" in given:
            self.ids.append(given["id"] or "")
        if tag in ("script", "style", "title"):
            self._inside.append(given.get("id") or tag)
            self.scripts += tag == "script"

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style", "title"):
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self._words.append(data)
        elif self._inside[-1] == "charts":
            self._data.append(data)

    def specs(self) -> list[Any]:
        return [state for chart in self.charts.values() for state in chart.get("states", ())]


@pytest.fixture
def comparison(tmp_path: Path, study_folder: Make) -> Path:
    arms = ("random", "uniform-steps", "alp-gmm", "window")
    study_folder(tmp_path / "s", seeds=2, kind="supervised", arms=("random", "window"))
    return study_folder(tmp_path / "c", arms=arms, supervised="../s", film=True)


def test_a_comparison(comparison: Path) -> None:
    path = report.write(comparison)
    assert path == comparison / "report.html"
    page = Page(path)
    (loaded,) = page.loads
    assert loaded.startswith("data:image/gif;base64,")
    assert "url(" not in re.sub(r"<script>.*?</script>", "", page.source, flags=re.DOTALL)
    assert page.source.count("plotly.js v") >= 1
    assert len(page.ids) == len(set(page.ids))
    assert path.stat().st_size < 8_000_000
    for section in (
        "gain", "frontier", "signal", "curves", "results", "mastered", "tasks", "supervised",
        "gain-supervised", "curves-supervised", "frontier-supervised", "films", "ledger",
        "configuration", "repeat",
    ):  # fmt: skip
        assert section in page.ids
    # The three leading figures come first.
    sections = [name for name in page.ids if not name.startswith(("chart-", "pick-"))]
    assert sections[:3] == ["gain", "frontier", "signal"]
    assert page.words.startswith("currgym report Four teachers on StumpTracks-v0")
    # Grouped by what they know, and a comparison across groups is marked.
    assert page.words.index("Learn from outcomes alone") < page.words.index("Also use: difficulty")
    assert page.words.count("\u2020") >= 2
    assert "currgym compare StumpTracks-v0 --teachers random" in page.words
    again = path.read_bytes()
    assert report.write(comparison).read_bytes() == again


def test_every_chart_is_valid_and_finds_its_place(comparison: Path) -> None:
    page = Page(report.write(comparison))
    for name, chart in page.charts.items():
        assert name in page.ids
        assert 0 <= chart["start"] < len(chart.get("states", chart.get("names")))
    for state in page.specs():
        plotly.graph_objects.Figure(data=state["data"], layout=state["layout"])


@pytest.mark.parametrize("name", ["line", "many", "examples"])
def test_other_spaces(
    name: str, tmp_path: Path, study_folder: Make, spaces: dict[str, TaskSpace]
) -> None:
    kind = "supervised" if name == "examples" else "rl"
    page = Page(report.write(study_folder(tmp_path / "c", spaces[name], seeds=2, kind=kind)))
    assert "chart-frontier-0" in page.charts
    assert "chart-frontier-plane-0" in page.charts
    for state in page.specs():
        plotly.graph_objects.Figure(data=state["data"], layout=state["layout"])


def test_what_is_drawn_is_the_data(comparison: Path) -> None:
    study = load(comparison)
    page = Page(report.write(comparison))
    traces = page.charts["chart-curves"]["states"][0]["data"]
    mean = next(t for t in traces if t.get("name") == "alp-gmm")
    curve = study.arms[2].curve("mastered")
    np.testing.assert_allclose(mean["y"], curve.values.mean(axis=0), rtol=1e-3)
    view = view_of(study)
    assert view is not None
    density = steps_map(study.arms[2].runs, view, 24).density
    states = page.charts["chart-frontier-plane-2"]["states"]
    for period, state in enumerate(states):
        z = np.array(state["data"][0]["z"], float)
        np.testing.assert_allclose(np.square(z), density[period].T, rtol=2e-3, atol=1e-9)


def test_few_seeds_are_an_illustration(comparison: Path) -> None:
    page = Page(report.write(comparison))
    notice = page.words.index("An illustration, no verdict. There are 3 finished seeds a teacher")
    assert notice < page.words.index("How far the students got")
    assert "needs at least 8" in page.words
    assert "needs at least 10" in page.words  # the supervised part
    for word in ("supported", "contradicted", "significant", "better than", "outperform"):
        assert word not in page.words


def test_enough_seeds_without_a_plan_are_exploratory(tmp_path: Path, study_folder: Make) -> None:
    folder = study_folder(tmp_path / "c", seeds=8, arms=("random", "window"), steps=2_000)
    page = Page(report.write(folder))
    assert "Exploratory, no verdict. The seeds would be enough, but" in page.words
    assert "illustration" not in page.words


def test_one_seed_has_no_interval(tmp_path: Path, study_folder: Make) -> None:
    folder = study_folder(tmp_path / "c", seeds=1, arms=("random", "window"))
    page = Page(report.write(folder))
    assert "There is one finished seed a teacher" in page.words
    assert "nan" not in page.words.lower().split()
    assert "[" not in page.words[page.words.index("How far") : page.words.index("Square brackets")]


def test_a_difference_that_may_be_none_is_said_to_be(tmp_path: Path, study_folder: Make) -> None:
    arms = ("random", "alp-gmm")
    folder = study_folder(tmp_path / "c", seeds=8, arms=arms, skill=0.5, steps=2_000)
    assert "the interval includes no difference" in Page(report.write(folder)).words


def test_a_single_unfinished_run(tmp_path: Path, run_folder: Make) -> None:
    folder = run_folder(tmp_path / "r", teacher="alp-gmm", finished=False, seed=5)
    page = Page(report.write(folder, tmp_path / "elsewhere" / "page.html"))
    assert not (folder / "report.html").exists()
    assert "alp-gmm on StumpTracks-v0, seed 5" in page.words
    assert "One run is an illustration, no verdict." in page.words
    assert re.search(r"Unfinished\. This run has got (49|50)% through its budget", page.words)
    assert "currgym train StumpTracks-v0 --teacher alp-gmm --student ppo" in page.words
    assert "chart-frontier-plane-0" in page.charts
    assert "gain" not in page.ids
    assert "ledger" not in page.ids


def test_an_unfinished_comparison_says_so(comparison: Path) -> None:
    (comparison / "runs/alp-gmm/seed-0/summary.json").unlink()
    shutil.rmtree(comparison / "runs/window/seed-2")
    page = Page(report.write(comparison))
    assert "Unfinished: 1 of 12 runs unfinished and 1 not begun." in page.words
    assert "2 of 3" in page.words


def test_a_run_that_has_only_begun(tmp_path: Path, run_folder: Make) -> None:
    folder = run_folder(tmp_path / "r", finished=False)
    for name in ("episodes.csv", "evaluations.csv", "timing.csv", "snapshots.jsonl"):
        (folder / name).unlink()
    config = json.loads((folder / "config.json").read_text())
    for name in ("task_space", "test_set", "mastery", "return_range"):
        del config[name]
    (folder / "config.json").write_text(json.dumps(config))
    page = Page(report.write(folder))
    assert "No evaluation so far." in page.words
    assert "has got 0% through" in page.words
    assert page.charts == {}


def test_missing_snapshots(tmp_path: Path, study_folder: Make) -> None:
    page = Page(report.write(study_folder(tmp_path / "c", seeds=2, snapshots=False)))
    (steps,) = page.charts["chart-frontier-plane-1"]["states"][0]["data"]
    assert steps["type"] == "heatmap"


def test_the_teachers_model_is_drawn_over_its_steps(comparison: Path) -> None:
    page = Page(report.write(comparison))
    states = page.charts["chart-frontier-plane-2"]["states"]
    assert len(states) == 24
    assert states[-1]["name"] == "environment steps 5.75k to 6k"
    assert [t["type"] for t in states[-1]["data"]] == ["heatmap"] + 3 * ["scatter"]
    assert [t.get("fill") for t in states[-1]["data"][1:3]] == ["toself", "toself"]  # Gaussians
    assert states[-1]["about"] == "fits 4"
    strip = page.charts["chart-frontier-2"]["states"]
    assert [s["name"] for s in strip] == ["difficulty", "stump height", "obstacle spacing"]
    lines = [t for t in strip[1]["data"] if t.get("name") in ("10 %", "median", "90 %")]
    assert [len(t["x"]) for t in lines] == [5, 5, 5]


def test_how_to_get_what_is_not_there(comparison: Path) -> None:
    words = Page(report.write(comparison)).words
    assert "would split it into better tasks, their order and adaptivity" in words
    assert "currgym doctor ENV --headroom" in words
    assert "What the optimiser did" not in words


def test_names_cannot_break_the_page(tmp_path: Path, study_folder: Make) -> None:
    folder = study_folder(tmp_path / "c", seeds=2, arms=("random", "window"))
    bad = "</script><script>alert(1)</script><b>"
    plan = json.loads((folder / "study.json").read_text())
    plan["arms"][1]["label"] = bad
    plan["runs"][bad] = plan["runs"].pop("window")
    plan["student"] = bad
    (folder / "study.json").write_text(json.dumps(plan))
    page = Page(report.write(folder))
    assert page.scripts == 3
    assert "<b>" not in page.source.replace("'<b>'", "").split("<script>")[0]
    assert html.unescape(bad) in page.words
    names = [t.get("name", "") for t in page.charts["chart-curves"]["states"][0]["data"]]
    assert html.escape(bad) in names


def test_films_are_embedded_while_they_are_small(
    comparison: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Page(report.write(comparison))
    embedded = base64.b64decode(page.loads[0].partition(",")[2])
    assert embedded == (comparison / "film/hard.gif").read_bytes()
    assert "Alp-gmm's student on a hard task" in page.words
    monkeypatch.setattr("currgym.report.sections.FILM_BYTES", 10)
    page = Page(report.write(comparison))
    assert page.loads == []
    assert "Too large to show here: hard.gif" in page.words


def test_films_in_a_runs_own_folder_are_found(tmp_path: Path, run_folder: Make) -> None:
    folder = run_folder(tmp_path / "r")
    (folder / "films").mkdir()
    (folder / "films" / "easy_task.gif").write_bytes(b"GIF89a")
    (folder / "films" / "notes.txt").write_text("no film")
    assert "Easy task" in Page(report.write(folder)).words


def test_the_command_names_what_was_asked_for(tmp_path: Path, study_folder: Make) -> None:
    folder = study_folder(tmp_path / "c", seeds=2, arms=("random", "alp-gmm"))
    plan = json.loads((folder / "study.json").read_text())
    plan["arms"][1] |= {"label": "fast", "preset": None, "parameters": {"fit_period": 100}}
    plan["runs"]["fast"] = plan["runs"].pop("alp-gmm")
    plan["seeds"] = [1000, 1001]
    (folder / "study.json").write_text(json.dumps(plan))
    config = folder / "runs/random/seed-0/config.json"
    document = json.loads(config.read_text())
    document["request"] = {"test_set": "grid", "test_seeds": 3, "modules": ["mine"]}
    config.write_text(json.dumps(document))
    words = Page(report.write(folder)).words
    expected = (
        "currgym compare StumpTracks-v0 --teachers random fast=alp-gmm:fit_period=100",
        "--student ppo --steps 6000 --seeds 2 --first-seed 1000 --num-envs 8 --test-set grid",
        "--import mine --set student.n_steps=512 --out again",
    )
    assert " ".join(expected) in words


def test_running_quantiles_are_said(tmp_path: Path, run_folder: Make) -> None:
    folder = run_folder(tmp_path / "r")
    document = json.loads((folder / "config.json").read_text())
    assert "scaled from [\u2212150, 350] to [0, 1]" in Page(report.write(folder)).words
    document["return_range"] = None
    (folder / "config.json").write_text(json.dumps(document))
    assert "by running 5\u201395\xa0% quantiles" in Page(report.write(folder)).source.replace(
        "&ndash;", "\u2013"
    ).replace("&nbsp;", "\xa0")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="neither a run nor a comparison"):
        report.write(tmp_path)
    assert list(tmp_path.iterdir()) == []
