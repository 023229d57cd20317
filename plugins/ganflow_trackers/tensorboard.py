"""TensorBoard's event files, by tensorboardX."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganflow import GanflowError, TrackedRun, Tracker

FOLDER = "tensorboard"


class TensorBoardTracker(Tracker):
    """Writes the folder `tensorboard` of the run, anew whenever the run begins or goes on: nothing in it is double."""

    def __init__(self, images: bool) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise GanflowError("tracker 'tensorboard' needs the package tensorboardX: pip install tensorboardX") from None
        self.images, self._open = images, SummaryWriter
        self._writer: Any = None

    def begin(self, run: TrackedRun) -> None:
        folder = run.folder / FOLDER
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder)
        self._writer = self._open(str(folder))
        self._writer.add_text("recipe", f"```\n{json.dumps(run.recipe, indent=2)}\n```")

    def values(self, round: int, time: float, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, round, walltime=time)
        self._writer.flush()

    def picture(self, round: int, path: Path) -> None:
        if self.images:
            import numpy as np
            from PIL import Image

            with Image.open(path) as opened:
                self._writer.add_image("samples", np.asarray(opened.convert("RGB")), round, dataformats="HWC")

    def end(self, status: str) -> None:
        self._writer.close()
