"""Do regret proxies know the regret? Levels of Grid Maze, partly trained students, no teacher.

Teachers that replay levels rank them by proxies of regret. The maze has an exact solver, so the
true regret of the student on a level is known: the greatest possible return less its own mean.
*Question:* how do the proxies rank levels, beside true regret, and beside learnability p(1-p)?

*Method:* PPO on uniform levels (``random``; settings and size of ``experiments/maze.py``), after an
eighth, a quarter and half of the budget there, so partly trained; 500 levels as the space samples
them, unsolvable ones included, the same for all. Each student attempts each level 24 times as it
explores in training and learns nothing. A proxy comes from 1 attempt, as the teachers measure it
(learnability and MaxMC's best return from 4, as SFL does); regret, learnability and success from 20
others, so that no luck is shared. Spearman's correlation over the levels of each student; a proxy
that is the same for all levels ranks nothing and has 0.

*Plan, before the runs:* seeds 100 to 109; a seed's number is the mean over its three checkpoints.
A proxy *knows* its target where the whole interval of the mean over seeds lies above 0.5, and does
not (contradicted) where it lies below; t intervals, widened so that all ten (five proxies, regret
and learnability) hold at once with 95 %. All else is description: each checkpoint, every proxy from
4 attempts, solvable levels alone, and correlation with the success rate. (Learnability beside
learnability says how well 4 attempts repeat, no more.) The claim tried is that of
Rutherford et al. 2024, "No Regrets" (https://arxiv.org/abs/2408.15099): value losses and MaxMC
follow the success rate rather than regret or learnability; conceptual: other mazes, student, scale.

    nice -n 5 python experiments/regrets.py            # goes on where it was interrupted
    python experiments/regrets.py --short --out DIR    # half a minute: illustration, no verdict
"""

from __future__ import annotations

import argparse
import json
import os
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from currgym.runs import Run, RunConfig
from currgym.runs.attempts import explore
from currgym.runs.config import cpu, package_versions
from currgym.runs.rl import Surroundings
from currgym.runs.seeding import seed_for
from currgym.statistics import Interval, conclude_bar, t_interval
from currgym.studies import Arm, Study, StudySpec
from currgym.studies.live import StudyBar

HERE = Path(__file__).parent
RESULTS = HERE / "results"
STUDY = HERE / "maze" / "levels.toml"
FloatArray = NDArray[np.float64]

