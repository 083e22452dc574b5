"""What it costs to spread episodes over Ray workers, against the same episodes in one process.

    python experiments/spread.py            # a quarter of an hour
    python experiments/spread.py --short    # an illustration, no verdict

*Attempts*: whole episodes played by two workers, in order (lag 4) and without order, against the
same loop here. *Lock-step*: 16 sub-environments in two workers under one curriculum, against the
same vector environment here. In cheap episodes (CartPole) all that is seen is the overhead; in dear
ones (StumpTracks, physics) the second core earns some of it back; and where an attempt waits for
somebody else (50 ms of sleep), two workers wait at once.

The sides of a comparison take turns within one process, many times over; wall-clock (several
processes are at work), medians, and the ratio of the two within each turn with its quartiles, which
a busy machine disturbs less than the times themselves. Results go to
``experiments/results/spread.json``. There is no verdict here: nothing is claimed of the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import gymnasium
import numpy as np

import currgym
from currgym import Curriculum, CurriculumVectorEnv, make_teacher
from currgym.remote import Attempts, Player, RayVectorEnv
from currgym.remote.connection import connect, disconnect

RESULTS = Path(__file__).parent / "results"
WORKERS = 2
LAG = 2 * WORKERS
ENVS = {"cheap": "currgym/CartPole-v0", "dear": "currgym/StumpTracks-v0"}
ATTEMPTS = {"cheap": 150, "dear": 40, "waiting": 20}
"""A turn."""
STEPS = {"cheap": 200, "dear": 60}
"""Of the vector environment, a turn."""
Result = dict[str, Any]


def behaviour(env: str) -> Callable[[], Callable[[Any], Any]]:
    """Return what makes a player: balances the pole; walks by a fixed rhythm."""

    def balance() -> Callable[[Any], Any]:
        return lambda observation: int(observation[2] + 0.5 * observation[3] > 0)

    def rhythm() -> Callable[[Any], Any]:
        def act(observation: Any) -> Any:
            return np.sin(8.0 * observation[:4]).astype(np.float32)

        return act

    return balance if env == ENVS["cheap"] else rhythm


def spread_of(values: list[float]) -> Result:
    """Return the median and the quartiles."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return {
        "median": round(float(median), 3),
        "quartiles": [round(float(low), 3), round(float(high), 3)],
    }


