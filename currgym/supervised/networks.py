"""Networks of the supervised student. Torch's global random state is neither read nor moved."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from currgym.registry import nearest

__all__ = ["ACTIVATIONS", "MLP", "Dropout"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class Dropout(nn.Module):
    """Dropout that draws from a generator of its own.

    Args:
        rate: Share of units left out in training, in [0, 1).
        generator: Where it draws from.
    """

    def __init__(self, rate: float, generator: torch.Generator) -> None:
        super().__init__()
        self.rate = rate
        self.generator = generator

    def forward(self, inputs: Tensor) -> Tensor:
        """Leave out units, in training; the others grow so that the mean stays."""
        if not self.training:
            return inputs
        kept = torch.rand(inputs.shape, generator=self.generator) >= self.rate
        return inputs * kept / (1.0 - self.rate)


class MLP(nn.Sequential):
    """A multi-layer perceptron over the last axis.

    Weights start as PyTorch's own: uniform in ±1/sqrt(inputs of the layer).

    Args:
        input_dim: Inputs.
        output_dim: Outputs.
        hidden: Width of each hidden layer.
        activation: ``"relu"``, ``"tanh"``, ``"gelu"`` or ``"silu"``.
        dropout: Share of hidden units left out in training, in [0, 1).
        generator: Draws initial weights and dropout.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hidden: Sequence[int] = (64, 64),
        activation: str = "relu",
        dropout: float = 0.0,
        *,
        generator: torch.Generator,
    ) -> None:
        if activation not in ACTIVATIONS:
            raise ValueError(nearest(activation, ACTIVATIONS, "activation"))
        if any(width < 1 for width in hidden):
            raise ValueError(f"hidden must be widths of at least 1, got {tuple(hidden)}")
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [_linear(input_dim, width, generator), ACTIVATIONS[activation]()]
            if dropout:
                layers.append(Dropout(dropout, generator))
            input_dim = width
        super().__init__(*layers, _linear(input_dim, output_dim, generator))


def _linear(input_dim: int, output_dim: int, generator: torch.Generator) -> nn.Linear:
    # Made on the meta device, or its constructor would draw from the global generator.
    layer = nn.Linear(input_dim, output_dim, device="meta").to_empty(device="cpu")
    bound = 1.0 / math.sqrt(input_dim)
    with torch.no_grad():
        for parameter in (layer.weight, layer.bias):
            parameter.uniform_(-bound, bound, generator=generator)
    return layer
