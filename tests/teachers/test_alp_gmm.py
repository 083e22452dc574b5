from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from currgym.outcomes import Outcomes
from currgym.states import load_state, save_state
from currgym.students.simulated import CubeStudent, teach
from currgym.tasks import BoxTasks
from currgym.teachers._mixtures import Mixture
from currgym.teachers.alp_gmm import ALPGMM, History
from currgym.teaching import make_teacher

FloatArray = NDArray[np.float64]
SQUARE = BoxTasks([0, 0], [1, 1])


def build(space: BoxTasks = SQUARE, **settings: Any) -> ALPGMM:
    # By name, so that an impostor can take its place.
    settings = {"seed": 0, "return_range": (0, 1), **settings}
    return cast(ALPGMM, make_teacher("alp-gmm", space, **settings))


def feed(teacher: ALPGMM, tasks: FloatArray, returns: FloatArray, batch: int = 1) -> None:
    for i in range(0, len(tasks), batch):
        teacher.update(Outcomes(tasks[i : i + batch], returns[i : i + batch]))


def drive(teacher: ALPGMM, steps: int) -> FloatArray:
    """Let the teacher sample and answer with a return that drifts; return its tasks."""
    drawn = []
    for step in range(steps):
        tasks = teacher.sample(1)
        drawn.append(tasks[0])
        value = np.minimum(1.0, tasks[:, 0] * (teacher.seen + step) / 1000)
        teacher.update(Outcomes(tasks, value))
    return np.array(drawn)


def spots(alp: list[float]) -> Mixture:
    """Narrow components side by side at x = 1/4, 2/4, ..., the least weight on the most ALP."""
    k = len(alp)
    places = (np.arange(k) + 1.0) / (k + 1)
    weights = np.arange(k, 0, -1) / np.arange(k, 0, -1).sum()
    factors = np.tile(np.eye(3) * 1e-3, (k, 1, 1))
    means = np.column_stack([places, np.full(k, 0.5), alp])
    return Mixture(weights, means, factors @ factors, factors, 0.0)


def test_trace_worked_by_hand() -> None:
    # Returns -10 ... 10 count as 0 ... 1; one unit of the cube is 16 in x and 100 in y.
    space = BoxTasks([0, 0], [16, 100])
    teacher = build(space, return_range=(-10, 10))
    trace = [
        # task, raw return, ALP
        ([0, 0], -10, 0.0),
        ([16, 0], -10, 0.0),
        ([0, 100], -5, 0.0),
        ([16, 100], 0, 0.0),
        ([8, 50], 5, 0.0),
        ([8, 50], 10, 0.0),  # the sixth: five stored pairs are not enough
        ([8, 56], 0, 0.5),  # of the two at (8, 50) the newer returned 1
        ([4, 0], -6, 0.2),  # nearest (0, 0): 0
        ([2, 0], 10, 0.8),  # as far from (0, 0) as from (4, 0); the newer returned 0.2
        ([16, 100], 30, 0.5),  # clamped to 1, from 0.5
        ([12, 50], -6, 0.8),  # in the cube (8, 50) is nearer (.25) than (8, 56) (.257): 1
        ([8, 100], 10, 0.5),  # in natural units (16, 100) is nearer (8 < 44): in the cube (8, 56)
    ]
    for task, value, _ in trace:
        teacher.update(Outcomes([task], [float(value)]))
    rows = teacher.snapshot()["rows"]
    np.testing.assert_allclose(rows[:, 2], [alp for *_, alp in trace], atol=1e-6)
    np.testing.assert_allclose(rows[:, :2], [np.divide(task, [16, 100]) for task, *_ in trace])


def test_history_equals_brute_force() -> None:
    rng = np.random.default_rng(0)
    history = History(40, 3)
    tasks = rng.integers(0, 4, (200, 3)) / 4  # many ties
    tasks[::3] = rng.random((67, 3))
    for step, task in enumerate(tasks):
        if step:
            kept = range(max(0, step - 40), step)
            gaps = {i: float(((tasks[i] - task) ** 2).sum()) for i in kept}
            newest = max(i for i in kept if gaps[i] == min(gaps.values()))
            assert history.nearest(task) == newest % 40
        history.add(task, 0.0)
    assert len(history) == 40


def test_components_are_chosen_in_proportion_to_alp() -> None:
    teacher = build(random_ratio=0.0)
    teacher._adopt(spots([0.1, 0.3, 0.0, -0.2]))
    places = np.rint(teacher.sample(8000)[:, 0] * 5).astype(int) - 1
    shares = np.bincount(places, minlength=4) / 8000
    np.testing.assert_allclose(shares, [0.25, 0.75, 0, 0], atol=0.02)
    np.testing.assert_allclose(teacher.snapshot()["chances"], [0.25, 0.75, 0, 0])


