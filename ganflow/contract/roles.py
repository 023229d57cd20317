"""Text encoders, trackers and trial executors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

Pictures = Callable[[int], Tensor]
"""The training pictures, reduced to so many pixels a side: (n, channels, side, side) in [-1, 1]."""


class TextEncoder(ABC):
    """Encoder of sentences as vectors. Data with captions have one; it is learnt, where it learns, before the game is played, and
    is kept in the run's folder, so that sentences can be drawn wherever the run is.

    Attributes:
        dim: numbers of a vector; known once it has learnt.
    """

    dim: int

    @abstractmethod
    def encode(self, sentences: Sequence[str]) -> Tensor:
        """(n, dim) float32 on the CPU, coordinates of about unit size. A sentence's vector does not depend on the others."""

    @abstractmethod
    def unknown(self, sentence: str) -> list[str]:
        """The sentence's words that the encoder does not know, for messages."""

    def learn(self, captions: Sequence[Sequence[str]], pictures: Pictures) -> None:  # noqa: B027  (some are learnt already)
        """Learn from the training part alone: captions[i] describe picture i. The same examples give the same encoder."""

    def state(self) -> dict[str, Tensor]:
        """The learnt state, in a few tensors; empty where it is at hand anyway."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:  # noqa: B027
        """Load what `state` returned."""

    @abstractmethod
    def about(self) -> str:
        """A few words that differ for encoders that differ before they learn: the key under which it is cached."""

    def match(self, pictures: Tensor, text: Tensor) -> Tensor:
        """Matching loss of pictures (n, channels, height, width) and the vectors (n, dim) that belong to them: a scalar through
        which gradients flow to the pictures.

        Raises:
            NotImplementedError: it knows nothing of pictures; `matches` says so beforehand.
        """
        raise NotImplementedError(f"{type(self).__name__} knows sentences, and no pictures")

    @property
    def matches(self) -> bool:
        return type(self).match is not TextEncoder.match


@dataclass(frozen=True)
class TrackedRun:
    """A run as its trackers see it.

    Attributes:
        name: the recipe's name.
        id: the run's, unique among runs: "20261125-093015-0421"; of a sweep's trial, the sweep's id and the trial's number.
        folder: where the run's files are. A tracker that writes files writes them here: the recipe may be a stranger's.
            Links out of it are for a folder of the tracker's own in it: beside the run's files they are refused.
        recipe: the resolved recipe as plain data, defaults included.
    """

    name: str
    id: str
    folder: Path
    recipe: Mapping[str, Any]


class Tracker(ABC):
    """Receiver of everything in a run's journal, line by line, and of the pictures; also of every trial of a sweep.

    It is called in the process that trains (the first, where several train together), between rounds: whatever takes longer than
    milliseconds belongs into a thread of its own. An exception ends the tracking by this tracker, not the training. A process
    that is killed calls nothing any more; the run that goes on begins the tracker again, with all that it missed.
    """

    @abstractmethod
    def begin(self, run: TrackedRun) -> None:
        """Begin a run, or go on with it. The journal up to the checkpoint from which a run goes on follows again, from the first
        line on, and the pictures up to it: write it anew, or pass over what is already there. What was reported later, before
        the run was interrupted, is void, and comes again."""

    @abstractmethod
    def values(self, round: int, time: float, values: Mapping[str, float]) -> None:
        """Numbers by name after `round` rounds, noted at `time` seconds since 1970: terms, estimates and rates; or scores. They
        may be NaN or infinite."""

    def picture(self, round: int, path: Path) -> None:  # noqa: B027  (many show none)
        """A picture, a PNG file, of generated examples after `round` rounds."""

    def end(self, status: str) -> None:  # noqa: B027  (many have nothing to close)
        """End the run, for now at least: "finished", "interrupted", "stopped" or "failed"."""


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
        """Wait until no other process trains it."""

    def open(self) -> TrialSession:
        """Begin to play it in this process, or go on; waits first."""


class Executor(ABC):
    """Player of trials. Ray decides where and when, and a sweep has an executor in each of its processes.

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
