"""Environments that raise, hang, lie or never end; disks that refuse; clocks that jump."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import currgym
from currgym.cli import main
from currgym.runs import Failed, Run, RunConfig
from currgym.runs.checkpoints import Checkpoints
from currgym.runs.comparing import compare_runs

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

_spec = importlib.util.spec_from_file_location("naughty", HERE / "naughty.py")
assert _spec is not None
assert _spec.loader is not None
naughty = importlib.util.module_from_spec(_spec)
sys.modules["naughty"] = naughty
_spec.loader.exec_module(naughty)

ENV = "naughty:naughty/Env-v0"
NAMED = r"gap = 0\.[6-9]\d*\)?[;,] seed \d+"
"""A task of the misbehaving half, and its seed."""


def small(fault: str, **changes: Any) -> RunConfig:
    settings: dict[str, Any] = {
        "env": ENV, "teacher": "random", "student": "ppo", "steps": 256, "num_envs": 2,
        "student_parameters": {"n_steps": 32, "batch_size": 32, "n_epochs": 1},
        "env_parameters": {"fault": fault}, "test_set": "low", "test_seeds": 1,
        "checkpoint_every": 0.0, "step_timeout": 1.0, **changes,
    }  # fmt: skip
    return RunConfig(**settings)


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{ROOT}")


# Environments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("raise", rf"environment \d \(task {NAMED}\) failed: ZeroDivisionError: no ground here"),
        ("reset", rf"environment \d \(task {NAMED}\) failed: ZeroDivisionError: no ground here"),
        ("nan-reward", rf"reward nan in sub-environment \d at step 3 .*{NAMED}"),
        ("nan-observation", rf"observation \[nan nan\] in sub-environment \d .*{NAMED}"),
        ("loop", rf"environment \d \(task {NAMED}\) hangs: its step\(\)"),
        ("sleep", rf"environment \d \(task {NAMED}\) hangs: its step\(\)"),
    ],
)
def test_a_run_ends_with_the_task_named(tmp_path: Path, fault: str, says: str) -> None:
    run = Run.create(small(fault), tmp_path / "run")
    with pytest.raises(Failed, match=says):
        run.train()
    assert "Traceback" in (run.folder / "error.txt").read_text()
    checkpoint, problems = Checkpoints(run.folder).newest()
    assert not problems
    if fault != "reset":  # which fails before anything can be saved
        assert checkpoint is not None


def test_earlier_checkpoints_are_untouched(tmp_path: Path) -> None:
    """A fault that comes late: the checkpoint before it is what a resume goes on from."""
    calm = small("raise", env_parameters={"fault": "raise", "above": 0.985}, steps=4096)
    run = Run.create(calm, tmp_path / "run")
    with pytest.raises(Failed, match=r"stopped at step .* gap = 0\.9"):
        run.train()
    checkpoint, problems = Checkpoints(run.folder).newest()
    assert checkpoint is not None
    assert not problems
    assert checkpoint.step > 0
    with pytest.raises(Failed, match=r"gap = 0\.9"):  # the same, since all is repeatable
        Run.open(run.folder, trust=True).train()
    again, problems = Checkpoints(run.folder).newest()
    assert again is not None
    assert not problems
    assert again.step >= checkpoint.step


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("raise", r"evaluation of task gap = 0\.9; seed \d+ failed: ZeroDivisionError"),
        ("nan-reward", r"evaluation of task gap = 0\.9; seed \d+: reward nan at step 3"),
        ("nan-observation", r"evaluation of task gap = 0\.9; seed \d+: observation \[nan nan\]"),
        ("loop", r"evaluation of task gap = 0\.9; seed \d+ hangs"),
        ("endless", r"evaluation of task gap = 0\.9; seed \d+: no end after 200 steps"),
    ],
)
def test_an_evaluation_ends_with_the_task_named(
    tmp_path: Path, fault: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("currgym.runs.evaluation.EPISODE_LIMIT", 200)
    with pytest.raises(Failed, match=says):
        Run.create(small(fault, test_set="all"), tmp_path / "run").train()


def test_an_endless_episode_is_survived_in_training(tmp_path: Path) -> None:
    run = Run.create(small("endless"), tmp_path / "run")
    assert run.train()["ledger"]["steps"] == 256


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["stubborn", "native"])
def test_what_no_exception_reaches_ends_the_process(
    tmp_path: Path, fault: str, importable: None
) -> None:
    """It swallows every exception, or sits in native code and holds the interpreter's lock."""
    done = subprocess.run(
        [sys.executable, "-m", "currgym", "train", ENV, "--import", "naughty", "--steps", "256",
         "--num-envs", "2", "--set", "student.n_steps=32", "--set", f"env.fault={fault}",
         "--test-set", "low", "--test-seeds", "1", "--step-timeout", "1", "--out", "run"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    if fault == "stubborn":
        assert "hangs: its step() has not come back" in done.stderr
        assert "gap = 0." in done.stderr
        assert "Traceback" not in done.stderr
    else:
        assert "naughty.py" in done.stderr


def test_a_comparison_goes_on_without_the_run_that_failed(
    tmp_path: Path, importable: None, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """One arm draws only tasks of the healthy half."""
    from currgym.studies import Arm, Study

    base = small("raise", modules=["naughty"], steps=64)
    arms = [Arm("healthy", "target", parameters={"target": [[0.2]]}), Arm("random", "random")]
    study = Study.of(tmp_path / "study", base, arms, [0])
    failed = study.run(1, engine="inline")
    assert len(failed) == 1
    assert "random" in failed[0]
    assert "gap = 0." in failed[0]
    assert "seed" in failed[0]
    assert study.status().count("done") == 1


# Workers of vector environments ------------------------------------------------------------------


@pytest.fixture
def workers() -> Iterator[Callable[[str, float], Any]]:
    made = []

    def make(fault: str, seconds: float) -> Any:
        functions = [lambda: naughty.make(fault)] * 2
        vec = gymnasium.vector.AsyncVectorEnv(functions, context="fork")
        made.append(vec)
        return currgym.CurriculumVectorEnv(vec, "random", seed=0, step_timeout=seconds)

    yield make
    for vec in made:
        assert not any(process.is_alive() for process in vec.processes)


def play(vec: Any, steps: int) -> None:
    for _ in range(steps):
        vec.step(np.zeros(2, dtype=np.int64))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # fork beside threads, in later Pythons
def test_a_worker_that_hangs_is_killed_and_its_task_named(
    workers: Callable[[str, float], Any],
) -> None:
    vec = workers("sleep", 8.0)
    vec.reset()
    with pytest.raises(RuntimeError, match=rf"worker of sub-environment \d.*{NAMED}.*was killed"):
        play(vec, 100)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_worker_that_dies_is_named(workers: Callable[[str, float], Any]) -> None:
    vec = workers("", 60.0)
    vec.reset()
    vec.step(np.zeros(2, dtype=np.int64))
    os.kill(vec.unwrapped.processes[1].pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match=r"worker of sub-environment 1 at step \d.*exit code -9"):
        play(vec, 5)


# Disks -------------------------------------------------------------------------------------------


def unprivileged(arguments: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line as somebody whom modes of files concern: root ignores them."""
    who: dict[str, Any] = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}
    return subprocess.run(
        [sys.executable, "-m", "currgym", *arguments], cwd=cwd, capture_output=True, text=True,
        check=False, env={**os.environ, "HOME": str(cwd)}, **who,
    )  # fmt: skip


@pytest.mark.slow
def test_a_read_only_folder(tmp_path: Path) -> None:
    """What only reads works there; what writes says so in one line and changes nothing."""
    for folder in (tmp_path, *tmp_path.parents):
        if os.geteuid() == 0 and not folder.stat().st_mode & 0o001:
            pytest.skip(f"{folder} is closed to everybody else")
    config = RunConfig("data/digits", "random", "mlp", 640, evaluate_every=320)
    run = Run.create(config, tmp_path / "run")
    run.train()
    (run.folder / "summary.json").unlink()
    before = {p: p.read_bytes() for p in run.folder.rglob("*") if p.is_file()}
    for path in (run.folder, *run.folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert unprivileged(["evaluate", "run"], tmp_path).returncode == 0
        for arguments in (["resume", "run"], ["train", "data/digits", "--out", "run/new"]):
            done = unprivileged(arguments, tmp_path)
            assert done.returncode == 1, done.stderr
            assert done.stderr.startswith("error: no permission"), done.stderr
            assert len(done.stderr.splitlines()) == 1
        assert {p: p.read_bytes() for p in run.folder.rglob("*") if p.is_file()} == before
    finally:
        for path in (run.folder, *run.folder.rglob("*")):
            path.chmod(0o755)


STUDY = """\
environments = ["data/digits"]
teachers = ["random", "window"]
seeds = 1
steps = 6400
store = "disk/study"

[run]
checkpoint_every = 0.0
evaluate_every = 3200
"""


@pytest.mark.slow
def test_a_full_disk_under_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file system of one megabyte, where such can be had: in one line what fails, and no more."""
    monkeypatch.chdir(tmp_path)
    Path("disk").mkdir()
    Path("study.toml").write_text(STUDY)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", "disk"], capture_output=True, check=False
    )
    if made.returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        code = call("study", "run", "study.toml", "--engine", "inline")
        sound = [Checkpoints(path.parent).newest()[1] for path in tmp_path.rglob("config.json")]
    finally:
        subprocess.run(["umount", "-l", "disk"], check=True)
    said = capsys.readouterr().err
    assert code == 1, said
    assert "Traceback" not in said
    assert "No space left on device" in said or "is full" in said
    assert sound
    assert not any(sound)


# Clocks ------------------------------------------------------------------------------------------


def test_a_clock_that_is_set_back_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every look at the wall clock is an hour earlier than the last."""
    config = small("", steps=192)
    whole = Run.create(config, tmp_path / "whole")
    whole.train()
    now = [time.time()]

    def earlier() -> float:
        now[0] -= 3600.0
        return now[0]

    monkeypatch.setattr(time, "time", earlier)
    monkeypatch.setattr(time, "time_ns", lambda: int(earlier() * 1e9))
    run = Run.create(config, tmp_path / "run")

    def stop(running: Run) -> None:
        running.stopping = running.steps >= 64

    with pytest.raises(currgym.runs.Interrupted):
        run.train(stop)
    last = Run.open(run.folder, trust=True)
    assert last.train()["seconds"] >= 0
    assert not last.notes
    assert compare_runs(whole.folder, run.folder) == []


def test_no_decision_rests_on_the_wall_clock() -> None:
    for folder in ("currgym", "teachers", "envs"):
        for path in (ROOT / folder).glob("**/*.py"):
            if path.name == "tracking.py":  # which stamps TensorBoard's events, and decides nothing
                continue
            text = path.read_text(encoding="utf-8")
            for name in ("time.time(", "time.time_ns(", "datetime.now(", ".utcnow("):
                assert name not in text, f"{path} asks for {name}"


# Ctrl-C ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_second_ctrl_c_quits_at_once(tmp_path: Path) -> None:
    """The first asks for a checkpoint at the end of a rollout that is far away."""
    process = subprocess.Popen(
        [sys.executable, "-m", "currgym", "train", "CartPole-v0", "--steps", "100000000",
         "--set", "student.n_steps=4000000", "--num-envs", "1", "--test-tasks", "1",
         "--test-seeds", "1", "--checkpoint-every", "0", "--out", "run"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    manifest = tmp_path / "run" / "checkpoints" / "0" / "manifest.json"
    while not manifest.exists():
        time.sleep(0.05)
        assert process.poll() is None
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    time.sleep(1.0)
    assert process.poll() is None  # it finishes its rollout first
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "interrupted" in error
    assert "Traceback" not in error
    checkpoint, problems = Checkpoints(tmp_path / "run").newest()
    assert checkpoint is not None
    assert not problems
    assert checkpoint.step == 0
