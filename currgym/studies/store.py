"""The store of a study: run folders, and one SQLite index over them that can be rebuilt.

The folders are the truth. The index (write-ahead log, so that several studies write at once)
answers what is done without opening thousands of files.
"""

from __future__ import annotations

import contextlib
import csv
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from currgym.runs.config import RunConfig
from currgym.runs.owner import gone, whoami
from currgym.studies.cells import Cell
from currgym.teaching import teachers

__all__ = ["STATES", "Store", "StoredRun", "read_results"]

STATES = ("waiting", "running", "done", "failed")
_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    key TEXT PRIMARY KEY, folder TEXT NOT NULL UNIQUE, label TEXT, env TEXT, env_parameters TEXT,
    teacher TEXT, preset TEXT, parameters TEXT, student TEXT, student_parameters TEXT,
    seed INTEGER, budget INTEGER, state TEXT NOT NULL, steps INTEGER NOT NULL DEFAULT 0,
    solved REAL, area REAL, "return" REAL, seconds REAL, ledger TEXT, error TEXT, owner TEXT
);
CREATE TABLE IF NOT EXISTS evaluations (
    key TEXT NOT NULL, step INTEGER NOT NULL, test_set TEXT NOT NULL, solved REAL, "return" REAL,
    PRIMARY KEY (key, step, test_set)
);
CREATE TABLE IF NOT EXISTS digests (key TEXT PRIMARY KEY, digest BLOB NOT NULL);
"""
FAILURE = "failure.json"
_INSERT = (
    "INSERT INTO runs (key, folder, label, env, env_parameters, teacher, preset, parameters, "
    "student, student_parameters, seed, budget, state) "
    "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,'waiting') ON CONFLICT DO NOTHING"
)
_SETTLED = ("steps", "solved", "area", "return", "seconds", "ledger", "error")


_NUMBER = "IN ('real', 'integer', 'null')"
_RULES = {
    "runs": "typeof(key)='text' AND typeof(folder)='text' AND folder LIKE 'runs/%' AND "
    "instr('/' || folder || '/', '/../')=0 AND instr(folder, char(0))=0 AND state IN "
    f"{STATES!r} AND typeof(steps)='integer' AND typeof(budget)='integer' AND "
    "typeof(seed)='integer' AND typeof(label)='text' AND typeof(env)='text' AND "
    "typeof(teacher)='text' AND typeof(student)='text' AND typeof(parameters)='text' AND "
    f'typeof(solved) {_NUMBER} AND typeof(area) {_NUMBER} AND typeof("return") {_NUMBER} AND '
    f"typeof(seconds) {_NUMBER}",
    "evaluations": "typeof(key)='text' AND typeof(step)='integer' AND "
    f'typeof(solved) {_NUMBER} AND typeof("return") {_NUMBER}',
    "digests": "typeof(key)='text' AND typeof(digest)='blob'",
}
"""What holds of every row, whoever wrote it: folders lie in the store, numbers are numbers."""
_OUTSIDE = ("is full", "readonly", "locked", "unable to open", "disk i/o")


@dataclass(frozen=True)
class StoredRun:
    """One row of the index.

    Attributes:
        key: Of the cell.
        folder: Of the run.
        label: Its arm's when it was first asked for.
        env: Environment id.
        teacher: Registered name.
        preset: Of the teacher.
        parameters: Of the teacher, as JSON.
        student: Registered name.
        seed: Of the run.
        budget: Steps asked for.
        state: One of :data:`STATES`.
        steps: Steps done.
        solved: Share of the test set solved at the end (so far, while it runs); None before.
        area: The same averaged over the budget.
        mean_return: Mean return on the test set at the end.
        seconds: Wall-clock of training.
        error: Why it failed.
        origin: Where a reference result comes from, in words; None for a run of one's own.
    """

    key: str
    folder: Path
    label: str
    env: str
    teacher: str
    preset: str | None
    parameters: str
    student: str
    seed: int
    budget: int
    state: str
    steps: int
    solved: float | None
    area: float | None
    mean_return: float | None
    seconds: float | None
    error: str | None
    ledger_json: str | None
    origin: str | None = None

    @property
    def ledger(self) -> dict[str, int]:
        """What was spent."""
        found: dict[str, int] = json.loads(self.ledger_json) if self.ledger_json else {}
        return found

    @property
    def begun(self) -> bool:
        """Whether something of its result can be known."""
        return self.state == "done" or self.steps > 0


class Store:
    """A folder of runs with its index.

    Args:
        folder: Made when first written to.

    Raises:
        ValueError: If the index is damaged; :meth:`rebuild` mends it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._connection: sqlite3.Connection | None = None

    @property
    def path(self) -> Path:
        """The index."""
        return self.folder / "index.sqlite"

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Two that make the index at once lock each other out, whatever SQLite's own timeout.
            with FileLock(self.folder / ".index.lock", timeout=60.0), self._sound():
                connection = sqlite3.connect(self.path, timeout=60.0, isolation_level=None)
                try:
                    self._prepare(connection)
                except BaseException:
                    connection.close()
                    raise
            self._connection = connection
        return self._connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Bring an index into its form, and see that it is one: it may be of any origin."""
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            raise ValueError(f"{self.path} has format {version}: update currgym")
        connection.executescript(_SCHEMA)
        connection.execute(f"PRAGMA user_version={_VERSION}")
        for table, rule in _RULES.items():
            bad = connection.execute(f"SELECT key FROM {table} WHERE NOT ({rule}) LIMIT 1")
            if (row := bad.fetchone()) is not None:
                raise sqlite3.DatabaseError(f"what it says of {row[0]!r:.12} in {table} is not so")

    @contextlib.contextmanager
    def _sound(self) -> Iterator[None]:
        """Say what is wrong with the index: its disk, or itself.

        Raises:
            OSError: If it cannot be read or written now.
            ValueError: If it is damaged.
        """
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            text = str(error)
            if any(word in text.lower() for word in _OUTSIDE):
                raise OSError(f"{self.path}: {text}") from error
            raise ValueError(
                f"{self.path} is damaged ({text}): 'currgym study status FILE --rebuild' makes it "
                "anew from the run folders"
            ) from error

    def _query(self, sql: str, values: Iterable[Any] = ()) -> list[Any]:
        connection = self._open()
        with self._sound():
            return connection.execute(sql, tuple(values)).fetchall()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._open()
        with self._sound():
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # what is to be told is the first error
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def close(self) -> None:
        """Close the index."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # Writing -------------------------------------------------------------------------------------

    def add(self, cells: Iterable[Cell]) -> None:
        """Make room for cells; those that are there stay as they are."""
        cells = list(cells)
        known = self.runs(cell.key for cell in cells)
        rows = [
            _new_row(cell.key, _folder_name(cell), cell.config)
            for cell in cells
            if cell.key not in known
        ]
        if rows:
            with self._transaction() as connection:
                connection.executemany(_INSERT, rows)

    def begin(self, key: str) -> None:
        """Note that a run has been begun once more."""
        (self[key].folder / FAILURE).unlink(missing_ok=True)
        self._update(
            key, "state='running', error=NULL, owner=? WHERE state<>'done' AND", (whoami(),)
        )

    def progress(self, points: Mapping[str, tuple[int, float | None]]) -> None:
        """Note how far runs are: key -> (steps, share solved)."""
        if not points:
            return
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE runs SET steps=?, solved=? WHERE key=? AND state='running'",
                [(steps, solved, key) for key, (steps, solved) in points.items()],
            )

    def fail(self, key: str, error: str) -> None:
        """Note that a run has failed, in its folder too, from which an index may be rebuilt."""
        folder = self[key].folder
        with contextlib.suppress(OSError):  # the disk may be what failed
            if (folder / "config.json").exists():
                (folder / FAILURE).write_text(json.dumps({"error": error}), encoding="utf-8")
        self._update(key, "state='failed', error=? WHERE state<>'done' AND", (error,))

    def rest(self, key: str) -> None:
        """Note that a run was interrupted and will go on another time."""
        self._update(key, "state='waiting' WHERE state='running' AND", ())

    def finish(self, key: str) -> StoredRun:
        """Read a finished run's folder into the index, and return its row.

        Raises:
            ValueError: If it is not finished, or its files are damaged.
        """
        folder = self[key].folder
        end = _End.of(folder)
        with self._transaction() as connection:
            _write_results(connection, key, end)
        return self[key]

    def _update(self, key: str, clause: str, values: tuple[Any, ...]) -> None:
        with self._transaction() as connection:
            connection.execute(f"UPDATE runs SET {clause} key=?", (*values, key))

    def rebuild(self) -> int:
        """Make the index anew from the run folders; return how many runs there are."""
        try:
            self._open()
        except ValueError:  # a file that is no index any more
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        rows, ends, failures = [], {}, []
        for path in sorted(self.folder.glob("runs/*/*/config.json")):
            folder = path.parent
            try:
                config, _ = RunConfig.read(folder)
            except ValueError:
                continue  # a damaged folder is run again
            if config.cell is None:
                continue
            place = folder.relative_to(self.folder).as_posix()
            rows.append(_new_row(config.cell, place, config))
            if (folder / "summary.json").exists():
                with contextlib.suppress(ValueError):
                    ends[config.cell] = _End.of(folder)
            elif (folder / FAILURE).exists():
                with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                    told = json.loads((folder / FAILURE).read_text(encoding="utf-8"))["error"]
                    failures.append((str(told), config.cell))
        # In place and in one go: other studies that have the index open lose nothing.
        with self._transaction() as connection:
            connection.execute("DELETE FROM runs WHERE state<>'running'")
            for table in ("evaluations", "digests"):
                connection.execute(f"DELETE FROM {table} WHERE key NOT IN (SELECT key FROM runs)")
            connection.executemany(_INSERT, rows)
            connection.executemany("UPDATE runs SET state='failed', error=? WHERE key=?", failures)
            for key, end in ends.items():
                _write_results(connection, key, end)
        return len(rows)

    # Reading -------------------------------------------------------------------------------------

    def __getitem__(self, key: str) -> StoredRun:
        row = self._rows("WHERE key=?", (key,))
        if not row:
            raise KeyError(f"{self.folder} holds no run {key[:8]}")
        return row[0]

    def runs(self, keys: Iterable[str] | None = None) -> dict[str, StoredRun]:
        """Return rows by key: all, or those of these keys that are there."""
        if keys is None:
            return {run.key: run for run in self._rows("", ())}
        found: dict[str, StoredRun] = {}
        for marks, part in _parts(keys):
            found.update((run.key, run) for run in self._rows(f"WHERE key IN ({marks})", part))
        return found

    def counts(self) -> dict[str, int]:
        """Return how many runs are in each state."""
        rows = self._query("SELECT state, COUNT(*) FROM runs GROUP BY state")
        return {state: dict(rows).get(state, 0) for state in STATES}

    def curves(self, keys: Iterable[str]) -> dict[str, list[tuple[int, float, float]]]:
        """Return each finished run's evaluations: key -> [(step, share solved, mean return)]."""
        found: dict[str, list[tuple[int, float, float]]] = {key: [] for key in keys}
        for marks, part in _parts(found):
            rows = self._query(
                'SELECT key, step, solved, "return" FROM evaluations '
                f"WHERE key IN ({marks}) ORDER BY key, step",
                part,
            )
            for key, *point in rows:
                found[key].append(tuple(point))
        return found

    def digests(self, folders: Iterable[str]) -> dict[str, bytes]:
        """Return what reports need of finished runs: folder, from the store's own, -> digest."""
        found: dict[str, bytes] = {}
        for marks, part in _parts(folders):
            found |= self._query(
                "SELECT folder, digest FROM runs JOIN digests USING (key) "
                f"WHERE state='done' AND folder IN ({marks})",
                part,
            )
        return found

    def _rows(self, where: str, values: Iterable[Any]) -> list[StoredRun]:
        rows = self._query(
            "SELECT key, folder, label, env, teacher, preset, parameters, student, seed, budget, "
            'state, steps, solved, area, "return", seconds, error, ledger, owner '
            f"FROM runs {where}",
            values,
        )
        return [
            StoredRun(
                key, self.folder / folder, label, env, teacher, preset, parameters, student, seed,
                budget, self._state(state, folder, owner), *rest,
            )
            for (key, folder, label, env, teacher, preset, parameters, student, seed, budget, state,
                 *rest, owner) in rows
        ]  # fmt: skip

    def _state(self, state: str, folder: str, owner: str | None) -> str:
        """Return a row's state: its process may have ended, its folder been thrown away."""
        if state == "running" and gone(owner):
            return "waiting"
        if state == "done" and not (self.folder / folder / "summary.json").is_file():
            return "waiting"
        return state


