"""Study of a sweep in Optuna: what its samplers learn from, and what optuna-dashboard and optuna's plots show."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ganflow.space.domains import Domain
from ganflow.space.space import Config, Space
from ganflow.sweeps.records import Mode, Objectives, TrialRecord, several

if TYPE_CHECKING:
    import optuna
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

NUMBER = "ganflow.trial"
"""Attribute of Optuna's trials: a trial's number in its sweep."""
ATTEMPTS = 20
"""Children that nsga2 makes at most for one that is like no trial before."""
STARTUP = 10
"""Trials that are drawn at random before anything is concluded."""


@contextmanager
def quietly() -> Iterator[None]:
    """Optuna's messages and warnings of what is experimental in it, left out."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


class Study:
    """An Optuna study of a sweep's trials, by their numbers.

    The sweep's own records are what counts. A file is written anew from them whenever the sweep goes on, and is never read:
    samplers keep pickles in a study, and a sweep's folder may be a stranger's.

    Args:
        name: the sweep's.
        file: where to keep it, a journal of Optuna's; None: in memory.
        objectives: with several metrics: these.
    """

    def __init__(
        self, space: Space, mode: Mode, name: str = "sweep", file: Path | None = None, objectives: Objectives | None = None
    ) -> None:
        import optuna

        self.optuna, self.space, self.name, self.file = optuna, space, name, file
        self.objectives = several(objectives or {})
        self.modes = list(self.objectives.values()) or [mode]
        self._numbers: dict[int, int] = {}  # of a trial → Optuna's

    @cached_property
    def study(self) -> optuna.Study:
        """Optuna's study. Its file is made when the first trial is noted."""
        storage: Any = None
        with quietly():
            if self.file is not None:
                from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

                for left in (self.file, self.file.with_name(f"{self.file.name}.lock")):  # the lock of a driver that was killed
                    left.unlink(missing_ok=True)
                lock = JournalFileOpenLock(str(self.file))  # not a symbolic link, which leads out of a folder that was moved
                storage = self.optuna.storages.JournalStorage(JournalFileBackend(str(self.file), lock_obj=lock))
            study = self.optuna.create_study(storage=storage, study_name=self.name, directions=directions(self.modes))
            if self.objectives:
                study.set_metric_names(list(self.objectives))
            return study

    def __contains__(self, number: int) -> bool:
        return number in self._numbers

    def ask(self, number: int, sampler: BaseSampler) -> Config:
        """The config that a sampler proposes for a trial."""
        with quietly():
            self.study.sampler = sampler
            trial = self.study.ask()
            trial.set_user_attr(NUMBER, number)
            self._numbers[number] = trial.number
            return self.space.fill(lambda key, domain: domain.external(_suggested(trial, key, domain)))

    def tell(self, trial: TrialRecord) -> None:
        """Note what is new about a trial: its config, or its end. One with a negative number is another sweep's."""
        with quietly():
            if trial.number not in self._numbers:
                self._numbers[trial.number] = len(self.study.get_trials(deepcopy=False))
                self.study.add_trial(self.frozen(trial))
            elif trial.over:
                self._end(self._numbers[trial.number], self.frozen(trial))

    def _end(self, number: int, ended: FrozenTrial) -> None:
        known = self.study.get_trials(deepcopy=False)[number]
        if known.state.is_finished():
            return
        for key, value in ended.params.items():  # a copy of another (pbt) ends with other values than it began with
            if key not in known.params or known.params[key] != value:
                domain = ended.distributions[key]
                self.study._storage.set_trial_param(known._trial_id, key, domain.to_internal_repr(value), domain)
        for round, score in ended.intermediate_values.items():
            self.optuna.trial.Trial(self.study, known._trial_id).report(score, round)
        self.study.tell(number, ended.values if ended.state == self.optuna.trial.TrialState.COMPLETE else None, ended.state)

    def frozen(self, trial: TrialRecord) -> FrozenTrial:
        """The trial as one of Optuna's."""
        return frozen(trial, self.space.keys, self.objectives)


def directions(modes: Iterable[Mode]) -> list[Literal["minimize", "maximize"]]:
    """Optuna's names of the modes."""
    return ["minimize" if mode == "min" else "maximize" for mode in modes]


