"""Trials as the driver knows them: their specs, their state, their durations, and why one ended."""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial as RayTrial

from ganflow.engine.rendezvous import Lost
from ganflow.engine.trainer import Diverged
from ganflow.errors import GanflowError
from ganflow.machine import broken, of_memory
from ganflow.recipe import Recipe, read_recipe
from ganflow.recipe.recipe import anchored
from ganflow.runs.folders import RunFolder
from ganflow.runs.loop import Result
from ganflow.tune.records import SweepFolder, TrialRecord, ranking, rounds_of, score_of
from ganflow.tune.repeats import Repeats, scored


@dataclass(frozen=True)
class TrialSpec:
    """Specification of a trial for a worker: plain data, so that it travels as Ray's config.

    Attributes:
        number: the trial's.
        recipe: the sweep's recipe, a file that every worker sees.
        changes: overrides that make the trial's recipe of it.
        folder: of the trial's run.
        about: further values of its run.json.
        metric, mode: what the trial is judged by.
        stop: values at which the trial ends.
        copy, copy_at: pbt: the trial whose checkpoint to go on from, and at which round; None for its own.
        copies: pbt: how many times the trial became a copy, this one included. A trial that died after it had copied
            does not copy again.
        config: pbt: the trial's values, which become others where it becomes a copy.
        workers: processes that train it together, each in a bundle of the trial's placement group.
        data: the folder, or file, of its data, where there is one.
        home: the folder where the sweep was begun, or went on: what a recipe's relative paths are relative to.
        pack: trials that are played together, where the sweep's recipe names no executor.
        quantile: with several specs in turns: of their scores by which a scheduler judges them, instead of the mean.
        turns: they are a trial's runs with several seeds, and take turns at every score.
    """

    number: int
    recipe: str
    changes: list[str]
    folder: str
    about: dict[str, Any]
    metric: str
    mode: str
    stop: dict[str, float]
    copy: int | None = None
    copy_at: int = 0
    copies: int = 0
    config: dict[str, Any] | None = None
    workers: int = 1
    data: str = ""
    home: str = ""
    pack: int = 1
    turns: bool = False
    quantile: float | None = None

    @property
    def run(self) -> RunFolder:
        return RunFolder(Path(self.folder))

    @property
    def sweep_recipe(self) -> Recipe:
        """The sweep's recipe, with its section `tune`, which those of trials do not have."""
        return _sweep_recipe(self.recipe, self.home)

    @cached_property
    def trial_recipe(self) -> Recipe:
        """The trial's recipe: the sweep's with the changes."""
        recipe = read_recipe(self.recipe, self.changes)
        return read_recipe(self.recipe, overrides) if (overrides := self._overrides(recipe)) != self.changes else recipe

    @cached_property
    def overrides(self) -> list[str]:
        """The changes, and those by which the recipe's relative paths mean the same in the worker's working folder."""
        return self._overrides(read_recipe(self.recipe, self.changes))

    def _overrides(self, recipe: Recipe) -> list[str]:
        return [*self.changes, *anchored(recipe, Path(self.home))] if self.home else self.changes


@lru_cache(maxsize=1)  # the trials that a process plays are mostly of one sweep
def _sweep_recipe(file: str, home: str) -> Recipe:
    return read_recipe(file, anchored(read_recipe(file), Path(home)) if home else ())


