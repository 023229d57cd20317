"""The contents of an MLflow run besides its points: parameters, tags, the data, pictures, the generator as a model."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname
from uuid import NAMESPACE_OID, uuid5

from ganflow.addresses import redacted
from ganflow.errors import GanflowError
from ganflow.recipe.sections import PER_PART
from ganflow.runs import record
from ganflow.runs.evaluations import Evaluation
from ganflow.runs.folders import RunFolder, is_sweep
from ganflow.scratch import scratch_folder
from ganflow.tracking import outbox
from ganflow.tracking.outbox import EVALUATED, metric_name, settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

RUN_ID = "ganflow.run_id"
"""The tag by which a run is found again."""
PARENT = "mlflow.parentRunId"
STATUS = "ganflow.status"
"""The tag that says how a run ended in our words, of which MLflow has fewer."""
SEARCHED = "searched/"
"""Beginning of the names of parameters that a sweep searches."""
ALARM = "ganflow.alarm"
"""Beginning of the names of tags about a run's alarms."""
CHANGES = "ganflow.changes"
"""Beginning of the names of tags about changes of a run's recipe."""
KEY = "samples"
MANY = 100  # parameters or tags in a request, MLflow's limit
_NO_PARAMETERS = ("recipe_version", "track", "trackers", "tune")
_NULL = "null"
_THUMBNAIL = 256  # pixels of the longer side, as MLflow's own have
_LONGEST_PARAMETER, _LONGEST_TAG, _LONGEST_NAME = 6000, 5000, 250


def parameters(folder: RunFolder, settled: bool = True, had: Container[str] = ()) -> dict[str, str]:
    """The keys of the recipe that have another value than their default, flat: {"train.rounds": "1000", "modifiers.0.use":
    "weight_clip", …}; of a folder whose record does not say which these are (an earlier version's) all. Never what has no value,
    nor what says where the run is sent or how a sweep searches. Of a sweep's trial also what is searched, as the space has it:
    {"searched/optimizer.lr": "0.001", …}. What may still become another value is left out: MLflow refuses to change a parameter.

    Args:
        had: parameters that MLflow has already, which a run that resumed may have at their default now.
    """
    import yaml

    about = folder.read()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where PyYAML has libyaml: trials are many
    recipe = yaml.load(redacted(folder.recipe.read_text()), Loader=loader) if folder.recipe.exists() else {}
    searched = [] if settled else about.searched
    config = about.values[-1]["config"] if about.values else about.config
    tried = {f"{SEARCHED}{outbox.dotted(key)}": _text(value) for key, value in config.items()} if settled else {}
    changed = about.tracking.get("changed")
    keys = None if changed is None else [outbox.dotted(key) for key in changed]
    known = {
        name: value
        for name, value in flat(recipe or {})
        if value != _NULL
        and name.partition(".")[0] not in _NO_PARAMETERS
        and (keys is None or name in had or any(_is_of(name, key) for key in keys))
        and not any(outbox.decides(key, name) for key in searched)
    }
    return {_name(name): value[:_LONGEST_PARAMETER] for name, value in (tried | known).items()}


def _is_of(name: str, key: str) -> bool:
    """Return true for a parameter of a key, or of a part of its value; a sweep's recipe may have one optimizer for all parts."""
    return f"{name}.".startswith(f"{key}.") or (name.startswith(PER_PART) and outbox.decides(name, key))


def run_name(folder: RunFolder) -> str:
    """The run's name on MLflow's pages: as the recipe says, or as the folder is called; a trial also by its number."""
    name, above = settings(folder)["run_name"], outbox.sweep_of(folder)
    if above:
        seeds, number = above.read().trial_seeds, outbox.number(folder) or 0
        which = f"{number // len(seeds)} seed {seeds[number % len(seeds)]}" if seeds else str(number)
        return f"{name or above.path.name} trial {which}"
    return name or outbox.title(folder).replace("/", " ")


def tags(folder: RunFolder, parent: str | None = None) -> dict[str, str]:
    """The run's origin by run.json, its sweep and number in it, and MLflow's tags for name and commit.

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
        "mlflow.source.name": f"ganflow {'tune' if sweep and not sweep.read().seeds else 'run'} {name}",
    }
    if sweep:
        found["ganflow.sweep"] = sweep.path.name
    if sweep and sweep != folder:
        found["ganflow.trial"] = str((outbox.number(folder) or 0) // max(1, len(sweep.read().trial_seeds)))
        if record.confirms is not None:
            found["ganflow.confirms"] = str(record.confirms)
    if record.searched:
        found["ganflow.searched"] = ", ".join(record.searched)[:_LONGEST_TAG]
    if parent:
        found[PARENT] = parent
    with suppress(OSError, KeyError):  # in a container the user may have no name
        found["mlflow.user"] = getpass.getuser()
    if record.git:
        found["mlflow.source.git.commit"] = record.git["commit"]
    return found


def set_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    """Set a run's tags, many in a request."""
    from mlflow.entities import RunTag

    new = [RunTag(name, value) for name, value in tags.items()]
    for i in range(0, len(new), MANY):
        client.log_batch(run_id, tags=new[i : i + MANY])


def best_tags(sweep: RunFolder) -> dict[str, str]:
    """Tags of a sweep's best trial so far: its number, its score, what distinguishes its recipe; or of its Pareto front: how many
    trials there are, and each one's number with its scores."""
    about = sweep.read()
    if about.objectives:
        every = [", ".join(f"{name} {score:.4g}" for name, score in each["scores"].items()) for each in about.front]
        trials = "; ".join(f"trial {each['trial']}: {scores}" for each, scores in zip(about.front, every, strict=True))
        return {"ganflow.front": str(len(every)), "ganflow.front.trials": trials[:_LONGEST_TAG]}
    best: Mapping[str, Any] = about.best or {}
    return {_name(f"ganflow.best.{key}"): _text(value)[:_LONGEST_TAG] for key, value in best.items()}


