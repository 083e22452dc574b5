"""The configuration of a run: all that is needed to repeat it, as JSON."""

from __future__ import annotations

import functools
import importlib
import os
import platform
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import currgym
from currgym.documents import check_types, checked, read_json, reading
from currgym.registry import nearest
from currgym.runs.tracking import TRACKERS

__all__ = [
    "RunConfig", "check_trusted", "cpu", "default_student", "environment_id", "environment_spec",
    "family_name", "foreign_modules", "is_data", "is_named_elsewhere", "is_toy",
    "package_versions",
]  # fmt: skip

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec

FORMAT = 1
# The upper ends only keep a damaged file from asking for all of the machine.
_RANGES = {
    "steps": (1, 2**53), "num_envs": (1, 2**16), "threads": (1, 4096), "test_seeds": (1, 10_000),
    "evaluate_every": (1, 2**53), "test_tasks": (1, 2**20), "seed": (0, 2**63 - 1),
    "workers": (0, 4096),
}  # fmt: skip
_PACKAGES = (
    "numpy", "torch", "gymnasium", "stable-baselines3", "sb3-contrib", "scikit-learn", "scipy",
    "box2d",
)  # fmt: skip


def is_data(env: str) -> bool:
    """Tell whether this is a family of data (``data/digits``) rather than an environment."""
    return family_name(env).startswith("data/")


def is_toy(env: str) -> bool:
    """Tell whether this is a simulated student's own world (``toy/cube``)."""
    return family_name(env).startswith("toy/")


def is_named_elsewhere(env: str) -> bool:
    """Tell whether this is none of Gymnasium's environments: data, or a toy."""
    return is_data(env) or is_toy(env)


def family_name(env: str) -> str:
    """Return the name without ``currgym/`` before ``data/...`` and ``toy/...``."""
    short = env.removeprefix("currgym/")
    return short if short.startswith(("data/", "toy/")) else env


def environment_spec(env: str) -> EnvSpec:
    """Return the specification of an id, with or without a module part (which is imported)."""
    import gymnasium

    module, _, name = env.rpartition(":")
    if module:
        importlib.import_module(module)
    return gymnasium.spec(name)


def environment_id(env: str) -> str:
    """Return the registered id of an environment written with or without ``currgym/``.

    Raises:
        ValueError: If there is none; the nearest are named.
    """
    import gymnasium

    if f"currgym/{env}" in gymnasium.registry:
        return f"currgym/{env}"
    if ":" in env or env in gymnasium.registry:
        return env
    ours = [name.removeprefix("currgym/") for name in gymnasium.registry if "currgym/" in name]
    raise ValueError(nearest(env.removeprefix("currgym/"), ours, "environment"))


_BESIDE_THE_RESULT = (
    "label", "cell", "checkpoint_every", "keep_policies", "milestones", "step_timeout", "log",
    "modules", "workers",
)  # fmt: skip


def default_student(env: str) -> str:
    """Return who learns where nobody is named; a toy is its own student."""
    if is_toy(env):
        return family_name(env).removeprefix("toy/")
    return "mlp" if is_data(env) else "ppo"


def foreign_modules(modules: Iterable[str], envs: Iterable[str]) -> tuple[str, ...]:
    """Return which of these modules, and of those that environment ids name, are not currgym's."""
    named = [*modules]
    for env in envs:
        named.append(env.rpartition(":")[0])
        # Gymnasium's wrappers of old gym import whatever their arguments name.
        named.append(env if env.rpartition(":")[2].startswith("GymV") else "")
    return tuple(dict.fromkeys(name for name in named if name and name != "currgym"))


def check_trusted(path: Path, foreign: Iterable[str], trust: bool | Collection[str]) -> None:
    """Refuse to import what a file of unknown origin names.

    Args:
        path: The file or folder, for the message.
        foreign: Modules that it names.
        trust: True allows all, a collection those in it.

    Raises:
        ValueError: If it names others.
    """
    refused = [] if trust is True else [name for name in foreign if name not in (trust or ())]
    if refused:
        raise ValueError(
            f"{path} imports {', '.join(refused)}: if you trust its author, pass --trust"
        )


