"""One run from its parts to its end."""

from __future__ import annotations

import os
import random
import socket
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ganflow.contract.loss import Report
from ganflow.engine.build import DTYPES, build_game, build_metrics, build_round, build_trackers, twin
from ganflow.engine.compile import NotCompilable
from ganflow.engine.distributed import Group
from ganflow.engine.feed import feed
from ganflow.engine.game import Game
from ganflow.engine.memory import check_memory
from ganflow.engine.player import parts_of
from ganflow.engine.rendezvous import Lost
from ganflow.engine.speed import choose, worth_compiling
from ganflow.engine.trainer import Diverged, Trainer
from ganflow.errors import GanflowError, Unreadable, in_shell_of
from ganflow.evaluation.data_line import data_line
from ganflow.machine import broken
from ganflow.plugins.loading import ended_from_outside, plugins_fault
from ganflow.printing import plural
from ganflow.recipe import Recipe
from ganflow.runs import checkpoints
from ganflow.runs.alarms import Alarms, against_not_finite, not_finite, record, watched
from ganflow.runs.amend import after_divergence, again, change_of, same_data, set_rates
from ganflow.runs.folders import RunFolder, make_inner
from ganflow.runs.interruption import Interruption, interruptible
from ganflow.runs.loading import describe, fitting, load_average
from ganflow.runs.loop import Follower, Loop, Result, is_false
from ganflow.runs.new import Copy, Position, changes, origin, tracking, write_recipe
from ganflow.runs.progress import Progress
from ganflow.runs.record import Best, Compiled, RunRecord
from ganflow.runs.trying import check_best, check_shares, classes_possible

ERROR = "error.txt"


class Parts:
    """Everything that one run is made of, as far as it plays.

    Args:
        group: the workers that train together; None for this one alone.
        before: the record of a run that goes on, which keeps what it computes with. Another number of workers gives other bits
            anyway; each of several workers finds by itself what precision `auto` means, and all the same.
        measure: try what is fast, where the recipe leaves that open.

    Attributes:
        choice: threads and precision.

    Raises:
        GanflowError: the parts do not fit each other, or the batch cannot be shared by so many workers.
    """

    def __init__(
        self, recipe: Recipe, group: Group | None = None, before: RunRecord | None = None, measure: bool = False
    ) -> None:
        self.recipe, self.group, self.before, train = recipe, group, before, recipe.train
        check_shares(recipe, group.size if group else 1)
        record = before if before and before.workers == 1 and not group else RunRecord()
        threads = group.threads if group else record.threads  # 0 where nothing is known
        # What is learnt while the data are built (a text encoder) must be the same when the run goes on: with as many threads.
        self.threads_to_build = record.threads_to_build or threads or train.threads or torch.get_num_threads()
        torch.set_num_threads(self.threads_to_build)
        if train.deterministic != torch.are_deterministic_algorithms_enabled():  # a sweep's process plays many recipes
            torch.use_deterministic_algorithms(train.deterministic)  # imports torch._dynamo, a second of every start
        random.seed(train.seed)  # a plugin may draw from these; torch's generator is seeded by build_game
        np.random.seed(train.seed % 2**32)
        self.composition = recipe.composition()
        self.data = self.composition.build("data")
        self.game = build_game(recipe, self.composition, self.data, group=group)
        check_memory(recipe, self.game, workers=group.size if group else 1)
        chosen = choose(recipe, self.game, measure=measure and not threads and group is None)
        precision = (record.precision if train.precision == "auto" else "") or chosen.precision
        self.choice = replace(chosen, threads=threads or chosen.threads, precision=precision)
        torch.set_num_threads(self.choice.threads)
        self.feed = feed(
            self.data,
            train.batch_size,
            train.seed,
            self.game.device,
            DTYPES[train.precision],
            channels_last=train.channels_last,
            share=group.share(train.batch_size, train.accumulate) if group else None,
            fields=self._read_fields,
        )
        self.round = build_round(recipe, self.composition, self.game, self.choice.precision)
        self.trainer = Trainer(self.game, self.feed, self.round, train.batch_size, train.seed, group)

    @property
    def _read_fields(self) -> frozenset[str]:
        """Fields of the data that a step reads."""
        return frozenset[str]().union(*self.game.needs.values())


