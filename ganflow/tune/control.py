"""Control of a sweep from another terminal: requests, which are small files in its folder, and what its driver does with them."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune.experiment import Trial as RayTrial

from ganflow.errors import GanflowError
from ganflow.files import read_bytes, write_text
from ganflow.machine import broken
from ganflow.recipe import Tune
from ganflow.runs import folders
from ganflow.runs.ids import stamp
from ganflow.space.space import Config, Space
from ganflow.space.validation import read_point
from ganflow.sweeps.records import SweepFolder, TrialRecord
from ganflow.sweeps.repeats import latest
from ganflow.tune.budget import Budget
from ganflow.tune.trials import TrialTable

if TYPE_CHECKING:
    from ganflow.runs.interruption import Interruption
    from ganflow.tune.search import Searcher
    from ganflow.tune.watcher import Watcher

FOLDER = "requests"
BY_HAND = "by hand"
EVERY = 1.0
"""Seconds between two readings of the requests."""
_LARGEST = 65_536
_NAME = re.compile(r"[\w-]+\.json")


class Refused(GanflowError):
    """A request that cannot be met, in a sentence."""


@dataclass(frozen=True)
class Request:
    """Request to the driver of a sweep.

    Attributes:
        path: of its file, which is removed once it is met.
        add: values of a trial to try; None where something is to stop.
        stop: number of the trial to stop; None for the whole sweep.
    """

    path: Path
    add: dict[str, Any] | None = None
    stop: int | None = None

    @property
    def id(self) -> str:
        return self.path.stem


def ask(folder: SweepFolder, **request: Any) -> None:
    """Leave a request for the driver: `stop=3`, `stop=None` for the whole sweep, or `add={…}`.

    Raises:
        GanflowError: it cannot be written.
    """
    waiting = [path.name for path, _ in requests(folder)]
    path = folder.path / FOLDER / f"{stamp(waiting)}-{os.getpid()}.json"
    try:
        path.parent.mkdir(exist_ok=True)
        write_text(path, json.dumps(request) + "\n")
    except OSError as error:
        raise GanflowError(f"cannot write {path}: {error.strerror}") from error


def requests(folder: SweepFolder) -> Iterator[tuple[Path, Request | None]]:
    """The requests in a sweep's folder, oldest first; None for what is none."""
    try:
        with os.scandir(folder.path / FOLDER) as entries:
            names = [entry.name for entry in entries if _NAME.fullmatch(entry.name) and not entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in sorted(names):
        path = folder.path / FOLDER / name
        yield path, _read(path)


def _read(path: Path) -> Request | None:
    try:
        raw = read_bytes(path, _LARGEST + 1)
        ((action, value),) = json.loads(raw if len(raw) <= _LARGEST else "").items()
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    number = type(value) is int and value >= 0
    if action == "stop" and (value is None or number):
        return Request(path, stop=value)
    return Request(path, add=value) if action == "add" and isinstance(value, dict) and value else None


def check_values(values: dict[str, Any], space: Space) -> Config:
    """The values of a trial, keys in their one form.

    Raises:
        Refused: they are not in the space, or make no recipe that can be trained.
    """
    problems: list[str] = []
    point = read_point(values, "", space, lambda path, text: problems.append(text))
    if problems:
        raise Refused(problems[0])
    try:
        space.validate(space.sample(random.Random(0), point))
    except GanflowError as error:
        raise Refused(*error.args) from error
    return point


def check_joins(scheduler: str, trials: Iterable[TrialRecord], instead: str) -> None:
    """Check that further trials can join a sweep.

    Args:
        instead: what to do where it does not.

    Raises:
        Refused: they are one population, in which trials of the same time are compared, and one has ended.
    """
    ended = next((trial.number for trial in trials if trial.state == "finished"), None)
    if scheduler == "pbt" and ended is not None:
        why = f"trial {ended} has played to its end, and one that begins now would be compared with later ones alone"
        raise Refused(f"pbt trains one population, which takes no more trials: {why}; {instead}")


def check_new(config: Config, trials: Iterable[TrialRecord]) -> None:
    """Check that no trial has this configuration.

    Raises:
        Refused: one does.
    """
    same = next((trial.number for trial in trials if trial.config == config), None)
    if same is not None:
        raise Refused(f"trial {same} has these values already")


def again(folder: SweepFolder) -> str:
    """Advice to begin a new sweep from one's recipe."""
    return f"begin a new sweep from it: ganflow tune {shlex.quote(str(folders.here(folder.recipe)))}"


def total_of(count: int, trials: Iterable[TrialRecord]) -> int:
    """Number of trials that there will be: those that the searcher proposes, and those that were added."""
    return count + sum(bool(trial.request) for trial in trials)


class Control:
    """Control of a sweep none of whose trials runs.

    Attributes:
        count: trials that the searcher proposes.
    """

    def __init__(self, table: TrialTable, space: Space, tune: Tune) -> None:
        self.table, self.space, self.tune, self.count = table, space, tune, space.count(tune)
        self._met: set[Path] = set()

    @property
    def total(self) -> int:
        return total_of(self.count, self.table.pooled())

    def stop(self, number: int) -> None:
        """Stop a trial that waits: the sweep does not go on with it."""
        stop(self.table, number)

    def add(self, values: dict[str, Any], request: str = BY_HAND) -> int:
        """Add a trial with these values, others drawn at random; returns its number, the next one.

        Raises:
            Refused: they are not in the space, or a trial has them already, or the sweep takes no more.
        """
        point, trials = check_values(values, self.space), self.table.searched()
        check_joins(self.tune.scheduler, trials, again(self.table.folder))
        number = 1 + max(map(self.table.repeats.trial, self.table.trials), default=-1)
        config = self.space.sample(random.Random(f"{self.tune.seed}/{number}"), point)
        check_new(config, trials)
        for run in self.table.repeats.runs(number):
            self.table.record(run, config=config, state="waiting", request=request)
        self.table.folder.update(trials=self.total)
        return number

    def settle(self, note: Callable[[str], None]) -> None:
        """Meet the requests that are left in the folder. Each is removed after what it asks for is written down.

        Args:
            note: says why one cannot be met.
        """
        for path, request in requests(self.table.folder):
            if path in self._met:
                continue
            try:
                if request is None:
                    raise Refused(f"{path} is not a request")
                met = self._meet(request)
            except Refused as problem:
                note(f"a request is passed over: {problem}")
                met = True
            if met:
                self._met.add(path)
                with suppress(PermissionError):  # another user's
                    path.unlink(missing_ok=True)

    def _meet(self, request: Request) -> bool:
        """Return whether nothing is left to do."""
        if request.add is not None:
            known = request.id in {trial.request for trial in self.table.trials.values()}  # the driver died before it removed it
            if not known:
                self.add(request.add, request.id)
            return True
        if request.stop is None:
            self.stop_all()
            return True
        runs = [self.table.trials[run] for run in self.table.repeats.runs(request.stop) if run in self.table.trials]
        if not runs:
            raise Refused(f"there is no trial {request.stop}")
        if not all(map(over_for_good, runs)):
            self.stop(request.stop)
        return all(map(over_for_good, runs))

    def stop_all(self) -> None:
        """Do nothing: the sweep stopped before it knew of the request."""


def over_for_good(trial: TrialRecord) -> bool:
    """Tell whether a trial would not go on with its sweep."""
    return trial.over and not trial.cause


def stop(table: TrialTable, number: int) -> None:
    """Write down that a trial which does not run is not to be begun again, with what it has scored until now."""
    sweep = table.folder.read()
    for each in table.repeats.runs(number):
        if over_for_good(table.trials[each]):
            continue
        known = latest(table.folder, table.trials[each], sweep.metric, sweep.objectives)
        table.record(each, state="stopped", error=BY_HAND, cause="", **known)
        run = table.folder.trial(each)
        if run.is_run():
            run.update(status="stopped")
    table.folder.update(over=sum(trial.over for trial in table.pooled()))


class Live(Control, tune.Callback):
    """Control of a sweep that runs: meets requests and watches the budget once in a second, at a step of Ray's."""

    def __init__(
        self, before: Control, watcher: Watcher, searcher: Searcher, budget: Budget, interruption: Interruption
    ) -> None:
        super().__init__(before.table, before.space, before.tune)
        self.watcher, self.searcher, self.budget, self.interruption = watcher, searcher, budget, interruption
        self._next = 0.0

    def on_step_begin(self, iteration: int, trials: list[RayTrial], **info: Any) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + EVERY
        try:
            self.budget.count(sum(trial.status == RayTrial.RUNNING for trial in trials))
            self.watcher.display.expect_end(self.budget.left())
            self.settle(self.watcher.display.note)
        except (GanflowError, OSError) as error:
            fault = broken(error, self.table.folder.path)
            if fault is None:
                raise
            self.watcher.breaks(str(fault))
        spent = self.budget.spent(self.table.failures(self.table.trials.values()))
        if spent:
            self.watcher.ends(spent)

    def stop(self, number: int) -> None:
        runs = self.table.repeats.runs(number)
        playing = [run for run in runs if self.table.trials[run].state == "running"]
        packs = [each for each in self.table.numbers.values() if not set(each) <= set(runs)]  # their processes see the request
        for run in runs:
            if self.table.trials[run].state == "waiting":
                self.watcher.stopped(run, BY_HAND)
            elif run in playing and not any(run in each for each in packs):
                self.watcher.leaving[run] = BY_HAND
        if not playing:
            super().stop(number)  # also what the machine broke
            self.searcher.tell(next(trial for trial in self.table.pooled() if trial.number == number))

    def add(self, values: dict[str, Any], request: str = BY_HAND) -> int:
        number = super().add(values, request)
        runs = self.table.repeats.runs(number)
        self.searcher.tell(TrialRecord(number, self.table.trials[runs[0]].config))
        self.table.added.extend(runs)
        self.watcher.display.expect(self.total)
        return number

    def stop_all(self) -> None:
        self.interruption.signal = self.interruption.signal or signal.SIGINT
