"""Sweeps of teachers over simulated students: arms, jobs, rows that a later call goes on from.

A row is one student of ``currgym.students.GridStudent``'s population (or the cube) under one
teacher. It carries a hash of the source that made it, so that changed code never passes for the
old. Students are compared seed by seed, on the per cent of what an oracle reaches.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import astuple, dataclass, fields
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from currgym import make_teacher
from currgym.statistics import Plan, conclude
from currgym.statistics.contrasts import contrasts_of
from currgym.students.population import GridStudent, oracle_score
from currgym.students.simulated import teach
from currgym.studies.cells import source_fingerprint
from currgym.teaching import Teacher, teachers

__all__ = [
    "ATTEMPTS", "FLOOR", "SEEDS", "SMALLEST_EFFECT", "VARIANTS", "Direction", "Job", "Row",
    "against", "arms", "by_level", "carry_out", "code_of", "heat_map", "judged", "learns", "oracle",
    "privileges", "read", "shares", "taught",
]  # fmt: skip

FloatArray = NDArray[np.float64]
Shares = dict[str, FloatArray]
Direction = Literal["higher", "lower"]

ATTEMPTS, SEEDS = 5_000, 30
ORACLE_BATCH = 10
SMALLEST_EFFECT = 10.0
"""Points of the oracle."""
FLOOR = "random"
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "learning-progress": ("learning-progress", {"bins": 10, "measure": "return"}),
    "learning-progress:7": ("learning-progress", {"bins": 7, "measure": "return"}),
    "learning-progress:13": ("learning-progress", {"bins": 13, "measure": "return"}),
    "learning-progress:success": ("learning-progress", {}),
    "alp-gmm:recent": ("alp-gmm", {"preset": "recent"}),
}
"""Arms beside the registered names at their defaults."""


# Arms --------------------------------------------------------------------------------------------


def settings(arm: str) -> tuple[str, dict[str, Any]]:
    """Return (teacher, parameters) of an arm."""
    return VARIANTS.get(arm, (arm, {}))


def teacher_of(arm: str, student: Any, seed: int = 0) -> Teacher:
    """Build an arm's teacher for a student."""
    name, parameters = settings(arm)
    return make_teacher(name, student.task_space, seed=seed, return_range=(0, 1), **parameters)


@cache
def code_of(arm: str) -> str:
    """Return a hash of the source that decides an arm's rows."""
    name = settings(arm)[0]
    if name not in teachers:
        return ""  # rows of a teacher that is no more
    module = teachers[name].__module__
    homes = ("currgym.students.population", "currgym.students.simulated")
    return source_fingerprint(module, *homes)[:12]


def refusal(arm: str) -> str | None:
    """Return why an arm cannot teach these students, or None."""
    student = GridStudent()
    try:
        teacher = teacher_of(arm, student)
        lacking = teacher.needs - student.provides - {"successes", "returns", "probe", "seeds"}
        if lacking or teacher.required:
            return f"needs {', '.join(sorted(lacking | teacher.required))}"
    except (ValueError, TypeError) as error:
        return str(error).partition(":")[0]
    return None


def arms() -> tuple[list[str], dict[str, str]]:
    """Return the arms that fit, and why the others do not."""
    labels = dict.fromkeys([*teachers, *VARIANTS])
    refused = {arm: why for arm in labels if (why := refusal(arm)) is not None}
    return [arm for arm in labels if arm not in refused], refused


def learns(arm: str) -> bool:
    """Tell whether an arm's teacher looks at outcomes at all."""
    return type(teacher_of(arm, GridStudent()))._update is not Teacher._update


def privileges(arm: str) -> frozenset[str]:
    """Return what an arm is told beyond outcomes."""
    return teacher_of(arm, GridStudent()).privileges


@cache
def oracle(challenge: str, seed: int, attempts: int) -> float:
    """Return what an oracle that looks into the same student reaches, in per cent mastered."""
    return oracle_score(GridStudent(challenge, seed=seed), attempts, ORACLE_BATCH)


