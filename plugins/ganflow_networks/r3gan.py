"""R3GAN's networks for any image size: residual blocks with grouped convolutions, and no normalization."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from ganflow_layers.blocks import halvings, image_shape, output, pyramid, size_of_z
from ganflow_layers.resample import Doubled, Halved
from torch import Tensor, nn

if TYPE_CHECKING:
    from ganflow import Data, Prior

SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + SLOPE**2))  # of weights before a leaky ReLU, which then keep the variance (He et al. 2015)
WIDE = 3  # doublings of the coarsest image at which there are `width` channels; half as many at each further one


class Residual(nn.Module):
    """x ↦ x + f(x): 1 × 1, grouped 3 × 3 and 1 × 1 convolutions, with more channels between them. It starts as the identity.

    The last convolution starts at 0 and the others smaller, the more blocks there are: Fixup's start (Zhang et al. 2019,
    arXiv:1901.09321), by which a deep network without norms neither explodes nor fades.

    Args:
        channels: of x.
        expansion: times as many inside.
        group: channels of one group inside.
        depth: residual blocks of the whole network.
    """

    def __init__(self, channels: int, expansion: int, group: int, depth: int) -> None:
        super().__init__()
        inside = channels * expansion
        groups = next(n for n in range(max(1, inside // group), 0, -1) if inside % n == 0)
        wide = nn.Conv2d(channels, inside, 1)
        grouped = nn.Conv2d(inside, inside, 3, padding=1, groups=groups)
        narrow = nn.Conv2d(inside, channels, 1, bias=False)
        for layer in (wide, grouped):  # of m = 3 layers: depth^(−1 / (2m − 2))
            spread(layer, GAIN * depth**-0.25)
        nn.init.zeros_(narrow.weight)
        self.long = nn.Sequential(wide, nn.LeakyReLU(SLOPE), grouped, nn.LeakyReLU(SLOPE), narrow)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = x + self.long(x)
        return added


class Basis(nn.Module):
    """z, (n, inputs), to learnt maps, each times a number that is linear in z: (n, channels, *size)."""

    def __init__(self, inputs: int, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.maps = nn.Parameter(torch.randn(channels, *size))
        self.shares = spread(nn.Linear(inputs, channels, bias=False))

    def forward(self, z: Tensor) -> Tensor:
        found: Tensor = self.maps * self.shares(z)[:, :, None, None]
        return found


def spread(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> nn.Conv2d | nn.Linear:
    """The layer, its weights drawn from N(0, gain² / inputs), its biases 0."""
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def mixing(inputs: int, outputs: int) -> nn.Module:
    """Channels to channels by a linear map at each pixel."""
    return spread(nn.Conv2d(inputs, outputs, 1, bias=False))


def channels_of(width: int, count: int) -> list[int]:
    """Channels at each size, from the coarsest one."""
    return [max(1, width >> max(0, level - WIDE)) for level in range(count + 1)]


def generator(
    data: Data, prior: Prior | None, width: int, blocks: int, expansion: int, group: int, further: int = 0
) -> nn.Module:
    """z, shape (n, *prior.shape), to images, shape (n, *data.shape); with `further` numbers, both flattened."""
    inputs = size_of_z(prior, "r3gan") + further
    colors, height, width_px = image_shape(data, "generator", "r3gan")
    count = halvings(height, width_px)
    sizes, channels = pyramid(height, width_px, count), channels_of(width, count)

    made: list[nn.Module] = [nn.Flatten(), Basis(inputs, channels[0], sizes[0])]
    for level, size in enumerate(sizes):
        if level:
            before, after = channels[level - 1], channels[level]
            made += [*([mixing(before, after)] if before != after else []), Doubled(size)]
        made += [Residual(channels[level], expansion, group, blocks * len(sizes)) for _ in range(blocks)]
    return nn.Sequential(*made, mixing(channels[-1], colors), *output(data.main))


def critic(data: Data, width: int, blocks: int, expansion: int, group: int, further: int = 0) -> nn.Sequential:
    """Images, shape (n, *data.shape), with `further` channels, to scores, shape (n,)."""
    colors, height, width_px = image_shape(data, "critic", "r3gan")
    count = halvings(height, width_px)
    channels = channels_of(width, count)[::-1]

    def stage(channels: int) -> list[nn.Module]:
        return [Residual(channels, expansion, group, blocks * (count + 1)) for _ in range(blocks)]

    made: list[nn.Module] = [mixing(colors + further, channels[0]), *stage(channels[0])]
    for before, after in pairwise(channels):
        made += [Halved(), *([mixing(before, after)] if before != after else []), *stage(after)]
    coarsest = (height >> count, width_px >> count)
    weighed = nn.Conv2d(channels[-1], channels[-1], coarsest, groups=channels[-1], bias=False)
    return nn.Sequential(*made, spread(weighed), nn.Flatten(), spread(nn.Linear(channels[-1], 1, bias=False)), nn.Flatten(0))
