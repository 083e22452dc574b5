"""How much of its gain does a teacher lose when many environments run at once?

With ``w`` environments in lock-step a teacher draws ``w`` tasks before it hears of any of them. The
budget stays the same, so wide runs are steered by older news.

*Simulated students*: every teacher with 1, 4, 16, 64 and 256 environments (batches of that many
attempts; the student itself learns from each at once, so only the teacher waits), 5,000 attempts in
all, students of a population (``currgym.students.GridStudent``). *Endpoint*: per cent mastered at
the end, as per cent of what an oracle reaches with the same student. *Plan, before the runs*: seeds
0 to 29, each its own student, compared seed by seed; smallest effect of interest 10 points of the
oracle. First question: does the teacher master less with ``w`` environments than with 1? Holm over
all teachers that look at outcomes (the others lose nothing by construction) and widths; "supported"
says that it does, "equivalent" that any difference is smaller than 10 points. Second: is there
still a gain over ``random`` at this width? Holm over the teachers of one width. Every teacher has
its own defaults; nothing was tuned here.

*Reinforcement learning*: PPO on CartPole's physics in its native vector form, ``n_steps`` times the
number of environments constant, so that updates are as many and as large; three teachers against
``random``. *Endpoint*: share of the test set solved, averaged over the budget. *Plan*: seeds 0 to
7, smallest effect 5 points, Holm over the three teachers of one width; each width is a study, whose
plan is frozen before its runs.

    nice -n 10 python experiments/lag.py               # hours; goes on where it was interrupted
    python experiments/lag.py --part simulated         # or rl
    python experiments/lag.py --short --out DIR        # half a minute: illustration, no verdict
    python experiments/lag.py --table                  # only sums up what is there
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from currgym.runs import RunConfig
from currgym.statistics import Plan
from currgym.students.population import GridStudent
from currgym.studies import ArmValues, Study, conclude_panel, freeze, frozen_hash
from currgym.studies.arms import Arm
from currgym.studies.live import StudyBar
from currgym.studies.sweep import (
    ATTEMPTS,
    FLOOR,
    SEEDS,
    SMALLEST_EFFECT,
    Job,
    Row,
    against,
    arms,
    by_level,
    carry_out,
    code_of,
    heat_map,
    judged,
    learns,
    oracle,
    read,
    taught,
)
from currgym.studies.tables import rows as table_rows

RESULTS = Path(__file__).parent / "results"
STORE = Path("runs/lag")
CHALLENGE = "baseline"
WIDTHS = (1, 4, 16, 64, 256)
SHORT_WIDTHS = (1, 64)
SHORT_RL_WIDTHS = (64,)
SHORT_ARMS = ("random", "alp-gmm", "learning-progress")
SHORT_ATTEMPTS = 1_000

RL_ARMS = (FLOOR, "alp-gmm", "learning-progress", "plr")
RL_STEPS, RL_BATCH = 32_768, 2_048
RL_SEEDS = 8
RL_PLAN = Plan("area", FLOOR, RL_ARMS[1:], 0.05, RL_SEEDS, shape="share")


# Simulated students ------------------------------------------------------------------------------


def jobs(chosen: Iterable[str], widths: Iterable[int], seeds: Iterable[int]) -> Iterator[Job]:
    """Yield the jobs, seed by seed, so that what is there is always balanced."""
    chosen, widths = list(chosen), list(widths)
    for seed in seeds:
        for arm in chosen:
            for width in widths:
                yield Job("lag", arm, CHALLENGE, float(width), seed, code_of(arm))


def run(job: Job, attempts: int) -> Row:
    """Teach one student with as many environments as the job says."""
    student = GridStudent(job.challenge, seed=job.seed)
    best = oracle(job.challenge, job.seed, attempts)
    return taught(job, student, best, attempts, batch=int(job.level))


def sum_up(rows: Mapping[Job, Row], widths: Iterable[int], planned: bool) -> dict[str, Any]:
    """Return means by width, what each width costs, and the gains that are left."""
    values = by_level(rows, "lag", CHALLENGE, widths)
    first = values[1.0]
    steered = {arm for arm in first if learns(arm)}
    wider = {
        f"{arm} with {width:g}": (found, first[arm])
        for width, column in values.items()
        if width > 1.0
        for arm, found in column.items()
        if arm in steered
    }
    return {
        "attempts": ATTEMPTS, "challenge": CHALLENGE, "smallest_effect": SMALLEST_EFFECT,
        "seeds": len(next(iter(first.values()), ())),
        "mean": {
            f"{width:g}": {arm: round(float(v.mean()), 1) for arm, v in column.items() if len(v)}
            for width, column in values.items()
        },
        "by construction": sorted(set(first) - steered),
        "against 1 environment": judged(wider, "1 environment", planned, "lower"),
        f"against {FLOOR}": {
            f"{width:g}": judged(against(column, FLOOR), FLOOR, planned)
            for width, column in values.items()
        },
    }  # fmt: skip


# Reinforcement learning --------------------------------------------------------------------------


def study_of(folder: Path, width: int, short: bool) -> Study:
    """Return the study of one number of environments."""
    steps, batch = (512, 256) if short else (RL_STEPS, RL_BATCH)
    base = RunConfig(
        "currgym/CartPole-v0", FLOOR, "ppo", steps=steps, num_envs=width,
        evaluate_every=max(batch, steps // 8), test_tasks=4 if short else 25, test_seeds=1,
        keep_policies=0, student_parameters={"n_steps": batch // width},
    )  # fmt: skip
    labels = RL_ARMS[:2] if short else RL_ARMS
    plan = None if short else RL_PLAN
    chosen = [Arm(name, name) for name in labels]
    return Study.of(folder / str(width), base, chosen, range(1 if short else RL_SEEDS), plan)


def train(folder: Path, widths: Iterable[int], short: bool, workers: int) -> None:
    """Run what is missing of every width; plans are frozen first.

    Raises:
        SystemExit: If a run fails.
    """
    studies = [study_of(folder, width, short) for width in widths]
    for study in studies:
        study.create()
        if study.spec.plan is not None:
            freeze(study.spec)
    for study in studies:
        print(f"{study.spec.panels[0].base.num_envs} environments")
        with StudyBar(study) as bar:
            failed = study.run(workers, bar, engine="inline" if short else "pool")
        if failed:
            raise SystemExit("some runs failed:\n  " + "\n  ".join(failed))


def concluded(folder: Path, widths: Iterable[int], short: bool) -> dict[str, Any]:
    """Return what every width shows: one row an arm."""
    found: dict[str, Any] = {}
    for width in widths:
        study = study_of(folder, width, short)
        if not study.store.path.exists():
            continue
        stored = study.results()
        measured = [
            ArmValues(
                arm.label,
                {
                    cell.seed: area
                    for cell in study.cells
                    if cell.arm == arm.label and stored[cell.key].state == "done"
                    if (area := stored[cell.key].area) is not None
                },
                privileges=tuple(arm.privileges),
                teacher=arm.teacher,
            )
            for arm in study.spec.arms
        ]
        frozen = frozen_hash(study.spec) is not None
        panel = conclude_panel(
            measured, RL_PLAN.endpoint, "rl", study.spec.seeds, FLOOR, study.spec.plan, frozen
        )
        keep = ("arm", "seeds", "mean", "difference", "difference.low", "difference.high",
                "p.holm", "verdict")  # fmt: skip
        found[f"{width:g}"] = [
            {name: _plain(row[name]) for name in keep} for row in table_rows(str(width), panel)
        ]
    return found


def _plain(value: Any) -> Any:
    """Return a number that JSON can hold, None for NaN."""
    if isinstance(value, float):
        return None if value != value else round(value, 4)
    return value


# What is shown -----------------------------------------------------------------------------------


def readme_rows(document: dict[str, Any]) -> list[dict[str, str]]:
    """Return the README's rows: how many teachers lose at each width."""
    about = document["simulated"]
    found = []
    for width in about["mean"]:
        judgements = {
            label.removesuffix(f" with {width}"): one
            for label, one in about["against 1 environment"].items()
            if label.endswith(f" with {width}")
        }
        if not judgements:
            continue
        words = [one["verdict"] for one in judgements.values()]
        worst = min(judgements, key=lambda arm: judgements[arm]["difference"])
        found.append(
            {
                "what": f"simulated students, {width} environments instead of 1: teachers that "
                f"master less / no less (within {SMALLEST_EFFECT:.0f} points of the oracle), of "
                f"{len(words)}; the greatest loss ({about['seeds']} seeds)",
                "figure": f"{words.count('supported')} / {words.count('equivalent')}; `{worst}` "
                f"{judgements[worst]['difference']:+.0f}",
            }
        )
    return found


