"""Metrics on features of images: their keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

from ganflow import SettingsError, hookimpl, key, settings

if TYPE_CHECKING:
    from ganflow import Data, Metric
    from ganflow_metrics.extractors import Extractor

SAMPLES = "generated samples"
SEED = "of the first draw; the others have the seeds after it"
REPEATS = "draws of generated samples, whose mean is the score; their spread gives its error"


def make_extractor(
    data: Data, features: str, pixels: int = 16, weights: str | None = None, run: str | None = None, layer: str = ""
) -> Extractor:
    """The extractor of these keys of `Features`.

    Raises:
        GanflowError: it cannot be had, or is none for these data.
    """
    from ganflow_metrics import extractors, inception

    if features == "values":
        return extractors.Values(data, pixels)
    if features == "digits_classifier":
        return extractors.DigitsFeatures(data)
    if features == "inception":
        return inception.InceptionFeatures(data, weights)
    assert run is not None
    return extractors.features_of_run(data, features, run, layer)


READ_BY = {"pixels": ["values"], "weights": ["inception"], "run": ["critic", "encoder"], "layer": ["critic"]}
"""Keys of `Features` → the features that they are for."""


def check_unread(chosen: Any, choice: str, read_by: Mapping[str, list[str]]) -> None:
    """Refuse keys that are set and that the choice does not read.

    Args:
        choice: the key that says which keys are read.
        read_by: key → values of `choice`.

    Raises:
        SettingsError: there are some.
    """
    made, defaults = getattr(chosen, choice), {field.name: field.default for field in fields(chosen)}
    unread = [name for name, by in read_by.items() if made not in by and getattr(chosen, name) != defaults[name]]
    if unread:
        raise SettingsError([(name, f"{choice}: {made} does not read it; leave it out, or set {choice} to "
                                    f"{' or '.join(read_by[name])}") for name in unread])  # fmt: skip


@settings
class Features:
    """Features that metrics compare examples by. A plugin's: a subclass of any metric below with another `extractor`."""

    features: Literal["values", "digits_classifier", "inception", "critic", "encoder"] = key(
        "values",
        "what of the examples is compared: their values, what the digits classifier or the Inception network of the FID sees, or "
        "what the critic or encoder of a run does",
    )
    pixels: int = key(16, "values: images larger than this are averaged down to it", ge=1, le=64)
    weights: str | None = key(
        None, "inception: the file pt_inception-2015-12-05-6726825d.pth; by default looked for in the user's cache folder"
    )
    run: str | None = key(None, "critic, encoder: the run, by the path of its folder")
    layer: str = key("", "critic: the module whose output is compared; by default what the last layer with weights gets")

    def __post_init__(self) -> None:
        if self.features in ("critic", "encoder") and self.run is None:
            raise SettingsError([("run", f"features: {self.features} are those of a run: give the path of its folder")])
        if type(self).extractor is Features.extractor:
            check_unread(self, "features", READ_BY)

    def extractor(self, data: Data) -> Extractor:
        """The extractor that the keys choose."""
        return make_extractor(data, self.features, self.pixels, self.weights, self.run, self.layer)


@settings
class Frechet(Features):
    """Fréchet distance between Gaussians fitted to generated and to real examples (Dowson & Landau 1982).

    With `features: values` these are the values themselves: coordinates of points; pixels of images, averaged over blocks so that
    the larger side is at most `pixels`; compared with held-out examples. No network's opinion enters, but scores are no FIDs, and
    compare only with the same name and held-out set: few samples make the distance larger. The floor is the distance of as many
    training examples from the held-out ones. `features: inception` gives the FID.

    With `features: digits_classifier`, for data digits, they are what a small network sees, which is trained once in seconds and
    kept in the user's cache folder. The first score is the distance over its floor, the distance between two halves of the
    real digits, of as many each (898, at most `samples`): 1 is as good as real. `legible` is the share of generated digits
    of which the network is at least 90 % sure (real ones: 93 %). There are at least four draws.
    """

    samples: int = key(2048, SAMPLES, ge=2)
    seed: int = key(0, SEED, ge=0)
    repeats: int = key(3, REPEATS, ge=1, before={3: 1})

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_metrics.digits import DigitsMetric
        from ganflow_metrics.frechet import FrechetMetric

        if self.features == "digits_classifier":
            return DigitsMetric(data, self.samples, self.seed, self.repeats)
        return FrechetMetric(data, self.extractor(data), self.samples, self.seed, self.repeats)


