import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from currgym.outcomes import Outcomes
from currgym.states import load_state, save_state
from currgym.tasks import BoxTasks, DiscreteTasks, TaskSpace
from currgym.teachers import goal_gan
from currgym.teachers.goal_gan import GoalGAN
from currgym.teaching import make_teacher

FloatArray = NDArray[np.float64]
SQUARE = BoxTasks([0, 0], [1, 1])


def build(space: TaskSpace = SQUARE, **settings: Any) -> GoalGAN:
    # By name, so that an impostor can take its place.
    settings = {"seed": 0, "return_range": (0, 1), **settings}
    return cast(GoalGAN, make_teacher("goal-gan", space, **settings))


def quick(**settings: Any) -> GoalGAN:
    return build(
        **{"update_size": 5, "iterations": 2, "pretraining": 2, "n_rollouts": 2} | settings
    )


def drive(
    teacher: GoalGAN, steps: int, solves: Callable[[FloatArray, int], float] | None = None
) -> FloatArray:
    """Let the teacher sample one task after the other; every other attempt succeeds by default."""
    drawn = []
    for step in range(steps):
        tasks = teacher.sample(1)
        drawn.append(tasks[0])
        success = float(step % 2) if solves is None else solves(tasks[0], step)
        teacher.update(Outcomes(tasks, [success], successes=[success]))
    return np.array(drawn)


def test_each_task_is_attempted_several_times() -> None:
    drawn = build(n_rollouts=3).sample(12).reshape(4, 3, 2)
    assert (drawn == drawn[:, :1]).all()
    assert len(np.unique(drawn[:, 0], axis=0)) == 4


