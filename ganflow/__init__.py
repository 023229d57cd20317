"""ganflow: adversarial-training experiments from recipes and plugins.

All that a plugin needs is imported from here: `from ganflow import GanflowError, TensorData, hookimpl, key, settings`. What is
not in `__all__` belongs to ganflow itself and changes without notice. See ganflow.contract.hooks for the contract.
"""

import os
import sys

_started = sys.argv[:1] == ["-m"] and "ganflow" in sys.orig_argv  # by `python -m ganflow`, which imports this file first
if _started and not sys.flags.safe_path and os.path.join(sys.path[0], "ganflow") != __path__[0]:
    del sys.path[0]  # the working folder, whose modules are not ganflow's

from importlib import import_module  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

from ganflow.contract.hooks import CONTRACT, hookimpl  # noqa: E402
from ganflow.contract.settings import key, part, settings  # noqa: E402
from ganflow.version import __version__  # noqa: E402

if TYPE_CHECKING:
    from ganflow.api.comparing import ComparedRuns, compare
    from ganflow.api.drawing import MOST_TILES, data_of_run, open_game
    from ganflow.api.sweeping import Sweep, load_sweep, resume_sweep, run_seeds, sweep
    from ganflow.api.trained import TrainedRun, load
    from ganflow.api.training import resume, run
    from ganflow.cli.drawing import add_run_arguments, facts_of, print_written, shown_path, whole_number, write_output
    from ganflow.contract.data import IMAGE_RANGE, Data, Field, IterableData, Prior, StreamData, TensorData, class_field
    from ganflow.contract.examples import Examples, ReadExamples, StoredExamples
    from ganflow.contract.game import Game, Metric
    from ganflow.contract.hooks import build_part
    from ganflow.contract.loss import AddedTerms, Batch, Loss, Report, ScoreLoss, SlopePenalty, Terms, check_inner, mixes_examples
    from ganflow.contract.optim import Elementwise
    from ganflow.contract.preview import Original, Preview, range_advice, spread_indices
    from ganflow.contract.roles import Executor, Pictures, TextEncoder, TrackedRun, Tracker, TrialRun, TrialSession
    from ganflow.contract.signature import Signature
    from ganflow.contract.step import Step
    from ganflow.engine.allocation import check_room
    from ganflow.engine.batch_norm import estimate_norm_statistics
    from ganflow.engine.game import evaluating, fork_rng
    from ganflow.engine.permutation import shuffled
    from ganflow.errors import GanflowError, NothingLeft, SettingsError, Unreadable
    from ganflow.files import IMAGE_ENDINGS, check_output_path, open_regular, user_path
    from ganflow.machine import in_threads
    from ganflow.pictures.figure import COLOURS, FAINT, INK, add_axes, figure_image, new_figure
    from ganflow.pictures.files import (
        IMAGE_ERRORS,
        UnknownRange,
        image_error_text,
        image_tensor,
        is_grey,
        one_hot,
        open_image,
        read_image,
        replacing_file,
        save_png,
        to_eight_bits,
    )
    from ganflow.pictures.images import coloured_images, image_grid, image_sheet, latent_map, picture_of
    from ganflow.pictures.samples import image_pairs, real_examples
    from ganflow.printing import print_lines
    from ganflow.runs.finding import find_run
    from ganflow.runs.folders import ENCODER_FILE, RunFolder
    from ganflow.runs.loading import load_encoder, load_game
    from ganflow.runs.play import play, resolved_recipe

