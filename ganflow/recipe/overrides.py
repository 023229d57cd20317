"""Overrides: what the command line changes in a recipe.

    train.rounds=50  modifiers[0].c=0.02   set a key (a list may be indexed with .0 too)
    critic=mlp  critic.use=mlp             switch a component: the keys that the recipe gave the old one are dropped
    critic={use: mlp, width: 64}           replace a whole section
    train={rounds: 50}                     without `use`, set its keys, and leave the others
    +modifiers={use: ema}  +metrics=swd  +trackers=tensorboard    append to a list
    ~critic  critic=null  ~modifiers[0]    remove a section, a key, an item
    tune.pack=null                         a key that cannot be null has its default again
    tune.space.optimizer.lr={…}            the domain of optimizer.lr

A value is text as it was typed (data.path=photos #1), unless it is in quotes, or is a YAML mapping, list, number, boolean or
null and the key takes that: data.path=2024 is text, for a path is nothing else. Nothing at all is null.

Their order matters only where two set the same thing: the last one wins. Whole sections are replaced first, then
their keys are set, then items are removed from lists, so an index always means the list as the recipe has it.

`optimizer.lr=…` sets every part's where the recipe has one optimizer for each; `optimizer.critic.lr=…` makes two of
one, and `optimizer.generator.mapping.lr=…` another of the generator's, where the recipe has none for this part. Removing the
critic removes its optimizers and schedules.
"""

from __future__ import annotations

import copy
import functools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ganflow.advised import change as change_advice
from ganflow.contract.settings import keys as keys_of
from ganflow.errors import RecipeError
from ganflow.plugins import Catalogue, UnknownComponent, load_catalogue
from ganflow.recipe.sections import MANY, ONE, PARTS, PER_PART, PLAYERS, REQUIRED, SECTIONS
from ganflow.recipe.values import longest_key, steps
from ganflow.recipe.yaml import (
    COMMAND_LINE,
    MAPPING,
    MISSING,
    Node,
    Problems,
    Refused,
    Typed,
    join,
    read_yaml,
    scalar,
    shown,
    to_flow,
)
from ganflow.synonyms import component_of, hint

_QUOTED = re.compile(r"""\s*('([^']|'')*'|"([^"\\]|\\.)*")\s*""", re.DOTALL)
_FORM = re.compile(r"(?P<sign>[+~]?)(?P<path>[^=+~]+)(=(?P<value>.*))?", re.DOTALL)
ENTRIES = ("space", "budget", "stop", "resources")  # mappings in tune: null is none of their values, and takes an entry out
_WITH_KEYS = ("train", "track", "tune")
_WITHOUT_USE = ("name", "recipe_version", "condition", *_WITH_KEYS)


@dataclass
class Override:
    """One `key=value`, `+key=value` or `~key`; `text` as it was typed."""

    text: str
    sign: str
    path: str
    steps: list[str | int]
    value: Node

    @property
    def rank(self) -> tuple[bool, int, int]:
        """Short paths first (`critic.use` is as much the whole section as `critic`); removals from lists last, from the end."""
        *_, last = self.steps
        if self.sign == "~" and isinstance(last, int):
            return (True, 0, -last)
        return (False, len(self.steps) - (last == "use"), 0)


def is_override(argument: str) -> bool:
    """Return whether a command-line argument is an override, not a recipe: it has a "~" in front, or a "=" before any "/", or is
    a key whose value was forgotten."""
    written = (argument.startswith("~") or "=" in argument) and "/" not in argument.partition("=")[0]
    file = argument.endswith((".yaml", ".yml")) or os.path.exists(argument)
    return written or (_is_key(argument.removeprefix("+")) and not file)


