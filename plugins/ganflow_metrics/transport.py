"""Wasserstein distances between generated and held-out examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ganflow_metrics.repeats import RealSamples, Repeated, check_points, pairs_of, points

if TYPE_CHECKING:
    from ganflow import Data

PIVOTS = 10**8  # of the network simplex: more than any n here takes


class EarthMovers(Repeated):
    """Score `emd_<n>`: n generated samples against n held-out examples.

    Raises:
        GanflowError: the data are images, or there are fewer examples.
    """

    def __init__(self, data: Data, samples: int, flatten: bool, seed: int, repeats: int) -> None:
        check_points(data, "emd", samples, flatten)
        self._real_samples = real = RealSamples(data, "emd", samples, seed, repeats, most=pairs_of(samples))
        name = f"emd_{samples}"
        super().__init__(data, samples, seed, repeats, [name], [name], real.pairs, cost="Euclidean", **real.protocol)

    def score(self, x: Tensor, repeat: int) -> Sequence[float]:
        return [earth_movers(points(x), self._real_samples.reference(repeat))]

    def floor(self, pair: int) -> Sequence[float]:
        return [earth_movers(*self._real_samples.pair(pair))]


class SlicedMetric(Repeated):
    """Score `sliced_w1_<n>`: n generated samples against as many held-out ones, along other lines in each repeat.

    Raises:
        GanflowError: there are no held-out examples.
    """

    def __init__(self, data: Data, samples: int, projections: int, seed: int, repeats: int) -> None:
        self._projections = projections
        self._real_samples = real = RealSamples(data, "sliced_wasserstein", samples, seed, repeats, strict=False)
        name = f"sliced_w1_{real.n}"
        floors = [name] if real.pairs else []
        super().__init__(data, real.n, seed, repeats, [name], floors, real.pairs, projections=projections, **real.protocol)

    def score(self, x: Tensor, repeat: int) -> Sequence[float]:
        reference = self._real_samples.reference(repeat)
        return [sliced_wasserstein(points(x), reference, self._projections, self._seed + repeat)]

    def floor(self, pair: int) -> Sequence[float]:
        return [sliced_wasserstein(*self._real_samples.pair(pair), self._projections, pair)]


def earth_movers(a: Tensor, b: Tensor) -> float:
    """W1(a, b) = min over couplings of E |x − y|, exactly, of points a (n, d) and b (m, d) of equal weights each (POT's network
    simplex, Bonneel et al. 2011)."""
    import ot
    from scipy.spatial.distance import cdist

    return float(ot.emd2([], [], cdist(a.numpy(), b.numpy()), numItermax=PIVOTS))


def sliced_wasserstein(a: Tensor, b: Tensor, projections: int, seed: int) -> float:
    """The mean of W1 over `projections` random directions; a and b are (n, d), of equal n."""
    directions = torch.randn(projections, a.shape[1], generator=torch.Generator().manual_seed(seed), dtype=a.dtype)
    directions /= directions.norm(dim=1, keepdim=True)
    lines = [np.sort((directions @ x.T).numpy()) for x in (a, b)]  # many times faster than torch's sort, on a CPU
    return float(np.abs(lines[0] - lines[1]).mean())
