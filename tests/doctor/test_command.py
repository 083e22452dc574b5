"""``currgym doctor`` from a shell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from currgym.cli import main


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["doctor", *arguments])
    return int(stop.value.code or 0)


def test_healthy_is_zero(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "findings.json"
    assert run("CartPole-v0", "--json", str(file)) == 0
    assert "healthy" in capsys.readouterr().out
    document = json.loads(file.read_text())
    assert document[0]["findings"] == []
    assert "live" in document[0]["passed"]


def test_something_found_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("CartPole-v1") == 1
    shown = capsys.readouterr().out
    for word in ("task-space", "tried:", "seen:", "to do:", "ParameterizedEnv"):
        assert word in shown


def test_wrap_and_loop(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("CartPole-v1", "--wrap", "faulty:writes_on_the_wrapper") == 1
    assert "live" in capsys.readouterr().out
    loop = ("--loop", "faulty:evaluation_adapts")
    assert run("CartPole-v1", "--wrap", "faulty:cartpole", *loop) == 1
    assert "goes on adapting" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("NoSuchThing-v0",), "unknown environment"),
        (("CartPole-v1", "--wrap", "nonsense"), "MODULE:NAME"),
        (("CartPole-v1", "--wrap", "faulty:nothing"), "nothing"),
        (("data/digits",), "--headroom"),
        (("CartPole-v0", "--teacher", "alp-gm"), "alp-gmm"),
        (("CartPole-v1", "--headroom", "--wrap", "faulty:cartpole"), "register"),
        (("toy/cube", "--headroom", "--grid", "x7"), "x0"),
    ],
)
def test_wrong_usage_is_two(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    assert words in capsys.readouterr().err


def test_headroom(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "headroom"
    arguments: tuple[Any, ...] = (
        "toy/cube", "--headroom", "--set", "env.cubes=4", "--steps", "600", "--checkpoints", "2",
        "--seeds", "1", "--grid", "x0,x1", "--num-envs", "4", "--out", str(out),
    )  # fmt: skip
    assert run(*arguments) == 0
    shown = capsys.readouterr().out
    for words in ("Transfer", "noise ceiling", "greedy oracle", "headroom", "checkpoints of 1 run"):
        assert words in shown
    signal = json.loads((out / "signal.json").read_text())
    assert signal["format"] == 1
    assert signal["names"] == ["x0", "x1"]
    assert len(signal["tasks"]) == 16
    assert len(signal["checkpoints"]) == 2
    for checkpoint in signal["checkpoints"]:
        for column in (checkpoint["gain"], checkpoint["gain_se"], *checkpoint["scores"].values()):
            assert len(column) == 16
        assert len(checkpoint["transfer"]) == len(checkpoint["transfer"][0]) == 16
    document = json.loads((out / "headroom.json").read_text())
    assert document["advice"]["word"] in ("headroom", "no headroom", "undecided")
    # What is there is kept: the second time nothing is trained, and the answer is the same.
    before = {path: path.stat().st_mtime_ns for path in out.rglob("summary.json")}
    assert run(*arguments) == 0
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("summary.json")}
    assert json.loads((out / "signal.json").read_text()) == signal
    assert run(*arguments, "--repeats", "3") == 2
    assert "other settings" in capsys.readouterr().err
