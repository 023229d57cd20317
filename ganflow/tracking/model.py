"""The trained generator as an MLflow model that `mlflow models serve` can serve."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ganflow.addresses import redacted
from ganflow.checkpoint import Writer, load_game
from ganflow.checkpoint.load import find_checkpoint
from ganflow.runs import ENCODER_FILE, RunFolder, write_json
from ganflow.translator import Translator

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from ganflow.tracking.artifacts import Artifacts

NAME = "generator"
SERVING = Path(__file__).with_name("serving.py")


def log_generator(
    client: MlflowClient, folder: RunFolder, experiment_id: str, run_id: str, artifacts: Callable[[str, str], Artifacts],
    which: str = "last"
) -> int | None:
    """Log the generator of a checkpoint, averaged where the recipe keeps an average; its round, or None where it is
    neither fed from a prior nor a translator. Input: float32 latents (n, *prior.shape), or images of any size to be translated
    the usual way; output: float32 samples (n, *data.shape), or images. A conditional generator takes
    {"z": latents, "text": what it is told}; the text encoder is exported with it.

    Args:
        artifacts: where files go, by a model's id and the address that the store gives.
        which: the checkpoint: "last", "best" or a file.

    Raises:
        GanflowError: there is no checkpoint.
    """
    import numpy as np
    from mlflow import pyfunc
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    game = load_game(folder, which)
    if isinstance(game.averaged, Translator):
        to, fields = game.averaged.usual, game.data.fields
        taken: tuple[int, ...] = (-1, fields[game.averaged.ways[to]].shape[0], -1, -1)
        made: tuple[int, ...] = (-1, fields[to].shape[0], -1, -1)
        example = np.zeros((1, *fields[game.averaged.ways[to]].shape), np.float32)
    elif game.prior is not None:
        taken, made, example = (-1, *game.prior.shape), (-1, *game.data.shape), game.latents(2).numpy()
    else:
        return None
    single = np.dtype(np.float32)
    inputs: list[Any] = [TensorSpec(single, taken)]
    shown: Any = example
    if game.conditional:
        told = str(game.generator.condition)
        shape = game.data.fields[told].shape
        inputs = [TensorSpec(single, taken, "z"), TensorSpec(single, (-1, *shape), told)]
        shown = {"z": example, told: np.zeros((len(example), *shape), np.float32)}
    signature = ModelSignature(Schema(inputs), Schema([TensorSpec(single, made)]))
    with TemporaryDirectory() as scratch:
        exported, saved = Path(scratch, NAME), Path(scratch, "model")
        round = export(folder, exported, which)
        logged = client.create_logged_model(experiment_id, NAME, source_run_id=run_id, model_type=NAME)
        try:
            files = artifacts(str(logged.model_id), str(logged.artifact_location))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that predict has no type hints: the signature says more
                pyfunc.save_model(
                    str(saved),
                    python_model=str(SERVING),
                    artifacts={NAME: str(exported)},
                    signature=signature,
                    input_example=shown,
                    pip_requirements=requirements(folder),
                    mlflow_model=Model(artifact_path=logged.artifact_location, run_id=run_id, model_id=logged.model_id),
                )
            files.put_model(saved)
        except BaseException:
            client.finalize_logged_model(logged.model_id, "FAILED")
            raise
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=round)])
    return round


def export(folder: RunFolder, to: Path, which: str = "last") -> int:
    """A run's folder with nothing but what its networks are made from: the recipe, the shapes of the data, the weights
    of a checkpoint without the optimizers. `load_game` reads it. Returns the checkpoint's round."""
    checkpoint = find_checkpoint(folder, which)
    small = RunFolder(to)
    small.checkpoints.mkdir(parents=True)
    small.recipe.write_text(redacted(folder.recipe.read_text()))
    if (folder.path / ENCODER_FILE).exists():
        shutil.copyfile(folder.path / ENCODER_FILE, small.path / ENCODER_FILE)
    write_json(small.path / "run.json", {"data": folder.about()["data"]})
    weights = {name: t for name, t in checkpoint.tensors.items() if name.startswith("game.")}
    writer = Writer(small.checkpoints, keep=1)
    writer.write(weights, {"round": checkpoint.round})
    writer.wait()
    return checkpoint.round


def requirements(folder: RunFolder) -> list[str]:
    """What a server must have installed: this ganflow, torch and MLflow, and the run's plugins."""
    wanted = {name: version(name) for name in ("ganflow", "torch", "mlflow")}
    plugins = folder.about().get("plugins") or {}
    wanted |= {plugin["distribution"]: plugin["version"] for plugin in plugins.values()}
    return [f"{name}=={number}" for name, number in wanted.items()]
