"""CubeStudent(10, 2), 20,000 attempts: what alp-gmm masters, under noise and under delay.

The original code at its own defaults masters 34 to 42 % (mean 37, eight seeds; random 4 to 6 %).
*Question:* is ``alp-gmm`` at the same settings no worse? *Endpoint:* per cent mastered after 20,000
attempts, batch 1. *Plan, before the runs:* 30 seeds (0 to 29); supported if the lower end of the
95 % t interval of the mean is above 34 %. The recommended settings were chosen on seeds 1000 and up
(``--first-seed 1000``; about twenty candidates, six seeds or more); the best possible is 100 %,
since 7,600 attempts in the right order suffice. The rows under noise and delay are illustrations
of 8 seeds.

    python experiments/cube.py               # 30 seeds, all rows
    python experiments/cube.py --short       # 3 seeds: illustration, no verdict
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from currgym.statistics import conclude_bar, t_interval

RESULTS = Path(__file__).parent / "results"
ATTEMPTS = 20_000
BAR = 34.0
AXIS_SEEDS = 8
RECOMMENDED: dict[str, Any] = {"preset": "recent"}
ROWS: dict[str, dict[str, Any]] = {
    "random": {"teacher": "random"},
    "alp-gmm, the paper's defaults": {"teacher": "alp-gmm"},
    "alp-gmm, recommended": {"teacher": "alp-gmm", "parameters": RECOMMENDED},
    **{
        f"alp-gmm, defaults, return noise {noise}": {"teacher": "alp-gmm", "noise": noise}
        for noise in (0.05, 0.1, 0.2)
    },
    **{
        f"alp-gmm, defaults, feedback {delay} attempts late": {"teacher": "alp-gmm", "delay": delay}
        for delay in (16, 64, 256)
    },
    **{
        f"alp-gmm, recommended, return noise {noise}": {
            "teacher": "alp-gmm", "parameters": RECOMMENDED, "noise": noise,
        }
        for noise in (0.05, 0.1, 0.2)
    },
    **{
        f"alp-gmm, recommended, feedback {delay} attempts late": {
            "teacher": "alp-gmm", "parameters": RECOMMENDED, "delay": delay,
        }
        for delay in (16, 64, 256)
    },
}  # fmt: skip


def one(row: dict[str, Any], seed: int) -> tuple[float, float]:
    """Return (per cent mastered, CPU microseconds an attempt) of one student."""
    from currgym import make_teacher
    from currgym.students import CubeStudent, teach

    student = CubeStudent(10, 2, noise=row.get("noise", 0.0), seed=seed)
    teacher = make_teacher(
        row["teacher"], student.task_space, seed=seed, return_range=(0, 1),
        **row.get("parameters", {}),
    )  # fmt: skip
    start = time.process_time()
    curve = teach(student, teacher, ATTEMPTS, delay=row.get("delay", 0), seed=seed)
    return curve.final, (time.process_time() - start) / ATTEMPTS * 1e6


def main() -> None:
    """Run all rows and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="3 seeds, three rows: no verdict")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--first-seed", type=int, default=0, help="tuning uses 1000 and up")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for cube.json")
    arguments = parser.parse_args()
    planned = not arguments.short and arguments.seeds >= 30 and arguments.first_seed == 0
    if not planned and arguments.out == RESULTS:
        parser.error("only the planned run (30 seeds from 0) is a result to keep: give --out")
    seeds = range(
        arguments.first_seed, arguments.first_seed + (3 if arguments.short else arguments.seeds)
    )
    rows = dict(list(ROWS.items())[:3]) if arguments.short else ROWS
    found: dict[str, Any] = {}
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        jobs = {
            name: [pool.submit(one, row, seed) for seed in (seeds if i < 3 else seeds[:AXIS_SEEDS])]
            for i, (name, row) in enumerate(rows.items())
        }
        for name, futures in jobs.items():
            scores, costs = zip(*(future.result() for future in futures), strict=True)
            interval = t_interval(np.array(scores))
            found[name] = {
                "scores": scores,
                "mean": interval.estimate,
                "low": interval.low,
                "high": interval.high,
                "microseconds_an_attempt": float(np.median(costs)),
            }
            print(
                f"{name:52s} {interval.estimate:5.1f} % [{interval.low:5.1f}, {interval.high:5.1f}]"
                f"   {float(np.median(costs)):6.0f} us an attempt",
                flush=True,
            )
    default = found["alp-gmm, the paper's defaults"]
    mean = t_interval(np.array(default["scores"]))
    verdict = conclude_bar(mean, BAR, "simulated", len(seeds), planned).word
    print(f"no worse than the original (bar {BAR} %): {verdict}, {len(seeds)} seeds")
    best = found["alp-gmm, recommended"]
    document = {
        "attempts": ATTEMPTS,
        "seeds": list(seeds),
        "verdict": verdict,
        "rows": found,
        "readme": [
            {
                "what": "CubeStudent(10, 2), 20,000 attempts, alp-gmm at the paper's defaults "
                "(the original code: mean 37 %)",
                "figure": f"{default['mean']:.1f} % [{default['low']:.1f}, {default['high']:.1f}], "
                f"{len(seeds)} seeds: {verdict}",
            },
            {
                "what": "the same at the recommended settings, as per cent of the best possible",
                "figure": f"{best['mean']:.1f} % [{best['low']:.1f}, {best['high']:.1f}]",
            },
            {"what": "the same, `random`", "figure": f"{found['random']['mean']:.1f} %"},
            {
                "what": "an attempt of alp-gmm, fits, student and loop included",
                "figure": f"{default['microseconds_an_attempt']:.0f} microseconds of CPU",
            },
        ],
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "cube.json").write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
