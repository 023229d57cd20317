"""The affine generator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ganflow import GanflowError
from ganflow_theory.data import normal_log_density

if TYPE_CHECKING:
    from ganflow import Data, Prior


class Affine(nn.Module):
    """x = A z + b, of z (n, k): x (n, d). For z ~ N(0, I) and a square A of full rank it has the density N(b, A Aᵀ)."""

    def __init__(self, matrix: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.matrix, self.bias = nn.Parameter(matrix), nn.Parameter(bias)

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.matrix.T + self.bias

    def log_density(self, x: Tensor) -> Tensor:
        """log p_G(x), shape (n,), of x (n, d), for a standard normal z."""
        a, b = self.matrix.detach().to(x), self.bias.detach().to(x)
        return normal_log_density(x, b, a @ a.T)


def affine(data: Data, prior: Prior | None, matrix: Sequence[Sequence[float]], bias: Sequence[float]) -> Affine:
    """An affine generator of these values.

    Raises:
        GanflowError: there is no prior, the data are no points, or matrix and bias do not fit them.
    """
    if prior is None:
        raise GanflowError("generator affine needs a prior: 'prior={use: normal, dim: 1}'")
    if len(data.shape) != 1:
        raise GanflowError(f"generator affine makes points (d,), and data {data.name} has examples of shape {data.shape}")
    (d,), k = data.shape, math.prod(prior.shape)
    a = torch.tensor(matrix, dtype=torch.float32) if matrix else torch.eye(d, k)
    b = torch.tensor(bias, dtype=torch.float32) if bias else torch.zeros(d)
    if tuple(a.shape) != (d, k):
        raise GanflowError(f"generator.matrix: {a.shape[0]} rows of {a.shape[1]}; data {data.name} and the prior need {d} of {k}")
    if len(b) != d:
        raise GanflowError(f"generator.bias: {len(b)} numbers; data {data.name} needs {d}")
    return Affine(a, b)
