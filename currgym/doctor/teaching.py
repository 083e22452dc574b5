"""Does what happens reach the teacher, and does the teacher move?"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import SyncVectorEnv
from numpy.typing import NDArray

from currgym.doctor.findings import Finding
from currgym.doctor.subject import Subject
from currgym.outcomes import Outcomes
from currgym.tasks import BoxTasks, TaskSpace
from currgym.teaching import Teacher, make_teacher
from currgym.vector import CurriculumVectorEnv

__all__ = ["outcomes_arrive", "teacher_moves"]

EPISODES = 6
STEPS = 4000
ATTEMPTS = 1500
BINS = 4
FEW_VALUES = 8


class _Spy:
    """A teacher that draws uniformly and keeps what it is told."""

    def __init__(self, space: TaskSpace) -> None:
        self._space, self._rng = space, np.random.default_rng(41)
        self.heard: list[Outcomes] = []

    def sample(self, n: int = 1) -> NDArray[Any]:
        return self._space.sample(n, self._rng)

    def update(self, outcomes: Outcomes) -> None:
        self.heard.append(outcomes)


def outcomes_arrive(subject: Subject) -> Finding | None:
    """Train-like stepping: two environments side by side, every episode reported once, raw."""
    tried = "stepped two of them side by side under a curriculum and recounted every episode"
    remedy = (
        "hand tasks and outcomes through currgym.CurriculumVectorEnv (or currgym.sb3.wrap) with "
        "nothing between it and the environment that resets, skips or rescales"
    )
    with subject.env() as env:
        space = subject.space(env)
        assert space is not None
    spy = _Spy(space)
    try:
        vec = CurriculumVectorEnv(SyncVectorEnv([subject.make, subject.make]), spy, seed=0)
    except (TypeError, ValueError, RuntimeError) as error:
        return Finding("outcomes", tried, f"{type(error).__name__}: {error}", remedy)
    counted: list[float] = []
    running, over = np.zeros(2), np.zeros(2, dtype=np.bool_)
    try:
        vec.reset()
        vec.action_space.seed(0)
        for _ in range(STEPS):
            _, rewards, terminated, truncated, _ = vec.step(vec.action_space.sample())
            # The step after an end is the reset's, and belongs to no episode.
            running = np.where(over, 0.0, running + rewards)
            over = np.asarray(terminated | truncated)
            counted += running[over].tolist()
            if len(counted) >= EPISODES:
                break
    except Exception as error:
        # Whatever comes out of somebody's environment is what was seen.
        return Finding("outcomes", tried, f"{type(error).__name__}: {error}", remedy)
    finally:
        vec.close()
    told = [float(r) for o in spy.heard if o.returns is not None for r in o.returns]
    if len(told) != len(counted) or not np.allclose(told, counted, rtol=1e-6, atol=1e-6):
        return Finding(
            "outcomes", tried,
            f"{len(counted)} episodes ended with returns {np.round(counted, 3).tolist()}, and the "
            f"teacher heard {np.round(told, 3).tolist()}",
            remedy,
        )  # fmt: skip
    return None


def teacher_moves(subject: Subject, teacher: str | type[Teacher]) -> Finding | None:
    """An adaptive teacher on planted outcomes changes what it proposes."""
    with subject.env() as env:
        space = subject.space(env)
        has = env.has_wrapper_attr("return_range")
        return_range = env.get_wrapper_attr("return_range") if has else None
    column = None if not isinstance(space, BoxTasks) else _fine_dimension(space)
    if column is None or not isinstance(space, BoxTasks):
        return None  # nowhere to be more often than elsewhere
    built = make_teacher(teacher, space, seed=0, return_range=return_range)
    if type(built)._update is Teacher._update or built.needs - _PLANTED:
        return None  # it does not look at outcomes, or at others than can be planted
    low, high = return_range or (0.0, 1.0)
    before = _shares(built, space, column)
    rng = np.random.default_rng(43)
    learnt = 0
    for _ in range(ATTEMPTS // 10):
        tasks = built.sample(10)
        inside = space.to_unit(tasks)[:, column] < 0.3
        learnt += int(inside.sum())
        share = np.where(inside, min(1.0, learnt / (0.3 * ATTEMPTS)), 0.0)
        noisy = np.clip(share + rng.normal(0.0, 0.02, 10), 0.0, 1.0)
        built.update(
            Outcomes(
                tasks, low + noisy * (high - low), lengths=np.full(10, 100),
                successes=(noisy > 0.5).astype(np.float64),
            )
        )  # fmt: skip
    moved = 0.5 * float(np.abs(_shares(built, space, column) - before).sum())
    untouched = make_teacher(teacher, space, seed=1, return_range=return_range)
    noise = 0.5 * float(np.abs(_shares(untouched, space, column) - before).sum())
    if moved > 3.0 * noise and moved > 0.1:
        return None
    return Finding(
        "teacher-moves",
        f"told {built!r} of {ATTEMPTS:,} planted attempts: progress at low "
        f"{_live_names(space)[column]}, none elsewhere",
        f"what it proposes moved by {moved:.0%} (chance alone: {noise:.0%})",
        "look whether its update is reached and keeps what it hears, and whether return_range is "
        "that of raw returns; a teacher that needs more attempts than these to move is slow here",
    )


_PLANTED = frozenset({"returns", "successes", "lengths", "ids"})


def _live_names(space: BoxTasks) -> list[str]:
    """Return the names of the cube's columns."""
    live = space.low < space.high
    return [name for name, lives in zip(space.names, live.tolist(), strict=True) if lives]


def _fine_dimension(space: BoxTasks) -> int | None:
    """Return the cube's first column that takes more than a few values, or None."""
    for column, name in enumerate(_live_names(space)):
        index = space.names.index(name)
        whole = not isinstance(space.kinds[index], str) or space.kinds[index] == "integer"
        if not whole or space.high[index] - space.low[index] >= FEW_VALUES:
            return column
    return None


def _shares(teacher: Teacher, space: TaskSpace, column: int) -> NDArray[np.float64]:
    """Return how proposals are spread over a column of the cube."""
    unit = space.to_unit(teacher.preview(2000, np.random.default_rng(47)))[:, column]
    counts, _ = np.histogram(unit, bins=BINS, range=(0.0, 1.0))
    return np.asarray(counts / counts.sum())
