"""Parts that the networks share: checks of what they are built for, and blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganflow_layers.blocks import ResizeConv
from torch import nn

from ganflow import GanflowError

if TYPE_CHECKING:
    from ganflow import Data

COARSEST = 4  # pixels a side where generators begin and critics end
TEXT = "text"


def shapes(data: Data, who: str) -> tuple[int, int, int]:
    """(channels, pixels a side, numbers of a sentence's vector) of the data.

    Raises:
        GanflowError: they are not square pictures of 4 · 2ᵏ pixels with sentences.
    """
    if TEXT not in data.fields:
        raise GanflowError(f"{who} needs pictures with sentences; data '{data.name}' has no field '{TEXT}': use birds, say")
    if not data.main.is_image:
        raise GanflowError(f"{who} needs pictures with sentences; data '{data.name}' has shape {data.shape}")
    channels, height, width = data.shape
    if height != width or halvings(height) < 2 or COARSEST << halvings(height) != height:
        raise GanflowError(f"{who} needs square pictures of 16, 32, 64, … pixels; data '{data.name}' has {height} × {width}; "
                           "choose such a data.size, or dcgan, which makes rectangles")  # fmt: skip
    (numbers,) = data.fields[TEXT].shape
    return channels, height, numbers


def halvings(side: int) -> int:
    """The number of halvings of a side until it is 4 pixels or fewer."""
    return max(0, (side - 1).bit_length() - 2)


def up(inputs: int, outputs: int) -> list[nn.Module]:
    """To twice the size: nearest neighbours, a 3 × 3 convolution, batch norm, ReLU."""
    return [ResizeConv(inputs, outputs, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]


def conv(inputs: int, outputs: int) -> list[nn.Module]:
    """At the same size: a 3 × 3 convolution, batch norm, ReLU."""
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
