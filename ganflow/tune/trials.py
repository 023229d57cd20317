"""Trials as the driver knows them: their specs, their state, and why one ended."""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
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
from ganflow.sweeps.ranking import front_of, ranking, score_of, spread_out
from ganflow.sweeps.records import Mode, Repeated, SweepFolder, TrialRecord
from ganflow.sweeps.repeats import Repeats, scored


@dataclass(frozen=True)
class TrialSpec:
    """Specification of a trial for a worker: plain data, so that it travels as Ray's config.

    Attributes:
        number: the trial's.
        recipe: the sweep's recipe, a file that every worker sees.
        changes: overrides that make the trial's recipe of it.
        folder: of the trial's run.
        about: further values of its run.json.
        metric, mode: what the trial is judged by; of several metrics the first.
        objectives: with several metrics each with its mode, else nothing.
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
    objectives: dict[str, Mode] = field(default_factory=dict)

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
        scores: with several metrics, of each.
        round: rounds played.
    """

    spec: TrialSpec
    score: float | None = None
    scores: dict[str, float | None] = field(init=False)
    round: int = 0
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.scores = dict.fromkeys(self.spec.objectives)

    def update(self, step: Result) -> bool:
        """Note what a step reported; returns whether there is a score."""
        self.round = step.round
        return self._note(step.values)

    def _note(self, values: Mapping[str, float]) -> bool:
        """Note the scores that are among some values; returns whether there is one."""
        if self.spec.metric in values:
            self.score = _finite(values[self.spec.metric])
        found = {name: _finite(values[name]) for name in self.spec.objectives if name in values}
        self.scores |= found
        return self.spec.metric in values or bool(found)

    def should_stop(self, step: Result) -> bool:
        """Return true if a value of `stop` is met: the sweep's metrics from their worse side, any other from below."""
        known = {**step.values, "round": float(self.round), "seconds": time.monotonic() - self.started}
        modes = {self.spec.metric: self.spec.mode, **self.spec.objectives}
        sign = {name: -1 if modes.get(name) == "min" else 1 for name in self.spec.stop}
        return any(name in known and sign[name] * known[name] >= sign[name] * at for name, at in self.spec.stop.items())

    def result(self, state: str, scored: bool = True) -> dict[str, Any]:
        """Result for Ray, with a `score` where there is (a new) one."""
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
        host = os.uname().nodename + (f", GPU {gpus}" if gpus else "")
        spec = self.spec
        result = {"trial": spec.number, "copies": spec.copies, "round": self.round, "state": state, "place": host, "error": ""}
        scores = {"scores": dict(self.scores)} if self.scores else {}
        return {**result, "score": self.score, **scores} if scored else result

    def go_on(self, copied_at: int | None, until: float = math.inf) -> dict[int, float | None]:
        """Note the last scores of the run's journal, and their round: another process played until then. Returns the scores by
        round, with several metrics those of the first.

        Args:
            copied_at: scores up to there are other values'.
            until: the round from which the run goes on.
        """
        since = -1 if copied_at is None else copied_at
        names = (self.spec.metric, *self.spec.objectives)
        reports = {name: [each for each in scored(self.spec.run, name, since) if each.round <= until] for name in names}
        known = {name: _finite(every[-1].score) if every else None for name, every in reports.items()}
        self.score, self.scores = known[self.spec.metric], {name: known[name] for name in self.spec.objectives}
        self.round = max([self.round, *(every[-1].round for every in reports.values() if every)])
        return {report.round: _finite(report.score) for report in reports[self.spec.metric]}

    def finished(self) -> dict[str, Any]:
        """Result of a trial that has played to its end, or to an alarm, which may have been in another process: its folder
        knows."""
        record = self.spec.run.read()
        self.round = record.round
        self.go_on(record.copied_at)
        if record.status == "stopped":
            return {**self.result("stopped"), "error": record.error}
        return self.result("finished")

    def failed(self, error: GanflowError) -> dict[str, Any]:
        """Result of a trial that went wrong."""
        diverged = isinstance(error, Diverged) or isinstance(error.__cause__, Diverged)
        return {**self.result("diverged" if diverged else "failed", scored=False), "error": error.in_shell}


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

    def __post_init__(self) -> None:
        self._changed = set(map(self.repeats.trial, self.trials))
        self._repeated: dict[int, Repeated] = {}  # of trials with several seeds, as they were before what changed

    def pooled(self) -> list[TrialRecord]:
        """The trials, each with its runs as one. Asked for at every report, it works out anew only what changed."""
        return self.repeats.confirmed(self._every())

    def searched(self) -> list[TrialRecord]:
        """The trials as the searcher knows them."""
        return [trial for trial in self._every() if trial.confirms is None]

    def _every(self) -> list[TrialRecord]:
        if not self.repeats.seeds:
            return list(self.trials.values())
        for trial in self._changed:
            runs = [self.trials[run] for run in self.repeats.runs(trial) if run in self.trials]
            self._repeated[trial] = self.repeats.repeated(trial, runs)
        self._changed.clear()
        return [trial for _, trial in sorted(self._repeated.items())]

    def failures(self, runs: Iterable[TrialRecord]) -> int:
        """Number of trials of which one of these runs, or several, failed."""
        return len({self.repeats.trial(run.number) for run in runs if run.state == "failed"})

    def unconfirmed(self, most: int, mode: str) -> list[TrialRecord]:
        """Of so many of the best trials, or of the Pareto front, those that were packed, and have not been trained by
        themselves."""
        known, objectives = {trial.confirms for trial in self.trials.values()}, self.repeats.objectives
        if objectives:
            best = spread_out(front_of(self.searched(), objectives), objectives, most)
        else:
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
        names = ("round", "place") if former else ("round", "score", "scores", "place")
        self.update(number, **{name: result[name] for name in names if name in result})

    def update(self, number: int, **values: Any) -> TrialRecord:
        """Note what a result says, unwritten: the run's journal has it."""
        known = self.trials[number]
        for name, value in values.items():
            setattr(known, name, value)
        self._changed.add(self.repeats.trial(number))
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
