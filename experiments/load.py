"""What a large study and a long run cost: runs a CPU-minute, memory over time, status and report.

*Questions:* do 2,000 tiny runs with simulated students end in under 15 minutes on two cores, do
they and one run of 1,000,000 episodes keep a flat memory, and do ``status`` and ``report`` of both
stay under 10 s? *Flat* means: over the last three quarters of its time, no process (the main one,
each worker, the long run) grows by more than a tenth of its median. *Not a comparison of teachers*:
nothing is concluded about them. CPU seconds stand beside wall-clock, since machines are shared.

    python experiments/load.py               # 2,000 runs, 1,000,000 episodes
    python experiments/load.py --short       # 60 runs, 20,000 episodes: illustration, no verdict
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

RESULTS = Path(__file__).parent / "results"
STUDY = """\
name = "load"
environments = ["toy/cube"]
teachers = ["random", "uniform-steps", "target", "alp-gmm"]
seeds = {seeds}
steps = 1000
[run]
num_envs = 16
"""
MINUTES, SECONDS, GROWTH = 15.0, 10.0, 0.1
EVERY = 1.0


class Memory:
    """Resident memory of a process and its descendants over time, in MB (Linux's ``/proc``)."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.samples: dict[int, list[tuple[float, float]]] = {}
        self._stop = threading.Event()
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(EVERY):
            now = time.monotonic() - self._begun
            for pid in self._family():
                try:
                    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                except (OSError, IndexError, ValueError):
                    continue
                megabytes = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
                self.samples.setdefault(pid, []).append((now, megabytes))

    def _family(self) -> list[int]:
        found, waiting = [], [self.root]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            try:
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            except OSError:
                continue
            waiting += map(int, children)
        return found

    def stop(self) -> dict[str, Any]:
        """Return peak, and of each process that lived long: its memory by tenths, its growth."""
        self._stop.set()
        self._thread.join()
        whole = max((times[-1][0] for times in self.samples.values()), default=0.0)
        processes = []
        for times in self.samples.values():
            values = [megabytes for _, megabytes in times]
            if times[-1][0] - times[0][0] < 0.5 * whole or len(values) < 8:
                continue
            tenths = [values[int(i * (len(values) - 1) / 10)] for i in range(11)]
            late = values[len(values) // 4 :]
            middle = sorted(late)[len(late) // 2]
            third = max(1, len(late) // 3)
            growth = (max(late[-third:]) - max(late[:third])) / middle
            processes.append(
                {
                    "megabytes_by_tenths": [round(v, 1) for v in tenths],
                    "peak": round(max(values), 1),
                    "growth": round(growth, 4),
                }
            )
        peak = max((v for times in self.samples.values() for _, v in times), default=0.0)
        return {"peak_megabytes_of_one_process": round(peak, 1), "processes": processes}


def call(*arguments: str) -> tuple[float, float]:
    """Run currgym; return (wall-clock, CPU) seconds."""
    before, start = os.times(), time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "currgym", *arguments], check=True, stdout=subprocess.DEVNULL
    )
    after = os.times()
    cpu = after.children_user + after.children_system
    return time.monotonic() - start, cpu - before.children_user - before.children_system


def watched(*arguments: str) -> dict[str, Any]:
    """Run currgym with its memory watched; return what it cost."""
    before, start = os.times(), time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "currgym", *arguments], stdout=subprocess.DEVNULL
    )
    memory = Memory(process.pid)
    code = process.wait()
    found = memory.stop()
    if code:
        raise SystemExit(f"currgym {' '.join(arguments)} ended with {code}")
    after = os.times()
    cpu = after.children_user + after.children_system
    return {
        "seconds": round(time.monotonic() - start, 1),
        "cpu_seconds": round(cpu - before.children_user - before.children_system, 1),
        "memory": found,
    }


