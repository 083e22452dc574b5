import pickle
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from currgym.outcomes import Outcomes
from currgym.states import load_state, save_state
from currgym.tasks import BoxTasks, DiscreteTasks, TaskSpace
from currgym.teachers.setter_solver import MARGIN, Flow, SetterSolver, log_density
from currgym.teaching import make_teacher

FloatArray = NDArray[np.float64]
jacobian_of: Any = torch.autograd.functional.jacobian  # it has no types
SQUARE = BoxTasks([0, 0], [1, 1])


def build(space: TaskSpace = SQUARE, **settings: Any) -> SetterSolver:
    # By name, so that an impostor can take its place.
    settings = {"seed": 0, "return_range": (0, 1), **settings}
    return cast(SetterSolver, make_teacher("setter-solver", space, **settings))


def quick(**settings: Any) -> SetterSolver:
    return build(**{"update_size": 10, "buffer_size": 30, "steps": 2, "hidden_size": 8} | settings)


def drive(teacher: SetterSolver, attempts: int, batch: int = 1, edge: float = 0.2) -> FloatArray:
    """Let a student that solves tasks below an edge attempt what the teacher sets."""
    drawn = []
    for _ in range(0, attempts, batch):
        tasks = teacher.sample(batch)
        drawn.append(tasks)
        solved = tasks[:, 0] < edge
        teacher.update(Outcomes(tasks, solved.astype(float), successes=solved.astype(float)))
    return np.concatenate(drawn)


def flow_of(teacher: SetterSolver) -> Flow:
    tensors = {k: torch.from_numpy(v) for k, v in teacher.setter.parameters.items()}
    return Flow(tensors, teacher.space.unit_dim)


def shaken(dim: int) -> Flow:
    """A setter far from the identity."""
    teacher = build(BoxTasks([0] * dim, [1] * dim), hidden_size=16)
    for name, array in teacher.setter.parameters.items():
        if name.endswith(("w3", "b3")):
            array *= 15.0
    return flow_of(teacher)