def run_tags(folder: RunFolder, evaluated: Iterable[Evaluation]) -> dict[str, str]:
    """Tags of a run that change while it lasts: of the protocols of its scores and of what `ganflow evaluate` has found, of its
    alarms, of changes of its recipe, and of the trials that it became a copy of."""
    about = folder.read()
    return _protocol_tags(about, evaluated) | _alarm_tags(about) | _change_tags(about) | _copy_tags(about)


def _change_tags(about: record.RunRecord) -> dict[str, str]:
    """Tags of the changes of a run's recipe, by the round after which they were made."""
    lines: dict[int, list[str]] = {}
    for each in about.amended:
        lines.setdefault(each.get("round", 0), []).extend(each["changed"])
    return {f"{CHANGES}.{round}": "; ".join(changed)[:_LONGEST_TAG] for round, changed in lines.items()}


def _copy_tags(about: record.RunRecord) -> dict[str, str]:
    """Tags of a trial's copies: how many, and of which trial at which round, the last one first."""
    copies = [f"trial {values['trial']} at round {values['round']}" for values in about.values if "trial" in values]
    return {"ganflow.copies": str(len(copies)), "ganflow.copied": ", ".join(copies[::-1])[:_LONGEST_TAG]} if copies else {}


def _alarm_tags(about: record.RunRecord) -> dict[str, str]:
    """Tags of the run's alarms: their signs together, and each one's line."""
    alarms = about.alarms
    signs = {f"{ALARM}s": ", ".join(dict.fromkeys(alarm["sign"] for alarm in alarms))} if alarms else {}
    return signs | {_name(f"{ALARM}.{a['sign']}"): f"round {a['round']}: {a['text']}"[:_LONGEST_TAG] for a in alarms}


def _protocol_tags(about: record.RunRecord, evaluated: Iterable[Evaluation]) -> dict[str, str]:
    """Tags with the protocols of a run's scores, and of those that were evaluated, the latest of each name."""
    every = {**about.protocols, **{f"{EVALUATED}{each['score']}": each["protocol"] for each in evaluated}}
    return {_name(f"ganflow.protocol.{name}"): _text(protocol)[:_LONGEST_TAG] for name, protocol in every.items()}


def put_redacted(artifacts: Artifacts, path: Path, within: str | None) -> None:
    """Put one file there; a text without the passwords that earlier versions kept in it."""
    text = path.read_text(errors="replace") if path.suffix in (".yaml", ".csv", ".json", ".txt") else ""
    if redacted(text) == text:
        artifacts.put(path, within)
        return
    with scratch_folder("sent-") as scratch:
        Path(scratch, path.name).write_text(redacted(text))
        artifacts.put(Path(scratch, path.name), within)


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


# Files.


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


def local_path(uri: str) -> Path | None:
    """The path of a "file:" address, or of one that is a path; None for any other."""
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(url2pathname(parts.path))
    return Path(uri) if not parts.scheme and uri.startswith("/") else None


def check_artifacts(uri: str, id: str, server: bool) -> None:
    """See that a run's, or a model's, artifacts go where they may, in a store that is not known to be the user's: through the
    server itself, or into a folder that is the run's alone, and in which no link leads out of it.

    Args:
        uri: by the store.
        id: of the run or the model, by which MLflow names the folder.
        server: the store is a server.

    Raises:
        GanflowError: they would go elsewhere.
    """
    if server:
        if (parts := urlsplit(uri)).scheme == "mlflow-artifacts" and not parts.netloc:
            return
        raise GanflowError(f"the server wants the artifacts at {uri!a}, and not at the server itself")
    path = local_path(uri)
    ends = [] if path is None else [path.parts[-2:], Path(os.path.realpath(path)).parts[-2:]]
    if path is None or any(end != (id, "artifacts") for end in ends):
        raise GanflowError(f"MLflow's store wants the artifacts at {uri!a}, which is not a folder of run {id} alone")
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            if os.path.islink(os.path.join(folder, name)):
                raise GanflowError(f"{Path(folder, name)} is a link: artifacts are not written through it; remove it")


def log_image(client: MlflowClient, artifacts: Artifacts, round: int, path: Path) -> str | None:
    """Send a picture, under the names that MlflowClient.log_image uses but for their random part: sent again after it was
    cut off, it replaces itself. Returns its path among the run's files; None where it is still being written, and not sent."""
    from PIL import Image

    try:
        image = Image.open(path)
        image.load()
    except OSError:
        return None
    name = f"{KEY}+step+{round}+timestamp+{int(path.stat().st_mtime * 1000)}+{uuid5(NAMESPACE_OID, f'{artifacts.id} {round}')}"
    scale = _THUMBNAIL / max(image.size)
    small = image.resize((max(1, int(image.width * scale)), max(1, int(image.height * scale))))
    with scratch_folder("sent-") as scratch:
        shutil.copyfile(path, Path(scratch, f"{name}.png"))
        small.save(Path(scratch, f"{name}+compressed.webp"))
        artifacts.put(Path(scratch, f"{name}.png"), "images")
        artifacts.put(Path(scratch, f"{name}+compressed.webp"), "images")
    client.set_tag(artifacts.id, "mlflow.loggedImages", True)
    return f"images/{name}.png"


def images_of(artifacts: Artifacts) -> list[int]:
    """The rounds whose samples the server has; the picture itself is written first, then its thumbnail."""
    start = f"images/{metric_name(KEY)}+step+"
    names = artifacts.names("images")
    return sorted({int(n.removeprefix(start).split("+")[0]) for n in names if n.startswith(start) and n.endswith(".webp")})