def test_without_progress_components_are_equally_likely() -> None:
    teacher = build(random_ratio=0.0)
    teacher._adopt(spots([0.0, 0.0, -0.1]))
    places = np.rint(teacher.sample(6000)[:, 0] * 4).astype(int) - 1
    np.testing.assert_allclose(np.bincount(places) / 6000, [1 / 3] * 3, atol=0.02)


def test_many_at_once_are_the_same_as_one_by_one() -> None:
    together, single = build(), build()
    for teacher in (together, single):
        teacher._adopt(spots([0.1, 0.3, 0.0]))
    np.testing.assert_array_equal(
        together.sample(50), np.concatenate([single.sample(1) for _ in range(50)])
    )


def test_random_ratio() -> None:
    teacher = build(random_ratio=0.3)
    assert teacher.sample(1000)[:, 0].std() > 0.25  # nothing fitted yet: uniform
    teacher._adopt(spots([1.0]))
    far = np.abs(teacher.sample(8000)[:, 0] - 0.5) > 0.01
    assert far.mean() == pytest.approx(0.3 * 0.98, abs=0.02)


@pytest.mark.parametrize(("boundary", "on_face"), [("clip", 0.5), ("resample", 0.0)])
def test_boundary(boundary: str, on_face: float) -> None:
    teacher = build(random_ratio=0.0, boundary=boundary)
    factors = np.diag([0.1, 0.1, 0.1])[None]
    means = np.array([[0.0, 0.5, 0.4]])
    teacher._adopt(Mixture(np.ones(1), means, factors @ factors, factors, 0.0))
    tasks = teacher.sample(4000)
    assert np.mean(tasks[:, 0] == 0.0) == pytest.approx(on_face, abs=0.03)
    assert SQUARE.contains(tasks).all()


def test_profile_bump_of_progress_is_found() -> None:
    rng = np.random.default_rng(1)
    centre = np.array([0.7, 0.3])
    tasks = rng.random((1000, 2))
    inside = np.linalg.norm(tasks - centre, axis=1) < 0.15
    returns = np.where(inside, rng.integers(2, size=1000), 0).astype(float)
    teacher = build(random_ratio=0.0)
    feed(teacher, tasks, returns, batch=50)
    drawn = teacher.sample(1000)
    assert np.mean(np.linalg.norm(drawn - centre, axis=1) < 0.25) > 0.8
    assert teacher.fits == 4
    best = teacher.snapshot()["means"][np.argmax(teacher.snapshot()["alp"])]
    assert np.linalg.norm(best[:2] - centre) < 0.15


def test_batches_of_any_size_equal_single_updates() -> None:
    rng = np.random.default_rng(2)
    tasks, returns = rng.random((1000, 2)), rng.random(1000)
    states = []
    for batch in (1, 7, 250, 1000):
        teacher = build(fit_period=100, history_size=300)
        feed(teacher, tasks, returns, batch)
        states.append((teacher.state_dict(), teacher.snapshot(), teacher.sample(5)))
    for state, snapshot, drawn in states[1:]:
        np.testing.assert_equal(state, states[0][0])
        np.testing.assert_equal(snapshot, states[0][1])
        np.testing.assert_array_equal(drawn, states[0][2])
    assert states[0][1]["fits"] == 10


