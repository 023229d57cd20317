"""Conditional generators: the share of digits that show what was asked for, and the Fréchet distance within each class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from ganflow import Examples, GanflowError, Metric, TensorData
from ganflow_metrics.classifier import digits_classifier
from ganflow_metrics.extractors import Extractor, digest_of_state
from ganflow_metrics.frechet import Gaussian, Halves, check_covariance
from ganflow_metrics.pieces import Joined, Reading
from ganflow_metrics.repeats import Repeated, say_few

if TYPE_CHECKING:
    from ganflow import Data, Game

LABEL = "label"
FEWEST, SPLITS = 20, 16  # real examples of a class; halvings
EACH = 10  # samples of a class, of which a share is known to √(¼ / 10) = .16 at worst
MISFIT = "metric class_accuracy asks for digits by the field 'label', whose classes are called '0' to '9'"


class AskedLabel(Metric):
    """Scores `asked_label_<n>`, the share of n samples that the digits classifier reads as the digit that was asked, and
    `asked_label_<n>_<class>` for each class. All classes are asked for equally often, but for a remainder. The error is that of a
    share of n, √(p (1 − p) / n); the floor is the share of training digits that the classifier reads as their labels say. It was
    trained on all digits of scikit-learn, so that none are new to it.

    Raises:
        GanflowError: the data are no labelled digits, of one channel and in memory.
    """

    goal: ClassVar[Literal["min", "max"]] = "max"

    def __init__(self, data: Data, samples: int, seed: int) -> None:
        digits = digits_of(data)
        say_few("class_accuracy", samples, EACH * len(digits), f"which are {samples // len(digits)} of each class")
        self._classifier, self._seed = digits_classifier(), seed
        self._labels = torch.arange(samples) % len(digits)
        self._digits = torch.tensor(digits)
        assert isinstance(data, TensorData)
        self._known = self._right(data.train[next(iter(data.fields))][:], data.train[LABEL][:]).double().mean().item()
        if self._known < 0.5:
            raise GanflowError(f"{MISFIT}; of data {data.name} the classifier reads {self._known:.0%} as their labels say")
        name = f"asked_label_{samples}"
        self._known_error = math.sqrt(self._known * (1 - self._known) / len(data.train[LABEL]))
        beside = (f"{name}{ending}" for ending in ("_error", "_floor", "_floor_error"))
        self.names = (name, *beside, *(f"{name}_{digit}" for digit in digits))
        features = f"digits {digest_of_state(self._classifier.state_dict())}"
        self.protocol = {"samples": samples, "seed": seed, "features": features}

    def check(self, game: Game) -> None:
        check_condition(game, "class_accuracy")

    def evaluate(self, game: Game) -> dict[str, float]:
        fake = asked(game, self._labels, self._seed)
        if not fake.isfinite().all():
            return dict.fromkeys(self.names, math.nan)
        right = self._right(fake, self._labels).double()
        each = [right[self._labels == label].mean().item() for label in range(len(self._digits))]
        share = right.mean().item()
        error = math.sqrt(share * (1 - share) / len(right))
        return dict(zip(self.names, (share, error, self._known, self._known_error, *each), strict=True))

    def _right(self, images: Tensor, labels: Tensor) -> Tensor:
        """True for images (n, 1, height, width) that the classifier reads as their labels (n,) say: (n,) bool."""
        _, answers = self._classifier.judge(images)
        return answers.argmax(1) == self._digits[labels]


def check_condition(game: Game, metric: str) -> None:
    """Refuse a generator with other inputs than z and a label.

    Raises:
        GanflowError: it has others.
    """
    inputs = game.signatures[game.maker].inputs.values()
    if sorted(inputs) != sorted([LABEL, "z"]):
        raise GanflowError(f"metric {metric} asks for classes by the condition 'label', and the generator takes "
                           f"{', '.join(inputs)}: use condition: label")  # fmt: skip


def asked(game: Game, labels: Tensor, seed: int) -> Tensor:
    """Generated examples of the classes (n,), (n, *shape)."""
    sources: dict[str, Any] = {LABEL: labels, "z": game.latents(len(labels), seed)}
    inputs = game.signatures[game.maker].inputs
    return game.call(game.maker, **{argument: sources[source] for argument, source in inputs.items()})


def digits_of(data: Data) -> list[int]:
    """The digits that the labels 0, 1, … mean.

    Raises:
        GanflowError: the data are no labelled digits.
    """
    field = data.fields.get(LABEL)
    if field is None or field.kind != "class":
        raise GanflowError(f"{MISFIT}; data {data.name} has no such field: use data digits")
    if not (isinstance(data, TensorData) and data.main.is_image and data.shape[0] == 1):
        raise GanflowError(f"{MISFIT}; data {data.name} are no pictures of one channel in memory: use data digits")
    if strange := [name for name in field.classes if name not in list("0123456789")]:
        raise GanflowError(f"{MISFIT}; data {data.name} has a class '{strange[0]}': use data digits")
    return [int(name) for name in field.classes]


class ClassFrechetMetric(Repeated):
    """Scores `class_frechet_<features>_<n>`, the mean over the classes, and `class_frechet_<features>_<n>_<class>` for each: n
    generated samples, equally many of each class, against the real examples of the class, trained on or held out. These are
    halved at random; the floor is the distance between the halves, of as many examples as there are generated ones.

    Raises:
        GanflowError: the data have no labels or are not in memory, or a class has too few examples.
    """

    def __init__(self, data: Data, extractor: Extractor, samples: int, seed: int, repeats: int) -> None:
        field = data.fields.get(LABEL)
        if field is None or field.kind != "class" or not isinstance(data, TensorData):
            raise GanflowError(f"metric class_frechet compares within the classes of a field 'label', of data in memory; data "
                               f"{data.name} has none")  # fmt: skip
        self._extractor = extractor
        both: list[Mapping[str, Examples]] = [part for part in (data.train, data.held_out) if part]
        real = Joined([part[next(iter(data.fields))] for part in both])
        labels = torch.cat([part[LABEL][:] for part in both])
        counts = labels.bincount(minlength=len(field.classes))
        if counts.amin() < FEWEST:
            few = int(counts.argmin())
            raise GanflowError(f"metric class_frechet wants {FEWEST} real examples of each class, and data {data.name} has "
                               f"{int(counts[few])} of '{field.classes[few]}'")  # fmt: skip
        self._each = min(samples // len(field.classes), int(counts.amin()) // 2)
        if self._each < 2:
            raise GanflowError(f"metric class_frechet wants two samples of each class at least: samples={2 * len(field.classes)}")
        n = self._each * len(field.classes)
        name = f"class_frechet{extractor.label}_{n}"
        names = [name, *(f"{name}_{called}" for called in field.classes)]
        reading = Reading()
        features = reading.features("real", real, extractor.features_of_real)
        super().__init__(
            data, n, seed, repeats, names, names, SPLITS, features=extractor.about,
            reference=f"{len(real)} of training and held out, in halves of each class",
            reference_digest=reading.digest,
        )  # fmt: skip
        d, enough = features.shape[1], int(counts.amin()) // 2
        remedy = f"samples={(d + 1) * len(field.classes)}" if enough > d else f"the rarest class has two halves of {enough}"
        check_covariance("class_frechet", "samples of a class", self._each, d, remedy, floor=True)
        self._halves = [Halves(features[labels == label], self._each, SPLITS) for label in range(len(field.classes))]

    def check(self, game: Game) -> None:
        super().check(game)
        check_condition(game, "class_frechet")

    def draw(self, game: Game, seed: int) -> Tensor:
        return asked(game, torch.arange(len(self._halves)).repeat_interleave(self._each), seed)

    def score(self, x: Tensor, repeat: int) -> Sequence[float]:
        made = [Gaussian.fitted(part) for part in self._extractor.features(x).split(self._each)]
        each = [fmean(halves.distances([drawn])[0]) for halves, drawn in zip(self._halves, made, strict=True)]
        return [fmean(each), *each]

    def floor(self, pair: int) -> Sequence[float]:
        each = [halves.floors[pair] for halves in self._halves]
        return [fmean(each), *each]
