"""Sweeps over simulated students: rows that go on where they were, compared seed by seed."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from currgym.studies import sweep
from currgym.studies.sweep import Job, Row

FOLDER = Path(__file__).parents[2] / "experiments"


def job(arm: str = "random", level: float = 0.0, seed: int = 0, code: str | None = None) -> Job:
    return Job("part", arm, "baseline", level, seed, sweep.code_of(arm) if code is None else code)


def write(path: Path, rows: dict[Job, Row]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(sweep.HEADER)
        for one, row in rows.items():
            writer.writerow([*vars(one).values(), *vars(row).values()])


def never(job: Job, attempts: int) -> Row:
    raise AssertionError(f"{job} is there already")


def test_rows_that_are_there_are_not_run_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    rows = {job(seed=seed): Row(10.0 + seed, 50.0, 3.5) for seed in range(3)}
    write(path, rows)
    before = path.read_bytes()
    sweep.carry_out(rows, path, never, 100, 1)
    assert sweep.read(path) == rows
    assert path.read_bytes() == before


def test_a_row_that_was_cut_off_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write(path, {job(): Row(10.0, 50.0, 3.5)})
    with path.open("a") as file:
        file.write(",".join(map(str, vars(job(seed=1)).values())) + ",12.0,50")
    assert list(sweep.read(path)) == [job()]


def test_rows_of_changed_code_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    stale = {job(code="0123"): Row(99.0, 100.0, 1.0), job("no-such"): Row(1.0, 1.0, 1.0)}
    write(path, {**stale, job(): Row(10.0, 50.0, 1.0)})
    assert sweep.shares(sweep.read(path), "part", "baseline")["random"].tolist() == [20.0]
    sweep.prune(path)
    assert set(sweep.read(path)) == {job(), job("no-such")}


def test_arms_are_compared_at_the_seeds_that_all_levels_have() -> None:
    rows = {
        job(arm, level, seed): Row(seed + level, 50.0, 1.0)
        for arm in ("random", "alp-gmm")
        for level in (1.0, 4.0)
        for seed in (4, 0, 3, 1, 2)
        if (arm, level, seed) != ("alp-gmm", 4.0, 2)
    }
    found = sweep.by_level(rows, "part", "baseline", [1, 4, 16])
    assert found[16.0] == {}
    for level in (1.0, 4.0):
        for arm in ("random", "alp-gmm"):
            expected = 2.0 * (np.array([0, 1, 3, 4]) + level)
            np.testing.assert_allclose(found[level][arm], expected)


@pytest.mark.parametrize(
    ("shift", "direction", "word"),
    [
        (-20.0, "lower", "supported"),
        (20.0, "lower", "contradicted"),
        (20.0, "higher", "supported"),
        (-2.0, "lower", "equivalent"),
    ],
)
def test_a_difference_gets_its_word(shift: float, direction: Any, word: str) -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(50.0, 10.0, 30)  # students differ more than what is compared
    pairs = {"a": (base + shift + rng.normal(0.0, 3.0, 30), base)}
    assert sweep.judged(pairs, "before", True, direction)["a"]["verdict"] == word
    assert "no verdict" in sweep.judged(pairs, "before", False, direction)["a"]["verdict"]
    few = {"a": (pairs["a"][0][:8], base[:8])}
    assert "no verdict" in sweep.judged(few, "before", True, direction)["a"]["verdict"]


def test_lag_tells_who_loses_by_width() -> None:
    spec = importlib.util.spec_from_file_location("lag", FOLDER / "lag.py")
    assert spec is not None
    assert spec.loader is not None
    lag: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lag)
    rng = np.random.default_rng(1)
    rows = {}
    for seed in range(30):
        own = 40.0 + rng.normal(0.0, 8.0)
        for width in (1, 64):
            for arm, score in (
                ("random", 5.0), ("alp-gmm", own - 25.0 * (width > 1)), ("riac", own),
            ):  # fmt: skip
                one = Job("lag", arm, "baseline", float(width), seed, sweep.code_of(arm))
                rows[one] = Row(score + rng.normal(0.0, 1.0), 80.0, 1.0)
    document = lag.sum_up(rows, (1, 64), True)
    words = {k: v["verdict"] for k, v in document["against 1 environment"].items()}
    assert words == {"alp-gmm with 64": "supported", "riac with 64": "equivalent"}
    assert document["by construction"] == ["random"]
    assert document["against random"]["64"]["riac"]["verdict"] == "supported"
    (row,) = lag.readme_rows({"simulated": document})
    assert row["figure"].startswith("1 / 1; `alp-gmm` -31")
