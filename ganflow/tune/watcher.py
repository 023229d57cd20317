"""Callbacks of Ray Tune: records written, the best trial kept, and the end of an interrupted sweep."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune.experiment import Trial as RayTrial

from ganflow.errors import GanflowError
from ganflow.evaluation.evaluate import spreads
from ganflow.machine import broken
from ganflow.runs.damage import Left
from ganflow.runs.folders import RunFolder, is_running
from ganflow.runs.journal import Journal, entries
from ganflow.runs.trials import OVER
from ganflow.sweeps.display import Display
from ganflow.sweeps.ranking import best_facts, best_of, front_of
from ganflow.sweeps.records import BUDGET, MACHINE, Repeated, TrialRecord
from ganflow.sweeps.repeats import scores_of
from ganflow.tune.trials import TrialTable, why

if TYPE_CHECKING:
    from ganflow.runs.interruption import Interruption
    from ganflow.tune.budget import Spent

Method = Callable[..., None]


def interrupting(method: Method) -> Method:
    """Decorate a method of the watcher: a disk that fails interrupts the sweep, whose trials are then ended as well as can be."""

    @wraps(method)
    def guarded(self: Watcher, *arguments: Any, **more: Any) -> None:
        try:
            method(self, *arguments, **more)
        except (GanflowError, OSError) as error:
            fault = broken(error, self.table.folder.path)
            if fault is None:
                raise
            self.breaks(str(fault))

    return guarded


def _figures(name: str, trial: TrialRecord) -> dict[str, float]:
    """A trial's score for the journal, of several seeds with standard deviation and number."""
    around = {f"{name}_sd": trial.sd, f"{name}_n": trial.n} if isinstance(trial, Repeated) else {}
    return {key: float(value) for key, value in {name: trial.score, **around}.items() if value is not None}


