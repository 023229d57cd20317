"""`ganflow inpaint`: fill holes of images with what a run's generator has learnt."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ganflow import (
    add_run_arguments,
    check_output_path,
    data_of_run,
    facts_of,
    open_game,
    print_lines,
    print_written,
    shown_path,
    whole_number,
    write_output,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ganflow_layers.of_runs import Reading
    from torch import Tensor

    from ganflow import Game, RunFolder
    from ganflow_inpainting.search import Found, Search

HELP = "fill holes of images with what a run's generator has learnt"
EXAMPLES = (
    ("ganflow inpaint latest --held-out 12", "holes in images that were never trained on"),
    ("ganflow inpaint latest hole.png --mask centre", "in one of yours"),
)
ENDINGS = (".png", ".npz")
COLUMNS = 12  # images beside each other on a sheet


def arguments(parser: argparse.ArgumentParser) -> None:
    from pathlib import Path

    add_run_arguments(parser, "a .png sheet, a .npz with all there is, or a folder for a .png each (default: NAME-inpainted.png)",
                      seed="of the starts and of random masks")  # fmt: skip
    parser.add_argument("images", nargs="*", metavar="IMAGE", type=Path, help="image files")
    parser.add_argument("--held-out", type=whole_number(1), metavar="N",
                        help="held-out examples of the run's data instead (default: 8 if there is no IMAGE)")  # fmt: skip
    parser.add_argument("--mask", default="centre", metavar="WHAT",
                        help="centre, left, right, top, bottom, random:SHARE, or a picture, white where the hole is, of "
                             "the run's size or the photo's (default: centre)")  # fmt: skip
    parser.add_argument("-n", type=whole_number(1), default=3, metavar="N",
                        help="results for each image, best first (default: 3)")  # fmt: skip
    parser.add_argument("--blend", choices=("poisson", "paste"), default="poisson",
                        help="how a result is joined with what is known (default: poisson)")  # fmt: skip
    of = parser.add_argument_group("the search")
    of.add_argument("--starts", type=whole_number(1), default=4, metavar="N", help="latent points to start from (default: 4)")
    of.add_argument("--candidates", type=whole_number(1), metavar="N",
                    help="draws of which each image takes the nearest as its starts (default: 1024; paper: none)")  # fmt: skip
    of.add_argument("--iterations", type=whole_number(0), default=100, metavar="N", help="(default: 100; the paper: 1500)")
    of.add_argument("--lr", type=number(above=0), default=0.05, metavar="X", help="Adam's rate (default: 0.05)")
    of.add_argument("--window", type=whole_number(3), default=7, metavar="N",
                    help="known pixels count by the share of missing ones in a window, so wide (default: 7)")  # fmt: skip
    of.add_argument("--prior-loss", choices=("critic", "norm", "none"),
                    help="the generator's loss by the run's critic; ½‖z‖², for normal priors; or none "
                         "(default: critic; norm where a run has none, and its prior no bounds)")  # fmt: skip
    of.add_argument("--prior-weight", type=number(least=0), default=0.003, metavar="X", help="λ (default: 0.003)")
    of.add_argument("--limit", type=number(above=0), default=3.0, metavar="X",
                    help="largest |z| of a prior that has no bounds (default: 3)")  # fmt: skip


def number(least: float = float("-inf"), above: float = float("-inf")):
    """An argument's type: a number within a bound."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None
        if not (least <= value < float("inf") and value > above):
            raise argparse.ArgumentTypeError(f"{text} is not {f'above {above:g}' if value <= above else f'{least:g} or more'}")
        return value

    return parse


@dataclass(frozen=True)
class Inputs:
    """The images with their names, (n, channels, height, width), and which of their pixels are known."""

    names: list[str]
    images: Tensor
    known: Tensor


