"""ganflow tune"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ganflow.printing import say

if TYPE_CHECKING:
    from ganflow.tune.plan import Plan

HELP = "search a recipe's keys over a Ray cluster"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", nargs="?", help="a recipe with a tune section: a file, or the name of one of ganflow's own")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="changes to the recipe, e.g. tune.trials=8")
    parser.add_argument("--resume", metavar="SWEEP", help="go on with a sweep, whatever interrupted it")
    parser.add_argument("--name", metavar="N", help="of the sweep and its folder (default: the recipe's, numbered)")
    parser.add_argument(
        "--address",
        default="local",
        metavar="WHERE",
        help="local: this machine (default); auto: the Ray cluster that runs here; host:port of a cluster that this machine "
        "belongs to; http(s)://host:8265 to send the sweep there as a job",
    )
    parser.add_argument("--dry-run", action="store_true", help="check everything, show the first configurations, train nothing")
    parser.add_argument("--runs", default="runs", metavar="DIR", type=Path, help="where runs are kept (default: runs)")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors and the last lines")


def main(args: argparse.Namespace) -> int:
    from ganflow.errors import GanflowError
    from ganflow.machine import Broken
    from ganflow.recipe import is_override
    from ganflow.runs.folders import DEFAULT_ROOT

    overrides = list(args.overrides)
    if args.recipe and is_override(args.recipe):
        overrides.insert(0, args.recipe)
        args.recipe = None
    if args.resume and (args.recipe or args.name or overrides or args.dry_run):
        raise GanflowError("--resume goes on with a sweep as it is; leave out the recipe, its changes, --name and --dry-run")
    if not args.resume and not args.recipe:
        raise GanflowError("which recipe? e.g. ganflow tune wgan (it needs a section 'tune')")

    from ganflow.tune import driver
    from ganflow.tune.cluster import parse_address
    from ganflow.tune.plan import begin, find, make_plan, rounds_of
    from ganflow.tune.records import table

    address = parse_address(args.address)
    if args.dry_run and args.recipe:
        return _dry_run(make_plan(args.recipe, overrides))
    if address.kind == "job":
        from ganflow.tune.submit import submit

        recipe = make_plan(args.recipe, overrides).recipe if args.recipe else None
        return submit(address, recipe, args.runs, name=args.name, resume=args.resume, quiet=args.quiet)
    if args.resume:
        folder = find(args.resume, args.runs)
        plan = make_plan(folder.recipe)
    else:
        plan = make_plan(args.recipe, overrides)
        folder = begin(plan, args.runs, args.name)
    for note in [] if args.quiet else plan.recipe.notes:
        say(note, err=True)
    shown = folder.path.relative_to(Path.cwd()) if folder.path.is_relative_to(Path.cwd()) else folder.path
    again = f"ganflow tune --resume {folder.sweep if args.runs == DEFAULT_ROOT else shown}"
    try:
        outcome = driver.go(folder, plan, args.address, quiet=args.quiet)
    except GanflowError as error:
        if isinstance(error, Broken):
            raise Broken(f"{error}, then go on with: {again}") from error
        if not args.resume and not folder.records.exists():  # nothing was begun
            shutil.rmtree(folder.path, ignore_errors=True)
        raise
    except KeyboardInterrupt:
        say(f"stopped at once; go on from the last checkpoints with: {again}")
        raise
    if outcome.status == "interrupted":
        say(f"stopped; go on with: {again}")
        return 128 + outcome.signal
    trials = list(folder.trials().values())
    if not args.quiet:
        width = shutil.get_terminal_size((130, 24)).columns
        say(*table(trials, plan.metric, plan.mode, rounds_of(plan), width, most=20))
    best = f"; train the best one in full: ganflow run {shown / folder.best.name}" if folder.best.exists() else ""
    say(f"{shown}: {sum(t.over for t in trials)} trials are over{best}")
    if outcome.failed:
        say(f"{outcome.failed} trial{'s' if outcome.failed > 1 else ''} failed; see: ganflow sweeps show {folder.sweep}")
        if outcome.retriable:
            say(f"{outcome.retriable} for no reason of {'their' if outcome.retriable > 1 else 'its'} own; try again: {again}")
        return 1
    return 0


def _dry_run(plan: Plan) -> int:
    """Say what would be tried."""
    from ganflow.tune.plan import rounds_of
    from ganflow.tune.search import make_searcher

    searcher = make_searcher(plan.tune, plan.space, plan.mode)
    total = searcher.total
    say(f"{plan.recipe.name}: {total} trials of {rounds_of(plan)} rounds, {plan.metric} {plan.mode}imal")
    for number in range(min(total, 10)):
        config = searcher.propose(number)
        if config is None:
            break
        say(f"  {number:>4}  " + "  ".join(change for change in plan.space.changes(config) if not change.startswith("~")))
    if total > 10:
        say(f"        and {total - 10} more" + ("" if plan.tune.search in ("random", "grid") else ", which depend on these"))
    return 0
