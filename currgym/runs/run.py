"""One run folder: created, trained, interrupted, resumed, forked."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from currgym.runs.checkpoints import Checkpoint, Checkpoints
from currgym.runs.config import RunConfig
from currgym.runs.evaluation import TestSet
from currgym.runs.logs import Logs
from currgym.runs.recorder import RunRecorder, episode_header
from currgym.runs.replay import ReplayPieces
from currgym.runs.seeding import seed_for
from currgym.runs.session import Session, open_session

__all__ = ["Busy", "Interrupted", "Progress", "Run", "load_policy"]

Progress = Callable[["Run"], None]
SNAPSHOTS = 60
PREVIEW = 200


class Busy(RuntimeError):
    """Another process is at work in the run's folder."""


class Interrupted(Exception):
    """The run was asked to stop; a checkpoint has been written."""


class Run:
    """One run and its folder.

    Make one by :meth:`create` or :meth:`open`, then call :meth:`train`.

    Attributes:
        folder: Where everything is.
        config: What was asked for.
        notes: What a person should know (a fallback to an older checkpoint, inexact resume).
    """

    def __init__(self, folder: Path, config: RunConfig, document: Mapping[str, Any]) -> None:
        self.folder = folder
        self.config = config
        self.document = dict(document)
        self.notes: list[str] = []
        self.session: Session | None = None
        self.stopping = False
        self._fresh = False
        self._checkpoints = Checkpoints(folder, config.milestones)
        self._pieces = ReplayPieces(folder)
        self._next_evaluation = 0
        self._next_snapshot = 0
        self._saved_at = -1
        self._last_mean: float | None = None

    # Making one ----------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        config: RunConfig,
        folder: str | Path,
        force: bool = False,
        test_set: TestSet | None = None,
    ) -> Run:
        """Begin a new run.

        Args:
            config: What to do.
            folder: A new or empty folder.
            force: Delete a run that is there already.
            test_set: What to evaluate on, instead of what the configuration names (a simulated
                student's competence is read everywhere all the same).

        Raises:
            FileExistsError: If the folder holds something.
        """
        folder = Path(folder)
        if folder.exists() and any(folder.iterdir()):
            if not force:
                what = "another run" if (folder / "config.json").exists() else "other files"
                raise FileExistsError(
                    f"{folder} holds {what}: choose another --out, resume it with "
                    f"'currgym resume {folder}', or delete it"
                )
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        run = cls(folder, config, config.to_json())
        if test_set is not None:
            run.document["test_set"] = test_set.to_json()
        run._write_config()
        run._fresh = True
        return run

    @classmethod
    def open(cls, folder: str | Path, trust: bool = False) -> Run:
        """Open an existing run.

        Args:
            folder: The run folder.
            trust: Allow importing the modules that its configuration names.

        Raises:
            ValueError: If it is not a run, or needs ``trust``.
        """
        folder = Path(folder)
        config, document = RunConfig.read(folder)
        module = config.env.rpartition(":")[0]
        foreign = [m for m in [*config.modules, module] if m and m != "currgym"]
        if foreign and not trust:
            raise ValueError(
                f"{folder} imports {', '.join(foreign)}: if you trust its author, pass --trust"
            )
        return cls(folder, config, document)

    def _forget(self) -> None:
        """Leave no folder behind for what could not even be built: it would be in the way."""
        for name in ("config.json", ".lock"):
            (self.folder / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _write_config(self) -> None:
        draft = self.folder / ".config.json.draft"
        draft.write_text(json.dumps(self.document, indent=1), encoding="utf-8")
        draft.replace(self.folder / "config.json")

    # Training ------------------------------------------------------------------------------------

    @property
    def steps(self) -> int:
        """The run's clock."""
        return self.session.steps if self.session is not None else 0

    @property
    def last_mean(self) -> float | None:
        """Share of the test set solved at the last evaluation."""
        return self._last_mean

    @property
    def finished(self) -> bool:
        """Whether the budget is spent and everything written."""
        return (self.folder / "summary.json").exists()

    def train(self, progress: Progress = lambda run: None) -> dict[str, Any]:
        """Train to the end of the budget, from the newest sound checkpoint if there is one.

        Args:
            progress: Called at every safe point.

        Returns:
            What ``summary.json`` says.

        Raises:
            Busy: If another process trains this run.
            Interrupted: After SIGINT or SIGTERM, once a checkpoint is written.
            OSError: If the disk is full; earlier checkpoints are untouched.
        """
        if self.finished:
            summary: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
            return summary
        with self._alone():
            return self._train(progress)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder's lock, which the system frees when the process ends, however it ends."""
        lock = FileLock(self.folder / ".lock", blocking=False)
        try:
            lock.acquire()
        except Timeout:
            raise Busy(f"another process is at work on {self.folder}") from None
        try:
            yield
        finally:
            lock.release()

    def _train(self, progress: Progress) -> dict[str, Any]:
        checkpoint = self._newest()
        try:
            session = self._build()
        except Exception:
            if self._fresh:
                self._forget()
            raise
        self._begun = time.monotonic()
        self._spent = 0.0
        if checkpoint is not None:
            self._go_back(checkpoint)
        else:
            self._start_over()
        logs = self._open_logs(session)
        try:
            with self._signals():
                if checkpoint is not None:
                    self._load(checkpoint)
                else:
                    self._mark_time()
                self._saved = time.monotonic()
                session.train(lambda: self._safe_point(progress))
                self._evaluate_if_due(final=True)
                self._snapshot_if_due(final=True)
                self._checkpoint()
                progress(self)
            return self._finish(session)
        finally:
            with contextlib.suppress(OSError):
                logs.close()
            session.close()
            self.session = None

    def _build(self) -> Session:
        os.environ.setdefault("OMP_NUM_THREADS", str(self.config.threads))
        known = self.document.get("test_set")
        session = open_session(self.config, TestSet.from_json(known) if known else None)
        self.session = session
        if "task_space" not in self.document:
            self.document.update(session.describe())
            self._write_config()
        if not session.exact:
            self.notes.append(
                f"resume is not exact for student {self.config.student!r}: an interrupted run "
                "goes on, but not bit for bit"
            )
        self.notes += session.notes
        session.log_to(self.folder / "tensorboard")
        return session

    def _open_logs(self, session: Session) -> Logs:
        extras = tuple(sorted(session.log_columns))
        header = episode_header(session.space, extras)
        logs = Logs(
            self.folder,
            {
                "episodes.csv": header,
                "probes.csv": header,
                "calls.csv": "call,count",
                "evaluations.csv": "step,test_set,task_index,seed,return,length,success",
                "snapshots.jsonl": None,
                "timing.csv": "step,seconds",
            },
        )
        self._logs = logs
        self._recorder = RunRecorder(logs, extras)
        session.curriculum.recorder = self._recorder
        return logs

    def _start_over(self) -> None:
        """Drop what a run killed before its first checkpoint has left."""
        for name in ("episodes.csv", "probes.csv", "calls.csv", "evaluations.csv"):
            (self.folder / name).unlink(missing_ok=True)
        for name in ("snapshots.jsonl", "timing.csv"):
            (self.folder / name).unlink(missing_ok=True)
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        shutil.rmtree(self.folder / "replay", ignore_errors=True)

    def _newest(self) -> Checkpoint | None:
        checkpoint, problems = self._checkpoints.newest()
        for problem in problems:
            self.notes.append(f"{problem}: fell back to the one before")
        return checkpoint

    def _go_back(self, checkpoint: Checkpoint) -> None:
        Logs.cut(self.folder, checkpoint.logs)
        self._checkpoints.drop_after(checkpoint.step)

    def _load(self, checkpoint: Checkpoint) -> None:
        assert self.session is not None
        state = checkpoint.state()
        recorder = self.session.curriculum.recorder
        # Restoring replays episodes; nothing of that is news.
        self.session.curriculum.recorder = None
        self.session.restore(state["session"], self._pieces, checkpoint.pieces)
        self.session.curriculum.recorder = recorder
        own = state["run"]
        self._recorder.load_state_dict(own["recorder"])
        self._next_evaluation = int(own["next_evaluation"])
        self._next_snapshot = int(own["next_snapshot"])
        self._last_mean = own["last_mean"]
        self._spent = float(own["seconds"])
        self._saved_at = checkpoint.step

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """The first SIGINT or SIGTERM asks for a checkpoint at the next safe point."""

        def ask(number: int, frame: FrameType | None) -> None:
            if self.stopping:
                raise KeyboardInterrupt
            self.stopping = True

        before: dict[signal.Signals, Any] = {}
        for name in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # not in the main thread
                before[name] = signal.signal(name, ask)
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)

    def _safe_point(self, progress: Progress) -> None:
        self._evaluate_if_due()
        self._snapshot_if_due()
        if self.stopping:
            self._checkpoint()
            progress(self)
            raise Interrupted(
                f"stopped at step {self.steps:,}; go on with: currgym resume {self.folder}"
            )
        late = time.monotonic() - self._saved >= self.config.checkpoint_every
        if late or any(self._saved_at < m <= self.steps for m in self.config.milestones):
            self._checkpoint()
        progress(self)

    # What happens at safe points -----------------------------------------------------------------

    def _evaluate_if_due(self, final: bool = False) -> None:
        assert self.session is not None
        if self.steps < self._next_evaluation and not final:
            return
        rows = self.session.evaluate()
        name, step = self.session.test_set.name, self.steps
        for row in rows:
            self._logs.write(
                "evaluations.csv",
                f"{step},{name},{row.task_index},{row.seed},{row.result!r},{row.length},{row.success!r}",
            )
        self._last_mean = float(np.mean([row.success for row in rows]))
        self.session.note("evaluation/solved", self._last_mean)
        self._next_evaluation = (step // self.config.interval + 1) * self.config.interval
        self._mark_time()
        self._logs.show()

    def _snapshot_if_due(self, final: bool = False) -> None:
        assert self.session is not None
        if self.steps < self._next_snapshot and not final:
            return
        teacher = self.session.teacher
        rng = np.random.default_rng(seed_for(self.config.seed, "preview"))
        line = {
            "step": self.steps,
            "episode": self._recorder.episodes,
            "snapshot": teacher.snapshot(),
            "preview": teacher.preview(PREVIEW, rng),
        }
        self._logs.write("snapshots.jsonl", json.dumps(line, default=_plain))
        every = max(1, self.config.steps // SNAPSHOTS)
        self._next_snapshot = (self.steps // every + 1) * every

    def _mark_time(self) -> None:
        self._logs.write("timing.csv", f"{self.steps},{self._seconds():.3f}")

    def _seconds(self) -> float:
        return self._spent + time.monotonic() - self._begun

    def _checkpoint(self) -> None:
        assert self.session is not None
        state, pieces = self.session.save(self._pieces)
        lengths = self._logs.flush()
        own = {
            "recorder": self._recorder.state_dict(),
            "next_evaluation": self._next_evaluation,
            "next_snapshot": self._next_snapshot,
            "last_mean": self._last_mean,
            "seconds": self._seconds(),
        }
        self._checkpoints.save(self.steps, {"session": state, "run": own}, lengths, pieces)
        self._checkpoints.prune()
        self._saved, self._saved_at = time.monotonic(), self.steps

    def _finish(self, session: Session) -> dict[str, Any]:
        seconds = self._seconds()
        ledger = asdict(session.ledger)
        summary = {
            "finished": True,
            "ledger": ledger,
            "seconds": seconds,
            "fps": session.steps / max(seconds, 1e-9),
            "solved": self._last_mean,
        }
        draft = self.folder / ".summary.json.draft"
        draft.write_text(json.dumps(summary, indent=1), encoding="utf-8")
        draft.replace(self.folder / "summary.json")
        return summary

    # After the fact ------------------------------------------------------------------------------

    @property
    def begun(self) -> bool:
        """Whether there is a sound checkpoint to go on from."""
        return self._newest() is not None

    @property
    def milestones(self) -> list[int]:
        """Steps of the checkpoints that are kept for the configuration's milestones, ascending."""
        return self._checkpoints.steps_kept()

    def load_session(self, step: int | None = None) -> Session:
        """Return a session that can act as the student did at a checkpoint (newest by default).

        Raises:
            ValueError: If there is no sound checkpoint.
        """
        checkpoint = self._checkpoints.at(step) if step is not None else self._newest()
        if checkpoint is None:
            raise ValueError(f"{self.folder} has no checkpoint yet")
        known = self.document.get("test_set")
        session = open_session(self.config, TestSet.from_json(known) if known else None)
        session.restore_policy(checkpoint.state()["session"])
        return session

    def fork(
        self,
        step: int,
        folder: str | Path,
        teacher: str,
        teacher_parameters: Mapping[str, Any] | None = None,
        preset: str | None = None,
        steps: int | None = None,
        seed: int | None = None,
        evaluate_every: int | None = None,
    ) -> Run:
        """Return a new run that goes on from a checkpoint of this one under another teacher.

        The student is taken over as it was, its optimiser included; episodes begin anew, and so
        does the teacher. This run's evaluations hold up to the checkpoint; the new one's begin at
        the next multiple of its interval, and at its end.

        Args:
            step: A checkpoint's.
            folder: Of the new run.
            teacher: Its name.
            teacher_parameters: Its parameters.
            preset: Its preset.
            steps: Budget in all; by default this run's.
            seed: Of all that is random from here on (tasks, episodes, exploration, minibatches); by
                default everything goes on as this run would have drawn it.
            evaluate_every: Steps between evaluations; by default this run's.
        """
        source = self._checkpoints.at(step)
        config = replace(
            self.config,
            teacher=teacher,
            teacher_parameters=dict(teacher_parameters or {}),
            preset=preset,
            steps=steps or self.config.steps,
            seed=self.config.seed if seed is None else seed,
            evaluate_every=evaluate_every or self.config.evaluate_every,
            milestones=[],
            label=None,
        )
        run = Run.create(config, folder)
        run.document["forked_from"] = {"run": str(self.folder), "step": step}
        run.document["test_set"] = self.document["test_set"]
        run._write_config()
        session = run._build()
        run._begun, run._spent = time.monotonic(), 0.0
        logs = run._open_logs(session)
        try:
            session.adopt(source.state()["session"], self._pieces, source.pieces)
            if seed is not None:
                session.reseed(seed)
            run.document["forked_from"]["ledger"] = asdict(session.ledger)
            run._write_config()
            run._next_evaluation = (step // config.interval + 1) * config.interval
            run._mark_time()
            run._checkpoint()
        finally:
            logs.close()
            session.close()
            run.session = None
        return run


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a snapshot holds arrays and numbers, got {type(value).__name__}")


def load_policy(folder: str | Path, step: int | None = None, trust: bool = False) -> Any:
    """Return what a run's student does: an object with ``act(observations)``.

    Args:
        folder: A run folder.
        step: Of the checkpoint; the newest by default.
        trust: Allow importing the modules that the configuration names.
    """
    session = Run.open(folder, trust).load_session(step)
    policy = session.policy()
    session.close()
    return policy