PROXIES = ("pvl", "maxmc", "td", "abs_advantage", "learnability")
TARGETS = ("regret", "learnability", "success")
PLANNED = ("regret", "learnability")
KNOWS = 0.5
CRITIC = frozenset({"pvl", "maxmc", "td", "abs_advantage"})
FEW = 4
"""Attempts that the learnability proxy is measured with."""


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        base: Of the runs.
        seeds: Of the runs.
        shares: Of the budget, at which students are looked at.
        levels: How many.
        attempts: On each, for the targets.
        decides: Whether it is the planned form.
    """

    base: RunConfig
    seeds: tuple[int, ...]
    shares: tuple[float, ...] = (0.25, 0.5, 1.0)
    levels: int = 500
    attempts: int = 20
    decides: bool = True


def plan_of(short: bool, first: int) -> Plan:
    """Return the planned form, or the short one."""
    base = replace(StudySpec.read(STUDY).panels[0].base, teacher="random", keep_policies=0)
    if short:
        small = {**base.student_parameters, "n_steps": 16, "batch_size": 128}
        base = replace(base, steps=2048, evaluate_every=2048, student_parameters=small)
        return Plan(base, (first, first + 1), (0.5, 1.0), levels=60, attempts=6, decides=False)
    base = replace(base, steps=204_800)
    return Plan(base, tuple(range(first, first + 10)), decides=first == 100)


def trained(plan: Plan, store: Path, jobs: int) -> list[Run]:
    """Return the runs, trained as far as they were not."""
    steps = [int(share * plan.base.steps) for share in plan.shares]
    base = replace(plan.base, milestones=steps)
    study = Study.of(store, base, [Arm("random", "random")], plan.seeds)
    study.create()
    with StudyBar(study) as bar:
        failed = study.run(jobs, bar)
    if failed:
        raise SystemExit("some runs failed:\n  " + "\n  ".join(failed))
    stored = study.results()
    return [Run.open(stored[cell.key].folder) for cell in study.cells]


@dataclass(frozen=True)
class Measured:
    """What one student's attempts on the levels show, each ``(levels,)``.

    Attributes:
        once: Proxies as the teachers measure them.
        often: The same from as many attempts as learnability has.
        targets: By name.
    """

    once: dict[str, FloatArray]
    often: dict[str, FloatArray]
    targets: dict[str, FloatArray]


def measure(run: Run, step: int, levels: NDArray[Any], attempts: int) -> Measured:
    """Let the student of a checkpoint attempt every level, and sum up."""
    with closing(run.load_session(step)) as session:
        tasks = np.repeat(levels, FEW + attempts, axis=0)
        seed = seed_for(run.config.seed, f"regrets {step}")
        listed, _ = explore(session, tasks, seed, CRITIC | {"true_regret"})
    found = listed.first()

    def table(column: FloatArray) -> tuple[FloatArray, FloatArray]:
        rows = column.reshape(len(levels), FEW + attempts)
        return rows[:, :FEW], rows[:, FEW:]

    scores = {name: table(column)[0] for name, column in found["scores"].items()}
    returns, _ = table(found["returns"])
    few, many = table(found["successes"])
    # As the teachers do it: against the best return that the level ever gave.
    scores["maxmc"] = scores["maxmc"] + returns.max(axis=1, keepdims=True) - returns
    p, share = few.mean(axis=1), many.mean(axis=1)
    learnability = {"learnability": p * (1.0 - p)}
    return Measured(
        {**{name: scores[name][:, 0] for name in CRITIC}, **learnability},
        {**{name: scores[name].mean(axis=1) for name in CRITIC}, **learnability},
        {
            "regret": table(found["scores"]["true_regret"])[1].mean(axis=1),
            "learnability": share * (1.0 - share),
            "success": share,
        },
    )


def rank_correlation(x: FloatArray, y: FloatArray) -> float:
    """Return Spearman's correlation; 0 where one of the two ranks nothing."""
    if np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        return 0.0
    return float(spearmanr(x, y).statistic)


def correlations(measured: Measured, solvable: NDArray[np.bool_]) -> dict[str, Any]:
    """Return form -> proxy -> target -> correlation of one student."""
    everywhere = np.ones_like(solvable)
    forms = {
        "as_measured": (measured.once, everywhere),
        "four_attempts": (measured.often, everywhere),
        "solvable_only": (measured.once, solvable),
    }
    return {
        form: {
            proxy: {
                target: rank_correlation(
                    proxies[proxy][where], measured.targets[target][where]
                )
                for target in TARGETS
            }
            for proxy in PROXIES
        }
        for form, (proxies, where) in forms.items()
    }  # fmt: skip


def numbers(interval: Interval) -> dict[str, Any]:
    """Return estimate and ends."""
    ends = (interval.low, interval.high) if interval.known else (None, None)
    return {"estimate": interval.estimate, "low": ends[0], "high": ends[1], "n": interval.n}


