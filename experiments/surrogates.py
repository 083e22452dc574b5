"""Which signal knows where training gains most? Forks of uniform runs on five environments.

Teachers choose tasks by surrogates of learning: absolute learning progress, learnability p(1-p),
value losses, ensemble disagreement. *Question:* how well do they rank tasks by what training on
them, now, truly gains? *Method:* ``currgym doctor ENV --headroom``: from 5 checkpoints of a uniform
run, fork on a 4 x 4 grid of task cells (2 forks a cell, 4 of the uniform control, equal steps, same
student, optimiser and evaluation), and correlate. *Endpoint:* Spearman's correlation with the gain
over the whole space, beside the noise ceiling; the greedy oracle's gain over uniform, chosen on one
half and valued on the other. *Plan, before the runs:* the settings below, not tuned; seeds 0 and 1
of the toy and of regression, seed 0 of the others; a signal *knows* where its correlation lies
above 0 (one-sided t test over checkpoints, Holm over the signals, 5 %). Checkpoints of one or two
runs say how well these runs are known and nothing of other seeds, so every row is an illustration:
a verdict over seeds needs 8 runs (RL), 10 (supervised), 30 (simulated).

    python experiments/surrogates.py                 # all five; goes on where it was interrupted
    python experiments/surrogates.py --short         # two, tiny: illustration, no verdict
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from rich.console import Console

from currgym.doctor.headroom import Headroom, Plan, advise, knowing, measure, tables
from currgym.runs.config import RunConfig
from currgym.statistics import Interval, judge

RESULTS = Path(__file__).parent / "results"
NEVER = 1e9
PPO: dict[str, Any] = {"n_steps": 128, "batch_size": 256}


def _base(env: str, student: str, steps: int, **more: Any) -> RunConfig:
    return RunConfig(env, "random", student, steps, checkpoint_every=NEVER, **more)


PLANS: dict[str, Plan] = {
    "toy/cube": Plan(_base("toy/cube", "cube", 20_000, env_parameters={"cubes": 8})),
    "CartPole": Plan(
        _base("currgym/CartPole-v0", "ppo", 51_200, student_parameters=PPO),
        seeds=(0,), fork_steps=2048,
    ),
    "Pendulum": Plan(
        _base("currgym/Pendulum-v0", "ppo", 102_400, student_parameters=PPO),
        seeds=(0,), fork_steps=2048,
    ),
    "data/regression": Plan(_base("data/regression", "mlp", 100_000)),
    "Acrobot": Plan(
        _base("currgym/Acrobot-v0", "ppo", 51_200, student_parameters=PPO),
        seeds=(0,), fork_steps=2048, evaluations=2, probes=4,
    ),
}  # fmt: skip
SHORT: dict[str, Plan] = {
    "toy/cube": Plan(
        _base("toy/cube", "cube", 2_000, env_parameters={"cubes": 4}), seeds=(0,), checkpoints=2
    ),
    "CartPole": Plan(
        _base(
            "currgym/CartPole-v0", "ppo", 512, num_envs=8,
            env_parameters={"tasks": {"gravity": 9.8}},
            student_parameters={"n_steps": 32, "batch_size": 256, "n_epochs": 2},
        ),
        seeds=(0,), checkpoints=1, fork_steps=256, probes=2, evaluations=2,
    ),
}  # fmt: skip


def _numbers(interval: Interval | None) -> dict[str, Any] | None:
    """Return estimate and ends; ends that are not known as None."""
    if interval is None:
        return None
    ends = (interval.low, interval.high) if interval.known else (None, None)
    return {"estimate": interval.estimate, "low": ends[0], "high": ends[1], "n": interval.n}


def summary_of(found: Headroom) -> dict[str, Any]:
    """Return what is published of one environment."""
    summary, plan, advice = found.summary, found.plan, advise(found.summary)
    known = knowing(summary)
    return {
        "env": plan.base.env,
        "student": plan.base.student,
        "steps": plan.base.steps,
        "fork_steps": plan.fork_steps,
        "seeds": list(plan.seeds),
        "unit": summary.unit,
        "verdict": judge(plan.base.kind, len(plan.seeds)).word,
        "advice": advice.word,
        "uniform": _numbers(summary.uniform),
        "oracle": _numbers(summary.oracle),
        "ceiling": summary.ceiling,
        "signals": {
            name: {
                "correlation": _numbers(signal.correlation),
                "following": _numbers(signal.following),
                "silent": signal.silent,
                "knows": known[name],
            }
            for name, signal in summary.signals.items()
        },
        "ledger": asdict(found.ledger),
        "signal": found.signal_document(),
    }


def main() -> None:
    """Measure all environments and print a table each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="two tiny ones: no verdict")
    parser.add_argument("--only", nargs="+", choices=PLANS, help="these environments alone")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for surrogates.json")
    parser.add_argument("--work", type=Path, help="folder of the runs  [default: a temporary one]")
    arguments = parser.parse_args()
    plans = SHORT if arguments.short else PLANS
    plans = {name: plans[name] for name in arguments.only or plans if name in plans}
    path = arguments.out / ("surrogates-short.json" if arguments.short else "surrogates.json")
    document: dict[str, Any] = {"environments": {}}
    if arguments.only and path.exists():
        document = json.loads(path.read_text(encoding="utf-8"))
    console = Console(width=170)
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        for name, plan in plans.items():
            begun = time.perf_counter()
            found = measure(plan, work / name.replace("/", "-"), arguments.jobs)
            console.rule(name, align="left")
            for table in tables(found):
                console.print(table)
            advice = advise(found.summary)
            word = "illustration, no verdict" if arguments.short else f"{advice.word} in these runs"
            console.print(f"{word}: {advice.text}")
            console.print(
                f"{found.ledger.environment_steps:,} steps in all, "
                f"{time.perf_counter() - begun:.0f} s"
            )
            document["environments"][name] = summary_of(found)
            arguments.out.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    if arguments.short:
        print("illustration, no verdict")


if __name__ == "__main__":
    main()
