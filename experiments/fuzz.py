"""Feed every command 1,000 malformed files, and see neither a traceback nor a planted command run.

Question: what does currgym do with a run, a study or a checkpoint of somebody else that is damaged,
or made to harm? Valid files of three small runs (reinforcement, supervised, simulated) and a study
are mutated by a seeded generator: bytes flipped, cut, doubled, spliced; JSON, TOML, CSV and SQLite
values replaced by others of the wrong type or size, keys dropped and added; arrays of other shapes
and types; and pickles planted in ``tensors.pt`` and ``.npz``, modules named in configurations,
study files and difficulties. Half of the mutated checkpoints get a manifest that vouches for them,
so that the damage is met further in.

Every command that loads something is then run on it in this process. It must end by itself with
exit code 0, 1 or 2, say something without a traceback unless all is well, and the planted code must
not have run.

Command (about half an hour on a busy core)::

    python experiments/fuzz.py --inputs 1000

``--short`` tries 60. A failure ends the experiment with exit code 1 and prints how to repeat it.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import pickle
import platform
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
TIME_LIMIT = 60
TRAP = "currgym_fuzz_trap"
"""A module that says so when it is imported."""

Rng = np.random.Generator


# Valid files -------------------------------------------------------------------------------------

RUNS = {
    "rl": [
        "CartPole-v0", "--teacher", "alp-gmm", "--student", "ppo", "--steps", "512", "--num-envs",
        "2", "--set", "student.n_steps=64", "--set", "teacher.fit_period=8", "--test-tasks", "2",
        "--test-seeds", "1", "--evaluate-every", "256",
    ],
    "sac": [
        "Pendulum-v0", "--teacher", "random", "--student", "sac", "--steps", "200", "--num-envs",
        "2", "--set", "student.learning_starts=150", "--set", "student.net_arch=[8,8]", "--set",
        "student.buffer_size=200", "--test-tasks", "2", "--test-seeds", "1", "--evaluate-every",
        "100",
    ],
    "supervised": ["data/digits", "--teacher", "easy-to-hard", "--steps", "320",
                   "--evaluate-every", "160"],
    "simulated": ["toy/cube", "--teacher", "alp-gmm", "--steps", "400", "--evaluate-every", "200",
                  "--set", "teacher.fit_period=50"],
}  # fmt: skip
STUDY = """\
name = "fuzz"
environments = ["toy/cube"]
students = ["cube"]
teachers = ["random", {label = "gmm", teacher = "alp-gmm", set = {fit_period = 50}}]
seeds = 2
steps = 200

