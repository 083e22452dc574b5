import pickle
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from currgym.outcomes import Outcomes
from currgym.states import load_state, save_state
from currgym.students.simulated import CubeStudent, teach
from currgym.tasks import BoxTasks, DiscreteTasks, TaskSpace
from currgym.teachers.vds import VDS
from currgym.teaching import make_teacher

FloatArray = NDArray[np.float64]
SQUARE = BoxTasks([0, 0], [1, 1])


def build(space: TaskSpace = SQUARE, **settings: Any) -> VDS:
    # By name, so that an impostor can take its place.
    settings = {"seed": 0, "return_range": (0, 1), **settings}
    return cast(VDS, make_teacher("vds", space, **settings))


def quick(**settings: Any) -> VDS:
    return build(
        **{"fit_period": 10, "epochs": 1, "batches": 2, "candidates": 50, "buffer_size": 30}
        | settings
    )


def drive(teacher: VDS, attempts: int) -> FloatArray:
    drawn = []
    for _ in range(attempts):
        tasks = teacher.sample(1)
        drawn.append(np.ravel(tasks)[0])
        value = np.ravel(np.asarray(tasks, dtype=float))[:1] % 1.0
        teacher.update(Outcomes(tasks, value, successes=value))
    return np.array(drawn)


@pytest.mark.parametrize(
    ("weighting", "chances"),
    [
        # Disagreement 0.1, 0, 0.3, 0.4.
        ("identity", [0.125, 0, 0.375, 0.5]),
        ("square", [1 / 26, 0, 9 / 26, 16 / 26]),
        # 1.105171, 1, 1.349859 and 1.491825, which make 4.946854.
        ("exp", [0.2234088, 0.2021487, 0.2728721, 0.3015704]),
    ],
)
def test_candidates_are_chosen_in_proportion(weighting: str, chances: list[float]) -> None:
    teacher = build(weighting=weighting)
    places = np.array([[0.1, 0.5], [0.3, 0.5], [0.5, 0.5], [0.7, 0.5]])
    teacher._adopt(places, np.array([0.1, 0.0, 0.3, 0.4]))
    draws = np.random.default_rng(0)
    draws.bit_generator.state = teacher.rng.bit_generator.state
    ends = np.cumsum(chances)
    # Ten draws by hand: the first end above a uniform number.
    expected = [[0.1, 0.3, 0.5, 0.7][int(np.argmax(ends > u))] for u in draws.random(10)]
    np.testing.assert_allclose(teacher.sample(10)[:, 0], expected, atol=1e-9)
    found = teacher.sample(8000)[:, 0]
    shares = [np.mean(found == place) for place in places[:, 0]]
    np.testing.assert_allclose(shares, chances, atol=0.02)