def test_trace_of_labels() -> None:
    teacher = build(n_rollouts=2, noise=0.0, update_size=50, old_ratio=0.0)
    a, b, c, d, e = teacher.sample(10)[::2]
    assert teacher.snapshot()["pending"] == 5
    steps: list[tuple[FloatArray, float, int, list[float]]] = [
        # task, mean success, trials, labels so far
        (a, 0.0, 1, []),
        (b, 1.0, 1, []),
        (b, 1.0, 1, [0]),  # b: 2/2, too easy
        (a, 1.0, 1, [0, 1]),  # a: 1/2, intermediate, and kept
        (a, 1.0, 1, [0, 1]),  # a late third result belongs to nothing
        (c, 0.5, 2, [0, 1, 1]),  # c: one of two in one entry
        (d, 0.0, 1, [0, 1, 1]),
        (np.array([0.3, 0.3]), 1.0, 2, [0, 1, 1]),  # never proposed
        (d, 0.0, 1, [0, 1, 1, 0]),  # d: 0/2, too hard
        (e, 0.91, 3, [0, 1, 1, 0, 0]),  # e: above 0.9
    ]
    for task, success, trials, labels in steps:
        teacher.update(Outcomes([task], [0.0], successes=[success], trials=[trials]))
        np.testing.assert_array_equal(teacher.state_dict()["own"]["labels"], labels)
    assert teacher.snapshot()["pending"] == 0
    np.testing.assert_allclose(teacher.snapshot()["tasks"], [a, c], atol=1e-6)
    np.testing.assert_allclose(teacher.state_dict()["own"]["tasks"], [b, a, c, d, e], atol=1e-6)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_training_is_the_least_squares_game(target: float) -> None:
    teacher = build(
        iterations=3, pretraining=0, update_size=10, n_rollouts=1, noise=0, generator_target=target
    )
    before = teacher.state_dict()["own"]
    tasks = teacher.sample(10)
    means = np.array([0, 0.5, 1, 0.2, 0.1, 0.9, 0, 0, 1, 0.6])
    labels = np.array([0, 1, 0, 1, 1, 1, 0, 0, 0, 1])
    numbers = np.random.default_rng(0)
    numbers.bit_generator.state = teacher.rng.bit_generator.state
    teacher.update(Outcomes(tasks, means, successes=means))
    after = teacher.state_dict()["own"]
    assert teacher.fits == 1

    # The same game again: the paper's losses with a = -1, b = 1 and c = target, step by step.
    def network(name: str, *layers: torch.nn.Module) -> torch.nn.Sequential:
        made = torch.nn.Sequential(*layers)
        linear = [layer for layer in made if isinstance(layer, torch.nn.Linear)]
        for i, layer in enumerate(linear):
            layer.weight.data = torch.tensor(before[name]["parameters"][f"w{i}"].T)
            layer.bias.data = torch.tensor(before[name]["parameters"][f"b{i}"])
        return made

    nn = torch.nn
    generator = network(
        "generator", nn.Linear(4, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(),
        nn.Linear(256, 2), nn.Tanh(),
    )  # fmt: skip
    discriminator = network(
        "discriminator", nn.Linear(2, 128), nn.LeakyReLU(0.1), nn.Linear(128, 128),
        nn.LeakyReLU(0.1), nn.Linear(128, 1),
    )  # fmt: skip
    of_generator = torch.optim.RMSprop(generator.parameters(), lr=1e-3)
    of_discriminator = torch.optim.RMSprop(discriminator.parameters(), lr=1e-3)
    for _ in range(3):
        rows = numbers.integers(10, size=64)
        noise = torch.tensor(numbers.standard_normal((64, 4)), dtype=torch.float32)
        x = torch.tensor(2 * tasks[rows] - 1, dtype=torch.float32)
        y = torch.tensor(labels[rows])[:, None]
        said = discriminator(x)
        made = discriminator(generator(noise).detach())
        loss = (y * (said - 1) ** 2 + (1 - y) * (said + 1) ** 2).mean() + ((made + 1) ** 2).mean()
        of_discriminator.zero_grad()
        loss.backward()
        of_discriminator.step()
        of_generator.zero_grad()
        ((discriminator(generator(noise)) - target) ** 2).mean().backward()
        of_generator.step()
    for name, made_again in (("generator", generator), ("discriminator", discriminator)):
        for i, layer in enumerate(m for m in made_again if isinstance(m, torch.nn.Linear)):
            found = after[name]["parameters"][f"w{i}"]
            gaps = np.abs(found - layer.weight.detach().numpy().T)
            # RMSprop divides by the gradient's size, so where that is all but 0 rounding shows.
            assert np.mean(gaps > 1e-6) < 1e-3
            assert gaps.max() < 1e-4
            assert not np.allclose(found, before[name]["parameters"][f"w{i}"], atol=1e-5)


def test_profile_intermediate_tasks_are_generated() -> None:
    # A band is solved half of the time, below it always, above it never.
    def solves(task: FloatArray, step: int) -> float:
        return float(task[0] < 0.5) if not 0.5 <= task[0] <= 0.65 else float(step % 2)

    teacher = build(n_rollouts=2, update_size=60, pretraining=50, old_ratio=0.0, noise=0.02)
    drive(teacher, 720, solves)
    drawn = teacher.sample(600)[::2, 0]
    assert np.mean((drawn > 0.45) & (drawn < 0.7)) > 0.6  # of uniform tasks a quarter
    assert teacher.snapshot()["intermediate"] > 0.3


def test_old_tasks_are_drawn_again() -> None:
    teacher = build(n_rollouts=1, noise=0.0, old_ratio=0.5, update_size=10_000)
    task = teacher.sample(1)
    teacher.update(Outcomes(task, [0.5], successes=[0.5]))
    drawn = teacher.sample(2000)
    assert np.mean((np.abs(drawn - task) < 1e-6).all(axis=1)) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("label_replayed", "times"), [(True, 3), (False, 1)])
