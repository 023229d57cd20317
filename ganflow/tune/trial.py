"""A trial in Ray: the run of its folder, played step by step. The folder is all that it is made of, so a trial goes on
after a pause, a crash or a new sweep wherever its run's last checkpoint is."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray import tune

from ganflow import runs
from ganflow.checkpoint import BEST, Damaged, newest, read
from ganflow.errors import GanflowError
from ganflow.machine import Broken, broken
from ganflow.recipe import read_recipe
from ganflow.runner import Session, Step, open_trial
from ganflow.runner.workers import Lost
from ganflow.runs import RunFolder
from ganflow.tune.folder import SweepFolder
from ganflow.tune.order import Order, Standing
from ganflow.tune.ranks import dismiss, hire

STEP = 1.0
"""Seconds that a step of Ray's lasts at least, unless there is a score to tell: a report to Ray costs milliseconds."""
PATIENCE = 60.0
"""Seconds to wait for the run's lock: a worker whose driver or node was lost may take a while to end."""


class FromFolders(tune.Trainable):
    """Plays runs whose folders are all that they are made of: Ray's own checkpoints hold nothing. Ray reuses the process for
    one trial after another, so that torch is imported once.

    Attributes:
        sweep: the folder of the sweep, set by `setup`.
        needed: folders without which it cannot play, by `setup`, too.
    """

    sweep: SweepFolder
    needed: tuple[Path, ...] = ()
    _broken: Broken | None = None

    def step(self) -> dict[str, Any]:
        """Play for a while; keys as those of `play`. Where a disk or a mount failed: `broken`, what to tell the user, and `host`.
        The driver then interrupts the sweep."""
        if self._broken:
            time.sleep(STEP)  # until it does
        else:
            try:
                return self.play()
            except Exception as error:
                self._broken = broken(error, *self.needed)
                if self._broken is None:
                    raise
        return {"trials": [], "state": "broken", "broken": str(self._broken), "host": os.uname().nodename, "done": False}

    def play(self) -> dict[str, Any]:
        raise NotImplementedError

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        self.setup(new_config)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """A pause: the runs' own checkpoints are what goes on, and their folders know of them."""
        self.end("interrupted")
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing to do: the folders' runs go on from their last checkpoints."""

    def cleanup(self) -> None:
        """Ray takes the trial off: the scheduler stopped it, or the whole sweep is interrupted."""
        self._broken, before = None, self._broken
        status = "interrupted" if before or self._sweep_status() == "interrupted" else "stopped"
        try:
            self.end(status)
        except GanflowError:  # which its run noted; the next trial has nothing to do with it
            pass
        except OSError as error:
            if not broken(error):
                raise

    def end(self, status: str) -> None:
        """Keep a checkpoint and close the runs, if they are in the middle."""
        raise NotImplementedError

    def _sweep_status(self) -> str:
        try:
            return str(self.sweep.about()["status"])
        except (OSError, ValueError, KeyError):
            return "unknown"


