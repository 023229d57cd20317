"""Residual networks of WGAN-GP and SNGAN for any image size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from ganflow_layers.blocks import (
    Conditioned,
    halvings,
    image_shape,
    normalization,
    output,
    pyramid,
    size_of_z,
    through,
    widths,
)
from torch import Tensor, nn

if TYPE_CHECKING:
    from ganflow import Data, Prior


class Mean(nn.Module):
    """Mean over pixels: (n, channels, height, width) to (n, channels)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class Sum(nn.Module):
    """Sum over pixels: (n, channels, height, width) to (n, channels)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum((2, 3))


class Block(Conditioned):
    """x ↦ long(x) + short(x); the condition, where there is one, to the long way's layers."""

    def __init__(self, long: list[nn.Module], short: list[nn.Module]) -> None:
        super().__init__()
        self.long, self.short = nn.Sequential(*long), nn.Sequential(*short)

    def forward(self, x: Tensor, condition: Mapping[str, Tensor] | None = None) -> Tensor:
        long: Tensor = self.long(x) if condition is None else through(self.long, x, condition)
        added: Tensor = long + self.short(x)
        return added


def _conv3(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _activated(norm: str, channels: int) -> list[nn.Module]:
    return [*normalization(norm, channels), nn.ReLU()]


def _activated_conv3(norm: str, inputs: int, outputs: int) -> list[nn.Module]:
    return [*_activated(norm, inputs), _conv3(inputs, outputs)]


def up_block(inputs: int, outputs: int, size: tuple[int, int], norm: str) -> Block:
    """To twice the size (or one pixel less: `size` says), by nearest neighbours."""
    to_size = nn.Upsample(size)
    long = [*_activated(norm, inputs), to_size, _conv3(inputs, outputs), *_activated_conv3(norm, outputs, outputs)]
    return Block(long, [to_size, nn.Conv2d(inputs, outputs, 1)])


def first_block(inputs: int, outputs: int) -> Block:
    """From the image, which no activation should touch, to half the size."""
    long = [_conv3(inputs, outputs), nn.ReLU(), _conv3(outputs, outputs), nn.AvgPool2d(2)]
    return Block(long, [nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1)])


def down_block(inputs: int, outputs: int, norm: str) -> Block:
    """To half the size, rounding down."""
    long = [*_activated_conv3(norm, inputs, outputs), *_activated_conv3(norm, outputs, outputs), nn.AvgPool2d(2)]
    return Block(long, [nn.Conv2d(inputs, outputs, 1), nn.AvgPool2d(2)])


def flat_block(channels: int, norm: str) -> Block:
    """The same size and channels."""
    return Block([*_activated_conv3(norm, channels, channels), *_activated_conv3(norm, channels, channels)], [])


def generator(data: Data, prior: Prior | None, width: int, growth: int, norm: str, further: int = 0) -> nn.Module:
    """z, shape (n, *prior.shape), to images, shape (n, *data.shape); with `further` numbers, both flattened."""
    inputs = size_of_z(prior, "resnet") + further
    colors, height, width_px = image_shape(data, "generator", "resnet")
    count = halvings(height, width_px)
    coarsest, *finer = pyramid(height, width_px, count)
    channels = widths(width, growth, count)[::-1]
    channels = [channels[0], *channels]  # the first block keeps their number

    start = (channels[0], *coarsest)
    made: list[nn.Module] = [nn.Flatten(), nn.Linear(inputs, math.prod(start)), nn.Unflatten(1, start)]
    made += [up_block(*pair, size, norm) for pair, size in zip(pairwise(channels), finer, strict=True)]
    made += [*_activated(norm, width), _conv3(width, colors), *output(data.main)]
    return initialize(nn.Sequential(*made))


def critic(data: Data, width: int, growth: int, norm: str, pool: str, further: int = 0) -> nn.Sequential:
    """Images, shape (n, *data.shape), with `further` channels, to scores, shape (n,)."""
    colors, height, width_px = image_shape(data, "critic", "resnet")
    channels = widths(width, growth, halvings(height, width_px) - 1)

    made: list[nn.Module] = [first_block(colors + further, width)]
    made += [down_block(before, after, norm) for before, after in pairwise(channels)]
    made += [flat_block(channels[-1], norm), flat_block(channels[-1], norm)]
    made += [*_activated(norm, channels[-1]), Mean() if pool == "mean" else Sum(), nn.Linear(channels[-1], 1), nn.Flatten(0)]
    return initialize(nn.Sequential(*made))


def initialize(network: nn.Sequential) -> nn.Sequential:
    """Glorot's uniform weights, with gain √2 for the convolutions inside of blocks; biases 0 (SNGAN's code)."""
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for block in network.modules():
        if isinstance(block, Block):
            for layer in block.long:
                if isinstance(layer, nn.Conv2d):
                    layer.weight.data.mul_(math.sqrt(2))
    return network
