"""Diversity of generated examples: of a batch, and over z at a fixed condition, each against the data's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganflow import GanflowError, TensorData
from ganflow_metrics.compared import Compared
from ganflow_metrics.repeats import Repeated, warn_once

if TYPE_CHECKING:
    from ganflow import Data, Examples, Game

Z = "z"
FEWEST = 10  # real examples
FREEDOM = 10  # degrees of freedom of a variance over z, conditions × (draws − 1): it is known to √(2 / 10), half of itself
REDRAWN = (32, 16)  # conditions, and draws of each


MOST = 5000
"""Held-out examples whose distances are taken, at most: 12.5 million pairs, 100 MB."""


def mean_distance(x: Tensor) -> float:
    """The mean distance between two different rows of x (n, d)."""
    return float(torch.pdist(x).mean())


class DiversityMetric(Compared):
    """Score `diversity_<features>_<n>`."""

    metric, called, goal = "diversity", ("diversity",), "max"

    def prepare(self, features: Tensor) -> float:
        usual = mean_distance(features[:MOST])
        if not usual:
            raise GanflowError("metric diversity: the held-out examples are all alike")
        return usual

    def compare(self, features: Tensor) -> Sequence[float]:
        return [mean_distance(features) / self.real]


class ZDiversityMetric(Repeated):
    """Scores `z_diversity_<n>`, n generated samples' spread at a fixed condition over the data's, and `z_spread_<n>`, that spread
    itself, whose floor is the data's."""

    goal = "max"

    def __init__(self, data: Data, conditions: int, draws: int, seed: int, repeats: int) -> None:
        samples = conditions * draws
        if (freedom := conditions * (draws - 1)) < FREEDOM:
            warn_once(f"metric z_diversity: {draws} draws at {conditions} conditions are too few, for a variance of {freedom} "
                      f"degrees of freedom is uncertain by {math.sqrt(2 / freedom):.0%}; {FREEDOM} are wanted "
                      f"(draws={FREEDOM + 1})")  # fmt: skip
        names = [f"z_diversity_{samples}", f"z_spread_{samples}"]
        super().__init__(data, samples, seed, repeats, names, conditions=conditions, reference=data.name)
        self._data, self._conditions, self._each = data, conditions, draws
        self._usual = self._usual_error = math.nan
        self._floor = f"{names[1]}_floor"
        self.names += [self._floor, f"{self._floor}_error"]

    def check(self, game: Game) -> None:
        super().check(game)
        self._measure_data(game)

    def _measure_data(self, game: Game) -> None:
        """Find the data's spread, once."""
        inputs = game.signatures[game.maker].inputs
        if Z not in inputs.values():
            raise GanflowError("metric z_diversity: the generator takes no z, so that it makes one example of each condition: "
                               "take the metric out")  # fmt: skip
        fields = (game.domains[0], *(source for source in inputs.values() if source != Z))
        if math.isnan(self._usual):
            self._usual, self._usual_error = data_spread(self._data, *fields)

    def evaluate(self, game: Game) -> dict[str, float]:
        self._measure_data(game)
        return super().evaluate(game)

    def draw(self, game: Game, seed: int) -> Tensor:
        argument = next(name for name, source in game.signatures[game.maker].inputs.items() if source == Z)
        conditions = game.conditions(self._conditions, seed)
        inputs: dict[str, Any] = {name: t.repeat_interleave(self._each, 0) for name, t in conditions.items()}
        inputs[argument] = game.latents(self._samples, seed)
        return game.call(game.maker, **inputs)

    def score(self, x: Tensor, repeat: int) -> Sequence[float]:
        found = spread(x.unflatten(0, (self._conditions, self._each)))
        return [found / self._usual, found]

    def _floors_found(self) -> dict[str, float]:
        return {self._floor: self._usual, f"{self._floor}_error": self._usual_error}


def spread(x: Tensor) -> float:
    """√E Var of x (conditions, draws, *shape): the variance over the draws, averaged over values and conditions."""
    return float(x.double().var(1).mean().sqrt())


def data_spread(data: Data, made: str, *conditions: str) -> tuple[float, float]:
    """The spread of a field's examples at a fixed condition: of those whose condition two or more have, else of all. Data that
    can draw further examples of a condition do so, by a method `redrawn(conditions, draws)`. And its standard error,
    s / (2 √(v n)) of √v (delta method), where v is the mean of n numbers of standard deviation s: of the variances at conditions
    that were drawn, or of examples' squared deviations from the mean of their condition.

    Raises:
        GanflowError: they do not differ, or there are too few.
    """
    redrawn = getattr(data, "redrawn", None)
    if conditions and redrawn is not None and len(data.held_out[made]):
        drawn = redrawn(*REDRAWN)
        each = drawn.double().var(1).flatten(1).mean(1)
        return spread(drawn), float(each.std() / math.sqrt(len(each)) / (2 * each.mean().sqrt()))
    parts: list[Mapping[str, Examples]] = [data.held_out, data.train] if isinstance(data, TensorData) else [data.held_out]
    found = {name: torch.cat([part[name][:] for part in parts if name in part]) for name in (made, *conditions)}
    if len({len(t) for t in found.values()}) > 1:
        raise GanflowError(f"metric z_diversity: the fields of data {data.name} do not belong together")
    examples = found[made].flatten(1).double()
    if len(examples) < FEWEST:
        raise GanflowError(f"metric z_diversity compares with real examples, and data {data.name} has {len(examples)}; "
                           f"raise data.held_out of a new run: it wants {FEWEST} at least")  # fmt: skip
    groups = torch.zeros(len(examples), dtype=torch.int64)
    if conditions:
        groups = torch.cat([found[name].flatten(1) if found[name].dim() > 1 else found[name][:, None] for name in conditions], 1)
        groups = groups.unique(dim=0, return_inverse=True)[1]
    counts = groups.bincount()
    if counts.amax() < 2:
        groups, counts = torch.zeros_like(groups), torch.tensor([len(groups)])
    shared = [examples[groups == group] for group, count in enumerate(counts.tolist()) if count > 1]
    n = sum(map(len, shared))
    variance = float(sum(len(x) * x.var(0).mean() for x in shared)) / n
    if not variance:
        raise GanflowError(f"metric z_diversity: the examples of data {data.name} do not differ at a fixed condition")
    squares = [(x - x.mean(0)).square().mean(1) for x in shared]  # of each example, from its condition's mean
    deviation = math.sqrt(sum(float((each - each.mean()).square().sum()) for each in squares) / (n - len(shared)))
    return math.sqrt(variance), deviation / math.sqrt(n) / (2 * math.sqrt(variance))