class Trial(FromFolders):
    """Plays one trial."""

    def setup(self, config: dict[str, Any]) -> None:
        self.order = Order(**json.loads(config["orders"])[0])
        self.sweep = sweep_of(self.order)
        self.needed = needed(self.sweep, [self.order])
        self._session: Session | None = None
        self._steps: Iterator[Step] = iter(())
        self.standing = Standing(self.order)

    def play(self) -> dict[str, Any]:
        """Play for a while. Keys: `round`, `score` (only where there is a new one), `state`, `done`."""
        try:
            return self._advance()
        except Lost:  # a worker died: Ray begins the trial again
            raise
        except GanflowError as error:  # the same would happen again: no use in a retry
            if broken(error, *self.needed):
                raise
            return {**self.standing.failed(error), "done": True}

    def _advance(self) -> dict[str, Any]:
        if self._session is None:
            self._session = self._open()
            self._steps = iter(self._session)
        until = time.monotonic() + STEP
        for step in self._steps:
            scored = self.standing.saw(step)
            if self.standing.reached(step):
                self._session.stop("finished")
            elif scored or time.monotonic() > until:
                return {**self.standing.told("running", scored), "done": False}
        return {**self.standing.finished(), "done": True}

    def _open(self) -> Session:
        order = self.order
        recipe = read_recipe(order.recipe, order.overrides)
        folder = RunFolder(Path(order.folder))
        wait_for(folder)
        if order.copy and folder.about().get("copies", 0) < order.copies:
            at = copy_run(RunFolder(Path(order.copy)), folder, order.copy_at, recipe.train.rounds)
            folder.note(copied_at=newest_round(folder) if at is None else at, copies=order.copies)
        copied = bool(order.copy) and newest_round(folder) == folder.about().get("copied_at")
        group = hire(order.recipe, order.overrides, order.workers) if order.workers > 1 else None
        return open_trial(recipe, folder, order.about, copied=copied, group=group)

    def end(self, status: str) -> None:
        session, self._session = self._session, None
        try:
            if session is not None and session.outcome is None:
                session.stop(status)
                for _ in self._steps:
                    pass
        finally:
            dismiss()


def wait_for(folder: RunFolder) -> None:
    """Until the run's lock is free.

    Raises:
        Lost: it is held for longer than is sensible. Another attempt may find it free.
    """
    deadline = time.monotonic() + PATIENCE
    while folder.is_run() and runs.is_locked(folder):
        if time.monotonic() > deadline:
            about = folder.about()
            raise Lost(f"run {folder.id} is being trained by another process (pid {about.get('pid')} on {about.get('host')})")
        time.sleep(0.2)


def sweep_of(order: Order) -> SweepFolder:
    """The sweep that a trial is part of."""
    return SweepFolder(Path(order.folder).parent)


def needed(sweep: SweepFolder, orders: Sequence[Order]) -> tuple[Path, ...]:
    """The sweep's folder, and the data's where its recipe says where that is."""
    return (sweep.path, *sorted({Path(order.data) for order in orders if order.data}))


def newest_round(folder: RunFolder) -> int | None:
    """The round of a run's newest checkpoint."""
    found, _ = newest(folder.checkpoints)
    return found.round if found else None


def copy_run(source: RunFolder, target: RunFolder, at: int, before: int) -> int | None:
    """Make a checkpoint of a run, and its best one, those of another, which then goes on from there. Its journal up to that
    round stays its own.

    Args:
        at: the round of the checkpoint; the nearest that there is, an earlier one if possible.
        before: what was played to this round is no use: there would be nothing left to play.

    Returns:
        The checkpoint's round; None where there was none.
    """
    for path in _by_distance(source, at):
        try:
            found = read(path)
            if found.round >= before:
                return None
            name = f"round-{found.round:08d}.safetensors"
            _copy(path, target.checkpoints / name)
        except (FileNotFoundError, Damaged):  # the source goes on meanwhile, and removes what is old
            continue
        for later in target.checkpoints.glob("round-*.safetensors"):
            if later.name > name:
                later.unlink()
        with suppress(FileNotFoundError, Damaged):
            if read(source.checkpoints / BEST).round <= found.round:
                _copy(source.checkpoints / BEST, target.checkpoints / BEST)
        return found.round
    return None


def _by_distance(run: RunFolder, at: int) -> list[Path]:
    """Its checkpoints: those up to a round, the newest first, and then the later ones, the oldest first."""
    paths = sorted(run.checkpoints.glob("round-*.safetensors"))
    limit = f"round-{at:08d}.safetensors"
    return [p for p in reversed(paths) if p.name <= limit] + [p for p in paths if p.name > limit]


def _copy(file: Path, to: Path) -> None:
    scratch = to.with_suffix(f".{os.getpid()}.partial")
    shutil.copyfile(file, scratch)
    os.replace(scratch, to)
