"""Trials that train as one batched computation: each has its own folder, checkpoints, journal and pictures, as ever."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from typing import Any

from ganflow.errors import GanflowError
from ganflow.game.compiled import NotCompilable
from ganflow.packed import Member, PackedTrainer
from ganflow.recipe import Recipe
from ganflow.runner.loop import Loop, Step
from ganflow.runner.session import prepare_trial
from ganflow.runs import RunFolder
from ganflow.trainer import Diverged

PAYS = 3000
"""Rounds from which compiling a pack is worth its time, which is half a minute where nothing is cached."""


class PackSession:
    """Several trials' runs, played together step by step: iterate to the end.

    Each step is a list with what was reported of every trial: a `Step`, or the error that ended it. A trial that is over
    (see `over`) reports the same again; the others go on.

    Args:
        trials: recipe, folder and what run.json says besides, as for `open_trial`.

    Raises:
        NotPackable: with the reason; nothing was played, and each can be opened by itself.
        GanflowError: as `open_trial`; (while iterating) what concerns all of them.
    """

    def __init__(self, trials: Sequence[tuple[Recipe, RunFolder, Mapping[str, Any]]]) -> None:
        self.folders = [folder for _, folder, _ in trials]
        self.over: dict[int, GanflowError] = {}
        self._early = "stopped"
        _rewind_to_common(self.folders)
        with ExitStack() as all_:
            self._stacks, self._loops, members = [], [], []
            for recipe, folder, about in trials:
                stack = all_.enter_context(ExitStack())
                run, found, damaged, begun = prepare_trial(recipe, folder, about, stack)
                run.packed = True
                loop: Loop = stack.enter_context(run.opened(folder, found, damaged, changed=begun))
                loop.begin()
                members.append(Member(recipe, run.trainer))
                self._stacks.append(stack)
                self._loops.append(loop)
            self._packed = PackedTrainer(members)
            self._held = all_.pop_all()
        self._cadence = self._loops[0].cadence
        if self._cadence.rounds - self._packed.round >= PAYS:
            with suppress(NotCompilable):
                self._packed.compile()

    def stop(self, status: str = "stopped") -> None:
        """End all of them before their last round, with a checkpoint and this status."""
        self._packed.stop, self._early = True, status
        for loop in self._loops:
            loop.trainer.stop = True

    def __iter__(self) -> Iterator[list[Step | GanflowError]]:
        packed = self._packed
        with self._held:
            while packed.round < self._cadence.rounds and not packed.stop and len(self.over) < len(self._loops):
                reports = packed.advance(self._cadence.next_stop(packed.round))
                yield [self._take(i, report) for i, report in enumerate(reports)]
            for i, loop in enumerate(self._loops):
                if i not in self.over:
                    with packed.member(i):
                        loop.end(self._early)

    def _take(self, i: int, report: Any) -> Step | GanflowError:
        if i in self.over:
            return self.over[i]
        loop = self._loops[i]
        try:
            if isinstance(report, Diverged):
                raise report
            with self._packed.member(i) if loop.looks(report.round) else nullcontext():
                return loop.take(report)
        except GanflowError as error:
            self.over[i] = self._fail(i, error)
            return self.over[i]

    def _fail(self, i: int, error: GanflowError) -> GanflowError:
        """Close one run as failed; returns the sentence for it."""
        try:
            self._stacks[i].__exit__(type(error), error, error.__traceback__)
        except GanflowError as told:
            return told
        return error


def _rewind_to_common(folders: Sequence[RunFolder]) -> None:
    """Trials that go on together do so from a round of which each has a checkpoint; later ones are dropped, and come again."""
    rounds = [{path.name for path in folder.checkpoints.glob("round-*.safetensors")} for folder in folders]
    common = max(set.intersection(*rounds), default="")
    for folder, names in zip(folders, rounds, strict=True):
        for name in names:
            if name > common:
                (folder.checkpoints / name).unlink()
