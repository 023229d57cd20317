"""Building blocks of networks: checks of what they are built for, sizes, norms, doubling, the output's range, initial weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganflow import GanflowError

if TYPE_CHECKING:
    from ganflow import Data, Field, Prior

Network = TypeVar("Network", bound=nn.Module)
SMALLEST, LARGEST = 16, 512  # sides of images in pixels
MOST_GROWTH = 16  # factor on a width: that of 128 pixels a side, so that the weights of smaller images are as they were


def size_of_z(prior: Prior | None, name: str) -> int:
    """The number of values in one draw of the prior.

    Raises:
        GanflowError: there is no prior.
    """
    if prior is None:
        raise GanflowError(f"generator '{name}' starts from a prior's draws; the recipe has no prior: add prior: {{use: normal}}")
    return math.prod(prior.shape)


def image_shape(data: Data, role: str, name: str, plain: str = "mlp") -> tuple[int, int, int]:
    """(channels, height, width) of the data. `plain` is the component for any others, for messages.

    Raises:
        GanflowError: the data are not images, or too small or large for these networks.
    """
    verb = "makes" if role == "generator" else "scores"
    if not data.main.is_image:
        raise GanflowError(
            f"{role} '{name}' {verb} images (channels, height, width); data '{data.name}' has shape {data.shape}: "
            f"use {role} {plain}"
        )
    channels, height, width = data.shape
    if min(height, width) < SMALLEST or max(height, width) > LARGEST:
        small = max(height, width) <= LARGEST  # networks without convolutions are no use to large images
        raise GanflowError(
            f"{role} '{name}' {verb} images of {SMALLEST} to {LARGEST} pixels a side; data '{data.name}' has {height} × {width}: "
            f"change the data's size{f', or use {role} {plain}' if small else f', to {LARGEST} or less'}"
        )
    return channels, height, width


def halvings(height: int, width: int) -> int:
    """The number of halvings (rounding up) of an image until its shorter side is 4 to 7 pixels."""
    side, count = min(height, width), 0
    while side > 7:
        side, count = (side + 1) // 2, count + 1
    return count


def pyramid(height: int, width: int, count: int) -> list[tuple[int, int]]:
    """The image's sizes from the coarsest, halved (rounding up) `count` times, to the full one."""
    sizes = [(height, width)]
    for _ in range(count):
        height, width = (height + 1) // 2, (width + 1) // 2
        sizes.append((height, width))
    return sizes[::-1]


def widths(first: int, growth: int, count: int) -> list[int]:
    """Channels at so many sizes, each half of the one before: `growth` times as many, up to MOST_GROWTH times the first. Without
    that bound 512 pixels would ask for 64 times the width, and a single layer of DCGAN's for 134 million weights."""
    return [first * min(growth**i, MOST_GROWTH) for i in range(count)]


def normalization(norm: str, channels: int) -> list[nn.Module]:
    """A layer that normalizes feature maps, in a list; an empty list for "none". Layer norm is over channels and pixels,
    with a scale and shift per channel."""
    if norm == "none":
        return []
    if norm == "batch":
        return [nn.BatchNorm2d(channels)]
    if norm == "instance":
        return [nn.InstanceNorm2d(channels, affine=True)]
    return [nn.GroupNorm(1, channels)]


class Conditioned(nn.Module):
    """A layer that is called with the condition, by name of field, besides its input."""


def through(layer: nn.Module, x: Tensor, condition: Mapping[str, Tensor]) -> Tensor:
    """x through a layer, or one after the other, and the condition to those that are called with it."""
    if isinstance(layer, nn.Sequential):
        for inner in layer:
            x = through(inner, x, condition)
        return x
    made: Tensor = layer(x, condition) if isinstance(layer, Conditioned) else layer(x)
    return made


class Between(nn.Module):
    """Squashes to (low, high) by tanh."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.middle, self.spread = (high + low) / 2, (high - low) / 2

    def forward(self, x: Tensor) -> Tensor:
        return self.middle + self.spread * torch.tanh(x)


def output(field: Field) -> list[nn.Module]:
    """The generator's last step, in a list: tanh scaled to the field's range; nothing where that is not bounded."""
    if field.low is None or field.high is None:
        return []
    return [nn.Tanh() if (field.low, field.high) == (-1, 1) else Between(field.low, field.high)]


class ResizeConv(nn.Conv2d):
    """Twice the size by nearest neighbours, then a 3 × 3 convolution: no checkerboards (Odena et al. 2016,
    doi:10.23915/distill.00003).

    Every pixel is doubled, so three taps of the kernel meet only two different pixels. On larger maps the taps that meet the
    same pixel are added up first: the sum is a transposed convolution of kernel 4 and stride 2, the same result from 4/9 of
    the multiplications (2.6 ms in place of 7.2 on one CPU core for (4, 64, 16, 16) to 32 channels, forward and backward).
    On small maps adding up costs more than it saves. In a program of torch.export, for any number of examples, it is done always.
    """

    worth_it = 256  # pixels of a batch

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.shape[0] * x.shape[2] * x.shape[3]
        if not isinstance(pixels, torch.SymInt) and pixels < self.worth_it:
            return super().forward(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        kernel = self.weight.flip(2, 3).transpose(0, 1)
        kernel = F.pad(kernel, (0, 1, 0, 0)) + F.pad(kernel, (1, 0, 0, 0))
        kernel = F.pad(kernel, (0, 0, 0, 1)) + F.pad(kernel, (0, 0, 1, 0))
        return F.conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)


def initialize(network: Network) -> Network:
    """DCGAN's start (Radford et al. 2015, arXiv:1511.06434, section 4), which pix2pix, CycleGAN, UNIT and StackGAN have too:
    weights of convolutions from N(0, 0.02²), of norms from N(1, 0.02²); biases 0."""
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, (nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm)):
            nn.init.normal_(layer.weight, 1.0, 0.02)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return network
