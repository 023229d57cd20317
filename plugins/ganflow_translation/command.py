"""`ganflow translate`: images of one domain into another."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ganflow import add_run_arguments, check_output_path, data_of_run, print_lines, shown_path, whole_number, write_output

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from ganflow import Game, RunFolder

HELP = "translate images by a run of pix2pix, CycleGAN or UNIT"
HELD_OUT = 8


def arguments(parser: argparse.ArgumentParser) -> None:
    from pathlib import Path

    add_run_arguments(parser, "a .png for one image or for held-out examples, else a folder (default: NAME-to-DOMAIN)",
                      seed="for a network that is random when it translates")  # fmt: skip
    parser.add_argument("inputs", nargs="*", metavar="INPUT", type=Path,
                        help="images, or folders of images; without any, held-out examples of the run's data")  # fmt: skip
    parser.add_argument("--to", metavar="DOMAIN", help="which way, by the domain that is made: target; b (the default) or a")
    parser.add_argument("--compare", action="store_true",
                        help="write sheets: input, output, what comes back of it, and the truth where it is known")  # fmt: skip
    parser.add_argument("--truth", metavar="PATH", type=Path, help="for --compare: the true image, or a folder of them")
    parser.add_argument("-n", type=whole_number(1), default=HELD_OUT, metavar="N",
                        help=f"held-out examples (default: {HELD_OUT})")  # fmt: skip


@dataclass(frozen=True)
class Way:
    """Translation from one domain to another.

    Attributes:
        to, origin: the domains.
        back: whether the network also leads back.
    """

    game: Game
    to: str
    origin: str
    back: bool
    seed: int

    def __call__(self, x: Tensor) -> Tensor:
        return self._to(x, self.to)

    def _to(self, x: Tensor, domain: str) -> Tensor:
        return self.game.call(self.game.makers[domain], x, seed=self.seed, batch=32)

    def rows(self, x: Tensor, made: Tensor, true: Tensor | None) -> dict[str, Tensor]:
        """Rows of a sheet of pictures."""
        rows = {self.origin: x, f"{self.origin} to {self.to}": made}
        if self.back:
            rows[f"{self.origin} to {self.to} to {self.origin}"] = self._to(made, self.origin)
        return rows if true is None else {**rows, f"true {self.to}": true}


def main(args: argparse.Namespace) -> int:
    from ganflow import GanflowError, find_run

    folder = find_run(args.run, args.runs)
    way = _way(folder, args.to, args.checkpoint, args.seed)
    if args.truth and not args.compare:
        raise GanflowError("--truth is drawn by --compare: give both")
    if not args.inputs:
        if args.truth:
            raise GanflowError("--truth belongs to INPUT images; held-out examples bring their own")
        return _held_out(args, folder, way)
    files = list(_files(args.inputs))
    if args.output is not None and args.output.suffix:
        if len(files) > 1:
            raise GanflowError(f"{len(files)} images do not fit into {args.output}: let -o name a folder")
        targets = [check_output_path(args.output, (".png",))]
    else:
        targets = _into(args.output, f"{folder.name}-to-{way.to}", files)
    _check_sizes(way, files)
    _translate(way, files, targets, args.truth, args.compare)
    where = targets[0] if len(files) == 1 else targets[0].parent
    print_lines(f"wrote {len(files)} image{'s' if len(files) > 1 else ''}: {shown_path(where)}")
    return 0


def _way(folder: RunFolder, to: str | None, checkpoint: str, seed: int) -> Way:
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
    return Way(game, to, ways[to], ways[to] in ways, seed)


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
    write_output(output, lambda path: save_png(picture, path), what)
    return 0


def _files(inputs: list[Path]) -> Iterator[Path]:
    """The images that are meant, those of folders sorted by name."""
    from ganflow import IMAGE_ENDINGS, GanflowError

    for path in inputs:
        if not path.is_dir():
            if not path.exists():
                raise GanflowError(f"there is no image {path}")
            yield path
            continue
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_ENDINGS and not p.name.startswith("."))
        if not found:
            raise GanflowError(f"no images in {path}; files that count: {', '.join(IMAGE_ENDINGS)}")
        yield from found


def _into(output: Path | None, default: str, files: list[Path]) -> list[Path]:
    """A file in a folder for each image, under the image's name."""
    from pathlib import Path

    from ganflow import GanflowError

    folder = output or Path(default)
    targets = [folder / f"{file.stem}.png" for file in files]
    twice = sorted({t.name for t in targets if targets.count(t) > 1})
    if twice:
        raise GanflowError(f"several images would be written as {', '.join(twice[:5])}: translate one folder at a time")
    overwritten = [file for file, target in zip(files, targets, strict=True) if target.exists() and target.samefile(file)]
    if overwritten:
        raise GanflowError(f"{overwritten[0]} would be written over: let -o name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GanflowError(f"cannot make the folder {folder}: {error.strerror}") from error
    return targets


def _check_sizes(way: Way, files: list[Path]) -> None:
    """All images that are too small, before any is translated."""
    from PIL import Image

    from ganflow import IMAGE_ERRORS, GanflowError

    least, small = way.game.signatures[way.game.makers[way.to]].smallest, []
    for file in files:
        try:
            with Image.open(file) as opened:
                if min(opened.size) < least:
                    small.append(f"{file} ({opened.width} × {opened.height})")
        except IMAGE_ERRORS:
            continue  # said when it is read
    if small:
        more = f" and {len(small) - 5} more" if len(small) > 5 else ""
        raise GanflowError(f"too small for the network, which takes {least} pixels or more: {', '.join(small[:5])}{more}")


def _translate(way: Way, files: list[Path], targets: list[Path], true: Path | None, compare: bool) -> None:
    import sys

    from rich.progress import track

    from ganflow import coloured_images, image_grid, image_sheet, is_grey, read_image, save_png

    fields = way.game.data.fields
    channels = {name: fields[name].shape[0] for name in (way.origin, way.to)}
    grey = 0
    pairs = list(zip(files, targets, strict=True))
    for file, target in track(pairs, "translating", transient=True, disable=len(files) == 1 or not sys.stderr.isatty()):
        x = read_image(file, channels[way.origin])[None]
        grey += channels[way.origin] == 3 and is_grey(file)
        made = way(x)
        if compare:
            picture = image_sheet(way.rows(x, made, _true(true, file, made, channels[way.to]) if true else None))
        else:
            picture = image_grid(coloured_images(made), scale=1, gap=0)
        save_png(picture, target)
    if grey:
        are = "is" if grey == 1 else "are"
        print_lines(f"ganflow: {grey} of {len(files)} images {are} grey; read as colour, which the run was trained on", err=True)


def _true(path: Path, file: Path, made: Tensor, channels: int) -> Tensor:
    """The truth beside a translation."""
    from ganflow import IMAGE_ENDINGS, GanflowError, read_image

    if path.is_dir():
        beside = [path / f"{file.stem}{ending}" for ending in (file.suffix, *IMAGE_ENDINGS)]
        found = [image for image in beside if image.exists()]
        if not found:
            raise GanflowError(f"--truth: there is no {file.stem} in {path}")
        path = found[0]
    true = read_image(path, channels)[None]
    if true.shape != made.shape:
        sizes = " and ".join(f"{t.shape[3]} × {t.shape[2]}" for t in (true, made))
        raise GanflowError(f"--truth: {path} and what is made from {file.name} differ in size: {sizes}")
    return true
