"""Metrics: scores of a game, evaluated at intervals and at the end."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from ganflow.playing import Game


class Metric(ABC):
    """A score of the generator. The best checkpoint is chosen by the first score of the recipe's first metric.

    Attributes:
        goal: whether the first score is better when it is lower ("min") or higher ("max").
        names: the scores' names, in `evaluate`'s order, so that a sweep knows them before anything is trained. Left empty,
            they are learnt by evaluating the untrained generator once.
    """

    goal: ClassVar[Literal["min", "max"]] = "min"
    names: Sequence[str] = ()

    @abstractmethod
    def evaluate(self, game: Game) -> dict[str, float]:
        """Named scores, the most telling one first. `game.samples(n, seed)` draws generated examples (CPU, float32) with
        the averaged generator where there is one; training's random numbers are untouched. A score's name says its
        protocol where that matters: "frechet_2048" for 2048 samples. Where an earlier metric of the recipe calls a score
        alike, this one's is reported as "frechet_2048_2"."""


class Scores:
    """A recipe's metrics together: every score has a name that no other has. Where two metrics call a score alike, it keeps its
    name in the first of them, and is called NAME_2, NAME_3, … in the others, in the recipe's order.

    Args:
        metrics: in the recipe's order.
    """

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.metrics = list(metrics)
        self._names: dict[tuple[int, str], str] = {}  # what a metric (by its index) calls a score → its name

    def evaluate(self, game: Game) -> list[dict[str, float]]:
        """Each metric's scores by their names."""
        found = [metric.evaluate(game) for metric in self.metrics]
        return [{self._name(i, name): score for name, score in scores.items()} for i, scores in enumerate(found)]

    def names(self, game: Callable[[], Game]) -> list[list[str]]:
        """The names of each metric's scores. A metric that does not say them beforehand scores the game that `game()` makes."""
        found = [metric.names or list(metric.evaluate(game())) for metric in self.metrics]
        return [[self._name(i, name) for name in names] for i, names in enumerate(found)]

    @property
    def renamed(self) -> list[str]:
        """A sentence for every score that is not called as its metric calls it."""
        return [
            f"metrics[{i}] calls a score '{name}' as another metric does; here it is '{new}'"
            for (i, name), new in self._names.items()
            if new != name
        ]

    def _name(self, i: int, name: str) -> str:
        if (i, name) not in self._names:
            numbered = (f"{name}_{n}" for n in itertools.count(2))
            self._names[i, name] = next(new for new in itertools.chain([name], numbered) if new not in self._names.values())
        return self._names[i, name]
