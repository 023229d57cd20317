"""Distances between generated and held-out examples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ganflow import GanflowError, Metric

if TYPE_CHECKING:
    from ganflow import Data, Game


def held_out(data: Data, metric: str, at_least: int) -> Tensor:
    """The held-out examples of the main field, (n, *shape); GanflowError where there are too few."""
    examples = data.held_out.get(next(iter(data.fields)), torch.empty(0))
    if len(examples) < at_least:
        raise GanflowError(
            f"metric {metric} compares with held-out examples, and data {data.name} has {len(examples)}; raise data.held_out"
        )
    return examples


class FrechetMetric(Metric):
    """Score `frechet_<n>` for points, `frechet_pixels<side>_<n>` for images: n generated samples against all held-out ones."""

    def __init__(self, data: Data, samples: int, pixels: int, seed: int) -> None:
        self._samples, self._pixels, self._seed = samples, pixels, seed
        real = held_out(data, "frechet", at_least=2)
        self._reference = features(real, pixels)
        side = f"_pixels{min(pixels, max(real.shape[2:]))}" if real.dim() == 4 else ""
        self.names = (f"frechet{side}_{samples}",)

    def evaluate(self, game: Game) -> dict[str, float]:
        return {self.names[0]: frechet(features(game.samples(self._samples, self._seed), self._pixels), self._reference)}


def features(examples: Tensor, pixels: int) -> Tensor:
    """(n, *shape) to (n, d) in float64; images averaged down so that their larger side is at most `pixels`."""
    if examples.dim() == 4 and max(examples.shape[2:]) > pixels:
        height, width = examples.shape[2:]
        ratio = pixels / max(height, width)
        examples = adaptive_avg_pool2d(examples, (max(1, round(height * ratio)), max(1, round(width * ratio))))
    return examples.flatten(1).double()


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
