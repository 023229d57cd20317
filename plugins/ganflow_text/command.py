"""`ganflow draw`: pictures of what sentences say."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ganflow import MOST_TILES, add_run_arguments, check_output_path, facts_of, print_lines, whole_number, write_output

if TYPE_CHECKING:
    from torch import Tensor

    from ganflow import RunFolder, TextEncoder

HELP = "draw what sentences say, from a text-to-image run"
EXAMPLES = (("ganflow draw latest 'a red bird with black wings'", "eight pictures of a sentence"),)


def arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser, "a .png with a row for each sentence (default: NAME-drawn.png)")
    parser.add_argument("sentences", nargs="+", metavar="SENTENCE", help="what to draw, in quotes")
    parser.add_argument("-n", type=whole_number(1), default=8, metavar="N", help="pictures of each sentence (default: 8)")
    between = "the way between two sentences, N pictures in each row, every row from one latent point"
    parser.add_argument("--between", action="store_true", help=between)
    parser.add_argument("--rows", type=whole_number(1), default=4, metavar="N", help="with --between: rows (default: 4)")


def main(args: argparse.Namespace) -> int:
    from pathlib import Path

    from ganflow import GanflowError, find_run, image_grid, load_encoder, load_game, save_png

    folder = find_run(args.run, args.runs)
    output = check_output_path(args.output or Path(f"{folder.name}-drawn.png"), (".png",))
    if args.between and len(args.sentences) != 2:
        raise GanflowError(f"--between goes from one sentence to another: give two, not {len(args.sentences)}")
    rows = args.rows if args.between else len(args.sentences)
    if rows * args.n > MOST_TILES:
        raise GanflowError(f"{rows} rows of {args.n} pictures are more than {MOST_TILES}; choose fewer with -n")
    encoder = load_encoder(folder)
    text = understood(args.sentences, encoder, folder)
    game = load_game(folder, args.checkpoint)
    if "text" not in game.signatures[game.maker].inputs.values() or game.prior is None:
        raise GanflowError(f"run {folder.name} {folder.id} does not draw what sentences say: ganflow sample {folder.reference()}")
    z, vectors = ways(game.latents(rows, args.seed), text, args.n) if args.between else same(
        game.latents(args.n, args.seed), text
    )  # fmt: skip
    pictures = game.call(game.maker, z=z, text=vectors)
    what = f"the way between two sentences, {rows} times" if args.between else f"{args.n} pictures of each of {rows} sentences"
    what = what.replace("each of 1 sentences", "a sentence")
    what = f"{what} by {folder.name} ({folder.id}), seed {args.seed}"
    facts = facts_of(args, folder, rows=rows, columns=args.n, sentences=args.sentences)
    write_output(output, lambda path: save_png(image_grid(pictures, columns=args.n), path), what, facts=facts)
    return 0


def understood(sentences: list[str], encoder: TextEncoder, folder: RunFolder) -> Tensor:
    """The sentences' vectors, (n, dim); words that the encoder does not know are printed.

    Raises:
        GanflowError: it knows no word of a sentence.
    """
    import re

    from ganflow import GanflowError

    for sentence in sentences:
        unknown = encoder.unknown(sentence)
        words = {word.lower() for word in re.findall(r"\w+", sentence)}
        if not words - set(unknown):
            raise GanflowError(f"run {folder.name} {folder.id} knows no word of {sentence!r}")
        if unknown:
            several = "these words, which are" if len(unknown) > 1 else "this word, which is"
            print_lines(f"ganflow: the run does not know {several} passed over: {', '.join(unknown)}", err=True)
    return encoder.encode(sentences)


def same(z: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """Every sentence with all z, so that a column has one z: latents and vectors, (sentences · n, …)."""
    return z.repeat(len(text), *[1] * (z.dim() - 1)), text.repeat_interleave(len(z), 0)


def ways(z: Tensor, text: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """From the first sentence to the second in straight steps, once for each z."""
    import torch

    t = torch.linspace(0, 1, steps)[:, None]
    return z.repeat_interleave(steps, 0), torch.lerp(text[:1], text[1:2], t).repeat(len(z), 1)
