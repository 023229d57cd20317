"""Nearest neighbours of features: precision, recall, density, coverage; memorisation of training examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from ganflow import GanflowError
from ganflow_metrics.compared import Compared, held_out_examples, training_examples
from ganflow_metrics.extractors import Extractor
from ganflow_metrics.pieces import Reading
from ganflow_metrics.repeats import Repeated

if TYPE_CHECKING:
    from ganflow import Data

MANIFOLD, BALL = 3, 5  # neighbours: of Kynkäänniemi et al. 2019, of Naeem et al. 2020
COPY = 0.1
FEWEST = 10
ROWS = 4096


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances of the rows of x (n, d) and y (m, d), (n, m)."""
    centre = y.mean(0)  # what is far from zero loses digits
    return torch.cdist(x - centre, y - centre)


def radii(x: Tensor, k: int) -> Tensor:
    """The distance of each row of x (n, d) from its k-th nearest other row, (n,)."""
    return distances(x, x).fill_diagonal_(0).kthvalue(k + 1, dim=1).values


def precision_recall(made: Tensor, real: Tensor, k: int = MANIFOLD) -> tuple[float, float]:
    """Precision, the share of the rows of `made` (n, d) within the k-th neighbour's distance of a row of `real` (m, d), and
    recall, the same of real rows and made ones."""
    between = distances(made, real)
    precision = (between <= radii(real, k)[None]).any(1)
    recall = (between <= radii(made, k)[:, None]).any(0)
    return float(precision.double().mean()), float(recall.double().mean())


def density_coverage(made: Tensor, real: Tensor, k: int = BALL) -> tuple[float, float]:
    """Density, the mean number of balls of `real` (m, d), each as far as the k-th neighbour, that a row of `made` (n, d) is in,
    over k; and coverage, the share of the balls with a made row in them. For samples of one distribution of equal counts these
    are 1 and about 1 − 2⁻ᵏ on average."""
    inside = distances(made, real) <= radii(real, k)[None]
    return float(inside.double().sum(1).mean() / k), float(inside.any(0).double().mean())


class PrecisionRecallMetric(Compared):
    """Scores `precision_…`, `recall_…`, `density_…` and `coverage_<features>_<n>`."""

    metric, called, goal = "precision_recall", ("precision", "recall", "density", "coverage"), "max"
    fewest, equal = 30, True  # BALL neighbours are then a sixth of them at most

    def compare(self, features: Tensor) -> Sequence[float]:
        return [*precision_recall(features, self.real), *density_coverage(features, self.real)]


class NearestMetric(Repeated):
    """Scores `nearest_ratio_<features>_<n>` and `copies_<features>_<n>`."""

    goal: ClassVar[Literal["min", "max"]] = "max"

    def __init__(self, data: Data, extractor: Extractor, samples: int, seed: int, repeats: int, training: int) -> None:
        held_out, trained = held_out_examples(data, "nearest_neighbours", FEWEST), training_examples(data, training)
        if not len(trained):
            raise GanflowError(f"metric nearest_neighbours looks through training examples, and those of data {data.name} cannot "
                               "be chosen from: use data in memory or in a folder")  # fmt: skip
        if samples < FEWEST:
            raise GanflowError(f"metric nearest_neighbours wants {FEWEST} samples at least; raise samples")
        reading = Reading()
        known = reading.features("held_out", held_out, extractor.features_of_real)
        self._extractor, self._trained = extractor, reading.features("trained", trained, extractor.features_of_real)
        self._usual = float(nearest(known, self._trained).mean())
        if not self._usual:
            raise GanflowError(f"metric nearest_neighbours: all held-out examples of data {data.name} are training examples, too")
        super().__init__(
            data, samples, seed, repeats, [f"{score}{extractor.label}_{samples}" for score in ("nearest_ratio", "copies")],
            features=extractor.about, reference=f"{len(self._trained)} training examples, and {len(known)} held out",
            reference_digest=reading.digest,
        )  # fmt: skip

    def score(self, x: Tensor, repeat: int) -> Sequence[float]:
        found = nearest(self._extractor.features(x), self._trained)
        return [float(found.mean()) / self._usual, float((found < COPY * self._usual).double().mean())]


def nearest(x: Tensor, among: Tensor) -> Tensor:
    """The distance of each row of x (n, d) from the nearest row of `among` (m, d), (n,)."""
    return torch.stack([distances(x, part).amin(1) for part in among.split(ROWS)]).amin(0)
