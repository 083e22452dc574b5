"""Kill runs at any instant, 200 times, and see that nothing is lost.

Question: after SIGKILL of a training process, of a study's main process or of one of its workers,
does ``resume`` end with the same bytes as the run that was never touched? Four kinds of run: PPO,
SAC, a supervised student, and a study (``currgym study run``) in a pool of processes; each gets a
quarter of the kills. A study whose worker dies goes on by itself, so it is killed more than once.

Half of the kills come from outside at times uniform over wall-clock. Short phases would hardly ever
be hit that way, so the other half is aimed: a profile function counts calls within one phase
(checkpoint write, mixture fit, evaluation, reset, restore, gradient update, the end, and of a
study's main process its index) and the process kills itself at the n-th, n log-uniform. Phases are
marked by wrapping functions in the killed process; the library knows nothing of it. The byte that
says which phase a process is in lies in a shared file, and is read after its death.

After every kill: the checkpoints that are there are sound, the newest is no older than before, and
no process of the run is left. After the last: all logs byte for byte, the final state of teacher,
student and curriculum, and the ledger equal the twin's; a study's index is sound, and equals one
rebuilt from the folders.

Command (in the background; about two hours on a busy core)::

    python experiments/faults.py --kills 200

``--short`` does 10 kills. A failure ends the experiment with exit code 1 and keeps its folder.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import mmap
import os
import platform
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
FIRST_SEED = 0

PHASES = (
    "start", "training", "checkpoint", "fit", "evaluation", "reset", "restore", "update", "finish",
    "index",
)  # fmt: skip
AIMED = tuple(phase for phase in PHASES[2:] if phase != "index")
SLOTS = 1 << 16

PPO = [
    "CartPole-v0", "--teacher", "alp-gmm", "--student", "ppo", "--steps", "2048", "--num-envs", "4",
    "--set", "student.n_steps=128", "--set", "student.n_epochs=4", "--set", "teacher.fit_period=40",
    "--test-tasks", "4", "--test-seeds", "1", "--evaluate-every", "700",
]  # fmt: skip
SAC = [
    "Pendulum-v0", "--teacher", "alp-gmm", "--student", "sac", "--steps", "600", "--num-envs", "2",
    "--set", "student.learning_starts=150", "--set", "student.batch_size=32",
    "--set", "student.net_arch=[16,16]", "--set", "student.buffer_size=1000",
    "--set", "teacher.fit_period=2", "--test-tasks", "2", "--test-seeds", "1",
    "--evaluate-every", "200",
]  # fmt: skip
DIGITS = [
    "data/digits", "--teacher", "alp-gmm", "--steps", "3200", "--evaluate-every", "1100",
    "--set", "teacher.fit_period=250",
]  # fmt: skip
STUDY = """\
environments = ["data/digits"]
teachers = ["random", "alp-gmm"]
seeds = 2
first_seed = {seed}
steps = 3200
[run]
evaluate_every = 1100
checkpoint_every = 0.5
"""


# In the killed process ---------------------------------------------------------------------------


@dataclass
class Aim:
    """Where a process kills itself.

    Attributes:
        phase: In which phase.
        calls: After how many calls within it.
        token: A file that only the first of several processes can make.
    """

    phase: str
    calls: int
    token: str


class Marks:
    """Says in a shared file which phase this process is in, and kills it where it is told to."""

    def __init__(self, path: str, aim: Aim | None) -> None:
        with open(path, "r+b") as file:
            self._bytes = mmap.mmap(file.fileno(), SLOTS)
        self._slot = os.getpid() % SLOTS
        self._aim = aim
        self._left = aim.calls if aim is not None else 0
        self._bytes[self._slot] = 0

    def wrap(self, owner: Any, name: str, phase: str) -> None:
        """Mark a function's time as a phase."""
        inner: Callable[..., Any] = getattr(owner, name)

        def marked(*args: Any, **kwargs: Any) -> Any:
            before = self._bytes[self._slot]
            self._bytes[self._slot] = PHASES.index(phase)
            aimed = self._aim is not None and self._aim.phase == phase
            if aimed:
                sys.setprofile(self._count)
            try:
                return inner(*args, **kwargs)
            finally:
                if aimed:
                    sys.setprofile(None)
                self._bytes[self._slot] = before

        setattr(owner, name, marked)

    def _count(self, frame: Any, event: str, argument: Any) -> None:
        self._left -= 1
        if self._left > 0:
            return
        assert self._aim is not None
        sys.setprofile(None)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._aim.token, os.O_CREAT | os.O_EXCL))
            os.kill(os.getpid(), signal.SIGKILL)
        self._aim = None

    def install(self, kinds: set[str]) -> None:
        """Wrap what the phases consist of."""
        from currgym.runs.checkpoints import Checkpoints
        from currgym.runs.run import Run
        from currgym.teachers import _gmm

        self.wrap(Run, "_train", "training")
        self.wrap(Checkpoints, "save", "checkpoint")
        self.wrap(Checkpoints, "prune", "checkpoint")
        self.wrap(Run, "_load", "restore")
        self.wrap(Run, "_finish", "finish")
        self.wrap(_gmm, "fit_mixture", "fit")
        if "supervised" in kinds:
            from currgym.runs.examples import SupervisedSession
            from currgym.students.supervised import SupervisedStudent

            self.wrap(SupervisedSession, "evaluate", "evaluation")
            self.wrap(SupervisedStudent, "step", "update")
        if "study" in kinds:
            from currgym.studies.store import Store

            for name in ("add", "begin", "progress", "finish"):
                self.wrap(Store, name, "index")
        if "rl" in kinds:
            from stable_baselines3 import PPO, SAC

            from currgym.runs.rl import RLSession
            from currgym.vector import CurriculumVectorEnv

            self.wrap(RLSession, "evaluate", "evaluation")
            self.wrap(CurriculumVectorEnv, "reset", "reset")
            self.wrap(PPO, "train", "update")
            self.wrap(SAC, "train", "update")


