"""Tries of recipes before anything is trained, built as their runs would build them, and what a run starts from."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from ganflow.engine.build import build_game, build_metrics, pick_device
from ganflow.engine.game import Game
from ganflow.engine.memory import check_memory
from ganflow.errors import GanflowError, NewestDamaged
from ganflow.files import user_path
from ganflow.plugins.loading import plugins_fault
from ganflow.recipe import Recipe
from ganflow.runs import folders
from ganflow.runs.checkpoints import Checkpoint
from ganflow.runs.folders import RunFolder
from ganflow.runs.loading import find_checkpoint, load_weights, matched
from ganflow.runs.run import check_best, check_shares


def tried(recipes: Sequence[Recipe], root: Path) -> Iterator[Game]:
    """The games of recipes, with what they start from. Metrics and trackers are built, too.

    Args:
        recipes: stages, each of which starts from the one before it.
        root: the folder of runs.

    Raises:
        GanflowError: they cannot be built, or do not fit each other.
    """
    before: dict[str, Tensor] = {}
    for number, recipe in enumerate(recipes):
        try:
            game = _game_of(recipe)
            if number:
                matched(game, before, recipes[number - 1].name)
            else:
                inherited(recipe, game, root)
        except (Exception, SystemExit) as error:
            raise plugins_fault(error, "when the run was built", "--debug shows the traceback") or error from error
        before = {f"game.{name}": t for name, t in game.state_dict().items()}
        yield game


def _game_of(recipe: Recipe) -> Game:
    recipe, on_cpu = recipe.copied(), False
    with suppress(GanflowError):  # no such device here: it may be elsewhere
        on_cpu = pick_device(recipe.train.device).type == "cpu"
    recipe.train.device = "cpu"
    check_shares(recipe, 1)
    composition = recipe.composition()
    game = build_game(recipe, composition, composition.build("data"))
    if on_cpu:
        check_memory(recipe, game)
    check_best(recipe, build_metrics(composition, game))
    composition.build_trackers()
    composition.begin(game)
    return game


def inherited(recipe: Recipe, game: Game, root: Path) -> dict[str, Any] | None:
    """Load the weights of the run that `train.start_from` names into the game of one that begins; returns where they came from.

    Raises:
        GanflowError: it names none, and the generator needs one; or the networks differ.
    """
    source = recipe.train.start_from
    if source:
        return load_weights(game, _source(source, root), source)
    if hasattr(game.generator, "earlier"):
        name = recipe.generator.component.name
        raise GanflowError(f"generator '{name}' stands on an earlier run's generator, and the recipe names no such run: "
                           "give train.start_from=RUN, or run a recipe with both stages")  # fmt: skip
    return None


def _source(source: str, root: Path) -> Checkpoint:
    """The checkpoint that `train.start_from` means: a run's last, or a file.

    Raises:
        GanflowError: there is none, or it is damaged.
    """
    file = user_path("train.start_from", source)
    if file.suffix == ".safetensors" and file.is_file():
        return find_checkpoint(RunFolder(file.absolute().parent.parent), str(file.absolute()))
    try:
        return find_checkpoint(folders.find_run(str(file) if source.startswith("~") else source, root))
    except NewestDamaged as error:
        this = shlex.quote(f"train.start_from={folders.here(error.instead)}")
        raise GanflowError(f"train.start_from: {error}; to start from that: {this}") from None