def main(args: argparse.Namespace) -> int:
    from pathlib import Path

    from ganflow import find_run
    from ganflow_inpainting.blend import blend, paste
    from ganflow_inpainting.masks import make_mask

    folder = find_run(args.run, args.runs)
    output = args.output or Path(f"{folder.name}-inpainted.png")
    if output.suffix:
        check_output_path(output, ENDINGS)
    game = open_game(folder, args.checkpoint)
    check_game(game, folder)
    _, height, width = game.data.shape
    names, images, photos = _examples(args, folder, game)
    known = make_mask(args.mask, height, width, args.seed, photos)
    inputs = Inputs(names, images, known)
    how = settings(args, game)
    found = _search(game, inputs, how, folder)
    keep = min(args.n, how.starts)
    join = blend if args.blend == "poisson" else paste
    results = join(found.made[:, :keep].float(), inputs.images[:, None].expand(-1, keep, -1, -1, -1), known)
    results = paste(results.clamp(-1, 1), inputs.images[:, None], known)
    n = len(inputs.names)
    what = f"{n} image{'s' if n > 1 else ''} inpainted by {folder.name} ({folder.id}), {keep} times each, seed {args.seed}"
    facts = facts_of(args, folder, images=names, results=keep, losses=found.loss[:, :keep].tolist())
    _save(output, inputs, results, found, what, facts)
    return 0


def check_game(game: Game, folder: RunFolder) -> None:
    """Refuse what cannot be searched.

    Raises:
        GanflowError: it does not make images, or not from its prior alone.
    """
    from ganflow import GanflowError

    who = f"run {folder.name} {folder.id}"
    if not game.data.main.is_image:
        raise GanflowError(f"{who} generates examples of shape {game.data.shape}, and inpaint fills holes of images")
    inputs = set(game.signatures[game.makers[game.domains[0]]].inputs.values())
    if inputs != {"z"}:
        listed = ", ".join(sorted(inputs))
        raise GanflowError(f"{who} is conditional: it makes images from {listed}, and inpaint works on runs that make images "
                           "from their prior alone")  # fmt: skip


def settings(args: argparse.Namespace, game: Game) -> Search:
    """The search that the arguments ask for."""
    from ganflow_inpainting.search import Search, judges

    assert game.prior is not None
    usual = "critic" if judges(game) else "norm" if game.prior.support is None else "none"
    return Search(
        starts=args.starts,
        candidates=args.candidates or max(1024, args.starts),
        iterations=args.iterations,
        lr=args.lr,
        window=args.window,
        prior=args.prior_loss or usual,
        weight=args.prior_weight,
        limit=args.limit,
        seed=args.seed,
    )


def defaults(game: Game) -> Search:
    """The search of `ganflow inpaint RUN` without further arguments."""
    parser = argparse.ArgumentParser()
    arguments(parser)
    return settings(parser.parse_args(["RUN"]), game)


def _examples(args: argparse.Namespace, folder: RunFolder, game: Game) -> tuple[list[str], Tensor, dict[str, tuple[int, int]]]:
    """Names and images: the files', or held-out ones; and of files, heights and widths by name."""
    import torch
    from ganflow_layers.of_runs import reading_of

    from ganflow import GanflowError

    shape = game.data.shape
    if args.images and args.held_out:
        raise GanflowError("give IMAGE files or --held-out, not both")
    if args.images:
        if shape[0] > 4:
            raise GanflowError(f"the run's images have {shape[0]} channels, which no image file has; use --held-out")
        names = [path.stem for path in args.images]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise GanflowError(f"several images are called {', '.join(twice)}; inpaint them one by one")
        reading = reading_of(folder)
        read = [_read(path, shape, reading) for path in args.images]
        return names, torch.stack([image for image, _ in read]), dict(zip(names, (size for _, size in read), strict=True))
    data = data_of_run(folder)
    kept = None if data is None else data.held_out.get("real")
    if kept is None or not len(kept):
        raise GanflowError(f"the data of run {folder.name} {folder.id} cannot be had any more, or keeps nothing from training: "
                           "name images to inpaint")  # fmt: skip
    wanted = args.held_out or min(8, len(kept))
    if wanted > len(kept):
        raise GanflowError(f"--held-out: the run's data keep {len(kept)} examples from training, not {wanted}")
    return [f"held-out-{i:04}" for i in range(wanted)], kept[:wanted], {}


