import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from currgym.cli import main
from currgym.students import teach
from currgym.students.population import CHALLENGES, GridStudent, Oracle, oracle_score

PLAIN: dict[str, Any] = {"unlearnable": 0.0, "spread": 0.0, "speeds": (1.0, 1.0)}


def visit(student: GridStudent, cell: int, times: int = 1) -> float:
    outcomes = student.attempt(np.repeat(student.tasks_of([cell]), times, axis=0))
    assert outcomes.returns is not None
    return float(outcomes.returns[-1])


def first(student: GridStudent) -> int:
    return int(np.ravel_multi_index(student.start, (student.cubes,) * student.dims))


@pytest.mark.parametrize("challenge", CHALLENGES)
@pytest.mark.parametrize("seed", range(3))
def test_every_cell_has_its_task_and_every_task_its_cell(challenge: str, seed: int) -> None:
    student = GridStudent(challenge, seed=seed, dims=3, cubes=5)
    cells = np.arange(125)
    tasks = student.tasks_of(cells)
    assert student.task_space.contains(tasks).all()
    assert student.cells_of(tasks).tolist() == cells.tolist()


def test_learning_spreads_along_the_axes_from_75_both_ways() -> None:
    student = GridStudent(seed=4, **PLAIN)
    here = first(student)
    x, y = student.start
    around = {
        (i, j): student.cubes * (x + i) + (y + j)
        for i, j in itertools.product((-1, 0, 1), repeat=2)
        if 0 <= x + i < 10 and 0 <= y + j < 10 and (i, j) != (0, 0)
    }
    visit(student, here, 74)
    assert [visit(student, cell) for cell in around.values()] == [0.0] * len(around)
    assert visit(student, here) == 0.75
    for place, cell in around.items():
        assert visit(student, cell) == (0.01 if 0 in place else 0.0)
    assert student.score() == 0.0
    visit(student, here)
    assert student.score() == 1.0  # above 75, not at it


def test_the_unlearnable_share_lies_furthest_from_the_start_and_stays_at_zero() -> None:
    student = GridStudent(seed=1, unlearnable=0.4, spread=0.0)
    assert student.learnable.mean() == pytest.approx(0.6)
    far = np.abs(np.argwhere(np.ones((10, 10))) - student.start).sum(axis=1)
    assert far[student.learnable].max() <= far[~student.learnable].min()
    student.competence[student.learnable] = 100.0
    assert [visit(student, c, 5) for c in np.flatnonzero(~student.learnable)[:3]] == [0.0] * 3
    assert student.score() == 100.0


def test_students_of_a_population_differ_and_a_seed_is_one_student() -> None:
    found = [GridStudent("variety", seed=s) for s in range(30)]
    assert len({s.start for s in found}) > 5
    assert len({tuple(s.flips) + tuple(s.axes) for s in found}) == 8
    assert len({s.speed for s in found}) == 30
    assert len({s.own_unlearnable for s in found}) > 20
    again = GridStudent("variety", seed=7)
    tasks = np.random.default_rng(0).random((500, 2))
    ours, theirs = found[7].attempt(tasks).returns, again.attempt(tasks).returns
    assert ours is not None
    assert theirs is not None
    assert ours.tolist() == theirs.tolist()


def test_the_orientation_turns_the_whole_landscape() -> None:
    starts = {s: GridStudent(seed=s).tasks_of([first(GridStudent(seed=s))])[0] for s in range(40)}
    corners = {(bool(x > 0.5), bool(y > 0.5)) for x, y in starts.values()}
    assert len(corners) == 4


def test_trivial_cells_are_mastered_from_the_beginning_and_open_their_neighbours() -> None:
    student = GridStudent("mostly-trivial", seed=0, unlearnable=0.0, spread=0.0)
    assert student.score() == 50.0
    assert student.open(first(student))
    assert sum(student.open(c) for c in range(100)) > 50


def test_a_reset_forgets_all_but_the_trivial() -> None:
    student = GridStudent(reset_every=50, trivial=0.1, seed=0, **PLAIN)
    cell = next(c for c in range(100) if student.competence[c] == 0.0 and student.open(c))
    assert visit(student, cell, 49) == pytest.approx(0.49)
    assert visit(student, cell) == pytest.approx(0.01)
    assert student.score() == 10.0


def test_decay_takes_its_share_of_what_is_not_practised() -> None:
    student = GridStudent(forgetting=0.01, seed=0, **PLAIN)
    here = first(student)
    visit(student, here, 3)
    # 1, then 1 + .99, then 1 + .99 (1 + .99)
    assert student.competence[here] == pytest.approx(1 + 0.99 + 0.99**2)
    visit(student, (here + 50) % 100, 10)
    expected = (1 + 0.99 + 0.99**2) * 0.99**10
    assert student.current()[here] == pytest.approx(expected)


def test_rugged_cuts_are_a_shuffle_of_each_dimension() -> None:
    smooth, rugged = GridStudent(seed=3), GridStudent("rugged", seed=3, **{})
    x = (np.arange(40) + 0.5) / 40
    tasks = np.stack([x, np.full(40, 0.5)], axis=1)
    jumps = np.abs(np.diff(np.stack(np.unravel_index(rugged.cells_of(tasks), (10, 10)), 1), axis=0))
    assert np.abs(jumps).sum(axis=1).max() > 1
    assert len(set(rugged.cells_of(tasks).tolist())) == len(set(smooth.cells_of(tasks).tolist()))


