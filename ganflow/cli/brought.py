"""Commands that packages bring, by entry points of the group "ganflow.commands". Not a command.

    [project.entry-points."ganflow.commands"]
    inpaint = "ganflow_inpainting.command"

The module is made like those in this folder: HELP, one line; `arguments(parser)`; `main(args)`, which returns the exit code.
It is imported for its own command and for `ganflow --help`, so it imports what is heavy inside `main`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType

from ganflow.errors import PluginError

GROUP = "ganflow.commands"


def commands() -> dict[str, list[tuple[str, str]]]:
    """By the command's name, (distribution, module) of each that brings it."""
    found: dict[str, set[tuple[str, str]]] = {}
    for point in entry_points(group=GROUP):  # an editable install can be seen twice
        found.setdefault(point.name, set()).add((point.dist.name if point.dist else "?", point.value))
    return {name: sorted(found[name]) for name in sorted(found)}


def load(name: str, claims: list[tuple[str, str]]) -> ModuleType:
    """The module of a command.

    Raises:
        PluginError: it cannot be imported, lacks one of the three parts, or several packages bring it.
    """
    if len(claims) > 1:
        raise PluginError(f"the command '{name}' is brought by {' and by '.join(who for who, _ in claims)}; uninstall one")
    who, value = claims[0]
    try:
        module = import_module(value)
    except Exception as error:
        raise PluginError(f"the command '{name}' of {who} cannot be used: {type(error).__name__}: {error}") from error
    missing = [part for part in ("HELP", "arguments", "main") if not hasattr(module, part)]
    if missing:
        raise PluginError(f"the command '{name}' of {who} cannot be used: {value} has no {' and no '.join(missing)}")
    return module


def helps() -> dict[str, str]:
    """What the commands do, one line each; of one that cannot be used, why."""
    told = {}
    for name, claims in commands().items():
        try:
            told[name] = str(load(name, claims).HELP)
        except PluginError as error:
            told[name] = f"({error})"
    return told
