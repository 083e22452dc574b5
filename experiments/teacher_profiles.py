"""Every teacher on every simulated challenge: where does each earn its keep?

Simulated students of a population (``currgym.students.GridStudent``: start cell, orientation,
speed and unlearnable share differ from student to student) under eleven challenges: TeachMyAgent's
five (mostly unfeasible, mostly trivial, a forgetting student, rugged, a variety of students), and
useless dimensions, noisy returns, decay, negative transfer, and a plateau before a jump.

*Endpoint*: per cent mastered after 5,000 attempts in batches of 10 (probes counted), as per cent of
what an oracle that looks into the same student reaches. *Baseline*: ``learning-progress`` on
returns and 10 bins a side (7 and 13 beside it; ``:success`` is its default), since a plain binned
bandit masters nearly all of the noise-free cube; a second set of contrasts is against ``random``.
*Plan, before the runs*: seeds 0 to 29, each its own student, compared seed by seed; smallest effect
of interest 10 points of the oracle; Holm over the teachers of one challenge and one baseline. A
teacher *fails* a challenge if it is shown to be no better than ``random`` there (equivalent or
below). Every teacher has its own defaults; nothing was tuned here. Teachers that need what these
tasks do not have (a declared difficulty, a log) are listed with the reason. A teacher that is told
more than the others (its privileges) is marked.

*Reference*: CubeStudent(10, 2), 20,000 attempts, batch 1, against the original code's means over
eight seeds (Covar-GMM 69 %, RIAC 48 %, ALP-GMM 37 %): supported if the lower end of the 95 %
interval over 30 seeds lies above that mean less 3 points.

*Axes*: return noise (0 to .2) and feedback delay (0 to 1,024 attempts) for six teachers on the
baseline challenge, as illustrations.

    nice -n 10 python experiments/teacher_profiles.py    # hours; goes on where it was interrupted
    python experiments/teacher_profiles.py --short       # two minutes: illustration, no verdict
    python experiments/teacher_profiles.py --table       # only sums up the rows that are there
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import astuple, dataclass, fields
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np

from currgym import make_teacher
from currgym.statistics import Plan, conclude, conclude_bar, contrasts, t_interval
from currgym.students.population import CHALLENGES, GridStudent, oracle_score
from currgym.students.simulated import CubeStudent, teach
from currgym.studies.cells import source_fingerprint
from currgym.teaching import teachers

RESULTS = Path(__file__).parent / "results"
ATTEMPTS, BATCH, SEEDS = 5_000, 10, 30
CUBE_ATTEMPTS = 20_000
SMALLEST_EFFECT = 10.0
BASELINE, FLOOR = "learning-progress", "random"
ORIGINAL = {"covar-gmm": 69.0, "riac": 48.0, "alp-gmm": 37.0}
MARGIN = 3.0
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "learning-progress": ("learning-progress", {"bins": 10, "measure": "return"}),
    "learning-progress:7": ("learning-progress", {"bins": 7, "measure": "return"}),
    "learning-progress:13": ("learning-progress", {"bins": 13, "measure": "return"}),
    "learning-progress:success": ("learning-progress", {}),
    "alp-gmm:recent": ("alp-gmm", {"preset": "recent"}),
}
"""Arms beside the registered names at their defaults."""
ON_AXES = ("random", "alp-gmm", "covar-gmm", "riac", "learning-progress", "plr")
NOISE, DELAYS = (0.0, 0.05, 0.1, 0.2), (0, 16, 64, 256, 1024)
CUBE_ROWS = (
    "random",
    *ORIGINAL,
    "learning-progress",
    "learning-progress:7",
    "learning-progress:13",
)
SHORT_ARMS = ("random", "alp-gmm", "learning-progress")


@dataclass(frozen=True)
class Job:
    """One student under one teacher.

    Attributes:
        part: ``"profile"``, ``"noise"``, ``"delay"`` or ``"cube"``.
        arm: Label.
        challenge: Of the student.
        level: Noise, or delay in attempts; 0 elsewhere.
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
    """What came of a job."""

    score: float
    oracle: float
    microseconds: float


