"""Metrics: what covers the modes of a mixture, distances from held-out examples, and whether digits are those asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganflow import hookimpl, key, settings
from ganflow_metrics.feature_metrics import (
    OFFERS,
    ClassAccuracy,
    ClassBalance,
    ClassFrechet,
    Detail,
    Diversity,
    Features,
    Frechet,
    InceptionScore,
    KernelDistance,
    NearestNeighbours,
    PrecisionRecall,
    StackedModes,
    ZDiversity,
)

if TYPE_CHECKING:
    from ganflow import Metric

__all__ = [
    "JSD", "KL", "MMD", "ClassAccuracy", "ClassBalance", "ClassFrechet", "Detail", "Diversity", "EarthMovers", "ExactJSD",
    "Features", "Frechet", "InceptionScore", "KernelDistance", "Modes", "NearestNeighbours", "PrecisionRecall",
    "SlicedWasserstein", "StackedModes", "ZDiversity",
]  # fmt: skip
GANFLOW_CONTRACT = 2

SEED = "of the prior's draws (and of the projections), the same at every evaluation"
REPEATS = "draws, of seeds seed, seed + 1, …: a score is their mean, beside its standard error; 1: without"
FLATTEN = "images: compare them pixel by pixel"
BINS = "cells to a side of the box around the real examples; beyond it the grid goes on"


@settings
class Modes:
    """For mixtures of Gaussians: how many modes are covered (higher is better), the share of high-quality samples, the spread
    inside the modes as a share of the true one, and the reverse KL divergence of the modes' shares.

    The protocol of VEEGAN (Srivastava et al. 2017) and PacGAN (Lin et al. 2018): a sample is of high quality within 3
    standard deviations of the nearest mode; a mode is covered when it is the nearest of at least one such sample; 2,500
    samples. Samples of the true mixture in two dimensions are of high quality in 98.9 %. Modes that are too narrow have high
    quality as well, and a `sigma_inside` below 1: the spread of high-quality samples around the mean of their mode, corrected
    for what lies beyond the 3 standard deviations. `reverse_kl` counts every sample for its nearest mode.
    """

    samples: int = key(2500, "generated samples", ge=1)
    within: float = key(3.0, "standard deviations around a mode that count as it", gt=0)
    seed: int = key(0, SEED, ge=0)
    repeats: int = key(3, REPEATS, ge=1, before={3: 1})

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_metrics.modes import ModesMetric

        return ModesMetric(data, self.samples, self.within, self.seed, self.repeats)


@settings
class SlicedWasserstein:
    """Wasserstein-1 distance from held-out examples along a line, averaged over random lines (Rabin et al. 2011)."""

    samples: int = key(2048, "generated samples, and held-out ones at most", ge=1)
    projections: int = key(128, "random lines", ge=1)
    seed: int = key(0, SEED, ge=0)
    repeats: int = key(3, REPEATS, ge=1, before={3: 1})

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_metrics.transport import SlicedMetric

        return SlicedMetric(data, self.samples, self.projections, self.seed, self.repeats)


@settings
class EarthMovers:
    """Exact earth mover's distance (Wasserstein-1, Euclidean) between generated and held-out examples, by POT."""

    samples: int = key(1000, "generated samples, and as many held-out ones", ge=1, le=5000)
    flatten: bool = key(False, FLATTEN)
    seed: int = key(0, SEED, ge=0)
    repeats: int = key(3, REPEATS, ge=1)

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_metrics.transport import EarthMovers as Built

        return Built(data, self.samples, self.flatten, self.seed, self.repeats)


@settings
class MMD:
    """Squared maximum mean discrepancy between generated and held-out examples, unbiased, with a Gaussian kernel
    (Gretton et al. 2012). Equal distributions score 0 on average, and so below 0 as often as above.
    """

    samples: int = key(1000, "generated samples, and as many held-out ones", ge=2, le=10_000)
    bandwidth: float | None = key(None, "σ of the kernel; default: the median distance between real examples", gt=0)
    flatten: bool = key(False, FLATTEN)
    seed: int = key(0, SEED, ge=0)
    repeats: int = key(3, REPEATS, ge=1)

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_metrics.mmd import MMD as Built

        return Built(data, self.samples, self.bandwidth, self.flatten, self.seed, self.repeats)


@settings
class JSD:
    """Jensen–Shannon divergence, in nats (at most log 2), between generated samples and the data's known density, of points of
    one or two numbers: shares of the samples in the cells of a grid against the density's integrals over them. The grid makes it
    smaller than between the densities themselves, few samples larger; the floor says by how much.
    """

    samples: int = key(10_000, "generated samples", ge=1)
    bins: int = key(64, BINS, ge=2, le=128)
    seed: int = key(0, SEED, ge=0)
    repeats: int = key(3, REPEATS, ge=1)

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_metrics.grid import GridDivergence

        return GridDivergence(data, "jsd", self.samples, self.bins, self.seed, self.repeats)


@settings
class KL:
    """Kullback–Leibler divergence KL(generated ‖ data), in nats, of generated samples from the data's known density, on the grid
    of metric `jsd`. Samples where the density is small count a lot, dropped modes little.
    """

    samples: int = key(10_000, "generated samples", ge=1)
    bins: int = key(64, BINS, ge=2, le=128)
    seed: int = key(0, SEED, ge=0)
    repeats: int = key(3, REPEATS, ge=1)

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_metrics.grid import GridDivergence

        return GridDivergence(data, "kl", self.samples, self.bins, self.seed, self.repeats)


@settings
class ExactJSD:
    """Exact divergences on a line, in nats, of the generator's density from the data's: the Jensen–Shannon divergence and
    KL(generated ‖ data), by quadrature. Both densities must be known: data gaussians_1d, and generator affine with a normal
    prior, or a plugin's with a method `log_density`. Where only the data's is, metrics `jsd` and `kl` count samples.
    """

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_metrics.exact import ExactDivergence

        return ExactDivergence(data)


@hookimpl
def register(offer):
    offer("metric", "modes", Modes)
    offer("metric", "sliced_wasserstein", SlicedWasserstein)
    offer("metric", "emd", EarthMovers)
    offer("metric", "mmd", MMD)
    offer("metric", "jsd", JSD)
    offer("metric", "kl", KL)
    offer("metric", "exact_jsd", ExactJSD)
    for name, metric in OFFERS:
        offer("metric", name, metric)
