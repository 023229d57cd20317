"""StyleGAN2 for any image size: a mapping network, modulated convolutions, noise, and the image as a sum over sizes.

No kernels but torch's: what the paper's code does in CUDA are convolutions with constant filters here.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import gcd
from typing import TYPE_CHECKING

import torch
from ganflow_layers.blocks import halvings, image_shape, output, pyramid, size_of_z
from ganflow_layers.resample import Doubled
from torch import Tensor, nn

from ganflow import Signature
from ganflow_networks.conditional import Embeddings, fields_of
from ganflow_networks.equalized import TINY, Active, EqualConv, EqualLinear, ModulatedConv

if TYPE_CHECKING:
    from ganflow import Data, Prior

STYLES = "styles"
"""What the generator's mapping makes and its synthesis takes, besides z and the data's fields: (n, layers, numbers)."""


def channels_of(width: int, base: int, count: int) -> list[int]:
    """Channels at 4, 8, … pixels: `base` divided by the side, at most `width`."""
    return [max(1, min(base // (4 << level), width)) for level in range(count + 1)]


class MappingNetwork(nn.Module):
    """z, and a condition's numbers beside it, to a style: linear layers after a division by the root mean square."""

    def __init__(self, inputs: int, code: int, depth: int, rate: float) -> None:
        super().__init__()
        sizes = [inputs, *[code] * depth]
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [EqualLinear(before, after, rate=rate), Active()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        found: Tensor = self.layers(z * (z.square().mean(1, keepdim=True) + TINY).rsqrt())
        return found


class StyledLayer(nn.Module):
    """A modulated convolution, noise, biases, activation.

    The noise is drawn anew for each image in training. In evaluation it is always the same: an image then follows from z, and
    only what z changes moves between two of them.

    Args:
        size: of what it makes.
    """

    still: Tensor

    def __init__(self, inputs: int, outputs: int, code: int, size: tuple[int, int], double: bool, noise: bool) -> None:
        super().__init__()
        self.size = size
        self.conv = ModulatedConv(inputs, outputs, 3, code, double=double)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.active = Active()
        self.strength = nn.Parameter(torch.zeros(())) if noise else None
        if noise:
            self.register_buffer("still", torch.randn(1, 1, *size))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        x = self.conv(x, style)[:, :, : self.size[0], : self.size[1]]
        if self.strength is not None:
            drawn = torch.randn(len(x), 1, *self.size, dtype=x.dtype, device=x.device) if self.training else self.still
            x = x + self.strength * drawn
        active: Tensor = self.active(x + self.bias[:, None, None])
        return active


class StyledBlock(nn.Module):
    """One size: its layers, and what they add to the image. (x, image so far) to the same, twice as large.

    Args:
        inputs: channels before; 0 in the first block, which has a layer less and begins with a constant.
        size: in pixels, (height, width).
    """

    def __init__(
        self, inputs: int, outputs: int, colors: int, code: int, size: tuple[int, int], noise: bool
    ) -> None:
        super().__init__()
        shape = (code, size)
        first = [StyledLayer(inputs, outputs, *shape, double=True, noise=noise)] if inputs else []
        self.layers = nn.ModuleList([*first, StyledLayer(outputs, outputs, *shape, double=False, noise=noise)])
        self.to_image = ModulatedConv(outputs, colors, 1, code, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(colors))
        self.doubled = Doubled(size)

    def forward(self, x: Tensor, image: Tensor | None, styles: list[Tensor]) -> tuple[Tensor, Tensor]:
        """`styles`: one for each layer, and one for the image, which is the next block's first."""
        for layer, style in zip(self.layers, styles, strict=False):
            x = layer(x, style)
        added = self.to_image(x, styles[len(self.layers)]) + self.bias[:, None, None]
        return x, added if image is None else self.doubled(image) + added


class StyleGenerator(nn.Module):
    """z, (n, *prior.shape), to images (n, *shape), by the signature `sample`; `style` gives the styles of z, `draw` the images of
    styles.

    In training a share of the images has two styles, of z and of another draw, which change at a random layer (style mixing,
    Karras et al. 2018, arXiv:1812.04948, section 3.1): so no layer relies on another's having the same.

    Args:
        prior: of the other draws.
        embeddings: of a condition; None without one.
        mixing: that share.
    """

    def __init__(
        self, data: Data, prior: Prior, mapping: MappingNetwork, blocks: list[StyledBlock], start: Tensor,
        embeddings: Embeddings | None, mixing: float, condition: tuple[str, ...],
    ) -> None:  # fmt: skip
        super().__init__()
        self.mapping, self.embeddings, self.blocks = mapping, embeddings, nn.ModuleList(blocks)
        self.constant = nn.Parameter(start)
        self.bounded = nn.Sequential(*output(data.main))
        self.prior, self.mixing = prior, mixing
        self.count = 2 * len(blocks)  # a style for each layer, and the last image's
        main, asked = next(iter(data.fields)), {"z": "z", **{name: name for name in condition}}
        self.signatures = {
            "sample": Signature(asked, main),
            "style": Signature(asked, STYLES, method="style"),
            "draw": Signature({STYLES: STYLES}, main, method="draw"),
        }

    def forward(self, z: Tensor, **condition: Tensor) -> Tensor:
        return self.draw(self.style(z, **condition))

    def style(self, z: Tensor, **condition: Tensor) -> Tensor:
        """The style of every layer, (n, layers, numbers): mostly the same for all of an image's."""
        styles = self._mapped(z, condition)[:, None].expand(-1, self.count, -1)
        if not self.training or self.mixing == 0:
            return styles
        other = self._mapped(self.prior.sample(len(z), device=z.device).to(z.dtype), condition)[:, None]
        first = torch.randint(1, self.count, (len(z), 1), device=z.device)  # layer of the other style
        mixed = torch.rand(len(z), 1, device=z.device) < self.mixing
        layer = torch.arange(self.count, device=z.device)
        return torch.where((mixed & (layer >= first))[:, :, None], other, styles)

    def draw(self, styles: Tensor) -> Tensor:
        """The images of styles (n, layers, numbers)."""
        each, used = list(styles.unbind(1)), 0
        x, image = self.constant.to(styles.dtype).expand(styles.shape[0], -1, -1, -1), None
        for block in self.blocks:
            assert isinstance(block, StyledBlock)
            x, image = block(x, image, each[used : used + len(block.layers) + 1])
            used += len(block.layers)
        bounded: Tensor = self.bounded(image)
        return bounded

    def _mapped(self, z: Tensor, condition: Mapping[str, Tensor]) -> Tensor:
        beside = self.embeddings(condition) if self.embeddings is not None else []
        mapped: Tensor = self.mapping(torch.cat((z.flatten(1), *beside), 1))
        return mapped


def generator(
    data: Data, prior: Prior | None, condition: tuple[str, ...], *, width: int, base: int, code: int, depth: int, rate: float,
    mixing: float, noise: bool, embedding: int,
) -> StyleGenerator:  # fmt: skip
    """The generator; arguments as the keys of StyleNetwork."""
    inputs = size_of_z(prior, "style")
    assert prior is not None
    colors, height, width_px = image_shape(data, "generator", "style")
    fields = fields_of(data, condition, "generator 'style'")
    count = halvings(height, width_px)
    sizes, channels = pyramid(height, width_px, count), channels_of(width, base, count)
    mapping = MappingNetwork(inputs + embedding * len(fields), code, depth, rate)
    each = zip([0, *channels[:-1]], channels, sizes, strict=True)
    blocks = [StyledBlock(before, after, colors, code, size, noise) for before, after, size in each]
    start = torch.randn(channels[0], *sizes[0])
    embeddings = Embeddings(fields, embedding) if fields else None
    return StyleGenerator(data, prior, mapping, blocks, start, embeddings, mixing, condition)


class Deviation(nn.Module):
    """A further channel: the standard deviation over a group of examples, averaged over channels and pixels, by which the critic
    sees whether a batch is too much alike (Karras et al. 2017, arXiv:1710.10196, section 3).

    Attributes:
        group_size: of examples in a row; of a batch that it does not divide, the largest group that divides both.
    """

    def __init__(self, group_size: int) -> None:
        super().__init__()
        self.group_size = group_size

    def forward(self, x: Tensor) -> Tensor:
        group = gcd(len(x), self.group_size)
        grouped = x.unflatten(0, (-1, group))
        deviations = (grouped.var(1, unbiased=False) + TINY).sqrt().mean((1, 2, 3))
        further = deviations.repeat_interleave(group)[:, None, None, None].expand(-1, 1, *x.shape[2:])
        return torch.cat((x, further), 1)


class HalvingBlock(nn.Module):
    """Half the size: two convolutions, and one of 1 × 1 besides; their sum over √2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.long = nn.Sequential(
            EqualConv(inputs, inputs, 3), Active(), EqualConv(inputs, outputs, 3, halve=True), Active(0.5**0.5)
        )
        self.short = EqualConv(inputs, outputs, 1, bias=False, halve=True)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.long(x) + 0.5**0.5 * self.short(x)
        return added


def critic(data: Data, width: int, base: int, group: int, further: int = 0) -> nn.Sequential:
    """Images, shape (n, *data.shape), with `further` channels, to scores, shape (n,)."""
    colors, height, width_px = image_shape(data, "critic", "style")
    count = halvings(height, width_px)
    channels = channels_of(width, base, count)[::-1]
    last, pixels = channels[-1], (height >> count) * (width_px >> count)

    made: list[nn.Module] = [EqualConv(colors + further, channels[0], 1), Active()]
    made += [HalvingBlock(before, after) for before, after in pairwise(channels)]
    made += [Deviation(group)] if group > 1 else []
    made += [EqualConv(last + (group > 1), last, 3), Active(), nn.Flatten(), EqualLinear(last * pixels, last), Active()]
    return nn.Sequential(*made, EqualLinear(last, 1), nn.Flatten(0))
