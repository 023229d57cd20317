"""The code of the logged model: MLflow keeps this file in the model and runs it to load it ("models from code"). The
weights come from a safetensors file; nothing is unpickled."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from mlflow.pyfunc.model import PythonModel

from ganflow import RunFolder, load_game

# MLflow warns of a predict without type hints, from which it would make up another signature. It does so under a filter of its
# own, so that nothing but a record of warnings silences it.
with warnings.catch_warnings(record=True):

    class Generator(PythonModel):
        """Latents in, samples out: float32 arrays (n, *prior.shape) and (n, *data.shape), of a conditional generator with its
        condition beside; or images in, their translations out."""

        def load_context(self, context: Any) -> None:
            self.game = load_game(RunFolder(Path(context.artifacts["generator"])))

        def predict(self, context: Any, model_input, params=None):  # type: ignore[no-untyped-def]
            """Generate samples."""
            inputs = self.game.signatures[self.game.maker].inputs
            values = model_input if len(inputs) > 1 else {next(iter(inputs)): model_input}
            tensors: dict[str, Any] = {}
            for name in inputs:
                array = np.array(values[name])
                whole = np.issubdtype(array.dtype, np.integer)
                tensors[name] = torch.from_numpy(array.astype(np.int64 if whole else np.float32))
            return self.game.call(self.game.maker, **tensors).numpy()


mlflow.models.set_model(Generator())
