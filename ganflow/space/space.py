"""Search space: domains by key, and the conditions under which a key exists."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ganflow.errors import did_you_mean
from ganflow.plugins import Catalogue
from ganflow.recipe import Recipe, Tune
from ganflow.recipe.sections import PARTS, PER_PART, SECTIONS
from ganflow.recipe.source import Draft
from ganflow.recipe.values import longest_key, steps
from ganflow.recipe.yaml import join, to_flow
from ganflow.space.domains import Choice, Discrete, Domain


def matches(value: Any, wanted: Any) -> bool:
    """Return true if a value is the one that a condition names: equal, a component of that name, or a list that holds such a one.

    A component is a section with `use`, or its bare name; the plugin's name may be left out on either side.
    """
    if type(value) is type(wanted) and value == wanted:
        return True
    if isinstance(value, list):
        return any(matches(item, wanted) for item in value)
    if isinstance(wanted, dict):
        wanted = wanted["use"] if list(wanted) == ["use"] else wanted
    if isinstance(value, dict):
        value = value.get("use")
    if isinstance(value, str) and isinstance(wanted, str):
        return _same(value, wanted)
    return not isinstance(value, bool) and not isinstance(wanted, bool) and bool(value == wanted)


def _same(one: str, other: str) -> bool:
    return one == other if "/" in one and "/" in other else one.rpartition("/")[2] == other.rpartition("/")[2]


def names(value: Any) -> list[str]:
    """Names by which a condition could call a value, for hints."""
    if isinstance(value, list):
        return [name for item in value for name in names(item)]
    return [str(value.get("use", "")) if isinstance(value, dict) else value if isinstance(value, str) else to_flow(value)]


NOTHING = "(none)"
"""Text for what is absent, in tables."""


def is_nothing(value: Any) -> bool:
    """Return true if a text was meant as null."""
    return isinstance(value, str) and value.lower() in (NOTHING, "none", "null")


def written(wanted: list[Any]) -> str:
    """Values of a condition, as they stand in a recipe."""
    return to_flow(wanted[0] if len(wanted) == 1 else wanted)


class Fixed:
    """The values of a recipe itself, for conditions."""

    def __init__(self, recipe: Recipe, catalogue: Catalogue) -> None:
        self.recipe = recipe.resolved()
        self.installed = {name for component in catalogue.components() for name in (component.name, component.qualified)}

    def holds(self, key: str, wanted: list[Any]) -> bool:
        value = self.value(key)
        return any(matches(value, each) for each in wanted)

    def problems(self, key: str, wanted: list[Any], domains: Mapping[str, Domain]) -> Iterator[str]:
        """Reasons why this cannot be a condition.

        Args:
            domains: of the keys that are searched.
        """
        for other, domain in domains.items():
            whole = other.endswith(".use") or (isinstance(domain, Choice) and any(isinstance(o, dict) for o in domain.options))
            if below(key, other) or (whole and below(other, key)):
                yield f"'{key}' is searched as '{other}'; name that"
                return
        try:
            value = self.value(key)
        except LookupError:
            close = did_you_mean(key, [*domains, *SECTIONS])
            yield f"'{key}' is neither in the space nor in the recipe{close}"
            return
        if not any(isinstance(section, dict) for section in (value if isinstance(value, list) else [value])):
            return
        for each in wanted:
            if is_nothing(each) and not matches(value, each):
                yield f"for no {key}, write null, and not {to_flow(each)}"
            elif isinstance(each, str) and each not in self.installed and not matches(value, each):
                yield f"nothing that is called '{each}' is installed{did_you_mean(each, [*names(value), *self.installed])}"

    def value(self, key: str) -> Any:
        """The value of a key: see `fixed_value`."""
        return fixed_value(self.recipe, key)


def fixed_value(recipe: Mapping[str, Any], key: str) -> Any:
    """The value of a key in what `Recipe.resolved` returned: plain data; None where the section is absent, or the list too short.
    A key of all parts (optimizer.lr) has the value that they share; a list of each part's where they differ.

    Raises:
        LookupError: there is no such key.
    """
    section, *rest = steps(key) or [key]
    if section not in SECTIONS:
        raise LookupError(key)
    value = recipe.get(str(section))
    values: list[Any] = [value]
    if section in PER_PART and value is not None:
        part, below = longest_key(value, rest)
        every = not rest or rest[0] not in PARTS
        values, rest = (list(value.values()), rest) if every else ([_child(value, part or rest[0])], below)
    for step in rest:
        values = [_child(value, step) for value in values if value is not None]
    return values[0] if values and all(value == values[0] for value in values) else values or None


def _child(value: Any, step: str | int) -> Any:
    if isinstance(value, list) and isinstance(step, int):
        return value[step] if step < len(value) else None
    if not isinstance(value, dict):
        raise LookupError(step)
    return value[str(step)]


def below(key: str, other: str) -> bool:
    """Return true if a key lies within another."""
    return key != other and key.startswith(other) and key[len(other)] in ".["


def canonical(path: list[str | int]) -> str:
    """The canonical form of a key: modifiers[0].c, also where it was written modifiers.0.c."""
    key = ""
    for step in path:
        key = join(key, step)
    return key


class Links:
    """Conditions between the keys of a space.

    Args:
        domains: by key.
        when: key → its conditions, as they are written.
        problem: notes a problem with a key.

    Attributes:
        conditions: key → {another key of the space: values of which it must have one}.
        sequence: the keys, each after those that its conditions name.
    """

    def __init__(
        self, domains: Mapping[str, Domain], when: Mapping[str, Any], fixed: Fixed, problem: Callable[[str, str], None]
    ) -> None:
        self.domains, self.when, self.fixed, self.problem = domains, when, fixed, problem
        self.conditions: dict[str, dict[str, list[Any]]] = {}
        self.sequence: list[str] = []

    def check(self, written: Container[str]) -> None:
        """Note problems with the conditions.

        Args:
            written: all keys that the recipe's space has; those without a domain have problems already.
        """
        for key, when in self.when.items():
            if self._read(key, when):
                for text in self._never(key, written):
                    self.problem(key, f"when: {text}")

    def _read(self, key: str, when: Any) -> bool:
        """Read the conditions of a key; returns whether they can be understood."""
        if not isinstance(when, dict) or not when:
            self.problem(key, f"when takes conditions, {{key: value}}, not {to_flow(when)}")
            return False
        self.conditions[key] = {}
        for name, wanted in when.items():
            path = steps(name)
            if path is None:
                self.problem(key, f"when: '{name}' is not a key of a recipe; write it like loss or modifiers[0]")
                return False
            self.conditions[key][canonical(path)] = list(wanted) if isinstance(wanted, list) else [wanted]
        return True

    def _never(self, key: str, written: Container[str]) -> Iterator[str]:
        """Reasons why conditions of a key can never hold."""
        for other, wanted in self.conditions[key].items():
            domain = self.domains.get(other)
            if domain is None:
                yield from () if other in written else self.fixed.problems(other, wanted, self.domains)
            elif isinstance(domain, Choice):
                known = list(dict.fromkeys(name for option in domain.options for name in names(option)))
                for value in wanted:
                    if is_nothing(value) and None in domain.options:
                        yield f"no option of '{other}' is {to_flow(value)}; write null for none"
                    elif not any(matches(option, value) for option in domain.options):
                        hint = f"{did_you_mean(str(value), known)} (options: {', '.join(known)})"
                        yield f"no option of '{other}' is {to_flow(value)}{hint}"
            elif isinstance(domain, Discrete):
                yield from (f"'{other}' is never {to_flow(value)}" for value in wanted if not domain.contains(value))
            else:
                yield f"a condition needs options, and '{other}' has none; make it choice, grid or randint"

    def sort(self) -> None:
        """Fill `sequence`. Conditions on what is the same in all trials are resolved here: they fall away, or are a problem."""
        waiting = dict.fromkeys(self.domains)
        while waiting:
            key = next((k for k in waiting if not any(other in waiting for other in self.conditions.get(k, {}))), None)
            if key is None:
                circle = self._circle(next(iter(waiting)), waiting)
                self.problem(circle[0], f"when: conditions go round in a circle: {' → '.join(circle)}")
                return
            del waiting[key]
            conditions = self.conditions.pop(key, {})
            for other, wanted in conditions.items():
                if other not in self.domains and not self.fixed.holds(other, wanted):
                    value = self.fixed.value(other)
                    now = " and ".join(dict.fromkeys(names(value))) if isinstance(value, (dict, list)) else to_flow(value)
                    remedy = f"remove the key, or put '{other}' into the space"
                    self.problem(key, f"when: {other} is never {written(wanted)}, but {now} in all trials; {remedy}")
            self.sequence.append(key)
            if left := {other: wanted for other, wanted in conditions.items() if other in self.domains}:
                self.conditions[key] = left

    def _circle(self, key: str, waiting: dict[str, None]) -> list[str]:
        path = [key]
        while True:
            key = next(other for other in self.conditions[key] if other in waiting)
            if key in path:
                return [*path[path.index(key) :], key]
            path.append(key)


Config = dict[str, Any]
"""Key of the recipe → a trial's value ("optimizer.lr" → 0.0003)."""

