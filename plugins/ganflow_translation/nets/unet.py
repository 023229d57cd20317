"""The U-Net of pix2pix (Isola et al. 2016, arXiv:1611.07004, section 6.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from ganflow_layers.blocks import initialize
from torch import Tensor, nn
from torch.nn import functional as F

from ganflow import GanflowError
from ganflow_translation.nets.blocks import doubling, normalization
from ganflow_translation.nets.domains import Domains, NetworkEachWay, domains_of

if TYPE_CHECKING:
    from ganflow import Data

SHALLOWEST = 2  # layers that an image's size has to allow, where the recipe names no depth
DROPPED = 3  # decoder layers with dropout


class SteadyDropout(nn.Dropout):
    """Dropout that goes on outside of training."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, training=True)


class UNet(nn.Module):
    """Images, shape (n, inputs, height, width), to images, shape (n, outputs, height, width), in [−1, 1].

    `depth` convolutions halve the image, as many layers double it again, and each of these but the first also sees what the
    encoder had at its size. Convolutions have a bias only where no norm follows: a norm takes it away again.

    Args:
        inputs, outputs: channels.
        width: channels of the first layer; twice as many at each further one, at most 8 · width.
        depth: layers of the encoder, and of the decoder.
        norm: batch or instance.
        batch_statistics: see `normalization`.
        dropout: the share of values left out after the first three layers of the decoder.
        steady: dropout outside of training too.
        upsample: deconv or resize.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int,
        depth: int,
        norm: str,
        batch_statistics: bool,
        dropout: float,
        steady: bool,
        upsample: str,
    ) -> None:
        super().__init__()
        channels = [width * min(2**i, 8) for i in range(depth)]
        downs, ups = [], []
        for i, out in enumerate(channels):
            normed = 0 < i < depth - 1
            before: list[nn.Module] = [nn.LeakyReLU(0.2)] if i else []
            conv = nn.Conv2d(channels[i - 1] if i else inputs, out, 4, stride=2, padding=1, bias=not normed)
            after = normalization(norm, out, batch_statistics) if normed else []
            downs.append(nn.Sequential(*before, conv, *after))
        for i in reversed(range(depth)):
            into = channels[i] * (1 if i == depth - 1 else 2)
            if i == 0:
                ups.append(nn.Sequential(nn.ReLU(), doubling(into, outputs, 4, upsample, bias=True), nn.Tanh()))
                continue
            after = normalization(norm, channels[i - 1], batch_statistics)
            if dropout and depth - i <= DROPPED:
                after.append(SteadyDropout(dropout) if steady else nn.Dropout(dropout))
            ups.append(nn.Sequential(nn.ReLU(), doubling(into, channels[i - 1], 4, upsample, bias=False), *after))
        self.downs, self.ups = nn.ModuleList(downs), nn.ModuleList(ups)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        seen = []
        for down in self.downs:
            x = down(x)
            seen.append(x)
        seen.pop()
        for up in self.ups:
            x = up(x)
            if seen:
                x = torch.cat((x, seen.pop()), 1)
        return x


def halvings(height: int, width: int) -> int:
    """The number of times that both sides can be halved without a rest, until the shorter one is 1."""
    count = 0
    while height % 2 == 0 and width % 2 == 0:
        height, width, count = height // 2, width // 2, count + 1
    return count


def depth_of(domains: Domains, depth: int) -> int:
    """The depth that the recipe names, or for 0 as deep as the images allow.

    Raises:
        GanflowError: the images cannot be halved that often.
    """
    possible = halvings(domains.height, domains.width)
    who, data = "generator 'unet' halves images", f"data '{domains.data}' has {domains.size}"
    if not depth and possible < SHALLOWEST:
        raise GanflowError(
            f"{who} at every layer, {SHALLOWEST} times at least; {data}, which can be halved {possible} times: "
            "change the data's size, best to a power of two"
        )
    if depth > possible:
        way_out = f"take depth {possible} or less (0: as deep as it goes), or " if possible else ""
        raise GanflowError(
            f"{who} {depth} times, so sides have to be multiples of {2**depth} pixels; {data}: {way_out}change the data's size"
        )
    return depth or possible


def generator(
    data: Data, width: int, depth: int, norm: str, batch_statistics: bool, dropout: float, steady: bool, upsample: str
) -> NetworkEachWay:
    """A U-Net for every way between the data's domains."""
    domains = domains_of(data, "unet")
    depth = depth_of(domains, depth)

    def build(inputs: int, outputs: int) -> UNet:
        return UNet(
            inputs, outputs, width=width, depth=depth, norm=norm, batch_statistics=batch_statistics, dropout=dropout,
            steady=steady, upsample=upsample,
        )  # fmt: skip

    return NetworkEachWay(domains, build, multiple=2**depth, smallest=2**depth)
