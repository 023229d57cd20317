"""Records of a sweep's trials, and which of them are better. Imports nothing slow."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_type_hints

from ganflow.errors import GanflowError
from ganflow.files import append_line
from ganflow.runs import folders
from ganflow.runs.folders import RunFolder
from ganflow.runs.record import mistyped

OVER = ("finished", "stopped", "diverged", "failed")
"""States in which a trial is over. "stopped": early, by the scheduler, by hand or with the sweep's budget; "failed": died more
often than it may be retried."""
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
        confirmed: of a trial that is trained again so, the first run that does so; it is not recorded.
        packed: its score before; score, state and the others are then those of the training by itself. It is not recorded.
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
    confirmed: int | None = None
    packed: float | None = None
    scores: dict[str, float | None] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return self.state in OVER


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
        return self.path / "trials.jsonl"

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
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return
    known = get_type_hints(TrialRecord)
    for row, line in enumerate(raw[: raw.rfind(b"\n") + 1].splitlines(), 1):
        try:
            values = json.loads(line)
            number, values = int(values.pop("trial")), {name: value for name, value in values.items() if name in known}
            if wrong := next(filter(None, (mistyped(name, value, known[name]) for name, value in values.items())), None):
                raise ValueError(wrong)
            yield number, values
        except (ValueError, KeyError, AttributeError, TypeError):
            raise GanflowError(f"{path}:{row} is damaged: not a trial's record; delete that line and resume") from None


WRONG = ("diverged", "failed")


def score_of(trial: TrialRecord) -> float | None:
    """Score by which a trial is ranked; None where there is none, or none that can be trusted. With several metrics it is the
    first one's, and there is none unless all of them have one."""
    every = (trial.score, *trial.scores.values())
    sound = trial.state not in WRONG and all(score is not None and math.isfinite(score) for score in every)
    return trial.score if sound else None


def ranking(trials: Iterable[TrialRecord], mode: str, objectives: Objectives | None = None) -> list[TrialRecord]:
    """The best first: trials that were confirmed, and then other finished ones, by their scores; then the others with a score,
    those of more rounds before those of fewer, by which scores are comparable; then those that have none yet, then those that
    ended without one, then what went wrong.

    Args:
        objectives: with several metrics finished trials are ranked by their fronts, and those of one front by the first metric.
    """
    trials = list(trials)
    at = {trial.number: index for index, front in enumerate(fronts(trials, objectives or {})) for trial in front}
    return sorted(trials, key=lambda trial: (at.get(trial.number, len(at)), _rank(trial, mode)))


def _rank(trial: TrialRecord, mode: str) -> tuple[int, int, float, int]:
    score = score_of(trial)
    if score is None:
        return (5 if trial.state in WRONG else 4 if trial.over else 3), 0, 0.0, trial.number
    finished = trial.state == "finished"
    place = 2 if not finished else 1 if trial.packed is None else 0
    return place, (0 if finished else -trial.round), (score if mode == "min" else -score), trial.number


def best_of(trials: Iterable[TrialRecord], mode: str) -> TrialRecord | None:
    """The best trial so far: the one with the best score of those that are finished; None where none is.

    The score of a trial that runs, or that a scheduler stopped, is one after fewer rounds: it is not comparable with those at the
    end, and may get worse. So the best so far never does. Display, tables, run.json, MLflow, plots and best.yaml all ask here;
    with several metrics they ask `fronts`.
    """
    return min(_comparable(trials), key=lambda trial: _rank(trial, mode), default=None)


