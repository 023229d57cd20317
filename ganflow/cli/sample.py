"""`ganflow sample`, `ganflow interpolate` and `ganflow animate`: pictures of what a run's generator makes."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganflow.api.drawing import MOST_TILES
from ganflow.cli.drawing import (
    MOST_SAMPLES,
    add_run_arguments,
    facts_of,
    print_written,
    shown_path,
    whole_number,
    write_output,
)
from ganflow.errors import GanflowError
from ganflow.files import check_output_path
from ganflow.printing import say

if TYPE_CHECKING:
    from torch import Tensor


IMAGES, POINTS, EACH = 64, 2000, 8  # samples by default; the last of each class
ENDINGS = (".png", ".jpg", ".jpeg", ".npz", ".npy")
STEPS, FRAMES, FINE = 10, 48, 200  # points on a way: of images in a picture and in an animation, and in the plane


def sample_arguments(parser: argparse.ArgumentParser) -> None:
    count = f"how many (default: {IMAGES} images, or {POINTS} points; {EACH} images of each class)"
    parser.add_argument("-n", type=whole_number(1, MOST_SAMPLES), metavar="N", help=count)
    parser.add_argument("--label", action="append", metavar="CLASS",
                        help="of a class-conditional run: which class, by name or number; may be given again")  # fmt: skip
    parser.add_argument("--balanced", action="store_true",
                        help="with -n, without --label: all classes equally often, not as often as in the data")  # fmt: skip
    add_run_arguments(parser, "a .png or .jpg picture; a folder, for a .png each; .npz with `samples`, their latents `z` and "
                              "labels, which data tensor_file reads; or .npy (default: NAME-samples.png)")  # fmt: skip


def sample_command(args: argparse.Namespace) -> int:
    from ganflow.api.drawing import classes_of, draw, open_game, picture_of_samples
    from ganflow.runs.finding import find_run

    folder = find_run(args.run, args.runs)
    output = args.output or Path(f"{folder.name}-samples.png")
    apart = output.is_dir() or not (output.suffix or output.name in ENDINGS)
    if not apart:
        check_output_path(output, ENDINGS)
    drawn = not apart and output.suffix.lower() not in (".npz", ".npy")
    game = open_game(folder, args.checkpoint)
    images = game.data.main.is_image
    classes = classes_of(game, args.label, folder)
    labels = classes.labels(args.label) if classes and args.label else []
    if classes and not labels and args.n is None and images:
        labels = list(range(len(classes.field.classes)))
    each = args.n or (EACH if len(labels) > 1 and images else IMAGES if images else POINTS)
    n = each * max(1, len(labels))
    numbers = output / f"{folder.name}-samples.npz" if output.is_dir() else output.with_suffix(".npz")
    as_numbers = f"write them as numbers: -o {numbers}"
    if drawn and n > MOST_TILES:
        raise GanflowError(f"a picture holds at most {MOST_TILES} samples, not {n}; {as_numbers}")
    found = draw(game, each, args.seed, classes, labels, balanced=args.balanced)
    samples, names = found.samples, found.classes
    of = f", {each} of each of {', '.join(names)}" if len(names) > 1 else f" of class {names[0]}" if names else ""
    what = f"{n} sample{'s' if n > 1 else ''} of {folder.name} ({folder.id}){of}, seed {args.seed}"
    facts = facts_of(args, folder, samples=n, classes=names)
    if apart:
        if not images or samples.shape[1] > 4:
            raise GanflowError(f"samples of shape {tuple(samples.shape[1:])} have no picture each; {as_numbers}")
        of_each = found.inputs["label"].tolist() if classes else []
        files = _save_apart(output, samples, of_each, classes.field.classes if classes else ())
        if facts is None:
            say(f"wrote {n} file{'s' if n > 1 else ''} in {shown_path(output)}/: {what}")
        else:
            print_written(files, facts)
    elif drawn:
        from ganflow.pictures import save_picture

        picture = picture_of_samples(folder, found)
        if picture is None:
            raise GanflowError(f"samples of shape {tuple(samples.shape[1:])} have no picture; {as_numbers}")
        write_output(output, lambda path: save_picture(picture, path), what, facts=facts)
    else:
        write_output(output, lambda path: _save_arrays(path, samples, found.inputs), what, facts=facts)
    if "encode" in game.signatures and "posterior" not in game.signatures:
        note = "(a plain autoencoder decodes these draws without having learnt to: no prior shaped its codes)"
        say(note, err=args.json)
    return 0


def _save_apart(folder: Path, samples: Tensor, labels: Sequence[int], classes: Sequence[str]) -> list[Path]:
    """Write a .png for each image; those of a class in a folder below, as data image_folder reads them: by its name, or by its
    number where names are no names of folders."""
    from ganflow.pictures import picture_of, save_png

    plain = all(re.fullmatch(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]{0,99}", name) for name in classes)
    below = [(classes[label] if plain else str(label)) for label in labels] or [""] * len(samples)
    try:
        for name in dict.fromkeys(below):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GanflowError(f"cannot make the folder {folder}: {error.strerror}") from error
    files = [folder / name / f"{i:05}.png" for i, name in enumerate(below)]
    for image, file in zip(samples, files, strict=True):
        save_png(picture_of(image), file)
    return files


def _save_arrays(path: Path, samples: Tensor, others: dict[str, Tensor]) -> None:
    import numpy as np

    from ganflow.pictures import replacing_file

    with replacing_file(path) as scratch, scratch.open("wb") as file:
        if path.suffix.lower() == ".npz":
            np.savez(file, samples=samples.numpy(), **{name: t.numpy() for name, t in others.items()})  # type: ignore[arg-type]
        else:
            np.save(file, samples.numpy())


def interpolate_arguments(parser: argparse.ArgumentParser) -> None:
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


def interpolate_command(args: argparse.Namespace) -> int:
    import torch

    from ganflow.api.drawing import classes_of, data_of_run, interpolate, open_game
    from ganflow.pictures import gif, image_grid, save_png, ways
    from ganflow.runs.finding import find_run

    folder = find_run(args.run, args.runs)
    output = check_output_path(args.output or Path(f"{folder.name}-interpolation.png"), (".png", ".gif"))
    moving = output.suffix.lower() == ".gif"
    game = open_game(folder, args.checkpoint)
    images, shape, rows = game.data.main.is_image, game.data.shape, args.rows
    steps = args.steps or (FRAMES if moving else STEPS if images else FINE)
    if rows * steps > MOST_TILES:
        what = f"{rows} rows of {steps} steps"
        raise GanflowError(f"{what} are more than {MOST_TILES} samples; choose fewer with --rows or --steps")
    if not images and (shape != (2,) or moving):
        drawable = "a .gif draws images" if moving else "interpolate draws images or points of the plane"
        raise GanflowError(f"run {folder.name} {folder.id} generates examples of shape {shape}; {drawable}")
    t = torch.linspace(0, 1, steps)
    if moving:  # there and back, slowly at both ends, so that it can repeat for ever
        t = (1 - torch.cos(2 * math.pi * torch.arange(steps) / steps)) / 2
    classes = classes_of(game, args.label, folder)
    labels = classes.labels(args.label or [classes.field.classes[0]]) if classes else []
    samples = interpolate(game, rows, t, args.seed, classes, labels)
    names = [classes.field.classes[label] for label in labels] if classes else []
    of = f" (class {names[0]})" if len(names) == 1 else ""
    between = f"the classes {' and '.join(names)}" if len(names) == 2 else f"latent points{of}"
    what = f"{rows} way{'s' if rows > 1 else ''} between {between} of {folder.name} ({folder.id}), seed {args.seed}"
    facts = facts_of(args, folder, rows=rows, steps=steps, classes=names)
    if moving:
        frames = [image_grid(samples[:, i]) for i in range(steps)]
        write_output(output, lambda path: gif(frames, path, args.fps, hold=False), what, facts=facts)
    elif images:
        write_output(output, lambda path: save_png(image_grid(samples.flatten(0, 1), columns=steps), path), what, facts=facts)
    else:
        write_output(output, lambda path: save_png(ways(data_of_run(folder), samples), path), what, facts=facts)
    return 0


def animate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fps", type=whole_number(1, 50), default=8, metavar="N", help="pictures per second (default: 8)")
    add_run_arguments(parser, "the GIF (default: NAME.gif)", latent=False)


def animate_command(args: argparse.Namespace) -> int:
    from ganflow.api.drawing import animate, drawn_pictures
    from ganflow.runs.finding import find_run

    folder = find_run(args.run, args.runs)
    output = check_output_path(args.output or Path(f"{folder.name}.gif"), (".gif",))
    frames = drawn_pictures(folder)
    facts = facts_of(args, folder, pictures=len(frames))
    what = f"{len(frames)} pictures of {folder.name} ({folder.id})"
    write_output(output, lambda path: animate(folder, frames, path, args.fps), what, facts=facts)
    return 0
