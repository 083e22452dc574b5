"""A run once more, in a fresh folder, from what its own configuration says."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from currgym.documents import reading
from currgym.runs.checkpoints import Checkpoints
from currgym.runs.comparing import compare_runs
from currgym.runs.config import RunConfig, cpu, package_versions
from currgym.runs.run import Interrupted, Progress, Run

__all__ = ["Here", "again", "differences_here", "reproduce", "runs_in"]


class Here(NamedTuple):
    """Something that is not as it was when a run was recorded."""

    what: str
    recorded: str
    here: str


def reproduce(
    folder: Path,
    out: Path,
    trust: bool | Collection[str] = False,
    progress: Progress = lambda run: None,
) -> list[str]:
    """Run it again, and return where the two first differ; nothing if they are the same.

    A run that was interrupted is repeated as far as its newest checkpoint goes. A repetition that
    was itself interrupted goes on.

    Args:
        folder: The recorded run.
        out: Where to: a new folder.
        trust: Allow importing the modules that the configuration names.
        progress: Called at every safe point.

    Raises:
        ValueError: If there is nothing to compare with, or the run was forked from one that is not
            there any more.
    """
    recorded = Run.open(folder, trust)
    checkpoint, _ = Checkpoints(folder).newest()
    if checkpoint is None:
        raise ValueError(f"{folder} has no sound checkpoint: nothing to compare with")
    run = _begin(recorded, checkpoint.step, out, trust)
    finished = recorded.finished

    def watch(running: Run) -> None:
        if not finished and (running.saved_step or 0) >= checkpoint.step:
            running.stopping = True
        progress(running)

    try:
        run.train(watch)
    except Interrupted:
        if finished or not (Checkpoints(out).folder / str(checkpoint.step)).is_dir():
            raise
    return compare_runs(folder, out)


def _begin(recorded: Run, step: int, out: Path, trust: bool | Collection[str]) -> Run:
    config = again(recorded.config, step)
    if (out / "config.json").exists():
        run = Run.open(out, trust)
        run.take(config)
        return run
    origin = recorded.document.get("forked_from")
    if origin is None:
        return Run.create(config, out)
    with reading(recorded.folder / "config.json"):
        source, at = Path(origin["run"]), int(origin["step"])
    if not (source / "checkpoints" / str(at)).is_dir():
        raise ValueError(
            f"{recorded.folder} was forked from {source} at step {at:,}, which is not there"
        )
    run = Run.open(source, trust).fork(
        at, out, config.teacher, config.teacher_parameters, config.preset, config.steps,
        None if config.seed == Run.open(source, trust).config.seed else config.seed,
        config.evaluate_every,
    )  # fmt: skip
    run.config = replace(run.config, milestones=config.milestones)
    return run


def again(config: RunConfig, step: int) -> RunConfig:
    """Return the configuration of a repetition: no cell of a study, nothing sent to trackers."""
    return replace(config, cell=None, log=[], milestones=sorted({*config.milestones, step}))


def differences_here(document: dict[str, Any]) -> list[Here]:
    """Return what differs from when a run was recorded: versions, processor, threads."""
    told = document.get("versions")
    then = {str(k): str(v) for k, v in told.items()} if isinstance(told, dict) else {}
    now = package_versions()
    found = [
        Here(name, then.get(name, "not there"), now.get(name, "not there"))
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
    if document.get("cpu") != cpu():
        found.append(Here("processor", str(document.get("cpu")), cpu()))
    asked = (document.get("request") or {}).get("threads")
    if document.get("threads") != asked:
        found.append(Here("threads", str(document.get("threads")), str(asked)))
    return found


def runs_in(folder: Path) -> list[Path]:
    """Return the run folders that there are in a run's, a comparison's or a study's folder."""
    if (folder / "config.json").is_file():
        return [folder]
    found = sorted(path.parent for path in folder.glob("runs/*/*/config.json"))
    if not found:
        raise ValueError(f"{folder} holds no run: no config.json, no runs/*/*/config.json")
    return found
