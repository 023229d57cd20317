"""Spectral normalization of whole networks."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

LAYERS = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def normalize(network: nn.Module, iterations: int) -> nn.Module:
    """The same network, each of its layers' weights divided by its largest singular value.

    The vectors of the power iteration are buffers: they are part of the network's state.
    """
    for layer in list(network.modules()):
        if isinstance(layer, LAYERS):
            spectral_norm(layer, n_power_iterations=iterations)
    return network