def compare(sides: dict[str, Callable[[], int]], turns: int, unit: str) -> Result:
    """Time every side in turns; each returns how many units it has done.

    The first side is what the others are compared with. Overhead is a side's milliseconds a unit
    less the first's; it is negative where the second core earns more than Ray costs.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(turns + 1):
        for name, side in sides.items():
            start = time.perf_counter()
            done = side()
            if turn:  # the first is for warming up
                times[name].append(1000 * (time.perf_counter() - start) / done)
    base = next(iter(sides))
    result: Result = {"unit": unit, "turns": turns, base: {"ms": spread_of(times[base])}}
    for name in list(sides)[1:]:
        pairs = list(zip(times[name], times[base], strict=True))
        result[name] = {
            "ms": spread_of(times[name]),
            "overhead_ms": spread_of([a - b for a, b in pairs]),
            "ratio": spread_of([a / b for a, b in pairs]),
        }
    return result


def wait() -> Callable[[Any, int], dict[str, float]]:
    """Return an attempt that waits for somebody else: a simulator in another process."""

    def attempt(task: Any, seed: int) -> dict[str, float]:
        time.sleep(0.05)
        return {"returns": float(task[0])}

    return attempt


def attempts(kind: str, turns: int) -> Result:
    """Whole episodes: here, in order there, without order there."""
    make_attempt: Callable[[], Any] = wait
    space: Any = currgym.BoxTasks([0], [1])
    if kind in ENVS:
        space = currgym.task_space(gymnasium.make(ENVS[kind]))
        make_attempt = Player(ENVS[kind], behaviour(ENVS[kind]))
    count = ATTEMPTS[kind]
    players: dict[str, Attempts] = {}
    for name, workers, lag in (
        ("local", 0, LAG), ("ordered", WORKERS, LAG), ("any order", WORKERS, None),
    ):  # fmt: skip
        teacher = make_teacher("random", space, seed=0)
        owner = Curriculum(teacher, seed=0, ordered=lag is not None, lag=lag)
        players[name] = Attempts(owner, make_attempt, workers)

    def side(player: Attempts) -> Callable[[], int]:
        def play() -> int:
            player.run(count)
            return count

        return play

    try:
        return compare({name: side(p) for name, p in players.items()}, turns, "an episode")
    finally:
        for player in players.values():
            player.close()


def lock_step(kind: str, turns: int) -> Result:
    """Steps of a vector environment under a curriculum: here, and in workers."""
    env, steps = ENVS[kind], STEPS[kind]
    vecs: dict[str, Any] = {
        "local": gymnasium.make_vec(env, num_envs=16),
        "workers": RayVectorEnv(env, 16, WORKERS),
    }
    taught = {name: CurriculumVectorEnv(vec, "random", seed=0) for name, vec in vecs.items()}
    for vec in taught.values():
        vec.reset()
        vec.action_space.seed(0)

    def side(vec: Any) -> Callable[[], int]:
        def play() -> int:
            for _ in range(steps):
                vec.step(vec.action_space.sample())
            return steps

        return play

    sides = {name: side(vec) for name, vec in taught.items()}
    result = compare(sides, turns, "a step of all 16 sub-environments")
    episodes = [vec.curriculum.ledger.attempts for vec in taught.values()]
    scale = steps * (turns + 1) / episodes[0]
    result["episodes"] = episodes
    result["overhead_ms_per_episode"] = round(result["workers"]["overhead_ms"]["median"] * scale, 2)
    for vec in taught.values():
        vec.close()
    return result


def readme_rows(results: Result) -> list[dict[str, str]]:
    """Return the README's rows: what an episode costs more, or less, than here."""
    rows = []
    for kind in ATTEMPTS:
        found = results[f"attempts, {kind} episodes"]
        env = found["env"] or "50 ms of waiting"
        figures = (
            f"{name} {found[name]['overhead_ms']['median']:+.2f} ms (ratio "
            f"{found[name]['ratio']['median']:.2f})"
            for name in ("ordered", "any order")
        )
        rows.append(
            {
                "what": f"an episode of {env} in 2 Ray workers instead of here (whole attempts)",
                "figure": "; ".join(figures),
            }
        )
    for kind in STEPS:
        found = results[f"lock_step, {kind} episodes"]
        rows.append(
            {
                "what": f"16 {found['env']} in 2 Ray workers instead of here (lock-step, equal to "
                "the bit): overhead an episode",
                "figure": f"{found['overhead_ms_per_episode']:+.1f} ms (a step's ratio "
                f"{found['workers']['ratio']['median']:.1f})",
            }
        )
    return rows


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="few turns: an illustration")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    args = parser.parse_args()
    if args.short:
        print("illustration, no verdict")
    turns = 3 if args.short else 15
    # The workers of all sides stay between turns, and each wants a CPU of its own.
    ours = connect(None, 2 * WORKERS)
    try:
        results: Result = {
            "short": args.short,
            "machine": {
                "python": platform.python_version(), "ray": version("ray"),
                "numpy": np.__version__, "cores": os.cpu_count(), "workers": WORKERS,
                "busy": [round(load, 1) for load in os.getloadavg()],
            },
        }  # fmt: skip
        for measure, kinds in ((attempts, ATTEMPTS), (lock_step, STEPS)):
            for kind in kinds:
                name = f"{measure.__name__}, {kind} episodes"
                results[name] = {"env": ENVS.get(kind), **measure(kind, turns)}
                print(f"{name}: {json.dumps(results[name], indent=1)}")
    finally:
        if ours:
            disconnect()
    results["readme"] = readme_rows(results)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "spread.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"written: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
