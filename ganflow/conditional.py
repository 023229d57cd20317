"""What a generator is that is told what to make, and one that stands on an earlier run's."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Conditional(nn.Module, ABC):
    """A generator that takes a condition besides z.

    Attributes:
        condition: the data's field that it is told: "text".
    """

    condition: str = "text"

    @abstractmethod
    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        """Samples (n, *data.shape) from z (n, *prior.shape) and as many conditions."""

    def divergence(self, condition: Tensor) -> Tensor | None:
        """Where it draws something for a condition: how far that is from N(0, 1), a KL divergence's mean; else None."""
        return None


class Staged(nn.Module):
    """A generator with an earlier run's generator inside, which `train.start_from` brings in and which trains no more.

    Attributes:
        earlier: that generator. It is in evaluation mode for ever.
    """

    earlier: nn.Module

    def freeze(self, earlier: nn.Module) -> None:
        """Take a generator in, to be filled by `train.start_from`."""
        self.earlier = earlier.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Staged:
        super().train(mode)
        self.earlier.eval()
        return self
