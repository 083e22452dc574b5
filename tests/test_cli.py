"""The command line: what it says, and its exit codes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from currgym import cli
from currgym.cli import main
from currgym.runs import Run, RunConfig, live
from currgym.runs.describing import student_lines
from currgym.runs.settings import typed_env_parameters


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--help") == 0
    text = capsys.readouterr().out
    for command in (
        "train",
        "compare",
        "resume",
        "evaluate",
        "report",
        "film",
        "why",
        "demo",
        "list",
    ):
        assert command in text


def test_help_keeps_the_parameters_apart() -> None:
    told = dict(student_lines("pair")[1])
    assert told["--set student.attempts=2"] == "Of each learner on each ticket, at least 1."


def test_help_does_not_load_the_heavy_libraries() -> None:
    code = (
        "import sys; from currgym.cli import main\n"
        "try: main(['train', '--teacher', 'alp-gmm', '--help'])\n"
        "except SystemExit: pass\n"
        "print('heavy', [m for m in ('torch', 'stable_baselines3', 'sklearn', 'matplotlib') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "heavy []" in done.stdout
    assert "teacher.fit_period=250" in done.stdout


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("list") == 0
    text = capsys.readouterr().out
    for name in ("StumpTracks-v0", "data/digits", "alp-gmm", "ppo", "cube"):
        assert name in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "CartPole-v0", "--teacher", "alp-gm"], "did you mean 'alp-gmm'"),
        (["train", "StumpTrack-v0"], "did you mean 'StumpTracks-v0'"),
        (["train", "CartPole-v0", "--student", "pppo"], "did you mean 'ppo'"),
        (["train", "data/digit"], "did you mean 'data/digits'"),
        (
            ["train", "CartPole-v0", "--teacher", "alp-gmm", "--set", "teacher.fit_perod=9"],
            "did you mean 'fit_period'",
        ),
        (
            ["train", "CartPole-v0", "--teacher", "alp-gmm", "--set", "teacher.fit_period=often"],
            "teacher.fit_period must be int, got 'often'",
        ),
        (["train", "CartPole-v0", "--set", "student.n_step=9"], "did you mean 'n_steps'"),
        (["train", "CartPole-v0", "--set", "env.forc=9"], "did you mean 'force'"),
        (["train", "CartPole-v0", "--set", "env.force=strong"], "number or [low, high]"),
        (["train", "CartPole-v0", "--set", "env.force=-3"], "range of force must lie in"),
        (["train", "CartPole-v0", "--set", "env.observe_task=9"], "must be bool, got '9'"),
        (["train", "CartPole-v0", "--set", "techer.x=9"], "did you mean 'teacher'"),
        (["train", "CartPole-v0", "--set", "x"], "write NAME=VALUE"),
        (["train", "CartPole-v0", "--student", "mlp"], "takes a2c"),
        (["train", "CartPole-v0", "--teacher", "alp-gmm", "--preset", "corl"], "corl2019"),
        (["train", "CartPole-v0", "--steps", "0"], "--steps"),
        (["train", "CartPole-v0", "--nonsense"], "--nonsense"),
        (["train", "CartPole-v0", "--student", "sac"], "does not fit this environment"),
        (["train", "nowhere:a/B-v0"], "No module named 'nowhere'"),
        (["compare", "CartPole-v0", "--teachers", "random", "random"], "different labels"),
        (["compare", "CartPole-v0", "--teachers", "yoked:of=alp-gmm"], "is not an arm here"),
        (["compare", "CartPole-v0", "--teachers", "random", "yoked"], "yoked:of=LABEL"),
        (["compare", "CartPole-v0", "--teachers", "a=random:of=b"], "replays no log"),
        (["train", "CartPole-v0", "--teacher", "yoked"], "teacher 'yoked' needs log: --set"),
        (["train", "CartPole-v1", "--observe-task"], "CartPole-v1 takes no observe_task"),
        (["train", "toy/cube", "--observe-task"], "has no observations"),
        (["resume", "nowhere"], "not a run"),
    ],
)
def test_wrong_usage(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == 2
    shown = " ".join(capsys.readouterr().err.split())
    assert says in shown
    assert "Traceback" not in shown


def test_set_reaches_task_parameters() -> None:
    """The README's --set env.force=5, and a range."""
    env = "currgym/CartPole-v0"
    assert typed_env_parameters(env, {"force": "5"}) == {"tasks": {"force": 5}}
    both = {"force": "[2, 20]", "tasks": '{"gravity": 9.8}', "observe_task": "true"}
    assert typed_env_parameters(env, both) == {
        "tasks": {"gravity": 9.8, "force": [2, 20]},
        "observe_task": True,
    }
    assert typed_env_parameters("currgym/StumpTracks-v0", {"body": "short"}) == {"body": "short"}


