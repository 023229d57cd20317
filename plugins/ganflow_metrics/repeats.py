"""Scores over several draws of the generator, and the real examples that they are compared with."""

from __future__ import annotations

import json
import logging
import math
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganflow import Examples, GanflowError, Metric, TensorData, shuffled
from ganflow_metrics.pieces import Chosen, at_hand, digest_of_examples

if TYPE_CHECKING:
    from ganflow import Data, Game


PAIRS = 16
"""Disjoint pairs of real samples that a floor is the mean of, where there are so many. The earth mover's distance of two samples
of 1,000 points of the ring has a standard deviation of .019: of 16 the mean is known to .005."""
FEWEST_PAIRS = 3
FEW = 50
"""Samples below which a distance of points is mostly chance: of 50 the floor of emd is a fifth of the mean distance between two
points of the ring, the grid or the swiss roll, of 10 it is a half."""
DISTANCES = PAIRS * 1000**2  # between points, of all pairs together: about a second of a core
_FLOORS: dict[str, dict[str, float]] = {}
"""Floors that this process has computed, by a digest of all that they depend on."""


class Repeated(Metric):
    """Metric of several draws of the generator: each score is the mean over them, NAME_error its standard error. The floors are
    means over pairs of real samples, NAME_floor_error their standard error.

    Draw r has seed `seed` + r. Where a sample is not finite, no score is.

    Args:
        scores: names, in `score`'s order.
        floors: those of them that have a floor, in `floor`'s order.
        pairs: disjoint pairs of real samples, of which each gives such floors; of a single one no error is known.
        protocol: what is noted beside `samples`, `seed` and `repeats`.
    """

    def __init__(self, data: Data, samples: int, seed: int, repeats: int, scores: Sequence[str], floors: Collection[str] = (),
                 pairs: int = 1, **protocol: Any) -> None:  # fmt: skip
        self._samples, self._seed, self._repeats = samples, seed, repeats
        self._scores, self._floors, self._pairs, self._compared = scores, floors, pairs, data
        self._real: dict[str, float] | None = None  # floors, once they are computed
        self.protocol = {"samples": samples, "seed": seed, "repeats": repeats, **protocol}
        self.names: list[str] = []
        for name in scores:
            self.names += [name] + [f"{name}_error"] * (repeats > 1)
            self.names += [f"{name}_floor"] * (name in floors) + [f"{name}_floor_error"] * (name in floors and pairs > 1)

    def check(self, game: Game) -> None:
        check_field(game)

    @abstractmethod
    def score(self, x: Tensor, repeat: int) -> Sequence[float]:
        """The scores of one draw, (samples, *shape)."""

    def floor(self, pair: int) -> Sequence[float]:
        """Scores of as many real examples, of one of the pairs, for the names in `floors`; computed once."""
        raise NotImplementedError(f"{type(self).__name__} names floors, and has none")

    def evaluate(self, game: Game) -> dict[str, float]:
        draws = [self._draw(game, repeat) for repeat in range(self._repeats)]
        if self._real is None:
            self._real = self._floors_found()
        found = dict(self._real)
        for name, values in zip(self._scores, zip(*draws, strict=True), strict=True):
            found |= {name: mean(values), f"{name}_error": standard_error(values)}
        return {name: found[name] for name in self.names}

    def _floors_found(self) -> dict[str, float]:
        """Floors and their errors. Those of another metric of this process are taken over where all that they depend on is
        equal: a sweep's process plays many recipes with the same data."""
        if not self._floors:
            return {}
        how = json.dumps([self.names, dict(self.protocol), torch.get_num_threads()], sort_keys=True, default=str)
        data = self._compared
        key = digest_of_examples(self._uncovered(), data.name, data.fingerprint(), repr(type(self)), how)
        if key not in _FLOORS:
            each = [self.floor(pair) for pair in range(self._pairs)]
            found: dict[str, float] = {}
            for name, values in zip(self._floors, zip(*each, strict=True), strict=True):
                found |= {f"{name}_floor": mean(values), f"{name}_floor_error": standard_error(values)}
            _FLOORS[key] = found
        return _FLOORS[key]

    def _uncovered(self) -> Mapping[str, Examples]:
        """Held-out examples that floors may depend on, and that neither the fingerprint nor the protocol knows."""
        data = self._compared
        names = [name for name, field in data.fields.items() if field.classes] if isinstance(data, TensorData) else []
        if "reference_digest" not in self.protocol:
            names.append(next(iter(data.fields)))
        return {name: data.held_out[name] for name in names if name in data.held_out}

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


