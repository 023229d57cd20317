"""Sending one folder, or a sweep with its trials, to MLflow: what it has not got yet, each thing once."""

from __future__ import annotations

import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ganflow.addresses import redacted
from ganflow.errors import GanflowError, NewestDamaged
from ganflow.runs import folders, journal
from ganflow.runs.folders import RunFolder, check, here, is_sweep
from ganflow.tracking import connection as connection_module
from ganflow.tracking import outbox, store
from ganflow.tracking.connection import Connection, images_of, log_image
from ganflow.tracking.outbox import ENDS, Point, Settings, State, points, samples, seen

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from ganflow.tracking.connection import Artifacts

_AT_ONCE = 1000  # metrics in a request, MLflow's limit
_MANY = 100  # parameters or tags in a request, MLflow's limit


@dataclass
class SyncResult:
    """What was sent: the number of points and of pictures, whether the generator was logged as a model, why it ended
    early ("" when it did not), and where it went."""

    points: int = 0
    images: int = 0
    model: bool = False
    error: str = ""
    uri: str = ""


class Sender:
    """Sends one folder, a run's or a sweep's own; knows what was sent. Nobody else may send it meanwhile.

    Args:
        checkpoint: whose generator is logged as a model: "last", "best" or a file.
    """

    def __init__(self, folder: RunFolder, connection: Connection, checkpoint: str = "last") -> None:
        self.folder, self.connection, self.checkpoint = folder, connection, checkpoint
        self.state = State.read(folder)
        if connection.uri != self.state.uri:  # another store: it is asked what it has
            self.state = State(uri=connection.uri)
            self.state.write(folder)
        self.result: SyncResult = SyncResult(uri=connection.uri)
        self.sweep = is_sweep(folder)
        self._seen = self.state.seen if self.state.status in ENDS and not self.state.error else []
        self._artifacts: Artifacts
        self._asked = False  # whether it is known what the server has
        self._described: list[int] = []
        self._told: dict[str, str] = {}  # tags of a sweep's standing
        self._journal = journal.Reader(folder.journal)

    @property
    def done(self) -> bool:
        """Whether MLflow has it to its end."""
        return self.state.status in ENDS and not self.state.error

    def idle(self) -> bool:
        """Whether there is nothing new in the folder since MLflow got everything that was there. Costs some microseconds."""
        return self._seen == seen(self.folder)

    def doubt(self) -> None:
        """The store has not got what the folder says that it has."""
        self._seen, self._asked = [], False

    def attempt(self, status: str) -> bool:
        """Send everything there is; whether that failed for a reason outside the folder, such as a store that is away. The
        status "running" reopens the MLflow run, an end ends it."""
        now = seen(self.folder)
        try:
            whole = self._send(status, now)
            self._seen, self.result.error = now if whole else [], ""
            return False
        except GanflowError as error:
            self._seen, self.result.error = now, str(error)
            return False
        except Exception as error:  # whatever MLflow raises: the folder has it all, and the next attempt sends it
            self._seen, self.result.error = [], self.connection.reason(error)
            self._asked = False  # the server is asked again what it has
            self.connection.lost()
            return True
        finally:
            if self.result.error != self.state.error:
                with suppress(OSError):  # a full disk, a deleted folder
                    self._noted(error=self.result.error)

    def _send(self, status: str, now: list[int]) -> bool:
        """Returns whether everything was whole; a picture that is still being written is not."""
        check(self.folder)
        client, settings = self.connection.client(), Settings.of(self.folder)
        if not self._asked or self._described != _recipe(now):
            self._ask(client)
            self._asked, self._described = True, _recipe(now)
        if status == "running" and self.state.status:
            client.update_run(self.state.run_id, status="RUNNING")
            client.set_tag(self.state.run_id, connection_module.STATUS, status)
            self._noted(status="", seen=[])
        self._send_points(client)
        whole = self._send_images(client) if settings.images else True
        if self.sweep:
            self._send_standing(client)
        if self.sweep or status in ENDS:
            self._send_files(settings.files)
        if status not in ENDS:
            return whole
        problem = self._send_model(client) if status == "finished" and settings.log_model else None
        if self.state.status != status:
            client.set_tag(self.state.run_id, connection_module.STATUS, status)
            client.set_terminated(self.state.run_id, ENDS[status], end_time=self._last_report())
        now = now if whole else []
        if (self.state.status, self.state.seen) != (status, now):
            self._noted(status=status, seen=now)
        if problem is not None:
            why = str(problem) if isinstance(problem, GanflowError) else self.connection.reason(problem)
            if isinstance(problem, NewestDamaged):
                file, run = (shlex.quote(str(here(path))) for path in (problem.instead, self.folder.path))
                why += f"; to log that: ganflow sync {run} --checkpoint {file}"
            raise GanflowError(f"the generator could not be logged as a model: {why}") from problem
        return whole

    def _ask(self, client: MlflowClient) -> None:
        """Find or make the run, learn from the server what it has, and describe it."""
        run = self.connection.run(self.folder)
        self._artifacts = self.connection.artifacts(run.info.run_id, run.info.artifact_uri)
        self.state.experiment_id, self.state.run_id = run.info.experiment_id, run.info.run_id
        self.state.steps = {metric.key: metric.step for metric in run.data.to_proto().metrics}
        self.state.images = images_of(self._artifacts) if "mlflow.loggedImages" in run.data.tags else []
        self.state.model = max((model.step for model in run.outputs.model_outputs), default=None) if run.outputs else None
        if ENDS.get(self.state.status, "RUNNING") != run.info.status:
            self.state.status = next((ours for ours, theirs in ENDS.items() if theirs == run.info.status), "")
        self._journal, self._told = journal.Reader(self.folder.journal), {}
        self._send_description(client, run)
        self.state.write(self.folder)

    def _send_description(self, client: MlflowClient, run: Any) -> None:
        from mlflow.entities import Param, RunTag

        run_id, tags = run.info.run_id, connection_module.tags(self.folder, self.connection.parent(self.folder))
        wanted, had = connection_module.parameters(self.folder), run.data.params
        new = [Param(name, value) for name, value in wanted.items() if name not in had]
        for name, value in wanted.items():  # MLflow refuses to change a parameter: what a resumed run changed is a tag
            tag = f"ganflow.resumed_with.{name}"[:250]
            if had.get(name, value) != value or tag in run.data.tags:
                tags[tag] = value[:5000]
        changed = [RunTag(name, value) for name, value in tags.items() if run.data.tags.get(name) != value]
        for i in range(0, max(len(new), len(changed)), _MANY):
            client.log_batch(run_id, params=new[i : i + _MANY], tags=changed[i : i + _MANY])
        if self.folder.recipe.exists():
            self._send_file(self.folder.recipe, None)
        data = connection_module.dataset(self.folder)
        if data is not None and not run.inputs.dataset_inputs:
            client.log_inputs(run_id, [data])

    def _send_points(self, client: MlflowClient) -> None:
        from mlflow.entities import Metric

        new: list[Point] = list(points(self._journal.new(), self.state.steps))
        for i in range(0, len(new), _AT_ONCE):
            batch = new[i : i + _AT_ONCE]
            client.log_batch(self.state.run_id, [Metric(p.name, p.value, p.time, p.round) for p in batch])
            self.state.steps |= {p.name: p.round for p in batch}
            self.result.points += len(batch)
        if new:
            self.state.write(self.folder)

    def _send_images(self, client: MlflowClient) -> bool:
        new = [(round, path) for round, path in samples(self.folder) if round not in self.state.images]
        for round, path in new:
            if log_image(client, self._artifacts, round, path):
                self._noted(images=[*self.state.images, round])
                self.result.images += 1
        return all(round in self.state.images for round, _ in new)

    def _send_standing(self, client: MlflowClient) -> None:
        """The best trial so far of a sweep."""
        from mlflow.entities import RunTag

        standing = connection_module.standing(self.folder)
        changed = [RunTag(name, value) for name, value in standing.items() if self._told.get(name) != value]
        if changed:
            client.log_batch(self.state.run_id, tags=changed)
            self._told = standing

    def _send_files(self, names: tuple[str, ...]) -> None:
        """The plots, and what run.json asks for besides; each again when it has changed."""
        asked = [self.folder.path / name for name in names]
        outside = [path for path in asked if not path.resolve().is_relative_to(self.folder.path.resolve())]
        if outside:
            raise GanflowError(f"run.json asks for {names[asked.index(outside[0])]} to be sent, which is not in the run's folder")
        for path in (*sorted(self.folder.plots.glob("*.png")), *(p for p in asked if p.is_file())):
            name, changed = path.relative_to(self.folder.path), path.stat().st_mtime
            if self.state.files.get(name.as_posix()) != changed:
                place = name.parent.as_posix()
                self._send_file(path, None if place == "." else place)
                self._noted(files={**self.state.files, name.as_posix(): changed})

    def _send_file(self, path: Path, place: str | None) -> None:
        """One file; a text without the passwords that earlier versions kept in it."""
        text = path.read_text(errors="replace") if path.suffix in (".yaml", ".csv", ".json", ".txt") else ""
        if redacted(text) == text:
            self._artifacts.put(path, place)
            return
        with TemporaryDirectory() as scratch:
            Path(scratch, path.name).write_text(redacted(text))
            self._artifacts.put(Path(scratch, path.name), place)

    def _send_model(self, client: MlflowClient) -> Exception | None:
        """Log the generator. A model that cannot be logged does not keep the run from ending: the error is returned."""
        if self.state.model is not None and self.state.model >= self.folder.read().round:
            return None
        try:
            from ganflow.tracking.model import log_generator

            ids = self.state.experiment_id, self.state.run_id
            self._noted(model=log_generator(client, self.folder, *ids, self.connection.artifacts, self.checkpoint))
        except Exception as error:
            return error
        self.result.model = self.state.model is not None
        return None

    def _noted(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self.state, name, value)
        self.state.write(self.folder)

    def _last_report(self) -> int | None:
        times = [int(entry.time * 1000) for entry in journal.entries(self.folder.journal)]
        return times[-1] if times else None


def _recipe(now: list[int]) -> list[int]:
    """The part of `seen` that tells of the recipe."""
    return now[3:6]


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
        wrong = [f"{outbox.title(s.folder)}: {s.result.error}" for s in everyone if s.result.error]
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
        there = outbox.trials(self.folder)
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
    return "killed" if told == "running" and sweep != "running" and not folders.is_running(trial) else told
