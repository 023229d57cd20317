"""`ganflow animate`: how the samples of the same latent points became what they are."""

from __future__ import annotations

import argparse
import re

from ganflow.cli.drawing import add_run_arguments, check_output_path, shown_path, whole_number, write_output

HELP = "a GIF of a run's samples over training"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fps", type=whole_number(1, 50), default=8, metavar="N", help="pictures per second (default: 8)")
    add_run_arguments(parser, "the GIF (default: NAME.gif)", latent=False)


def main(args: argparse.Namespace) -> int:
    from pathlib import Path

    from ganflow.errors import GanflowError
    from ganflow.pictures import gif
    from ganflow.runs.folders import find_run

    folder = find_run(args.run, args.runs)
    output = check_output_path(args.output or Path(f"{folder.name}.gif"), (".gif",))
    frames = sorted(folder.samples.glob("round-*.png"))
    if len(frames) < 2:
        found = "one picture of samples" if frames else "no picture of samples"
        raise GanflowError(f"run {folder.name} {folder.id} has {found} in {shown_path(folder.samples)}/, and an animation needs "
                           "two; train it for longer, or draw more often with train.sample_every")  # fmt: skip
    fields = (folder.read().data or {"fields": {}})["fields"]
    titled = any(len(shape) < 3 for shape in fields.values())  # pictures of points have the round in their title
    captions = [] if titled else [f"round {int(re.sub(r'[^0-9]', '', frame.stem) or 0)}" for frame in frames]
    what = f"{len(frames)} pictures of {folder.name} ({folder.id})"
    write_output(output, lambda path: gif(frames, path, args.fps, captions), what)
    return 0
