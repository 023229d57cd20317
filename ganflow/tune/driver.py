"""A sweep from its beginning, or from where it was interrupted, to its end."""

from __future__ import annotations

import math
import os
import shutil
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ganflow.errors import GanflowError
from ganflow.machine import Broken, broken
from ganflow.printing import say
from ganflow.runs import folders
from ganflow.runs.journal import Journal
from ganflow.sweeps.records import MACHINE, SweepFolder, TrialRecord, several
from ganflow.sweeps.repeats import Repeats, Report, scored
from ganflow.tune.plan import Plan, in_common, rounds_of

if TYPE_CHECKING:
    from ganflow.runs.interruption import Interruption
    from ganflow.sweeps.display import Display
    from ganflow.tune.budget import Spent
    from ganflow.tune.schedulers import Population, Stopping
    from ganflow.tune.search import Searcher
    from ganflow.tune.trials import TrialTable

SETTINGS = {
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # we stop it ourselves, and keep every trial's state
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the runs have journals
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a score comes when it is due
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # a trial's end is one line of the display
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # paths in a recipe are relative to where the sweep was begun
    "TUNE_MAX_PENDING_TRIALS_PG": "1000000",  # `Room` limits how many may wait
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # a sweep goes on from its own records
    "RAY_AIR_NEW_OUTPUT": "0",  # we show it ourselves
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Environment of Ray Tune, which reads it when a sweep begins."""
SCRATCH = ".ray"
"""Ray's folder in a sweep's, while it runs."""


def remember(
    table: TrialTable, metric: str, searcher: Searcher, scheduler: Stopping | Population | None, *, retry_failed: bool = False
) -> list[int]:
    """Replay the recorded trials to searcher and scheduler. Those that the machine broke are to be tried again.

    Args:
        retry_failed: all that failed are, as often as the recipe allows.

    Returns:
        The numbers of the trials that are to go on.

    Raises:
        GanflowError: a journal is damaged.
    """
    repeats = table.repeats
    for number, record in sorted(table.trials.items()):
        if tried_again(record, retry_failed):
            table.record(number, state="waiting", error="", cause="", **({"crashes": 0} if retry_failed else {}))
        for other in repeats.runs(repeats.trial(number)):  # the sweep died before all runs of a trial were written down
            if other not in table.trials:
                table.record(other, config=record.config, state="waiting", confirms=record.confirms)
    unfinished = [number for number, record in sorted(table.trials.items()) if not record.over]
    for number in unfinished:  # who is furthest behind, and how long the sweep will last, follow from it
        if (run := table.folder.trial(number)).is_run():
            table.update(number, round=run.read().round)
    histories = {number: scored(table.folder.trial(number), metric) for number in table.trials} if scheduler is not None else {}
    for trial in [*table.folder.trials(table.folder.earlier).values(), *table.searched()]:
        searcher.tell(trial)
    if scheduler is not None:
        stopped = scheduler.remember(in_time(together(histories, repeats)))
        for number in [n for n in unfinished if repeats.trial(n) in stopped]:  # the sweep died before this was written down
            _, round, score = histories[number][-1]
            table.record(number, state="stopped", round=round, score=score)
            table.folder.trial(number).update(status="stopped")
            unfinished.remove(number)
    for number in unfinished:
        table.record(number, state="waiting", error="")
    return unfinished


def together(histories: Mapping[int, list[Report]], repeats: Repeats) -> dict[int, list[Report]]:
    """Reports of trials, from those of their runs: of every round that all of them have reported, the last to do so."""
    found: dict[int, list[Report]] = {}
    for trial in sorted({repeats.trial(number) for number in histories}):
        reports = [{round: (time, score) for time, round, score in histories.get(n, [])} for n in repeats.runs(trial)]
        for round in sorted(set.intersection(*map(set, reports))):
            times, scores = zip(*(run[round] for run in reports), strict=True)
            found.setdefault(trial, []).append(Report(max(times), round, repeats.score(scores)))
    return found


def tried_again(record: TrialRecord, retry_failed: bool) -> bool:
    """Tell whether a trial that is over goes on with the sweep all the same."""
    return record.over and bool(record.cause or (retry_failed and record.state == "failed"))


def in_time(histories: dict[int, list[Report]]) -> list[tuple[int, int, float]]:
    """(trial, round, score) of all trials, in the order in which they were reported."""
    every = [(time, number, round, score) for number, points in histories.items() for time, round, score in points]
    return [(number, round, score) for _, number, round, score in sorted(every)]


@dataclass(frozen=True)
class Outcome:
    """End of a sweep.

    Attributes:
        status: "finished", "interrupted", or "stopped" where its budget was used up before the last trial was over.
        signal: the number of the signal that interrupted it, else 0.
        failed: how many trials died more often than they may.
        retriable: how many of them for what the machine did: a sweep that goes on tries them again.
        spent: the part of its budget that ended it.
    """

    folder: SweepFolder
    status: str
    signal: int
    failed: int
    retriable: int = 0
    spent: Spent | None = None


def go(
    folder: SweepFolder, plan: Plan, address: str = "local", *, quiet: bool = False, retry_failed: bool = False
) -> Outcome:
    """Run every trial of the sweep that is not over yet.

    Args:
        retry_failed: and those that failed.

    Raises:
        Broken: (a GanflowError) a disk or a mount failed; the sweep can go on.
        GanflowError: the cluster cannot be used, or no trial can ever run there; nothing has been started then.
    """
    from ganflow.runs.interruption import interruptible
    from ganflow.sweeps.display import Display
    from ganflow.sweeps.report import summarize
    from ganflow.tracking.follower import follower_of
    from ganflow.tune.control import total_of
    from ganflow.tune.preflight import check_resources

    make_follower = follower_of(plan.recipe, folder.path.parent)
    check_resources(plan, address)
    with ExitStack() as stack:
        stack.enter_context(folders.locked(folder))
        before = folder.read()
        folder.update(status="running", pid=os.getpid(), host=socket.gethostname(), address=address, ended=None)
        records = folder.mended()
        trials = plan.repeats.trials(records.values())
        keys, total = list(plan.space.keys), total_of(plan.space.count(plan.tune), trials)
        every, stop = plan.objectives, plan.tune.stop
        display = Display(
            folder.sweep, plan.metric, plan.mode, keys, total, rounds=before.rounds, objectives=every, stop=stop, quiet=quiet
        )
        stack.enter_context(display)
        interruption = stack.enter_context(interruptible())
        follower = make_follower(folder) if make_follower else None
        if follower:
            stack.callback(follower.stop)

        def begins() -> None:
            folder.records.touch()  # from here on there is something to go on with
            if follower and (note := follower.start(display.note)):
                display.note(note)

        status, spent = "failed", None
        try:
            spent = _tune(folder, plan, records, address, display, interruption, begins, retry_failed)
            spent = spent if spent and _left(plan, folder) else None
            status = "interrupted" if interruption.signal else "stopped" if spent else "finished"
        except BaseException as error:
            fault = broken(error, folder.path) if isinstance(error, Exception) else None
            if fault or isinstance(error, (GanflowError, KeyboardInterrupt)):
                status = "interrupted"
            if fault and fault is not error:
                raise fault from error
            raise
        finally:
            with suppress(OSError, GanflowError):  # a full disk must not hide what was raised
                ended = {"why": str(spent), "more": spent.more} if spent and status == "stopped" else None
                folder.update(status=status, ended=ended)
        if status in ("finished", "stopped"):
            for missing in summarize(folder, plan.recipe).missing:
                display.note(missing)
        if follower:
            unsent = follower.finish(plan.recipe.track.wait)
            if unsent:
                display.warn(str(unsent))
        failed = [t for t in plan.repeats.trials(folder.trials().values()) if t.state == "failed"]
        return Outcome(folder, status, interruption.signal, len(failed), sum(t.cause == MACHINE for t in failed), spent)


def _left(plan: Plan, folder: SweepFolder) -> bool:
    """Return true if the sweep has trials that are not over, or are to be confirmed."""
    from ganflow.tune.control import total_of
    from ganflow.tune.trials import TrialTable

    table = TrialTable(folder, {}, [], folder.trials(), repeats=plan.repeats)
    trials = table.pooled()
    over = sum(trial.over and not trial.cause and trial.again is None for trial in trials)
    left = over < total_of(plan.space.count(plan.tune), trials)
    return left or bool(table.unconfirmed(plan.tune.confirmed, plan.mode))


def _tune(
    folder: SweepFolder,
    plan: Plan,
    records: dict[int, TrialRecord],
    address: str,
    display: Display,
    interruption: Interruption,
    begins: Callable[[], None],
    retry_failed: bool,
) -> Spent | None:
    """Let Ray Tune run the trials; returns the part of the budget that ended them early.

    Args:
        begins: called as soon as nothing that can be found out beforehand keeps the sweep from running. Nobody else hears of
            it before: a sweep that does not start leaves nothing in MLflow.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    from ray import tune

    from ganflow.cluster import compat
    from ganflow.cluster.joining import connect, guarded
    from ganflow.sweeps.study import Study
    from ganflow.tune.budget import Budget
    from ganflow.tune.control import Control, Live
    from ganflow.tune.executors import bundles, executor_of, workers
    from ganflow.tune.preflight import Lacking, pack_of, preflight
    from ganflow.tune.schedulers import AHEAD, InTurn, Population, Room, make_scheduler
    from ganflow.tune.search import Proposals, make_searcher
    from ganflow.tune.trial import Trial
    from ganflow.tune.trials import TrialTable
    from ganflow.tune.watcher import Stopper, Watcher

    compat.skip_usage_tags()
    compat.report_every_death()
    rounds = rounds_of(plan)
    template = {
        "recipe": str(folder.recipe),
        "about": {
            "sweep": folder.id,
            "searched": list(plan.space.keys),
            "tracking": {"parent": folder.id, "log_model": False},
        },
        "metric": plan.metric,
        "mode": plan.mode,
        "objectives": several(plan.objectives),
        "stop": plan.tune.stop,
        "workers": workers(plan.tune),
        "data": _data(plan),
        "turns": (turns := plan.repeats.size > 1 and plan.tune.scheduler != "none"),
        "quantile": plan.tune.quantile,
        "home": os.getcwd(),
    }
    population = plan.tune.scheduler == "pbt"
    table = TrialTable(folder, template, in_common(plan), records, repeats=plan.repeats, varies=population)
    study = Study(plan.space, plan.mode, folder.sweep, folder.study, plan.objectives)
    searcher = make_searcher(plan.tune, plan.space, plan.mode, study)
    room = Room(1 if address == "local" or searcher.learns else AHEAD)
    rule: Stopping | Population | None = make_scheduler(plan.tune, plan.mode, rounds, room)
    if population:
        rule = Population(table, plan.space, plan.tune, plan.mode, rounds, room)
    control = Control(table, plan.space, plan.tune)
    control.settle(display.note)
    folder.update(trials=control.total)
    display.expect(control.total)
    budget = Budget(plan.tune, folder)
    proposed = sum(not trial.request for trial in table.searched()) >= searcher.total
    over = [trial for trial in table.trials.values() if trial.over and not tried_again(trial, retry_failed)]
    spent = budget.spent(table.failures(over))
    if spent and not (proposed and len(over) == len(table.trials)):
        begins()
        return spent
    unfinished = remember(table, plan.metric, searcher, rule, retry_failed=retry_failed)
    journal = Journal(folder.journal)
    watcher = Watcher(table, journal, plan.mode, display, plan.tune.retries)

    def packed() -> list[TrialRecord]:
        return table.unconfirmed(plan.tune.confirmed, plan.mode)

    if proposed and not unfinished and not packed():
        journal.close()
        begins()
        return None
    live = Live(control, watcher, searcher, budget, interruption)
    template["pack"] = pack = pack_of(plan, display.note)
    at_once = plan.repeats.size if turns else executor_of(plan.recipe, pack).together
    scratch = folder.path / SCRATCH
    _clear(scratch)
    waits = Lacking(plan.tune, display.note)
    with connect(address), guarded(lambda why: _abandon(folder, display, interruption, why), waits):
        for note in preflight(plan, folder, address):
            display.note(note)
        begins()
        tuner = tune.Tuner(
            tune.with_resources(Trial, bundles(plan.tune)),
            tune_config=tune.TuneConfig(
                search_alg=Proposals(table, plan.space, searcher, unfinished, room, at_once, lambda: table.confirm(packed())),
                scheduler=rule or InTurn(room),
                num_samples=-1,  # until the searcher has no more, and none can be added
                max_concurrent_trials=math.ceil(plan.tune.concurrency / at_once) or None,  # Ray counts packs
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=str(scratch),
                verbose=0,
                callbacks=[watcher, room, live],
                failure_config=tune.FailureConfig(max_failures=plan.tune.retries),
                stop=Stopper(watcher, interruption),
            ),
        )
        try:
            tuner.fit()
        finally:
            try:
                watcher.end()
                with suppress(OSError, GanflowError):  # a disk that failed is told of by the watcher
                    budget.note()
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        if watcher.broken:
            raise Broken(watcher.broken)
        return watcher.spent


def _clear(scratch: Path) -> None:
    """Remove what is there instead of Ray's folder, which is made anew: a driver that was killed has left it, or a stranger, with
    links that lead elsewhere, or with pickles.

    Raises:
        GanflowError: it cannot be removed.
    """
    try:
        if scratch.is_dir() and not scratch.is_symlink():
            shutil.rmtree(scratch)
        else:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        raise GanflowError(f"cannot remove {scratch}, which an earlier driver left: {error.strerror}") from error


def _data(plan: Plan) -> str:
    """The folder, or file, of the sweep's data; "" where there is none, or it is not there."""
    path = getattr(plan.recipe.data.settings, "path", None)
    return os.path.abspath(path) if isinstance(path, (str, Path)) and str(path) and os.path.exists(path) else ""


def _abandon(folder: SweepFolder, display: Display, interruption: Interruption, why: str) -> None:
    """End the process at once: the cluster can be used no more. The sweep's folder is all that is needed to go on."""
    folder.update(status="interrupted")
    display.__exit__(None, None, None)
    say(f"ganflow: {why}; go on with: ganflow tune --resume {folder.reference()}", err=True)
    number = interruption.received()  # the main thread waits for Ray, and may never come to it
    os._exit(128 + number if number else 1)
