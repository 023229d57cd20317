"""One client for everything that goes to one store: runs, parameters, tags, pictures."""

from __future__ import annotations

import contextlib
import getpass
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, uuid5

from ganflow.addresses import is_http, redacted
from ganflow.runs.folders import RunFolder, is_sweep
from ganflow.runs.lock import locked
from ganflow.runs.record import DataRecord
from ganflow.tracking import outbox, store
from ganflow.tracking.outbox import Settings, metric_name
from ganflow.tracking.store import check_artifacts

if TYPE_CHECKING:
    from mlflow import MlflowClient


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
        if self.repository is None:
            return [found.path for found in self.client.list_artifacts(self.id, folder)]
        return [found.path for found in self.repository.list_artifacts(folder)]


if TYPE_CHECKING:
    from mlflow import MlflowClient


KEY = "samples"
_THUMBNAIL = 256  # pixels of the longer side, as MLflow's own have


def log_image(client: MlflowClient, artifacts: Artifacts, round: int, path: Path) -> bool:
    """Send a picture, under the names that MlflowClient.log_image gives but for their random part: sent again after it was
    cut off, it takes its own place. Returns whether it was whole; one that is still being written is not sent."""
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


if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

RUN_ID = "ganflow.run_id"
"""The tag by which a run is found again."""
PARENT = "mlflow.parentRunId"
STATUS = "ganflow.status"
"""The tag that says how a run ended in our words, of which MLflow has fewer."""
_LONGEST_PARAMETER, _LONGEST_TAG, _LONGEST_NAME = 6000, 5000, 250


def parameters(folder: RunFolder) -> dict[str, str]:
    """The resolved recipe, flat: {"train.rounds": "1000", "modifiers.0.use": "weight_clip", …}."""
    import yaml

    recipe = yaml.safe_load(redacted(folder.recipe.read_text())) if folder.recipe.exists() else {}
    return {_name(key): value[:_LONGEST_PARAMETER] for key, value in flat(recipe or {})}


def run_name(folder: RunFolder) -> str:
    """What MLflow's pages call it: as the recipe says, or as the folder is called; a trial also by its number."""
    told, above = Settings.of(folder).run_name, outbox.sweep_of(folder)
    if above:
        return f"{told or above.path.name} trial {outbox.number(folder)}"
    return told or outbox.title(folder).replace("/", " ")


def tags(folder: RunFolder, parent: str | None = None) -> dict[str, str]:
    """What run.json says of the run's origin, its place in a sweep, and MLflow's own tags for name and commit.

    Args:
        parent: the MLflow run of a trial's sweep.
    """
    record = folder.read()
    names = ("seed", "device", "host", "versions", "git")
    origin = {name: record.raw[name] for name in names if record.raw.get(name) is not None}
    origin["plugins"] = {name: f"{p['distribution']} {p['version']}" for name, p in record.plugins.items()}
    found = {_name(f"ganflow.{key}"): value[:_LONGEST_TAG] for key, value in flat(origin)}
    sweep = folder if is_sweep(folder) else outbox.sweep_of(folder)
    name = sweep.path.name if sweep else folder.name
    below = folder.path.relative_to(outbox.root(folder)).as_posix()  # of the runs folder, which may be moved
    found |= {RUN_ID: outbox.identity(folder), "ganflow.name": name, "ganflow.folder": below}
    found |= {"mlflow.source.type": "LOCAL", "mlflow.source.name": f"ganflow {'tune' if sweep else 'run'} {name}"}
    if sweep:
        found["ganflow.sweep"] = sweep.path.name
    if sweep and sweep != folder:
        found["ganflow.trial"] = str(outbox.number(folder))
    if parent:
        found[PARENT] = parent
    with contextlib.suppress(OSError, KeyError):  # in a container the user may have no name
        found["mlflow.user"] = getpass.getuser()
    if record.git:
        found["mlflow.source.git.commit"] = record.git["commit"]
    return found


def standing(sweep: RunFolder) -> dict[str, str]:
    """Tags of a sweep's best trial so far: its number, its score, what distinguishes its recipe."""
    best: Mapping[str, Any] = sweep.read().best or {}
    texts = {key: best[key] if isinstance(best[key], str) else json.dumps(best[key]) for key in best}
    return {_name(f"ganflow.best.{key}"): text[:_LONGEST_TAG] for key, text in texts.items()}


