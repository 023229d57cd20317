"""Checks of the components of one recipe together: what they need of each other, modifiers twice or instead of others."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ganflow.contract.hooks import hooks_of
from ganflow.plugins import Catalogue, Chosen, UnknownComponent
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
        if getattr(cls, "once", False) and any(type(other.settings) is cls for other, *_ in chosen[:number]):
            problems.add(line, f"{what} is there twice; take one of the two out")
        for other, _, path in chosen:
            if other.component.qualified in getattr(cls, "instead_of", ()):
                both = f"{other.component.role} '{other.component.name}', and the recipe has both; to take that out: '~{path}'"
                notes.append(str(problems.problem(line, f"warning: {what} is meant in place of {both}")))


def _facts(of: Chosen, name: str) -> tuple[Any, ...] | None:
    """A component's declarations under this name; None where there are none, or it has a key that is called so."""
    found = getattr(of.settings, name, None)
    return found if isinstance(found, tuple) else None


def making_room(advice: str, sections: Mapping[str, Node], catalogue: Catalogue) -> str:
    """Advice that appends modifiers, with the removal of those instead of which they are, and without any that is there."""

    def component(name: Any) -> Any:
        try:
            return catalogue.find("modifier", name) if isinstance(name, str) else None
        except UnknownComponent:
            return None

    def with_removal(found: re.Match[str]) -> str:
        new = component(found[1])
        listed = sections[MODIFIERS].children() if MODIFIERS in sections and not sections[MODIFIERS].bad else ()
        gone = []
        for index, child in listed:
            section = child.section() or {}
            old = component(section["use"].value) if "use" in section else None
            if new and old == new and getattr(new.settings, "once", False):
                return ""
            if new and old and old.qualified in getattr(new.settings, "instead_of", ()):
                gone.append(f" '~{join(MODIFIERS, index)}'")
        return f"{''.join(gone)}{found[0]}"

    return re.sub(r" '\+modifiers=([\w/]+)'", with_removal, advice)
