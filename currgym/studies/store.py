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

from currgym.runs.config import RunConfig
from currgym.studies.cells import Cell

__all__ = ["STATES", "Store", "StoredRun"]

STATES = ("waiting", "running", "done", "failed")
_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    key TEXT PRIMARY KEY, folder TEXT NOT NULL UNIQUE, label TEXT, env TEXT, env_parameters TEXT,
    teacher TEXT, preset TEXT, parameters TEXT, student TEXT, student_parameters TEXT,
    seed INTEGER, budget INTEGER, state TEXT NOT NULL, steps INTEGER NOT NULL DEFAULT 0,
    solved REAL, area REAL, "return" REAL, seconds REAL, ledger TEXT, error TEXT,
    tries INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS evaluations (
    key TEXT NOT NULL, step INTEGER NOT NULL, test_set TEXT NOT NULL, solved REAL, "return" REAL,
    PRIMARY KEY (key, step, test_set)
);
"""
_SETTLED = ("steps", "solved", "area", "return", "seconds", "ledger", "error")


@dataclass(frozen=True)
class StoredRun:
    """One row of the index.

    Attributes:
        key: Of the cell.
        folder: Of the run.
        label: Its arm's when it was first asked for.
        env: Environment id.
        teacher: Registered name.
        student: Registered name.
        seed: Of the run.
        budget: Steps asked for.
        state: One of :data:`STATES`.
        steps: Steps done.
        solved: Share of the test set solved at the end (so far, while it runs); None before.
        area: The same averaged over the budget.
        mean_return: Mean return on the test set at the end.
        seconds: Wall-clock of training.
        ledger: What was spent.
        error: Why it failed.
        tries: How often it was begun.
    """

    key: str
    folder: Path
    label: str
    env: str
    teacher: str
    student: str
    seed: int
    budget: int
    state: str
    steps: int
    solved: float | None
    area: float | None
    mean_return: float | None
    seconds: float | None
    ledger: Mapping[str, int]
    error: str | None
    tries: int


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
            connection = sqlite3.connect(self.path, timeout=60.0, isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                if version > _VERSION:
                    raise ValueError(f"{self.path} has format {version}: update currgym")
                connection.executescript(_SCHEMA)
                connection.execute(f"PRAGMA user_version={_VERSION}")
            except sqlite3.DatabaseError as error:
                connection.close()
                raise ValueError(
                    f"{self.path} is damaged ({error}): delete it, the runs make a new one"
                ) from None
            self._connection = connection
        return self._connection

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._open()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
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
        rows = [_new_row(cell.key, _folder_name(cell), cell.config) for cell in cells]
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO runs (key, folder, label, env, env_parameters, teacher, preset, "
                "parameters, student, student_parameters, seed, budget, state) "
                "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,'waiting') ON CONFLICT (key) DO NOTHING",
                rows,
            )

    def begin(self, key: str) -> None:
        """Note that a run has been begun once more."""
        self._update(key, "state='running', error=NULL, tries=tries+1 WHERE state<>'done' AND", ())

    def progress(self, points: Mapping[str, tuple[int, float | None]]) -> None:
        """Note how far runs are: key -> (steps, share solved)."""
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE runs SET steps=?, solved=? WHERE key=? AND state='running'",
                [(steps, solved, key) for key, (steps, solved) in points.items()],
            )

    def fail(self, key: str, error: str) -> None:
        """Note that a run has failed."""
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
        values, curve = _read_results(folder)
        with self._transaction() as connection:
            _write_results(connection, key, values, curve)
        return self[key]

    def _update(self, key: str, clause: str, values: tuple[Any, ...]) -> None:
        with self._transaction() as connection:
            connection.execute(f"UPDATE runs SET {clause} key=?", (*values, key))

    def rebuild(self) -> int:
        """Make the index anew from the run folders; return how many runs there are."""
        self.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        found = 0
        for path in sorted(self.folder.glob("runs/*/*/config.json")):
            try:
                config, _ = RunConfig.read(path.parent)
            except ValueError:
                continue  # a damaged folder is run again
            if config.cell is None:
                continue
            with self._transaction() as connection:
                connection.execute(
                    "INSERT INTO runs (key, folder, label, env, env_parameters, teacher, preset, "
                    "parameters, student, student_parameters, seed, budget, state) "
                    "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,'waiting') ON CONFLICT DO NOTHING",
                    _new_row(config.cell, str(path.parent.relative_to(self.folder)), config),
                )
                if (path.parent / "summary.json").exists():
                    with contextlib.suppress(ValueError):
                        _write_results(connection, config.cell, *_read_results(path.parent))
            found += 1
        self._open()
        return found

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
        wanted = list(keys)
        found: dict[str, StoredRun] = {}
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            marks = ",".join("?" * len(part))
            found.update((run.key, run) for run in self._rows(f"WHERE key IN ({marks})", part))
        return found

    def counts(self) -> dict[str, int]:
        """Return how many runs are in each state."""
        rows = self._open().execute("SELECT state, COUNT(*) FROM runs GROUP BY state").fetchall()
        return {state: dict(rows).get(state, 0) for state in STATES}

    def curves(self, keys: Iterable[str]) -> dict[str, list[tuple[int, float, float]]]:
        """Return each finished run's evaluations: key -> [(step, share solved, mean return)]."""
        found: dict[str, list[tuple[int, float, float]]] = {}
        for key in keys:
            found[key] = self._open().execute(
                'SELECT step, solved, "return" FROM evaluations WHERE key=? ORDER BY step', (key,)
            ).fetchall()  # fmt: skip
        return found

    def _rows(self, where: str, values: Iterable[Any]) -> list[StoredRun]:
        rows = self._open().execute(
            'SELECT key, folder, label, env, teacher, student, seed, budget, state, steps, solved, '
            f'area, "return", seconds, ledger, error, tries FROM runs {where}',
            tuple(values),
        )  # fmt: skip
        return [
            StoredRun(
                key, self.folder / folder, label, env, teacher, student, seed, budget, state, steps,
                solved, area, mean, seconds, json.loads(ledger) if ledger else {}, error, tries,
            )
            for (key, folder, label, env, teacher, student, seed, budget, state, steps, solved,
                 area, mean, seconds, ledger, error, tries) in rows
        ]  # fmt: skip