def dataset(folder: RunFolder) -> DatasetInput | None:
    """The data as an input of the run: name, fingerprint, source, the shapes of its fields, its size."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data = folder.read().data
    if not data:
        return None
    source = str(data.get("source") or "unknown")
    on_disk = Path(source).exists()
    fields = [
        {"name": name, "type": "tensor", "tensor-spec": {"dtype": _dtype(data, name), "shape": [-1, *shape]}}
        for name, shape in (data.get("fields") or {}).items()
    ]
    described = Dataset(
        name=str(data["name"])[:500],
        digest=str(data["fingerprint"])[:36],
        source_type="local" if on_disk else "external",
        source=json.dumps({"uri": str(Path(source).absolute()) if on_disk else source}),
        schema=json.dumps({"mlflow_tensorspec": {"features": json.dumps(fields), "targets": None}}),
        profile=None if data.get("size") is None else json.dumps({"examples": data["size"]}),
    )
    return DatasetInput(described, tags=[InputTag("mlflow.data.context", "training")])


def _dtype(data: DataRecord, field: str) -> str:
    return "int64" if field in (data.get("classes") or {}) else "float32"


def flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested mappings, and lists of them, as dotted names with their values in text."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for i, inner in enumerate(value):
            yield from flat(inner, f"{name}.{i}")
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, default=str)


def _name(key: str) -> str:
    return re.sub(r"[^A-Za-z0-9_\-. :/]", "_", key)[:_LONGEST_NAME]


if TYPE_CHECKING:
    from mlflow import MlflowClient

    from ganflow.tracking.destination import Destination


class Connection:
    """To a store; made when it is first used, and again after it was `lost`.

    Args:
        where: what is known of the store besides its address; without it, it is the user's.
        barred: why it gets no credentials.
    """

    def __init__(self, uri: str, where: Destination | None = None, barred: str | None = None) -> None:
        self.uri, self.where, self.barred = uri, where, barred
        self._client: MlflowClient | None = None
        self._experiments: dict[str, str] = {}
        self._parents: dict[str, str] = {}

    def client(self) -> MlflowClient:
        if self._client is None:
            self._client = store.client(self.uri, self.where.runs if self.where else None)
        return self._client

    def artifacts(self, id: str, uri: str) -> Artifacts:
        """Where a run's, or a model's, artifacts go, by what the store says; see `check_artifacts`."""
        if self.where is None or (self.where.given and not self.where.own):
            return Artifacts(self.client(), id)
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        check_artifacts(uri, id, server=is_http(self.uri))
        return Artifacts(self.client(), id, get_artifact_repository(uri, tracking_uri=self.uri))

    def reason(self, error: BaseException) -> str:
        """Why something failed, in a few words."""
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
        """Whether the store can be reached."""
        try:
            self.client().search_experiments(max_results=1)
        except Exception:  # whatever MLflow raises
            self.lost()
            return False
        return True

    def experiment(self, folder: RunFolder) -> str:
        """The id of the experiment that a folder belongs to: a trial's is its sweep's. It is made if it is missing."""
        folder = outbox.sweep_of(folder) or folder
        name = Settings.of(folder).experiment
        if name not in self._experiments:
            self._experiments[name] = store.experiment(self.client(), self.uri, name, outbox.root(folder))
        return self._experiments[name]

    def run(self, folder: RunFolder) -> Any:
        """A folder's MLflow run, which is made if there is none; that of a trial's sweep is made before it. By its tag it is
        found again from any process."""
        if is_sweep(folder):
            run = self._find_or_make(folder, None)
            self._parents[outbox.identity(folder)] = run.info.run_id
            return run
        above = outbox.sweep_of(folder)
        return self._find_or_make(folder, self._parent(above) if above else None)

    def _find_or_make(self, folder: RunFolder, parent: str | None) -> Any:
        # the senders of single trials may both want to make the sweep's
        alone = locked(folder.path / ".tracking.run.lock", timeout=60) if is_sweep(folder) else nullcontext()
        with alone:
            found = self._find(folder, f"tags.`{RUN_ID}` = '{outbox.identity(folder)}'", 1)
            if found:
                return found[0]
            tags = {RUN_ID: outbox.identity(folder)} | ({PARENT: parent} if parent else {})
            name = run_name(folder)
            return self.client().create_run(self.experiment(folder), start_time=_created(folder), tags=tags, run_name=name)

    def parent(self, folder: RunFolder) -> str | None:
        """The id of the MLflow run of a trial's sweep. A trial that was moved out of its sweep's folder finds it by what its
        run.json says; None where there is no such run."""
        above = outbox.sweep_of(folder)
        if above:
            return self._parent(above)
        told = folder.read().tracking.get("parent")
        found = self._find(folder, f"tags.`{RUN_ID}` = '{told}'", 1) if told else []
        return str(found[0].info.run_id) if found else None

    def children(self, sweep: RunFolder) -> set[str]:
        """The ids of the trials that have an MLflow run."""
        found = self._find(sweep, f"tags.`{PARENT}` = '{self._parent(sweep)}'", 1000)
        return {run.data.tags.get(RUN_ID, "") for run in found}

    def _parent(self, sweep: RunFolder) -> str:
        return self._parents.get(outbox.identity(sweep)) or str(self.run(sweep).info.run_id)

    def _find(self, folder: RunFolder, tag: str, page: int) -> list[Any]:
        found: list[Any] = []
        token = None
        while True:
            some = self.client().search_runs([self.experiment(folder)], tag, max_results=page, page_token=token)
            found += some
            token = some.token
            if page == 1 or not token:
                return found


def _created(folder: RunFolder) -> int | None:
    created = folder.read().created
    return int(datetime.fromisoformat(created).timestamp() * 1000) if created else None
