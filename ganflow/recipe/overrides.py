"""Overrides: what the command line changes in a recipe.

    train.rounds=50  modifiers[0].c=0.02   set a key (the value is YAML; a list may be indexed with .0 too)
    critic=mlp  critic.use=mlp             switch a component: the keys that the recipe gave the old one are dropped
    critic={use: mlp, width: 64}           replace a whole section
    +modifiers={use: ema}  +metrics=swd  +trackers=tensorboard    append to a list
    ~critic  critic=null  ~modifiers[0]    remove a section, a key, an item
    tune.space.optimizer.lr={…}            the domain of optimizer.lr

Their order matters only where two set the same thing: the last one wins. Whole sections are replaced first, then
their keys are set, then items are removed from lists, so an index always means the list as the recipe has it.

`optimizer.lr=…` sets every part's where the recipe has one optimizer for each; `optimizer.critic.lr=…` makes two of
one, and `optimizer.generator.mapping.lr=…` another of the generator's, where the recipe has none for this part. Removing the
critic removes its optimizers and schedules.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ganflow.contract.settings import keys as keys_of
from ganflow.errors import did_you_mean
from ganflow.plugins import Catalogue, UnknownComponent, load_catalogue
from ganflow.recipe.sections import PARTS, PER_PART, PLAYERS, REQUIRED
from ganflow.recipe.values import longest_key, steps
from ganflow.recipe.yaml import COMMAND_LINE, Node, Problems, join, read_yaml, shown

_FORM = re.compile(r"(?P<sign>[+~]?)(?P<path>[^=+~]+)(=(?P<value>.*))?", re.DOTALL)


_WITHOUT_USE = ("name", "recipe_version", "condition", "train", "track", "tune")


class _Refused(Exception):
    """What is wrong with an override."""


@dataclass
class Override:
    """One `key=value`, `+key=value` or `~key`."""

    sign: str
    path: str
    steps: list[str | int]
    value: Node

    @property
    def order(self) -> tuple[bool, int, int]:
        """Short paths first (`critic.use` is as much the whole section as `critic`); removals from lists last, from the end."""
        *_, last = self.steps
        if self.sign == "~" and isinstance(last, int):
            return (True, 0, -last)
        return (False, len(self.steps) - (last == "use"), 0)


def is_override(argument: str) -> bool:
    """Whether a command-line argument is an override rather than a recipe: a "~", or a "=" before any "/"."""
    return (argument.startswith("~") or "=" in argument) and "/" not in argument.partition("=")[0]


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Command-line arguments as (recipes, overrides)."""
    return [a for a in arguments if not is_override(a)], [a for a in arguments if is_override(a)]


def apply(
    overrides: Sequence[str],
    root: Node,
    problems: Problems,
    lines: Mapping[str, int] | None = None,
    catalogue: Catalogue | None = None,
) -> None:
    """Change the tree as the overrides say. What cannot be done is a problem and changes nothing.

    Args:
        catalogue: what is installed, if not everything that `load_catalogue` finds.
        lines: where overrides come from that are not of the command line.
    """
    places = lines or {}
    parsed = [override for text in overrides if (override := _parse(text, problems, places.get(text, COMMAND_LINE)))]
    for override in sorted(parsed, key=lambda o: o.order):
        try:
            for steps_ in _targets(root, override, catalogue):
                _change(root, override, steps_)
        except _Refused as refused:
            problems.add(override.value.line, str(refused))


def _parse(text: str, problems: Problems, line: int) -> Override | None:
    form = _FORM.fullmatch(text)
    found = steps(form["path"]) if form else None
    if not form or found is None or (form["sign"] == "~") != (form["value"] is None):
        problems.add(line, f"{shown(text)} is not an override; write key=value, +list=item or ~key")
        return None
    value = read_yaml(form["value"] or "", problems, form["path"], line)
    if value is None:
        return None
    if found[:2] == ["tune", "space"] and len(found) > 2:
        found = ["tune", "space", functools.reduce(join, found[2:], "")]  # whose keys are paths themselves
    return Override(form["sign"], form["path"], found, value)


def _targets(root: Node, override: Override, catalogue: Catalogue | None) -> list[list[str | int]]:
    """The paths that are meant: those of each part, where the recipe has one section for each and the path names none. A part
    that is not there is made: like what is above it, where a key of it is set."""
    section, *rest = override.steps
    node = root.value.get(section)
    keys = node.section() if node and section in PER_PART and rest else None
    if keys is None:
        return [override.steps]
    named, makes = rest[0] in PARTS, override.sign != "~"
    sections = [child for part, child in keys.items() if is_part(part)] if per_part(keys) else [node]
    hint = did_you_mean(str(rest[0]), PARTS) if not named and len(rest) > 1 else ""
    if hint and not any(_has_key(child, str(section), rest[0], catalogue) for child in sections):
        raise _Refused(f"{override.path}: there is no {shown(str(rest[0]))} in {section}{hint}")
    if not per_part(keys):
        if not named or not makes:
            return [override.steps]
        players = PLAYERS if _given(root, "critic") else PLAYERS[:1]
        node.value = keys = {player: copy.deepcopy(Node(keys, node.line)) for player in players}
    if not named:
        return [[section, part, *rest] for part in keys if is_part(part)]
    part, left = longest_key(keys, rest)
    above = keys.get(part)
    if left and makes and not (above and _has_key(above, str(section), left[0], catalogue)):
        known = left[-1] == "use" or (above is not None and _has_key(above, str(section), left[-1], catalogue))
        key = [left.pop()] if known or not _is_component(override.value) else []
        if left:
            part = join(part, ".".join(map(str, left)))
            keys[part] = copy.deepcopy(above) if above and key and key != ["use"] else Node(None, COMMAND_LINE)
        left = key
    return [[section, *([part] if part else []), *left]]


