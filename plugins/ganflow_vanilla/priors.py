"""The normal and the uniform prior."""

from __future__ import annotations

import torch
from torch import Tensor

from ganflow import Prior


def _column(t: Tensor, like: Tensor) -> Tensor:
    """t, shape (n,), ready to multiply a draw: shape (n, 1, …)."""
    return t.reshape(-1, *[1] * like.dim())


class NormalPrior(Prior):
    """Independent standard normal coordinates, shape (dim,)."""

    def __init__(self, dim: int) -> None:
        self.shape = (dim,)

    def sample(self, *lead: int, generator: torch.Generator | None = None, device: torch.device | str = "cpu") -> Tensor:
        return torch.randn((*lead, *self.shape), generator=generator, device=device)

    def between(self, a: Tensor, b: Tensor, t: Tensor) -> Tensor:
        """Along the great circle through a and b: a normal draw of many coordinates has norm ≈ √dim, and the straight
        line's middle would be nearer to the origin than any draw. Draws on one line through the origin (always so for
        dim = 1) have no circle of their own, and are joined by that line."""
        t = _column(t, a)
        cosine = torch.clamp((a * b).sum() / (a.norm() * b.norm()), -1, 1)
        angle = torch.arccos(cosine)
        if not torch.sin(angle) > 1e-6:
            return a + t * (b - a)
        return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


class UniformPrior(Prior):
    """Independent uniform coordinates in [low, high], shape (dim,)."""

    def __init__(self, dim: int, low: float, high: float) -> None:
        self.shape = (dim,)
        self.low, self.high = self.support = (low, high)

    def sample(self, *lead: int, generator: torch.Generator | None = None, device: torch.device | str = "cpu") -> Tensor:
        unit = torch.rand((*lead, *self.shape), generator=generator, device=device)
        return self.low + (self.high - self.low) * unit

    def between(self, a: Tensor, b: Tensor, t: Tensor) -> Tensor:
        """Along the straight line, which never leaves the cube."""
        return torch.lerp(a, b, _column(t, a))
