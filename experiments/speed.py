"""Speed: what the curriculum layer costs, and how fast the environments and the students run.

    python experiments/speed.py                  # everything
    python experiments/speed.py --only layer     # one of the measurements below

Every comparison alternates its two sides in one process, many times over, and reports the median of
the differences (or ratios), so that a busy machine disturbs both sides alike. Results go to
``experiments/results/speed.json``, one entry a measurement.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gymnasium
import numpy as np
from gymnasium.vector import SyncVectorEnv

import currgym

RESULTS = Path(__file__).parent / "results" / "speed.json"
Result = dict[str, Any]


def spread(values: list[float]) -> Result:
    """Return the median and the quartiles."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return {"median": round(median, 2), "quartiles": [round(low, 2), round(high, 2)]}


def layer(quick: bool) -> Result:
    """Layer cost an episode: 8 CartPoles bare, against the same under the teacher ``random``."""
    num_envs, steps, repeats = 8, 1000 if quick else 2000, 5 if quick else 31

    def make() -> SyncVectorEnv:
        return SyncVectorEnv([lambda: gymnasium.make("currgym/CartPole-v0")] * num_envs)

    bare: Any = make()
    taught = currgym.CurriculumVectorEnv(make(), "random", seed=0)
    actions = np.random.default_rng(0).integers(2, size=(steps, num_envs))

    def run(vec: Any) -> tuple[float, int]:
        episodes = 0
        start = time.process_time()
        for action in actions:
            _, _, terminated, truncated, _ = vec.step(action)
            episodes += int(np.count_nonzero(terminated | truncated))
        return time.process_time() - start, episodes

    bare.reset(seed=0)
    taught.reset()
    run(bare), run(taught)
    more: list[float] = []
    rows: list[list[float]] = []
    for k in range(repeats):
        # Whichever is first changes, so that a drift of the clock rate cancels.
        first, second = (bare, taught) if k % 2 else (taught, bare)
        a, b = run(first), run(second)
        (bare_time, bare_episodes), (time_, episodes) = (a, b) if k % 2 else (b, a)
        more.append((time_ - bare_time) / episodes * 1e6)
        rows.append([bare_time, bare_episodes, time_, episodes])
    totals = np.array(rows).sum(axis=0)
    return {
        "what": f"layer cost an episode, SyncVectorEnv of {num_envs} currgym/CartPole-v0, random",
        "unit": "microseconds an episode",
        **spread(more),
        "bar": "at most 150",
        "passed": bool(np.median(more) <= 150),
        "bare_steps_per_second": round(num_envs * steps * repeats / totals[0]),
        "taught_steps_per_second": round(num_envs * steps * repeats / totals[2]),
        "episodes": {"bare": int(totals[1]), "taught": int(totals[3])},
        "steps_a_repeat": num_envs * steps,
        "repeats": repeats,
    }


def walker(quick: bool) -> Result:
    """Steps a second of StumpTracks against Gymnasium's BipedalWalker, random actions."""
    steps, repeats = 500 if quick else 2000, 5 if quick else 21
    names = ("currgym/StumpTracks-v0", "BipedalWalker-v3")
    envs = [gymnasium.make(name) for name in names]
    actions = np.random.default_rng(0).uniform(-1, 1, size=(steps, 4)).astype(np.float32)

    def run(env: gymnasium.Env[Any, Any], seed: int) -> float:
        env.reset(seed=seed)
        start = time.process_time()
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return steps / (time.process_time() - start)

    for env in envs:
        run(env, 0)
    rates: list[list[float]] = [[], []]
    for k in range(repeats):
        for which in (0, 1) if k % 2 else (1, 0):
            rates[which].append(run(envs[which], k))
    ratios = [ours / theirs for ours, theirs in zip(*rates, strict=True)]
    return {
        "what": f"steps a second, {names[0]} over {names[1]}, random actions, resets included",
        "unit": "ratio",
        **spread(ratios),
        "bar": "at least 1",
        "passed": bool(np.median(ratios) >= 1),
        "steps_per_second": {
            name: round(float(np.median(rate))) for name, rate in zip(names, rates, strict=True)
        },
        "steps_a_repeat": steps,
        "repeats": repeats,
    }


MEASUREMENTS: dict[str, Callable[[bool], Result]] = {"layer": layer, "walker": walker}


def machine() -> Result:
    """Return what the numbers depend on."""
    packages = ("numpy", "gymnasium", "stable-baselines3", "torch")
    return {
        "cpu": next(
            (
                line.partition(":")[2].strip()
                for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")
            )
            if Path("/proc/cpuinfo").exists()
            else iter(()),
            platform.processor(),
        ),
        "cores": os.cpu_count(),
        "threads": os.environ["OMP_NUM_THREADS"],
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def main() -> None:
    """Run the measurements, print a table and keep the numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=MEASUREMENTS, action="append", help="repeatable")
    parser.add_argument("--quick", action="store_true", help="few repeats; numbers are not kept")
    arguments = parser.parse_args()
    kept: dict[str, Result] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in arguments.only or MEASUREMENTS:
        result = MEASUREMENTS[name](arguments.quick)
        kept[name] = {**result, "machine": machine()}
        print(f"{name}: {result['what']}")
        low, high = result["quartiles"]
        print(f"  {result['median']} {result['unit']} (quartiles {low} to {high})", end="")
        if "bar" in result:
            print(f"; bar: {result['bar']}: {'reached' if result['passed'] else 'NOT reached'}")
        else:
            print()
        for key, value in result.items():
            if key not in ("what", "unit", "median", "quartiles", "bar", "passed"):
                print(f"  {key.replace('_', ' ')}: {value}")
        if not arguments.quick:
            RESULTS.parent.mkdir(exist_ok=True)
            RESULTS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
