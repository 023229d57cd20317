"""`ganflow interpolate`: what lies between two latent points."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from ganflow.cli.drawing import (
    MOST_TILES,
    add_run_arguments,
    check_output_path,
    classes_of,
    data_of_run,
    open_game,
    whole_number,
    write_output,
)

if TYPE_CHECKING:
    from torch import Tensor

    from ganflow.cli.drawing import Classes
    from ganflow.engine.game import Game

HELP = "walk between latent points of a run"
STEPS, FRAMES, FINE = 10, 48, 200  # points on a way: of images in a picture and in an animation, and in the plane


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=whole_number(1), default=8, metavar="N", help="ways, each between two points (default: 8)")
    steps = f"points on a way, ends included (default: {STEPS}; {FINE} in the plane; in a .gif, its frames: {FRAMES})"
    parser.add_argument("--steps", type=whole_number(2), metavar="N", help=steps)
    parser.add_argument("--label", action="append", metavar="CLASS",
                        help="of a class-conditional run: the class on all ways, by name or number; given twice, each way goes "
                             "from one class to the other at a latent point of its own")  # fmt: skip
    parser.add_argument("--fps", type=whole_number(1, 50), default=16, metavar="N",
                        help="frames per second of a .gif (default: 16)")  # fmt: skip
    output = "a .png with a way in each row, or a .gif that goes there and back (default: NAME-interpolation.png)"
    add_run_arguments(parser, output)


def main(args: argparse.Namespace) -> int:
    from pathlib import Path

    import torch

    from ganflow.errors import GanflowError
    from ganflow.pictures import gif, image_grid, save_png, ways
    from ganflow.runs.folders import find_run

    folder = find_run(args.run, args.runs)
    output = check_output_path(args.output or Path(f"{folder.name}-interpolation.png"), (".png", ".gif"))
    moving = output.suffix.lower() == ".gif"
    game = open_game(folder, args.checkpoint)
    shape = game.data.shape
    steps = args.steps or (FRAMES if moving else STEPS if game.data.main.is_image else FINE)
    if args.rows * steps > MOST_TILES:
        what = f"{args.rows} rows of {steps} steps"
        raise GanflowError(f"{what} are more than {MOST_TILES} samples; choose fewer with --rows or --steps")
    if not game.data.main.is_image and (shape != (2,) or moving):
        kinds = "images" if moving else "images or points of the plane"
        raise GanflowError(f"run {folder.name} {folder.id} generates examples of shape {shape}; "
                           f"{'a .gif' if moving else 'interpolate'} draws {kinds}")  # fmt: skip
    t = torch.linspace(0, 1, steps)
    if moving:  # there and back, slowly at both ends, so that it can repeat for ever
        t = (1 - torch.cos(2 * math.pi * torch.arange(steps) / steps)) / 2
    classes = classes_of(game, args.label, folder)
    asked = classes.labels(args.label or [classes.field.classes[0]]) if classes else []
    if len(asked) > 2:
        raise GanflowError(f"--label: give one class, or two to go from one to the other; {len(asked)} were given")
    between = "latent points"
    if classes and len(asked) == 2:
        samples = _between_classes(game, classes, asked, args.rows, t, args.seed)
        between = f"the classes {' and '.join(classes.field.classes[label] for label in asked)}"
    else:
        condition = {classes.argument: torch.full((args.rows * len(t),), asked[0])} if classes else {}
        samples = _walk(game, args.rows, t, args.seed, condition)
        between += f" (class {classes.field.classes[asked[0]]})" if classes else ""
    what = f"{args.rows} way{'s' if args.rows > 1 else ''} between {between} of {folder.name} ({folder.id}), seed {args.seed}"
    if moving:
        frames = [image_grid(samples[:, i]) for i in range(steps)]
        write_output(output, lambda path: gif(frames, path, args.fps, hold=False), what)
    elif game.data.main.is_image:
        write_output(output, lambda path: save_png(image_grid(samples.flatten(0, 1), columns=steps), path), what)
    else:
        write_output(output, lambda path: save_png(ways(data_of_run(folder), samples), path), what)
    return 0


def _between_classes(game: Game, classes: Classes, labels: list[int], rows: int, t: Tensor, seed: int) -> Tensor:
    """Samples (rows, steps, *shape) on the way from one class to another: their shares change, the latent point does not.

    Raises:
        GanflowError: the generator does not mix classes.
    """
    import torch
    from torch.nn.functional import one_hot

    from ganflow.errors import GanflowError, first_line

    first, second = one_hot(torch.tensor(labels), len(classes.field.classes)).float()
    shares: Any = {classes.argument: torch.lerp(first, second, t[:, None]).repeat(rows, 1)}
    z = game.latents(rows, seed)
    try:
        samples = game.call(game.maker, z.repeat_interleave(len(t), 0), **shares)
    except (RuntimeError, TypeError, IndexError) as error:
        raise GanflowError(f"this run's generator does not take shares of classes (n, classes) in place of labels, as a way "
                           f"between two takes ({first_line(error)}); give one --label") from error  # fmt: skip
    return samples.reshape(rows, len(t), *samples.shape[1:])


def _walk(game: Game, rows: int, t: Tensor, seed: int, condition: dict[str, Any]) -> Tensor:
    """Samples (rows, steps, *shape) on the ways between pairs of latent points."""
    import torch

    assert game.prior is not None
    ends = game.latents(2 * rows, seed)
    z = torch.cat([game.prior.between(a, b, t) for a, b in zip(ends[:rows], ends[rows:], strict=True)])
    samples = game.call(game.maker, z, **condition)
    return samples.reshape(rows, len(t), *samples.shape[1:])
