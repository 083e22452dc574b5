from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from currgym.report.data import Run, Snapshot, Study, load
from currgym.report.maps import (
    Axis,
    View,
    mastery_map,
    steps_map,
    view_of,
)  # fmt: skip
from currgym.report.models import teacher_model
from currgym.runs.axes import axes_of
from currgym.runs.cells import count_episodes
from currgym.tasks import BoxTasks, DiscreteTasks, TaskSpace

Make = Callable[..., Path]


class FixedRun(Run):
    """A run whose episodes are given."""

    def __init__(self, space: TaskSpace, steps: Any, lengths: Any, tasks: Any) -> None:
        super().__init__(Path(), {"steps": 100}, {})
        n = len(steps)
        vars(self)["cells"] = count_episodes(
            space, 100, None, np.array(steps, float), np.array(tasks, float).reshape(n, -1),
            np.array(lengths, float), np.zeros(n), np.full(n, np.nan),
        )  # fmt: skip


def studied(tmp_path: Path, make: Make, space: TaskSpace, **settings: Any) -> Study:
    return load(make(tmp_path / "study", space, seeds=2, **settings))


def view(study: Study) -> View:
    found = view_of(study)
    assert found is not None
    return found


def axis_of(space: TaskSpace) -> View:
    return View(space, axes_of(space))


def test_a_step_counts_where_it_was_spent() -> None:
    space = BoxTasks([0], [1])
    found = axis_of(space)
    # 20 steps at .1, 60 at .62 in the first half; 20 at .99 that end a little after the budget.
    run = FixedRun(space, [20, 45, 101], [20, 60, 20], [[0.1], [0.62], [0.99]])
    steps = steps_map([run], found, periods=2)
    np.testing.assert_allclose(steps.steps, [80, 20])
    cells = steps.density.shape[1]
    assert steps.density[0, int(0.1 * cells)] == pytest.approx(0.25 * cells)
    assert steps.density[0, int(0.62 * cells)] == pytest.approx(0.75 * cells)
    assert steps.density[1, -1] == pytest.approx(cells)


def test_a_period_without_steps_is_unknown() -> None:
    space = BoxTasks([0], [1])
    run = FixedRun(space, [10], [10], [[0.5]])
    steps = steps_map([run], axis_of(space), periods=2)
    assert np.isnan(steps.density[1]).all()
    assert steps.density[0].mean() == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["plane", "line", "many", "examples"])
def test_even_spreading_is_drawn_as_one(
    name: str, spaces: dict[str, TaskSpace], tmp_path: Path, study_folder: Make
) -> None:
    space = spaces[name]
    found = view(studied(tmp_path, study_folder, space, arms=("random",)))
    tasks = space.sample(40_000, np.random.default_rng(0))
    tasks = tasks[:, None] if tasks.ndim == 1 else tasks
    run = FixedRun(space, np.linspace(1, 100, len(tasks)), np.ones(len(tasks)), tasks)
    steps = steps_map([run], found, periods=1)
    np.testing.assert_allclose(steps.density[0], 1.0, atol=0.35)


def test_views(tmp_path: Path, spaces: dict[str, TaskSpace], study_folder: Make) -> None:
    views = {
        name: view(studied(tmp_path / name, study_folder, space, arms=("random",)))
        for name, space in spaces.items()
    }
    assert [a.label for a in views["plane"].axes] == ["stump height", "obstacle spacing"]
    (line,) = views["line"].axes
    assert line.log
    assert line.tick_values() == pytest.approx([0.1, 1.0, 10.0])
    assert views["many"].axes[0].column is None  # declared difficulty
    assert views["examples"].axes[0].label.startswith("difficulty rank")


def test_more_dimensions_without_difficulty_show_the_two_that_were_steered(
    tmp_path: Path, study_folder: Make
) -> None:
    space = BoxTasks([0, 0, 0], [1, 1, 1], names=["a", "b", "c"])
    study = studied(tmp_path, study_folder, space, arms=("random",))
    rng = np.random.default_rng(0)
    for run in study.runs:
        tasks = rng.random((500, 3))
        tasks[:, 0] *= 0.2
        tasks[:, 2] *= 0.5
        vars(run)["cells"] = FixedRun(space, np.arange(500.0) / 5, np.ones(500), tasks).cells
    assert [a.label for a in view(study).axes] == ["a", "c"]


def test_whole_numbers_and_labels_are_never_cut() -> None:
    labels = Axis("colour", -0.5, 2.5, 0, 0, values=3)
    np.testing.assert_allclose(labels.edges(12), [-0.5, 0.5, 1.5, 2.5])
    many = Axis("level", -0.5, 99.5, 0, 0, values=100)
    edges = many.edges(12)
    assert (edges % 1 == 0.5).all()
    assert many.measure(edges).sum() == pytest.approx(1.0)


def test_ticks_are_round_and_leave_room() -> None:
    assert Axis("x", 0.0, 6.0, 0, 0).tick_values() == [0, 2, 4, 6]
    assert Axis("x", 0.0, 3.0, 0, 0).tick_values(room_at_end=True) == [0, 1, 2]
    assert Axis("x", -0.3, 0.3, 0, 0).tick_values() == [-0.2, 0.0, 0.2]
    assert Axis("x", -0.5, 2.5, 0, 0, values=3).tick_values() == [0, 1, 2]
    assert Axis("x", 0.02, 0.5, 0, 0, log=True).tick_values() == [0.02, 0.05, 0.1, 0.2, 0.5]
    assert Axis("x", 2.0, 200.0, 0, 0, log=True).tick_values() == [10, 100]


