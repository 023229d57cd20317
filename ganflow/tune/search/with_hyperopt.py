"""Hyperopt's tree-structured Parzen estimator (Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization")."""

from __future__ import annotations

import warnings
from typing import Any, Literal

from ganflow.recipe import Tune
from ganflow.tune.domains import Domain
from ganflow.tune.search.learning import STARTUP, LearningSearch, Told, missing
from ganflow.tune.space import Config, Space


class HyperoptSearch(LearningSearch):
    """Every key has a value in hyperopt's proposal; those that do not exist in the trial are left out of what it is told."""

    def __init__(self, tune: Tune, space: Space, mode: Literal["min", "max"]) -> None:
        super().__init__(tune, space, mode)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                import hyperopt
        except ImportError:
            raise missing("hyperopt") from None
        self.hyperopt = hyperopt
        scales = {key: self._scale(key, domain) for key, domain in space.keys.items()}
        self.domain = hyperopt.base.Domain(lambda places: 0.0, scales)

    def _scale(self, key: str, domain: Domain) -> Any:
        hp = self.hyperopt.hp
        if domain.size is None:
            return hp.uniform(key, 0.0, 1.0)
        if domain.ordered:
            return hp.quniform(key, -0.5, domain.size - 0.5, 1)
        return hp.randint(key, domain.size)

    def next(self, number: int) -> Config:
        trials = self.hyperopt.Trials()
        documents = [self._document(trials, n, told) for n, told in self.before(number)]
        if documents:
            trials.insert_trial_docs(documents)
        trials.refresh()
        (document,) = self.hyperopt.tpe.suggest(
            [number], self.domain, trials, self.random(number).getrandbits(32), n_startup_jobs=STARTUP, verbose=False
        )
        places = {key: float(values[0]) for key, values in document["misc"]["vals"].items()}

        def pick(key: str, domain: Domain) -> Any:
            place = places[key]
            return domain.at(place if domain.size is None else min(max(round(place), 0), domain.size - 1))

        return self.space.fill(pick)

    def _document(self, trials: Any, number: int, told: Told) -> Any:
        base, keys = self.hyperopt.base, self.space.keys
        misc = {
            "tid": number,
            "cmd": self.domain.cmd,
            "workdir": self.domain.workdir,
            "idxs": {key: [number] if key in told.places else [] for key in keys},
            "vals": {key: [told.places[key]] if key in told.places else [] for key in keys},
        }
        status = self.hyperopt.STATUS_FAIL if told.score is None else self.hyperopt.STATUS_OK
        result = {"status": status} if told.score is None else {"status": status, "loss": told.score}
        (document,) = trials.new_trial_docs([number], [None], [result], [misc])
        document["state"] = base.JOB_STATE_DONE
        return document
