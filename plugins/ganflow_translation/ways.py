"""Paired and unpaired data for translation, by their fields."""

from __future__ import annotations

from collections.abc import Mapping

PAIRED: Mapping[str, str] = {"target": "source"}
UNPAIRED: Mapping[str, str] = {"b": "a", "a": "b"}


def ways_of(fields: Mapping[str, object]) -> Mapping[str, str] | None:
    """The field that each generated field is made from, of paired or of unpaired data; None where the data are neither."""
    for ways in (PAIRED, UNPAIRED):
        if set(fields) == set(ways) | set(ways.values()):
            return ways
    return None
