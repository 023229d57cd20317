"""What losses and added terms hold: further ones, and the modules with their state, wherever they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from ganflow.loss import AddedTerms


def losses_in(parts: Sequence[AddedTerms]) -> list[AddedTerms]:
    """The losses and added terms, and every one that they hold, directly or within another, outermost first."""
    seen: set[int] = set()
    return [found for part in parts for found in _held(part, seen) if isinstance(found, AddedTerms)]


def modules_in(parts: Sequence[AddedTerms]) -> list[nn.Module]:
    """The modules that they are or hold; what is part of one of them is left out. Checkpoints know them by their numbers here."""
    found: list[nn.Module] = []
    seen: set[int] = set()
    walked: set[int] = set()
    for part in (held for outer in parts for held in _held(outer, walked)):
        if isinstance(part, nn.Module) and id(part) not in seen:
            found.append(part)
            seen |= set(map(id, part.modules()))
    return found


def _held(value: Any, seen: set[int]) -> Iterator[AddedTerms | nn.Module]:
    """The losses, added terms and modules among a value, its attributes and its items, and within them."""
    if id(value) in seen:
        return
    seen.add(id(value))
    inside: Any = ()
    if isinstance(value, (AddedTerms, nn.Module)):
        yield value
        inside = vars(value).values()
    elif isinstance(value, dict):
        inside = value.values()
    elif isinstance(value, (list, tuple, set, frozenset)):
        inside = value
    for part in list(inside):
        yield from _held(part, seen)
