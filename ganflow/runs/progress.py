"""Progress of a run: a live display on a terminal, plain lines anywhere else."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ganflow.advised import in_shell
from ganflow.errors import escaped
from ganflow.printing import Unread, say
from ganflow.runs import notebook
from ganflow.runs.folders import here

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import RenderableType

    from ganflow.contract.loss import Report

PARTS = 20  # plain lines: one for each twentieth of the rounds, or when this many seconds went by, …
EVERY_SECONDS, AT_MOST_SECONDS = 10.0, 60.0  # … more as the run gets longer
REFRESHES = 2  # of the live display, per second


_log = logging.getLogger("ganflow")


class Shown:
    """A display on stderr, so that stdout is left to results: live on a terminal and in a notebook, with rich, which draws it; in
    plain lines anywhere else. Its sentences are logged, too.

    Args:
        quiet: show nothing but warnings.
        stream: where to, instead of stderr.
    """

    def __init__(self, quiet: bool, stream: TextIO | None) -> None:
        self.stream: Any = Unread(stream or sys.stderr)  # what nobody reads ends no training
        self.quiet = quiet
        self._live: Any = None

    def _go_live(self) -> bool:
        """Begin to draw where that is possible; whether it is."""
        if not self.quiet and notebook.in_notebook():
            self._live = notebook.Live(self)
        elif not self.quiet and self.stream.isatty() and os.environ.get("TERM") != "dumb":
            self._live = live(self, self.stream)
        if self._live is not None:
            self._live.start()
        return self._live is not None

    def note(self, text: str) -> None:
        """Show a line above what is drawn: "samples/round-00000500.png"."""
        text = in_shell(text)
        _log.info(text)
        if self._live is not None:
            self._live.console.print(escaped(text), markup=False, highlight=False, soft_wrap=True)
        else:
            self._print(text)

    def detail(self, text: str) -> None:
        """Show a line of which few want to know: where the logger "ganflow" is at level DEBUG, as by `-v`."""
        if _log.isEnabledFor(logging.DEBUG):
            self.note(text)

    def _redrawn(self) -> None:
        if isinstance(self._live, notebook.Live):
            self._live.refresh()

    def warn(self, text: str) -> None:
        """Show a line that must not be missed, when quiet, too."""
        if self.quiet:
            _log.info(text)
            say(text, file=self.stream)
        else:
            self.note(text)

    def _print(self, line: str) -> None:
        if not self.quiet:
            say(line, file=self.stream)


class Progress(Shown):
    """Shows a run's reports, on stderr, so that stdout is left to results.

    On a terminal (with rich installed) a display of a few lines that stays in place; elsewhere plain lines, at most one
    per 5 % of the rounds or 10 s, besides the first and the last. A context manager.

    Args:
        rounds: of the whole run.
        start: rounds played before, in a run that is resumed.
        title: the run's name.
        quiet: show nothing but warnings.
        stream: where to, instead of stderr.
    """

    def __init__(self, rounds: int, start: int = 0, title: str = "", quiet: bool = False, stream: TextIO | None = None) -> None:
        super().__init__(quiet, stream)
        self.rounds, self.title = rounds, title
        self.round, self.speed = start, 0.0
        self.terms: dict[str, float] = {}
        self.estimates: dict[str, float] = {}
        self.picture: Path | None = None
        self.score = ""  # the first of the last evaluation, and its round
        self._first: tuple[int, float] | None = None  # the round and the time of the first report
        self._began = self._updated = self._last = self._printed = time.monotonic()
        self._shown = -1  # the round of the last line

    def __enter__(self) -> Progress:
        self._began = self._updated = self._last = self._printed = time.monotonic()
        if not self._go_live() and self.title:
            self._print(self.title)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()  # draws once more, and leaves it there
        elif self._first and self._shown < self.round:
            self._print(self._line())

    def update(self, report: Report) -> None:
        """Show a report."""
        self.round, self.estimates = report.round, dict(report.estimates)
        self.terms = {name: value for name, value in report.terms.items() if "/" in name}  # the sums are in the journal
        speed = report.rounds_per_second
        self.speed = speed if not self.speed else 0.8 * self.speed + 0.2 * speed
        now = time.monotonic()
        self._updated = self._last = now
        self._first = self._first or (report.round, now)
        if self._live is not None:  # draws itself, so many times a second
            self._redrawn()
            return
        patience = min(AT_MOST_SECONDS, max(EVERY_SECONDS, (now - self._began) / PARTS))
        entered = self._shown < 0 or self.round * PARTS // self.rounds > self._shown * PARTS // self.rounds
        if entered or self.round >= self.rounds or now - self._printed >= patience:
            self._print(self._line())
            self._shown, self._printed = self.round, now

    def scored(self, round: int, scores: Sequence[object]) -> None:
        """Show the scores of an evaluation; on a terminal the first one stays."""
        self.score, self._last = f"{scores[0]}  round {round}" if scores else "", time.monotonic()
        self.note(f"round {round}: " + "  ".join(map(str, scores)))

    def drawn(self, path: Path) -> None:
        """Show that there is a new picture."""
        self._last = time.monotonic()
        if path.exists():
            self.picture = path
            self._redrawn()

    @property
    def left(self) -> float | None:
        """Seconds until the end; None where that is not known yet. At the present speed, or as since the first report where that
        is slower: scores and pictures take their time, too."""
        if self.round >= self.rounds:
            return 0.0
        if not self._first or not self.speed > 0:
            return None
        first, since = self._first
        each = max(1 / self.speed, (self._updated - since) / max(1, self.round - first))
        return max(0.0, (self.rounds - self.round) * each - (time.monotonic() - self._updated))

    def _line(self) -> str:
        width = len(str(self.rounds))
        head = f"round {self.round:>{width}}/{self.rounds}"
        values = [f"{name} {number(v)}" for name, v in (*self.terms.items(), *self.estimates.items())]
        return "  ".join([head, *self._clock(), *values, f"{rate(self.speed)} rounds/s"])

    def _clock(self) -> list[str]:
        if self.round >= self.rounds:
            return [f"took {clock(self._last - self._began)}"]
        return [] if self.left is None else [f"{clock(self.left)} left"]

    def __rich__(self) -> RenderableType:
        return _display(self)


def number(value: float) -> str:
    """Four digits that matter: 12345, 0.3121, -1.5e-05."""
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e7 else f"{value:.4g}"


def rate(value: float) -> str:
    """Three digits that matter: 1234, 56.7, 0.0123."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def clock(seconds: float) -> str:
    """2:05, or 1:02:05."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


def live(shown: Any, stream: Any) -> Any:
    """rich's live display of what rich can show; None where rich is not installed."""
    try:
        from rich.console import Console
        from rich.live import Live
    except ImportError:
        return None
    return Live(
        shown,
        console=Console(file=stream),
        refresh_per_second=REFRESHES,
        # what a plugin prints goes above the display, unless it is piped elsewhere
        redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
        redirect_stderr=sys.stderr is not None and sys.stderr.isatty(),
    )


