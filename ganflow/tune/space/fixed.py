"""What a recipe says of keys that are not in its space, and so are the same in all trials: conditions may name them, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ganflow.plugins import Catalogue
from ganflow.plugins.wording import did_you_mean
from ganflow.recipe import Recipe
from ganflow.recipe.nodes import join
from ganflow.recipe.paths import longest_key, steps
from ganflow.recipe.sections import PARTS, PER_PART, SECTIONS
from ganflow.tune.conditions import matches, names
from ganflow.tune.domains import Choice, Domain


class Fixed:
    """A recipe's own values, for conditions."""

    def __init__(self, recipe: Recipe, catalogue: Catalogue) -> None:
        self.recipe = recipe.resolved()
        self.installed = {name for component in catalogue.components() for name in (component.name, component.qualified)}

    def holds(self, key: str, wanted: list[Any]) -> bool:
        value = self._value(key)
        return any(matches(value, each) for each in wanted)

    def problems(self, key: str, wanted: list[Any], domains: Mapping[str, Domain]) -> Iterator[str]:
        """Why this cannot be a condition.

        Args:
            domains: of the keys that are searched.
        """
        for other, domain in domains.items():
            whole = other.endswith(".use") or (isinstance(domain, Choice) and any(isinstance(o, dict) for o in domain.options))
            if _below(key, other) or (whole and _below(other, key)):
                yield f"'{key}' is searched as '{other}'; name that"
                return
        try:
            value = self._value(key)
        except LookupError:
            close = did_you_mean(key, [*domains, *SECTIONS])
            yield f"'{key}' is neither in the space nor in the recipe{close}"
            return
        sections = value if isinstance(value, list) else [value]
        if not any(isinstance(section, dict) for section in sections):
            return
        for each in wanted:
            if isinstance(each, str) and each not in self.installed and not matches(value, each):
                yield f"nothing that is called '{each}' is installed{did_you_mean(each, [*names(value), *self.installed])}"

    def _value(self, key: str) -> Any:
        """Plain data; None where the section is absent, or the list not so long; a list of all parts' values where each has
        its own.

        Raises:
            LookupError: there is no such key.
        """
        path = steps(key) or [key]
        if path[0] not in SECTIONS:
            raise LookupError(key)
        section, *rest = path
        value = _child(self.recipe, section, 0)
        values: list[Any] = [value]
        if section in PER_PART and value is not None:
            part, below = longest_key(value, rest)
            every = not rest or rest[0] not in PARTS
            values, rest = (list(value.values()), rest) if every else ([_child(value, part or rest[0], 1)], below)
        for depth, step in enumerate(rest, 1):
            values = [_child(value, step, depth) for value in values if value is not None]
        return values[0] if len(values) == 1 else values or None


def _child(value: Any, step: str | int, depth: int) -> Any:
    if isinstance(value, list):
        if not isinstance(step, int):
            raise LookupError(step)
        return value[step] if step < len(value) else None
    if not isinstance(value, dict):
        raise LookupError(step)
    return value.get(str(step)) if depth == 0 else value[str(step)]


def _below(key: str, other: str) -> bool:
    """Whether a key lies within another."""
    return key != other and key.startswith(other) and key[len(other)] in ".["


def canonical(path: list[str | int]) -> str:
    """A key's one form: modifiers[0].c, also where it was written modifiers.0.c."""
    key = ""
    for step in path:
        key = join(key, step)
    return key
