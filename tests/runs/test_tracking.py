"""Trackers: every kind of run writes events; what listens changes nothing."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from currgym.runs import Run, RunConfig
from currgym.runs.tracking import TRACKERS

KINDS = {
    "toy": RunConfig("toy/cube", "random", "cube", steps=160),
    "supervised": RunConfig("data/digits", "random", "mlp", steps=160, evaluate_every=80),
    "rl": RunConfig(
        "currgym/CartPole-v0", "random", "ppo", steps=128, num_envs=2, test_tasks=2, test_seeds=1,
        evaluate_every=64, student_parameters={"n_steps": 32, "batch_size": 32, "n_epochs": 1},
    ),
}  # fmt: skip


class Noisy:
    """Draws from every global generator, and remembers what it was told."""

    told: list[tuple[str, int]]

    def __init__(self, folder: Path, document: Mapping[str, Any]) -> None:
        type(self).told = []
        self._draw()

    @staticmethod
    def _draw() -> None:
        random.random()
        np.random.rand()  # noqa: NPY002

    def write(self, values: Mapping[str, float], step: int) -> None:
        self._draw()
        self.told += [(name, step) for name in values]

    def close(self) -> None:
        self._draw()


class Failing(Noisy):
    """Loses its network."""

    def write(self, values: Mapping[str, float], step: int) -> None:
        raise ConnectionError("gone")


@pytest.fixture
def trackers(monkeypatch: pytest.MonkeyPatch) -> None:
    TRACKERS.load()
    monkeypatch.setitem(TRACKERS._things, "noisy", Noisy)
    monkeypatch.setitem(TRACKERS._things, "failing", Failing)


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def logs(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in ("episodes.csv", "evaluations.csv")]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_writes_tensorboard_events(kind: str, tmp_path: Path) -> None:
    run = Run.create(KINDS[kind], tmp_path / "run")
    summary = run.train()
    found = events(tmp_path / "run")
    assert found["evaluation/solved"][-1][1] == pytest.approx(summary["solved"])
    assert found["evaluation/solved"][0][0] == 0
    assert ("train/loss" in found) == (kind == "rl")


@pytest.mark.usefixtures("trackers")
@pytest.mark.parametrize("kind", KINDS)
def test_a_tracker_disturbs_nothing(kind: str, tmp_path: Path) -> None:
    from dataclasses import replace

    Run.create(KINDS[kind], tmp_path / "plain").train()
    Run.create(replace(KINDS[kind], log=["noisy"]), tmp_path / "tracked").train()
    assert logs(tmp_path / "plain") == logs(tmp_path / "tracked")
    assert {"evaluation/solved", "evaluation/return"} <= {name for name, _ in Noisy.told}


@pytest.mark.usefixtures("trackers")
def test_a_tracker_that_fails_is_dropped_with_a_note(tmp_path: Path) -> None:
    config = RunConfig("toy/cube", "random", "cube", steps=64, log=["failing"])
    run = Run.create(config, tmp_path / "run")
    assert run.train()["finished"]
    assert run.notes == ["failing failed and was dropped: ConnectionError: gone"]


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_is_said(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    run = Run.create(RunConfig("toy/cube", "random", "cube", steps=64, log=[name]), tmp_path / "r")
    with pytest.raises(ImportError, match=rf"pip install 'currgym\[{name}\]'"):
        run.train()
    assert not (tmp_path / "r").exists()


def test_an_unknown_tracker() -> None:
    with pytest.raises(ValueError, match="did you mean 'wandb'"):
        RunConfig("toy/cube", "random", "cube", steps=64, log=["wandbb"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_real_trackers_offline(
    kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    pytest.importorskip(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    Run.create(KINDS[kind], tmp_path / "plain").train()
    run = Run.create(replace(KINDS[kind], log=[name]), tmp_path / "tracked")
    run.train()
    assert run.notes == []
    assert logs(tmp_path / "plain") == logs(tmp_path / "tracked")
    if name == "mlflow":
        assert list((tmp_path / "mlruns").rglob("solved"))
    else:
        assert list((tmp_path / "tracked" / "wandb").rglob("*.wandb"))