def summed_up(plan: Plan, found: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Return verdicts and descriptions.

    Args:
        plan: What was measured.
        found: Correlations by seed and checkpoint.
    """

    def values(form: str, proxy: str, target: str) -> FloatArray:
        """``(seeds, checkpoints)``."""
        return np.array([[c[form][proxy][target] for c in seed] for seed in found])

    level = 1.0 - 0.05 / (len(PROXIES) * len(PLANNED))
    planned: dict[str, Any] = {}
    for target in PLANNED:
        for proxy in PROXIES:
            means = values("as_measured", proxy, target).mean(axis=1)
            interval = t_interval(means, level)
            verdict = conclude_bar(interval, KNOWS, "rl", len(means), plan.decides)
            planned.setdefault(target, {})[proxy] = {
                **numbers(interval), "verdict": verdict.word, "by_seed": means.tolist(),
            }  # fmt: skip
    described = {
        form: {
            target: {
                proxy: [
                    numbers(t_interval(column)) for column in values(form, proxy, target).T
                ]
                for proxy in PROXIES
            }
            for target in TARGETS
        }
        for form in found[0][0]
    }  # fmt: skip
    return {"level": level, "planned": planned, "by_checkpoint": described}


def draw(plan: Plan, document: dict[str, Any], path: Path) -> None:
    """Plot each proxy's correlation with each target at each checkpoint."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(TARGETS), sharey=True)
    shades = ("#9ecae1", "#4292c6", "#08519c")[-len(plan.shares) :]
    for axes, target in zip(panels, TARGETS, strict=True):
        shown = document["by_checkpoint"]["as_measured"][target]
        for k, (share, shade) in enumerate(zip(plan.shares, shades, strict=True)):
            at = np.arange(len(PROXIES)) + 0.18 * (k - 1)
            rows = [shown[proxy][k] for proxy in PROXIES]
            middle = np.array([row["estimate"] for row in rows])
            ends = np.array([[row["low"], row["high"]] for row in rows], dtype=np.float64)
            axes.errorbar(
                middle, at, xerr=np.abs(ends.T - middle), fmt="o", color=shade, markersize=4,
                label=f"after {share * plan.base.steps:,.0f} steps",
            )  # fmt: skip
        axes.axvline(0.0, color="#bbbbbb", linewidth=1, zorder=0)
        axes.set(xlim=(-1.0, 1.0), xlabel="Spearman's correlation", title=f"with {target}")
    panels[0].set_yticks(range(len(PROXIES)), ["PVL", "MaxMC", "TD", "|advantage|", "p(1-p)"])
    panels[0].invert_yaxis()
    panels[-1].legend(frameon=False, fontsize="small")
    note = "" if plan.decides else ": illustration, no verdict"
    figure.suptitle(
        f"What proxies of one attempt know of {plan.levels} mazes, mean and 95 % interval of "
        f"{len(plan.seeds)} seeds{note}"
    )
    figure.savefig(path, dpi=150, metadata={"Software": None})


def main() -> None:
    """Train, attempt, correlate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="2 seeds, few levels: no verdict")
    parser.add_argument("--first-seed", type=int, default=100, help="tuning uses 1000 and up")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--store", type=Path, default=None, help="folder of the runs")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for regrets.json")
    options = parser.parse_args()
    plan = plan_of(options.short, options.first_seed)
    if not plan.decides and options.out == RESULTS:
        parser.error("only the planned run (10 seeds from 100) is a result to keep: give --out")
    default = HERE.parent / "runs" if plan.decides else options.out
    store = options.store or default / f"regrets{'-short' if options.short else ''}"
    runs = trained(plan, store, options.jobs)
    space: Any = Surroundings(plan.base).space
    levels = space.sample(plan.levels, np.random.default_rng(7))
    solvable = np.array([space.distance(level) is not None for level in levels])
    measured = [
        [measure(run, step, levels, plan.attempts) for step in run.milestones] for run in runs
    ]
    found = [[correlations(student, solvable) for student in seed] for seed in measured]
    document: dict[str, Any] = {
        "env": plan.base.env,
        "env_parameters": plan.base.env_parameters,
        "student_parameters": plan.base.student_parameters,
        "steps": plan.base.steps,
        "checkpoints": runs[0].milestones,
        "seeds": list(plan.seeds),
        "levels": plan.levels,
        "attempts": plan.attempts,
        "solvable": float(solvable.mean()),
        "solved": [[float(student.targets["success"].mean()) for student in m] for m in measured],
        **summed_up(plan, found),
        "versions": package_versions(),
        "cpu": cpu(),
    }
    document["readme"] = readme_rows(document)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "regrets.json").write_text(json.dumps(document, indent=1) + "\n")
    draw(plan, document, options.out / "regrets.png")
    for target, rows in document["planned"].items():
        for proxy, row in rows.items():
            print(f"{proxy:14} with {target:14} {_figure(row)}")


def readme_rows(document: dict[str, Any]) -> list[dict[str, str]]:
    """Return the README's rows, one a target."""
    return [
        {
            "what": f"Grid Maze, do regret proxies know {name}? Rank correlation over levels "
            f"(claim: above {KNOWS})",
            "figure": "; ".join(f"{proxy} {_figure(row)}" for proxy, row in rows.items()),
        }
        for (target, rows), name in zip(
            document["planned"].items(), ("true regret", "learnability p(1-p)"), strict=True
        )
    ]


def _figure(row: dict[str, Any]) -> str:
    ends = "" if row["low"] is None else f" [{row['low']:+.2f}, {row['high']:+.2f}]"
    return f"{row['estimate']:+.2f}{ends}: {row['verdict']}"


if __name__ == "__main__":
    main()
