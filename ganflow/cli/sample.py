"""`ganflow sample`: draw from a trained generator."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ganflow.cli.drawing import MOST, add_run_arguments, check_output_path, data_of_run, open_game, whole_number, write_output
from ganflow.printing import say

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

HELP = "draw samples from a run"
IMAGES, POINTS = 64, 2000


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", type=whole_number(1), metavar="N", help=f"how many (default: {IMAGES} images, or {POINTS} points)")
    add_run_arguments(parser, "a .png picture; .npz with `samples` and their latents `z`; or .npy (default: NAME-samples.png)")


def main(args: argparse.Namespace) -> int:
    from pathlib import Path

    from ganflow.errors import GanflowError
    from ganflow.runs import find_run

    folder = find_run(args.run, args.runs)
    output = check_output_path(args.output or Path(f"{folder.name}-samples.png"), (".png", ".npz", ".npy"))
    drawn = output.suffix.lower() == ".png"
    game = open_game(folder, args.checkpoint)
    n = args.n or (IMAGES if game.data.main.is_image else POINTS)
    if drawn and n > MOST:
        raise GanflowError(f"a picture holds at most {MOST} samples, not {n}; "
                           f"write them as numbers: -o {output.with_suffix('.npz')}")  # fmt: skip
    try:
        z = game.latents(n, args.seed)
        samples = game.call(game.maker, z=z)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate" not in str(error):
            raise
        raise GanflowError(f"{n} samples do not fit in memory; draw fewer at a time, each with its own --seed") from None
    what = f"{n} sample{'s' if n > 1 else ''} of {folder.name} ({folder.id}), seed {args.seed}"
    if drawn:
        from ganflow.pictures import sample_picture, save_png

        picture = sample_picture(None if samples.dim() == 4 else data_of_run(folder), samples)
        if picture is None:
            raise GanflowError(f"samples of shape {tuple(samples.shape[1:])} have no picture; write them as numbers: "
                               f"-o {output.with_suffix('.npz')}")  # fmt: skip
        write_output(output, lambda path: save_png(picture, path), what)
    else:
        write_output(output, lambda path: _save_arrays(path, samples, z), what)
    if "encode" in game.signatures and "posterior" not in game.signatures:
        say("(a plain autoencoder decodes these draws without having learnt to: no prior shaped its codes)")
    return 0


def _save_arrays(path: Path, samples: Tensor, z: Tensor) -> None:
    import numpy as np

    from ganflow.pictures import replacing_file

    with replacing_file(path) as scratch, scratch.open("wb") as file:
        if path.suffix.lower() == ".npz":
            np.savez(file, samples=samples.numpy(), z=z.numpy())
        else:
            np.save(file, samples.numpy())
