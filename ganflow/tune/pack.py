"""Packed trials in Ray: one trial of Ray's that is several of the sweep's, trained as one batched computation."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ray import tune

from ganflow.errors import GanflowError
from ganflow.packed import NotPackable
from ganflow.recipe import read_recipe
from ganflow.runner import Step, open_trial
from ganflow.runner.pack import PackSession
from ganflow.runs import RunFolder
from ganflow.tune.order import Order, Standing
from ganflow.tune.trial import STEP, sweep_status, wait_for

Reported = list[tuple[int, Step | GanflowError | None]]


class Pack(tune.Trainable):
    """Plays several trials together; those that cannot be packed one after the other, saying why."""

    def setup(self, config: dict[str, Any]) -> None:
        self.orders = [Order(**order) for order in json.loads(config["orders"])]
        self.standings = [Standing(order) for order in self.orders]
        self.over: set[int] = set()
        self.note = ""
        self._playing: Any = None
        self._steps: Iterator[Reported] | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Play for a while. Keys: `trials`, what is new of each trial (see `Standing.told`), `note`, `done`."""
        self._steps = self._steps or self._played()
        told: dict[int, dict[str, Any]] = {}
        until = time.monotonic() + STEP
        for reported in self._steps:
            for i, step in reported:
                if i in self.over:
                    continue
                before = told.get(i, {})
                told[i] = self._told(i, step)
                if "score" in before:
                    told[i].setdefault("score", before["score"])
                if told[i]["state"] != "running":
                    self.over.add(i)
            if time.monotonic() > until:
                break
        return {"trials": list(told.values()), "note": self.note, "done": len(self.over) == len(self.orders)}

    def _told(self, i: int, step: Step | GanflowError | None) -> dict[str, Any]:
        standing = self.standings[i]
        if isinstance(step, GanflowError):
            return standing.failed(step)
        if step is None:
            return standing.finished()
        scored = standing.saw(step)
        return standing.told("running", scored)

    def _played(self) -> Iterator[Reported]:
        """What is reported of each trial, by its place among the orders; None where it has finished."""
        trials = [(read_recipe(o.recipe, o.changes), RunFolder(Path(o.folder)), o.about) for o in self.orders]
        for _, folder, _ in trials:
            wait_for(folder)
        try:
            together = PackSession(trials)
        except NotPackable as reason:
            self.note = f"trials {self.orders[0].number} to {self.orders[-1].number} run one after the other: {reason}"
            yield from self._one_by_one(trials)
            return
        self._playing = together
        for reports in together:
            yield list(enumerate(reports))
        self._playing = None
        yield [(i, None) for i in range(len(trials)) if i not in together.over]

    def _one_by_one(self, trials: list[Any]) -> Iterator[Reported]:
        for i, (recipe, folder, about) in enumerate(trials):
            try:
                self._playing = session = open_trial(recipe, folder, about)
                for step in session:
                    yield [(i, step)]
                yield [(i, None)]
            except GanflowError as error:
                yield [(i, error)]
            self._playing = None

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        self._end("interrupted")
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing to do: the folders' runs go on from their last checkpoints."""

    def cleanup(self) -> None:
        """Ray takes the trial off: the whole sweep is interrupted, or the trials are over."""
        self._end("interrupted" if sweep_status(self.orders[0]) == "interrupted" else "stopped")

    def _end(self, status: str) -> None:
        playing, self._playing = self._playing, None
        if playing is not None and self._steps is not None:
            playing.stop(status)
            for _ in self._steps:
                if self._playing is not None and self._playing is not playing:
                    break  # one by one: the next is not to be begun
