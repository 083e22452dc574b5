import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from currgym.report.data import Curve, load
from currgym.report.words import notices
from currgym.tasks import BoxTasks, TaskSpace

Make = Callable[..., Path]


def rewrite(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def read_all(folder: Path) -> list[Any]:
    return [(run.episodes, run.evaluations, run.snapshots) for run in load(folder).runs]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A finished run of two evaluations on two tasks, all numbers known."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    config = {
        "format": 1,
        "kind": "rl",
        "label": "random",
        "env": {"id": "currgym/X-v0", "kwargs": {}},
        "teacher": {"name": "random", "preset": None, "parameters": {}},
        "student": {"name": "ppo", "parameters": {}},
        "steps": 100,
        "seed": 3,
        "test_set": {"name": "grid", "tasks": [[0.0], [1.0]], "seeds": [[7, 8], [7, 8]]},
        "task_space": BoxTasks([0], [1], names=["gap"]).config(),
        "mastery": 10.0,
    }
    rewrite(folder / "config.json", json.dumps(config))
    rewrite(
        folder / "evaluations.csv",
        "step,test_set,task_index,seed,return,length,success\n"
        "0,grid,0,7,11.0,5,\n0,grid,0,8,10.0,5,\n0,grid,1,7,1.0,5,\n0,grid,1,8,0.0,5,\n"
        "0,other,1,8,99.0,5,1.0\n"
        "100,grid,0,7,5.0,5,1.0\n100,grid,0,8,5.0,5,0.5\n"
        "100,grid,1,7,5.0,5,0.0\n100,grid,1,8,5.0,5,1.0\n",
    )
    rewrite(
        folder / "episodes.csv",
        "episode,id,env,step,seed,return,length,success,terminated,truncated,task.gap\n"
        "0,0,0,40,1,1.0,40,,True,False,0.25\n1,1,0,100,1,1.0,60,,True,False,0.75\n",
    )
    rewrite(folder / "summary.json", json.dumps({"finished": True, "ledger": {"steps": 100}}))
    return folder


def test_a_single_run_by_hand(tiny: Path) -> None:
    study = load(tiny)
    assert study.single
    assert (study.kind, study.seeds, study.baseline) == ("rl", (3,), None)
    (run,) = study.runs
    steps, values = run.curve("mastered")
    # At 0 nothing tells success, so returns above 10 count: 1 of 4. The other test set is left out.
    np.testing.assert_allclose(steps, [0, 100])
    np.testing.assert_allclose(values, [25.0, 62.5])
    np.testing.assert_allclose(run.curve("return")[1], [5.5, 5.0])
    index, share = run.final_successes()
    np.testing.assert_allclose(share[np.argsort(index)], [0.75, 0.5])
    np.testing.assert_allclose(run.episodes.lengths, [40, 60])
    np.testing.assert_allclose(run.episodes.tasks, [[0.25], [0.75]])
    assert run.snapshots == ()
    assert study.metric.name == "mastered"
    assert study.verdict().word == "illustration, no verdict"


def test_an_unfinished_last_line_is_left_out(tiny: Path) -> None:
    with (tiny / "episodes.csv").open("a") as file:
        file.write("2,2,0,120,1,1.0,20,,True")
    with (tiny / "evaluations.csv").open("a") as file:
        file.write("110,grid,0,7,5.0,5,1.0\n110,grid,0,8,5.")
    (run,) = load(tiny).runs
    assert len(run.episodes.steps) == 2
    # The evaluation at 110 is not whole, so the curve ends before it.
    np.testing.assert_allclose(run.curve("mastered")[0], [0, 100])


def test_without_success_and_mastery_the_return_is_the_measure(tiny: Path) -> None:
    config = json.loads((tiny / "config.json").read_text())
    del config["mastery"]
    rewrite(tiny / "config.json", json.dumps(config))
    text = (tiny / "evaluations.csv").read_text().replace(",1.0\n", ",\n").replace(",0.5\n", ",\n")
    rewrite(tiny / "evaluations.csv", text.replace(",0.0\n", ",\n"))
    assert [m.name for m in load(tiny).metrics] == ["return"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("config.json", "{", r"config\.json is damaged"),
        ("config.json", "[]", r"config\.json is damaged"),
        ("config.json", '{"format": 9}', r"format 9: update currgym"),
        ("config.json", "{}", r"config\.json is damaged: KeyError: 'steps'"),
        ("episodes.csv", "episode,step\n1,2\n", r"episodes\.csv lacks the column 'length'"),
        ("evaluations.csv", "step\n", r"evaluations\.csv lacks the column"),
        ("snapshots.jsonl", "{}\n", r"line 1 of .*snapshots\.jsonl"),
    ],
)
def test_damaged_files_are_named(tiny: Path, name: str, text: str, message: str) -> None:
    rewrite(tiny / name, text)
    with pytest.raises(ValueError, match=message):
        read_all(tiny)


def test_a_damaged_row_is_named(tiny: Path) -> None:
    with (tiny / "episodes.csv").open("a") as file:
        file.write("2,2,0,oops,1,1.0,20,,True,False,0.5\n")
    with pytest.raises(ValueError, match=r"episodes\.csv is damaged.*oops"):
        _ = load(tiny).runs[0].episodes


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="neither a run nor a comparison"):
        load(tmp_path)


