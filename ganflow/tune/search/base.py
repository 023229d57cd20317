"""What every searcher is."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod

from ganflow.recipe import Tune
from ganflow.tune.space import Config, Space


class Searcher(ABC):
    """Proposes a config for each trial: the recipe's points first.

    What it proposes for trial n follows from the seed, from n, and from what it was told of other trials, and from nothing else:
    a searcher that was told the same again proposes the same.

    Attributes:
        total: how many trials there are.
    """

    def __init__(self, tune: Tune, space: Space) -> None:
        self.seed, self.space = tune.seed, space
        self.total = space.count(tune)

    def propose(self, number: int) -> Config | None:
        """The config of a trial; None where there are no more."""
        if number >= self.total:
            return None
        points = self.space.points
        if number < len(points):
            return self.space.sample(self.random(number), points[number])
        return self.next(number)

    @abstractmethod
    def next(self, number: int) -> Config:
        """The config of a trial after the points."""

    def tell(self, number: int, config: Config, score: float | None) -> None:  # noqa: B027 - not all learn
        """A trial is over.

        Args:
            score: None where it diverged or failed.
        """

    def restore(self, number: int, config: Config, score: float | None, over: bool) -> None:
        """A trial was proposed before the sweep was interrupted.

        Args:
            over: whether it ended; if so, what `tell` would be told.
        """
        if over:
            self.tell(number, config, score)

    def random(self, number: int) -> random.Random:
        """The random numbers of a trial."""
        return random.Random(f"{self.seed}/{number}")
