"""Weights & Biases."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganflow import GanflowError, TrackedRun, Tracker

FOLDER = "wandb"


class WandbTracker(Tracker):
    """Logs to a run of Weights & Biases that has the run's id, with `round` as the axis. Offline it writes the folder `wandb` of
    the run, anew whenever the run begins or goes on; a run at the service that goes on gets what it has not got yet."""

    def __init__(self, project: str, entity: str | None, mode: str | None, images: bool) -> None:
        try:
            import wandb
        except ImportError:
            raise GanflowError("tracker 'wandb' needs the package wandb: pip install 'ganflow[wandb]'") from None
        self._wandb: Any = wandb
        self.project, self.entity, self.images = project, entity, images
        self.mode = mode or os.environ.get("WANDB_MODE") or "offline"
        self._run: Any = None
        self._known = -1  # the last round that the service has

    def begin(self, run: TrackedRun) -> None:
        folder = run.folder / FOLDER
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder)
        self._run = self._wandb.init(
            project=self.project,
            entity=self.entity,
            mode=self.mode,
            dir=run.folder,
            id=run.id,
            name=f"{run.name} {run.id}",
            config=dict(run.recipe),
            resume="allow" if self.mode == "online" else None,
            settings=self._wandb.Settings(
                console="off", silent=True, disable_code=True, disable_git=True, save_code=False, init_timeout=30
            ),
        )
        self._known = int(self._run.summary.get("round", -1)) if self._run.resumed else -1
        self._run.define_metric("round", summary="max")
        self._run.define_metric("*", step_metric="round")

    def values(self, round: int, time: float, values: Mapping[str, float]) -> None:
        self._log(round, dict(values))

    def picture(self, round: int, path: Path) -> None:
        if self.images:
            self._log(round, {"samples": self._wandb.Image(str(path))})

    def end(self, status: str) -> None:
        if self._run is not None:
            self._run.summary.update({"status": status})
            self._run.finish(exit_code=0 if status in ("finished", "stopped") else 1)

    def _log(self, round: int, values: dict[str, Any]) -> None:
        if round > self._known:
            self._run.log({**values, "round": round})