# Rows --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One student under one teacher.

    Attributes:
        part: Of the experiment.
        arm: Label.
        challenge: Of the student.
        level: On the axis of the part (noise, delay, environments); 0 where it has none.
        seed: Of student, teacher and curriculum.
        code: Hash of the source of teacher and student.
    """

    part: str
    arm: str
    challenge: str
    level: float
    seed: int
    code: str


@dataclass(frozen=True)
class Row:
    """What came of a job.

    Attributes:
        score: Per cent mastered at the end.
        oracle: Of the oracle, likewise.
        microseconds: Of CPU an attempt, student and loop included.
    """

    score: float
    oracle: float
    microseconds: float


def taught(
    job: Job, student: Any, best: float, attempts: int, *, batch: int, delay: int = 0
) -> Row:
    """Teach one student, who is the job's, as ``currgym.students.teach`` does.

    Args:
        job: What to run.
        student: Untaught.
        best: Score of the oracle.
        attempts: In all.
        batch: Tasks drawn and reported together.
        delay: Attempts after which an outcome reaches the teacher.
    """
    teacher = teacher_of(job.arm, student, job.seed)
    start = time.process_time()
    curve = teach(
        student, teacher, attempts, batch=batch, delay=delay, every=attempts, seed=job.seed
    )
    return Row(curve.final, best, (time.process_time() - start) / attempts * 1e6)


HEADER = [f.name for f in (*fields(Job), *fields(Row))]


def read(path: Path) -> dict[Job, Row]:
    """Return the rows that are there."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {
            Job(r["part"], r["arm"], r["challenge"], float(r["level"]), int(r["seed"]), r["code"]):
            Row(float(r["score"]), float(r["oracle"]), float(r["microseconds"]))
            for r in csv.DictReader(file)
            if r["microseconds"]
        }  # fmt: skip


def prune(path: Path) -> None:
    """Drop rows made by code that has changed since."""
    kept = {job: row for job, row in read(path).items() if job.code == code_of(job.arm)}
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows((*astuple(job), *astuple(row)) for job, row in kept.items())


def carry_out(
    todo: Iterable[Job], path: Path, run: Callable[[Job, int], Row], attempts: int, workers: int
) -> None:
    """Run what is missing, writing each row as it comes.

    Args:
        todo: What to run; what is in the file already is left out.
        path: CSV file of the rows, made or gone on with.
        run: A function of a module, called as ``run(job, attempts)`` in another process.
        attempts: Of each student.
        workers: Processes.
    """
    from rich.progress import Progress, TimeRemainingColumn

    known = read(path)
    missing = [job for job in todo if job not in known]
    if not missing:
        return
    if path.exists():
        prune(path)
    new = not path.exists()
    with (
        path.open("a", newline="") as file,
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
        Progress(*Progress.get_default_columns(), TimeRemainingColumn()) as progress,
    ):
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(HEADER)
        bar = progress.add_task("students", total=len(missing))
        waiting: dict[Future[Row], Job] = {}
        queue = iter(missing)
        while True:
            while len(waiting) < 4 * workers and (job := next(queue, None)) is not None:
                waiting[pool.submit(run, job, attempts)] = job
            if not waiting:
                break
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                job, row = waiting.pop(future), future.result()
                numbers = (row.score, row.oracle, round(row.microseconds, 1))
                writer.writerow([*astuple(job), *(round(x, 4) for x in numbers)])
                progress.advance(bar)
            file.flush()


# What they say -----------------------------------------------------------------------------------


