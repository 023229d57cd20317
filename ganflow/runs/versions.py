"""Runs that another version of ganflow, or of a plugin, has written: who, and what to do where they cannot be read here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ganflow.errors import GanflowError, RecipeError
from ganflow.plugins import load_catalogue
from ganflow.recipe import Recipe, kept_recipe
from ganflow.runs.folders import RunFolder
from ganflow.runs.record import is_newer
from ganflow.version import __version__

_VERSION = re.compile(r"[0-9][\w.+!-]{0,30}")
_DISTRIBUTION = re.compile(r"[A-Za-z0-9][\w.-]{0,60}")


def run_recipe(folder: RunFolder, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a run, with changes, to be read and not to be trained.

    Raises:
        GanflowError: it cannot be read; also says which versions have written it, where these are not those of here.
    """
    try:
        return kept_recipe(folder.recipe, overrides)
    except GanflowError as error:
        if overrides:
            run_recipe(folder)  # else the overrides are what is wrong
            raise
        about = writers(folder)
        if not about:
            raise
        joint = "\n" if isinstance(error, RecipeError) else "; "
        raise GanflowError(f"{error}{joint}{about}") from error


def writers(folder: RunFolder) -> str:
    """Sentence about the versions that have written a run, with what helps where it cannot be read; empty where these are all
    those of here, or nothing says which they were."""
    try:
        record = folder.read()
    except GanflowError:
        return ""
    found = []
    version = record.versions.get("ganflow", "")
    if version != __version__ and _VERSION.fullmatch(version):
        newer, older = "newer than this one: pip install --upgrade ganflow", f"pip install ganflow=={version}"
        how = newer if is_newer(version) else f"earlier than this one; to read it: {older}, in an environment of its own"
        found.append(f"the run was written by ganflow {version}, {how}")
    there = {plugin.name: plugin for plugin in load_catalogue().plugins}
    for name, was in record.plugins.items():
        source, version = was["distribution"], was["version"]
        known = _DISTRIBUTION.fullmatch(source) and _VERSION.fullmatch(version) and source != "ganflow"
        if known and (name not in there or there[name].version != version):
            now = f", and is {there[name].version} here" if name in there else ""
            found.append(f"plugin '{name}' came with {source} {version}{now}; if you know it and want it: pip install "
                         f"{source}=={version}")  # fmt: skip
    return "; ".join(found)
