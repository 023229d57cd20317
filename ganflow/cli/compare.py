"""`ganflow compare`: runs side by side, by what can be compared."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from ganflow.cli.drawing import add_runs_argument, check_output_path, write_output
from ganflow.cli.evaluate import score_of
from ganflow.cli.listing import columns
from ganflow.cli.meant import all_meant
from ganflow.errors import GanflowError, first_line
from ganflow.evaluation.compare import Comparison, Measured, NotCompared, Row, aligned, count, shared
from ganflow.evaluation.compare import difference as difference_of
from ganflow.evaluation.evaluate import over
from ganflow.evaluation.scores import grouped, protocol_difference
from ganflow.printing import say, say_json
from ganflow.runs import evaluations
from ganflow.runs.folders import DEFAULT_ROOT, RunFolder, check
from ganflow.runs.journal import last_entries

if TYPE_CHECKING:
    from PIL.Image import Image

    from ganflow.runs.record import RunRecord

NOT_COMPARED = ("lr/", "rounds_per_second")  # beginnings of what is reported beside terms and estimates
UNKNOWN = (
    "the score of one training does not say by how much another seed would change it: train with several (ganflow run RECIPE "
    "--seeds 3, or tune.seeds=3), and compare their means"
)
LONGEST = 12  # digits of a fingerprint that are shown


def compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs_", nargs="+", metavar="RUN",
                        help="two or more: paths, ids or their beginnings, names, 'latest', or SWEEP/3: trial 3 of a sweep")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path,
                        help="a .png of their newest sample pictures, with names and scores")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="for programs")
    add_runs_argument(parser)


def compare_command(args: argparse.Namespace) -> int:
    if args.output:
        from ganflow.pictures import save_png

        check_output_path(args.output, (".png",))
    runs = [read_named(run, args.runs) for run in args.runs_]
    if len(runs) < 2:
        raise GanflowError("compare it with which run? e.g. ganflow compare latest wgan (ganflow runs lists them)")
    if len({(run.folder.path, run.named) for run in runs}) < len(runs):
        meant = ", ".join(run.id for run in runs)
        raise GanflowError(f"two of these names mean the same run ({meant}); name different ones")
    check_data(runs)
    found = aligned([run.measured for run in runs])
    left_out = not_compared(found, runs, args.runs)
    if found.apart and not found.compared:
        raise GanflowError("; ".join(left_out) if len(left_out) == 2 else "\n".join(["no score can be compared:", *left_out]))
    drawn = picture(runs, found.rows) if args.output else None
    if args.json:
        say_json(facts(runs, found, left_out))
    else:
        say(*columns(list(table(runs, found.rows))))
        if found.apart:
            say("not compared:", *left_out)
        for name, row in found.rows.items():
            if count(row) > 1 and not any(m.protocol for m in row if m):
                say(f"ganflow: {name}: no protocol is recorded, so nothing says that it was computed alike", err=True)
        if any(d and d.error is not None and d.within_noise is None for d in map(difference_of, found.rows.values())):
            say(f"ganflow: {UNKNOWN}", err=True)
    apart = {i for pair in found.apart for i in (pair.first, pair.second)}
    if alone := [i for i in range(len(runs)) if i not in found.compared | apart]:
        say(f"ganflow: {without_scores(alone, runs, args.runs)}", err=True)
    if drawn is not None:
        write_output(args.output, lambda path: save_png(drawn, path), f"{len(runs)} runs", err=args.json)
    return 0


@dataclass(frozen=True)
class ComparedRun:
    """A run as its folder has it: its record, the last reports of terms, its scores by what protocol and when; or the trainings
    with several seeds, with the means of terms and scores.

    Attributes:
        seeds: how many trainings it is; 0 for a run.
        example: the run, or the best of the trainings.
        named: the trainings' name: the sweep's, or "SWEEP/3" of its trial 3.
    """

    folder: RunFolder
    record: RunRecord
    round: int
    terms: dict[str, float]
    measured: list[Measured]
    example: RunFolder
    seeds: int = 0
    named: str = ""

    @property
    def name(self) -> str:
        return self.named or self.folder.name

    @property
    def id(self) -> str:
        return self.named or self.folder.id

    def reference(self, root: Path) -> str:
        """As one would type it for a command."""
        _, slash, trial = self.named.partition("/")
        return f"{self.folder.reference(root)}{slash}{trial}"

    @property
    def title(self) -> str:
        seeds = f"({self.seeds} seed{'s' if self.seeds > 1 else ''})"
        return f"{self.name} {seeds if self.seeds else self.id}"


def read_named(name: str, root: Path) -> ComparedRun:
    """Read the run, or the trainings with several seeds, that a name means. Raises as `read_run`, and where there is none."""
    meant = all_meant(name, root)
    runs = [read_run(each.folder) for each in meant]
    return runs[0] if meant[0].seed is None else over_seeds(runs, meant[0].name)


def over_seeds(runs: Sequence[ComparedRun], named: str) -> ComparedRun:
    """The trainings with several seeds: the mean of each term, and of each score by every protocol, that all of them have, with
    the standard error over the trainings."""
    sweep = RunFolder(runs[0].folder.path.parent)
    best = record["trial"] if (record := sweep.read().best) and "trial" in record and "/" not in named else None
    return ComparedRun(
        sweep, runs[0].record, min(run.round for run in runs),
        {name: mean(run.terms[name] for run in runs) for name in runs[0].terms if all(name in run.terms for run in runs)},
        [Measured(replace(over([m.score for m in row]), name=row[0].score.name), row[0].protocol, min(m.round for m in row),
                  min(m.time for m in row), row[0].goal, len(row)) for row in shared([run.measured for run in runs])],
        next((run.example for run in runs if best is not None and run.folder.id.endswith(f"-t{best:04d}")), runs[0].example),
        len(runs), named,
    )  # fmt: skip


def read_run(folder: RunFolder) -> ComparedRun:
    """Read a run's record, the end of its journal, and what `ganflow evaluate` has found.

    Raises:
        GanflowError: something of it is damaged.
    """
    check(folder)
    record = folder.read()
    report, evaluation = last_entries(folder.journal)
    measured = []
    if evaluation:
        for score in grouped(evaluation.values):
            protocol, goal = record.protocols.get(score.name, {}), record.goals.get(score.name)
            measured.append(Measured(score, protocol, evaluation.round, evaluation.time, goal))
    for kept in evaluations.read(folder):
        measured.append(Measured(score_of(kept), kept["protocol"], kept["round"], kept["time"], kept.get("goal")))
    terms = {name: value for name, value in report.values.items() if not name.startswith(NOT_COMPARED)} if report else {}
    return ComparedRun(folder, record, max(record.round, report.round if report else 0), terms, measured, folder)


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
            texts = (f"{d['name']} ({d['fingerprint'][:LONGEST]}) in run {r.id}" for r, d in pairs)
            raise GanflowError(f"the runs had different data, so neither terms nor scores say which is better: "
                               f"{', '.join(texts)}: {data_differences(first, run)}; compare runs of the same data")  # fmt: skip


def data_differences(first: ComparedRun, second: ComparedRun) -> str:
    """The differences between the data of two runs, as far as their recipes have them, in words."""
    from ganflow.recipe import differences
    from ganflow.runs.kept import recipe_of_run

    try:
        a, b = ({"data": recipe_of_run(run.example).resolved()["data"]} for run in (first, second))
    except GanflowError as error:
        return f"by which keys cannot be read ({first_line(error)})"
    if a["data"]["use"] != b["data"]["use"]:  # of which every key is another's
        a, b = ({"data": {"use": each["data"]["use"]}} for each in (a, b))
    words = (line.partition(": ") for line in differences(a, b))
    texts = [f"{key} {values.replace(' → ', ' against ')}" for key, _, values in words]
    return ", ".join(texts) or "the keys of data are equal in both recipes, so the files, or what was drawn, differ"


def not_compared(found: Comparison, runs: Sequence[ComparedRun], root: Path) -> list[str]:
    """A line for every score that is left out, with all differences, and one for each command that evaluates them alike."""
    lines: list[str] = []
    alike: dict[Any, tuple[dict[int, None], dict[str, None]]] = {}
    for pair in found.apart:
        of = "" if len(runs) == 2 else f" ({runs[pair.first].title} against {runs[pair.second].title})"
        lines.append(f"{pair}{of}")
        seeds = pair.one.protocol.get("seeds")
        which, metrics = alike.setdefault(seeds, ({}, {}))
        which.update(dict.fromkeys((pair.first, pair.second)))
        metrics.update(dict.fromkeys(sections_of(runs[pair.first].example, pair.one)))
    for seeds, (which, metrics) in alike.items():
        command = evaluation([runs[i] for i in sorted(which)], list(metrics), seeds, root)
        lines.append(f"evaluate {'both' if len(which) == 2 else 'them'} alike: {command}")
    return lines


def without_scores(alone: Sequence[int], runs: Sequence[ComparedRun], root: Path) -> str:
    """A sentence on runs that have no score in common with the others, with the command that changes that."""
    every = len(alone) == len(runs)
    whose = "the runs have" if every else f"{' and '.join(runs[i].title for i in alone)} {'have' if len(alone) > 1 else 'has'}"
    shown = "; their terms are compared" if every else " with the others"
    some = next(((run, m) for run in runs for m in run.measured), None)
    metrics = sections_of(some[0].example, some[1]) if some else ["sliced_wasserstein"]
    seeds = some[1].protocol.get("seeds") if some else None
    return f"{whose} no score in common{shown}; evaluate them alike: {evaluation(runs, metrics, seeds, root)}"


def evaluation(runs: Sequence[ComparedRun], metrics: Sequence[str], seeds: Any, root: Path) -> str:
    """The command that evaluates runs by these metrics."""
    names = [run.reference(root) for run in runs]
    words = [word for metric in metrics for word in ("--metric", metric)]
    words += ["--seeds", str(seeds)] if isinstance(seeds, int) else []
    words += ["--runs", str(root)] if root != DEFAULT_ROOT and any(run.id in names for run in runs) else []
    return f"ganflow evaluate {' '.join(names)} {shlex.join(words)}".rstrip()


def sections_of(folder: RunFolder, measured: Measured) -> list[str]:
    """The metric that computed a score, as a recipe has it; all metrics of the run's recipe where that is not known."""
    from ganflow.contract.game import Scores
    from ganflow.recipe.yaml import to_flow
    from ganflow.runs.kept import recipe_of_run
    from ganflow.runs.loading import load_data, load_game

    for kept in evaluations.read(folder):
        if kept["score"] == measured.score.name and protocol_difference(kept["protocol"], measured.protocol) is None:
            return [to_flow(kept["metric"])]
    recipe = recipe_of_run(folder)
    sections = [to_flow(section) for section in recipe.resolved()["metrics"]]
    if len(sections) > 1:
        with suppress(GanflowError):  # the data cannot be had
            names = Scores(recipe.composition().build_metrics(load_data(folder, recipe))).names(lambda: load_game(folder))
            return [section for section, each in zip(sections, names, strict=True) if measured.score.name in each] or sections
    return sections


