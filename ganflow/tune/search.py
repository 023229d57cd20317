"""Searchers: random, grid, Optuna's samplers and Hyperopt's TPE; and the proposals that Ray asks for."""

from __future__ import annotations

import itertools
import math
import random
import warnings
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from ray.tune.search import Searcher as RaySearcher

from ganflow.errors import GanflowError
from ganflow.recipe import Tune
from ganflow.space.domains import Domain
from ganflow.space.space import Config, Space
from ganflow.sweeps.records import Mode, TrialRecord
from ganflow.sweeps.study import STARTUP, Study, make_sampler
from ganflow.tune.schedulers import Room
from ganflow.tune.trials import TrialTable


class Searcher(ABC):
    """Proposes a config for each trial: the recipe's points first.

    The proposal for trial n follows from the seed, from n, and from the results of other trials, and from nothing else: a
    searcher with the same results proposes the same.

    Attributes:
        total: how many trials there are.
        learns: proposals follow from results, so that each is made as late as possible.
    """

    learns = False

    def __init__(self, tune: Tune, space: Space, study: Study) -> None:
        self.seed, self.space, self.study = tune.seed, space, study
        self.total = space.count(tune)

    def propose(self, number: int, passed: int = 0) -> Config | None:
        """The config of a trial; None where there are no more.

        Args:
            passed: numbers below this one whose trials were not proposed here.
        """
        if number - passed >= self.total:
            return None
        config = self.config(number, number - passed)
        self.tell(TrialRecord(number, config))
        return config

    @abstractmethod
    def config(self, number: int, nth: int) -> Config:
        """The config of a trial, which is the nth to be proposed."""

    def tell(self, trial: TrialRecord) -> None:
        """Learn from a trial: that it is proposed, or how it ended. One with a negative number is another sweep's."""
        self.study.tell(trial)

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing. Ray keeps callbacks and searchers in files, to go on from there; a sweep goes on from its records."""
        return {}

    def random(self, number: int) -> random.Random:
        """The random numbers of a trial."""
        return random.Random(f"{self.seed}/{number}")


class FixedSearch(Searcher):
    """Random and grid search: every config is known beforehand."""

    def __init__(self, tune: Tune, space: Space, study: Study) -> None:
        super().__init__(tune, space, study)
        self.configs = list(itertools.islice(space.configs(tune), self.total))

    def config(self, number: int, nth: int) -> Config:
        return self.configs[nth]


class LearningSearch(Searcher):
    """Search whose proposals follow from results, after the recipe's points. Where it knows an earlier sweep, its draws are other
    ones than a sweep's that knows none, which that one had, too; and points that were tried are not tried again."""

    learns = True

    def __init__(self, tune: Tune, space: Space, study: Study) -> None:
        super().__init__(tune, space, study)
        self._earlier: list[Config] = []

    def tell(self, trial: TrialRecord) -> None:
        if trial.number < 0:
            self._earlier.append(trial.config)
        super().tell(trial)

    def random(self, number: int) -> random.Random:
        return random.Random(f"{self.seed}/{number}/{len(self._earlier)}") if self._earlier else super().random(number)

    def config(self, number: int, nth: int) -> Config:
        points = [p for p in self.space.points if not any(p.items() <= config.items() for config in self._earlier)]
        return self.space.sample(self.random(number), points[nth]) if nth < len(points) else self.next(number)

    @abstractmethod
    def next(self, number: int) -> Config:
        """The config of a trial after the points."""


class OptunaSearch(LearningSearch):
    """Lets a sampler of Optuna's propose.

    Args:
        kind: tpe, gp, cmaes or nsga2.
    """

    def __init__(self, tune: Tune, space: Space, study: Study, kind: str) -> None:
        super().__init__(tune, space, study)
        self.kind, self.generation = kind, tune.generation
        self._known: list[Any] = []

    def next(self, number: int) -> Config:
        seed = self.random(number).getrandbits(32)
        return self.study.ask(number, make_sampler(self.kind, seed, self._known, self.generation))

    def tell(self, trial: TrialRecord) -> None:
        if trial.number not in self.study and trial.state == "finished":  # of another sweep, or of this one before it went on
            self._known.append(self.study.frozen(trial))
        super().tell(trial)


@dataclass
class Observation:
    """A trial as Hyperopt learns from it.

    Attributes:
        positions: key → position of its value on the domain's scale; keys that do not exist in the trial are left out.
        loss: None while it runs, and where it went wrong.
    """

    positions: dict[str, float]
    loss: float | None


class HyperoptSearch(LearningSearch):
    """Keeps the trials, and asks Hyperopt for each next one with all of them.

    Every key has a value in its proposal; those that do not exist in the trial are left out of its observations.

    Raises:
        GanflowError: Hyperopt is not installed.
    """

    def __init__(self, tune: Tune, space: Space, study: Study, mode: Mode) -> None:
        super().__init__(tune, space, study)
        self.sign = 1 if mode == "min" else -1
        self.trials: dict[int, Observation] = {}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # on its import
                import hyperopt
        except ImportError:
            how = "pip install 'ganflow[hyperopt]', or use search: tpe"
            raise GanflowError(f"tune.search: hyperopt is not installed; {how}") from None
        self.hyperopt = hyperopt
        scales = {key: self._scale(key, domain) for key, domain in self.space.keys.items()}
        self.domain = hyperopt.base.Domain(lambda positions: 0.0, scales)

    def tell(self, trial: TrialRecord) -> None:
        super().tell(trial)
        scored = trial.state in ("finished", "stopped") and trial.score is not None and math.isfinite(trial.score)
        loss = self.sign * trial.score if scored and trial.score is not None else None
        keys = self.space.keys
        positions = {key: keys[key].position(value) for key, value in trial.config.items() if key in keys}
        self.trials[trial.number] = Observation(positions, loss)

    def _scale(self, key: str, domain: Domain) -> Any:
        hp = self.hyperopt.hp
        if domain.size is None:
            return hp.uniform(key, 0.0, 1.0)
        if domain.ordered:
            return hp.quniform(key, -0.5, domain.size - 0.5, 1)
        return hp.randint(key, domain.size)

    def next(self, number: int) -> Config:
        trials = self.hyperopt.Trials()
        documents = [self._document(trials, n, seen) for n, seen in sorted(self.trials.items()) if n != number]
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


