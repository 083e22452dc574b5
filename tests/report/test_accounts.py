"""What a teacher has in mind, drawn by what its snapshot holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from currgym.envs.grid_maze import MazeTasks
from currgym.report.accounts import MOST_PANELS, Panel, panels_of, worth_of
from currgym.report.data import Snapshot
from currgym.report.figures import study_colours
from currgym.report.figures_teachers import teachers_inside
from currgym.report.inside import top_of
from currgym.report.maps import View
from currgym.report.models import teacher_model, told
from currgym.runs.axes import axes_of
from currgym.tasks import BoxTasks, DiscreteTasks, TaskSpace
from currgym.teaching import teachers
from currgym.testing import TeacherCase

SPACES: dict[str, TaskSpace] = {
    "box": BoxTasks([0, 0], [3, 6], names=["height", "gap"], difficulty="height"),
    "line": BoxTasks([0.1], [10.0], kinds=["log"], difficulty="x0"),
    "examples": DiscreteTasks(60, difficulty=np.linspace(0.0, 1.0, 60)),
    "levels": MazeTasks(7),
}
ON_LEVELS: dict[str, dict[str, Any]] = {
    "mixture": {"teacher": "plr"},
    "staged": {"stages": ["random", "plr"]},
}
OURS = [n for n in teachers if teachers[n].__module__.startswith("currgym.teachers.")]
PAIRS = [(n, kind) for n in OURS for kind in SPACES if SPACES[kind].kind in teachers[n].spaces]
SHAPES = {"means", "covariances", "low", "high", "tasks", "levels", "target", "successes"}
NOT_DRAWN = {"corners", "rows"}
"""A window's corners again, in natural units; the attempts that a mixture was fitted to."""


def view_on(space: TaskSpace) -> View:
    axes = axes_of(space)
    return View(space, axes[:2] if len(axes) > 2 else axes[:1])


def seen(values: dict[str, Any]) -> Snapshot:
    arrays = {k: np.asarray(v, float) if isinstance(v, list) else v for k, v in values.items()}
    return Snapshot(10, 1, arrays, np.empty((0, 1)))


def as_kept(value: Any) -> Any:
    """An entry as a run's file gives it back."""
    return np.asarray(value, dtype=np.float64) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_nothing_of_a_snapshot_is_left_out(name: str, kind: str) -> None:
    space = SPACES[kind]
    case = TeacherCase(name, space, parameters=ON_LEVELS.get(name, {}) if kind == "levels" else {})
    teacher = case.build()
    case.run(teacher, 300, batch=10)
    snapshot = Snapshot(1, 1, {k: as_kept(v) for k, v in teacher.snapshot().items()}, np.empty(0))
    view = view_on(space)
    model = teacher_model(snapshot, view)
    panels, words = panels_of(snapshot.values), told(snapshot)
    drawn = frozenset().union(*(panel.entries for panel in panels))
    shown = len(model.outlines) + len(model.spans) + len(model.kept) + len(model.solved)
    rows = [v for v in snapshot.values.values() if isinstance(v, np.ndarray) and v.size > 1]
    assert not rows or shown or panels
    for entry, value in snapshot.values.items():
        if entry in SHAPES and np.size(value):
            assert shown, entry
        elif entry not in NOT_DRAWN and entry not in drawn:
            unknown = isinstance(value, np.ndarray) and not np.isfinite(value).any()
            assert entry.replace("_", " ") in words or unknown or np.size(value) == 0, entry
    # A row of numbers is drawn, unless there are too many rows.
    for entry, value in snapshot.values.items():
        row = isinstance(value, np.ndarray) and value.ndim == 1 and 1 < len(value) <= 400
        if row and entry not in SHAPES and len(panels) < MOST_PANELS:
            assert entry in drawn or not np.isfinite(value).any(), entry


def test_gates_are_between_their_thresholds() -> None:
    (panel,) = panels_of(
        {
            "stage": 1, "stages": 3, "stage_name": "25% to 50%", "promote": 0.8, "demote": 0.3,
            "stage_means": np.array([0.9, 0.5, 0.0]),
        }
    )  # fmt: skip
    assert panel.title == "mean of each stage; now stage 2 of 3 (25% to 50%)"
    assert panel.marked == 1
    assert panel.lines == ((0.8, "promote"), (0.3, "demote"))
    assert panel.values.tolist() == [0.9, 0.5, 0.0]


def test_teachers_are_named_and_the_followed_one_marked() -> None:
    chances, made = panels_of(
        {
            "teachers": "exp3s, random", "teacher_chances": np.array([0.3, 0.7]),
            "followed": "random", "proposals": np.array([12.0, 40.0]),
        }
    )  # fmt: skip
    assert chances.labels == made.labels == ("exp3s", "random")
    assert chances.marked == 1
    assert made.values.tolist() == [12.0, 40.0]


