"""One value for one key: OmegaConf decides whether it fits the key's type, and how to say so if it does not.

OmegaConf is made for merging and converts freely: 2 to True, False to 'False', '3' to 3. A recipe means what it says,
so what OmegaConf made of a value is compared with what was written. Two conversions are welcome: a whole number where
a fractional one is expected, and a whole number in exponent form (1e3) where an integer is.
"""

from __future__ import annotations

import functools
import re
import types
from collections.abc import Iterator
from dataclasses import make_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, cast, get_args, get_origin

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ganflow.errors import GanflowError, PluginError
from ganflow.plugins.wording import did_you_mean
from ganflow.recipe.nodes import Node
from ganflow.recipe.reader import scalar
from ganflow.settings import Key, keys

_ONE = {int: "an integer", float: "a number", bool: "true or false", str: "text", type(None): "null"}
_SEVERAL = {int: "integers", float: "numbers", bool: "true or false", str: "texts"}

_OTHER_BASE = re.compile(r"[-+]?0[xob]?[0-9a-fA-F]+")  # or decimal with leading zeros, which means octal to some


class Misfit(GanflowError):
    """A value is not of its key's type; the text says what it should be, and what to write."""


def convert(settings: type, key: Key, node: Node) -> Any:
    """The value of `node` as the type of the key.

    Raises:
        Misfit: it does not fit.
        PluginError: the key's type is none that a recipe can hold.
    """
    if any("${" in text for text in _texts(node)):
        raise Misfit("a value cannot contain '${' as plain text")
    for leaf in (_as_written, _exponents_as_integers, _integers_as_floats):
        value = node.plain(leaf)
        schema = OmegaConf.structured(_alone(settings, key.name))
        try:
            OmegaConf.update(schema, key.name, value, merge=False)
            made = cast("dict[str, Any]", OmegaConf.to_container(schema, resolve=False))[key.name]
        except (OmegaConfBaseException, OverflowError):
            continue
        if _faithful(value, made):
            return made
    raise Misfit(f"{node} is not {expected(key.type)}{_hint(node, key.type)}")


@functools.cache
def _alone(settings: type, name: str) -> type:
    """A dataclass with this key of a settings class alone, for a structured config."""
    (key,) = (k for k in keys(settings) if k.name == name)
    made = make_dataclass(settings.__name__, [(name, key.type)])
    try:
        OmegaConf.structured(made)
    except OmegaConfBaseException:
        what = f"a recipe cannot hold the type of the key '{name}' ({key.type_name})"
        remedy = "use int, float, bool, str, Literal, lists, tuples, dicts, or unions of them"
        raise PluginError(f"{settings.__module__}.{settings.__qualname__}: {what}; {remedy}") from None
    return made


def _as_written(node: Node) -> Any:
    return node.value


def _exponents_as_integers(node: Node) -> Any:
    value = node.value
    whole = isinstance(value, float) and "e" in node.text.lower() and value.is_integer() and abs(value) < 2**63
    return int(value) if whole else value


def _integers_as_floats(node: Node) -> Any:
    return float(node.value) if type(node.value) is int else node.value


def _faithful(written: Any, made: Any) -> bool:
    """Whether `made` is what was written, and not something it was converted to."""
    if isinstance(written, dict):
        return isinstance(made, dict) and all(map(_faithful, written.values(), made.values()))
    if isinstance(written, list):
        return isinstance(made, (list, tuple)) and all(map(_faithful, written, made))
    if isinstance(written, str):
        return isinstance(made, (str, Enum, Path))
    return type(written) is type(made) or (type(written) is int and type(made) is float)


def _texts(node: Node) -> Iterator[str]:
    if isinstance(node.value, str):
        yield node.value
    for name, child in node.children():
        if isinstance(name, str):
            yield name
        yield from _texts(child)


def expected(kind: Any) -> str:
    """A type in words: "an integer", "one of fp32, bf16", "a list of numbers"."""
    arguments = get_args(kind)
    origin = get_origin(kind)
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in (Union, types.UnionType):
        return " or ".join(expected(a) for a in arguments)
    if kind in _ONE:
        return _ONE[kind]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f"one of {', '.join(kind.__members__)}"
    if (origin or kind) is tuple and arguments and Ellipsis not in arguments:
        return f"a list of {len(arguments)} {_items(arguments)}"
    if (origin or kind) in (list, tuple):
        return f"a list of {_items(arguments[:1])}" if arguments else "a list"
    if (origin or kind) is dict:
        return f"a mapping to {_items(arguments[1:])}" if arguments else "a mapping"
    return f"a {getattr(kind, '__name__', kind)}"


def _items(kinds: tuple[Any, ...]) -> str:
    named = {_SEVERAL.get(kind) for kind in kinds}
    return named.pop() or "values" if len(named) == 1 else "values"


def _hint(node: Node, kind: Any) -> str:
    """What to write instead, where that can be guessed."""
    kinds = list(_alternatives(kind))
    choices = [a for k in kinds if get_origin(k) is Literal for a in get_args(k)]
    value = node.value
    if isinstance(value, str):
        meant = scalar(value.strip())
        if node.quoted and type(meant) in kinds and meant is not None:
            return "; leave out the quotes"
        if int in kinds and _OTHER_BASE.fullmatch(value):
            return "; write it in decimal, without leading zeros"
        return did_you_mean(value, [c for c in choices if isinstance(c, str)])
    if node.text and (str in kinds or node.text in choices):
        return f"; put it in quotes: '{node.text}'"
    if int in kinds and isinstance(value, float) and value.is_integer():
        return f"; write {int(value)}"
    return ""


def _alternatives(kind: Any) -> Iterator[Any]:
    if get_origin(kind) in (Union, types.UnionType):
        for argument in get_args(kind):
            yield from _alternatives(argument)
    else:
        yield kind