def _has_key(node: Node, role: str, name: str | int, catalogue: Catalogue | None) -> bool:
    """Whether a component's section has a key of this name, as far as is known."""
    section = node.section() or {}
    use = section["use"].value if "use" in section else None
    if name == "use" or name in section or not isinstance(use, str):
        return True
    try:
        component = (catalogue or load_catalogue()).find(role, use)
    except UnknownComponent:
        return True
    return name in {key.name for key in keys_of(component.settings)}


def _is_component(value: Node) -> bool:
    """Whether a value is a component, by its bare name or with keys."""
    return isinstance(value.value, str) or (isinstance(value.value, dict) and "use" in value.value)


def per_part(keys: dict[str, Node]) -> bool:
    """Whether an optimizer or schedule section is divided into parts."""
    return "use" not in keys and any(map(is_part, keys))


def is_part(key: str) -> bool:
    """Whether a key of such a section is a player, the loss, or something inside of one."""
    return key.partition(".")[0] in PARTS and steps(key) is not None


def _given(root: Node, section: str) -> bool:
    node = root.value.get(section)
    return node is not None and (node.bad or node.value is not None)


def _change(root: Node, override: Override, path: list[str | int]) -> None:
    *before, last = path
    parent, place = root, ""
    for step in before:
        parent = _child(parent, step, place, create=override.sign != "~")
        place = join(place, step)
    value = copy.deepcopy(override.value)
    if override.sign == "~":
        _remove(parent, last, place)
    elif override.sign == "+":
        _append(_child(parent, last, place, create=True), value, override.path)
    else:
        _set(parent, last, place, value)
    if path == ["critic"] and not _given(root, "critic"):
        for section in PER_PART:
            keys = root.value[section].value if section in root.value else None
            if isinstance(keys, dict) and per_part(keys):
                for part in [key for key in keys if key.partition(".")[0] == "critic"]:
                    del keys[part]
                if not keys:
                    del root.value[section]


def _child(parent: Node, step: str | int, place: str, create: bool) -> Node:
    """The node below `parent`; with `create`, an empty section if there is none."""
    if create and parent.value is None:
        if isinstance(step, int):
            raise _Refused(f"there is no {join(place, step)}; to begin a list, write +{place}=…")
        parent.value = {}
    if isinstance(parent.value, list):
        item: Node = parent.value[_index(parent, step, place)]
        return item
    named = place.partition(".")[0] not in _WITHOUT_USE  # a bare name may stand for a section
    keys = parent.section() if named else parent.value
    if not isinstance(keys, dict):
        raise _Refused(f"{join(place, step)}: {place} is a single value and has no keys")
    name = str(step)
    if name not in keys and create:
        keys[name] = Node(None, COMMAND_LINE)
    if name not in keys:
        raise _Refused(f"~{join(place, name)}: the recipe has no such key")
    return keys[name]


def _index(parent: Node, step: str | int, place: str) -> int:
    if not isinstance(step, int):
        raise _Refused(f"{place} is a list; write {place}[0].{step} for its first item")
    if step >= len(parent.value):
        raise _Refused(f"there is no {place}[{step}] (items: {len(parent.value)}); to append, write +{place}=…")
    return step


def _set(parent: Node, last: str | int, place: str, value: Node) -> None:
    if last == "use" and place and not isinstance(parent.value, list):
        _switch(parent, value)
        return
    old = _child(parent, last, place, create=True)
    if isinstance(value.value, str) and isinstance(old.value, dict) and "use" in old.value:
        _switch(old, value)
    elif isinstance(parent.value, list):
        parent.value[int(last)] = value
    else:
        parent.value[str(last)] = value


def _switch(section: Node, use: Node) -> None:
    """Another component: the old one's keys go. The same one: they stay."""
    keys = section.section() or {}
    old = keys["use"].value if "use" in keys else None
    same = isinstance(old, str) and isinstance(use.value, str) and _same(old, use.value)
    section.value = {**keys, "use": use} if same else {"use": use}
    section.line = section.line if same else use.line


def _same(old: str, new: str) -> bool:
    """Whether two names mean one component: with the plugin's name, or without it in one of them."""
    if "/" in old and "/" in new:
        return old == new
    return old.rpartition("/")[2] == new.rpartition("/")[2]


def _append(target: Node, value: Node, path: str) -> None:
    if target.value == {} or target.value is None:
        target.value = []
    if not isinstance(target.value, list):
        raise _Refused(f"+{path}: {path} is not a list")
    target.value.extend(value.value if isinstance(value.value, list) else [value])


def _remove(parent: Node, last: str | int, place: str) -> None:
    if not place and last in REQUIRED:
        raise _Refused(f"~{last}: every recipe needs {last}")
    _child(parent, last, place, create=False)
    if isinstance(parent.value, list):
        del parent.value[int(last)]
    else:
        del parent.value[str(last)]
