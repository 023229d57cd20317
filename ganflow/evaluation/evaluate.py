"""Evaluation of a game by metrics, over several sampling seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any, Literal

from ganflow.contract.game import Scores
from ganflow.evaluation.scores import Score, grouped, protocol_of

if TYPE_CHECKING:
    from ganflow.contract.game import Game, Metric
    from ganflow.plugins import Chosen

SEED, REPEATS = "seed", "repeats"
"""Keys of metrics: the seed of their draws, and how often they draw: with `seed`, `seed` + 1, …"""


@dataclass(frozen=True)
class Evaluated:
    """A score of a game.

    Attributes:
        protocol: the metric's; where several seeds are averaged, with their number as `seeds`.
        metric: the index of its metric.
        seeds: the number of sampling seeds that it is the mean of.
        goal: "min" or "max" where it is the first score of its metric, else None.
    """

    score: Score
    protocol: Mapping[str, Any]
    metric: int
    seeds: int
    goal: Literal["min", "max"] | None = None


def with_seeds(chosen: Chosen, n: int) -> list[Chosen]:
    """A metric with n sampling seeds, one after the other, so far apart that repeats of one are not those of the next. One whose
    settings have no seed is evaluated once."""
    settings = chosen.settings
    seed, repeats = (getattr(settings, name, None) for name in (SEED, REPEATS))
    if type(seed) is not int or not any(field.name == SEED and field.init for field in fields(settings)):
        return [chosen]
    step = repeats if type(repeats) is int and repeats > 1 else 1
    return [chosen, *(replace(chosen, settings=replace(settings, seed=seed + k * step)) for k in range(1, n))]


def score(metric: Metric, game: Game) -> dict[str, float]:
    """A metric's scores of a game. What it draws is the same every time, and none of training's random numbers."""
    from ganflow.engine.state import scoring  # imports torch, and lists of scores do not

    with scoring(game.device):
        return metric.evaluate(game)


def evaluate(game: Game, metrics: Iterable[Iterable[Metric]], sections: Sequence[dict[str, Any]]) -> list[Evaluated]:
    """Score a game.

    Args:
        metrics: each as many times as it has seeds, one after the other: a metric may hold as much as the data.
        sections: of the resolved recipe, of which the metrics were made.
    """
    names = Scores(())
    found: list[Evaluated] = []
    for i, variants in enumerate(metrics):
        protocol: dict[str, Any] = {}
        values: list[list[Score]] = []
        goal: Literal["min", "max"] | None = None
        for variant in variants:
            values.append(grouped(score(variant, game)))
            protocol, goal = protocol or dict(protocol_of(variant, sections[i])), variant.goal
        if len(values) > 1:
            protocol["seeds"] = len(values)
        repeats = protocol.get(REPEATS)
        for each in _averaged(values, repeats if type(repeats) is int else 1):
            (name,) = names.named(i, {each.name: each.value})
            found.append(Evaluated(replace(each, name=name), protocol, i, len(values), goal))
            goal = None  # it is the first score's
    return found


def _averaged(found: Sequence[Sequence[Score]], repeats: int) -> list[Score]:
    """The mean of each score over the seeds, with the standard error of that, or a single seed's score as it is."""
    if len(found) == 1:
        return list(found[0])
    by_name = [{score.name: score for score in scores} for scores in found]
    return [over([each[first.name] for each in by_name if first.name in each], repeats) for first in found[0]]


def over(scores: Sequence[Score], repeats: int = 1) -> Score:
    """The mean of a score's values with its standard error, and their floor.

    Args:
        repeats: draws of which each value is the mean.
    """
    return Score(scores[0].name, mean(score.value for score in scores), error_over(scores, repeats), *floor_over(scores))


def error_over(scores: Sequence[Score], repeats: int) -> float | None:
    """The standard error of the mean of n values, each the mean of r draws; None of a single one, or where one is not finite.

    It is that of all n·r draws x together, sd(x) / √(n·r): a mean m of r draws with the error e has Σ(x − m)² = e² r (r − 1), and
    Σ(x − x̄)² is r (m − x̄)² more. Where the values' errors are not known, it is sd(m) / √n.
    """
    values, errors = [score.value for score in scores], [score.error for score in scores if score.error is not None]
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    if repeats < 2 or len(errors) < len(values):
        return _error_of_mean(values)
    n, middle = len(values) * repeats, mean(values)
    squares = sum(e**2 * repeats * (repeats - 1) + repeats * (m - middle) ** 2 for m, e in zip(values, errors, strict=True))
    return math.sqrt(squares / (n - 1) / n)


def floor_over(scores: Sequence[Score]) -> tuple[float | None, float | None]:
    """The mean of a score's floors with its standard error; None of either where it is not known.

    Seeds whose floors are equal have compared the same real examples: these count once. The error is √(Σ e²) / n of the floors'
    errors e, or sd/√n where these are not known.
    """
    if any(score.floor is None for score in scores):
        return None, None
    errors = {score.floor: score.floor_error for score in scores}
    floors = [floor for floor in errors if floor is not None]
    known = [error for error in errors.values() if error is not None]
    return mean(floors), math.hypot(*known) / len(known) if len(known) == len(floors) else _error_of_mean(floors)


def _error_of_mean(values: Sequence[float]) -> float | None:
    """sd/√n; None of a single value, or where one is not finite."""
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 and all(map(math.isfinite, values)) else None


@dataclass(frozen=True)
class Spread:
    """A score over several trainings: mean, standard deviation (None for a single one), number."""

    name: str
    mean: float
    deviation: float | None
    n: int

    def __str__(self) -> str:
        around = "" if self.deviation is None else f" ± {float(f'{self.deviation:.2g}'):g}"  # 280, not 2.8e+02
        return f"{self.mean:.4g}{around}"


def spreads(runs: Sequence[Mapping[str, float]]) -> list[Spread]:
    """Mean and standard deviation of every score over runs; what is not finite is left out, and n is smaller."""
    names = dict.fromkeys(score.name for values in runs for score in grouped(values))
    found = []
    for name in names:
        values = [values[name] for values in runs if name in values and math.isfinite(values[name])]
        if values:
            found.append(Spread(name, mean(values), stdev(values) if len(values) > 1 else None, len(values)))
    return found
