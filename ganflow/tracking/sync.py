"""Sending a run's folder, or a sweep's with its trials, to MLflow: what it has not got yet, each thing once; or following it."""

from __future__ import annotations

import logging
import shlex
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow.addresses import bare, is_http, password_problem
from ganflow.errors import GanflowError, NewestDamaged, escaped
from ganflow.lock import Held, locked
from ganflow.runs import folders, journal
from ganflow.runs.folders import RunFolder, here, is_sweep
from ganflow.tracking import contents, outbox, store
from ganflow.tracking.contents import images_of, log_image, put_redacted
from ganflow.tracking.description import NOTE, describe, show_picture
from ganflow.tracking.destination import Destination, of_folder, remember, without_credentials
from ganflow.tracking.outbox import ENDS, State, current_status, points, samples, seen, settings
from ganflow.tracking.registry import NotRegistered, latest_model, send_model
from ganflow.tracking.store import Connection
from ganflow.tracking.system import sampled

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from ganflow.runs.evaluations import Evaluation
    from ganflow.tracking.contents import Artifacts

EVERY = 3.0
"""Seconds between attempts to send a folder that is followed. One that finds points costs about 20 ms."""
PATIENCE = 10.0
"""Seconds that a training process which is about to end has to say how."""
_SLOWEST = 30.0  # seconds between attempts to send to a server that is away
_LOCK = ".tracking.lock"
_AT_ONCE = 1000  # metrics in a request, MLflow's limit


@dataclass
class SyncResult:
    """Numbers of points and pictures sent, whether the generator was, why it ended early (else ""), and where it went."""

    points: int = 0
    images: int = 0
    model: bool = False
    error: str = ""
    uri: str = ""


def sync(
    folder: RunFolder,
    follow: bool = False,
    *,
    uri: str | None = None,
    over: threading.Event | None = None,
    every: float = EVERY,
    checkpoint: str | None = None,
) -> SyncResult:
    """Send what MLflow has not got yet. Nothing is sent twice, and one folder is one MLflow run, however often it is
    interrupted, resumed or sent. Of a sweep all trials are sent too, as children of its run.

    Args:
        folder: the run, or the sweep.
        follow: go on until the run is over; a store that is away is tried again and again.
        uri: send to this store instead of the run's. The user named it: it gets his credentials, and is remembered.
        over: set when the training process has ended (or was killed, as a run that calls itself running); no store is waited for.
        every: seconds between attempts.
        checkpoint: as of `Sender`.

    Raises:
        GanflowError: the folder names a store that may not be used, or a server that the user has not named himself and that is
            not the one of a training which goes on.
    """
    try:
        for opened in filter(None, (folder, outbox.sweep_of(folder))):
            folders.check(opened)
    except GanflowError as error:
        return SyncResult(error=str(error), uri=uri or "MLflow")
    to = _allowed(folder, uri, attached=over is not None)
    barred = to.barred()  # before they are hidden
    if to.trusted and not to.is_default:
        remember(to.uri)
    try:
        here = sampled(folder) if follow and over is not None else nullcontext()  # beside the training
        with _alone(folder, timeout=60 if follow else 2), nullcontext() if to.trusted else without_credentials(), here:
            sweep = is_sweep(folder)
            connection = Connection(to.uri, to, barred, whole=sweep)
            sender = Sweep(folder, connection, over is None) if sweep else Sender(folder, connection, checkpoint)
            if follow:
                _follow(sender, folder, over, every, to.uri)
            else:
                sender.attempt(current_status(folder))
            return sender.result
    except Held:
        return SyncResult(error="another process is sending this run", uri=to.uri)


def _allowed(folder: RunFolder, uri: str | None, attached: bool) -> Destination:
    """The folder's destination, if it may be sent there."""
    to = of_folder(folder, uri)
    type_this = f"ganflow sync {shlex.quote(str(here(folder.path)))} --uri {shlex.quote(bare(to.uri))}"
    problem = None if to.trusted else password_problem(to.uri)
    if problem:
        raise GanflowError(f"{outbox.title(folder)}: {problem}; then: {type_this}")
    to.check(type_this)
    if not to.trusted and not attached and is_http(to.uri):
        raise GanflowError(f"{outbox.title(folder)} says that it is to be sent to {to.uri}, an address that you have not "
                           f"typed yet; if you mean it: {type_this}")  # fmt: skip
    return to


