"""What MLflow is told about a run besides its numbers: parameters, tags, the data."""

from __future__ import annotations

import contextlib
import getpass
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow.addresses import redacted
from ganflow.record import DataRecord
from ganflow.runs import RunFolder, is_sweep
from ganflow.tracking import family
from ganflow.tracking.pending import Settings

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
    told, above = Settings.of(folder).run_name, family.sweep_of(folder)
    if above:
        return f"{told or above.path.name} trial {family.number(folder)}"
    return told or family.title(folder).replace("/", " ")


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
    sweep = folder if is_sweep(folder) else family.sweep_of(folder)
    name = sweep.path.name if sweep else folder.name
    below = folder.path.relative_to(family.root(folder)).as_posix()  # of the runs folder, which may be moved
    found |= {RUN_ID: family.identity(folder), "ganflow.name": name, "ganflow.folder": below}
    found |= {"mlflow.source.type": "LOCAL", "mlflow.source.name": f"ganflow {'tune' if sweep else 'run'} {name}"}
    if sweep:
        found["ganflow.sweep"] = sweep.path.name
    if sweep and sweep != folder:
        found["ganflow.trial"] = str(family.number(folder))
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
