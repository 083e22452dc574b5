import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from currgym import report
from currgym.report.colours import BASELINE, colours
from currgym.report.data import Study, load
from currgym.report.figures import learning_curves, mastery, picture, steps_over_time, study_colours
from currgym.report.maps import steps_map, view_of
from currgym.tasks import TaskSpace

Make = Callable[..., Path]


@pytest.fixture
def study(tmp_path: Path, study_folder: Make) -> Study:
    return load(study_folder(tmp_path / "c"))


def test_curves_show_the_data(study: Study) -> None:
    figure = Figure()
    ax = figure.subplots()
    assert learning_curves(study, ax=ax) is figure
    drawn = {str(line.get_label()): line for line in ax.lines if line.get_linewidth() > 1.5}
    for arm in study.arms:
        line, curve = drawn[arm.label], arm.curve("mastered")
        drawn_data = np.asarray(line.get_xydata(), dtype=np.float64)
        np.testing.assert_allclose(drawn_data[:, 0], curve.steps)
        np.testing.assert_allclose(drawn_data[:, 1], curve.values.mean(axis=0))
        colour = to_hex(line.get_color())
        faint = [other for other in ax.lines if to_hex(other.get_color()) == colour]
        assert len(faint) == 1 + len(arm.runs)
    assert [t.get_text() for t in ax.texts] != []


def test_the_last_evaluation_past_the_budget_is_in_sight(
    tmp_path: Path, study_folder: Make
) -> None:
    folder = study_folder(tmp_path / "c", seeds=3, arms=("random", "window"))
    for path in folder.glob("runs/*/*/evaluations.csv"):
        path.write_text(path.read_text().replace("\n6000,", "\n6144,"))
    study = load(folder)
    ax = Figure().subplots()
    learning_curves(study, ax=ax)
    assert ax.get_xlim() == (0, 6144)


def test_two_seeds_get_a_bar_and_no_band(tmp_path: Path, study_folder: Make) -> None:
    drawn = {}
    for seeds in (2, 3):
        study = load(study_folder(tmp_path / f"{seeds}", seeds=seeds, arms=("random", "window")))
        ax = Figure().subplots()
        learning_curves(study, ax=ax)
        bands = [c for c in ax.collections if isinstance(c, PolyCollection)]
        drawn[seeds] = (len(bands), len(ax.containers))
    assert drawn == {2: (0, 2), 3: (2, 0)}


def test_one_colour_a_teacher_everywhere(study: Study) -> None:
    palette = study_colours(study)
    assert palette["random"] == BASELINE
    assert len(set(palette.values())) == len(palette)
    many = colours([f"arm-{i}" for i in range(9)], "arm-0")
    assert len(set(many.values())) == 9


def test_steps_show_the_data(study: Study) -> None:
    figure = steps_over_time(study)
    view = view_of(study)
    assert view is not None
    meshes = [c for ax in figure.axes for c in ax.collections if isinstance(c, QuadMesh)]
    expected = steps_map(study.arms[1].runs, view, 3).density
    drawn = np.asarray(meshes[3].get_array()).reshape(expected[0].T.shape)
    np.testing.assert_allclose(drawn, expected[0].T)


@pytest.mark.parametrize("name", ["plane", "line", "many"])
def test_every_kind_of_space_is_drawn(
    name: str, tmp_path: Path, study_folder: Make, spaces: dict[str, TaskSpace]
) -> None:
    study = load(study_folder(tmp_path / "c", spaces[name], seeds=2))
    for draw in (steps_over_time, mastery, picture):
        figure = draw(study)
        assert isinstance(figure, Figure)
        assert figure.axes


def test_an_unfinished_run_is_drawn(tmp_path: Path, run_folder: Make) -> None:
    study = load(run_folder(tmp_path / "r", finished=False))
    assert picture(study).axes


def test_files_for_papers(tmp_path: Path, study_folder: Make) -> None:
    study_folder(tmp_path / "s", seeds=2, kind="supervised", arms=("random", "window"))
    folder = study_folder(tmp_path / "c", seeds=2, arms=("random", "window"), supervised="../s")
    written = report.figure(folder, tmp_path / "out")
    names = {
        "gain",
        "frontier",
        "learning_curves",
        "learning_curves_supervised",
        "teachers",
        "mastery",
        "steps",
    }
    assert {p.name for p in written} == {f"{n}.{e}" for n in names for e in ("pdf", "png")}
    for path in written:
        if path.suffix == ".pdf":
            assert path.read_bytes()[:5] == b"%PDF-"
            assert b"CreationDate" not in path.read_bytes()
        else:
            with Image.open(path) as image:
                assert np.asarray(image.convert("L")).std() > 5


def test_the_picture_is_1600_pixels_wide(tmp_path: Path, study_folder: Make) -> None:
    folder = study_folder(tmp_path / "c", seeds=2)
    path = report.picture(folder, tmp_path / "new" / "picture.png")
    with Image.open(path) as image:
        assert image.size[0] == 1600


def test_a_picture_needs_a_space_to_draw_along(tmp_path: Path, run_folder: Make) -> None:
    folder = run_folder(tmp_path / "r", task_space={"type": "mazes"})
    with pytest.raises(ValueError, match="no dimension to draw along"):
        report.picture(folder, tmp_path / "p.png")


def test_pyplot_is_left_alone(study: Study) -> None:
    learning_curves(study)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []
