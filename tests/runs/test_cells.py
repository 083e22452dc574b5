"""Counts by period and cell: the same as the episodes say, however they came in."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from currgym.report.data import load
from currgym.runs import Run, RunConfig
from currgym.runs.axes import axes_of
from currgym.runs.cells import PERIODS, CellCounter, Cells, count_episodes, read_cells
from currgym.tasks import BoxTasks, DiscreteTasks, TaskSpace

PLANE = BoxTasks([0, 1], [3, 100], names=["gap", "mass"], kinds=["real", "log"], difficulty="gap")
MANY = BoxTasks(
    [0, 0, 0], [1, 4, 2], names=["gap", "rooms", "colour"],
    kinds=["real", "integer", ("red", "green", "blue")],
)  # fmt: skip
RANKED = DiscreteTasks(50, difficulty=np.linspace(0, 1, 50))
NUMBERED = DiscreteTasks(30)
BUDGET = 5_000


def attempts(space: TaskSpace, n: int = 400) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 25, n)
    tasks = np.asarray(space.sample(n, rng), dtype=float).reshape(n, -1)
    successes = rng.random(n).round()
    successes[::7] = np.nan
    return {
        "steps": np.minimum(np.cumsum(lengths), BUDGET + 3).astype(float), "tasks": tasks,
        "lengths": lengths.astype(float), "returns": rng.normal(size=n), "successes": successes,
    }  # fmt: skip


def grid_of(space: TaskSpace) -> np.ndarray:
    return np.asarray(space.grid(3))


def counted(space: TaskSpace, cuts: list[int]) -> tuple[list[str], Cells]:
    """Count in calls of these sizes, saving and restoring the state between them."""
    a = attempts(space)
    lines: list[str] = []
    counter = CellCounter(space, BUDGET, grid_of(space), lines.append)
    begin = 0
    for cut in [*cuts, len(a["steps"])]:
        for i in range(begin, cut):
            success = a["successes"][i : i + 1]
            counter.add(
                int(a["steps"][i]), a["tasks"][i : i + 1], a["lengths"][i : i + 1],
                a["returns"][i : i + 1], success,
            )  # fmt: skip
        begin = cut
        state = counter.state_dict()
        counter = CellCounter(space, BUDGET, grid_of(space), lines.append)
        counter.load_state_dict(state)
    counter.end()
    return lines, read_cells(counter.header(), lines)


@pytest.mark.parametrize("space", [PLANE, MANY, RANKED, NUMBERED], ids=repr)
def test_counts_are_the_episodes(space: TaskSpace) -> None:
    a = attempts(space)
    cells = count_episodes(space, BUDGET, grid_of(space), *a_list(a))
    period = np.minimum(np.ceil(a["steps"] * PERIODS / BUDGET).astype(int) - 1, PERIODS - 1)
    for p in range(PERIODS):
        assert cells.steps[p] == a["lengths"][period == p].sum()
        assert cells.attempts[p] == (period == p).sum()
    for line, edges, axis in zip(cells.lines, cells.line_edges, axes_of(space), strict=True):
        np.testing.assert_allclose(line.sum(axis=1), cells.steps)
        if axis.column is not None:
            here = a["tasks"][:, axis.column]
            by_hand = np.histogram(here, edges, weights=a["lengths"])[0]
            np.testing.assert_allclose(line.sum(axis=0), by_hand)
    for (i, j), plane in cells.planes.items():
        both = (cells.plane_edges[i], cells.plane_edges[j])
        here = a["tasks"][:, [int(axes_of(space)[k].column or 0) for k in (i, j)]]
        found, _ = np.histogramdd(here, both, weights=a["lengths"])
        np.testing.assert_allclose(plane.sum(axis=0), found)


def a_list(a: dict[str, np.ndarray]) -> list[Any]:
    return [a[name] for name in ("steps", "tasks", "lengths", "returns", "successes")]


def test_an_attempt_belongs_to_the_nearest_test_task() -> None:
    a = attempts(PLANE)
    tests = grid_of(PLANE)
    cells = count_episodes(PLANE, BUDGET, tests, *a_list(a))
    gaps = PLANE.to_unit(a["tasks"])[:, None] - PLANE.to_unit(tests)[None]
    nearest = np.square(gaps).sum(axis=2).argmin(axis=1)
    known = np.isfinite(a["successes"])
    for j in range(len(tests)):
        here = nearest == j
        assert cells.tasks["attempts"][:, j].sum() == here.sum()
        assert cells.tasks["told"][:, j].sum() == (here & known).sum()
        assert cells.tasks["successes"][:, j].sum() == a["successes"][here & known].sum()
        assert cells.tasks["returns"][:, j].sum() == pytest.approx(a["returns"][here].sum())


def test_numbered_tasks_must_be_the_same() -> None:
    cells = count_episodes(NUMBERED, BUDGET, np.array([4, 9]), *a_list(attempts(NUMBERED)))
    tasks = attempts(NUMBERED)["tasks"][:, 0]
    assert cells.tasks["attempts"].sum(axis=0).tolist() == [(tasks == 4).sum(), (tasks == 9).sum()]


@pytest.mark.parametrize("space", [PLANE, MANY, RANKED], ids=repr)
def test_how_calls_are_cut_changes_no_byte(space: TaskSpace) -> None:
    whole, _ = counted(space, [])
    parted, _ = counted(space, [1, 50, 51, 333])
    assert whole == parted


def test_a_run_writes_what_its_episodes_say(tmp_path: Path) -> None:
    config = RunConfig("toy/cube", "random", "cube", 600, num_envs=7)
    run = Run.create(config, tmp_path / "r")
    run.train()
    kept = load(run.folder).runs[0].cells
    (run.folder / "periods.jsonl").unlink()
    counted_ = load(run.folder).runs[0].cells
    assert kept is not None
    assert counted_ is not None
    with (run.folder / "episodes.csv").open() as file:
        assert kept.attempts.sum() == len(list(csv.DictReader(file)))
    for a, b in zip(kept.lines, counted_.lines, strict=True):
        np.testing.assert_array_equal(a, b)
    for name in kept.tasks:
        np.testing.assert_allclose(kept.tasks[name], counted_.tasks[name])


def test_a_damaged_log_is_named(tmp_path: Path) -> None:
    run = Run.create(RunConfig("toy/cube", "random", "cube", 200), tmp_path / "r")
    run.train()
    path = run.folder / "periods.jsonl"
    lines = path.read_text().splitlines()
    row = json.loads(lines[1])
    row["lines"][0].append(1)
    path.write_text("\n".join([lines[0], json.dumps(row)]) + "\n")
    with pytest.raises(ValueError, match=r"periods\.jsonl is damaged"):
        _ = load(run.folder).runs[0].cells
