"""Scores with what makes them comparable: a standard error, a floor, and the protocol by which they were computed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ganflow.contract.game import ERROR, FLOOR, FLOOR_ERROR
from ganflow.errors import GanflowError, PluginError, did_you_mean

if TYPE_CHECKING:
    from ganflow.contract.game import Metric
    from ganflow.plugins import Chosen


ABOUT_FLOOR = ("floor", "floor_digest")
"""Keys of a protocol that say how the floor was found: no score depends on them."""


@dataclass(frozen=True)
class Score:
    """A score, as text "frechet_2048 1.234 ± 0.041 (floor 1.052 ± 0.012)".

    Attributes:
        error: its standard error; None where it is not known.
        floor: the score of real examples against real examples, of the same counts; None where there is none.
        floor_error: the floor's standard error; None where it is not known.
    """

    name: str
    value: float
    error: float | None = None
    floor: float | None = None
    floor_error: float | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.figure}" + (f" (floor {self.floor_figure})" if self.floor_figure else "")

    @property
    def figure(self) -> str:
        """The value with its error, "1.234 ± 0.041"."""
        return figure(self.value, self.error)

    @property
    def floor_figure(self) -> str:
        """The floor with its error; "" where there is none."""
        return "" if self.floor is None else figure(self.floor, self.floor_error)

    def within_noise_of(self, other: Score) -> bool:
        """Tell whether the two differ by no more than twice the standard error of their difference; False where no error is
        known."""
        if self.error is None or other.error is None:
            return False
        return abs(self.value - other.value) <= 2 * math.hypot(self.error, other.error)


def figure(value: float, error: float | None) -> str:
    """A number with its error, "1.234 ± 0.041", or alone where that is None."""
    return f"{value:.4g}" + ("" if error is None else f" ± {error:.2g}")


def grouped(values: Mapping[str, float]) -> list[Score]:
    """The scores among values that `Metric.evaluate` gave, each with its error, and its floor with that one's error."""
    endings = (ERROR, FLOOR, FLOOR_ERROR)
    beside = {name + ending for name in values for ending in endings} & values.keys()
    return [Score(name, value, *(values.get(name + ending) for ending in endings))
            for name, value in values.items() if name not in beside]  # fmt: skip


def protocol_difference(a: Mapping[str, Any], b: Mapping[str, Any]) -> str | None:
    """The first difference of two protocols: "samples 2048 against 500"; None where they agree, but for the floor's. Counts of
    samples come first: much else follows from them."""
    return next(iter(protocol_differences(a, b)), None)


def protocol_differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """All differences of two protocols, as `protocol_difference` words them."""
    keys = sorted((a.keys() | b.keys()).difference(ABOUT_FLOOR), key=lambda key: (key != "samples", key))
    absent = {"seeds": 1}  # their number is noted where several are averaged

    def noted(protocol: Mapping[str, Any], key: str) -> Any:
        return protocol.get(key, absent.get(key, "not noted"))

    differing = [key for key in keys if a.get(key, absent.get(key)) != b.get(key, absent.get(key))]
    return [f"{key} {noted(a, key)} against {noted(b, key)}" for key in differing]


def goals(metrics: Sequence[Metric], found: Sequence[Mapping[str, float]]) -> dict[str, Literal["min", "max"]]:
    """The goal of each metric's first score, by its name; arguments as those of `protocols`."""
    return {grouped(values)[0].name: metric.goal for metric, values in zip(metrics, found, strict=True) if values}


def protocols(
    metrics: Sequence[Metric], sections: Sequence[dict[str, Any]], found: Sequence[Mapping[str, float]]
) -> dict[str, dict[str, Any]]:
    """The protocol of each score, by its name.

    Args:
        sections: of the resolved recipe, of which the metrics were made.
        found: what `Scores.evaluate` gave for these metrics.

    Raises:
        PluginError: a protocol is not plain data.
    """
    each = zip(metrics, sections, found, strict=True)
    return {score.name: protocol_of(metric, section) for metric, section, values in each for score in grouped(values)}


def protocol_of(metric: Metric, section: dict[str, Any]) -> dict[str, Any]:
    """A metric's protocol as JSON has it, in which tuples are lists. That of one which has none is its section of the recipe.

    Raises:
        PluginError: it is not plain data.
    """
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(metric.protocol) or section))
    except (TypeError, ValueError) as error:
        where = f"{type(metric).__module__}.{type(metric).__qualname__}"
        raise PluginError(f"the protocol of {where} is not plain data, which JSON could hold: {error}") from None
    return plain


# The best checkpoint.


@dataclass(frozen=True)
class Rule:
    """The score by which the best checkpoint is chosen, with the goal, "min" or "max".

    Attributes:
        known: the metric's goal; None where it has none for this score.
    """

    score: Score
    goal: Literal["min", "max"]
    known: Literal["min", "max"] | None = None

    def check(self) -> None:
        """Raise GanflowError where the goal is not the metric's."""
        if self.known not in (None, self.goal):
            better = "smaller" if self.known == "min" else "larger"
            why = f"{self.goal} would keep the worst checkpoint, for a {better} {self.score.name} is better"
            raise GanflowError(f"train.best_mode: {why}; leave train.best_mode out")

    def improves(self, on: float | None) -> bool:
        """Tell whether the score is better than an earlier one; None: than none at all."""
        sign = 1 if self.goal == "min" else -1
        return not math.isnan(self.score.value) and (on is None or sign * self.score.value < sign * on)


def rule(
    asked: str | None,
    mode: Literal["min", "max"] | None,
    components: Sequence[Chosen],
    metrics: Sequence[Metric],
    found: Sequence[Mapping[str, float]],
) -> Rule | None:
    """The rule of `train.best`; None where nothing is asked, and the first metric has no score.

    Args:
        asked: the name of a score, or of a metric, whose first score is meant; None for the first metric.
        mode: the goal, where it is not the metric's.
        components: of the recipe, of which the metrics were made.
        found: what `Scores.evaluate` gave for these metrics.

    Raises:
        GanflowError: there is no such score, or nothing says which of it is better.
    """
    every = [grouped(values) for values in found]
    for chosen, metric, scores in zip(components, metrics, every, strict=True):
        if scores and asked in (None, chosen.component.name, chosen.component.qualified, scores[0].name):
            return Rule(scores[0], mode or metric.goal, metric.goal)
        if asked is None:
            return None
    if asked is None:
        return None
    known = {score.name: score for scores in every for score in scores}
    if asked not in known:
        names = [*known, *(chosen.component.name for chosen in components)]
        listed = f" (scores: {', '.join(known)})" if known else "; the recipe has no metrics: add one, '+metrics={use: frechet}'"
        raise GanflowError(f"train.best: there is no score '{asked}'{did_you_mean(asked, names)}{listed}")
    if mode is None:
        raise GanflowError(f"train.best: nothing says whether a smaller '{asked}' is better; set train.best_mode to min or max")
    return Rule(known[asked], mode)


def described_best(best: Score, round: int | None, last: Score | None = None) -> str:
    """The best score in a sentence, "frechet_64 1.21 ± 0.04 in round 1800 (within noise of the last, 1.25 ± 0.05)".

    Args:
        last: of the last evaluation, where that is another.
    """
    noise = f" (within noise of the last, {last.figure})" if last is not None and best.within_noise_of(last) else ""
    return f"{best.name} {best.figure} in round {'?' if round is None else round}{noise}"