__all__ = [
    "COLOURS", "CONTRACT", "ENCODER_FILE", "FAINT", "IMAGE_ENDINGS", "IMAGE_ERRORS", "IMAGE_RANGE", "INK", "MOST_TILES",
    "AddedTerms", "Batch", "ComparedRuns", "Data", "Elementwise", "Examples", "Executor", "Field", "Game", "GanflowError",
    "IterableData", "Loss", "Metric", "NothingLeft", "Original", "Pictures", "Preview", "Prior", "ReadExamples", "Report",
    "RunFolder", "ScoreLoss", "SettingsError", "Signature", "SlopePenalty", "Step", "StoredExamples", "StreamData", "Sweep",
    "TensorData", "Terms", "TextEncoder", "TrackedRun", "Tracker", "TrainedRun", "TrialRun", "TrialSession", "UnknownRange",
    "Unreadable", "__version__", "add_axes", "add_run_arguments", "build_part", "check_inner", "check_output_path",
    "check_room", "class_field", "coloured_images", "compare", "data_of_run", "estimate_norm_statistics", "evaluating",
    "facts_of", "figure_image", "find_run", "fork_rng", "hookimpl", "image_error_text", "image_grid", "image_pairs",
    "image_sheet", "image_tensor", "in_threads", "is_grey", "key", "latent_map", "load", "load_encoder", "load_game",
    "load_sweep", "mixes_examples", "new_figure", "one_hot", "open_game", "open_image", "open_regular", "part", "picture_of",
    "play", "print_lines", "print_written", "range_advice", "read_image", "real_examples", "replacing_file",
    "resolved_recipe", "resume", "resume_sweep", "run", "run_seeds", "save_png", "settings", "shown_path", "shuffled",
    "spread_indices", "sweep", "to_eight_bits", "user_path", "whole_number", "write_output",
]  # fmt: skip

_ROOMS = {
    "api.comparing": "ComparedRuns compare",
    "api.drawing": "MOST_TILES data_of_run open_game",
    "api.sweeping": "Sweep load_sweep resume_sweep run_seeds sweep",
    "api.trained": "TrainedRun load",
    "api.training": "resume run",
    "cli.drawing": "add_run_arguments facts_of print_written shown_path whole_number write_output",
    "contract.data": "Data Field IMAGE_RANGE IterableData Prior StreamData TensorData class_field",
    "contract.examples": "Examples ReadExamples StoredExamples",
    "contract.game": "Game Metric",
    "contract.hooks": "build_part",
    "contract.loss": "AddedTerms Batch Loss Report ScoreLoss SlopePenalty Terms check_inner mixes_examples",
    "contract.optim": "Elementwise",
    "contract.preview": "Original Preview range_advice spread_indices",
    "contract.roles": "Executor Pictures TextEncoder TrackedRun Tracker TrialRun TrialSession",
    "contract.signature": "Signature",
    "contract.step": "Step",
    "engine.allocation": "check_room",
    "engine.batch_norm": "estimate_norm_statistics",
    "engine.game": "evaluating fork_rng",
    "engine.permutation": "shuffled",
    "errors": "GanflowError NothingLeft SettingsError Unreadable",
    "files": "IMAGE_ENDINGS check_output_path open_regular user_path",
    "machine": "in_threads",
    "pictures.figure": "COLOURS FAINT INK add_axes figure_image new_figure",
    "pictures.files": (
        "IMAGE_ERRORS UnknownRange image_error_text image_tensor is_grey one_hot open_image read_image "
        "replacing_file save_png to_eight_bits"
    ),
    "pictures.images": "coloured_images image_grid image_sheet latent_map picture_of",
    "pictures.samples": "image_pairs real_examples",
    "printing": "print_lines",
    "runs.finding": "find_run",
    "runs.folders": "ENCODER_FILE RunFolder",
    "runs.loading": "load_encoder load_game",
    "runs.play": "play resolved_recipe",
}
_ROOM = {name: room for room, names in _ROOMS.items() for name in names.split()}

if not TYPE_CHECKING:  # a type checker would believe that there is every name

    def __getattr__(name):
        """Import a name's object when it is first used: `import ganflow` needs milliseconds, torch a second."""
        if name not in _ROOM:
            raise AttributeError(f"module 'ganflow' has no attribute '{name}'")
        return getattr(import_module(f"ganflow.{_ROOM[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
