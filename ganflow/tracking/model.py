"""The generator of a run as a model of MLflow's."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ganflow.errors import GanflowError
from ganflow.export.served import MODEL, save_program_model, save_run_model
from ganflow.runs.folders import RunFolder
from ganflow.scratch import scratch_folder
from ganflow.tracking.contents import Artifacts

if TYPE_CHECKING:
    from mlflow import MlflowClient


def log_generator(
    client: MlflowClient,
    folder: RunFolder,
    experiment_id: str,
    run_id: str,
    artifacts: Callable[[str, str], Artifacts],
    which: str = "last",
) -> int | None:
    """Log the generator of a checkpoint, averaged where the recipe keeps an average; its round, or None where it is
    fed from nothing. Input: float32 latents (n, *prior.shape), or images to be translated; output: float32 samples
    (n, *data.shape), or images. A conditional generator takes a mapping by the arguments of its signature, {"z": latents,
    "label": int64 classes}. What no program can do is served by ganflow.

    Args:
        artifacts: the files of a model, by its id and the address that the store says.
        which: the checkpoint: "last", "best" or a file.

    Raises:
        GanflowError: there is no checkpoint.
    """
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    from ganflow.contract.signature import Z
    from ganflow.export.programs import programs_of
    from ganflow.export.tried import signatures_called
    from ganflow.export.weights import write_run
    from ganflow.runs.loading import find_checkpoint, game_of_checkpoint

    checkpoint = find_checkpoint(folder, which)
    game = game_of_checkpoint(folder, checkpoint)
    if game.prior is None and Z in game.signatures[game.maker].inputs.values():
        return None
    with scratch_folder("model-") as scratch:
        saved = Path(scratch, "model")
        logged = client.create_logged_model(experiment_id, _model_name(folder), source_run_id=run_id, model_type=MODEL)
        try:
            files = artifacts(str(logged.model_id), str(logged.artifact_location))
            model = Model(artifact_path=logged.artifact_location, run_id=run_id, model_id=logged.model_id)
            try:
                save_program_model(programs_of(game, game.maker)[game.maker], saved, model)
            except GanflowError as error:
                logging.getLogger("ganflow").info("the model of run %s is served with ganflow alone: %s", folder.id, error)
                exported = Path(scratch, MODEL)
                exported.mkdir()
                run = write_run(folder, game, checkpoint.round, exported)
                save_run_model(run, signatures_called(game, game.maker)[game.maker], saved, model)
            files.put_model(saved)
        except BaseException:
            client.finalize_logged_model(logged.model_id, "FAILED")
            raise
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=checkpoint.round)])
    return checkpoint.round


def _model_name(folder: RunFolder) -> str:
    """The recipe's name, of the characters that MLflow has in names of models."""
    return re.sub(r"[/:.%\"']", "_", str(folder.read().raw.get("name") or folder.name))
