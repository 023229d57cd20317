"""The description of an MLflow run: its parameters and tags, its recipe, its data; and what its page shows first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ganflow.runs.folders import RunFolder
from ganflow.tracking import contents
from ganflow.tracking.contents import put_redacted

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from ganflow.tracking.contents import Artifacts

NOTE = "mlflow.note.content"
_PICTURE = "![samples](get-artifact?path=images%2F"  # how a description of ours begins


def describe(
    client: MlflowClient, run: Any, folder: RunFolder, artifacts: Artifacts, parent: str | None, settled: bool
) -> None:
    """Describe a run in what it has not got yet.

    Args:
        parent: the MLflow run of a trial's sweep.
        settled: as of `contents.parameters`.
    """
    from mlflow.entities import Param, RunTag

    tags, had = contents.tags(folder, parent), run.data.params
    wanted = contents.parameters(folder, settled, had)
    new = [Param(name, value) for name, value in wanted.items() if name not in had]
    for name, value in wanted.items():  # MLflow refuses to change a parameter: what a resumed run changed is a tag
        tag = f"ganflow.resumed_with.{name}"[:250]
        if had.get(name, value) != value or tag in run.data.tags:
            tags[tag] = value[:5000]
    changed = [RunTag(name, value) for name, value in tags.items() if run.data.tags.get(name) != value]
    for i in range(0, max(len(new), len(changed)), contents.MANY):
        client.log_batch(run.info.run_id, params=new[i : i + contents.MANY], tags=changed[i : i + contents.MANY])
    if folder.recipe.exists():
        put_redacted(artifacts, folder.recipe, None)
    data = contents.dataset(folder)
    if data is not None and not run.inputs.dataset_inputs:
        client.log_inputs(run.info.run_id, [data])


def show_picture(client: MlflowClient, run_id: str, round: int, artifact: str, had: str | None) -> str | None:
    """Let the run's page begin with a picture, by its description. One that the user wrote stays.

    Args:
        artifact: the picture's path among the run's files.
        had: the description that it has.

    Returns:
        The description that it has now.
    """
    if had and not had.startswith(_PICTURE):
        return had
    text = f"![samples](get-artifact?path={quote(artifact, safe='')}&run_uuid={run_id})\n\nSamples at round {round}"
    client.set_tag(run_id, NOTE, text)
    return text
