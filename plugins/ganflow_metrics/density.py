"""Divergences of densities on a line, by quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ganflow import GanflowError

LogDensity = Callable[[Tensor], Tensor]
"""log p(x), (n,), of points x (n, 1), float64: `Data.log_density`, say. −inf where the density is zero."""

PANELS, NODES, HALVINGS = 1024, 16, 48
SETTLED = 1e-13  # change of a panel's integral
MASS = 1e-3  # of a density that may lie outside the interval


def kl_1d(log_p: LogDensity, log_q: LogDensity, low: float, high: float, *between: float) -> float:
    """KL(p ‖ q) = ∫ p log(p / q) in nats, from low to high; infinite where q is zero and p is not.

    Args:
        between: where to divide the interval: at the ends of a narrow peak, say, which might not be found otherwise.

    Raises:
        GanflowError: the interval is empty, or p is not in it.
    """

    def densities(x: Tensor) -> Tensor:
        p, q = log_p(x), log_q(x)
        return torch.stack([p.exp(), relative(p, q)])

    mass, divergence = in_pieces(densities, low, high, *between)
    check_mass([mass], low, high)
    return max(0.0, divergence)


def jsd_1d(log_p: LogDensity, log_q: LogDensity, low: float, high: float, *between: float) -> float:
    """JSD(p, q) = ½ KL(p ‖ m) + ½ KL(q ‖ m) in nats, with m = (p + q) / 2, from low to high; at most log 2 (Lin 1991).

    Args:
        between: where to divide the interval, as in `kl_1d`.

    Raises:
        GanflowError: the interval is empty, or p or q is not in it.
    """

    def densities(x: Tensor) -> Tensor:
        p, q = log_p(x), log_q(x)
        m = torch.logaddexp(p, q) - math.log(2)
        return torch.stack([p.exp(), q.exp(), (relative(p, m) + relative(q, m)) / 2])

    *masses, divergence = in_pieces(densities, low, high, *between)
    check_mass(masses, low, high)
    return min(max(0.0, divergence), math.log(2))


def relative(log_p: Tensor, log_q: Tensor) -> Tensor:
    """p log(p / q), elementwise: 0 where p is, ∞ where q alone is 0."""
    return torch.where(log_p > -math.inf, log_p.exp() * (log_p - log_q), 0.0)


def in_pieces(functions: Callable[[Tensor], Tensor], low: float, high: float, *between: float) -> list[float]:
    """`integrals` from low to high, divided at each of `between`."""
    ends = [low, *sorted({x for x in between if low < x < high}), high]
    return [sum(parts) for parts in zip(*(integrals(functions, *pair) for pair in pairwise(ends)), strict=True)]


def integrals(functions: Callable[[Tensor], Tensor], low: float, high: float) -> list[float]:
    """∫ f(x) dx from low to high of several functions, which get points (n, 1) and give values (functions, n).

    Gauss–Legendre quadrature, by PANELS equal panels, so that a peak of a thousandth of the interval is found; a panel is halved
    until its halves change nothing. Smooth densities: 1e-10 and better; those with jumps (uniform ones): about 1e-6.

    Raises:
        GanflowError: the interval is empty or not finite.
    """
    if not -math.inf < low < high < math.inf:
        raise GanflowError(f"an integral from {low:g} to {high:g}: low must be below high, and both finite")
    nodes, weights = (torch.from_numpy(array) for array in np.polynomial.legendre.leggauss(NODES))

    def over(starts: Tensor, width: float) -> Tensor:
        points = starts[:, None] + width * (nodes + 1) / 2
        values = functions(points.reshape(-1, 1)).double()
        return values.reshape(len(values), *points.shape) @ weights * (width / 2)

    width = (high - low) / PANELS
    starts = low + width * torch.arange(PANELS, dtype=torch.float64)
    whole = over(starts, width)
    total = torch.zeros(len(whole), dtype=torch.float64)
    for _ in range(HALVINGS):
        width /= 2
        starts = torch.stack([starts, starts + width], 1)
        halves = over(starts.reshape(-1), width).reshape(len(total), *starts.shape)
        unsettled = ((halves.sum(2) - whole).abs() > SETTLED).any(0)  # infinite ones are settled: ∞ − ∞ is no number
        total += halves[:, ~unsettled].sum((1, 2))
        starts, whole = starts[unsettled].reshape(-1), halves[:, unsettled].reshape(len(total), -1)
    return (total + whole.sum(1)).tolist()


def check_mass(masses: list[float], low: float, high: float) -> None:
    """Refuse an interval that leaves out a part of a density."""
    for mass in masses:
        if not abs(mass - 1) < MASS:
            raise GanflowError(f"a density's integral from {low:g} to {high:g} is {mass:.4g}, not 1: widen the interval, or "
                               "narrow it if the density is a narrow peak in it")  # fmt: skip
