"""Alarms of a run: its health watched at reports, warned of, recorded, and, if the recipe says so, the run ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ganflow.engine.game import Game
from ganflow.engine.trainer import Diverged, Trainer
from ganflow.evaluation.advice import NOT_FINITE, Setup, advise
from ganflow.evaluation.health import Health
from ganflow.recipe import Recipe, Train
from ganflow.runs.folders import RunFolder
from ganflow.runs.record import AlarmRecord


class Alarms:
    """The watch over a run's health.

    Args:
        trainer: of the run; of several workers the first one's, whose share of the batch is looked at.
        folder: in whose run.json alarms are recorded.
        say: shows a line.
        stop: which alarms end the run: "stop", all; "final", those after which nothing more is learnt; "warn", none.

    Attributes:
        stopped: the alarm that ended the run, in a sentence; empty where none did.
    """

    def __init__(self, recipe: Recipe, trainer: Trainer, folder: RunFolder, say: Callable[[str], None], stop: str) -> None:
        self.health = Health(recipe.train.rounds, trainer.round, Setup.of(recipe, trainer.game))
        self.trainer, self.folder, self.stopped = trainer, folder, ""
        self._say, self._stop, self._watching = say, stop, True

    def report(self) -> None:
        """Check the game where a check is due in this round. A part of the game that cannot be looked at is named once; training
        goes on unwatched. A packed trial, whose game is behind at most reports, is checked at the next one at which it is not."""
        round = self.trainer.round
        if not self.trainer.drawn:
            return
        due, self.health.checked = self._watching and self.health.due(round), round
        if not due:
            return
        try:
            found = self.health.check(self.trainer.game, self.trainer.drawn, round)
        except Exception as error:  # a third party's part that wants to be called otherwise
            self._watching = False
            why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            self._say(f"health is not watched any more: {why}")
            return
        for alarm in found:
            self._say(f"round {round}: {alarm.text}")
        if found:
            record(self.folder, *(alarm.record() for alarm in found))
            ending = [alarm for alarm in found if self._stop == "stop" or (self._stop == "final" and alarm.final)]
            if ending:
                self.stopped, self.trainer.stop = ending[0].text, True

    def state(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return self.health.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint, which the trainer has loaded."""
        self.health.load_state(state, self.trainer.round)


def watched(train: Train, *, trial: bool) -> str:
    """The effect of alarms: "warn", "stop", "final" where only some end the run, or "never" where nothing is watched."""
    return train.on_alarm if train.on_alarm != "auto" else "final" if trial else "warn"


def record(folder: RunFolder, *alarms: dict[str, Any]) -> None:
    """Add alarms to a run's record."""
    folder.update(alarms=[*folder.read().alarms, *alarms])


def against_not_finite(recipe: Recipe, why: str, game: Game | None = None) -> str:
    """Advice for a run that ended because a term, or a weight, was no finite number.

    Args:
        why: which one, as the error says.
        game: of the recipe, if it has been built.
    """
    return advise(NOT_FINITE, Setup.of(recipe, game), "critic" if "critic" in why else "generator")


def not_finite(error: Diverged, advice: str) -> dict[str, Any]:
    """The alarm of a term that was no finite number."""
    return {"sign": NOT_FINITE, "round": error.round, "text": f"{NOT_FINITE}: {error}; what helps: {advice}"}


def diverged(folder: RunFolder) -> AlarmRecord | None:
    """The alarm of a run that failed because a term was no finite number; None of any other run."""
    kept = folder.read()
    alarms = [alarm for alarm in kept.alarms if alarm["sign"] == NOT_FINITE] if kept.status == "failed" else []
    return alarms[-1] if alarms else None
