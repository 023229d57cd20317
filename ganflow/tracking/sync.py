"""Sending a run's or a sweep's folder to MLflow: once, or following it while it grows."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Protocol

from ganflow.addresses import bare, is_http, password_problem
from ganflow.errors import GanflowError
from ganflow.printing import say
from ganflow.runs import folders
from ganflow.runs.folders import RunFolder
from ganflow.runs.lock import Held, locked
from ganflow.tracking import outbox
from ganflow.tracking.connection import Connection
from ganflow.tracking.credentials import remember, without_credentials
from ganflow.tracking.destination import Destination, of_folder
from ganflow.tracking.sender import Sender, Sweep, SyncResult

EVERY = 3.0
"""Seconds between looks at a folder that is followed. One look that finds points costs about 20 ms."""
PATIENCE = 10.0
"""Seconds that a training process which is about to end has to say how."""
_SLOWEST = 30.0  # seconds between attempts to reach a server that is away
_LOCK = ".tracking.lock"


class Look(Protocol):
    """Sends what is there. `status` is how the run stands; returns whether the store could not be reached."""

    @property
    def result(self) -> SyncResult: ...

    def attempt(self, status: str) -> bool: ...


def sync(
    folder: RunFolder,
    follow: bool = False,
    *,
    uri: str | None = None,
    over: threading.Event | None = None,
    every: float = EVERY,
    checkpoint: str = "last",
) -> SyncResult:
    """Send what MLflow has not got yet. Nothing is sent twice, and one folder is one MLflow run, however often it is
    interrupted, resumed or sent. Of a sweep all trials are sent too, as children of its own run.

    Args:
        folder: the run, or the sweep.
        follow: go on until the run is over; a store that is away is tried again and again.
        uri: send to this store instead of the run's own. The user gave it: it gets his credentials, and is remembered.
        over: set when the training process has ended: what is there is sent, and a store that is away is not waited for.
            A run that still calls itself running then was killed.
        every: seconds between looks.
        checkpoint: whose generator is logged as a model: "last", "best" or a file.

    Raises:
        GanflowError: the folder names a store that may not be used, or a server that the user has not named himself and that is
            not the one of a training which goes on.
    """
    try:
        for opened in filter(None, (folder, outbox.sweep_of(folder))):
            folders.check(opened)
    except GanflowError as error:
        return SyncResult(error=str(error), uri=uri or "MLflow")
    where = _allowed(folder, uri, attached=over is not None)
    to, barred = where.uri, where.barred()
    if where.given and not where.own:
        remember(to)
    try:
        with _alone(folder, timeout=60 if follow else 2), nullcontext() if where.given else without_credentials():
            connection = Connection(to, where, barred)
            look: Look = Sender(folder, connection, checkpoint)
            if folders.is_sweep(folder):
                look = Sweep(folder, connection, over is None)
            if follow:
                _follow(look, folder, over, every, to)
            else:
                look.attempt(standing(folder))
            return look.result
    except Held:
        return SyncResult(error="another process is sending this run", uri=to)


def _allowed(folder: RunFolder, uri: str | None, attached: bool) -> Destination:
    """Where the folder is to be sent, if that may be."""
    where = of_folder(folder, uri)
    type_this = f"ganflow sync {shlex.quote(str(folders.here(folder.path)))} --uri {shlex.quote(bare(where.uri))}"
    problem = None if where.given else password_problem(where.uri)
    if problem:
        raise GanflowError(f"{outbox.title(folder)}: {problem}; then: {type_this}")
    where.check(type_this)
    if not where.given and not attached and is_http(where.uri):
        raise GanflowError(f"{outbox.title(folder)} says that it is to be sent to {where.uri}, an address that you have not "
                           f"typed yet; if you mean it: {type_this}")  # fmt: skip
    return where


@contextmanager
def _alone(folder: RunFolder, timeout: float) -> Iterator[None]:
    """Nobody else sends the folder. Single trials may be sent at the same time, while nobody sends their sweep."""
    above = outbox.sweep_of(folder)
    if above is None:
        with locked(folder.path / _LOCK, timeout):
            yield
    else:
        with locked(above.path / _LOCK, timeout, shared=True), locked(folder.path / _LOCK, timeout):
            yield


def _follow(look: Look, folder: RunFolder, over: threading.Event | None, every: float, uri: str) -> None:
    attached, over = over is not None, over or threading.Event()
    wait = every
    while True:
        ended = over.is_set()
        status = "running" if attached and not ended else standing(folder, PATIENCE if ended else 0)
        before = look.result.error
        away = look.attempt(status)
        if look.result.error != before:
            say(f"{uri}: {look.result.error or 'sending again'}")
        if ended or (not attached and not away and status != "running"):
            return
        wait = min(max(2.0, 2 * wait), _SLOWEST) if look.result.error else every
        over.wait(wait)


def standing(folder: RunFolder, patience: float = 0) -> str:
    """How a run or a sweep ended, or "running". One that still calls itself running while nobody trains it was killed; one
    whose training process is about to end is given `patience` seconds to say how, or was killed."""
    deadline = time.monotonic() + patience
    while (status := folder.read().status) == "running":
        if not folders.is_running(folder):
            return "killed"
        if time.monotonic() > deadline:
            return "killed" if patience else status
        time.sleep(0.1)
    return status
