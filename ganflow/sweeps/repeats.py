"""Repeats of trials: runs that differ in their seed alone, and the trial as searchers, schedulers and tables see it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from statistics import mean, stdev
from typing import Any, NamedTuple

from ganflow.errors import GanflowError
from ganflow.evaluation.evaluate import Spread, spreads
from ganflow.runs.folders import RunFolder
from ganflow.runs.journal import backwards, entries
from ganflow.runs.record import RunRecord
from ganflow.runs.trials import confirmed
from ganflow.sweeps.records import BUDGET, WRONG, Objectives, Repeated, SweepFolder, TrialRecord


class Report(NamedTuple):
    """Report of a run that had a score, which may be no finite number; `time` in seconds since 1970."""

    time: float
    round: int
    score: float


@dataclass(frozen=True)
class Repeats:
    """Seeds of a sweep's trials. Trial c is the runs c·k to c·k + k − 1, where k is the number of seeds.

    Attributes:
        seeds: of each trial's runs; () where a trial is one run, which has the recipe's seed.
        quantile: of the runs' scores by which a trial is judged, instead of their mean.
        objectives: with several metrics these, else nothing. The quantile is of the first one's scores; of those whose other end
            is the better one it is counted from that end, so that it is the good, or the bad, seeds of all of them.
    """

    seeds: tuple[int, ...] = ()
    quantile: float | None = None
    objectives: Objectives = field(default_factory=dict)

    @classmethod
    def of(cls, record: RunRecord) -> Repeats:
        """The repeats of a sweep, by its record."""
        return cls(tuple(record.trial_seeds), record.trial_quantile, record.objectives)

    @property
    def size(self) -> int:
        """Runs of a trial."""
        return max(1, len(self.seeds))

    def trial(self, run: int) -> int:
        """The trial of a run."""
        return run // self.size

    def seed(self, run: int) -> int | None:
        """The seed of a run; None for the recipe's."""
        return self.seeds[run % self.size] if self.seeds else None

    def runs(self, trial: int) -> range:
        """The runs of a trial."""
        return range(trial * self.size, (trial + 1) * self.size)

    def runs_of(self, trial: TrialRecord) -> range:
        """The runs whose scores a trial has: those by themselves where it was confirmed, as `ganflow.runs.folders.runs_of`."""
        return self.runs(trial.number if trial.confirmed is None else self.trial(trial.confirmed))

    def score(self, scores: Sequence[float], metric: str = "") -> float:
        """Score of a trial whose runs have these.

        Args:
            metric: that they are of, where there are several.
        """
        if self.quantile is None:
            return mean(scores)
        import numpy as np  # which commands that list sweeps do without

        same = not metric or self.objectives[metric] == next(iter(self.objectives.values()))
        return float(np.quantile(scores, self.quantile if same else 1 - self.quantile))

    def trials(self, runs: Iterable[TrialRecord]) -> list[TrialRecord]:
        """The trials of these runs, by number. A packed one that was trained again by itself is as that ended."""
        return self.confirmed(self._pooled(runs))

    def confirmed(self, pooled: Sequence[TrialRecord]) -> list[TrialRecord]:
        """The trials, those that were trained again by themselves with the scores of that; none is such a training."""
        again = {trial.confirms: trial for trial in pooled if trial.confirms is not None}
        runs = [run for t in again.values() for run in (t.runs if isinstance(t, Repeated) else [t])]
        over = confirmed(((run.number, run.confirms, run.over) for run in runs if run.confirms is not None), self.size)
        return [self._confirmed(t, again.get(t.number), over.get(t.number)) for t in pooled if t.confirms is None]

    def searched(self, runs: Iterable[TrialRecord]) -> list[TrialRecord]:
        """The trials as the searcher knows them: with scores that are all of the search, so that they can be compared."""
        return self._pooled(run for run in runs if run.confirms is None)

    def _confirmed(self, trial: TrialRecord, again: TrialRecord | None, runs: range | None) -> TrialRecord:
        """A trial with the score and the state of its training by itself; until that is over, with those that it had."""
        if again is None:
            return trial
        if runs is None:
            return replace(trial, again=again)
        same = replace(again, number=trial.number, request=trial.request)
        return replace(same, confirms=None, confirmed=runs[0], packed=trial.score)

    def _pooled(self, runs: Iterable[TrialRecord]) -> list[TrialRecord]:
        if not self.seeds:
            return list(runs)
        found: dict[int, list[TrialRecord]] = {}
        for run in sorted(runs, key=lambda run: run.number):
            found.setdefault(self.trial(run.number), []).append(run)
        return [self.repeated(number, runs) for number, runs in found.items()]

    def repeated(self, number: int, runs: list[TrialRecord]) -> Repeated:
        """A trial with several seeds, of its runs."""
        scores = [score for run in runs if (score := _score(run)) is not None]
        by_metric = {name: [score for run in runs if (score := _score(run, name)) is not None] for name in self.objectives}
        first, state = _spread(scores), self._state(runs)
        errors = [f"seed {self.seed(run.number)}: {run.error}" for run in runs if run.error]
        sound = len(runs) == self.size and all(run.over for run in runs) and state not in WRONG
        return Repeated(
            number=number,
            config=runs[0].config,
            state=state,
            score=self.score(scores) if sound and scores else None,
            scores={name: self.score(known, name) if sound and known else None for name, known in by_metric.items()},
            round=min(run.round for run in runs),
            error="; ".join(errors),
            cause=next((run.cause for run in runs if run.cause), ""),
            place=next((run.place for run in runs if run.state == "running"), runs[0].place),
            confirms=runs[0].confirms,
            request=runs[0].request,
            in_pack=None if all(run.in_pack is None for run in runs) else any(run.in_pack for run in runs),
            runs=runs,
            mean=first[0],
            sd=first[1],
            n=first[2],
            spreads={name: _spread(known) for name, known in by_metric.items()},
            latest=self.score(scores) if len(scores) == self.size else None,
        )

    def _state(self, runs: Sequence[TrialRecord]) -> str:
        """State of a trial. One whose run diverged has diverged, and one whose run failed has failed, for a mean over the others
        would be that of lucky seeds; but a run that the machine ended says nothing about the trial."""
        states = {run.state for run in runs if not (run.state == "failed" and run.cause)} or {"failed"}
        if len(runs) < self.size or not all(run.over for run in runs):
            left = any(run.cause == BUDGET for run in runs)  # the whole sweep ended
            return "running" if "running" in states or (states - {"waiting"} and not left) else "waiting"
        return next(state for state in ("diverged", "failed", "stopped", "finished") if state in states)


