"""Coverage of a known mixture."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from ganflow import GanflowError, Metric

if TYPE_CHECKING:
    from ganflow import Data, Game


class ModesMetric(Metric):
    """Scores `modes_<n>` and `high_quality_<n>` (a share in [0, 1]) of n samples.

    Needs data with `centres` (m, d) and `std`; GanflowError where there are none.
    """

    goal: ClassVar[Literal["min", "max"]] = "max"

    def __init__(self, data: Data, samples: int, within: float, seed: int) -> None:
        if not (hasattr(data, "centres") and hasattr(data, "std")):
            raise GanflowError(f"metric modes needs data with known modes, such as gaussians; {data.name} has none")
        self._centres, self._radius = data.centres, within * data.std
        self._samples, self._seed = samples, seed
        self.names = (f"modes_{samples}", f"high_quality_{samples}")

    def evaluate(self, game: Game) -> dict[str, float]:
        covered, share = count_modes(game.samples(self._samples, self._seed), self._centres, self._radius)
        return dict(zip(self.names, (float(covered), share), strict=True))


def count_modes(points: Tensor, centres: Tensor, radius: float) -> tuple[int, float]:
    """The number of centres (m, d) that are the nearest of a point (n, d) within `radius`, and the share of such points."""
    distance, nearest = torch.cdist(points.double(), centres.double()).min(1)
    good = distance <= radius
    return len(nearest[good].unique()), float(good.double().mean())
