"""Recipes that extend another: `extends: wgan` at the top, and below it what differs.

    extends: wgan              # comes with ganflow, or a file in this one's folder or below it
    train: {rounds: 5000}      # keys change one by one, as train.rounds=5000 does on the command line
    critic: mlp                # another component loses the keys of the one before, the same one keeps them
    schedule: null             # without it
    metrics: [swd]             # a list is another list,
    +modifiers: [ema]          # or is appended to

The rules are those of overrides (ganflow.recipe.overrides), for each key of the file is one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from ganflow.plugins import Catalogue
from ganflow.recipe.overrides import ENTRIES, Override, change
from ganflow.recipe.sections import MANY, PER_PART
from ganflow.recipe.values import steps
from ganflow.recipe.yaml import Line, Node, Problems, Refused, join


def merged(base: Node, root: Node, file: str, problems: Problems, catalogue: Catalogue | None) -> Node:
    """The tree `base`, of the recipe in `file`, changed as the tree `root` says. What cannot be done is a problem."""
    base.value.pop("name", None)  # the file's that extends it
    whole = Node(base.value, root.line)
    for node in list(_below(whole)):
        if node is not whole and not isinstance(node.line, Line):
            node.line = Line(node.line, file)
    understood: list[Override] = []
    for key, node in root.value.items():
        try:
            understood += _changes([key.removeprefix("+")], node, "+" if key.startswith("+") else "")
        except Refused as refused:
            problems.add(node.line, str(refused))
    change(understood, whole, problems, catalogue)
    return whole


def _changes(path: list[str | int], node: Node, sign: str) -> Iterator[Override]:
    """The overrides that a section, or a key of one, is."""
    written = functools.reduce(join, path, "")
    if sign and path[0] not in MANY:
        raise Refused(f"+{written}: only {', '.join(MANY)} can be appended to")
    domain = path[:2] == ["tune", "space"] and len(path) > 2
    if isinstance(node.value, dict) and node.value and not domain and not sign:
        for key, child in node.value.items():
            inner = steps(key) if path[0] in PER_PART else None
            yield from _changes([*path, *(inner or [key])], child, "")
    elif not (isinstance(node.value, dict) and not node.value):
        entry = len(path) > 2 and path[0] == "tune" and path[1] in ENTRIES and node.value is None and not node.bad
        yield Override(written, "~" if entry else sign, written, path, node)


def _below(node: Node) -> Iterator[Node]:
    yield node
    for _, child in node.children():
        yield from _below(child)
