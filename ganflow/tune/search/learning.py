"""What searchers have in common that learn from the trials that are over."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

from ganflow.errors import GanflowError
from ganflow.recipe import Tune
from ganflow.tune.search.base import Searcher
from ganflow.tune.space import Config, Space

STARTUP = 10
"""Trials that are drawn at random before anything is concluded."""


@dataclass
class Told:
    """What is known of a trial.

    Attributes:
        places: key → place of its value on the domain's scale; keys that do not exist in the trial are left out.
        score: less is better; None while it runs, and where it went wrong.
    """

    places: dict[str, float]
    score: float | None = None
    over: bool = False


class LearningSearch(Searcher):
    """Keeps the trials, and asks a library for each next one with all of them: there is no other state to lose."""

    def __init__(self, tune: Tune, space: Space, mode: Literal["min", "max"]) -> None:
        super().__init__(tune, space)
        self.sign = 1 if mode == "min" else -1
        self.trials: dict[int, Told] = {}

    def propose(self, number: int) -> Config | None:
        config = super().propose(number)
        if config is not None:
            self.restore(number, config, None, over=False)
        return config

    def tell(self, number: int, config: Config, score: float | None) -> None:
        loss = self.sign * score if score is not None and math.isfinite(score) else None
        self.trials[number] = Told(self._places(config), loss, over=True)

    def restore(self, number: int, config: Config, score: float | None, over: bool) -> None:
        if over:
            self.tell(number, config, score)
        else:
            self.trials[number] = Told(self._places(config))

    def _places(self, config: Config) -> dict[str, float]:
        return {key: self.space.keys[key].place(value) for key, value in config.items() if key in self.space.keys}

    def before(self, number: int) -> list[tuple[int, Told]]:
        """Other trials, by number."""
        return [(n, told) for n, told in sorted(self.trials.items()) if n != number]

    @abstractmethod
    def next(self, number: int) -> Config: ...


def missing(library: str) -> GanflowError:
    return GanflowError(f"tune.search: {library} is not installed; pip install 'ganflow[{library}]', or use search: random")
