"""A study on a local Ray cluster of two nodes, one of which is killed in mid-study."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from currgym.studies import Arm
from currgym.studies.study import StudyProgress

HERE = str(Path(__file__).parent)
pytestmark = pytest.mark.slow
SMALL: dict[str, Any] = {
    "num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 * 1024**2,
}  # fmt: skip


def processes(text: str) -> list[int]:
    """Running processes whose command line holds a text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    pytest.importorskip("ray")
    changed = {
        "PYTHONPATH": os.pathsep.join(filter(None, [HERE, os.environ.get("PYTHONPATH")])),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    from ray.cluster_utils import Cluster

    made: Any = Cluster(initialize_head=True, head_node_args=SMALL)
    session = made.head_node.get_session_dir_path()
    try:
        yield made
    finally:
        made.shutdown()
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
    limit = time.monotonic() + 30
    while processes(session) and time.monotonic() < limit:
        time.sleep(0.2)
    assert not processes(session), "Ray has left processes behind"


@pytest.fixture
def two_nodes(cluster: Any) -> Iterator[Any]:
    second = cluster.add_node(**SMALL)
    cluster.wait_for_nodes()
    try:
        yield cluster, second
    finally:
        if second in cluster.worker_nodes:
            cluster.remove_node(second)


def test_a_study_survives_the_death_of_a_node(two_nodes: Any, tmp_path: Path, helpers: Any) -> None:
    from currgym.remote.connection import ray
    from currgym.studies.engines.ray import RayEngine

    cluster, second = two_nodes
    sprung = tmp_path / "sprung"
    sprung.mkdir()
    arms = [
        Arm("slow", "test-slow", parameters={"pause": 0.1}),
        Arm("trap", "test-trap", parameters={"folder": str(sprung), "how": "die"}),
        Arm("yoked", "yoked", of="slow"),
    ]
    study = helpers.make_study(tmp_path / "study", arms, [0, 1], steps=800, checkpoint_every=0.3)
    first = [cell.key for cell in study.cells[:2]]  # the runs that begin together, one a node
    killed = False

    def kill_a_node(progress: StudyProgress) -> None:
        nonlocal killed
        folders = [progress.runs[key].folder for key in first]
        if not killed and all(list(f.glob("checkpoints/*/manifest.json")) for f in folders):
            killed = True
            cluster.remove_node(second, allow_graceful=False)

    # Arms in the other order of time: two slow runs begin, one on each node.
    study.cells.sort(key=lambda cell: ("slow", "trap", "yoked").index(cell.arm))
    first[:] = [cell.key for cell in study.cells[:2]]
    engine = RayEngine(address=cluster.address)
    try:
        assert engine._room() == 2
        spy = helpers.Spy(engine)
        assert study.run(progress=kill_a_node, engine=spy) == []
        assert engine._room() == 1
    finally:
        engine.close()
    assert not ray.is_initialized()
    assert killed
    lost = [event.key for event in spy.events if event.kind == "retried"]
    from_node = [key for key in lost if key in first]
    assert len(from_node) >= 1
    assert len(set(lost) - set(first)) >= 1  # and the worker that was killed
    # The run of the dead node went on from its last checkpoint, on the other one.
    key = from_node[-1]
    again = max(k for k, e in enumerate(spy.events) if (e.key, e.kind) == (key, "retried"))
    onwards = [e for e in spy.events[again:] if e.key == key and e.kind == "progress"]
    assert onwards[0].steps > 0
    twin = helpers.make_study(tmp_path / "twin", arms, [0, 1], steps=800)
    assert twin.run(2) == []
    assert helpers.contents(study) == helpers.contents(twin)
    replay = next(cell for cell in study.cells if cell.source is not None)
    said = (study.store[replay.key].folder / "config.json").read_text()
    assert "currgym-run-" not in said, "a path of the worker has come home"


def test_ctrl_c_brings_checkpoints_home(cluster: Any, tmp_path: Path, helpers: Any) -> None:
    from currgym.studies.engines.ray import RayEngine

    arms = [Arm("slow", "test-slow", parameters={"pause": 0.1})]
    study = helpers.make_study(tmp_path / "study", arms, [0], checkpoint_every=1e9)
    pressed = False

    def press(progress: StudyProgress) -> None:
        nonlocal pressed
        if not pressed and all(run.steps > 0 for run in progress.runs.values()):
            pressed = True
            raise KeyboardInterrupt

    engine = RayEngine(jobs=3, address=cluster.address)
    try:
        with pytest.raises(KeyboardInterrupt):
            study.run(progress=press, engine=engine)
    finally:
        engine.close()
    (run,) = study.store.runs().values()
    assert run.state == "waiting"
    (manifest,) = run.folder.glob("checkpoints/*/manifest.json")
    assert 0 < int(manifest.parent.name) < 480
    spy = helpers.Spy(importlib.import_module("currgym.studies.engines.inline").InlineEngine())
    assert study.run(engine=spy) == []
    assert next(e for e in spy.events if e.kind == "progress").steps == int(manifest.parent.name)
    twin = helpers.make_study(tmp_path / "twin", arms, [0])
    assert twin.run(engine="inline") == []
    assert helpers.contents(study) == helpers.contents(twin)


def test_a_cluster_too_small_says_so(cluster: Any) -> None:
    from currgym.remote.connection import ray
    from currgym.studies.engines.ray import RayEngine

    with pytest.raises(ValueError, match="takes 64 threads, and the cluster's largest machine"):
        RayEngine(threads=64, address=cluster.address)
    assert not ray.is_initialized()


def test_what_killed_workers_have_left_is_removed(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    from currgym.studies.engines.ray import take_place

    held, owner = take_place(tmp_path)
    dead, lock = take_place(tmp_path)
    lock.release()  # as the system does for a killed process
    (dead / "run").mkdir()
    (dead / "run" / "log.csv").touch()
    place, last = take_place(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {held.name, place.name}
    last.release()
    owner.release()


def test_an_address_where_nobody_answers_is_named() -> None:
    pytest.importorskip("ray")
    from currgym.studies.engines import make_engine

    with pytest.raises(ConnectionError, match=r"no Ray cluster answers at 127\.0\.0\.1:1"):
        make_engine("ray", address="127.0.0.1:1")


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from currgym.studies.engines import make_engine

    monkeypatch.setitem(sys.modules, "ray", None)
    for name in ("currgym.remote.connection", "currgym.studies.engines.ray"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ImportError, match=r"pip install 'currgym\[ray\]'"):
        make_engine("ray")