def pairs_of(samples: int) -> int:
    """Pairs of the floor, at most, where each needs samples² distances: fewer of large samples, whose floor varies less."""
    return max(FEWEST_PAIRS, min(PAIRS, DISTANCES // samples**2))


def turn_of(seed: int, repeats: int) -> int:
    """The number of a sampling seed: 0 for the draws of seeds 0, 1, … `repeats` − 1, 1 for those that come next."""
    return seed // repeats


def chosen_of(turn: int, there: int, most: int) -> range:
    """At most `most` of `there` disjoint samples, or pairs of them: others for other turns, as far as there are enough for a
    whole turn; then the first come again."""
    count = min(there, most)
    first = turn % max(1, there // max(1, count)) * count
    return range(first, first + count)


class RealSamples:
    """Real examples of the main field: for each seed n held-out ones to compare with, and disjoint pairs of n each for the floor.

    Samples to compare with are disjoint as far as there are enough examples; then the first come again. Pairs are of held-out and
    training examples, where these are in memory; what is left of either makes further pairs. No example is in two of them.

    Args:
        seed, repeats: of the metric: the seed of the first draw, and the number of draws.
        most: pairs, where there are so many.
        strict: refuse data with fewer than n held-out examples, or no others. Otherwise n is lowered to what there is, with a
            warning, and there may be no others.

    Attributes:
        n: examples of a sample.
        pairs: how many there are; 0: there is no floor.
        protocol: what they are, in words.

    Raises:
        GanflowError: there are too few examples; it says how many it takes.
    """

    def __init__(
        self, data: Data, metric: str, n: int, seed: int, repeats: int, strict: bool = True, most: int = PAIRS
    ) -> None:
        field = next(iter(data.fields))
        held_out = at_hand(data.held_out.get(field, torch.empty(0)))
        there = len(held_out)
        if there < (n if strict else 1):
            many, lower = (f"{n} ", ", or lower samples of the metric") if strict else ("", "")
            raise GanflowError(f"metric {metric} compares with {many}held-out examples, and data {data.name} has {there}; "
                               f"raise data.held_out of a new run{lower}")  # fmt: skip
        if there < n:
            doubt = f"; {FEW} are wanted, for of fewer most of a distance is chance" if there < FEW else ""
            warn_once(f"metric {metric} compares with {there} held-out examples instead of {n}, for data {data.name} has no "
                      f"more{doubt}. Compare its scores with those of as many alone; a new run may have a larger "
                      "data.held_out")  # fmt: skip
        else:
            say_few(metric, n, FEW, "most of a distance is then chance", there)
        self.n = n = min(n, there)
        references = Chosen(held_out, torch.arange(there // n * n))
        self._references = [Chosen(held_out, rows) for rows in torch.arange(there // n * n).split(n)]
        # the first is the one of runs that have no repeats
        self._train = data.train[field] if isinstance(data, TensorData) else None
        trained = 0 if self._train is None else len(self._train)
        self._trained = disjoint(trained, n)
        self._seed, self._every_pair = seed, paired(len(self._references), len(self._trained))
        self._chosen = chosen_of(turn_of(seed, repeats), len(self._every_pair), most)
        self.pairs = len(self._chosen)
        if strict and not self.pairs:
            raise GanflowError(f"metric {metric} wants {2 * n} held-out examples, {n} to compare with and {n} for its floor, and "
                               f"data {data.name} has {there}; raise data.held_out of a new run, or lower samples of the "
                               "metric")  # fmt: skip
        if not self.pairs and (fewer := max(min(there, trained), there // 2)):
            warn_once(f"metric {metric} has no floor: it compares samples of {n}, and data {data.name} has {trained} training "
                      f"examples in memory and {there} held-out ones; with samples={fewer} it would have one")  # fmt: skip
        whose = "held-out and training examples" if self._trained else "held-out examples"
        pairs = f"{self.pairs} disjoint pairs" if self.pairs > 1 else "a pair"
        self.protocol = {
            "reference": f"{len(self._references)} × {n} held-out examples",
            "reference_digest": digest_of_examples({"held_out": references}),
            "floor": f"{pairs} of {n} {whose}" if self.pairs else "none",
        }

    @property
    def first(self) -> Tensor:
        """The first held-out examples, (n, d), whatever the seed is."""
        return self._sample(0)

    def reference(self, repeat: int) -> Tensor:
        """The held-out examples that draw `repeat`, of seed `seed` + `repeat`, is compared with, (n, d)."""
        return self._sample((self._seed + repeat) % len(self._references))

    def pair(self, i: int) -> tuple[Tensor, Tensor]:
        """The i-th pair of disjoint real samples, (n, d) each, for the floor."""
        a, b = self._every_pair[self._chosen[i]]
        return self._sample(a), self._sample(b)

    def _sample(self, i: int) -> Tensor:
        """The i-th of the samples, (n, d), the held-out ones first."""
        held_out = len(self._references)
        if i < held_out:
            return points(self._references[i][:])
        assert self._train is not None
        return points(self._train[self._trained[i - held_out]])


def paired(held_out: int, trained: int) -> list[tuple[int, int]]:
    """Pairs of samples, each in one of them, by their numbers, `held_out` held-out ones first: a training sample and a held-out
    one, while there are both, then the others."""
    mixed = min(held_out, trained)
    rest = [*range(mixed, held_out), *range(held_out + mixed, held_out + trained)]
    return [*((held_out + i, i) for i in range(mixed)), *zip(rest[1::2], rest[::2], strict=False)]


def say_few(metric: str, n: int, wanted: int, why: str, there: int | None = None) -> None:
    """Warn once where n samples are fewer than are wanted.

    Args:
        there: real examples, of which the metric needs as many as samples.
    """
    if n < wanted:
        remedy = f"samples={wanted}" if there is None or there >= wanted else f"there are {there} real examples"
        warn_once(f"metric {metric}: {n} sample{'s are' if n > 1 else ' is'} too few, {why}; {wanted} are wanted ({remedy})")


@cache
def warn_once(text: str) -> None:
    """Log a warning, once: a sweep builds its metrics again and again."""
    logging.getLogger("ganflow").warning(text)


def disjoint(count: int, n: int) -> list[Tensor]:
    """Disjoint samples of n of `count` rows, at random, the same at every call."""
    rows = shuffled(count, count if count <= 2**24 else max(n, 2**20))  # of more there are samples enough
    return list(rows.split(n))[: len(rows) // n]


def points(examples: Tensor) -> Tensor:
    """(n, *shape) to (n, d) on the CPU in float64."""
    return examples.reshape(len(examples), -1).cpu().double()


MOST_NUMBERS = 2**26  # 0.5 GiB


def check_points(data: Data, metric: str, samples: int, flatten: bool) -> None:
    """Refuse images, but if they are to be flattened, points that are, and more numbers than fit."""
    if flatten and not data.main.is_image:
        raise GanflowError(f"metric {metric}: flatten is for images, and data {data.name} are none: leave it out")
    if data.main.is_image and not flatten:
        raise GanflowError(f"metric {metric} measures distances between points, and data {data.name} are images: use metric "
                           "frechet, or set flatten: true to compare pixel by pixel")  # fmt: skip
    if (numbers := samples * math.prod(data.shape)) > MOST_NUMBERS:
        raise GanflowError(f"metric {metric} would compare {samples} examples of {math.prod(data.shape):,} numbers each, "
                           f"{numbers:,} in all, and {MOST_NUMBERS:,} is the limit: lower samples of the metric")  # fmt: skip
