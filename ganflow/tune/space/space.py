"""A space: domains by key of the recipe, the conditions under which each key exists, and what follows from them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ganflow.plugins import Catalogue
from ganflow.recipe import Recipe, Tune
from ganflow.recipe.paths import steps
from ganflow.recipe.source import Draft
from ganflow.recipe.writer import to_flow
from ganflow.tune.conditions import matches
from ganflow.tune.domains import Choice, Domain

Config = dict[str, Any]
"""What a trial has of its own: key of the recipe → value ("optimizer.lr" → 0.0003)."""

# With other values there, a copied trial's weights, or its optimizers' state, no longer fit.
_SHAPES = re.compile(r"(data|prior|generator|critic)\b")
_COMPONENT = re.compile(r"(loss|optimizer|schedule|modifiers)(\[\d+\]|\.generator|\.critic)?")


@dataclass(frozen=True)
class Space:
    """What the trials of a sweep can differ in.

    Attributes:
        keys: key of the recipe → what is tried for it, in the recipe's order.
        conditions: key → {another key: values of which it must have one}; no entry where it always exists.
        points: what is tried first; keys that one leaves out are drawn at random.
        order: the keys, each after those that its conditions name.
        lines: key → its line in the recipe.
        draft: the recipe that trials are made of.
        catalogue: the components that it can name.
        variants: recipes of this space, one for each set of components that was met when the space was checked.
    """

    keys: dict[str, Domain]
    conditions: dict[str, dict[str, list[Any]]]
    points: list[Config]
    order: list[str]
    lines: dict[str, int]
    draft: Draft
    catalogue: Catalogue
    variants: list[Recipe] = field(default_factory=list)

    def holds(self, key: str, config: Mapping[str, Any]) -> bool:
        """Whether a key exists in a trial, of which the keys before it in `order` are known."""
        return all(
            other in config and any(matches(config[other], value) for value in wanted)
            for other, wanted in self.conditions.get(key, {}).items()
        )

    def fill(self, pick: Callable[[str, Domain], Any]) -> Config:
        """The config in which every key that exists has the value that `pick` gives."""
        config: Config = {}
        for key in self.order:
            if self.holds(key, config):
                config[key] = pick(key, self.keys[key])
        return {key: config[key] for key in self.keys if key in config}

    def sample(self, rng: random.Random, given: Mapping[str, Any] | None = None) -> Config:
        """A config drawn at random, but for the values that are given."""
        known = given or {}
        return self.fill(lambda key, domain: known[key] if key in known else domain.sample(rng))

    def active(self, config: Mapping[str, Any]) -> Config:
        """The part of a config that exists under its conditions.

        Raises:
            KeyError: it lacks a key that exists.
        """
        return self.fill(lambda key, domain: config[key])

    def mutate(self, config: Mapping[str, Any], rng: random.Random) -> Config:
        """Population based training: a config near this one. What gives the networks their form, and which components there are,
        stays as it is, for the weights are copied."""

        def pick(key: str, domain: Domain) -> Any:
            if key not in config:
                return domain.sample(rng)
            return config[key] if self._shapes(key, domain) else domain.mutate(config[key], rng)

        return self.fill(pick)

    def _shapes(self, key: str, domain: Domain) -> bool:
        whole = isinstance(domain, Choice) and any(isinstance(option, (dict, list)) for option in domain.options)
        component = _COMPONENT.fullmatch(key) or any(steps(slot) == steps(key) for v in self.variants for slot in v.slots())
        return whole or key.endswith(".use") or bool(_SHAPES.match(key) or component)

    def changes(self, config: Mapping[str, Any]) -> list[str]:
        """The overrides that make the sweep's recipe a trial's."""
        return [*self.overrides(config).values(), "~tune"]

    def overrides(self, config: Mapping[str, Any]) -> dict[str, str]:
        """Key → the override that sets it."""
        return {key: f"{key}={to_flow(config[key])}" for key in self.keys if key in config}

    def validate(self, config: Mapping[str, Any]) -> Recipe:
        """The recipe of a trial with this config.

        Raises:
            RecipeError: it has problems, told with the lines of the space's keys.
        """
        lines = {text: self.lines[key] for key, text in self.overrides(config).items()}
        return self.draft.build(self.changes(config), self.catalogue, lines)

    def combinations(self, values: Mapping[str, Sequence[Any]]) -> Iterator[Config]:
        """Every config in which each of these keys, where it exists, has one of its values; the first key varies slowest."""

        def extend(config: Config, rest: list[str]) -> Iterator[Config]:
            if not rest:
                yield config
                return
            key, *later = rest
            if not self.holds(key, config):
                yield from extend(config, later)
                return
            for value in values[key]:
                yield from extend({**config, key: value}, later)

        return extend({}, [key for key in self.order if key in values])

    def grid(self) -> Iterator[Config]:
        """The points of the grid: every combination of the options of every choice and grid."""
        return self.combinations({key: domain.options for key, domain in self.keys.items() if isinstance(domain, Choice)})

    def count(self, tune: Tune) -> int:
        """How many trials the sweep has."""
        return len(self.points) + sum(1 for _ in self.grid()) if tune.search == "grid" else tune.trials
