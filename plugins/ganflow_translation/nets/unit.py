"""The generator of UNIT (Liu et al. 2017, arXiv:1703.00848, appendix B): two domains with one space of codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from ganflow_layers.blocks import initialize
from torch import Tensor, nn

from ganflow import GanflowError, Signature
from ganflow_translation.nets.blocks import Residual, doubling
from ganflow_translation.nets.domains import Domains, check_size, domains_of, translations

if TYPE_CHECKING:
    from ganflow import Data


class Unit(nn.Module):
    """An encoder and a decoder for each domain. The blocks next to the code, `shared_encoder` and `shared_decoder`, are one
    and the same for both domains: the paper's assumption that corresponding images have the same code.

    A code has shape (n, width · 2^downs, height / 2^downs, width / 2^downs). An image's code is distributed as
    N(encode(image), 1): noise is added in training, and left out outside of it.

    Args:
        domains: the unpaired domains.
        width: channels of the first layer; twice as many at every halving.
        blocks: residual blocks of each domain's encoder, and of its decoder.
        shared: residual blocks shared in the encoders, and in the decoders.
        downs: halvings.
        upsample: deconv or resize.
    """

    def __init__(self, domains: Domains, width: int, blocks: int, shared: int, downs: int, upsample: str) -> None:
        super().__init__()
        self.ways, multiple, smallest = dict(domains.ways), 2**downs, 2 * 2**downs  # norms need 2 pixels or more
        limits = {"multiple": multiple, "smallest": smallest}
        self.signatures = {
            **translations(domains.ways, **limits),
            **{f"encode_{d}": Signature({"x": d}, "code", "encode", {"domain": d}, **limits) for d in domains.channels},
            **{f"decode_{d}": Signature({"code": "code"}, d, "decode", {"domain": d}) for d in domains.channels},
            "noisy": Signature({"code": "code"}, "code", "noisy"),
        }
        deepest = width * 2**downs

        def residual(count: int) -> list[nn.Module]:
            return [Residual(deepest, "instance", "zeros") for _ in range(count)]

        def encoder(inputs: int) -> nn.Sequential:
            made: list[nn.Module] = [nn.Conv2d(inputs, width, 7, padding=3), nn.LeakyReLU()]
            for i in range(downs):
                made += [nn.Conv2d(width * 2**i, width * 2 ** (i + 1), 3, stride=2, padding=1), nn.LeakyReLU()]
            return nn.Sequential(*made, *residual(blocks))

        def decoder(outputs: int) -> nn.Sequential:
            made = residual(blocks)
            for i in reversed(range(downs)):
                made += [doubling(width * 2 ** (i + 1), width * 2**i, 3, upsample, bias=True), nn.LeakyReLU()]
            return nn.Sequential(*made, nn.Conv2d(width, outputs, 1), nn.Tanh())

        self.encoders = nn.ModuleDict({name: encoder(channels) for name, channels in domains.channels.items()})
        self.shared_encoder = nn.Sequential(*residual(shared))
        self.shared_decoder = nn.Sequential(*residual(shared))
        self.decoders = nn.ModuleDict({name: decoder(channels) for name, channels in domains.channels.items()})
        initialize(self)

    def encode(self, x: Tensor, domain: str) -> Tensor:
        """The mean of the codes of images x of this domain."""
        code: Tensor = self.shared_encoder(self.encoders[domain](x))
        return code

    def noisy(self, code: Tensor) -> Tensor:
        """Codes drawn from N(code, 1) in training; the code itself outside of it."""
        return code + torch.randn_like(code) if self.training else code

    def decode(self, code: Tensor, domain: str) -> Tensor:
        """Images of this domain, in [−1, 1], from codes."""
        image: Tensor = self.decoders[domain](self.shared_decoder(code))
        return image

    def forward(self, x: Tensor, to: str) -> Tensor:
        return self.decode(self.noisy(self.encode(x, self.ways[to])), to)


def generator(data: Data, width: int, blocks: int, shared: int, downs: int, upsample: str) -> Unit:
    """UNIT's encoders and decoders for unpaired data.

    Raises:
        GanflowError: the data are paired, or no two domains of images, or of a size that cannot be halved `downs` times.
    """
    domains = domains_of(data, "unit")
    if domains.paired:
        raise GanflowError(
            f"generator 'unit' learns from unpaired images (fields a and b); data '{data.name}' has pairs (source and target): "
            "use generator unet or resnet_translator, or unpaired data"
        )
    made = Unit(domains, width, blocks, shared, downs, upsample)
    check_size(domains, "unit", downs, made.signatures["to_a"].multiple, made.signatures["to_a"].smallest)
    return made
