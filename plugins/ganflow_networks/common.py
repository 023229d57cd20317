"""What the networks share: checks of what they are built for, sizes, norms, the output's range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ganflow import GanflowError

if TYPE_CHECKING:
    from ganflow import Data, Field, Prior

SMALLEST, LARGEST = 16, 128  # sides of images in pixels


def size_of_z(prior: Prior | None, name: str) -> int:
    """How many numbers one draw of the prior has.

    Raises:
        GanflowError: there is no prior.
    """
    if prior is None:
        raise GanflowError(f"generator '{name}' starts from a prior's draws; the recipe has no prior: add prior: {{use: normal}}")
    return math.prod(prior.shape)


def image_shape(data: Data, role: str, name: str, plain: str = "mlp") -> tuple[int, int, int]:
    """(channels, height, width) of the data. `plain` is the component that takes any others, for messages.

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
        raise GanflowError(
            f"{role} '{name}' {verb} images of {SMALLEST} to {LARGEST} pixels a side; data '{data.name}' has {height} × {width}: "
            f"change the data's size, or use {role} {plain}"
        )
    return channels, height, width


def halvings(height: int, width: int) -> int:
    """How often an image is halved (rounding up) until its shorter side is 4 to 7 pixels."""
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
