"""Sending a run's folder to MLflow: once, or following it while it grows."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ganflow import runs
from ganflow.errors import GanflowError
from ganflow.runs import RunFolder
from ganflow.tracking import describe, journal, store
from ganflow.tracking.lock import Held, locked
from ganflow.tracking.pending import ENDS, Point, Settings, State, metric_name, points, samples, store_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

EVERY = 3.0
"""Seconds between looks at a folder that is followed. One look that finds points costs about 20 ms."""
_SLOWEST = 30.0  # seconds between attempts to reach a server that is away
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


def sync(
    folder: RunFolder,
    follow: bool = False,
    *,
    uri: str | None = None,
    over: threading.Event | None = None,
    every: float = EVERY,
) -> SyncResult:
    """Send what MLflow has not got yet. Nothing is sent twice, and one folder is one MLflow run, however often it is
    interrupted, resumed or sent.

    Args:
        folder: the run.
        follow: go on until the run is over; a store that is away is tried again and again.
        uri: send to this store instead of the run's own.
        over: set when the training process has ended: what is there is sent, and a store that is away is not waited for.
            A run that still calls itself running then was killed.
        every: seconds between looks.
    """
    try:
        with locked(folder.path / ".tracking.lock", timeout=60 if follow else 2):
            sender = _Sender(folder, uri)
            if follow:
                sender.follow(over, every)
            else:
                sender.attempt(_status(folder))
            return sender.result
    except Held:
        return SyncResult(error="another process is sending this run", uri=store_uri(folder, uri))


class _Sender:
    """Sends one folder; knows what was sent."""

    def __init__(self, folder: RunFolder, uri: str | None) -> None:
        self.folder, self.settings, self.state = folder, Settings.of(folder), State.read(folder)
        self.uri = store_uri(folder, uri)
        if self.uri != self.state.uri:  # another store: it is asked what it has
            self.state = State(uri=self.uri)
            self.state.write(folder)
        self.result = SyncResult(uri=self.uri)
        self._client: MlflowClient | None = None
        self._offset = 0  # bytes of the journal that were sent
        self._file = -1  # the journal's inode: a rewound journal is another file

    def follow(self, over: threading.Event | None, every: float) -> None:
        attached, over = over is not None, over or threading.Event()
        wait = every
        while True:
            ended = over.is_set()
            status = "running" if attached and not ended else _status(self.folder, patience=10 if ended else 0)
            before = self.state.error
            away = self.attempt(status)
            if self.state.error != before:
                print(f"{self.uri}: {self.state.error or 'sending again'}", flush=True)
            if ended or (not attached and not away and status != "running"):
                return
            wait = min(max(2.0, 2 * wait), _SLOWEST) if self.state.error else every
            over.wait(wait)

    def attempt(self, status: str) -> bool:
        """Send everything there is; whether the store could not be reached. The status "running" reopens the MLflow run,
        an end ends it."""
        try:
            self._send(status)
            self.result.error = ""
            return False
        except GanflowError as error:
            self.result.error = str(error)
            return False
        except Exception as error:  # whatever MLflow raises: the folder has it all, and the next attempt sends it
            self.result.error = store.reason(error)
            self._client = None  # the server is asked again what it has
            return True
        finally:
            if self.result.error != self.state.error:
                self._noted(error=self.result.error)

    def _send(self, status: str) -> None:
        if self._client is None:
            self._client = self._contact(status)
        self._send_points(self._client)
        if self.settings.images:
            self._send_images(self._client)
        if status not in ENDS:
            return
        self._send_plots(self._client)
        problem = self._send_model(self._client) if status == "finished" and self.settings.log_model else None
        if self.state.status != status:
            self._client.set_terminated(self.state.run_id, ENDS[status], end_time=self._last_report())
            self._noted(status=status)
        if problem is not None:
            raise GanflowError(f"the generator could not be logged as a model: {store.reason(problem)}") from problem

    def _contact(self, status: str) -> MlflowClient:
        """Find or make the run, and learn from the server what it has."""
        client = store.client(self.uri)
        experiment = store.experiment(client, self.uri, self.settings.experiment, self.folder.path.parent.parent)
        run = self._find(client, experiment)
        if run is None:
            run = client.create_run(
                experiment,
                start_time=self._created(),
                tags={describe.RUN_ID: self.folder.id},
                run_name=self.settings.run_name,
            )
        self.state.experiment_id, self.state.run_id = experiment, run.info.run_id
        self.state.steps = {metric.key: metric.step for metric in run.data.to_proto().metrics}
        self.state.images = _images_of(client, run.info.run_id) if "mlflow.loggedImages" in run.data.tags else []
        self.state.model = max((model.step for model in run.outputs.model_outputs), default=None) if run.outputs else None
        if ENDS.get(self.state.status) != run.info.status:
            self.state.status = ""
        self._offset, self._file = 0, -1
        if run.info.status != "RUNNING" and status == "running":
            client.update_run(run.info.run_id, status="RUNNING")
            self.state.status = ""
        self._send_description(client, run)
        self.state.write(self.folder)
        return client

    def _find(self, client: MlflowClient, experiment: str) -> Any:
        found = client.search_runs([experiment], f"tags.`{describe.RUN_ID}` = '{self.folder.id}'", max_results=1)
        return found[0] if found else None

    def _send_description(self, client: MlflowClient, run: Any) -> None:
        from mlflow.entities import Param, RunTag

        run_id, tags = run.info.run_id, describe.tags(self.folder)
        wanted = describe.parameters(self.folder)
        new = [Param(name, value) for name, value in wanted.items() if name not in run.data.params]
        for name, value in wanted.items():  # MLflow refuses to change a parameter: what a resumed run changed is a tag
            if run.data.params.get(name, value) != value:
                tags[f"ganflow.resumed_with.{name}"[:250]] = value[:5000]
        changed = [RunTag(name, value) for name, value in tags.items() if run.data.tags.get(name) != value]
        for i in range(0, max(len(new), len(changed)), _MANY):
            client.log_batch(run_id, params=new[i : i + _MANY], tags=changed[i : i + _MANY])
        if self.folder.recipe.exists():
            client.log_artifact(run_id, str(self.folder.recipe))
        data = describe.dataset(self.folder)
        if data is not None and not run.inputs.dataset_inputs:
            client.log_inputs(run_id, [data])

    def _send_points(self, client: MlflowClient) -> None:
        from mlflow.entities import Metric

        if not self.folder.journal.exists():
            return
        inode = self.folder.journal.stat().st_ino
        if inode != self._file:
            self._offset, self._file = 0, inode
        reported, offset = journal.read(self.folder.journal, self._offset)
        new: list[Point] = list(points(reported, self.state.steps))
        for i in range(0, len(new), _AT_ONCE):
            batch = new[i : i + _AT_ONCE]
            client.log_batch(self.state.run_id, [Metric(p.name, p.value, p.time, p.round) for p in batch])
            self.state.steps |= {p.name: p.round for p in batch}
            self.result.points += len(batch)
        self._offset = offset
        if new:
            self.state.write(self.folder)

    def _send_images(self, client: MlflowClient) -> None:
        from PIL import Image

        for round, path in samples(self.folder):
            if round in self.state.images:
                continue
            try:
                image = Image.open(path)
                image.load()
            except OSError:  # not whole yet: the next look takes it
                continue
            changed = int(path.stat().st_mtime * 1000)
            client.log_image(self.state.run_id, image, key="samples", step=round, timestamp=changed, synchronous=True)
            self._noted(images=[*self.state.images, round])
            self.result.images += 1

    def _send_plots(self, client: MlflowClient) -> None:
        for path in sorted(self.folder.plots.glob("*.png")):
            changed = path.stat().st_mtime
            if self.state.plots.get(path.name) != changed:
                client.log_artifact(self.state.run_id, str(path), "plots")
                self._noted(plots={**self.state.plots, path.name: changed})

    def _send_model(self, client: MlflowClient) -> Exception | None:
        """Log the generator. A model that cannot be logged does not keep the run from ending: the error is returned."""
        if self.state.model is not None and self.state.model >= self.folder.about().get("round", 0):
            return None
        try:
            from ganflow.tracking.model import log_generator

            self._noted(model=log_generator(client, self.folder, self.state.experiment_id, self.state.run_id))
        except Exception as error:
            return error
        self.result.model = self.state.model is not None
        return None

    def _noted(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self.state, name, value)
        self.state.write(self.folder)

    def _created(self) -> int | None:
        created = self.folder.about().get("created")
        return int(datetime.fromisoformat(created).timestamp() * 1000) if created else None

    def _last_report(self) -> int | None:
        times = [int(entry.time * 1000) for entry in journal.entries(self.folder.journal)]
        return times[-1] if times else None


def _status(folder: RunFolder, patience: float = 0) -> str:
    """How the run ended, or "running". One that still calls itself running while nobody trains it was killed; one whose
    training process is about to end is given `patience` seconds to say how, or was killed."""
    deadline = time.monotonic() + patience
    while (status := str(folder.about().get("status"))) == "running":
        try:
            with runs.locked(folder):
                return "killed"
        except GanflowError:  # it is being trained
            if time.monotonic() > deadline:
                return "killed" if patience else status
            time.sleep(0.1)
    return status


def _images_of(client: MlflowClient, run_id: str) -> list[int]:
    """The rounds whose samples the server has; the picture itself is written first, then its thumbnail."""
    start = f"images/{metric_name('samples')}+step+"
    names = [artifact.path for artifact in client.list_artifacts(run_id, "images")]
    return sorted({int(n.removeprefix(start).split("+")[0]) for n in names if n.startswith(start) and n.endswith(".webp")})
