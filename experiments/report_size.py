"""How large the report of a large study is, and how long it takes to make.

Claim: under 15 MB and under 10 s for 5 teachers x 10 seeds x 100,000 episodes. The runs are made
up, but written by the classes that write real ones (recorder, counts by cell, logs): only nothing
is trained. Time is the process's own (one thread), which is the wall's on an idle machine; the
wall's stands beside it.

Run: ``python experiments/report_size.py`` (some minutes, most of it writing 5 million rows), or
``--short`` (seconds; an illustration, no verdict).
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from currgym.outcomes import Outcomes
from currgym.report import write
from currgym.runs import RunConfig
from currgym.runs.cells import CellCounter
from currgym.runs.logs import Logs
from currgym.runs.recorder import RunRecorder, episode_header
from currgym.tasks import BoxTasks

RESULTS = Path(__file__).parent / "results"
SPACE = BoxTasks(
    [0, 0], [3, 6], names=["stump_height", "obstacle_spacing"], difficulty="stump_height"
)
ARMS = {"random": None, "uniform-steps": None, "alp-gmm": 0.15, "window": 0.08, "target": 0.3}
EVALUATIONS, SNAPSHOTS, BATCH = 21, 60, 64
MEGABYTES, SECONDS = 15.0, 10.0


def make_run(folder: Path, teacher: str, seed: int, episodes: int) -> None:
    """Write one run of so many episodes of 100 steps on average."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, len(teacher)])
    steps = 100 * episodes
    tests = SPACE.grid(10)
    test_seeds = rng.integers(2**31, size=(len(tests), 3))
    config = RunConfig("currgym/StumpTracks-v0", teacher, "ppo", steps, seed=seed)
    document = config.to_json() | {
        "task_space": SPACE.config(), "return_range": [-150, 350], "mastery": 200.0,
        "privileges": [],
        "test_set": {"name": "grid", "tasks": tests.tolist(), "seeds": test_seeds.tolist()},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(document))
    written: list[Logs] = []
    counter = CellCounter(SPACE, steps, tests, lambda line: written[0].write("periods.jsonl", line))
    logs = Logs(
        folder,
        {
            "episodes.csv": episode_header(SPACE, ()), "calls.csv": "call,count",
            "evaluations.csv": "step,test_set,task_index,seed,return,length,success",
            "periods.jsonl": counter.header(), "snapshots.jsonl": None,
            "optimizer.csv": "step,updates,gradient_norm,update_norm,effective_step",
            "timing.csv": "step,seconds",
        },
    )  # fmt: skip
    written.append(logs)
    recorder = RunRecorder(logs, counter)
    width = ARMS[teacher]
    done = step = 0
    while done < episodes:
        n = min(BATCH, episodes - done)
        if width is None:
            unit = rng.random((n, 2))
        else:
            unit = np.clip(rng.normal(0.1 + 0.8 * done / episodes, width, (n, 2)), 0, 1)
        lengths = rng.integers(50, 151, n)
        step += int(lengths.sum())
        outcomes = Outcomes(
            SPACE.from_unit(unit), rng.normal(size=n), ids=np.arange(done, done + n),
            seeds=rng.integers(2**31, size=n), lengths=lengths, successes=rng.random(n) < 0.5,
            terminated=np.ones(n, dtype=np.bool_), truncated=np.zeros(n, dtype=np.bool_),
        )  # fmt: skip
        recorder.settled(outcomes, np.arange(n) % 16, min(step, steps))
        done += n
    recorder.end()
    hard = SPACE.to_unit(tests).mean(axis=1)
    for at in np.linspace(0, steps, EVALUATIONS).astype(int).tolist():
        chance = 1 / (1 + np.exp(-((at / steps) * 1.1 - hard) * 10))
        solved = rng.random((len(tests), 3)) < chance[:, None]
        for index, row in enumerate(solved):
            for test_seed, success in zip(test_seeds[index].tolist(), row.tolist(), strict=True):
                logs.write(
                    "evaluations.csv",
                    f"{at},grid,{index},{test_seed},{300.0 * success!r},100,{float(success)!r}",
                )
    for i in range(SNAPSHOTS):
        values = {
            "means": rng.random((6, 3)).tolist(),
            "covariances": np.tile(0.01 * np.eye(3), (6, 1, 1)).tolist(),
            "chances": np.full(6, 1 / 6).tolist(), "rows": rng.random((250, 3)).tolist(),
        }  # fmt: skip
        line = {
            "step": i * steps // SNAPSHOTS, "episode": i * episodes // SNAPSHOTS,
            "snapshot": values if teacher == "alp-gmm" else {},
            "preview": SPACE.sample(200, rng).tolist(),
        }  # fmt: skip
        logs.write("snapshots.jsonl", json.dumps(line))
    for i in range(1, 101):
        norms = ",".join(repr(float(v)) for v in rng.lognormal(-1, 0.3, 3))
        logs.write("optimizer.csv", f"{i * steps // 100},{i},{norms}")
    logs.write("timing.csv", f"{steps},600.0")
    logs.close()
    ledger = {
        "attempts": episodes, "steps": steps, "evaluations": EVALUATIONS * 300,
        "evaluation_steps": EVALUATIONS * 30_000, "updates": steps // 64,
    }  # fmt: skip
    summary = {
        "finished": True,
        "ledger": ledger,
        "seconds": 600.0,
        "fps": steps / 600,
        "solved": 0.5,
    }
    (folder / "summary.json").write_text(json.dumps(summary))


