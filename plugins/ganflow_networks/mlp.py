"""Multilayer perceptrons."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ganflow_layers.blocks import output, size_of_z
from ganflow_layers.stacks import linear_layers
from torch import nn

if TYPE_CHECKING:
    from ganflow import Data, Prior

def generator(
    data: Data, prior: Prior | None, widths: list[int], activation: str, batch_norm: bool, further: int = 0
) -> nn.Module:
    """z, shape (n, *prior.shape), to samples, shape (n, *data.shape); with `further` numbers, both flattened."""
    hidden = linear_layers(size_of_z(prior, "mlp") + further, widths, math.prod(data.shape), activation, batch_norm)
    return nn.Sequential(nn.Flatten(), *hidden, *output(data.main), nn.Unflatten(1, data.shape))


def critic(data: Data, widths: list[int], activation: str, further: int = 0) -> nn.Sequential:
    """Samples, shape (n, *data.shape), to scores, shape (n,); with `further` numbers, both flattened."""
    return nn.Sequential(nn.Flatten(), *linear_layers(math.prod(data.shape) + further, widths, 1, activation), nn.Flatten(0))
