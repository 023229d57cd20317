"""YAML to nodes that know their lines, and plain data to YAML. Nothing is executed, nothing guessed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import yaml

from ganflow.errors import Problem, escaped

if TYPE_CHECKING:
    from ganflow.plugins import Component

COMMAND_LINE = 0  # the "line" of an override's value
MISSING = "???"  # to OmegaConf: no recipe can hold this text
MAPPING = "the recipe"  # the "file" of one that is given in Python as a mapping


class Typed:
    """An override's value as it was typed. Copies of its node share it: what one of them turns out to be, all are.

    Attributes:
        meant: a key took it as this text, and not as the YAML that it also is.
        unset: it is null, and its key cannot be: the key has its default.
    """

    def __init__(self, text: str) -> None:
        self.text, self.meant, self.unset = text, False, False

    @property
    def says_null(self) -> bool:
        """True of null in one of its spellings. Nothing at all is a slip, such as a shell's empty variable."""
        return bool(self.text.strip()) and scalar(self.text.strip()) is None

    def __deepcopy__(self, memo: object) -> Typed:
        return self


@dataclass
class Node:
    """A mapping, a list or a single value of the recipe.

    Attributes:
        value: dict of nodes, list of nodes, or None, bool, int, float, str.
        line: 1-based, of the key where there is one; 0 for the command line.
        text: a single value as it was written, without its quotes.
        quoted: it was in quotes, and so is text whatever it looks like.
        default: filled in from the settings class.
        bad: a problem with it has been reported: nothing more is to be said of it.
        component: of a section, once it is found.
        typed: of an override whose value is YAML and no text: what a key of text takes instead.
        trouble: why an override's value is not the YAML that it looks like: problems where the key takes no text.
        source: the node that a reference in its place meant, whose value it has.
    """

    value: Any
    line: int
    text: str = ""
    quoted: bool = False
    default: bool = False
    bad: bool = False
    component: Component | None = None
    typed: Typed | None = None
    trouble: tuple[str, ...] = ()
    source: Node | None = None

    def children(self) -> Iterator[tuple[str | int, Node]]:
        """(key or index, node) pairs; none for a single value."""
        if isinstance(self.value, dict):
            yield from self.value.items()
        elif isinstance(self.value, list):
            yield from enumerate(self.value)

    def plain(self, leaf: Callable[[Node], Any] = lambda node: node.value) -> Any:
        """Plain dicts, lists and single values; each of the latter as `leaf` gives it; what was meant as text, as such."""
        if self.typed is not None and self.typed.meant:
            return self.typed.text
        if isinstance(self.value, dict):
            kept = {key: child for key, child in self.value.items() if not (child.typed and child.typed.unset)}
            return {key: child.plain(leaf) for key, child in kept.items()}
        if isinstance(self.value, list):
            return [child.plain(leaf) for child in self.value]
        return leaf(self)

    def spoilt(self) -> bool:
        """Return whether a problem with it, or with anything in it, has been reported."""
        return self.bad or any(child.spoilt() for _, child in self.children())

    def section(self) -> dict[str, Node] | None:
        """The keys of a component's section, which may be written as its bare name; None for anything else."""
        if isinstance(self.value, str):
            self.value = {"use": Node(self.value, self.line, self.text, self.quoted, trouble=self.trouble)}
        return self.value if isinstance(self.value, dict) else None

    def __str__(self) -> str:
        """The node in messages."""
        if isinstance(self.value, str):
            return shown(self.value)
        if isinstance(self.value, (dict, list)):
            return _short(str(self.plain()))
        return _short(self.text or "null")


class Line(int):
    """A line of another file than the one whose problems are collected: of a recipe that is extended."""

    file: str

    def __new__(cls, number: int, file: str) -> Line:
        line = super().__new__(cls, number)
        line.file = file
        return line

    def __getnewargs__(self) -> tuple[int, str]:  # type: ignore[override]
        return int(self), self.file


class Refused(Exception):
    """Part of a recipe, or override, that cannot be used. Each argument is a problem; none: all are reported already."""


class Problems(list[Problem]):
    """The mistakes found so far in one file, command line included."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file

    def problem(self, line: int, text: str) -> Problem:
        """The problem, with its file; it is not added."""
        return Problem(int(line), text, line.file if isinstance(line, Line) else self.file if line else "")

    def add(self, line: int, text: str) -> None:
        problem = self.problem(line, text)
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


_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_BOOL = {form: value for word, value in _TRUTH.items() for form in (word, word.capitalize(), word.upper())}
_INT = re.compile(r"[-+]?(0|[1-9](_?[0-9])*)")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_DEEPEST = 20  # far more than any recipe needs, far less than Python's stack
_LONGEST_INT = 4000  # digits; Python refuses to read more than 4300


class _Unreadable(Exception):
    """Text that is not a recipe's YAML, as (line, problem); nothing after this point can be understood."""