def _is_key(text: str) -> bool:
    found = steps(text)
    return found is not None and found[0] in SECTIONS


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Command-line arguments as (recipes, overrides)."""
    return [a for a in arguments if not is_override(a)], [a for a in arguments if is_override(a)]


def assignments(arguments: Sequence[str], fits: Callable[[str, Any], bool] = lambda key, value: True) -> dict[str, Any]:
    """The values of `key=value` arguments, by their keys in their one form.

    Args:
        fits: returns true if a key can have a value: 2024 is text where the key takes that and no number.

    Raises:
        RecipeError: one is not of that form, or its value is not YAML.
    """
    problems = Problems("")
    understood = [override for text in arguments if (override := _parse(text, problems, COMMAND_LINE))]
    for override in understood:
        if override.sign:
            problems.add(COMMAND_LINE, f"{shown(override.sign + override.path)} is not key=value")
        for trouble in override.value.trouble:
            problems.add(COMMAND_LINE, trouble)
    if problems:
        raise RecipeError(problems)
    found: dict[str, Any] = {}
    for override in understood:
        key, value, typed = functools.reduce(join, override.steps, ""), override.value.plain(), override.value.typed
        found[key] = typed.text if typed is not None and not fits(key, value) and fits(key, typed.text) else value
    return found


def apply(
    overrides: Sequence[str],
    root: Node,
    problems: Problems,
    lines: Mapping[str, int] | None = None,
    catalogue: Catalogue | None = None,
) -> None:
    """Change the tree as the overrides say. What cannot be done is a problem and changes nothing.

    Args:
        lines: of overrides that are not of the command line.
        catalogue: what is installed, if not everything that `load_catalogue` finds.
    """
    understood = [each for text in overrides if (each := _parse(text, problems, (lines or {}).get(text, COMMAND_LINE)))]
    change([key for each in understood for key in _keys(each)], root, problems, catalogue)


def change(understood: Sequence[Override], root: Node, problems: Problems, catalogue: Catalogue | None = None) -> None:
    """Change the tree as overrides say that have been understood."""
    for override in sorted(understood, key=lambda o: o.rank):
        try:
            for path in _targets(root, override, catalogue):
                _change(root, override, path)
        except Refused as refused:
            problems.add(override.value.line, *refused.args)


def list_advice(node: Node, section: str, role: str, catalogue: Catalogue, file: str) -> str:
    """Advice for a section that is no list of components and must be one, in a file, a mapping or a change.

    Args:
        file: of the recipe.
    """
    if node.line != COMMAND_LINE and file != MAPPING:
        return f"begin each {role} with '- '"
    use = node.value.get("use", node) if isinstance(node.value, dict) else node
    known = [name for c in catalogue.components() if c.role == role for name in (c.name, c.qualified)]
    name = component_of(use.value, role, known) if isinstance(use.value, str) else None
    if name is None:
        return f"name one or several: '{section}=[…]' (installed: {', '.join(catalogue.names(role)) or 'none'})"
    value = to_flow({**node.plain(), "use": name}) if isinstance(node.value, dict) else name
    alone = change_advice(f"{section}=[{value}]")
    if node.line != COMMAND_LINE:
        return "write " + alone
    return "to append it, write " + change_advice(f"+{section}={value}") + "; to have it alone, " + alone


def _parse(text: str, problems: Problems, line: int) -> Override | None:
    form = _FORM.fullmatch(text)
    found = steps(form["path"]) if form else None
    if not form or found is None or (form["sign"] == "~") != (form["value"] is None):
        forgotten = form is not None and form["value"] is None and _is_key(form["path"])
        how = f"{text}=VALUE" if forgotten else "key=value, +list=item or ~key"
        problems.add(line, f"{shown(text)} {'has no value' if forgotten else 'is not an override'}; write {how}")
        return None
    value = _value(form["value"] or "", problems, form["path"], line)
    if value is None:
        return None
    if found[:2] == ["tune", "space"] and len(found) > 2:
        found = ["tune", "space", functools.reduce(join, found[2:], "")]  # whose keys are paths themselves
    entry = len(found) > 2 and found[0] == "tune" and found[1] in ENTRIES
    removed = entry and not form["sign"] and value.typed is not None and value.typed.says_null
    return Override(text, "~" if removed else form["sign"], form["path"], found, value)


def _keys(override: Override) -> list[Override]:
    """One override for each key of a mapping that names no component: a section's other keys stay. Any other stays as it is."""
    (section, *rest), keys = override.steps, override.value.value
    whole = section in (*PER_PART, *ONE, *_WITH_KEYS) and not rest
    item = section in MANY and len(rest) == 1 and isinstance(rest[0], int)
    if override.sign or not (whole or item) or not isinstance(keys, dict) or not keys or "use" in keys:
        return [override]
    if section in PER_PART and any(map(is_part, keys)):
        return [override]
    path = override.path
    return [Override(override.text, "", join(path, key), [*override.steps, key], node) for key, node in keys.items()]


