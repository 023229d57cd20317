"""ganflow: adversarial-training experiments from recipes and plugins.

All that a plugin needs is imported from here: `from ganflow import GanflowError, TensorData, hookimpl, key, settings`. What is
not in `__all__` belongs to ganflow itself and changes without notice. See ganflow.hookspecs for the contract.
"""

import os
import sys

_started = sys.argv[:1] == ["-m"] and "ganflow" in sys.orig_argv  # by `python -m ganflow`, which imports this file first
if _started and not sys.flags.safe_path and os.path.join(sys.path[0], "ganflow") != __path__[0]:
    del sys.path[0]  # the working folder, whose modules are not ganflow's

from importlib import import_module  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

from ganflow.hookspecs import CONTRACT, hookimpl  # noqa: E402
from ganflow.settings import key, part, settings  # noqa: E402
from ganflow.version import __version__  # noqa: E402

if TYPE_CHECKING:
    from ganflow.checkpoint import load_game
    from ganflow.checkpoint.load import load_encoder
    from ganflow.cli.drawing import (
        MOST_TILES,
        add_run_arguments,
        check_output_path,
        data_of_run,
        open_game,
        shown_path,
        whole_number,
        write_output,
    )
    from ganflow.data.base import IMAGE_RANGE, Data, Field, IterableData, StreamData, TensorData, class_field
    from ganflow.encoder import Pictures, TextEncoder
    from ganflow.errors import GanflowError, SettingsError
    from ganflow.executor import Executor, TrialRun, TrialSession
    from ganflow.game.game import evaluating, fork_rng
    from ganflow.game.statistics import estimate_norm_statistics
    from ganflow.loss import AddedTerms, Batch, Loss, ScoreLoss, SlopePenalty, Terms, check_inner, mixes_examples
    from ganflow.metrics import Metric
    from ganflow.optim import Elementwise
    from ganflow.pictures.files import replacing_file, save_png
    from ganflow.pictures.images import image_grid
    from ganflow.pictures.latent import latent_map
    from ganflow.pictures.pairs import image_pairs
    from ganflow.pictures.points import real_examples
    from ganflow.pictures.reading import (
        IMAGE_ENDINGS,
        IMAGE_ERRORS,
        image_error_text,
        image_tensor,
        is_grey,
        one_hot,
        read_image,
        to_eight_bits,
    )
    from ganflow.pictures.sheet import coloured_images, image_sheet
    from ganflow.playing import Game
    from ganflow.plugins.marks import build_part
    from ganflow.printing import print_lines
    from ganflow.prior import Prior
    from ganflow.report import Report
    from ganflow.runs import ENCODER_FILE, RunFolder, find_run
    from ganflow.signature import Signature
    from ganflow.step import Step
    from ganflow.tracker import TrackedRun, Tracker

__all__ = [
    "CONTRACT", "ENCODER_FILE", "IMAGE_ENDINGS", "IMAGE_ERRORS", "IMAGE_RANGE", "MOST_TILES", "AddedTerms", "Batch", "Data",
    "Elementwise", "Executor", "Field", "Game", "GanflowError", "IterableData", "Loss", "Metric", "Pictures", "Prior", "Report",
    "RunFolder", "ScoreLoss", "SettingsError", "Signature", "SlopePenalty", "Step", "StreamData", "TensorData", "Terms",
    "TextEncoder", "TrackedRun", "Tracker", "TrialRun", "TrialSession", "__version__", "add_run_arguments", "build_part",
    "check_inner", "check_output_path", "class_field", "coloured_images", "data_of_run", "estimate_norm_statistics",
    "evaluating", "find_run", "fork_rng", "hookimpl", "image_error_text", "image_grid", "image_pairs", "image_sheet",
    "image_tensor", "is_grey", "key", "latent_map", "load_encoder", "load_game", "mixes_examples", "one_hot", "open_game",
    "part", "print_lines", "read_image", "real_examples", "replacing_file", "save_png", "settings", "shown_path",
    "to_eight_bits", "whole_number", "write_output",
]  # fmt: skip

_ROOMS = {
    "checkpoint": "load_game",
    "checkpoint.load": "load_encoder",
    "cli.drawing": "MOST_TILES add_run_arguments check_output_path data_of_run open_game shown_path whole_number write_output",
    "data.base": "IMAGE_RANGE Data Field IterableData StreamData TensorData class_field",
    "encoder": "Pictures TextEncoder",
    "errors": "GanflowError SettingsError",
    "executor": "Executor TrialRun TrialSession",
    "game.game": "evaluating fork_rng",
    "game.statistics": "estimate_norm_statistics",
    "loss": "AddedTerms Batch Loss ScoreLoss SlopePenalty Terms check_inner mixes_examples",
    "metrics": "Metric",
    "optim": "Elementwise",
    "pictures.files": "replacing_file save_png",
    "pictures.images": "image_grid",
    "pictures.latent": "latent_map",
    "pictures.pairs": "image_pairs",
    "pictures.points": "real_examples",
    "pictures.reading": "IMAGE_ENDINGS IMAGE_ERRORS image_error_text image_tensor is_grey one_hot read_image to_eight_bits",
    "pictures.sheet": "coloured_images image_sheet",
    "playing": "Game",
    "plugins.marks": "build_part",
    "printing": "print_lines",
    "prior": "Prior",
    "report": "Report",
    "runs": "ENCODER_FILE RunFolder find_run",
    "signature": "Signature",
    "step": "Step",
    "tracker": "TrackedRun Tracker",
}
_ROOM = {name: room for room, names in _ROOMS.items() for name in names.split()}

if not TYPE_CHECKING:  # a type checker would believe that there is every name

    def __getattr__(name):
        """A name's object, imported when it is first asked for: `import ganflow` takes milliseconds, torch a second."""
        if name not in _ROOM:
            raise AttributeError(f"module 'ganflow' has no attribute '{name}'")
        return getattr(import_module(f"ganflow.{_ROOM[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
