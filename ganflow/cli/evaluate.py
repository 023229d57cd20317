"""`ganflow evaluate`: scores of runs' checkpoints, by any metrics and with several sampling seeds."""

from __future__ import annotations

import argparse
import csv
import io
import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow.api.meant import Meant, all_meant
from ganflow.cli.drawing import add_runs_argument, shown_path, whole_number, write_output
from ganflow.cli.listing import columns
from ganflow.errors import GanflowError, NewestDamaged
from ganflow.files import check_output_path
from ganflow.printing import say, say_json
from ganflow.runs.evaluations import score_of
from ganflow.synonyms import WORDS, component_of, normal

if TYPE_CHECKING:
    from ganflow.evaluation.scores import Score
    from ganflow.runs.folders import RunFolder


def evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs_", nargs="+", metavar="RUN",
                        help="paths, ids or their beginnings, names, 'latest', or SWEEP/3: trial 3 of a sweep")  # fmt: skip
    parser.add_argument("--metric", action="append", metavar="METRIC",
                        help="in place of the recipe's metrics: a name (ganflow plugins lists them), or one with its keys, "
                             "'{use: frechet, samples: 512}'; may be given again")  # fmt: skip
    seeds = "sampling seeds: scores are means over so many, with the standard error of that (default: 1)"
    parser.add_argument("--seeds", type=whole_number(1, 1000), default=1, metavar="N", help=seeds)
    parser.add_argument("--checkpoint", default="last", metavar="WHICH", help="last, best, or a file (default: last)")
    parser.add_argument("--csv", metavar="FILE", type=Path, help="write the scores as a table for programs, protocols included")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    add_runs_argument(parser)


def evaluate_command(args: argparse.Namespace) -> int:
    from ganflow.api.scoring import prepare, scored
    from ganflow.runs.folders import RunFolder, here

    if args.json and args.markdown:
        raise GanflowError("--json and --markdown are two forms of one table; leave one of them out")
    if args.csv:
        check_output_path(args.csv, (".csv",))
    meant: dict[Path, Meant] = {}
    for each in (each for run in args.runs_ for each in _meant(run, args)):
        if each.folder.path not in meant or meant[each.folder.path].seed is None:
            meant[each.folder.path] = each
    folders = [each.folder for each in meant.values()]
    if len(folders) > 1 and args.checkpoint not in ("last", "best"):
        raise GanflowError(f"--checkpoint {args.checkpoint} is one run's file; evaluate several runs at last or best")
    prepare_one = partial(prepare, which=args.checkpoint, metrics=args.metric, seeds=args.seeds)
    try:
        for folder in folders if len(folders) > 1 else ():  # nothing is computed before all can be, and one at a time is held
            prepare_one(folder)
        rows: list[dict[str, Any]] = []
        for folder in folders:
            seed = meant[folder.path].seed
            about: dict[str, Any] = {"run": folder.id, "name": meant[folder.path].name}
            about |= {"train_seed": seed} if seed is not None else {}
            rows += [{**about, **evaluation} for evaluation in scored(prepare_one(folder))]
    except NewestDamaged as error:
        if len(folders) == 1:
            raise
        run = RunFolder(error.instead.parent.parent).reference()
        alone = f"ganflow evaluate --checkpoint {shlex.quote(str(here(error.instead)))} {run}"
        raise GanflowError(error.text + f"; to evaluate that: {alone}") from None
    rows += means(rows)
    if args.json:
        say_json(rows)
    else:
        say(*(markdown(rows) if args.markdown else columns(list(map(cells, rows)), ("name", "seeds"))))
    if args.csv:
        what = f"{len(rows)} score{'s' if len(rows) > 1 else ''}"
        write_output(args.csv, lambda path: write_csv(path, rows), what, err=args.json)
    if not (args.json or args.markdown):
        for folder in folders:
            say(f"kept in {shown_path(folder.path)}/evaluations.json{_to_mlflow(folder, args.runs)}")
    return 0


def _meant(run: str, args: argparse.Namespace) -> list[Meant]:
    """The runs that a name means.

    Raises:
        GanflowError: there is none; says how a metric is named where the name is one's.
    """
    from ganflow.plugins import load_catalogue

    try:
        return all_meant(run, args.runs)
    except GanflowError:
        metrics = load_catalogue().names("metric")
        name = component_of(run, "metric", metrics)
        if name is None or not (run in metrics or normal(run) in WORDS):
            raise
        typed = ["ganflow", "evaluate", *([each for each in args.runs_ if each != run] or ["latest"]), "--metric", name]
        raise GanflowError(f"no run '{run}': that is a metric; name it so: {shlex.join(typed)}") from None


def means(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The mean and the standard deviation of every score over the seeds that a recipe was trained with, and the floor."""
    from ganflow.evaluation.evaluate import floor_over, spreads

    sweeps: dict[str, dict[str, dict[str, Score]]] = {}
    for row in rows:
        if "train_seed" in row:
            sweeps.setdefault(row["name"], {}).setdefault(row["run"], {})[row["score"]] = score_of(row)
    found: list[dict[str, Any]] = []
    for name, runs in sweeps.items():
        for spread in spreads([{score.name: score.value for score in of.values()} for of in runs.values()]):
            floor, error = floor_over([of[spread.name] for of in runs.values() if spread.name in of])
            found.append({"run": None, "name": name, "score": spread.name, "value": spread.mean, "sd": spread.deviation,
                          "floor": floor, "floor_error": error, "trainings": spread.n})  # fmt: skip
    return found


def cells(row: dict[str, Any]) -> dict[str, str]:
    """One line of the table."""
    score = score_of(row)
    if "trainings" in row:
        score = replace(score, error=None if row["sd"] is None else float(row["sd"]))
        row = {**row, "run": "mean ± sd", "train_seed": f"n = {row['trainings']}", "round": "", "seeds": 0}
    return {
        "name": row["name"],
        "run": row["run"],
        "train.seed": str(row.get("train_seed", "")),
        "round": str(row["round"]),
        "score": row["score"],
        "value": score.figure,
        "floor": score.floor_figure,
        "seeds": str(row["seeds"]) if row["seeds"] > 1 else "",
    }


def markdown(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The table in Markdown."""
    table = [cells(row) for row in rows]
    used = [name for name in table[0] if any(row[name] for row in table)]
    yield f"| {' | '.join(used)} |"
    yield f"|{'---|' * len(used)}"
    for row in table:
        yield f"| {' | '.join(row[name].replace('|', chr(92) + '|') for name in used)} |"


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """The scores with all that is known of each; protocol and metric as JSON."""
    from ganflow.files import write_text

    names = ("name", "run", "score", "value", "error", "floor", "floor_error", "seeds", "round", "checkpoint", "digest", "metric",
             "protocol", "train_seed", "trainings", "sd")  # fmt: skip
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(names)
    for row in rows:
        lines.writerow([json.dumps(value) if isinstance(value, dict) else value for value in map(row.get, names)])
    try:
        write_text(path, text.getvalue())
    except OSError as error:
        raise GanflowError(f"cannot write {path}: {error.strerror}") from error


def _to_mlflow(folder: RunFolder, root: Path) -> str:
    from ganflow.runs.folders import default_root, is_running

    record = folder.read()
    if not record.tracking.get("mlflow"):
        return ""
    if is_running(folder):
        return ", and sent to MLflow with the run"
    run = folder.reference(root)
    elsewhere = f" --runs {shlex.quote(str(root))}" if root != default_root() and run == folder.id else ""
    return f"; to MLflow: ganflow sync {run}{elsewhere}"
