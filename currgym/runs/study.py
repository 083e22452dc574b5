"""Several arms on one environment over several seeds: a folder of runs to take up again."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from currgym.runs.config import RunConfig
from currgym.runs.settings import split_assignments, typed_teacher_parameters
from currgym.teaching import teachers

__all__ = ["Arm", "Study", "StudyProgress", "with_controls"]

FORMAT = 1
# Their sequence does not depend on outcomes, so replaying it tells nothing.
_NOT_ADAPTIVE = frozenset(
    {"random", "uniform-steps", "target", "easy-to-hard", "hard-to-easy", "cyclical", "yoked",
     "yoked-shuffled"}
)  # fmt: skip


_CONTROLS = frozenset({"uniform-steps", "yoked", "yoked-shuffled"})


@dataclass(frozen=True)
class Arm:
    """One teacher with its settings.

    Attributes:
        label: As it stands in tables and folder names.
        teacher: Registered name.
        preset: Of the teacher.
        parameters: Of the teacher.
        of: For ``yoked``: the arm whose task log it replays, made for another seed's student.
    """

    label: str
    teacher: str
    preset: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    of: str | None = None

    @classmethod
    def parse(cls, text: str) -> Arm:
        """Read ``NAME``, ``NAME:preset`` or ``LABEL=NAME:key=value,...``.

        Raises:
            ValueError: For an unknown teacher, preset or parameter.
        """
        head, colon, tail = text.partition(":")
        label, equals, name = head.partition("=")
        name = name if equals else label
        cls_ = teachers[name]
        preset: str | None = None
        given: dict[str, str] = {}
        for part in tail.split(",") if colon else []:
            if "=" in part:
                given.update(split_assignments([part]))
            elif part:
                preset = part
        of = given.pop("of", None)
        if preset is not None and preset not in cls_.presets:
            from currgym.registry import nearest

            raise ValueError(nearest(preset, cls_.presets, f"preset of teacher {name!r}"))
        return cls(
            label if equals else text.replace(":", "-").replace("=", "-").replace(",", "-"),
            name,
            preset,
            typed_teacher_parameters(name, given),
            of,
        )


def with_controls(arms: Sequence[Arm], base: RunConfig, seeds: int) -> list[Arm]:
    """Return the arms with their controls.

    ``uniform-steps`` for reinforcement learning, and for every adaptive arm its task sequence made
    for another seed's student (``yoked``: no adaptivity) and that shuffled (``yoked-shuffled``: no
    order), so that a gain can be split.
    """
    found = list(arms)
    names = {arm.teacher for arm in found}
    if base.kind == "rl" and "uniform-steps" not in names:
        found.append(Arm("uniform-steps", "uniform-steps"))
    for arm in arms:
        if seeds > 1 and arm.teacher not in _NOT_ADAPTIVE:
            for control in ("yoked", "yoked-shuffled"):
                found.append(Arm(f"{control}-{arm.label}", control, of=arm.label))
    return found


@dataclass
class StudyProgress:
    """Where a study stands: label and seed -> (steps done, share solved); ``total`` steps a run."""

    total: int
    runs: dict[tuple[str, int], tuple[int, float | None]]

    @property
    def done(self) -> float:
        """Share of all steps taken."""
        return sum(min(s, self.total) for s, _ in self.runs.values()) / (
            self.total * len(self.runs)
        )


class Study:
    """A folder ``OUT/<label>/seed-<s>`` of runs, and ``OUT/study.json``.

    Args:
        folder: Where.
        base: The configuration that all runs share (teacher and seed apart).
        arms: What is compared; labels must differ.
        seeds: One run an arm and seed.
    """

    def __init__(
        self, folder: Path, base: RunConfig, arms: Sequence[Arm], seeds: Sequence[int]
    ) -> None:
        self.folder, self.base, self.arms, self.seeds = folder, base, list(arms), list(seeds)
        labels = [arm.label for arm in self.arms]
        if len(set(labels)) != len(labels):
            raise ValueError(f"arms need different labels, got {labels}: write LABEL=NAME:...")
        for arm in self.arms:
            if arm.of is not None and arm.of not in labels:
                raise ValueError(f"arm {arm.label!r} replays {arm.of!r}, which is not an arm here")
            if arm.of is not None and len(self.seeds) < 2:
                raise ValueError(
                    f"arm {arm.label!r} replays another seed's log: use 2 seeds or more"
                )

    @property
    def baseline(self) -> str:
        """The arm that the others are compared with."""
        for arm in self.arms:
            if arm.teacher == "random":
                return arm.label
        return self.arms[0].label

    def run_folder(self, arm: Arm, seed: int) -> Path:
        """Return the folder of one run."""
        return self.folder / arm.label / f"seed-{seed}"

    def write(self) -> None:
        """Write ``study.json``.

        Raises:
            FileExistsError: If the folder holds another study.
        """
        document = self.to_json()
        path = self.folder / "study.json"
        if path.exists():
            there = json.loads(path.read_text(encoding="utf-8"))
            if {name: there.get(name) for name in document} != document:
                raise FileExistsError(
                    f"{self.folder} holds another study: choose another --out, or delete it"
                )
            return
        if self.folder.exists() and any(self.folder.iterdir()):
            raise FileExistsError(f"{self.folder} is not empty: choose another --out")
        self.folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1), encoding="utf-8")

    def to_json(self) -> dict[str, Any]:
        """Return the form of ``study.json``."""
        return {
            "format": FORMAT,
            "env": self.base.env,
            "student": self.base.student,
            "steps": self.base.steps,
            "seeds": self.seeds,
            "baseline": self.baseline,
            "arms": [
                {
                    "label": arm.label,
                    "teacher": arm.teacher,
                    "preset": arm.preset,
                    "parameters": arm.parameters,
                    "of": arm.of,
                    "privileges": self._privileges(arm),
                    "reference": arm.teacher in _CONTROLS,
                }
                for arm in self.arms
            ],
            "runs": {
                arm.label: [
                    str(self.run_folder(arm, seed).relative_to(self.folder)) for seed in self.seeds
                ]
                for arm in self.arms
            },
            "base": asdict(self.base),
        }

    @staticmethod
    def _privileges(arm: Arm) -> list[str]:
        declared = teachers[arm.teacher].privileges
        # Those that depend on parameters are settled in each run's own config.json.
        return [] if isinstance(declared, property) else sorted(declared)

    @classmethod
    def open(cls, folder: str | Path) -> Study:
        """Open the study of a folder.

        Raises:
            ValueError: If there is none, or it is damaged.
        """
        path = Path(folder) / "study.json"
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            arms = [
                Arm(a["label"], a["teacher"], a["preset"], a["parameters"], a["of"])
                for a in document["arms"]
            ]
            return cls(Path(folder), RunConfig(**document["base"]), arms, document["seeds"])
        except FileNotFoundError:
            raise ValueError(f"{folder} is not a study: it has no study.json") from None
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is damaged: {type(error).__name__}: {error}") from None

    def config(self, arm: Arm, seed: int) -> RunConfig:
        """Return the configuration of one run."""
        parameters = dict(arm.parameters)
        if arm.of is not None:
            other = self.seeds[(self.seeds.index(seed) + 1) % len(self.seeds)]
            source = next(a for a in self.arms if a.label == arm.of)
            parameters["log"] = str(self.run_folder(source, other) / "episodes.csv")
        return replace(
            self.base,
            teacher=arm.teacher,
            preset=arm.preset,
            teacher_parameters=parameters,
            seed=seed,
            label=arm.label,
        )

    def run(
        self, jobs: int = 1, progress: Callable[[StudyProgress], None] = lambda p: None
    ) -> list[str]:
        """Do what is missing, several runs at a time; return what failed, a line each.

        Args:
            jobs: Processes.
            progress: Called about twice a second.

        Raises:
            KeyboardInterrupt: After Ctrl-C, once every running run has written its checkpoint.
        """
        failed: list[str] = []
        waves = [[a for a in self.arms if a.of is None], [a for a in self.arms if a.of is not None]]
        for wave in waves:
            # Seed by seed over all arms, so that an interrupted study is balanced.
            todo = [(arm, seed) for seed in self.seeds for arm in wave]
            todo = [
                (arm, seed)
                for arm, seed in todo
                if not (self.run_folder(arm, seed) / "summary.json").exists()
            ]
            if todo:
                failed += self._run_wave(todo, jobs, progress)
        progress(self.status())
        return failed

    def _run_wave(
        self,
        todo: list[tuple[Arm, int]],
        jobs: int,
        progress: Callable[[StudyProgress], None],
    ) -> list[str]:
        failed: list[str] = []
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(jobs, len(todo)), mp_context=context) as pool:
            names: dict[Future[None], str] = {}
            for arm, seed in todo:
                folder = self.run_folder(arm, seed)
                future = pool.submit(_work, self.config(arm, seed), str(folder))
                names[future] = f"{arm.label}, seed {seed}"
            pending = set(names)
            try:
                while pending:
                    ended, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                    for future in ended:
                        error = future.exception()
                        if isinstance(error, KeyboardInterrupt):
                            raise error
                        if error is not None:
                            failed.append(f"{names[future]}: {type(error).__name__}: {error}")
                    progress(self.status())
            except KeyboardInterrupt:
                for future in pending:
                    future.cancel()
                with contextlib.suppress(KeyboardInterrupt):
                    wait(pending, timeout=120)
                raise
        return failed

    def status(self) -> StudyProgress:
        """Return where every run stands, read from the folders."""
        runs: dict[tuple[str, int], tuple[int, float | None]] = {}
        for arm, seed, folder in self._all():
            runs[arm.label, seed] = _read_progress(folder, self.base.steps)
        return StudyProgress(self.base.steps, runs)

    def _all(self) -> Iterator[tuple[Arm, int, Path]]:
        for arm in self.arms:
            for seed in self.seeds:
                yield arm, seed, self.run_folder(arm, seed)


def _work(config: RunConfig, folder: str) -> None:
    """Do one run in a process of its own."""
    from currgym.runs.run import Interrupted, Run

    path = Path(folder)
    if (path / "config.json").exists():
        run = Run.open(path, trust=True)  # this study wrote it
    else:
        run = Run.create(config, path)
    last, parent = 0.0, os.getppid()

    def note(running: Run) -> None:
        nonlocal last
        if os.getppid() != parent:
            # The study was killed: nobody waits for this run, so it stops with a checkpoint.
            running.stopping = True
        if time.monotonic() - last > 0.4:
            last = time.monotonic()
            (path / "progress.json").write_text(json.dumps([running.steps, running.last_mean]))

    try:
        run.train(note)
    except Interrupted as stop:
        raise KeyboardInterrupt from stop


def _read_progress(folder: Path, total: int) -> tuple[int, float | None]:
    try:
        if (folder / "summary.json").exists():
            return total, json.loads((folder / "summary.json").read_text())["solved"]
        steps, solved = json.loads((folder / "progress.json").read_text())
        return int(steps), solved
    except (OSError, ValueError):
        return 0, None