@dataclass
class TrialState:
    """Progress of a trial, and its results for Ray.

    Attributes:
        score: the last value of the metric; None where it is none, or not a number.
        round: rounds played.
    """

    spec: TrialSpec
    score: float | None = None
    round: int = 0
    started: float = field(default_factory=time.monotonic)

    def update(self, step: Result) -> bool:
        """Note what a step reported; returns whether there is a score."""
        self.round = step.round
        score = step.values.get(self.spec.metric)
        if score is not None:
            self.score = _finite(score)
        return score is not None

    def should_stop(self, step: Result) -> bool:
        """Return true if a value of `stop` is met: the sweep's metric from its worse side, any other from below."""
        known = {**step.values, "round": float(self.round), "seconds": time.monotonic() - self.started}
        sign = {name: -1 if name == self.spec.metric and self.spec.mode == "min" else 1 for name in self.spec.stop}
        return any(name in known and sign[name] * known[name] >= sign[name] * at for name, at in self.spec.stop.items())

    def result(self, state: str, scored: bool = True) -> dict[str, Any]:
        """Result for Ray, with a `score` where there is (a new) one."""
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
        host = os.uname().nodename + (f", GPU {gpus}" if gpus else "")
        spec = self.spec
        result = {"trial": spec.number, "copies": spec.copies, "round": self.round, "state": state, "place": host, "error": ""}
        return {**result, "score": self.score} if scored else result

    def recall(self) -> dict[int, float | None]:
        """Note the last score of the run's journal; returns all of them by round."""
        scores = {report.round: _finite(report.score) for report in scored(self.spec.run, self.spec.metric)}
        if scores:
            self.round, self.score = max(scores), scores[max(scores)]
        return scores

    def finished(self) -> dict[str, Any]:
        """Result of a trial that has played to its end, or to an alarm, which may have been in another process: its folder
        knows."""
        record = self.spec.run.read()
        reports = scored(self.spec.run, self.spec.metric, -1 if record.copied_at is None else record.copied_at)
        self.round = record.round
        self.score = _finite(reports[-1].score) if reports else None
        if record.status == "stopped":
            return {**self.result("stopped"), "error": record.error}
        return self.result("finished")

    def failed(self, error: GanflowError) -> dict[str, Any]:
        """Result of a trial that went wrong."""
        diverged = isinstance(error, Diverged) or isinstance(error.__cause__, Diverged)
        return {**self.result("diverged" if diverged else "failed", scored=False), "error": str(error)}


def _finite(score: float) -> float | None:
    return score if math.isfinite(score) else None