def _read(path: Path, shape: tuple[int, ...], reading: Reading) -> tuple[Tensor, tuple[int, int]]:
    """An image file at the run's size, and the height and width that it has."""
    from ganflow import read_image
    from ganflow_inpainting.photos import cut_to

    image = read_image(path, shape[0], reading.pixels.limits, reading.pixels.background)
    height, width = image.shape[1:]
    if (height, width) != shape[1:]:
        taken = f"its middle is taken, at the run's {shape[2]} × {shape[1]}"
        print_lines(f"ganflow: {path} is {width} × {height} pixels; {taken}", err=True)
    return cut_to(image, shape[1], shape[2]).clamp(-1, 1), (height, width)


def _search(game: Game, inputs: Inputs, how: Search, folder: RunFolder) -> Found:
    """With a bar on a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    from ganflow_inpainting.search import search

    real = None
    if how.prior == "critic" and how.weight and getattr(game.loss, "compares", False):
        from ganflow import real_examples

        some = real_examples(data_of_run(folder))
        if some is not None:
            import torch

            real = torch.from_numpy(some[:64])
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("inpainting", total=how.iterations)
        return search(game, inputs.images, inputs.known, how, real, lambda loss: bar.update(task, advance=1))


def _save(output: Path, inputs: Inputs, results: Tensor, found: Found, what: str, facts: Mapping[str, Any] | None) -> None:
    """results: (n, how many, channels, height, width)."""
    from ganflow import image_grid, save_png

    if output.suffix.lower() == ".npz":
        write_output(output, lambda path: _save_arrays(path, inputs, results, found), what, facts=facts)
    elif output.suffix:
        write_output(output, lambda path: save_png(draw(inputs, results), path), what, facts=facts)
    else:
        from ganflow import GanflowError

        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GanflowError(f"cannot make the folder {output}: {error.strerror}") from error
        files = []
        for name, made in zip(inputs.names, results, strict=True):
            for i, image in enumerate(made, 1):
                files.append(output / f"{name}-{i}.png")
                save_png(image_grid(image[None], scale=1, gap=0), files[-1])
        if facts is None:
            print_lines(f"wrote {shown_path(output)}/: {what}")
        else:
            print_written(files, facts)


def draw(inputs: Inputs, results: Tensor):
    """A column for each image: with the hole, grey; the results; the original."""
    import torch
    from PIL import Image

    from ganflow import image_sheet

    bands = []
    for i in range(0, len(results), COLUMNS):
        images, made = inputs.images[i : i + COLUMNS], results[i : i + COLUMNS]
        rows = {"with the hole": torch.where(inputs.known, images, 0.0)}
        rows |= {f"result {k + 1}" if k else "best result": made[:, k] for k in range(made.shape[1])}
        bands.append(image_sheet({**rows, "as given": images}))
    whole = Image.new("RGB", (max(b.width for b in bands), sum(b.height for b in bands)), "white")
    y = 0
    for band in bands:
        whole.paste(band, (0, y))
        y += band.height
    return whole


def _save_arrays(path: Path, inputs: Inputs, results: Tensor, found: Found) -> None:
    import numpy as np

    from ganflow import replacing_file

    keep = results.shape[1]
    arrays = {name: getattr(found, name)[:, :keep].float().cpu().numpy() for name in ("z", "made", "context", "prior", "loss")}
    with replacing_file(path) as scratch, scratch.open("wb") as file:
        np.savez(file, names=np.array(inputs.names), images=inputs.images.numpy(), known=inputs.known.numpy(),
                 results=results.numpy(), **arrays)  # fmt: skip
