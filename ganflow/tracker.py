"""Trackers: what is fed with a run's numbers and pictures, to keep or show them elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TrackedRun:
    """A run as its trackers see it.

    Attributes:
        name: the recipe's name.
        id: the run's, unique among runs: "20261125-093015-0421"; of a sweep's trial, the sweep's id and the trial's number.
        folder: where the run's files are. A tracker that writes files writes them here: the recipe may be a stranger's.
        recipe: the resolved recipe as plain data, defaults included.
    """

    name: str
    id: str
    folder: Path
    recipe: Mapping[str, Any]


class Tracker(ABC):
    """Gets everything that a run's journal says, line by line, and the pictures; also of every trial of a sweep.

    It is called in the process that trains (the first, where several train together), between rounds: whatever takes longer than
    milliseconds belongs into a thread of its own. An exception ends the tracking by this tracker, not the training. A process
    that is killed calls nothing any more; the run that goes on begins the tracker again, with all that it missed.
    """

    @abstractmethod
    def begin(self, run: TrackedRun) -> None:
        """A run begins or goes on. What its journal says up to the checkpoint from which it goes on follows again, from the first
        line on, and the pictures up to it: write it anew, or pass over what is already there. What was reported later, before the
        run was interrupted, is void, and comes again."""

    @abstractmethod
    def values(self, round: int, time: float, values: Mapping[str, float]) -> None:
        """Numbers by name after `round` rounds, noted at `time` seconds since 1970: terms, estimates and rates; or scores. They
        may be NaN or infinite."""

    def picture(self, round: int, path: Path) -> None:  # noqa: B027  (many show none)
        """The picture, a PNG file, of what the generator makes after `round` rounds."""

    def end(self, status: str) -> None:  # noqa: B027  (many have nothing to close)
        """The run is over, for now at least: "finished", "interrupted", "stopped" or "failed"."""
