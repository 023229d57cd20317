"""Searchers: what proposes the configurations of a sweep's trials."""

from __future__ import annotations

from typing import Literal

from ganflow.recipe import Tune
from ganflow.tune.search.base import Searcher
from ganflow.tune.search.learning import LearningSearch
from ganflow.tune.search.plain import GridSearch, RandomSearch
from ganflow.tune.space import Space

__all__ = ["LearningSearch", "Searcher", "make_searcher"]


def make_searcher(tune: Tune, space: Space, mode: Literal["min", "max"]) -> Searcher:
    """The searcher that a tune section asks for.

    Args:
        mode: whether less or more of a score is better.

    Raises:
        GanflowError: its library is not installed.
    """
    if tune.search == "optuna":
        from ganflow.tune.search.with_optuna import OptunaSearch

        return OptunaSearch(tune, space, mode)
    if tune.search == "hyperopt":
        from ganflow.tune.search.with_hyperopt import HyperoptSearch

        return HyperoptSearch(tune, space, mode)
    return (GridSearch if tune.search == "grid" else RandomSearch)(tune, space)
