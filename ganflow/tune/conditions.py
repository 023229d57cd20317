"""Conditions: `when: {loss: hinge}` beside a domain lets a key exist only in the trials in which another has some value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def matches(value: Any, wanted: Any) -> bool:
    """Whether a value is the one that a condition names: equal, a component of that name, or a list that holds such a one.

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


def names(value: Any) -> Iterator[str]:
    """What a condition could call a value, for hints."""
    if isinstance(value, list):
        for item in value:
            yield from names(item)
    elif isinstance(value, dict):
        yield str(value.get("use", ""))
    else:
        yield str(value)
