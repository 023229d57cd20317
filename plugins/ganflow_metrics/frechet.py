"""Fréchet distance between Gaussians fitted to features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ganflow_metrics.compared import Compared
from ganflow_metrics.repeats import warn_once

if TYPE_CHECKING:
    from ganflow import Data


class Gaussian(NamedTuple):
    """The Gaussian fitted to points of d dimensions: its mean (d,), and an upper triangular R (d, d) or smaller with Σ = RᵀR."""

    mean: Tensor
    root: Tensor

    @classmethod
    def fitted(cls, x: Tensor) -> Gaussian:
        """To the rows of x (n, d). The centred rows over √(n − 1) are such an R, and so is that of their QR factors."""
        return cls(x.mean(0), torch.linalg.qr((x - x.mean(0)) / math.sqrt(len(x) - 1), mode="r").R)


def frechet(a: Tensor, b: Tensor) -> float:
    """The distance between Gaussians fitted to rows of a (n, d) and b (m, d), in float64; NaN where an entry is not finite."""
    if not (a.isfinite().all() and b.isfinite().all()):
        return math.nan
    return between(Gaussian.fitted(a), Gaussian.fitted(b))


def between(a: Gaussian, b: Gaussian) -> float:
    """|μa − μb|² + tr(Σa + Σb − 2 (Σa Σb)^½).

    The eigenvalues of Σa Σb are the squared singular values of Ra Rbᵀ: no matrix root, and nothing to go wrong where Σ is
    singular.
    """
    cross = torch.linalg.svdvals(a.root @ b.root.T).sum()
    squared = (a.mean - b.mean).square().sum() + a.root.square().sum() + b.root.square().sum() - 2 * cross
    return max(0.0, float(squared))


class FrechetMetric(Compared):
    """Score `frechet_<n>` for points, `frechet_pixels<side>_<n>` or `frechet_inception_<n>` for images: n generated samples
    against all held-out ones."""

    metric, called = "frechet", ("frechet",)

    def prepare(self, features: Tensor) -> Gaussian:
        return Gaussian.fitted(features)

    def compare(self, features: Tensor) -> Sequence[float]:
        return [between(Gaussian.fitted(features), self.real) if features.isfinite().all() else math.nan]

    def check_counts(self, data: Data, count: int, dimensions: int) -> None:
        few = {"held-out examples": (count, "data.held_out of a new run"), "samples": (self._samples, "samples")}
        for what, (number, remedy) in few.items():
            check_covariance("frechet", what, number, dimensions, remedy, bool(self._floors))


def check_covariance(metric: str, what: str, number: int, dimensions: int, remedy: str, floor: bool) -> None:
    """Warn once of a covariance of so few examples that it is singular."""
    if number <= dimensions:
        beside = ": compare it with its floor alone" if floor else ", with no floor to compare it with"
        warn_once(f"metric {metric}: the covariance of {number} {what} in {dimensions} dimensions is singular, and the distance "
                  f"too large{beside}; {dimensions + 1} are wanted ({remedy}), or kernel_distance, which is right on average "
                  "for few, too")  # fmt: skip


class Halves:
    """Random halves of real examples' features (m, d), of which n examples each are compared: with each other, which gives the
    floor, and with generated ones. Both are means over `splits` such splits, and so differ in the examples alone, not in counts.

    Attributes:
        floors: the distance between the two halves, of each split.
    """

    def __init__(self, features: Tensor, n: int, splits: int) -> None:
        half = len(features) // 2
        draws = torch.Generator().manual_seed(0)
        rows = [torch.randperm(len(features), generator=draws) for _ in range(splits)]
        self._halves = [[Gaussian.fitted(features[split[start : start + n]]) for start in (0, half)] for split in rows]
        self.floors = [between(*halves) for halves in self._halves]

    def distances(self, drawn: Sequence[Gaussian]) -> list[list[float]]:
        """For each of several draws of n generated examples, the distances from the halves of its share of the splits."""
        found: list[list[float]] = [[] for _ in drawn]
        for i, halves in enumerate(self._halves):
            found[i % len(drawn)] += [between(drawn[i % len(drawn)], half) for half in halves]
        return found
