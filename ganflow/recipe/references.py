"""References: `${section.key}` in a value stands for another key's value. Nothing else begins with `${`."""

from __future__ import annotations

import re

from ganflow.plugins.wording import did_you_mean
from ganflow.recipe.nodes import Node, Problems, join, shown
from ganflow.recipe.paths import longest_key, steps

REFERENCE = re.compile(r"\$\{([A-Za-z_][\w.\[\]]*)\}", re.ASCII)
_LONGEST_CHAIN = 50
_LONGEST_TEXT = 1000


class _Refused(Exception):
    """What is wrong with a reference; "" where that has been said already."""


def refers(node: Node) -> bool:
    """Whether a node is text with a reference in it (or with something that looks like one)."""
    return isinstance(node.value, str) and "${" in node.value and not node.default


class References:
    """Puts values in the place of references, in the tree itself.

    A value that is one reference takes the other's type: a number stays a number. A reference within a longer text is
    replaced by what the other key says. Sections cannot be referred to, lists of single values can.
    """

    def __init__(self, root: Node, problems: Problems) -> None:
        self.root, self.problems = root, problems
        self.chain: list[tuple[str, Node]] = []

    def resolve(self, node: Node, path: str = "") -> None:
        """Replace every reference in `node` and below. Those that cannot be are reported, and their values marked bad."""
        for name, child in node.children():
            self.resolve(child, join(path, name))
        if refers(node) and not node.bad:
            try:
                self._fill(node, path)
            except _Refused as refused:
                node.bad = True
                if str(refused):
                    self.problems.add(node.line, f"{path}: {refused}" if path else str(refused))

    def _fill(self, node: Node, path: str) -> None:
        if any(node is other for _, other in self.chain):
            raise _Refused(f"references go round in a circle: {' → '.join(p for p, _ in self.chain)} → {path}")
        if len(self.chain) == _LONGEST_CHAIN:
            raise _Refused(f"a chain of more than {_LONGEST_CHAIN} references")
        text = node.value
        if "\\${" in text:
            raise _Refused(f"{shown(text)}: a reference cannot be escaped; a value cannot contain '${{' as plain text")
        if "${" in REFERENCE.sub("", text):
            raise _Refused(f"{shown(text)}: after '${{' only a reference like ${{train.rounds}} is understood")
        self.chain.append((path, node))
        try:
            whole = REFERENCE.fullmatch(text)
            if whole:
                found = self._find(whole[1])
                node.value, node.text, node.quoted = _at_line(found, node.line), found.text, found.quoted
            else:
                node.value = node.text = REFERENCE.sub(lambda match: self._text(match[1]), text)
                node.quoted = True
        finally:
            self.chain.pop()
        if refers(node):
            raise _Refused(f"{shown(node.value)}: references cannot be put together from pieces")
        if isinstance(node.value, str) and len(node.value) > _LONGEST_TEXT:
            raise _Refused(f"with its references filled in, the text is longer than {_LONGEST_TEXT} characters")

    def _text(self, path: str) -> str:
        found = self._find(path)
        if found.value is None or isinstance(found.value, list):
            raise _Refused(f"${{{path}}} is {'a list' if found.value is not None else 'null'} and cannot be part of a text")
        return str(found.value) if found.quoted else found.text

    def _find(self, path: str) -> Node:
        """The single value or list of single values at `path`, its own references replaced."""
        node, place = self.root, ""
        rest: list[str | int] = list(steps(path) or [path])
        while rest:
            below = dict(node.children())
            name, *after = rest
            if not isinstance(node.value, list):
                key, left = longest_key(node.value if isinstance(node.value, dict) else (), rest)
                name, after = (key, left) if key else (str(name), after)
            rest = after
            if name not in below:
                known = [key for key in below if isinstance(key, str)]
                if node.bad:  # an unknown component, say: its keys are not known
                    raise _Refused("")
                hint = did_you_mean(str(name), known)
                raise _Refused(f"${{{path}}}: there is no {shown(join(place, name))} in the recipe{hint}")
            node, place = below[name], join(place, name)
        if isinstance(node.value, dict) or any(isinstance(child.value, (dict, list)) for _, child in node.children()):
            raise _Refused(f"${{{path}}} is more than a value; refer to one of its keys")
        self.resolve(node, place)
        if node.bad or any(child.bad or isinstance(child.value, list) for _, child in node.children()):
            raise _Refused("")
        return node


def _at_line(found: Node, line: int) -> object:
    if isinstance(found.value, list):
        return [Node(child.value, line, child.text, child.quoted) for child in found.value]
    return found.value