def _score(run: TrialRecord, metric: str = "") -> float | None:
    """A run's score that can be trusted, of a metric where there are several; None where there is none."""
    score = run.scores.get(metric) if metric else run.score
    return score if run.state not in WRONG and score is not None and math.isfinite(score) else None


def _spread(scores: Sequence[float]) -> tuple[float | None, float | None, int]:
    """Mean, standard deviation and number."""
    return (mean(scores) if scores else None, stdev(scores) if len(scores) > 1 else None, len(scores))


def scores_of(run: RunFolder) -> dict[str, float]:
    """The scores of a run's last evaluation, with errors and floors."""
    names = run.read().protocols.keys() if run.is_run() else ()
    return next((entry.values for entry in backwards(run.journal) if names & entry.values.keys()), {}) if names else {}


def every_score(folder: SweepFolder, trials: Iterable[TrialRecord]) -> dict[int, dict[str, Spread]]:
    """Trial → name → mean, standard deviation and number of a score over the trial's runs; a damaged journal has none."""
    repeats, found = Repeats.of(folder.read()), dict[int, dict[str, Spread]]()
    for trial in trials:
        known = list[Mapping[str, float]]()
        for run in repeats.runs_of(trial):
            with suppress(GanflowError):
                known.append(scores_of(folder.trial(run)))
        found[trial.number] = {spread.name: spread for spread in spreads(known)}
    return found


def latest(folder: SweepFolder, trial: TrialRecord, metric: str, objectives: Objectives) -> dict[str, Any]:
    """Round and scores of a run that is not over, where its journal knows more of them than its record: values for the record.
    The journal is read from its end, as far back as the last score of each metric.

    Raises:
        GanflowError: the journal is damaged there.
    """
    since, names, known = folder.since(trial), {*filter(None, (metric, *objectives))}, dict[str, float]()
    found: dict[str, Any] = {}
    for entry in backwards(folder.trial(trial.number).journal):
        if entry.round <= since or names <= known.keys():
            break
        scores = {name: of for name, of in entry.values.items() if name in names and math.isfinite(of)}
        if scores:
            found.setdefault("round", max(trial.round, entry.round))
        known = scores | known
    found |= {"score": known[metric]} if metric in known else {}
    scores = {name: known[name] for name in objectives if name in known}
    return found | ({"scores": {**trial.scores, **scores}} if scores else {})


def current(folder: SweepFolder, running: bool) -> list[TrialRecord]:
    """The trials; those that are not over with what their journals say since their last record.

    Args:
        running: a driver runs the sweep.
    """
    record, runs = folder.read(), list(folder.trials().values())
    for one in (run for run in runs if not run.over):
        with suppress(GanflowError):  # a damaged journal tells nothing
            known = latest(folder, one, record.metric, record.objectives)
            last = islice(backwards(folder.trial(one.number).journal), 1)
            known["round"] = max([one.round, *(entry.round for entry in last)])
            for name, value in known.items():
                setattr(one, name, value)
    return at_rest(Repeats.of(record).trials(runs)) if not running else Repeats.of(record).trials(runs)


def at_rest(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The trials of a sweep that no driver runs: none runs, whatever the records of one that was killed say."""
    def rest(trial: TrialRecord) -> TrialRecord:
        again = rest(trial.again) if trial.again is not None else None
        return replace(trial, state="waiting" if trial.state == "running" else trial.state, again=again)

    return [rest(trial) for trial in trials]


def scored(run: RunFolder, metric: str, since: float = -1) -> list[Report]:
    """The reports of a run that had a score by a metric, in the order of its journal.

    Args:
        since: only those of later rounds: a copy's scores of before are other values'.
    """
    found = ((e, e.values[metric]) for e in entries(run.journal) if e.round > since and metric in e.values)
    return [Report(entry.time, entry.round, score) for entry, score in found]