def parsed(overrides: Sequence[str]) -> list[Override]:
    """The overrides that can be understood."""
    return [override for text in overrides if (override := _parse(text, Problems(""), COMMAND_LINE))]


def _value(text: str, problems: Problems, path: str, line: int) -> Node | None:
    """The node of a value that was typed, text to a key of text; None, and problems, where it is no value at all."""
    found = Problems(problems.file)
    node = read_yaml(text, found, path, line)
    quoted = _QUOTED.fullmatch(text) is not None
    unwritable = text.strip() == MISSING or any("\ud800" <= c <= "\udfff" for c in text)
    if found and (quoted or unwritable):
        problems.extend(problem for problem in found if problem not in problems)
        return None
    if found or node is None:
        return Node(text, line, text, trouble=tuple(problem.text for problem in found))
    if quoted:
        return node
    if not isinstance(node.value, (dict, list)) and isinstance(scalar(text.strip()), str):  # a YAML comment would be cut off
        return Node(text, line, text)
    node.typed = Typed(text)
    return node


def _targets(root: Node, override: Override, catalogue: Catalogue | None) -> list[list[str | int]]:
    """The paths that are meant: those of each part, where the recipe has one section for each and the path names none. A part
    that is not there is made: like what is above it, where a key of it is set."""
    section, *rest = override.steps
    if override.steps[:2] == ["tune", "space"] and len(override.steps) == 3:
        return [_in_space(root, override.steps)]
    node = root.value.get(section)
    keys = node.section() if node and section in PER_PART and rest else None
    if keys is None:
        return [override.steps]
    named, makes = rest[0] in PARTS, override.sign != "~"
    sections = [child for part, child in keys.items() if is_part(part)] if per_part(keys) else [node]
    meant = hint(str(rest[0]), PARTS) if not named and len(rest) > 1 else ""
    if meant and not any(_has_key(child, str(section), rest[0], catalogue) for child in sections):
        raise Refused(f"{override.path}: there is no {shown(str(rest[0]))} in {section}{meant}")
    if not per_part(keys):
        if not named or not makes:
            return [override.steps]
        players = PLAYERS if _has_critic(root) else PLAYERS[:1]
        node.value = keys = {player: copy.deepcopy(Node(keys, node.line)) for player in players}
    if not named:
        return [[section, part, *rest] for part in keys if is_part(part)]
    part, left = longest_key(keys, rest)
    above = keys.get(part)
    if left and makes and not (above and _has_key(above, str(section), left[0], catalogue)):
        known = left[-1] == "use" or (above is not None and _has_key(above, str(section), left[-1], catalogue))
        value = override.value.value
        is_component = isinstance(value, str) or (isinstance(value, dict) and "use" in value)
        key = [left.pop()] if known or not is_component else []
        if left:
            part = join(part, ".".join(map(str, left)))
            keys[part] = copy.deepcopy(above) if above and key and key != ["use"] else Node(None, COMMAND_LINE)
        left = key
    return [[section, *([part] if part else []), *left]]


def _in_space(root: Node, path: list[str | int]) -> list[str | int]:
    """The path of a key of the space, which may be written in sections, as the recipe's keys are."""
    found, rest, node = path[:2], steps(str(path[2])) or [], root
    for step in map(str, found):
        node = node.value[step] if isinstance(node.value, dict) and step in node.value else Node(None, COMMAND_LINE)
    while rest:
        name, rest = longest_key(node.value, rest) if isinstance(node.value, dict) else ("", rest)
        if not name:
            return path
        found, node = [*found, name], node.value[name]
    return found


def _has_key(node: Node, role: str, name: str | int, catalogue: Catalogue | None) -> bool:
    """Return whether a component has a key of this name; True where the component is not known."""
    section = node.section() or {}
    use = section["use"].value if "use" in section else None
    if name == "use" or name in section or not isinstance(use, str):
        return True
    try:
        component = (catalogue or load_catalogue()).find(role, use)
    except UnknownComponent:
        return True
    return name in {key.name for key in keys_of(component.settings)}


