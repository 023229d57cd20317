"""Executors: what plays the trials of a sweep, in a process that the sweep has for them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol


class TrialSession(Protocol):
    """A trial's run that is being played: iterate over what it reports, a step each, to its end."""

    def __iter__(self) -> Iterator[Any]: ...

    def stop(self, status: str = "stopped") -> None:
        """End it before its last round: what is left of the iteration keeps a checkpoint; its status is then this one."""


class TrialRun(Protocol):
    """A trial that is to be played. All that it is made of is in its folder: it goes on from its last checkpoint.

    Attributes:
        number: the trial's.
        recipe: the trial's own.
        folder: of its run; perhaps it is not there yet.
        about: what its run.json says besides, of the sweep.
    """

    number: int
    folder: Path
    about: Mapping[str, Any]

    @property
    def recipe(self) -> Any: ...

    def wait(self) -> None:
        """Until no other process trains it."""

    def open(self) -> TrialSession:
        """Begin to play it in this process, or go on; waits first."""


class Executor(ABC):
    """Plays trials. Ray decides where and when, and a sweep has an executor in each of its processes.

    Attributes:
        together: trials that one process is to have at once. More than one play to their end: `scheduler: none`.
        note: what the user is to know, in a sentence; it is shown once.
    """

    together: int = 1
    note: str = ""

    @abstractmethod
    def play(self, trials: Sequence[TrialRun]) -> Iterator[Sequence[tuple[int, Any]]]:
        """Play them to their end. Each item says what is new, as pairs: a trial's index in `trials`; and a step that its session
        reported, the GanflowError that ended it, or None where it ended well.

        Raises:
            GanflowError: what ends all of them.
        """

    @abstractmethod
    def finish(self, i: int) -> None:
        """End trial i, whose step was the last to be reported, before its last round, as finished. The others go on."""

    @abstractmethod
    def stop(self, status: str) -> None:
        """End all of them before their last round: what is left of the iteration keeps their checkpoints; their status is then
        this one ("interrupted" where they are to go on)."""
