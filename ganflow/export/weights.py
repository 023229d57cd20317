"""An exported run: recipe, averaged weights and the shapes of the data, which ganflow reads as it does a run."""

from __future__ import annotations

import shutil
from pathlib import Path

from ganflow.addresses import redacted
from ganflow.engine.game import Game
from ganflow.runs import record
from ganflow.runs.checkpoints import write_weights
from ganflow.runs.folders import ENCODER_FILE, RunFolder

KEPT = (
    "id", "name", "created", "round", "rounds", "seed", "recipe_version", "versions", "plugins", "precision", "data", "best",
    "protocols", "goals",
)  # fmt: skip
"""What is kept of run.json: nothing of the machine, and no address."""


def recipe_text(folder: RunFolder) -> str:
    """A run's recipe without passwords, and without the comment that says where the run is."""
    first, _, rest = redacted(folder.recipe.read_text()).partition("\n")
    return rest if first.startswith("# ganflow run ") else f"{first}\n{rest}"


def write_run(folder: RunFolder, game: Game, round: int, to: Path) -> RunFolder:
    """Write an exported run into a folder that is there.

    Args:
        game: the run's, with the weights of a checkpoint.
        round: that checkpoint's.

    Raises:
        OSError: it cannot be written.
    """
    small, about = RunFolder(to), folder.read().raw
    small.recipe.write_text(recipe_text(folder))
    if (folder.path / ENCODER_FILE).exists():
        shutil.copyfile(folder.path / ENCODER_FILE, to / ENCODER_FILE)
    kept = {key: about[key] for key in KEPT if about.get(key) is not None}
    record.write_new(to, {**kept, "status": "finished", "round": round, "data": folder.read().data})
    write_weights(small.weights, game.averaged, round)
    return small
