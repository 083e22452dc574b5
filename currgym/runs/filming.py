"""Films of a run's student, from its newest checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from currgym.runs.config import environment_id
from currgym.runs.run import Run

__all__ = ["easy_and_hard", "film_run"]


def film_run(
    folder: Path,
    task: Mapping[str, Any] | None = None,
    seed: int = 0,
    out: Path | None = None,
    trust: bool = False,
) -> list[Path]:
    """Film the student on one task, or on an easy and a hard one; return the files written.

    Raises:
        ValueError: If it is no run with environments, or has no checkpoint yet.
    """
    # Frames are arrays: no window, and no word about a missing display.
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    import gymnasium

    from currgym.report.film import film

    run = Run.open(folder, trust)
    if run.config.kind != "rl":
        raise ValueError(f"{folder} learns from examples: there is nothing to film")
    session = run.load_session()
    env = gymnasium.make(
        environment_id(run.config.env), render_mode="rgb_array", **run.config.env_parameters
    )
    if task is not None:
        default = env.get_wrapper_attr("default_task")
        chosen = {"task": session.space.from_dict(task, default)}  # type: ignore[attr-defined]
    else:
        chosen = easy_and_hard(session)
    written = []
    for name, where in chosen.items():
        path = out or Path(folder) / "films" / f"{name}.gif"
        path.parent.mkdir(parents=True, exist_ok=True)
        written.append(film(session.policy(), env, where, seed, path, title=f"{name} task"))
    env.close()
    session.close()
    return written


def easy_and_hard(session: Any) -> dict[str, Any]:
    """Return the test tasks at the 10 % and 85 % of declared difficulty (or the set's ends)."""
    tasks = session.test_set.tasks
    if session.space.difficulty is not None:
        order = np.argsort(session.space.difficulty_of(tasks), kind="stable")
        tasks = tasks[order]
    return {"easy": tasks[int(0.1 * len(tasks))], "hard": tasks[int(0.85 * (len(tasks) - 1))]}
