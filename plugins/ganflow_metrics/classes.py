"""Scores of what a classifier reads: Inception score, and the balance of classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganflow import GanflowError
from ganflow_metrics.compared import RealParts, held_out_examples, training_examples
from ganflow_metrics.extractors import Extractor
from ganflow_metrics.pieces import Reading
from ganflow_metrics.repeats import Repeated, turn_of

if TYPE_CHECKING:
    from ganflow import Data

EACH = 10  # examples for each class: the bias of the entropy of classes, (K − 1) / 2n nats (Miller 1955), is then 0.05 at most
MOST = 10_000  # real examples read
FLOORS = 100


def inception_score(probabilities: Tensor) -> float:
    """exp E KL(p(y|x) ‖ p(y)) of the rows p(y|x) of (n, K), p(y) being their mean."""
    marginal = probabilities.mean(0)
    divergences = (torch.xlogy(probabilities, probabilities) - torch.xlogy(probabilities, marginal)).sum(1)
    return math.exp(divergences.mean())


def total_variation(p: Tensor, q: Tensor) -> float:
    """½ Σ |p − q| of shares of classes (K,)."""
    return float((p - q).abs().sum() / 2)


def kl(p: Tensor, q: Tensor) -> float:
    """Σ p log(p / q) of shares of classes (K,), in nats; infinite where q is zero and p is not."""
    return max(0.0, float(torch.where(p > 0, p * (p / q).log(), 0.0).sum()))


def shares(probabilities: Tensor) -> Tensor:
    """The share of each class among the likeliest ones of the rows of (n, K), (K,)."""
    return probabilities.argmax(1).bincount(minlength=probabilities.shape[1]).double() / len(probabilities)


class InceptionScoreMetric(Repeated):
    """Score `inception_score_<classifier>_<n>`; its floor is that of as many real examples, where there are so many."""

    goal = "max"

    def __init__(self, data: Data, extractor: Extractor, samples: int, seed: int, repeats: int) -> None:
        check_samples("inception_score", extractor, samples)
        self._extractor, name = extractor, f"inception_score{extractor.label}_{samples}"
        fewest = EACH * extractor.classes
        self._real_parts = real = RealParts(data, "inception_score", samples, seed, repeats, extractor.cheap, True, fewest)
        super().__init__(
            data, samples, seed, repeats, [name], [name] if real else (), len(real), features=extractor.about, floor=real.about
        )

    def score(self, x: Tensor, repeat: int) -> Sequence[float]:
        return [inception_score(self._extractor.probabilities(x))]

    def floor(self, pair: int) -> Sequence[float]:
        return [inception_score(Reading().features("real", self._real_parts[pair], self._extractor.probabilities))]


class ClassBalanceMetric(Repeated):
    """Scores `class_variation_<classifier>_<n>` and `class_kl_<classifier>_<n>`, of the classes of n samples against those of
    training examples, at most MOST. The floors are means over FLOORS draws of n classes from the latter."""

    def __init__(self, data: Data, extractor: Extractor, samples: int, seed: int, repeats: int) -> None:
        check_samples("class_balance", extractor, samples)
        real, whose = training_examples(data, MOST), "training"
        if not len(real):
            whose = "held-out"
            real = held_out_examples(data, "class_balance", EACH * extractor.classes)
        reading = Reading()
        self._extractor, self._shares = extractor, shares(reading.features("real", real, extractor.probabilities))
        names = [f"{score}{extractor.label}_{samples}" for score in ("class_variation", "class_kl")]
        super().__init__(
            data, samples, seed, repeats, names, names, FLOORS, features=extractor.about,
            reference=f"{len(real)} {whose} examples",
            reference_digest=reading.digest, floor=f"{FLOORS} × {samples} draws of the classes",
        )  # fmt: skip

    def score(self, x: Tensor, repeat: int) -> Sequence[float]:
        return self._of(shares(self._extractor.probabilities(x)))

    def floor(self, pair: int) -> Sequence[float]:
        draws = torch.Generator().manual_seed(turn_of(self._seed, self._repeats) * FLOORS + pair)
        drawn = torch.multinomial(self._shares, self._samples, replacement=True, generator=draws)
        return self._of(drawn.bincount(minlength=len(self._shares)).double() / self._samples)

    def _of(self, found: Tensor) -> tuple[float, float]:
        return total_variation(found, self._shares), kl(found, self._shares)


def check_samples(metric: str, extractor: Extractor, samples: int) -> None:
    """Refuse fewer than EACH samples for each of the extractor's classes."""
    wanted = EACH * extractor.classes
    if samples < wanted:
        raise GanflowError(f"metric {metric}: {samples} samples are too few for {extractor.classes} classes; "
                           f"it wants {EACH} of each: samples={wanted}")  # fmt: skip
