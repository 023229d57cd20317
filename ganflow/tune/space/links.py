"""How the keys of a space depend on each other: their conditions read, checked, and put in order."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any

from ganflow.plugins.wording import did_you_mean
from ganflow.recipe.paths import steps
from ganflow.recipe.writer import to_flow
from ganflow.tune.conditions import matches, names
from ganflow.tune.domains import Choice, Domain, RandInt
from ganflow.tune.space.fixed import Fixed, canonical


class Links:
    """
    Args:
        domains: by key.
        when: key → its conditions, as they are written.
        problem: notes a problem with a key.

    Attributes:
        conditions: key → {another key of the space: values of which it must have one}.
        order: the keys that exist in some trial, each after those that its conditions name.
    """

    def __init__(
        self, domains: Mapping[str, Domain], when: Mapping[str, Any], fixed: Fixed, problem: Callable[[str, str], None]
    ) -> None:
        self.domains, self.when, self.fixed, self.problem = domains, when, fixed, problem
        self.conditions: dict[str, dict[str, list[Any]]] = {}
        self.order: list[str] = []

    def check(self, written: Container[str]) -> None:
        """Note what is wrong with the conditions.

        Args:
            written: all keys that the recipe's space has; those without a domain have problems already.
        """
        for key, when in self.when.items():
            if self._read(key, when):
                self._check(key, written)

    def _read(self, key: str, when: Any) -> bool:
        """Take in the conditions of a key; whether they can be understood."""
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

    def _check(self, key: str, written: Container[str]) -> None:
        """Note the conditions of a key that can never hold."""
        texts: list[str] = []
        for other, wanted in self.conditions[key].items():
            domain = self.domains.get(other)
            if domain is None and other in written:
                continue
            if domain is None:
                texts += self.fixed.problems(other, wanted, self.domains)
            elif isinstance(domain, Choice):
                known = list(dict.fromkeys(name for option in domain.options for name in names(option)))
                for value in wanted:
                    if not any(matches(option, value) for option in domain.options):
                        hint = f"{did_you_mean(str(value), known)} (options: {', '.join(known)})"
                        texts.append(f"no option of '{other}' is {to_flow(value)}{hint}")
            elif isinstance(domain, RandInt):
                texts += [f"'{other}' is never {to_flow(value)}" for value in wanted if not domain.contains(value)]
            else:
                texts.append(f"a condition needs options, and '{other}' has none; make it choice, grid or randint")
        for text in texts:
            self.problem(key, f"when: {text}")

    def put_in_order(self) -> None:
        """Fill `order`. Conditions on what is the same in all trials are done with here: they fall away, or their keys do."""
        waiting = dict.fromkeys(self.domains)
        never: set[str] = set()
        while waiting:
            key = next((k for k in waiting if not any(other in waiting for other in self.conditions.get(k, {}))), None)
            if key is None:
                circle = self._circle(next(iter(waiting)), waiting)
                self.problem(circle[0], f"when: conditions go round in a circle: {' → '.join(circle)}")
                return
            del waiting[key]
            conditions = self.conditions.pop(key, {})
            if any(o in never if o in self.domains else not self.fixed.holds(o, w) for o, w in conditions.items()):
                never.add(key)
                continue
            self.order.append(key)
            if left := {other: wanted for other, wanted in conditions.items() if other in self.domains}:
                self.conditions[key] = left

    def _circle(self, key: str, waiting: dict[str, None]) -> list[str]:
        path = [key]
        while True:
            key = next(other for other in self.conditions[key] if other in waiting)
            if key in path:
                return [*path[path.index(key) :], key]
            path.append(key)