[plan]
endpoint = "solved"
baseline = "random"
smallest_effect = 0.05
n = 2
"""


def prepare(folder: Path) -> None:
    """Make the valid files: each run once finished and once stopped halfway, and a study."""
    from currgym.runs import Interrupted, Run

    for name, arguments in RUNS.items():
        call(["train", *arguments, "--out", str(folder / name), "--checkpoint-every", "0"])
        half = folder / f"{name}-half"
        config = Run.open(folder / name).config
        run = Run.create(config, half)

        def stop(running: Run) -> None:
            running.stopping = running.steps >= running.config.steps // 2

        with contextlib.suppress(Interrupted):
            run.train(stop)
    (folder / "study.toml").write_text(STUDY)
    call(["study", "freeze", str(folder / "study.toml")])
    call(["study", "run", str(folder / "study.toml"), "--engine", "inline"])


# Mutations ---------------------------------------------------------------------------------------

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 1e308, float("nan"), float("inf"), 0.5, "",
    "x", "../../../etc/passwd", "a" * 5000, "\x00", "None", [], {}, [[]], [1, "a"],
    {"a": {"b": []}}, [[1.0, 2.0], [3.0]], "ppo", "alp-gmm", {"$array": "nowhere"},
    {"$torch": "nowhere"},
)  # fmt: skip


def flip(content: bytes, rng: Rng) -> bytes:
    """Damage bytes: flip, cut, double, splice, fill."""
    data = bytearray(content)
    how = rng.integers(6)
    if not data or how == 0:
        return bytes(rng.integers(256, size=int(rng.integers(0, 200)), dtype=np.uint8))
    at = int(rng.integers(len(data)))
    if how == 1:
        for _ in range(int(rng.integers(1, 9))):
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    elif how == 2:
        del data[at:]
    elif how == 3:
        data[at:at] = data[: int(rng.integers(1, len(data) + 1))]
    elif how == 4:
        data[at : at + int(rng.integers(1, 40))] = bytes(rng.integers(256, size=8, dtype=np.uint8))
    else:
        data[at : at + 40] = b"\x00" * 40
    return bytes(data)


def change_tree(tree: Any, rng: Rng) -> Any:
    """Change one thing somewhere in a tree of dicts and lists."""
    nodes = list(walk(tree))
    holder, key = nodes[int(rng.integers(len(nodes)))] if nodes else (None, None)
    value = VALUES[int(rng.integers(len(VALUES)))]
    if holder is None:
        return value
    how = rng.integers(5)
    if how == 0:
        del holder[key]
    elif how == 1 and isinstance(holder, dict):
        holder[f"{key}x"] = value
    elif how == 2 and isinstance(holder[key], (int, float)):
        holder[key] = type(holder[key])(-holder[key] * int(rng.integers(1, 1000)))
    elif how == 3:
        holder[key] = [holder[key]]
    else:
        holder[key] = value
    return tree


def walk(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every (holder, key) of a tree, long lists of numbers by their first few only."""
    items: Any = ()
    if isinstance(tree, dict):
        items = list(tree.items())
    elif isinstance(tree, list):
        items = list(enumerate(tree))[:5]
    for key, child in items:
        yield tree, key
        yield from walk(child)


def mutate_json(path: Path, rng: Rng) -> None:
    """Change a value of a JSON file, or its bytes."""
    if rng.random() < 0.2:
        path.write_bytes(flip(path.read_bytes(), rng))
        return
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    at = int(rng.integers(len(lines)))
    lines[at] = json.dumps(change_tree(json.loads(lines[at]), rng))
    path.write_text("\n".join(lines) + "\n" * (path.suffix == ".jsonl"))


def mutate_toml(path: Path, rng: Rng) -> None:
    """Change a value of a study file, or its bytes."""
    import tomli_w

    tomllib: Any = __import__("tomllib" if sys.version_info >= (3, 11) else "tomli")
    text = path.read_text()
    if rng.random() < 0.2:
        path.write_bytes(flip(path.read_bytes(), rng))
        return
    if rng.random() < 0.2:
        path.write_text(text.replace("seeds = 2", "seeds = 1979-05-27"))
        return
    with contextlib.suppress(Exception):
        path.write_text(tomli_w.dumps(change_tree(tomllib.loads(text), rng)))
        return
    path.write_text(text.replace("2", "[", 1))


def mutate_csv(path: Path, rng: Rng) -> None:
    """Change a cell, a row or the header of a table, or bytes."""
    if rng.random() < 0.3:
        path.write_bytes(flip(path.read_bytes(), rng))
        return
    rows = [line.split(",") for line in path.read_text().splitlines()] or [[""]]
    at = int(rng.integers(len(rows)))
    how = rng.integers(5)
    if how == 0:
        del rows[at]
    elif how == 1:
        rows[at] = rows[at][: int(rng.integers(len(rows[at]) + 1))]
    elif how == 2:
        rows[at] = rows[at] * 2
    else:
        column = int(rng.integers(len(rows[at])))
        rows[at][column] = str(VALUES[int(rng.integers(len(VALUES)))])[:300]
    path.write_text("\n".join(map(",".join, rows)) + "\n")