def per_part(keys: dict[str, Node]) -> bool:
    """Return whether an optimizer or schedule section is divided into parts."""
    return "use" not in keys and any(map(is_part, keys))


def is_part(key: str) -> bool:
    """Return whether a key of such a section is a player, the loss, or something inside of one."""
    return key.partition(".")[0] in PARTS and steps(key) is not None


def _has_critic(root: Node) -> bool:
    node = root.value.get("critic")
    return node is not None and (node.bad or node.value is not None)


def _change(root: Node, override: Override, path: list[str | int]) -> None:
    *before, last = path
    parent, above, create = root, "", override.sign != "~"
    for step in before:
        parent, above = _child(parent, step, above, create), join(above, step)
    value = copy.deepcopy(override.value)
    if override.sign == "+":
        _append(_child(parent, last, above, create), value, override.path)
    elif create:
        _set(parent, last, above, value)
    else:
        if not above and last in REQUIRED:
            raise Refused(f"~{last}: every recipe needs {last}")
        _child(parent, last, above, create)
        del parent.value[last if isinstance(parent.value, list) else str(last)]
        if path[:2] == ["tune", "space"] and len(path) > 3 and not parent.value:  # an empty section would be no domain
            _change(root, override, path[:-1])
    if path == ["critic"] and not _has_critic(root):
        for section in PER_PART:
            keys = root.value[section].value if section in root.value else None
            if isinstance(keys, dict) and per_part(keys):
                for part in [key for key in keys if key.partition(".")[0] == "critic"]:
                    del keys[part]
                if not keys:
                    del root.value[section]


def _child(parent: Node, step: str | int, above: str, create: bool) -> Node:
    """The node below `parent`, whose path is `above`; with `create`, an empty one if there is none."""
    if create and parent.value is None:
        if isinstance(step, int):
            raise Refused(f"there is no {join(above, step)}; to begin a list, write +{above}=…")
        parent.value = {}
    if isinstance(parent.value, list):
        if not isinstance(step, int):
            raise Refused(f"{above} is a list; write {above}[0].{step} for its first item")
        if step >= len(parent.value):
            raise Refused(f"there is no {above}[{step}] (items: {len(parent.value)}); to append, write +{above}=…")
        item: Node = parent.value[step]
        return item
    named = above.partition(".")[0] not in _WITHOUT_USE  # a bare name may stand for a section
    keys = parent.section() if named else parent.value
    if not isinstance(keys, dict):
        raise Refused(f"{join(above, step)}: {above} is a single value and has no keys")
    name = str(step)
    if name not in keys and not create:
        raise Refused(f"~{join(above, name)}: the recipe has no such key")
    return keys.setdefault(name, Node(None, COMMAND_LINE))


def _set(parent: Node, last: str | int, above: str, value: Node) -> None:
    if last == "use" and above and not isinstance(parent.value, list):
        _switch(parent, value)
        return
    old = _child(parent, last, above, create=True)
    if isinstance(value.value, str) and isinstance(old.value, dict) and "use" in old.value:
        _switch(old, value)
    else:
        parent.value[last if isinstance(parent.value, list) else str(last)] = value


def _switch(section: Node, use: Node) -> None:
    """Switch the component: another one loses the keys, the same one keeps them."""
    keys = section.section() or {}
    old = keys["use"].value if "use" in keys else None
    same = isinstance(old, str) and old == use.value
    if isinstance(old, str) and isinstance(use.value, str) and not ("/" in old and "/" in use.value):
        same = old.rpartition("/")[2] == use.value.rpartition("/")[2]  # one may lack the plugin's name
    section.value = {**keys, "use": use} if same else {"use": use}
    section.line = section.line if same else use.line


def _append(target: Node, value: Node, path: str) -> None:
    if target.value == {} or target.value is None:
        target.value = []
    if not isinstance(target.value, list):
        raise Refused(f"+{path}: {path} is not a list")
    target.value.extend(value.value if isinstance(value.value, list) else [value])
