"""Trials as the driver knows them: their specs, their state, and why one ended."""

from __future__ import annotations

import json
import math
import os
import re
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune.experiment import Trial as RayTrial

from ganflow.engine.rendezvous import Lost
from ganflow.engine.trainer import Diverged
from ganflow.errors import GanflowError
from ganflow.machine import broken, of_memory
from ganflow.recipe import Recipe, read_recipe
from ganflow.recipe.recipe import anchored
from ganflow.runs.folders import RunFolder
from ganflow.runs.journal import entries
from ganflow.runs.loop import Step
from ganflow.tune.records import SweepFolder, TrialRecord


@dataclass(frozen=True)
class Order:
    """What the driver tells a worker about a trial; plain data, so that it travels as Ray's config.

    Attributes:
        number: the trial's.
        recipe: the sweep's recipe, a file that every worker sees.
        changes: overrides that make the trial's recipe of it.
        folder: of the trial's run.
        about: what its run.json says besides.
        metric, mode: what the trial is judged by.
        stop: values at which the trial ends.
        copy, copy_at: pbt: a run's folder whose checkpoint to go on from, and at which round.
        data: the folder, or file, of its data, where there is one.
        workers: processes that train it together, each in a bundle of the trial's placement group.
        copies: pbt: how many times the trial became a copy, this one included. A trial that died after it had copied
            does not copy again.
        pack: trials that are played together, where the sweep's recipe names no executor.
        home: the folder where the sweep was begun, or went on: what a recipe's relative paths are relative to.
    """

    number: int
    recipe: str
    changes: list[str]
    folder: str
    about: dict[str, Any]
    metric: str
    mode: str
    stop: dict[str, float]
    copy: str | None = None
    copy_at: int = 0
    copies: int = 0
    workers: int = 1
    data: str = ""
    home: str = ""
    pack: int = 1

    @property
    def sweeps_recipe(self) -> Recipe:
        """The sweep's own recipe, with its section `tune`, which those of trials do not have."""
        return _sweeps_recipe(self.recipe, self.home)

    @cached_property
    def overrides(self) -> list[str]:
        """The changes, and those by which the recipe's relative paths mean the same in the worker's working folder."""
        if not self.home:
            return self.changes
        return [*self.changes, *anchored(read_recipe(self.recipe, self.changes), Path(self.home))]


@lru_cache(maxsize=1)
def _sweeps_recipe(file: str, home: str) -> Recipe:
    """Read once in each process: the trials that it plays are mostly of one sweep."""
    return read_recipe(file, anchored(read_recipe(file), Path(home)) if home else ())


@dataclass
class Standing:
    """How a trial stands.

    Attributes:
        score: the last value of the metric; None where it is none, or not a number.
        round: rounds played.
    """

    order: Order
    score: float | None = None
    round: int = 0
    started: float = field(default_factory=time.monotonic)

    def saw(self, step: Step) -> bool:
        """Take in what was reported; whether there is a score."""
        self.round = step.round
        score = step.values.get(self.order.metric)
        if score is not None:
            self.score = score if math.isfinite(score) else None
        return score is not None

    def reached(self, step: Step) -> bool:
        """Whether a value of `stop` is reached: the sweep's metric from its worse side, any other from below."""
        known = {**step.values, "round": float(self.round), "seconds": time.monotonic() - self.started}
        sign = {name: -1 if name == self.order.metric and self.order.mode == "min" else 1 for name in self.order.stop}
        return any(name in known and sign[name] * known[name] >= sign[name] * at for name, at in self.order.stop.items())

    def told(self, state: str, scored: bool = True) -> dict[str, Any]:
        """For Ray: `trial`, `round`, `state`, `place`, `error`, and `score` where there is (a new) one."""
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
        place = os.uname().nodename + (f", GPU {gpus}" if gpus else "")
        told = {"trial": self.order.number, "round": self.round, "state": state, "place": place, "error": ""}
        return {**told, "score": self.score} if scored else told

    def finished(self) -> dict[str, Any]:
        """The same for one that has played to its end, which may have been in another process: its folder knows."""
        run = RunFolder(Path(self.order.folder))
        values = [entry.values[self.order.metric] for entry in entries(run.journal) if self.order.metric in entry.values]
        self.round = run.read().round
        self.score = values[-1] if values and math.isfinite(values[-1]) else None
        return self.told("finished")

    def failed(self, error: GanflowError) -> dict[str, Any]:
        """The same for a trial that went wrong."""
        diverged = isinstance(error, Diverged) or isinstance(error.__cause__, Diverged)
        return {**self.told("diverged" if diverged else "failed", scored=False), "error": str(error)}


