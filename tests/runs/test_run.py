"""One run folder: what it holds, and what bad luck does to it."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from currgym.runs import Interrupted, Run, RunConfig, explain, rebuild_teacher
from currgym.states import load_state
from currgym.tasks import BoxTasks
from currgym.teaching import make_teacher, teachers


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_folder_holds_what_repeats_it(digits: Any) -> None:
    run = digits()
    summary = run.train()
    document = json.loads((run.folder / "config.json").read_text())
    assert document["request"]["steps"] == 960
    assert {"numpy", "torch", "python", "currgym"} <= set(document["versions"])
    assert document["task_space"]["n"] == 1257
    episodes = rows(run.folder / "episodes.csv")
    assert len(episodes) == 960 == summary["ledger"]["attempts"]
    assert [row["episode"] for row in episodes[:3]] == ["0", "1", "2"]
    evaluations = rows(run.folder / "evaluations.csv")
    assert sorted({int(row["step"]) for row in evaluations}) == [0, 480, 960]
    assert summary["ledger"]["evaluations"] == len(evaluations)
    assert list((run.folder / "tensorboard").iterdir())
    for name in ("episodes.csv", "evaluations.csv"):
        assert "seconds" not in (run.folder / name).read_text().splitlines()[0]


def test_config_is_written_before_training_begins(digits: Any) -> None:
    run = digits()
    assert json.loads((run.folder / "config.json").read_text())["request"]["seed"] == 0
    assert not (run.folder / "episodes.csv").exists()


def test_checkpoints_disturb_nothing(digits: Any) -> None:
    always, never = digits("always"), digits("never", checkpoint_every=1e9)
    always.train()
    never.train()
    for name in ("episodes.csv", "evaluations.csv", "calls.csv"):
        assert (always.folder / name).read_bytes() == (never.folder / name).read_bytes()


def test_another_seed_is_another_run(digits: Any) -> None:
    first, second = digits("first"), digits("second", seed=1)
    first.train()
    second.train()
    assert (first.folder / "episodes.csv").read_bytes() != (
        second.folder / "episodes.csv"
    ).read_bytes()


def test_a_folder_that_holds_a_run_is_refused_and_left_alone(digits: Any) -> None:
    run = digits()
    run.train()
    before = (run.folder / "episodes.csv").read_bytes()
    with pytest.raises(FileExistsError, match=r"holds another run.*currgym resume"):
        Run.create(run.config, run.folder)
    assert (run.folder / "episodes.csv").read_bytes() == before


def stop_at(run: Run, step: int) -> None:
    """Train until the first safe point at or after this step, as Ctrl-C would stop it."""

    def watch(running: Run) -> None:
        if running.steps >= step:
            running.stopping = True

    with pytest.raises(Interrupted, match="currgym resume"):
        run.train(watch)


@pytest.mark.parametrize(
    "damage", ["truncate", "flip", "remove", "manifest"], ids=lambda name: str(name)
)
def test_damaged_checkpoint_falls_back_and_says_so(digits: Any, damage: str) -> None:
    whole = digits("whole")
    whole.train()
    run = digits("damaged")
    stop_at(run, 640)
    found = sorted(int(f.name) for f in (run.folder / "checkpoints").iterdir())
    assert len(found) == 2
    newest = run.folder / "checkpoints" / str(found[-1])
    victim = newest / ("manifest.json" if damage == "manifest" else "tensors.pt")
    content = victim.read_bytes()
    if damage == "remove":
        victim.unlink()
    elif damage == "flip":
        middle = len(content) // 2
        victim.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    else:
        victim.write_bytes(content[: len(content) // 2])
    again = Run.open(run.folder)
    again.train()
    assert any("fell back" in note and str(found[-1]) in note for note in again.notes)
    for name in ("episodes.csv", "evaluations.csv", "calls.csv"):
        assert (again.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_all_checkpoints_damaged_starts_over(digits: Any) -> None:
    whole = digits("whole")
    whole.train()
    run = digits("damaged")
    stop_at(run, 640)
    for manifest in (run.folder / "checkpoints").glob("*/manifest.json"):
        manifest.write_text("{")
    again = Run.open(run.folder)
    again.train()
    assert len(again.notes) == 2
    assert (again.folder / "episodes.csv").read_bytes() == (
        whole.folder / "episodes.csv"
    ).read_bytes()


def test_killed_between_the_last_checkpoint_and_the_summary(digits: Any) -> None:
    """Nothing is done a second time: same bytes, same count of evaluations."""
    run = digits()
    before = run.train()
    names = ("episodes.csv", "evaluations.csv", "calls.csv", "snapshots.jsonl")
    bytes_before = [(run.folder / name).read_bytes() for name in names]
    (run.folder / "summary.json").unlink()
    after = Run.open(run.folder).train()
    assert [(run.folder / name).read_bytes() for name in names] == bytes_before
    assert after["ledger"] == before["ledger"]


def test_looking_at_a_damaged_run_says_what_it_looks_at(digits: Any) -> None:
    run = digits()
    run.train()
    newest, older = sorted(
        (run.folder / "checkpoints").iterdir(), key=lambda f: int(f.name), reverse=True
    )
    (newest / "manifest.json").write_text("{")
    with pytest.warns(UserWarning, match=rf"{newest.name}.*fell back.*{int(older.name):,}"):
        run.load_session().close()
    (older / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=rf"no sound checkpoint: checkpoint {newest.name}"):
        run.load_session()
    run = Run.open(run.folder)
    (run.folder / "summary.json").unlink()
    run.train()
    assert all("begun anew" in note for note in run.notes)
    assert len(run.notes) == 2


def test_a_fork_that_cannot_be_built_leaves_no_folder(digits: Any, tmp_path: Path) -> None:
    run = digits()
    run.train()
    with pytest.raises(ValueError, match="did you mean 'random'"):
        run.fork(960, tmp_path / "fork", "rndom")
    assert not (tmp_path / "fork").exists()


def test_checkpoints_hold_no_pickle(digits: Any) -> None:
    run = digits()
    run.train()
    newest = sorted((run.folder / "checkpoints").iterdir())[-1]
    load_state(newest)  # weights_only, allow_pickle=False
    assert {path.suffix for path in newest.iterdir()} == {".json", ".npz", ".pt"}


def test_interrupt_writes_a_checkpoint(digits: Any) -> None:
    run = digits()

    def interrupt(running: Run) -> None:
        if running.steps >= 320 and not running.stopping:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        run.train(interrupt)
    steps = [int(f.name) for f in (run.folder / "checkpoints").iterdir()]
    assert max(steps) >= 320
    assert not run.finished
    Run.open(run.folder).train()
    assert (run.folder / "summary.json").exists()


def test_resume_of_a_finished_run_changes_nothing(digits: Any) -> None:
    run = digits()
    summary = run.train()
    before = (run.folder / "episodes.csv").read_bytes()
    assert Run.open(run.folder).train() == summary
    assert (run.folder / "episodes.csv").read_bytes() == before


def plain_equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(plain_equal(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(plain_equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return bool(a == b)


# Other tests register teachers of their own, for other students.
OURS = [n for n in teachers if teachers[n].__module__.startswith("currgym.teachers.")]


def _needs_difficulty(name: str) -> bool:
    if teachers[name].required:
        return False
    try:
        make_teacher(name, BoxTasks([0, 0], [1, 1]))
    except ValueError:
        return True
    return False


BOXED = [n for n in OURS if "box" in teachers[n].spaces]
ORDERED = [n for n in BOXED if _needs_difficulty(n)]
"""Teachers that the toy, which declares no difficulty, cannot have."""


@pytest.mark.parametrize("name", [*ORDERED, "random", "yoked", "learning-progress"])
def test_log_rebuilds_the_teacher(digits: Any, name: str) -> None:
    given = {"log": [3, 1, 4, 1, 5]} if "log" in teachers[name].required else {}
    run = digits(name, teacher=name, teacher_parameters=given, steps=640, checkpoint_every=1e9)
    run.train()
    newest = sorted((run.folder / "checkpoints").iterdir())[-1]
    saved = load_state(newest)["session"]["curriculum"]["teacher"]
    assert plain_equal(rebuild_teacher(run.folder).state_dict(), saved)


# No toy is a pair, and none has start states.
ON_TOYS = [n for n in BOXED if n not in {*ORDERED, "paired", "start-buffer"}]


@pytest.mark.parametrize("name", ON_TOYS)
def test_log_of_a_toy_rebuilds_the_teacher(tmp_path: Path, name: str) -> None:
    given = {"log": [[0.1, 0.2], [0.8, 0.4]]} if "log" in teachers[name].required else {}
    config = RunConfig(
        "toy/grid", name, "grid", steps=600, num_envs=10, checkpoint_every=1e9,
        env_parameters={"cubes": 4}, teacher_parameters=given,
    )  # fmt: skip
    run = Run.create(config, tmp_path / "run")
    run.train()
    newest = sorted((run.folder / "checkpoints").iterdir())[-1]
    saved = load_state(newest)["session"]["curriculum"]["teacher"]
    assert plain_equal(rebuild_teacher(run.folder).state_dict(), saved)


def test_why_is_the_teacher_before_it_proposed(digits: Any) -> None:
    run = digits(teacher="easy-to-hard")
    run.train()
    found = explain(run.folder, 100)
    assert found.episode == 100
    assert found.ticket == int(found.row["id"])
    assert found.outcomes_seen == 96  # batches of 32: the fourth was proposed after three outcomes
    assert found.snapshot
    assert f"example {found.row['task.task']} is number" in str(found.reason)
    with pytest.raises(ValueError, match="has 960 finished episodes"):
        explain(run.folder, 5000)


def test_why_does_not_guess_where_the_log_is_torn(digits: Any) -> None:
    """A kill leaves files of unequal age: episodes that calls.csv does not know of yet."""
    run = digits()
    run.train()
    calls, episodes = run.folder / "calls.csv", run.folder / "episodes.csv"
    whole, lines = calls.read_bytes(), calls.read_bytes().splitlines(keepends=True)
    calls.write_bytes(b"".join(lines[: len(lines) // 2]))
    assert explain(run.folder, 100).outcomes_seen == 96
    with pytest.raises(ValueError, match="ends before ticket 900 was proposed"):
        explain(run.folder, 900)
    calls.write_bytes(whole)
    lines = episodes.read_bytes().splitlines(keepends=True)
    episodes.write_bytes(b"".join(lines[: len(lines) // 2]))
    assert rebuild_teacher(run.folder).seen <= len(lines) // 2


def test_why_knows_a_log_of_another_version(digits: Any) -> None:
    run = digits(teacher="easy-to-hard")
    run.train()
    episodes = run.folder / "episodes.csv"
    lines = episodes.read_text().splitlines(keepends=True)
    fields = lines[101].rstrip("\n").split(",")
    column = lines[0].rstrip("\n").split(",").index("task.task")
    fields[column] = str((int(fields[column]) + 1) % 10)
    lines[101] = ",".join(fields) + "\n"
    episodes.write_text("".join(lines))
    with pytest.raises(ValueError, match="it was made by another version"):
        explain(run.folder, 100)


def test_fork_goes_on_with_the_student_under_another_teacher(digits: Any, tmp_path: Path) -> None:
    run = digits()
    stop_at(run, 480)
    step = max(int(f.name) for f in (run.folder / "checkpoints").iterdir())
    fork = run.fork(step, tmp_path / "fork", "easy-to-hard")
    summary = fork.train()
    assert summary["ledger"]["steps"] == 960
    document = json.loads((fork.folder / "config.json").read_text())
    assert document["forked_from"]["step"] == step
    assert document["teacher"]["name"] == "easy-to-hard"
    first = rows(fork.folder / "evaluations.csv")[0]
    assert int(first["step"]) >= step
    with pytest.raises(ValueError, match="no checkpoint at step 7"):
        run.fork(7, tmp_path / "none", "random")


def test_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a run"):
        Run.open(tmp_path)
    (tmp_path / "config.json").write_text('{"format": 1')
    with pytest.raises(ValueError, match="damaged"):
        Run.open(tmp_path)


def test_foreign_modules_need_trust(tmp_path: Path) -> None:
    config = RunConfig(
        env="antigravity:Env-v0", teacher="random", student="ppo", steps=10, modules=["this"]
    )
    Run.create(config, tmp_path / "run")
    with pytest.raises(ValueError, match=r"this, antigravity.*--trust"):
        Run.open(tmp_path / "run")
    Run.open(tmp_path / "run", trust=True)
