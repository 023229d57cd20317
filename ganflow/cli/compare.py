"""`ganflow compare`: runs side by side, by what can be compared."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow.cli.drawing import add_runs_argument, check_output_path, write_output
from ganflow.cli.listing import columns, last_entries
from ganflow.errors import GanflowError
from ganflow.evaluation.compare import Measured, ProtocolsDiffer, aligned, spread_of
from ganflow.evaluation.scores import Score, grouped, protocol_difference
from ganflow.printing import say, say_json
from ganflow.runs import evaluations
from ganflow.runs.folders import DEFAULT_ROOT, RunFolder, check, find_run

if TYPE_CHECKING:
    from PIL.Image import Image

    from ganflow.runs.record import RunRecord

NOT_COMPARED = ("lr/", "rounds_per_second")  # beginnings of what is reported beside terms and estimates
LONGEST = 12  # digits of a fingerprint that are shown


def compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs_", nargs="+", metavar="RUN", help="two or more: paths, ids or their beginnings, names, or 'latest'")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path,
                        help="a .png of their newest sample pictures, with names and scores")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="for programs")
    add_runs_argument(parser)


def compare_command(args: argparse.Namespace) -> int:
    if args.output:
        from ganflow.pictures import save_png

        check_output_path(args.output, (".png",))
    runs = [read_run(find_run(run, args.runs)) for run in args.runs_]
    if len(runs) < 2:
        raise GanflowError("compare it with which run? e.g. ganflow compare latest wgan (ganflow runs lists them)")
    if len({run.folder.path for run in runs}) < len(runs):
        meant = ", ".join(run.folder.id for run in runs)
        raise GanflowError(f"two of these names mean the same run ({meant}); name different ones")
    check_data(runs)
    try:
        scores = aligned([run.measured for run in runs])
    except ProtocolsDiffer as error:
        raise GanflowError(f"{error}; evaluate both alike: {advice(error, runs, args.runs)}") from None
    drawn = picture(runs, scores) if args.output else None
    if args.json:
        say_json(facts(runs, scores))
    else:
        say(*columns(list(table(runs, scores))))
        for name, row in scores.items():
            if len(some := [m for m in row if m]) > 1 and not any(m.protocol for m in some):
                say(f"ganflow: {name}: no protocol is recorded, so nothing says that it was computed alike", err=True)
    if drawn is not None:
        write_output(args.output, lambda path: save_png(drawn, path), f"{len(runs)} runs", err=args.json)
    return 0


@dataclass(frozen=True)
class ComparedRun:
    """A run as its folder has it: its record, the last reports of terms, its scores by what protocol and when."""

    folder: RunFolder
    record: RunRecord
    round: int
    terms: dict[str, float]
    measured: list[Measured]

    @property
    def title(self) -> str:
        return f"{self.folder.name} {self.folder.id}"


def read_run(folder: RunFolder) -> ComparedRun:
    """Read a run's record, the end of its journal, and what `ganflow evaluate` has found.

    Raises:
        GanflowError: something of it is damaged.
    """
    check(folder)
    record = folder.read()
    report, evaluation = last_entries(folder)
    measured = []
    if evaluation:
        for score in grouped(evaluation.values):
            measured.append(Measured(score, record.protocols.get(score.name, {}), evaluation.round, evaluation.time))
    for kept in evaluations.read(folder):
        beside = (kept.get("error"), kept.get("floor"), kept.get("floor_error"))
        score = Score(kept["score"], float(kept["value"]), *(None if value is None else float(value) for value in beside))
        measured.append(Measured(score, kept["protocol"], kept["round"], kept["time"]))
    terms = {name: value for name, value in report.values.items() if not name.startswith(NOT_COMPARED)} if report else {}
    return ComparedRun(folder, record, max(record.round, report.round if report else 0), terms, measured)


def check_data(runs: Sequence[ComparedRun]) -> None:
    """Refuse runs of different data.

    Raises:
        GanflowError: there are some.
    """
    known = [(run, run.record.data) for run in runs if run.record.data]
    for run, data in known[1:]:
        first, other = known[0]
        if data["fingerprint"] != other["fingerprint"]:
            pairs = ((first, other), (run, data))
            texts = (f"{d['name']} ({d['fingerprint'][:LONGEST]}) in run {r.folder.id}" for r, d in pairs)
            raise GanflowError(f"the runs had different data, so neither terms nor scores say which is better: "
                               f"{', '.join(texts)}; compare runs of the same data")  # fmt: skip


def advice(error: ProtocolsDiffer, runs: Sequence[ComparedRun], root: Path) -> str:
    """The command that evaluates two runs by the protocol of the first."""
    first, second = runs[error.first], runs[error.second]
    measured = max((m for m in first.measured if m.score.name == error.name), key=lambda m: m.time)
    metric = section_of(first.folder, measured)
    words = ["ganflow", "evaluate", first.folder.id, second.folder.id, *(["--metric", metric] if metric else [])]
    words += ["--seeds", str(measured.protocol["seeds"])] if "seeds" in measured.protocol else []
    words += ["--runs", str(root)] if root != DEFAULT_ROOT else []
    return shlex.join(words)


def section_of(folder: RunFolder, measured: Measured) -> str:
    """The metric that computed a score, as a recipe has it; "" where that is not known."""
    from ganflow.recipe import kept_recipe
    from ganflow.recipe.yaml import to_flow

    for kept in evaluations.read(folder):
        if kept["score"] == measured.score.name and protocol_difference(kept["protocol"], measured.protocol) is None:
            return to_flow(kept["metric"])
    from ganflow.contract.game import Scores
    from ganflow.runs.loading import load_data, load_game

    recipe = kept_recipe(folder.recipe)
    metrics = recipe.composition().build_metrics(load_data(folder, recipe))
    names = Scores(metrics).names(lambda: load_game(folder))
    at = next((i for i, each in enumerate(names) if measured.score.name in each), None)
    return "" if at is None else to_flow(recipe.resolved()["metrics"][at])


def table(runs: Sequence[ComparedRun], scores: dict[str, list[Measured | None]]) -> Iterator[dict[str, str]]:
    """A row for the rounds, for each term, and for each score with the difference."""
    def line(name: str, texts: Sequence[str], difference: str = "") -> dict[str, str]:
        return {"": name, **dict(zip((run.title for run in runs), texts, strict=True)), "difference": difference}

    yield line("round", [str(run.round) for run in runs])
    for name in dict.fromkeys(name for run in runs for name in run.terms):
        yield line(name, [f"{run.terms[name]:.4g}" if name in run.terms else "–" for run in runs])
    for name, row in scores.items():
        some = [m.score for m in row if m]
        texts = [cell(m, run) if m else "–" for m, run in zip(row, runs, strict=True)]
        yield line(name, texts, spread_of(some) if len(some) > 1 else "")


def cell(measured: Measured, run: ComparedRun) -> str:
    """A score with error and floor, and the round where that is not the run's last."""
    text = str(measured.score).removeprefix(f"{measured.score.name} ")
    return text if measured.round == run.round else f"{text} in round {measured.round}"


