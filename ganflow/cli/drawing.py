"""Functions for commands that draw from a run: their arguments, loading, and printing the file that was written."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ganflow.errors import GanflowError
from ganflow.printing import say

if TYPE_CHECKING:
    from ganflow.runs.folders import RunFolder

MOST_TILES = 10_000
"""Tiles in one picture. More would not fit in memory, or on any screen."""
MOST_SAMPLES = 10_000_000
"""Samples that are drawn at a time. More digits than that are a slip."""


def whole_number(low: int, high: int = 2**63 - 1) -> Callable[[str], int]:
    """An argument's type: a whole number within bounds."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number") from None
        if not low <= number <= high:
            bounds = f"{low} or more" if number < low else f"at most {high}"
            raise argparse.ArgumentTypeError(f"{number} is not {bounds}")
        return number

    return parse


def add_run_arguments(
    parser: argparse.ArgumentParser, output: str, latent: bool = True, seed: str = "of the latent points"
) -> None:
    """The run, where the result goes and, for what asks the networks, from which checkpoint and with which seed."""
    parser.add_argument("run", metavar="RUN", help="a path, an id or its beginning, a name, SWEEP/TRIAL, or 'latest'")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help=output)
    if latent:
        parser.add_argument("--seed", type=whole_number(0), default=0, help=f"{seed} (default: 0)")
        parser.add_argument("--checkpoint", default="last", metavar="WHICH", help="last, best, or a file (default: last)")
    add_runs_argument(parser)


def add_runs_argument(parser: argparse.ArgumentParser) -> None:
    from ganflow.runs.folders import DEFAULT_ROOT

    where = "where runs are kept (default: $GANFLOW_RUNS, else runs)"
    parser.add_argument("--runs", default=DEFAULT_ROOT, metavar="DIR", type=Path, help=where)


def check_output_path(path: Path, endings: tuple[str, ...]) -> Path:
    """Refuse a file that cannot be written before anything is computed."""
    if path.suffix.lower() not in endings:
        raise GanflowError(f"what should {path} be? end its name in {' or '.join(endings)}")
    if not path.parent.is_dir():
        raise GanflowError(f"there is no folder {path.parent}/ to write {path.name} in")
    return path


def found_run(name: str, root: Path) -> RunFolder:
    """As `find_run`; where a sweep is named, a line on stderr says which of its trials is meant."""
    from ganflow.runs.folders import best_trial, check, find_any, is_sweep

    found = find_any(name, root)
    if not is_sweep(found):
        return found
    run, record = best_trial(found), found.read()
    check(run)
    found_best = record.best or {"trial": 0, "score": math.nan}
    trial, score = found_best["trial"], found_best["score"]
    named, seeds = found.reference(), record.seeds
    some, one, more = "a sweep", f"trial {trial}", ""
    if trial < len(seeds):
        some, one = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}", f"seed {seeds[trial]}"
        more = f", ganflow evaluate {named}"
    best = f"the best by {record.metric} ({score:.4g}); all of them: ganflow sweeps show {named}{more}"
    say(f"{found.path.name} is {some}, for which {one} stands, {best}", err=True)
    return run


def shown_path(path: Path) -> str:
    """A path as one would type it here."""
    absolute = path.absolute()
    return str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute)


def write_output(path: Path, save: Callable[[Path], object], what: str, *, err: bool = False) -> None:
    """Save and print what was written, or replaced.

    Args:
        err: on stderr, where stdout is for a program.
    """
    verb = "replaced" if path.exists() else "wrote"
    save(path)
    say(f"{verb} {shown_path(path)}: {what}", err=err)
