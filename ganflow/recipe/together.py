"""Checks of the components of one recipe together: what they need of each other, modifiers twice or instead of others."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ganflow.contract.hooks import hooks_of
from ganflow.contract.settings import keys
from ganflow.plugins import Catalogue, Chosen, Component, UnknownComponent
from ganflow.recipe.yaml import Node, Problems, join

MODIFIERS = "modifiers"


def check_together(
    sections: Collection[str], chosen: Sequence[tuple[Chosen, int, str]], problems: Problems, notes: list[str]
) -> None:
    """Check what components say of the sections that they need (`requires`), of what they need of another component (`needs`, and
    its `gives`), and of being there twice (`once`). A modifier beside one in whose place it is (`instead_of`) is worth a note.

    Args:
        chosen: each with its line and its path.
    """
    modifiers = [type(found.settings) for found, *_ in chosen if found.component.role == "modifier"]
    wrapped = {hook.name for cls in modifiers for hook in hooks_of(cls)}  # what these give is not known
    by_role = {found.component.role: found for found, *_ in chosen if found.component.role not in wrapped}
    for number, (found, line, _) in enumerate(chosen):
        cls, what = type(found.settings), f"{found.component.role} '{found.component.name}'"
        modifier = found.component.role == "modifier"
        needed = tuple(getattr(cls, "requires", ()))
        if modifier and set() < {h.name for h in hooks_of(cls)} <= {"critic", "critic_stepped"}:
            needed = (*needed, "critic")
        for section in dict.fromkeys(needed):
            if section not in sections:
                problems.add(line, f"{what} needs a {section}, and the recipe has none: add the section '{section}', or "
                             f"{'take it out' if modifier else 'use another'}")  # fmt: skip
        for role, fact, advice in _facts(found, "needs") or ():
            other = by_role.get(role)
            if other and (facts := _facts(other, "gives")) is not None and fact not in facts:
                problems.add(line, f"{what} needs {fact}, and {role} '{other.component.name}' gives none: {advice}")
        there = next((path for other, _, path in chosen[:number] if type(other.settings) is cls), "")
        if there and getattr(cls, "once", False):
            names = [f"{there}.{key.name}" for key in keys(cls)]
            instead = f"set {' or '.join(names[:2])} in place of this, or " if names else ""
            problems.add(line, f"{what} is there twice, first as {there}; {instead}take that out: '~{there}'")
        for other, _, path in chosen:
            if other.component.qualified in getattr(cls, "instead_of", ()):
                both = f"{other.component.role} '{other.component.name}', and the recipe has both; to take that out: '~{path}'"
                notes.append(str(problems.problem(line, f"warning: {what} is meant in place of {both}")))


def there_already(advice: str, sections: Mapping[str, Node], catalogue: Catalogue) -> str:
    """Advice that appends one modifier; or that sets its keys, where the recipe has it already, and it can be there once."""
    found = re.fullmatch(r"; that is '\+modifiers=([\w/]+)' here", advice)
    if found is None or (new := _modifier(found[1], catalogue)) is None or not getattr(new.settings, "once", False):
        return advice
    for path, old in _modifiers(sections, catalogue):
        if old == new:
            names = [f"{path}.{key.name}" for key in keys(new.settings)]
            return f"; that is {path} here, which is there" + (f": set {' or '.join(names[:2])}" if names else "")
    return advice


def _facts(of: Chosen, name: str) -> tuple[Any, ...] | None:
    """A component's declarations under this name; None where there are none, or it has a key that is called so."""
    found = getattr(of.settings, name, None)
    return found if isinstance(found, tuple) else None


def making_room(advice: str, sections: Mapping[str, Node], catalogue: Catalogue) -> str:
    """Advice that appends modifiers, with the removal of those instead of which they are, and without any that is there."""

    def with_removal(found: re.Match[str]) -> str:
        new = _modifier(found[1], catalogue)
        gone = []
        for path, old in _modifiers(sections, catalogue):
            if new and old == new and getattr(new.settings, "once", False):
                return ""
            if new and old and old.qualified in getattr(new.settings, "instead_of", ()):
                gone.append(f" '~{path}'")
        return f"{''.join(gone)}{found[0]}"

    return re.sub(r" '\+modifiers=([\w/]+)'", with_removal, advice)


def _modifier(name: Any, catalogue: Catalogue) -> Component | None:
    try:
        return catalogue.find("modifier", name) if isinstance(name, str) else None
    except UnknownComponent:
        return None


def _modifiers(sections: Mapping[str, Node], catalogue: Catalogue) -> Iterator[tuple[str, Component | None]]:
    """The modifiers that are written, by their paths; None for what is none."""
    for index, child in sections[MODIFIERS].children() if MODIFIERS in sections and not sections[MODIFIERS].bad else ():
        section = child.section() or {}
        yield join(MODIFIERS, index), _modifier(section["use"].value, catalogue) if "use" in section else None