def test_trace_of_the_ensemble() -> None:
    # Two fits of six steps: each member by itself, from its own mini-batches, with Adam.
    teacher = build(fit_period=10, epochs=2, batches=3, candidates=20, members=2)
    start = {k: v.copy() for k, v in teacher.ensemble.parameters.items()}
    rng = np.random.default_rng(1)
    data = rng.random((20, 2)), rng.random(20)
    numbers = np.random.default_rng()
    numbers.bit_generator.state = teacher.rng.bit_generator.state
    for part in (slice(0, 10), slice(10, 20)):
        teacher.update(Outcomes(data[0][part], data[1][part]))
    members, optimizers = [], []
    for m in range(2):
        layers = [torch.nn.Linear(a, b) for a, b in ((2, 128), (128, 128), (128, 128), (128, 1))]
        for i, layer in enumerate(layers):
            layer.weight.data = torch.tensor(start[f"w{i}"][m].T)
            layer.bias.data = torch.tensor(start[f"b{i}"][m, 0])
        tanh = torch.nn.Tanh()
        members.append(
            torch.nn.Sequential(layers[0], tanh, layers[1], tanh, layers[2], tanh, layers[3])
        )
        optimizers.append(torch.optim.Adam(members[m].parameters(), lr=1e-3))
    for known in (10, 20):
        picked = numbers.integers(known, size=(6, 2, known // 3 + 1))
        for step in range(6):
            for m in range(2):
                rows = picked[step, m]
                said = members[m](torch.tensor(2 * data[0][rows] - 1, dtype=torch.float32))[:, 0]
                wanted = torch.tensor(data[1][rows], dtype=torch.float32)
                optimizers[m].zero_grad()
                ((said - wanted) ** 2).mean().backward()
                optimizers[m].step()
        candidates = numbers.random((20, 2))
    with torch.no_grad():
        values = [m(torch.tensor(2 * candidates - 1, dtype=torch.float32))[:, 0] for m in members]
    gap = np.abs(values[0].numpy() - values[1].numpy()) / 2  # the standard deviation of two
    order = np.argsort(-gap, kind="stable")
    shown = teacher.snapshot()
    np.testing.assert_allclose(shown["disagreement"], gap[order], atol=1e-5)
    np.testing.assert_allclose(shown["tasks"][:3], candidates[order][:3])
    np.testing.assert_allclose(teacher.values(candidates), np.stack(values), atol=1e-5)


def test_profile_unseen_tasks_are_proposed() -> None:
    # Half of the line was attempted often, with a return that the task explains.
    teacher = build(BoxTasks([0], [1]), fit_period=1000, epochs=10, weighting="square")
    tasks = np.random.default_rng(0).random((1000, 1)) * 0.5
    teacher.update(Outcomes(tasks, 0.5 + 0.5 * np.sin(6 * tasks[:, 0])))
    drawn = teacher.sample(2000)
    assert np.mean(drawn > 0.6) > 0.55  # of uniform tasks two fifths
    best = teacher.snapshot()
    assert (best["tasks"][:20] > 0.9).all()
    assert (np.diff(best["disagreement"]) <= 0).all()


def test_uniform_before_the_first_fit_and_where_all_agree() -> None:
    teacher = build()
    assert teacher.sample(1000).std() == pytest.approx(0.289, abs=0.02)
    teacher._adopt(np.full((5, 2), 0.5), np.zeros(5))  # 0 / 0 in CURROT's form
    assert teacher.sample(1000).std() == pytest.approx(0.289, abs=0.02)
    assert "agreement" in teacher.snapshot()


def test_candidates_are_new_at_each_fit() -> None:
    teacher = quick()
    drive(teacher, 10)
    first = teacher.snapshot()["tasks"]
    drive(teacher, 10)
    second = teacher.snapshot()["tasks"]
    assert len(np.unique(np.concatenate([first, second]), axis=0)) == 100


def test_probes_are_asked_for_once_a_period() -> None:
    teacher = quick(probes=7)
    assert teacher.needs == {"probe"}
    assert build().needs == frozenset()
    for period in range(3):
        wanted = teacher.requests()
        assert wanted is not None
        assert wanted.tasks.shape == (7, 2)
        assert teacher.requests() is None
        stored = teacher.state_dict()["own"]["counts"][0]
        teacher.update(Outcomes(wanted.tasks, np.zeros(7), probe=True))
        assert teacher.fits == period  # a probe does not bring the fit nearer
        assert teacher.state_dict()["own"]["counts"][0] == stored + 7
        drive(teacher, 10)
        assert teacher.fits == period + 1
    assert build().requests() is None


@pytest.mark.parametrize("batch", [1, 7, 60])
def test_batches_of_any_size_equal_single_updates(batch: int) -> None:
    rng = np.random.default_rng(2)
    tasks, returns = rng.random((60, 2)), rng.random(60)
    one, other = quick(), quick()
    one.update(Outcomes(tasks, returns))
    for i in range(0, 60, batch):
        other.update(Outcomes(tasks[i : i + batch], returns[i : i + batch]))
    np.testing.assert_equal(one.state_dict(), other.state_dict())
    assert one.fits == 6


@pytest.mark.parametrize("steps", [3, 35, 70])
def test_goes_on_bit_for_bit_whatever_torch_is_set_to(steps: int, tmp_path: Path) -> None:
    teacher = quick(probes=3)
    drive(teacher, steps)
    teacher.requests()
    save_state(tmp_path, teacher.state_dict())
    twin = quick(probes=3, seed=99)
    twin.load_state_dict(load_state(tmp_path))
    copied = pickle.loads(pickle.dumps(teacher))
    expected = drive(teacher, 60)
    threads, generator = torch.get_num_threads(), torch.get_rng_state()
    try:
        torch.manual_seed(5)
        torch.set_num_threads(2)
        state = torch.get_rng_state()
        with torch.no_grad():
            np.testing.assert_array_equal(drive(twin, 60), expected)
        assert torch.get_num_threads() == 2
        assert torch.equal(torch.get_rng_state(), state)
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(generator)
    np.testing.assert_array_equal(drive(copied, 60), expected)
    np.testing.assert_equal(twin.state_dict(), teacher.state_dict())
    assert teacher.fits >= 6


def test_a_fit_that_fails_keeps_the_ensemble() -> None:
    teacher = quick(lr=1e30)
    before = teacher.state_dict()["own"]["ensemble"]
    drive(teacher, 20)
    assert (teacher.fits, teacher.snapshot()["failed_fits"]) == (0, 2)
    np.testing.assert_equal(teacher.state_dict()["own"]["ensemble"], before)


def test_all_returns_alike_and_all_tasks_alike() -> None:
    teacher = quick()
    teacher.update(Outcomes(np.full((40, 2), 0.5), np.full(40, 0.5)))
    assert (teacher.fits, teacher.failed_fits) == (4, 0)
    assert SQUARE.contains(teacher.sample(50)).all()


def test_other_spaces() -> None:
    ranks = quick(space=DiscreteTasks(5, difficulty=np.arange(5)))
    assert set(drive(ranks, 60)) <= set(range(5))
    assert ranks.fits == 6
    constant = quick(space=BoxTasks([2], [2]))
    assert set(drive(constant, 60)) == {2.0}


def test_measure_of_success() -> None:
    teacher = build(measure="success")
    assert teacher.needs == {"successes"}
    teacher.update(Outcomes([[0.5, 0.5]], [9.0], successes=[0.25]))
    np.testing.assert_allclose(teacher.state_dict()["own"]["values"], [0.25])


def test_presets() -> None:
    point, maze = build(preset="pointmass"), build(preset="maze")
    assert (point.members, point.epochs, point.batches, point.lr) == (5, 3, 20, 1e-3)
    assert (maze.members, maze.epochs, maze.batches, maze.lr) == (5, 10, 80, 5e-4)
    assert maze.fit_period == 500
    assert (build().members, build().candidates, build().weighting) == (3, 1000, "identity")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"members": 1}, "members must be at least 2, got 1"),
        ({"candidates": 0}, "candidates must be at least 1"),
        ({"fit_period": 0}, "fit_period must be at least 1"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batches": 0}, "batches must be at least 1"),
        ({"buffer_size": 0}, "buffer_size must be at least 1"),
        ({"probes": -1}, "probes must be at least 0"),
        ({"weighting": "rank"}, "weighting must be one of"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"measure": "regret"}, "measure must be one of"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)


def test_teaches_the_toy_better_than_chance() -> None:
    finals = {name: teach(CubeStudent(cubes=4), name, 2000, batch=10, seed=1000).final
              for name in ("vds", "random")}  # fmt: skip
    assert finals["vds"] > finals["random"] + 5
