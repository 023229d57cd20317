"""A generator with a mapping network, which learns at a hundredth of the rate (Karras et al. 2019, arXiv:1812.04948, appendix C).

    optimizer:
      generator: {use: adam, lr: 1.0e-3}
      generator.mapping: {use: adam, lr: 1.0e-5}
      critic: {use: adam, lr: 1.0e-3}
"""

import math

from torch import nn

from ganflow import GanflowError, hookimpl, key, settings

GANFLOW_CONTRACT = 2


class Mapped(nn.Module):
    """z, (n, d), to w by `mapping`, and w to examples (n, *shape) by `synthesis`."""

    def __init__(self, size, width, shape):
        super().__init__()
        hidden = [nn.Linear(size, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2)]
        self.mapping = nn.Sequential(nn.Flatten(), *hidden)
        self.synthesis = nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Linear(width, math.prod(shape)))
        self.shape = shape

    def forward(self, z):
        return self.synthesis(self.mapping(z)).unflatten(1, self.shape)


@settings
class MappedGenerator:
    """A mapping network, then a synthesis network."""

    width: int = key(64, "units of every layer", ge=1)

    @hookimpl
    def generator(self, data, prior):
        if prior is None:
            raise GanflowError("generator 'mapped' starts from a prior's draws: add prior: {use: normal}")
        return Mapped(math.prod(prior.shape), self.width, data.shape)


@hookimpl
def register(offer):
    offer("generator", "mapped", MappedGenerator)
