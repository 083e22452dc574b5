"""The store: its index follows the folders, and nobody's rows are lost."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from currgym.runs import Run
from currgym.runs.why import rebuild_teacher
from currgym.studies import Study
from currgym.studies.store import Store

Write = Callable[..., Path]

YOKED = """\
environments = ["toy/cube"]
teachers = ["random", "again=yoked:of=random", "target"]
seeds = 2
steps = 160
"""


def finished(path: Path, engine: str = "inline") -> Study:
    study = Study.open(path)
    assert study.run(1, engine=engine) == []
    return study


def test_the_index_can_be_rebuilt_from_the_folders(write: Write) -> None:
    study = finished(write(YOKED))
    store = study.store
    before, curves = store.runs(), store.curves(store.runs())
    assert {run.state for run in before.values()} == {"done"}
    assert all(len(curve) == 11 for curve in curves.values())
    assert store.rebuild() == 6
    assert store.runs() == before
    assert store.curves(before) == curves
    store.close()
    store.path.write_bytes(b"no index at all" * 100)
    with pytest.raises(ValueError, match="--rebuild"):
        Store(study.folder).runs()
    assert Store(study.folder).rebuild() == 6
    assert Store(study.folder).runs() == before


def test_a_run_whose_folder_is_gone_is_run_again(write: Write) -> None:
    path = write()
    study = finished(path)
    before = study.store.runs()
    key = next(iter(before))
    shutil.rmtree(before[key].folder)
    again = Study.open(path)
    assert (again.status().count("done"), again.status().count("waiting")) == (3, 1)
    assert again.run(1, engine="inline") == []
    after = again.store.runs()
    assert (after[key].solved, after[key].state) == (before[key].solved, "done")


def test_a_failure_survives_a_rebuild(write: Write) -> None:
    study = finished(write())
    store, (key, *_) = study.store, study.store.runs()
    (store[key].folder / "summary.json").unlink()
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE runs SET state='running' WHERE key=?", (key,))
    store.fail(key, "its worker died")
    before = store[key]
    assert before.state == "failed"
    store.rebuild()
    assert store[key].state == "failed"
    assert store[key].error == "its worker died"
    store.begin(key)
    assert store[key].state == "running"
    assert not list(store[key].folder.glob("failure*"))


def test_a_damaged_folder_is_left_out_and_run_again(write: Write) -> None:
    study = finished(write())
    folder = next(iter(study.store.runs().values())).folder
    (folder / "config.json").write_text("{")
    assert study.store.rebuild() == 3
    assert study.status().count("waiting") == 1


def test_a_run_whose_study_was_killed_is_not_shown_as_running(write: Write) -> None:
    study = Study.open(write())
    key = study.cells[0].key
    study.store.add(study.cells)
    study.store.begin(key)
    assert study.store[key].state == "running"
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                           capture_output=True, text=True, check=True)  # fmt: skip
    host = os.uname().nodename
    with sqlite3.connect(study.store.path) as connection:
        connection.execute("UPDATE runs SET owner=?", (f"{ended.stdout.strip()}@{host}",))
    assert study.store[key].state == "waiting"


@pytest.mark.slow
def test_two_studies_at_once_lose_no_row(write: Write, tmp_path: Path) -> None:
    """Two processes, one store, seeds that overlap: each cell is done once, by either."""
    from traps import run_file  # type: ignore[import-not-found]  # a new process finds it there

    text = write().read_text()
    files = []
    for first in (0, 2):
        seeds = f"seeds = 3\nfirst_seed = {first}"
        files.append(tmp_path / f"from-{first}.toml")
        files[-1].write_text('store = "shared"\n' + text.replace("seeds = 2", seeds))
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    processes = [context.Process(target=run_file, args=(str(file), barrier)) for file in files]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    store = Store(tmp_path / "shared")
    runs = store.runs()
    assert {(run.label, run.seed) for run in runs.values()} == {
        (label, seed) for label in ("random", "alp-gmm") for seed in range(5)
    }
    assert len(runs) == 10
    assert {run.state for run in runs.values()} == {"done"}
    assert store.rebuild() == 10
    assert store.runs() == runs


def test_an_index_made_by_several_at_once(tmp_path: Path) -> None:
    """Making it takes more than one transaction, in which SQLite waits for nobody."""
    for k in range(20):
        gate = threading.Barrier(8)

        def look(_: int, folder: Path = tmp_path / str(k), gate: threading.Barrier = gate) -> int:
            store = Store(folder)
            gate.wait()
            count = sum(store.counts().values())
            store.close()
            return count

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(look, range(8))) == [0] * 8


def test_many_writers_of_one_index(tmp_path: Path, write: Write) -> None:
    """Rows added and progress noted through two connections in turns are all there."""
    study = Study.open(write())
    one, two = Store(tmp_path / "s"), Store(tmp_path / "s")
    one.add(study.cells[:2])
    two.add(study.cells[1:])
    one.begin(study.cells[3].key)
    two.progress({study.cells[3].key: (40, 0.25)})
    assert len(one.runs()) == len(two.runs()) == 4
    assert one[study.cells[3].key].steps == 40
    assert two.counts() == {"waiting": 3, "running": 1, "done": 0, "failed": 0}


def test_a_moved_store_goes_on_and_its_yoked_runs_are_whole(write: Write, tmp_path: Path) -> None:
    study = finished(write(YOKED))
    before = {(cell.arm, cell.seed): cell.key for cell in study.cells}
    study.store.close()
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.move(study.folder, moved / "small")
    shutil.move(tmp_path / "small.toml", moved / "small.toml")
    again = Study.open(moved / "small.toml")
    assert {(cell.arm, cell.seed): cell.key for cell in again.cells} == before
    assert again.status().count("done") == 6
    key = before["again", 0]
    shutil.rmtree(again.store[before["random", 1]].folder)  # even without its source
    folder = again.store[key].folder
    run = Run.open(folder)
    assert str(folder) in run.config.teacher_parameters["log"]
    assert '"log": "log.csv"' in (folder / "config.json").read_text()
    assert rebuild_teacher(folder).snapshot()["position"] == 160
