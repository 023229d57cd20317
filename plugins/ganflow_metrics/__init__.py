"""Metrics: what covers the modes of a mixture, distances from held-out examples, and whether digits are those asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ganflow import hookimpl, key, settings

if TYPE_CHECKING:
    from ganflow import Metric

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
class Frechet:
    """Fréchet distance between Gaussians fitted to generated and to real examples (Dowson & Landau 1982).

    With `features: values` these are the values themselves: coordinates of points; pixels of images, averaged over blocks so that
    the larger side is at most `pixels`; compared with held-out examples. No network's opinion enters, but scores are no FIDs, and
    compare only with the same name and held-out set: few samples make the distance larger.

    With `features: digits_classifier`, for data digits, they are what a small network sees, which is trained once in seconds and
    kept in the user's cache folder. The first score is the distance over its floor, the distance between two halves of the
    real digits, of as many each (898, at most `samples`): 1 is as good as real. `legible` is the share of generated digits
    of which the network is at least 90 % sure (real ones: 93 %).
    """

    features: Literal["values", "digits_classifier"] = key("values", "what of the examples is compared")
    samples: int = key(2048, "generated samples", ge=2)
    pixels: int = key(16, "values: images larger than this are averaged down to it", ge=1, le=64)
    seed: int = key(0, SEED, ge=0)

    @hookimpl
    def metric(self, data) -> Metric:
        if self.features == "digits_classifier":
            from ganflow_metrics.digits import DigitsMetric

            return DigitsMetric(data, self.samples, self.seed)
        from ganflow_metrics.distances import FrechetMetric

        return FrechetMetric(data, self.samples, self.pixels, self.seed)


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


@settings
class ClassAccuracy:
    """For generators of digits with `condition: label`: the share of generated digits that show what was asked for (higher is
    better), of all and of each class, as a small network reads them, which is trained once in seconds and kept in the user's
    cache folder. It reads 98 of 100 real digits as their labels say.
    """

    samples: int = key(1000, "generated digits, as many of each class", ge=10)
    seed: int = key(0, SEED, ge=0)

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_metrics.asked import AskedLabel

        return AskedLabel(data, self.samples, self.seed)


@hookimpl
def register(offer):
    offer("metric", "modes", Modes)
    offer("metric", "frechet", Frechet)
    offer("metric", "sliced_wasserstein", SlicedWasserstein)
    offer("metric", "class_accuracy", ClassAccuracy)
