"""A trial in Ray: the runs of one or several folders, played step by step by an executor. The folders are all that it is made of,
so a trial goes on after a pause, a crash or a new sweep wherever its runs' last checkpoints are."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from ray import tune

from ganflow.contract.roles import Executor
from ganflow.engine.rendezvous import Lost
from ganflow.errors import GanflowError
from ganflow.files import replacing
from ganflow.machine import Broken, broken
from ganflow.recipe import Recipe, read_recipe
from ganflow.runs import folders
from ganflow.runs.checkpoints import BEST, Damaged, read
from ganflow.runs.folders import RunFolder
from ganflow.runs.start import Session, open_trial
from ganflow.tune.executors import Reported, dismiss, executor_of, hire
from ganflow.tune.records import SweepFolder
from ganflow.tune.trials import Order, Standing

STEP = 1.0
"""Seconds that a step of Ray's lasts at least, unless there is a score to tell: a report to Ray costs milliseconds."""
PATIENCE = 60.0
"""Seconds to wait for the run's lock: a worker whose driver or node was lost may take a while to end."""
_NAMES = f"round-{8 * '[0-9]'}.safetensors"


class Trial(tune.Trainable):
    """Plays one trial of the sweep, or several that their executor plays together. Their folders are all that they are made of:
    Ray's own checkpoints hold nothing. Ray reuses the process for one trial after another, so that torch is imported once.
    """

    _broken: Broken | None = None

    def setup(self, config: dict[str, Any]) -> None:
        self.trials = [SweepTrial(Order(**order)) for order in json.loads(config["orders"])]
        orders = [trial.order for trial in self.trials]
        self.sweep = sweep_of(orders[0])
        self.needed = needed(self.sweep, orders)  # folders without which it cannot play
        known = self.sweep.trials() if len(orders) > 1 else {}  # if the process died, some may be over
        self.over = {i for i, order in enumerate(orders) if order.number in known and known[order.number].over}
        self._executor: Executor | None = None
        self._reports: Iterator[Reported] | None = None
        self._left: list[int] = []  # places of the trials that the executor has

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
        """Play for a while. Keys: `trials`, what is new of each trial (see `Standing.told`), `note`, `done`; and where there is
        one trial alone its own, which schedulers read, at every score."""
        told: dict[int, dict[str, Any]] = {}
        until = time.monotonic() + STEP
        alone = self.trials[0] if len(self.trials) == 1 else None
        self._reports = self._reports or self._played()
        try:
            for reported in self._reports:
                self._take(reported, told)
                now = time.monotonic() > until or (alone and "score" in told.get(0, {}))
                if now and not (alone and alone.ending):
                    break
        except Lost:  # Ray begins it again
            raise
        except GanflowError as error:  # the same would happen again: no use in a retry
            if broken(error, *self.needed):
                raise
            self._take([(i, error) for i in range(len(self.trials))], told)
        note = self._executor.note if self._executor else ""
        more = {"trials": list(told.values()), "note": note, "done": len(self.over) == len(self.trials)}
        return {**(told.get(0, {}) if alone else {}), **more}

    def _played(self) -> Iterator[Reported]:
        """What is reported of the trials that are not over, by their places among all."""
        self._left = left = [i for i in range(len(self.trials)) if i not in self.over]
        if not left:
            return
        trials = [self.trials[i] for i in left]
        self._executor = executor_of(trials[0].order.sweeps_recipe, trials[0].order.pack)
        for reports in self._executor.play(trials):
            yield [(left[i], step) for i, step in reports]

    def _take(self, reported: Reported, told: dict[int, dict[str, Any]]) -> None:
        """Add what is new to what is told to Ray."""
        for i, step in reported:
            if i in self.over:
                continue
            if isinstance(step, GanflowError) and broken(step, *self.needed):
                raise step
            before = told.get(i, {})
            told[i] = self._told(i, step)
            if "score" in before:
                told[i].setdefault("score", before["score"])
            if told[i]["state"] != "running":
                self.over.add(i)

    def _told(self, i: int, step: Any) -> dict[str, Any]:
        trial = self.trials[i]
        if isinstance(step, GanflowError):
            return trial.standing.failed(step)
        if step is None:
            return trial.standing.finished()
        scored = trial.standing.saw(step)
        if trial.standing.reached(step) and not trial.ending and self._executor:
            trial.ending = True
            self._executor.finish(self._left.index(i))
        return trial.standing.told("running", scored)

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
        """Keep checkpoints and close the runs, if they are in the middle."""
        executor, reports = self._executor, self._reports
        self._executor = self._reports = None
        try:
            if executor and reports:
                executor.stop(status)
                ends = [step for reported in reports for i, step in reported if i not in self.over]
                for error in filter(lambda step: isinstance(step, GanflowError), ends):
                    raise error
        finally:
            dismiss()

    def _sweep_status(self) -> str:
        try:
            return self.sweep.read().status
        except GanflowError:
            return "unknown"


