"""Records of a sweep's trials, and which of them are better. Imports nothing slow."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_type_hints

from ganflow.errors import GanflowError
from ganflow.files import append_line
from ganflow.runs import folders
from ganflow.runs.folders import RunFolder
from ganflow.runs.trials import FILE, OVER, lines

MACHINE, BUDGET = "machine", "budget"

Mode = Literal["min", "max"]
Objectives = Mapping[str, Mode]
"""What trials are judged by: metrics and which of their values is better, `tune.metric`'s first one first."""


def several(objectives: Objectives) -> dict[str, Mode]:
    """The objectives where there are several, by which trials have a Pareto front; nothing where it is one, and a best trial."""
    return dict(objectives) if len(objectives) > 1 else {}


@dataclass
class TrialRecord:
    """Record of a trial.

    Attributes:
        number: 0, 1, 2, … in the order in which they were proposed.
        config: path of a key of the recipe → value ("optimizer.lr" → 0.0003).
        state: "waiting", "running", or one of OVER.
        score: the last value of the sweep's metric, of several the first; None where there is none yet.
        round: rounds played when it was reported.
        error: why it diverged or failed, or was stopped.
        cause: MACHINE where it failed for no fault of the trial's, BUDGET where it was stopped with the whole sweep: a sweep
            that goes on tries it again.
        crashes: how often its process died, or raised what is no sentence, over all resumes.
        request: id of the request that added it, or "by hand"; "" where the searcher proposed it.
        place: its machine: "node3, GPU 0".
        copied: pbt: (trial, round of its checkpoint) that it was copied from, each time.
        inherited: pbt: the score that its source had then; its own counts as soon as it has one.
        due: pbt: the round from which on its next turn is due; 0 where it had none yet.
        confirms: the packed trial that this run trains again, by itself.
        in_pack: of a run of a packed sweep that is over: it was trained together with others; None where that is not known.
        again: of a packed trial: its training by itself, until that is over. This and the next two are not recorded.
        confirmed: once that is over, its first run; score, state and the others are then those of the training by itself.
        packed: the score of before.
        scores: of a sweep by several metrics: the last value of each, None where there is none, or none that is finite.
    """

    number: int
    config: dict[str, Any]
    state: str = "waiting"
    score: float | None = None
    round: int = 0
    error: str = ""
    cause: str = ""
    crashes: int = 0
    request: str = ""
    place: str = ""
    copied: list[tuple[int, int]] = field(default_factory=list)
    inherited: float | None = None
    due: int = 0
    confirms: int | None = None
    in_pack: bool | None = None
    again: TrialRecord | None = None
    confirmed: int | None = None
    packed: float | None = None
    scores: dict[str, float | None] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return self.state in OVER

    @property
    def trained(self) -> Literal["", "packed", "confirmed", "alone"]:
        """The training that the score is of: in a pack, the one by itself that confirms it, or by itself from the start in a
        packed sweep; "" where that is not known, or no trial is packed."""
        if self.confirmed is not None:
            return "confirmed"
        return "" if self.in_pack is None else "packed" if self.in_pack else "alone"


@dataclass
class Repeated(TrialRecord):
    """A trial of several runs as one; `score` is their mean, or their quantile, and there is none before all of them are over.

    Attributes:
        runs: their records.
        mean, sd: of the scores of the runs that have one; sd is None where there are fewer than two.
        n: how many these are.
        spreads: of a sweep by several metrics: mean, standard deviation and number of each.
        latest: their mean, or their quantile, before all of them are over; None where one has no score yet.
    """

    runs: list[TrialRecord] = field(default_factory=list)
    mean: float | None = None
    sd: float | None = None
    n: int = 0
    spreads: dict[str, tuple[float | None, float | None, int]] = field(default_factory=dict)
    latest: float | None = None