def test_old_tasks_are_labelled_anew_or_not(label_replayed: bool, times: int) -> None:
    teacher = build(n_rollouts=3, noise=0.0, old_ratio=0.99, label_replayed=label_replayed)
    task = teacher.sample(3)[0]
    teacher.update(Outcomes([task], [0.5], successes=[0.5], trials=[3]))
    drawn = teacher.sample(times * 20)
    old = (np.abs(drawn - task) < 1e-6).all(axis=1)
    assert old[: times * 3].all()
    assert teacher.snapshot()["pending"] == len(np.unique(drawn[~old | label_replayed], axis=0))


@pytest.mark.parametrize(("replay", "kept"), [("intermediate", [0.5]), ("mastered", [0.95])])
def test_which_tasks_are_kept(replay: str, kept: list[float]) -> None:
    teacher = build(BoxTasks([0], [1]), n_rollouts=1, replay=replay, noise=0.0)
    for mean in (0.05, 0.5, 0.95):
        task = teacher.sample(1)
        teacher.update(Outcomes(task, [mean], successes=[mean]))
        if [mean] == kept:
            expected = task
    np.testing.assert_allclose(teacher.snapshot()["tasks"], expected, atol=1e-6)


def test_near_tasks_are_kept_once_and_the_oldest_makes_way() -> None:
    teacher = build(BoxTasks([0], [1]), success_distance=0.1, buffer_size=3)
    for place in (0.1, 0.19, 0.5, 0.21, 0.8):
        teacher._keep(np.array([place]))
    np.testing.assert_allclose(teacher.snapshot()["tasks"][:, 0], [0.5, 0.21, 0.8])
    # The diagonal of the cube is the unit: in four dimensions twice as long.
    four = build(BoxTasks([0] * 4, [1] * 4), success_distance=0.1)
    for place in (0.0, 0.19, 0.21):
        four._keep(np.array([place, 0, 0, 0]))
    assert len(four.snapshot()["tasks"]) == 2


def test_the_range_is_applied_once() -> None:
    # The online forms scale tanh by the range twice, which leaves half of it on the faces.
    teacher = build(BoxTasks([-1, 10], [1, 30]), noise=0.0, n_rollouts=1)
    for name, array in teacher.generator.parameters.items():
        array[:] = np.arctanh([0.6, -0.2]) if name == "b2" else 0.0
    teacher.fits = 1
    np.testing.assert_allclose(teacher.sample(1), [[0.6, 18.0]], atol=1e-4)


def test_noise_is_a_share_of_the_range_and_clipped() -> None:
    teacher = build(BoxTasks([0], [10]), noise=0.1, n_rollouts=1, initial=[[5.0]])
    assert teacher.sample(4000).std() == pytest.approx(1.0, abs=0.05)
    corner = build(BoxTasks([0], [10]), noise=0.1, n_rollouts=1, initial=[[0.0]])
    assert np.mean(corner.sample(4000) == 0.0) == pytest.approx(0.5, abs=0.05)
    assert teacher.privileges == {"initial"}
    assert build().privileges == frozenset()


def test_results_find_their_task_through_float32_and_slices() -> None:
    rng = np.random.default_rng(1)
    space = BoxTasks(
        [-3, 1e-3, 0, 0], [7, 1e3, 9, 2], kinds=["real", "log", "integer", ("a", "b", "c")]
    )
    teacher = build(space, n_rollouts=1)
    tasks = teacher.sample(200)
    narrow = tasks.astype(np.float32).astype(np.float64)[rng.permutation(200)]
    narrow = np.clip(narrow, space.low, space.high)
    teacher.update(Outcomes(narrow, np.zeros(200), successes=np.zeros(200)))
    assert teacher.snapshot()["pending"] == 0


def test_tasks_without_results_are_forgotten() -> None:
    teacher = build(n_rollouts=1)
    first = teacher.sample(1)
    teacher.sample(goal_gan.MOST_PENDING + 500)
    assert teacher.snapshot()["pending"] == goal_gan.MOST_PENDING
    teacher.update(Outcomes(first, [0.5], successes=[0.5]))
    assert teacher.snapshot()["kept"] == 0


