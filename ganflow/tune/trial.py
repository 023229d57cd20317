"""A trial in Ray: the runs of one or several folders, played step by step by an executor. The folders are all that it is made of,
so a trial goes on after a pause, a crash or a new sweep wherever its runs' last checkpoints are."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray import tune

from ganflow.contract.roles import Executor
from ganflow.engine.rendezvous import Lost
from ganflow.errors import GanflowError
from ganflow.files import replacing
from ganflow.machine import Broken, broken
from ganflow.recipe import Recipe
from ganflow.runs import folders
from ganflow.runs.checkpoints import BEST, Damaged, read, round_of, stored
from ganflow.runs.folders import RunFolder
from ganflow.runs.new import Copy
from ganflow.runs.start import Session, open_trial
from ganflow.sweeps.records import SweepFolder
from ganflow.sweeps.repeats import Repeats
from ganflow.tune.control import BY_HAND, EVERY, requests
from ganflow.tune.executors import Reported, Turns, executor_of, start_workers, stop_workers
from ganflow.tune.trials import TrialSpec, TrialState

STEP = 1.0
"""Seconds that a step of Ray's lasts at least, unless there is a score: a report to Ray costs milliseconds."""
PATIENCE = 60.0
"""Seconds to wait for the run's lock: a worker whose driver or node was lost may need a while to end."""


