"""YAML to nodes: every value with its line, nothing executed, nothing guessed.

Recipes are plain YAML without aliases, merge keys and tags. Numbers are read as YAML 1.2 does and not as PyYAML: 5e-5
is a number, 12:30:00 and 017 are not. `yes`, `no`, `on` and `off` are still true and false, as most people expect.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from ganflow.recipe.nodes import Node, Problems, join, shown

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_BOOL = {form: value for word, value in _TRUTH.items() for form in (word, word.capitalize(), word.upper())}
_INT = re.compile(r"[-+]?(0|[1-9](_?[0-9])*)")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_DEEPEST = 20  # far more than any recipe needs, far less than Python's stack
_LONGEST_INT = 4000  # digits; Python refuses to read more than 4300


class _Unreadable(Exception):
    """(line, text): the text is not a recipe's YAML, and nothing after this point can be understood."""


def read_yaml(text: str, problems: Problems, path: str = "", line: int | None = None) -> Node | None:
    """The document in `text`; None, and a problem, if it cannot be read at all.

    Args:
        problems: where what is wrong is put.
        path: the key that the document is the value of, for messages.
        line: the line to give to everything (0: the command line); None: each its own.
    """
    try:
        return _Document(text, problems, line).read(path)
    except _Unreadable as error:
        at, what = error.args
    except yaml.MarkedYAMLError as error:
        at, what = (error.problem_mark.line if error.problem_mark else 0) + 1, _syntax(error, text)
    except yaml.reader.ReaderError as error:
        at = text[: error.position].count("\n") + 1
        what = f"not valid YAML: the character {chr(error.character)!a} cannot be in it"
    except (ValueError, OverflowError):  # an escape like "\UFFFFFFFF"
        at, what = 1, "not valid YAML: an escape in a text in double quotes means no character"
    problems.add(at if line is None else line, f"{path}: {what}" if path else what)
    return None


def scalar(text: str) -> bool | int | float | str | None:
    """What an unquoted single value means."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text) and len(text) <= _LONGEST_INT:
        return int(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _syntax(error: yaml.MarkedYAMLError, text: str) -> str:
    mark, written_lines = error.problem_mark, text.splitlines()
    written = written_lines[mark.line] if mark and mark.line < len(written_lines) else ""
    if "\t" in written and "'\\t'" in (error.problem or ""):
        return "a tab cannot indent YAML; use spaces"
    hint = "; inside { } or [ ] a reference needs quotes: \"${section.key}\"" if "${" in written else ""
    return f"not valid YAML: {error.problem or error.context}{hint}"


class _Document:
    def __init__(self, text: str, problems: Problems, line: int | None) -> None:
        self.events: Iterator[yaml.Event] = iter(yaml.parse(text, Loader=yaml.SafeLoader))
        self.problems, self.line = problems, line

    def read(self, path: str) -> Node | None:
        event = self.next()
        while isinstance(event, (yaml.StreamStartEvent, yaml.DocumentStartEvent)):
            event = self.next()
        if isinstance(event, yaml.StreamEndEvent):
            return Node(None, self.at(event))
        root = self.node(event, path, self.at(event), 0)
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                raise _Unreadable(self.at(event), "a second document ('---') begins here; a recipe is a single one")
        return root

    def next(self) -> yaml.Event:
        return next(self.events)

    def at(self, event: yaml.Event) -> int:
        if self.line is not None:
            return self.line
        return event.start_mark.line + 1 if event.start_mark else 1

    def node(self, event: yaml.Event, path: str, line: int, depth: int) -> Node:
        """The node that begins with `event`; the events up to its end are consumed."""
        if depth > _DEEPEST:
            raise _Unreadable(line, f"nested more than {_DEEPEST} deep")
        if isinstance(event, yaml.AliasEvent):
            remedy = "write the value out, or refer to it as ${section.key}"
            return self.refuse(line, f"the alias *{event.anchor} is not allowed in a recipe; {remedy}")
        node: Node
        if isinstance(event, yaml.MappingStartEvent):
            node = self.mapping(path, line, depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self.sequence(path, line, depth)
        else:
            node = self.single(event, path, line)
        if event.tag is not None:  # type: ignore[attr-defined]
            return self.refuse(line, f"the tag {event.tag} is not allowed in a recipe; leave it out")  # type: ignore[attr-defined]
        return node

    def mapping(self, path: str, line: int, depth: int) -> Node:
        items: dict[str, Node] = {}
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            at = self.at(event)
            if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
                self.node(event, path, at, depth + 1)
                self.node(self.next(), path, at, depth + 1)
                self.refuse(at, "a key must be a plain word")
                continue
            name = self.printable(event.value, at)
            child = self.node(self.next(), join(path, name), at, depth + 1)
            if name == "<<":
                self.refuse(at, "merge keys (<<) are not allowed in a recipe; write the keys out")
            elif name in items:
                first = f" (first in line {items[name].line})" if items[name].line else ""
                self.refuse(at, f"duplicate key {shown(join(path, name))}{first}")
            else:
                items[name] = child
        return Node(items, line)

    def sequence(self, path: str, line: int, depth: int) -> Node:
        items: list[Node] = []
        while not isinstance(event := self.next(), yaml.SequenceEndEvent):
            items.append(self.node(event, join(path, len(items)), self.at(event), depth + 1))
        return Node(items, line)

    def single(self, event: Any, path: str, line: int) -> Node:
        text = self.printable(event.value, line)
        quoted = event.style is not None
        node = Node(text if quoted else scalar(text), line, text, quoted)
        trouble = None
        if text == "???":
            trouble = "'???' is not a value"
        elif isinstance(node.value, float) and not math.isfinite(node.value):
            trouble = f"{node} is not a finite number"
        elif isinstance(node.value, int) and not -(2**63) <= node.value < 2**63:
            trouble = f"{node} does not fit into 64 bits"
        if trouble:
            return self.refuse(line, f"{path}: {trouble}" if path else trouble)
        return node

    def printable(self, text: str, line: int) -> str:
        """The text, refused if it holds half a surrogate pair ("\\ud800"), which could never be written out again."""
        if any("\ud800" <= c <= "\udfff" for c in text):
            raise _Unreadable(line, f"{shown(text)} holds a character that cannot be written")
        return text

    def refuse(self, line: int, text: str) -> Node:
        self.problems.add(line, text)
        return Node(None, line, bad=True)