class SweepTrial:
    """A trial as executors get it (see `ganflow.contract.roles.TrialRun`), and how it stands.

    Attributes:
        ending: it was asked to end as finished.
    """

    def __init__(self, order: Order) -> None:
        self.order, self.number, self.folder = order, order.number, Path(order.folder)
        self.about: Mapping[str, Any] = order.about
        self.standing, self.ending = Standing(order), False

    @cached_property
    def recipe(self) -> Recipe:
        return read_recipe(self.order.recipe, self.order.overrides)

    def wait(self) -> None:
        """Raises Lost: another process trains it for longer than is sensible."""
        wait_for(RunFolder(self.folder))

    def open(self) -> Session:
        self.wait()
        order, folder = self.order, RunFolder(self.folder)
        self.standing = Standing(order)
        if order.copy and folder.read().copies < order.copies:
            at = copy_run(RunFolder(Path(order.copy)), folder, order.copy_at, self.recipe.train.rounds)
            folder.update(copied_at=newest_round(folder) if at is None else at, copies=order.copies)
        copied_at = folder.read().copied_at if order.copy else None
        dismiss()
        group = hire(order.recipe, order.overrides, order.workers) if order.workers > 1 else None
        return open_trial(self.recipe, folder, order.about, copied_at=copied_at, group=group)


def wait_for(folder: RunFolder) -> None:
    """Until the run's lock is free.

    Raises:
        Lost: it is held for longer than is sensible. Another attempt may find it free.
    """
    deadline = time.monotonic() + PATIENCE
    while folder.is_run() and folders.is_running(folder):
        if time.monotonic() > deadline:
            raise Lost(str(folders.Running(folder)))
        time.sleep(0.2)


def sweep_of(order: Order) -> SweepFolder:
    """The sweep that a trial is part of."""
    return SweepFolder(Path(order.folder).parent)


def needed(sweep: SweepFolder, orders: Sequence[Order]) -> tuple[Path, ...]:
    """The sweep's folder, and the data's where its recipe says where that is."""
    return (sweep.path, *sorted({Path(order.data) for order in orders if order.data}))


def newest_round(folder: RunFolder) -> int | None:
    """The round of a run's newest checkpoint, by its name."""
    return max(map(_round, folder.checkpoints.glob(_NAMES)), default=None)


def _round(path: Path) -> int:
    """The round in a checkpoint's name."""
    return int(path.stem.removeprefix("round-"))


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
        round = _round(path)
        if round >= before:
            return None
        try:
            read(path)  # a damaged one would cost the target those of its own that are newer
            _copy(path, target.checkpoints / path.name)
        except (FileNotFoundError, Damaged):  # the source goes on meanwhile, and removes what is old
            continue
        for later in target.checkpoints.glob(_NAMES):
            if _round(later) > round:
                later.unlink()
        with suppress(FileNotFoundError, Damaged):
            if read(source.checkpoints / BEST).round <= round:
                _copy(source.checkpoints / BEST, target.checkpoints / BEST)
        return round
    return None


def _by_distance(run: RunFolder, at: int) -> list[Path]:
    """Its checkpoints: those up to a round, the newest first, and then the later ones, the oldest first."""
    paths = sorted(run.checkpoints.glob(_NAMES), key=_round)
    return [p for p in reversed(paths) if _round(p) <= at] + [p for p in paths if _round(p) > at]


def _copy(file: Path, to: Path) -> None:
    with replacing(to) as scratch:
        shutil.copyfile(file, scratch)
