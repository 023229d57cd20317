"""Data with known distributions: mixtures on a line, segments, linear maps of Gaussians."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ganflow import GanflowError, TensorData

SEED = 0  # the examples are the same for every run; a run's own seed fixes the order in which they are drawn


class LineMixture(TensorData):
    """Σ w_i N(c_i, s_i²), sampled once. Field "real", shape (1,).

    Attributes:
        centres, stds: of the modes, (m, 1) and (m,).
        weights: of the modes, (m,), summing to one.
    """

    def __init__(
        self, centres: Sequence[float], stds: Sequence[float], weights: Sequence[float], samples: int, held_out: int
    ) -> None:
        self.centres = torch.tensor(centres, dtype=torch.float64)[:, None]
        self.stds = torch.tensor(stds, dtype=torch.float64).expand(len(centres)).clone()
        shares = torch.tensor(weights or [1.0] * len(centres), dtype=torch.float64)
        self.weights = shares / shares.sum()
        generator = torch.Generator().manual_seed(SEED)
        mode = torch.multinomial(self.weights, samples + held_out, replacement=True, generator=generator)
        noise = torch.randn(samples + held_out, 1, generator=generator)
        numbers = (self.centres[mode] + self.stds[mode, None] * noise).float()
        super().__init__("gaussians_1d", {"real": numbers[:samples]}, {"real": numbers[samples:]}, source="generated")

    def log_density(self, x: Tensor) -> Tensor:
        centres, stds, weights = (t.to(x) for t in (self.centres[:, 0], self.stds, self.weights))
        inside = weights.log() - stds.log() - ((x - centres) / stds).square() / 2
        return inside.logsumexp(1) - math.log(2 * math.pi) / 2

    def cumulative(self, x: Tensor) -> Tensor:
        """The distribution function F(x), shape (n,), of numbers x of shape (n, 1)."""
        centres, stds, weights = (t.to(x) for t in (self.centres[:, 0], self.stds, self.weights))
        return (weights * torch.special.ndtr((x - centres) / stds)).sum(1)


def lines(at: Sequence[float], samples: int, held_out: int) -> TensorData:
    """Points (x, u), u ~ U(0, 1), on the segments in turn. Field "real", shape (2,)."""
    generator = torch.Generator().manual_seed(SEED)
    n = samples + held_out
    where = torch.tensor(at, dtype=torch.float32)[torch.arange(n) % len(at)]
    points = torch.stack([where, torch.rand(n, generator=generator)], dim=1)
    return TensorData("lines", {"real": points[:samples]}, {"real": points[samples:]}, source="generated")


class LinearGaussianData(TensorData):
    """N(b, A Aᵀ + noise² I), sampled once. Field "real", shape (d,).

    Attributes:
        mean, covariance: of the distribution, (d,) and (d, d), float64.
    """

    def __init__(
        self, matrix: Sequence[Sequence[float]], bias: Sequence[float], noise: float, samples: int, held_out: int
    ) -> None:
        a = torch.tensor(matrix, dtype=torch.float64)
        self.mean = torch.tensor(bias or [0.0] * len(a), dtype=torch.float64)
        self.covariance = a @ a.T + noise**2 * torch.eye(len(a), dtype=torch.float64)
        generator = torch.Generator().manual_seed(SEED)
        z = torch.randn(samples + held_out, a.shape[1], generator=generator, dtype=torch.float64)
        epsilon = torch.randn(samples + held_out, len(a), generator=generator, dtype=torch.float64)
        x = (z @ a.T + self.mean + noise * epsilon).float()
        super().__init__("linear_gaussian", {"real": x[:samples]}, {"real": x[samples:]}, source="generated")

    def log_density(self, x: Tensor) -> Tensor:
        return normal_log_density(x, self.mean.to(x), self.covariance.to(x))


def normal_log_density(x: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """log N(x; mean, covariance), shape (n,), of x (n, d), mean (d,) and covariance (d, d)."""
    root = root_of(covariance)
    white = torch.linalg.solve_triangular(root, (x - mean).T, upper=False)
    return -white.square().sum(0) / 2 - root.diagonal().log().sum() - len(mean) * math.log(2 * math.pi) / 2


def root_of(covariance: Tensor) -> Tensor:
    """The lower triangular root of a covariance, (d, d).

    Raises:
        GanflowError: it is singular.
    """
    root, failed = torch.linalg.cholesky_ex(covariance)
    if failed:
        raise GanflowError("a normal distribution has no density where its covariance is singular: give 'matrix' a rank as high "
                           "as it has rows, or add noise where there is a key for it")  # fmt: skip
    return root
