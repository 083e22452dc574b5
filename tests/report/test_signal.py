import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects
import pytest
from scipy import stats

from currgym import report
from currgym.report.figures_leading import transfer
from currgym.report.signal import (
    correlation_chart,
    read_signal,
    scatter_chart,
    transfer_chart,
    transfers,
)

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
    assert "chart-signal-transfer" in page
    figures = {p.name for p in report.figure(folder, tmp_path / "f")}
    assert {"signal.pdf", "signal.png", "transfer.pdf", "transfer.png"} <= figures


def test_the_transfer_matrix_is_drawn_as_measured(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    told = document()["checkpoints"]
    for entry in told:
        entry["transfer"] = rng.normal(size=(9, 9)).tolist()
    told[3]["transfer"][2][5] = None  # one fork failed
    signal = read_signal(written(tmp_path / "s", checkpoints=told))
    assert signal is not None
    overall, first, last = transfers(signal)
    assert [t.name for t in (overall, first, last)] == ["all checkpoints", "after 0", "after 3k"]
    tables = [np.array(entry["transfer"], dtype=float) for entry in told]
    np.testing.assert_allclose(first.gain, (tables[0] + tables[1]) / 2)
    assert last.gain[2, 5] == tables[2][2, 5]
    assert overall.gain[2, 5] == pytest.approx(np.mean([t[2, 5] for t in tables[:3]]))
    assert first.own == pytest.approx(np.diag(first.gain).mean())
    assert first.others == pytest.approx((first.gain.sum() - np.trace(first.gain)) / 72)
    chart = transfer_chart(signal)
    assert chart is not None
    for state, one in zip(chart.states, (overall, first, last), strict=True):
        plotly.graph_objects.Figure(data=state.data, layout=state.layout)
        (drawn,) = state.data
        np.testing.assert_allclose(drawn["z"], one.gain, rtol=1e-3)  # rows: trained on
        assert (drawn["zmin"], drawn["zmax"]) == (-one.top, one.top)
        assert state.layout["yaxis"]["title"]["text"] == "trained on"
    told_of = chart.states[1].data[0]["text"][2][5]
    assert "trained on stump_height: 0, obstacle_spacing: 6" in told_of
    figure = transfer(signal)
    assert figure is not None
    images: list[Any] = [ax.images[0].get_array() for ax in figure.axes if ax.images]
    assert len(images) == 2
    np.testing.assert_allclose(images[0], first.gain)


def test_a_signal_of_another_student_says_so(tmp_path: Path, study_folder: Make) -> None:
    folder = study_folder(tmp_path / "c", seeds=2, arms=("random", "window"))
    assert "Measured elsewhere" not in report.write(written(folder)).read_text()
    page = report.write(written(folder, student="sac")).read_text()
    assert "Measured elsewhere: on currgym/StumpTracks-v0 with sac." in page


def test_a_signal_without_a_transfer_matrix_draws_the_rest(
    tmp_path: Path, study_folder: Make
) -> None:
    told = [{**entry, "transfer": None} for entry in document()["checkpoints"]]
    folder = study_folder(tmp_path / "c", seeds=2, arms=("random", "window"))
    page = report.write(written(folder, checkpoints=told)).read_text()
    assert "chart-signal-scatter" in page
    assert "chart-signal-transfer" not in page
    assert "transfer.pdf" not in {p.name for p in report.figure(folder, tmp_path / "f")}


@pytest.mark.parametrize(
    "changes",
    [
        {"tasks": 3},
        {"checkpoints": [{}]},
        {"names": None},
        {"tasks": [[0, 0]]},
        {"checkpoints": [{**document()["checkpoints"][0], "transfer": [[0.0]]}]},
        {"checkpoints": [{**document()["checkpoints"][0], "transfer": 3}]},
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"signal\.json is damaged"):
        read_signal(written(tmp_path / "s", **changes))
