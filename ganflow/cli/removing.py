"""`ganflow runs rm`: runs and sweeps deleted, after a question."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganflow.cli.drawing import shown_path
from ganflow.errors import GanflowError
from ganflow.printing import plural, say, say_json

if TYPE_CHECKING:
    from ganflow.runs.removal import Removable


def removed(names: Sequence[str], root: Path, yes: bool, as_json: bool) -> int:
    """Delete the runs of these names; returns 1 where the user would rather not.

    Raises:
        GanflowError: one cannot be deleted (then none is), or there is nobody to ask.
    """
    from ganflow.runs.removal import removable, remove

    if not names:
        raise GanflowError("rm which run? e.g. ganflow runs rm 20261201-0930 (ganflow runs lists them)")
    found = removable(names, root)
    if not yes:
        if as_json or not sys.stdin or not sys.stdin.isatty():
            raise GanflowError(f"to delete {described(found)} without being asked: --yes")
        for each in found:
            say(f"  {each.kind}  {shown_path(each.folder.path)}  {size(each.bytes)}", err=True)
        say(f"Delete {described(found)} for good? [y/N]", err=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            say("nothing is deleted", err=True)
            return 1
    facts = []
    for each in found:
        remove(each)
        name, path = each.folder.name if each.kind == "run" else each.folder.path.name, each.folder.path
        facts.append({"kind": each.kind, "name": name, "id": each.folder.id, "folder": str(path), "freed": each.bytes})
        if not as_json:
            say(f"deleted {each.kind} {shown_path(path)}: {size(each.bytes)} freed")
    if as_json:
        say_json(facts)
    if tracked := sum(each.tracked for each in found):
        their = "their entries in MLflow are" if tracked > 1 else "its entry in MLflow is"
        say(f"{their} still there, with what was sent; ganflow ui shows {'them' if tracked > 1 else 'it'}", err=True)
    return 0


def described(found: Sequence[Removable]) -> str:
    """ "2 runs and 1 sweep (3.4 MB)"."""
    counts = {kind: sum(each.kind == kind for each in found) for kind in ("run", "sweep")}
    some = " and ".join(plural(count, kind) for kind, count in counts.items() if count)
    return f"{some} ({size(sum(each.bytes for each in found))})"


def size(count: float) -> str:
    """Bytes in words: "12 kB", "3.4 MB"."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 999.5 and len(units) > 1:
        count, units = count / 1000, units[1:]
    return f"{count:.3g} {units[0]}"
