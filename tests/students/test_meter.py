import numpy as np
import pytest
import torch

from currgym.students.meter import MEASURE_EVERY, OptimizerMeter


def learn(optimizer: torch.optim.Optimizer, weight: torch.Tensor, gradient: list[float]) -> None:
    weight.grad = torch.tensor(gradient)
    optimizer.step()


def test_plain_descent_by_hand() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    meter = OptimizerMeter(optimizer := torch.optim.SGD([weight], lr=0.5))
    learn(optimizer, weight, [3.0, 4.0])
    found = meter.read()
    assert found == pytest.approx(
        {"gradient_norm": 5.0, "update_norm": 2.5, "effective_step": np.sqrt(12.5)}
    )
    assert meter.read() is None
    assert meter.updates == 1


def test_adams_first_step_is_the_learning_rate() -> None:
    weight = torch.nn.Parameter(torch.zeros(3))
    meter = OptimizerMeter(optimizer := torch.optim.Adam([weight], lr=0.01))
    learn(optimizer, weight, [5.0, -1e-3, 2.0])
    found = meter.read()
    assert found is not None
    assert found["effective_step"] == pytest.approx(1.0, rel=1e-4)


def test_one_update_in_eight_is_measured() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    meter = OptimizerMeter(optimizer := torch.optim.SGD([weight], lr=1.0))
    for i in range(2 * MEASURE_EVERY):
        learn(optimizer, weight, [float(i)])
    found = meter.read()
    assert found is not None
    assert found["gradient_norm"] == MEASURE_EVERY / 2  # of updates 0 and 8


def test_growing_gradients_raise_adams_effective_step() -> None:
    def late(growth: float) -> float:
        weight = torch.nn.Parameter(torch.zeros(4))
        meter = OptimizerMeter(optimizer := torch.optim.Adam([weight], lr=1e-3))
        for i in range(7_000):
            learn(optimizer, weight, [growth**i] * 4)
            if i == 6_000:
                meter.read()
        found = meter.read()
        assert found is not None
        return found["effective_step"]

    # R(r) = [(1-b1)/(1-b1/r)] / sqrt[(1-b2)/(1-b2/r^2)], 1.72 at r = 1.001.
    ratio, (b1, b2) = 1.001, (0.9, 0.999)
    expected = ((1 - b1) / (1 - b1 / ratio)) / np.sqrt((1 - b2) / (1 - b2 / ratio**2))
    assert late(ratio) / late(1.0) == pytest.approx(expected, rel=0.03)


def test_a_saved_meter_goes_on() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    meter = OptimizerMeter(optimizer := torch.optim.SGD([weight], lr=1.0))
    for i in range(5):
        learn(optimizer, weight, [float(i)])
    state = meter.state_dict()
    other = torch.nn.Parameter(torch.zeros(1))
    again = OptimizerMeter(second := torch.optim.SGD([other], lr=1.0))
    again.load_state_dict(state)
    for i in range(5, 12):
        learn(optimizer, weight, [float(i)])
        learn(second, other, [float(i)])
    assert again.read() == meter.read()
