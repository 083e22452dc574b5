"""Where a run's scalars go beside its own files: TensorBoard always, trackers that are asked for.

A tracker only listens. Global random states are put back after each call, and one that fails (a
lost network) is dropped with a note: nothing it does reaches the run.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from currgym.registry import Registry

__all__ = ["TRACKERS", "Tracker", "Tracks"]

PROJECT = "currgym"
IDS = "trackers.json"


class Tracker(Protocol):
    """Takes scalars."""

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Take named scalars of one moment."""

    def close(self) -> None:
        """Finish."""


class TensorBoard:
    """An event file in ``tensorboard/``, written without torch, which a toy run never loads.

    Args:
        folder: Of the run.
        document: Its ``config.json``.
    """

    def __init__(self, folder: Path, document: Mapping[str, Any]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = Event, Summary
        place = folder / "tensorboard"
        place.mkdir(exist_ok=True)
        # TensorBoard reads the files of a folder in the order of their names.
        name = f"events.out.tfevents.{time.time_ns():020d}.{socket.gethostname()}.{os.getpid()}"
        self._writer = RecordWriter((place / name).open("wb"))
        self._writer.write(Event(wall_time=time.time(), file_version="brain.Event:2")
                           .SerializeToString())  # fmt: skip

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Take named scalars of one moment."""
        value = self._summary.Value
        summary = self._summary(value=[value(tag=k, simple_value=v) for k, v in values.items()])
        event = self._event(wall_time=time.time(), step=step, summary=summary)
        self._writer.write(event.SerializeToString())
        self._writer.flush()

    def close(self) -> None:
        """Finish."""
        self._writer.close()


class WeightsAndBiases:
    """A run of Weights & Biases; ``WANDB_MODE``, ``WANDB_PROJECT`` and the like count.

    A resumed run goes on under the same id.

    Args:
        folder: Of the run.
        document: Its ``config.json``.

    Raises:
        ImportError: If wandb is not installed.
    """

    def __init__(self, folder: Path, document: Mapping[str, Any]) -> None:
        try:
            import wandb
        except ImportError:
            raise ImportError("--log wandb needs: pip install 'currgym[wandb]'") from None
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            dir=str(folder),
            id=_kept_id(folder, "wandb", lambda: os.urandom(8).hex()),
            resume="allow",
            name=f"{document['label']} seed {document['seed']}",
            group=f"{document['env']['id']} {document['student']['name']}",
            config=dict(document["request"]),
            settings=wandb.Settings(silent=True, console="off"),
        )
        # Steps of our own: a resumed run repeats a few, which W&B's counter would refuse.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Take named scalars of one moment."""
        self._run.log({**values, "step": step})

    def close(self) -> None:
        """Finish."""
        self._run.finish()


class MLflow:
    """A run of MLflow; ``MLFLOW_TRACKING_URI`` and ``MLFLOW_EXPERIMENT_NAME`` count.

    A resumed run goes on under the same id. The extra installs MLflow's client, for a server; its
    local database (the default where no address is given) needs the whole of ``mlflow``, its local
    files (``file:...``) ``MLFLOW_ALLOW_FILE_STORE=true``.

    Args:
        folder: Of the run.
        document: Its ``config.json``.

    Raises:
        ImportError: If MLflow is not installed.
    """

    def __init__(self, folder: Path, document: Mapping[str, Any]) -> None:
        try:
            from mlflow import MlflowClient
        except ImportError:
            raise ImportError("--log mlflow needs: pip install 'currgym[mlflow]'") from None
        self._client = client = MlflowClient()

        def begin() -> str:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
            there = client.get_experiment_by_name(name)
            where = there.experiment_id if there else client.create_experiment(name)
            label = f"{document['label']} seed {document['seed']}"
            made: str = client.create_run(where, run_name=label).info.run_id
            for key, value in document["request"].items():
                client.log_param(made, key, str(value)[:500])
            return made

        self._id = _kept_id(folder, "mlflow", begin)

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Take named scalars of one moment."""
        for name, value in values.items():
            self._client.log_metric(self._id, name, value, step=step)

    def close(self) -> None:
        """Finish."""
        self._client.set_terminated(self._id)


def _kept_id(folder: Path, tracker: str, make: Callable[[], str]) -> str:
    """Return the id under which a tracker knows the run of this folder."""
    path = folder / IDS
    known: dict[str, str] = {}
    with contextlib.suppress(FileNotFoundError, ValueError):
        known = json.loads(path.read_text(encoding="utf-8"))
    if tracker not in known:
        known[tracker] = make()
        path.write_text(json.dumps(known), encoding="utf-8")
    return known[tracker]


def _load_trackers() -> None:
    TRACKERS.add("wandb", WeightsAndBiases)
    TRACKERS.add("mlflow", MLflow)


TRACKERS: Registry[Callable[[Path, Mapping[str, Any]], Tracker]] = Registry(
    "tracker", _load_trackers
)
"""What ``--log`` names."""


class Tracks:
    """All trackers of one run.

    Args:
        folder: Of the run.
        document: Its ``config.json``.
        names: Keys of :data:`TRACKERS`; TensorBoard is always there.
        note: Told in a sentence about a tracker that failed later on.

    Raises:
        ImportError: If a tracker's package is not installed.
        RuntimeError: If a tracker cannot begin.
    """

    def __init__(
        self,
        folder: Path,
        document: Mapping[str, Any],
        names: Sequence[str],
        note: Callable[[str], None],
    ) -> None:
        self._note = note
        self._open: dict[str, Tracker] = {"tensorboard": TensorBoard(folder, document)}
        for name in names:
            try:
                with _randomness_kept():
                    self._open[name] = TRACKERS[name](folder, document)
            except ImportError:
                self.close()
                raise
            except Exception as error:  # whatever a service may raise
                self.close()
                raise RuntimeError(f"--log {name} does not work here: {error}") from error

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Take named scalars of one moment."""
        for name in list(self._open):
            self._call(name, lambda tracker: tracker.write(values, step))

    def close(self) -> None:
        """Finish all of them."""
        for name in list(self._open):
            self._call(name, lambda tracker: tracker.close())
        self._open.clear()

    def _call(self, name: str, do: Callable[[Tracker], None]) -> None:
        if name == "tensorboard":  # a file of our own: a full disk is for the run to tell
            do(self._open[name])
            return
        try:
            with _randomness_kept():
                do(self._open[name])
        except Exception as error:  # whatever a service may raise
            del self._open[name]
            self._note(f"{name} failed and was dropped: {type(error).__name__}: {error}")


@contextlib.contextmanager
def _randomness_kept() -> Iterator[None]:
    """Put the global generators back: trackers draw names and ids from them."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
