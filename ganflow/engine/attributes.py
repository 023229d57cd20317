"""Everything that is no tensor among what a round is made of, so that what changes from round to round is found.

A traced round plays the operations that it was traced with. What decides about operations in Python, from a counter, say, is
frozen in it; tensors are not. Seen are the attributes of losses, modifiers, settings, networks, players and of whatever these
hold, in plain containers and in functions' closures too. Not seen: global variables, class attributes, files, the clock.
"""

from __future__ import annotations

import enum
import functools
import random
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ganflow.contract.data import Data
from ganflow.contract.loss import Loss
from ganflow.engine.distributed import Group
from ganflow.engine.losses import losses_in
from ganflow.engine.player import Part, Player

if TYPE_CHECKING:
    from ganflow.engine.round import Round

Seen = dict[tuple[int, str], Any]
"""Values by the number of the part that they were found in, and by path."""

ATOMS = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size, range, slice)
HOOKS = frozenset(nn.Module().__dict__)
"""What every module has; mostly empty, and then not worth the time."""
CONTAINERS = (Mapping, list, tuple, deque, set, frozenset)
LONG, LARGE = 10_000, 2**20
"""Of containers with more items only the length is seen; arrays of more bytes are not."""
ASIDE = {
    Player: {"group"},
    Part: {"flat", "leaves", "updated", "schedule"},
    nn.Module: {"_parameters", "_buffers"},
}
"""Attributes that change anyway, or are other parts': a schedule works outside of the round."""


def attributes(round: Round) -> Seen:
    """Every value that is no tensor among the parts of a round."""
    found: Seen = {}
    seen: dict[int, Any] = {}  # kept, so that no other thing gets its number
    for number, (name, part) in enumerate(_parts(round)):
        for path, value in _walk(part, name, seen):
            found[number, path] = value
    return found


def changes(before: Seen, after: Seen, *, but_made: bool = False) -> dict[str, str]:
    """Differences in words, by attribute: the path without what is within a container.

    Args:
        but_made: leave out what was not there, or None, before: something that is made when it is first needed.
    """
    found: dict[str, str] = {}
    for key in {**before, **after}:
        old, new = before.get(key), after.get(key)
        if _same(old, new) or (but_made and old is None):
            continue
        part, _, rest = key[1].partition(".")
        name = f"{part}.{rest.partition('[')[0]}" if rest else part
        plain = isinstance(old, ATOMS) and isinstance(new, ATOMS) and name == key[1]
        found.setdefault(name, f"{name} changed{f' from {_shown(old)} to {_shown(new)}' if plain else ''}")
    return found


def first_change(seen: Sequence[Seen]) -> str | None:
    """A change between three rounds one after another; what the first one made when it was first needed is none."""
    return next(iter((changes(*seen[:2], but_made=True) or changes(*seen[1:3])).values()), None)


def _parts(round: Round) -> Iterator[tuple[str, Any]]:
    """Settings first, under the names that a recipe has for them."""
    game = round.game
    yield from round.settings.items()
    for part in reversed(losses_in(game.parts)):
        yield "loss" if isinstance(part, Loss) else type(part).__name__, part
    yield from {"generator": game.generator, "critic": game.critic, "extras": game.extras}.items()
    yield from game.players.items()
    for event in ("critic_stepped", "generator_stepped"):
        yield from ((event, listener) for listener in getattr(round, event))


def _walk(value: Any, path: str, seen: dict[int, Any]) -> Iterator[tuple[str, Any]]:
    """Paths and values of everything in a value that is no tensor; what was seen already is passed over."""
    if isinstance(value, ATOMS):
        yield path, value
    elif not isinstance(value, (Tensor, torch.Generator, Data, Group)) and id(value) not in seen:
        seen[id(value)] = value
        yield path, _nature(value)
        for name, item in _inside(value):
            yield from _walk(item, f"{path}{name}", seen)


def _inside(value: Any) -> list[tuple[str, Any]]:
    """Items of a value, by what is to be added to its path; none of what cannot be looked into."""
    if isinstance(value, CONTAINERS):
        if len(value) > LONG or isinstance(value, (set, frozenset)):
            return []
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        return [(f"[{key!r}]" if isinstance(key, ATOMS) else f"[{i}]", item) for i, (key, item) in enumerate(list(items))]
    if isinstance(value, MethodType):
        return [("", value.__self__), ("", value.__func__)]
    if isinstance(value, FunctionType):
        return [(f".{name}", item) for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
                for item in _contents(cell)]  # fmt: skip
    if isinstance(value, functools.partial):
        return [("", value.func), ("", value.args), ("", value.keywords)]
    if isinstance(value, torch.optim.Optimizer):
        plain = {name: item for name, item in vars(value).items() if name != "state"}
        return [*_named(plain), (".state", list(value.state.values()))]
    if isinstance(value, nn.Module):
        plain = {name: item for name, item in vars(value).items() if name != "_modules" and not (name in HOOKS and not item)}
        return [*_named(plain, value), *((f".{name}", part) for name, part in value._modules.items())]
    return [] if _foreign(value) else _named({**_slots(value), **getattr(value, "__dict__", {})}, value)


def _nature(value: Any) -> Any:
    """Comparable nature of a value as a whole: its type, a container's length, what a foreign value shows of itself."""
    kind = type(value).__name__
    if isinstance(value, (set, frozenset)):
        return kind, sorted(map(str, value))
    if isinstance(value, CONTAINERS):
        return kind, len(value)
    if isinstance(value, random.Random):
        return kind, value.getstate()
    if isinstance(value, (nn.Module, torch.optim.Optimizer)):
        return kind
    if hasattr(value, "bit_generator"):  # numpy's
        return kind, str(value.bit_generator.state)
    if type(value).__module__ == "numpy":
        return kind, value.tobytes() if getattr(value, "nbytes", LARGE) < LARGE else None
    if isinstance(value, (type, FunctionType, MethodType)):
        return kind, getattr(value, "__qualname__", "")
    text = repr(value) if _foreign(value) else ""
    return kind, "" if " at 0x" in text else text


def _foreign(value: Any) -> bool:
    """True for what is the standard library's, torch's or numpy's, whose inside is not seen."""
    package = type(value).__module__.partition(".")[0]
    return isinstance(value, (type, enum.Enum)) or package in sys.stdlib_module_names or package in ("torch", "numpy")


def _named(attributes: Mapping[str, Any], owner: Any = None) -> list[tuple[str, Any]]:
    aside = [names for cls, names in ASIDE.items() if isinstance(owner, cls)]
    return [(f".{name}", item) for name, item in attributes.items() if not any(name in names for names in aside)]


def _slots(value: Any) -> dict[str, Any]:
    slots = [cls.__dict__.get("__slots__", ()) for cls in type(value).__mro__]
    names = [name for listed in slots for name in ((listed,) if isinstance(listed, str) else listed)]
    return {name: getattr(value, name) for name in names if not name.startswith("__") and hasattr(value, name)}


def _contents(cell: Any) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:  # it is empty
        return []


def _same(old: Any, new: Any) -> bool:
    try:
        return type(old) is type(new) and bool(old == new or (old != old and new != new))
    except Exception:  # somebody's comparison
        return old is new


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