def test_a_folder_that_holds_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["train", "data/digits", "--steps", "64", "--out", "run"]
    assert call(*small) == 0
    assert call(*small) == 1
    assert "holds another run" in capsys.readouterr().err
    assert call("resume", "run") == 0
    assert call("why", "run", "--episode", "3") == 0
    assert "From place 4 of a pass of" in capsys.readouterr().out
    assert call("evaluate", "run") == 0
    assert "solved" in capsys.readouterr().out


def test_the_bar_answers_ctrl_c_before_the_next_safe_point(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(live, "attended", lambda console: True)
    run = Run.create(RunConfig("toy/cube", "random", "cube", 100), tmp_path / "run")
    with live.RunBar(run) as bar:
        page = Console(file=io.StringIO(), width=200)
        page.print(bar.bars.get_renderable())
        run.stopping = True  # what the signal handler does; nobody calls the bar
        page.print(bar.bars.get_renderable())
    before, after = page.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert "finishing this rollout" not in before
    assert "finishing this rollout" in after


def test_an_interrupted_comparison_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_follow", interrupted)
    monkeypatch.chdir(tmp_path)
    arguments = ["toy/cube", "--teachers", "random", "--steps", "100", "--out", "mine"]
    assert call("compare", *arguments) == 130
    assert "currgym resume mine" in capsys.readouterr().err


def test_plain_progress_never_says_nan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("currgym.runs.live.LOG_EVERY", -1.0)
    monkeypatch.chdir(tmp_path)
    assert call("train", "data/digits", "--steps", "64", "--out", "run") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "of 64 steps" in line]
    assert lines[0].startswith("0 of 64 steps")
    assert lines[0].endswith(" left")
    assert "nan" not in "".join(lines)


def test_a_disk_that_fills_up_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file-size limit stands in for a full disk."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from currgym.cli import main; import torch\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (160_000, 160_000)); main(sys.argv[1:])"
    )
    arguments = [
        "train",
        "data/digits",
        "--steps",
        "3200",
        "--checkpoint-every",
        "0",
        "--out",
        "run",
    ]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "no space left" in done.stderr
    assert "Traceback" not in done.stderr
    monkeypatch.chdir(tmp_path)
    assert call("resume", "run") == 0
    assert call("train", "data/digits", "--steps", "3200", "--out", "whole") == 0
    for name in ("episodes.csv", "evaluations.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_ctrl_c_checkpoints_and_exits_130(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "currgym", "train", "data/digits", "--steps", "100000000",
         "--evaluate-every", "1000000", "--out", "run"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (tmp_path / "run" / "episodes.csv").exists():
        time.sleep(0.05)
        assert process.poll() is None
    time.sleep(0.5)
    process.send_signal(2)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "currgym resume run" in error
    (checkpoint,) = (tmp_path / "run" / "checkpoints").iterdir()
    assert json.loads((checkpoint / "manifest.json").read_text())["step"] == int(checkpoint.name)