def mark_from_environment(kinds: set[str]) -> None:
    """Install marks as the environment says: workers are started anew and inherit only that."""
    aim = os.environ.get("CURRGYM_FAULTS_AIM")
    Marks(
        os.environ["CURRGYM_FAULTS_MARKS"], Aim(**json.loads(aim)) if aim is not None else None
    ).install(kinds)


# Outside -----------------------------------------------------------------------------------------


@dataclass
class Scenario:
    """A kind of run that is killed.

    Attributes:
        name: For the table.
        arguments: Of ``train``; none of a study, which is a file.
        kinds: What its processes do.
        phases: Those it goes through.
    """

    name: str
    arguments: list[str]
    kinds: tuple[str, ...] = ("rl",)
    phases: tuple[str, ...] = AIMED
    seconds: float = 0.0
    """Wall-clock of the twin."""

    @property
    def study(self) -> bool:
        """Whether it is a study of four runs."""
        return "study" in self.kinds


SCENARIOS = (
    Scenario("ppo", PPO),
    Scenario("sac", SAC),
    Scenario("supervised", DIGITS, kinds=("supervised",),
             phases=tuple(p for p in AIMED if p != "reset")),
    Scenario("study", [], kinds=("supervised", "study"),
             phases=(*(p for p in AIMED if p != "reset"), "index")),
)  # fmt: skip


