"""Maximum mean discrepancy of generated and held-out examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ganflow import GanflowError
from ganflow_metrics.repeats import RealSamples, Repeated, check_points, pairs_of, points

if TYPE_CHECKING:
    from ganflow import Data


class MMD(Repeated):
    """Score `mmd2_<n>`: n generated samples against n held-out examples. The protocol has the kernel's bandwidth.

    Raises:
        GanflowError: the data are images, there are fewer examples, or half of them are equal, so that there is no bandwidth.
    """

    def __init__(self, data: Data, samples: int, bandwidth: float | None, flatten: bool, seed: int, repeats: int) -> None:
        check_points(data, "mmd", samples, flatten)
        self._real_samples = RealSamples(data, "mmd", samples, seed, repeats, most=pairs_of(samples))
        self._bandwidth = median_distance(self._real_samples.first) if bandwidth is None else bandwidth
        if not self._bandwidth > 0:
            raise GanflowError(f"metric mmd takes the median distance between real examples as its bandwidth, and that of data "
                               f"{data.name} is 0: set bandwidth of the metric")  # fmt: skip
        name = f"mmd2_{samples}"
        kernel = {"kernel": "Gaussian", "bandwidth": self._bandwidth}
        real = self._real_samples
        super().__init__(data, samples, seed, repeats, [name], [name], real.pairs, **kernel, **real.protocol)

    def score(self, x: Tensor, repeat: int) -> Sequence[float]:
        return [squared_mmd(points(x), self._real_samples.reference(repeat), self._bandwidth)]

    def floor(self, pair: int) -> Sequence[float]:
        return [squared_mmd(*self._real_samples.pair(pair), self._bandwidth)]


def squared_mmd(x: Tensor, y: Tensor, bandwidth: float) -> float:
    """E k(x, x′) + E k(y, y′) − 2 E k(x, y) with k(a, b) = exp(−|a − b|² / (2 σ²)), x ≠ x′ and y ≠ y′: unbiased, and so below
    zero about as often as above for equal distributions (Gretton et al. 2012, equation 3). x is (n, d), y (m, d)."""

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-torch.cdist(a, b).square() / (2 * bandwidth**2))

    def within(a: Tensor) -> Tensor:
        return (kernel(a, a).sum() - len(a)) / (len(a) * (len(a) - 1))

    return float(within(x) + within(y) - 2 * kernel(x, y).mean())


def median_distance(x: Tensor) -> float:
    """The median of |xᵢ − xⱼ| over pairs of the rows (n, d)."""
    return float(np.median(torch.pdist(x).numpy()))
