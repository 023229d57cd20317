"""Functions for commands that draw from a run: their arguments, and printing the file that was written."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow.printing import say, say_json

if TYPE_CHECKING:
    from ganflow.runs.folders import RunFolder

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
    parser: argparse.ArgumentParser,
    output: str,
    latent: bool = True,
    seed: str = "of the latent points",
    facts: str = "print the files that were written, and of what, for programs",
) -> None:
    """The run, where the result goes, --json, and, for what asks the networks, from which checkpoint and with which seed."""
    parser.add_argument("run", metavar="RUN", help="a path, an id or its beginning, a name, SWEEP/TRIAL, or 'latest'")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help=output)
    if latent:
        parser.add_argument("--seed", type=whole_number(0), default=0, help=f"{seed} (default: 0)")
        parser.add_argument("--checkpoint", default="last", metavar="WHICH", help="last, best, or a file (default: last)")
    parser.add_argument("--json", action="store_true", help=facts)
    add_runs_argument(parser)


def add_runs_argument(parser: argparse.ArgumentParser) -> None:
    from ganflow.runs.folders import default_root

    where = "where runs are kept (default: $GANFLOW_RUNS, else runs)"
    parser.add_argument("--runs", default=default_root(), metavar="DIR", type=Path, help=where)


def shown_path(path: Path) -> str:
    """A path as one would type it here."""
    absolute = path.absolute()
    return str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute)


def write_output(
    path: Path, save: Callable[[Path], object], what: str, *, err: bool = False, facts: Mapping[str, Any] | None = None
) -> None:
    """Save and print what was written, or replaced.

    Args:
        err: on stderr, where stdout is for a program.
        facts: what --json prints in place of that, besides the file.
    """
    verb = "replaced" if path.exists() else "wrote"
    save(path)
    if facts is None:
        say(f"{verb} {shown_path(path)}: {what}", err=err)
    else:
        print_written([path], facts)


def facts_of(args: argparse.Namespace, folder: RunFolder, **more: Any) -> dict[str, Any] | None:
    """Facts that --json prints of a file that was drawn from a run: the run, the arguments of `add_run_arguments`, and more; None
    without --json."""
    asked = {name: value for name in ("checkpoint", "seed") if (value := getattr(args, name, None)) is not None}
    return {"run": folder.id, "name": folder.name, **asked, **more} if args.json else None


def print_written(files: Sequence[Path], facts: Mapping[str, Any]) -> None:
    """Print files that were written, and of what, for programs: a JSON object of `files`, absolute paths, and the facts."""
    say_json({"files": [str(file.absolute()) for file in files], **facts})