def by_level(
    rows: Mapping[Job, Row], part: str, challenge: str, levels: Iterable[float]
) -> dict[float, Shares]:
    """Return per cent of the oracle by level and arm, in the order of seeds that all of them have.

    Args:
        rows: As they were read; those of code that has changed are passed over.
        part: Of the experiment.
        challenge: Of the students.
        levels: On the axis of the part; those without rows are left empty.
    """
    found: dict[float, dict[str, dict[int, float]]] = {float(level): {} for level in levels}
    for job, row in rows.items():
        if (job.part, job.challenge) != (part, challenge) or job.level not in found:
            continue
        if job.code == code_of(job.arm):
            share = 100.0 * row.score / row.oracle if row.oracle else 0.0
            found[job.level].setdefault(job.arm, {})[job.seed] = share
    seeds = [set(values) for arms in found.values() for values in arms.values()]
    common = sorted(set.intersection(*seeds)) if seeds else []
    return {
        level: {arm: np.array([by[s] for s in common]) for arm, by in arms.items()}
        for level, arms in found.items()
    }


def shares(rows: Mapping[Job, Row], part: str, challenge: str, level: float = 0.0) -> Shares:
    """Return the same of one level: arm -> per cent of the oracle, in the order of its seeds."""
    return by_level(rows, part, challenge, [level])[level]


def against(values: Shares, baseline: str) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Return every other arm's values with the baseline's; none where the baseline is not there."""
    if baseline not in values:
        return {}
    return {arm: (found, values[baseline]) for arm, found in values.items() if arm != baseline}


def judged(
    pairs: Mapping[str, tuple[FloatArray, FloatArray]],
    baseline: str,
    planned: bool,
    direction: Direction = "higher",
) -> dict[str, dict[str, Any]]:
    """Return each difference with its verdict, corrected by Holm over all of the pairs.

    Args:
        pairs: Label -> values and those of its baseline, at the same seeds.
        baseline: What these are.
        planned: Whether the plan's seeds were run as they stand there.
        direction: What the claim says a difference is.
    """
    if not pairs or min(len(values) for values, _ in pairs.values()) < 2:
        return {}
    plan = Plan(
        "per cent of the oracle", baseline, tuple(pairs), SMALLEST_EFFECT, SEEDS,
        direction=direction,
    )  # fmt: skip
    paired = plan.paired("simulated")
    found = contrasts_of(pairs, np.random.default_rng(0), paired=paired)
    return {
        label: {
            "difference": round(c.difference.estimate, 2),
            "low": round(c.difference.low, 2),
            "high": round(c.difference.high, 2),
            "p": c.adjusted_p,
            "verdict": conclude(
                plan, "simulated", len(pairs[label][0]), c.difference, planned, c.adjusted_p
            ).word,
        }
        for label, c in found.items()
    }


def heat_map(columns: Mapping[str, Mapping[str, float]], title: str, path: Path) -> None:
    """Draw means as a table of colours, the arm that is best over all columns first.

    Args:
        columns: Column -> arm -> mean per cent of the oracle.
        title: Above the table.
        path: PNG file.
    """
    import matplotlib.pyplot as plt

    labels = list(dict.fromkeys(arm for means in columns.values() for arm in means))
    if not labels:
        return
    grid = np.array([[means.get(arm, np.nan) for means in columns.values()] for arm in labels])
    order = np.argsort(-np.nanmean(grid, axis=1), kind="stable")
    figure, axes = plt.subplots(figsize=(9.0, 1.6 + 0.28 * len(labels)), layout="constrained")
    image = axes.imshow(grid[order], cmap="viridis", vmin=0.0, vmax=100.0, aspect="auto")
    axes.set_xticks(range(len(columns)), list(columns), rotation=35, ha="right")
    axes.set_yticks(range(len(labels)), [labels[i] for i in order])
    for i, row in enumerate(grid[order]):
        for j, value in enumerate(row):
            if np.isfinite(value):
                colour = "black" if value > 55.0 else "white"
                axes.text(j, i, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=7)
    figure.colorbar(image, ax=axes, label="per cent of the oracle")
    axes.set_title(title, loc="left")
    figure.savefig(path, dpi=130)
    plt.close(figure)