@dataclass
class Tally:
    """What has been seen."""

    phases: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    aimed: int = 0
    resumed_equal: int = 0
    trials: int = 0
    lost_checkpoints: int = 0
    orphans: int = 0
    longest: float = 0.0
    """Seconds until the last process of a killed run was gone."""
    problems: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Kills so far."""
        return sum(self.kills.values())

    def of(self, scenario: str) -> int:
        """Kills so far of one kind of run."""
        return sum(n for name, n in self.kills.items() if name.partition(",")[0] == scenario)


class Bench:
    """Starts, kills, resumes and compares runs in one folder."""

    def __init__(self, folder: Path, rng: np.random.Generator) -> None:
        self.folder, self.rng = folder, rng
        self.marks = folder / "marks"
        self.marks.write_bytes(bytes(SLOTS))
        with self.marks.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), SLOTS, access=mmap.ACCESS_READ)
        self._tokens = 0

    def start(self, arguments: list[str], kinds: tuple[str, ...], aim: Aim | None) -> int:
        """Begin a command in a process of its own session, and return its id.

        Forked, with the libraries loaded already: 200 starts from nothing would be most of the
        time.
        """
        pid = os.fork()
        if pid:
            return pid
        code = 70
        try:
            os.setsid()
            os.environ["CURRGYM_FAULTS_MARKS"] = str(self.marks)
            os.environ.pop("CURRGYM_FAULTS_AIM", None)
            if aim is not None:
                os.environ["CURRGYM_FAULTS_AIM"] = json.dumps(vars(aim))
            os.chdir(self.folder)
            log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            mark_from_environment(set(kinds))
            from currgym.cli import main

            main(arguments)
        except SystemExit as stop:
            code = int(stop.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)

    def wait(self, pid: int, seconds: float = 900.0) -> int | None:
        """Return the exit code (negative: the signal) once a process ends, None if it does not."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        return None

    def phase(self, pid: int) -> str:
        """Return the phase in which a process was last."""
        return PHASES[self._bytes[pid % SLOTS]]

    def aim(self, phase: str) -> Aim:
        """Return a new aim within a phase."""
        self._tokens += 1
        calls = int(np.exp(self.rng.uniform(0, np.log(60 if phase == "finish" else 400))))
        return Aim(phase, calls, str(self.folder / f"token-{self._tokens}"))


def session_members(leader: int) -> list[int]:
    """Return the living processes of a session, its leader apart."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            rest = (path / "stat").read_text().rpartition(")")[2].split()
            if int(rest[3]) == leader and rest[0] not in "ZX" and int(path.name) != leader:
                found.append(int(path.name))
    return found


def workers_of(leader: int) -> list[int]:
    """Return a study's workers: what it started, multiprocessing's own helper apart."""
    found = []
    for pid in session_members(leader):
        with contextlib.suppress(OSError):
            if b"spawn_main" in (Path("/proc") / str(pid) / "cmdline").read_bytes():
                found.append(pid)
    return found


def run_folders(out: Path) -> list[Path]:
    """Return the run folders of a run or a study."""
    if (out / "runs").exists():
        return sorted(path.parent for path in out.glob("runs/*/*/config.json"))
    return [out] if (out / "config.json").exists() else []


def newest(folder: Path) -> tuple[int, list[str]]:
    """Return the step of the newest sound checkpoint (-1: none), and what is wrong with others."""
    from currgym.runs.checkpoints import Checkpoints

    checkpoint, problems = Checkpoints(folder).newest()
    return (-1 if checkpoint is None else checkpoint.step), problems


def begin_or_resume(scenario: Scenario, name: str, out: Path, seed: int) -> list[str]:
    """Return the command that begins a run, or goes on with it."""
    if scenario.study:
        file = out.with_suffix(".toml")
        if not file.exists():
            file.write_text(STUDY.format(seed=seed))
        return ["study", "run", file.name, "--jobs", "2"]
    if (out / "config.json").exists():
        return ["resume", name]
    return [
        "train", *scenario.arguments, "--seed", str(seed), "--out", name,
        "--checkpoint-every", "0.5",
    ]  # fmt: skip


Struck = list[tuple[str, str]]
"""Who died, and in which phase."""


def strike_run(
    bench: Bench, scenario: Scenario, leader: int, aim: Aim | None
) -> tuple[Struck, Any]:
    """Kill a run's process, unless it does so itself; return who died, and its exit code."""
    if aim is None:
        time.sleep(bench.rng.uniform(0.0, 0.6 * scenario.seconds))
        with contextlib.suppress(ProcessLookupError):
            os.kill(leader, signal.SIGKILL)
    code = bench.wait(leader)
    return [("main", bench.phase(leader))] if code == -signal.SIGKILL else [], code