def views(*commands: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Return seconds of commands that only look."""
    found = {}
    for command in commands:
        wall, cpu = call(*command)
        name = command[1] if command[0] == "study" else command[0]
        found[name] = {"seconds": round(wall, 2), "cpu_seconds": round(cpu, 2)}
    return found


def main() -> None:
    """Run both loads and print what they cost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="60 runs, 20,000 episodes: no verdict")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for load.json")
    parser.add_argument("--keep", type=Path, default=None, help="folder for the runs, kept")
    parser.add_argument("--part", choices=("runs", "long", "both"), default="both")
    arguments = parser.parse_args()
    runs, episodes = (60, 20_000) if arguments.short else (2_000, 1_000_000)
    place = arguments.keep or Path(tempfile.mkdtemp(prefix="currgym-load-"))
    place.mkdir(parents=True, exist_ok=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    target = arguments.out / ("load-short.json" if arguments.short else "load.json")
    document: dict[str, Any] = {}
    if arguments.part != "both" and target.exists():
        document = json.loads(target.read_text())  # the other part stays
    try:
        if arguments.part != "long":
            document["many_runs"] = many_runs(place, runs)
            show(f"{runs:,} runs of 1,000 attempts", document["many_runs"])
            target.write_text(json.dumps(document, indent=1))
        if arguments.part != "runs":
            document["long_run"] = long_run(place, episodes)
            show(f"one run of {episodes:,} episodes", document["long_run"])
    finally:
        if arguments.keep is None:
            shutil.rmtree(place, ignore_errors=True)
    held = verdict(document)
    document["verdict"] = "illustration, no verdict" if arguments.short else held
    print(document["verdict"])
    document["readme"] = readme_rows(document)
    target.write_text(json.dumps(document, indent=1))


def many_runs(place: Path, runs: int) -> dict[str, Any]:
    """Run a study of tiny runs and look at it."""
    study = place / "load.toml"
    study.write_text(STUDY.format(seeds=runs // 4))
    before = os.getloadavg()
    cost = watched("study", "run", str(study), "--jobs", "2")
    cost |= {"runs": runs, "cores": os.cpu_count(), "load_average": [before, os.getloadavg()]}
    cost["runs_a_cpu_minute"] = round(60 * runs / cost["cpu_seconds"], 1)
    size = sum(p.stat().st_size for p in place.rglob("*") if p.is_file())
    cost["kilobytes_a_run"] = round(size / runs / 1024)
    return cost | views(("study", "status", str(study)), ("study", "report", str(study)))


def long_run(place: Path, episodes: int) -> dict[str, Any]:
    """Make one long run and look at it."""
    out, before = place / "long", os.getloadavg()
    cost = watched(
        "train", "toy/cube", "--teacher", "alp-gmm", "--steps", str(episodes), "--out", str(out)
    )
    cost |= {"episodes": episodes, "load_average": [before, os.getloadavg()]}
    cost["episodes_a_cpu_second"] = round(episodes / cost["cpu_seconds"])
    return cost | views(("watch", str(out), "--once"), ("report", str(out)))


def verdict(document: dict[str, Any]) -> dict[str, bool]:
    """Return what held of what was asked, as far as it was measured."""
    parts = [document[name] for name in ("many_runs", "long_run") if name in document]
    held = {
        "flat memory": all(
            process["growth"] <= GROWTH for part in parts for process in part["memory"]["processes"]
        ),
        "status and report under 10 s": all(
            part[view]["seconds"] < SECONDS
            for part in parts
            for view in ("status", "watch", "report")
            if view in part
        ),
    }
    if "many_runs" in document:
        held["2,000 runs in under 15 minutes"] = document["many_runs"]["seconds"] < 60 * MINUTES
    return held


def readme_rows(document: dict[str, Any]) -> list[dict[str, str]]:
    """Return the README's rows."""
    rows = []
    if "many_runs" in document:
        cost = document["many_runs"]
        rows.append(
            {
                "what": f"a study of {cost['runs']:,} runs of 1,000 attempts on {cost['cores']} "
                "cores; its status; its report",
                "figure": f"{cost['seconds']:.0f} s; {cost['status']['seconds']:.1f} s; "
                f"{cost['report']['seconds']:.1f} s (peak of one process while it ran: "
                f"{cost['memory']['peak_megabytes_of_one_process']:.0f} MB)",
            }
        )
    if "long_run" in document:
        cost = document["long_run"]
        growth = max((p["growth"] for p in cost["memory"]["processes"]), default=0.0)
        rows.append(
            {
                "what": f"one run of {cost['episodes']:,} episodes; its report",
                "figure": f"{cost['seconds']:.0f} s, memory grows by {growth:.1%} at most; "
                f"{cost['report']['seconds']:.1f} s",
            }
        )
    return rows


def show(what: str, cost: dict[str, Any]) -> None:
    """Print one part."""
    memory = cost["memory"]
    print(
        f"{what}: {cost['seconds']:.0f} s of wall-clock, {cost['cpu_seconds']:.0f} s of CPU",
        flush=True,
    )
    for name in ("runs_a_cpu_minute", "episodes_a_cpu_second", "kilobytes_a_run"):
        if name in cost:
            print(f"  {name.replace('_', ' ')}: {cost[name]:,}")
    print(f"  peak of one process: {memory['peak_megabytes_of_one_process']:.0f} MB")
    for process in memory["processes"]:
        shown = " ".join(f"{v:.0f}" for v in process["megabytes_by_tenths"])
        print(f"  MB over time: {shown}  (growth {process['growth']:+.1%})")
    for view in ("status", "watch", "report"):
        if view in cost:
            print(f"  {view}: {cost[view]['seconds']:.1f} s ({cost[view]['cpu_seconds']:.1f} CPU)")


if __name__ == "__main__":
    main()
