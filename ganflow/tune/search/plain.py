"""Searchers that learn nothing."""

from __future__ import annotations

from ganflow.recipe import Tune
from ganflow.tune.search.base import Searcher
from ganflow.tune.space import Config, Space


class RandomSearch(Searcher):
    """Draws every config from the space."""

    def next(self, number: int) -> Config:
        return self.space.sample(self.random(number))


class GridSearch(Searcher):
    """Tries every combination of the options of all choices and grids once; other keys are drawn at random for each trial."""

    def __init__(self, tune: Tune, space: Space) -> None:
        super().__init__(tune, space)
        self.grid = list(space.grid())

    def next(self, number: int) -> Config:
        return self.space.sample(self.random(number), self.grid[number - len(self.space.points)])
