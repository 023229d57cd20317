"""A recipe while it is being read: a tree of values, each knowing its line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from ganflow.errors import Problem

if TYPE_CHECKING:
    from ganflow.plugins import Component

COMMAND_LINE = 0  # the "line" of what an override gave


@dataclass
class Node:
    """A mapping, a list or a single value of the recipe.

    Attributes:
        value: dict of nodes, list of nodes, or None, bool, int, float, str.
        line: 1-based, of the key where there is one; 0 for the command line.
        text: a single value as it was written, without its quotes.
        quoted: whether it was in quotes, and so is text whatever it looks like.
        default: not given, but filled in from the settings class.
        bad: a problem with it has been reported: nothing more is to be said of it.
        component: what a section's `use` means, once that is known.
    """

    value: Any
    line: int
    text: str = ""
    quoted: bool = False
    default: bool = False
    bad: bool = False
    component: Component | None = None

    def children(self) -> Iterator[tuple[str | int, Node]]:
        """(key or index, node) pairs; none for a single value."""
        if isinstance(self.value, dict):
            yield from self.value.items()
        elif isinstance(self.value, list):
            yield from enumerate(self.value)

    def plain(self, leaf: Callable[[Node], Any] = lambda node: node.value) -> Any:
        """Plain dicts, lists and single values; each of the latter as `leaf` gives it."""
        if isinstance(self.value, dict):
            return {key: child.plain(leaf) for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain(leaf) for child in self.value]
        return leaf(self)

    def spoilt(self) -> bool:
        """Whether a problem with it, or with anything in it, has been reported."""
        return self.bad or any(child.spoilt() for _, child in self.children())

    def section(self) -> dict[str, Node] | None:
        """The keys of a component's section, which may have been written as its bare name; None for anything else."""
        if isinstance(self.value, str):
            self.value = {"use": Node(self.value, self.line, self.text, self.quoted)}
        return self.value if isinstance(self.value, dict) else None

    def __str__(self) -> str:
        """As messages show it."""
        if isinstance(self.value, str):
            return shown(self.value)
        if isinstance(self.value, (dict, list)):
            return _short(str(self.plain()))
        return _short(self.text or "null")


class Problems(list[Problem]):
    """The mistakes found so far in one file, command line included."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file

    def add(self, line: int, text: str) -> None:
        problem = Problem(line, text, self.file if line else "")
        if problem not in self:
            self.append(problem)


def node_of(value: Any, line: int, default: bool = False) -> Node:
    """A tree of nodes from plain data, such as a key's default."""
    if isinstance(value, dict):
        return Node({str(key): node_of(v, line, default) for key, v in value.items()}, line, default=default)
    if isinstance(value, (list, tuple)):
        return Node([node_of(v, line, default) for v in value], line, default=default)
    value = plain(value)
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return Node(value, line, text, quoted=isinstance(value, str), default=default)


def plain(value: Any) -> Any:
    """A setting's value as YAML can hold it: tuples become lists, enumerations and paths text."""
    if isinstance(value, dict):
        return {str(key): plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, Enum):
        return value.name
    return str(value) if isinstance(value, PurePath) else value


def lines(node: Node, path: str = "") -> Iterator[tuple[str, int]]:
    """(path, line) of everything in a tree to which no defaults were added yet."""
    for name, child in node.children():
        yield join(path, name), child.line
        yield from lines(child, join(path, name))


def join(path: str, name: str | int) -> str:
    """The path of a key or an item: train.rounds, modifiers[0]."""
    return f"{path}[{name}]" if isinstance(name, int) else f"{path}.{name}" if path else name


def shown(text: str) -> str:
    """A piece of the user's text in quotes, on one line, shortened where it is long."""
    return _short(repr(text))


def _short(text: str) -> str:
    return text if len(text) <= 70 else f"{text[:50]} … {text[-10:]}"
