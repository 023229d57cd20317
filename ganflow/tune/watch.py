"""What the driver does when Ray tells it of a trial: write it down, show it, keep the best so far."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol

from ray import tune
from ray.tune.experiment import Trial as RayTrial

from ganflow.errors import GanflowError
from ganflow.machine import broken
from ganflow.runs import is_running
from ganflow.tracking import Journal, entries
from ganflow.tune.book import Book
from ganflow.tune.deaths import why
from ganflow.tune.folder import MACHINE, OVER, TrialRecord
from ganflow.tune.table import best_of

Method = Callable[..., None]


def interrupting(method: Method) -> Method:
    """A method of the watcher's, in which a disk that fails interrupts the sweep: its trials are then ended as well as can be."""

    @wraps(method)
    def guarded(self: Watcher, *arguments: Any, **more: Any) -> None:
        try:
            method(self, *arguments, **more)
        except (GanflowError, OSError) as error:
            fault = broken(error, self.book.folder.path)
            if fault is None:
                raise
            self.breaks(str(fault))

    return guarded


class Shows(Protocol):
    """What is wanted of a display."""

    def update(self, trials: list[TrialRecord]) -> None: ...
    def note(self, text: str) -> None: ...
    def warn(self, text: str) -> None: ...


class Watcher(tune.Callback):
    """Listens to Ray."""

    def __init__(self, book: Book, journal: Journal, mode: str, display: Shows) -> None:
        self.book, self.journal, self.mode, self.display = book, journal, mode, display
        self.stopping = False  # the whole sweep is being interrupted
        self.broken = ""  # the disk or mount that failed, in a sentence
        self._noted: set[str] = set()
        self._over = sum(t.over for t in book.trials.values())
        journal.rewind(max(0, self._over - 1))  # a sweep that was killed may have noted its last trial, or not
        self.note_best()

    def end(self) -> None:
        """Ray has let go of all trials: those that are not over wait for the sweep to go on."""
        self._end()
        self._show()
        self.journal.close()

    @interrupting
    def _end(self) -> None:
        for number in [t.number for t in self.book.trials.values() if not t.over]:
            self.book.record(number, state="waiting", error="")
            self._warn(number)
        for number in [t.number for t in self.book.trials.values() if t.state == "stopped"]:
            self._settle(number)

    @interrupting
    def on_trial_start(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        self._tell(trial, state="running")

    @interrupting
    def on_trial_result(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, result: dict[str, Any], **info: Any
    ) -> None:
        if result.get("broken"):
            there = result["host"]
            self.breaks(result["broken"] if there == os.uname().nodename else f"on {there}: {result['broken']}")
        if result.get("note") and result["note"] not in self._noted:
            self._noted.add(result["note"])
            self.display.note(result["note"])
        for told in result.get("trials", [result]):
            new = {name: told[name] for name in ("round", "score", "place") if name in told}
            self.book.saw(told["trial"], **new)
            if told["state"] in OVER:  # Ray's "done" is also set where the scheduler stops it
                self._is_over(told["trial"], told["state"], told["error"])
        self._show()

    @interrupting
    def on_trial_complete(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        for number in self._going(trial):  # the scheduler ended it
            self._is_over(number, "stopped", "")
            self._settle(number)
        self._show()

    def _settle(self, number: int) -> None:
        """Ray pauses a trial before it stops it for good: its run calls itself interrupted until it is told that it is over."""
        run = self.book.folder.trial(number)
        if run.is_run() and run.read().status in ("interrupted", "running") and not is_running(run):
            run.update(status="stopped")

    @interrupting
    def on_trial_error(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        reason = why(trial)
        if reason.broken:
            self.breaks(reason.words)
            return
        error = f"{reason.words} ({trial.num_failures} times)" if trial.num_failures > 1 else reason.words
        for number in self._going(trial):
            run = self.book.folder.trial(number)
            if run.is_run():  # which nobody is there to note
                run.update(status="failed", error=error)
                self.book.saw(number, round=max((entry.round for entry in entries(run.journal)), default=0))
            self._is_over(number, "failed", error, MACHINE if reason.machine else "")
        self._show()

    @interrupting
    def on_trial_recover(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        reason = why(trial)
        if reason.broken:
            self.breaks(reason.words)
            return
        self._tell(trial, state="waiting", error=f"{reason.words}; it is begun again from its last checkpoint")

    def breaks(self, what: str) -> None:
        """A disk or a mount failed, and would end every other trial, too: the sweep is interrupted."""
        self.broken = self.broken or what

    def _going(self, trial: RayTrial) -> list[int]:
        return [number for number in self.book.numbers[trial.trial_id] if not self.book.trials[number].over]

    def _tell(self, trial: RayTrial, **values: Any) -> None:
        for number in self._going(trial):
            self.book.record(number, **values)
        self._show()

    def _show(self) -> None:
        self.display.update(list(self.book.trials.values()))

    def _is_over(self, number: int, state: str, error: str, cause: str = "") -> None:
        known = self.book.saw(number, state=state, error=error, cause=cause)
        names = ("score", "round", "place", "state", "error", *(["cause"] if cause else []))
        told = {name: getattr(known, name) for name in names}
        self.book.folder.record(number, **told)
        self._over += 1
        self._warn(number)
        self.note_best()

    def _warn(self, number: int) -> None:
        """Say that a trial went on from an older checkpoint because a newer one was damaged, once for each."""
        run = self.book.folder.trial(number)
        try:
            damaged = run.read().damaged if run.is_run() else []
        except GanflowError:
            return
        for file in damaged:
            text = f"trial {number}: damaged checkpoint passed over: {file['why']}; gone on from round {file['gone_on_from']}"
            if text not in self._noted:
                self._noted.add(text)
                self.display.warn(text)

    def note_best(self) -> None:
        """The best so far, in run.json, and in the journal by the number of trials that are over."""
        best = best_of(self.book.trials.values(), self.mode)
        told: dict[str, Any] = {"over": self._over}
        if best is not None:
            self.journal.append(self._over, {"best": float(best.score or 0.0)})
            told["best"] = {"trial": best.number, "score": best.score, "config": best.config}
        self.book.folder.update(**told)
