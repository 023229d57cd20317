"""`ganflow translate`: images of one domain into another."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ganflow import (
    add_run_arguments,
    check_output_path,
    data_of_run,
    facts_of,
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
    from ganflow_translation.files import Input

HELP = "translate images by a run of pix2pix, CycleGAN or UNIT"
EXAMPLES = (
    ("ganflow translate latest --compare", "held-out images, what is made of them, and the truth"),
    ("ganflow translate latest photos/ -o made/", "all images of a folder"),
)
HELD_OUT = 8


def arguments(parser: argparse.ArgumentParser) -> None:
    from pathlib import Path

    add_run_arguments(parser, "a .png or .npy for one image, a .png for held-out examples, else a folder "
                      "(default: NAME-to-DOMAIN)",
                      seed="for a network that is random when it translates")  # fmt: skip
    parser.add_argument("inputs", nargs="*", metavar="INPUT", type=Path,
                        help="images, .npy files, or folders of such; without any, held-out examples of the run's "
                             "data")  # fmt: skip
    parser.add_argument("--to", metavar="DOMAIN", help="which way, by the domain that is made: target; b (the default) or a")
    parser.add_argument("--compare", action="store_true",
                        help="write sheets: input, output, what comes back of it, and the truth where it is known")  # fmt: skip
    parser.add_argument("--truth", metavar="PATH", type=Path, help="for --compare: the true image, or a folder of them")
    parser.add_argument("--format", choices=("png", "npy"),
                        help="of what is written: npy for numbers in [-1, 1] (default: npy for .npy, else png)")  # fmt: skip
    parser.add_argument("--frames", choices=("first", "all"), default="first",
                        help="of files with several pages or frames (default: first)")  # fmt: skip
    parser.add_argument("--tile", type=whole_number(16), metavar="N",
                        help="translate larger pictures in overlapping tiles, N pixels a side: for what does not fit in "
                             "memory")  # fmt: skip
    parser.add_argument("-n", type=whole_number(1), default=HELD_OUT, metavar="N",
                        help=f"held-out examples (default: {HELD_OUT})")  # fmt: skip


@dataclass(frozen=True)
class Way:
    """Translation from one domain to another.

    Attributes:
        to, origin: the domains.
        back: whether the network also leads back.
        tile: height and width of the largest picture that is translated at once; None for any.
    """

    game: Game
    to: str
    origin: str
    back: bool
    seed: int
    tile: int | None = None

    def __call__(self, x: Tensor) -> Tensor:
        return self._to(x, self.to)

    def _to(self, x: Tensor, domain: str) -> Tensor:
        from ganflow import GanflowError
        from ganflow_translation.tiling import tiled

        name = self.game.makers[domain]
        multiple = self.game.signatures[name].multiple

        def make(x: Tensor) -> Tensor:
            return self.game.call(name, x, seed=self.seed, batch=32)

        try:
            if self.tile is None:
                return make(x)
            return tiled(make, x, max(1, self.tile // multiple) * multiple, multiple)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "allocate" not in str(error):
                raise
            smaller = (self.tile or 1024) // 2
            size = f"{x.shape[3]} × {x.shape[2]}"
            raise GanflowError(f"a picture of {size} does not fit in memory at once: --tile {smaller}") from None

    def rows(self, x: Tensor, made: Tensor, true: Tensor | None) -> dict[str, Tensor]:
        """Rows of a sheet of pictures."""
        rows = {self.origin: x, f"{self.origin} to {self.to}": made}
        if self.back:
            rows[f"{self.origin} to {self.to} to {self.origin}"] = self._to(made, self.origin)
        return rows if true is None else {**rows, f"true {self.to}": true}


def main(args: argparse.Namespace) -> int:
    from ganflow import GanflowError, find_run

    folder = find_run(args.run, args.runs)
    way = _way(folder, args.to, args.checkpoint, args.seed, args.tile)
    if args.truth and not args.compare:
        raise GanflowError("--truth is drawn by --compare: give both")
    if not args.inputs:
        if args.truth:
            raise GanflowError("--truth belongs to INPUT images; held-out examples bring their own")
        return _held_out(args, folder, way)
    from ganflow_layers.of_runs import reading_of

    from ganflow_translation.files import found

    reading = reading_of(folder)
    inputs = found(args.inputs, reading, args.frames == "all")
    targets = _targets(args, f"{folder.name}-to-{way.to}", inputs)
    there = {target for target in targets if target.exists()}
    written, broken = _translate(way, inputs, targets, reading, args.truth, args.compare)
    where = targets[0] if len(inputs) == 1 else _within(targets)
    facts = facts_of(args, folder, origin=way.origin, to=way.to, images=sum(written.values()), broken=broken)
    if facts is not None:
        print_written(list(written), facts)
    elif written:
        print_lines(f"{_done(written, there)}: {shown_path(where)}")
    if broken:
        more = f" and {len(broken) - 10} more" if len(broken) > 10 else ""
        listed = "; ".join(broken[:10])
        print_lines(f"ganflow: {len(broken)} of {len(inputs)} images cannot be translated: {listed}{more}", err=True)
    return 1 if broken else 0


def _done(written: dict[Path, int], there: set[Path]) -> str:
    """ "wrote 5 images in 1 file, replaced 2 images", of files and the images in each, and those that were there before."""
    parts = []
    for verb, files in (("wrote", written.keys() - there), ("replaced", written.keys() & there)):
        images = sum(written[file] for file in files)
        within = f" in {len(files)} file{'s' if len(files) > 1 else ''}" if images > len(files) else ""
        parts += [f"{verb} {images} image{'s' if images > 1 else ''}{within}"] if files else []
    return ", ".join(parts)


def _within(targets: list[Path]) -> Path:
    """The folder that all are in."""
    import os
    from pathlib import Path

    return Path(os.path.commonpath([target.parent for target in targets]))


def _targets(args: argparse.Namespace, default: str, inputs: list[Input]) -> list[Path]:
    """A file for each input."""
    from pathlib import Path

    from ganflow import GanflowError
    from ganflow_translation.files import NUMBERS, outputs

    wanted = {"png": ".png", "npy": NUMBERS, None: None}[args.format]
    endings = [".png" if args.compare else wanted or (NUMBERS if each.numbers else ".png") for each in inputs]
    if args.output is not None and args.output.suffix:
        if len(inputs) > 1:
            raise GanflowError(f"{len(inputs)} images do not fit into {args.output}: let -o name a folder")
        return [check_output_path(args.output, (".png",) if args.compare else (".png", NUMBERS))]
    return outputs(args.output or Path(default), inputs, endings)


def _way(folder: RunFolder, to: str | None, checkpoint: str, seed: int, tile: int | None) -> Way:
    from ganflow import GanflowError, load_game

    game = load_game(folder, checkpoint)
    fields = game.data.fields
    origins = {to: next(iter(game.signatures[name].inputs.values())) for to, name in game.makers.items()}
    ways = {to: origin for to, origin in origins.items() if origin in fields and fields[origin].is_image and origin != to}
    if not ways:
        raise GanflowError(f"run {folder.name} {folder.id} does not translate: its generator draws from a prior; "
                           f"use ganflow sample {folder.reference()}")  # fmt: skip
    to = to or next(iter(ways))
    if to not in ways:
        raise GanflowError(f"--to {to}: run {folder.name} {folder.id} translates to {' or '.join(ways)}")
    return Way(game, to, ways[to], ways[to] in ways, seed, tile)


def _held_out(args: argparse.Namespace, folder: RunFolder, way: Way) -> int:
    """A sheet of held-out examples."""
    from pathlib import Path

    from ganflow import GanflowError, image_sheet, save_png

    output = check_output_path(args.output or Path(f"{folder.name}-to-{way.to}.png"), (".png",))
    data = data_of_run(folder)
    x = data.held_out[way.origin][: args.n] if data else None
    if data is None or x is None or not len(x):
        raise GanflowError(f"the data of run {folder.name} {folder.id} cannot be had any more, or keeps nothing from training: "
                           "name images to translate")  # fmt: skip
    true = data.held_out[way.to][: args.n] if data.aligned else None
    picture = image_sheet(way.rows(x, way(x), true))
    what = f"{len(x)} held-out examples of {data.name}, {way.origin} to {way.to}"
    facts = facts_of(args, folder, origin=way.origin, to=way.to, examples=len(x))
    write_output(output, lambda path: save_png(picture, path), what, facts=facts)
    return 0


def _translate(
    way: Way, inputs: list[Input], targets: list[Path], reading: Reading, true: Path | None, compare: bool
) -> tuple[dict[Path, int], list[str]]:
    """Translate and write; returns the images in each file. What cannot be translated is left out and returned, too, unless it is
    all there is."""
    import sys

    from rich.progress import track

    from ganflow import GanflowError, image_sheet, is_grey, save_png
    from ganflow_translation.files import true_image, write

    grey, broken, written = 0, [], {}
    channels = way.game.data.fields[way.origin].shape[0]
    pairs = list(zip(inputs, targets, strict=True))
    for each, target in track(pairs, "translating", transient=True, disable=len(inputs) == 1 or not sys.stderr.isatty()):
        try:
            x, made = _made(way, each, reading, compare or target.suffix != ".png")
        except GanflowError as error:
            if len(inputs) == 1:
                raise
            broken.append(str(error).removeprefix("cannot read the image "))
            continue
        grey += channels == 3 and not each.numbers and is_grey(each.file)
        sheet = image_sheet(way.rows(x, made, true_image(true, each, made, reading) if true else None)) if compare else None
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GanflowError(f"cannot make the folder {target.parent}: {error.strerror}") from error
        if sheet is None:
            write(made, target)
        else:
            save_png(sheet, target)
        written[target] = len(made) if sheet is None else 1
    if grey:
        are = "is" if grey == 1 else "are"
        print_lines(f"ganflow: {grey} of {len(inputs)} images {are} grey; read as colour, which the run was trained on", err=True)
    return written, broken


def _made(way: Way, each: Input, reading: Reading, several: bool) -> tuple[Tensor, Tensor]:
    """An image, and what the network makes of it.

    Args:
        several: there may be more than one in the file.

    Raises:
        GanflowError: it cannot be read, or the network cannot take it.
    """
    from ganflow import GanflowError
    from ganflow_translation.files import read

    labels = True if way.origin == "source" and reading.classes else None
    x = read(each, way.game.data.fields[way.origin].shape[0], reading, labels)
    if min(x.shape[2:]) < (least := way.game.signatures[way.game.makers[way.to]].smallest):
        size = f"{x.shape[3]} × {x.shape[2]}"
        raise GanflowError(f"{each} is {size}, too small for the network, which takes {least} pixels or more")
    if len(x) > 1 and not several:
        raise GanflowError(f"{each.file} holds {len(x)} images, which no .png does: --format npy")
    return x, way(x)
