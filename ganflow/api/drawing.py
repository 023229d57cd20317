"""Samples of a run: its game where it draws from a prior, its classes, draws of them, ways between them, and an animation."""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ganflow.advised import Advised
from ganflow.errors import GanflowError, did_you_mean, escaped, first_line
from ganflow.runs.folders import RunFolder, here

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image
    from torch import Tensor

    from ganflow.contract.data import Data, Field
    from ganflow.engine.game import Game


MOST_TILES = 10_000
"""Tiles in one picture. More would not fit in memory, or on any screen."""


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
    if why := why_not_drawn(folder, game):
        raise GanflowError(why)
    return game


def why_not_drawn(folder: RunFolder, game: Game) -> str:
    """The reason for which a game needs more than a class to draw an example, in a sentence; empty where it does not."""
    sources = {source for source in game.signatures[game.maker].inputs.values() if source != "z"}
    if "text" in sources:
        return f"run {folder.name} {folder.id} draws what sentences say: ganflow draw {folder.reference()} \"…\""
    if game.prior is None:
        return (f"run {folder.name} {folder.id} has no prior: its generator translates examples of {game.data.name} "
                f"and cannot draw new ones; its pictures are in {here(folder.samples)}/")  # fmt: skip
    if others := [name for name in sources if game.data.fields[name].kind != "class"]:
        return (f"run {folder.name} {folder.id} makes examples under a condition, '{others[0]}', which a command line "
                f"cannot give; its pictures are in {here(folder.samples)}/")  # fmt: skip
    return ""


def data_of_run(folder: RunFolder) -> Data | None:
    """The run's data, to draw beside what is generated; None where it cannot be had any more, which is logged."""
    from ganflow.runs.kept import recipe_of_run

    try:
        recipe = recipe_of_run(folder)
        data: Data = recipe.composition().build("data")
    except (GanflowError, OSError) as error:
        logging.getLogger("ganflow").warning("%s", escaped(f"the data of run {folder.name} {folder.id} cannot be had: {error}"))
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
                example = "; e.g. " + Advised(f"label={names[0]!r}", f"--label {shlex.quote(names[0])}")
                what = f"label {name if name.strip() else repr(name)}: there is no such class{hint} (classes: {listed})"
                raise GanflowError(what + (example if not hint else ""))
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


def interpolate(
    game: Game, rows: int, t: Tensor, seed: int = 0, classes: Classes | None = None, labels: Sequence[int] = ()
) -> Tensor:
    """Draw samples between two latent points each, or from one class to another at one latent point each.

    Args:
        rows: ways.
        t: places on each, (steps,): 0 is its beginning, 1 its end.
        classes: of the game, as `classes_of` says.
        labels: the class on all ways; or two, to go from one to the other. By default the first one.

    Returns:
        (rows, steps, *shape).

    Raises:
        GanflowError: more than two labels are given, or the generator does not mix classes.
    """
    import torch

    labels = labels or ([0] if classes else [])
    if len(labels) > 2:
        raise GanflowError(f"label: give one class, or two to go from one to the other; {len(labels)} were given")
    if classes and len(labels) == 2:
        samples = _between_classes(game, classes, labels, rows, t, seed)
        return samples.reshape(rows, len(t), *samples.shape[1:])
    assert game.prior is not None
    condition: dict[str, Any] = {classes.argument: torch.full((rows * len(t),), labels[0])} if classes else {}
    ends = game.latents(2 * rows, seed)
    z = torch.cat([game.prior.between(a, b, t) for a, b in zip(ends[:rows], ends[rows:], strict=True)])
    samples = game.call(game.maker, z, **condition)
    return samples.reshape(rows, len(t), *samples.shape[1:])


def _between_classes(game: Game, classes: Classes, labels: Sequence[int], rows: int, t: Tensor, seed: int) -> Tensor:
    """Samples (rows · steps, *shape) on the way from one class to another: their shares change, the latent point does not.

    Raises:
        GanflowError: the generator does not mix classes.
    """
    import torch
    from torch.nn.functional import one_hot

    first, second = one_hot(torch.tensor(list(labels)), len(classes.field.classes)).float()
    shares: Any = {classes.argument: torch.lerp(first, second, t[:, None]).repeat(rows, 1)}
    z = game.latents(rows, seed)
    try:
        return game.call(game.maker, z.repeat_interleave(len(t), 0), **shares)
    except (RuntimeError, TypeError, IndexError) as error:
        raise GanflowError(f"this run's generator does not take shares of classes (n, classes) in place of labels, as a way "
                           f"between two takes ({first_line(error)}); give one label") from error  # fmt: skip


def drawn_pictures(folder: RunFolder) -> list[Path]:
    """The pictures that a run drew over training, the last one last.

    Raises:
        GanflowError: there are fewer than two, of which nothing moves.
    """
    frames = folder.pictures()
    if len(frames) < 2:
        found = "one picture of samples" if frames else "no picture of samples"
        raise GanflowError(f"run {folder.name} {folder.id} has {found} in {here(folder.samples)}/, and an animation needs "
                           "two; train it for longer, or draw more often with train.sample_every")  # fmt: skip
    return frames


def newest_picture(folder: RunFolder) -> Image:
    """The last picture that a run drew over training; of an exported run the one that it has.

    Raises:
        GanflowError: there is none, or it cannot be read.
    """
    from ganflow.export.formats import SAMPLES
    from ganflow.pictures.files import open_picture

    path = (folder.pictures() or [folder.path / SAMPLES])[-1]
    if not path.is_file():
        raise GanflowError(f"run {folder.name} {folder.id} has no picture yet; it draws one every train.sample_every rounds")
    return open_picture(path)


def animate(folder: RunFolder, frames: Sequence[Path], path: Path, fps: int = 8) -> None:
    """Write a GIF of the pictures that a run drew over training.

    Args:
        frames: these, as `drawn_pictures` returns them.
        path: of the file.
        fps: pictures per second.

    Raises:
        GanflowError: they cannot be read.
    """
    from ganflow.pictures import gif

    fields = (folder.read().data or {"fields": {}})["fields"]
    titled = any(len(shape) < 3 for shape in fields.values())  # pictures of points have the round in their title
    gif(frames, path, fps, [] if titled else [f"round {int(re.sub(r'[^0-9]', '', frame.stem) or 0)}" for frame in frames])