def _folder_name(cell: Cell) -> str:
    """Return a name that a person can read; the address's first digits keep it apart."""
    return f"runs/{cell.arm}/{cell.panel}-seed-{cell.seed}-{cell.key[:8]}"


def _new_row(key: str, folder: str, config: RunConfig) -> tuple[Any, ...]:
    return (
        key, folder, config.label or config.teacher, config.env,
        json.dumps(config.env_parameters, sort_keys=True), config.teacher, config.preset,
        json.dumps(config.teacher_parameters, sort_keys=True, default=list), config.student,
        json.dumps(config.student_parameters, sort_keys=True), config.seed, config.steps,
    )  # fmt: skip


def _write_results(
    connection: sqlite3.Connection,
    key: str,
    values: Mapping[str, Any],
    curve: list[tuple[int, str, float, float]],
) -> None:
    names = ", ".join(f'"{name}"=?' for name in _SETTLED)
    connection.execute(
        f"UPDATE runs SET state='done', {names} WHERE key=?",
        (*(values[name] for name in _SETTLED), key),
    )
    connection.execute("DELETE FROM evaluations WHERE key=?", (key,))
    connection.executemany(
        "INSERT INTO evaluations VALUES (?,?,?,?,?)", [(key, *point) for point in curve]
    )


def _read_results(folder: Path) -> tuple[dict[str, Any], list[tuple[int, str, float, float]]]:
    """Return the end of a run, and its curve: (step, test set, share solved, mean return)."""
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        sums: dict[tuple[int, str], list[float]] = {}
        with (folder / "evaluations.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                entry = sums.setdefault((int(row["step"]), row["test_set"]), [0.0, 0.0, 0.0])
                entry[0] += 1
                entry[1] += float(row["success"])
                entry[2] += float(row["return"])
    except (OSError, KeyError, TypeError, ValueError) as error:
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
