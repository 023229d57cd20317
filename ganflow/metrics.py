"""Metrics: scores of a game, evaluated at intervals and at the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from ganflow.game import Game


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
        protocol where that matters: "frechet_2048" for 2048 samples."""
