"""Looking on: before, during and after a run, on a terminal, in a log and on a page."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from rich.console import Console

from currgym.cli import main
from currgym.runs import Run, RunConfig
from currgym.studies import Arm, Study
from currgym.watching import RunView, StudyView, watcher
from currgym.watching.drawing import on_grid, resampled
from currgym.watching.page import fragment, server
from currgym.watching.terminal import draw, line


def finished(folder: Path, **changes: object) -> Run:
    settings: dict[str, object] = {"steps": 320, "checkpoint_every": 0.0, **changes}
    run = Run.create(RunConfig("toy/cube", "alp-gmm", "cube", **settings), folder)
    run.train()
    return run


def shown(view: RunView | StudyView) -> str:
    console = Console(width=110, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(draw(view))
    console.file.close()
    return console.export_text()


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


def test_a_run_before_and_after(tmp_path: Path) -> None:
    watching = watcher(tmp_path / "run")
    before = watching.look()
    assert before.state == "not begun"
    assert "waiting for its first files" in shown(before)
    finished(tmp_path / "run")
    view = watching.look()
    assert isinstance(view, RunView)
    assert view.state == "finished"
    assert view.steps == view.budget == 320
    assert view.spent["attempts"] == 320
    assert len(view.tasks) == 320
    assert view.bounds == [(0.0, 1.0), (0.0, 1.0)]
    rows = (tmp_path / "run" / "evaluations.csv").read_text().splitlines()[1:]
    assert len(view.curve) == len({row.split(",")[0] for row in rows}) == 21
    assert (
        view.curve[-1][1] == json.loads((tmp_path / "run" / "summary.json").read_text())["solved"]
    )
    counts = on_grid(view, 4, 4)
    assert sum(map(sum, counts)) == 320
    text = shown(view)
    for word in ("alp-gmm on toy/cube, seed 0", "finished", "320 of 320", "x0 to the right"):
        assert word in text


def test_looking_writes_nothing(tmp_path: Path) -> None:
    finished(tmp_path / "run")
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in (tmp_path / "run").rglob("*")}
    assert call("watch", str(tmp_path / "run"), "--once") == 0
    assert {p: (p.stat().st_mtime_ns, p.stat().st_size)
            for p in (tmp_path / "run").rglob("*")} == before  # fmt: skip


def test_logs_that_grow_and_are_cut(tmp_path: Path) -> None:
    """What a resumed run takes back is taken back here too; half a line waits."""
    finished(tmp_path / "run")
    path = tmp_path / "run" / "evaluations.csv"
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    (tmp_path / "run" / "summary.json").unlink()
    path.write_text("".join(lines[:401]) + lines[401][:7])
    watching = watcher(tmp_path / "run")
    view = watching.look()
    assert isinstance(view, RunView)
    assert len(view.curve) == 4
    path.write_text("".join(lines[:501]))
    assert len(watching.look().curve) == 5  # type: ignore[union-attr]
    path.write_text("".join(lines[:201]))
    assert len(watching.look().curve) == 2  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_run_at_work_that_is_killed(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "currgym", "train", "toy/cube", "--steps", "100000000",
         "--evaluate-every", "2000", "--out", str(tmp_path / "run")], stdout=subprocess.DEVNULL,
    )  # fmt: skip
    watching = watcher(tmp_path / "run")
    view = watching.look()
    limit = time.monotonic() + 60
    while not (isinstance(view, RunView) and len(view.curve) > 2 and view.pace):
        assert time.monotonic() < limit
        time.sleep(0.2)
        view = watching.look()
    assert view.state == "running"
    assert view.left is not None
    assert "left" in line(view)
    process.send_signal(signal.SIGKILL)
    process.wait()
    after = watching.look()
    assert after.state == "stopped"
    assert "stopped" in shown(after)


def test_a_study_before_and_after(tmp_path: Path) -> None:
    base = RunConfig("toy/cube", "random", "cube", steps=64)
    study = Study.of(tmp_path / "s", base, [Arm("a", "random"), Arm("b", "window")], [0, 1])
    study.create()
    watching = watcher(tmp_path / "s")
    before = watching.look()
    assert before.state == "not begun"
    assert not (tmp_path / "s" / "index.sqlite").exists()
    study.run(engine="inline")
    view = watching.look()
    assert isinstance(view, StudyView)
    assert view.state == "finished"
    assert (view.count("done"), view.count("failed")) == (2, 2)
    text = shown(view)
    for word in ("2 done", "2 failed", "toy-cube-cube  a", "2 of 2", "declares no difficulty"):
        assert word in text
    assert "2 done, 0 running, 2 failed" in line(view)
    html = fragment(view)
    assert "<svg" in html
    assert "toy-cube-cube  b" in html


def test_in_a_log_file_it_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(tmp_path / "run")
    assert call("watch", str(tmp_path / "run")) == 0
    out = capsys.readouterr().out
    assert out.startswith("alp-gmm on toy/cube, seed 0: finished, 320 of 320 steps, solved ")
    assert out.count("\n") == 1
    assert "\x1b" not in out


def test_what_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "file").write_text("")
    assert call("watch", str(tmp_path / "x")) == 2
    assert "neither a run nor a study" in capsys.readouterr().err


def test_the_page_is_for_this_machine_only(tmp_path: Path) -> None:
    finished(tmp_path / "run")
    served = server(watcher(tmp_path / "run"), 0, 2.0)
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    host, port = served.server_address[:2]
    assert host == "127.0.0.1"
    address = f"http://127.0.0.1:{port}"
    try:
        with urllib.request.urlopen(f"{address}/", timeout=20) as answer:
            page = answer.read().decode()
        assert "alp-gmm on toy/cube" in page
        assert 'fetch("/now"' in page
        with urllib.request.urlopen(f"{address}/now", timeout=20) as answer:
            assert answer.read().decode().startswith("<h1>alp-gmm")
        for path, headers, code in (("/../x", {}, 404), ("/", {"Host": "evil.example:80"}, 403)):
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(urllib.request.Request(address + path, headers=headers))
            caught.value.close()
            assert caught.value.code == code
    finally:
        served.shutdown()
        served.server_close()


def test_text_from_files_is_escaped() -> None:
    html = fragment(RunView("<script>x</script>", "running", 1, 2, names=["<b>"], tasks=[[0.5]]))
    assert "<script>" not in html
    assert "<b>" not in html


def test_curves_are_drawn_at_their_steps() -> None:
    assert resampled([(0, 1.0), (50, 2.0), (100, 3.0)], 100, 4) == [1.0, 2.0, 2.0, 3.0]
    assert resampled([(0, 1.0), (50, 2.0)], 100, 4)[:2] == [1.0, 2.0]
    assert len(resampled([(0, 1.0), (50, 2.0)], 100, 4)) < 4
