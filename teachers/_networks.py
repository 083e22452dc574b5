"""Small networks held as plain arrays: NumPy evaluates them, torch trains them.

A teacher is copied for a preview, saved and restored bit for bit, and listed without torch. So the
parameters and the optimiser's memory are arrays, and torch borrows them for the time of a training.
All randomness is the caller's: torch draws nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Learner", "Network", "dense", "perceptron", "training"]

Array = NDArray[np.float32]
Optimizer = Literal["adam", "rmsprop"]


class Network:
    """Parameters by name, and what their optimiser remembers.

    Args:
        parameters: float32 arrays.
    """

    def __init__(self, parameters: Mapping[str, Array]) -> None:
        self.parameters = dict(parameters)
        self.memory: dict[str, NDArray[Any]] = {}
        """The optimiser's arrays, by parameter and kind; empty before the first training."""

    def state(self) -> dict[str, Any]:
        """Return plain arrays."""
        return {
            "parameters": {name: array.copy() for name, array in self.parameters.items()},
            "memory": {name: array.copy() for name, array in self.memory.items()},
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` returned."""
        self.parameters = {k: np.array(v, np.float32) for k, v in state["parameters"].items()}
        self.memory = {name: np.array(array) for name, array in state["memory"].items()}


def dense(sizes: Sequence[int], rng: np.random.Generator, prefix: str = "") -> dict[str, Array]:
    """Return first weights and biases of a perceptron, uniform in plus or minus fan-in^(-1/2).

    Args:
        sizes: Inputs, hidden layers, outputs.
        rng: Where they are drawn.
        prefix: Of their names ``w0, b0, w1, ...``.
    """
    made: dict[str, Array] = {}
    for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
        bound = 1.0 / np.sqrt(max(inputs, 1))
        weights = rng.uniform(-bound, bound, (inputs, outputs))
        made[f"{prefix}w{layer}"] = weights.astype(np.float32)
        made[f"{prefix}b{layer}"] = rng.uniform(-bound, bound, outputs).astype(np.float32)
    return made


def perceptron(
    parameters: Mapping[str, Any], inputs: Any, activation: Callable[[Any], Any], prefix: str = ""
) -> Any:
    """Return a perceptron's outputs: of arrays in NumPy, of tensors in torch."""
    layer = 0
    while f"{prefix}w{layer}" in parameters:
        if layer:
            inputs = activation(inputs)
        inputs = inputs @ parameters[f"{prefix}w{layer}"] + parameters[f"{prefix}b{layer}"]
        layer += 1
    return inputs


@contextmanager
def training() -> Iterator[None]:
    """Let torch compute on one thread, so that results do not depend on how many there are."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_num_threads(threads)


class Learner:
    """A network in torch's hands.

    Args:
        network: Whose arrays are borrowed; they do not change before :meth:`give_back`.
        optimizer: Which of torch's.
        lr: Its learning rate.
    """

    def __init__(self, network: Network, optimizer: Optimizer, lr: float) -> None:
        import torch

        self.network = network
        self.tensors: dict[str, Tensor] = {
            name: torch.tensor(array, dtype=torch.float32, requires_grad=True)
            for name, array in network.parameters.items()
        }
        kinds = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}
        self.optimizer: torch.optim.Optimizer = kinds[optimizer](self.tensors.values(), lr=lr)
        for path, array in network.memory.items():
            name, _, kind = path.partition("/")
            self.optimizer.state[self.tensors[name]][kind] = torch.tensor(array)

    def step(self, loss: Tensor) -> None:
        """Make one step down a loss, of this network's parameters alone."""
        import torch

        tensors = list(self.tensors.values())
        for tensor, gradient in zip(tensors, torch.autograd.grad(loss, tensors), strict=True):
            tensor.grad = gradient
        self.optimizer.step()

    def finite(self) -> bool:
        """Tell whether every parameter is a number still."""
        return all(bool(tensor.isfinite().all()) for tensor in self.tensors.values())

    def give_back(self) -> None:
        """Write parameters and the optimiser's memory into the network."""
        for name, tensor in self.tensors.items():
            self.network.parameters[name] = tensor.detach().numpy().copy()
            for kind, value in self.optimizer.state[tensor].items():
                self.network.memory[f"{name}/{kind}"] = value.detach().numpy().copy()
