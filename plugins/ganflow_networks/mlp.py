"""Multilayer perceptrons."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import nn

from ganflow_networks.common import output, size_of_z

if TYPE_CHECKING:
    from ganflow import Data, Prior

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
}


def layers(inputs: int, widths: list[int], outputs: int, activation: str, batch_norm: bool = False) -> list[nn.Module]:
    """Linear layers with activations between them."""
    made: list[nn.Module] = []
    for width in widths:
        made.append(nn.Linear(inputs, width))
        if batch_norm:
            made.append(nn.BatchNorm1d(width))
        made.append(ACTIVATIONS[activation]())
        inputs = width
    return [*made, nn.Linear(inputs, outputs)]


def generator(
    data: Data, prior: Prior | None, widths: list[int], activation: str, batch_norm: bool, further: int = 0
) -> nn.Module:
    """z, shape (n, *prior.shape), to samples, shape (n, *data.shape); with `further` numbers, both flattened."""
    hidden = layers(size_of_z(prior, "mlp") + further, widths, math.prod(data.shape), activation, batch_norm)
    return nn.Sequential(nn.Flatten(), *hidden, *output(data.main), nn.Unflatten(1, data.shape))


def critic(data: Data, widths: list[int], activation: str, further: int = 0) -> nn.Sequential:
    """Samples, shape (n, *data.shape), to scores, shape (n,); with `further` numbers, both flattened."""
    return nn.Sequential(nn.Flatten(), *layers(math.prod(data.shape) + further, widths, 1, activation), nn.Flatten(0))
