"""What the commands that draw from a run share: their arguments, loading, and saying what was written. Not a command."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ganflow.printing import say

if TYPE_CHECKING:
    from ganflow.contract.data import Data, Field
    from ganflow.engine.game import Game
    from ganflow.runs.folders import RunFolder

MOST_TILES = 10_000
"""Tiles in one picture. More would not fit in memory, or on any screen."""


def whole_number(low: int, high: int = 2**63 - 1) -> Callable[[str], int]:
    """An argument's type: a whole number within bounds."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number") from None
        if not low <= number <= high:
            bounds = f"{low} or more" if number < low else f"at most {high}"
            raise argparse.ArgumentTypeError(f"{number} is not {bounds}")
        return number

    return parse


def add_run_arguments(
    parser: argparse.ArgumentParser, output: str, latent: bool = True, seed: str = "of the latent points"
) -> None:
    """The run, where the result goes and, for what asks the networks, from which checkpoint and with which seed."""
    parser.add_argument("run", metavar="RUN", help="a path, an id or its beginning, a name, or 'latest'")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help=output)
    if latent:
        parser.add_argument("--seed", type=whole_number(0), default=0, help=f"{seed} (default: 0)")
        parser.add_argument("--checkpoint", default="last", metavar="WHICH", help="last, best, or a file (default: last)")
    parser.add_argument("--runs", default="runs", metavar="DIR", type=Path, help="where runs are kept (default: runs)")


def check_output_path(path: Path, endings: tuple[str, ...]) -> Path:
    """Refuse a file that cannot be written before anything is computed."""
    from ganflow.errors import GanflowError

    if path.suffix.lower() not in endings:
        raise GanflowError(f"what should {path} be? end its name in {' or '.join(endings)}")
    if not path.parent.is_dir():
        raise GanflowError(f"there is no folder {path.parent}/ to write {path.name} in")
    return path


def open_game(folder: RunFolder, which: str) -> Game:
    """The trained game, which draws from a prior.

    Raises:
        GanflowError: there is no such checkpoint, or the game has no prior.
    """
    from ganflow.errors import GanflowError
    from ganflow.runs.loading import load_game

    game = load_game(folder, which)
    sources = {source for source in game.signatures[game.maker].inputs.values() if source != "z"}
    if "text" in sources:
        raise GanflowError(f"run {folder.name} {folder.id} draws what sentences say: ganflow draw {folder.id} \"…\"")
    if game.prior is None:
        raise GanflowError(f"run {folder.name} {folder.id} has no prior: its generator translates examples of {game.data.name} "
                           f"and cannot draw new ones; its pictures are in {shown_path(folder.samples)}/")  # fmt: skip
    if others := [name for name in sources if game.data.fields[name].kind != "class"]:
        raise GanflowError(f"run {folder.name} {folder.id} makes examples under a condition, '{others[0]}', which a command line "
                           f"cannot give; its pictures are in {shown_path(folder.samples)}/")  # fmt: skip
    return game


@dataclass(frozen=True)
class Classes:
    """The classes that a run's generator makes.

    Attributes:
        argument: of the generator, that takes labels.
        field: of the data.
    """

    argument: str
    field: Field

    def labels(self, wanted: Sequence[str]) -> list[int]:
        """The labels that names or numbers mean.

        Raises:
            GanflowError: there is no such class.
        """
        from ganflow.errors import GanflowError, did_you_mean

        names, found = self.field.classes, []
        for name in wanted:
            if name in names:
                found.append(names.index(name))
            elif name.isdecimal() and int(name) < len(names):
                found.append(int(name))
            else:
                hint = "" if name.isdecimal() else did_you_mean(name, names)
                listed = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
                raise GanflowError(f"--label {name}: there is no such class{hint} (classes: {listed})")
        return found


def classes_of(game: Game, wanted: Sequence[str] | None, folder: RunFolder) -> Classes | None:
    """The classes that the generator is conditioned on; None where it is on nothing.

    Args:
        wanted: labels that were asked for.

    Raises:
        GanflowError: labels were asked for, and it has none, or several fields of them.
    """
    from ganflow.errors import GanflowError

    inputs = {a: source for a, source in game.signatures[game.maker].inputs.items() if source != "z"}
    if len(inputs) == 1:
        ((argument, source),) = inputs.items()
        return Classes(argument, game.data.fields[source])
    if wanted:
        others = " and ".join(inputs.values())
        why = f"it is conditioned on {others}" if inputs else "its recipe has no condition (condition: label)"
        raise GanflowError(f"run {folder.name} {folder.id} has no labels to ask for: {why}; leave --label out")
    return None


def data_of_run(folder: RunFolder) -> Data | None:
    """The run's data, to draw beside what is generated; None where it cannot be had any more."""
    from ganflow.errors import GanflowError
    from ganflow.recipe import kept_recipe

    try:
        recipe = kept_recipe(folder.recipe)
        data: Data = recipe.composition().build("data")
    except (GanflowError, OSError) as error:
        logging.getLogger("ganflow").warning("the data of run %s %s cannot be had: %s", folder.name, folder.id, error)
        return None
    return data


def shown_path(path: Path) -> str:
    """A path as one would type it here."""
    absolute = path.absolute()
    return str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute)


def write_output(path: Path, save: Callable[[Path], object], what: str) -> None:
    """Save, and say so; what was there before is replaced, which is said, too."""
    verb = "replaced" if path.exists() else "wrote"
    save(path)
    say(f"{verb} {shown_path(path)}: {what}")