def settings(arm: str) -> tuple[str, dict[str, Any]]:
    """Return (teacher, parameters) of an arm."""
    return VARIANTS.get(arm, (arm, {}))


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
    name, parameters = settings(arm)
    student = GridStudent()
    try:
        teacher = make_teacher(name, student.task_space, seed=0, return_range=(0, 1), **parameters)
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


def jobs(fitting: Iterable[str], seeds: Iterable[int], short: bool) -> Iterator[Job]:
    """Yield the jobs, seed by seed, so that what is there is always balanced."""
    fitting = list(fitting)
    for seed in seeds:
        for arm in fitting:
            for challenge in CHALLENGES:
                yield Job("profile", arm, challenge, 0.0, seed, code_of(arm))
        if short:
            continue
        for arm in fitting:
            if arm in ON_AXES:
                for noise in NOISE:
                    yield Job("noise", arm, "baseline", noise, seed, code_of(arm))
                for delay in DELAYS:
                    yield Job("delay", arm, "baseline", float(delay), seed, code_of(arm))
            if arm in CUBE_ROWS:
                yield Job("cube", arm, "cube", 0.0, seed, code_of(arm))


@cache
def _oracle(challenge: str, seed: int, attempts: int) -> float:
    return oracle_score(GridStudent(challenge, seed=seed), attempts, BATCH)


def run(job: Job, attempts: int) -> Row:
    """Teach one student."""
    name, parameters = settings(job.arm)
    student: Any
    batch, delay = BATCH, 0
    if job.part == "cube":
        student, oracle, batch, attempts = (
            CubeStudent(10, 2, seed=job.seed),
            100.0,
            1,
            CUBE_ATTEMPTS,
        )
    else:
        noise = job.level if job.part == "noise" else None
        delay = int(job.level) if job.part == "delay" else 0
        student = GridStudent(job.challenge, seed=job.seed, noise=noise)
        oracle = _oracle(job.challenge, job.seed, attempts)
    teacher = make_teacher(
        name, student.task_space, seed=job.seed, return_range=(0, 1), **parameters
    )
    start = time.process_time()
    curve = teach(
        student, teacher, attempts, batch=batch, delay=delay, every=attempts, seed=job.seed
    )
    return Row(curve.final, oracle, (time.process_time() - start) / attempts * 1e6)


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


def carry_out(todo: list[Job], path: Path, attempts: int, workers: int) -> None:
    """Run what is missing, writing each row as it comes."""
    from rich.progress import Progress, TimeRemainingColumn

    new = not path.exists()
    with (
        path.open("a", newline="") as file,
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
        Progress(*Progress.get_default_columns(), TimeRemainingColumn()) as progress,
    ):
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(HEADER)
        bar = progress.add_task("students", total=len(todo))
        waiting: dict[Future[Row], Job] = {}
        queue = iter(todo)
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


Shares = dict[str, np.ndarray]


def shares(rows: dict[Job, Row], part: str, challenge: str, level: float = 0.0) -> Shares:
    """Return per cent of the oracle by arm, in the order of seeds that every arm has."""
    found: dict[str, dict[int, float]] = {}
    for job, row in rows.items():
        if (job.part, job.challenge, job.level) == (part, challenge, level) and (
            job.code == code_of(job.arm)
        ):
            share = 100.0 * row.score / row.oracle if row.oracle else 0.0
            found.setdefault(job.arm, {})[job.seed] = share
    common = set.intersection(*map(set, found.values())) if found else set()
    return {arm: np.array([by[s] for s in sorted(common)]) for arm, by in found.items()}


