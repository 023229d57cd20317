"""The generator as an MLflow model, which `mlflow models serve` serves without ganflow and without plugins."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow.runs.folders import RunFolder
from ganflow.scratch import scratch_folder

if TYPE_CHECKING:
    from mlflow.models import Model

    from ganflow.export.programs import Program
    from ganflow.export.tried import Called

MODEL = "generator"
SERVING = Path(__file__).with_name("serving.py")
CONFIG, PROGRAM = "config.json", "program.pt2"  # as SERVING calls them, which imports nothing of ganflow
_BARS = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"


def save_program_model(program: Program, to: Path, model: Model | None = None) -> None:
    """Write a signature's program as an MLflow model.

    Args:
        to: a folder that is not there yet.
        model: what MLflow knows of it already.
    """
    from ganflow.export.programs import save_program

    with scratch_folder("served-") as scratch:
        files = Path(scratch, MODEL)
        files.mkdir()
        save_program(program, files / PROGRAM)
        _save(files, program.called, to, ["torch", "mlflow", "numpy"], model)


def save_run_model(folder: RunFolder, called: Called, to: Path, model: Model | None = None) -> None:
    """Write an exported run as an MLflow model that is served with ganflow and the run's plugins: for what no program can do.

    Args:
        folder: as `ganflow.export.weights.write_run` writes it.
        called: the main signature.
        to, model: as of `save_program_model`.
    """
    plugins = {plugin["distribution"]: plugin["version"] for plugin in folder.read().plugins.values()}
    _save(folder.path, called, to, ["ganflow", "torch", "mlflow"], model, plugins)


def _save(
    files: Path, called: Called, to: Path, packages: list[str], model: Model | None, plugins: Mapping[str, str] | None = None
) -> None:
    from mlflow import pyfunc

    (files / CONFIG).write_text(json.dumps(called.about, indent=2) + "\n")
    one = 1 if any(None in port.shape for port in called.inputs.values()) else 2
    examples = {name: t[:one].numpy() for name, t in called.examples.items()}
    with _quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of type hints: the signature says more than they could
        pyfunc.save_model(
            str(to),
            python_model=str(SERVING),
            artifacts={MODEL: str(files)},
            signature=signature(called),
            input_example=examples if len(examples) > 1 else next(iter(examples.values())),
            pip_requirements=requirements(packages, plugins or {}),
            **({"mlflow_model": model} if model is not None else {}),
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """MLflow tells every step on stderr, with progress bars."""
    logger, before = logging.getLogger("mlflow"), os.environ.get(_BARS)
    level = logger.level
    try:
        logger.setLevel(logging.WARNING)
        os.environ[_BARS] = "false"
        yield
    finally:
        logger.setLevel(level)
        os.environ.pop(_BARS)
        if before is not None:
            os.environ[_BARS] = before


def signature(called: Called) -> Any:
    """The signature that MLflow has of a model: arrays, one by itself or several by name."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    def spec(port: Any, name: str | None = None) -> TensorSpec:
        return TensorSpec(np.dtype(port.dtype), (-1, *(-1 if side is None else side for side in port.shape)), name)

    several = len(called.inputs) > 1
    inputs: list[Any] = [spec(port, name if several else None) for name, port in called.inputs.items()]
    return ModelSignature(Schema(inputs), Schema([spec(called.output)]))


def requirements(packages: list[str], plugins: Mapping[str, str]) -> list[str]:
    """Packages for a server, as an index has them: without what only this machine's build is called by ("+cpu").

    Args:
        packages: whose versions are those of here.
        plugins: further ones with their versions.
    """
    wanted = {**{name: version(name) for name in packages}, **plugins}
    return [f"{name}=={number.partition('+')[0]}" for name, number in wanted.items()]