def test_comparison(tmp_path: Path, study_folder: Make) -> None:
    folder = study_folder(tmp_path / "c", seeds=8)
    study = load(folder)
    assert [arm.label for arm in study.arms] == ["random", "alp-gmm", "window"]
    assert [run.seed for run in study.arms[1].runs] == list(range(8))
    assert study.arms[2].privileges == ("difficulty",)
    alp, base = study.arms[1], study.arms[0]
    curve = alp.curve("mastered")
    assert curve.values.shape == (8, 7)
    end, gap = study.end(alp, study.metric), study.difference(alp, study.metric)
    assert end is not None
    assert gap is not None
    assert end.estimate == pytest.approx(curve.values[:, -1].mean())
    assert gap.estimate == pytest.approx(
        curve.values[:, -1].mean() - base.curve("mastered").values[:, -1].mean()
    )
    assert gap.method == "Welch interval"
    assert study.difference(base, study.metric) is None
    assert alp.mean_ledger()["probe_steps"] == 2_400


def test_supervised_arms_are_paired(tmp_path: Path, study_folder: Make) -> None:
    study = load(study_folder(tmp_path / "c", seeds=8, kind="supervised"))
    assert study.kind == "supervised"
    gap = study.difference(study.arms[1], study.metric)
    assert gap is not None
    assert gap.method == "paired t interval"


def test_unfinished_and_missing_runs_do_not_count(tmp_path: Path, study_folder: Make) -> None:
    folder = study_folder(tmp_path / "c", seeds=3)
    (folder / "runs/alp-gmm/seed-0/summary.json").unlink()
    shutil.rmtree(folder / "runs/alp-gmm/seed-1")
    study = load(folder)
    alp = study.arms[1]
    assert (len(alp.runs), len(alp.finished), alp.missing) == (2, 1, 1)
    assert list(alp.final("mastered")) == [2]
    assert len(study.unfinished) == 1
    assert study.missing == 1


def test_curves_on_different_steps_meet_on_common_ones(tmp_path: Path, run_folder: Make) -> None:
    study = load(run_folder(tmp_path / "a", seed=0, finished=False))
    short = study.arms[0].curve("mastered")
    assert short.steps[-1] <= 3_000
    whole = load(run_folder(tmp_path / "b", seed=1))
    arm = type(study.arms[0])(**{**vars(study.arms[0]), "runs": (study.runs[0], whole.runs[0])})
    both = arm.curve("mastered")
    assert both.steps[-1] == 6_000
    assert np.isnan(both.values[0, -1])
    assert np.isfinite(both.values[1]).all()
    mean, low, _ = both.band()
    assert np.isfinite(mean).all()
    assert np.isnan(low[-1])


def test_an_empty_curve_has_an_empty_band() -> None:
    mean, low, high = Curve(np.empty(0), np.empty((0, 0)), ()).band()
    assert len(mean) == len(low) == len(high) == 0


def test_no_function_is_imported_from_a_folder(
    tmp_path: Path, run_folder: Make, spaces: dict[str, TaskSpace]
) -> None:
    described = {**spaces["plane"].config(), "difficulty": {"import": "antigravity:fly"}}
    (run,) = load(run_folder(tmp_path / "r", task_space=described)).runs
    assert isinstance(run.space, BoxTasks)
    assert run.space.difficulty is None


# Verdicts. ---------------------------------------------------------------------------------------


def planned(folder: Path, frozen: str | None, **changes: Any) -> Path:
    """Write a plan into a comparison's study.json."""
    path = folder / "study.json"
    document = json.loads(path.read_text())
    document["plan"] = {
        "endpoint": "solved", "baseline": "random", "contrasts": ["alp-gmm"], "n": 8,
        "smallest_effect": 0.05, "alpha": 0.05, "direction": "higher", "shape": "share",
        "correlation": 0.0, "threshold": None, "frozen": frozen, **changes,
    }  # fmt: skip
    rewrite(path, json.dumps(document))
    return folder


def test_a_frozen_study_with_enough_seeds_has_its_verdict(
    tmp_path: Path, study_folder: Make
) -> None:
    folder = study_folder(tmp_path / "c", seeds=8)
    study = load(planned(folder, "abc"))
    arm = study.arms[1]
    assert study.verdict(arm).word == "supported"
    assert study.verdict().word == "alp-gmm: supported"
    assert study.conclusions()["window"].verdict.word == "exploratory, no verdict"
    assert "Planned before the runs" in notices(study)[0]
    assert "alp-gmm: <strong>supported</strong>" in notices(study)[0]
    gap, shown = study.conclusions()["alp-gmm"].difference, study.difference(arm, study.metric)
    assert gap is not None
    assert shown is not None
    assert shown.low == pytest.approx(100.0 * gap.low)
    tail = study.conclusions()["alp-gmm"].tail
    assert tail is not None
    assert tail.estimate < gap.estimate + 1.0

    open_ = load(planned(folder, None))
    assert open_.verdict(open_.arms[1]).word == "exploratory, no verdict"
    assert "Planned before" not in notices(open_)[0]
    late = load(planned(folder, "abc", n=9))
    assert late.verdict().word == "unfinished, no verdict"
    assert "8 of the 9 planned seeds" in notices(late)[0]
    with pytest.raises(ValueError, match="damaged"):
        load(planned(folder, "abc", endpoints="solved"))


def test_endpoints_of_a_run_by_hand(tiny: Path) -> None:
    (run,) = load(tiny).runs
    assert run.endpoint("solved") == pytest.approx(0.625)
    assert run.endpoint("area") == pytest.approx((0.25 + 0.625) / 2)
    assert run.endpoint("return") == pytest.approx(5.0)
    assert run.endpoint("time", 0.6) == 1.0
    # Of two tasks (.75 and .5) the worst tenth is the worse one.
    assert run.tail("solved") == pytest.approx(0.5)
    assert run.tail("return") == pytest.approx(5.0)
