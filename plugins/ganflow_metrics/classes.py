"""Scores of what a classifier reads: Inception score, and the balance of classes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganflow import GanflowError
from ganflow_metrics.compared import Drawn, Scores, held_out_examples, training_examples
from ganflow_metrics.extractors import Extractor, digest_of_state

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


class _OfClasses(Drawn):
    """A metric of a classifier's answers."""

    metric: str

    def __init__(self, data: Data, extractor: Extractor, samples: int, seed: int, repeats: int) -> None:
        super().__init__(samples, seed, repeats)
        self._extractor, wanted = extractor, EACH * extractor.classes
        if samples < wanted:
            raise GanflowError(f"metric {self.metric}: {samples} samples are too few for {extractor.classes} classes; "
                               f"it wants {EACH} of each: samples={wanted}")  # fmt: skip

    def name(self, score: str) -> str:
        return f"{score}{self._extractor.label}_{self.samples}"


class InceptionScoreMetric(_OfClasses):
    """Score `inception_score_<classifier>_<n>`; its floor is that of as many real examples, or of all."""

    metric, goal = "inception_score", "max"

    def __init__(self, data: Data, extractor: Extractor, samples: int, seed: int, repeats: int) -> None:
        super().__init__(data, extractor, samples, seed, repeats)
        real = training_examples(data, samples)
        if not len(real):
            real = held_out_examples(data, self.metric, 1)[:samples]
        floors = self.score(real)
        about = {"floor": f"{len(real)} training examples", "real_digest": digest_of_state({"real": real})}
        self.settle(tuple(floors), floors, features=extractor.about, **about)

    def score(self, examples: Tensor) -> Scores:
        return {self.name("inception_score"): inception_score(self._extractor.probabilities(examples))}


class ClassBalanceMetric(_OfClasses):
    """Scores `class_variation_<classifier>_<n>` and `class_kl_<classifier>_<n>`, of the classes of n samples against those of
    training examples, at most MOST. The floors are means over FLOORS draws of n classes from the latter."""

    metric = "class_balance"

    def __init__(self, data: Data, extractor: Extractor, samples: int, seed: int, repeats: int) -> None:
        super().__init__(data, extractor, samples, seed, repeats)
        real = training_examples(data, MOST)
        if not len(real):
            real = held_out_examples(data, self.metric, EACH * extractor.classes)
        self._shares = shares(extractor.probabilities(real))
        draws = torch.Generator().manual_seed(0)
        drawn = torch.multinomial(self._shares, FLOORS * samples, replacement=True, generator=draws).view(FLOORS, samples)
        each = [self._of(row.bincount(minlength=extractor.classes).double() / samples) for row in drawn]
        floors = {name: sum(scores[name] for scores in each) / FLOORS for name in each[0]}
        about = {"real": f"{len(real)} training examples", "real_digest": digest_of_state({"real": real})}
        self.settle(tuple(floors), floors, features=extractor.about, **about)

    def score(self, examples: Tensor) -> Scores:
        return self._of(shares(self._extractor.probabilities(examples)))

    def _of(self, found: Tensor) -> Scores:
        usual = self._shares
        return {self.name("class_variation"): total_variation(found, usual), self.name("class_kl"): kl(found, usual)}
