"""Where the runs of a study are executed makes no difference to what the store holds."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from currgym.runs import RunConfig
from currgym.studies import Arm, Study
from currgym.studies.engines import Event, Job, make_engine
from currgym.studies.engines.mirror import Mirror, pack, unpack
from currgym.studies.engines.pool import PoolEngine

ARMS = [Arm("random", "random"), Arm("alp-gmm", "alp-gmm"), Arm("yoked", "yoked", of="alp-gmm")]
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


def trap(folder: Path, **settings: Any) -> Arm:
    folder.mkdir()
    return Arm("trap", "test-trap", parameters={"folder": str(folder), **settings})


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory, helpers: Any) -> Any:
    study = helpers.make_study(tmp_path_factory.mktemp("pooled") / "study", ARMS, [0, 1])
    assert study.run(2) == []
    return study


# What every engine gives -------------------------------------------------------------------------


@pytest.mark.slow
def test_inline_and_pool_give_the_same_store(pooled: Study, tmp_path: Path, helpers: Any) -> None:
    here = helpers.make_study(tmp_path / "study", ARMS, [0, 1])
    assert here.run(engine="inline") == []
    found = helpers.contents(here)
    assert len(found) == 6
    assert found == helpers.contents(pooled)


@pytest.mark.slow
def test_yoked_runs_wait_for_their_source(tmp_path: Path, helpers: Any) -> None:
    study = helpers.make_study(tmp_path / "study", ARMS, [0, 1])
    spy = helpers.Spy(make_engine("inline"))
    assert study.run(engine=spy) == []
    ends = [event.key for event in spy.events if event.kind == "done"]
    begins = [event.key for event in spy.events if event.kind == "begun"]
    order = {key: k for k, key in enumerate(ends)}
    replays = [cell for cell in study.cells if cell.source is not None]
    assert len(replays) == 2
    first_replay = min(begins.index(cell.key) for cell in replays)
    assert all(order[cell.source] < first_replay for cell in replays)
    for cell in replays:
        source, replay = (study.store[key].folder for key in (cell.source, cell.key))
        tasks = [
            [line.split(",")[-2:] for line in (f / "episodes.csv").read_text().splitlines()]
            for f in (source, replay)
        ]
        assert tasks[0] == tasks[1]


def test_a_replay_of_a_failed_run_is_reported_and_not_begun(tmp_path: Path, helpers: Any) -> None:
    bad = trap(tmp_path / "sprung", how="raise", times=99)
    study = helpers.make_study(tmp_path / "study", [bad, Arm("y", "yoked", of="trap")], [0, 1])
    lines = study.run(engine="inline")
    assert ["the trap has sprung" in line for line in lines] == [True, False, True]
    assert lines[1].endswith("seeds 0, 1: the run whose log it replays has failed")
    assert study.status().count("failed") == 2


@pytest.mark.slow
def test_the_index_rebuilt_from_the_folders_is_the_same(pooled: Study, helpers: Any) -> None:
    before = helpers.contents(pooled)
    assert pooled.store.rebuild() == len(before)
    assert helpers.contents(pooled) == before


def test_a_busy_run_is_waited_for(
    tmp_path: Path, helpers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("currgym.studies.study.ASK_AGAIN", 0.2)
    study = helpers.make_study(tmp_path / "study", ARMS[:1], [0])
    study.status()
    folder = study.store[study.cells[0].key].folder
    folder.mkdir(parents=True)
    lock = FileLock(folder / ".lock", thread_local=False)
    lock.acquire()
    spy = helpers.Spy(make_engine("inline"))
    threading.Timer(1.0, lock.release).start()
    assert study.run(engine=spy) == []
    kinds = spy.kinds("busy", "begun", "done")
    assert kinds[-2:] == ["begun", "done"]
    assert len(kinds) > 2
    assert set(kinds[:-2]) == {"busy"}


@pytest.mark.slow
def test_two_studies_that_write_at_once_lose_no_row(tmp_path: Path, helpers: Any) -> None:
    from traps import run_file  # type: ignore[import-not-found]  # a new process finds it there

    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(2)
    names = (["random", "alp-gmm"], ["alp-gmm", "uniform-steps"])
    # Two study files over one store; alp-gmm is wanted by both.
    files = []
    for k, teachers in enumerate(names):
        file = tmp_path / f"study-{k}.toml"
        file.write_text(
            f'store = "store"\nsteps = 480\nseeds = 4\nteachers = {teachers!r}\n'
            'environments = ["toy/cube"]\n[run]\nevaluate_every = 160\n'
        )
        files.append(file)
    processes = [context.Process(target=run_file, args=(str(file), gate)) for file in files]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0, 0]
    first, second = (Study.open(file) for file in files)
    rows = first.store.runs()
    assert set(rows) == {cell.key for study in (first, second) for cell in study.cells}
    assert len(rows) == 12
    assert {row.state for row in rows.values()} == {"done"}
    assert [len(curve) for curve in first.store.curves(rows).values()] == [4] * 12


# Workers that die, hang, or lose their master ----------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("how", ["die", "hang"])
def test_a_worker_that_is_lost_costs_one_run_which_is_retried(
    how: str, tmp_path: Path, helpers: Any
) -> None:
    arms = [trap(tmp_path / "sprung", how=how), Arm("random", "random")]
    study = helpers.make_study(tmp_path / "study", arms, [0], checkpoint_every=0.0)
    spy = helpers.Spy(PoolEngine(jobs=2, hang_after=25.0 if how == "hang" else 900.0))
    try:
        assert study.run(engine=spy) == []
    finally:
        spy.close()
    assert spy.kinds("retried", "failed") == ["retried"]
    lost = next(event for event in spy.events if event.kind == "retried")
    assert {"die": "exit code -9", "hang": "said nothing for 25 s"}[how] in str(lost.error)
    assert sorted(e.key == lost.key for e in spy.events if e.kind == "begun") == [False, True, True]
    # It went on from its last checkpoint, and nothing of that shows.
    again = spy.events.index(lost)
    onwards = [e for e in spy.events[again:] if e.key == lost.key and e.kind == "progress"]
    assert onwards[0].steps > 0
    twin = helpers.make_study(tmp_path / "twin", arms, [0], checkpoint_every=0.0)
    assert twin.run(engine="inline") == []
    assert helpers.contents(study) == helpers.contents(twin)


@pytest.mark.slow
def test_a_run_that_kills_every_worker_is_reported(tmp_path: Path, helpers: Any) -> None:
    arms = [trap(tmp_path / "sprung", how="die", times=99), Arm("random", "random")]
    study = helpers.make_study(tmp_path / "study", arms, [0])
    engine = PoolEngine(jobs=1, retries=1)
    try:
        lines = study.run(engine=engine)
    finally:
        engine.close()
    assert len(lines) == 1
    assert "exit code -9" in lines[0]
    assert "2 times" in lines[0]
    rows = {run.label: run for run in study.store.runs().values()}
    assert (rows["trap"].state, rows["random"].state) == ("failed", "done")
    assert "exit code -9" in str(rows["trap"].error)


def begin(study: Study, jobs: int = 2) -> subprocess.Popen[str]:
    """Run a study in another process, from the command line."""
    path = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    file = str(study.spec.path)
    command = [sys.executable, "-m", "currgym", "study", "run", file, "--trust"]
    return subprocess.Popen(
        [*command, "--jobs", str(jobs)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path).strip(os.pathsep)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def slow_study(folder: Path, helpers: Any, pause: float = 0.15) -> Study:
    """A study whose runs take a while and write checkpoints only when they are asked to."""
    arms = [Arm("slow", "test-slow", parameters={"pause": pause})]
    study: Study = helpers.make_study(folder, arms, [0, 1], checkpoint_every=1e9)
    return study


def steps(study: Study, number: int = 2) -> bool:
    """Whether so many runs have begun and come somewhere."""
    found = study.store.runs().values()
    return sum(run.state == "running" and run.steps > 0 for run in found) == number


@linux
@pytest.mark.slow
def test_without_their_master_workers_write_a_checkpoint_and_end(
    tmp_path: Path, helpers: Any
) -> None:
    study = slow_study(tmp_path / "study", helpers)
    process = begin(study)
    helpers.until(lambda: process.poll() is not None or steps(study))
    workers = helpers.children(process.pid)
    assert len(workers) >= 2, process.communicate()
    folders = [run.folder for run in study.store.runs().values()]
    assert not any(list(folder.glob("checkpoints/*")) for folder in folders)
    process.send_signal(signal.SIGKILL)
    process.wait()
    helpers.until(lambda: not helpers.alive(workers))
    assert process.stdout is not None
    process.stdout.close()
    assert all(list(folder.glob("checkpoints/*/manifest.json")) for folder in folders)
    spy = helpers.Spy(make_engine("inline"))
    assert study.run(engine=spy) == []
    assert all(event.steps > 0 for event in spy.events if event.kind == "progress")
    twin = slow_study(tmp_path / "twin", helpers)
    assert twin.run(2) == []
    assert helpers.contents(study) == helpers.contents(twin)


@linux
@pytest.mark.slow
def test_ctrl_c_writes_checkpoints(tmp_path: Path, helpers: Any) -> None:
    study = slow_study(tmp_path / "study", helpers, pause=0.4)
    process = begin(study)
    helpers.until(lambda: process.poll() is not None or steps(study))
    workers = helpers.children(process.pid)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    helpers.until(lambda: not helpers.alive(workers), 20)
    for run in study.store.runs().values():
        assert run.state == "waiting"
        assert list(run.folder.glob("checkpoints/*/manifest.json"))


# Threads and rooms -------------------------------------------------------------------------------


def test_a_pool_has_a_worker_a_core_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    assert RunConfig("toy/cube", "random", "cube", steps=1).threads == 1
    assert PoolEngine()._room() == 8
    assert PoolEngine(threads=3)._room() == 2
    assert PoolEngine(threads=16)._room() == 1
    assert PoolEngine(jobs=5)._room() == 5


@pytest.mark.slow
def test_runs_of_a_pool_have_the_threads_they_ask_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    base = RunConfig(
        "data/digits", "random", "mlp", steps=96, evaluate_every=96, modules=["thread_log"],
        teacher_parameters={}, test_tasks=8,
    )  # fmt: skip
    log = tmp_path / "threads.txt"
    monkeypatch.setenv("CURRGYM_THREAD_LOG", str(log))
    study = Study.of(tmp_path / "study", base, [Arm("a", "test-threads")], [0])
    study.create()
    assert study.run() == []
    assert log.read_text() == "1 1"
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_edited_code_does_not_answer_for_the_old(tmp_path: Path, helpers: Any) -> None:
    study = helpers.make_study(tmp_path / "study", ARMS[:1], [0])
    study.cells = [dataclasses.replace(cell, code="0" * 64) for cell in study.cells]
    study._by_key = {cell.key: cell for cell in study.cells}
    lines = study.run(engine="inline")
    assert len(lines) == 1
    assert "is not the study's" in lines[0]


def test_an_address_is_for_ray_alone() -> None:
    with pytest.raises(ValueError, match="an address is for the engine 'ray'"):
        make_engine("pool", address="127.0.0.1:6379")
    with pytest.raises(ValueError, match="did you mean 'pool'"):
        make_engine("poool")


# Folders in two places ---------------------------------------------------------------------------


def test_a_mirrored_run_goes_on_at_the_other_end(tmp_path: Path) -> None:
    """Checkpoint by checkpoint, the copy alone is enough to end the run as the original does."""
    from currgym.studies.engines.work import perform

    config = RunConfig(
        "toy/cube", "alp-gmm", "cube", steps=480, evaluate_every=160, checkpoint_every=0.0
    )
    original, copy = tmp_path / "original", tmp_path / "copy"
    mirror = Mirror(original)
    sizes: list[int] = []

    def saved() -> None:
        if len(sizes) < 12:
            parcel = mirror.changes()
            sizes.append(sum(len(content) for _, _, content in parcel.files))
            unpack(parcel, copy)

    events: list[Event] = []
    assert perform(Job("a", config, original), events.append, saved=saved).kind == "done"
    assert len(sizes) == 12
    log = (copy / "episodes.csv").read_bytes()
    assert 0 < len(log) < (original / "episodes.csv").stat().st_size
    assert (original / "episodes.csv").read_bytes().startswith(log)
    assert len(list((copy / "checkpoints").iterdir())) == 2
    third = tmp_path / "third"
    unpack(pack(copy), third)
    again = Mirror(third, known=pack(copy))
    assert not (third / "tensorboard").exists()
    assert perform(Job("a", config, third), events.append).kind == "done"
    for name in ("episodes.csv", "evaluations.csv", "calls.csv", "snapshots.jsonl"):
        assert (third / name).read_bytes() == (original / name).read_bytes(), name
    parcel = again.changes()
    assert sum(name.startswith("checkpoints/") for name, _, _ in parcel.files) > 0
    unpack(parcel, copy)
    assert {p.name for p in (copy / "checkpoints").iterdir()} == {
        p.name for p in (third / "checkpoints").iterdir()
    }
    assert (copy / "summary.json").read_bytes() == (third / "summary.json").read_bytes()


def test_a_mirror_sends_what_a_log_has_gained_and_whole_files_anew(tmp_path: Path) -> None:
    folder, copy = tmp_path / "a", tmp_path / "b"
    (folder / "checkpoints" / "1").mkdir(parents=True)
    (folder / "checkpoints" / "1" / "manifest.json").write_text("{}")
    (folder / "checkpoints" / "1" / "state.json").write_text("1")
    (folder / "log.csv").write_text("one\n")
    (folder / "config.json").write_text("{}")
    (folder / ".lock").touch()
    mirror = Mirror(folder)
    first = mirror.changes()
    assert [name for name, _, _ in first.files] == [
        "config.json", "log.csv", "checkpoints/1/state.json", "checkpoints/1/manifest.json",
    ]  # fmt: skip
    unpack(first, copy)
    assert (copy / "config.json").read_text() == "{}"
    with (folder / "log.csv").open("a") as file:
        file.write("two\n")
    draft = folder / "draft"
    draft.write_text('{"more": 1}')
    draft.replace(folder / "config.json")
    (folder / "checkpoints" / "1" / "manifest.json").unlink()
    (folder / "checkpoints" / "1" / "state.json").unlink()
    second = mirror.changes()
    assert {(name, offset) for name, offset, _ in second.files} == {
        ("log.csv", 4), ("config.json", 0),
    }  # fmt: skip
    assert len(second.removed) == 2
    unpack(second, copy)
    assert (copy / "log.csv").read_text() == "one\ntwo\n"
    assert not (copy / "checkpoints" / "1").exists()
    assert mirror.changes().files == ()
    # At the other end, what is known is sent again only where it may have changed, or is gone.
    back = Mirror(copy, pack(copy))
    (copy / "config.json").unlink()
    third = back.changes()
    assert [name for name, _, _ in third.files] == ["log.csv"]
    assert third.removed == ("config.json",)
