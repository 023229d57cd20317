"""A client for everything that goes to one store: runs, parameters, tags, pictures."""

from __future__ import annotations

import getpass
import json
import re
import shlex
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, uuid5

from ganflow.addresses import is_http, redacted
from ganflow.runs.folders import RunFolder, is_sweep
from ganflow.runs.lock import locked
from ganflow.tracking import outbox, store
from ganflow.tracking.outbox import metric_name, settings
from ganflow.tracking.store import check_artifacts

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

    from ganflow.tracking.destination import Destination

RUN_ID = "ganflow.run_id"
"""The tag by which a run is found again."""
PARENT = "mlflow.parentRunId"
STATUS = "ganflow.status"
"""The tag that says how a run ended in our words, of which MLflow has fewer."""
KEY = "samples"
_THUMBNAIL = 256  # pixels of the longer side, as MLflow's own have
_LONGEST_PARAMETER, _LONGEST_TAG, _LONGEST_NAME = 6000, 5000, 250


class Connection:
    """To a store; made when it is first used, and again after it was `lost`.

    Args:
        destination: what is known of the store besides its address; without it, it is the user's.
        barred: why it gets no credentials.
    """

    def __init__(self, uri: str, destination: Destination | None = None, barred: str | None = None) -> None:
        self.uri, self.destination, self.barred = uri, destination, barred
        self._client: MlflowClient | None = None
        self._experiments: dict[str, str] = {}
        self._parents: dict[str, str] = {}

    def client(self) -> MlflowClient:
        if self._client is None:
            self._client = store.client(self.uri, self.destination.runs if self.destination else None)
        return self._client

    def artifacts(self, id: str, uri: str) -> Artifacts:
        """The files of a run, or of a model, by the address that the store says; see `check_artifacts`."""
        to = self.destination
        if to is None or (to.trusted and not to.is_default):
            return Artifacts(self.client(), id)
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        check_artifacts(uri, id, server=is_http(self.uri))
        return Artifacts(self.client(), id, get_artifact_repository(uri, tracking_uri=self.uri))

    def reason(self, error: BaseException) -> str:
        """The reason of a failure, in a few words."""
        why = store.reason(error)
        if self.barred and why.startswith(store.BARRED):
            return f"{store.BARRED}: {self.barred}, add --uri {shlex.quote(self.uri)}"
        return why

    def lost(self) -> None:
        """Something failed: nothing that was learnt about the store is relied on any more."""
        self._client = None
        self._experiments.clear()
        self._parents.clear()

    def answers(self) -> bool:
        """Ask the store for anything; False where it does not answer."""
        try:
            self.client().search_experiments(max_results=1)
        except Exception:  # whatever MLflow raises
            self.lost()
            return False
        return True

    def experiment(self, folder: RunFolder) -> str:
        """The id of the experiment that a folder belongs to: a trial's is its sweep's. It is made if it is missing."""
        folder = outbox.sweep_of(folder) or folder
        name = settings(folder)["experiment"]
        if name not in self._experiments:
            self._experiments[name] = store.experiment(self.client(), self.uri, name, outbox.root(folder))
        return self._experiments[name]

    def run(self, folder: RunFolder) -> Any:
        """A folder's MLflow run, which is made if there is none; that of a trial's sweep is made before it. By its tag it is
        found again from any process."""
        sweep, key = is_sweep(folder), outbox.identity(folder)
        above = None if sweep else outbox.sweep_of(folder)
        parent = self._parent(above) if above else None
        # the senders of single trials may both want to make the sweep's
        alone = locked(folder.path / ".tracking.run.lock", timeout=60) if sweep else nullcontext()
        with alone:
            run: Any = next(self._find(folder, RUN_ID, key), None)
            if run is None:
                tags = {RUN_ID: key} | ({PARENT: parent} if parent else {})
                created = folder.read().created
                start = int(datetime.fromisoformat(created).timestamp() * 1000) if created else None
                run = self.client().create_run(self.experiment(folder), start_time=start, tags=tags, run_name=run_name(folder))
        if sweep:
            self._parents[key] = run.info.run_id
        return run

    def parent(self, folder: RunFolder) -> str | None:
        """The id of the MLflow run of a trial's sweep. A trial that was moved out of its sweep's folder finds it by what its
        run.json says; None where there is no such run."""
        above = outbox.sweep_of(folder)
        if above:
            return self._parent(above)
        noted = folder.read().tracking.get("parent")
        found = next(self._find(folder, RUN_ID, noted), None) if noted else None
        return str(found.info.run_id) if found else None

    def children(self, sweep: RunFolder) -> set[str]:
        """The ids of the trials that have an MLflow run."""
        return {run.data.tags.get(RUN_ID, "") for run in self._find(sweep, PARENT, self._parent(sweep))}

    def _parent(self, sweep: RunFolder) -> str:
        return self._parents.get(outbox.identity(sweep)) or str(self.run(sweep).info.run_id)

    def _find(self, folder: RunFolder, tag: str, value: str) -> Iterator[Any]:
        token = None
        while True:
            wanted = f"tags.`{tag}` = '{value}'"
            page = self.client().search_runs([self.experiment(folder)], wanted, max_results=1000, page_token=token)
            yield from page
            token = page.token
            if not token:
                return


