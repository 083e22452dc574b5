"""The configuration of a run: all that is needed to repeat it, as JSON."""

from __future__ import annotations

import importlib
import json
import os
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import currgym
from currgym.registry import nearest

__all__ = [
    "RunConfig", "environment_id", "environment_spec", "family_name", "is_data",
    "is_named_elsewhere", "is_toy", "package_versions",
]  # fmt: skip

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec

FORMAT = 1
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


@dataclass
class RunConfig:
    """One run.

    Attributes:
        env: Environment id, or ``data/...``.
        teacher: Registered name.
        student: Registered name.
        steps: Budget: environment steps (RL) or examples (supervised).
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
        label: Of its arm in a comparison.
        modules: Modules imported first (they may register environments and teachers).
        cell: Its address in a study's store.
        milestones: Steps at which a checkpoint is taken (at the next safe point) and kept.
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
    label: str | None = None
    modules: list[str] = field(default_factory=list)
    cell: str | None = None
    milestones: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, low in (("steps", 1), ("num_envs", 1), ("threads", 1), ("test_seeds", 1)):
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}, got {getattr(self, name)}")
        for name in ("evaluate_every", "test_tasks"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")

    def load_modules(self) -> None:
        """Import the modules that register what the run needs."""
        for module in self.modules:
            importlib.import_module(module)

    @property
    def kind(self) -> str:
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
            "request": asdict(self),
            "versions": package_versions(),
            "cpu": _cpu(),
        }  # fmt: skip

    @classmethod
    def read(cls, folder: Path) -> tuple[RunConfig, dict[str, Any]]:
        """Return the configuration of a run folder and its whole ``config.json``.

        Raises:
            ValueError: If the file is missing, damaged, or of a later format.
        """
        path = folder / "config.json"
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["format"] > FORMAT:
                raise ValueError(f"{path} has format {document['format']}: update currgym")
            return cls(**document["request"]), document
        except FileNotFoundError:
            raise ValueError(f"{folder} is not a run: it has no config.json") from None
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is damaged: {type(error).__name__}: {error}") from None


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version(), "currgym": currgym.__version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()}, {os.cpu_count()} logical"
    except OSError:
        pass
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} logical"