def read_yaml(text: str, problems: Problems, path: str = "", line: int | None = None) -> Node | None:
    """Read the document in `text`; None, and a problem, if that cannot be done at all.

    Args:
        path: the key that the document is the value of, for messages.
        line: the line of everything (0: the command line); None: each its own.
    """
    try:
        return _Document(text, problems, line).read(path)
    except _Unreadable as error:
        at, problem = error.args
    except yaml.MarkedYAMLError as error:
        at, problem = (error.problem_mark.line if error.problem_mark else 0) + 1, _syntax(error, text)
    except yaml.reader.ReaderError as error:
        at = text[: error.position].count("\n") + 1
        problem = f"not valid YAML: the character {chr(error.character)!a} cannot be in it"
    except (ValueError, OverflowError):  # an escape like "\UFFFFFFFF"
        at, problem = 1, "not valid YAML: an escape in a text in double quotes means no character"
    problems.add(at if line is None else line, f"{path}: {problem}" if path else problem)
    return None


def scalar(text: str) -> bool | int | float | str | None:
    """The value of an unquoted single value."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text) and len(text) <= _LONGEST_INT:
        return int(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text)
    return float(text.replace(".", "")) if _NOT_FINITE.fullmatch(text) else text


def _syntax(error: yaml.MarkedYAMLError, text: str) -> str:
    mark, written_lines = error.problem_mark, text.splitlines()
    written = written_lines[mark.line] if mark and mark.line < len(written_lines) else ""
    if "\t" in written and "'\\t'" in (error.problem or ""):
        return "a tab cannot indent YAML; use spaces"
    hint = '; inside { } or [ ] a reference needs quotes: "${section.key}"' if "${" in written else ""
    return f"not valid YAML: {error.problem or error.context}{hint}"


class _Document:
    def __init__(self, text: str, problems: Problems, line: int | None) -> None:
        self.events: Iterator[Any] = iter(yaml.parse(text, Loader=yaml.SafeLoader))
        self.problems, self.line = problems, line

    def read(self, path: str) -> Node | None:
        next(self.events)  # the stream's start
        if isinstance(event := next(self.events), yaml.StreamEndEvent):
            return Node(None, self.at(event))
        event = next(self.events)  # after the document's start
        root = self.node(event, path, self.at(event), 0)
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                raise _Unreadable(self.at(event), "a second document ('---') begins here; a recipe is a single one")
        return root

    def at(self, event: Any) -> int:
        if self.line is not None:
            return self.line
        return event.start_mark.line + 1 if event.start_mark else 1

    def node(self, event: Any, path: str, line: int, depth: int) -> Node:
        """The node that begins with `event`; the events up to its end are consumed."""
        if depth > _DEEPEST:
            raise _Unreadable(line, f"nested more than {_DEEPEST} deep")
        if isinstance(event, yaml.AliasEvent):
            remedy = "write the value out, or refer to it as ${section.key}"
            return self.refuse(line, f"the alias *{event.anchor} is not allowed in a recipe; {remedy}")
        if isinstance(event, yaml.MappingStartEvent):
            node = self.mapping(path, line, depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(item := next(self.events), yaml.SequenceEndEvent):
                items.append(self.node(item, join(path, len(items)), self.at(item), depth + 1))
            node = Node(items, line)
        else:
            node = self.single(event, path, line)
        if event.tag is not None:
            return self.refuse(line, f"the tag {event.tag} is not allowed in a recipe; leave it out")
        return node

    def mapping(self, path: str, line: int, depth: int) -> Node:
        items: dict[str, Node] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            at = self.at(event)
            if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
                self.node(event, path, at, depth + 1)
                self.node(next(self.events), path, at, depth + 1)
                self.refuse(at, "a key must be a plain word")
                continue
            name = self.printable(event.value, at)
            child = self.node(next(self.events), join(path, name), at, depth + 1)
            if name == "<<":
                self.refuse(at, "merge keys (<<) are not allowed in a recipe; write the keys out")
            elif name in items:
                first = f" (first in line {items[name].line})" if items[name].line else ""
                self.refuse(at, f"duplicate key {shown(join(path, name))}{first}")
            else:
                items[name] = child
        return Node(items, line)

    def single(self, event: Any, path: str, line: int) -> Node:
        text = self.printable(event.value, line)
        quoted = event.style is not None
        node = Node(text if quoted else scalar(text), line, text, quoted)
        trouble = None
        if text == MISSING:
            trouble = f"'{MISSING}' is not a value"
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


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None
    if not isinstance(scalar(text), str):
        style = "'"  # PyYAML quotes what it would not read as text itself; to it, 5e-5 is text
    elif escaped(text, keep="\n\t") != text:
        style = '"'  # the only style with escapes, which `escaped` writes
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


def _list(dumper: _Dumper, items: list[Any]) -> yaml.SequenceNode:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=not any(isinstance(i, dict) for i in items))


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)


def to_yaml(data: Any, flow: bool = False) -> str:
    """One key per line, in the order of `data`; lists of single values on one line. `flow`: everything on one line."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6, default_flow_style=flow)
    return escaped(text, keep="\n\t")


def to_flow(value: Any) -> str:
    """A value on one line, as an override has it: 0.0003, {use: hinge}."""
    return to_yaml((value,), flow=True).strip()[1:-1]  # a tuple: a list is written by `_list`
