"""Distances between generated and held-out examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

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


class SlicedMetric(Metric):
    """Score `sliced_w1_<n>`: n generated samples against as many held-out ones."""

    def __init__(self, data: Data, samples: int, projections: int, seed: int) -> None:
        real = held_out(data, "sliced_wasserstein", at_least=1)[:samples]
        self._reference = real.flatten(1).double()
        self._projections, self._seed = projections, seed
        self.names = (f"sliced_w1_{len(real)}",)

    def evaluate(self, game: Game) -> dict[str, float]:
        n = len(self._reference)
        fake = game.samples(n, self._seed).flatten(1).double()
        return {self.names[0]: sliced_wasserstein(fake, self._reference, self._projections, self._seed)}


def sliced_wasserstein(a: Tensor, b: Tensor, projections: int, seed: int) -> float:
    """The mean of W1 over `projections` random directions; a and b are (n, d), of equal n."""
    directions = torch.randn(projections, a.shape[1], generator=torch.Generator().manual_seed(seed), dtype=a.dtype)
    directions /= directions.norm(dim=1, keepdim=True)
    lines = [np.sort((directions @ x.T).numpy()) for x in (a, b)]  # many times faster than torch's sort, on a CPU
    return float(np.abs(lines[0] - lines[1]).mean())
