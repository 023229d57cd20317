"""Encoders and decoders, of the layers and generators that the plugin `networks` has."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from ganflow_layers.blocks import image_shape, initialize, size_of_z
from ganflow_layers.stacks import halving, linear_layers
from ganflow_networks import dcgan
from ganflow_networks import mlp as perceptrons
from torch import Tensor, nn

from ganflow_autoencoder.base import Autoencoder, Gaussian, VariationalAutoencoder

if TYPE_CHECKING:
    from ganflow import Data, Prior


class PlainAutoencoder(Autoencoder):
    """An encoder to codes and a decoder of them."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, z: Tensor) -> Tensor:
        decoded: Tensor = self.decoder(z)
        return decoded

    def encode(self, x: Tensor) -> Tensor:
        code: Tensor = self.encoder(x)
        return code


class GaussianAutoencoder(VariationalAutoencoder):
    """An encoder to means and log-variances, (n, 2, *prior.shape), and a decoder of codes.

    Where σ is learnt it starts at 1.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, learn_sigma: bool) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        if learn_sigma:
            self.log_sigma = nn.Parameter(torch.zeros(()))

    def forward(self, z: Tensor) -> Tensor:
        decoded: Tensor = self.decoder(z)
        return decoded

    def posterior(self, x: Tensor) -> Gaussian:
        both: Tensor = self.encoder(x)
        mean, log_variance = (both.float() if both.dtype in (torch.bfloat16, torch.float16) else both).unbind(1)
        return Gaussian(mean, log_variance)


def mlp(
    data: Data, prior: Prior | None, widths: list[int], activation: str, variational: bool, learn_sigma: bool
) -> Autoencoder:
    """Linear layers there, of these widths, and back."""
    numbers = size_of_z(prior, "mlp_autoencoder") * (1 + variational)
    encoder = [nn.Flatten(), *linear_layers(math.prod(data.shape), widths, numbers, activation)]
    decoder = perceptrons.generator(data, prior, widths[::-1], activation, batch_norm=False)
    return _together(encoder, decoder, prior, variational, learn_sigma)


def conv(data: Data, prior: Prior | None, width: int, norm: str, variational: bool, learn_sigma: bool) -> Autoencoder:
    """Strided convolutions there, transposed ones back.

    Raises:
        GanflowError: the data are not images, or too small or large.
    """
    numbers = size_of_z(prior, "conv_autoencoder") * (1 + variational)
    shape = image_shape(data, "generator", "conv_autoencoder", plain="mlp_autoencoder")
    encoder = [*halving(shape, width, norm, numbers), nn.Flatten()]
    initialize(nn.Sequential(*encoder))
    return _together(encoder, dcgan.generator(data, prior, width, norm), prior, variational, learn_sigma)


def _together(
    encoder: list[nn.Module], decoder: nn.Module, prior: Prior | None, variational: bool, learn_sigma: bool
) -> Autoencoder:
    assert prior is not None
    if not variational:
        return PlainAutoencoder(nn.Sequential(*encoder, nn.Unflatten(1, prior.shape)), decoder)
    return GaussianAutoencoder(nn.Sequential(*encoder, nn.Unflatten(1, (2, *prior.shape))), decoder, learn_sigma)