def judged(values: Shares, baseline: str, planned: bool) -> dict[str, dict[str, Any]]:
    """Return each arm's difference from a baseline, with its verdict."""
    others = tuple(arm for arm in values if arm != baseline)
    if baseline not in values or not others or len(values[baseline]) < 2:
        return {}
    plan = Plan("per cent of the oracle", baseline, others, SMALLEST_EFFECT, SEEDS)
    paired = plan.paired("simulated")
    found = contrasts(values, baseline, np.random.default_rng(0), paired=paired)
    return {
        arm: {
            "difference": round(c.difference.estimate, 2),
            "low": round(c.difference.low, 2),
            "high": round(c.difference.high, 2),
            "p": c.adjusted_p,
            "verdict": conclude(
                plan, "simulated", len(values[arm]), c.difference, planned, c.adjusted_p
            ).word,
        }
        for arm, c in found.items()
    }


def sum_up(rows: dict[Job, Row], refused: dict[str, str], planned: bool) -> dict[str, Any]:
    """Return the document: shares, verdicts, costs, failures."""
    document: dict[str, Any] = {
        "attempts": ATTEMPTS, "batch": BATCH, "smallest_effect": SMALLEST_EFFECT,
        "does_not_apply": refused, "challenges": {}, "axes": {}, "cube": {},
    }  # fmt: skip
    for challenge in CHALLENGES:
        values = shares(rows, "profile", challenge)
        document["challenges"][challenge] = {
            "seeds": len(next(iter(values.values()), ())),
            "mean": {arm: round(float(v.mean()), 1) for arm, v in values.items() if len(v)},
            "sd": {arm: round(float(v.std(ddof=1)), 1) for arm, v in values.items() if len(v) > 1},
            f"against {BASELINE}": judged(values, BASELINE, planned),
            f"against {FLOOR}": judged(values, FLOOR, planned),
        }
    for part, levels in (("noise", NOISE), ("delay", DELAYS)):
        document["axes"][part] = {
            str(level): {
                arm: round(float(v.mean()), 1)
                for arm, v in shares(rows, part, "baseline", float(level)).items()
                if len(v)
            }
            for level in levels
        }
    for arm, mastered in shares(rows, "cube", "cube").items():
        if len(mastered) < 2:
            continue
        mean = t_interval(mastered)
        document["cube"][arm] = {"mean": mean.estimate, "low": mean.low, "high": mean.high}
        if arm in ORIGINAL:
            bar = ORIGINAL[arm] - MARGIN
            document["cube"][arm] |= {
                "original": ORIGINAL[arm],
                "verdict": conclude_bar(mean, bar, "simulated", len(mastered), planned).word,
            }
    costs: dict[str, list[float]] = {}
    for job, row in rows.items():
        if job.part == "profile" and job.challenge == "baseline":
            costs.setdefault(job.arm, []).append(row.microseconds)
    document["microseconds_an_attempt"] = {a: round(float(np.median(c))) for a, c in costs.items()}
    document["privileges"] = {arm: sorted(told) for arm in costs if (told := _privileges(arm))}
    document["fails"] = {
        challenge: [
            arm
            for arm, found in about[f"against {FLOOR}"].items()
            if found["verdict"] in ("equivalent", "contradicted")
        ]
        for challenge, about in document["challenges"].items()
    }
    return document


def _privileges(arm: str) -> frozenset[str]:
    name, parameters = settings(arm)
    return make_teacher(name, GridStudent().task_space, seed=0, **parameters).privileges


def readme_rows(document: dict[str, Any]) -> list[dict[str, str]]:
    """Return the README's rows: the reference, and who leads where."""
    found = []
    for arm, about in document["cube"].items():
        if "original" in about:
            found.append(
                {
                    "what": f"CubeStudent(10, 2), 20,000 attempts, {arm} at its defaults (the "
                    f"original code: mean {about['original']:.0f} %)",
                    "figure": f"{about['mean']:.1f} % [{about['low']:.1f}, {about['high']:.1f}]: "
                    f"{about['verdict']}",
                }
            )
    for challenge, about in document["challenges"].items():
        means = about["mean"]
        if not means:
            continue
        best = max(means, key=means.__getitem__)
        found.append(
            {
                "what": f"simulated students, {challenge}: per cent of the oracle, best teacher, "
                f"`{BASELINE}`, `{FLOOR}` ({about['seeds']} seeds)",
                "figure": f"`{best}` {means[best]:.0f}, {means.get(BASELINE, float('nan')):.0f}, "
                f"{means.get(FLOOR, float('nan')):.0f}",
            }
        )
    return found


