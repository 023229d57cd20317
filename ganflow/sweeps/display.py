"""Display of a sweep's trials, on a terminal or line by line."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, TextIO

from ganflow.errors import escaped
from ganflow.runs.progress import Shown, clock
from ganflow.sweeps import table
from ganflow.sweeps.durations import Durations
from ganflow.sweeps.ranking import best_of, front_of, latest_of, leading, ranking
from ganflow.sweeps.records import WRONG, Mode, Objectives, Repeated, TrialRecord, several

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

EVERY_SECONDS, AT_MOST_SECONDS = 10.0, 60.0  # plain lines besides those of trials that begin or end; more as it gets longer
PARTS = 20  # … namely a twentieth of the time gone
BESIDES = 4  # lines that the terminal needs besides the table's rows: headings, how many more, the cursor's
COLOURS = {"running": "cyan", "waiting": "dim", "finished": "green", "stopped": "yellow", "diverged": "red", "failed": "bold red"}
COLOURS |= {table.CONFIRMING: "cyan"}


def _trainings(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The trials, and those trainings by themselves that are not over."""
    return [*trials, *(trial.again for trial in trials if trial.again is not None)]


def _news(trial: TrialRecord) -> tuple[str, int, bool]:
    """News of a trial that are worth a line: its state, how often it was copied, and if it is trained again by itself."""
    return (trial.again or trial).state, len(trial.copied), trial.again is not None or trial.confirmed is not None


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
        objectives: with several metrics: these; a Pareto front is then shown in place of a best trial.
        stop: values at which a trial is ended, "seconds" and "round" among them.
        quiet: show nothing but warnings.
        stream: where to, instead of stderr.
    """

    def __init__(
        self,
        sweep_name: str,
        metric: str,
        mode: Mode,
        keys: Sequence[str],
        total: int | None = None,
        *,
        rounds: int = 0,
        objectives: Objectives | None = None,
        stop: Mapping[str, float] | None = None,
        quiet: bool = False,
        stream: TextIO | None = None,
    ) -> None:
        super().__init__(quiet, stream)
        self.name, self.metric, self.mode, self.keys = sweep_name, metric, mode, list(keys)
        self.total, self.rounds, self.objectives = total or 0, rounds, several(objectives or {})
        self.trials: list[TrialRecord] = []
        self._announced: dict[int, tuple[str, int, bool]] = {}  # trial → what its last line was about, see `_news`
        ends = stop or {}
        self._durations = Durations(int(min(rounds, ends.get("round", rounds))), ends.get("seconds", math.inf))
        self._ends = math.inf  # when the sweep's budget will be used up
        self._updated = False
        self._finished: Mapping[int, object] = {}
        self._fronts: list[TrialRecord] = []
        self._began = self._printed = time.monotonic()

    def __enter__(self) -> Display:
        self._began = self._printed = time.monotonic()
        if not self._go_live():
            many = f"{self.total} trials" if self.total else "trials"
            self._print(f"{self.name}: {many}, {table.describe(self.objectives or {self.metric: self.mode})}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()  # draws once more, and leaves it there
        elif self.trials:
            self._print(self._summary())

    def __getstate__(self) -> dict[str, object]:
        """Return nothing: Ray keeps callbacks in files, and what is drawn on a terminal holds locks, which cannot be kept."""
        return {}

    def update(self, trials: list[TrialRecord]) -> None:
        """Show the states of all trials. It may be called at every report without showing more."""
        self.trials = trials
        self._durations.update(_trainings(trials), time.monotonic())
        if not self._updated:
            self._updated = True
            self._announced = {t.number: _news(t) for t in trials if t.over and t.again is None}
            if self._announced and self._live is None:
                self._print(f"goes on: {self._summary()}")
        for trial in trials:
            self._announce(trial)
        if self._live is not None:  # draws itself, so many times a second
            return
        now = time.monotonic()
        if now - self._printed >= min(AT_MOST_SECONDS, max(EVERY_SECONDS, (now - self._began) / PARTS)):
            self._print(self._summary())

    def expect(self, total: int) -> None:
        """Expect another number of trials: some were added."""
        self.total = total

    def expect_end(self, seconds: float) -> None:
        """Expect that the sweep's budget is used up in so many seconds."""
        self._ends = time.monotonic() + seconds

    @property
    def left(self) -> float | None:
        """Seconds until the last trial's end, by how long those took that are over (see `Durations`), or until the budget is used
        up; None where that is not known yet."""
        now, every = time.monotonic(), _trainings(self.trials)
        total = self.total + len(every) - len(self.trials)
        left = self._durations.left(every, total, now) if self.total else None
        return None if left is None else min(left, max(0.0, self._ends - now))

    def _announce(self, trial: TrialRecord) -> None:
        """Print a line about news of a trial, if they are worth one."""
        before, now = self._announced.get(trial.number, ("waiting", 0, False)), _news(trial)
        if now == before:
            return
        self._announced[trial.number] = now
        whole, trial = trial, trial.again or trial
        words = [f"trial {whole.number} {trial.state}", "by itself" if now[2] else ""]
        if trial.over:
            words += [table.scored(trial, self.metric)]
            words += [f"{table.played(trial, self.rounds)} rounds"]
            words += [" ".join(trial.error.split()) if trial.state in WRONG else self._best()]
            over = table.over(self.trials)
            words += [table.confirmed(self.trials) if now[2] else f"{over}/{self.total} over" if self.total else f"{over} over"]
        elif now[1] > before[1]:
            source, round = trial.copied[-1]
            words = [f"trial {whole.number} copies trial {source} at round {round}", self._config(trial)]
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
        return table.config_line(trial.config, self.keys)

    def _best(self) -> str:
        if self.objectives:
            front = self._front()
            return f"front of {len(front)}" if front else "no front yet"
        if best := table.best(self.trials, self.mode):
            return f"best {best}"
        first = leading(self.trials, self.mode)
        return f"leading: {table.leader(first, self.metric, self.rounds)}" if first else "no best yet"

    def _front(self) -> list[TrialRecord]:
        """The Pareto front so far. It is sorted again only where more trials are finished, or other ones."""
        finished = {t.number: t.state == "finished" and (t.score, t.confirmed) for t in self.trials}
        if finished != self._finished:
            self._finished, self._fronts = finished, front_of(self.trials, self.objectives)
        return self._fronts

    def _clock(self) -> list[str]:
        times = [f"{clock(time.monotonic() - self._began)} gone"]
        left = self.left
        return [*times, f"about {clock(left)} left"] if left else times

    def _summary(self) -> str:
        words = [table.counted(self.trials, self.total), table.confirmed(self.trials), self._best(), *self._clock()]
        return "  ".join(filter(None, words))

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
        states = [(f"{n} {state}", COLOURS.get(state, "")) for state, n in table.counts(self.trials, self.total).items() if n]
        more = filter(None, [table.confirmed(self.trials), *self._clock()])
        parts = [Text(text, style=style) for text, style in states] + [Text(text) for text in more]
        grid.add_row(Text(escaped(self.name), style="bold"), Text("  ").join(parts))
        if self.objectives:
            grid.add_row("front", table.front_numbers(self._front()) if self._front() else "")
        elif best := best_of(self.trials, self.mode):
            score = (escaped(f"{self.metric} {table.best(self.trials, self.mode)}"), "bold green")
            grid.add_row("best", Text.assemble(score, escaped(f"  {self._config(best)}")))
        elif first := leading(self.trials, self.mode):
            grid.add_row("leading", Text(escaped(f"{table.leader(first, self.metric, self.rounds)}  {self._config(first)}")))
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
            running = [t for t in trials if (t.again or t).state == "running"][: max(1, height * 2 // 3)]
            front = {t.number: t for t in self._front()}
            ranked = [*front.values(), *(t for t in ranking(trials, self.mode) if t.number not in front)]
            others = [t for t in ranked if t not in running]
            rows = running + others[: height - len(running)]
        keys = table.differing(trials, self.keys)
        names = table.short_names(keys)
        best = [t.number for t in self._front()] if self.objectives else [t.number for t in [best_of(trials, self.mode)] if t]
        body = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        body.add_column("trial", no_wrap=True, justify="right")
        body.add_column("state", no_wrap=True)
        seeds = any(isinstance(t, Repeated) for t in trials)
        again = bool(table.confirmed(trials))
        for name in self.objectives or [self.metric]:
            body.add_column(Text(escaped(name)), no_wrap=True, justify="right")
            if seeds:
                body.add_column("± sd (n)", no_wrap=True)
        for head in ("trained", "packed") if again else ():
            body.add_column(head, no_wrap=True, justify="right" if head == "packed" else "left")
        body.add_column("round", no_wrap=True)
        for key in keys:
            body.add_column(Text(escaped(names[key])), no_wrap=True, overflow="ellipsis")
        body.add_column("where", no_wrap=True, overflow="ellipsis", style="dim")
        for trial in rows:
            values = [Text(escaped(table.shown(trial.config, key))) for key in keys]
            state = table.state(trial)
            now = trial.again if trial.again is not None and state == table.CONFIRMING else trial
            style = "bold green" if trial.number in best else ""
            scores = [(trial.scores.get(name), name) for name in self.objectives] or [(latest_of(trial), "")]
            cells = []
            for score, name in scores:
                cells.append(Text(table.number(score), style=style))
                cells += [Text("" if score is None else table.spread(trial, name))] if seeds else []
            cells += [Text(trial.trained), Text(table.number(trial.packed))] if again else []
            cells += [Text(table.played(now, self.rounds)), *values, Text(escaped(now.place))]
            body.add_row(str(trial.number), Text(escaped(state), style=COLOURS.get(state, "")), *cells)
        more = len(trials) - len(rows)
        return [body, *([Text(f"and {more} more", style="dim")] if more else [])]
