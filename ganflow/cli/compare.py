"""`ganflow compare`: runs side by side, by what can be compared."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganflow.cli.drawing import add_runs_argument, write_output
from ganflow.cli.listing import columns
from ganflow.errors import GanflowError
from ganflow.files import check_output_path
from ganflow.printing import say, say_json

if TYPE_CHECKING:
    from ganflow.api.comparing import ComparedRuns

UNKNOWN = (
    "the score of one training does not say by how much another seed would change it: train with several (ganflow run RECIPE "
    "--seeds 3, or tune.seeds=3), and compare their means"
)


def compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs_", nargs="+", metavar="RUN",
                        help="two or more: paths, ids or their beginnings, names, 'latest', or SWEEP/3: trial 3 of a sweep")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path,
                        help="a .png of their newest sample pictures, with names and scores")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="for programs")
    add_runs_argument(parser)


def compare_command(args: argparse.Namespace) -> int:
    from ganflow.api.comparing import compare
    from ganflow.evaluation.compare import count, difference

    if args.output:
        from ganflow.pictures import save_png

        check_output_path(args.output, (".png",))
    if len(args.runs_) < 2:
        raise GanflowError("compare it with which run? e.g. ganflow compare latest wgan (ganflow runs lists them)")
    compared = compare(*args.runs_, runs=args.runs)
    try:
        drawn = compared.show() if args.output else None
    except GanflowError as error:
        raise GanflowError(error.text + "; leave --output out") from error
    if args.json:
        say_json(compared.facts())
    else:
        say(*columns(list(table(compared))))
        if compared.not_compared:
            say("not compared:", *compared.not_compared, *compared.advice)
        rows = compared.comparison.rows
        for name, row in rows.items():
            if count(row) > 1 and not any(m.protocol for m in row if m):
                say(f"ganflow: {name}: no protocol is recorded, so nothing says that it was computed alike", err=True)
        if any(d and d.error is not None and d.within_noise is None for d in map(difference, rows.values())):
            say(f"ganflow: {UNKNOWN}", err=True)
    if lacking := compared.without_scores():
        say(f"ganflow: {lacking}", err=True)
    if drawn is not None:
        write_output(args.output, lambda path: save_png(drawn, path), f"{len(compared.runs)} runs", err=args.json)
    return 0


def table(compared: ComparedRuns) -> Iterator[dict[str, str]]:
    """A row for the rounds, for each term, and for each score with the difference."""
    from ganflow.evaluation.compare import difference as difference_of

    runs = compared.runs
    last = "second − first" if len(runs) == 2 else "difference"

    def line(name: str, texts: Sequence[str], difference: str = "") -> dict[str, str]:
        return {"": name, **dict(zip((run.title for run in runs), texts, strict=True)), last: difference}

    yield line("round", [str(run.round) for run in runs])
    for name in dict.fromkeys(name for run in runs for name in run.terms):
        yield line(name, [f"{run.terms[name]:.4g}" if name in run.terms else "–" for run in runs])
    names = [run.name for run in runs]
    names = names if len(set(names)) == len(names) else [run.id for run in runs]
    for name, row in compared.comparison.rows.items():
        texts = [run.shown(m) if m else "–" for m, run in zip(row, runs, strict=True)]
        yield line(name, texts, found.described(names) if (found := difference_of(row)) else "")
