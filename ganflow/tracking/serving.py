"""The code of the logged model: MLflow keeps this file in the model and runs it to load it ("models from code"). The
weights come from a safetensors file; nothing is unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from mlflow.pyfunc.model import PythonModel

from ganflow.checkpoint import load_game
from ganflow.runs import RunFolder
from ganflow.translator import Translator


class Generator(PythonModel):
    """Latents in, samples out: float32 arrays (n, *prior.shape) and (n, *data.shape), of a conditional generator with what it is
    told beside; or images in, their translations out."""

    def load_context(self, context: Any) -> None:
        self.game = load_game(RunFolder(Path(context.artifacts["generator"])))

    def predict(self, context: Any, model_input, params=None):  # type: ignore[no-untyped-def]
        """Without type hints, from which MLflow would make up a signature of its own."""
        if self.game.conditional:
            names = "z", str(self.game.generator.condition)
            z, told = (torch.from_numpy(np.array(model_input[name], dtype=np.float32)) for name in names)
            return self.game.sample(z, told).numpy()
        given = torch.from_numpy(np.array(model_input, dtype=np.float32))
        network = self.game.averaged
        made = self.game.translate(given, network.usual) if isinstance(network, Translator) else self.game.sample(given)
        return made.numpy()


mlflow.models.set_model(Generator())