class Artifacts:
    """The files of a run, or of a model.

    Args:
        id: of the run or the model.
        repository: MLflow's for the address that was checked; without it MLflow asks the store each time where files go.
    """

    def __init__(self, client: MlflowClient, id: str, repository: Any = None) -> None:
        self.client, self.id, self.repository = client, id, repository

    def put(self, path: Path, folder: str | None = None) -> None:
        """Send a file, into a folder of the run's."""
        if self.repository is None:
            self.client.log_artifact(self.id, str(path), folder)
        else:
            self.repository.log_artifact(str(path), folder)

    def put_model(self, path: Path) -> None:
        """Send what is in a folder, as the files of a model."""
        if self.repository is None:
            self.client.log_model_artifacts(self.id, str(path))
        else:
            self.repository.log_artifacts(str(path))

    def names(self, folder: str) -> list[str]:
        """Paths of a run's files in one of its folders."""
        found = self.repository.list_artifacts(folder) if self.repository else self.client.list_artifacts(self.id, folder)
        return [file.path for file in found]


def log_image(client: MlflowClient, artifacts: Artifacts, round: int, path: Path) -> bool:
    """Send a picture, under the names that MlflowClient.log_image uses but for their random part: sent again after it was
    cut off, it replaces itself. Returns whether it was whole; one that is still being written is not sent."""
    from PIL import Image

    try:
        image = Image.open(path)
        image.load()
    except OSError:
        return False
    name = f"{KEY}+step+{round}+timestamp+{int(path.stat().st_mtime * 1000)}+{uuid5(NAMESPACE_OID, f'{artifacts.id} {round}')}"
    scale = _THUMBNAIL / max(image.size)
    small = image.resize((max(1, int(image.width * scale)), max(1, int(image.height * scale))))
    with TemporaryDirectory() as scratch:
        image.save(Path(scratch, f"{name}.png"))
        small.save(Path(scratch, f"{name}+compressed.webp"))
        artifacts.put(Path(scratch, f"{name}.png"), "images")
        artifacts.put(Path(scratch, f"{name}+compressed.webp"), "images")
    client.set_tag(artifacts.id, "mlflow.loggedImages", True)
    return True


def images_of(artifacts: Artifacts) -> list[int]:
    """The rounds whose samples the server has; the picture itself is written first, then its thumbnail."""
    start = f"images/{metric_name(KEY)}+step+"
    names = artifacts.names("images")
    return sorted({int(n.removeprefix(start).split("+")[0]) for n in names if n.startswith(start) and n.endswith(".webp")})


