"""What a loss holds: the losses that it wraps or plays by, and the modules with its state, wherever they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from ganflow.loss import AddedTerms, Loss


def losses_in(loss: Loss) -> list[Loss]:
    """The loss and every loss that it holds, directly or within another, outermost first."""
    return [part for part in _held(loss, set()) if isinstance(part, Loss)]


def modules_in(loss: Loss) -> list[nn.Module]:
    """The modules that a loss is or holds; what is part of one of them is left out.

    Those of the modifiers' chain come first: checkpoints know a loss's state by its number in this list.
    """
    found: list[nn.Module] = []
    seen: set[int] = set()
    for part in (*_chain(loss), *_held(loss, set())):
        if isinstance(part, nn.Module) and id(part) not in seen:
            found.append(part)
            seen |= set(map(id, part.modules()))
    return found


def _chain(loss: Loss) -> Iterator[Loss]:
    yield loss
    if isinstance(loss, AddedTerms):
        yield from _chain(loss.loss)


def _held(value: Any, seen: set[int]) -> Iterator[Loss | nn.Module]:
    """The losses and modules among a value, its attributes and its items, and within them."""
    if id(value) in seen:
        return
    seen.add(id(value))
    inside: Any = ()
    if isinstance(value, (Loss, nn.Module)):
        yield value
        inside = vars(value).values()
    elif isinstance(value, dict):
        inside = value.values()
    elif isinstance(value, (list, tuple, set, frozenset)):
        inside = value
    for part in list(inside):
        yield from _held(part, seen)
