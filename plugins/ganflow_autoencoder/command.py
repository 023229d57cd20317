"""`ganflow reconstruct`: what an autoencoder makes of examples, and where in its latent plane they lie."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow import MOST_TILES, add_run_arguments, check_output_path, data_of_run, facts_of, whole_number, write_output

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from ganflow import Data, Examples, Game, RunFolder

HELP = "show what an autoencoder run makes of examples"
EXAMPLES = (
    ("ganflow reconstruct latest", "held-out examples, and what is made of their codes"),
    ("ganflow reconstruct latest --map", "where the codes lie"),
)
IMAGES, POINTS, MAPPED = 16, 200, 200  # held-out examples shown


def arguments(parser: argparse.ArgumentParser) -> None:
    images = "files to reconstruct, of the run's size and colours; without them, held-out examples"
    count = f"how many held-out examples (default: {IMAGES} images, or {POINTS} points; on a map {MAPPED})"
    latent = "for codes of two numbers: what the latent plane decodes to, beside where held-out examples lie in it"
    add_run_arguments(
        parser, "a .png picture; .npz with `original`, `reconstructed`, `code` (default: NAME-reconstruction.png)", latent=False
    )
    parser.add_argument("images", metavar="IMAGE", nargs="*", type=Path, help=images)
    parser.add_argument("-n", type=whole_number(1, MOST_TILES), metavar="N", help=count)
    parser.add_argument("--map", action="store_true", help=latent)
    parser.add_argument("--checkpoint", default="last", metavar="WHICH", help="last, best, or a file (default: last)")


def main(args: argparse.Namespace) -> int:
    from ganflow import GanflowError, find_run, load_game

    folder = find_run(args.run, args.runs)
    drawn, endings = ("map", (".png",)) if args.map else ("reconstruction", (".png", ".npz"))
    output = check_output_path(args.output or Path(f"{folder.name}-{drawn}.png"), endings)
    if args.images and (args.map or args.n):
        raise GanflowError(f"{'--map' if args.map else '-n'} is about held-out examples; leave it out, or the images")
    game = load_game(folder, args.checkpoint)
    if "encode" not in game.signatures:
        raise GanflowError(f"run {folder.name} {folder.id} reconstructs nothing: its generator has no encoder; "
                           "those of vae_digits and autoencoder_digits have one: ganflow run vae_digits")  # fmt: skip
    if args.images:
        data, x = None, _read(args.images, game, folder)
    else:
        data = data_of_run(folder)
        x = _held_out(data, folder)[: args.n or (MAPPED if args.map else IMAGES if game.data.main.is_image else POINTS)]
    of = f"{folder.name} ({folder.id})"
    facts = facts_of(args, folder, examples=len(x))
    if args.map:
        _write_picture(output, _map(game, x), f"the latent plane of {of}, and {_examples(x, 'held-out')} in it", facts)
        return 0
    kind = "given" if args.images else "held-out"
    what = f"{_examples(x, kind)}, and what {of} makes of {'it' if len(x) == 1 else 'them'}"
    code = game.call("encode", x=x)
    reconstructed = game.call("sample", z=code)
    if output.suffix.lower() == ".npz":
        arrays = {"original": x, "reconstructed": reconstructed, "code": code}
        write_output(output, lambda path: _save_arrays(path, **arrays), what, facts=facts)
        return 0
    from ganflow import image_pairs

    picture = image_pairs(kind, x, reconstructed, data)
    if picture is None:
        raise GanflowError(f"examples of shape {tuple(x.shape[1:])} have no picture; write them as numbers: "
                           f"-o {output.with_suffix('.npz')}")  # fmt: skip
    _write_picture(output, picture, what, facts)
    return 0


def _examples(x: Tensor, kind: str) -> str:
    return f"{len(x)} {kind} example{'' if len(x) == 1 else 's'}"


def _read(paths: list[Path], game: Game, folder: RunFolder) -> Tensor:
    """Image files as examples of the run's data, (n, channels, height, width)."""
    import torch
    from ganflow_layers.of_runs import reading_of

    from ganflow import GanflowError, is_grey, read_image

    if not game.data.main.is_image:
        raise GanflowError(f"run {folder.name} {folder.id} is about examples of shape {game.data.shape}, not images; "
                           "leave the files out to see held-out examples")  # fmt: skip
    channels, height, width = game.data.shape
    images, pixels = [], reading_of(folder).pixels
    for path in paths:
        image = read_image(path, channels, pixels.limits, pixels.background)
        if tuple(image.shape[1:]) != (height, width):
            raise GanflowError(f"{path} has {image.shape[2]} × {image.shape[1]} pixels; run {folder.name} {folder.id} is about "
                               f"images of {width} × {height}: scale it first")  # fmt: skip
        if channels in (1, 3) and (channels == 1) != is_grey(path):
            has, wanted = ("colours", "grey") if channels == 1 else ("no colours", "coloured")
            raise GanflowError(f"{path} has {has}; run {folder.name} {folder.id} is about {wanted} images: convert it first")
        images.append(image)
    return torch.stack(images)


def _held_out(data: Data | None, folder: RunFolder) -> Examples:
    """The held-out examples of the run's data."""
    from ganflow import GanflowError

    if data is None:
        raise GanflowError(f"the data of run {folder.name} {folder.id} cannot be had here; name image files to reconstruct")
    examples = data.held_out.get(next(iter(data.fields)))
    if examples is None or not len(examples):
        raise GanflowError(f"the data of run {folder.name} {folder.id} holds no examples out; name image files to reconstruct")
    return examples


def _map(game: Game, x: Tensor) -> Image:
    """The latent plane over the quantiles of the prior or, where no prior shaped the codes, of the examples' codes."""
    import torch

    from ganflow import GanflowError, latent_map

    code = game.call("encode", x=x)
    if tuple(code.shape[1:]) != (2,):
        raise GanflowError(f"--map draws codes of two numbers; this run's have {code[0].numel()}: train it with prior.dim=2")
    if not game.data.main.is_image:
        raise GanflowError("--map draws images; this run is about other data")
    shaped = "posterior" in game.signatures
    reference = (game.latents(50_000) if shaped else code).sort(0).values
    quantiles = torch.stack([torch.searchsorted(reference[:, i].contiguous(), code[:, i].contiguous()) for i in (0, 1)], 1)

    def decode(quantiles: Tensor) -> Tensor:
        return game.call("sample", z=torch.stack([torch.quantile(reference[:, i], quantiles[:, i]) for i in (0, 1)], 1))

    return latent_map(decode, x, quantiles / len(reference))


def _write_picture(output: Path, picture: Image, what: str, facts: Mapping[str, Any] | None) -> None:
    from ganflow import save_png

    write_output(output, lambda path: save_png(picture, path), what, facts=facts)


def _save_arrays(path: Path, **arrays: Tensor) -> None:
    import numpy as np

    from ganflow import replacing_file

    with replacing_file(path) as scratch, scratch.open("wb") as file:
        np.savez(file, **{name: tensor.numpy() for name, tensor in arrays.items()})  # type: ignore[arg-type]
