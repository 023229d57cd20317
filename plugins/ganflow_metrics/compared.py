"""Base classes of metrics on features: real examples, repeated draws, floors and protocols."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from ganflow import GanflowError, Metric, StreamData, TensorData
from ganflow_metrics.extractors import Extractor, digest_of_state

if TYPE_CHECKING:
    from ganflow import Data, Game

Scores = dict[str, float]


def held_out_examples(data: Data, metric: str, at_least: int) -> Tensor:
    """The held-out examples of the main field, (n, *shape).

    Raises:
        GanflowError: there are too few.
    """
    examples = data.held_out.get(next(iter(data.fields)), torch.empty(0))
    if len(examples) < at_least:
        raise GanflowError(f"metric {metric} compares with held-out examples, and data {data.name} has {len(examples)}; "
                           f"raise data.held_out: it wants {at_least} at least")  # fmt: skip
    return examples


def training_examples(data: Data, most: int) -> Tensor:
    """Training examples of the main field, (n, *shape): all, or a fixed random choice of `most`; none of iterable data."""
    name, field = next(iter(data.fields.items()))
    if not isinstance(data, (TensorData, StreamData)):
        return torch.empty(0, *field.shape)
    if isinstance(data, TensorData):
        examples = data.train[name]  # where fields are not paired, they differ in length
        return examples if len(examples) <= most else examples[_chosen(len(examples), most)]
    with ThreadPoolExecutor() as pool:  # the generators are of crops and flips
        chosen = _chosen(data.size, most).tolist()
        loaded = list(pool.map(lambda index: data.load(index, torch.Generator().manual_seed(index)), chosen))
    return torch.stack([item[name] for item in loaded if item is not None])


def _chosen(size: int, most: int) -> Tensor:
    return torch.randperm(size, generator=torch.Generator().manual_seed(0))[:most]


def over_repeats(each: Sequence[Mapping[str, float]], floors: Mapping[str, float]) -> Scores:
    """The means of scores over repeated draws, each followed by its standard error, where there are several, and its floor."""
    found: Scores = {}
    for name in each[0]:
        values = [scores[name] for scores in each]
        found[name] = fmean(values)
        if len(values) > 1:
            found[f"{name}_error"] = stdev(values) / math.sqrt(len(values)) if all(map(math.isfinite, values)) else math.nan
        if name in floors:
            found[f"{name}_floor"] = floors[name]
    return found


class Drawn(Metric):
    """A metric of several draws of generated samples, the r-th of seed + r: a subclass scores one, by `score`, and calls `settle`
    when its names, its floors and its protocol are known.

    Args:
        samples, seed, repeats: of the draws.
    """

    def __init__(self, samples: int, seed: int, repeats: int) -> None:
        self.samples, self.seed, self.repeats = samples, seed, repeats
        self.floors: Mapping[str, float] = {}

    def settle(self, names: Sequence[str], floors: Mapping[str, float], **protocol: Any) -> None:
        """Set the names of the scores, the floors and the protocol."""
        self.floors, self._names = dict(floors), tuple(names)
        self.names = tuple(over_repeats([dict.fromkeys(names, 0.0)] * self.repeats, floors))
        self.protocol = {"samples": self.samples, "seed": self.seed, "repeats": self.repeats, **protocol}

    @abstractmethod
    def score(self, examples: Tensor) -> Scores:
        """The scores of generated examples (samples, *shape), all finite."""

    def evaluate(self, game: Game) -> Scores:
        each = []
        for repeat in range(self.repeats):
            examples = self.draw(game, self.seed + repeat)
            each.append(self.score(examples) if examples.isfinite().all() else dict.fromkeys(self._names, math.nan))
        return over_repeats(each, self.floors)

    def draw(self, game: Game, seed: int) -> Tensor:
        """Generated examples, (samples, *shape)."""
        return game.samples(self.samples, seed)


class Compared(Drawn):
    """A metric that compares features of generated examples with those of held-out ones. Its floors are the scores of as many
    training examples as samples, or of all, where there are fewer.

    Attributes:
        metric: the component's name, for messages.
        fewest: held-out examples at least.
        equal: as many held-out examples as samples.
    """

    metric: ClassVar[str]
    fewest: ClassVar[int] = 10
    equal: ClassVar[bool] = False

    def __init__(self, data: Data, extractor: Extractor, samples: int, seed: int, repeats: int) -> None:
        held_out = held_out_examples(data, self.metric, self.fewest)
        if self.equal:
            samples = min(samples, len(held_out))
            held_out = held_out[:samples]
        super().__init__(samples, seed, repeats)
        if samples < self.fewest:
            raise GanflowError(f"metric {self.metric} wants {self.fewest} samples at least; raise samples")
        self.extractor = extractor
        features = extractor.features_of_real(held_out)
        self.real = self.prepare(features)
        others = training_examples(data, samples)
        enough = len(others) >= self.fewest
        floors = self.compare(extractor.features_of_real(others)) if enough else {}
        self.check(data, len(features), features.shape[1])
        self.settle(
            tuple(self.compare(features)), floors,
            features=extractor.about, real=f"{len(held_out)} held out", real_digest=digest_of_state({'held_out': held_out}),
            floor=f"{len(others)} training examples" if enough else "none",
        )  # fmt: skip

    def score(self, examples: Tensor) -> Scores:
        return self.compare(self.extractor.features(examples))

    def prepare(self, features: Tensor) -> Any:
        """The held-out examples' features (n, d) as `compare` wants them; computed once."""
        return features

    @abstractmethod
    def compare(self, features: Tensor) -> Scores:
        """The scores of other examples' features (m, d) beside `self.real`."""

    def check(self, data: Data, count: int, dimensions: int) -> None:
        """Say what is doubtful with so many held-out examples, of so many dimensions."""

    def name(self, score: str) -> str:
        """A score's name, with what is compared and how many samples."""
        return f"{score}{self.extractor.label}_{self.samples}"
