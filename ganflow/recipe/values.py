"""Values of single keys: paths, references, and conversion to the type that a key has."""

from __future__ import annotations

import functools
import re
import types
from collections.abc import Container, Iterator, Sequence
from dataclasses import make_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, cast, get_args, get_origin

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ganflow.contract.settings import Key, keys
from ganflow.errors import PluginError, did_you_mean
from ganflow.recipe.yaml import Node, Problems, Refused, Typed, join, scalar, shown
from ganflow.synonyms import value_hint

_PATH = re.compile(r"[A-Za-z_]\w*(\.\w+|\[\d+\])*", re.ASCII)
_STEP = re.compile(r"\w+", re.ASCII)


def steps(path: str) -> list[str | int] | None:
    """The keys and indexes that a path consists of; None if it is not one."""
    if not _PATH.fullmatch(path) or len(path) > 500:
        return None
    return [int(step) if step.isdecimal() else step for step in _STEP.findall(path)]


def longest_key(keys: Container[str], path: Sequence[str | int]) -> tuple[str, list[str | int]]:
    """The longest of a mapping's keys, which may have dots ("generator.mapping"), that a path begins with, and the rest of the
    path; "" and all of it if there is none."""
    for n in range(len(path), 0, -1):
        if (key := ".".join(map(str, path[:n]))) in keys:
            return key, list(path[n:])
    return "", list(path)


_ONE = {int: "an integer", float: "a number", bool: "true or false", str: "text", type(None): "null"}
_SEVERAL = {int: "integers", float: "numbers", bool: "true or false", str: "texts"}

_OTHER_BASE = re.compile(r"[-+]?0[xob]?[0-9a-fA-F]+")  # or decimal with leading zeros, which means octal to some


def convert(settings: type, key: Key, node: Node) -> Any:
    """The value of `node` as the type of the key.

    Raises:
        Refused: it does not fit.
        PluginError: the key's type is none that a recipe can hold.
    """
    if any("${" in text for text in _texts(node)):
        raise Refused("a value cannot contain '${' as plain text")
    typed = [one.typed for one in _all(node) if one.typed is not None and one.typed.text.strip() and "${" not in one.typed.text]
    for meant in (False, True) if typed else (False,):
        for one in typed:
            one.meant = meant
        for leaf in (lambda node: node.value, _exponents_as_integers, _integers_as_floats):
            value = node.plain(leaf)
            schema = OmegaConf.structured(_alone(settings, key.name))
            try:
                OmegaConf.update(schema, key.name, value, merge=False)
                made = cast("dict[str, Any]", OmegaConf.to_container(schema, resolve=False))[key.name]
            except (OmegaConfBaseException, OverflowError):
                continue
            if _faithful(value, made):
                return made
    for one in typed:
        one.meant = False
    raise Refused(f"{node} is not {expected(key.type)}{_hint(node, key)}")


@functools.cache
def _alone(settings: type, name: str) -> type:
    """A dataclass with one key of a settings class, for a structured config."""
    (key,) = (k for k in keys(settings) if k.name == name)
    made = make_dataclass(settings.__name__, [(name, key.type)])
    try:
        OmegaConf.structured(made)
    except OmegaConfBaseException:
        what = f"a recipe cannot hold the type of the key '{name}' ({key.type_name})"
        remedy = "use int, float, bool, str, Literal, lists, tuples, dicts, or unions of them"
        raise PluginError(f"{settings.__module__}.{settings.__qualname__}: {what}; {remedy}") from None
    return made


def _exponents_as_integers(node: Node) -> Any:
    value = node.value
    whole = isinstance(value, float) and "e" in node.text.lower() and value.is_integer() and abs(value) < 2**63
    return int(value) if whole else value


def _integers_as_floats(node: Node) -> Any:
    return float(node.value) if type(node.value) is int else node.value


def _faithful(written: Any, made: Any) -> bool:
    """Return whether `made` is the written value, not one that it was converted to."""
    if isinstance(written, dict):
        return isinstance(made, dict) and all(map(_faithful, written.values(), made.values()))
    if isinstance(written, list):
        return isinstance(made, (list, tuple)) and all(map(_faithful, written, made))
    if isinstance(written, str):
        return isinstance(made, (str, Enum, Path))
    return type(written) is type(made) or (type(written) is int and type(made) is float)


