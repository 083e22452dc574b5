"""One run folder: created, trained, interrupted, resumed, forked."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from currgym.documents import Damaged, read_json, reading, sentence, write_whole
from currgym.runs.cells import CellCounter
from currgym.runs.checkpoints import Checkpoint, Checkpoints
from currgym.runs.config import RunConfig, check_trusted
from currgym.runs.evaluation import TestSet
from currgym.runs.logs import Logs
from currgym.runs.owner import whoami
from currgym.runs.policies import KeptPolicies
from currgym.runs.recorder import RunRecorder, episode_header
from currgym.runs.replay import ReplayPieces
from currgym.runs.seeding import seed_for
from currgym.runs.session import Session, open_session
from currgym.runs.settings import check_required
from currgym.runs.tracking import Tracks
from currgym.runs.watching import Watchdog, blame
from currgym.teaching import teachers

__all__ = ["Busy", "Failed", "Interrupted", "Progress", "Run", "load_policy"]

Progress = Callable[["Run"], None]
SNAPSHOTS = 60
OPTIMIZER_ROWS = 100
PREVIEW = 200
FEWEST = 20
SHOWN_EVERY = 2.0


class Busy(RuntimeError):
    """Another process is at work in the run's folder."""


class Failed(RuntimeError):
    """A run came to an end that is not its own; the message says where."""


class Interrupted(Exception):
    """The run was asked to stop; a checkpoint has been written."""