def _parts(keys: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield (question marks, keys) in parts that one statement can take."""
    wanted = list(keys)
    for start in range(0, len(wanted), 500):
        part = wanted[start : start + 500]
        yield ",".join("?" * len(part)), part


def _folder_name(cell: Cell) -> str:
    """Return a name that a person can read; the address's first digits keep it apart."""
    return f"runs/{cell.arm}/{cell.panel}-seed-{cell.seed}-{cell.key[:8]}"


def _new_row(key: str, folder: str, config: RunConfig) -> tuple[Any, ...]:
    return (
        key, folder, config.label or config.teacher, config.env,
        json.dumps(config.env_parameters, sort_keys=True), config.teacher, config.preset,
        json.dumps(_own(config), sort_keys=True, default=list), config.student,
        json.dumps(config.student_parameters, sort_keys=True), config.seed, config.steps,
    )  # fmt: skip


def _own(config: RunConfig) -> dict[str, Any]:
    """Return the teacher's parameters without the files that a run has been given a copy of."""
    copied = teachers[config.teacher].files if config.teacher in teachers else frozenset()
    return {k: v for k, v in config.teacher_parameters.items() if k not in copied}


Curve = list[tuple[int, str, float, float]]


@dataclass(frozen=True)
class _End:
    """What the index keeps of a finished run."""

    values: Mapping[str, Any]
    curve: Curve
    digest: bytes

    @classmethod
    def of(cls, folder: Path) -> _End:
        """Read a run's folder.

        Raises:
            ValueError: If it is not finished, or its files are damaged.
        """
        from currgym.report.records import digest_of

        values, curve = read_results(folder)
        return cls(values, curve, digest_of(folder))


def _write_results(connection: sqlite3.Connection, key: str, end: _End) -> None:
    names = ", ".join(f'"{name}"=?' for name in _SETTLED)
    connection.execute(
        f"UPDATE runs SET state='done', owner=NULL, {names} WHERE key=?",
        (*(end.values[name] for name in _SETTLED), key),
    )
    connection.execute("DELETE FROM evaluations WHERE key=?", (key,))
    connection.executemany(
        "INSERT INTO evaluations VALUES (?,?,?,?,?)", [(key, *point) for point in end.curve]
    )
    connection.execute("INSERT OR REPLACE INTO digests VALUES (?,?)", (key, end.digest))


def read_results(folder: Path) -> tuple[dict[str, Any], Curve]:
    """Return the end of a run, and its curve: (step, test set, share solved, mean return)."""
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        sums: dict[tuple[int, str], list[float]] = {}
        with (folder / "evaluations.csv").open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            names = next(rows)
            at = [names.index(name) for name in ("step", "test_set", "success", "return")]
            for row in rows:
                step, test_set, success, result = [row[i] for i in at]
                entry = sums.setdefault((int(step), test_set), [0.0, 0.0, 0.0])
                entry[0] += 1
                entry[1] += float(success)
                entry[2] += float(result)
    except (OSError, KeyError, TypeError, ValueError, IndexError, StopIteration) as error:
        raise ValueError(f"{folder} is damaged: {type(error).__name__}: {error}") from None
    curve = [(step, name, s / n, r / n) for (step, name), (n, s, r) in sorted(sums.items())]
    if not curve:
        raise ValueError(f"{folder} is damaged: evaluations.csv is empty")
    steps = np.array([point[0] for point in curve], dtype=float)
    solved = np.array([point[2] for point in curve])
    width = steps[-1] - steps[0]
    # The trapezoidal rule; NumPy's own name for it differs between its versions.
    covered = float((np.diff(steps) * (solved[1:] + solved[:-1]) / 2).sum())
    area = covered / width if width > 0 else float(solved[-1])
    return {
        "steps": int(summary["ledger"]["steps"]),
        "solved": curve[-1][2],
        "area": area,
        "return": curve[-1][3],
        "seconds": float(summary["seconds"]),
        "ledger": json.dumps(summary["ledger"]),
        "error": None,
    }, curve
