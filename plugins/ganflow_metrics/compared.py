"""Base class of metrics that compare features with those of held-out examples, and the real examples themselves."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from ganflow_layers.reading import HeldOut
from torch import Tensor

from ganflow import Examples, GanflowError, StreamData, TensorData, shuffled
from ganflow_metrics.extractors import Extractor
from ganflow_metrics.pieces import Chosen, Reading, at_hand, in_pieces
from ganflow_metrics.repeats import PAIRS, Repeated, chosen_of, disjoint, turn_of, warn_once

if TYPE_CHECKING:
    from ganflow import Data


def held_out_examples(data: Data, metric: str, at_least: int) -> Examples:
    """The held-out examples of the main field, (n, *shape), which are read in pieces.

    Raises:
        GanflowError: there are too few.
    """
    examples: Examples = data.held_out.get(next(iter(data.fields)), torch.empty(0))
    if len(examples) < at_least:
        raise GanflowError(f"metric {metric} compares with held-out examples, and data {data.name} has {len(examples)}; "
                           f"raise data.held_out of a new run: it wants {at_least} at least")  # fmt: skip
    return examples


def training_examples(data: Data, most: int) -> Examples:
    """Training examples of the main field, (n, *shape): all, or a fixed random choice of `most`; none of iterable data."""
    name, field = next(iter(data.fields.items()))
    if not isinstance(data, (TensorData, StreamData)):
        return torch.empty(0, *field.shape)
    if isinstance(data, TensorData):
        examples = data.train[name]  # where fields are not paired, they differ in length
        return at_hand(examples if len(examples) <= most else Chosen(examples, shuffled(len(examples), most)))
    return _loaded(data, name, shuffled(data.size, most))


def _loaded(data: StreamData, name: str, rows: Tensor) -> Examples:
    """The field `name` of those of the training examples that can be read, (n, *shape); in memory where they are few."""
    load = lambda index: data.load(index, torch.Generator().manual_seed(index))  # noqa: E731  (of crops and flips)
    return at_hand(HeldOut(load, rows.tolist(), {name: data.fields[name]}).examples()[name])


class RealParts:
    """Disjoint samples of n training examples of the main field, (n, *shape) each, for the floor of a metric. Other seeds have
    others, as far as there are enough.

    Where there are fewer than n there are none, for scores of fewer are others; that is said, once.

    Args:
        seed, repeats: of the metric: the seed of the first draw, and the number of draws.
        cheap: there are as many as PAIRS. Otherwise, and where examples must be read from files, as many as draws of the
            generator, so that the floor takes as long as the score.
        held_out: take held-out examples where training ones cannot be chosen.
        fewest: samples that the metric takes.
    """

    def __init__(
        self, data: Data, metric: str, n: int, seed: int, repeats: int, cheap: bool = True, held_out: bool = False,
        fewest: int = 10,
    ) -> None:  # fmt: skip
        name = next(iter(data.fields))
        self.whose = "training" if isinstance(data, (TensorData, StreamData)) else "held-out"
        if isinstance(data, StreamData):
            there, most = data.size, repeats
        else:
            found: Examples = (
                data.train[name] if isinstance(data, TensorData) else data.held_out[name] if held_out else torch.empty(0)
            )
            there, most = len(found), PAIRS if cheap else repeats
        rows = disjoint(there, n)
        self._rows = [rows[i] for i in chosen_of(turn_of(seed, repeats), len(rows), most)]
        if not isinstance(data, StreamData):
            self._examples = found
        elif self._rows:
            self._examples = _loaded(data, name, torch.cat(self._rows))
            if not isinstance(self._examples, Tensor):
                for _ in in_pieces(self._examples):  # leaves out what cannot be read
                    pass
            there = len(self._examples)  # what can be read
            self._rows = list(torch.arange(there).split(n))[: there // n]
        if 0 < there < n:
            would = f"with samples={there} it would have one" if there >= fewest else f"{fewest} of them would do"
            warn_once(f"metric {metric} has no floor: it draws {n} samples, and data {data.name} has {there} {self.whose} "
                      f"examples; {would}")  # fmt: skip
        self.about = f"{len(self._rows)} × {n} {self.whose} examples" if self._rows else "none"

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, i: int) -> Examples:
        """The i-th of them, read in pieces."""
        return Chosen(self._examples, self._rows[i])


def part_of(examples: Examples, n: int, seed: int, repeats: int) -> Examples:
    """n of the examples (m, *shape), the first ones for the seeds 0, 1, … `repeats` − 1, the next for those after them, as far as
    there are enough; all where there are fewer."""
    first = turn_of(seed, repeats) % max(1, len(examples) // n) * n
    return Chosen(examples, torch.arange(first, min(first + n, len(examples))))


class Compared(Repeated):
    """A metric that compares features of generated examples with those of held-out ones. Its floors are mean scores of samples of
    as many training examples.

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
            held_out = part_of(held_out, samples, seed, repeats)
        if samples < self.fewest:
            raise GanflowError(f"metric {self.metric} wants {self.fewest} samples at least; raise samples")
        self.extractor = extractor
        self._others = RealParts(data, self.metric, samples, seed, repeats, extractor.cheap, fewest=self.fewest)
        names = [f"{score}{extractor.label}_{samples}" for score in self.called]
        reading = Reading()
        features = reading.features("held_out", held_out, extractor.features_of_real)
        super().__init__(
            data, samples, seed, repeats, names, names if self._others else (), len(self._others),
            features=extractor.about, reference=f"{len(features)} held-out examples",
            reference_digest=reading.digest,
            floor=self._others.about, **protocol,
        )  # fmt: skip
        self.real = self.prepare(features)
        self.check_counts(data, len(features), features.shape[1])

    def score(self, x: Tensor, repeat: int) -> Sequence[float]:
        return self.compare(self.extractor.features(x))

    def floor(self, pair: int) -> Sequence[float]:
        return self.compare(Reading().features("real", self._others[pair], self.extractor.features_of_real))

    def prepare(self, features: Tensor) -> Any:
        """The held-out examples' features (n, d) as `compare` wants them; computed once."""
        return features

    @abstractmethod
    def compare(self, features: Tensor) -> Sequence[float]:
        """The scores of other examples' features (m, d) beside `self.real`."""

    def check_counts(self, data: Data, count: int, dimensions: int) -> None:
        """Say what is doubtful with so many held-out examples, of so many dimensions."""