@dataclass(frozen=True)
class Outcome:
    """The end of a run.

    Attributes:
        status: "finished", "interrupted" or "stopped" (saved, can be resumed).
        signal: the number of the signal that interrupted it, else 0.
        alarm, advice: the alarm that stopped it; how it is trained on, where it had ended before; each in a sentence.
    """

    folder: RunFolder
    status: str
    round: int
    signal: int = 0
    alarm: str = ""
    advice: str = ""


@dataclass(frozen=True)
class RunOptions:
    """Everything that a run is made with besides its recipe.

    Attributes:
        quiet: show nothing.
        trial: part of a sweep, which shows it, stops it and sends it to MLflow.
        packed: its rounds are played together with other trials'.
        copy: the checkpoint that it goes on from is not its own.
        tracking: values of its record's `tracking` besides the recipe's.
        follower: makes the process that sends its folder to a server; None where nothing is sent.
        on_report: called with each report; if it returns False, the run ends after this round.
    """

    quiet: bool = False
    trial: bool = False
    packed: bool = False
    copy: Copy | None = None
    tracking: Mapping[str, Any] = field(default_factory=dict)
    follower: Callable[[RunFolder], Follower] | None = None
    on_report: Callable[[Report], object] | None = None


def built(recipe: Recipe, options: RunOptions, before: RunRecord | None, group: Group | None) -> Run:
    """A run that can begin; arguments as those of `Run`. Raises GanflowError where its parts do not fit, or a plugin fails."""
    try:
        return Run(recipe, options, before, group)
    except (Exception, SystemExit) as error:
        fault = plugins_fault(error, "when the run was built", "--debug shows the traceback")
        if fault is None:
            raise
        raise fault from error