def test_noise_is_on_the_return_alone() -> None:
    student = GridStudent("noisy", seed=0, **PLAIN)
    returns = np.array([visit(student, first(student)) for _ in range(2000)])
    assert student.competence[first(student)] == 100.0
    assert returns[200:].std() == pytest.approx(0.1, rel=0.1)
    assert returns[200:].mean() == pytest.approx(1.0, abs=0.02)


def test_negative_transfer_takes_from_one_rival() -> None:
    student = GridStudent("negative-transfer", seed=0, trivial=0.5, **PLAIN)
    student.competence[:] = 60.0
    before = student.competence.copy()
    visit(student, first(student), 10)
    change = student.competence - before
    assert sorted(change[change != 0.0].tolist()) == pytest.approx([-8.0, 10.0])
    student.competence[:] = 100.0
    visit(student, first(student), 10)  # nothing is added, so nothing is lost
    assert (student.competence == 100.0).all()


def test_a_plateau_hides_progress_until_it_jumps() -> None:
    student = GridStudent("plateau", seed=0, **PLAIN)
    assert visit(student, first(student), 74) == 0.0
    assert visit(student, first(student)) == 0.75


def test_useless_dimensions_change_nothing() -> None:
    student = GridStudent("useless-dimensions", seed=0)
    tasks = student.task_space.sample(200, np.random.default_rng(0))
    moved = tasks.copy()
    moved[:, 2:] = 1.0 - moved[:, 2:]
    assert student.cells_of(tasks).tolist() == student.cells_of(moved).tolist()


@pytest.mark.parametrize("challenge", CHALLENGES)
def test_probes_and_saved_states_leave_no_trace(challenge: str) -> None:
    one, other = GridStudent(challenge, seed=5), GridStudent(challenge, seed=5)
    tasks = np.random.default_rng(1).random((400, one.task_space.unit_dim))
    one.attempt(tasks[:200])
    other.attempt(tasks[:200])
    other.attempt(tasks[:50], learn=False)
    copy = GridStudent(challenge, seed=5)
    copy.load_state_dict(other.state_dict())
    found = [s.attempt(tasks[200:]) for s in (one, other, copy)]
    for column in ("returns", "successes", "initial_values"):
        first, *others = (getattr(f, column).tolist() for f in found)
        assert all(o == first for o in others)
    single = GridStudent(challenge, seed=5)
    single.load_state_dict(other.state_dict())
    other.load_state_dict(single.state_dict())
    at_once = other.attempt(tasks[:60]).successes
    assert at_once is not None
    one_by_one = [single.attempt(task[None]).successes for task in tasks[:60]]
    assert at_once.tolist() == np.concatenate([s for s in one_by_one if s is not None]).tolist()


def test_success_is_drawn_with_the_return_for_its_chance() -> None:
    student = GridStudent(seed=0, **PLAIN)
    student.competence[:] = 30.0
    outcomes = student.attempt(np.repeat(student.tasks_of([5]), 4000, axis=0), learn=False)
    assert outcomes.successes is not None
    assert outcomes.successes.mean() == pytest.approx(0.3, abs=0.03)


def test_the_oracle_finishes_cell_after_cell() -> None:
    student = GridStudent(seed=0, cubes=4, **PLAIN)
    oracle = Oracle(student)
    for _ in range(76 * 16 // 8):
        student.attempt(oracle.sample(8))
    assert student.score() == 100.0


@pytest.mark.parametrize("challenge", ["baseline", "decay", "negative-transfer"])
def test_nobody_without_its_view_comes_near_the_oracle(challenge: str) -> None:
    student = GridStudent(challenge, seed=0)
    best = oracle_score(student, 2000, 10)
    assert best > 15.0
    assert teach(student, "random", 2000, batch=10).final < best / 4


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"challenge": "plato"}, "plateau"),
        ({"unlearnable": 1.0}, r"unlearnable must lie in \[0, 1\), got 1.0"),
        ({"interference": 2.0}, "interference must lie"),
        ({"speeds": (2.0, 1.0)}, "speeds must be"),
        ({"speeds": "1,2"}, "speeds must be"),
        ({"rugged": 0}, "rugged must be at least 1"),
        ({"noise": float("nan")}, "noise must be at least 0"),
        ({"cubes": 1}, "cubes must be at least 2"),
        ({"cubes": 100, "dims": 4}, "at most 1,000,000 cells"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        GridStudent(**settings)


def test_a_run_takes_it_by_name(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "toy/grid", "--steps", "300", "--out", str(tmp_path / "run"), "--set"]
    run_cli([*arguments, "env.chalenge=plateau"], expected=2)
    assert "did you mean 'challenge'?" in capfd.readouterr().err
    run_cli([*arguments, "env.challenge=plateau"], expected=0)
    assert (tmp_path / "run" / "episodes.csv").read_text().count("\n") == 301


def run_cli(arguments: list[str], expected: int) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert (stopped.value.code or 0) == expected