DRAWS = 100
"""Attempts at drawing a config that is new, before all are gone through."""
# With other values there, a copied trial's weights, or its optimizers' state, no longer fit.
_SHAPES = re.compile(r"(data|prior|generator|critic)\b")
_COMPONENT = re.compile(r"(loss|optimizer|schedule|modifiers)(\[\d+\]|\.generator|\.critic)?")


@dataclass(frozen=True)
class Space:
    """Values in which the trials of a sweep can differ.

    Attributes:
        keys: key of the recipe → its domain, in the recipe's order.
        conditions: key → {another key: values of which it must have one}; no entry where it always exists.
        points: tried first; keys that one leaves out are drawn at random.
        sequence: the keys, each after those that its conditions name.
        lines: key → its line in the recipe.
        draft: the recipe that trials are made of.
        catalogue: the components that it can name.
        variants: recipes of this space, one for each set of components that was met when the space was checked.
    """

    keys: dict[str, Domain]
    conditions: dict[str, dict[str, list[Any]]]
    points: list[Config]
    sequence: list[str]
    lines: dict[str, int]
    draft: Draft
    catalogue: Catalogue
    variants: list[Recipe] = field(default_factory=list)

    def holds(self, key: str, config: Mapping[str, Any]) -> bool:
        """Return true if a key exists in a trial, of which the keys before it in `sequence` are known."""
        return all(
            other in config and any(matches(config[other], value) for value in wanted)
            for other, wanted in self.conditions.get(key, {}).items()
        )

    def fill(self, pick: Callable[[str, Domain], Any]) -> Config:
        """The config in which every key that exists has the value that `pick` returns."""
        config: Config = {}
        for key in self.sequence:
            if self.holds(key, config):
                config[key] = pick(key, self.keys[key])
        return {key: config[key] for key in self.keys if key in config}

    def sample(self, rng: random.Random, known: Mapping[str, Any] = MappingProxyType({})) -> Config:
        """A config drawn at random, but for the known values."""
        return self.fill(lambda key, domain: known[key] if key in known else domain.sample(rng))

    def mutate(self, config: Mapping[str, Any], tune: Tune, rng: random.Random) -> Config:
        """A config near this one, for population based training. The networks' form, and which components there are, stay as they
        are, for the weights are copied."""
        probability, factors = tune.resample_probability, tune.perturbation_factors

        def pick(key: str, domain: Domain) -> Any:
            if key not in config:
                return domain.sample(rng)
            return config[key] if self._shapes(key, domain) else domain.mutate(config[key], probability, factors, rng)

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
            RecipeError: it has problems, with the lines of the space's keys.
        """
        lines = {text: self.lines[key] for key, text in self.overrides(config).items()}
        return self.draft.build(self.changes(config), self.catalogue, lines)

    def combinations(self, values: Mapping[str, Iterable[Any]]) -> Iterator[Config]:
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

        return extend({}, [key for key in self.sequence if key in values])

    def grid(self) -> Iterator[Config]:
        """The points of the grid: every combination of the options of every choice and grid."""
        return self.combinations({key: domain.options for key, domain in self.keys.items() if isinstance(domain, Choice)})

    def distinct(self, limit: int) -> int | None:
        """Number of configs; None where they are more than a limit."""
        values = {key: domain for key, domain in self.keys.items() if isinstance(domain, Discrete)}
        if len(values) < len(self.keys):
            return None
        number = sum(1 for _ in itertools.islice(self.combinations(values), limit + 1))
        return number if number <= limit else None

    def configs(self, tune: Tune) -> Iterator[Config]:
        """Configs for a sweep that does not learn: the points, then the grid's, again and again, or random ones without end.

        What they leave open is drawn at random. No config comes a second time while there is another that fits. The n-th
        follows from the space, the seed and n.
        """
        after: Iterable[Config] = self.grid() if tune.search == "grid" else [{}]
        seen: set[str] = set()
        for number, known in enumerate(itertools.chain(self.points, itertools.cycle(after))):
            config = self._new(known, seen, random.Random(f"{tune.seed}/{number}"))
            seen.add(repr(config))
            yield config

    def _new(self, known: Config, seen: set[str], rng: random.Random) -> Config:
        """A config that has the known values and was not seen, if there is one; the open ones are drawn at random."""
        for _ in range(DRAWS):
            config = self.sample(rng, known)
            if repr(config) not in seen:
                return config
        values: dict[str, Iterable[Any]] = {
            key: [known[key]] if key in known else domain if isinstance(domain, Discrete) else [domain.sample(rng)]
            for key, domain in self.keys.items()
        }
        every = (self.sample(rng, config) for config in self.combinations(values))
        unseen = list(itertools.islice((config for config in every if repr(config) not in seen), DRAWS))
        return rng.choice(unseen or [config])

    def count(self, tune: Tune) -> int:
        """Number of trials of the sweep."""
        if tune.search == "grid":
            return len(self.points) + tune.grid_samples * sum(1 for _ in self.grid())
        # a population changes its configs, and a searcher that learns goes where it likes
        fixed = tune.search == "random" and tune.scheduler != "pbt"
        return (self.distinct(tune.trials) if fixed else None) or tune.trials