def make_searcher(tune: Tune, space: Space, mode: Mode, study: Study | None = None) -> Searcher:
    """The searcher of a tune section.

    Args:
        mode: says if less or more of a score is better.
        study: that keeps its trials; by default one in memory.

    Raises:
        GanflowError: its library is not installed.
    """
    study = study or Study(space, mode)
    if tune.search in ("random", "grid"):
        return FixedSearch(tune, space, study)
    if tune.search == "hyperopt":
        return HyperoptSearch(tune, space, study, mode)
    return OptunaSearch(tune, space, study, "tpe" if tune.search == "optuna" else tune.search)


class Proposals(RaySearcher):
    """Proposes specs. Every configuration is written down before it is tried, so that it is tried again and no other.

    Args:
        unfinished: numbers of recorded runs to go on with.
        room: for further trials of Ray's.
        pack: runs of the sweep that are one trial of Ray's.
        further: makes the runs of the sweep's last stage, when all others are over; returns their numbers.
    """

    def __init__(
        self,
        table: TrialTable,
        space: Space,
        searcher: Searcher,
        unfinished: list[int],
        room: Room,
        pack: int = 1,
        further: Callable[[], list[int]] = list,
    ) -> None:
        super().__init__()
        self.table, self.space, self._source, self.room, self.pack = table, space, searcher, room, pack
        self._further = further
        self._unfinished = list(unfinished)
        self._proposed: list[int] = []
        self._next = self._passed = 0  # the next trial, and how many before it were not proposed here
        self._learnt: set[int] = set()

    def suggest(self, trial_id: str) -> Any:
        if not self.room.admits():
            return None  # not now
        self._tell([n for numbers in self.table.numbers.values() for n in numbers if self.table.trials[n].over])
        numbers = self._added() or self._left_over() or self._new()
        if not numbers and all(trial.over for trial in self.table.trials.values()):  # which are the best is known now
            self._unfinished = self._further()
            numbers = self._left_over()
            if not numbers:
                return self.FINISHED
        if not numbers:  # while trials run, others may be added
            return None
        self.table.numbers[trial_id] = numbers
        return self.table.specs(numbers, self.space.changes)

    def _added(self) -> list[int]:
        """The next runs that were added by hand."""
        added = [number for number in self.table.added if not self.table.trials[number].over]
        turns = self.table.template.get("turns")
        first, self.table.added = (added[: self.pack], added[self.pack :]) if turns else (added[:1], added[1:])
        return first

    def _left_over(self) -> list[int]:
        """Runs to go on with: those that were packed together before are so again."""
        self._unfinished = [number for number in self._unfinished if not self.table.trials[number].over]
        added = sorted(number for number, trial in self.table.trials.items() if trial.request)
        packs = {number: self._pack_of(number, added) for number in self._unfinished}
        together = [n for n in self._unfinished if packs[n] == packs[self._unfinished[0]]]
        self._unfinished = [n for n in self._unfinished if n not in together]
        return together

    def _pack_of(self, number: int, added: list[int]) -> tuple[bool, int]:
        """Key that runs share which train together: of those that were proposed. Others are alone, but for an added trial's runs
        that take turns.

        Args:
            added: runs that were added by hand, by number.
        """
        trial = self.table.trials[number]
        if trial.request and self.table.template.get("turns"):
            return True, self.table.repeats.runs(self.table.repeats.trial(number))[0]
        if trial.request or trial.confirms is not None:
            return True, number
        return False, (number - bisect_left(added, number)) // self.pack

    def _new(self) -> list[int]:
        """The next runs that nobody has begun."""
        while len(self._proposed) < self.pack and self._propose():
            pass
        numbers, self._proposed = self._proposed[: self.pack], self._proposed[self.pack :]
        return numbers

    def _propose(self) -> bool:
        """Record the runs of a new trial; returns whether there is one."""
        repeats = self.table.repeats
        while known := self.table.trials.get(repeats.runs(self._next)[0]):
            self._passed += bool(known.request) or known.confirms is not None
            self._next += 1
        config = self._source.propose(self._next, self._passed)
        if config is None:
            return False
        for number in repeats.runs(self._next):
            self.table.record(number, config=config, state="waiting")
            self._proposed.append(number)
        return True

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._tell(self.table.numbers[trial_id], error)

    def _tell(self, numbers: Iterable[int], error: bool = False) -> None:
        """Let the searcher learn from trials that are over, as soon as they are: Ray does so a step later."""
        repeats = self.table.repeats
        proposed = (number for number in numbers if self.table.trials[number].confirms is None)
        for trial in {repeats.trial(number) for number in proposed} - self._learnt:
            (known,) = repeats.trials(self.table.trials[number] for number in repeats.runs(trial))
            if error and not known.over:
                known = replace(known, state="failed")
            if known.over:
                self._source.tell(known)
                self._learnt.add(trial)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        pass

    def get_state(self) -> dict[str, Any]:
        """Return nothing: a sweep goes on from its records, not from Ray's."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        raise NotImplementedError("a sweep goes on from its own records, not from Ray's")