@contextmanager
def _alone(folder: RunFolder, timeout: float) -> Iterator[None]:
    """Nobody else sends the folder. Single trials may be sent at the same time, while nobody sends their sweep."""
    above = outbox.sweep_of(folder)
    shared = locked(above.path / _LOCK, timeout, shared=True) if above else nullcontext()
    with shared, locked(folder.path / _LOCK, timeout):
        yield


def _follow(sender: Sender | Sweep, folder: RunFolder, over: threading.Event | None, every: float, uri: str) -> None:
    attached, over = over is not None, over or threading.Event()
    wait = every
    while True:
        ended = over.is_set()
        status = "running" if attached and not ended else current_status(folder, PATIENCE if ended else 0)
        before = sender.result.error
        away = sender.attempt(status)
        error = sender.result.error
        if error != before:
            logging.getLogger("ganflow").warning("%s", escaped(f"{uri}: {error or 'sending again'}"))
        if ended or (not attached and not away and status != "running"):
            return
        wait = min(max(2.0, 2 * wait), _SLOWEST) if error else every
        over.wait(wait)


class Sender:
    """Sends one folder, a run's or a sweep's without its trials; knows what was sent. Nobody else may send it meanwhile.

    Args:
        checkpoint: whose generator is logged as a model, however the run ended: "last", "best" or a file; None for the last of a
            run that has finished, if its recipe says so.
    """

    def __init__(self, folder: RunFolder, connection: Connection, checkpoint: str | None = None) -> None:
        self.folder, self.connection, self.checkpoint = folder, connection, checkpoint
        self.state = State.read(folder)
        if connection.uri != self.state.uri:  # another store: it is asked what it has
            self.state = State(uri=connection.uri)
            self.state.write(folder)
        self.result: SyncResult = SyncResult(uri=connection.uri)
        self.sweep = is_sweep(folder)
        self._seen = self.state.seen if self.done else []
        self._artifacts: Artifacts
        self._described: tuple[list[int], bool] | None = None  # the recipe's part of `seen`, and whether all of it was sent
        self._tags: dict[str, str] = {}  # of a sweep's best trial, or of a run's protocols and alarms, as sent
        self._journal, self._system = journal.Reader(folder.journal), journal.Reader(folder.path / outbox.SYSTEM)
        self._about: str | None = None  # the run's description in MLflow

    @property
    def done(self) -> bool:
        """True when MLflow has it to its end."""
        return self.state.status in ENDS and not self.state.error

    def idle(self) -> bool:
        """True when there is nothing new in the folder since MLflow got everything that was there. Costs some microseconds."""
        return self._seen == seen(self.folder)

    def doubt(self) -> None:
        """Ask the store again what it has: it has not got what the folder says that it has."""
        self._seen, self._described = [], None

    def attempt(self, status: str) -> bool:
        """Send everything there is; return whether that failed for a reason outside the folder, such as a store that is away.
        The status "running" reopens the MLflow run, an end ends it."""
        now, self.folder = seen(self.folder), outbox.Snapshot(self.folder.path)
        try:
            whole = self._send(status, now)
            self._seen, self.result.error = now if whole else [], ""
            return False
        except GanflowError as error:
            self._seen, self.result.error = now, str(error)
            return False
        except Exception as error:  # whatever MLflow raises: the folder has it all, and the next attempt sends it
            self.result.error = self.connection.reason(error)
            self.doubt()
            self.connection.lost()
            return True
        finally:
            if self.result.error != self.state.error:
                with suppress(OSError):  # a full disk, a deleted folder
                    self._note(error=self.result.error)
            self.folder = RunFolder(self.folder.path)

    def _send(self, status: str, now: list[int]) -> bool:
        """Returns whether everything was whole; a picture that is still being written is not."""
        folders.check(self.folder)
        client, wanted = self.connection.client(), settings(self.folder)
        if self._described != (described := (now[3:6], outbox.settled(self.folder, status))):
            self._ask(client, described[1])
            self._described = described
        if status == "running" and self.state.status:
            store.reopen(client, self.state.run_id)
            client.set_tag(self.state.run_id, contents.STATUS, status)
            self._note(status="", seen=[])
        evaluated, damaged = outbox.evaluated(self.folder)
        self._send_points(client, evaluated)
        whole = self._send_images(client) if wanted["images"] else True
        self._send_tags(client, contents.best_tags(self.folder) if self.sweep else contents.run_tags(self.folder, evaluated))
        if self.sweep or status in ENDS:
            self._send_files(wanted["files"])
        if status in ENDS:
            self._send_end(client, status, now if whole else [], evaluated)
        if damaged:  # all else is sent
            raise damaged
        return whole

    def _send_end(self, client: MlflowClient, status: str, seen: list[int], evaluated: list[Evaluation]) -> None:
        """Send the generator and the status; a generator that cannot be logged as a model is reported afterwards."""
        due = self.checkpoint is not None or (status == "finished" and settings(self.folder)["log_model"])
        problem = self._send_model(client, evaluated) if due and not self.sweep else None
        if self.state.status != status:
            client.set_tag(self.state.run_id, contents.STATUS, status)
            client.set_terminated(self.state.run_id, ENDS[status], end_time=outbox.ended(self.folder))
        if (self.state.status, self.state.seen) != (status, seen):
            self._note(status=status, seen=seen)
        if isinstance(problem, NotRegistered):
            raise problem
        if problem is not None:
            why = str(problem) if isinstance(problem, GanflowError) else self.connection.reason(problem)
            if isinstance(problem, NewestDamaged):
                file, run = (shlex.quote(str(here(path))) for path in (problem.instead, self.folder.path))
                why += f"; to log that: ganflow sync {run} --checkpoint {file}"
            raise GanflowError(f"the generator could not be logged as a model: {why}") from problem

    def _send_tags(self, client: MlflowClient, tags: dict[str, str]) -> None:
        """Tags that have changed. Those of alarms and changes that a resumed run has not had are taken back."""
        contents.set_tags(client, self.state.run_id, dict(sorted(tags.items() - self._tags.items())))
        for name in [name for name in self._tags if name.startswith((contents.ALARM, contents.CHANGES)) and name not in tags]:
            client.delete_tag(self.state.run_id, name)
            del self._tags[name]
        self._tags |= tags

    def _ask(self, client: MlflowClient, settled: bool) -> None:
        """Find or make the run, learn from the server what it has, and describe it."""
        run = self.connection.run(self.folder)
        self._artifacts = self.connection.artifacts(run.info.run_id, run.info.artifact_uri)
        self.state.experiment_id, self.state.run_id = run.info.experiment_id, run.info.run_id
        self.state.note_metrics(run.data.to_proto().metrics, partial(client.get_metric_history, run.info.run_id))
        self.state.images = images_of(self._artifacts) if "mlflow.loggedImages" in run.data.tags else []
        self.state.model, self.state.model_id = latest_model(run.outputs)
        if ENDS.get(self.state.status, "RUNNING") != run.info.status:
            self.state.status = next((ours for ours, theirs in ENDS.items() if theirs == run.info.status), "")
        self._journal, self._tags = journal.Reader(self.folder.journal), {**run.data.tags}
        self._system, self._about = journal.Reader(self.folder.path / outbox.SYSTEM), run.data.tags.get(NOTE)
        describe(client, run, self.folder, self._artifacts, self.connection.parent(self.folder), settled)
        self.state.write(self.folder)

    def _send_points(self, client: MlflowClient, evaluated: Sequence[Evaluation]) -> None:
        from mlflow.entities import Metric

        reported = [*outbox.noted(self.folder), *self._journal.new(), *self._system.new()]
        new = [*points(reported, self.state.steps)]
        new += outbox.scores(evaluated, self.state.evaluated)
        for i in range(0, len(new), _AT_ONCE):
            batch = new[i : i + _AT_ONCE]
            client.log_batch(self.state.run_id, [Metric(p.name, p.value, p.time, p.round, self._model_of(p)) for p in batch])
            self.state.steps |= {p.name: p.round for p in batch}
            self.state.evaluated = max([self.state.evaluated, *(p.time for p in batch if p.name.startswith(outbox.EVALUATED))])
            self.result.points += len(batch)
        if new:
            self.state.write(self.folder)

    def _model_of(self, point: outbox.Point) -> str | None:
        """The model that was evaluated."""
        same = point.round == self.state.model and point.name.startswith(outbox.EVALUATED)
        return self.state.model_id or None if same else None

    def _send_images(self, client: MlflowClient) -> bool:
        new = [(round, path) for round, path in samples(self.folder) if round not in self.state.images]
        for round, path in new:
            if artifact := log_image(client, self._artifacts, round, path):
                self._note(images=[*self.state.images, round])
                self.result.images += 1
                if round == max(self.state.images):
                    self._about = show_picture(client, self.state.run_id, round, artifact, self._about)
        return all(round in self.state.images for round, _ in new)

    def _send_files(self, names: list[str]) -> None:
        """The plots, and what run.json asks for besides, of a folder its recipes; each again when it has changed."""
        asked = [self.folder.path / name for name in names]
        for name, path in zip(names, asked, strict=True):
            if not path.resolve().is_relative_to(self.folder.path.resolve()):
                raise GanflowError(f"run.json asks for {name} to be sent, which is not in the run's folder")
        recipes = [path for folder in asked for path in sorted(folder.glob("*.yaml")) if not path.is_symlink()]
        for path in (*sorted(self.folder.plots.glob("*.png")), *(p for p in (*asked, *recipes) if p.is_file())):
            file, changed = path.relative_to(self.folder.path), path.stat().st_mtime
            if self.state.files.get(file.as_posix()) != changed:
                within = file.parent.as_posix()
                put_redacted(self._artifacts, path, None if within == "." else within)
                self._note(files={**self.state.files, file.as_posix(): changed})

    def _send_model(self, client: MlflowClient, evaluated: list[Evaluation]) -> Exception | None:
        """Log the generator; return the error where that cannot be done."""
        try:
            self.result.model |= send_model(client, self.folder, self.state, self.connection, self.checkpoint, evaluated)
        except Exception as error:
            return error
        return None

    def _note(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self.state, name, value)
        self.state.write(self.folder)


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
        self._away = ""  # why the store does not answer

    @property
    def result(self) -> SyncResult:
        """Of all together; the error is the store's, or the first folder's."""
        total = SyncResult(error=self._away, uri=self.connection.uri)
        wrong = []
        for sender in (self.parent, *self.trials.values()):
            total.points += sender.result.points
            total.images += sender.result.images
            total.model |= sender.result.model
            wrong += [f"{outbox.title(sender.folder)}: {sender.result.error}"] if sender.result.error else []
        if wrong and not total.error:
            total.error = wrong[0] + (f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else "")
        return total

    def attempt(self, status: str) -> bool:
        """Send everything there is; return whether something failed for a reason outside the folders. The parent goes first
        while the sweep runs, and last when it ends, if nothing of the trials failed: what is finished in MLflow is complete."""
        self._away = ""
        try:
            self._find_trials()
        except Exception as error:  # whatever MLflow raises
            self._away = store.reason(error)
            self.connection.lost()
            return True
        running, failed = status == "running", False
        trials = [trial for trial in self.trials.values() if not (trial.idle() and (running or trial.done))]
        for sender in [self.parent, *trials] if running else [*trials, self.parent]:
            if sender is self.parent and failed:
                break
            if sender.attempt(status if sender is self.parent else _trial_status(sender.folder, status)):
                failed = True
                if not self.connection.answers():
                    self._away = sender.result.error
                    break
        return failed

    def _find_trials(self) -> None:
        there = outbox.trials(self.folder)
        new = [path for path in there if path not in self.trials]
        self.trials = {path: self.trials.get(path) or Sender(RunFolder(path), self.connection) for path in there}
        if self._ask:
            self._ask, has = False, self.connection.children(self.folder)
            for path in new:
                if path.name not in has:
                    self.trials[path].doubt()


def _trial_status(trial: RunFolder, sweep: str) -> str:
    """The status of a trial. While the sweep runs, that is what the trial says: it may be trained on another machine, and if it
    was killed the sweep begins it again. Afterwards one that calls itself running was killed."""
    try:
        noted = trial.read().status
    except GanflowError:  # the attempt says what is wrong
        return "running"
    return "killed" if noted == "running" and sweep != "running" and not folders.is_running(trial) else noted
