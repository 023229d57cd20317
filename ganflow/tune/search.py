"""Searchers: random, grid, Optuna's and Hyperopt's TPE; and the proposals that Ray asks for."""

from __future__ import annotations

import itertools
import math
import random
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from ray.tune.search import Searcher as RaySearcher

from ganflow.errors import GanflowError
from ganflow.recipe import Tune
from ganflow.tune.domains import Domain
from ganflow.tune.records import WRONG
from ganflow.tune.schedulers import Room
from ganflow.tune.space import Config, Space
from ganflow.tune.trials import TrialTable

STARTUP = 10
"""Trials that are drawn at random before anything is concluded."""


class Searcher(ABC):
    """Proposes a config for each trial: the recipe's points first.

    The proposal for trial n follows from the seed, from n, and from the results of other trials, and from nothing else: a
    searcher with the same results proposes the same.

    Attributes:
        total: how many trials there are.
    """

    def __init__(self, tune: Tune, space: Space) -> None:
        self.seed, self.space = tune.seed, space
        self.total = space.count(tune)

    def propose(self, number: int) -> Config | None:
        """The config of a trial; None where there are no more."""
        if number >= self.total:
            return None
        points = self.space.points
        if number < len(points):
            return self.space.sample(self.random(number), points[number])
        return self.next(number)

    @abstractmethod
    def next(self, number: int) -> Config:
        """The config of a trial after the points."""

    def tell(self, number: int, config: Config, score: float | None, over: bool = True) -> None:  # noqa: B027 - not all learn
        """Learn from a trial.

        Args:
            score: None where it diverged or failed.
            over: False where it runs, or is to go on after an interruption.
        """

    def random(self, number: int) -> random.Random:
        """The random numbers of a trial."""
        return random.Random(f"{self.seed}/{number}")


class FixedSearch(Searcher):
    """Random and grid search: every config is known beforehand."""

    def __init__(self, tune: Tune, space: Space) -> None:
        super().__init__(tune, space)
        self.configs = list(itertools.islice(space.configs(tune), self.total))  # a list: Ray pickles searchers

    def propose(self, number: int) -> Config | None:
        return self.next(number) if number < self.total else None

    def next(self, number: int) -> Config:
        return self.configs[number]


@dataclass
class Observation:
    """A trial as searchers learn from it.

    Attributes:
        positions: key → position of its value on the domain's scale; keys that do not exist in the trial are left out.
        loss: None while it runs, and where it went wrong.
    """

    positions: dict[str, float]
    loss: float | None
    over: bool


class LearningSearch(Searcher):
    """Keeps the trials, and asks a library for each next one with all of them: there is no other state to lose."""

    library: str

    def __init__(self, tune: Tune, space: Space, mode: Literal["min", "max"]) -> None:
        super().__init__(tune, space)
        self.sign = 1 if mode == "min" else -1
        self.trials: dict[int, Observation] = {}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # hyperopt's, on its import
                self.load()
        except ImportError:
            how = f"pip install 'ganflow[{self.library}]', or use search: random"
            raise GanflowError(f"tune.search: {self.library} is not installed; {how}") from None

    @abstractmethod
    def load(self) -> None:
        """Import the library."""

    def propose(self, number: int) -> Config | None:
        config = super().propose(number)
        if config is not None:
            self.tell(number, config, None, over=False)
        return config

    def tell(self, number: int, config: Config, score: float | None, over: bool = True) -> None:
        loss = self.sign * score if over and score is not None and math.isfinite(score) else None
        positions = {key: self.space.keys[key].position(value) for key, value in config.items() if key in self.space.keys}
        self.trials[number] = Observation(positions, loss, over)

    def before(self, number: int) -> list[tuple[int, Observation]]:
        """Other trials, by number."""
        return [(n, seen) for n, seen in sorted(self.trials.items()) if n != number]


class OptunaSearch(LearningSearch):
    library = "optuna"

    def load(self) -> None:
        import optuna

        self.optuna = optuna
        optuna.logging.set_verbosity(optuna.logging.WARNING)

    def next(self, number: int) -> Config:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self.optuna.exceptions.ExperimentalWarning)  # group: keys that exist at times
            seed = self.random(number).getrandbits(32)
            sampler = self.optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=STARTUP, multivariate=True, group=True, constant_liar=True
            )
        study = self.optuna.create_study(sampler=sampler)
        study.add_trials([self._trial(seen) for _, seen in self.before(number)])
        trial = study.ask()

        def pick(key: str, domain: Domain) -> Any:
            if domain.size is None:
                return domain.at(trial.suggest_float(key, 0.0, 1.0))
            if domain.ordered:
                return domain.at(trial.suggest_int(key, 0, domain.size - 1))
            return domain.at(trial.suggest_categorical(key, range(domain.size)))

        return self.space.fill(pick)

    def _trial(self, seen: Observation) -> Any:
        state = self.optuna.trial.TrialState
        ended = state.PRUNED if seen.loss is None else state.COMPLETE  # pruned, without a value: worse than any with one
        scales = {key: self._scale(self.space.keys[key]) for key in seen.positions}
        return self.optuna.trial.create_trial(
            state=ended if seen.over else state.RUNNING, value=seen.loss, params=seen.positions, distributions=scales
        )

    def _scale(self, domain: Domain) -> Any:
        distributions = self.optuna.distributions
        if domain.size is None:
            return distributions.FloatDistribution(0.0, 1.0)
        if domain.ordered:
            return distributions.IntDistribution(0, domain.size - 1)
        return distributions.CategoricalDistribution(range(domain.size))


