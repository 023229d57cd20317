"""The generator of a run as a model of MLflow's."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ganflow.addresses import redacted
from ganflow.runs import record
from ganflow.runs.folders import ENCODER_FILE, RunFolder
from ganflow.tracking.contents import Artifacts

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL = "generator"
SERVING = Path(__file__).with_name("serving.py")


def log_generator(
    client: MlflowClient,
    folder: RunFolder,
    experiment_id: str,
    run_id: str,
    artifacts: Callable[[str, str], Artifacts],
    which: str = "last",
) -> int | None:
    """Log the generator of a checkpoint, averaged where the recipe keeps an average; its round, or None where it is
    fed from nothing. Input: float32 latents (n, *prior.shape), or images of any size to be translated; output: float32 samples
    (n, *data.shape), or images. A conditional generator takes a mapping by the arguments of its signature, {"z": latents,
    "label": int64 classes}; the text encoder, where there is one, is exported with it.

    Args:
        artifacts: the files of a model, by its id and the address that the store says.
        which: the checkpoint: "last", "best" or a file.

    Raises:
        GanflowError: there is no checkpoint.
    """
    import numpy as np
    from mlflow import pyfunc
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    from ganflow.contract.signature import Z
    from ganflow.runs.loading import load_game

    game = load_game(folder, which)
    played, fields = game.signatures[game.maker], game.data.fields
    if game.prior is None and Z in played.inputs.values():
        return None
    sized = any(fields[source].is_image for source in played.inputs.values() if source != Z)  # images of any size are translated

    def spec(kind: Any, shape: tuple[int, ...], name: str | None = None) -> TensorSpec:
        return TensorSpec(np.dtype(kind), (-1, shape[0], -1, -1) if sized else (-1, *shape), name)

    inputs: list[Any] = []
    examples: dict[str, Any] = {}
    for argument, source in played.inputs.items():
        shape = game.prior.shape if source == Z and game.prior else fields[source].shape
        kind = np.int64 if source != Z and fields[source].classes else np.float32
        inputs.append(spec(kind, shape, argument if len(played.inputs) > 1 else None))
        examples[argument] = game.latents(2).numpy() if source == Z else np.zeros((1 if sized else 2, *shape), kind)
    signature = ModelSignature(Schema(inputs), Schema([spec(np.float32, fields[played.output].shape)]))
    with TemporaryDirectory() as scratch:
        exported, saved = Path(scratch, MODEL), Path(scratch, "model")
        round = export(folder, exported, which)
        logged = client.create_logged_model(experiment_id, MODEL, source_run_id=run_id, model_type=MODEL)
        try:
            files = artifacts(str(logged.model_id), str(logged.artifact_location))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of type hints: the signature says more than they could
                pyfunc.save_model(
                    str(saved),
                    python_model=str(SERVING),
                    artifacts={MODEL: str(exported)},
                    signature=signature,
                    input_example=examples if len(inputs) > 1 else examples[next(iter(examples))],
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
    from ganflow.runs.checkpoints import Writer
    from ganflow.runs.loading import find_checkpoint

    checkpoint = find_checkpoint(folder, which)
    small = RunFolder(to)
    small.checkpoints.mkdir(parents=True)
    small.recipe.write_text(redacted(folder.recipe.read_text()))
    if (folder.path / ENCODER_FILE).exists():
        shutil.copyfile(folder.path / ENCODER_FILE, small.path / ENCODER_FILE)
    record.write_new(to, {"data": folder.read().data})
    weights = {name: t for name, t in checkpoint.tensors.items() if name.startswith("game.")}
    writer = Writer(small.checkpoints, keep=1)
    writer.write(weights, {"round": checkpoint.round})
    writer.wait()
    return checkpoint.round


def requirements(folder: RunFolder) -> list[str]:
    """Packages for a server: this ganflow, torch and MLflow, and the run's plugins."""
    wanted = {name: version(name) for name in ("ganflow", "torch", "mlflow")}
    wanted |= {plugin["distribution"]: plugin["version"] for plugin in folder.read().plugins.values()}
    return [f"{name}=={number}" for name, number in wanted.items()]
