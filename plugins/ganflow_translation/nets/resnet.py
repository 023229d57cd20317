"""The residual network of CycleGAN (Zhu et al. 2017, arXiv:1703.10593, appendix 7.2; after Johnson et al. 2016,
arXiv:1603.08155)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganflow_layers.blocks import initialize
from torch import nn

from ganflow_translation.nets.blocks import Residual, doubling, normalization
from ganflow_translation.nets.domains import NetworkEachWay, check_size, domains_of

if TYPE_CHECKING:
    from ganflow import Data


def network(
    inputs: int, outputs: int, width: int, blocks: int, downs: int, norm: str, dropout: float, upsample: str
) -> nn.Sequential:
    """Images, shape (n, inputs, height, width), to images, shape (n, outputs, height, width), in [−1, 1].

    In the paper's words c7s1-64, d128, d256, R256 … R256, u128, u64, c7s1-3, for width 64 and downs 2. The reflected border
    is that of c7s1 and R. Convolutions before a norm have no bias: it would take it away again.
    """

    def normed(channels: int) -> list[nn.Module]:
        return [*normalization(norm, channels), nn.ReLU()]

    made: list[nn.Module] = [nn.Conv2d(inputs, width, 7, padding=3, padding_mode="reflect", bias=False), *normed(width)]
    for _ in range(downs):
        made += [nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False), *normed(2 * width)]
        width *= 2
    made += [Residual(width, norm, "reflect", dropout) for _ in range(blocks)]
    for _ in range(downs):
        made += [doubling(width, width // 2, 3, upsample, bias=False), *normed(width // 2)]
        width //= 2
    made += [nn.Conv2d(width, outputs, 7, padding=3, padding_mode="reflect"), nn.Tanh()]
    chain = nn.Sequential(*made)
    initialize(chain)
    return chain


def generator(data: Data, width: int, blocks: int, downs: int, norm: str, dropout: float, upsample: str) -> NetworkEachWay:
    """A residual network for every way between the data's domains. Zero blocks: 6 up to 128 pixels a side, 9 above."""
    domains = domains_of(data, "resnet_translator")
    blocks = blocks or (6 if max(domains.height, domains.width) <= 128 else 9)
    multiple, smallest = 2**downs, max(4, 2 * 2**downs)  # to reflect 3 pixels takes 4; 1, in the blocks, takes 2
    check_size(domains, "resnet_translator", downs, multiple, smallest)

    def build(inputs: int, outputs: int) -> nn.Module:
        return network(inputs, outputs, width, blocks, downs, norm, dropout, upsample)

    return NetworkEachWay(domains, build, multiple, smallest)
