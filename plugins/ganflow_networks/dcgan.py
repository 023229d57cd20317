"""DCGAN for any image size: the sizes between layers are the image's, halved again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganflow_layers.blocks import halvings, image_shape, initialize, normalization, output, pyramid, size_of_z, widths
from ganflow_layers.stacks import halving
from torch import nn

if TYPE_CHECKING:
    from ganflow import Data, Prior


def generator(data: Data, prior: Prior | None, width: int, norm: str, further: int = 0) -> nn.Module:
    """z, shape (n, *prior.shape), to images, shape (n, *data.shape); with `further` numbers, both flattened.

    The first layer is a transposed convolution as large as the coarsest image, 4 to 7 pixels a side. Each further one
    (kernel 4, stride 2) doubles a side: padding 1 gives 2n, padding 2 with one pixel of output padding 2n − 1.
    """
    inputs = size_of_z(prior, "dcgan") + further
    colors, height, width_px = image_shape(data, "generator", "dcgan")
    count = halvings(height, width_px)
    sizes = pyramid(height, width_px, count)
    channels = widths(width, 2, count)[::-1]
    bias = norm == "none"  # a norm's shift would make it idle

    made = [nn.Flatten(), nn.Unflatten(1, (inputs, 1, 1)), nn.ConvTranspose2d(inputs, channels[0], sizes[0], bias=bias)]
    made += [*normalization(norm, channels[0]), nn.ReLU()]
    for i, out in enumerate([*channels[1:], colors]):
        last = i == count - 1
        (top, left), (below, right) = sizes[i], sizes[i + 1]
        odd = (2 * top - below, 2 * left - right)  # 1 for 2n − 1
        padding = (1 + odd[0], 1 + odd[1])
        made.append(nn.ConvTranspose2d(channels[i], out, 4, 2, padding, output_padding=odd, bias=bias or last))
        made += output(data.main) if last else [*normalization(norm, out), nn.ReLU()]
    return initialize(nn.Sequential(*made))


def critic(data: Data, width: int, norm: str, further: int = 0) -> nn.Sequential:
    """Images, shape (n, *data.shape), with `further` channels, to scores, shape (n,)."""
    colors, height, width_px = image_shape(data, "critic", "dcgan")
    return initialize(nn.Sequential(*halving((colors + further, height, width_px), width, norm, 1), nn.Flatten(0)))