def make_study(folder: Path, seeds: int, episodes: int) -> None:
    """Write a study of five teachers."""
    runs = {label: [f"runs/{label}/seed-{seed}" for seed in range(seeds)] for label in ARMS}
    for label, places in runs.items():
        for seed, place in enumerate(places):
            make_run(folder / place, label, seed, episodes)
    document = {
        "format": 1, "env": "currgym/StumpTracks-v0", "student": "ppo", "kind": "rl",
        "steps": 100 * episodes, "seeds": list(range(seeds)), "baseline": "random", "runs": runs,
        "arms": [
            {"label": a, "teacher": a, "reference": a == "uniform-steps"} for a in ARMS
        ],
    }  # fmt: skip
    (folder / "study.json").write_text(json.dumps(document))


def main() -> None:
    """Make the study and its page, measure, and say whether the claim holds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--short", action="store_true", help="a small study: an illustration")
    parser.add_argument("--folder", type=Path, default=None, help="keep the study there")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for report_size.json")
    given = parser.parse_args()
    seeds, episodes = (2, 2_000) if given.short else (10, 100_000)
    folder = given.folder or Path(tempfile.mkdtemp())
    try:
        begun = time.perf_counter()
        if not (folder / "study.json").exists():
            make_study(folder, seeds, episodes)
        made = time.perf_counter() - begun
        begun, cpu = time.perf_counter(), time.process_time()
        page = write(folder)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        size = page.stat().st_size / 1e6
        log = sum(path.stat().st_size for path in folder.rglob("episodes.csv")) / 1e6
    finally:
        if given.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(
        f"{len(ARMS)} teachers x {seeds} seeds x {episodes:,} episodes, {log:,.0f} MB of episodes"
    )
    print(
        f"runs: {made:.0f} s; page: {size:.1f} MB in {cpu:.1f} s of CPU ({seconds:.1f} s of wall)"
    )
    if given.short:
        print("illustration, no verdict")
    holds = size < MEGABYTES and cpu < SECONDS
    if not given.short:
        print(
            f"under {MEGABYTES:.0f} MB and {SECONDS:.0f} s: {'holds' if holds else 'does not hold'}"
        )
    given.out.mkdir(parents=True, exist_ok=True)
    name = "report_size-short.json" if given.short else "report_size.json"
    (given.out / name).write_text(
        json.dumps(
            {
                "arms": len(ARMS), "seeds": seeds, "episodes": episodes,
                "megabytes": round(size, 2), "cpu_seconds": round(cpu, 2),
                "wall_seconds": round(seconds, 2),
                "episodes_megabytes": round(log), "holds": holds,
                "python": platform.python_version(),
            },
            indent=1,
        )
        + "\n"
    )  # fmt: skip


if __name__ == "__main__":
    main()