@pytest.mark.parametrize("dim", [1, 2, 3, 7])
def test_the_flow_is_inverted(dim: int) -> None:
    flow = shaken(dim)
    latent, asked = (
        torch.randn(50, dim, generator=torch.Generator().manual_seed(0)),
        torch.rand(50, 1, generator=torch.Generator().manual_seed(1)),
    )
    image, stretch = flow.forward(latent, asked)
    assert (image - latent).abs().mean() > 0.1
    back, same = flow.inverse(image, asked)
    torch.testing.assert_close(back, latent, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(same, stretch, atol=1e-3, rtol=1e-3)
    # The stretch is the Jacobian's, and the asked feasibility matters.
    jacobian = jacobian_of(lambda x: flow.forward(x[None], asked[:1])[0][0], latent[0])
    expected = torch.linalg.slogdet(jacobian)[1]
    torch.testing.assert_close(stretch[0], expected, atol=1e-3, rtol=1e-3)
    other, _ = flow.forward(latent, 1.0 - asked)
    assert (other - image).abs().mean() > 0.01


def test_the_density_integrates_to_one() -> None:
    side = (np.arange(400) + 0.5) / 400
    line = torch.tensor(side, dtype=torch.float32)[:, None].logit()
    plane = torch.cartesian_prod(line[:, 0], line[:, 0])
    for flow, raw in ((shaken(1), line), (shaken(2), plane)):
        latent, stretch = flow.inverse(raw, torch.full((len(raw), 1), 0.3))
        mean = log_density(latent, raw, stretch).exp().mean()
        assert float(mean) == pytest.approx(1.0, abs=0.02)


def test_trace_of_the_three_losses() -> None:
    # Four attempts, three of them solved, and one step: each loss anew from the paper's formula,
    # with the density by the Jacobian of the whole map and not by the sum over couplings.
    teacher = build(update_size=4, steps=1, noise=0.1, hidden_size=8)
    tasks = np.array([[0.2, 0.3], [0.7, 0.1], [0.5, 0.9], [0.999, 0.4]])
    solved = np.array([1.0, 0.0, 1.0, 1.0])
    flow = flow_of(teacher)
    judge = {k: v.copy() for k, v in teacher.judge.parameters.items()}
    numbers = np.random.default_rng()
    numbers.bit_generator.state = teacher.rng.bit_generator.state
    teacher.update(Outcomes(tasks, solved, successes=solved))

    def judged(points: FloatArray, parameters: dict[str, Any]) -> FloatArray:
        x = 2 * points - 1
        for i in range(4):
            x = x @ parameters[f"w{i}"] + parameters[f"b{i}"]
            x = np.maximum(x, 0) if i < 3 else x
        return np.asarray(x[:, 0], dtype=np.float64)

    def density(latent: FloatArray, asked: float) -> tuple[FloatArray, float]:
        point = torch.tensor(latent, dtype=torch.float32)

        def place(z: torch.Tensor) -> torch.Tensor:
            return flow.forward(z[None], torch.tensor([[asked]], dtype=torch.float32))[0][
                0
            ].sigmoid()

        stretch = torch.linalg.det(jacobian_of(place, point))
        normal = np.exp(-0.5 * (latent**2).sum()) / (2 * np.pi)
        return place(point).detach().numpy(), float(np.log(normal / stretch.abs().numpy()))

    rows = numbers.permutation(4)
    logits = judged(tasks[rows], judge)
    chance = 1 / (1 + np.exp(-logits))
    y = solved[rows]
    of_judge = -np.mean(y * np.log(chance) + (1 - y) * np.log(1 - chance))
    latent = numbers.standard_normal((64, 2))
    asked = numbers.uniform(MARGIN, 1 - MARGIN, (64, 1))[:, 0]
    made = [density(z, float(f)) for z, f in zip(latent, asked, strict=True)]
    # The judge has made its step before the setter's.
    said = judged(np.array([place for place, _ in made]), teacher.judge.parameters)
    feasibility = np.mean((said - np.log(asked / (1 - asked))) ** 2)
    coverage = np.mean([p for _, p in made])
    places = np.clip(
        tasks[rows] + 0.1 * (numbers.random((4, 2)) - 0.5), MARGIN, 1 - MARGIN
    )  # fmt: skip
    numbers.standard_normal((4, 2))
    wanted = numbers.uniform(MARGIN, 1 - MARGIN, (4, 1))
    raw = torch.tensor(places, dtype=torch.float32).logit()
    back, _ = flow.inverse(raw, torch.tensor(wanted, dtype=torch.float32))
    logs = [
        density(z, float(f))[1] for z, f in zip(back.numpy(), wanted[:, 0], strict=True)
    ]  # fmt: skip
    validity = -np.dot(logs, y) / 3
    np.testing.assert_allclose(
        teacher.losses, [of_judge, validity, feasibility, coverage], rtol=2e-4, atol=1e-6
    )


def test_trace_of_the_judge() -> None:
    # Ten updates of one step on all data: cross-entropy and Adam, the same again.
    teacher = quick(update_size=10, buffer_size=10, steps=1, lr=1e-3)
    layers = [torch.nn.Linear(*s) for s in ((2, 64), (64, 64), (64, 64), (64, 1))]
    for i, layer in enumerate(layers):
        layer.weight.data = torch.tensor(teacher.judge.parameters[f"w{i}"].T)
        layer.bias.data = torch.tensor(teacher.judge.parameters[f"b{i}"])
    relu = torch.nn.ReLU()
    judge = torch.nn.Sequential(
        layers[0], relu, layers[1], relu, layers[2], relu, layers[3]
    )  # fmt: skip
    adam = torch.optim.Adam(judge.parameters(), lr=1e-3)
    rng = np.random.default_rng(3)
    for _ in range(10):
        tasks, solved = rng.random((10, 2)), rng.integers(2, size=10).astype(float)
        teacher.update(Outcomes(tasks, solved, successes=solved))
        adam.zero_grad()
        chance = judge(torch.tensor(2 * tasks - 1, dtype=torch.float32))[:, 0].sigmoid()
        y = torch.tensor(solved)
        loss = -(y * chance.log() + (1 - y) * (1 - chance).log()).mean()
        loss.backward()
        adam.step()
        assert teacher.losses[0] == pytest.approx(float(loss.detach()), abs=1e-6)
    with torch.no_grad():
        expected = judge(torch.tensor([[0.2, -0.5]])).item()
    shown = teacher.snapshot()
    assert shown["judge_loss"] == teacher.losses[0]
    hidden = np.array([[0.2, -0.5]])
    for i in range(4):
        hidden = hidden @ teacher.judge.parameters[f"w{i}"] + teacher.judge.parameters[f"b{i}"]
        hidden = np.maximum(hidden, 0) if i < 3 else hidden
    assert hidden.item() == pytest.approx(expected, abs=1e-5)


def test_profile_half_of_what_is_set_is_solved() -> None:
    # Feasibility is asked uniformly, so half is solved, where of uniform tasks a fifth is; and
    # tasks asked to be easy are the easy ones.
    teacher = build(hidden_size=32, lr=2e-3)
    first = drive(teacher, 1000, batch=20)
    last = drive(teacher, 1500, batch=20)[-1000:]
    assert np.mean(first[:100, 0] < 0.2) < 0.35
    assert 0.4 < np.mean(last[:, 0] < 0.2) < 0.8
    assert np.ptp(last[:, 1]) > 0.8  # coverage: what does not matter stays diverse
    teacher.sample(1)
    shown = teacher.snapshot()
    easy = shown["tasks"][:, 0] < 0.2
    assert shown["asked"][easy].mean() > shown["asked"][~easy].mean() + 0.2
    assert np.corrcoef(shown["asked"], shown["judged"])[0, 1] > 0.5


@pytest.mark.parametrize("success", [0.0, 1.0])
def test_success_never_or_always_leaves_numbers(success: float) -> None:
    # Without success the validity was a mean of nothing, and the network was lost.
    teacher = quick()
    for _ in range(20):
        tasks = teacher.sample(10)
        teacher.update(Outcomes(tasks, np.full(10, success), successes=np.full(10, success)))
    assert (teacher.fits, teacher.failed_fits) == (20, 0)
    assert np.isfinite(teacher.losses).all()
    assert (teacher.losses[1] == 0.0) == (success == 0.0)
    assert len(np.unique(teacher.sample(100), axis=0)) == 100


def test_tasks_on_the_faces_are_kept_off_them() -> None:
    teacher = quick(noise=0.0)
    corners = np.tile([[0.0, 1.0], [1.0, 0.0]], (50, 1))
    teacher.update(Outcomes(corners, np.ones(100), successes=np.ones(100)))
    assert (teacher.fits, teacher.failed_fits) == (10, 0)


def test_any_outcome_teaches() -> None:
    one, other = quick(), quick()
    tasks = np.random.default_rng(0).random((10, 2))
    one.sample(7)
    one.update(Outcomes(tasks, np.ones(10), successes=np.ones(10), ids=np.full(10, -1)))
    assert one.fits == 1
    other.sample(7)
    for task in tasks:
        other.update(Outcomes([task], [1.0], successes=[1.0]))
    np.testing.assert_equal(one.state_dict()["own"], other.state_dict()["own"])


def test_a_share_of_success_weighs_so_much() -> None:
    states = []
    for successes in ([1.0, 0.0], [0.5, 0.5]):
        teacher = build(update_size=2, steps=1, hidden_size=8)
        teacher.update(Outcomes([[0.2, 0.2], [0.2, 0.2]], [0, 0], successes=successes))
        states.append(teacher.losses)
    np.testing.assert_allclose(states[0][2:], states[1][2:], rtol=1e-4)
    assert states[0][0] == pytest.approx(states[1][0], abs=1e-5)


def test_what_is_set_is_forgotten_at_an_update() -> None:
    teacher = quick()
    teacher.sample(3)
    assert len(teacher.snapshot()["tasks"]) == 61
    drive(teacher, 10)
    assert "tasks" not in teacher.snapshot()


@pytest.mark.parametrize("steps", [3, 35, 77])
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
        with torch.inference_mode():
            np.testing.assert_array_equal(drive(twin, 60), expected)
        assert torch.get_num_threads() == 2
        assert torch.equal(torch.get_rng_state(), state)
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(generator)
    np.testing.assert_array_equal(drive(copied, 60), expected)
    np.testing.assert_equal(twin.state_dict(), teacher.state_dict())
    assert teacher.fits >= 6


def test_an_update_that_fails_keeps_the_networks() -> None:
    teacher = quick(lr=1e30)
    before = teacher.state_dict()["own"]
    drive(teacher, 20)
    assert teacher.snapshot()["failed_fits"] == 2
    after = teacher.state_dict()["own"]
    np.testing.assert_equal((after["setter"], after["judge"]), (before["setter"], before["judge"]))


def test_other_spaces() -> None:
    ranks = quick(space=DiscreteTasks(5, difficulty=np.arange(5)))
    assert set(drive_any(ranks, 60)) <= set(range(5))
    assert ranks.fits == 6
    constant = quick(space=BoxTasks([2], [2]))
    assert set(drive_any(constant, 60)) == {2.0}
    assert constant.fits == 0


def drive_any(teacher: SetterSolver, attempts: int) -> list[float]:
    drawn: list[float] = []
    for _ in range(attempts):
        tasks = teacher.sample(1)
        drawn.append(float(np.ravel(tasks)[0]))
        teacher.update(Outcomes(tasks, [1.0], successes=[1.0]))
    return drawn


def test_measure_of_returns_needs_no_success() -> None:
    teacher = quick(measure="return")
    assert teacher.needs == frozenset()
    teacher.update(Outcomes(np.full((10, 2), 0.5), np.full(10, 0.25)))
    np.testing.assert_allclose(teacher.state_dict()["own"]["values"], 0.25)
    assert build().needs == {"successes"}


def test_presets() -> None:
    benchmark = build(preset="teachmyagent")
    assert (benchmark.update_size, benchmark.buffer_size, benchmark.steps) == (50, 50, 1)
    assert (benchmark.noise, benchmark.hidden_size) == (0.1, 64)
    assert (build(preset="class").update_size, build(preset="class").noise) == (100, 0.01)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"update_size": 0}, "update_size must be at least 1, got 0"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"buffer_size": 0}, "buffer_size must be at least 1"),
        ({"hidden_size": 0}, "hidden_size must be at least 1"),
        ({"noise": 1.5}, "noise must lie in"),
        ({"lr": -1.0}, "lr must be above 0"),
        ({"measure": "regret"}, "measure must be one of"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)
