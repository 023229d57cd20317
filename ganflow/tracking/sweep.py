"""Sending a whole sweep: its own folder as the parent run, its trials' folders as children, all through one client.

It is made for hundreds of trials: what has not changed since it was sent is passed over after a look at five files' times,
no file stays open between looks, and the process holds the connections of one client.
"""

from __future__ import annotations

from pathlib import Path

from ganflow import runs
from ganflow.errors import GanflowError
from ganflow.runs import RunFolder
from ganflow.tracking import family, store
from ganflow.tracking.connection import Connection
from ganflow.tracking.sender import Sender, SyncResult


class Sweep:
    """Sends a sweep's folder and those of its trials, also of trials that begin while it is followed.

    Args:
        ask: ask the store whether it has the trials' runs, also of those that are known to have been sent: somebody may have
            deleted them.
    """

    def __init__(self, folder: RunFolder, connection: Connection, ask: bool) -> None:
        self.folder, self.connection = folder, connection
        self.parent = Sender(folder, connection)
        self.trials: dict[Path, Sender] = {}
        self._ask = ask
        self._away = ""  # why the store cannot be reached

    @property
    def result(self) -> SyncResult:
        """Of all together; the error is the store's, or the first folder's."""
        everyone = [self.parent, *self.trials.values()]
        wrong = [f"{family.title(s.folder)}: {s.result.error}" for s in everyone if s.result.error]
        error = self._away or "".join(wrong[:1]) + (f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else "")
        return SyncResult(
            points=sum(s.result.points for s in everyone),
            images=sum(s.result.images for s in everyone),
            model=any(s.result.model for s in everyone),
            error=error,
            uri=self.connection.uri,
        )

    def attempt(self, status: str) -> bool:
        """Send everything there is. The parent goes first while the sweep runs, and last when it ends: what is finished in
        MLflow is complete. Returns whether the store could not be reached."""
        self._away = ""
        try:
            self._find_trials()
        except Exception as error:  # whatever MLflow raises
            self._away = store.reason(error)
            self.connection.lost()
            return True
        running = status == "running"
        trials = [trial for trial in self.trials.values() if not (trial.idle() and (running or trial.done))]
        for sender in [self.parent, *trials] if running else [*trials, self.parent]:
            failed = sender.attempt(status if sender is self.parent else _standing(sender.folder, status))
            if failed and not self.connection.answers():
                self._away = sender.result.error
                return True
        return False

    def _find_trials(self) -> None:
        there = family.trials(self.folder)
        new = [path for path in there if path not in self.trials]
        self.trials = {path: self.trials.get(path) or Sender(RunFolder(path), self.connection) for path in there}
        if self._ask:
            self._ask, has = False, self.connection.children(self.folder)
            for path in new:
                if path.name not in has:
                    self.trials[path].doubt()


def _standing(trial: RunFolder, sweep: str) -> str:
    """How a trial stands. While the sweep runs, that is what the trial says: it may be trained on another machine, and if it
    was killed the sweep begins it again. Afterwards one that calls itself running was killed."""
    try:
        told = trial.read().status
    except GanflowError:  # the attempt says what is wrong
        return "running"
    return "killed" if told == "running" and sweep != "running" and not runs.is_running(trial) else told
