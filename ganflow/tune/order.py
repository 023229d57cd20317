"""What the driver tells a worker about a trial, and what the worker tells of it."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from ganflow.errors import GanflowError
from ganflow.recipe import Recipe, read_recipe
from ganflow.recipe.anchors import anchored
from ganflow.runner import Step
from ganflow.runs import RunFolder
from ganflow.tracking import entries
from ganflow.trainer import Diverged


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
