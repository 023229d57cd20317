"""`ganflow run` and `ganflow tune`."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from ganflow.advised import in_shell
from ganflow.cli.drawing import add_runs_argument, shown_path
from ganflow.cli.listing import alarm_lines, columns, spread_cells, sweep_facts
from ganflow.printing import plural, say, say_json

if TYPE_CHECKING:
    from ganflow.api.trained import TrainedRun
    from ganflow.recipe import Recipe
    from ganflow.sweeps.records import SweepFolder, TrialRecord
    from ganflow.tune.plan import Plan


JSON = "at the end, facts as of `ganflow runs --json` on stdout, and everything else on stderr"


@contextmanager
def _facts(as_json: bool) -> Iterator[list[Path]]:
    """A list for the folders of the runs and sweeps that are played, whose facts are printed at the end as JSON, if asked for,
    and nothing else on stdout."""
    from ganflow.cli.runs import run_facts
    from ganflow.runs.folders import RunFolder, is_sweep
    from ganflow.sweeps.records import SweepFolder

    played: list[Path] = []
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        yield played
    if as_json:
        say_json([sweep_facts(SweepFolder(path)) if is_sweep(RunFolder(path)) else run_facts(RunFolder(path)) for path in played])


def run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", nargs="?", help="a recipe file, or the name of one that comes with ganflow (ganflow recipes)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="changes to the recipe, e.g. train.rounds=200")
    parser.add_argument("--resume", metavar="RUN", help="go on with a run: a path, an id or its beginning, a name, or 'latest'")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that train together, each on its share of every batch: one for each GPU, or on the CPU "
        "(default: 1; with --resume as many as the run had, for the same bits)",
    )
    parser.add_argument("--seeds", metavar="N", help="train so many times, one after the other, from train.seed on, or with the "
                        "seeds 1,2,3; at the end the scores' means and standard deviations")  # fmt: skip
    parser.add_argument("--show", action=argparse.BooleanOptionalAction,
                        help="show the last picture in the terminal, in coloured blocks if need be (default: where it can show "
                             "images)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help=JSON)
    loud = parser.add_mutually_exclusive_group()
    loud.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors and the last line")
    loud.add_argument("-v", "--verbose", action="store_true", help="print what was chosen for speed, and why, as well")
    add_runs_argument(parser)


def run_command(args: argparse.Namespace) -> int:
    with _facts(args.json) as folders:
        return _run(args, folders)


def _run(args: argparse.Namespace, folders: list[Path]) -> int:
    """Train; returns the exit code.

    Args:
        folders: of the runs, which are added.
    """
    from ganflow.errors import GanflowError
    from ganflow.recipe import Recipe, read_recipe
    from ganflow.recipe.stages import read_stages

    if args.verbose:
        logging.getLogger("ganflow").setLevel(logging.DEBUG)
    name, overrides = recipe_and_overrides(args)
    resumes = args.resume is not None
    if not name and not resumes:
        raise GanflowError("which recipe? e.g. ganflow run wgan (ganflow recipes lists those that come with ganflow)")
    if args.workers is not None and args.workers < 1:
        raise GanflowError(f"--workers: {args.workers} workers cannot train anything; use 1 or more")
    if args.seeds is not None and resumes:
        raise GanflowError("--seeds begins new runs; to go on with those that there are: ganflow run --resume NAME")
    if resumes:
        from ganflow.runs.kept import recipe_of_run
        from ganflow.tune import seeds

        if seeded := seeds.find(args.resume, args.runs):
            if name or overrides or args.workers:
                raise GanflowError(f"--resume goes on with {seeded.sweep} as it is; leave out recipe, changes and --workers")
            return _seeds(seeded, recipe_of_run(seeded), args, folders)
    read = (read_stages(name, overrides) or read_recipe(name, overrides)) if name else None
    recipe = read if isinstance(read, Recipe) else None
    if args.seeds is not None and (not recipe or (args.workers or 1) > 1):
        alone = "one worker" if recipe else "no stages"
        raise GanflowError(f"--seeds trains with one seed after the other; it goes with {alone}")
    if resumes and name and not recipe:
        raise GanflowError("a run is one stage of several; go on with it, and with those that follow, by --resume alone")
    if args.seeds is not None and recipe:
        from ganflow.tune import seeds

        for note in [] if args.quiet else recipe.notes:
            say(in_shell(note), err=True)
        return _seeds(seeds.begin(recipe, seeds.parse_seeds(args.seeds, recipe.train.seed), args.runs), recipe, args, folders)

    from ganflow.api.training import resumed, stages

    if resumes:
        runs = resumed(args.resume, overrides, args.runs, recipe=recipe, workers=args.workers, quiet=args.quiet)
    else:
        assert read is not None
        for note in [] if args.quiet else read.notes:
            say(in_shell(note), err=True)
        runs = stages(read, args.runs, workers=args.workers or 1, quiet=args.quiet)
    code = 0
    for run in runs:
        folders.append(run.path)
        code = _ended(run, args.show, args.quiet)
    return code


def _ended(run: TrainedRun, show: bool | None, quiet: bool) -> int:
    """Print how a run ended; returns the exit code.

    Args:
        show: the last picture in the terminal; None for where it can.
    """
    outcome, shown, again = run.outcome, shown_path(run.path), f"ganflow run --resume {run.folder.reference()}"
    assert outcome is not None
    if outcome.advice and not quiet:
        say(in_shell(outcome.advice), err=True)
    if outcome.status == "interrupted":
        say(f"stopped after round {outcome.round} of {shown}; go on with: {again}")
        return 128 + outcome.signal
    if outcome.alarm:
        how = f"to go on all the same: {again} train.on_alarm=warn"
        say(f"stopped after round {outcome.round} of {shown} by an alarm: {outcome.alarm}; {how}")
        return 1
    picture = next(reversed(run.pictures()), None)
    if picture and show is not False and (show or not quiet):
        from ganflow.pictures.terminal import show_picture

        show_picture(picture, always=bool(show))
    say(f"{shown}: {plural(outcome.round, 'round')}" + (f"; look at {shown_path(picture)}" if picture else ""))
    return 0


def _seeds(folder: SweepFolder, recipe: Recipe, args: argparse.Namespace, folders: list[Path]) -> int:
    """Train with every seed that is not over, and print what they have in common."""
    from ganflow.tune import seeds

    folders.append(folder.path)
    shown = shown_path(folder.path)
    again = f"ganflow run --resume {folder.reference()}"
    outcome = seeds.go(folder, recipe, quiet=args.quiet)
    if outcome.status == "interrupted":
        say(f"stopped; go on with: {again}")
        return 128 + outcome.signal
    found, trials = seeds.summary(folder), folder.trials()
    if found and not args.quiet:
        say(*columns(spread_cells(found)))
    if (alarms := folder.alarms()) and not args.quiet:
        say(*alarm_lines(alarms))
    finished = sum(trial.state == "finished" for trial in trials.values())
    say(f"{shown}: {finished} of {len(folder.read().seeds)} seeds are trained"
        + ("" if found or not finished else "; the recipe has no metrics, whose scores could be averaged"))  # fmt: skip
    stopped = sum(trial.state == "stopped" for trial in trials.values())
    amiss = {"failed": outcome.failed - stopped, "stopped by an alarm": stopped}
    if outcome.failed:
        what = ", ".join(f"{count} {state}" for state, count in amiss.items() if count)
        say(f"{what}; see: ganflow sweeps show {folder.reference()}")
        return 1
    return 0


def recipe_and_overrides(args: argparse.Namespace) -> tuple[str | None, list[str]]:
    """The recipe's name and the changes to it: the first argument is one in `ganflow run --resume latest train.rounds=2000`."""
    from ganflow.recipe import is_override

    if args.recipe and is_override(args.recipe):
        return None, [args.recipe, *args.overrides]
    return args.recipe, list(args.overrides)


