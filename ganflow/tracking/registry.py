"""MLflow's models of a run: their metrics, and versions and aliases in its registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ganflow.errors import GanflowError
from ganflow.runs import journal
from ganflow.runs.evaluations import Evaluation
from ganflow.runs.folders import RunFolder
from ganflow.tracking import outbox
from ganflow.tracking.contents import RUN_ID
from ganflow.tracking.model import log_generator
from ganflow.tracking.outbox import Point, State

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from ganflow.tracking.store import Connection

ALIAS = "newest"
"""Alias of the version that was registered last, where the recipe names no other."""
_AT_ONCE = 1000  # metrics in a request, MLflow's limit


class NotRegistered(GanflowError):
    """A model was logged, and is not in the registry."""


def latest_model(outputs: Any, round: int | None = None) -> tuple[int | None, str]:
    """Round and id of the last model that a run has logged, or of that of a round."""
    found = [(each.step, each.model_id) for each in (outputs.model_outputs if outputs else ())]
    return max((each for each in found if round in (None, each[0])), default=(None, ""))


def send_model(
    client: MlflowClient,
    folder: RunFolder,
    state: State,
    connection: Connection,
    checkpoint: str | None,
    evaluated: list[Evaluation],
) -> bool:
    """Log the generator of a run that is over, with its metrics, and register it where the recipe says so; each once, by `state`.

    Args:
        checkpoint: as of `Sender`.

    Returns:
        Whether it was logged.

    Raises:
        GanflowError: there is no checkpoint.
        NotRegistered: it was logged alone.
    """
    from ganflow.runs.loading import find_checkpoint

    wanted = outbox.settings(folder)["register"]
    due = state.model is None or state.model < folder.read().round
    if checkpoint is not None and state.model is not None:
        due = find_checkpoint(folder, checkpoint).round != state.model
    if due:
        round = log_generator(
            client, folder, state.experiment_id, state.run_id, connection.artifacts, "last" if checkpoint is None else checkpoint
        )
        if round is None:
            return False
        state.model, state.model_id = latest_model(client.get_run(state.run_id).outputs, round)
        state.write(folder)
        link_metrics(client, folder, state.run_id, (round, state.model_id), evaluated)
    if wanted and state.registered != (mark := f"{wanted} {state.model_id}"):
        try:
            register(client, folder, state.run_id, state.model_id, wanted)
        except Exception as error:  # whatever MLflow raises
            why = str(error) if isinstance(error, GanflowError) else connection.reason(error)
            raise NotRegistered(f"the generator is logged as a model, and not registered as '{wanted}': {why}") from error
        state.registered = mark
        state.write(folder)
    return due


def link_metrics(client: MlflowClient, folder: RunFolder, run_id: str, model: tuple[int, str], found: list[Evaluation]) -> None:
    """Let a model have the metrics of its round: the last reported until then, and what `ganflow evaluate` has found since.

    Args:
        model: round and id.
    """
    from mlflow.entities import Metric

    round, id = model
    last: dict[str, Point] = {}
    reported = [*outbox.noted(folder), *journal.entries(folder.journal)]
    for point in (*outbox.points(reported, {}), *outbox.scores(found, 0)):
        evaluated = point.name.startswith(outbox.EVALUATED)
        if point.round == round or (point.round < round and not evaluated):
            last[point.name] = point
    metrics = [Metric(p.name, p.value, p.time, p.round, model_id=id, run_id=run_id) for p in last.values()]
    for i in range(0, len(metrics), _AT_ONCE):
        client.log_batch(run_id, metrics[i : i + _AT_ONCE])


def register(client: MlflowClient, folder: RunFolder, run_id: str, model_id: str, wanted: str) -> None:
    """Make a logged model a version in the registry, once, and let the alias mean it.

    Args:
        wanted: `track.register`: NAME, or NAME@ALIAS.

    Raises:
        GanflowError: the alias means a version that is none of ganflow's: a recipe may be a stranger's.
    """
    name, _, alias = wanted.partition("@")
    alias = alias or ALIAS
    if not any(each.name == name for each in client.search_registered_models(f"name = '{name}'")):
        client.create_registered_model(name, tags={"ganflow.recipe": folder.name})
    _check_alias(client, name, alias)
    source = client.get_logged_model(model_id).artifact_location
    there = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    version = next((each for each in there if each.source == source), None)
    if version is None:
        version = client.create_model_version(
            name, source, run_id=run_id, model_id=model_id, tags={RUN_ID: outbox.identity(folder)}
        )
    client.set_registered_model_alias(name, alias, version.version)


def _check_alias(client: MlflowClient, name: str, alias: str) -> None:
    aliases = client.get_registered_model(name).aliases
    number = aliases.get(alias)
    if number is not None and RUN_ID not in client.get_model_version(name, number).tags:
        raise GanflowError(
            f"the alias '{alias}' of the registered model '{name}' means version {number}, which ganflow has not registered, and "
            f"stays where it is; choose another with track.register={name}@ALIAS"
        )
