"""log p(x | z) in nats, summed over an example's values. x has shape (n, *shape); the decoder's output μ may have further
dimensions before those of x: (…, n, *shape) gives (…, n)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

EDGE = 1e-6  # the least probability of anything, so that no logarithm is infinite


def gaussian(x: Tensor, mean: Tensor, log_sigma: Tensor | float) -> Tensor:
    """x ~ N(μ, σ²) in every value."""
    log_sigma = torch.as_tensor(log_sigma, dtype=mean.dtype, device=mean.device)
    errors = (x - mean) * (-log_sigma).exp()
    return summed(-(errors.square() + math.log(2 * math.pi)) / 2 - log_sigma, x)


def bernoulli(x: Tensor, mean: Tensor, low: float, high: float) -> Tensor:
    """x log p + (1 − x) log(1 − p), after x and μ = p are scaled from [low, high] to [0, 1]: for greys, the expectation over
    pixels that are white with probability x."""
    x, p = ((value - low) / (high - low) for value in (x, mean))
    p = p.clamp(EDGE, 1 - EDGE)
    return summed(x * p.log() + (1 - x) * (1 - p).log(), x)


def summed(values: Tensor, x: Tensor) -> Tensor:
    """Over the dimensions of an example of x."""
    return values.sum(tuple(range(1 - x.dim(), 0)))
