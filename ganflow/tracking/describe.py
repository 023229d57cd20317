"""What MLflow is told about a run besides its numbers: parameters, tags, the data."""

from __future__ import annotations

import contextlib
import getpass
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow.runs import RunFolder

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

RUN_ID = "ganflow.run_id"
"""The tag by which a run is found again."""
_LONGEST_PARAMETER, _LONGEST_TAG, _LONGEST_NAME = 6000, 5000, 250


def parameters(folder: RunFolder) -> dict[str, str]:
    """The resolved recipe, flat: {"train.rounds": "1000", "modifiers.0.use": "weight_clip", …}."""
    import yaml

    recipe = yaml.safe_load(folder.recipe.read_text()) if folder.recipe.exists() else {}
    return {_name(key): value[:_LONGEST_PARAMETER] for key, value in flat(recipe or {})}


def tags(folder: RunFolder) -> dict[str, str]:
    """What run.json says of the run's origin, and MLflow's own tags for name and commit."""
    about = folder.about()
    origin = {key: about[key] for key in ("seed", "device", "host", "versions", "git") if about.get(key) is not None}
    origin["plugins"] = {name: f"{p['distribution']} {p['version']}" for name, p in (about.get("plugins") or {}).items()}
    found = {_name(f"ganflow.{key}"): value[:_LONGEST_TAG] for key, value in flat(origin)}
    found |= {RUN_ID: folder.id, "ganflow.name": folder.name, "mlflow.source.name": f"ganflow run {folder.name}"}
    found |= {"mlflow.source.type": "LOCAL", "ganflow.folder": str(folder.path)}
    with contextlib.suppress(OSError, KeyError):  # in a container the user may have no name
        found["mlflow.user"] = getpass.getuser()
    if about.get("git"):
        found["mlflow.source.git.commit"] = about["git"]["commit"]
    return found


def dataset(folder: RunFolder) -> DatasetInput | None:
    """The data as an input of the run: name, fingerprint, source, the shapes of its fields, its size."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data: dict[str, Any] | None = folder.about().get("data")
    if not data:
        return None
    source = str(data.get("source") or "unknown")
    on_disk = Path(source).exists()
    fields = [
        {"name": name, "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, *shape]}}
        for name, shape in (data.get("fields") or {}).items()
    ]
    described = Dataset(
        name=str(data["name"])[:500],
        digest=str(data["fingerprint"])[:36],
        source_type="local" if on_disk else "external",
        source=json.dumps({"uri": str(Path(source).absolute()) if on_disk else source}),
        schema=json.dumps({"mlflow_tensorspec": {"features": json.dumps(fields), "targets": None}}),
        profile=json.dumps({"examples": data.get("size")}),
    )
    return DatasetInput(described, tags=[InputTag("mlflow.data.context", "training")])


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
