"""Trackers: TensorBoard's event files, Weights & Biases, and JSON lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from ganflow import hookimpl, key, settings

if TYPE_CHECKING:
    from ganflow import Tracker

GANFLOW_CONTRACT = 2

_FILE = re.compile(r"\w[\w.-]*\.jsonl")
_TAKEN = ("metrics.jsonl",)  # the run's journal


@settings
class TensorBoard:
    """Event files for TensorBoard in the run's folder: `tensorboard --logdir runs` shows all runs, sweeps' trials too."""

    images: bool = key(True, "the sample pictures, too")

    @hookimpl
    def tracker(self) -> Tracker:
        from ganflow_trackers.tensorboard import TensorBoardTracker

        return TensorBoardTracker(self.images)


@settings
class Wandb:
    """Weights & Biases (`pip install 'ganflow[wandb]'`), a run there for each run.

    Offline, the default, nothing leaves the machine: the files are in the run's folder, and `wandb sync` sends them.
    """

    project: str = key("ganflow", "the project")
    entity: str | None = key(None, "user or team; if not given your default one")
    mode: Literal["offline", "online"] | None = key(None, "online: sent while it trains; if not given WANDB_MODE, else offline")
    images: bool = key(True, "the sample pictures, too")

    @hookimpl
    def tracker(self) -> Tracker:
        from ganflow_trackers.weights_biases import WandbTracker

        return WandbTracker(self.project, self.entity, self.mode, self.images)


@settings
class JsonLines:
    """A file in the run's folder with one JSON object per line.

    Its key `event` says what it is: `begin` (with the recipe), `values`, `picture` or `end`. NaN and the infinities are "nan",
    "inf" and "-inf".
    """

    file: str = key("events.jsonl", "its name: no path, for the recipe may be a stranger's")

    def __post_init__(self) -> None:
        if not _FILE.fullmatch(self.file) or self.file in _TAKEN:
            taken = f", and not {' or '.join(_TAKEN)}, which the run has already"
            raise ValueError(f"file: {self.file[:50]!r} cannot be written to; use a plain name that ends in .jsonl{taken}")

    @hookimpl
    def tracker(self) -> Tracker:
        from ganflow_trackers.lines import LinesTracker

        return LinesTracker(self.file)


@hookimpl
def register(offer):
    offer("tracker", "tensorboard", TensorBoard)
    offer("tracker", "wandb", Wandb)
    offer("tracker", "jsonl", JsonLines)
