"""`ganflow sweeps`: what was searched, what is searched now, and all that is known of one sweep."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow.cli.drawing import shown_path
from ganflow.cli.known import age, known_sweep, known_sweeps, last_entries, of_trials, say_damaged
from ganflow.printing import say, say_json

if TYPE_CHECKING:
    from ganflow.tune.records import SweepFolder, TrialRecord

HELP = "list the sweeps, or show one"
COLUMNS = ("name", "status", "trials", "metric", "best", "age")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=["show"], help="'show SWEEP' tells all about one sweep")
    parser.add_argument("sweep", nargs="?", metavar="SWEEP", help="its name, or its folder")
    parser.add_argument("--write", action="store_true", help="with show: write best.yaml, trials.csv and plots of what there is")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--runs", default="runs", metavar="DIR", type=Path, help="where runs are kept (default: runs)")


def main(args: argparse.Namespace) -> int:

    from ganflow.errors import GanflowError

    if args.action and not args.sweep:
        raise GanflowError("show which sweep? (ganflow sweeps lists them)")
    if args.write and not args.action:
        raise GanflowError("--write goes with show: ganflow sweeps show SWEEP --write")
    if not args.action:
        sweeps = known_sweeps(args.runs)
        if args.json:
            say_json(sweeps)
        else:
            say(*(table(sweeps) if sweeps else [f"no sweeps in {args.runs}/ yet; start one with: ganflow tune wgan"]))
            say_damaged(sweeps)
        return 0
    folder = find(args.sweep, args.runs)
    if args.write:
        _write(folder)
    sweep, trials = known_sweep(folder), seen(folder)
    if args.json:
        say_json({**sweep, **details(folder, trials)})
    else:
        say(*described(folder, sweep, trials))
    return 0


def find(name: str, root: Path) -> SweepFolder:
    """The sweep of this name, or in this folder.

    Raises:
        GanflowError: there is none.
    """
    import difflib

    from ganflow.errors import GanflowError
    from ganflow.runs.folders import all_sweeps, find_sweep
    from ganflow.tune.records import SweepFolder

    found = find_sweep(name, root)
    if found is not None:
        return SweepFolder(found.path)
    if (root / name / "trials.jsonl").exists():
        SweepFolder(root / name).read()
    names = [sweep.path.name for sweep in all_sweeps(root)]
    if not names:
        raise GanflowError(f"no sweeps in {root}/ yet; start one with: ganflow tune wgan")
    close = difflib.get_close_matches(name, names, n=3) or [n for n in names if n.startswith(name)][-3:]
    hint = f"; did you mean {' or '.join(repr(n) for n in close)}?" if close else ""
    raise GanflowError(f"no sweep '{name}' in {root}/{hint} (ganflow sweeps lists them)")



def seen(folder: SweepFolder) -> list[TrialRecord]:
    """The trials; of those that are not over, with what their own journals say since they were last written of."""
    trials, metric = list(folder.trials().values()), folder.read().metric
    for trial in trials:
        if not trial.over:
            report, evaluation = last_entries(folder.trial(trial.number))
            for entry in filter(None, (report, evaluation)):
                trial.round = max(trial.round, entry.round)
                trial.score = entry.values.get(metric, trial.score)
    return trials


def details(folder: SweepFolder, trials: list[TrialRecord]) -> dict[str, Any]:
    """Trials, the best first, and files, for programs."""
    from dataclasses import asdict

    from ganflow.tune.records import ranking

    record = folder.read()
    ranked = ranking(trials, record.mode)
    return {
        "results": [{**asdict(t), "run": str(folder.trial(t.number).path)} for t in ranked],
        "files": [str(path) for path in files(folder)],
        "about": record.raw,
    }


def files(folder: SweepFolder) -> list[Path]:
    """What the sweep left besides its trials."""
    named = (folder.best, folder.path / "trials.csv", folder.recipe)
    return [path for path in named if path.exists()] + sorted(folder.plots.glob("*.png"))


def table(sweeps: list[dict[str, Any]]) -> Iterator[str]:
    """One line per sweep."""
    from ganflow.tune.records import number

    rows = [dict(zip(COLUMNS, COLUMNS, strict=True))]
    for sweep in sweeps:
        best = sweep["best"]
        score = f"{number(best['score'])} (trial {best['trial']})" if best else ""
        told = (sweep["name"], sweep["status"], of_trials(sweep), sweep.get("metric", ""), score, age(sweep["created"]))
        rows.append(dict(zip(COLUMNS, told, strict=True)))
    sizes = {column: max(len(row[column]) for row in rows) for column in COLUMNS}
    for row in rows:
        yield "  ".join(f"{row[column]:{size}}" for column, size in sizes.items()).rstrip()


def described(folder: SweepFolder, sweep: dict[str, Any], trials: list[TrialRecord]) -> Iterator[str]:
    """All about one sweep, line by line."""
    import shutil
    import sys

    from ganflow.tune.records import best_of, config_line, counted, number, table

    def row(name: str, text: object) -> str:
        return f"  {name:12}{text}"

    record = folder.read()
    yield f"{sweep['name']}  {sweep['id']}  {sweep['status']}"
    yield row("folder", shown_path(folder.path))
    yield row("trials", f"{sweep['over']} of {sweep['trials'] or '?'} are over: {counted(trials, sweep['trials'])}")
    yield row("metric", f"{sweep['metric']}, {'less' if sweep['mode'] == 'min' else 'more'} is better")
    if sweep["created"]:
        yield row("created", f"{sweep['created']}, {age(sweep['created'])} ago")
    for name in ("address", "host", "pid", "error"):
        if value := getattr(record, name):
            yield row(name, value)
    best = best_of(trials, sweep["mode"])
    if best is not None:
        yield row("best", f"trial {best.number} with {number(best.score)}: {config_line(best.config, list(best.config), 60)}")
        if folder.best.exists():
            yield row("run it", f"ganflow run {shown_path(folder.best)}")
    if sweep["status"] in ("interrupted", "killed", "failed"):
        yield row("go on", f"ganflow tune --resume {sweep['name']}")
    if left := files(folder):
        yield row("files", f"in {shown_path(folder.path)}/: {', '.join(str(path.relative_to(folder.path)) for path in left)}")
    if trials:
        yield ""
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        yield from table(trials, sweep["metric"], sweep["mode"], sweep["rounds"] or 0, width)


def _write(folder: SweepFolder) -> None:

    from ganflow.tune.report import summarize

    for missing in summarize(folder).missing:
        say(f"ganflow: {missing}", err=True)