@pytest.mark.parametrize("steps", [1, 17, 60])
def test_goes_on_bit_for_bit_whatever_torch_is_set_to(steps: int, tmp_path: Path) -> None:
    teacher = quick()
    drive(teacher, steps)
    save_state(tmp_path, teacher.state_dict())
    twin = quick(seed=99)
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


def test_the_optimiser_goes_on() -> None:
    teacher = quick()
    drive(teacher, 10)
    steps = [teacher.generator.memory[f"{name}/step"] for name in ("w0", "b2")]
    assert steps == [4, 4]  # two of the pretraining, two of the first training
    drive(teacher, 10)
    assert teacher.generator.memory["w0/step"] == 6


def test_nothing_intermediate_means_no_training() -> None:
    for success in (0.0, 1.0):
        teacher = quick()
        drawn = drive(teacher, 100, lambda task, step, s=success: s)  # type: ignore[misc]
        assert (teacher.fits, teacher.skipped_fits) == (0, 10)
        assert drawn[50:].std() > 0.2


def test_a_training_that_fails_keeps_the_networks() -> None:
    teacher = quick(lr=1e38)
    before = teacher.state_dict()["own"]["generator"]
    drive(teacher, 20)
    assert teacher.snapshot()["failed_fits"] == 2
    assert teacher.fits == 0
    np.testing.assert_equal(teacher.state_dict()["own"]["generator"], before)


def test_measure_of_returns_needs_no_success() -> None:
    teacher = build(n_rollouts=1, measure="return", return_range=(-10, 10))
    assert teacher.needs == frozenset()
    teacher.update(Outcomes(teacher.sample(1), [5.0]))  # 0.75
    assert teacher.snapshot()["kept"] == 1
    assert build().needs == {"successes"}
    with pytest.raises(ValueError, match="successes"):
        build().update(Outcomes([[0.5, 0.5]], [5.0]))


def test_examples_in_rank() -> None:
    teacher = quick(space=DiscreteTasks(3, difficulty=[2.0, 0.0, 1.0]))
    drive(teacher, 60)
    assert teacher.fits >= 3


def test_snapshot_is_small() -> None:
    teacher = build(BoxTasks([0] * 20, [1] * 20), success_distance=0.0)
    for task in np.random.default_rng(0).random((1000, 20)):
        teacher._keep(task)
    snapshot = teacher.snapshot()
    assert snapshot["kept"] == 1000
    assert 50_000 < snapshot["tasks"].nbytes < 70_000
    np.testing.assert_allclose(snapshot["tasks"][-1], teacher._kept[999])


def test_torch_is_loaded_only_to_train() -> None:
    script = (
        "import sys, currgym\n"
        "t = currgym.make_teacher('goal-gan', currgym.BoxTasks([0], [1]), seed=0)\n"
        "t.sample(5)\n"
        "t.preview(5, t.rng)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_presets() -> None:
    online = build(preset="teachmyagent")
    assert (online.n_rollouts, online.update_size, online.old_ratio) == (2, 100, 0.1)
    assert (online.noise, online.label_low, online.label_high) == (0.1, 0.25, 0.75)
    assert (online.generator_target, online.replay, online.label_replayed) == (1, "mastered", False)
    assert build(preset="maze").n_rollouts == 4
    assert build(preset="pointmass").update_size == 200
    assert (build().label_low, build().label_high, build().generator_target) == (0.1, 0.9, 0.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_rollouts": 0}, "n_rollouts must be at least 1, got 0"),
        ({"update_size": 0}, "update_size must be at least 1"),
        ({"noise": float("nan")}, "noise must be at least 0"),
        ({"label_low": 0.8, "label_high": 0.2}, "in this order, got 0.8 and 0.2"),
        ({"old_ratio": 1.0}, "old_ratio must lie in"),
        ({"replay": "all"}, "replay must be one of"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"measure": "regret"}, "measure must be one of"),
        ({"initial": [[2.0, 0.0]]}, "outside"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)
