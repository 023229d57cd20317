"""Conditioning augmentation: a sentence becomes a small Gaussian around what it says."""

from __future__ import annotations

import torch
from ganflow_layers.blocks import size_of_z
from torch import Tensor, nn

from ganflow import GanflowError, Prior, Signature


def drawing(main: str, random: bool) -> dict[str, Signature]:
    """The signatures of a generator that is called `generator(z, text=…)` and has an `Augmentation`.

    Args:
        main: the field of the pictures.
        random: whether c is drawn in training.
    """
    made = {"sample": Signature({"z": "z", "text": "text"}, main)}
    return {**made, "divergence": Signature({"text": "text"}, "divergence", "divergence")} if random else made


def beside_noise(prior: Prior | None, dim: int, least: int, who: str, advice: str) -> int:
    """The number of values of z but for the last `dim`, from which c is drawn.

    Raises:
        GanflowError: they are fewer than `least`.
    """
    numbers = size_of_z(prior, who)
    if numbers - dim < least:
        raise GanflowError(f"generator '{who}' draws c from {dim} numbers of z (noise: prior), and the prior has {numbers}: "
                           f"{advice}")  # fmt: skip
    return numbers - dim


class Augmentation(nn.Module):
    """c ~ N(μ(e), diag σ(e)²) of a sentence's vector e (StackGAN, section 3.2); neither μ nor log σ² is rectified.

    Args:
        numbers: of a sentence's vector.
        dim: of c.
        random: whether c is drawn; otherwise it is μ(e).
    """

    def __init__(self, numbers: int, dim: int, random: bool) -> None:
        super().__init__()
        self.random, self.dim = random, dim
        self.linear = nn.Linear(numbers, 2 * dim if random else dim)

    def statistics(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """μ and log σ², (n, dim) each, where c is random."""
        both = self.linear(text)
        return both[:, : self.dim], both[:, self.dim :]

    def forward(self, text: Tensor, noise: Tensor | None = None) -> Tensor:
        """c = μ + σ · noise, (n, dim). Without noise (n, dim) it is torch's in training, and 0 in evaluation mode."""
        if not self.random:
            return self.linear(text)
        mean, log_variance = self.statistics(text)
        if noise is None:
            if not self.training:
                return mean
            noise = torch.randn_like(mean)
        return mean + (log_variance / 2).exp() * noise

    def divergence(self, text: Tensor) -> Tensor | None:
        """KL(N(μ, σ²) ‖ N(0, 1)), the mean over examples and coordinates (eq. 2, with the authors' code's mean); None where
        c is not random."""
        if not self.random:
            return None
        mean, log_variance = self.statistics(text)
        return (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2