@dataclass
class TrialTable:
    """The runs of a sweep's trials; the only writer of its records.

    Attributes:
        template: the spec of every run, but for its number, changes and folder.
        common: changes of the recipe that all share.
        numbers: Ray's id of a trial → the number of its run, or of those that it plays together.
        repeats: how many runs a trial has, and their seeds.
        added: runs of trials that were added by hand and are to be begun next.
        varies: the trials' values may become others while they last (pbt).
    """

    folder: SweepFolder
    template: dict[str, Any]
    common: list[str]
    trials: dict[int, TrialRecord] = field(default_factory=dict)
    numbers: dict[str, list[int]] = field(default_factory=dict)
    repeats: Repeats = field(default_factory=Repeats)
    added: list[int] = field(default_factory=list)
    varies: bool = False

    def pooled(self) -> list[TrialRecord]:
        """The trials, each with its runs as one."""
        return self.repeats.trials(self.trials.values())

    def searched(self) -> list[TrialRecord]:
        """The trials as the searcher knows them."""
        return self.repeats.searched(self.trials.values())

    def unconfirmed(self, most: int, mode: str) -> list[TrialRecord]:
        """Of so many of the best trials those that were packed, and have not been trained by themselves."""
        known = {trial.confirms for trial in self.trials.values()}
        best = [trial for trial in ranking(self.searched(), mode)[:most] if score_of(trial) is not None]
        return [trial for trial in best if trial.number not in known and self._packed(trial.number)]

    def _packed(self, trial: int) -> bool:
        runs = map(self.folder.trial, self.repeats.runs(trial))
        return any(run.is_run() and run.read().packed for run in runs)

    def confirm(self, trials: Iterable[TrialRecord]) -> list[int]:
        """Record runs that train packed trials again, each by itself; returns their numbers, which follow the others."""
        made: list[int] = []
        for again, trial in enumerate(trials, max(map(self.repeats.trial, self.trials), default=-1) + 1):
            for number in self.repeats.runs(again):
                self.record(number, config=trial.config, confirms=trial.number)
                made.append(number)
        return made

    def record(self, number: int, **values: Any) -> TrialRecord:
        """Write down what is new about a trial."""
        known = self.trials.setdefault(number, TrialRecord(number, {}))
        new = {name: value for name, value in values.items() if getattr(known, name) != value}
        if new:
            self.folder.record(number, **new)
        return self.update(number, **new)

    def report(self, result: Mapping[str, Any]) -> None:
        """Note what a result of a trial says. A score of before it became a copy is none of the values that it has now."""
        number = result["trial"]
        former = result.get("copies", 0) < len(self.trials[number].copied)
        names = ("round", "place") if former else ("round", "score", "place")
        self.update(number, **{name: result[name] for name in names if name in result})

    def update(self, number: int, **values: Any) -> TrialRecord:
        """Note what a result says, unwritten: the run's journal has it."""
        known = self.trials[number]
        for name, value in values.items():
            setattr(known, name, value)
        return known

    def specs(self, numbers: list[int], changes: Callable[[dict[str, Any]], list[str]]) -> dict[str, Any]:
        """Specs of trials as Ray's config: one text, because Ray splits keys at a "/".

        Args:
            changes: config of a trial → the overrides that make its recipe.
        """
        made = []
        for number in numbers:
            trial, copy = self.trials[number], dict[str, Any]()
            if trial.copied:
                source, at = trial.copied[-1]
                copy = {"copy": source, "copy_at": at, "copies": len(trial.copied)}
            if self.varies:
                copy["config"] = trial.config
            about, alone = {**self.template["about"], "trial": self.repeats.trial(number)}, dict[str, Any]()
            about["config"] = trial.config
            if trial.confirms is not None:
                about, alone = {**about, "confirms": trial.confirms}, {"pack": 1}
            folder = str(self.folder.trial(number).path)
            seed = self.repeats.seed(number)
            every = [*self.common, *([] if seed is None else [f"train.seed={seed}"]), *changes(trial.config)]
            values = {**self.template, **copy, **alone, "about": about, "changes": every}
            made.append(TrialSpec(number=number, folder=folder, **values))
        return as_config(made)


class Durations:
    """Seconds of trials, and an estimate of how many are left of a sweep.

    A trial that is over took what it took: less where it was stopped, or diverged. One that runs is expected to take what those
    took, on average, that are over and ran for longer than it has by now; where none did, what its own rounds say. One that waits
    is expected to take the average of all these. So early ends count as often as they happen, and a trial that is spared is not
    expected to end early. (With trials that run as censored observations, that is the mean of Kaplan and Meier's estimate.)

    Args:
        rounds: of a trial; 0 where that is not known.
    """

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._since: dict[int, float] = {}  # running trial → when it began
        self._spent: dict[int, float] = {}  # trial → seconds for which it ran before
        self._first: dict[int, int] = {}  # trial → its rounds when it began here: a sweep that goes on has some in the middle
        self._began: float | None = None

    def update(self, trials: Iterable[TrialRecord], now: float) -> None:
        for trial in trials:
            if trial.state == "running":
                self._since.setdefault(trial.number, now)
                self._first.setdefault(trial.number, trial.round)
                self._began = now if self._began is None else self._began
            elif trial.number in self._since:
                self._spent[trial.number] = self._ran(trial.number, now)
                del self._since[trial.number]

    def left(self, trials: Sequence[TrialRecord], total: int, now: float) -> float | None:
        """Seconds until the last of so many trials is over, if as many run at a time as did on average; None where nothing is
        known yet of any trial's."""
        began = [trial for trial in trials if trial.number in self._first]
        ran = sum(self._ran(trial.number, now) for trial in began)
        took = [self._whole(trial, now) for trial in began if trial.over]
        alive = {trial.number: self._whole(trial, now) for trial in began if not trial.over}
        expected = {trial.number: self._expected(trial, now, took) for trial in began if not trial.over}
        known = [*took, *(seconds for seconds in expected.values() if seconds is not None)]
        if not known or not ran or self._began is None:
            return None
        mean = sum(known) / len(known)
        left = [max(0.0, (mean if (whole := expected[n]) is None else whole) - by_now) for n, by_now in alive.items()]
        waiting = [1 - self._share(trial) for trial in trials if not trial.over and trial.number not in alive]
        work = sum(left) + mean * (sum(waiting) + max(0, total - len(trials)))
        at_a_time = ran / (now - self._began)
        return max(work / at_a_time, *left, 0.0)

    def _ran(self, number: int, now: float) -> float:
        """Seconds for which a trial ran here."""
        return self._spent.get(number, 0.0) + (now - self._since[number] if number in self._since else 0.0)

    def _whole(self, trial: TrialRecord, now: float) -> float:
        """Seconds of a trial up to now, those before it went on here included, at the same pace."""
        fresh = trial.round - self._first[trial.number]
        return self._ran(trial.number, now) * (trial.round / fresh if fresh > 0 else 1.0)

    def _share(self, trial: TrialRecord) -> float:
        rounds = rounds_of(trial, self._rounds)
        return min(1.0, trial.round / rounds) if rounds else 0.0

    def _expected(self, trial: TrialRecord, now: float, took: Sequence[float]) -> float | None:
        """Seconds that a trial will have taken; None where nothing says so."""
        by_now, share = self._whole(trial, now), self._share(trial)
        longer = [seconds for seconds in took if seconds > by_now]
        if longer:
            return sum(longer) / len(longer)
        return by_now / share if share else None


