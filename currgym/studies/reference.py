"""Reference results: runs that this project has measured, shipped as one Parquet file.

Who has written a new teacher runs that arm alone; the others are taken from here where exactly the
same was asked (environment, student, budget, test set, seed, settings). They are unpacked as run
folders without logs, so that whatever reads runs reads them, and they say where they come from.
Whether the code has changed since they were measured is told too.
"""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import currgym
from currgym.runs.config import RunConfig
from currgym.studies.arms import Arm
from currgym.studies.cells import Cell, panel_question

if TYPE_CHECKING:
    from currgym.studies.store import StoredRun

__all__ = ["arms_of", "pack", "settings", "shipped_path", "shipped_runs"]

_LISTS = {
    "step": int, "task_index": int, "seed": int, "return": float, "length": int, "success": float,
}  # fmt: skip
"""Columns of ``evaluations.csv`` that are kept, as lists; ``test_set`` is the same in all rows."""


def shipped_path() -> Path:
    """Return the file in the package."""
    return Path(str(resources.files(currgym))) / "reference" / "runs.parquet"


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise ImportError(
            "reference results are a Parquet file, which needs pyarrow: "
            "pip install 'currgym[parquet]'"
        ) from None
    return pyarrow.parquet


@functools.cache
def _index(path: Path) -> list[dict[str, Any]]:
    """Return what the file holds, without the results themselves."""
    if not path.exists():
        return []
    columns = ["panel", "question", "label", "teacher", "preset", "parameters", "settings"]
    rows: list[dict[str, Any]] = _parquet().read_table(path, columns=columns).to_pylist()
    return rows


def arms_of(bases: Sequence[RunConfig], path: Path | None = None) -> list[Arm]:
    """Return the arms of which there are results for all of these settings.

    Args:
        bases: One configuration a panel; teacher and seed do not matter.
        path: Another file than the package's.

    Raises:
        ValueError: If there are none; it says for what there are.
        ImportError: If pyarrow is missing.
    """
    rows = _index(path or shipped_path())
    found: dict[str, Arm] = {}
    sets = []
    for base in bases:
        panel = panel_question(base)
        mine = {
            row["label"]: Arm(
                row["label"], row["teacher"], row["preset"], json.loads(row["parameters"])
            )
            for row in rows
            if row["panel"] == panel
        }
        found.update(mine)
        sets.append(set(mine))
    common = set.intersection(*sets) if sets else set()
    if not common:
        there = "\n  ".join(settings(path)) or "none"
        raise ValueError(
            f"no reference results fit these settings (budget, test set, student's parameters and "
            f"so on must be the same). There are:\n  {there}"
        )
    return [arm for label, arm in sorted(found.items()) if label in common]


def settings(path: Path | None = None) -> list[str]:
    """Return a line for each group of reference results: what to ask to be answered from it."""
    groups: dict[str, tuple[str, set[str]]] = {}
    for row in _index(path or shipped_path()):
        command = _command(row["settings"])
        _, labels = groups.setdefault(row["panel"], (command, set()))
        labels.add(row["label"])
    return [f"{text}   ({', '.join(sorted(labels))})" for text, labels in groups.values()]


def _command(text: str) -> str:
    """Return settings as options of ``currgym compare``."""
    base = json.loads(text)
    plain = RunConfig(base["env"], "random", base["student"], base["steps"])
    words = [base["env"].removeprefix("currgym/"), f"--steps {base['steps']}"]
    for name in ("student", "num_envs", "evaluate_every", "test_set", "test_tasks", "test_seeds"):
        default = plain.interval if name == "evaluate_every" else getattr(plain, name)
        if base[name] is not None and base[name] != default:
            words.append(f"--{name.replace('_', '-')} {base[name]}")
    for part in ("env", "student"):
        for name, value in base[f"{part}_parameters"].items():
            words.append(f"--set {part}.{name}={json.dumps(value)}")
    return " ".join(words)


def shipped_runs(
    cells: Iterable[Cell], folder: Path, path: Path | None = None
) -> dict[str, StoredRun]:
    """Return the reference results that answer these cells, by key.

    Args:
        cells: What is asked.
        folder: Where they are unpacked as run folders.
        path: Another file than the package's.

    Raises:
        ImportError: If pyarrow is missing.
    """
    path = path or shipped_path()
    wanted = {cell.question: cell for cell in cells}
    there = {row["question"] for row in _index(path)} & set(wanted)
    if not there:
        return {}
    table = _parquet().read_table(path, filters=[("question", "in", sorted(there))])
    found = {}
    for row in table.to_pylist():
        cell = wanted[row["question"]]
        run = folder / cell.arm / f"{cell.panel}-seed-{cell.seed}-{row['question'][:8]}"
        origin = f"reference results of currgym {row['version']}"
        if row["key"] != cell.key:
            origin += ", whose code has changed since"
        _unpack(row, cell, run, origin)
        found[cell.key] = _stored(cell, run, origin)
    return found


def _unpack(row: Mapping[str, Any], cell: Cell, folder: Path, origin: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    document = {**json.loads(row["config"]), "label": cell.arm, "origin": origin}
    document["request"] = {**document["request"], "label": cell.arm, "cell": cell.key}
    (folder / "config.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    if (folder / "summary.json").exists():
        return
    with (folder / "evaluations.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", "test_set", *list(_LISTS)[1:]])
        for step, *rest in zip(*(row[f"evaluations.{name}"] for name in _LISTS), strict=True):
            writer.writerow([step, row["test_set"], *map(repr, rest)])
    (folder / "summary.json").write_text(row["summary"], encoding="utf-8")


def _stored(cell: Cell, folder: Path, origin: str) -> StoredRun:
    from currgym.studies.store import StoredRun, read_results

    values, _ = read_results(folder)
    config = cell.config
    return StoredRun(
        cell.key, folder, cell.arm, config.env, config.teacher, config.preset,
        json.dumps(config.teacher_parameters, sort_keys=True, default=list), config.student,
        config.seed, config.steps, "done", values["steps"], values["solved"], values["area"],
        values["return"], values["seconds"], None, values["ledger"], origin,
    )  # fmt: skip


def pack(runs: Iterable[tuple[Cell, Path]], path: Path) -> int:
    """Write finished runs as reference results; return how many there are.

    Args:
        runs: Cells with their run folders.
        path: The Parquet file.
    """
    import pyarrow

    rows = []
    for cell, folder in runs:
        document = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        with (folder / "evaluations.csv").open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        asked = cell.config.question()
        rows.append(
            {
                "panel": panel_question(cell.config),
                "question": cell.question,
                "key": cell.key,
                "label": cell.arm,
                "teacher": cell.config.teacher,
                "preset": cell.config.preset,
                "parameters": json.dumps(cell.config.teacher_parameters, sort_keys=True),
                "settings": json.dumps(asked),
                "version": currgym.__version__,
                "config": json.dumps(document),
                "summary": (folder / "summary.json").read_text(encoding="utf-8"),
                "test_set": lines[0]["test_set"],
                **{
                    f"evaluations.{name}": [kind(line[name]) for line in lines]
                    for name, kind in _LISTS.items()
                },
            }
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.Table.from_pylist(rows)
    _parquet().write_table(table, path, compression="zstd", compression_level=19)
    _index.cache_clear()
    return len(rows)
