import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects
import pytest
from scipy import stats

from currgym import report
from currgym.report.signal import correlation_chart, read_signal, scatter_chart

Make = Callable[..., Path]


def document(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    checkpoints = []
    for step in (0, 3000):
        for run in (0, 1):
            gain = rng.normal(size=9)
            checkpoints.append(
                {
                    "step": step, "seed": run, "gain": gain.tolist(), "gain_se": [0.1] * 9,
                    "scores": {"alp": (2 * gain + 1).tolist(), "p(1-p)": rng.random(9).tolist(),
                               "td": [0.0] * 9},
                    "transfer": np.eye(9).tolist(), "ceiling": 0.8 if run else None,
                }
            )  # fmt: skip
    tasks = [[x, y] for x in (0, 1, 2) for y in (0, 3, 6)]
    return {
        "format": 1, "env": "currgym/StumpTracks-v0", "student": "ppo",
        "names": ["stump_height", "obstacle_spacing"], "tasks": tasks, "checkpoints": checkpoints,
    }  # fmt: skip


def written(folder: Path, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "signal.json").write_text(json.dumps({**document(), **changes}))
    return folder


def test_correlations_by_hand(tmp_path: Path) -> None:
    signal = read_signal(written(tmp_path / "s"))
    assert signal is not None
    assert signal.scores == ("alp", "p(1-p)", "td")
    np.testing.assert_allclose(signal.over_time("alp"), [1.0, 1.0])
    entry = document()["checkpoints"]
    expected = [stats.spearmanr(e["scores"]["p(1-p)"], e["gain"]).statistic for e in entry[:2]]
    assert signal.over_time("p(1-p)")[0] == pytest.approx(np.mean(expected))
    assert np.isnan(signal.over_time("td")).all()  # constant: it says nothing
    np.testing.assert_allclose(signal.ceiling(), [0.8, 0.8])
    for chart in (scatter_chart(signal), correlation_chart(signal)):
        for state in chart.states:
            plotly.graph_objects.Figure(data=state.data, layout=state.layout)


def test_on_the_page(tmp_path: Path, study_folder: Make) -> None:
    folder = study_folder(tmp_path / "c", seeds=2, arms=("random", "window"))
    page = report.write(written(folder)).read_text()
    assert "chart-signal-scatter" in page
    assert "At 2 checkpoints of 2 runs (4 in all)" in page
    assert {"signal.pdf", "signal.png"} <= {p.name for p in report.figure(folder, tmp_path / "f")}


@pytest.mark.parametrize(
    "changes", [{"tasks": 3}, {"checkpoints": [{}]}, {"names": None}, {"tasks": [[0, 0]]}]
)
def test_a_damaged_file_is_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"signal\.json is damaged"):
        read_signal(written(tmp_path / "s", **changes))
