"""The code of the logged model: MLflow keeps this file in the model and runs it to load it ("models from code"). The
weights come from a safetensors file; nothing is unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from mlflow.pyfunc.model import PythonModel

from ganflow.runs.folders import RunFolder
from ganflow.runs.loading import load_game


class Generator(PythonModel):
    """Latents in, samples out: float32 arrays (n, *prior.shape) and (n, *data.shape), of a conditional generator with its
    condition beside; or images in, their translations out."""

    def load_context(self, context: Any) -> None:
        self.game = load_game(RunFolder(Path(context.artifacts["generator"])))

    def predict(self, context: Any, model_input, params=None):  # type: ignore[no-untyped-def]
        """Without type hints, from which MLflow would make up a signature of its own."""
        inputs = self.game.signatures[self.game.maker].inputs
        given = model_input if len(inputs) > 1 else {next(iter(inputs)): model_input}
        arrays = {name: np.array(given[name]) for name in inputs}
        kinds = {name: np.int64 if np.issubdtype(a.dtype, np.integer) else np.float32 for name, a in arrays.items()}
        tensors: dict[str, Any] = {name: torch.from_numpy(a.astype(kinds[name])) for name, a in arrays.items()}
        return self.game.call(self.game.maker, **tensors).numpy()


mlflow.models.set_model(Generator())