@dataclass
class RunConfig:
    """One run.

    Attributes:
        env: Environment id, or ``data/...``.
        teacher: Registered name.
        student: Registered name.
        steps: Budget: environment steps (RL), those of probes included, or examples (supervised).
        seed: Of everything.
        num_envs: Sub-environments of the vector environment.
        preset: Of the teacher.
        env_parameters: Keyword arguments of the environment.
        teacher_parameters: Of the teacher.
        student_parameters: Of the student.
        evaluate_every: Steps between evaluations; None makes 20.
        test_set: Name of one of the environment's, ``"grid"``, or None for its first.
        test_tasks: At most this many tasks of the test set; None takes all.
        test_seeds: Environment seeds a task.
        checkpoint_every: Seconds between checkpoints.
        threads: torch and OpenMP threads.
        keep_policies: Policies kept for films, evenly over the budget, the untrained one and the
            last included; 0 keeps none.
        workers: Ray workers that hold the sub-environments; 0 keeps them in this process. The run
            is the same.
        label: Of its arm in a comparison.
        modules: Modules imported first (they may register environments and teachers).
        cell: Its address in a study's store.
        milestones: Steps at or after which a checkpoint is taken at once and kept, to fork from.
        step_timeout: Seconds after which one step or reset of an environment counts as hanging.
        log: Trackers beside TensorBoard: ``"wandb"``, ``"mlflow"``.
    """

    env: str
    teacher: str
    student: str
    steps: int
    seed: int = 0
    num_envs: int = 16
    preset: str | None = None
    env_parameters: dict[str, Any] = field(default_factory=dict)
    teacher_parameters: dict[str, Any] = field(default_factory=dict)
    student_parameters: dict[str, Any] = field(default_factory=dict)
    evaluate_every: int | None = None
    test_set: str | None = None
    test_tasks: int | None = None
    test_seeds: int = 3
    checkpoint_every: float = 60.0
    threads: int = 1
    keep_policies: int = 5
    workers: int = 0
    label: str | None = None
    modules: list[str] = field(default_factory=list)
    cell: str | None = None
    milestones: list[int] = field(default_factory=list)
    step_timeout: float = 300.0
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_types(type(self), vars(self))
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                what = f"at least {low}" if value < low else f"at most {high:,}"
                raise ValueError(f"{name} must be {what}, got {value:,}")
        if not self.checkpoint_every >= 0:
            raise ValueError(f"checkpoint_every must not be negative, got {self.checkpoint_every}")
        if not self.step_timeout > 0:
            raise ValueError(f"step_timeout must be above 0, got {self.step_timeout}")
        if self.workers and self.kind != "rl":
            raise ValueError(
                f"workers hold the environments of reinforcement learning, got {self.workers} for "
                f"{self.env}"
            )
        if self.workers > self.num_envs:
            raise ValueError(
                f"{self.workers} workers need as many sub-environments, got num_envs "
                f"{self.num_envs}"
            )
        for name in self.log:
            _ = TRACKERS[name]

    @property
    def foreign(self) -> tuple[str, ...]:
        """What it names beyond currgym, code that opening the run would import."""
        return foreign_modules(self.modules, [self.env])

    def question(self) -> dict[str, Any]:
        """Return all that decides its result: not how it is called, when saved, when given up."""
        asked = asdict(self)
        for name in _BESIDE_THE_RESULT:
            del asked[name]
        return {**asked, "evaluate_every": self.interval}

    def load_modules(self) -> None:
        """Import the modules that register what the run needs."""
        for module in self.modules:
            importlib.import_module(module)

    @property
    def kind(self) -> Literal["rl", "supervised", "simulated"]:
        """``"rl"``, ``"supervised"`` or ``"simulated"``."""
        if is_toy(self.env):
            return "simulated"
        return "supervised" if is_data(self.env) else "rl"

    @property
    def interval(self) -> int:
        """Steps between evaluations."""
        return self.evaluate_every or max(1, self.steps // 20)

    def to_json(self) -> dict[str, Any]:
        """Return the form of ``config.json``, versions and machine included."""
        return {
            "format": FORMAT,
            "kind": self.kind,
            "label": self.label or self.teacher,
            "env": {"id": self.env, "kwargs": self.env_parameters},
            "teacher": {
                "name": self.teacher, "preset": self.preset, "parameters": self.teacher_parameters,
            },
            "student": {"name": self.student, "parameters": self.student_parameters},
            "steps": self.steps,
            "seed": self.seed,
            "num_envs": self.num_envs,
            "evaluate_every": self.interval,
            "threads": self.threads,
            "workers": self.workers,
            "repeatable": True,
            "request": asdict(self),
            "versions": package_versions(),
            "cpu": cpu(),
        }  # fmt: skip

    @classmethod
    def read(cls, folder: Path) -> tuple[RunConfig, dict[str, Any]]:
        """Return the configuration of a run folder and its whole ``config.json``.

        Raises:
            ValueError: If the file is missing, damaged, or of a later format.
        """
        path = folder / "config.json"
        if not path.is_file():
            raise ValueError(f"{folder} is not a run: it has no config.json")
        document = read_json(path)
        with reading(path):
            later = document["format"] > FORMAT
            config = None if later else checked(cls, document["request"])
        if config is None:
            raise ValueError(f"{path} has format {document['format']}: update currgym")
        return config, document


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    return dict(_package_versions())


@functools.cache
def _package_versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "currgym": currgym.__version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@functools.cache
def cpu() -> str:
    """Return what this machine computes with."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()}, {os.cpu_count()} logical"
    except OSError:
        pass
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} logical"
