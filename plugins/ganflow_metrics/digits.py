"""Fréchet distance between digits in the features of a classifier, beside what real digits score among themselves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganflow import GanflowError, Metric, TensorData
from ganflow_metrics.classifier import digits_classifier
from ganflow_metrics.distances import Gaussian, between

if TYPE_CHECKING:
    from ganflow import Data, Game

FEWEST = 200  # real digits
SPLITS, DRAWS = 64, 4
SURE = 0.9
MISFIT = "metric frechet with features: digits_classifier scores pictures of digits, of one channel and in memory"


class DigitsMetric(Metric):
    """Scores `frechet_digits_ratio` (distance over floor: 1 is as good as real digits), `frechet_digits_<n>`,
    `frechet_digits_<n>_floor` and `legible`, the share of samples of which the classifier is 90 % sure.

    All real digits, trained on or held out, are halved at random, and n of either half are compared (all, unless `samples` is
    fewer): the floor is the distance between these, the score that of n generated digits from them. Both are means over SPLITS
    such splits, for which DRAWS times n digits are generated, and differ in the digits alone, not in counts. A single floor
    varies by a third, a single score by a seventh. Training examples are among the real ones: as with FID, a generator that
    repeats what it has seen is not found out.

    Raises:
        GanflowError: the data are no digits, or too few.
    """

    def __init__(self, data: Data, samples: int, seed: int) -> None:
        real = every_example(data)
        self._classifier, self._seed = digits_classifier(), seed
        features, answers = self._classifier.judge(real)
        known = sure(answers)
        if known < 0.5:
            raise GanflowError(f"{MISFIT}; of data {data.name} the classifier recognises {known:.0%}: use features: values")
        half = len(real) // 2
        self._n = n = min(samples, half)
        draws = torch.Generator().manual_seed(0)
        splits = [torch.randperm(len(real), generator=draws) for _ in range(SPLITS)]
        self._halves = [[Gaussian.fitted(features[split[start : start + n]]) for start in (0, half)] for split in splits]
        self._floor = sum(between(*halves) for halves in self._halves) / SPLITS
        self.names = ("frechet_digits_ratio", f"frechet_digits_{n}", f"frechet_digits_{n}_floor", "legible")

    def evaluate(self, game: Game) -> dict[str, float]:
        fake = game.samples(DRAWS * self._n, self._seed)
        if not fake.isfinite().all():
            return dict.fromkeys(self.names, math.nan)
        features, answers = self._classifier.judge(fake)
        drawn = [Gaussian.fitted(part) for part in features.split(self._n)]
        distances = [between(drawn[i % DRAWS], half) for i, halves in enumerate(self._halves) for half in halves]
        score = sum(distances) / len(distances)
        return dict(zip(self.names, (score / self._floor, score, self._floor, sure(answers)), strict=True))


def every_example(data: Data) -> Tensor:
    """All examples of the main field, trained on and held out, (n, 1, height, width).

    Raises:
        GanflowError: they are no such images, or too few.
    """
    if not (isinstance(data, TensorData) and data.main.is_image and data.shape[0] == 1):
        raise GanflowError(f"{MISFIT}; data {data.name} are none: use features: values")
    field = next(iter(data.fields))
    real = torch.cat([part[field] for part in (data.train, data.held_out) if field in part])
    if len(real) < FEWEST:
        raise GanflowError(f"metric frechet with features: digits_classifier needs {FEWEST} digits, and data {data.name} has "
                           f"{len(real)}: use features: values")  # fmt: skip
    return real


def sure(answers: Tensor) -> float:
    """The share of rows (n, classes) in which one class has a probability of SURE or more."""
    return float((answers.amax(1) >= SURE).double().mean())