def test_cells_around_grid_points() -> None:
    plain = Axis("x", 0.0, 2.0, 0, 0)
    np.testing.assert_allclose(plain.around(np.array([0.0, 1.0, 2.0])), [-0.5, 0.5, 1.5, 2.5])
    log = Axis("x", 1.0, 100.0, 0, 0, log=True)
    np.testing.assert_allclose(log.around(np.array([1.0, 100.0])), [0.1, 10.0, 1000.0], rtol=1e-12)


def test_mastery_map_on_a_grid(
    tmp_path: Path, spaces: dict[str, TaskSpace], study_folder: Make
) -> None:
    study = studied(tmp_path, study_folder, spaces["plane"])
    found = mastery_map(study.arms[0], view(study))
    assert found is not None
    assert (found.runs, found.episodes) == (2, 3)
    assert found.grid is not None
    xs, ys, share = found.grid
    assert share.shape == (len(xs), len(ys)) == (4, 4)
    by_hand = []
    for run in study.arms[0].runs:
        e = run.evaluations
        corner = (e.task_index == 0) & (e.steps == e.steps.max())
        by_hand.append(e.successes[corner].mean())
    assert share[0, 0] == pytest.approx(np.mean(by_hand))
    assert 100 * found.share.mean() == pytest.approx(
        np.mean(list(study.arms[0].final("mastered").values()))
    )


def test_test_examples_are_not_drawn_among_training_examples(
    tmp_path: Path, spaces: dict[str, TaskSpace], study_folder: Make
) -> None:
    study = studied(tmp_path, study_folder, spaces["examples"], kind="supervised")
    assert mastery_map(study.arms[0], view(study)) is None


def test_a_profile_bins_many_test_tasks() -> None:
    from currgym.report.maps import MasteryMap

    places = np.linspace(0, 1, 100)[:, None]
    share = (places[:, 0] < 0.5).astype(float)
    x, y = MasteryMap(places, share, 1, 1, None).profile(bins=10)
    np.testing.assert_allclose(y, [1] * 5 + [0] * 5)
    assert (np.diff(x) > 0).all()


SPACE = BoxTasks([1, 0], [100, 6], names=["mass", "gap"], kinds=["log", "real"])
PLANE = View(SPACE, (Axis("mass", 1.0, 100.0, 0, 0, log=True), Axis("gap", 0.0, 6.0, 1, 1)))


def snapshot(values: Mapping[str, Any], preview: Any = ()) -> Snapshot:
    arrays = {k: np.array(v, float) for k, v in values.items()}
    return Snapshot(10, 1, arrays, np.array(preview, float).reshape(-1, 2))


def test_gaussians_are_drawn_at_two_standard_deviations() -> None:
    mean, covariance = np.array([0.5, 0.5, 0.3]), np.diag([0.01, 0.02, 1.0])
    covariance[0, 1] = covariance[1, 0] = 0.005
    model = teacher_model(
        snapshot({"means": [mean, mean], "covariances": [covariance] * 2, "chances": [0.2, 0.8]}),
        PLANE,
    )
    assert model.strengths == pytest.approx((0.25, 1.0))
    unit = SPACE.to_unit(np.clip(model.outlines[0], SPACE.low, SPACE.high))
    d = unit - mean[:2]
    distance = np.sqrt(np.einsum("ni,ij,nj->n", d, np.linalg.inv(covariance[:2, :2]), d))
    np.testing.assert_allclose(distance, 2.0, rtol=1e-6)


def test_windows_and_regions_are_drawn_as_boxes() -> None:
    model = teacher_model(snapshot({"low": [0.0, 0.5], "high": [0.5, 1.0]}), PLANE)
    (box,) = model.outlines
    np.testing.assert_allclose(box[[0, 2]], [[1.0, 3.0], [10.0, 6.0]])
    regions = teacher_model(
        snapshot(
            {
                "low": [[0, 0], [0.5, 0]], "high": [[0.5, 1], [0.75, 1]],
                "probability": [0.5, 0.5],
            }
        ),
        PLANE,
    )  # fmt: skip
    # Half the chance on half the room: half as dense.
    assert regions.strengths == pytest.approx((0.5, 1.0))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"means": [0.5, 0.5]},
        {"means": [[0.5, 0.5]], "covariances": [[[1.0]]]},
        {"low": [[0.0]], "high": [[1.0]]},
    ],
)
def test_other_snapshots_show_the_preview_alone(values: Mapping[str, Any]) -> None:
    model = teacher_model(snapshot(values, [[10.0, 3.0]]), PLANE)
    assert model.outlines == ()
    np.testing.assert_allclose(model.preview, [[10.0, 3.0]])


def test_levels_without_dimensions_have_no_view(tmp_path: Path, run_folder: Make) -> None:
    study = load(run_folder(tmp_path / "r", task_space={"type": "mazes", "n": 3}))
    assert study.runs[0].space is None
    assert view_of(study) is None


def test_numbered_tasks_without_difficulty_are_drawn_by_number(
    tmp_path: Path, run_folder: Make
) -> None:
    study = load(run_folder(tmp_path / "r", DiscreteTasks(50)))
    (axis,) = view(study).axes
    assert (axis.label, axis.values) == ("task number", 50)