def tune_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", nargs="?", help="a recipe with a tune section: a file, or the name of one of ganflow's own")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="changes to the recipe, e.g. tune.trials=8")
    parser.add_argument(
        "--resume",
        metavar="SWEEP",
        help="go on with a sweep, whatever interrupted it, and try again what the machine broke; with changes of tune.trials, "
        "tune.retries, tune.concurrency, tune.resources, tune.budget or track",
    )
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="with --resume: try all trials again that failed, from their last checkpoints; not those that diverged, which would "
        "diverge again",
    )
    parser.add_argument("--name", metavar="N", help="of the sweep and its folder (default: the recipe's, numbered)")
    parser.add_argument(
        "--address",
        default="local",
        metavar="WHERE",
        help="local: this machine (default); auto: the Ray cluster that runs here; host:port of a cluster that this machine "
        "belongs to; http(s)://host:8265 to send the sweep there as a job",
    )
    parser.add_argument("--from", dest="earlier", metavar="SWEEP", help="an earlier sweep, whose trials the searcher is to know")
    parser.add_argument("--dry-run", action="store_true", help="check everything, show the first configurations, train nothing")
    parser.add_argument("--json", action="store_true", help=JSON)
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors and the last lines")
    add_runs_argument(parser)


def tune_command(args: argparse.Namespace) -> int:
    with _facts(args.json) as folders:
        return _tune(args, folders)


