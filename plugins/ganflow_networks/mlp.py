"""Multilayer perceptrons."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from ganflow_layers.blocks import output, size_of_z
from ganflow_layers.stacks import linear_layers
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from ganflow import Data, Prior


def generator(
    data: Data, prior: Prior | None, widths: list[int], activation: str, batch_norm: bool, further: int = 0
) -> nn.Module:
    """z, shape (n, *prior.shape), to samples, shape (n, *data.shape); with `further` numbers, both flattened."""
    hidden = linear_layers(size_of_z(prior, "mlp") + further, widths, math.prod(data.shape), activation, batch_norm)
    return nn.Sequential(nn.Flatten(), *hidden, *output(data.main), nn.Unflatten(1, data.shape))


def critic(
    data: Data, widths: list[int], activation: str, fourier: int, wavelengths: list[float], further: int = 0
) -> nn.Sequential:
    """Samples, shape (n, *data.shape), to scores, shape (n,); with `further` numbers, both flattened."""
    numbers = math.prod(data.shape)
    waves = [FourierFeatures(numbers, fourier, *wavelengths)] if fourier else []
    hidden = linear_layers(numbers + 2 * fourier + further, widths, 1, activation)
    return nn.Sequential(nn.Flatten(), *waves, *hidden, nn.Flatten(0))


class FourierFeatures(nn.Module):
    """(x, rest) to (x, rest, cos ωx, sin ωx), with `count` fixed ω of random directions (Tancik et al. 2020, arXiv:2006.10739).

    The lengths 2π / |ω| are spread evenly between two wavelengths on a logarithmic scale.

    Args:
        numbers: of x, (n, numbers); the rest are further columns.
    """

    frequencies: Tensor

    def __init__(self, numbers: int, count: int, shortest: float, longest: float) -> None:
        super().__init__()
        directions = F.normalize(torch.randn(numbers, count), dim=0)
        lengths = torch.logspace(math.log10(shortest), math.log10(longest), count)
        self.register_buffer("frequencies", 2 * math.pi * directions / lengths)

    def forward(self, x: Tensor) -> Tensor:
        phases = x[:, : len(self.frequencies)] @ self.frequencies
        return torch.cat((x, phases.cos(), phases.sin()), 1)
