"""Population based training (Jaderberg et al. 2017, arXiv:1711.09846): every so many rounds a trial of the worst quarter
becomes a copy of one of the best quarter, weights, optimizers, random numbers and all, and goes on with numbers near its."""

from __future__ import annotations

import math
import random
from typing import Any

from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import TrialScheduler

from ganflow.tune.book import Book
from ganflow.tune.room import InTurn, Room
from ganflow.tune.space import Space

QUARTER = 0.25


class Population(InTurn):
    """Where more trials live than fit on the cluster, they take turns.

    Args:
        rounds: of a trial.
        every: rounds between copies.
        seed: of the choices.
    """

    def __init__(self, book: Book, space: Space, mode: str, rounds: int, every: int, seed: int, room: Room) -> None:
        super().__init__(room)
        self.book, self.space, self.rounds, self.every = book, space, rounds, every
        self.sign = 1 if mode == "min" else -1
        self._random = random.Random(f"population {seed}")
        self._turns: dict[int, int] = {}  # trial → round of its last turn
        self._scores: dict[int, float] = {}  # trial → the last score of the weights that it has: a copy has its source's

    def on_trial_result(self, tune_controller: Any, trial: RayTrial, result: dict[str, Any]) -> str:
        if result["state"] != "running":
            return TrialScheduler.CONTINUE
        number, round = result["trial"], result["round"]
        turn = self._turns.setdefault(number, (round - 1) // self.every * self.every)
        if result.get("score") is not None:
            self._scores[number] = result["score"]
        if "score" not in result or round - turn < self.every or round >= self.rounds:
            return TrialScheduler.CONTINUE
        self._turns[number] = round
        source = self._source(number)
        if source is not None:
            config = self.space.mutate(self.book.trials[source].config, self._random)
            before = [*self.book.trials[number].copied, [source, self.book.trials[source].round]]
            self.book.record(number, config=config, copied=before)
            self._turns[number] = self.book.trials[source].round
            self._scores[number] = self._scores[source]
            tune_controller.pause_trial(trial, should_checkpoint=False)
            trial.set_config(self.book.as_config([self.book.order(number, self.space.changes(config))]))
            return TrialScheduler.NOOP
        return TrialScheduler.PAUSE if self._ready(tune_controller) else TrialScheduler.CONTINUE

    def _source(self, number: int) -> int | None:
        """The trial that this one becomes a copy of; None where it may stay what it is."""
        trials = self.book.trials
        alive = [n for n in self._scores if trials[n].round < self.rounds and not trials[n].over]
        ranked = sorted(alive, key=lambda n: (self.sign * self._scores[n], n))
        share = min(math.ceil(QUARTER * len(ranked)), len(ranked) // 2)
        if not share or number not in ranked[-share:]:
            return None
        return self._random.choice(ranked[:share])

    def choose_trial_to_run(self, tune_controller: Any) -> RayTrial | None:
        """The one that is furthest behind."""
        ready = self._ready(tune_controller)
        return min(ready, key=lambda t: self.book.trials[self.book.numbers[t.trial_id][0]].round, default=None)

    def _ready(self, tune_controller: Any) -> list[RayTrial]:
        """Trials that could go on in a process that became free."""
        trials = tune_controller.get_trials()
        new = self.room.first(trials)
        return [*([new] if new else []), *(t for t in trials if t.status == RayTrial.PAUSED)]
