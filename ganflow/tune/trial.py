"""A trial in Ray: the run of its folder, played step by step. The folder is all that it is made of, so a trial goes on
after a pause, a crash or a new sweep wherever its run's last checkpoint is."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune

from ganflow import runs
from ganflow.checkpoint import newest
from ganflow.errors import GanflowError
from ganflow.recipe import read_recipe
from ganflow.runner import Session, Step, open_trial
from ganflow.runner.workers import Lost
from ganflow.runs import RunFolder
from ganflow.trainer import Diverged
from ganflow.tune.ranks import dismiss, hire

STEP = 1.0
"""Seconds that a step of Ray's lasts at least, unless there is a score to tell: a report to Ray costs milliseconds."""
PATIENCE = 60.0
"""Seconds to wait for the run's lock: a worker whose driver or node was lost may take a while to end."""


@dataclass(frozen=True)
class Order:
    """What the driver tells a worker about a trial; plain data, so that it travels as Ray's config.

    Attributes:
        number: the trial's.
        recipe: the sweep's recipe, resolved.
        changes: overrides that make the trial's recipe of it.
        folder: of the trial's run.
        about: what its run.json says besides.
        metric, mode: what the trial is judged by.
        stop: values at which the trial ends.
        copy: pbt: a run's folder whose checkpoint to go on from.
        workers: processes that train it together, each in a bundle of the trial's placement group.
        copies: pbt: how many times the trial became a copy, this one included. A trial that died after it had copied
            does not copy again.
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
    copies: int = 0
    workers: int = 1


class Trial(tune.Trainable):
    """Plays one trial after another (Ray reuses the process, so torch is imported once)."""

    def setup(self, config: dict[str, Any]) -> None:
        self.order = Order(**json.loads(config["order"]))
        self._session: Session | None = None
        self._steps: Iterator[Step] = iter(())
        self._score: float | None = None
        self._round = 0
        self._started = time.monotonic()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Play for a while. Keys: `round`, `score` (only where there is a new one), `state`, `done`."""
        try:
            return self._advance()
        except Lost:  # a worker died: Ray begins the trial again
            raise
        except Diverged as error:
            return self._over("diverged", str(error))
        except GanflowError as error:  # the same would happen again: no use in a retry
            cause = error.__cause__
            return self._over("diverged" if isinstance(cause, Diverged) else "failed", str(error))

    def _advance(self) -> dict[str, Any]:
        if self._session is None:
            self._session = self._open()
            self._steps = iter(self._session)
        until = time.monotonic() + STEP
        for step in self._steps:
            self._round = step.round
            score = step.values.get(self.order.metric)
            if score is not None and math.isfinite(score):
                self._score = score
            if self._reached(step.values):
                self._session.stop("finished")
            elif score is not None or time.monotonic() > until:
                return {**self._told("running"), **({"score": self._score} if score is not None else {})}
        outcome = self._session.outcome
        assert outcome is not None
        self._round = outcome.round
        return self._over("finished", "")

    def _open(self) -> Session:
        order = self.order
        recipe = read_recipe(order.recipe, order.changes)
        folder = RunFolder(Path(order.folder))
        deadline = time.monotonic() + PATIENCE
        while folder.is_run() and runs.is_locked(folder) and time.monotonic() < deadline:
            time.sleep(0.5)
        copied = bool(order.copy) and folder.about().get("copies", 0) < order.copies
        if copied:
            copy_run(RunFolder(Path(str(order.copy))), folder)
            folder.note(copies=order.copies)
        group = hire(order.recipe, order.changes, order.workers) if order.workers > 1 else None
        return open_trial(recipe, folder, order.about, copied=copied, group=group)

    def _reached(self, values: dict[str, float]) -> bool:
        """Whether a value of `stop` is reached: the sweep's metric from its worse side, any other from below."""
        told = {**values, "round": float(self._round), "seconds": time.monotonic() - self._started}
        sign = {name: -1 if name == self.order.metric and self.order.mode == "min" else 1 for name in self.order.stop}
        return any(name in told and sign[name] * told[name] >= sign[name] * at for name, at in self.order.stop.items())

    def _told(self, state: str) -> dict[str, Any]:
        place = f"{os.uname().nodename}" + (f", GPU {gpus}" if (gpus := os.environ.get("CUDA_VISIBLE_DEVICES")) else "")
        return {"trial": self.order.number, "round": self._round, "state": state, "place": place, "done": False}

    def _over(self, state: str, error: str) -> dict[str, Any]:
        score = {"score": self._score} if self._score is not None and state == "finished" else {}
        return {**self._told(state), **score, "error": error, "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """A pause: the run's own checkpoint is the trial's, and its folder knows of it."""
        self._end("interrupted")
        return {"round": self._round}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing to do: the folder's run goes on from its last checkpoint."""

    def cleanup(self) -> None:
        """Ray takes the trial off: the scheduler stopped it, or the whole sweep is interrupted."""
        self._end("interrupted" if self._sweep_status() == "interrupted" else "stopped")

    def _sweep_status(self) -> str:
        try:
            return str(RunFolder(Path(self.order.folder).parent).about()["status"])
        except (OSError, ValueError, KeyError):
            return "unknown"

    def _end(self, status: str) -> None:
        """Keep a checkpoint and close the run, if it is in the middle."""
        session, self._session = self._session, None
        if session is not None and session.outcome is None:
            session.stop(status)
            for _ in self._steps:
                pass
        dismiss()


def copy_run(source: RunFolder, target: RunFolder) -> None:
    """Make the newest checkpoint of a run the newest one of another, which then goes on from there. Its journal up to
    that round stays its own.

    Raises:
        GanflowError: the source has no whole checkpoint.
    """
    found, _ = newest(source.checkpoints)
    if found is None:
        raise GanflowError(f"trial {source.id} has no checkpoint to copy")
    name = f"round-{found.round:08d}.safetensors"
    scratch = target.checkpoints / f"{name}.{os.getpid()}.partial"
    shutil.copyfile(found.path, scratch)
    for later in target.checkpoints.glob("round-*.safetensors"):
        if later.name > name:
            later.unlink()
    os.replace(scratch, target.checkpoints / name)
