"""What the maze experiment reads off its runs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "experiments"


@pytest.fixture(scope="module")
def maze() -> Any:
    sys.path.insert(0, str(FOLDER))  # as for a script, which finds its neighbours
    try:
        spec = importlib.util.spec_from_file_location("maze_experiment", FOLDER / "maze.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(FOLDER))


def test_both_axes_of_a_run(maze: Any, tmp_path: Path) -> None:
    """Probes before an evaluation are spent by then; updates lie between what was measured."""
    (tmp_path / "probes.csv").write_text("step,length\n0,10\n100,5\n100,5\n150,7\n")
    (tmp_path / "optimizer.csv").write_text("step,updates\n100,20\n200,40\n")
    found = maze.axes_of(tmp_path, [(0, 0.0, 0.0), (100, 0.5, 0.0), (150, 0.25, 0.0)])
    assert found["environment_steps"].tolist() == [10, 120, 177]
    assert found["updates"].tolist() == [0, 20, 30]
    assert found["solved"].tolist() == [0.0, 0.5, 0.25]
    (tmp_path / "probes.csv").unlink()
    found = maze.axes_of(tmp_path, [(0, 0.0, 0.0), (100, 0.5, 0.0)])
    assert found["environment_steps"].tolist() == [0, 100]


def test_equal_updates_are_those_that_all_have_made(maze: Any) -> None:
    def arm(end: float, slope: float) -> dict[str, Any]:
        points = np.linspace(0.0, end, maze.POINTS)
        return {"updates": {"points": points.tolist(), "mean": (slope * points).tolist()}}

    found = maze.at_equal_updates({"long": arm(200.0, 0.001), "short": arm(100.0, 0.004)})
    assert found["long"] == pytest.approx(0.05)
    assert found["short"] == pytest.approx(0.2)
