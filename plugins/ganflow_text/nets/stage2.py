"""Stage II: a larger picture from Stage I's and from the sentence once more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, chain, pairwise

import torch
from ganflow_layers.blocks import initialize, output
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ganflow import Data, Field, Prior
from ganflow_text.nets.augmentation import Augmentation, beside_noise, drawing
from ganflow_text.nets.common import conv, shapes, up
from ganflow_text.staged import Staged

SHRUNK = 0.98  # so that what tanh gave has an inverse


class Smaller(Data):
    """The data of Stage I: the same, the pictures smaller."""

    def __init__(self, data: Data, factor: int) -> None:
        channels, height, width = data.shape
        self.name, self.size, self.held_out = data.name, data.size, {}
        main = next(iter(data.fields))
        small = Field((channels, height // factor, width // factor), data.main.low, data.main.high)
        self.fields = {**data.fields, main: small}
        self._of = data

    def fingerprint(self) -> str:
        return self._of.fingerprint()


class Residual(nn.Module):
    """x ↦ ReLU(x + (convolution, norm, ReLU, convolution, norm)(x))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.long = nn.Sequential(*conv(width, width), *conv(width, width)[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.long(x)).relu()


def halved(inputs: int) -> list[nn.Module]:
    """To half the size and twice the channels."""
    return [nn.Conv2d(inputs, 2 * inputs, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * inputs), nn.ReLU()]


def chained(blocks: Sequence[Sequence[nn.Module]]) -> tuple[nn.Sequential, list[slice]]:
    """Blocks of layers, one after the other, and where each of them is. The layers' numbers, their names in checkpoints, go on
    from block to block."""
    ends = list(accumulate(map(len, blocks)))
    return nn.Sequential(*chain.from_iterable(blocks)), [slice(first, end) for first, end in pairwise([0, *ends])]


class Stage2(Staged):
    """Stage I's picture is halved twice, joined with the sentence's c everywhere, passed through residual blocks, and doubled
    until the picture has its size.

    Args:
        make_earlier: gets what Stage I makes.
        factor: this picture's side is so many times Stage I's.
        onto: paint on top of Stage I's picture, enlarged.
        skips: where a picture is doubled to a size at which it was seen on the way down, what was seen there is set beside it
            (U-Net: Ronneberger et al. 2015, arXiv:1505.04597), so that edges need not pass through the coarsest map.
        drawn: the prior of z, from whose last `dim` numbers c is drawn; None: see Augmentation.
    """

    def __init__(
        self,
        data: Data,
        make_earlier: Callable[[Data], nn.Module],
        factor: int,
        width: int,
        blocks: int,
        dim: int,
        augment: bool,
        onto: bool = False,
        skips: bool = False,
        drawn: Prior | None = None,
    ) -> None:
        super().__init__()
        self.onto = factor if onto else None
        channels, _, numbers = shapes(data, "generator 'stackgan_stage2'")
        self.freeze(make_earlier(Smaller(data, factor)))
        self.augmentation = Augmentation(numbers, dim, augment)
        self.from_z = dim if drawn is not None else 0
        if drawn is not None:
            beside_noise(drawn, dim, 0, "stackgan_stage2", "lower generator.dim, or leave noise out")
        self.signatures = drawing(next(iter(data.fields)), augment)
        first = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
        self.down, self.ways_down = chained([first, *(halved(inputs) for inputs in (width, 2 * width))])
        self.skips = skips
        widest = 4 * width
        self.joined = nn.Sequential(*conv(widest + dim, widest), *(Residual(widest) for _ in range(blocks)))
        widths = [widest >> i for i in range(2 + factor.bit_length())]
        seen = {1: 2 * width, 2: width} if skips else {}  # channels that are set beside the inputs of a doubling
        doublings = [up(inputs + seen.get(i, 0), outputs) for i, (inputs, outputs) in enumerate(pairwise(widths))]
        self.ups, self.ways_up = chained([*doublings, [nn.Conv2d(widths[-1], channels, 3, padding=1)]])
        self.output = nn.Sequential(*output(data.main))
        for module in (self.augmentation, self.down, self.joined, self.ups):
            initialize(module)

    def forward(self, z: Tensor, text: Tensor) -> Tensor:
        with torch.no_grad():
            small = self.earlier(z, text=text)
        noise = z.flatten(1)[:, -self.from_z :] if self.from_z else None
        seen, x = [], small
        for layers in self.ways_down:
            x = self.down[layers](x)
            seen.append(x)
        coarse, c = seen.pop(), self.augmentation(text, noise)
        everywhere = c[:, :, None, None].expand(-1, -1, *coarse.shape[2:])
        painted = self.joined(torch.cat((coarse, everywhere), 1))
        for layers in self.ways_up:
            painted = self.ups[layers](painted)
            if self.skips and seen:
                painted = torch.cat((painted, seen.pop()), 1)
        if self.onto:
            enlarged = interpolate(small, scale_factor=self.onto, mode="bilinear", align_corners=False)
            painted = painted + torch.atanh(SHRUNK * enlarged)
        picture: Tensor = self.output(painted)
        return picture

    def divergence(self, text: Tensor) -> Tensor | None:
        return self.augmentation.divergence(text)
