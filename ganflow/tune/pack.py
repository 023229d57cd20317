"""Packed trials in Ray: one trial of Ray's that is several of the sweep's, trained as one batched computation."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ganflow.errors import GanflowError
from ganflow.machine import broken
from ganflow.packed import NotPackable
from ganflow.recipe import read_recipe
from ganflow.runner import Session, Step, open_trial
from ganflow.runner.pack import PackSession
from ganflow.runner.workers import Lost
from ganflow.runs import RunFolder
from ganflow.tune.order import Order, Standing
from ganflow.tune.trial import STEP, FromFolders, needed, sweep_of, wait_for

Reported = list[tuple[int, Step | GanflowError | None]]


class Pack(FromFolders):
    """Plays several trials together; those that cannot be packed one after the other, saying why."""

    def setup(self, config: dict[str, Any]) -> None:
        self.orders = [Order(**order) for order in json.loads(config["orders"])]
        self.standings = [Standing(order) for order in self.orders]
        self.sweep = sweep_of(self.orders[0])
        self.needed = needed(self.sweep, self.orders)
        known = self.sweep.trials()  # if the pack died, some may be over
        self.over = {i for i, order in enumerate(self.orders) if order.number in known and known[order.number].over}
        self.note = ""
        self._playing: PackSession | Session | None = None
        self._steps: Iterator[Reported] | None = None
        self._ending = False

    def play(self) -> dict[str, Any]:
        """Play for a while. Keys: `trials`, what is new of each trial (see `Standing.told`), `note`, `done`."""
        self._steps = self._steps or self._played()
        told: dict[int, dict[str, Any]] = {}
        until = time.monotonic() + STEP
        try:
            for reported in self._steps:
                self._take(reported, told)
                if time.monotonic() > until:
                    break
        except Lost:  # Ray begins it again
            raise
        except GanflowError as error:  # of the whole pack
            if broken(error, *self.needed):
                raise
            self._take([(i, error) for i in range(len(self.orders))], told)
        return {"trials": list(told.values()), "note": self.note, "done": len(self.over) == len(self.orders)}

    def _take(self, reported: Reported, told: dict[int, dict[str, Any]]) -> None:
        """Add what is new to what is told to Ray."""
        for i, step in reported:
            if i in self.over:
                continue
            before = told.get(i, {})
            told[i] = self._told(i, step)
            if "score" in before:
                told[i].setdefault("score", before["score"])
            if told[i]["state"] != "running":
                self.over.add(i)

    def _told(self, i: int, step: Step | GanflowError | None) -> dict[str, Any]:
        standing = self.standings[i]
        if isinstance(step, GanflowError):
            return standing.failed(step)
        if step is None:
            return standing.finished()
        scored = standing.saw(step)
        if standing.reached(step) and isinstance(self._playing, PackSession):
            self._playing.finish(i)
        elif standing.reached(step) and self._playing:
            self._playing.stop("finished")
        return standing.told("running", scored)

    def _played(self) -> Iterator[Reported]:
        """What is reported of each trial, by its place among the orders; None where it has finished."""
        left = [i for i in range(len(self.orders)) if i not in self.over]
        orders = [self.orders[i] for i in left]
        trials = [(read_recipe(o.recipe, o.overrides), RunFolder(Path(o.folder)), o.about) for o in orders]
        for _, folder, _ in trials:
            wait_for(folder)
        try:
            self._playing = together = PackSession(trials)
        except NotPackable as reason:
            self.note = f"trials {orders[0].number} to {orders[-1].number} run one after the other: {reason}"
            yield from self._one_by_one(dict(zip(left, trials, strict=True)))
            return
        for reports in together:
            yield list(zip(left, reports, strict=True))

    def _one_by_one(self, trials: dict[int, Any]) -> Iterator[Reported]:
        for i, (recipe, folder, about) in trials.items():
            if self._ending:
                return
            self.standings[i] = Standing(self.orders[i])
            try:
                self._playing = session = open_trial(recipe, folder, about)
                for step in session:
                    yield [(i, step)]
                yield [(i, None)]
            except GanflowError as error:
                if broken(error, *self.needed):
                    raise
                yield [(i, error)]

    def end(self, status: str) -> None:
        self._ending = True
        if self._playing is not None and self._steps is not None:
            self._playing.stop(status)
            for _ in self._steps:
                pass
        self._playing = None
