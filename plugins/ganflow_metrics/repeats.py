"""Scores over several draws of the generator, and the real examples that they are compared with."""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganflow import GanflowError, Metric, TensorData
from ganflow_metrics.extractors import digest_of_state

if TYPE_CHECKING:
    from ganflow import Data, Game


class Repeated(Metric):
    """Metric of several draws of the generator: each score is the mean over them, NAME_error its standard error.

    Draw r has seed `seed` + r. Where a sample is not finite, no score is.

    Args:
        scores: names, in `score`'s order.
        floors: those of them that have a floor, in `floor`'s order.
        protocol: what is noted beside `samples`, `seed` and `repeats`.
    """

    def __init__(self, samples: int, seed: int, repeats: int, scores: Sequence[str], floors: Collection[str] = (),
                 **protocol: Any) -> None:  # fmt: skip
        self._samples, self._seed, self._repeats = samples, seed, repeats
        self._scores, self._floors = scores, floors
        self.protocol = {"samples": samples, "seed": seed, "repeats": repeats, **protocol}
        self.names: list[str] = []
        for name in scores:
            self.names += [name] + [f"{name}_error"] * (repeats > 1) + [f"{name}_floor"] * (name in floors)

    def check(self, game: Game) -> None:
        check_field(game)

    @abstractmethod
    def score(self, x: Tensor, repeat: int) -> Sequence[float]:
        """The scores of one draw, (samples, *shape)."""

    def floor(self) -> Sequence[float]:
        """Scores of as many real examples, for the names in `floors`; computed once."""
        return ()

    @cached_property
    def _real(self) -> dict[str, float]:
        return {f"{name}_floor": value for name, value in zip(self._floors, self.floor(), strict=True)}

    def evaluate(self, game: Game) -> dict[str, float]:
        draws = [self._draw(game, repeat) for repeat in range(self._repeats)]
        found = dict(self._real)
        for name, values in zip(self._scores, zip(*draws, strict=True), strict=True):
            found |= {name: mean(values), f"{name}_error": standard_error(values)}
        return {name: found[name] for name in self.names}

    def draw(self, game: Game, seed: int) -> Tensor:
        """Generated examples of one draw, (samples, *shape)."""
        return game.samples(self._samples, seed)

    def _draw(self, game: Game, repeat: int) -> Sequence[float]:
        x = self.draw(game, self._seed + repeat)
        return self.score(x, repeat) if x.isfinite().all() else [math.nan] * len(self._scores)


def check_field(game: Game) -> None:
    """Refuse a game whose generator makes another field than the data's first, with which these metrics compare.

    Raises:
        GanflowError: it does.
    """
    first, made = next(iter(game.data.fields)), game.domains[0]
    if made != first:
        raise GanflowError(f"metrics like frechet compare what is generated with the data's field '{first}', and this recipe "
                           f"generates '{made}': leave them out, and use metric pairs where the data are paired")  # fmt: skip


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def standard_error(values: Sequence[float]) -> float:
    """s / √n of n values, s² = Σ (x − x̄)² / (n − 1); NaN of one."""
    n = len(values)
    return math.hypot(*(value - mean(values) for value in values)) / math.sqrt((n - 1) * n) if n > 1 else math.nan


class RealSamples:
    """Real examples of the main field: for each repeat n held-out ones to compare with, and n others for the floor, which are
    training examples where these are in memory, else further held-out ones.

    Samples are disjoint as far as there are enough examples; then the first come again.

    Args:
        strict: refuse data with fewer than n held-out examples, or no others. Otherwise n is lowered to what there is, with a
            warning, and there may be no others.

    Attributes:
        n: examples of a sample.
        has_floor: there are others.
        protocol: what they are, in words.

    Raises:
        GanflowError: there are too few examples; it says how many it takes.
    """

    def __init__(self, data: Data, metric: str, n: int, strict: bool = True) -> None:
        field = next(iter(data.fields))
        held_out = data.held_out.get(field, torch.empty(0))
        there = len(held_out)
        if there < (n if strict else 1):
            many, lower = (f"{n} ", ", or lower samples of the metric") if strict else ("", "")
            raise GanflowError(f"metric {metric} compares with {many}held-out examples, and data {data.name} has {there}; "
                               f"raise data.held_out{lower}")  # fmt: skip
        if there < n:
            warn_once(f"metric {metric} compares with {there} held-out examples instead of {n}, for data {data.name} has no "
                      "more: raise data.held_out")  # fmt: skip
        self.n = n = min(n, there)
        references = held_out[: there // n * n]
        self._references = references.split(n)  # the first is the one of runs that have no repeats
        self._train = data.train[field] if isinstance(data, TensorData) and len(data.train[field]) >= n else None
        self._trained = [] if self._train is None else disjoint(len(self._train), n)
        self.has_floor = bool(self._trained) or len(self._references) > 1
        if strict and not self.has_floor:
            raise GanflowError(f"metric {metric} wants {2 * n} held-out examples, {n} to compare with and {n} for its floor, and "
                               f"data {data.name} has {there}; raise data.held_out, or lower samples of the metric")  # fmt: skip
        others = "training examples" if self._trained else "others" if self.has_floor else "none"
        self.protocol = {
            "reference": f"{len(self._references)} × {n} held-out examples",
            "reference_digest": digest_of_state({"held_out": references}),
            "floor": f"these against {others}",
        }

    def reference(self, repeat: int) -> Tensor:
        """The held-out examples that draw `repeat` is compared with, (n, d)."""
        return points(self._references[repeat % len(self._references)])

    def pairs(self, repeats: int) -> Iterator[tuple[Tensor, Tensor]]:
        """For the floor: n other real examples (n, d) and the reference, of each repeat."""
        for repeat in range(repeats):
            if self._train is None:
                yield self.reference(repeat + 1), self.reference(repeat)
            else:
                yield points(self._train[self._trained[repeat % len(self._trained)]]), self.reference(repeat)


@cache
def warn_once(text: str) -> None:
    """Log a warning, once: a sweep builds its metrics again and again."""
    logging.getLogger("ganflow").warning(text)


def disjoint(count: int, n: int) -> list[Tensor]:
    """Disjoint samples of n of `count` rows, at random, the same at every call."""
    return list(torch.randperm(count, generator=torch.Generator().manual_seed(0)).split(n))[: count // n]


def points(examples: Tensor) -> Tensor:
    """(n, *shape) to (n, d) on the CPU in float64."""
    return examples.reshape(len(examples), -1).cpu().double()


MOST_NUMBERS = 2**26  # 0.5 GiB


def check_points(data: Data, metric: str, samples: int, flatten: bool) -> None:
    """Refuse images, but if they are to be flattened, and more numbers than fit."""
    if data.main.is_image and not flatten:
        raise GanflowError(f"metric {metric} measures distances between points, and data {data.name} are images: use metric "
                           "frechet, or set flatten: true to compare pixel by pixel")  # fmt: skip
    if (numbers := samples * math.prod(data.shape)) > MOST_NUMBERS:
        raise GanflowError(f"metric {metric} would compare {samples} examples of {math.prod(data.shape):,} numbers each, "
                           f"{numbers:,} in all, and {MOST_NUMBERS:,} is the limit: lower samples of the metric")  # fmt: skip
