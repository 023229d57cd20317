"""Points in the plane: mixtures of Gaussians, and the swiss roll."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ganflow import TensorData

SEED = 0  # the points are the same for every run; a run's own seed fixes the order in which they are drawn


def ring(modes: int, radius: float) -> list[list[float]]:
    """Centres evenly on a circle, the first at [radius, 0]."""
    angles = [2 * math.pi * i / modes for i in range(modes)]
    return [[radius * math.cos(a), radius * math.sin(a)] for a in angles]


def grid(modes: int, spacing: float) -> list[list[float]]:
    """Centres on a square grid around the origin; `modes` is a square number."""
    side = round(modes**0.5)
    ticks = [spacing * (i - (side - 1) / 2) for i in range(side)]
    return [[x, y] for x in ticks for y in ticks]


class Mixture(TensorData):
    """Σ w_i N(c_i / scale, (std / scale)² I), sampled once. Field "real", shape (2,).

    Attributes (in the data's own units, after scaling):
        centres: of the modes, (m, 2).
        std: of every mode in either direction.
        weights: of the modes, (m,), summing to one.
    """

    def __init__(
        self,
        name: str,
        centres: Sequence[Sequence[float]],
        std: float,
        weights: Sequence[float],
        scale: float,
        samples: int,
        held_out: int,
    ) -> None:
        self.centres, self.std = torch.tensor(centres, dtype=torch.float32) / scale, std / scale
        shares = torch.tensor(weights or [1.0] * len(centres), dtype=torch.float64)
        self.weights = (shares / shares.sum()).float()
        generator = torch.Generator().manual_seed(SEED)
        mode = torch.multinomial(self.weights, samples + held_out, replacement=True, generator=generator)
        points = self.centres[mode] + self.std * torch.randn(samples + held_out, 2, generator=generator)
        super().__init__(name, {"real": points[:samples]}, {"real": points[samples:]}, source="generated")

    def log_density(self, x: Tensor) -> Tensor:
        centres, weights = self.centres.to(x), self.weights.to(x)
        squares = (x[:, None] - centres).square().sum(2)
        inside = weights.log() - squares / (2 * self.std**2)
        return inside.logsumexp(1) - math.log(2 * math.pi * self.std**2)


def swiss_roll(noise: float, scale: float, samples: int, held_out: int) -> TensorData:
    """(t cos t, t sin t) / scale with t = 1.5 π (1 + 2u), u ~ U(0, 1), and Gaussian noise. Field "real", shape (2,)."""
    generator = torch.Generator().manual_seed(SEED)
    t = 1.5 * math.pi * (1 + 2 * torch.rand(samples + held_out, generator=generator))
    points = torch.stack([t * t.cos(), t * t.sin()], dim=1)
    points = (points + noise * torch.randn(points.shape, generator=generator)) / scale
    return TensorData("swiss_roll", {"real": points[:samples]}, {"real": points[samples:]}, source="generated")