def show(document: dict[str, Any]) -> None:
    """Print both tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=120)
    about = document["simulated"]
    table = Table("teacher", *about["mean"])
    for arm in dict.fromkeys(arm for means in about["mean"].values() for arm in means):
        cells = []
        for width, means in about["mean"].items():
            lost = about["against 1 environment"].get(f"{arm} with {width}", {}).get("verdict")
            gain = about[f"against {FLOOR}"][width].get(arm, {}).get("verdict")
            signs = {"supported": "-", "equivalent": "="}.get(lost, "")
            signs += "+" if gain == "supported" else ""
            cells.append(f"{means[arm]:.0f}{signs}" if arm in means else "")
        table.add_row(arm, *cells)
    console.print(
        "per cent of the oracle by number of environments; - less than with 1, = no less, "
        "+ more than random"
    )
    console.print(table)
    console.print(f"by construction no less: {', '.join(about['by construction'])}")
    for width, rows in document["rl"].items():
        for row in rows:
            difference = row["difference"]
            text = "" if difference is None else f", {100 * difference:+.1f} points"
            mean = "-" if row["mean"] is None else f"{100 * row['mean']:.1f} %"
            line = f"PPO, {width} environments, {row['arm']}: {mean}{text}: {row['verdict']}"
            console.print(line)


def main() -> None:
    """Run what is missing, and sum up."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="tiny: illustration, no verdict")
    parser.add_argument("--table", action="store_true", help="run nothing, sum up")
    parser.add_argument("--part", choices=("simulated", "rl"), help="only this one")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--arm", action="append", help="only this one (may be repeated)")
    parser.add_argument("--store", type=Path, default=STORE, help="of the runs")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    options = parser.parse_args()
    short = options.short
    options.out.mkdir(parents=True, exist_ok=True)
    stem = options.out / ("lag-short" if short else "lag")
    path = stem.with_suffix(".csv")
    store = options.out / "lag-short-runs" if short else options.store
    widths = SHORT_WIDTHS if short else WIDTHS
    rl_widths = SHORT_RL_WIDTHS if short else WIDTHS
    fitting, refused = arms()
    chosen = options.arm or (SHORT_ARMS if short else fitting)
    if not options.table and options.part != "rl":
        todo = jobs(chosen, widths, range(2 if short else SEEDS))
        carry_out(todo, path, run, SHORT_ATTEMPTS if short else ATTEMPTS, options.jobs)
    if not options.table and options.part != "simulated":
        train(store, rl_widths, short, options.jobs)
    document: dict[str, Any] = {
        "simulated": {**sum_up(read(path), widths, not short), "does_not_apply": refused},
        "rl": concluded(store, rl_widths, short),
    }
    document["readme"] = readme_rows(document)
    stem.with_suffix(".json").write_text(json.dumps(document, indent=1))
    means = {f"{w} environments": means for w, means in document["simulated"]["mean"].items()}
    heat_map(means, "Simulated students: every teacher at its defaults", stem.with_suffix(".png"))
    show(document)
    if short:
        print("illustration, no verdict")


if __name__ == "__main__":
    main()