def no_yaml(node: Node, type_: Any) -> list[str]:
    """Problems of overrides in a key's value that are not the YAML that they seem; none of one that is text for the key."""
    return [text for one in _all(node) if one is not node or str not in _alternatives(type_) for text in one.trouble]


def _all(node: Node) -> Iterator[Node]:
    yield node
    for _, child in node.children():
        yield from _all(child)


def _texts(node: Node) -> Iterator[str]:
    if isinstance(node.value, str):
        yield node.value
    for name, child in node.children():
        if isinstance(name, str):
            yield name
        yield from _texts(child)


def expected(type_: Any) -> str:
    """A type in words: "an integer", "one of fp32, bf16", "a list of numbers"."""
    arguments, origin = get_args(type_), get_origin(type_)
    form = origin or type_
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in (Union, types.UnionType):
        return " or ".join(expected(a) for a in arguments)
    if type_ in _ONE:
        return _ONE[type_]
    if isinstance(type_, type) and issubclass(type_, Enum):
        return f"one of {', '.join(type_.__members__)}"
    if form is tuple and arguments and Ellipsis not in arguments:
        return f"a list of {len(arguments)} {_items(arguments)}"
    if form in (list, tuple):
        return f"a list of {_items(arguments[:1])}" if arguments else "a list"
    if form is dict:
        return f"a mapping to {_items(arguments[1:])}" if arguments else "a mapping"
    return f"a {getattr(type_, '__name__', type_)}"


def _items(types_: tuple[Any, ...]) -> str:
    if len(types_) == 1 and get_origin(types_[0]) is Literal:
        return ", ".join(map(str, get_args(types_[0])))
    named = {_SEVERAL.get(type_) for type_ in types_}
    return named.pop() or "values" if len(named) == 1 else "values"


def can_unset(key: Key) -> bool:
    """Return whether null, on the command line, gives a key its default: it has one, and can be neither null nor text."""
    if key.notes.role or key.required:
        return not key.required and key.default is not None
    return not any(type_ in (str, type(None), Any) for type_ in _alternatives(key.type))


def _hint(node: Node, key: Key) -> str:
    """Advice what to write instead, where that can be guessed."""
    alternatives = list(_alternatives(key.type))
    choices = [a for t in alternatives if get_origin(t) is Literal for a in get_args(t)]
    value = node.value
    if in_brackets := _as_list(node, alternatives):
        return in_brackets
    if isinstance(value, str):
        meant = scalar(value.strip())
        if node.quoted and type(meant) in alternatives and meant is not None:
            return "; leave out the quotes"
        if int in alternatives and _OTHER_BASE.fullmatch(value):
            return "; write it in decimal, without leading zeros"
        return value_hint(value, key.name, [c for c in choices if isinstance(c, str)])
    if node.text and (str in alternatives or node.text in choices):
        return f"; put it in quotes: '{node.text}'"
    whole = int in alternatives and isinstance(value, float) and value.is_integer()
    return f"; write {int(value)}" if whole else ""


def _as_list(node: Node, alternatives: Sequence[Any]) -> str:
    """Advice to write a single value in brackets, where a list is the one type of a key."""
    items = [get_args(a)[:1] for a in alternatives if get_origin(a) is list]
    if len(items) != 1 or len(alternatives) != 1 or isinstance(node.value, (list, dict)):
        return ""
    (item,) = items[0]
    if item is str:
        plain = isinstance(node.value, str) and re.fullmatch(r"[\w.-]+", node.value)
        return f"; write [{node.value}], or several: [{node.value}, other]" if plain else "; write them in brackets: [cat, dog]"
    return f"; write [{node.text}]" if type(node.value) is item or (type(node.value), item) == (int, float) else ""


def _alternatives(type_: Any) -> Iterator[Any]:
    if get_origin(type_) in (Union, types.UnionType):
        for argument in get_args(type_):
            yield from _alternatives(argument)
    else:
        yield type_


REFERENCE = re.compile(r"\$\{([A-Za-z_][\w.\[\]]*)\}", re.ASCII)
_LONGEST_CHAIN = 50
_LONGEST_TEXT = 1000


def refers(node: Node) -> bool:
    """Return whether a node is text that holds a reference, or something like one."""
    return isinstance(node.value, str) and "${" in node.value and not node.default


