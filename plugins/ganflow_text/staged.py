"""Generators that contain an earlier run's."""

from __future__ import annotations

from torch import nn


class Staged(nn.Module):
    """A generator with an earlier run's generator inside, which `train.start_from` fills and which trains no more.

    Attributes:
        earlier: that generator. It is in evaluation mode for ever.
    """

    earlier: nn.Module

    def freeze(self, earlier: nn.Module) -> None:
        """Adopt a generator, to be filled by `train.start_from`."""
        self.earlier = earlier.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Staged:
        super().train(mode)
        self.earlier.eval()
        return self