@dataclass
class Book:
    """The only writer of the sweep's records.

    Attributes:
        template: the order of every trial, but for its number, changes and folder.
        common: changes of the recipe that all trials share.
        numbers: Ray's id of a trial → its number, or those of the trials that are packed in it.
    """

    folder: SweepFolder
    template: dict[str, Any]
    common: list[str]
    trials: dict[int, TrialRecord] = field(default_factory=dict)
    numbers: dict[str, list[int]] = field(default_factory=dict)

    def record(self, number: int, **values: Any) -> TrialRecord:
        """Write down what is new about a trial."""
        known = self.trials.setdefault(number, TrialRecord(number, {}))
        new = {name: value for name, value in values.items() if getattr(known, name) != value}
        if new:
            self.folder.record(number, **new)
        for name, value in new.items():
            setattr(known, name, value)
        return known

    def saw(self, number: int, **values: Any) -> TrialRecord:
        """Remember what a report says, unwritten: the run's own journal has it."""
        known = self.trials[number]
        for name, value in values.items():
            setattr(known, name, value)
        return known

    def order(self, number: int, changes: list[str]) -> Order:
        """What a worker is told about a trial."""
        template = {**self.template, "about": {**self.template["about"], "trial": number}}
        copied = self.trials[number].copied
        copy: dict[str, Any] = {}
        if copied:
            source, at = copied[-1]
            copy = {"copy": str(self.folder.trial(source).path), "copy_at": at, "copies": len(copied)}
        place = str(self.folder.trial(number).path)
        return Order(
            number=number, changes=[*self.common, *changes], folder=place, **copy, **template
        )

    @staticmethod
    def as_config(orders: list[Order]) -> dict[str, Any]:
        """Orders as Ray's config: one text, because Ray takes keys with a "/" apart."""
        return {"orders": json.dumps([asdict(order) for order in orders])}


DIED = "its process died"
_MEMORY = "its process was ended: the node ran out of memory"
_WORDS = {
    r"low on memory|ray\.exceptions\.OutOfMemoryError": _MEMORY,
    r"node (has )?died|node was (terminated|removed|dead)|node is dead|NODE_DIED": "its node was lost",
    r"[Pp]lacement group .*(removed|not found)": "its place in the cluster was lost",
    r"ActorUnavailable|actor .*is (temporarily )?unavailable": "its process, or its node, was lost",
    r"connection error code 2": f"{DIED} at once; was it killed, for want of memory?",
    r"ActorDied|actor (has )?died|actor is dead|RayActorError": DIED,
}
"""What Ray says where no part of the trial said anything."""


@dataclass(frozen=True)
class Reason:
    """Why a trial ended.

    Attributes:
        machine: it is no fault of the trial's: another attempt may end well.
        broken: a disk or a mount failed: all trials would end so.
    """

    words: str
    machine: bool = False
    broken: bool = False


def tell_all() -> None:
    """Let Ray Tune see the end of a process in whatever Ray raises of it. Ray's own watch over a node's memory raises what Tune
    does not know (as of Ray 2.60), and the whole sweep would end with it."""
    manager: Any = RayActorManager
    manager._actor_task_failed = _task_failed


_known = RayActorManager._actor_task_failed


def _task_failed(manager: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
    if isinstance(exception, RayError) and not isinstance(exception, (RayActorError, RayTaskError)):
        exception = RayActorError(error_msg=str(exception))
    _known(manager, tracked_actor_task, exception)


def why(trial: RayTrial) -> Reason:
    """Why a trial of Ray's failed the last time."""
    text = ""
    with suppress(OSError, TypeError):  # no file
        text = Path(trial.error_file).read_text()
    return reason(re.split(r"^Failure # \d+ .*$", text, flags=re.MULTILINE)[-1])


def reason(text: str) -> Reason:
    """What Ray's text means; the last line of a traceback where it is one."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    said = re.sub(r"^[\w.]+: ", "", lines[-1])[:300] if lines else DIED
    if re.search(r"^Traceback |^ +File ", text, flags=re.MULTILINE):
        fault = broken(RuntimeError(lines[-1]))
        if fault:
            return Reason(str(fault), machine=True, broken=True)
        if of_memory(lines[-1]):
            return Reason(f"the machine had too little memory: {said}", machine=True)
        if lines[-1].startswith(f"{Lost.__module__}.{Lost.__name__}: "):
            return Reason(said, machine=True)
    for pattern, words in _WORDS.items():
        if re.search(pattern, text):
            return Reason(words, machine=True)
    return Reason(said, machine=not lines)