def parameters(folder: RunFolder) -> dict[str, str]:
    """The resolved recipe, flat: {"train.rounds": "1000", "modifiers.0.use": "weight_clip", …}."""
    import yaml

    recipe = yaml.safe_load(redacted(folder.recipe.read_text())) if folder.recipe.exists() else {}
    return {_name(key): value[:_LONGEST_PARAMETER] for key, value in flat(recipe or {})}


def run_name(folder: RunFolder) -> str:
    """The run's name on MLflow's pages: as the recipe says, or as the folder is called; a trial also by its number."""
    name, above = settings(folder)["run_name"], outbox.sweep_of(folder)
    if above:
        return f"{name or above.path.name} trial {outbox.number(folder)}"
    return name or outbox.title(folder).replace("/", " ")


def tags(folder: RunFolder, parent: str | None = None) -> dict[str, str]:
    """The run's origin by run.json, its sweep and number in it, and MLflow's own tags for name and commit.

    Args:
        parent: the MLflow run of a trial's sweep.
    """
    record = folder.read()
    names = ("seed", "device", "host", "versions", "git")
    origin = {name: record.raw[name] for name in names if record.raw.get(name) is not None}
    origin["plugins"] = {name: f"{p['distribution']} {p['version']}" for name, p in record.plugins.items()}
    sweep = folder if is_sweep(folder) else outbox.sweep_of(folder)
    name = sweep.path.name if sweep else folder.name
    found = {_name(f"ganflow.{key}"): value[:_LONGEST_TAG] for key, value in flat(origin)} | {
        RUN_ID: outbox.identity(folder),
        "ganflow.name": name,
        "ganflow.folder": folder.path.relative_to(outbox.root(folder)).as_posix(),  # of the runs folder, which may be moved
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": f"ganflow {'tune' if sweep else 'run'} {name}",
    }
    if sweep:
        found["ganflow.sweep"] = sweep.path.name
    if sweep and sweep != folder:
        found["ganflow.trial"] = str(outbox.number(folder))
    if parent:
        found[PARENT] = parent
    with suppress(OSError, KeyError):  # in a container the user may have no name
        found["mlflow.user"] = getpass.getuser()
    if record.git:
        found["mlflow.source.git.commit"] = record.git["commit"]
    return found


def best_tags(sweep: RunFolder) -> dict[str, str]:
    """Tags of a sweep's best trial so far: its number, its score, what distinguishes its recipe."""
    best = sweep.read().best or {}
    return {_name(f"ganflow.best.{key}"): _text(value)[:_LONGEST_TAG] for key, value in best.items()}


def dataset(folder: RunFolder) -> DatasetInput | None:
    """The data as an input of the run: name, fingerprint, source, the shapes of its fields, its size."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data = folder.read().data
    if not data:
        return None
    source, classes = str(data.get("source") or "unknown"), data.get("classes") or {}
    on_disk = Path(source).exists()
    specs = {
        name: {"dtype": "int64" if name in classes else "float32", "shape": [-1, *shape]}
        for name, shape in (data.get("fields") or {}).items()
    }
    fields = [{"name": name, "type": "tensor", "tensor-spec": spec} for name, spec in specs.items()]
    described = Dataset(
        name=str(data["name"])[:500],
        digest=str(data["fingerprint"])[:36],
        source_type="local" if on_disk else "external",
        source=json.dumps({"uri": str(Path(source).absolute()) if on_disk else source}),
        schema=json.dumps({"mlflow_tensorspec": {"features": json.dumps(fields), "targets": None}}),
        profile=None if data.get("size") is None else json.dumps({"examples": data["size"]}),
    )
    return DatasetInput(described, tags=[InputTag("mlflow.data.context", "training")])


def flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested mappings, and lists of them, as dotted names with their values in text."""
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        value = dict(enumerate(value))
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _name(key: str) -> str:
    return re.sub(r"[^A-Za-z0-9_\-. :/]", "_", key)[:_LONGEST_NAME]