class HyperoptSearch(LearningSearch):
    """Every key has a value in hyperopt's proposal; those that do not exist in the trial are left out of its observations."""

    library = "hyperopt"

    def load(self) -> None:
        import hyperopt

        self.hyperopt = hyperopt
        scales = {key: self._scale(key, domain) for key, domain in self.space.keys.items()}
        self.domain = hyperopt.base.Domain(lambda positions: 0.0, scales)

    def _scale(self, key: str, domain: Domain) -> Any:
        hp = self.hyperopt.hp
        if domain.size is None:
            return hp.uniform(key, 0.0, 1.0)
        if domain.ordered:
            return hp.quniform(key, -0.5, domain.size - 0.5, 1)
        return hp.randint(key, domain.size)

    def next(self, number: int) -> Config:
        trials = self.hyperopt.Trials()
        documents = [self._document(trials, n, seen) for n, seen in self.before(number)]
        if documents:
            trials.insert_trial_docs(documents)
        trials.refresh()
        (document,) = self.hyperopt.tpe.suggest(
            [number], self.domain, trials, self.random(number).getrandbits(32), n_startup_jobs=STARTUP, verbose=False
        )
        positions = {key: float(values[0]) for key, values in document["misc"]["vals"].items()}

        def pick(key: str, domain: Domain) -> Any:
            position = positions[key]
            return domain.at(position if domain.size is None else min(max(round(position), 0), domain.size - 1))

        return self.space.fill(pick)

    def _document(self, trials: Any, number: int, seen: Observation) -> Any:
        misc = {
            "tid": number,
            "cmd": self.domain.cmd,
            "workdir": self.domain.workdir,
            "idxs": {key: [number] if key in seen.positions else [] for key in self.space.keys},
            "vals": {key: [seen.positions[key]] if key in seen.positions else [] for key in self.space.keys},
        }
        status = self.hyperopt.STATUS_FAIL if seen.loss is None else self.hyperopt.STATUS_OK
        result = {"status": status} if seen.loss is None else {"status": status, "loss": seen.loss}
        (document,) = trials.new_trial_docs([number], [None], [result], [misc])
        document["state"] = self.hyperopt.base.JOB_STATE_DONE
        return document


def make_searcher(tune: Tune, space: Space, mode: Literal["min", "max"]) -> Searcher:
    """The searcher of a tune section.

    Args:
        mode: says if less or more of a score is better.

    Raises:
        GanflowError: its library is not installed.
    """
    if tune.search in ("optuna", "hyperopt"):
        return (OptunaSearch if tune.search == "optuna" else HyperoptSearch)(tune, space, mode)
    return FixedSearch(tune, space)


class Proposals(RaySearcher):
    """Proposes specs. Every configuration is written down before it is tried, so that it is tried again and no other.

    Args:
        unfinished: numbers of recorded trials to go on with.
        room: for further trials of Ray's.
        pack: trials of the sweep that are one of Ray's.
    """

    def __init__(
        self, table: TrialTable, space: Space, searcher: Searcher, unfinished: list[int], room: Room, pack: int = 1
    ) -> None:
        super().__init__()
        self.table, self.space, self._source, self.room, self.pack = table, space, searcher, room, pack
        self._unfinished = list(unfinished)
        self._next = 0
        self._learnt: set[int] = set()

    def suggest(self, trial_id: str) -> Any:
        if not self.room.admits():
            return None  # not now
        self._tell([n for numbers in self.table.numbers.values() for n in numbers if self.table.trials[n].over])
        numbers = self._left_over() or self._new()
        if not numbers:
            return self.FINISHED
        self.table.numbers[trial_id] = numbers
        return self.table.specs(numbers, self.space.changes)

    def _left_over(self) -> list[int]:
        """Trials to go on with: those that were packed together before are so again."""
        together = [n for n in self._unfinished if n // self.pack == self._unfinished[0] // self.pack]
        self._unfinished = [n for n in self._unfinished if n not in together]
        return together

    def _new(self) -> list[int]:
        numbers: list[int] = []
        while len(numbers) < self.pack:
            while self._next in self.table.trials:
                self._next += 1
            config = self._source.propose(self._next)
            if config is None:
                break
            self.table.record(self._next, config=config, state="waiting")
            numbers.append(self._next)
        return numbers

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._tell(self.table.numbers[trial_id], error)

    def _tell(self, numbers: Iterable[int], error: bool = False) -> None:
        """Let the searcher learn from trials that are over, as soon as they are: Ray does so a step later."""
        for number in set(numbers) - self._learnt:
            known = self.table.trials[number]
            sound = known.state not in WRONG and not (error and not known.over)
            self._source.tell(number, known.config, known.score if sound else None)
            self._learnt.add(number)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        pass

    def get_state(self) -> dict[str, Any]:
        """Return nothing: a sweep goes on from its records, not from Ray's."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        raise NotImplementedError("a sweep goes on from its own records, not from Ray's")