class Run(Parts):
    """Everything that one run is made of. Nothing is written before all of it is built and fits.

    Args:
        before: the record of a run that goes on; None for a new one.
        group: the workers that train together, of which this one is the first.
    """

    def __init__(self, recipe: Recipe, options: RunOptions, before: RunRecord | None, group: Group | None = None) -> None:
        self.options, self.workers = options, group.size if group else 1
        self.loop: Loop | None = None
        self.interruption = Interruption()
        self._early = "interrupted"  # the status of a run that is stopped before its last round
        super().__init__(recipe, group, before, measure=not options.trial)
        self.metrics = build_metrics(self.composition, self.game)
        if not before:
            check_best(recipe, self.metrics)
        self.trackers = build_trackers(self.composition, self.game)

    def results(self, position: Position) -> Generator[Result, None, Outcome]:
        """Train to the end; yields whenever something was reported."""
        with self.opened(position) as loop:
            yield from loop.results()
            status = loop.end(self._early)
            alarm = loop.alarms.stopped if loop.alarms and status == "stopped" else ""
        return Outcome(position.folder, status, self.trainer.round, self.interruption.signal, alarm)

    def stop(self, status: str = "interrupted") -> None:
        """End the run after the round in hand, with this status where that is not its last."""
        self._early, self.trainer.stop = status, True

    def _report(self, report: Report) -> None:
        """Pass a report on."""
        if self.options.on_report is not None and is_false(self.options.on_report(report)):
            self.stop("stopped")

    @contextmanager
    def opened(self, position: Position) -> Iterator[Loop]:
        """The run's loop, ready to begin or to go on. An error while this lasts is recorded in the folder, and raised as a
        sentence."""
        folder, recipe, options, begun = position.folder, self.recipe, self.options, not self.before
        with (
            Progress(recipe.train.rounds, position.round, f"{recipe.name} · {folder.id}", quiet=options.quiet) as progress,
            nullcontext(Interruption()) if options.trial else interruptible(self.stop) as self.interruption,
        ):
            try:
                self.composition.begin(self.game)
                if position.source and not position.checkpoint:
                    load_average(self.game, position.source)
                if not self.before:
                    self.data.keep(folder.path)
                    position.say(progress.note)
                make_inner(folder)
                best = self._load(position, progress, self.before) if self.before else None
                if position.amended:
                    folder.update(amended=list(position.amended))
                if position.changed:
                    write_recipe(folder, recipe)
                if not options.trial:
                    free = classes_possible(self.game, self.composition, recipe)
                    progress.note(f"data {data_line(self.data, self._read_fields, free=free)}")
                progress.note(_networks(recipe, self.game))
                for detail in self.choice.notes:
                    progress.detail(detail)
                folder.update(**self._resumed_values(), compile=self._compile(progress))
                begun = True
                if self.group:
                    self.group.join(self.game.device)
                    self.trainer.share()
                    examples = recipe.train.batch_size // self.workers
                    progress.note(f"{self.workers} workers, {examples} example{'s' if examples > 1 else ''} each")
                self.loop = Loop(
                    recipe, self.trainer, self.metrics, self.trackers, self.composition, folder, progress, best,
                    trial=options.trial, follower=options.follower(folder) if options.follower else None,
                    alarms=self._alarms(position, progress), on_report=self._report if options.on_report else None,
                )  # fmt: skip
                yield self.loop
            except BaseException as error:
                if not begun and isinstance(error, GanflowError):
                    raise  # it does not go on, and is what it was
                failure = self._failed(folder, error)
                if failure is error:
                    raise
                raise failure from error
            finally:
                self.feed.close()
                if self.loop:
                    self.loop.close()

    def _alarms(self, position: Position, progress: Progress) -> Alarms | None:
        """The watch over the run's health, as the recipe has it."""
        folder, trial = position.folder, self.options.trial
        if self.before and self.before.alarms:  # those that came after the checkpoint come again
            folder.update(alarms=[alarm for alarm in self.before.alarms if alarm["round"] <= position.round])
        what = watched(self.recipe.train, trial=trial)
        if what == "never":
            return None
        alarms = Alarms(self.recipe, self.trainer, folder, progress.note if trial else progress.warn, what)
        if position.checkpoint and (state := position.checkpoint.plain.get("health")):
            # of another version, or damaged: it begins anew
            with suppress(LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
                alarms.load_state(state)
        return alarms

    def _load(self, position: Position, progress: Progress, before: RunRecord) -> Best | None:
        """Restore the state of the checkpoint; returns the best score so far. Damaged checkpoints are put aside and recorded,
        with a warning."""
        say, folder, found = progress.note, position.folder, position.checkpoint
        if position.damaged:
            known = list(before.damaged)
            for file in position.damaged:
                file.path.replace(file.path.with_suffix(".damaged"))
                known.append({"checkpoint": file.path.name, "why": str(file), "gone_on_from": position.round})
                (say if self.options.trial else progress.warn)(f"damaged checkpoint passed over: {file}")
            folder.update(damaged=known)
            if self.options.quiet and not self.options.trial:
                progress.warn(f"going on from round {position.round}")
        for difference in changes(before, self.values):
            say(difference)
        (folder.path / ERROR).unlink(missing_ok=True)
        if found is None:
            say("no checkpoint yet: starting again from round 0")
            position.say(say)
            return None
        with fitting(found):
            lost = self.trainer.load_state(found.tensors, found.plain)
            if copy := self.options.copy:
                for part in parts_of(self.game.players).values():
                    part.reset_numbers()
                self.trainer.reseed(copy.seed(self.recipe.train.seed))
            set_rates(self.game.players, position.amended, found.round)
        say(f"going on from round {found.round}")
        position.say(say)
        if lost:
            say(lost)
        best: Best | None = found.plain["best"] or None
        return best

    def _resumed_values(self) -> dict[str, Any]:
        """Values of the run's record that change when it goes on."""
        names = ["status", "rounds", "device", "pid", "host", "tracking", "workers", "threads", "threads_to_build", "precision"]
        begun: dict[str, Any] = {"error": None} | ({"untracked": []} if self.before and self.before.untracked else {})
        if self.before and same_data(self.before, self.values["data"]["fingerprint"]):  # they may lie elsewhere now
            begun["data"] = self.values["data"]
        return {name: self.values[name] for name in names} | begun

    def _compile(self, progress: Progress) -> Compiled:
        """Choose eager or compiled rounds, once per run: a resumed run goes on as it began."""
        train = self.recipe.train
        same = self.before and self.before.device == str(self.game.device)
        chosen: Compiled | None = self.before.compile if self.before and same else None
        if self.group:
            chosen = {"mode": "never", "why": "several workers exchange gradients within a round"}
        elif self.options.packed:
            chosen = {"mode": "never", "why": "packed"}
        elif chosen is None:
            mode: Any = train.compile
            why = "as the recipe says"
            if mode == "auto":
                mode, why = worth_compiling(self.game, train.n_critic, train.batch_size, train.rounds)
            chosen = {"mode": mode, "why": why}
        if chosen["mode"] == "never":
            if train.compile == "auto":
                progress.detail(f"eager rounds: {chosen['why']}")
            return chosen
        progress.note(f"compiling the {chosen['mode']} …")
        progress.detail(chosen["why"])
        try:
            self.trainer.compile(chosen["mode"] == "round", lambda: twin(self.recipe, self.game), train.rounds)
        except NotCompilable as error:
            if train.compile != "auto":
                raise GanflowError(f"train.compile: {error}; set compile: never") from error
            progress.note(f"eager rounds after all: {error}")
            chosen = {"mode": "never", "why": str(error)}
        return chosen

    @cached_property
    def values(self) -> dict[str, Any]:
        """Values of the run's record when it begins."""
        return {
            "status": "running",
            **origin(self.recipe),
            "name": self.recipe.name,
            "round": 0,
            "rounds": self.recipe.train.rounds,
            "seed": self.recipe.train.seed,
            "device": str(self.game.device),
            "threads": self.choice.threads,
            "threads_to_build": self.threads_to_build,
            "precision": self.choice.precision,
            "workers": self.workers,
            "data": describe(self.data),
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "tracking": {**tracking(self.recipe, self.before), **self.options.tracking},
        }

    def _failed(self, folder: RunFolder, error: BaseException) -> BaseException:
        """Record a failure in the folder; returns the error that says what is kept, and whose code it was."""
        if self.loop:
            with suppress(Exception):  # a checkpoint may still be on its way
                self.loop.writer.wait()
        failure, status, advice, log = error, "failed", "", folder.path / ERROR
        if isinstance(error, KeyboardInterrupt) or broken(error) or ended_from_outside(error):
            status = "interrupted"
        elif isinstance(error, Diverged):
            found, _ = checkpoints.newest(folder.checkpoints)
            kept = f"the last good checkpoint is {found.path}" if found else "there is no checkpoint yet"
            advice = against_not_finite(self.recipe, str(error), self.trainer.game)
            how = after_divergence(folder, self.recipe, str(error), bool(found)) if not self.options.trial else ""
            failure = GanflowError(f"{error}; {kept}. Try {advice}" + (": " + how if how else ""))
        elif isinstance(error, (Lost, Unreadable)) and not self.options.trial:
            failure = type(error)(error.text + "; go on from the last checkpoint with: " + again(folder, change_of(error)))
        elif isinstance(error, (Exception, SystemExit)):
            failure = plugins_fault(error, f"after {plural(self.trainer.round, 'round')}", f"the traceback is in {log}") or error
        with suppress(OSError, GanflowError):  # a full disk must not hide the error itself
            folder.update(status=status, round=self.trainer.round, error=in_shell_of(failure))
            if isinstance(error, Diverged):
                record(folder, not_finite(error, advice))
            if status == "failed":
                log.write_text("".join(traceback.format_exception(error)))
        if self.loop:
            with suppress(OSError):
                self.loop.trackers.end(status)
        for listener in self.composition.listeners("run_ended"):
            with suppress(Exception):  # all of them are called
                listener(game=self.game, status=status)
        return failure


def _networks(recipe: Recipe, game: Game) -> str:
    """The networks and their sizes, in a sentence."""
    texts = []
    for role, network in {"generator": game.generator, "critic": game.critic}.items():
        if network is None or (chosen := getattr(recipe, role)) is None:
            continue
        text = f"{role} {chosen.component.name}: {sum(p.numel() for p in network.parameters()):,} parameters"
        if (pixels := getattr(network, "receptive_field", None)) is not None:  # of a critic of patches
            text += f", a score sees {pixels} × {pixels} pixels"
        texts.append(text)
    return "; ".join(texts)
