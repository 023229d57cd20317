"""Base classes of autoencoders: generators that also encode, so that examples can be reconstructed from their codes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ganflow import Signature


class Autoencoder(nn.Module, ABC):
    """A generator with an encoder. Called with codes, as with draws from a prior, it decodes them; so whatever works on a
    generator works on an autoencoder.

    Attributes:
        field: of the data, whose examples it is about.
    """

    field: str = "real"

    @property
    def signatures(self) -> dict[str, Signature]:
        x = {"x": self.field}
        return {
            "sample": Signature({"z": "z"}, self.field),
            "encode": Signature(x, "z", method="encode"),
            "reconstruct": Signature(x, self.field, method="reconstruct"),
        }

    @abstractmethod
    def forward(self, z: Tensor) -> Tensor:
        """The examples, shape (n, *data.shape), that codes z, shape (n, *prior.shape), stand for."""

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """The codes, shape (n, *prior.shape), of examples x, shape (n, *data.shape)."""

    def reconstruct(self, x: Tensor) -> Tensor:
        """Decode the codes of examples x: same shape."""
        made: Tensor = self(self.encode(x))
        return made


class VariationalAutoencoder(Autoencoder):
    """A generator p(x | z) with an encoder q(z | x) (Kingma & Welling 2013, arXiv:1312.6114). Decoding gives the mean of
    p(x | z), encoding that of q(z | x).

    Attributes:
        log_sigma: where the generator learns it, the logarithm of the standard deviation of x around its mean, for losses
            with a Gaussian likelihood: a scalar, or whatever can be broadcast to examples. None where the loss gives it.
    """

    log_sigma: nn.Parameter | None

    def __init__(self) -> None:
        super().__init__()
        self.register_parameter("log_sigma", None)

    @property
    def signatures(self) -> dict[str, Signature]:
        x = {"x": self.field}
        return {
            **super().signatures,
            "posterior": Signature(x, "posterior", method="posterior"),
            "log_sigma": Signature(x, "log_sigma", method="spread"),
        }

    @abstractmethod
    def posterior(self, x: Tensor) -> Gaussian:
        """q(z | x) of examples x, shape (n, *data.shape)."""

    def encode(self, x: Tensor) -> Tensor:
        return self.posterior(x).mean

    def spread(self, x: Tensor) -> Tensor | None:
        """`log_sigma`, for any x."""
        return self.log_sigma


@dataclass(frozen=True)
class Gaussian:
    """Independent normal distributions, one for each number of `mean` and `log_variance`, shape (n, *prior.shape) both."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, *lead: int) -> Tensor:
        """Reparametrised draws μ + σ ε, ε ~ N(0, I), of shape (*lead, n, *prior.shape): gradients flow to μ and σ."""
        noise = torch.randn((*lead, *self.mean.shape), dtype=self.mean.dtype, device=self.mean.device)
        return self.mean + (self.log_variance / 2).exp() * noise

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z), of each number, in nats; the shape of z."""
        squares = (z - self.mean).square() * (-self.log_variance).exp()
        return -(squares + self.log_variance + math.log(2 * math.pi)) / 2

    def divergence(self) -> Tensor:
        """KL(q ‖ N(0, 1)) = ½ (μ² + σ² − 1 − log σ²) of each number, in nats (Kingma & Welling 2013, appendix B)."""
        return (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance) / 2
