"""Kernel distance of features: unbiased squared maximum mean discrepancy with a cubic kernel."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganflow_metrics.compared import Compared
from ganflow_metrics.extractors import Extractor

if TYPE_CHECKING:
    from ganflow import Data


def cubic_kernel(x: Tensor, y: Tensor) -> Tensor:
    """k(x, y) = (x·y / d + 1)³ of the rows of x (n, d) and y (m, d): (n, m)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def kernel_distance(x: Tensor, y: Tensor) -> float:
    """MMD² = E k(x, x′) + E k(y, y′) − 2 E k(x, y) over different rows x, x′ of x (n, d), and y, y′ of y (m, d)
    (Gretton et al. 2012, Lemma 6): without bias, so that it may be below 0."""
    within = [k.fill_diagonal_(0).sum() / (len(k) * (len(k) - 1)) for k in (cubic_kernel(x, x), cubic_kernel(y, y))]
    return float(within[0] + within[1] - 2 * cubic_kernel(x, y).mean())


class KernelMetric(Compared):
    """Score `kernel_distance_<features>_<n>`: n generated samples against all held-out ones, or the mean over random parts of
    either."""

    metric, called = "kernel_distance", ("kernel_distance",)

    def __init__(
        self, data: Data, extractor: Extractor, samples: int, seed: int, repeats: int, subset: int, subsets: int
    ) -> None:
        self._subset, self._subsets = subset, subsets
        super().__init__(data, extractor, samples, seed, repeats, subset=subset, subsets=subsets)

    def compare(self, features: Tensor) -> Sequence[float]:
        both = (features, self.real)
        if max(map(len, both)) <= self._subset:
            return [kernel_distance(*both)]
        rng, size = torch.Generator().manual_seed(0), min(self._subset, *map(len, both))
        parts = [[x[torch.randperm(len(x), generator=rng)[:size]] for x in both] for _ in range(self._subsets)]
        return [fmean(kernel_distance(*part) for part in parts)]