def mutate_npz(path: Path, rng: Rng) -> None:
    """Change an array: type, shape, values; drop it, or bytes."""
    if rng.random() < 0.3:
        path.write_bytes(flip(path.read_bytes(), rng))
        return
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    if arrays:
        name = list(arrays)[int(rng.integers(len(arrays)))]
        array = arrays.pop(name)
        how = rng.integers(6)
        if how == 0:
            arrays[name] = array.reshape(-1)[: array.size // 2]
        elif how == 1:
            arrays[name] = np.full(array.shape, np.nan)
        elif how == 2:
            arrays[name] = array.astype("U8")
        elif how == 3:
            arrays[name] = array[None]
        elif how == 4:
            arrays[name] = np.array(7)
    np.savez(path, **arrays)


def mutate_tensors(path: Path, rng: Rng) -> None:
    """Change a tensor, a key, or bytes."""
    import torch

    if rng.random() < 0.4:
        path.write_bytes(flip(path.read_bytes(), rng))
        return
    torch.save(change_tree(torch.load(path, weights_only=True), rng), path)


def mutate_sqlite(path: Path, rng: Rng) -> None:
    """Change a cell of an index, its schema, or bytes."""
    if rng.random() < 0.5:
        path.write_bytes(flip(path.read_bytes(), rng))
        return
    connection = sqlite3.connect(path)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(runs)")]
    column = columns[int(rng.integers(len(columns)))]
    value = VALUES[int(rng.integers(len(VALUES)))]
    if not isinstance(value, (str, float, type(None), bool)) and not (
        isinstance(value, int) and abs(value) < 2**63
    ):
        value = json.dumps(value)
    with contextlib.suppress(sqlite3.Error):
        if rng.random() < 0.2:
            connection.execute(f'ALTER TABLE runs RENAME COLUMN "{column}" TO other')
        else:
            connection.execute(f'UPDATE runs SET "{column}"=?', (value,))
        connection.commit()
    connection.close()


class Payload:
    """What a pickle runs when it is loaded."""

    def __reduce__(self) -> Any:
        return (exec, (f"import {TRAP}",))


def plant_tensors(path: Path, rng: Rng) -> None:
    """Put a pickle that imports the trap into a file of tensors."""
    import torch

    torch.save({"session.student.torch": Payload()}, path)


def plant_npz(path: Path, rng: Rng) -> None:
    """Put a pickle that imports the trap into an array of objects."""
    with np.load(path, allow_pickle=False) as file:
        names = file.files or ["x"]
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.array([Payload()], dtype=object))
            archive.writestr(f"{name}.npy", buffer.getvalue())


def plant_config(path: Path, rng: Rng) -> None:
    """Name the trap wherever a configuration names a module."""
    document = json.loads(path.read_text())
    request = document["request"]
    how = rng.integers(4)
    if how == 0:
        request["modules"] = [TRAP]
    elif how == 1:
        request["env"] = f"{TRAP}:currgym/CartPole-v0"
    elif how == 2:
        document["task_space"] = {
            "type": "box", "low": [0.0], "high": [1.0], "names": ["x"], "kinds": ["real"],
            "difficulty": {"import": f"{TRAP}:difficulty"},
        }  # fmt: skip
    else:
        request["env"] = "GymV26Environment-v0"
        request["env_parameters"] = {"env_id": f"{TRAP}:Env-v0"}
    path.write_text(json.dumps(document))


def plant_study(path: Path, rng: Rng) -> None:
    """Let a study import the trap."""
    text = path.read_text()
    if rng.random() < 0.5:
        path.write_text(f'import = ["{TRAP}"]\n{text}')
    else:
        path.write_text(text.replace('"toy/cube"', f'"{TRAP}:currgym/CartPole-v0"'))


def plant_pickle(path: Path, rng: Rng) -> None:
    """Put a bare pickle where any file is expected."""
    path.write_bytes(pickle.dumps(Payload()))


