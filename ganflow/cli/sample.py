"""`ganflow sample`: draw from a trained generator."""

from __future__ import annotations

import argparse
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
from ganflow.printing import say

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image
    from torch import Tensor

HELP = "draw samples from a run"
IMAGES, POINTS, EACH = 64, 2000, 8


def arguments(parser: argparse.ArgumentParser) -> None:
    count = f"how many (default: {IMAGES} images, or {POINTS} points; {EACH} images of each class)"
    parser.add_argument("-n", type=whole_number(1), metavar="N", help=count)
    parser.add_argument("--label", action="append", metavar="CLASS",
                        help="of a class-conditional run: which class, by name or number; may be given again")  # fmt: skip
    parser.add_argument("--balanced", action="store_true",
                        help="with -n, without --label: all classes equally often, not as often as in the data")  # fmt: skip
    add_run_arguments(parser, "a .png picture; .npz with `samples`, their latents `z` and labels; or .npy "
                              "(default: NAME-samples.png)")  # fmt: skip


def main(args: argparse.Namespace) -> int:
    from pathlib import Path

    from ganflow.errors import GanflowError
    from ganflow.runs.folders import find_run

    folder = find_run(args.run, args.runs)
    output = check_output_path(args.output or Path(f"{folder.name}-samples.png"), (".png", ".npz", ".npy"))
    drawn = output.suffix.lower() == ".png"
    game = open_game(folder, args.checkpoint)
    classes = classes_of(game, args.label, folder)
    asked = classes.labels(args.label) if classes and args.label else []
    usual = IMAGES if game.data.main.is_image else POINTS
    if classes and not asked and args.n is None and game.data.main.is_image:
        asked = list(range(len(classes.field.classes)))
    each = args.n or (EACH if len(asked) > 1 and game.data.main.is_image else usual)
    n = each * max(1, len(asked))
    if drawn and n > MOST_TILES:
        raise GanflowError(f"a picture holds at most {MOST_TILES} samples, not {n}; "
                           f"write them as numbers: -o {output.with_suffix('.npz')}")  # fmt: skip
    try:
        z = game.latents(each, args.seed)
        arrays = {"z": z.repeat(max(1, len(asked)), *[1] * (z.dim() - 1))}
        if asked:
            import torch

            arrays["label"] = torch.tensor(asked).repeat_interleave(each)
        elif classes:
            arrays["label"] = game.conditions(n, args.seed, args.balanced)[classes.argument]
        condition: dict[str, Any] = {classes.argument: arrays["label"]} if classes else {}
        samples = game.call(game.maker, arrays["z"], **condition)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate" not in str(error):
            raise
        raise GanflowError(f"{n} samples do not fit in memory; draw fewer at a time, each with its own --seed") from None
    names = [classes.field.classes[label] for label in asked] if classes else []
    of = f", {each} of each of {', '.join(names)}" if len(names) > 1 else f" of class {names[0]}" if names else ""
    what = f"{n} sample{'s' if n > 1 else ''} of {folder.name} ({folder.id}){of}, seed {args.seed}"
    if drawn:
        from ganflow.pictures import image_sheet, sample_picture, save_png

        picture: Image | None
        if len(names) > 1 and game.data.main.is_image:
            picture = image_sheet(dict(zip(names, samples.split(each), strict=True)))
        else:
            picture = sample_picture(None if samples.dim() == 4 else data_of_run(folder), samples)
        if picture is None:
            raise GanflowError(f"samples of shape {tuple(samples.shape[1:])} have no picture; write them as numbers: "
                               f"-o {output.with_suffix('.npz')}")  # fmt: skip
        write_output(output, lambda path: save_png(picture, path), what)
    else:
        write_output(output, lambda path: _save_arrays(path, samples, arrays), what)
    if "encode" in game.signatures and "posterior" not in game.signatures:
        say("(a plain autoencoder decodes these draws without having learnt to: no prior shaped its codes)")
    return 0


def _save_arrays(path: Path, samples: Tensor, others: dict[str, Tensor]) -> None:
    import numpy as np

    from ganflow.pictures import replacing_file

    with replacing_file(path) as scratch, scratch.open("wb") as file:
        if path.suffix.lower() == ".npz":
            np.savez(file, samples=samples.numpy(), **{name: t.numpy() for name, t in others.items()})  # type: ignore[arg-type]
        else:
            np.save(file, samples.numpy())
