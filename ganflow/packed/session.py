"""Trials trained as one batched computation, each with folder, checkpoints and journal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import Any

from ganflow.contract.loss import Report
from ganflow.engine.compile import NotCompilable
from ganflow.engine.speed import arithmetic
from ganflow.engine.trainer import Diverged
from ganflow.errors import GanflowError
from ganflow.machine import broken
from ganflow.packed import Member, NotPackable, PackedTrainer
from ganflow.recipe import Recipe
from ganflow.runs import folders as folders_module
from ganflow.runs.checkpoints import BEST, Damaged, read
from ganflow.runs.folders import RunFolder
from ganflow.runs.loop import Loop, Result
from ganflow.runs.start import prepare_trial

OPERATIONS = 1e-3
"""Seconds that a packed round's operations take besides their arithmetic."""
GAIN, COST = 0.45, 30.0
"""What compiling saves of a packed round's time, and the seconds that it takes where nothing is cached."""


class PackSession:
    """Several trials' runs, played together step by step: iterate to the end.

    Each step is a list with what was reported of every trial: a `Result`, the error that ended it, or None where it has
    ended well. The last step tells so of all of them. A trial whose parts do not fit, whose terms are not finite, or whose
    plugin fails is over; the others go on.

    Args:
        trials: recipe, folder and what run.json says besides, as for `open_trial`.

    Attributes:
        over: what ended each trial that is over, as in the steps.

    Raises:
        NotPackable: with the reason; nothing was played, and each can be opened by itself.
        GanflowError: (while iterating) what concerns all of them.
    """

    def __init__(self, trials: Sequence[tuple[Recipe, RunFolder, Mapping[str, Any]]]) -> None:
        self.over: dict[int, GanflowError | None] = {}
        self._count = len(trials)
        self._early = "stopped"
        self._loops: dict[int, Loop] = {}
        self._stacks: dict[int, ExitStack] = {}
        self._packed: PackedTrainer | None = None
        start = _rewind_to_common([folder for _, folder, _ in trials])
        with ExitStack() as all_:
            members = []
            for i, (recipe, folder, about) in enumerate(trials):
                self._stacks[i] = all_.enter_context(ExitStack())
                with self._isolated(i):
                    members.append(self._open(i, recipe, folder, about, start))
            self._row = {i: row for row, i in enumerate(self._loops)}
            try:
                self._check_cadence()
                self._packed = PackedTrainer(members) if members else None
            except NotPackable:
                for loop in self._loops.values():
                    loop.folder.update(status="interrupted", compile=None)
                all_.close()
                raise
            self._compile()
            self._held = all_.pop_all()

    def finish(self, i: int) -> None:
        """End one trial before its last round, as finished; the others go on."""
        self._end(i, "finished")

    def stop(self, status: str = "stopped") -> None:
        """End all of them before their last round: what is left of the iteration keeps their checkpoints, and their status
        is then this one."""
        self._early = status
        for trainer in (self._packed, *(loop.trainer for loop in self._loops.values())):
            if trainer:
                trainer.stop = True

    def __iter__(self) -> Iterator[list[Result | GanflowError | None]]:
        packed = self._packed
        with self._held:
            while packed and packed.round < self._cadence.rounds and not packed.stop and len(self.over) < self._count:
                reports = packed.advance(self._cadence.next_stop(packed.round), self._cadence.reported)
                yield [self.over[i] if i in self.over else self._step(i, reports[self._row[i]]) for i in range(self._count)]
            for i in range(self._count):
                if i not in self.over:
                    self._end(i, self._early)
        yield [self.over[i] for i in range(self._count)]

    def _open(self, i: int, recipe: Recipe, folder: RunFolder, about: Mapping[str, Any], start: int) -> Member:
        """Open one trial's run, and bring it to the round from which all go on."""
        stack = self._stacks[i]
        run, position = prepare_trial(recipe, folder, about, stack, packed=True)
        loop = stack.enter_context(run.opened(position))
        loop.begin()
        while run.trainer.round < start:
            until = min(loop.cadence.next_stop(run.trainer.round), start)
            loop.process(run.trainer.advance(until, loop.cadence.reported))
        self._loops[i] = loop
        return Member(recipe, run.trainer)

    def _check_cadence(self) -> None:
        cadences = {loop.cadence for loop in self._loops.values()}
        if len(cadences) > 1:
            raise NotPackable("packed trials report, evaluate and end after the same rounds, and these do not")
        if cadences:
            self._cadence = cadences.pop()

    def _compile(self) -> None:
        """Compile the pack's rounds where that pays: an estimate by all of its rounds, so that the choice is the same when it
        goes on."""
        if self._packed is None:
            return
        loops = list(self._loops.values())
        train = loops[0].recipe.train
        seconds = len(loops) * arithmetic(loops[0].game, train.n_critic, train.batch_size) + OPERATIONS
        if train.compile == "never" or (train.compile == "auto" and GAIN * seconds * train.rounds < COST):
            return
        with suppress(NotCompilable):
            self._packed.compile()
            for loop in loops:
                loop.folder.update(compile={"mode": "never", "why": "packed; the pack's rounds are compiled"})

    def _step(self, i: int, report: Report | Diverged) -> Result | GanflowError | None:
        """Report, evaluate and keep what is due for one trial."""
        assert self._packed
        loop, step = self._loops[i], None
        with self._isolated(i):
            loop.trainer.round = self._packed.round
            if isinstance(report, Diverged):
                raise report
            with self._packed.member(self._row[i]) if loop.needs_game(report.round) else nullcontext():
                step = loop.process(report)
            if loop.alarms and loop.alarms.stopped:
                self._end(i, "stopped")
        return self.over[i] if step is None else step

    def _end(self, i: int, early: str) -> None:
        """End one trial's run where it stands."""
        assert self._packed
        with self._isolated(i):
            with self._packed.member(self._row[i]) as trainer:
                trainer.stop = True  # so that a checkpoint is kept
                self._loops[i].end(early)
            self._stacks[i].close()
            self._packed.drop(self._row[i])
            self.over[i] = None

    @contextmanager
    def _isolated(self, i: int) -> Iterator[None]:
        """Let an error in here end one trial, in whose folder it is noted. One that is no component's, or the disk's, ends them
        all."""
        try:
            yield
        except (Exception, SystemExit) as error:
            failure: BaseException = error
            try:
                self._stacks[i].__exit__(type(error), error, error.__traceback__)
            except GanflowError as explained:
                failure = explained
            if not isinstance(failure, GanflowError):
                raise
            if broken(failure):
                raise failure from error
            self.over[i] = failure
            if self._packed:
                self._packed.drop(self._row[i])


def _rewind_to_common(folders: Sequence[RunFolder]) -> int:
    """The round from which trials go on together: the newest of which each has a checkpoint. Later checkpoints are dropped,
    and come again. Where there is no such round: the newest of all, to which the others catch up by themselves."""
    rounds = [{path.name for path in folder.checkpoints.glob("round-*.safetensors")} for folder in folders]
    common: set[str] = set.intersection(*rounds) if rounds else set()
    start = max(common or set().union(*rounds), default="round-00000000")
    played = int(start.removeprefix("round-").removesuffix(".safetensors"))
    for folder, names in zip(folders, rounds, strict=True):
        later = [name for name in names if name > start]
        if not later or folders_module.is_running(folder):  # by another process, which will be said
            continue
        for name in later:
            (folder.checkpoints / name).unlink()
        with suppress(FileNotFoundError, Damaged):
            if read(folder.checkpoints / BEST).round > played:
                (folder.checkpoints / BEST).unlink()
    return played