def show(document: dict[str, Any]) -> None:
    """Print the table: teachers by challenges, per cent of the oracle."""
    from rich.console import Console
    from rich.table import Table

    challenges = document["challenges"]
    table = Table("teacher", *challenges, title="per cent of the oracle; + and - against learning-"
                  "progress, ! no better than random")  # fmt: skip
    labels = dict.fromkeys(arm for about in challenges.values() for arm in about["mean"])
    signs = {"supported": "+", "contradicted": "-", "equivalent": "="}
    for arm in labels:
        cells = []
        for challenge, about in challenges.items():
            verdict = about[f"against {BASELINE}"].get(arm, {}).get("verdict", "")
            fails = "!" if arm in document["fails"][challenge] else ""
            cells.append(
                f"{about['mean'].get(arm, float('nan')):.0f}{signs.get(verdict, '')}{fails}"
            )
        told = "*" if arm in document["privileges"] else ""
        table.add_row(arm + told, *cells)
    console = Console(width=200)
    console.print(table)
    for arm, about in document["cube"].items():
        ends = f"[{about['low']:.1f}, {about['high']:.1f}]"
        console.print(f"cube, {arm}: {about['mean']:.1f} % {ends} {about.get('verdict', '')}")
    for part, levels in document["axes"].items():
        for level, means in levels.items():
            console.print(f"{part} {level}: {means}")
    for arm, why in document["does_not_apply"].items():
        console.print(f"does not apply: {arm} ({why})")


def draw(document: dict[str, Any], path: Path) -> None:
    """Draw the table as a heat map."""
    import matplotlib.pyplot as plt

    challenges = document["challenges"]
    labels = list(dict.fromkeys(arm for about in challenges.values() for arm in about["mean"]))
    if not labels:
        return
    grid = np.array([[about["mean"].get(arm, np.nan) for about in challenges.values()]
                     for arm in labels])  # fmt: skip
    order = np.argsort(-np.nanmean(grid, axis=1), kind="stable")
    figure, axes = plt.subplots(figsize=(9.0, 1.6 + 0.28 * len(labels)), layout="constrained")
    image = axes.imshow(grid[order], cmap="viridis", vmin=0.0, vmax=100.0, aspect="auto")
    axes.set_xticks(range(len(challenges)), list(challenges), rotation=35, ha="right")
    axes.set_yticks(range(len(labels)), [labels[i] for i in order])
    for i, row in enumerate(grid[order]):
        for j, value in enumerate(row):
            if np.isfinite(value):
                colour = "black" if value > 55.0 else "white"
                axes.text(j, i, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=7)
    figure.colorbar(image, ax=axes, label="per cent of the oracle")
    axes.set_title("Simulated students: every teacher at its defaults", loc="left")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    """Run what is missing, and sum up."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="3 teachers, 2 seeds: no verdict")
    parser.add_argument("--table", action="store_true", help="run nothing, sum up")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--arm", action="append", help="only this one (may be repeated)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    stem = options.out / ("teacher_profiles-short" if options.short else "teacher_profiles")
    fitting, refused = arms()
    if options.short:
        fitting = [arm for arm in fitting if arm in SHORT_ARMS]
    chosen = options.arm or fitting
    attempts = 1_000 if options.short else ATTEMPTS
    path = stem.with_suffix(".csv")
    seeds = range(2 if options.short else SEEDS)
    known = read(path)
    todo = [job for job in jobs(chosen, seeds, options.short) if job not in known]
    if todo and not options.table:
        if path.exists():
            prune(path)
        carry_out(todo, path, attempts, options.jobs)
    document = sum_up(read(path), refused, planned=not options.short)
    document["readme"] = readme_rows(document)
    stem.with_suffix(".json").write_text(json.dumps(document, indent=1))
    draw(document, stem.with_suffix(".png"))
    show(document)


if __name__ == "__main__":
    main()
