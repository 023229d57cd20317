"""Base class of metrics that compare features with those of held-out examples, and the real examples themselves."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from ganflow import GanflowError, StreamData, TensorData
from ganflow_metrics.extractors import Extractor, digest_of_state
from ganflow_metrics.repeats import Repeated, warn_once

if TYPE_CHECKING:
    from ganflow import Data


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


def has_floor(data: Data, metric: str, there: int, samples: int) -> bool:
    """Tell whether there are as many real examples as samples, for a floor of the same counts; of fewer, say so once."""
    if 0 < there < samples:
        warn_once(f"metric {metric} has no floor: it draws {samples} samples, and data {data.name} has {there} training "
                  f"examples; with samples={there} it would have one")  # fmt: skip
    return there == samples


class Compared(Repeated):
    """A metric that compares features of generated examples with those of held-out ones. Its floors are the scores of as many
    training examples as samples; where there are fewer it has none, for the scores of fewer are others.

    Attributes:
        metric: the component's name, for messages.
        called: what its scores are called, before the features and the number of samples.
        fewest: held-out examples at least.
        equal: as many held-out examples as samples.
    """

    metric: ClassVar[str]
    called: ClassVar[Sequence[str]]
    fewest: ClassVar[int] = 10
    equal: ClassVar[bool] = False

    def __init__(self, data: Data, extractor: Extractor, samples: int, seed: int, repeats: int, **protocol: Any) -> None:
        held_out = held_out_examples(data, self.metric, self.fewest)
        if self.equal:
            samples = min(samples, len(held_out))
            held_out = held_out[:samples]
        if samples < self.fewest:
            raise GanflowError(f"metric {self.metric} wants {self.fewest} samples at least; raise samples")
        self.extractor, self._others = extractor, training_examples(data, samples)
        enough = has_floor(data, self.metric, len(self._others), samples)
        names = [f"{score}{extractor.label}_{samples}" for score in self.called]
        super().__init__(
            samples, seed, repeats, names, names if enough else (),
            features=extractor.about, reference=f"{len(held_out)} held-out examples",
            reference_digest=digest_of_state({"held_out": held_out}),
            floor=f"{len(self._others)} training examples" if enough else "none", **protocol,
        )  # fmt: skip
        features = extractor.features_of_real(held_out)
        self.real = self.prepare(features)
        self.check_counts(data, len(features), features.shape[1])

    def score(self, x: Tensor, repeat: int) -> Sequence[float]:
        return self.compare(self.extractor.features(x))

    def floor(self) -> Sequence[float]:
        return self.compare(self.extractor.features_of_real(self._others)) if self._floors else ()

    def prepare(self, features: Tensor) -> Any:
        """The held-out examples' features (n, d) as `compare` wants them; computed once."""
        return features

    @abstractmethod
    def compare(self, features: Tensor) -> Sequence[float]:
        """The scores of other examples' features (m, d) beside `self.real`."""

    def check_counts(self, data: Data, count: int, dimensions: int) -> None:
        """Say what is doubtful with so many held-out examples, of so many dimensions."""