def strike_study(
    bench: Bench, scenario: Scenario, leader: int, aim: Aim | None, most: int
) -> tuple[Struck, Any]:
    """Kill workers of a study, which goes on, and half of the time its main process in the end.

    At most two workers: a run whose third worker died is given up.
    """
    struck: Struck = []
    whom = ["worker"] * (2 if aim is None else 1) + ["main"] * int(bench.rng.random() < 0.5)
    code = None
    for who in whom[: most - (aim is not None)]:
        code = bench.wait(leader, bench.rng.uniform(0.0, 0.5 * scenario.seconds))
        if code is not None:
            break
        workers = workers_of(leader)
        victim = int(bench.rng.choice(workers)) if who == "worker" and workers else leader
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
            struck.append(("main" if victim == leader else "worker", bench.phase(victim)))
        if victim == leader:
            break
    code = bench.wait(leader) if code is None else code
    if aim is not None and Path(aim.token).exists():
        struck.append(("main" if aim.phase == "index" else "worker", aim.phase))
    if code != -signal.SIGKILL:  # it had ended just before
        struck = [(who, place) for who, place in struck if who == "worker"]
    return struck, code


def kill_once(
    bench: Bench, scenario: Scenario, name: str, seed: int, tally: Tally, aimed: str | None,
    most: int,
) -> int:  # fmt: skip
    """Begin or go on with a run and kill it; return how many of its processes died."""
    out = bench.folder / name
    before = {folder: newest(folder)[0] for folder in run_folders(out)}
    aim = bench.aim(aimed) if aimed is not None else None
    leader = bench.start(begin_or_resume(scenario, name, out, seed), scenario.kinds, aim)
    if scenario.study:
        struck, code = strike_study(bench, scenario, leader, aim, most)
    else:
        struck, code = strike_run(bench, scenario, leader, aim)
    dead = any(who == "main" for who, _ in struck)
    if code != (-signal.SIGKILL if dead else 0):
        tally.problems.append(f"{scenario.name}: exit code {code} after {struck}")
    begin = time.monotonic()
    orphaned = still_there(leader)
    tally.longest = max(tally.longest, time.monotonic() - begin)
    tally.orphans += len(orphaned)
    for pid in orphaned:
        tally.problems.append(f"{scenario.name}: process {pid} outlived its run")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for folder in run_folders(out):
        step, problems = newest(folder)
        if problems or step < before.get(folder, -1):
            tally.lost_checkpoints += 1
            tally.problems.append(
                f"{scenario.name}: {folder.name} after {struck}: step {before.get(folder)} -> "
                f"{step}, {problems}"
            )
    for who, place in struck:
        tally.phases[place] += 1
        tally.kills[f"{scenario.name}, {who}"] += 1
    tally.aimed += aim is not None and Path(aim.token).exists()
    return len(struck)


def still_there(leader: int) -> list[int]:
    """Return what is left of a session three minutes after its leader's death.

    A worker that was just being started first loads its libraries, then sees that nobody is there.
    """
    limit = time.monotonic() + 180.0
    while (left := session_members(leader)) and time.monotonic() < limit:
        time.sleep(0.02)
    return left


def check_equal(bench: Bench, scenario: Scenario, name: str, twin: str, tally: Tally) -> bool:
    """Compare a finished run, or every run of a study, with its twin."""
    from currgym.runs.comparing import compare_runs

    ours, theirs = bench.folder / name, bench.folder / twin
    pairs = list(zip(run_folders(theirs), run_folders(ours), strict=True))
    found = [f"{b.name}: {line}" for a, b in pairs for line in compare_runs(a, b)]
    if not pairs:
        found.append("nothing to compare")
    if scenario.study:
        found += index_problems(ours)
    tally.problems += [f"{scenario.name}: {line}" for line in found]
    return not found


