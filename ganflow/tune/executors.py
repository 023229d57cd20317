"""The executors that ganflow has: each trial by itself, or several as one batched computation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ganflow.errors import GanflowError, PluginError
from ganflow.executor import Executor, TrialRun, TrialSession
from ganflow.packed import NotPackable
from ganflow.recipe import Recipe
from ganflow.runner.pack import PackSession
from ganflow.runner.workers import Lost
from ganflow.runs import RunFolder

Reported = Sequence[tuple[int, Any]]


def executor_of(recipe: Recipe, pack: int) -> Executor:
    """What plays a sweep's trials: what `tune.executor` names, else one that plays `pack` trials together.

    Raises:
        PluginError: the component's builder returns something else.
    """
    chosen = recipe.parts.get("tune.executor")
    if chosen is None:
        return Packed(pack) if pack > 1 else Alone()
    made = chosen.settings.executor()
    if not isinstance(made, Executor):
        raise PluginError(f"{chosen.component}: its hook 'executor' returned a {type(made).__name__}, not an Executor")
    return made


class Alone(Executor):
    """Trials by themselves, one after the other where there are several."""

    def __init__(self) -> None:
        self._session: TrialSession | None = None
        self._ending = False

    def play(self, trials: Sequence[TrialRun]) -> Iterator[Reported]:
        for i, trial in enumerate(trials):
            if self._ending:
                return
            try:
                self._session = trial.open()
                for step in self._session:
                    yield [(i, step)]
                yield [(i, None)]
            except Lost:  # a worker died: Ray begins the trial again
                raise
            except GanflowError as error:
                yield [(i, error)]

    def finish(self, i: int) -> None:
        assert self._session
        self._session.stop("finished")

    def stop(self, status: str) -> None:
        self._ending = True
        if self._session:
            self._session.stop(status)


class Packed(Executor):
    """Trials that differ in numbers, together; those that cannot be packed one after the other, saying why."""

    def __init__(self, together: int) -> None:
        self.together = together
        self._pack: PackSession | None = None
        self._alone = Alone()

    def play(self, trials: Sequence[TrialRun]) -> Iterator[Reported]:
        for trial in trials:
            trial.wait()
        try:
            self._pack = PackSession([(trial.recipe, RunFolder(trial.folder), trial.about) for trial in trials])
        except NotPackable as reason:
            self.note = f"trials {trials[0].number} to {trials[-1].number} run one after the other: {reason}"
            yield from self._alone.play(trials)
            return
        for reports in self._pack:
            yield list(enumerate(reports))

    def finish(self, i: int) -> None:
        (self._pack or self._alone).finish(i)

    def stop(self, status: str) -> None:
        (self._pack or self._alone).stop(status)