def _comparable(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The finished trials that have a score."""
    return [trial for trial in trials if trial.state == "finished" and score_of(trial) is not None]


def fronts(trials: Iterable[TrialRecord], objectives: Objectives, most: int | None = None) -> list[list[TrialRecord]]:
    """The finished trials by fronts (Deb et al. 2002): of those in the first, the Pareto front, none is dominated by another
    trial, that is, at least as good in every metric and better in one; of those in the second none is but by trials of the first;
    and so on. In a front they are sorted by the first metric. Trials that were confirmed come before all others.

    Args:
        most: so many fronts are enough.

    Returns:
        No fronts where there are not several metrics.
    """
    found: list[list[TrialRecord]] = []
    names = several(objectives).keys()
    finished = [trial for trial in _comparable(trials) if names and names <= trial.scores.keys()]
    for confirmed in (True, False):
        these: list[list[tuple[TrialRecord, list[float]]]] = []
        known = [(t, _losses(t, objectives)) for t in finished if (t.packed is not None) == confirmed]
        for trial, losses in sorted(known, key=lambda pair: (pair[1], pair[0].number)):  # none is dominated by a later one
            above = next((front for front in these if not any(_dominates(other, losses) for _, other in front)), None)
            if above is None and (most is None or len(found) + len(these) < most):
                these.append(above := [])
            if above is not None:
                above.append((trial, losses))
        found += [[trial for trial, _ in front] for front in these]
    return found


def front_of(trials: Iterable[TrialRecord], objectives: Objectives) -> list[TrialRecord]:
    """The Pareto front so far, see `fronts`."""
    return next(iter(fronts(trials, objectives, most=1)), [])


def _losses(trial: TrialRecord, objectives: Objectives) -> list[float]:
    """The trial's scores, of each of which less is better."""
    scores = {name: trial.scores[name] for name in objectives}
    return [(score if objectives[name] == "min" else -score) for name, score in scores.items() if score is not None]


def _dominates(losses: Sequence[float], others: Sequence[float]) -> bool:
    return losses != others and all(mine <= other for mine, other in zip(losses, others, strict=True))


def spread_out(front: Sequence[TrialRecord], objectives: Objectives, most: int) -> list[TrialRecord]:
    """At most so many trials of a front, in the same sequence: the most crowded ones are left out, one after the other. The best
    in each metric have no neighbour on one side, and stay the longest."""
    left = list(front)
    while len(left) > most:
        distances = crowding(left, objectives)
        left.remove(min(left, key=lambda trial: (distances[trial.number], -trial.number)))
    return left


def crowding(front: Sequence[TrialRecord], objectives: Objectives) -> dict[int, float]:
    """Crowding distance of a front's trials, by number: the sum over the metrics of the distance between the neighbours on both
    sides, as a share of the front's width (Deb et al. 2002)."""
    found = dict.fromkeys((trial.number for trial in front), 0.0)
    for at in range(len(objectives)):
        row = sorted((_losses(trial, objectives)[at], trial.number) for trial in front)
        width = row[-1][0] - row[0][0]
        if not width:
            continue
        for (before, _), (_, number), (after, _) in zip(row, row[1:], row[2:], strict=False):
            found[number] += (after - before) / width
        found[row[0][1]] = found[row[-1][1]] = math.inf
    return found


def leading(trials: Iterable[TrialRecord], mode: str) -> TrialRecord | None:
    """The trial that leads while none is finished: the one with the best score of those that are not over, or, where there is
    none, of those that were stopped; None where a trial is finished, or none has a score.

    After how many rounds it had that score has to be said with it: unlike the best so far it is not comparable, and may change.
    """
    trials = list(trials)
    scored = [trial for trial in trials if (score := latest_of(trial)) is not None and math.isfinite(score)]
    if best_of(trials, mode) is not None:
        return None
    among = [trial for trial in scored if not trial.over] or [trial for trial in scored if trial.state == "stopped"]
    sign = 1 if mode == "min" else -1
    return min(among, key=lambda trial: (sign * (latest_of(trial) or 0.0), trial.number), default=None)


def latest_of(trial: TrialRecord) -> float | None:
    """The last score of a trial, also while it runs; of one with several seeds when all of them have one."""
    return trial.latest if trial.score is None and isinstance(trial, Repeated) else trial.score


def rounds_of(trial: TrialRecord, rounds: int) -> int:
    """Rounds that a trial is to play: they may be searched, too."""
    searched = trial.config.get("train.rounds", rounds)
    return searched if isinstance(searched, int) else rounds
