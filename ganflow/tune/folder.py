"""A sweep's folder: `runs/<sweep>/`, in which every trial is a run.

    run.json       what the sweep is and how it stands, like a run's
    recipe.yaml    the recipe as it was given, changes and references included
    trials.jsonl   what was decided about the trials, one line each, only ever appended to
    metrics.jsonl  the best score so far, by number of trials that are over
    plots/         pictures of the whole sweep
    best.yaml      the best trial's recipe, complete
    <trial id>/    a run's folder
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from ganflow import runs
from ganflow.atomic import append_line
from ganflow.errors import GanflowError
from ganflow.record import mistyped
from ganflow.runs import RunFolder

OVER = ("finished", "stopped", "diverged", "failed")
"""States in which a trial is over. "stopped": early, by the scheduler; "failed": died more often than it may be retried."""
MACHINE = "machine"


@dataclass
class TrialRecord:
    """What is known of a trial.

    Attributes:
        number: 0, 1, 2, … in the order in which they were proposed.
        config: path of a key of the recipe → value ("optimizer.lr" → 0.0003).
        state: "waiting", "running", or one of OVER.
        score: the last value of the sweep's metric; None where there is none yet.
        round: rounds played when it was reported.
        error: why it diverged or failed.
        cause: MACHINE where it failed for no reason of its own: a sweep that goes on tries it again.
        place: where it runs, or ran: "node3, GPU 0".
        copied: pbt: (trial, round) that it was last copied from.
    """

    number: int
    config: dict[str, Any]
    state: str = "waiting"
    score: float | None = None
    round: int = 0
    error: str = ""
    cause: str = ""
    place: str = ""
    copied: list[tuple[int, int]] = field(default_factory=list)

    @property
    def over(self) -> bool:
        return self.state in OVER


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
        return self.path / "trials.jsonl"

    @property
    def best(self) -> Path:
        return self.path / "best.yaml"

    def trial(self, number: int) -> RunFolder:
        """The run of a trial."""
        return runs.trial(self, number)

    def record(self, trial: int, **values: Any) -> None:
        """Append a line about a trial: `config` when it is proposed (or changed), `state`, `score`, … when they change. It is
        with the operating system when this returns.

        Raises:
            GanflowError: it cannot be written.
        """
        line = json.dumps({"trial": trial, **values}).encode() + b"\n"
        try:
            file = os.open(self.records, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                append_line(file, line)
            finally:
                os.close(file)
        except OSError as error:
            raise GanflowError(f"cannot write {self.records}: {error.strerror}") from error

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

    def trials(self) -> dict[int, TrialRecord]:
        """Every trial by number, as the records tell. A torn last line is left out.

        Raises:
            GanflowError: a line is not a record.
        """
        found: dict[int, TrialRecord] = {}
        for number, values in _lines(self.records):
            record = found.setdefault(number, TrialRecord(number, {}))
            for name, value in values.items():
                setattr(record, name, value)
        return found

    def ended(self) -> list[int]:
        """Numbers of the trials that are over, in the order in which they ended."""
        states: dict[int, str] = {}
        for number, values in _lines(self.records):
            if "state" in values:
                states.pop(number, None)
                states[number] = values["state"]
        return [number for number, state in states.items() if state in OVER]


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return
    known = get_type_hints(TrialRecord)
    for place, line in enumerate(raw[: raw.rfind(b"\n") + 1].splitlines(), 1):
        try:
            values = json.loads(line)
            number, values = int(values.pop("trial")), {name: value for name, value in values.items() if name in known}
            if wrong := next(filter(None, (mistyped(name, value, known[name]) for name, value in values.items())), None):
                raise ValueError(wrong)
            yield number, values
        except (ValueError, KeyError, AttributeError, TypeError):
            raise GanflowError(f"{path}:{place} is damaged: not a trial's record; delete that line and resume") from None