def table(runs: Sequence[ComparedRun], scores: Mapping[str, Row]) -> Iterator[dict[str, str]]:
    """A row for the rounds, for each term, and for each score with the difference."""
    last = "second − first" if len(runs) == 2 else "difference"

    def line(name: str, texts: Sequence[str], difference: str = "") -> dict[str, str]:
        return {"": name, **dict(zip((run.title for run in runs), texts, strict=True)), last: difference}

    yield line("round", [str(run.round) for run in runs])
    for name in dict.fromkeys(name for run in runs for name in run.terms):
        yield line(name, [f"{run.terms[name]:.4g}" if name in run.terms else "–" for run in runs])
    names = [run.name for run in runs]
    names = names if len(set(names)) == len(names) else [run.id for run in runs]
    for name, row in scores.items():
        texts = [cell(m, run) if m else "–" for m, run in zip(row, runs, strict=True)]
        yield line(name, texts, found.described(names) if (found := difference_of(row)) else "")


def cell(measured: Measured, run: ComparedRun) -> str:
    """A score with error and floor, and the round where that is not the run's last."""
    text = str(measured.score).removeprefix(f"{measured.score.name} ")
    return text if measured.round == run.round else f"{text} in round {measured.round}"


def facts(runs: Sequence[ComparedRun], found: Comparison, left_out: Sequence[str]) -> dict[str, Any]:
    """The comparison as plain data; `left_out` as of `not_compared`."""
    def fact(m: Measured | None) -> dict[str, Any] | None:
        if m is None:
            return None
        score = m.score
        return {"value": score.value, "error": score.error, "floor": score.floor, "floor_error": score.floor_error,
                "round": m.round}  # fmt: skip

    def difference(row: Row) -> dict[str, Any] | None:
        if (d := difference_of(row)) is None:
            return None
        ids = {"of": runs[d.of].id, "less": runs[d.less].id}
        return {**ids, "value": d.value, "error": d.error, "within_noise": d.within_noise}

    def apart(pair: NotCompared) -> dict[str, Any]:
        ids = [runs[i].id for i in (pair.first, pair.second)]
        both = [{"score": m.score.name, "value": m.score.value, "protocol": dict(m.protocol)} for m in (pair.one, pair.other)]
        return {"score": pair.one.score.name, "runs": ids, "differences": pair.differences, "scores": both}

    return {
        "runs": [{"name": r.name, "id": r.id, "folder": str(r.folder.path), "round": r.round, "seeds": r.seeds or None}
                 for r in runs],
        "terms": {name: [run.terms.get(name) for run in runs] for name in dict.fromkeys(n for run in runs for n in run.terms)},
        "scores": {
            name: {
                "protocol": dict(next(m for m in row if m).protocol),
                "runs": [fact(m) for m in row],
                "difference": difference(row),
            }
            for name, row in found.rows.items()
        },
        "not_compared": [apart(pair) for pair in found.apart],
        "advice": [line.partition(": ")[2] for line in left_out[len(found.apart) :]],
    }


def picture(runs: Sequence[ComparedRun], scores: Mapping[str, Row]) -> Image:
    """The newest sample pictures side by side, with scores below their names.

    Raises:
        GanflowError: a run has none, or they cannot be read.
    """
    from ganflow.sweeps.report import newest_samples, sheet

    found = []
    for i, run in enumerate(runs):
        path = newest_samples(run.example)
        if path is None:
            raise GanflowError(f"run {run.title} has no picture of samples; leave --output out")
        some = [f"{m.score.name} {cell(m, run)}" for row in scores.values() if (m := row[i])]
        found.append((path, run.title, ", ".join(some)))
    drawn = sheet(found)
    if drawn is None:
        raise GanflowError("none of the runs' sample pictures can be read; leave --output out")
    return drawn
