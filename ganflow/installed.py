"""Entry points of the packages that are installed. One whose metadata cannot be read hides no other."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from importlib.metadata import Distribution, EntryPoint

from ganflow.errors import escaped


def entry_points(group: str, name: str | None = None) -> list[EntryPoint]:
    """The entry points of a group, or those of one name in it."""
    return [point for point in _all(group)[0] if name is None or point.name == name]


def unreadable(group: str) -> dict[str, str]:
    """Packages whose entry points cannot be read, and why."""
    return _all(group)[1]


def about(package: Distribution | None) -> tuple[str, str]:
    """A package's name and version, "?" where its metadata do not say. Slow: it parses the whole description."""
    try:
        found = dict(package.metadata.items()) if package else {}  # type: ignore[attr-defined]
    except Exception:  # they are no text
        found = {}
    return found.get("Name", "?"), found.get("Version", "?")


def _all(group: str) -> tuple[list[EntryPoint], dict[str, str]]:
    try:
        return list(metadata.entry_points(group=group)), {}
    except Exception:  # of one package: a file that is no text, or of another form; Python then knows none of the others
        found, seen, broken = list[EntryPoint](), set[str](), dict[str, str]()
    for package in metadata.distributions():
        name = "?"
        try:
            name = package.metadata["Name"] or "?"
            key = re.sub(r"[-_.]+", "-", name).lower()
            if key not in seen:  # of several on the path the first is used
                found += package.entry_points.select(group=group)
            seen |= {key} - {"?"}
        except Exception as error:
            broken[name] = escaped(f"{type(error).__name__}: {error}")
    return found, broken


@contextmanager
def kept_off_stdout() -> Iterator[None]:
    """While somebody else's module is imported: what it prints goes to stderr, for stdout may be JSON that a program reads."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
