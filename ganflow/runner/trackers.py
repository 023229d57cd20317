"""What feeds a run's trackers from its journal. Whatever a tracker does, training goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ganflow.recipe import Recipe
from ganflow.runs import RunFolder
from ganflow.tracker import TrackedRun, Tracker
from ganflow.tracking import Reader


class Trackers:
    """The trackers of one run, in the recipe's sequence. One that raises is named, and called no more.

    Args:
        trackers: as the recipe's components built them.
        say: shows a sentence.
    """

    def __init__(self, recipe: Recipe, trackers: Sequence[Tracker], folder: RunFolder, say: Callable[[str], None]) -> None:
        self._recipe, self._folder, self._say = recipe, folder, say
        names = (str(chosen.component) for chosen in recipe.trackers)
        self._fed = dict(enumerate(zip(names, trackers, strict=True)))
        self._journal = Reader(folder.journal)

    def begin(self, round: int) -> None:
        """Begin, with the journal from its first line and the pictures of the first `round` rounds."""
        if not self._fed:
            return
        run = TrackedRun(self._recipe.name, self._folder.id, self._folder.path, self._recipe.resolved())
        self._each(lambda tracker: tracker.begin(run))
        self.values()
        for path in sorted(self._folder.samples.glob("round-*.png")):
            if (of := int(path.stem.removeprefix("round-"))) <= round and round:  # at 0 all of them are drawn again
                self.picture(of, path)

    def values(self) -> None:
        """Pass on the journal's new lines."""
        for entry in self._journal.new() if self._fed else ():
            self._each(lambda tracker, e=entry: tracker.values(e.round, e.time, dict(e.values)))  # type: ignore[misc]

    def picture(self, round: int, path: Path) -> None:
        """Pass on a picture, if it was drawn."""
        if self._fed and path.exists():
            self._each(lambda tracker: tracker.picture(round, path))

    def end(self, status: str) -> None:
        """Say how the run ended, once."""
        self._each(lambda tracker: tracker.end(status))
        self._fed.clear()

    def _each(self, call: Callable[[Tracker], None]) -> None:
        for i, (name, tracker) in list(self._fed.items()):
            try:
                call(tracker)
            except Exception as error:
                del self._fed[i]
                why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
                sentence = f"{name} failed: {why}; training goes on without it"
                self._say(sentence)
                self._folder.update(untracked=[*self._folder.read().untracked, sentence])