def as_config(specs: list[TrialSpec]) -> dict[str, Any]:
    return {"specs": json.dumps([asdict(spec) for spec in specs])}


DIED = "its process died"
_MEMORY = "its process was ended: the node ran out of memory"
_REASONS = {
    r"low on memory|ray\.exceptions\.OutOfMemoryError": _MEMORY,
    r"node (has )?died|node was (terminated|removed|dead)|node is dead|NODE_DIED": "its node was lost",
    r"[Pp]lacement group .*(removed|not found)": "its place in the cluster was lost",
    r"ActorUnavailable|actor .*is (temporarily )?unavailable": "its process, or its node, was lost",
    r"connection error code 2": f"{DIED} at once; was it killed, for want of memory?",
    r"ActorDied|actor (has )?died|actor is dead|RayActorError": DIED,
}
"""Text of Ray's, where no part of the trial said anything → reason."""


@dataclass(frozen=True)
class Reason:
    """Reason why a trial ended.

    Attributes:
        machine: it is no fault of the trial's: another attempt may end well.
        broken: a disk or a mount failed: all trials would end so.
    """

    words: str
    machine: bool = False
    broken: bool = False


def why(trial: RayTrial) -> Reason:
    """Reason why a trial of Ray's failed the last time."""
    text = ""
    with suppress(OSError, TypeError):  # no file
        text = Path(trial.error_file).read_text()
    return reason(re.split(r"^Failure # \d+ .*$", text, flags=re.MULTILINE)[-1])


def reason(text: str) -> Reason:
    """Meaning of Ray's text; the last line of a traceback where it is one."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    last = re.sub(r"^[\w.]+: ", "", lines[-1])[:300] if lines else DIED
    if re.search(r"^Traceback |^ +File ", text, flags=re.MULTILINE):
        fault = broken(RuntimeError(lines[-1]))
        if fault:
            return Reason(str(fault), machine=True, broken=True)
        if of_memory(lines[-1]):
            return Reason(f"the machine had too little memory: {last}", machine=True)
        if lines[-1].startswith(f"{Lost.__module__}.{Lost.__name__}: "):
            return Reason(last, machine=True)
    for pattern, words in _REASONS.items():
        if re.search(pattern, text):
            return Reason(words, machine=True)
    return Reason(last, machine=not lines)
