"""ganflow run"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ganflow.printing import say

if TYPE_CHECKING:
    from ganflow.runs.run import Outcome

HELP = "train a recipe, or go on with a run"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", nargs="?", help="a recipe file, or the name of one that comes with ganflow (ganflow recipes)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="changes to the recipe, e.g. train.rounds=200")
    parser.add_argument("--resume", metavar="RUN", help="go on with a run: a path, an id or its beginning, a name, or 'latest'")
    parser.add_argument("--runs", default="runs", metavar="DIR", help="where runs are kept (default: runs)")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that train together, each on its share of every batch: one for each GPU, or on the CPU "
        "(default: 1; with --resume as many as the run had, for the same bits)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors and the last line")


def main(args: argparse.Namespace) -> int:
    from pathlib import Path

    from ganflow.errors import GanflowError
    from ganflow.recipe import is_override, read_recipe
    from ganflow.recipe.stages import read_stages
    from ganflow.runs import folders

    overrides = list(args.overrides)
    if args.recipe and is_override(args.recipe):  # `ganflow run --resume latest train.rounds=2000`
        overrides.insert(0, args.recipe)
        args.recipe = None
    if not args.recipe and not args.resume:
        raise GanflowError("which recipe? e.g. ganflow run wgan (ganflow recipes lists those that come with ganflow)")
    if args.workers is not None and args.workers < 1:
        raise GanflowError(f"--workers: {args.workers} workers cannot train anything; use 1 or more")
    stages = read_stages(args.recipe, overrides) if args.recipe else None
    if stages and args.resume:
        raise GanflowError("a run is one stage of several; go on with it, and with those that follow, by --resume alone")
    recipe = read_recipe(args.recipe, overrides) if args.recipe and not stages else None
    read = stages or recipe
    for note in read.notes if read and not args.quiet else []:
        say(note, err=True)
    root = Path(args.runs)
    if args.resume and (sweep := folders.find_sweep(args.resume, root)):
        raise GanflowError(f"{args.resume} is a sweep; go on with it: ganflow tune --resume {sweep.path.name}")
    folder = folders.find_run(args.resume, root) if args.resume else None

    from ganflow.runs.start import resume_stages, start, start_stages
    from ganflow.tracking.follower import sender

    if folder:
        outcomes = resume_stages(folder, recipe, root, quiet=args.quiet, overrides=overrides, workers=args.workers, send=sender)
    elif stages:
        outcomes = start_stages(stages, root, quiet=args.quiet, workers=args.workers or 1, send=sender)
    else:
        assert recipe is not None
        outcomes = iter([start(recipe, root, quiet=args.quiet, workers=args.workers or 1, send=sender)])
    code = 0
    for outcome in outcomes:
        code = told(outcome)
    return code


def told(outcome: Outcome) -> int:
    """Say how a run ended; returns the exit code."""
    from pathlib import Path

    from ganflow.runs.loop import last_picture

    shown = outcome.folder.path
    if shown.is_relative_to(Path.cwd()):
        shown = shown.relative_to(Path.cwd())
    if outcome.status == "interrupted":
        say(f"stopped after round {outcome.round} of {shown}; go on with: ganflow run --resume {outcome.folder.id}")
        return 128 + outcome.signal
    picture = last_picture(outcome.folder)
    say(f"{shown}: {outcome.round} rounds" + (f"; look at {shown / 'samples' / picture.name}" if picture else ""))
    return 0
