"""Fréchet distance between digits in the features of a classifier, beside what real digits score among themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganflow import Examples, GanflowError, Metric, TensorData
from ganflow_metrics.classifier import FEATURES, digits_classifier
from ganflow_metrics.extractors import digest_of_state
from ganflow_metrics.frechet import Gaussian, Halves, check_covariance
from ganflow_metrics.pieces import Joined, Reading
from ganflow_metrics.repeats import check_field, standard_error

if TYPE_CHECKING:
    from ganflow import Data, Game

FEWEST = 200  # real digits
SPLITS, DRAWS = 64, 4
SURE = 0.9
MISFIT = "metric frechet with features: digits_classifier scores pictures of digits, of one channel and in memory"


class DigitsMetric(Metric):
    """Scores `frechet_digits_ratio` (distance over floor: 1 is as good as real digits), `frechet_digits_<n>`,
    `frechet_digits_<n>_floor` with its error, and `legible`, the share of samples of which the classifier is 90 % sure.

    All real digits, trained on or held out, are halved at random, and n of either half are compared (all, unless `samples` is
    fewer): the floor is the distance between these, the score that of n generated digits from them. Both are means over SPLITS
    such splits, for which DRAWS times n digits are generated, and differ in the digits alone, not in counts. A single floor
    varies by a third, a single score by a seventh. Training examples are among the real ones: as with FID, a generator that
    repeats what it has seen is not found out.

    Args:
        repeats: draws of n digits, DRAWS at least. All come from one seed.

    Raises:
        GanflowError: the data are no digits, or too few.
    """

    def __init__(self, data: Data, samples: int, seed: int, repeats: int) -> None:
        real = every_example(data)
        self._classifier, self._seed, self._draws = digits_classifier(), seed, max(DRAWS, repeats)
        reading = Reading()
        judged = reading.features("real", real, lambda piece: torch.cat(self._classifier.judge(piece), 1))
        features, answers = judged[:, :FEATURES], judged[:, FEATURES:]
        known = sure(answers)
        if known < 0.5:
            raise GanflowError(f"{MISFIT}; of data {data.name} the classifier recognises {known:.0%}: use features: values")
        self._n = n = min(samples, len(real) // 2)
        check_covariance("frechet", "samples", n, FEATURES, "samples", floor=True)
        self._halves, self._legible = Halves(features, n, max(SPLITS, self._draws)), known
        self.names = tuple(self._scores(1.0, 0.0, 1.0, 0.0, 1.0))
        self.protocol = {
            "samples": n, "seed": seed, "repeats": self._draws,
            "features": f"digits {digest_of_state(self._classifier.state_dict())}",
            "reference": f"{len(real)} of training and held out, in halves", "reference_digest": reading.digest,
        }  # fmt: skip

    def check(self, game: Game) -> None:
        check_field(game)

    def evaluate(self, game: Game) -> dict[str, float]:
        fake = game.samples(self._draws * self._n, self._seed)
        if not fake.isfinite().all():
            return dict.fromkeys(self.names, math.nan)
        features, answers = self._classifier.judge(fake)
        each = self._halves.distances([Gaussian.fitted(part) for part in features.split(self._n)])
        means, count = [fmean(distances) for distances in each], sum(map(len, each))
        shares = [sure(part) for part in answers.split(self._n)]
        errors = [stdev(values) / math.sqrt(self._draws) for values in (means, shares)]
        return self._scores(sum(map(sum, each)) / count, errors[0], sure(answers), errors[1], self._legible)

    def _scores(self, distance: float, error: float, legible: float, legible_error: float, real: float) -> dict[str, float]:
        floor, name = fmean(self._halves.floors), f"frechet_digits_{self._n}"
        return {
            "frechet_digits_ratio": distance / floor, "frechet_digits_ratio_error": error / floor,
            name: distance, f"{name}_error": error, f"{name}_floor": floor,
            f"{name}_floor_error": standard_error(self._halves.floors),
            "legible": legible, "legible_error": legible_error, "legible_floor": real,
        }  # fmt: skip


def every_example(data: Data) -> Examples:
    """All examples of the main field, trained on and held out, (n, 1, height, width).

    Raises:
        GanflowError: they are no such images, or too few.
    """
    if not (isinstance(data, TensorData) and data.main.is_image and data.shape[0] == 1):
        raise GanflowError(f"{MISFIT}; data {data.name} are none: use features: values")
    field = next(iter(data.fields))
    parts: list[Mapping[str, Examples]] = [data.train, data.held_out]
    real = Joined([part[field] for part in parts if field in part])
    if len(real) < FEWEST:
        raise GanflowError(f"metric frechet with features: digits_classifier needs {FEWEST} digits, and data {data.name} has "
                           f"{len(real)}: use features: values")  # fmt: skip
    return real


def sure(answers: Tensor) -> float:
    """The share of rows (n, classes) in which one class has a probability of SURE or more."""
    return float((answers.amax(1) >= SURE).double().mean())
