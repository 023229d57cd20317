"""Multilayer perceptrons."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ganflow_layers.blocks import output, size_of_z
from ganflow_layers.stacks import linear_layers
from torch import nn

if TYPE_CHECKING:
    from ganflow import Data, Prior

def generator(data: Data, prior: Prior | None, widths: list[int], activation: str, batch_norm: bool) -> nn.Module:
    """z, shape (n, *prior.shape), to samples, shape (n, *data.shape)."""
    hidden = linear_layers(size_of_z(prior, "mlp"), widths, math.prod(data.shape), activation, batch_norm)
    return nn.Sequential(nn.Flatten(), *hidden, *output(data.main), nn.Unflatten(1, data.shape))


def critic(data: Data, widths: list[int], activation: str) -> nn.Module:
    """Samples, shape (n, *data.shape), to scores, shape (n,)."""
    return nn.Sequential(nn.Flatten(), *linear_layers(math.prod(data.shape), widths, 1, activation), nn.Flatten(0))
