"""What a sweep that goes on knows of what was before: searcher and scheduler are told again what the records and the trials'
journals tell, for they have no state of their own that could be lost."""

from __future__ import annotations

from collections.abc import Iterable

from ganflow.runs import RunFolder
from ganflow.tracking import entries
from ganflow.tune.book import Book
from ganflow.tune.folder import MACHINE
from ganflow.tune.schedulers import Stopping
from ganflow.tune.search import Searcher

Report = tuple[float, int, float]  # time, round, score


def remember(book: Book, metric: str, searcher: Searcher, scheduler: Stopping | None) -> list[int]:
    """Tell searcher and scheduler of the recorded trials. Those that the machine broke are to be tried again.

    Returns:
        The numbers of the trials that are to go on.

    Raises:
        GanflowError: a journal is damaged.
    """
    for number, record in sorted(book.trials.items()):
        if record.state == "failed" and record.cause == MACHINE:
            book.record(number, state="waiting", error="", cause="")
        score = record.score if record.state in ("finished", "stopped") else None
        searcher.restore(number, record.config, score, record.over)
    unfinished = [number for number, record in sorted(book.trials.items()) if not record.over]
    if scheduler is not None:
        histories = {number: scored(book.folder.trial(number), metric) for number in book.trials}
        stopped = scheduler.remember(in_time(histories))
        for number in [n for n in unfinished if n in stopped]:  # the sweep died before this was written down
            _stop(book, number, histories[number][-1])
            unfinished.remove(number)
    for number in unfinished:
        book.record(number, state="waiting", error="")
    return unfinished


def _stop(book: Book, number: int, last: Report) -> None:
    _, round, score = last
    book.record(number, state="stopped", round=round, score=score)
    book.folder.trial(number).update(status="stopped")


def scored(folder: RunFolder, metric: str) -> list[Report]:
    """(time, round, score) of every report of a run that had a score."""
    return [(e.time, e.round, e.values[metric]) for e in entries(folder.journal) if metric in e.values]


def in_time(histories: dict[int, list[Report]]) -> Iterable[tuple[int, int, float]]:
    """(trial, round, score) of all trials, in the order in which they were reported."""
    every = [(time, number, round, score) for number, points in histories.items() for time, round, score in points]
    return [(number, round, score) for _, number, round, score in sorted(every)]