@settings
class KernelDistance(Features):
    """Squared maximum mean discrepancy from held-out examples with the kernel (x·y / d + 1)³, without bias (Bińkowski et al.
    2018): with `features: inception`, the KID. Between two samples of one distribution it is 0 on average, however few they are,
    so that it may be below 0. It is averaged over `subsets` random parts of `subset` examples, where there are more.
    """

    samples: int = key(1000, SAMPLES, ge=2)
    subset: int = key(1000, "examples of a part, at most", ge=2)
    subsets: int = key(10, "random parts, where there are more examples than a part has", ge=1)
    seed: int = key(0, SEED, ge=0)
    repeats: int = key(3, REPEATS, ge=1)

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_metrics.kernel import KernelMetric

        parts = (self.subset, self.subsets)
        return KernelMetric(data, self.extractor(data), self.samples, self.seed, self.repeats, *parts)


@settings
class PrecisionRecall(Features):
    """Share of generated examples near real ones and of real ones near generated ones, higher is better: precision and recall by
    the third nearest neighbours (Kynkäänniemi et al. 2019), density and coverage by the fifth (Naeem et al. 2020). As many
    generated as held-out examples, at most `samples`.
    """

    samples: int = key(2048, "generated samples, and held-out examples, at most", ge=2)
    seed: int = key(0, SEED, ge=0)
    repeats: int = key(3, REPEATS, ge=1)

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_metrics.neighbours import PrecisionRecallMetric

        return PrecisionRecallMetric(data, self.extractor(data), self.samples, self.seed, self.repeats)


@settings
class Diversity(Features):
    """Mean distance between two generated examples over that between two held-out ones: 1 is as diverse, 0 is collapse."""

    samples: int = key(256, SAMPLES, ge=2)
    seed: int = key(0, SEED, ge=0)
    repeats: int = key(3, REPEATS, ge=1)

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_metrics.diversity import DiversityMetric

        return DiversityMetric(data, self.extractor(data), self.samples, self.seed, self.repeats)


@settings
class NearestNeighbours(Features):
    """Memorisation: the mean distance of generated examples from their nearest training examples over that of held-out ones from
    theirs. About 1 or more is what new examples have; clearly less is suspicious, 0 is a copy. `copies` is the share of
    generated examples nearer to a training example than a tenth of held-out ones' mean distance.
    """

    samples: int = key(1000, SAMPLES, ge=2)
    training: int = key(50_000, "training examples looked through, at most", ge=1)
    seed: int = key(0, SEED, ge=0)
    repeats: int = key(3, REPEATS, ge=1)

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_metrics.neighbours import NearestMetric

        return NearestMetric(data, self.extractor(data), self.samples, self.seed, self.repeats, self.training)


@settings
class Classifier:
    """Classifier of generated examples."""

    classifier: Literal["digits_classifier", "inception"] = key(
        "digits_classifier", "what reads the classes: the digits classifier, or the Inception network of the FID"
    )
    weights: str | None = key(
        None, "inception: the file pt_inception-2015-12-05-6726825d.pth; by default looked for in the user's cache folder"
    )

    def __post_init__(self) -> None:
        if type(self).extractor is Classifier.extractor:
            check_unread(self, "classifier", {"weights": ["inception"]})

    def extractor(self, data: Data) -> Extractor:
        """The classifier that the keys choose, with `probabilities`."""
        return make_extractor(data, self.classifier, weights=self.weights)


@settings
class InceptionScore(Classifier):
    """exp E KL(p(y|x) ‖ p(y)) of a classifier's probabilities (Salimans et al. 2016): between 1 and the number of classes, and
    higher where each example is of one class for sure and all classes are as frequent. The floor is what as many real
    examples score. It knows nothing of diversity within a class.
    """

    samples: int = key(1000, SAMPLES, ge=2)
    seed: int = key(0, SEED, ge=0)
    repeats: int = key(3, REPEATS, ge=1)

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_metrics.classes import InceptionScoreMetric

        return InceptionScoreMetric(data, self.extractor(data), self.samples, self.seed, self.repeats)


@settings
class ClassBalance(Classifier):
    """Classes of generated examples, as a classifier reads them, against those of training examples as it reads them: the total
    variation, in [0, 1], and KL(generated ‖ data) in nats. The floor is what as many draws from the data's classes score.
    """

    samples: int = key(1000, SAMPLES, ge=2)
    seed: int = key(0, SEED, ge=0)
    repeats: int = key(3, REPEATS, ge=1)

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_metrics.classes import ClassBalanceMetric

        return ClassBalanceMetric(data, self.extractor(data), self.samples, self.seed, self.repeats)


