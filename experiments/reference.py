"""Reference results: what the package ships, so that a new teacher's author runs one arm only.

Two groups: the toy cube (20,000 attempts, 30 seeds, every registered teacher that fits it) and PPO
on CartPole's physics (a short budget, 8 seeds). Nothing is concluded here and nothing was tuned.
The study goes on where it was interrupted; the store is not committed, the Parquet file is.

    nice -n 10 python experiments/reference.py            # writes currgym/reference/runs.parquet
    python experiments/reference.py --short --out DIR     # 2 seeds, tiny: illustration, no verdict
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from currgym.runs import RunConfig
from currgym.runs.session import open_teacher
from currgym.studies import Arm, Study
from currgym.studies.live import StudyBar
from currgym.studies.reference import pack, shipped_path
from currgym.teaching import teachers

REPLAYS = ("yoked", "yoked-shuffled")


def cube(short: bool) -> RunConfig:
    """Return the toy's settings."""
    return RunConfig("toy/cube", "random", "cube", steps=1_000 if short else 20_000)


def cartpole(short: bool) -> RunConfig:
    """Return the settings of PPO on CartPole's physics."""
    return RunConfig(
        "currgym/CartPole-v0", "random", "ppo", steps=512 if short else 16_384, num_envs=8,
        evaluate_every=256 if short else 2_048, test_tasks=25, test_seeds=1,
        student_parameters={"n_steps": 32 if short else 128},
    )  # fmt: skip


def fitting(base: RunConfig) -> list[Arm]:
    """Return every registered teacher that can be built for these tasks, at its defaults."""
    found = []
    for name in teachers:
        if name in REPLAYS:
            continue
        try:
            config = RunConfig(base.env, name, base.student, base.steps)
            teacher = open_teacher(config)
        except (ValueError, TypeError):
            continue  # it needs what these tasks do not have
        if teacher.needs <= {"probe", "successes", "returns", "lengths", "ids", "seeds"}:
            found.append(Arm(name, name))
    return found


def main() -> None:
    """Run what is missing, and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="2 seeds, tiny budgets: no verdict")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--store", type=Path, default=Path("runs/reference"), help="of the runs")
    parser.add_argument("--out", type=Path, default=None, help="folder for runs.parquet")
    arguments = parser.parse_args()
    short, start = arguments.short, time.process_time()
    target = shipped_path() if arguments.out is None else arguments.out / "runs.parquet"
    place = arguments.store / ("short" if short else "full")
    some = [Arm(name, name) for name in ("random", "uniform-steps", "alp-gmm")]
    toy, ppo = cube(short), cartpole(short)
    studies = [
        Study.of(place / "cube", toy, fitting(toy), range(2 if short else 30)),
        Study.of(place / "cartpole", ppo, some[: 2 if short else 3], range(2 if short else 8)),
    ]
    found = []
    for study in studies:
        study.create()
        print(f"{study.spec.panels[0].label}: {', '.join(a.label for a in study.spec.arms)}")
        with StudyBar(study) as bar:
            failed = study.run(arguments.jobs, bar)
        if failed:
            raise SystemExit("some runs failed:\n  " + "\n  ".join(failed))
        runs = study.results()
        found += [(cell, runs[cell.key].folder) for cell in study.cells]
    count = pack(found, target)
    size = target.stat().st_size / 1024
    print(f"{count} runs, {size:.0f} kB, {time.process_time() - start:.0f} s of CPU here: {target}")
    if short:
        print("illustration, no verdict")


if __name__ == "__main__":
    main()
