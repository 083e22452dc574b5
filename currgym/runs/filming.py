"""Films of a run's student: as it is now, and how it became so."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from currgym.documents import reading
from currgym.envs.base import task_by_name
from currgym.runs.config import environment_id
from currgym.runs.policies import KeptPolicies
from currgym.runs.run import Run

if TYPE_CHECKING:
    import gymnasium

__all__ = ["easy_and_hard", "film_run", "film_study"]

OVER_TIME_WIDTH = 220
OVER_TIME_FRAMES = 90


def film_run(
    folder: Path,
    task: Mapping[str, Any] | None = None,
    seed: int = 0,
    out: Path | None = None,
    trust: bool = False,
) -> list[Path]:
    """Film the student on one task, or on an easy and a hard one; return the files written.

    Without a task, and where the run kept policies, a second film of each shows the student at
    several times of its training, side by side.

    Args:
        folder: A run folder.
        task: By name; None takes an easy and a hard task of the test set.
        seed: Of the episodes.
        out: The file, for one task; None writes into the run's ``films/``.
        trust: Allow importing the modules that the run names.

    Raises:
        ValueError: If it is no run with environments, or has no checkpoint yet.
    """
    from currgym.report.film import film

    run = _filmable(folder, trust)
    session = run.load_session()
    written = []
    with closing(session), closing(_camera(run)) as env:
        if task is not None:
            default = env.get_wrapper_attr("default_task")
            chosen = {"task": task_by_name(session.space, task, default)}
        else:
            chosen = easy_and_hard(session)
        for name, where in chosen.items():
            path = out or Path(folder) / "films" / f"{name}.gif"
            path.parent.mkdir(parents=True, exist_ok=True)
            written.append(film(session.policy(), env, where, seed, path, title=f"{name} task"))
        if task is None and len(KeptPolicies(run.folder).steps()) > 1:
            for name, where in chosen.items():
                path = Path(folder) / "films" / f"{name}_over_time.gif"
                written.append(_over_time(run, session, env, where, seed, path))
    return written


def film_study(folder: Path, seed: int = 0, trust: bool = False) -> list[Path]:
    """Film the first student of each teacher on a hard task over its training; return the files.

    They go to the comparison's ``films/``, where its report finds them. Controls are left out.

    Raises:
        ValueError: If no run of the comparison has kept policies.
    """
    from currgym.report.files import read_json

    folder = Path(folder)
    document = read_json(folder / "study.json")
    written = []
    for arm in document["arms"]:
        if arm.get("reference"):
            continue
        if Path(arm["label"]).name != arm["label"]:
            raise ValueError(f"{folder / 'study.json'} is damaged: label {arm['label']!r}")
        places = [folder / place for place in document["runs"].get(arm["label"], [])]
        kept = [p for p in places if len(KeptPolicies(p).steps()) > 1]
        if not kept:
            continue
        run = _filmable(kept[0], trust)
        session = run.load_session()
        with closing(session), closing(_camera(run)) as env:
            path = folder / "films" / f"{arm['label']}_on_a_hard_task.gif"
            hard = easy_and_hard(session)["hard"]
            written.append(_over_time(run, session, env, hard, seed, path))
    if not written:
        raise ValueError(
            f"no run in {folder} has kept policies to film: run with --keep-policies, or film one "
            "run as it is now (currgym film RUN)"
        )
    return written


def _filmable(folder: Path, trust: bool) -> Run:
    # Frames are arrays: no window, and no word about a missing display.
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    run = Run.open(folder, trust)
    if run.config.kind != "rl":
        raise ValueError(f"{folder} has no environment: there is nothing to film")
    return run


def _camera(run: Run) -> gymnasium.Env[Any, Any]:
    import gymnasium

    return gymnasium.make(
        environment_id(run.config.env), render_mode="rgb_array", **run.config.env_parameters
    )


def _over_time(
    run: Run, session: Any, env: gymnasium.Env[Any, Any], task: Any, seed: int, path: Path
) -> Path:
    """Film one task with every policy that the run has kept, side by side."""
    from currgym.report.film import record, write_film
    from currgym.report.text import steps_text

    kept = KeptPolicies(run.folder)
    clips = []
    for step in kept.steps():
        state = kept.load(step)
        with reading(kept.folder / str(step), "does not fit this run"):
            session.load_policy_state(state)
        clip = record(session.policy(), env, task, seed=seed, max_frames=OVER_TIME_FRAMES)
        clips.append((f"after {steps_text(step)} steps" if step else "untrained", clip))
    return write_film(clips, path, width=OVER_TIME_WIDTH)


def easy_and_hard(session: Any) -> dict[str, Any]:
    """Return the test tasks at the 10 % and 85 % of declared difficulty (or the set's ends)."""
    tasks = session.test_set.tasks
    if session.space.difficulty is not None:
        order = np.argsort(session.space.difficulty_of(tasks), kind="stable")
        tasks = tasks[order]
    return {"easy": tasks[int(0.1 * len(tasks))], "hard": tasks[int(0.85 * (len(tasks) - 1))]}
