"""``currgym reproduce``: the same run again, or where it differs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from currgym.cli import main
from currgym.runs import Interrupted, Run, RunConfig
from currgym.runs.comparing import compare_runs, first_difference
from currgym.runs.reproducing import reproduce

PPO = RunConfig(
    "CartPole-v0", "alp-gmm", "ppo", 256, num_envs=2, teacher_parameters={"fit_period": 8},
    student_parameters={"n_steps": 32, "batch_size": 32, "n_epochs": 1}, test_tasks=2,
    test_seeds=1, evaluate_every=128, checkpoint_every=1e9,
)  # fmt: skip
DIGITS = RunConfig("data/digits", "easy-to-hard", "mlp", 320, evaluate_every=160)
CUBE = RunConfig("toy/cube", "alp-gmm", "cube", 400, teacher_parameters={"fit_period": 50})
KINDS = {"rl": PPO, "supervised": DIGITS, "simulated": CUBE}


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_again(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Run.create(KINDS[kind], "run").train()
    assert call("reproduce", "run") == 0
    assert "run: the same, to the last bit" in capsys.readouterr().out
    assert (tmp_path / "runs" / "again-run" / "summary.json").exists()


def test_a_changed_log_is_found_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run.create(CUBE, tmp_path / "run")
    run.train()
    log = run.folder / "episodes.csv"
    lines = log.read_text().splitlines()
    column = lines[0].split(",").index("return")
    fields = lines[20].split(",")
    fields[column] = "1.5" if fields[column] != "1.5" else "0.5"
    lines[20] = ",".join(fields)
    log.write_text("\n".join(lines) + "\n")
    document = json.loads((run.folder / "config.json").read_text())
    document["versions"]["numpy"] = "1.0"
    document["cpu"] = "an abacus"
    (run.folder / "config.json").write_text(json.dumps(document))
    assert call("reproduce", str(run.folder), "--out", str(tmp_path / "again")) == 1
    said = capsys.readouterr().out
    assert "different" in said
    assert "episodes.csv, line 21: return was 1.5 and is" in said
    assert "numpy: 1.0 then" in said
    assert "processor: an abacus then" in said


def test_another_final_state_is_named(tmp_path: Path) -> None:
    Run.create(CUBE, tmp_path / "one").train()
    second = Run.create(CUBE, tmp_path / "two")
    second.train()
    assert compare_runs(tmp_path / "one", tmp_path / "two") == []
    (state,) = (second.folder / "checkpoints").glob("*/state.json")
    tree = json.loads(state.read_text())
    tree["session"]["curriculum"]["next_id"] += 1
    state.write_text(json.dumps(tree))
    manifest = state.parent / "manifest.json"
    document = json.loads(manifest.read_text())
    from currgym.runs.checkpoints import fingerprint

    document["files"]["state.json"] = fingerprint(state)
    manifest.write_text(json.dumps(document))
    (found,) = compare_runs(tmp_path / "one", tmp_path / "two")
    assert found == "final state: state.session.curriculum.next_id: was 400 and is 401"


def test_an_interrupted_run_is_repeated_as_far_as_it_went(tmp_path: Path) -> None:
    run = Run.create(PPO, tmp_path / "run")

    def stop(running: Run) -> None:
        running.stopping = running.steps >= 128

    with pytest.raises(Interrupted):
        run.train(stop)
    assert reproduce(run.folder, tmp_path / "again") == []
    log = run.folder / "episodes.csv"
    content = log.read_bytes()
    log.write_bytes(content.replace(b"\n3,", b"\n4,", 1))
    assert log.read_bytes() != content
    (found,) = compare_runs(run.folder, tmp_path / "again")
    assert found.startswith("episodes.csv, line")


def test_a_replay_finds_its_log(tmp_path: Path) -> None:
    source = Run.create(CUBE, tmp_path / "source")
    source.train()
    log = str(source.folder / "episodes.csv")
    config = RunConfig("toy/cube", "yoked", "cube", 200, teacher_parameters={"log": log})
    Run.create(config, tmp_path / "yoked").train()
    assert reproduce(tmp_path / "yoked", tmp_path / "again") == []


def test_a_fork_is_forked_again(tmp_path: Path) -> None:
    run = Run.create(PPO, tmp_path / "run")

    def stop(running: Run) -> None:
        running.stopping = running.steps >= 128

    with pytest.raises(Interrupted):
        run.train(stop)
    step = max(int(f.name) for f in (run.folder / "checkpoints").iterdir())
    run.fork(step, tmp_path / "fork", "random").train()
    assert reproduce(tmp_path / "fork", tmp_path / "again") == []


def test_a_whole_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from currgym.studies import Arm, Study

    arms = [Arm("random", "random"), Arm("yoked", "yoked", of="random")]
    study = Study.of(tmp_path / "study", RunConfig("toy/cube", "random", "cube", 100), arms, [0, 1])
    assert study.run(1, engine="inline") == []
    out = str(tmp_path / "again")
    assert call("reproduce", str(study.folder), "--out", out, "--jobs", "2") == 0
    assert "4 of 4 runs are the same" in capsys.readouterr().out


def test_nothing_to_compare_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run.create(CUBE, tmp_path / "run")
    assert call("reproduce", str(run.folder)) == 2
    assert "no sound checkpoint" in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    assert call("reproduce", str(tmp_path / "other")) == 2
    assert "holds no run" in capsys.readouterr().err


def test_differences_are_found_in_any_leaf() -> None:
    import numpy as np

    assert first_difference({"a": [1, float("nan")]}, {"a": [1, float("nan")]}) is None
    assert first_difference({"a": 1}, {"a": 1.0}) == "state.a: was 1 and is 1.0"
    assert first_difference({"a": 1}, {"b": 1}) == "state: keys ['a', 'b'] are in one only"
    far = first_difference(np.array([1.0, 2.0]), np.array([1.0, 2.5]))
    assert far == "state: 1 of 2 numbers differ, by 0.5 at most"