def index_problems(folder: Path) -> list[str]:
    """Return what is wrong with a study's index: damage, unfinished runs, or a row of its own."""
    from currgym.studies.store import Store

    def content() -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(folder / "index.sqlite")
        rows = connection.execute(
            "SELECT key, folder, teacher, seed, state, steps, solved, area, ledger FROM runs "
            "ORDER BY key"
        ).fetchall()
        rows += connection.execute("SELECT * FROM evaluations ORDER BY key, step").fetchall()
        connection.close()
        return rows

    connection = sqlite3.connect(folder / "index.sqlite")
    (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    found = [] if verdict == "ok" else [f"index: {verdict}"]
    store = Store(folder)
    counts = store.counts()
    if counts["done"] != 4 or sum(counts.values()) != 4:
        found.append(f"index: {counts}")
    store.close()
    before = content()
    rebuilt = Store(folder)
    rebuilt.rebuild()
    rebuilt.close()
    if before != content():
        found.append("index: the one rebuilt from the folders differs")
    return found


def trial(
    bench: Bench, scenario: Scenario, number: int, tally: Tally, wanted: int, aims: Iterator[str]
) -> None:
    """Kill one run a few times, let it end, and compare it with its twin."""
    name = f"{scenario.name}-{number}"
    kills = 0
    for attempt in range(2 * wanted):
        out = bench.folder / name
        if kills >= wanted or is_finished(scenario, out):
            break
        # In turn: aimed ones first would leave nothing for the others to hit.
        aimed = next(aims) if attempt % 2 else None
        kills += kill_once(bench, scenario, name, FIRST_SEED, tally, aimed, wanted - kills)
    out = bench.folder / name
    if not is_finished(scenario, out):
        leader = bench.start(begin_or_resume(scenario, name, out, FIRST_SEED), scenario.kinds, None)
        code = bench.wait(leader)
        if code != 0:
            tally.problems.append(f"{scenario.name}: the last resume ended with {code}")
            return
    equal = check_equal(bench, scenario, name, f"{scenario.name}-twin", tally)
    tally.trials += 1
    tally.resumed_equal += equal
    if equal:
        shutil.rmtree(out)


def is_finished(scenario: Scenario, out: Path) -> bool:
    """Tell whether nothing is left to do in a folder."""
    folders = run_folders(out)
    expected = 4 if scenario.study else 1
    return len(folders) == expected and all((f / "summary.json").exists() for f in folders)


def make_twin(bench: Bench, scenario: Scenario) -> None:
    """Run once without harm, and take the time."""
    begin = time.monotonic()
    out = bench.folder / f"{scenario.name}-twin"
    leader = bench.start(begin_or_resume(scenario, out.name, out, FIRST_SEED), scenario.kinds, None)
    code = bench.wait(leader)
    if code != 0:
        raise SystemExit(f"the twin of {scenario.name} ended with {code}: see {bench.folder}")
    scenario.seconds = time.monotonic() - begin


def measure(
    scenarios: dict[str, Scenario],
    kills: int,
    seed: int,
    tally: Tally,
    keep: list[Path],
    note: Callable[[], None],
) -> None:
    """Do that many kills; ``note`` is called after each run that was killed a few times."""
    import stable_baselines3  # noqa: F401
    import torch
    from torch.utils.tensorboard import SummaryWriter  # noqa: F401

    import currgym.runs.examples
    import currgym.runs.rl  # noqa: F401

    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    folder = Path(tempfile.mkdtemp(prefix="currgym-faults-"))
    keep.append(folder)
    bench = Bench(folder, rng)
    for scenario in scenarios.values():
        make_twin(bench, scenario)
        say(f"{scenario.name}: {scenario.seconds:.1f} s without a kill")
    aims = {name: in_turn(s.phases, rng) for name, s in scenarios.items()}
    number = 0
    while tally.total < kills:
        # Whoever has been killed least is next, so that all get their share.
        scenario = min(scenarios.values(), key=lambda s: tally.of(s.name))
        share = -(-kills // len(scenarios)) - tally.of(scenario.name)
        wanted = min(6, max(1, share), kills - tally.total)
        trial(bench, scenario, number, tally, wanted, aims[scenario.name])
        number += 1
        note()
        say(
            f"{tally.total} of {kills} kills, {tally.resumed_equal} of {tally.trials} runs equal, "
            f"{len(tally.problems)} problems"
        )
        for problem in tally.problems[-3:]:
            say(f"  {problem}")
    if not tally.problems:
        shutil.rmtree(folder)


def in_turn(phases: tuple[str, ...], rng: np.random.Generator) -> Iterator[str]:
    """Yield each phase as often as the others, in random order."""
    while True:
        yield from rng.permutation(phases).tolist()


def say(line: str) -> None:
    """Print one line of progress."""
    print(f"[{time.strftime('%H:%M:%S', time.gmtime(time.monotonic()))}] {line}", flush=True)


def document(tally: Tally, kills: int, seconds: float) -> dict[str, Any]:
    """Return what is committed."""
    return {
        "kills": tally.total,
        "asked": kills,
        "aimed": tally.aimed,
        "by_victim": dict(sorted(tally.kills.items())),
        "by_phase": {phase: tally.phases[phase] for phase in PHASES},
        "trials": tally.trials,
        "equal_to_twin": tally.resumed_equal,
        "lost_checkpoints": tally.lost_checkpoints,
        "orphans": tally.orphans,
        "last_process_gone_after_seconds": round(tally.longest, 1),
        "problems": tally.problems,
        "readme": [
            {
                "what": f"SIGKILL at {tally.total} moments (PPO, SAC, supervised, studies; main "
                "processes and workers): runs that, resumed, equal their uninterrupted twin",
                "figure": f"{tally.resumed_equal} of {tally.trials}; {tally.lost_checkpoints} "
                f"checkpoints lost, {tally.orphans} processes left",
            }
        ],
        "seconds": round(seconds),
        "python": platform.python_version(),
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--short", action="store_true", help="10 kills: illustration, no verdict")
    parser.add_argument(
        "--only", choices=[s.name for s in SCENARIOS], action="append", help="this kind of run"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    kills = 10 if options.short else options.kills
    tally = Tally()
    keep: list[Path] = []
    begin = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"faults{'-short' if options.short else ''}.json"

    def note() -> None:
        result = document(tally, kills, time.monotonic() - begin)
        if options.short:
            result["note"] = "illustration, no verdict"
        path.write_text(json.dumps(result, indent=1) + "\n")

    scenarios = {s.name: s for s in SCENARIOS if s.name in (options.only or [s.name])}
    measure(scenarios, kills, options.seed, tally, keep, note)
    note()
    result = json.loads(path.read_text())
    print("\nkills by phase of the process that died")
    for phase, count in result["by_phase"].items():
        print(f"  {phase:<11}{count:>4}  {'#' * count}")
    print(f"{result['equal_to_twin']} of {result['trials']} runs equal to their twin; {path}")
    whole = kills >= 200 and not options.only
    empty = [p for p, count in result["by_phase"].items() if whole and not count]
    if tally.problems or empty:
        print(*(tally.problems or [f"phases never hit: {', '.join(empty)}"]), sep="\n")
        print(f"kept: {', '.join(map(str, keep))}")
        sys.exit(1)


if __name__ == "__mp_main__" and "CURRGYM_FAULTS_MARKS" in os.environ:
    mark_from_environment({"supervised"})  # a study's worker
if __name__ == "__main__":
    main()
