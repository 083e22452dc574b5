"""A study's plan, from its file through freezing to the terminal and the tables."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest
from click.testing import CliRunner

from currgym.commands.study import study
from currgym.studies import Study, StudySpec, freeze, frozen_hash

FILE = """
teachers = ["random", "alp-gmm"]
seeds = {seeds}
first_seed = {first}
steps = 40
environments = ["toy/cube"]
students = ["cube"]
[run]
evaluate_every = 20
[plan]
endpoint = "{endpoint}"
baseline = "random"
smallest_effect = 0.1
n = {n}
"""


def written(folder: Path, more: str = "", **changes: object) -> Path:
    path = folder / "s.toml"
    settings = {"seeds": 2, "first": 0, "endpoint": "solved", "n": 2, **changes}
    path.write_text(FILE.format(**settings) + more)
    return path


def test_an_endpoint_brings_its_shape_and_direction(tmp_path: Path) -> None:
    plan = StudySpec.read(written(tmp_path)).plan
    assert plan is not None
    assert (plan.shape, plan.direction, plan.contrasts) == ("share", "higher", ("alp-gmm",))
    timed = StudySpec.read(written(tmp_path, "threshold = 0.5", endpoint="time"))
    assert timed.plan is not None
    assert (timed.plan.direction, timed.plan.threshold) == ("lower", 0.5)
    own = StudySpec.read(written(tmp_path, 'shape = "bounded"\ncorrelation = 0.4'))
    assert own.plan is not None
    assert (own.plan.shape, own.plan.correlation) == ("bounded", 0.4)
    again = StudySpec.from_document(timed.to_document(), tmp_path / "s.toml")
    assert again.plan == timed.plan


@pytest.mark.parametrize(
    ("more", "changes", "match"),
    [
        ("", {"endpoint": "sloved"}, "did you mean 'solved'"),
        ("", {"endpoint": "time"}, "lacks threshold"),
        ('shape = "gaussian"', {}, "shape must be one of"),
        ("margin = 0.1", {}, "entry of \\[plan\\]"),
    ],
)
def test_bad_plans_are_refused(
    tmp_path: Path, more: str, changes: dict[str, object], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        StudySpec.read(written(tmp_path, more, **changes))


def test_a_plan_that_can_give_no_verdict_cannot_be_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose settings"):
        freeze(StudySpec.read(written(tmp_path, first=1000)))
    with pytest.raises(ValueError, match="not offered for 'skewed'"):
        freeze(StudySpec.read(written(tmp_path, 'shape = "skewed"')))
    spec = StudySpec.read(written(tmp_path))
    assert freeze(spec) == frozen_hash(spec)
    changed = StudySpec.read(written(tmp_path, "alpha = 0.1"))
    assert frozen_hash(changed) is None


def test_conclusions_on_the_terminal_and_in_tables(tmp_path: Path) -> None:
    path = written(tmp_path)
    early = CliRunner().invoke(study, ["report", str(path)])
    assert early.exit_code == 1
    assert "no run has begun" in early.output
    freeze(StudySpec.read(path))
    assert Study.open(path).run(engine="inline") == []
    told = CliRunner().invoke(study, ["report", str(path)], env={"COLUMNS": "200"})
    assert told.exit_code == 0, told.output
    assert "illustration, no verdict" in told.output
    assert "share of the test set solved at the end" in told.output
    assert (tmp_path / "s" / "report.html").exists()
    CliRunner().invoke(study, ["export", str(path), "--out", str(tmp_path / "out")])
    rows = pandas.read_csv(tmp_path / "out" / "conclusions.csv")
    assert rows["arm"].tolist() == ["random", "alp-gmm"]
    assert rows["verdict"].tolist() == ["baseline", "illustration, no verdict"]
    assert rows["seeds"].tolist() == [2, 2]
    assert "alp-gmm &" in (tmp_path / "out" / "results.tex").read_text()


CLAIM = """
protocol = "conceptual"
scale = 0.05
differs = "a simulated student"
[plan.by_construction]
target = "it trains on the test set & nothing else"
[plan.not_testable]
flat = "no noise <here> [/]"
"""
ARMS = 'teachers = ["random", "alp-gmm", "target", "flat=alp-gmm:fit_period=50"]'


def test_a_published_claim_from_its_file_to_the_page(tmp_path: Path) -> None:
    """What cannot fail, what cannot be tested, and how the claim is tried are part of the plan."""
    path = written(tmp_path, CLAIM, seeds=30, n=30)
    path.write_text(path.read_text().replace('teachers = ["random", "alp-gmm"]', ARMS))
    plan = StudySpec.read(path).plan
    assert plan is not None
    assert plan.contrasts == ("alp-gmm",)  # of what is declared nothing is tested
    runner = CliRunner()
    assert runner.invoke(study, ["freeze", str(path)]).exit_code == 0
    again = StudySpec.from_document(StudySpec.read(path).to_document(), path)
    assert again.plan == plan
    for old, new in (("0.05", "0.06"), ("simulated", "real"), ("& nothing", "and nothing")):
        path.write_text(path.read_text().replace(old, new))
        assert frozen_hash(StudySpec.read(path)) is None, new
        path.write_text(path.read_text().replace(new, old))
    assert frozen_hash(StudySpec.read(path)) is not None
    assert Study.open(path).run(1, engine="inline") == []
    said = runner.invoke(study, ["report", str(path)], env={"COLUMNS": "240"}).output
    assert "tried conceptually, at 0.05 times the original's budget; a simulated student" in said
    assert "by construction (conceptual, scale 0.05)" in said
    assert "flat: no noise <here> [/]" in said
    page = (tmp_path / "s/report.html").read_text()
    assert "<strong>by construction (conceptual, scale 0.05)</strong> (it trains on the" in page
    assert "<strong>not testable here (conceptual, scale 0.05)</strong> (no noise &lt;here" in page
    assert runner.invoke(study, ["export", str(path)]).exit_code == 0
    table = pandas.read_csv(tmp_path / "s/tables/conclusions.csv").set_index("arm")
    assert table.loc["target", ["verdict", "protocol", "scale"]].tolist() == [
        "by construction", "conceptual", 0.05
    ]  # fmt: skip
    assert (
        "not testable here (conceptual, scale 0.05)"
        in (tmp_path / "s/tables/results.tex").read_text()
    )


def test_an_arm_is_not_declared_once_it_has_run(tmp_path: Path) -> None:
    path = written(tmp_path, '[plan.by_construction]\nalp-gmm = "so it is"\n')
    assert Study.open(path).run(1, engine="inline") == []
    with pytest.raises(ValueError, match="results already"):
        freeze(StudySpec.read(path))


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ("by_construction = 3", "by_construction of .plan. must be a table"),
        ('contrasts = "alp-gmm"', "contrasts of .plan. must be a list"),
        ("differs = 3", "differs of .plan. must be a text"),
        ("alpha = true", "alpha of .plan. must be a number"),
        ('[plan.not_testable]\nalp = "why"', "did you mean 'alp-gmm'"),
        ("[plan.not_testable]\nalp-gmm = 3", "not_testable of .plan. must be a table"),
        ('[plan.not_testable]\nalp-gmm = " "', "must say why"),
        ("scale = 0.1", "scale goes with protocol"),
        ('protocol = "conceptual"\nscale = "small"', "scale of .plan. must be a number"),
    ],
)
def test_a_claim_that_does_not_fit_is_refused(tmp_path: Path, more: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        StudySpec.read(written(tmp_path, more))
