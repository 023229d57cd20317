"""Tries of recipes before anything is trained, built as their runs would build them, and what a run starts from."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from torch import Tensor

from ganflow.advised import command
from ganflow.contract.game import Metric
from ganflow.engine.build import build_game, build_metrics, pick_device
from ganflow.engine.game import Game
from ganflow.engine.memory import check_memory
from ganflow.errors import GanflowError, NewestDamaged
from ganflow.evaluation.scores import rule
from ganflow.files import user_path
from ganflow.plugins.composition import Composition
from ganflow.plugins.loading import plugins_fault
from ganflow.recipe import Recipe
from ganflow.runs import finding, folders
from ganflow.runs.checkpoints import Checkpoint
from ganflow.runs.folders import RunFolder
from ganflow.runs.kept import recipe_of_run
from ganflow.runs.loading import find_checkpoint, load_weights, matched


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


def classes_possible(game: Game, composition: Composition, recipe: Recipe) -> bool:
    """Return whether the recipe leaves it open if its networks get classes, and they could."""
    if recipe.condition is not None or game.condition or len(game.domains) > 1:
        return False
    try:
        composition.check_condition(("label",))
    except GanflowError:
        return False
    return True


def check_shares(recipe: Recipe, workers: int) -> None:
    """Check that so many workers can share a run's work.

    Raises:
        GanflowError: its batch cannot be cut into equal shares, or its rounds are to be compiled.
    """
    batch, parts = recipe.train.batch_size, recipe.train.accumulate
    if batch % (workers * parts):
        each = f" in {parts} micro-batches each" if parts > 1 else ""
        raise GanflowError(
            f"train.batch_size: {batch} examples cannot be shared evenly by {workers} workers{each}; "
            f"use a multiple of {workers * parts}"
        )
    if workers > 1 and recipe.train.compile not in ("auto", "never"):
        raise GanflowError("train.compile: rounds that several workers play cannot be compiled; set train.compile=never")


def check_best(recipe: Recipe, metrics: list[Metric]) -> None:
    """Check that there is the score of `train.best`, as far as the metrics say beforehand what they score.

    Raises:
        GanflowError: there is none, or nothing says which of it is better, or `train.best_mode` is not what the metric says.
    """
    train = recipe.train
    if train.best_mode is not None if train.best is None else all(metric.names for metric in metrics):
        named = [dict.fromkeys(m.names or [c.component.name], 0.0) for m, c in zip(metrics, recipe.metrics, strict=True)]
        if found := rule(train.best, train.best_mode, recipe.metrics, metrics, named):
            found.check()


def refused(folder: RunFolder, lines: Sequence[str], wanted: Recipe, overrides: Sequence[str], why: str = "") -> GanflowError:
    """The error of a run that cannot go on with some changes, with the command for a new run that has them.

    Args:
        lines: the changes, as those of `Changes`.
        wanted: the recipe with them.
        overrides: that `wanted` was read with.
        why: if it does not go without saying.

    Raises:
        GanflowError: (instead) the recipe cannot be run at all.
    """
    listed = [f"  {line}" for line in lines]
    if any(line.startswith("name: ") for line in lines):
        listed.append("a run keeps its name, which its folder has; the one that MLflow shows may change: track.run_name=…")
    undo = "undo them, or " + _elsewhere(folder, wanted, overrides)
    return GanflowError(f"run {folder.id} cannot go on with these changes{why}:", *listed, undo)


def _elsewhere(folder: RunFolder, wanted: Recipe, overrides: Sequence[str]) -> str:
    """The way to a new run of a recipe, from a run's weights where they fit it, as one would type it.

    Raises:
        GanflowError: the recipe cannot be run.
    """
    root, reference = folder.path.parent.parent, folder.reference()
    new = shlex.join(["ganflow", "run", str(folders.here(Path(wanted.file).absolute())), *overrides])
    if wanted.train.start_from != recipe_of_run(folder).train.start_from:  # another's weights are asked for
        return "begin a new run: " + command(new)
    fresh = wanted.copied()
    fresh.train.start_from = str(folder.path)
    try:
        for _ in tried([fresh], root):
            pass
        return "start a new run from its weights: " + command(f"{new} train.start_from={reference}")
    except GanflowError:
        for _ in tried([wanted], root):
            pass
        return "begin a new run, whose networks its weights do not fit: " + command(new)


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


def inherited(recipe: Recipe, game: Game, root: Path) -> Checkpoint | None:
    """Load the weights of the run that `train.start_from` names into the game of one that begins; returns where they came from.
    The average follows once there is one: see `load_average`.

    Raises:
        GanflowError: it names none, and the generator needs one; or the networks differ.
    """
    source = recipe.train.start_from
    if source:
        checkpoint = _source(source, root)
        load_weights(game, checkpoint, source)
        return checkpoint
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
        return find_checkpoint(finding.find_run(str(file) if source.startswith("~") else source, root))
    except NewestDamaged as error:
        this = shlex.quote(f"train.start_from={folders.here(error.instead)}")
        raise GanflowError("train.start_from: " + error.text + f"; to start from that: {this}") from None