@pytest.mark.parametrize("steps", [3, 130, 420])
@pytest.mark.parametrize("return_range", [(0, 1), None])
def test_saved_and_restored_goes_on_bit_for_bit(
    steps: int, return_range: tuple[float, float] | None, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {
        "fit_period": 50, "history_size": 200, "return_range": return_range, "max_components": 4,
    }  # fmt: skip
    teacher = build(**settings)
    drive(teacher, steps)
    save_state(tmp_path, teacher.state_dict())
    twin = build(**{**settings, "seed": 99})
    twin.load_state_dict(load_state(tmp_path))
    np.testing.assert_array_equal(drive(teacher, 130), drive(twin, 130))
    np.testing.assert_equal(teacher.state_dict(), twin.state_dict())
    np.testing.assert_equal(teacher.snapshot(), twin.snapshot())


def test_loading_forgets_an_earlier_mixture() -> None:
    fresh = build(fit_period=50).state_dict()
    teacher = build(fit_period=50)
    drive(teacher, 100)
    teacher.load_state_dict(fresh)
    np.testing.assert_equal(teacher.state_dict(), fresh)
    np.testing.assert_array_equal(teacher.sample(3), build(fit_period=50).sample(3))


def test_preview_leaves_no_trace() -> None:
    teacher = build(fit_period=50)
    drive(teacher, 120)
    before = teacher.state_dict()
    assert len(teacher.preview(20, np.random.default_rng(0))) == 20
    np.testing.assert_equal(teacher.state_dict(), before)


def test_failed_fit_keeps_the_mixture() -> None:
    teacher = build(fit_period=50)
    drive(teacher, 50)
    kept = teacher.mixture
    assert kept is not None
    # The first of these still differs in ALP; the second window is one row fifty times over.
    feed(teacher, np.full((100, 2), 0.5), np.full(100, 0.5), batch=10)
    assert teacher.failed_fits == 1
    assert teacher.snapshot()["failed_fits"] == 1
    feed(teacher, np.full((50, 2), 0.5), np.full(50, 0.5))
    assert teacher.failed_fits == 2
    assert teacher.mixture is not None


def test_nothing_but_one_task_from_the_start() -> None:
    teacher = build(fit_period=50)
    feed(teacher, np.full((50, 2), 0.5), np.zeros(50), batch=50)
    assert teacher.failed_fits == 1
    assert teacher.mixture is None
    assert teacher.sample(100).std() > 0.2


def test_constant_and_whole_number_dimensions() -> None:
    space = BoxTasks([0, 2, 1, 0], [1, 2, 3, 1], kinds=["real", "real", "integer", ("a", "b")])
    teacher = build(space, fit_period=50)
    drawn = drive(teacher, 200)
    assert teacher.fits == 4
    assert set(drawn[:, 1]) == {2.0}
    assert teacher.snapshot()["means"].shape[1] == 4
    only_constants = build(BoxTasks([2], [2]), fit_period=50)
    assert set(drive(only_constants, 120)[:, 0]) == {2.0}


def test_constant_reward_for_ten_thousand_attempts() -> None:
    teacher = build(max_components=5)
    rng = np.random.default_rng(0)
    for _ in range(20):
        tasks = teacher.sample(500)
        feed(teacher, tasks, np.full(500, 0.4), batch=500)
    assert teacher.fits + teacher.failed_fits == 40
    assert teacher.failed_fits == 0
    snapshot = teacher.snapshot()
    assert np.abs(snapshot["alp"]).max() < 1e-12
    assert SQUARE.contains(teacher.preview(100, rng)).all()


def test_bootstrap_counts_attempts() -> None:
    teacher = build(fit_period=20, bootstrap=50, max_components=3)
    drive(teacher, 59)
    assert teacher.fits == 0
    drive(teacher, 1)
    assert teacher.fits == 1


def test_snapshot_is_small() -> None:
    space = BoxTasks([0] * 10, [1] * 10)
    teacher = build(space, fit_period=1000)
    feed(teacher, space.sample(1000, np.random.default_rng(0)), np.zeros(1000), batch=1000)
    snapshot = teacher.snapshot()
    assert teacher.fits == 1
    assert sum(np.asarray(value).nbytes for value in snapshot.values()) < 100_000
    np.testing.assert_array_equal(snapshot["rows"][-1], teacher._rows[-1])


def test_presets_and_defaults() -> None:
    corl = cast(ALPGMM, make_teacher("alp-gmm", SQUARE, preset="corl2019"))
    assert (corl.fit_period, corl.random_ratio, corl.min_components) == (250, 0.2, 2)
    assert corl.max_components == 10
    benchmark = cast(ALPGMM, make_teacher("alp-gmm:teachmyagent", SQUARE))
    assert (benchmark.fit_period, benchmark.bootstrap) == (150, 150)
    assert (benchmark.random_ratio, benchmark.max_components) == (0.05, 9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fit_period": 1}, "fit_period must be at least 2, got 1"),
        ({"bootstrap": -1}, "bootstrap must be at least 0"),
        ({"random_ratio": 1.5}, "random_ratio must lie in"),
        ({"min_components": 0}, "min_components must be at least 1"),
        ({"min_components": 5, "max_components": 4}, "max_components not below"),
        ({"criterion": "dic"}, "criterion must be one of"),
        ({"boundary": "wrap"}, "boundary must be one of"),
        ({"history_size": 5}, "history_size must be more than 5"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)


def test_teaches_the_toy_better_than_chance() -> None:
    finals = {
        name: [teach(CubeStudent(cubes=4), name, 1500, seed=1000 + i).final for i in range(2)]
        for name in ("alp-gmm", "random")
    }
    assert min(finals["alp-gmm"]) > 1.3 * max(finals["random"])
