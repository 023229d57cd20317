"""What a sweep is to do, found out and checked before anything is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ganflow.errors import GanflowError
from ganflow.recipe import Recipe, Tune, read_recipe
from ganflow.tune.space import Space, read_space


@dataclass(frozen=True)
class Plan:
    """A sweep that can be begun: everything about it that was found out beforehand."""

    recipe: Recipe
    tune: Tune
    space: Space
    metric: str
    mode: Literal["min", "max"]


def make_plan(source: str | Path, overrides: Sequence[str] = ()) -> Plan:
    """Read a recipe with a tune section, and check every value that its space can yield.

    Raises:
        GanflowError: the recipe, its space or its objective is wrong.
    """
    from ganflow.tune.executors import executor_of
    from ganflow.tune.objective import find_objective

    recipe = read_recipe(source, overrides)
    if recipe.tune is None:
        raise GanflowError(f"{recipe.file} has no section 'tune'; what one looks like: ganflow recipes copy sweeps/asha")
    space = read_space(recipe, source, overrides)
    together = executor_of(recipe, recipe.tune.pack).together
    if together > 1 and recipe.tune.scheduler != "none":
        text = f"it plays {together} trials together to their end, which {recipe.tune.scheduler} does not allow"
        raise GanflowError(f"tune.executor: {text}; use scheduler: none")
    metric, mode = find_objective(recipe, space.variants)
    return Plan(recipe, recipe.tune, space, metric, mode)


def rounds_of(plan: Plan) -> int:
    """Rounds that a trial plays."""
    return plan.tune.rounds or plan.recipe.train.rounds


def in_common(plan: Plan) -> list[str]:
    """Changes that make every trial's recipe of the sweep's, besides its own."""
    train, rounds = plan.recipe.train, rounds_of(plan)
    changes: dict[str, Any] = {}
    if plan.tune.rounds:
        changes["train.rounds"] = rounds
    if not train.sample_every:  # pictures of every trial along its way are more than anyone looks at, and cost more than rounds
        changes["train.sample_every"] = rounds
    if not train.threads:
        changes["train.threads"] = max(1, int(plan.tune.resources.get("cpus", 1)))
    if plan.tune.scheduler == "pbt" and not train.checkpoint_every:
        changes["train.checkpoint_every"] = max(1, round(plan.tune.interval * rounds))
    return [f"{name}={value}" for name, value in changes.items() if name not in plan.space.keys]
