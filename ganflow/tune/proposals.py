"""What Ray asks for the next trial: first those that an interrupted sweep left unfinished, then the searcher's."""

from __future__ import annotations

from typing import Any

from ray.tune.search import Searcher as RaySearcher

from ganflow.tune.book import Book
from ganflow.tune.search import Searcher
from ganflow.tune.space import Space


class Proposals(RaySearcher):
    """Proposes orders. Every configuration is written down before it is tried, so that it is tried again and no other.

    Args:
        unfinished: numbers of recorded trials to go on with.
    """

    def __init__(self, book: Book, space: Space, searcher: Searcher, unfinished: list[int]) -> None:
        super().__init__()
        self.book, self.space, self._source = book, space, searcher
        self._unfinished = list(unfinished)
        self._next = max(book.trials, default=-1) + 1

    def suggest(self, trial_id: str) -> Any:
        if self._unfinished:
            number = self._unfinished.pop(0)
        else:
            number = self._next
            config = self._source.propose(number)
            if config is None:
                return self.FINISHED
            self._next += 1
            self.book.record(number, config=config, state="waiting")
        self.book.numbers[trial_id] = number
        return self.book.order(number, self.space.changes(self.book.trials[number].config))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        known = self.book.trials[self.book.numbers[trial_id]]
        sound = not error and known.state not in ("diverged", "failed")
        self._source.tell(known.number, known.config, known.score if sound else None)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        pass

    def get_state(self) -> dict[str, Any]:
        """Nothing: a sweep goes on from its own records, not from Ray's."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        raise NotImplementedError("a sweep goes on from its own records, not from Ray's")
