"""DCGAN for any image size: the sizes between layers are the image's, halved again and again."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import nn

from ganflow_networks.common import halvings, image_shape, normalization, output, pyramid, size_of_z

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
    channels = [width * 2**i for i in range(count)][::-1]
    bias = norm == "none"  # a norm's shift would make it idle

    made = [nn.Flatten(), nn.Unflatten(1, (inputs, 1, 1)), nn.ConvTranspose2d(inputs, channels[0], sizes[0], bias=bias)]
    made += [*normalization(norm, channels[0]), nn.ReLU()]
    for i, out in enumerate([*channels[1:], colors]):
        last = i == count - 1
        odd = tuple(2 * before - after for before, after in zip(sizes[i], sizes[i + 1], strict=True))  # 1 for 2n − 1
        padding = tuple(1 + o for o in odd)
        made.append(nn.ConvTranspose2d(channels[i], out, 4, 2, padding, output_padding=odd, bias=bias or last))
        made += output(data.main) if last else [*normalization(norm, out), nn.ReLU()]
    return initialize(nn.Sequential(*made))


def critic(data: Data, width: int, norm: str, further: int = 0) -> nn.Sequential:
    """Images, shape (n, *data.shape), with `further` channels, to scores, shape (n,)."""
    colors, height, width_px = image_shape(data, "critic", "dcgan")
    return initialize(nn.Sequential(*halving((colors + further, height, width_px), width, norm, 1), nn.Flatten(0)))


def halving(shape: tuple[int, int, int], width: int, norm: str, outputs: int) -> list[nn.Module]:
    """Layers from images, (n, *shape), to numbers, (n, outputs, 1, 1).

    Convolutions of kernel 4 and stride 2 halve the image, rounding down; the last layer spans what is left.
    """
    colors, height, width_px = shape
    count = halvings(height, width_px)
    channels = [width * 2**i for i in range(count)]

    made: list[nn.Module] = [nn.Conv2d(colors, channels[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    for before, after in pairwise(channels):
        made.append(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=norm == "none"))
        made += [*normalization(norm, after), nn.LeakyReLU(0.2)]
    return [*made, nn.Conv2d(channels[-1], outputs, (height >> count, width_px >> count))]


def initialize(network: nn.Sequential) -> nn.Sequential:
    """The paper's section 4: weights of convolutions from N(0, 0.02²), of norms from N(1, 0.02²); biases 0."""
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
