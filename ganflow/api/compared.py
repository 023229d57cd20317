"""A run, or the trainings of several seeds, as a comparison sees it: terms, and scores with their protocols."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from ganflow.api.meant import all_meant
from ganflow.errors import GanflowError
from ganflow.evaluation.compare import Measured, shared
from ganflow.evaluation.evaluate import over
from ganflow.evaluation.scores import grouped, protocol_difference
from ganflow.runs import evaluations
from ganflow.runs.damage import Left
from ganflow.runs.folders import RunFolder, check
from ganflow.runs.journal import last_entries

if TYPE_CHECKING:
    from ganflow.runs.record import RunRecord

NOT_COMPARED = ("lr/", "rounds_per_second")  # beginnings of what is reported beside terms and estimates


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

    def shown(self, measured: Measured) -> str:
        """One of its scores with error and floor, and the round where that is not its last."""
        text = str(measured.score).removeprefix(f"{measured.score.name} ")
        return text if measured.round == self.round else f"{text} in round {measured.round}"


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
    """Read a run's record, the end of its journal, and what `ganflow evaluate` has found. Damaged lines of the journal are left
    out with a warning.

    Raises:
        GanflowError: something else is damaged, or all of the journal.
    """
    check(folder)
    record = folder.read()
    left = Left()
    report, evaluation = last_entries(folder.journal, left)
    left.warn(bool(report or evaluation))
    measured = []
    if evaluation:
        for score in grouped(evaluation.values):
            protocol, goal = record.protocols.get(score.name, {}), record.goals.get(score.name)
            measured.append(Measured(score, protocol, evaluation.round, evaluation.time, goal))
    for kept in evaluations.read(folder):
        measured.append(Measured(evaluations.score_of(kept), kept["protocol"], kept["round"], kept["time"], kept.get("goal")))
    terms = {name: value for name, value in report.values.items() if not name.startswith(NOT_COMPARED)} if report else {}
    return ComparedRun(folder, record, max(record.round, report.round if report else 0), terms, measured, folder)


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