class Watcher(tune.Callback):
    """Records and displays the trials' results.

    Args:
        retries: how often a trial that died is begun again, over all sessions of the sweep.

    Attributes:
        stopping: the whole sweep is being ended.
        broken: the disk or mount that failed, in a sentence.
        spent: the part of the budget that ends the sweep before its last trial.
        leaving: trials that are to stop at their next report → why.
    """

    def __init__(self, table: TrialTable, journal: Journal, mode: str, display: Display, retries: int = 0) -> None:
        self.table, self.journal, self.mode, self.display, self.retries = table, journal, mode, display, retries
        self.stopping = False
        self.broken = ""
        self.spent: Spent | None = None
        self.leaving: dict[int, str] = {}
        self._noted: set[str] = set()
        self._confirmed: float | None = None  # the best score by itself, as noted
        self._over = sum(t.over for t in table.searched())
        journal.rewind(max(0, self._over - 1))  # a sweep that was killed may have noted its last trial, or not
        self.note_course()

    def end(self) -> None:
        """Record the end of Ray's part: trials that are not over wait for the sweep to go on."""
        self._end()
        self._show()
        self.journal.close()

    @interrupting
    def _end(self) -> None:
        for number in [t.number for t in self.table.trials.values() if t.state == "running" and self.spent]:
            run = self.table.folder.trial(number)
            if run.is_run():  # it played on after its last report
                self.table.update(number, round=max(self.table.trials[number].round, run.read().round))
            self._is_over(number, "stopped", str(self.spent), BUDGET)
        for number in [t.number for t in self.table.trials.values() if not t.over]:
            self.table.record(number, state="waiting", error="")
            self._warn(number)
        for number in [t.number for t in self.table.trials.values() if t.state == "stopped"]:
            self._settle(number)

    @interrupting
    def on_trial_start(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        crashes = max((self.table.trials[number].crashes for number in self._running(trial)), default=0)
        trial.max_failures = trial.num_failures + max(0, self.retries - crashes)
        self._record(trial, state="running")

    @interrupting
    def on_trial_result(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, result: dict[str, Any], **info: Any
    ) -> None:
        if result.get("broken"):
            there = result["host"]
            self.breaks(result["broken"] if there == os.uname().nodename else f"on {there}: {result['broken']}")
        if result.get("note"):
            self._once(self.display.note, result["note"])
        for one in result.get("trials", [result]):
            if self.table.trials[one["trial"]].over:  # stopped while its process started
                continue
            self.table.report(one)
            if one["state"] in OVER:  # Ray's "done" is also set where the scheduler stops it
                self._is_over(one["trial"], one["state"], one["error"])
        self._show()

    @interrupting
    def on_trial_complete(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        for number in self._running(trial):  # the scheduler ended it
            self.stopped(number, self.leaving.pop(number, ""))
        self._show()

    def stopped(self, number: int, why: str) -> None:
        """Record that a trial is over before its end."""
        self._is_over(number, "stopped", why)
        self._settle(number)

    def leaves(self, trial_id: str) -> bool:
        """Return true if a trial of Ray's is to end at this report, though neither it nor the scheduler ends it."""
        numbers = self.table.numbers[trial_id]
        return all(number in self.leaving or self.table.trials[number].over for number in numbers)

    def _settle(self, number: int) -> None:
        """Set the run's status to stopped: Ray pauses a trial before it stops it for good, which its run calls interrupted."""
        run = self.table.folder.trial(number)
        if run.is_run() and run.read().status in ("interrupted", "running") and not is_running(run):
            run.update(status="stopped")

    @interrupting
    def on_trial_error(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        reason = why(trial)
        if reason.broken:
            self.breaks(reason.words)
            return
        for number in self._running(trial):
            crashes = self.table.trials[number].crashes + 1
            error = f"{reason.words} ({crashes} times)" if crashes > 1 else reason.words
            run = self.table.folder.trial(number)
            if run.is_run():  # which nobody is there to note
                run.update(status="failed", error=error)
                self.table.update(number, round=max((entry.round for entry in entries(run.journal, Left())), default=0))
            again = reason.machine and crashes <= self.retries + 1  # after that it had its further chance
            self.table.record(number, crashes=crashes)
            self._is_over(number, "failed", error, MACHINE if again else "")
        self._show()

    @interrupting
    def on_trial_recover(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        reason = why(trial)
        if reason.broken:
            self.breaks(reason.words)
            return
        error = f"{reason.words}; it is begun again from its last checkpoint"
        for number in self._running(trial):
            self.table.record(number, state="waiting", error=error, crashes=self.table.trials[number].crashes + 1)
        self._show()

    def breaks(self, what: str) -> None:
        """Interrupt the sweep: a disk or a mount failed, and would end every other trial, too."""
        self.broken = self.broken or what

    def ends(self, spent: Spent) -> None:
        """End the sweep, whose budget is used up: trials that run are stopped, others wait for it to go on."""
        self.spent = self.spent or spent

    def _running(self, trial: RayTrial) -> list[int]:
        return [number for number in self.table.numbers[trial.trial_id] if not self.table.trials[number].over]

    def _record(self, trial: RayTrial, **values: Any) -> None:
        for number in self._running(trial):
            self.table.record(number, **values)
        self._show()

    def _show(self) -> None:
        self.display.update(self.table.pooled())

    def _once(self, show: Callable[[str], None], text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            show(text)

    def _is_over(self, number: int, state: str, error: str, cause: str = "") -> None:
        pack = self._packed(number)
        known = self.table.update(number, state=state, error=error, cause=cause, in_pack=pack)
        several = ["scores"] if known.scores else []
        some = [name for name, value in (("cause", cause or None), ("in_pack", pack)) if value is not None]
        names = ("score", *several, "round", "place", "state", "error", *some)
        self.table.folder.record(number, **{name: getattr(known, name) for name in names})
        self._warn(number)
        over = sum(t.over for t in self.table.searched())
        if over > self._over:
            self._over = over
            self._note_over_seeds(number)
            self.note_course()
        elif known.confirms is not None:
            self._note_over_seeds(number)
            self.note_best()

    def _packed(self, number: int) -> bool | None:
        """Return whether a run of a packed sweep was trained together with others; None of other sweeps."""
        run = self.table.folder.trial(number)
        return run.is_run() and run.read().packed if self.table.template.get("pack", 1) > 1 else None

    def _note_over_seeds(self, number: int) -> None:
        """Write the scores of the trial that a run belongs to in all its runs' records, for trackers."""
        repeats = self.table.repeats
        runs = [self.table.folder.trial(n) for n in repeats.runs(repeats.trial(number))] if repeats.seeds else []
        scores: dict[str, float] = {"n": 0.0}
        for spread in spreads([scores_of(run) for run in runs]):
            scores[spread.name] = spread.mean
            scores |= {f"{spread.name}_sd": spread.deviation} if spread.deviation is not None else {}
            scores["n"] = max(scores["n"], float(spread.n))
        for run in filter(RunFolder.is_run, runs):
            run.update(over_seeds={"time": time.time(), "scores": scores})

    def _warn(self, number: int) -> None:
        """Warn that a trial went on from an older checkpoint because a newer one was damaged, once for each."""
        run = self.table.folder.trial(number)
        try:
            damaged = run.read().damaged if run.is_run() else []
        except GanflowError:
            return
        for file in damaged:
            text = f"damaged checkpoint passed over: {file['why']}; gone on from round {file['gone_on_from']}"
            self._once(self.display.warn, f"trial {number}: {text}")

    def note_course(self) -> None:
        """Write the search's best so far in the journal, by the number of trials that are over, of several seeds with deviation
        and number; with several metrics the size of the Pareto front and the best of each; and what `note_best` does."""
        searched, objectives = self.table.searched(), self.table.repeats.objectives
        if front := front_of(searched, objectives):
            every = {name: [score for t in front if (score := t.scores[name]) is not None] for name in objectives}
            best = {f"{name}_best": (min if mode == "min" else max)(every[name]) for name, mode in objectives.items()}
            self.journal.append(self._over, {"front": float(len(front)), **best})
        elif not objectives and (known := best_of(searched, self.mode)):
            self.journal.append(self._over, _figures("best", known))
        self.note_best()

    def note_best(self) -> None:
        """Write in run.json the best so far, or the Pareto front; once one was confirmed that of those, also in the journal."""
        trials, objectives = self.table.pooled(), self.table.repeats.objectives
        values: dict[str, Any] = {"over": self._over}
        if objectives:
            runs_of = self.table.repeats.runs_of
            front = [(t.number, runs_of(t)[0], t.scores) for t in front_of(trials, objectives)]
            values["front"] = [{"trial": trial, "run": run, "scores": scores} for trial, run, scores in front]
        elif best := best_of(trials, self.mode):
            run = self.table.repeats.runs_of(best)[0]
            values["best"] = best_facts(trials, self.mode) | ({"run": run} if run != best.number else {})
            if best.confirmed is not None and best.score != self._confirmed:
                self._confirmed = best.score
                self.journal.append(self._over, _figures("best_confirmed", best))
        self.table.folder.update(**values)


class Stopper(tune.Stopper):
    """Stops single trials by hand, and all trials of an interrupted sweep, of one whose disk failed or whose budget is spent."""

    def __init__(self, watcher: Watcher, interruption: Interruption) -> None:
        self.watcher, self.interruption = watcher, interruption
        self._noted = False

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return self.watcher.leaves(trial_id)

    def stop_all(self) -> bool:
        watcher, signal = self.watcher, self.interruption.signal
        if (signal or watcher.broken) and not watcher.stopping:
            watcher.stopping = True
            with suppress(OSError):
                watcher.table.folder.update(status="interrupted")  # by which the trials know that they are to go on
        if signal and not self._noted:
            self._noted = True
            watcher.display.note("stopping: every trial keeps a checkpoint (Ctrl-C again: at once, without)")
        elif watcher.spent and not watcher.stopping:
            watcher.stopping = True
            watcher.display.note(f"stopping: {watcher.spent}; every trial keeps a checkpoint")
        return watcher.stopping
