"""Optuna's tree-structured Parzen estimator (Akiba et al. 2019, arXiv:1907.10902)."""

from __future__ import annotations

import warnings
from typing import Any, Literal

from ganflow.recipe import Tune
from ganflow.tune.domains import Domain
from ganflow.tune.search.learning import STARTUP, LearningSearch, Told, missing
from ganflow.tune.space import Config, Space


class OptunaSearch(LearningSearch):
    def __init__(self, tune: Tune, space: Space, mode: Literal["min", "max"]) -> None:
        super().__init__(tune, space, mode)
        try:
            import optuna
        except ImportError:
            raise missing("optuna") from None
        self.optuna = optuna
        optuna.logging.set_verbosity(optuna.logging.WARNING)

    def next(self, number: int) -> Config:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self.optuna.exceptions.ExperimentalWarning)  # group: keys that exist at times
            sampler = self.optuna.samplers.TPESampler(
                seed=self.random(number).getrandbits(32),
                n_startup_trials=STARTUP,
                multivariate=True,
                group=True,
                constant_liar=True,
            )
        study = self.optuna.create_study(sampler=sampler)
        study.add_trials([self._trial(told) for _, told in self.before(number)])
        trial = study.ask()

        def pick(key: str, domain: Domain) -> Any:
            if domain.size is None:
                return domain.at(trial.suggest_float(key, 0.0, 1.0))
            if domain.ordered:
                return domain.at(trial.suggest_int(key, 0, domain.size - 1))
            return domain.at(trial.suggest_categorical(key, range(domain.size)))

        return self.space.fill(pick)

    def _trial(self, told: Told) -> Any:
        state = self.optuna.trial.TrialState
        ended = state.PRUNED if told.score is None else state.COMPLETE  # pruned, without a value: worse than any with one
        kind = ended if told.over else state.RUNNING
        scales = {key: self._scale(self.space.keys[key]) for key in told.places}
        return self.optuna.trial.create_trial(state=kind, value=told.score, params=told.places, distributions=scales)

    def _scale(self, domain: Domain) -> Any:
        distributions = self.optuna.distributions
        if domain.size is None:
            return distributions.FloatDistribution(0.0, 1.0)
        if domain.ordered:
            return distributions.IntDistribution(0, domain.size - 1)
        return distributions.CategoricalDistribution(range(domain.size))