class Run:
    """One run and its folder.

    Make one by :meth:`create` or :meth:`open`, then call :meth:`train`.

    Attributes:
        folder: Where everything is.
        config: What was asked for.
        notes: What a person should know (a fallback to an older checkpoint, inexact resume).
        stopping: Set it to have a checkpoint written, and the run ended, at the next safe point.
        saved_step: Step of the newest checkpoint, or None.
    """

    def __init__(self, folder: Path, config: RunConfig, document: Mapping[str, Any]) -> None:
        self.folder = folder
        self.config = _located(config, folder)
        self.document = dict(document)
        self.notes: list[str] = []
        self.session: Session | None = None
        self.stopping = False
        self.saved_step: int | None = None
        self._fresh = False
        self._checkpoints = Checkpoints(folder, config.milestones)
        self._pieces = ReplayPieces(folder)
        self._policies = KeptPolicies(folder)
        self._next_evaluation = 0
        self._next_snapshot = 0
        self._next_policy = 0
        self._next_measure = 0
        self._last_mean: float | None = None
        self._complete = False
        """Whether all is done but the summary."""

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
            ValueError: If the teacher lacks a parameter that a run of it must give.
        """
        check_required(config.teacher, config.teacher_parameters)
        folder = Path(folder)
        # What a wait for the folder's lock, and a kill before the run has begun, leave behind.
        copies = (f"{name}{path.suffix}" for name, path in _files(config, Path()))
        left = {".lock", ".config.json.draft", *copies}
        if folder.exists() and any(path.name not in left for path in folder.iterdir()):
            if not force:
                what = "another run" if (folder / "config.json").exists() else "other files"
                raise FileExistsError(
                    f"{folder} holds {what}: choose another --out, resume it with "
                    f"'currgym resume {folder}', or delete it"
                )
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = _with_copies(config, folder)
        run = cls(folder, config, config.to_json())
        if test_set is not None:
            run.document["test_set"] = test_set.to_json()
        run._write_config()
        run._fresh = True
        return run

    @classmethod
    def open(cls, folder: str | Path, trust: bool | Collection[str] = False) -> Run:
        """Open an existing run.

        Args:
            folder: The run folder.
            trust: Allow importing the modules that its configuration names: all, or these. True
                also allows symbolic links in the folder.

        Raises:
            ValueError: If it is not a run, or needs ``trust``.
        """
        folder = Path(folder)
        config, document = RunConfig.read(folder)
        if trust is not True:
            links = [path.name for path in folder.iterdir() if path.is_symlink()]
            if links:
                raise ValueError(
                    f"{folder} has symbolic links ({', '.join(sorted(links))}), which may lead "
                    "anywhere: if you trust its author, pass --trust"
                )
        check_trusted(folder, config.foreign, trust)
        config.load_modules()
        return cls(folder, config, document)

    def take(self, config: RunConfig) -> None:
        """Go on under this configuration, which must ask for the same run.

        What decides nothing about a result may differ: names, times, and where a log lies.

        Raises:
            ValueError: If it asks for another run.
        """
        mine, asked = self._question(self.config), self._question(config)
        if mine != asked:
            names = ", ".join(name for name in asked if mine.get(name) != asked[name])
            raise ValueError(
                f"{self.folder} holds another run than the one asked for (they differ in {names}): "
                "delete it"
            )
        self.config = replace(config, teacher_parameters=self.config.teacher_parameters)

    @staticmethod
    def _question(config: RunConfig) -> dict[str, Any]:
        """Return what decides a run's result, as JSON gives it back; its files lie anywhere."""
        asked = config.question()
        parameters = asked["teacher_parameters"]
        for name in teachers[config.teacher].files & set(parameters):
            if isinstance(parameters[name], (str, os.PathLike)):
                parameters[name] = None
        plain: dict[str, Any] = json.loads(json.dumps(asked, default=list))
        return plain

    def _forget(self) -> None:
        """Leave no folder behind for what could not even be built: it would be in the way."""
        copies = [path for _, path in _files(self.config, self.folder)]
        for path in (self.folder / "config.json", self.folder / ".lock", *copies):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.folder / "tensorboard", ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _write_config(self) -> None:
        write_whole(self.folder / "config.json", json.dumps(self.document, indent=1))

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
            Failed: If anything else goes wrong, with the task and seed where an environment raises,
                hangs, or returns what is not finite.
            OSError: If the disk is full; earlier checkpoints are untouched.
        """
        if self.finished:
            return read_json(self.folder / "summary.json")
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
        (self.folder / "error.txt").unlink(missing_ok=True)
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
        (self.folder / ".owner").write_text(whoami(), encoding="utf-8")
        logs = self._open_logs(session)
        try:
            with self._signals(), self._watched(session):
                if checkpoint is not None:
                    self._load(checkpoint)
                else:
                    self._mark_time()
                self._saved = self._shown = time.monotonic()
                if not self._complete:
                    session.train(lambda: self._safe_point(progress))
                    self._recorder.end()
                    self._note_if_due(final=True)
                    # In the last checkpoint: a run killed before its summary does not do it again.
                    self._complete = True
                    self._checkpoint()
                progress(self)
            return self._finish(session)
        finally:
            with contextlib.suppress(OSError):
                logs.close()
            self._close(session)

    def _build(self) -> Session:
        os.environ.setdefault("OMP_NUM_THREADS", str(self.config.threads))
        session = open_session(self.config, self._known_test_set())
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
        self._tracks = Tracks(self.folder, self.document, self.config.log, self.notes.append)
        session.log_to(self._tracks)
        return session

    def _close(self, session: Session) -> None:
        with contextlib.suppress(OSError):
            self._tracks.close()
        session.close()
        self.session = None

    def _open_logs(self, session: Session) -> Logs:
        extras = tuple(sorted(session.log_columns))
        header = episode_header(session.space, extras)
        # Test examples are none of the examples that make up the space.
        tests = None if self.config.kind == "supervised" else session.test_set.tasks
        cells = CellCounter(session.space, session.end, tests, self._write_period)
        logs = Logs(
            self.folder,
            {
                "episodes.csv": header,
                "probes.csv": header,
                "calls.csv": "call,count",
                "evaluations.csv": "step,test_set,task_index,seed,return,length,success",
                "snapshots.jsonl": None,
                "periods.jsonl": cells.header(),
                "optimizer.csv": "step,updates,gradient_norm,update_norm,effective_step",
                "timing.csv": "step,seconds",
            },
        )
        self._logs = logs
        self._recorder = RunRecorder(logs, cells, extras)
        session.curriculum.recorder = self._recorder
        return logs

    def _write_period(self, line: str) -> None:
        self._logs.write("periods.jsonl", line)

    def _start_over(self) -> None:
        """Drop what a run killed before its first checkpoint has left."""
        for name in ("episodes.csv", "probes.csv", "calls.csv", "evaluations.csv"):
            (self.folder / name).unlink(missing_ok=True)
        for name in ("snapshots.jsonl", "periods.jsonl", "optimizer.csv", "timing.csv"):
            (self.folder / name).unlink(missing_ok=True)
        for name in ("checkpoints", "replay", "policies"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _newest(self) -> Checkpoint | None:
        checkpoint, problems = self._checkpoints.newest()
        instead = "fell back to the one before" if checkpoint else "none is left, so begun anew"
        self.notes += [f"{problem}: {instead}" for problem in problems]
        return checkpoint

    def _go_back(self, checkpoint: Checkpoint) -> None:
        Logs.cut(self.folder, checkpoint.logs)
        self._checkpoints.drop_after(checkpoint.step)
        self._policies.drop_after(checkpoint.step)

    def _load(self, checkpoint: Checkpoint) -> None:
        assert self.session is not None
        state = checkpoint.state()
        recorder = self.session.curriculum.recorder
        # Restoring replays episodes; nothing of that is news.
        self.session.curriculum.recorder = None
        with reading(checkpoint.folder, "does not fit this run"):
            self.session.restore(state["session"], self._pieces, checkpoint.pieces)
            if self.steps != checkpoint.step:
                raise ValueError(f"its student has taken {self.steps:,} steps")
            own = state["run"]
            self._recorder.load_state_dict(own["recorder"])
            self._next_evaluation = int(own["next_evaluation"])
            self._next_snapshot = int(own["next_snapshot"])
            self._next_policy = int(own["next_policy"])
            self._next_measure = int(own["next_measure"])
            self._last_mean = None if own["last_mean"] is None else float(own["last_mean"])
            self._complete = bool(own.get("complete", False))
            self._spent = float(own["seconds"])
        self.session.curriculum.recorder = recorder
        self.saved_step = checkpoint.step

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

    @contextlib.contextmanager
    def _watched(self, session: Session) -> Iterator[None]:
        """Say at which step a run has failed, and in which task if an environment is to blame."""
        with Watchdog(self.config.step_timeout, session.playing):
            try:
                yield
            except (Interrupted, Damaged, OSError):
                raise
            except Exception as error:
                told = sentence(blame(error, session.playing) or error)
                details = self.folder / "error.txt"
                with contextlib.suppress(OSError):
                    details.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
                raise Failed(
                    f"{self.folder} stopped at step {self.steps:,}: {told}. Earlier checkpoints "
                    f"are untouched; where it happened is in {details.name} there"
                ) from error

    def _safe_point(self, progress: Progress) -> None:
        self._note_if_due()
        if self.stopping:
            self._checkpoint()
            progress(self)
            raise Interrupted(
                f"stopped at step {self.steps:,}; go on with: currgym resume {self.folder}"
            )
        late = time.monotonic() - self._saved >= self.config.checkpoint_every
        saved = -1 if self.saved_step is None else self.saved_step
        if late or any(saved < m <= self.steps for m in self.config.milestones):
            self._checkpoint()
        if time.monotonic() - self._shown >= SHOWN_EVERY:  # for who looks on
            self._logs.show()
            self._shown = time.monotonic()
        progress(self)

    # What happens at safe points -----------------------------------------------------------------

    def _note_if_due(self, final: bool = False) -> None:
        self._measure_if_due(final)
        self._evaluate_if_due(final)
        self._snapshot_if_due(final)
        self._keep_policy_if_due(final)

    def _evaluate_if_due(self, final: bool) -> None:
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
        self.session.note("evaluation/return", float(np.mean([row.result for row in rows])))
        self._next_evaluation = (step // self.config.interval + 1) * self.config.interval
        self._mark_time()
        self._logs.show()

    def _snapshot_if_due(self, final: bool) -> None:
        assert self.session is not None
        if self.steps < self._next_snapshot and not final:
            return
        teacher = self.session.teacher
        every = max(1, self.config.steps // SNAPSHOTS)
        rng = np.random.default_rng(seed_for(self.config.seed, "preview"))
        line = {
            "step": self.steps,
            "episode": self._recorder.episodes,
            "snapshot": teacher.snapshot(),
            # No more tasks than are proposed in between: a tiny run stays a small folder.
            "preview": teacher.preview(min(PREVIEW, max(FEWEST, every)), rng),
        }
        self._logs.write("snapshots.jsonl", json.dumps(line, default=_plain))
        self._next_snapshot = (self.steps // every + 1) * every

    def _measure_if_due(self, final: bool) -> None:
        assert self.session is not None
        if self.steps < self._next_measure and not final:
            return
        found = self.session.measured()
        if found is None:
            return
        texts = ",".join(repr(value) for value in found.values())
        self._logs.write("optimizer.csv", f"{self.steps},{self.session.ledger.updates},{texts}")
        for name, value in found.items():
            self.session.note(f"optimizer/{name}", value)
        every = max(1, self.config.steps // OPTIMIZER_ROWS)
        self._next_measure = (self.steps // every + 1) * every

    def _keep_policy_if_due(self, final: bool) -> None:
        assert self.session is not None
        wanted = self.config.keep_policies
        if wanted == 0 or (self.steps < self._next_policy and not final):
            return
        state = self.session.policy_state()
        if state is not None:
            self._policies.keep(self.steps, state)
        # The last of them is kept at the end, wherever that is.
        every = max(1, self.session.end // max(1, wanted - 1))
        self._next_policy = (self.steps // every + 1) * every

    def _mark_time(self) -> None:
        self._logs.write("timing.csv", f"{self.steps},{self._seconds():.3f}")

    def _seconds(self) -> float:
        return self._spent + time.monotonic() - self._begun

    def _checkpoint(self) -> None:
        assert self.session is not None
        state, pieces = self.session.save(self._pieces)
        recorder = (
            self._recorder.state_dict()
        )  # writes the periods that are over, so it comes first
        lengths = self._logs.flush()
        own = {
            "recorder": recorder,
            "next_evaluation": self._next_evaluation,
            "next_snapshot": self._next_snapshot,
            "next_policy": self._next_policy,
            "next_measure": self._next_measure,
            "last_mean": self._last_mean,
            "complete": self._complete,
            "seconds": self._seconds(),
        }
        self._checkpoints.save(self.steps, {"session": state, "run": own}, lengths, pieces)
        self._checkpoints.prune()
        self._saved, self.saved_step = time.monotonic(), self.steps

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
        write_whole(self.folder / "summary.json", json.dumps(summary, indent=1))
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

        Warns where the newest is damaged and the one before stands in.

        Raises:
            ValueError: If there is no sound checkpoint.
        """
        if step is not None:
            checkpoint: Checkpoint | None = self._checkpoints.at(step)
        else:
            checkpoint, problems = self._checkpoints.newest()
            if checkpoint is None:
                why = "; ".join(problems) or "none has been written yet"
                raise ValueError(f"{self.folder} has no sound checkpoint: {why}")
            for problem in problems:
                warnings.warn(
                    f"{problem}: fell back to the one before, at step {checkpoint.step:,}",
                    stacklevel=2,
                )
        assert checkpoint is not None
        session = open_session(self.config, self._known_test_set())
        state = checkpoint.state()
        with reading(checkpoint.folder, "does not fit this run"):
            session.restore_policy(state["session"])
        return session

    def _known_test_set(self) -> TestSet | None:
        """Return the test set that the configuration says, if a session has chosen it already."""
        with reading(self.folder / "config.json"):
            known = self.document.get("test_set")
            return TestSet.from_json(known) if known else None

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
        try:
            session = run._build()
        except Exception:
            run._forget()
            raise
        run._begun, run._spent = time.monotonic(), 0.0
        logs = run._open_logs(session)
        try:
            state = source.state()
            with reading(source.folder, "does not fit this run"):
                session.adopt(state["session"], self._pieces, source.pieces)
            if seed is not None:
                session.reseed(seed)
            run.document["forked_from"]["ledger"] = asdict(session.ledger)
            run._write_config()
            run._next_evaluation = (step // config.interval + 1) * config.interval
            run._mark_time()
            run._checkpoint()
        finally:
            logs.close()
            run._close(session)
        return run


def _files(config: RunConfig, base: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files that the teacher's parameters name, paths being relative to a folder."""
    parameters = config.teacher_parameters
    known = teachers[config.teacher].files if config.teacher in teachers else frozenset()
    for name in sorted(known & set(parameters)):
        value = parameters[name]
        if isinstance(value, (str, os.PathLike)) and (base / value).is_file():
            yield name, base / value


def _with_copies(config: RunConfig, folder: Path) -> RunConfig:
    """Copy what the teacher reads into the run, which is then whole wherever it is moved."""
    copies = {}
    for name, path in _files(config, Path()):
        copies[name] = f"{name}{path.suffix}"
        shutil.copyfile(path, folder / copies[name])
    return replace(config, teacher_parameters={**config.teacher_parameters, **copies})


def _located(config: RunConfig, folder: Path) -> RunConfig:
    """Return the configuration with the paths of such copies."""
    found = {name: str(path) for name, path in _files(config, folder)}
    return replace(config, teacher_parameters={**config.teacher_parameters, **found})


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