class References:
    """Replaces references by values, in the tree itself.

    A value that is one reference gets the other's type, so that a number stays a number, or its text where the key takes text. A
    reference within a longer text becomes the other key's text. Sections cannot be referred to, lists of single values can.
    """

    def __init__(self, root: Node, problems: Problems) -> None:
        self.root, self.problems = root, problems
        self.former: dict[str, str] = {}  # path of a key by its former name → its name
        self.chain: list[tuple[str, Node]] = []
        self.held: list[tuple[Node, str]] = []  # problems with values that are another key's, too

    def blame(self, node: Node, *texts: str) -> None:
        """Report problems with a value. Those of one that a reference gave wait for `settle`."""
        if any(one.source for one in _all(node)):
            self.held += [(node, text) for text in texts]
        elif texts:
            node.bad = True
            for text in texts:
                self.problems.add(node.line, text)

    def settle(self) -> None:
        """Report the problems that wait, but those of values that are wrong where they were referred to: that is one mistake."""
        for node, text in self.held:
            if not any(one.source.bad for one in _all(node) if one.source):
                self.problems.add(node.line, text)

    def resolve(self, node: Node, path: str = "") -> None:
        """Replace every reference in `node` and below; report those that cannot be, and mark their nodes bad."""
        for name, child in node.children():
            self.resolve(child, join(path, name))
        if refers(node) and not node.bad:
            try:
                self._fill(node, path)
            except Refused as refused:
                node.bad = True
                for text in refused.args:
                    self.problems.add(node.line, f"{path}: {text}" if path else text)

    def _fill(self, node: Node, path: str) -> None:
        if any(node is other for _, other in self.chain):
            raise Refused(f"references go round in a circle: {' → '.join(p for p, _ in self.chain)} → {path}")
        if len(self.chain) == _LONGEST_CHAIN:
            raise Refused(f"a chain of more than {_LONGEST_CHAIN} references")
        text = node.value
        if "\\${" in text:
            raise Refused(f"{shown(text)}: a reference cannot be escaped; a value cannot contain '${{' as plain text")
        if "${" in REFERENCE.sub("", text):
            raise Refused(f"{shown(text)}: after '${{' only a reference like ${{train.rounds}} is understood")
        self.chain.append((path, node))
        try:
            if whole := REFERENCE.fullmatch(text):
                found = self._find(whole[1])
                node.value, node.text, node.quoted = _at_line(found, node.line), found.text, found.quoted
                node.source = found.source or found
                text = found.typed.text if found.typed else found.text
                node.typed = None if isinstance(found.value, (str, list)) or not text else Typed(text)
            else:
                node.value = node.text = REFERENCE.sub(lambda match: self._text(match[1]), text)
                node.quoted = True
        finally:
            self.chain.pop()
        if refers(node):
            raise Refused(f"{shown(node.value)}: references cannot be put together from pieces")
        if isinstance(node.value, str) and len(node.value) > _LONGEST_TEXT:
            raise Refused(f"with its references filled in, the text is longer than {_LONGEST_TEXT} characters")

    def _text(self, path: str) -> str:
        found = self._find(path)
        if found.value is None or isinstance(found.value, list):
            raise Refused(f"${{{path}}} is {'a list' if found.value is not None else 'null'} and cannot be part of a text")
        return str(found.value) if found.quoted else found.text

    def _find(self, reference: str) -> Node:
        """The single value or list of single values that is referred to, with its references replaced."""
        node, path = self.root, ""
        rest: list[str | int] = list(steps(reference) or [reference])
        while rest:
            below = dict(node.children())
            name, *rest_ = rest
            if not isinstance(node.value, list):
                key, left = longest_key(node.value if isinstance(node.value, dict) else (), rest)
                name, rest_ = (key, left) if key else (str(name), rest_)
            name = self.former.get(join(path, name), name) if name not in below else name
            if name not in below:
                if node.bad:  # an unknown component, say: its keys are not known
                    raise Refused
                hint = did_you_mean(str(name), [key for key in below if isinstance(key, str)])
                raise Refused(f"${{{reference}}}: there is no {shown(join(path, name))} in the recipe{hint}")
            node, path, rest = below[name], join(path, name), rest_
        if isinstance(node.value, dict) or any(isinstance(child.value, (dict, list)) for _, child in node.children()):
            raise Refused(f"${{{reference}}} is more than a value; refer to one of its keys")
        self.resolve(node, path)
        if node.bad or any(child.bad or isinstance(child.value, list) for _, child in node.children()):
            raise Refused
        return node


def _at_line(found: Node, line: int) -> object:
    if isinstance(found.value, list):
        return [Node(child.value, line, child.text, child.quoted) for child in found.value]
    return found.value