@settings
class StackedModes:
    """For pictures of three digits, one in each channel (data `stacked_digits`): how many of the 1,000 classes are made, of
    26,000 pictures as VEEGAN (Srivastava et al. 2017) and PacGAN (Lin et al. 2018) count them, higher is better; and
    KL(found ‖ uniform) of the classes in nats. The digits classifier reads each channel. The floors are those of as many held-out
    pictures: even draws of N pictures from K classes have a KL of about (K − 1) / 2N, which is .019. The classifier must choose a
    digit whatever it sees; `stacked_legible` is the share of pictures of which it is at least 90 % sure in each channel.
    """

    samples: int = key(26_000, SAMPLES, ge=1, le=1_000_000)
    seed: int = key(0, SEED, ge=0)
    repeats: int = key(3, REPEATS, ge=1)

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_metrics.stacked import StackedModesMetric

        return StackedModesMetric(data, self.samples, self.seed, self.repeats)


@settings
class ClassFrechet(Features):
    """Fréchet distance within each class, for generators with `condition: label`, and its mean over the classes: what is asked
    for against the real examples of that class, of which two halves give the floor.
    """

    features: Literal["values", "digits_classifier", "inception", "critic", "encoder"] = key(
        "digits_classifier", "what of the examples is compared: see frechet"
    )
    samples: int = key(2048, "generated samples, as many of each class; at most half as many as there are real ones", ge=2)
    seed: int = key(0, SEED, ge=0)
    repeats: int = key(3, REPEATS, ge=1)

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_metrics.asked import ClassFrechetMetric

        return ClassFrechetMetric(data, self.extractor(data), self.samples, self.seed, self.repeats)


@settings
class ClassAccuracy:
    """For generators of digits with `condition: label`: the share of generated digits that show what was asked for (higher is
    better), of all and of each class, as a small network reads them, which is trained once in seconds and kept in the user's
    cache folder. The floor is the share of training digits that it reads as their labels say, about 99 of 100. It was trained on
    these, and on those that are held out; of new ones it reads 97 of 100.
    """

    samples: int = key(1000, "generated digits, as many of each class", ge=10)
    seed: int = key(0, "of the prior's draws, the same at every evaluation", ge=0)

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_metrics.asked import AskedLabel

        return AskedLabel(data, self.samples, self.seed)


@settings
class ZDiversity:
    """Spread over z at a fixed condition over the data's at that condition, higher is better: 1 is as diverse as the data, 0 is a
    generator that ignores z. The spread is the square root of the variance over z, averaged over values and conditions. Where no
    condition is that of two real examples, the data's is their spread over all conditions, which is larger.
    """

    conditions: int = key(32, "conditions, as the data have them", ge=1)
    draws: int = key(16, "values of z for each", ge=2)
    seed: int = key(0, SEED, ge=0)
    repeats: int = key(3, REPEATS, ge=1)

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_metrics.diversity import ZDiversityMetric

        return ZDiversityMetric(data, self.conditions, self.draws, self.seed, self.repeats)


@settings
class Detail:
    """Detail of pictures. `patches_<side>`: the sliced Wasserstein distance between patches of 7 × 7 pixels of generated and of
    real pictures, at each level of their Laplacian pyramid, in units of the level's standard deviation (Karras et al. 2018,
    arXiv:1710.10196, section 5); lower is better. `sharpness`: their mean absolute Laplacian over the real ones': below 1 is
    blurred, above 1 noisy.
    """

    samples: int = key(200, "generated pictures, and held-out ones, at most", ge=10)
    seed: int = key(0, SEED, ge=0)
    repeats: int = key(3, REPEATS, ge=1)

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_metrics.detail import DetailMetric

        return DetailMetric(data, self.samples, self.seed, self.repeats)


OFFERS: list[tuple[str, type[Any]]] = [
    ("frechet", Frechet),
    ("kernel_distance", KernelDistance),
    ("precision_recall", PrecisionRecall),
    ("diversity", Diversity),
    ("nearest_neighbours", NearestNeighbours),
    ("inception_score", InceptionScore),
    ("class_balance", ClassBalance),
    ("stacked_modes", StackedModes),
    ("class_frechet", ClassFrechet),
    ("class_accuracy", ClassAccuracy),
    ("z_diversity", ZDiversity),
    ("detail", Detail),
]
