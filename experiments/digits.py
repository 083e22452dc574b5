"""Does an order over examples help a small network on digits with 20 % wrong labels?

    python experiments/digits.py            10 paired seeds, a few minutes
    python experiments/digits.py --short    3 seeds and a third of the budget, under a minute

Every arm gets the same samples, updates and evaluations; split, wrong labels and initial weights
are those of its seed. The curves show accuracy on validation; the test set is read twice a run, for
the network that validation chose and for the last one. Orders by difficulty cost a scoring run,
which the table lists and the budget does not contain. A test set has 270 images: the seeds, each
with a split of its own, carry the comparison. Writes digits.json and digits.png.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import currgym
from currgym.curriculum import Curriculum, Tickets
from currgym.outcomes import Outcomes
from currgym.statistics import (
    TUNING_SEEDS_FROM,
    Plan,
    conclude,
    contrasts,
    fewest_seeds,
    t_band,
    t_interval,
)
from currgym.teaching import make_teacher, teacher_parameters, teachers

BASELINE = "random"
ARMS = (BASELINE, "easy-to-hard", "hard-to-easy", "cyclical")
COLOURS = ("#444444", "#0072b2", "#d55e00", "#009e73")


@dataclass(frozen=True)
class Setting:
    """What is run, and what will be concluded, written before the runs.

    A pilot on seeds 1000 to 1003 gave paired differences with a standard deviation of .01 to .035,
    so that 10 pairs find differences of .01 to .03 four times in five.
    """

    question: str = "Is the arm's accuracy on the test set above that of random order?"
    endpoint: str = "test accuracy of the network with the best validation accuracy"
    baseline: str = BASELINE
    arms: tuple[str, ...] = ARMS
    label_noise: float = 0.2
    passes: int = 30
    seeds: int = 10
    first_seed: int = 0
    smallest_effect: float = 0.015
    level: float = 0.95

    @property
    def plan(self) -> Plan:
        """What the verdicts go by."""
        return Plan(
            "test accuracy", self.baseline, tuple(a for a in self.arms if a != self.baseline),
            self.smallest_effect, self.seeds, 1.0 - self.level,
        )  # fmt: skip

    @property
    def decides(self) -> bool:
        """Whether there are seeds enough for a verdict, and none that chose settings."""
        enough = self.seeds >= fewest_seeds("supervised")
        return enough and self.first_seed + self.seeds <= TUNING_SEEDS_FROM


class WrongLabels:
    """Listens to a curriculum and counts how many of its examples have a wrong label."""

    def __init__(self, flipped: NDArray[np.bool_]) -> None:
        self.flipped = flipped
        self.wrong = self.total = 0

    def issued(self, tickets: Tickets, probe: bool) -> None:
        """Nothing to do."""

    def settled(self, outcomes: Outcomes, envs: NDArray[np.int64], step: int) -> None:
        """Count."""
        self.wrong += int(self.flipped[outcomes.tasks].sum())
        self.total += len(outcomes)

    def take(self) -> float:
        """Return the share since the last call."""
        share = self.wrong / max(1, self.total)
        self.wrong = self.total = 0
        return share


def run_seed(plan: Setting, seed: int) -> list[dict[str, Any]]:
    """Run every arm on one seed's data and network."""
    import torch

    from currgym.students.supervised import SupervisedStudent
    from currgym.supervised.digits import Digits

    torch.set_num_threads(1)
    family = Digits(
        label_noise=plan.label_noise,
        seed=seed,
        scoring_passes=plan.passes,
        scoring_seed=1000 + seed,
    )
    size = len(family.flipped)
    budget = plan.passes * size
    results: list[dict[str, Any]] = []
    for arm in plan.arms:
        schedule: dict[str, Any] = {}
        if "horizon" in teacher_parameters(teachers[arm]):
            schedule["horizon"] = budget
        teacher = make_teacher(
            arm, family.task_space, seed=seed, return_range=family.return_range, **schedule
        )
        curriculum = Curriculum(teacher, seed=seed)
        counter = WrongLabels(family.flipped)
        curriculum.recorder = counter
        family.charge(curriculum.ledger, teacher)
        student = SupervisedStudent(family, seed=seed)

        def accuracy(
            test_set: str, student: Any = student, ledger: Any = curriculum.ledger
        ) -> float:
            return float(np.mean([row.success for row in student.evaluate(test_set, ledger)]))

        curve, wrong, samples = [accuracy("validation")], [math.nan], [0]
        best = (curve[0], student.state_dict())
        for done in range(1, plan.passes + 1):
            while curriculum.ledger.steps < done * size:
                student.step(curriculum)
            curve.append(accuracy("validation"))
            wrong.append(counter.take())
            samples.append(curriculum.ledger.steps)
            if curve[-1] > best[0]:
                best = (curve[-1], student.state_dict())
        final = accuracy("test")
        student.load_state_dict(best[1])
        results.append(
            {
                "arm": arm, "seed": seed, "test": accuracy("test"), "test_final": final,
                "samples": samples, "validation": curve, "wrong_labels": wrong[1:],
                "ledger": asdict(curriculum.ledger),
            }
        )  # fmt: skip
    return results