class SweepFolder(RunFolder):
    """The folder of a sweep, and of its trials."""

    @property
    def id(self) -> str:
        return self.read().id

    @property
    def sweep(self) -> str:
        """The sweep's name, which is the folder's."""
        return self.path.name

    @property
    def records(self) -> Path:
        return self.path / FILE

    @property
    def study(self) -> Path:
        """Optuna's journal of the trials: `optuna-dashboard FILE`."""
        return self.path / "optuna.journal"

    @property
    def earlier(self) -> Path:
        """Trials of another sweep, from which the searcher learns besides."""
        return self.path / "earlier.jsonl"

    @property
    def best(self) -> Path:
        return self.path / "best.yaml"

    @property
    def pareto(self) -> Path:
        """Recipes of the Pareto front, NUMBER.yaml, of a sweep by several metrics."""
        return self.path / "pareto"

    def trial(self, number: int) -> RunFolder:
        """The run of a trial."""
        return folders.trial(self, number)

    def record(self, trial: int, **values: Any) -> None:
        """Append a line about a trial: `config` when it is proposed (or changed), `state`, `score`, … when they change. The
        operating system has it when this returns.

        Raises:
            GanflowError: it cannot be written.
        """
        _append(self.records, {"trial": trial, **values})

    def mended(self) -> dict[int, TrialRecord]:
        """The trials, for a driver that goes on with them: a torn last line is cut off, so that the next one stands alone.

        Raises:
            GanflowError: a line is not a record, or records are missing.
        """
        found = self.trials()
        begun = [run for run in sorted(self.path.glob(f"{self.id}-t*")) if RunFolder(run).is_run()]
        for run in begun:
            number = int(run.name.rpartition("-t")[2])
            if not found.get(number, TrialRecord(number, {})).config:
                what = f"has no configuration of trial {number}" if self.records.exists() else "is missing"
                raise GanflowError(f"{self.records} {what}, which was begun in {run}: the sweep cannot go on without it")
        if self.records.exists():
            raw = self.records.read_bytes()
            if not raw.endswith(b"\n"):
                os.truncate(self.records, raw.rfind(b"\n") + 1)
        return {number: trial for number, trial in found.items() if trial.config}

    def keep_earlier(self, trials: Iterable[TrialRecord]) -> None:
        """Keep trials of another sweep, which may be gone when this one goes on."""
        for trial in trials:
            values = {"config": trial.config, "state": trial.state, "score": trial.score, "round": trial.round}
            scores = {"scores": trial.scores} if trial.scores else {}
            _append(self.earlier, {"trial": trial.number, **values, **scores})

    def trials(self, file: Path | None = None) -> dict[int, TrialRecord]:
        """Every trial by number, as the records tell. A torn last line is left out.

        Args:
            file: of the records, if not the sweep's own.

        Raises:
            GanflowError: a line is not a record.
        """
        found: dict[int, TrialRecord] = {}
        for number, values in _lines(file or self.records):
            record = found.setdefault(number, TrialRecord(number, {}))
            for name, value in values.items():
                setattr(record, name, value)
        return found

    def since(self, trial: TrialRecord) -> float:
        """The round after which a trial's reports are of its configuration, which is another one since it became a copy."""
        if not trial.copied:
            return -1
        try:
            run = self.trial(trial.number).read()
        except GanflowError:  # a damaged record: nothing is known of its reports
            return math.inf
        if run.copies < len(trial.copied):  # it is to become one, and has not begun
            return math.inf
        return -1 if run.copied_at is None else run.copied_at

    def alarms(self) -> list[dict[str, Any]]:
        """The alarms of trainings that differ in their seed, each with its `seed` and `trial`; none of a searching sweep, whose
        trials' folders are not opened for them."""
        found: list[dict[str, Any]] = []
        for number, seed in enumerate(self.read().seeds):
            run = self.trial(number)
            with suppress(GanflowError):  # a run without a record, or with a damaged one, has none
                folders.check(run)
                found += [{"seed": seed, "trial": number, **alarm} for alarm in run.read().alarms]
        return found

    def ended(self) -> list[int]:
        """Numbers of the trials that are over, in the order in which they ended."""
        states: dict[int, str] = {}
        for number, values in _lines(self.records):
            if "state" in values:
                states.pop(number, None)
                states[number] = values["state"]
        return [number for number, state in states.items() if state in OVER]


def _append(path: Path, values: dict[str, Any]) -> None:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            append_line(file, json.dumps(values).encode() + b"\n")
        finally:
            os.close(file)
    except OSError as error:
        raise GanflowError(f"cannot write {path}: {error.strerror}") from error


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    hints = get_type_hints(TrialRecord)
    return lines(path, {name: of for name, of in hints.items() if name not in ("again", "confirmed", "packed")})


WRONG = ("diverged", "failed")


def rounds_of(trial: TrialRecord, rounds: int) -> int:
    """Rounds that a trial is to play: they may be searched, too."""
    searched = trial.config.get("train.rounds", rounds)
    return searched if isinstance(searched, int) else rounds
