"""Layers one after another: from images to numbers, and from numbers to numbers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import nn

from ganflow_layers.blocks import halvings, normalization, widths

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
}


def linear_layers(inputs: int, widths: list[int], outputs: int, activation: str, batch_norm: bool = False) -> list[nn.Module]:
    """Linear layers with activations between them."""
    made: list[nn.Module] = []
    for width in widths:
        made.append(nn.Linear(inputs, width))
        if batch_norm:
            made.append(nn.BatchNorm1d(width))
        made.append(ACTIVATIONS[activation]())
        inputs = width
    return [*made, nn.Linear(inputs, outputs)]


def halving(shape: tuple[int, int, int], width: int, norm: str, outputs: int) -> list[nn.Module]:
    """Layers from images, (n, *shape), to numbers, (n, outputs, 1, 1).

    Convolutions of kernel 4 and stride 2 halve the image, rounding down; the last layer spans what is left.
    """
    colors, height, width_px = shape
    count = halvings(height, width_px)
    channels = widths(width, 2, count)

    made: list[nn.Module] = [nn.Conv2d(colors, channels[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    for before, after in pairwise(channels):
        made.append(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=norm == "none"))
        made += [*normalization(norm, after), nn.LeakyReLU(0.2)]
    return [*made, nn.Conv2d(channels[-1], outputs, (height >> count, width_px >> count))]