def judged(setting: Setting, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each arm's paired difference from the baseline, by Holm, and the verdict."""
    plan = setting.plan
    values = {arm: [r["test"] for r in runs if r["arm"] == arm] for arm in setting.arms}
    found = contrasts(
        values, plan.baseline, np.random.default_rng(0), plan.shape, paired=True, level=plan.level
    )
    rows = []
    for arm, contrast in found.items():
        verdict = conclude(
            plan, "supervised", setting.seeds, contrast.difference, setting.decides,
            contrast.adjusted_p,
        )  # fmt: skip
        spread = np.std(np.subtract(values[arm], values[plan.baseline]), ddof=1)
        rows.append(
            {
                "arm": arm, "difference": contrast.difference.estimate,
                "low": contrast.difference.low, "high": contrast.difference.high,
                "p_holm": contrast.adjusted_p, "pairs": contrast.difference.n,
                "spread": float(spread), "verdict": verdict.word, "seeds_needed": verdict.needed,
            }
        )  # fmt: skip
    return rows


def table(plan: Setting, runs: list[dict[str, Any]], rows: list[dict[str, Any]]) -> str:
    """Return the result as text."""
    lines = [
        f"{'arm':14} {'test, selected':>20} {'test, last':>11} {'samples':>8} {'updates':>8} "
        f"{'evaluated':>9} {'scoring':>8} {'trained':>8}"
    ]
    for arm in plan.arms:
        mine = [r for r in runs if r["arm"] == arm]
        chosen = t_interval([r["test"] for r in mine], plan.level)
        last = float(np.mean([r["test_final"] for r in mine]))
        ledger = mine[0]["ledger"]
        lines.append(
            f"{arm:14} {chosen.estimate:6.3f} [{chosen.low:.3f}, {chosen.high:.3f}] {last:10.3f} "
            f"{ledger['steps']:8} {ledger['updates']:8} {ledger['evaluations']:9} "
            f"{ledger['scoring_passes']:8} {ledger['teacher_trainings']:8}"
        )
    lines += ["", f"{plan.endpoint}, minus that of {plan.baseline} (paired, {plan.level:.0%}):"]
    lines += [
        f"{row['arm']:14} {row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]  "
        f"p = {row['p_holm']:.2g} (Holm)  {row['verdict']}"
        + (f" (about {row['seeds_needed']} seeds would decide)" if row["seeds_needed"] else "")
        for row in rows
    ]
    return "\n".join(lines)


def draw(plan: Setting, runs: list[dict[str, Any]], path: Path) -> None:
    """Plot accuracy and the share of wrong labels over samples."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for arm, colour in zip(plan.arms, COLOURS, strict=True):
        mine = [r for r in runs if r["arm"] == arm]
        samples = np.array(mine[0]["samples"])
        mean, low, high = t_band([r["validation"] for r in mine], plan.level)
        left.plot(samples, mean, color=colour, label=arm)
        left.fill_between(samples, low, high, color=colour, alpha=0.15, linewidth=0)
        wrong = np.mean([r["wrong_labels"] for r in mine], axis=0)
        right.plot(samples[1:], wrong, color=colour, label=arm)
    left.set(xlabel="samples", ylabel="accuracy on validation (right labels)", ylim=(0.6, 1.0))
    right.set(xlabel="samples", ylabel="share of wrong labels in what is trained on")
    right.axhline(plan.label_noise, color="#bbbbbb", linewidth=1, zorder=0)
    right.set_ylim(bottom=0)
    left.legend(loc="lower right", frameon=False)
    note = "" if plan.decides else ": illustration, no verdict"
    figure.suptitle(
        f"digits, {plan.label_noise:.0%} wrong labels, mean and {plan.level:.0%} interval of "
        f"{plan.seeds} seeds{note}"
    )
    figure.savefig(path, dpi=150, metadata={"Software": None})


def versions() -> dict[str, str]:
    """Return what the numbers depend on."""
    import sklearn
    import torch

    return {
        "python": platform.python_version(), "currgym": currgym.__version__,
        "numpy": np.__version__, "scikit-learn": sklearn.__version__, "torch": torch.__version__,
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run the experiment, print its table and write its files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--short", action="store_true", help="3 seeds, 10 passes: no verdict")
    parser.add_argument("--seeds", type=int, help="paired seeds")
    parser.add_argument("--first-seed", type=int, default=0, help="pilots use 1000 and up")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args(arguments)

    seeds = options.seeds or (3 if options.short else Setting.seeds)
    if seeds < 2:
        parser.error("--seeds must be at least 2: one pair has no interval")
    plan = Setting(
        passes=10 if options.short else Setting.passes, seeds=seeds, first_seed=options.first_seed
    )
    name = "digits-short" if options.short else "digits"
    if plan.first_seed:
        name += f"-from-{plan.first_seed}"
    start = time.perf_counter()
    runs: list[dict[str, Any]] = []
    chosen = range(plan.first_seed, plan.first_seed + seeds)
    # Workers start afresh: a forked torch may hang.
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        for done, ended in enumerate(pool.map(run_seed, [plan] * seeds, chosen), start=1):
            runs += ended
            print(f"seed {done} of {seeds}, {time.perf_counter() - start:.0f} s", file=sys.stderr)
    rows = judged(plan, runs)
    print(table(plan, runs, rows))
    options.out.mkdir(parents=True, exist_ok=True)
    document = {
        "plan": asdict(plan), "versions": versions(), "contrasts": rows, "runs": runs,
    }  # fmt: skip
    (options.out / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    draw(plan, runs, options.out / f"{name}.png")
    print(f"{time.perf_counter() - start:.0f} s; wrote {name}.json and {name}.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
