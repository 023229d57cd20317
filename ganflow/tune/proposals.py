"""What Ray asks for the next trial: first those that an interrupted sweep left unfinished, then the searcher's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ray.tune.search import Searcher as RaySearcher

from ganflow.tune.book import Book
from ganflow.tune.room import Room
from ganflow.tune.search import Searcher
from ganflow.tune.space import Space


class Proposals(RaySearcher):
    """Proposes orders. Every configuration is written down before it is tried, so that it is tried again and no other.

    Args:
        unfinished: numbers of recorded trials to go on with.
        room: whether there is any for a further trial of Ray's.
        pack: trials of the sweep that are one of Ray's.
    """

    def __init__(self, book: Book, space: Space, searcher: Searcher, unfinished: list[int], room: Room, pack: int = 1) -> None:
        super().__init__()
        self.book, self.space, self._source, self.room, self.pack = book, space, searcher, room, pack
        self._unfinished = list(unfinished)
        self._next = 0
        self._told: set[int] = set()

    def suggest(self, trial_id: str) -> Any:
        if not self.room.admits():
            return None  # not now
        self._tell([n for numbers in self.book.numbers.values() for n in numbers if self.book.trials[n].over])
        numbers = self._left_over() or self._new()
        if not numbers:
            return self.FINISHED
        self.book.numbers[trial_id] = numbers
        orders = [self.book.order(number, self.space.changes(self.book.trials[number].config)) for number in numbers]
        return self.book.as_config(orders)

    def _left_over(self) -> list[int]:
        """Trials to go on with: those that were packed together before are so again."""
        together = [n for n in self._unfinished if n // self.pack == self._unfinished[0] // self.pack]
        self._unfinished = [n for n in self._unfinished if n not in together]
        return together

    def _new(self) -> list[int]:
        numbers: list[int] = []
        while len(numbers) < self.pack:
            while self._next in self.book.trials:
                self._next += 1
            config = self._source.propose(self._next)
            if config is None:
                break
            self.book.record(self._next, config=config, state="waiting")
            numbers.append(self._next)
        return numbers

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._tell(self.book.numbers[trial_id], error)

    def _tell(self, numbers: Iterable[int], error: bool = False) -> None:
        """Tell the searcher of trials that are over, as soon as they are: Ray does so a step later."""
        for number in set(numbers) - self._told:
            known = self.book.trials[number]
            sound = known.state not in ("diverged", "failed") and not (error and not known.over)
            self._source.tell(number, known.config, known.score if sound else None)
            self._told.add(number)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        pass

    def get_state(self) -> dict[str, Any]:
        """Nothing: a sweep goes on from its own records, not from Ray's."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        raise NotImplementedError("a sweep goes on from its own records, not from Ray's")
