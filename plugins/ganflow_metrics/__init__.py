"""Metrics: what covers the modes of a mixture, distances from held-out examples, and whether digits are those asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganflow import hookimpl, key, settings
from ganflow_metrics.feature_metrics import (
    OFFERS,
    ClassAccuracy,
    ClassBalance,
    ClassFrechet,
    Diversity,
    Features,
    Frechet,
    InceptionScore,
    KernelDistance,
    NearestNeighbours,
    PrecisionRecall,
    ZDiversity,
)

if TYPE_CHECKING:
    from ganflow import Metric

__all__ = [
    "ClassAccuracy", "ClassBalance", "ClassFrechet", "Diversity", "Features", "Frechet", "InceptionScore", "KernelDistance",
    "Modes", "NearestNeighbours", "PrecisionRecall", "SlicedWasserstein", "ZDiversity",
]  # fmt: skip
GANFLOW_CONTRACT = 2

SEED = "of the prior's draws (and of the projections), the same at every evaluation"


@settings
class Modes:
    """For mixtures of Gaussians: how many modes are covered (higher is better), and the share of high-quality samples.

    The protocol of VEEGAN (Srivastava et al. 2017) and PacGAN (Lin et al. 2018): a sample is of high quality within 3
    standard deviations of the nearest mode; a mode is covered when it is the nearest of at least one such sample; 2,500
    samples. Samples of the true mixture in two dimensions are of high quality in 98.9 %.
    """

    samples: int = key(2500, "generated samples", ge=1)
    within: float = key(3.0, "standard deviations around a mode that count as it", gt=0)
    seed: int = key(0, SEED, ge=0)

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_metrics.modes import ModesMetric

        return ModesMetric(data, self.samples, self.within, self.seed)


@settings
class SlicedWasserstein:
    """Wasserstein-1 distance from held-out examples along a line, averaged over random lines (Rabin et al. 2011)."""

    samples: int = key(2048, "generated samples, and held-out ones at most", ge=1)
    projections: int = key(128, "random lines", ge=1)
    seed: int = key(0, SEED, ge=0)

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_metrics.distances import SlicedMetric

        return SlicedMetric(data, self.samples, self.projections, self.seed)


@hookimpl
def register(offer):
    offer("metric", "modes", Modes)
    offer("metric", "sliced_wasserstein", SlicedWasserstein)
    for name, metric in OFFERS:
        offer("metric", name, metric)