def vouch(checkpoint: Path) -> None:
    """Let a manifest vouch for what is there now."""
    path = checkpoint / "manifest.json"
    manifest = json.loads(path.read_text())
    for name in manifest["files"]:
        content = (checkpoint / name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        manifest["files"][name] = {"bytes": len(content), "sha256": digest}
    path.write_text(json.dumps(manifest))


# Cases -------------------------------------------------------------------------------------------

MUTATIONS: dict[str, Callable[[Path, Rng], None]] = {
    ".json": mutate_json, ".jsonl": mutate_json, ".toml": mutate_toml, ".csv": mutate_csv,
    ".npz": mutate_npz, ".pt": mutate_tensors, ".sqlite": mutate_sqlite,
}  # fmt: skip
PLANTS: dict[str, tuple[Callable[[Path, Rng], None], ...]] = {
    "config.json": (plant_config,), "study.toml": (plant_study, plant_pickle),
    "arrays.npz": (plant_npz, plant_pickle), "tensors.pt": (plant_tensors, plant_pickle),
    "state.json": (plant_pickle,), "manifest.json": (plant_pickle,),
    "episodes.csv": (plant_pickle,), "index.sqlite": (plant_pickle,), "study.json": (plant_pickle,),
}  # fmt: skip
LOADERS = {
    "config.json": ("resume", "evaluate", "report", "film", "why", "reproduce", "resume", "why"),
    "manifest.json": ("resume", "evaluate", "reproduce"),
    "state.json": ("resume", "evaluate", "film", "reproduce"),
    "arrays.npz": ("resume", "evaluate", "reproduce"),
    "tensors.pt": ("resume", "evaluate", "film"),
    "replay": ("resume",),
    "episodes.csv": ("why", "report", "resume", "reproduce", "why"),
    "probes.csv": ("why", "resume"),
    "calls.csv": ("why", "resume", "reproduce"),
    "evaluations.csv": ("report", "figure", "reproduce", "study status"),
    "timing.csv": ("report",),
    "periods.jsonl": ("report", "resume"),
    "optimizer.csv": ("report",),
    "snapshots.jsonl": ("report", "figure"),
    "summary.json": ("report", "resume", "reproduce", "study status"),
    "study.toml": ("study status", "study run", "study report", "study freeze", "study export"),
    "study.json": ("report", "study status"),
    "study.frozen.json": ("study status", "study run", "study report"),
    "index.sqlite": ("study status", "study run", "study report", "study export"),
}


@dataclass(frozen=True)
class Case:
    """One malformed input and the command it is fed to.

    Attributes:
        number: From which everything is drawn.
        where: Run, or ``"study"``.
        file: What was changed, relative to it.
        how: By what.
        command: As typed.
    """

    number: int
    where: str
    file: str
    how: str
    command: str


def make(number: int, base: Path, work: Path) -> Case:
    """Copy the valid files, change one, and say which command to feed it to."""
    rng = np.random.default_rng([20_26, number])
    kinds = sorted(LOADERS)
    kind = kinds[number % len(kinds)]
    shutil.rmtree(work, ignore_errors=True)
    studied = kind in ("study.toml", "study.json", "study.frozen.json", "index.sqlite")
    commands = LOADERS[kind]
    command = commands[int(rng.integers(len(commands)))]
    if studied or command.startswith("study"):
        shutil.copytree(base / "study", work / "study")
        for name in ("study.toml", "study.frozen.json"):
            shutil.copyfile(base / name, work / name)
        where = "study"
        path = work / kind
        if kind not in ("study.toml", "study.frozen.json"):
            found = sorted((work / "study").rglob(kind))
            path = found[int(rng.integers(len(found)))]
        target = work / ("study" if command in ("report", "figure") else "study.toml")
    else:
        names = ["sac-half"] if kind == "replay" else [*RUNS]
        where = names[int(rng.integers(len(names)))]
        if command == "resume" and kind != "summary.json" and not where.endswith("-half"):
            where += "-half"
        shutil.copytree(base / where, work / where)
        target = work / where
        pattern = "replay/*.npz" if kind == "replay" else f"**/{kind}"
        found = sorted(target.glob(pattern)) or sorted(target.glob("config.json"))
        path = found[-1 - int(rng.integers(min(2, len(found))))]
    plants = PLANTS.get(path.name, ())
    change = MUTATIONS[path.suffix]
    if plants and rng.random() < 0.3:
        change = plants[int(rng.integers(len(plants)))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        change(path, rng)
    inside = path.parent.parent.name == "checkpoints" and path.name != "manifest.json"
    if inside and rng.random() < 0.7:
        vouch(path.parent)
    if path.name == "index.sqlite":
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
    extra = {"why": ["--episode", str(int(rng.integers(20)))]}.get(command, [])
    if command == "study run":
        extra = ["--engine", "inline"]
    if command == "reproduce":
        extra = ["--out", str(work / "again")]
    line = [*command.split(), str(target), *extra]
    return Case(number, where, str(path.relative_to(work)), change.__name__, " ".join(line))


class TooLong(BaseException):
    """A command took longer than any of these runs does."""


def call(arguments: list[str]) -> tuple[int | None, str, str]:
    """Run the command line in this process; return exit code, output and what is wrong with it."""
    from currgym.cli import main

    def ring(number: int, frame: FrameType | None) -> None:
        raise TooLong

    out, wrong, code = io.StringIO(), "", None
    # The processor's time: a busy machine is no fault, and SIGALRM is the watchdog's.
    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, TIME_LIMIT)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            main(arguments)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
    except TooLong:
        wrong = f"no end within {TIME_LIMIT} s"
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        wrong = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        out.write(traceback.format_exc())
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    said = out.getvalue()
    if not wrong and code not in (0, 1, 2):
        wrong = f"exit code {code}"
    if not wrong and "Traceback" in said:
        wrong = "a traceback"
    if not wrong and code and not said.strip():
        wrong = "failed without a word"
    if TRAP in sys.modules:
        del sys.modules[TRAP]
        wrong = "planted code has run"
    return code, said, wrong


def set_trap(folder: Path) -> None:
    """Put the trap where it could be imported."""
    (folder / f"{TRAP}.py").write_text("difficulty = print\n")
    sys.path.insert(0, str(folder))


def fuzz(
    numbers: range,
    say: Callable[[str], None] = print,
    note: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Try these cases; return counts and what went wrong, and ``note`` them now and then."""
    note = note or (lambda result: None)
    base = Path(tempfile.mkdtemp(prefix="currgym-fuzz-"))
    set_trap(base)
    here = os.getcwd()
    failures: list[dict[str, Any]] = []
    codes: Counter[str] = Counter()
    changed: Counter[str] = Counter()

    def result(tried: int) -> dict[str, Any]:
        return {
            "inputs": tried,
            "exit_codes": dict(sorted(codes.items())),
            "changed": dict(sorted(changed.items())),
            "failures": failures,
        }

    try:
        prepare(base)
        os.chdir(base)
        for number in numbers:
            case = make(number, base, base / "work")
            code, said, wrong = call(case.command.split())
            codes[str(code)] += 1
            changed[f"{Path(case.file).suffix[1:]} {case.how.split('_')[0]}"] += 1
            if wrong:
                failures.append({**vars(case), "wrong": wrong})
                say(f"{number}: {case.command}: {case.how} on {case.file}: {wrong}")
                say(said[-1500:])
            if number % 25 == 24:
                say(f"{number + 1} tried, {len(failures)} wrong")
                note(result(number + 1 - numbers[0]))
    finally:
        os.chdir(here)
        sys.path.remove(str(base))
        shutil.rmtree(base, ignore_errors=True)
    return result(len(numbers))


def main_() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--short", action="store_true", help="60 inputs: illustration, no verdict")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    begin = time.monotonic()
    inputs = 60 if options.short else options.inputs
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"fuzz{'-short' if options.short else ''}.json"

    def note(found: dict[str, Any]) -> None:
        found |= {"asked": inputs, "seconds": round(time.monotonic() - begin)}
        found["python"] = platform.python_version()
        clean = found["inputs"] - len(found["failures"])
        found["readme"] = [
            {
                "what": "malformed configurations, studies, checkpoints, logs and indices that end "
                "in a clean error or do no harm",
                "figure": f"{clean:,} of {found['inputs']:,}",
            }
        ]
        if options.short:
            found["note"] = "illustration, no verdict"
        path.write_text(json.dumps(found, indent=1) + "\n")

    result = fuzz(range(options.first, options.first + inputs), note=note)
    note(result)
    print(f"{inputs} inputs, {len(result['failures'])} wrong, exit codes {result['exit_codes']}")
    sys.exit(1 if result["failures"] else 0)


if __name__ == "__main__":
    main_()