def test_things_are_ranked_by_chance_and_their_scores_follow() -> None:
    chances, scores = panels_of(
        {
            "levels": np.array([[1, 2], [3, 4], [5, 6]]), "chances": np.array([0.2, 0.7, 0.1]),
            "scores": np.array([5.0, 6.0, 4.0]),
        }
    )  # fmt: skip
    assert chances.values.tolist() == [0.7, 0.2, 0.1]
    assert scores.values.tolist() == [6.0, 5.0, 4.0]
    assert scores.title == "scores, in that order"
    (alone,) = panels_of({"levels": np.ones((3, 2)), "learnability": np.array([0.1, 0.25, 0.0])})
    assert alone.values.tolist() == [0.25, 0.1, 0.0]


def test_of_many_things_the_first_are_all_there() -> None:
    (panel,) = panels_of({"chances": np.arange(2_000.0)[::-1]})
    assert panel.log
    assert panel.places[:5].tolist() == [1, 2, 3, 4, 5]
    assert panel.places[-1] == 2_000
    assert len(panel.places) <= 60
    assert panel.values[0] == 1_999


def test_a_schedule_is_marked_where_it_is() -> None:
    schedule = np.stack([np.arange(0, 110, 10), np.linspace(0.1, 1.0, 11)], axis=1)
    (panel,) = panels_of({"schedule": schedule, "time": 0.42})
    assert panel.curve
    assert panel.marked is not None
    assert panel.places[panel.marked] == 40


def test_other_rows_are_drawn_in_their_own_order() -> None:
    (panel,) = panels_of({"sizes": np.array([0.25, 0.5, 1.0]), "low": np.zeros(2)})
    assert (panel.title, panel.values.tolist()) == ("size", [0.25, 0.5, 1.0])
    assert panels_of({"empty": np.full(3, np.nan), "one": np.ones(1), "name": "x"}) == []


def test_heights_hold_values_and_thresholds() -> None:
    low, high = top_of([Panel("", np.array([0.2, np.nan]), np.arange(2.0), lines=((0.8, "up"),))])
    assert low == 0.0
    assert high > 0.8
    assert top_of([Panel("", np.zeros(2), np.arange(2.0))]) == (0.0, 1.0)
    assert top_of([Panel("", np.array([-1.0, 1.0]), np.arange(2.0))])[0] < -1.0


def test_kept_tasks_are_worth_their_chances() -> None:
    values = {"tasks": [[1, 2], [2, 3], [0, 6]], "chances": [0.1, 0.4, 0.2], "success": [1, 1, 0]}
    model = teacher_model(seen(values), view_on(SPACES["box"]))
    assert model.worth_by == "chances"
    np.testing.assert_allclose(model.kept, [[2, 3], [0, 6], [1, 2]])  # the likeliest first
    np.testing.assert_allclose(model.worth, [1.0, 0.5, 0.25])
    assert worth_of({"tasks": np.ones((2, 2))}, 2) is None


def test_particles_and_successes_are_drawn_apart() -> None:
    model = teacher_model(
        seen({"tasks": [[1, 2]], "successes": [[2, 3], [3, 3]]}), view_on(SPACES["box"])
    )
    assert model.kept.tolist() == [[1, 2]]
    assert model.solved.tolist() == [[2, 3], [3, 3]]


def test_boxes_and_gaussians_over_a_line() -> None:
    view = view_on(SPACES["line"])
    boxes = {"low": [[0.0], [0.5]], "high": [[0.5], [1.0]], "chances": [0.25, 0.75]}
    model = teacher_model(seen(boxes), view)
    np.testing.assert_allclose(model.spans, [[0.1, 1.0, 1 / 3], [1.0, 10.0, 1.0]])
    assert model.outlines == ()
    gaussians = {"means": [[0.5]], "covariances": [[[0.0625]]]}
    model = teacher_model(seen(gaussians), view)
    np.testing.assert_allclose(model.spans, [[0.1, 10.0, 1.0]])  # two standard deviations


def test_all_examples_with_a_chance_are_needles() -> None:
    chances = np.linspace(0.0, 1.0, 60)
    model = teacher_model(seen({"probability": chances.tolist()}), view_on(SPACES["examples"]))
    assert len(model.kept) == 60
    assert model.worth[0] == 1.0
    assert model.kept[0, 0] > 99.0


def test_levels_lie_on_the_axis_of_their_difficulty() -> None:
    space = SPACES["levels"]
    levels = space.sample(12, np.random.default_rng(3))
    scores = np.arange(12.0).tolist()
    model = teacher_model(seen({"levels": levels.tolist(), "scores": scores}), view_on(space))
    hard = space.difficulty_of(levels)[::-1]  # the highest score first
    assert (np.diff(model.kept[np.argsort(hard, kind="stable"), 0]) >= 0.0).all()


def test_the_figure_draws_every_arm(tmp_path: Path, study_folder: Any) -> None:
    from currgym.report.data import load

    study = load(study_folder(tmp_path / "c", SPACES["box"], seeds=1, arms=("random", "alp-gmm")))
    figure = teachers_inside(study, study_colours(study))
    assert figure is not None
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert {arm.label for arm in study.arms} <= set(titles)
    figure.savefig(tmp_path / "teachers.png")