def facts(runs: Sequence[ComparedRun], scores: dict[str, list[Measured | None]]) -> dict[str, Any]:
    """The comparison as plain data."""
    def fact(m: Measured | None) -> dict[str, Any] | None:
        if m is None:
            return None
        score = m.score
        return {"value": score.value, "error": score.error, "floor": score.floor, "floor_error": score.floor_error,
                "round": m.round}  # fmt: skip

    return {
        "runs": [{"name": r.folder.name, "id": r.folder.id, "folder": str(r.folder.path), "round": r.round} for r in runs],
        "terms": {name: [run.terms.get(name) for run in runs] for name in dict.fromkeys(n for run in runs for n in run.terms)},
        "scores": {
            name: {
                "protocol": dict(next(m for m in row if m).protocol),
                "runs": [fact(m) for m in row],
                "difference": spread_of(some) if len(some := [m.score for m in row if m]) > 1 else None,
            }
            for name, row in scores.items()
        },
    }


def picture(runs: Sequence[ComparedRun], scores: dict[str, list[Measured | None]]) -> Image:
    """The newest sample pictures side by side, with scores below their names.

    Raises:
        GanflowError: a run has none, or they cannot be read.
    """
    from ganflow.tune.report import newest_samples, sheet

    found = []
    for i, run in enumerate(runs):
        path = newest_samples(run.folder)
        if path is None:
            raise GanflowError(f"run {run.title} has no picture of samples; leave --output out")
        some = [str(row[i].score) for row in scores.values() if row[i]]  # type: ignore[union-attr]
        found.append((path, run.title, ", ".join(some)))
    drawn = sheet(found)
    if drawn is None:
        raise GanflowError("none of the runs' sample pictures can be read; leave --output out")
    return drawn
