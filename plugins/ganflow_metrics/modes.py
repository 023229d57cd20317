"""Coverage of a known mixture, and the spread inside its modes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from ganflow import GanflowError
from ganflow_metrics.repeats import Repeated, say_few, turn_of

if TYPE_CHECKING:
    from ganflow import Data

WIDEST = 10.0  # share of the true standard deviation: samples that fill a ball evenly, and more, have no other
DRAWS = 64
MISSES = 0.01  # modes without a sample, on average, of the true mixture


class ModesMetric(Repeated):
    """Scores `modes_<n>`, `high_quality_<n>` (a share in [0, 1]), `sigma_inside_<n>` (1 is right) and `reverse_kl_<n>` of n
    samples.

    Needs data with `centres` (m, d) and `std`, and `weights` (m,) where they differ; GanflowError where there are none.
    """

    goal: ClassVar[Literal["min", "max"]] = "max"

    def __init__(self, data: Data, samples: int, within: float, seed: int, repeats: int) -> None:
        if not (hasattr(data, "centres") and hasattr(data, "std")):
            raise GanflowError(f"metric modes needs data with known modes, such as gaussians; {data.name} has none")
        self._centres, self._std, self._within = data.centres, float(data.std), within
        self._weights = getattr(data, "weights", torch.ones(len(data.centres)) / len(data.centres))
        wanted = samples_of(self._weights)
        say_few("modes", samples, wanted, f"for {missed(self._weights, samples):.2g} modes have none of them on average")
        scores = [f"{name}_{samples}" for name in ("modes", "high_quality", "sigma_inside", "reverse_kl")]
        floor = f"{DRAWS} × {samples} draws of the weights"
        protocol = {"within": within, "modes": len(data.centres), "floor": floor}
        super().__init__(data, samples, seed, repeats, scores, scores[3:], DRAWS, **protocol)

    def score(self, x: Tensor, repeat: int) -> Sequence[float]:
        covered, share = count_modes(x, self._centres, self._within * self._std)
        spread = spread_inside(x, self._centres, self._std, self._within)
        _, nearest = nearest_modes(x, self._centres)
        return [float(covered), share, spread, reverse_kl(nearest, self._weights)]

    def floor(self, pair: int) -> Sequence[float]:
        draws = torch.Generator().manual_seed(turn_of(self._seed, self._repeats) * DRAWS + pair)
        return [reverse_kl(torch.multinomial(self._weights, self._samples, True, generator=draws), self._weights)]


def missed(weights: Tensor, n: int) -> float:
    """Σ (1 − w)^n: modes without one of n samples of the mixture, on average. Modes without weight do not count."""
    return float((1 - weights[weights > 0].double()).pow(n).sum())


def samples_of(weights: Tensor) -> int:
    """The fewest samples of which MISSES modes have none, on average."""
    n = 1
    while missed(weights, n) > MISSES:
        n *= 2
    low = n // 2
    while n - low > 1:
        middle = (low + n) // 2
        low, n = (middle, n) if missed(weights, middle) > MISSES else (low, middle)
    return n


def nearest_modes(points: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Distance from and index of the nearest of the centres (m, d), of each of the points (n, d): (n,) both."""
    return torch.cdist(points.double(), centres.double()).min(1)


def count_modes(points: Tensor, centres: Tensor, radius: float) -> tuple[int, float]:
    """The number of centres (m, d) that are the nearest of a point (n, d) within `radius`, and the share of such points."""
    distance, nearest = nearest_modes(points, centres)
    good = distance <= radius
    return len(nearest[good].unique()), float(good.double().mean())


def spread_inside(points: Tensor, centres: Tensor, std: float, within: float) -> float:
    """Standard deviation inside the modes as a share of the true one, of the points (n, d) within `within` · std of a centre.

    Σ |x − x̄|² / (n − k), with x̄ the mean of the points of the same of k modes, is what a Gaussian leaves within that bound: of
    what standard deviation, `untruncated` tells. So a mode that is narrow but beside its centre is found narrow. 0 where no mode
    has two such points.
    """
    distance, nearest = nearest_modes(points, centres)
    good = distance <= within * std
    x, modes = points[good].double(), nearest[good].unique(return_inverse=True)[1]
    n, k = len(x), int(modes.max()) + 1 if len(modes) else 0
    if n == k:
        return 0.0
    sums = torch.zeros(k, x.shape[1], dtype=torch.float64).index_add(0, modes, x)
    deviations = x - (sums / modes.bincount()[:, None])[modes]
    return untruncated(float(deviations.square().sum()) / (n - k) / std**2, x.shape[1], within)


def untruncated(square: float, d: int, bound: float) -> float:
    """The standard deviation s of a round Gaussian in d dimensions with E[r² | r ≤ bound] = `square`.

    r² / s² has the χ² distribution of d degrees of freedom, whose mean below c is d F_{d+2}(c) / F_d(c). In two dimensions with
    s = 1 and bound 3: 2 (1 − 5.5 e^−4.5) / (1 − e^−4.5) = 1.899. As the maximum likelihood of the truncated Gaussian has it.
    """
    from scipy.optimize import brentq
    from scipy.special import chdtr

    def excess(s: float) -> float:
        c = (bound / s) ** 2
        return float(s**2 * d * chdtr(d + 2, c) / chdtr(d, c)) - square

    narrowest = 0.99 * math.sqrt(square / d)  # less than what it were if nothing was cut off
    return 0.0 if square == 0 else WIDEST if excess(WIDEST) <= 0 else float(brentq(excess, narrowest, WIDEST))


def reverse_kl(modes: Tensor, weights: Tensor) -> float:
    """KL(q ‖ w) = Σ q log(q / w) in nats, of the shares q of samples whose nearest modes are these, (n,), and the true weights
    (m,); 0 log 0 is 0. Infinite where a mode without weight has samples."""
    shares, true = modes.bincount(minlength=len(weights)).double() / len(modes), weights.double()
    return max(0.0, float(torch.special.xlogy(shares, shares / true).nan_to_num(nan=0.0, posinf=math.inf).sum()))
