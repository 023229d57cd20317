"""Callbacks of Ray Tune: records written, progress displayed, the best trial kept."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, TextIO

from ray import tune
from ray.tune.experiment import Trial as RayTrial

from ganflow.errors import GanflowError
from ganflow.machine import broken
from ganflow.printing import escaped
from ganflow.runs.folders import is_running
from ganflow.runs.journal import Journal, entries
from ganflow.runs.progress import Shown, clock
from ganflow.tune import records
from ganflow.tune.records import MACHINE, OVER, TrialRecord, best_of
from ganflow.tune.trials import TrialTable, why

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from ganflow.runs.loop import Interruption

EVERY_SECONDS, AT_MOST_SECONDS = 10.0, 60.0  # plain lines besides those of trials that begin or end; more as it gets longer
PARTS = 20  # … namely a twentieth of the time gone
BESIDES = 4  # lines that the terminal needs besides the table's rows: headings, how many more, the cursor's
COLOURS = {"running": "cyan", "waiting": "dim", "finished": "green", "stopped": "yellow", "diverged": "red", "failed": "bold red"}


class Display(Shown):
    """Display of a sweep's trials on stderr, so that stdout is left to results.

    On a terminal a table that stays in place, as high as the terminal allows; elsewhere a line when a trial starts, another when
    it is over, and between them one in 10 s at most. A context manager.

    Args:
        sweep_name: the sweep's.
        metric: what trials are judged by.
        mode: "min" or "max".
        keys: of the recipe that are searched.
        total: trials that there will be; None or 0 where that is not known.
        rounds: of a trial; 0 where that is not known.
        quiet: show nothing but warnings.
        stream: where to, instead of stderr.
    """

    def __init__(
        self,
        sweep_name: str,
        metric: str,
        mode: str,
        keys: Sequence[str],
        total: int | None = None,
        *,
        rounds: int = 0,
        quiet: bool = False,
        stream: TextIO | None = None,
    ) -> None:
        super().__init__(quiet, stream)
        self.name, self.metric, self.mode, self.keys = sweep_name, metric, mode, list(keys)
        self.total, self.rounds = total or 0, rounds
        self.trials: list[TrialRecord] = []
        self._announced: dict[int, tuple[str, int]] = {}  # trial → its state, and how often it was copied, at its last line
        self._before: float | None = None  # trials' worth of work that was done when this sweep began, or went on
        self._began = self._printed = time.monotonic()

    def __enter__(self) -> Display:
        self._began = self._printed = time.monotonic()
        if not self._go_live():
            many = f"{self.total} trials" if self.total else "trials"
            self._print(f"{self.name}: {many}, {self.metric} ({'less' if self.mode == 'min' else 'more'} is better)")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()  # draws once more, and leaves it there
        elif self.trials:
            self._print(self._summary())

    def update(self, trials: list[TrialRecord]) -> None:
        """Show the states of all trials. It may be called at every report without showing more."""
        self.trials = trials
        if self._before is None:
            self._before = sum(map(self._share, trials))
            self._announced = {t.number: (t.state, len(t.copied)) for t in trials if t.over}
            if self._announced and self._live is None:
                self._print(f"goes on: {self._summary()}")
        for trial in trials:
            self._announce(trial)
        if self._live is not None:  # draws itself, so many times a second
            return
        now = time.monotonic()
        if now - self._printed >= min(AT_MOST_SECONDS, max(EVERY_SECONDS, (now - self._began) / PARTS)):
            self._print(self._summary())

    @property
    def left(self) -> float | None:
        """Seconds until the last trial's end if things go on as they did; None where that is not known yet."""
        done = sum(map(self._share, self.trials))
        fresh, gone = done - (self._before or 0.0), time.monotonic() - self._began
        if not self.total or fresh <= 0 or gone <= 0:
            return None
        return max(0.0, self.total - done) * gone / fresh

    def _share(self, trial: TrialRecord) -> float:
        """Part of a trial that is done, from 0 to 1; all of one that was stopped early."""
        rounds = records.rounds_of(trial, self.rounds)
        return 1.0 if trial.over else min(1.0, trial.round / rounds) if rounds else 0.0

    def _announce(self, trial: TrialRecord) -> None:
        """Print a line about news of a trial, if they are worth one."""
        before, now = self._announced.get(trial.number, ("waiting", 0)), (trial.state, len(trial.copied))
        if now == before:
            return
        self._announced[trial.number] = now
        words = [f"trial {trial.number} {trial.state}", "by itself" if trial.confirmed is not None else ""]
        if trial.over:
            words += [f"{self.metric} {records.number(trial.score)} {records.spread(trial)}"] if trial.score is not None else []
            words += [f"{records.played(trial, self.rounds)} rounds"]
            words += [" ".join(trial.error.split()) if trial.state in records.WRONG else self._best()]
            over = sum(t.over for t in self.trials)
            words += [f"{over}/{self.total} over" if self.total else f"{over} over"]
        elif now[1] > before[1]:
            source, round = trial.copied[-1]
            words = [f"trial {trial.number} copies trial {source} at round {round}", self._config(trial)]
        elif trial.state == "running":
            words += [self._config(trial), trial.place]
        elif trial.error:
            words += [" ".join(trial.error.split())]
        else:
            return
        line = "  ".join(filter(None, words))
        if self._live is None:
            self._print(line)
        elif trial.error and trial.state != "running":  # the table has no room for reasons
            self.note(line)

    def _config(self, trial: TrialRecord) -> str:
        return records.config_line(trial.config, self.keys)

    def _best(self) -> str:
        best = best_of(self.trials, self.mode)
        return f"best {records.number(best.score)} (trial {best.number})" if best else "no score yet"

    def _clock(self) -> list[str]:
        times = [f"{clock(time.monotonic() - self._began)} gone"]
        left = self.left
        return [*times, f"about {clock(left)} left"] if left else times

    def _summary(self) -> str:
        return "  ".join([records.counted(self.trials, self.total), self._best(), *self._clock()])

    def _print(self, line: str) -> None:
        super()._print(line)
        self._printed = time.monotonic()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        head = self._head()
        yield head
        height = console.size.height - len(console.render_lines(head, options, pad=False)) - BESIDES
        yield from self._rows(max(3, height))

    def _head(self) -> RenderableType:
        """Name, states and times; then the best so far."""
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        grid.add_column()
        states = [(f"{n} {state}", COLOURS.get(state, "")) for state, n in records.counts(self.trials, self.total).items() if n]
        parts = [Text(text, style=style) for text, style in states] + [Text(text) for text in self._clock()]
        grid.add_row(Text(escaped(self.name), style="bold"), Text("  ").join(parts))
        best = best_of(self.trials, self.mode)
        if best:
            score = (escaped(f"{self.metric} {records.number(best.score)}"), "bold green")
            grid.add_row("best", Text.assemble(score, escaped(f"  trial {best.number}  {self._config(best)}")))
        return grid

    def _rows(self, height: int) -> list[RenderableType]:
        """Trials that were begun, in their order; where they are too many, those that run, then the best."""
        from rich.table import Table
        from rich.text import Text

        trials = [t for t in self.trials if t.state != "waiting" or t.round]
        if not trials:
            return [Text("starting", style="dim")]
        rows = trials
        if len(trials) > height:
            running = [t for t in trials if t.state == "running"][: max(1, height * 2 // 3)]
            others = [t for t in records.ranking(trials, self.mode) if t not in running]
            rows = running + others[: height - len(running)]
        keys = records.differing(trials, self.keys)
        names = records.short_names(keys)
        best = best_of(trials, self.mode)
        body = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        body.add_column("trial", no_wrap=True, justify="right")
        body.add_column("state", no_wrap=True)
        body.add_column(Text(escaped(self.metric)), no_wrap=True, justify="right")
        body.add_column("round", no_wrap=True)
        for key in keys:
            body.add_column(Text(escaped(names[key])), no_wrap=True, overflow="ellipsis")
        body.add_column("where", no_wrap=True, overflow="ellipsis", style="dim")
        for trial in rows:
            values = [Text(escaped(records.shown(trial.config, key))) for key in keys]
            state = Text(escaped(trial.state), style=COLOURS.get(trial.state, ""))
            score = Text(records.number(trial.score), style="bold green" if trial is best else "")
            body.add_row(str(trial.number), state, score, records.played(trial, self.rounds), *values, Text(escaped(trial.place)))
        more = len(trials) - len(rows)
        return [body, *([Text(f"and {more} more", style="dim")] if more else [])]


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


class Watcher(tune.Callback):
    """Records and displays the trials' results."""

    def __init__(self, table: TrialTable, journal: Journal, mode: str, display: Display) -> None:
        self.table, self.journal, self.mode, self.display = table, journal, mode, display
        self.stopping = False  # the whole sweep is being interrupted
        self.broken = ""  # the disk or mount that failed, in a sentence
        self._noted: set[str] = set()
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
        for number in [t.number for t in self.table.trials.values() if not t.over]:
            self.table.record(number, state="waiting", error="")
            self._warn(number)
        for number in [t.number for t in self.table.trials.values() if t.state == "stopped"]:
            self._settle(number)

    @interrupting
    def on_trial_start(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
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
            self.table.update(one["trial"], **{name: one[name] for name in ("round", "score", "place") if name in one})
            if one["state"] in OVER:  # Ray's "done" is also set where the scheduler stops it
                self._is_over(one["trial"], one["state"], one["error"])
        self._show()

    @interrupting
    def on_trial_complete(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        for number in self._running(trial):  # the scheduler ended it
            self._is_over(number, "stopped", "")
            self._settle(number)
        self._show()

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
        error = f"{reason.words} ({trial.num_failures} times)" if trial.num_failures > 1 else reason.words
        for number in self._running(trial):
            run = self.table.folder.trial(number)
            if run.is_run():  # which nobody is there to note
                run.update(status="failed", error=error)
                self.table.update(number, round=max((entry.round for entry in entries(run.journal)), default=0))
            self._is_over(number, "failed", error, MACHINE if reason.machine else "")
        self._show()

    @interrupting
    def on_trial_recover(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        reason = why(trial)
        if reason.broken:
            self.breaks(reason.words)
            return
        self._record(trial, state="waiting", error=f"{reason.words}; it is begun again from its last checkpoint")

    def breaks(self, what: str) -> None:
        """Interrupt the sweep: a disk or a mount failed, and would end every other trial, too."""
        self.broken = self.broken or what

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
        known = self.table.update(number, state=state, error=error, cause=cause)
        names = ("score", "round", "place", "state", "error", *(["cause"] if cause else []))
        self.table.folder.record(number, **{name: getattr(known, name) for name in names})
        self._warn(number)
        over = sum(t.over for t in self.table.searched())
        if over > self._over:
            self._over = over
            self.note_course()
        elif known.confirms is not None:
            self.note_best()

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
        """Write the search's best so far in the journal, by the number of trials that are over; and what `note_best` does."""
        if best := best_of(self.table.searched(), self.mode):
            self.journal.append(self._over, {"best": float(best.score or 0.0)})
        self.note_best()

    def note_best(self) -> None:
        """Write in run.json the best so far, once one was confirmed the best of those."""
        best = best_of(self.table.pooled(), self.mode)
        values: dict[str, Any] = {"over": self._over}
        if best is not None:
            first, packed = self.table.repeats.runs_of(best)[0], {} if best.packed is None else {"packed": best.packed}
            values["best"] = {"trial": best.number, "run": first, "score": best.score, "config": best.config, **packed}
        self.table.folder.update(**values)


class Stopper(tune.Stopper):
    """Stops all trials of an interrupted sweep, or of one whose disk failed."""

    def __init__(self, watcher: Watcher, interruption: Interruption) -> None:
        self.watcher, self.interruption = watcher, interruption
        self._noted = False

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        watcher, signal = self.watcher, self.interruption.signal
        if (signal or watcher.broken) and not watcher.stopping:
            watcher.stopping = True
            with suppress(OSError):
                watcher.table.folder.update(status="interrupted")  # by which the trials know that they are to go on
        if signal and not self._noted:
            self._noted = True
            watcher.display.note("stopping: every trial keeps a checkpoint (Ctrl-C again: at once, without)")
        return watcher.stopping