def _display(progress: Progress) -> RenderableType:
    """A bar, then a line per player with its terms, and one for the estimates."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    done = progress.round >= progress.rounds
    head = Table.grid(padding=(0, 2), expand=True)
    head.add_column(no_wrap=True)
    head.add_column(ratio=1)
    head.add_column(no_wrap=True, justify="right")
    head.add_column(no_wrap=True, justify="right")
    share = progress.round / max(1, progress.rounds)
    head.add_row(
        Text(escaped(progress.title) or "round", style="bold"),
        ProgressBar(total=1.0, completed=share, complete_style="green" if done else "cyan", finished_style="green"),
        Text.assemble((f"{progress.round}", "bold"), f"/{progress.rounds}"),
        Text(f"{share:4.0%}"),
    )
    times = [f"{rate(progress.speed)} rounds/s"] if progress.speed else ["starting"]
    times += [f"{clock(time.monotonic() - progress._began)} gone"] if not done else []
    times += progress._clock()
    rows: dict[str, dict[str, float]] = {}
    for name, value in progress.terms.items():
        player, _, term = name.rpartition("/")
        rows.setdefault(player, {})[term] = value
    if progress.estimates:
        rows["estimates"] = progress.estimates
    body = Table.grid(padding=(0, 2))
    body.add_column(style="dim", no_wrap=True)
    body.add_column()
    for player, terms in rows.items():
        pairs = [Text.assemble((escaped(name), "cyan"), " ", (f"{number(v):<9}", "bold")) for name, v in terms.items()]
        body.add_row(Text(escaped(player)), Text("  ").join(pairs))
    body.add_row("speed", Text("   ").join(Text(t) for t in times))
    if progress.score:
        body.add_row("score", Text(escaped(progress.score)))
    if progress.picture is not None:
        body.add_row("picture", Text(escaped(str(here(progress.picture))), overflow="fold"))
    return Group(head, body)
