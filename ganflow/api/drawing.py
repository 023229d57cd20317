"""Samples of a run: its game where it draws from a prior, its classes, and draws of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ganflow.errors import GanflowError, did_you_mean
from ganflow.runs.folders import RunFolder, here

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from ganflow.contract.data import Data, Field
    from ganflow.engine.game import Game


def open_game(folder: RunFolder, which: str) -> Game:
    """The trained game, which draws from a prior.

    Raises:
        GanflowError: there is no such checkpoint, or the game has no prior.
    """
    from ganflow.runs.loading import load_game

    return drawing_game(folder, load_game(folder, which))


def drawing_game(folder: RunFolder, game: Game) -> Game:
    """A game, which draws from a prior.

    Raises:
        GanflowError: it needs more than a class to draw an example.
    """
    sources = {source for source in game.signatures[game.maker].inputs.values() if source != "z"}
    if "text" in sources:
        raise GanflowError(f"run {folder.name} {folder.id} draws what sentences say: ganflow draw {folder.reference()} \"…\"")
    if game.prior is None:
        raise GanflowError(f"run {folder.name} {folder.id} has no prior: its generator translates examples of {game.data.name} "
                           f"and cannot draw new ones; its pictures are in {here(folder.samples)}/")  # fmt: skip
    if others := [name for name in sources if game.data.fields[name].kind != "class"]:
        raise GanflowError(f"run {folder.name} {folder.id} makes examples under a condition, '{others[0]}', which a command line "
                           f"cannot give; its pictures are in {here(folder.samples)}/")  # fmt: skip
    return game


def data_of_run(folder: RunFolder) -> Data | None:
    """The run's data, to draw beside what is generated; None where it cannot be had any more, which is logged."""
    from ganflow.runs.kept import recipe_of_run

    try:
        recipe = recipe_of_run(folder)
        data: Data = recipe.composition().build("data")
    except (GanflowError, OSError) as error:
        logging.getLogger("ganflow").warning("the data of run %s %s cannot be had: %s", folder.name, folder.id, error)
        return None
    return data


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
        names, found = self.field.classes, []
        for name in wanted:
            if name in names:
                found.append(names.index(name))
            elif name.isdecimal() and int(name) < len(names):
                found.append(int(name))
            else:
                hint = "" if name.isdecimal() else did_you_mean(name, names)
                listed = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
                raise GanflowError(f"label {name}: there is no such class{hint} (classes: {listed})")
        return found


def classes_of(game: Game, wanted: Sequence[str] | None, folder: RunFolder) -> Classes | None:
    """The classes that the generator is conditioned on; None where it is on nothing.

    Raises:
        GanflowError: labels are wanted, and it has none, or several fields of them.
    """
    inputs = {a: source for a, source in game.signatures[game.maker].inputs.items() if source != "z"}
    if len(inputs) == 1:
        ((argument, source),) = inputs.items()
        return Classes(argument, game.data.fields[source])
    if wanted:
        others = " and ".join(inputs.values())
        why = f"it is conditioned on {others}" if inputs else "its recipe has no condition (condition: label)"
        raise GanflowError(f"run {folder.name} {folder.id} has no labels to ask for: {why}; leave the label out")
    return None


@dataclass(frozen=True)
class Drawn:
    """Samples that were drawn.

    Attributes:
        samples: (n, *shape), float32 on the CPU.
        inputs: what each was drawn from, (n, …): "z", and "label" where there are classes.
        classes: names of the classes that were asked for, each for as many samples, one after the other.
    """

    samples: Tensor
    inputs: dict[str, Tensor]
    classes: tuple[str, ...] = ()

    @property
    def sheet(self) -> dict[str, Tensor]:
        """Samples by class, where several were asked for."""
        each = len(self.samples) // max(1, len(self.classes))
        return dict(zip(self.classes, self.samples.split(each), strict=True)) if len(self.classes) > 1 else {}


def draw(
    game: Game, each: int, seed: int = 0, classes: Classes | None = None, labels: Sequence[int] = (), *, balanced: bool = False
) -> Drawn:
    """Draw samples.

    Args:
        each: how many, of each of the labels where some are given.
        classes: of the game, as `classes_of` says.
        labels: classes that are wanted; as often as the data have them by default, or all equally often (`balanced`).

    Raises:
        GanflowError: they do not fit in memory.
    """
    import torch

    n = each * max(1, len(labels))
    try:
        z = game.latents(each, seed)
        inputs = {"z": z.repeat(max(1, len(labels)), *[1] * (z.dim() - 1))}
        if labels:
            inputs["label"] = torch.tensor(list(labels)).repeat_interleave(each)
        elif classes:
            inputs["label"] = game.conditions(n, seed, balanced)[classes.argument]
        condition: dict[str, Any] = {classes.argument: inputs["label"]} if classes else {}
        samples = game.call(game.maker, inputs["z"], **condition)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate" not in str(error):
            raise
        raise GanflowError(f"{n} samples do not fit in memory; draw fewer at a time, each with its own seed") from None
    return Drawn(samples, inputs, tuple(classes.field.classes[label] for label in labels) if classes else ())


def picture_of_samples(folder: RunFolder, found: Drawn) -> Image | None:
    """A picture of samples: a grid of images, a row for each class, or points beside the run's data; None where there is none."""
    from ganflow.pictures import image_sheet, sample_picture

    if found.sheet and found.samples.dim() == 4:
        return image_sheet(found.sheet)
    return sample_picture(None if found.samples.dim() == 4 else data_of_run(folder), found.samples)
