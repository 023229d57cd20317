"""The recipe of a run that was made earlier, perhaps with plugins that are not installed any more."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ganflow.errors import GanflowError, RecipeError, origin
from ganflow.installed import about, entry_points
from ganflow.runs.folders import RunFolder
from ganflow.runs.record import Plugin, RunRecord, is_newer
from ganflow.version import __version__

if TYPE_CHECKING:
    from ganflow.recipe import Recipe

_DISTRIBUTION, _VERSION = re.compile(r"[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?", re.ASCII), re.compile(r"[A-Za-z0-9][\w.!+-]*", re.ASCII)


def recipe_of_run(folder: RunFolder, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a run's, or a sweep's, folder, with changes, to be read and not to be trained. Raises as `kept_recipe` and
    `made_with`."""
    from ganflow.recipe import kept_recipe  # imports every plugin

    with made_with(folder):
        return kept_recipe(folder.recipe, overrides)


@contextmanager
def made_with(folder: RunFolder) -> Iterator[None]:
    """While the recipe of a run, or of a sweep, is read.

    Raises:
        GanflowError: (in place of one that a plugin's absence explains) says which plugins the run was made with, and how to get
            them; else also which other version of ganflow has written it, if one has.
    """
    try:
        yield
    except GanflowError as error:
        lost: dict[str, Plugin] = {}
        written = ""
        with suppress(GanflowError):  # a damaged record says nothing
            record = folder.read()
            written = writer(record)
            lost = {name: plugin for name, plugin in absent(record).items() if f"{name}/" in str(error)}
        if not lost:
            problems = error.problems if isinstance(error, RecipeError) else []
            if not written or (problems and not problems[0].line):
                raise
            raise GanflowError(*([*error.lines, written] if problems else [error.text + "; " + written])) from error
        named = " and ".join(f"plugin '{name}' of {origin(**plugin)}" for name, plugin in lost.items())
        here = ", ".join(filter(None, map(_installed, lost)))
        now = f"and there is {here} now" if here else f"which {'are' if len(lost) > 1 else 'is'} not installed"
        raise GanflowError(f"run {folder.id} was made with {named}, {now}; {advice(lost)}") from error


def writer(record: RunRecord) -> str:
    """The other version of ganflow that has written a run, and what to do where that cannot be read; empty where it was this one,
    or nothing says which."""
    version = record.versions.get("ganflow", "")
    if version == __version__ or not re.fullmatch(r"[0-9][\w.+!-]{0,30}", version, re.ASCII):
        return ""
    older = f"earlier than this one; to read it: pip install ganflow=={version}, in an environment of its own"
    how = "newer than this one: pip install --upgrade ganflow" if is_newer(version) else older
    return f"the run was written by ganflow {version}, {how}"


def absent(record: RunRecord) -> dict[str, Plugin]:
    """The plugins, by name, that a run was made with and that are not installed in the version that it had."""
    others = {name: plugin for name, plugin in record.plugins.items() if plugin["distribution"].lower() != "ganflow"}
    return {name: plugin for name, plugin in others.items() if _installed(name) != origin(**plugin)}


def _installed(name: str) -> str:
    """The distribution and version that have a plugin now; "" where none has."""
    found = [point.dist for point in entry_points("ganflow", name) if point.dist]
    return origin(*about(found[0])) if found else ""


def advice(lost: Mapping[str, Plugin]) -> str:
    """The command that installs the plugins as they were recorded. The record may be a stranger's."""
    wanted = [f"{plugin['distribution']}=={plugin['version']}" for plugin in lost.values()
              if _DISTRIBUTION.fullmatch(plugin["distribution"]) and _VERSION.fullmatch(plugin["version"])]  # fmt: skip
    if len(wanted) < len(lost):
        return "install what offers " + ("them" if len(lost) > 1 else "it")
    return f"get it by: pip install {shlex.join(dict.fromkeys(wanted))} (or from its folder: pip install FOLDER)"