def _tune(args: argparse.Namespace, folders: list[Path]) -> int:
    """Search; returns the exit code.

    Args:
        folders: that of the sweep, which is added.
    """
    from ganflow.errors import GanflowError

    name, overrides = recipe_and_overrides(args)
    resumes = args.resume is not None
    if resumes and (name or args.name or args.dry_run):
        raise GanflowError("--resume goes on with a sweep's own recipe; leave out the recipe, --name and --dry-run")
    if args.retry_failed and not resumes:
        raise GanflowError("--retry-failed goes with --resume: ganflow tune --resume NAME --retry-failed")
    if not resumes and not name:
        raise GanflowError("which recipe? e.g. ganflow tune wgan (it needs a section 'tune')")
    if resumes and args.earlier:
        raise GanflowError("--from is for a new sweep; one that goes on knows what it knew when it was begun")

    from ganflow.api import sweeping
    from ganflow.cluster.address import parse_address
    from ganflow.sweeps.ranking import front_of
    from ganflow.sweeps.repeats import current, every_score
    from ganflow.sweeps.table import front_numbers, left, lines, over
    from ganflow.tune.plan import find, make_plan, rounds_of

    address = parse_address(args.address)
    if args.dry_run and name:
        return _rehearsed(make_plan(name, overrides, here=address.kind == "local"), args)
    if address.kind == "job":
        from ganflow.cluster.submit import submit

        recipe = make_plan(name, overrides, here=False).recipe if name else None
        more = [*(overrides if resumes else ()), *(["--retry-failed"] if args.retry_failed else [])]
        return submit(address, recipe, args.runs, name=args.name, resume=args.resume, more=more, quiet=args.quiet)
    if resumes:
        folder = find(args.resume, args.runs)
    else:
        assert name is not None
        plan = make_plan(name, overrides, here=address.kind == "local")
        for note in [] if args.quiet else plan.recipe.notes:
            say(in_shell(note), err=True)
        folder = sweeping.begin(plan, args.runs, args.name, args.earlier, quiet=args.quiet)
    folders.append(folder.path)
    shown, again = shown_path(folder.path), f"ganflow tune --resume {folder.reference()}"
    try:
        if resumes:
            played = sweeping.resumed(folder, overrides, args.address, retry_failed=args.retry_failed, quiet=args.quiet)
        else:
            played = sweeping.played(folder, plan, args.address, quiet=args.quiet, new=True)
    except KeyboardInterrupt:
        say(f"stopped at once; go on from the last checkpoints with: {again}")
        raise
    outcome, searched = played.outcome, played.plan
    assert outcome is not None
    assert searched is not None
    if outcome.status == "interrupted":
        say(f"stopped; go on with: {again}")
        return 128 + outcome.signal
    trials, total = current(folder, running=False), folder.read().trials or 0
    if not args.quiet:
        width = shutil.get_terminal_size((130, 24)).columns
        found = every_score(folder, trials)
        rounds, objectives = rounds_of(searched), searched.objectives
        say(*lines(trials, searched.metric, searched.mode, rounds, width, 20, objectives, found))
    best = f"; train the best one in full: ganflow run {shown_path(folder.best)}" if folder.best.exists() else ""
    front = front_of(trials, searched.objectives)
    if one := next((path for trial in front if (path := folder.pareto / f"{trial.number}.yaml").exists()), None):
        best = f"; the Pareto front has {front_numbers(front)}; train one of them in full, e.g.: ganflow run {shown_path(one)}"
    say(f"{shown}: {over(trials)} of {plural(max(total, len(trials)), 'trial')} are over{best}")
    if outcome.spent:
        say(f"{outcome.spent}; {left(trials, total)}; go on with more: {again} {outcome.spent.more}")
    if outcome.failed:
        say(f"{outcome.failed} trial{'s' if outcome.failed > 1 else ''} failed; see: ganflow sweeps show {folder.reference()}")
        if outcome.retriable:
            say(f"{outcome.retriable} for no reason of {'their' if outcome.retriable > 1 else 'its'} own; try again: {again}")
        if outcome.failed > outcome.retriable:
            say(f"when the reasons are mended, go on with all that failed: {again} --retry-failed")
        return 1
    return 0


def _rehearsed(plan: Plan, args: argparse.Namespace) -> int:
    """Check all about a sweep, and print its first configurations."""
    from ganflow.cluster.address import parse_address
    from ganflow.tune.plan import find
    from ganflow.tune.preflight import rehearse
    from ganflow.tune.warm_start import earlier_trials

    known, used = earlier_trials(plan, find(args.earlier, args.runs)) if args.earlier else ([], "")
    for note in rehearse(plan, args.runs, parse_address(args.address), args.name):
        if not args.quiet:
            say(in_shell(note), err=True)
    return _dry_run(plan, known, used)


def _dry_run(plan: Plan, known: Sequence[TrialRecord], used: str) -> int:
    """Print the first configurations that a sweep would try, whose searcher knows some trials already."""
    from ganflow.sweeps.study import Study
    from ganflow.tune.plan import rounds_of
    from ganflow.tune.search import make_searcher

    searcher = make_searcher(plan.tune, plan.space, plan.mode, Study(plan.space, plan.mode, objectives=plan.objectives))
    for trial in known:
        searcher.tell(trial)
    total, seeds = searcher.total, plan.repeats.seeds
    each = plural(rounds_of(plan), "round") + (f" with {len(seeds)} seeds each" if seeds else "")
    wanted = ", ".join(f"{metric} {mode}imal" for metric, mode in plan.objectives.items())
    say(*filter(None, [used]), f"{plan.recipe.name}: {total} trials of {each}, {wanted}")
    for number in range(min(total, 10)):
        config = searcher.propose(number)
        if config is None:
            break
        say(f"  {number:>4}  " + "  ".join(change for change in plan.space.changes(config) if not change.startswith("~")))
    if total > 10:
        say(f"        and {total - 10} more" + ("" if plan.tune.search in ("random", "grid") else ", which depend on these"))
    return 0
