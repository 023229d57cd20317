"""`ganflow sweeps`: a table of all sweeps, all that is known of one, and the control of one that another terminal runs."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ganflow.api.sweeping import sweep_of
from ganflow.cli.drawing import add_runs_argument, shown_path
from ganflow.cli.listing import (
    age,
    all_sweeps_facts,
    columns,
    row,
    say_list,
    spread_cells,
    sweep_facts,
    trials_over,
)
from ganflow.errors import GanflowError
from ganflow.files import check_readable
from ganflow.printing import say, say_json
from ganflow.runs.folders import locked, status
from ganflow.sweeps.ranking import best_of, front_of, fronts, leading, ranking
from ganflow.sweeps.records import Repeated, SweepFolder, TrialRecord
from ganflow.sweeps.repeats import Repeats, current, every_score
from ganflow.sweeps.table import best as best_words
from ganflow.sweeps.table import config_line, confirmed, counted, describe, front_numbers, leader, left, lines, number


def sweeps_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        nargs="?",
        choices=["show", "stop", "add"],
        help="'show SWEEP' tells all about one sweep; 'stop SWEEP' ends one that runs, as Ctrl-C does; 'stop SWEEP TRIAL' ends a "
        "trial, which keeps its checkpoint and is not begun again; 'add SWEEP key=value …' has a trial with these values tried "
        "next, other keys drawn at random",
    )
    parser.add_argument("sweep", nargs="?", metavar="SWEEP", help="its name, its folder, or 'latest'")
    parser.add_argument("more", nargs="*", metavar="TRIAL|key=value", help="with stop, or with add")
    parser.add_argument("--write", action="store_true", help="with show: write best.yaml, or pareto/, trials.csv and plots")
    parser.add_argument("--json", action="store_true", help="for programs")
    add_runs_argument(parser)


def sweeps_command(args: argparse.Namespace) -> int:
    if args.action and not args.sweep:
        raise GanflowError(f"{args.action} which sweep? (ganflow sweeps lists them)")
    if args.write and args.action != "show":
        raise GanflowError("--write goes with show: ganflow sweeps show SWEEP --write")
    if not args.action:
        check_readable(args.runs)
        none = f"no sweeps in {args.runs}/ yet; start one with: ganflow tune wgan"
        say_list(all_sweeps_facts(args.runs), table, none, args.json)
        return 0
    folder = sweep_of(args.sweep, args.runs)
    if args.action != "show":
        return _stop(folder, args.more) if args.action == "stop" else _add(folder, args.more)
    if args.more:
        raise GanflowError(f"show takes one sweep; leave out {args.more[0]}")
    if args.write:
        from ganflow.sweeps.report import summarize

        for missing in summarize(folder).missing:
            say(f"ganflow: {missing}", err=True)
    sweep, trials = sweep_facts(folder), current(folder, _status(folder) == "running")
    if not args.json:
        say(*described(folder, sweep, trials))
        return 0
    record, every = folder.read(), every_score(folder, trials)
    runs = Repeats.of(record).runs_of
    at = {t.number: {"front": rank} for rank, front in enumerate(fronts(trials, record.objectives), 1) for t in front}
    results = [
        {**asdict(t), "trained": t.trained or None, **at.get(t.number, {}), "run": str(folder.trial(runs(t)[0]).path)}
        | {"every_score": {name: {"mean": s.mean, "sd": s.deviation, "n": s.n} for name, s in every[t.number].items()}}
        | ({"runs": [{**asdict(r), "run": str(folder.trial(r.number).path)} for r in t.runs]} if isinstance(t, Repeated) else {})
        for t in ranking(trials, record.mode, record.objectives)
    ]
    say_json({**sweep, "results": results, "files": [str(path) for path in files(folder)], "about": record.raw})
    return 0


def _stop(folder: SweepFolder, more: list[str]) -> int:
    """End a trial, or the whole sweep."""
    from ganflow.tune.control import ask, over_for_good, stop
    from ganflow.tune.trials import TrialTable

    runs, reference = _runs(folder), folder.reference()
    if not more:
        if not runs:
            how = f"to leave out a trial when it goes on: ganflow sweeps stop {reference} TRIAL"
            raise GanflowError(f"{folder.sweep} does not run ({_status(folder)}), so there is nothing to stop; {how}")
        ask(folder, stop=None)
        say(f"{folder.sweep} will stop, every trial with a checkpoint; go on with: ganflow tune --resume {reference}")
        return 0
    number, repeats = int(more[0]) if more[0].isascii() and more[0].isdigit() else -1, Repeats.of(folder.read())
    trials = {trial.number: trial for trial in repeats.trials(folder.trials().values())}
    if number not in trials or len(more) > 1:
        there = f"its trials have the numbers 0 to {max(trials)}" if trials else "it has no trials yet"
        raise GanflowError(f"stop takes the number of one trial of {folder.sweep}, not {' '.join(more)[:50]!r}; {there}")
    if over_for_good(trials[number]):
        raise GanflowError(f"trial {number} of {folder.sweep} is over already: it {_ENDS[trials[number].state]}")
    if runs:
        ask(folder, stop=number)
        say(f"trial {number} of {folder.sweep} will stop at its next report, with a checkpoint")
        return 0
    with locked(folder):
        stop(TrialTable(folder, {}, [], folder.mended(), repeats=repeats), number)
    say(f"trial {number} of {folder.sweep} is stopped: ganflow tune --resume {reference} does not go on with it")
    return 0


_ENDS = {"finished": "finished", "stopped": "was stopped", "diverged": "diverged", "failed": "failed"}


def _add(folder: SweepFolder, more: list[str]) -> int:
    """Have a trial tried."""
    from ganflow.recipe.overrides import assignments
    from ganflow.runs.kept import recipe_of_run
    from ganflow.space.reading import read_space
    from ganflow.tune.control import Control, again, ask, check_joins, check_new, check_values, requests
    from ganflow.tune.trials import TrialTable

    if not more:
        raise GanflowError(f"which values? e.g. ganflow sweeps add {folder.reference()} optimizer.lr=1e-3")
    recipe = recipe_of_run(folder)
    if recipe.tune is None:
        raise GanflowError(f"{folder.recipe} has no section 'tune'")
    space = read_space(recipe, folder.recipe)
    values = assignments(more, lambda key, value: key not in space.keys or space.keys[key].contains(value))
    point = check_values(values, space)
    if _runs(folder):
        trials = Repeats.of(folder.read()).searched(folder.trials().values())
        check_joins(recipe.tune.scheduler, trials, again(folder))
        check_new(point, trials)
        if any(request and request.add == values for _, request in requests(folder)):
            raise GanflowError(f"{folder.sweep} was asked already to try these values")
        ask(folder, add=values)
        say(f"{folder.sweep} will try it next")
        return 0
    with locked(folder):
        table = TrialTable(folder, {}, [], folder.mended(), repeats=Repeats.of(folder.read()))
        number = Control(table, space, recipe.tune).add(values)
    say(f"trial {number} of {folder.sweep} is added; try it with: ganflow tune --resume {folder.reference()}")
    return 0


def _status(folder: SweepFolder) -> str:
    return status(folder, folder.read())


def _runs(folder: SweepFolder) -> bool:
    """Tell whether a driver runs the sweep, here or on another machine."""
    if folder.read().seeds:
        raise GanflowError(f"{folder.sweep} was begun by `ganflow run --seeds`, which has no trials to stop or add")
    return _status(folder) == "running"


def files(folder: SweepFolder) -> list[Path]:
    """The files of a sweep besides its trials."""
    named = (folder.best, folder.path / "trials.csv", folder.recipe)
    recipes = sorted(folder.pareto.glob("*.yaml"), key=lambda path: (len(path.stem), path.stem))
    return [path for path in named if path.exists()] + recipes + sorted(folder.plots.glob("*.png"))


def table(sweeps: list[dict[str, Any]]) -> Iterator[str]:
    """One line per sweep."""
    return columns([{
        "name": sweep["name"],
        "status": sweep["status"],
        "trials": trials_over(sweep),
        "metric": ", ".join(sweep.get("objectives") or [sweep.get("metric", "")]),
        "best": _best(sweep),
        "age": age(sweep["created"]),
    } for sweep in sweeps])  # fmt: skip


def _best(sweep: dict[str, Any]) -> str:
    if sweep["front"]:
        return f"front of {len(sweep['front'])}"
    if not (best := sweep["best"]):
        return ""
    of = f" {best['trained']}" if best.get("trained") in ("packed", "confirmed") else ""
    return f"{number(best['score'])}{of} (trial {best['trial']})"


def described(folder: SweepFolder, sweep: dict[str, Any], trials: list[TrialRecord]) -> Iterator[str]:
    """All about one sweep, line by line."""
    record = folder.read()
    yield f"{sweep['name']}  {sweep['id']}  {sweep['status']}"
    yield row("folder", shown_path(folder.path))
    states = ", ".join(filter(None, [counted(trials, sweep["trials"]), confirmed(trials)]))
    yield row("trials", f"{sweep['over']} of {sweep['trials'] or '?'} are over: {states}")
    if sweep["metric"]:
        if record.objectives:
            yield row("metrics", describe(record.objectives))
        else:
            yield row("metric", f"{sweep['metric']}, {'less' if sweep['mode'] == 'min' else 'more'} is better")
    if sweep["created"]:
        yield row("created", f"{sweep['created']}, {age(sweep['created'])} ago")
    if record.seconds:
        gpu = f", {record.gpu_seconds / 3600:.2f} GPU hours" if record.gpu_seconds else ""
        yield row("used", f"{record.seconds / 3600:.2f} hours{gpu}")
    for change in record.amended:
        yield row("changed", f"{change['time']}: {', '.join(change['changed'])}")
    for name in ("address", "host", "pid", "error"):
        if value := getattr(record, name):
            yield row(name, value)
    if front := front_of(trials, record.objectives):
        yield row("front", f"{front_numbers(front)}: none is better in one metric without being worse in another")
        if one := next((path for trial in front if (path := folder.pareto / f"{trial.number}.yaml").exists()), None):
            yield row("run one", f"ganflow run {shown_path(one)}")
    elif not record.objectives and (best := best_of(trials, sweep["mode"])):
        config = config_line(best.config, list(best.config), 60)
        yield row("best", f"{best_words(trials, sweep['mode'])}: {config}")
        if folder.best.exists():
            yield row("run it", f"ganflow run {shown_path(folder.best)}")
    elif not record.objectives and (first := leading(trials, sweep["mode"])):
        config = config_line(first.config, list(first.config), 60)
        yield row("leading", f"{leader(first, sweep['metric'], sweep['rounds'] or 0)}: {config} (no trial is finished yet)")
    for alarm in sweep["alarms"]:
        yield row("alarm", f"seed {alarm['seed']}, round {alarm['round']}: {alarm['text']}")
    ended = record.ended if sweep["status"] == "stopped" else None
    if ended:
        yield row("stopped", f"{ended['why']}; {left(trials, sweep['trials'])}")
    if ended or sweep["status"] in ("interrupted", "killed", "failed"):
        more = f" {ended['more']}" if ended else ""
        yield row("go on", f"ganflow {'run' if record.seeds else 'tune'} --resume {folder.reference()}{more}")
    if written := files(folder):
        paths = ("pareto/" if path.parent == folder.pareto else str(path.relative_to(folder.path)) for path in written)
        names = dict.fromkeys(paths)
        yield row("files", f"in {shown_path(folder.path)}/: {', '.join(names)}")
    if trials:
        yield ""
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        every = {} if record.seeds else every_score(folder, trials)
        rounds, objectives = sweep["rounds"] or 0, record.objectives
        yield from lines(trials, sweep["metric"], sweep["mode"], rounds, width, objectives=objectives, found=every)
    if record.seeds:
        from ganflow.tune.seeds import summary

        if found := summary(folder):
            yield ""
            yield from columns(spread_cells(found))