def frozen(trial: TrialRecord, domains: Mapping[str, Domain], objectives: Iterable[str] = ()) -> FrozenTrial:
    """The trial as one of Optuna's.

    A trial that the scheduler stopped is pruned, with its score at its last round: samplers hold it for worse than one that was
    played to its end. One that diverged, or failed by itself, is pruned without a score: worse than any. With several metrics
    Optuna knows no scores of pruned trials.

    Args:
        domains: by key; other keys are left out, and values that are not in them: of records that somebody changed.
        objectives: with several metrics their names.
    """
    from optuna.trial import TrialState, create_trial

    names = list(objectives)
    known = [trial.scores.get(name) for name in names] if names else [trial.score]
    scores = [score for score in known if score is not None and math.isfinite(score)]
    complete = len(scores) == len(known)
    state = TrialState.RUNNING if not trial.over else TrialState.FAIL if trial.cause else TrialState.PRUNED
    if trial.state == "finished" and complete:
        state = TrialState.COMPLETE
    tried = {key: domains[key] for key, value in trial.config.items() if key in domains and domains[key].contains(value)}
    return create_trial(
        state=state,
        values=scores if state == TrialState.COMPLETE else None,
        params={key: domain.internal(trial.config[key]) for key, domain in tried.items()},
        distributions={key: domain.distribution for key, domain in tried.items()},
        intermediate_values={trial.round: scores[0]} if trial.state == "stopped" and complete and not names else None,
        user_attrs={NUMBER: trial.number},
    )


def _suggested(trial: Any, key: str, domain: Domain) -> Any:
    """The value of a parameter that a trial of Optuna's has; its suggest methods name every distribution."""
    of: Any = domain.distribution
    if hasattr(of, "choices"):
        return trial.suggest_categorical(key, of.choices)
    suggest: Callable[..., Any] = trial.suggest_int if isinstance(of.low, int) else trial.suggest_float
    return suggest(key, of.low, of.high, log=of.log, step=of.step)


def make_sampler(kind: str, seed: int, known: list[FrozenTrial], generation: int = 0) -> BaseSampler:
    """A sampler of Optuna's.

    Args:
        kind: tpe, gp, cmaes or nsga2.
        seed: of this proposal. Samplers learn from the study alone, so that there may be a new one for each: what it draws
            then follows from the sweep's seed and the trial's number, also in a sweep that was interrupted.
        known: trials from which cmaes is to start.
        generation: nsga2: trials of one.
    """
    from optuna.samplers import CmaEsSampler, GPSampler, TPESampler

    with quietly():
        if kind == "gp":
            return GPSampler(seed=seed, n_startup_trials=STARTUP, warn_independent_sampling=False)
        if kind == "cmaes":
            return CmaEsSampler(seed=seed, n_startup_trials=1, warn_independent_sampling=False, source_trials=known or None)
        if kind == "nsga2":
            return _generations(seed, generation)
        return TPESampler(seed=seed, n_startup_trials=STARTUP, multivariate=True, group=True, constant_liar=True)


def _generations(seed: int, size: int) -> BaseSampler:
    """NSGA-II whose generations follow from the trials alone: each is the next so many of those that are complete, by number.

    Optuna notes in a study the generation of a trial when it is proposed, and the parents of a generation once; a study that was
    written anew has none of both, and would begin with a first generation again. A child that is like a trial before, which
    crossover makes often in small spaces, is made anew.
    """
    from optuna.distributions import BaseDistribution
    from optuna.samplers import NSGAIISampler
    from optuna.trial import TrialState

    class Generations(NSGAIISampler):
        def __init__(self) -> None:
            super().__init__(seed=seed, population_size=size)
            self._parents: list[list[FrozenTrial]] = [[]]  # of each generation

        def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:
            return len(_complete(study)) // size

        def get_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
            return _complete(study)[generation * size : (generation + 1) * size]

        def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
            while len(self._parents) <= generation:  # which asks for those of the generation before
                self._parents.append(self.select_parent(study, len(self._parents)))
            return self._parents[generation]

        def sample_relative(
            self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
        ) -> dict[str, Any]:
            tried = [other.params for other in study.get_trials(deepcopy=False) if other.number != trial.number]
            for _ in range(ATTEMPTS):
                child = super().sample_relative(study, trial, search_space)  # without keys that are drawn anew
                if child not in [{key: params.get(key) for key in search_space} for params in tried]:
                    break
            return child

    def _complete(study: optuna.Study) -> list[FrozenTrial]:
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return sorted(trials, key=lambda trial: int(trial.user_attrs[NUMBER]))

    return Generations()