class Trial(tune.Trainable):
    """One trial of the sweep, or several that their executor plays together.

    Ray's checkpoints hold nothing. Ray reuses the process for one trial after another, so that torch is imported once.
    """

    _broken: Broken | None = None

    def setup(self, config: dict[str, Any]) -> None:
        self.trials = [SweepTrial(TrialSpec(**spec)) for spec in json.loads(config["specs"])]
        specs = [trial.spec for trial in self.trials]
        self.sweep = SweepFolder(Path(specs[0].folder).parent)
        self.needed = (self.sweep.path, *sorted({Path(spec.data) for spec in specs if spec.data}))
        known = self.sweep.trials() if len(specs) > 1 else {}  # if the process died, some may be over
        self.over = {i for i, spec in enumerate(specs) if spec.number in known and known[spec.number].over}
        self._executor: Executor | None = None
        self._reports: Iterator[Reported] | None = None
        self._left: list[int] = []  # indices of the trials that the executor has
        self._scores: dict[int, dict[int, float | None]] = {}  # of runs in turns: of each its scores by round
        self._compared = 0  # the last round at which they had one together
        self._several = len({spec.about.get("trial") for spec in specs}) > 1
        self._asked, self._next = set[int](), 0.0  # trials that are to stop by hand, and when that is asked again

    def step(self) -> dict[str, Any]:
        """Play for a while; keys as those of `play`. Where a disk or a mount failed: `broken`, a sentence for the user, and
        `host`. The driver then interrupts the sweep."""
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
        """Play for a while. Keys: `trials`, news of each run (see `TrialState.result`), `note`, `done`; and those of a result
        that schedulers read, at every score: of the run where there is one alone, and of runs that take turns together."""
        results: dict[int, dict[str, Any]] = {}
        until = time.monotonic() + STEP
        alone = self.trials[0] if len(self.trials) == 1 else None
        if self._reports is None:
            results |= self._recalled()
            self._reports = self._played()
        judged: dict[str, Any] = {}
        try:
            for reported in self._reports:
                self._collect(reported, results)
                if self._several:
                    self._leave(reported)
                judged = self._judged(results)
                now = time.monotonic() > until or "score" in judged
                if now and not (alone and alone.ending):
                    break
        except Lost:  # Ray begins it again
            raise
        except GanflowError as error:  # the same would happen again: no use in a retry
            if broken(error, *self.needed):
                raise
            self._collect([(i, error) for i in range(len(self.trials))], results)
        note = self._executor.note if self._executor else ""
        more = {"trials": list(results.values()), "note": note, "done": len(self.over) == len(self.trials)}
        return {**judged, **more}

    def _judged(self, results: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
        """Result for schedulers. Runs in turns have one together, their mean, when all that are not over have a new score."""
        if not self.trials[0].spec.turns:
            return results.get(0, {}) if len(self.trials) == 1 else {}
        for i, result in results.items():
            if "score" in result:
                self._scores.setdefault(i, {})[result["round"]] = result["score"]
        playing = [self._scores.get(i, {}) for i in range(len(self.trials)) if i not in self.over]
        round = max(set.intersection(*map(set, playing)), default=0) if playing else 0
        if round <= self._compared:
            return {}
        self._compared = round
        scores = [score for known in playing if (score := known[round]) is not None]
        score = Repeats(quantile=self.trials[0].spec.quantile).score(scores) if len(scores) == len(playing) else None
        return {"trial": self.trials[0].number // len(self.trials), "round": round, "state": "running", "score": score}

    def _recalled(self) -> dict[int, dict[str, Any]]:
        """Results of runs in turns that go on: one that is ahead of the others may be stopped before it plays again."""
        found = {}
        for i, trial in enumerate(self.trials):
            if trial.spec.turns and i not in self.over and (scores := trial.state.go_on(None)):
                self._scores[i] = dict(scores)
                found[i] = trial.state.result("running")
        return found

    def _played(self) -> Iterator[Reported]:
        """Reports of the trials that are not over, by their indices among all."""
        self._left = left = [i for i in range(len(self.trials)) if i not in self.over]
        if not left:
            return
        trials = [self.trials[i] for i in left]
        first = trials[0].spec
        turns = Turns(lambda step: first.metric in step.values, [max(self._scores.get(i, {}), default=0) for i in left])
        self._executor = turns if first.turns else executor_of(first.sweep_recipe, first.pack)
        for reports in self._executor.play(trials):
            yield [(left[i], step) for i, step in reports]

    def _collect(self, reported: Reported, results: dict[int, dict[str, Any]]) -> None:
        for i, step in reported:
            if i in self.over:
                continue
            if isinstance(step, GanflowError) and broken(step, *self.needed):
                raise step
            before = results.get(i, {})
            results[i] = self._result(i, step)
            for name in ("score", "scores"):
                if name in before:
                    results[i].setdefault(name, before[name])
            if results[i]["state"] != "running":
                self.over.add(i)

    def _leave(self, reported: Reported) -> None:
        """End those of these trials that are to stop by hand; the others play on. Where all runs are one trial, Ray ends it."""
        if (now := time.monotonic()) > self._next:
            self._next = now + EVERY
            found = (request for _, request in requests(self.sweep))
            self._asked = {request.stop for request in found if request and request.stop is not None}
        for i, trial in [(i, self.trials[i]) for i, _ in reported if i not in self.over]:
            if trial.spec.about["trial"] in self._asked and not trial.ending:
                trial.leaving = True
                self._finish(i)

    def _finish(self, i: int) -> None:
        """End a run that has just reported before its last round."""
        self.trials[i].ending = True
        if self._executor:
            self._executor.finish(self._left.index(i))

    def _result(self, i: int, step: Any) -> dict[str, Any]:
        trial = self.trials[i]
        if isinstance(step, GanflowError):
            return trial.state.failed(step)
        if step is None:
            if trial.leaving:
                trial.spec.run.update(status="stopped", error=BY_HAND)
            return trial.state.finished()
        scored = trial.state.update(step)
        if trial.state.should_stop(step) and not trial.ending:
            self._finish(i)
        return trial.state.result("running", scored)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        self.setup(new_config)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Pause: the runs' checkpoints are where they go on, and their folders know of them."""
        self.end("interrupted")
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing to do: the folders' runs go on from their last checkpoints."""

    def cleanup(self) -> None:
        """End the trial: the scheduler stopped it, or the whole sweep is interrupted."""
        self._broken, before = None, self._broken
        changes = any(trial.spec.config is not None for trial in self.trials)  # pbt stops none: this one is to become a copy
        status = "interrupted" if before or changes or self._sweep_status() == "interrupted" else "stopped"
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
            stop_workers()

    def _sweep_status(self) -> str:
        try:
            return self.sweep.read().status
        except GanflowError:
            return "unknown"


class SweepTrial:
    """A trial for executors (see `ganflow.contract.roles.TrialRun`), and its state.

    Attributes:
        ending: it was asked to end as finished.
        leaving: by hand, so that it is a stopped one.
    """

    def __init__(self, spec: TrialSpec) -> None:
        self.spec, self.number, self.folder = spec, spec.number, Path(spec.folder)
        begun = {} if spec.config is None else {"values": [_values(spec.config, 0)]}
        self.about: Mapping[str, Any] = {**spec.about, **begun}
        self.state, self.ending, self.leaving = TrialState(spec), False, False

    @property
    def recipe(self) -> Recipe:
        return self.spec.trial_recipe

    def wait(self) -> None:
        """Raises Lost: another process trains it for longer than is sensible."""
        wait_for(self.spec.run)

    def open(self) -> Session:
        self.wait()
        spec, folder = self.spec, self.spec.run
        self.state = TrialState(spec)
        if spec.copy is not None:
            self._copy(spec.copy)
        at = folder.read().copied_at if spec.copy is not None else None
        if checkpoints := [round_of(path) for path in stored(folder.checkpoints)]:
            self.state.go_on(at, max(checkpoints))
        copy = None if at is None else Copy(at, spec.number, spec.copies)
        stop_workers()
        group = start_workers(spec.recipe, spec.overrides, spec.workers) if spec.workers > 1 else None
        return open_trial(self.recipe, folder, self.about, copy=copy, group=group)

    def _copy(self, number: int) -> None:
        """Become a copy of this trial, once; what the run goes on from, and with which values, stands in its record."""
        spec, folder = self.spec, self.spec.run
        before = folder.read()
        if before.copies >= spec.copies:
            return
        at = copy_run(SweepFolder(self.folder.parent).trial(number), folder, spec.copy_at, self.recipe.train.rounds)
        newest = max(map(round_of, stored(folder.checkpoints)), default=None)
        source = {} if at is None else {"trial": number}  # there was nothing to copy: it goes on with other values
        values = [*before.values, {**_values(spec.config or {}, newest or 0), **source}]
        folder.update(copied_at=newest, copies=spec.copies, values=values)


def _values(config: dict[str, Any], round: int) -> dict[str, Any]:
    """An entry of a run's `values`."""
    return {"round": round, "time": time.time(), "config": config}


def wait_for(folder: RunFolder) -> None:
    """Wait until the run's lock is free.

    Raises:
        Lost: it is held for longer than is sensible. Another attempt may find it free.
    """
    deadline = time.monotonic() + PATIENCE
    while folder.is_run() and folders.is_running(folder):
        if time.monotonic() > deadline:
            raise Lost(str(folders.Running(folder)))
        time.sleep(0.2)


def copy_run(source: RunFolder, target: RunFolder, at: int, before: int) -> int | None:
    """Copy a run's checkpoint, and its best one, to another run, which then goes on from there. The journal of that run up to the
    round stays as it is.

    Args:
        at: the round of the checkpoint; the nearest that there is, an earlier one if possible.
        before: what was played to this round is no use: there would be nothing left to play.

    Returns:
        The checkpoint's round; None where there was none.
    """
    paths = stored(source.checkpoints)
    for path in [p for p in reversed(paths) if round_of(p) <= at] + [p for p in paths if round_of(p) > at]:
        round = round_of(path)
        if round >= before:
            return None
        try:
            read(path)  # a damaged one would cost the target newer ones of its
            _copy(path, target.checkpoints / path.name)
        except (FileNotFoundError, Damaged):  # the source goes on meanwhile, and removes what is old
            continue
        for later in stored(target.checkpoints):
            if round_of(later) > round:
                later.unlink()
        with suppress(FileNotFoundError, Damaged):
            if read(source.checkpoints / BEST).round <= round:
                _copy(source.checkpoints / BEST, target.checkpoints / BEST)
        return round
    return None


def _copy(file: Path, to: Path) -> None:
    with replacing(to) as scratch:
        shutil.copyfile(file, scratch)
